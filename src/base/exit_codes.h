/* For: the exit codes of the programs that run a node, as ridd(8) and ridd-maelstrom(1) list them;
 * the numbers are those of sysexits(3).
 * Not for: ridctl, whose codes say what became of a request.
 * Obvious: units, ownership, errors, thread.
 * Source: sysexits.h, so that a supervisor can tell what another start can mend (74) from what a
 * person must look at (65, 78).
 */
#ifndef RIDD_BASE_EXIT_CODES_H
#define RIDD_BASE_EXIT_CODES_H

#define EXIT_USAGE_ERROR 64 /* the command line */
#define EXIT_DAMAGED     65 /* what is on the disk cannot be believed */
#define EXIT_IO_ERROR    74 /* the environment failed: disk, memory, a port in use */
#define EXIT_CONF_ERROR  78 /* configuration or identity */

#endif
