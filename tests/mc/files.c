/* The search on disk: what is not needed soon is not in memory, and what was interrupted goes on.
 *
 *   links       24 bytes a state, in the order in which they were found: fingerprint, number of the state before, action
 *   level-0/1   whole states of this level and of the next, each behind its length
 *   pools       entries, messages, logs and nodes by number
 *   checkpoint  how much of each of these counts, and where the search stood
 *
 * A checkpoint is written beside the old one and takes its name. What the files hold beyond it is cut off when the search
 * goes on. Without a folder links and levels are files without a name, and there is no checkpoint. */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "mc/search.h"

#include "base/banned.h"

#define LINK_BYTES       24u
#define CHECKPOINT_EVERY 300.0 /* seconds */
#define N_POOLS          4u

extern struct mc_pool mc_entry_pool, mc_msg_pool, mc_log_pool, mc_cell_pool;
static struct mc_pool *const pools[N_POOLS] = {&mc_entry_pool, &mc_msg_pool, &mc_log_pool,
                                               &mc_cell_pool};
static FILE *pool_files[N_POOLS];
static uint32_t n_written[N_POOLS]; /* of each pool */

static void die(const char *what, const char *name)
{
    fprintf(stderr, "mc: cannot %s '%s': %s\n", what, name, strerror(errno));
    exit(74);
}

static FILE *open_file(const struct mc_search *s, const char *name, bool keep)
{
    char path[512];
    FILE *f;

    if (s->options.folder == NULL) {
        f = tmpfile();
        if (f == NULL)
            die("make a file in", "TMPDIR");
        return f;
    }
    (void)snprintf(path, sizeof(path), "%s/%s", s->options.folder, name);
    f = fopen(path, keep ? "r+" : "w+");
    if (f == NULL)
        die("open", path);
    return f;
}

static const char *level_name(unsigned which)
{
    return which == 0 ? "level-0" : "level-1";
}

static void write_all(FILE *f, const void *bytes, size_t len)
{
    if (fwrite(bytes, 1, len, f) != len)
        die("write", "a file of the search");
}

static void read_all(FILE *f, void *bytes, size_t len)
{
    if (fread(bytes, 1, len, f) != len) {
        errno = errno != 0 ? errno : EIO;
        die("read", "a file of the search");
    }
}

/* ---- states ---- */

void mc_files_add(struct mc_search *s, struct mc_print print, uint64_t parent, uint32_t action,
                  const unsigned char *record, size_t len)
{
    const uint16_t len16 = (uint16_t)len;
    const uint32_t parent32 = (uint32_t)parent;

    rid_assert(parent <= UINT32_MAX);
    write_all(s->links, &print, sizeof(print));
    write_all(s->links, &parent32, sizeof(parent32));
    write_all(s->links, &action, sizeof(action));
    write_all(s->next, &len16, sizeof(len16));
    write_all(s->next, record, len);
}

size_t mc_files_next(struct mc_search *s, unsigned char record[MC_RECORD_MAX])
{
    uint16_t len;

    read_all(s->level, &len, sizeof(len));
    rid_assert(len <= MC_RECORD_MAX);
    read_all(s->level, record, len);
    return len;
}

void mc_files_turn(struct mc_search *s)
{
    FILE *old = s->level;

    s->level = s->next;
    s->next = old;
    s->which = 1 - s->which;
    rewind(s->level);
    rewind(s->next);
    if (fflush(s->next) != 0 || ftruncate(fileno(s->next), 0) != 0)
        die("empty", level_name(1 - s->which));
}

uint64_t mc_files_parent(struct mc_search *s, uint64_t state, uint32_t *ret_action)
{
    uint32_t parent;

    if (fseeko(s->links, (off_t)(state * LINK_BYTES + sizeof(struct mc_print)), SEEK_SET) != 0)
        die("seek in", "links");
    read_all(s->links, &parent, sizeof(parent));
    read_all(s->links, ret_action, sizeof(*ret_action));
    return parent;
}

/* ---- pools ---- */

static void write_pools(void)
{
    for (unsigned i = 0; i < N_POOLS; i++) {
        for (; n_written[i] < pools[i]->n; n_written[i]++) {
            size_t len;
            const unsigned char *bytes = mc_pool_get(pools[i], n_written[i], &len);
            const uint16_t len16 = (uint16_t)len;

            write_all(pool_files[i], &len16, sizeof(len16));
            write_all(pool_files[i], bytes, len);
        }
        if (fflush(pool_files[i]) != 0)
            die("write", pools[i]->name);
    }
}

static void read_pools(const uint32_t n[N_POOLS])
{
    unsigned char bytes[UINT16_MAX];

    for (unsigned i = 0; i < N_POOLS; i++) {
        /* What was made by the beginning of this run has its number there, too. */
        for (n_written[i] = 0; n_written[i] < n[i]; n_written[i]++) {
            uint16_t len;
            uint32_t number;

            read_all(pool_files[i], &len, sizeof(len));
            read_all(pool_files[i], bytes, len);
            number = mc_pool_put(pools[i], bytes, len);
            rid_assert(number == n_written[i]);
        }
        if (ftruncate(fileno(pool_files[i]), ftello(pool_files[i])) != 0)
            die("cut", pools[i]->name);
        (void)fseeko(pool_files[i], 0, SEEK_CUR);
    }
}

/* ---- checkpoints ---- */

