/* Outcomes of a function with their texts, so that number and words cannot drift apart.
 *
 * For: an enum of positive results, written once as a list and used twice:
 *
 *     #define DOOR_OUTCOMES(X)                    \
 *         X(DOOR_E_LOCKED, 1, "it is locked")     \
 *         X(DOOR_E_STUCK, 2, "it does not move")
 *     enum door_outcome { DOOR_OUTCOMES(OUTCOME_NUMBER) };
 *
 *     switch (rc) {
 *         DOOR_OUTCOMES(OUTCOME_CASE)
 *     }
 *
 * Not for: -errno (strerror() has their words), exit codes.
 *
 * Obvious: units, ownership, errors, thread, source. */
#ifndef RIDD_BASE_OUTCOME_H
#define RIDD_BASE_OUTCOME_H

#define OUTCOME_NUMBER(name, number, text) name = (number),
#define OUTCOME_CASE(name, number, text)                                                           \
    case name:                                                                                     \
        return text;

#endif
