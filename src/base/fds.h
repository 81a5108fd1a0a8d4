/* Descriptors that a process is born with, or not.
 *
 * For: the first line of every main(): a standard descriptor that the parent closed is held by
 * /dev/null before anything else is opened. Otherwise the first files of ours get these numbers,
 * and what is meant for standard error goes into the lock file, or the log.
 * Not for: redirecting output: what was closed stays unusable. Standard input is opened for writing
 * and the others for reading, so that whoever uses them still gets EBADF.
 * Ownership: the process keeps them to its end.
 * Errors: none; without /dev/null it is as it was.
 * Thread: before there are others.
 * Obvious: units, source. */
#ifndef RIDD_BASE_FDS_H
#define RIDD_BASE_FDS_H

void fds_hold_standard(void);

#endif
