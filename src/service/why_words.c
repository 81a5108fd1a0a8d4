/* What was slow, in words. What is not known is not said: no word here names a cause that
 * replica_explain() did not find. */
#include <stdarg.h>
#include <stdio.h>

#include "service/service_int.h"

#include "base/banned.h"

#define NUMBER_BUF 32

/* A sentence, which may be cut at its end. */
struct text {
    char *buf;
    size_t size;
    size_t len;
};

static void say(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct text *t, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(t->buf + t->len, t->size - t->len, format, ap);
    va_end(ap);
    if (n > 0)
        t->len += (size_t)n < t->size - t->len ? (size_t)n : t->size - t->len - 1;
}

/* "41 ms", "12.3 s". */
static const char *time_text(char buf[NUMBER_BUF], uint64_t us)
{
    if (us / 1000000 < 10)
        (void)snprintf(buf, NUMBER_BUF, "%llu ms", (unsigned long long)(us + 500) / 1000);
    else
        (void)snprintf(buf, NUMBER_BUF, "%llu.%llu s", (unsigned long long)us / 1000000,
                       (unsigned long long)us / 100000 % 10);
    return buf;
}

/* "a 2 MB batch", "31 entries". */
static const char *batch_text(char *buf, size_t size, const struct replica_why *why)
{
    if (why->bytes >= 1u << 20)
        (void)snprintf(buf, size, "a %llu MB batch",
                       (unsigned long long)(why->bytes + (1u << 19)) >> 20);
    else if (why->bytes >= 64u << 10)
        (void)snprintf(buf, size, "a %llu kB batch", (unsigned long long)why->bytes >> 10);
    else
        (void)snprintf(buf, size, "%llu entr%s", (unsigned long long)why->n,
                       why->n == 1 ? "y" : "ies");
    return buf;
}

static const char *name_of(const struct service *s, raft_node_id id)
{
    const char *name = service_name_of(s, id);

    return name != NULL ? name : "a node that left";
}

/* "; n3 not heard for 800 ms, n4 never heard" */
static void say_silent(const struct service *s, const struct replica_why *why, struct text *t)
{
    for (unsigned i = 0; i < why->n_silent; i++) {
        char text[NUMBER_BUF];

        say(t, "%s%s ", i == 0 ? "; " : ", ", name_of(s, why->silent[i].id));
        if (why->silent[i].us == 0)
            say(t, "never heard");
        else
            say(t, "not heard for %s", time_text(text, why->silent[i].us));
    }
}

static void applying_words(const struct service_slow_op *op, const struct replica_why *why,
                           struct text *t)
{
    char text[NUMBER_BUF];
    char batch[64];

    (void)time_text(text, why->us);
    if (op->stage == SERVICE_STAGE_QUORUM && why->n == 0)
        say(t, "the commit waited %s behind what was being applied", text);
    else if (op->stage == SERVICE_STAGE_APPLY)
        say(t, "apply waited %s behind %s", text, batch_text(batch, sizeof(batch), why));
    else
        say(t, "the loop was held for %s by applying %s", text,
            batch_text(batch, sizeof(batch), why));
}

static void peers_words(const struct service *s, const struct replica_why *why, struct text *t)
{
    char text[NUMBER_BUF];

    (void)time_text(text, why->us);
    if (why->kind == REPLICA_WHY_SILENT && why->peer != 0) {
        say(t, "waited for %u of %u nodes; %s not heard for %s", why->needed, why->voters,
            name_of(s, why->peer), text);
        return;
    }
    if (why->kind == REPLICA_WHY_ROUNDS)
        say(t, "waited %s until the rounds before it were answered", text);
    else
        say(t, "waited %s for %u of %u nodes", text, why->needed, why->voters);
    if (why->kind == REPLICA_WHY_PEERS_DISKS)
        say(t, " to store it, which are heard");
    if (why->kind == REPLICA_WHY_PEERS && why->peer != 0)
        say(t, "; %s answered last", name_of(s, why->peer));
    say_silent(s, why, t);
}

static void words(const struct service *s, const struct service_slow_op *op,
                  const struct replica_why *why, struct text *t)
{
    const char *stage = service_stage_name(op->stage);
    char text[NUMBER_BUF];

    (void)time_text(text, why->us);
    switch (why->kind) {
    case REPLICA_WHY_UNKNOWN:
        say(t, "%s took %s; nothing that is known held it up", stage,
            time_text(text, op->us[op->stage]));
        break;
    case REPLICA_WHY_APPLYING:
        applying_words(op, why, t);
        break;
    case REPLICA_WHY_LOOP:
        say(t, "the loop was held for %s by other work", text);
        break;
    case REPLICA_WHY_STOOD:
        say(t, "this process did not run for %s", text);
        break;
    case REPLICA_WHY_OWN_DISK:
        say(t, "own disk: fsync %s", text);
        break;
    case REPLICA_WHY_PEER_DISK:
        say(t, "%s's disk: fsync %s", name_of(s, why->peer), text);
        break;
    case REPLICA_WHY_PEERS_DISKS:
    case REPLICA_WHY_SILENT:
    case REPLICA_WHY_PEERS:
    case REPLICA_WHY_ROUNDS:
        peers_words(s, why, t);
        break;
    case REPLICA_WHY_NO_LEADER:
        say(t, "%s: no leader for %s", stage, text);
        break;
    case REPLICA_WHY_GATE:
        say(t, "%s: promises to the leader before ran for %s", stage, text);
        break;
    case REPLICA_WHY_TRANSFER:
        say(t, "%s: the leadership was being handed over for %s", stage, text);
        break;
    case REPLICA_WHY_LOST:
        say(t, "%s: this node lost the leadership after %s", stage, text);
        break;
    case REPLICA_WHY_PARKED:
        say(t, "%s: the state had no room for %s", stage, text);
        break;
    case REPLICA_WHY_REBUILDING:
        say(t, "%s: the state was being made again for %s", stage, text);
        break;
    case REPLICA_WHY_LEADER:
        say(t, "%s, the leader, answered after %s", name_of(s, why->peer), text);
        break;
    case REPLICA_WHY_ENTRIES:
        say(t, "waited %s for entries, or word of their commit, from %s", text,
            name_of(s, why->peer));
        break;
    }
}

void service_why_words(const struct service *s, struct service_slow_op *op,
                       const struct replica_why *why, uint64_t room_us)
{
    struct text t = {op->why, sizeof(op->why), 0};
    raft_node_id peer;
    char text[NUMBER_BUF];

    if (why == NULL) {
        say(&t, "many were slow at once, and this one was not looked into");
        return;
    }
    peer = why->peer;
    if (why->kind == REPLICA_WHY_UNKNOWN && room_us > 0 &&
        room_us >= op->us[SERVICE_STAGE_EXECUTE] / 2) {
        say(&t, "the client did not read its replies for %s", time_text(text, room_us));
        return;
    }
    words(s, op, why, &t);
    if (peer == 0 && why->kind == REPLICA_WHY_SILENT && why->n_silent == 1)
        peer = why->silent[0].id;
    if (peer != 0)
        (void)snprintf(op->peer, sizeof(op->peer), "%s", name_of(s, peer));
}
