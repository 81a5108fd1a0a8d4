/* A lock with a fence, for a leader among programs. Who holds it renews it; who waits takes it over
 * when nothing changed for a while, measured by his own clock; each holder has a higher number than
 * all before it. A lock alone protects nothing, since its holder may be stopped for a minute and go
 * on: what it protects refuses lower numbers than it has seen. Here that is a key.
 *
 *     ./lock HOST:PORT,... NAME SECONDS     holds it so long, then gives it up */
#define _POSIX_C_SOURCE 200809L
#include <ridd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TTL_S 3

static time_t now_s(void)
{
    struct timespec t;

    return clock_gettime(CLOCK_MONOTONIC, &t) == 0 ? t.tv_sec : 0;
}

/* What stands there now, "" when nothing does. 0 when that cannot be known. */
static int look(struct ridd *client, const char *key, char text[256])
{
    struct ridd_reply *reply = ridd_linearizable_read(client, ridd_key(key));
    int known = reply->status == RIDD_OK;

    (void)snprintf(text, 256, "%s", known && reply->exists ? reply->value : "");
    ridd_reply_free(reply);
    return known;
}

/* From what was seen to what is wanted, or not at all. Of a write nobody may know whether it
 * happened: then it is looked for, which these texts allow, since none is written twice. */
static int change(struct ridd *client, const char *key, const char *from, const char *to)
{
    struct ridd_reply *reply = ridd_cas(client, ridd_key(key), from[0] != '\0' ? from : "null", to,
                                        from[0] == '\0');
    enum ridd_status status = reply->status;
    char now[256];

    ridd_reply_free(reply);
    return status == RIDD_OK || (status == RIDD_OUTCOME_UNKNOWN && look(client, key, now) &&
                                 strcmp(now, to) == 0);
}

/* {"fence":7,...}: 7 */
static long long fence_of(const char *text)
{
    return strncmp(text, "{\"fence\":", 9) == 0 ? atoll(text + 9) : 0;
}

/* The work: 0 when somebody with a higher number has been there. */
static int work(struct ridd *client, long long fence, const char *name, long beat)
{
    char seen[256], text[256];

    (void)snprintf(text, sizeof(text), "{\"fence\":%lld,\"by\":\"%s\",\"step\":%ld}", fence, name,
                   beat);
    return look(client, "examples/guarded", seen) && fence_of(seen) <= fence &&
           change(client, "examples/guarded", seen, text);
}

int main(int argc, char **argv)
{
    char seen[256] = "?", now[256], mine[256];
    const char *const form = "{\"fence\":%lld,\"holder\":\"%s\",\"beat\":%ld}";
    struct ridd *client;
    time_t since = 0;
    long long fence = 0;

    if (argc < 4 || strlen(argv[2]) > 64 || ridd_open(argv[1], NULL, &client) != RIDD_OK)
        return 64;
    for (;; sleep(1)) { /* until it is free, or was not renewed for its time */
        if (!look(client, "examples/lock", now))
            continue;
        since = strcmp(now, seen) == 0 ? since : now_s();
        memcpy(seen, now, sizeof(seen));
        fence = fence_of(now) + 1;
        (void)snprintf(mine, sizeof(mine), form, fence, argv[2], 0L);
        if ((now[0] == '\0' || strstr(now, "\"holder\":\"\"") || now_s() - since > TTL_S) &&
            change(client, "examples/lock", now, mine))
            break;
    }
    printf("%s holds the lock, fence %lld\n", argv[2], fence);
    fflush(stdout);
    for (long beat = 1; beat <= atol(argv[3]); beat++, sleep(1)) { /* the work, and renewing */
        memcpy(seen, mine, sizeof(seen));
        (void)snprintf(mine, sizeof(mine), form, fence, argv[2], beat);
        if (!work(client, fence, argv[2], beat) || !change(client, "examples/lock", seen, mine))
            return printf("%s lost the lock\n", argv[2]) < 0 ? 74 : 1; /* and stops at once */
    }
    (void)snprintf(now, sizeof(now), form, fence, "", 0L); /* free; the number is remembered */
    printf("%s gave it up: %s\n", argv[2], change(client, "examples/lock", mine, now) ? "yes" : "no");
    ridd_close(client);
    return 0;
}
