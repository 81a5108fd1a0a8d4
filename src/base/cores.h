/* Memory that is not written to a file when the process dies.
 *
 * For: the first lines of main() of a program that holds other people's values and keys: a core
 * file would have all of them, in a place and with a mode that the program does not choose.
 * Not for: who may look into the memory of a process that lives. PR_SET_DUMPABLE would forbid that,
 * and make the files of /proc/PID root's: gdb, perf, and `ridctl bundle` as the user that ridd runs
 * as would see nothing any more, and LeakSanitizer fails. Whoever may do that is the same user, or
 * root, and reads the data directory and the file of secrets anyway.
 * Errors: none; where the system does not let us, it is as it was.
 * Thread: before there are others.
 * Source: core(5), rule GUARD-1.
 * Obvious: units, ownership. */
#ifndef RIDD_BASE_CORES_H
#define RIDD_BASE_CORES_H

/* Sets the limit of core files to one byte, from which no child raises it again without
 * privileges; unless the environment says RIDD_CORE=yes, for who looks for a bug: then it stays as
 * it was given. */
void cores_off(void);

#endif
