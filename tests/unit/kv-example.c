#include "unit/kv-example.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "kv/page_int.h"

const char *const kind_names[] = {"head", "branch", "leaf", "overflow", "list of free pages",
                                  "free"};

void name_of(unsigned i, char name[NAME_BYTES + 1])
{
    const size_t len = i % 5 == 0 ? 4 + i % 90 : NAME_BYTES;

    memset(name, 'a' + (int)(i % 13), NAME_BYTES);
    (void)snprintf(name, NAME_BYTES + 1, "%03u", i * 7919 % N_NAMES);
    name[3] = '-';
    name[len] = '\0';
}

static char *value_of(struct prng *p, size_t len)
{
    char *text = malloc(len + 3);

    assert_non_null(text);
    text[0] = '"';
    for (size_t i = 1; i <= len; i++)
        text[i] = (char)('a' + prng_below(p, 26));
    text[len + 1] = '"';
    text[len + 2] = '\0';
    return text;
}

static size_t some_length(struct prng *p)
{
    switch (prng_below(p, 16)) {
    case 0:
        return 3000 + (size_t)prng_below(p, 3000);
    case 1:
        return 9000 + (size_t)prng_below(p, 20000);
    default:
        return (size_t)prng_below(p, 200);
    }
}

void change(struct fixture *f, struct example *x, struct prng *p, raft_index *index, unsigned i,
            bool removes)
{
    struct command_result result;
    char name[NAME_BYTES + 1];
    struct wire_key key;
    struct command c;

    name_of(i, name);
    key = string_key(name);
    free(x->values[i]);
    x->values[i] = removes ? NULL : value_of(p, some_length(p));
    if (removes)
        c = (struct command){.op = COMMAND_DELETE, .key = key_slice(&key)};
    else
        c = command_write(key_slice(&key), x->values[i]);
    assert_int_equal(apply_command(f, index, &c, &result), 0);
    x->modified[i] = *index;
}

/* Several levels, long values, many free pages. */
void make_example(struct fixture *f, struct example *x, uint64_t seed)
{
    raft_index index = 0;
    struct prng p;

    prng_init(&p, seed);
    memset(x, 0, sizeof(*x));
    skip_fsync = true;
    kv_up(f);
    for (unsigned round = 0; round < 60; round++) {
        assert_int_equal(kv_begin(f->kv), 0);
        for (unsigned i = 0; i < 50; i++)
            change(f, x, &p, &index, (unsigned)prng_below(&p, N_NAMES),
                   round > 20 && prng_below(&p, 3) == 0);
        assert_int_equal(kv_commit(f->kv), 0);
    }
    assert_int_equal(kv_get_stats(f->kv, &x->stats), 0);
    kv_down(f, true);
    x->len = (size_t)size_of(f, "data.mdb");
    x->data = malloc(x->len);
    assert_non_null(x->data);
    assert_int_equal(slurp(f, "data.mdb", x->data, x->len), x->len);
    x->clean_len = slurp(f, "CLEAN", x->clean, sizeof(x->clean));
}

void open_example(struct fixture *f, struct example *x, struct prng *p, uint64_t seed)
{
    wipe(f->dir);
    make_example(f, x, seed);
    prng_init(p, seed);
    kv_up(f);
}

void free_example(struct example *x)
{
    free(x->data);
    for (unsigned i = 0; i < N_NAMES; i++)
        free(x->values[i]);
}

void restore(struct fixture *f, const struct example *x)
{
    spill(f, "data.mdb", x->data, x->len);
    spill(f, "CLEAN", x->clean, x->clean_len);
}

/* All keys, those that are there and those that are not, read as before. */
bool reads_the_same(struct fixture *f, const struct example *x)
{
    struct raft_entry_id id;
    struct kv_stats stats;
    bool same = true;

    assert_int_equal(kv_get_stats(f->kv, &stats), 0);
    if (memcmp(&stats.digest, &x->stats.digest, sizeof(stats.digest)) != 0 ||
        stats.n_keys != x->stats.n_keys || stats.digest_index != x->stats.digest_index ||
        kv_last_applied(f->kv).index != x->stats.digest_index)
        return false;
    if (kv_read_begin(f->kv, &id) != 0)
        return false;
    for (unsigned i = 0; same && i < N_NAMES; i++) {
        const char *expected = x->values[i];
        char name[NAME_BYTES + 1];
        struct command_value v;
        struct wire_key key;

        name_of(i, name);
        key = string_key(name);
        same = kv_get(f->kv, key_slice(&key), &v) == 0 && v.exists == (expected != NULL);
        if (same && expected != NULL)
            same = v.text.len == strlen(expected) && v.modify_index == x->modified[i] &&
                   memcmp(v.text.data, expected, v.text.len) == 0;
    }
    kv_read_end(f->kv);
    return same;
}

void some_changes(struct fixture *f, struct example *x, struct prng *p)
{
    const unsigned n = 1 + (unsigned)prng_below(p, 30);
    const unsigned from = (unsigned)prng_below(p, N_NAMES);
    const bool is_run = prng_below(p, 3) == 0; /* whole leaves come and go */
    const bool removes = prng_below(p, 2) == 0;
    raft_index index = kv_last_applied(f->kv).index;

    assert_int_equal(kv_begin(f->kv), 0);
    for (unsigned i = 0; i < n; i++) {
        if (is_run)
            change(f, x, p, &index, (from + i * 13) % N_NAMES, removes);
        else
            change(f, x, p, &index, (unsigned)prng_below(p, N_NAMES), prng_below(p, 3) == 0);
    }
    assert_int_equal(kv_commit(f->kv), 0);
}

