/* A few words per thread: the sentence of the last failure and the places it passed. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* An analyser is given other ones (err.h). */
#ifdef __clang_analyzer__
#undef err_note
#undef err_say
#endif

static _Thread_local char text[512];
static _Thread_local int text_error; /* what the sentence was said for */
static _Thread_local char path[512];
static _Thread_local size_t path_len;
static _Thread_local int path_error; /* whose path it is */

_Static_assert(ENOTRECOVERABLE == 131, "err_fold() spells the number out");

int err_note(int error, const char *file, int line, const char *func, int is_origin)
{
    const char *slash = strrchr(file, '/');
    int n;

    (void)func;
    if (error == 0)
        return 0;
    if (is_origin)
        path_len = 0;
    path_error = error;
    if (path_len < sizeof(path) - 1) {
        n = snprintf(path + path_len, sizeof(path) - path_len, "%s%s:%d", path_len > 0 ? " < " : "",
                     slash != NULL ? slash + 1 : file, line);
        if (n > 0)
            path_len +=
                (size_t)n < sizeof(path) - path_len ? (size_t)n : sizeof(path) - path_len - 1;
    }
    return error;
}

int err_say(int error, const char *format, ...)
{
    char fresh[sizeof(text)]; /* the sentence before may be a part of this one */
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(fresh, sizeof(fresh), format, ap);
    va_end(ap);
    memcpy(text, fresh, sizeof(text));
    text_error = error;
    return error;
}

int err_say_errno(const char *what, const char *name)
{
    int error = errno;

    return err_say(-error, "cannot %s '%s': %s", what, name, strerror(error));
}

const char *err_text(void)
{
    return text;
}

const char *err_text_for(int error)
{
    return text_error == error ? text : "";
}

const char *err_path(void)
{
    return path_len > 0 ? path : "";
}

const char *err_path_for(int error)
{
    return path_error == error ? err_path() : "";
}

void err_reset(void)
{
    text[0] = '\0';
    path[0] = '\0';
    path_len = 0;
}
