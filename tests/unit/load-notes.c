#include "unit/load-notes.h"

#include <stdio.h>
#include <stdlib.h>

struct notes notes;

static void copy(char *to, const char *text, size_t len)
{
    (void)snprintf(to, NOTE_TEXT_SIZE, "%.*s", (int)len, text != NULL ? text : "");
}

void load_answered(struct load_conn *conn, unsigned slot, const struct load_answer *answer)
{
    struct note *n = &notes.at[notes.n < NOTES_MAX ? notes.n++ : NOTES_MAX - 1];

    (void)conn;
    *n =
        (struct note){.slot = slot, .outcome = answer->outcome, .has_value = answer->value != NULL};
    copy(n->value, answer->value, answer->value_len);
    copy(n->error, answer->error, answer->error_len);
}

void load_item(struct load_conn *conn, unsigned slot, unsigned place, const char *value,
               size_t value_len)
{
    const unsigned last = NOTES_MAX * NOTE_ITEMS_MAX - 1;
    struct note_item *n = &notes.items[notes.n_items < last ? notes.n_items++ : last];

    (void)conn;
    *n = (struct note_item){.slot = slot, .place = place, .has_value = value != NULL};
    copy(n->value, value, value_len);
}

void notes_clear(void)
{
    notes = (struct notes){0};
}

long notes_feed(const struct load_protocol *p, void *state, const void *bytes, size_t len,
                size_t at_a_time, struct buf *out)
{
    cleanup_buf struct buf in = BUF_INIT;
    long taken = 0;

    for (size_t at = 0; at < len; at += at_a_time) {
        const size_t n = len - at < at_a_time ? len - at : at_a_time;

        if (buf_add(&in, (const char *)bytes + at, n) != 0)
            return -ENOMEM;
        /* A copy of exactly that length: who looks behind it is seen by the sanitizer. */
        unsigned char *exact = malloc(in.len);

        if (exact == NULL)
            return -ENOMEM;
        memcpy(exact, in.data, in.len);
        taken = p->receive(state, (struct load_conn *)&notes, exact, in.len, out);
        free(exact);
        if (taken < 0)
            return taken;
        buf_consume(&in, (size_t)taken);
    }
    return (long)in.len;
}
