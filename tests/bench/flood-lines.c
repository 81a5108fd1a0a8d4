/* The lines of floods.c, each made once and sent as often as wanted. */
#include "bench/flood-lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/banned.h"

#define BIG_BYTES    500000u
#define DEPTH_OF_BIG 14u

static struct line line_new(size_t room)
{
    struct line l = {malloc(room + 256), 0};

    assert_non_null(l.data);
    return l;
}

static void add(struct line *l, const char *text)
{
    size_t len = strlen(text);

    memcpy(l->data + l->len, text, len + 1);
    l->len += len;
}

static struct line line_of(const char *text)
{
    struct line l = line_new(strlen(text));

    add(&l, text);
    add(&l, "\n");
    return l;
}

/* An array nested DEPTH_OF_BIG deep around 500 KB of small numbers. */
static void add_deep(struct line *l, const char *last)
{
    for (unsigned i = 0; i < DEPTH_OF_BIG; i++)
        add(l, "[");
    for (unsigned i = 0; i < BIG_BYTES / 2; i++)
        add(l, "1,");
    add(l, last);
    for (unsigned i = 0; i < DEPTH_OF_BIG; i++)
        add(l, "]");
}

static struct line line_write_text(const char *key, size_t bytes)
{
    struct line l = line_new(bytes);

    add(&l, "{\"type\":\"write\",\"key\":\"");
    add(&l, key);
    add(&l, "\",\"value\":\"");
    memset(l.data + l.len, 'v', bytes);
    l.len += bytes;
    add(&l, "\"}\n");
    return l;
}

static struct line line_write_deep(const char *key)
{
    struct line l = line_new(BIG_BYTES + 100);

    add(&l, "{\"type\":\"write\",\"key\":\"");
    add(&l, key);
    add(&l, "\",\"value\":");
    add_deep(&l, "2");
    add(&l, "}\n");
    return l;
}

struct line line_write_value(const char *key)
{
    return strcmp(key, "deep") == 0 ? line_write_deep(key) : line_write_text(key, BIG_BYTES);
}

/* 255 Ki integers on each side; both are as long as a value may be. */
static struct line line_cas_numbers(void)
{
    struct line l = line_new(4 * 255u * 1024u);

    add(&l, "{\"type\":\"cas\",\"key\":\"numbers\",\"from\":[");
    for (unsigned i = 0; i < 255u * 1024u - 1; i++)
        add(&l, "1,");
    add(&l, "1],\"to\":[");
    for (unsigned i = 0; i < 255u * 1024u - 1; i++)
        add(&l, "1,");
    add(&l, "2]}\n");
    return l;
}

static struct line line_batch(const char *key)
{
    struct line l = line_new(BIG_BYTES);

    add(&l, "{\"type\":\"batch_read_index\",\"keys\":[");
    for (unsigned i = 0; i < 128; i++) {
        add(&l, i == 0 ? "\"" : ",\"");
        add(&l, key);
        add(&l, "\"");
    }
    add(&l, "]}\n");
    return l;
}

static struct line line_ping_arrays(void)
{
    struct line l = line_new(1u << 20);

    add(&l, "{\"type\":\"ping\",\"x\":[");
    while (l.len < (1u << 20) - 32)
        add(&l, "[],");
    add(&l, "[]]}\n");
    return l;
}

/* ---- one kind of flood ---- */

struct line line_read_small(void)
{
    return line_of("{\"type\":\"read_index\",\"key\":\"good\"}");
}
static struct line line_batch_small(void)
{
    return line_batch("good");
}
static struct line line_cas_small(void)
{
    return line_of("{\"type\":\"cas\",\"key\":\"good\",\"from\":\"no\",\"to\":1}");
}
static struct line line_write_small(void)
{
    return line_write_text("other", 16);
}
static struct line line_ping_small(void)
{
    return line_of("{\"type\":\"ping\"}");
}
static struct line line_read_big(void)
{
    return line_of("{\"type\":\"read_index\",\"key\":\"big\"}");
}
static struct line line_batch_big(void)
{
    return line_batch("big");
}
static struct line line_cas_deep(void)
{
    return line_of("{\"type\":\"cas\",\"key\":\"deep\",\"from\":[[1]],\"to\":1}");
}
static struct line line_cas_big(void)
{
    return line_of("{\"type\":\"cas\",\"key\":\"big\",\"from\":\"no\",\"to\":1}");
}
static struct line line_write_400(void)
{
    return line_write_text("other", 400000);
}
static struct line line_status(void)
{
    return line_of("{\"type\":\"status\"}");
}
static struct line line_garbage(void)
{
    return line_of("{\"type\":\"read_index\",\"key\":");
}

const struct flood floods[] = {
    {"unread_reads", 100, 128, true, false, line_read_big, NULL, "big"},
    {"deep_cas", 4, 128, false, false, line_cas_deep, line_cas_small, "deep"},
    {"big_cas", 8, 1, false, false, line_cas_numbers, line_cas_small, NULL},
    {"cas_on_big", 1, 128, false, false, line_cas_big, line_cas_small, "big"},
    {"batch_of_big", 1, 128, false, false, line_batch_big, line_batch_small, "big"},
    {"big_writes", 64, 2, false, false, line_write_400, line_write_small, NULL},
    {"big_pings", 1, 8, false, false, line_ping_arrays, line_ping_small, NULL},
    {"big_pings_of_four", 4, 8, false, false, line_ping_arrays, line_ping_small, NULL},
    {"status", 1, 128, false, false, line_status, line_ping_small, NULL},
    {"rubbish", 8, 128, false, false, line_garbage, line_ping_small, NULL},
    {"waiting_writes", 100, 128, true, true, line_write_400, NULL, NULL},
};

const size_t n_floods = sizeof(floods) / sizeof(floods[0]);