void flip_bit(struct fixture *f, size_t bit)
{
    unsigned char b;
    char path[5000];
    int fd;

    path_of(f, "data.mdb", path, sizeof(path));
    fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &b, 1, (off_t)(bit / 8)), 1);
    b ^= (unsigned char)(1u << (bit % 8));
    assert_int_equal(pwrite(fd, &b, 1, (off_t)(bit / 8)), 1);
    (void)close(fd);
}

int read_all(struct fixture *f, const struct example *x)
{
    struct raft_entry_id id;
    int found = READS_RIGHT;

    if (kv_read_begin(f->kv, &id) != 0)
        return READS_REFUSED;
    if (id.index != x->stats.digest_index)
        return READS_WRONG;
    for (unsigned i = 0; i < N_NAMES; i++) {
        const char *expected = x->values[i];
        char name[NAME_BYTES + 1];
        struct command_value v;
        struct wire_key key;

        name_of(i, name);
        key = string_key(name);
        if (kv_get(f->kv, key_slice(&key), &v) != 0)
            found = READS_REFUSED;
        else if (v.exists != (expected != NULL) ||
                 (v.exists && (v.text.len != strlen(expected) ||
                               memcmp(v.text.data, expected, v.text.len) != 0)))
            return READS_WRONG;
    }
    kv_read_end(f->kv);
    return found;
}

static void mark_tree(struct page_file *file, const struct page_tree *tree, struct map *map)
{
    struct page_cursor c = {0};
    struct page_item item;

    assert_int_equal(page_cursor_first(&c, file, tree), 0);
    for (;;) {
        assert_int_equal(page_cursor_next(&c, &item), 0);
        if (item.key.data == NULL)
            break;
        for (unsigned l = 0; l < tree->depth; l++)
            map->kind[c.levels[l].pgno] =
                tree->is_free_list ? FREE_LIST : (l + 1 < tree->depth ? BRANCH : LEAF);
        if (item.data == c.big) {
            uint64_t pgno = 0;

            for (uint64_t i = 2; i < file->n_pages; i++)
                if ((file->seen[i / 64] >> (i % 64) & 1) != 0 && map->kind[i] == FREE)
                    map->kind[pgno = i] = tree->is_free_list ? FREE_LIST : LONG;
        }
    }
    page_cursor_free(&c);
}

void make_map(struct fixture *f, struct map *map)
{
    uint64_t seen[1024] = {0};
    struct page_file file = {.name = "data.mdb", .seen = seen};
    struct page_head head;
    char path[5000];

    path_of(f, "data.mdb", path, sizeof(path));
    file.fd = open(path, O_RDONLY);
    assert_true(file.fd >= 0);
    assert_int_equal(page_read_head(&file, &head), 0);
    assert_int_equal(file.page_bytes, PAGE);
    assert_true(head.keys.depth >= 3);
    assert_true(head.keys.overflow_pages > 20);
    assert_true(head.free_list.entries > 1);
    map->n_pages = (unsigned)file.n_pages;
    assert_true(map->n_pages < sizeof(map->kind));
    memset(map->kind, FREE, sizeof(map->kind));
    map->kind[0] = map->kind[1] = HEAD;
    mark_tree(&file, &head.keys, map);
    mark_tree(&file, &head.free_list, map);
    (void)close(file.fd);
}

size_t some_bit(struct prng *p, const struct map *map, enum kind kind)
{
    size_t page;
    size_t at;

    do
        page = (size_t)prng_below(p, map->n_pages);
    while (map->kind[page] != kind);
    /* Half of them where pages are described, not filled. */
    at = (size_t)prng_below(p, prng_below(p, 2) == 0 ? 64 : PAGE);
    return (page * PAGE + at) * 8 + (size_t)prng_below(p, 8);
}

/* One node of the list: its numbers lie in the page itself, or in pages of their own (of which
 * nothing is tried here). */
static void each_of_node(const struct map *map, const unsigned char *list, size_t list_at,
                         void (*fn)(void *ctx, size_t bit), void *ctx)
{
    const size_t n = (get_u16(list - 12) & 1) != 0 ? 0 : (size_t)get_u64(list);

    for (size_t k = 1; k <= n; k++)
        for (unsigned bit = 0; bit < 10; bit++) {
            const uint64_t to = get_u64(list + 8 * k) ^ (uint64_t)1 << bit;

            if (to < map->n_pages && to >= 2 && map->kind[to] != FREE &&
                (k == 1 || to < get_u64(list + 8 * (k - 1))) &&
                (k == n || to > get_u64(list + 8 * (k + 1))))
                fn(ctx, 8 * (list_at + 8 * k) + bit);
        }
}

void each_free_page_to_be_used(const struct example *x, const struct map *map,
                               void (*fn)(void *ctx, size_t bit), void *ctx)
{
    for (size_t page = 2; page < map->n_pages; page++) {
        const unsigned char *p = x->data + page * PAGE;

        if (map->kind[page] != FREE_LIST || get_u16(p + 10) != 2)
            continue;
        for (size_t i = 0; 16 + 2 * i < get_u16(p + 12); i++) {
            const size_t list = get_u16(p + 16 + 2 * i) + 16u; /* behind header and key */

            each_of_node(map, p + list, page * PAGE + list, fn, ctx);
        }
    }
}
