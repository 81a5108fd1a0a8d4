/* Planted bugs. A rule of the program is only tested when breaking it makes a test fail: MUTANT(n)
 * in a condition marks the place where bug n breaks its rule, tests/mutants/LIST says what bug that
 * is, and `make mutants` compiles them one by one and sees which test finds each.
 *
 * In every other build MUTANT(n) is the constant 0, and nothing of it is left in the object file.
 */
#ifndef RIDD_BASE_MUTANT_H
#define RIDD_BASE_MUTANT_H

#ifdef RIDD_MUTANT
#define MUTANT(n) (RIDD_MUTANT == (n))
#else
#define MUTANT(n) 0
#endif

#endif
