/* What reads or writes many keys: `ls`, `scan`, `export`, `import`.
 *
 * pages.c goes through pages of keys; lines.c knows the lines of a file of keys; export.c makes
 * one, import.c brings it into a cluster. */
#ifndef RIDD_CTL_KEYS_INT_H
#define RIDD_CTL_KEYS_INT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/limits.h"
#include "client/ridd_async.h"
#include "ctl/ctl_int.h"

/* Below 0, 0 or above 0: the order in which the pages give them. Integers come behind strings. */
int key_compare(struct ridd_key a, struct ridd_key b);

/* ---- pages.c ---- */

/* What is asked for, and what the pages said so far. */
struct pages {
    struct ridd
        *client; /* borrowed; with RIDD_FLAG_MONOTONIC, for it to know which cluster it is */
    enum ridd_via via;
    const char *prefix; /* borrowed; NULL: none */
    struct ridd_key start, end;
    bool has_start, has_end;
    struct ridd_key after; /* the last key so far; of reply, or the caller's at first */
    bool has_after;
    bool int_keys;
    bool keys_only;
    unsigned limit; /* of all pages together; 0: none */

    uint64_t first_index; /* of the pages; 0: there was none yet */
    uint64_t last_index;
    uint64_t n_keys;
    uint64_t n_pages;
    bool linearizable;        /* all of them */
    bool more;                /* keys follow */
    struct ridd_reply *reply; /* owned: the last page, or the failure */
    const char *wrong;        /* why what came is no page; NULL: the reply says it */
};
/* The next page, in p->reply; its keys are behind all before, its state is not before that of the
 * last one. False: pages_report() says why. */
bool pages_next(struct pages *p);
/* Whether there is something to ask for. */
bool pages_go_on(const struct pages *p);
/* An exit code. first: nothing was printed yet, and a failure may be a document of its own. */
int pages_report(const struct ctl *ctl, const struct pages *p, bool first);
void pages_done(struct pages *p);
/* "1 key as of index 5", "7 keys as of index 5 to 9"; size at least 96. */
void pages_text(uint64_t n_keys, uint64_t first, uint64_t last, char *ret, size_t size);

/* ---- lines.c: a file of keys ---- */

/* The first line of a file is its header, the last one its trailer, and each between holds a key.
 */
enum line_kind { LINE_HEADER, LINE_KEY, LINE_TRAILER };

struct line {
    enum line_kind kind;
    json_t *json; /* owned: all of it */
    struct ridd_key key;
    const json_t *value; /* borrowed from json */
};
void line_done(struct line *line);

/* Reads lines, bounded, and judges whether they are a file of keys: a header, keys, a trailer that
 * says how many, and nothing behind it. */
struct lines {
    int fd;           /* borrowed */
    const char *name; /* borrowed: how the file is called */
    struct buf buf;
    size_t at;           /* of buf: lines already taken */
    bool end;            /* no more will come */
    uint64_t number;     /* of the line taken last, from 1 */
    uint64_t bytes;      /* up to behind it */
    uint64_t n_keys;     /* so many of them */
    uint32_t crc;        /* of all lines taken */
    uint32_t crc_before; /* the same without the last one */
    json_t *header;      /* owned; NULL: not there yet */
    bool has_trailer;
    char why[512]; /* what is wrong, with the line */
};
/* END: the trailer was there, and is right. NEED: lines_fill() first. WRONG: `why` says it. */
enum lines_outcome { LINES_KEY, LINES_END, LINES_NEED, LINES_WRONG };
void lines_begin(struct lines *l, int fd, const char *name);
enum lines_outcome lines_next(struct lines *l, struct line *ret);
/* One read(2). 0 or -errno. */
int lines_fill(struct lines *l);
/* lines_next() that waits. */
enum lines_outcome lines_read(struct lines *l, struct line *ret);
void lines_done(struct lines *l);

/* Text of a file's lines, without newline. 0 or -ENOMEM. */
struct header {
    const char *cluster; /* "": not known */
    const char *cluster_hash;
    const char *prefix; /* NULL: all keys */
    const char *via;
    uint64_t index; /* of the first page */
};
int lines_add_header(struct buf *buf, const struct header *h);
int lines_add_key(struct buf *buf, const struct ridd_item *item);
int lines_add_trailer(struct buf *buf, uint64_t n_keys, uint32_t crc, const struct pages *p);
/* A header says the same, its index aside. */
bool lines_header_is(const json_t *header, const struct header *h);

/* ---- both ---- */

/* Which cluster answers. */
struct keys_cluster {
    char name[NODE_NAME_BYTES_MAX + 1]; /* "": not said */
    char hash[RIDD_CLUSTER_SIZE];
    char endpoint[RIDD_ENDPOINT_SIZE]; /* who said so */
};
/* Which one `client` reaches. An exit code; on failure it has been reported. */
int keys_ask_cluster(const struct ctl *ctl, struct ridd *client, struct keys_cluster *ret);
/* Finds the cluster, impatiently, and then gives a client that is patient. An exit code; on failure
 * it has been reported. */
int keys_open(struct ctl *ctl, unsigned flags, struct keys_cluster *ret_cluster,
              struct ridd **ret_client);

#endif