struct checkpoint {
    char magic[8];
    char scope[512];
    uint64_t n_states;
    uint64_t n_transitions;
    uint64_t first;
    uint64_t n_level;
    uint64_t n_done;
    uint64_t n_next;
    uint64_t widest;
    uint64_t level_at;
    uint64_t next_bytes;
    uint32_t n_pool[N_POOLS];
    uint32_t first_term;
    uint32_t depth;
    uint32_t which;
    bool symmetry;
};

static void checkpoint_path(const struct mc_search *s, const char *name, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/%s", s->options.folder, name);
}

static void write_checkpoint(struct mc_search *s)
{
    struct checkpoint c;
    char path[512];
    char old[512];
    FILE *f;

    write_pools();
    if (fflush(s->links) != 0 || fflush(s->next) != 0)
        die("write", "a file of the search");
    memset(&c, 0, sizeof(c));
    memcpy(c.magic, "ridd-mc1", 8);
    mc_scope_say(&mc_scope, c.scope, sizeof(c.scope));
    c.n_states = s->n_states;
    c.n_transitions = s->n_transitions;
    c.first = s->first;
    c.n_level = s->n_level;
    c.n_done = s->n_done;
    c.n_next = s->n_next;
    c.widest = s->widest;
    c.level_at = (uint64_t)ftello(s->level);
    c.next_bytes = (uint64_t)ftello(s->next);
    memcpy(c.n_pool, n_written, sizeof(c.n_pool));
    c.first_term = mc_first_term;
    c.depth = s->depth;
    c.which = s->which;
    c.symmetry = s->options.symmetry;
    checkpoint_path(s, "checkpoint.new", path, sizeof(path));
    checkpoint_path(s, "checkpoint", old, sizeof(old));
    f = fopen(path, "w");
    if (f == NULL)
        die("open", path);
    write_all(f, &c, sizeof(c));
    if (fclose(f) != 0 || rename(path, old) != 0)
        die("write", old);
}

void mc_files_maybe_checkpoint(struct mc_search *s, bool now)
{
    struct timespec t;

    if (s->options.folder == NULL || s->violated)
        return;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    if (s->kept == 0)
        s->kept = (double)t.tv_sec;
    if (!now && (double)t.tv_sec - s->kept < CHECKPOINT_EVERY)
        return;
    write_checkpoint(s);
    s->kept = (double)t.tv_sec;
}

static bool read_checkpoint(const struct mc_search *s, struct checkpoint *c)
{
    char scope[512];
    char path[512];
    FILE *f;

    mc_scope_say(&mc_scope, scope, sizeof(scope));
    checkpoint_path(s, "checkpoint", path, sizeof(path));
    f = fopen(path, "r");
    if (f == NULL && errno == ENOENT)
        return false;
    if (f == NULL)
        die("open", path);
    read_all(f, c, sizeof(*c));
    (void)fclose(f);
    if (memcmp(c->magic, "ridd-mc1", 8) != 0 || strcmp(c->scope, scope) != 0 ||
        c->symmetry != s->options.symmetry) {
        fprintf(stderr, "mc: '%s' is of another scope, or of another version\n", path);
        exit(64);
    }
    return true;
}

static void cut(FILE *f, uint64_t bytes, const char *name)
{
    if (ftruncate(fileno(f), (off_t)bytes) != 0 || fseeko(f, (off_t)bytes, SEEK_SET) != 0)
        die("cut", name);
}

static void go_on(struct mc_search *s, const struct checkpoint *c)
{
    s->n_transitions = c->n_transitions;
    s->first = c->first;
    s->n_level = c->n_level;
    s->n_done = c->n_done;
    s->n_next = c->n_next;
    s->widest = c->widest;
    s->depth = c->depth;
    mc_first_term = c->first_term;
    read_pools(c->n_pool);
    mc_search_make_room(c->n_states);
    for (s->n_states = 0; s->n_states < c->n_states; s->n_states++) {
        struct mc_print print;

        read_all(s->links, &print, sizeof(print));
        if (fseeko(s->links, LINK_BYTES - sizeof(print), SEEK_CUR) != 0)
            die("seek in", "links");
        (void)mc_search_add(s, print);
    }
    cut(s->links, c->n_states * LINK_BYTES, "links");
    cut(s->next, c->next_bytes, level_name(1 - s->which));
    if (fseeko(s->level, (off_t)c->level_at, SEEK_SET) != 0)
        die("seek in", level_name(s->which));
}

void mc_files_open(struct mc_search *s)
{
    struct checkpoint c;
    bool keep = false;

    if (s->options.folder != NULL) {
        if (mkdir(s->options.folder, 0777) != 0 && errno != EEXIST)
            die("make", s->options.folder);
        keep = s->options.resume && read_checkpoint(s, &c);
    }
    s->which = keep ? c.which : 0;
    s->links = open_file(s, "links", keep);
    s->level = open_file(s, level_name(s->which), keep);
    s->next = open_file(s, level_name(1 - s->which), keep);
    for (unsigned i = 0; s->options.folder != NULL && i < N_POOLS; i++) {
        pool_files[i] = open_file(s, pools[i]->name, keep);
        n_written[i] = 0;
    }
    if (keep)
        go_on(s, &c);
}

void mc_files_close(struct mc_search *s)
{
    (void)fclose(s->links);
    (void)fclose(s->level);
    (void)fclose(s->next);
    for (unsigned i = 0; s->options.folder != NULL && i < N_POOLS; i++)
        (void)fclose(pool_files[i]);
    free(s->table);
    s->table = NULL;
}
