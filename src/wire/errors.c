/* Everything is looked up in the one table of errors.h. */
#include "wire/errors.h"

#include <stddef.h>
#include <string.h>

#include "base/banned.h"

struct error_row {
    const char *name;
    int code;
    bool definite;
    int code_after;
};

static const struct error_row rows[] = {[WIRE_ERROR_NONE] = {"none", -1, false, -1},
#define X(symbol, name, code, definite, code_after)                                                \
    [WIRE_ERROR_##symbol] = {name, code, definite, code_after},
                                        WIRE_ERRORS(X)
#undef X
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

/* Name, code and definiteness have no other place to come from (WIRE-6). */
static const struct error_row *row_of(enum wire_error error)
{
    return (size_t)error < N_ROWS ? &rows[error] : &rows[WIRE_ERROR_NONE];
}

const char *wire_error_name(enum wire_error error)
{
    return row_of(error)->name;
}

enum wire_error wire_error_from_name(const char *name)
{
    for (size_t i = WIRE_ERROR_NONE + 1; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (enum wire_error)i;
    return WIRE_ERROR_NONE;
}

int wire_error_code(enum wire_error error, bool after_append)
{
    return after_append ? row_of(error)->code_after : row_of(error)->code;
}

bool wire_error_definite(enum wire_error error, bool after_append)
{
    /* After append only what apply itself decided, on every node alike, is known for certain. */
    if (after_append)
        return error == WIRE_ERROR_KEY_NOT_FOUND || error == WIRE_ERROR_PRECONDITION_FAILED;
    return row_of(error)->definite;
}
