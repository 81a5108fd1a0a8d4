/* A name server that hangs when a test wants: getaddrinfo() of the program, which is linked with
 * -Wl,--wrap=getaddrinfo. "hangs.test" is this host, once it is said; every other name is asked of
 * the real one. Any thread. */
#ifndef RIDD_UNIT_FAKE_NAMES_H
#define RIDD_UNIT_FAKE_NAMES_H

#include <stdbool.h>

/* It answers at first. No longer: whoever waits gets the answer now. */
void fake_names_hang(bool hang);
extern bool fake_moved;
/* Threads that wait in it. */
unsigned fake_names_hanging(void);
/* It answers again, and nobody is in it any more. */
void fake_names_end(void);

#endif
