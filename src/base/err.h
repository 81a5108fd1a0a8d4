/* The path and the words of an error.
 *
 * For: functions that return 0 (done), < 0 (-errno: the environment failed, handed up unchanged and
 * never matched on) or > 0 (an outcome of the called function's own enum, handled by its caller and
 * never forwarded). err_origin() marks where a negative error is born, err_trace() each place it
 * passes; err_path() prints that path. err_text() keeps a sentence for the person: lower case, no
 * full stop, what failed first, the subject in quotes.
 * Not for: outcomes, whose words stand with their enum (base/outcome.h). An outcome that a caller
 * cannot handle goes through err_fold(), which turns it into -ENOTRECOVERABLE.
 * Ownership: path and sentence are kept per thread; what is returned is valid until the next call
 * on that thread that changes it.
 * Errors: none of its own; what is too long is cut.
 * Thread: any; each sees its own.
 * Source: the way of dbus-broker's error.c.
 * Obvious: units. */
#ifndef RIDD_BASE_ERR_H
#define RIDD_BASE_ERR_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>

int err_note(int error, const char *file, int line, const char *func, int is_origin);

#define err_origin(rc) err_note((rc), __FILE__, __LINE__, __func__, 1)
#define err_trace(rc)  err_note((rc), __FILE__, __LINE__, __func__, 0)
#define err_fold(rc)   err_fold_at((rc), __FILE__, __LINE__, __func__)

static inline int err_fold_at(int rc, const char *file, int line, const char *func)
{
    return rc > 0 ? err_note(-131 /* ENOTRECOVERABLE */, file, line, func, 1)
                  : err_note(rc, file, line, func, 0);
}

/* Remembers a sentence for this thread and returns error, so that
 * `return err_origin(err_say(-EIO, "..."));` reads well. */
int err_say(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* -errno, born here, with the sentence "cannot WHAT 'NAME': why". */
#define err_origin_errno(what, name) err_origin(err_say_errno((what), (name)))
int err_say_errno(const char *what, const char *name);
/* The sentence last remembered on this thread, or "" when there is none. Valid until the next
 * err_say(). */
const char *err_text(void);
/* The same, but only when it was said for this very error: who reports a failure that may have come
 * without words must not print those of an older one. */
const char *err_text_for(int error);
/* "store.c:12 < main.c:40": origin first. Valid until the next err_* call on this thread. */
const char *err_path(void);
/* The same, but only when this very error went that way last. */
const char *err_path_for(int error);
void err_reset(void);

/* No room: a state that ends by itself, and no failure. A disk quota that is used up is a full
 * disk, too. */
static inline bool err_is_full(int rc)
{
    return rc == -ENOSPC || rc == -EDQUOT;
}

/* An analyser that sees one file at a time must know that these return what they are given, or it
 * takes a failure for a success. */
#ifdef __clang_analyzer__
#define err_note(error, ...) (error)
#define err_say(error, ...)  ((void)err_say(0, __VA_ARGS__), (error))
#endif

#endif
