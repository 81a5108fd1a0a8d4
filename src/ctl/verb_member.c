/* member: who belongs to the cluster, and changes of that.
 *
 * The leader does the work, and goes on with it when nobody waits any more; so what is asked here
 * is asked once, and then looked at until it is done. */
#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "ctl/ctl_int.h"

#include "base/banned.h"

DEFINE_CLEANUP(json, json_t *, json_decref);
#define cleanup_json CLEANUP(json)

static const struct member_verb {
    const char *word;
    const char *type; /* of the request; NULL: list */
    const char *usage;
    int n_args;       /* behind the word */
    const char *done; /* behind the name of the node */
    bool learner;     /* takes --learner */
} words[] = {
    {"list", NULL, "", 0, NULL, false},
    {"add", "member_add", " NAME PEER-ADDRESS CLIENT-ADDRESS", 3, "is a member", true},
    {"remove", "member_remove", " NAME", 1, "is removed", false},
    {"replace", "member_replace", " OLD NEW PEER-ADDRESS CLIENT-ADDRESS", 4, "has taken the place",
     false},
    {"set-addr", "member_set_addr", " NAME PEER-ADDRESS CLIENT-ADDRESS", 3, "has moved", false},
    {"promote", "member_promote", " NAME", 1, "is a voter", false},
    {"demote", "member_demote", " NAME", 1, "is a learner", false},
    {"rejoin", "member_rejoin", " NAME", 1, "is back", true},
};
#define N_WORDS (sizeof(words) / sizeof(words[0]))

const char *ctl_member_word(unsigned i)
{
    return i < N_WORDS ? words[i].word : NULL;
}

struct change {
    const struct member_verb *verb;
    const char *id;  /* whose place it is */
    const char *old; /* replace: who leaves; NULL: nobody */
    const char *peer;
    const char *client;
    uint64_t configuration; /* that was in force when it began */
    uint64_t least;         /* that of the leader when it was asked last: older ones say nothing */
    uint64_t task;          /* what the leader calls it; 0: no task of its own */
    bool was_so;            /* it is so already, says a node that may lead no more */
    bool leads;             /* a quorum has confirmed since that the one at endpoint does */
    char endpoint[RIDD_ENDPOINT_SIZE];
    uint64_t until_us; /* 0: as long as it takes */
    uint64_t idle_us;  /* since when nobody does anything for it; 0: somebody does */
    bool shown;        /* a line of progress stands on the terminal */
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static void catch_interrupt(void)
{
    struct sigaction sa = {.sa_handler = on_interrupt};

    (void)sigemptyset(&sa.sa_mask);
    (void)sigaction(SIGINT, &sa, NULL);
    (void)sigaction(SIGTERM, &sa, NULL);
}

static void pause_ms(unsigned ms)
{
    struct timespec pause = {.tv_nsec = (long)ms * 1000000};

    (void)nanosleep(&pause, NULL);
}

static const char *str(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s != NULL && s[0] != '\0' ? s : "-";
}

static uint64_t unsigned_of(const json_t *o, const char *name)
{
    const json_int_t v = json_integer_value(json_object_get(o, name));

    return v > 0 ? (uint64_t)v : 0;
}

/* ---- progress ---- */

static void clear_line(struct change *c)
{
    if (c->shown)
        (void)fprintf(stderr, "\r\033[K");
    c->shown = false;
}

static void show(struct change *c, const char *text)
{
    if (isatty(STDERR_FILENO) == 0)
        return;
    (void)fprintf(stderr, "\r\033[K%s: %s", c->id, text);
    (void)fflush(stderr);
    c->shown = true;
}

static void show_progress(struct change *c, const json_t *members)
{
    const json_t *changes = json_object_get(members, "changes");
    const json_t *task = json_object_get(members, "last_task");
    char text[160];

    for (size_t i = 0; i < json_array_size(changes); i++) {
        const json_t *one = json_array_get(changes, i);
        const json_t *behind = json_object_get(one, "behind_entries");

        if (strcmp(str(one, "id"), c->id) != 0)
            continue;
        if (behind != NULL)
            (void)snprintf(text, sizeof(text), "%s, %lld entries behind", str(one, "what"),
                           (long long)json_integer_value(behind));
        else
            (void)snprintf(text, sizeof(text), "%s", str(one, "what"));
        show(c, text);
        return;
    }
    if (task != NULL && strcmp(str(task, "id"), c->id) == 0)
        show(c, str(task, "state"));
}

/* ---- is it done? ---- */

static const json_t *member_of(const json_t *members, const char *id)
{
    const json_t *list = json_object_get(members, "members");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(str(json_array_get(list, i), "id"), id) == 0)
            return json_array_get(list, i);
    return NULL;
}

static bool has_role(const json_t *members, const char *id, const char *role)
{
    const json_t *m = member_of(members, id);

    return m != NULL && strcmp(str(m, "role"), role) == 0;
}

/* By a configuration behind that index. */
static bool was_removed(const json_t *members, const char *id, uint64_t index)
{
    const json_t *list = json_object_get(members, "removed");

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);

        if (strcmp(str(one, "id"), id) == 0 && unsigned_of(one, "index") > index)
            return true;
    }
    return false;
}

static bool is_changing(const json_t *members, const char *id)
{
    const json_t *list = json_object_get(members, "changes");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(str(json_array_get(list, i), "id"), id) == 0)
            return true;
    return false;
}

/* A follower that lags, or one that leads no more, would tell the end of something else
 * (MEMBER-24). */
static bool is_new_enough(const struct change *c, const json_t *members)
{
    return unsigned_of(members, "configuration_index") >= c->least;
}

static bool is_done(const struct ctl *ctl, const struct change *c, const json_t *members)
{
    const char *word = c->verb->word;
    const json_t *m = member_of(members, c->id);

    if (!json_is_true(json_object_get(members, "committed")) || !is_new_enough(c, members))
        return false;
    if (strcmp(word, "remove") == 0)
        return m == NULL;
    if (strcmp(word, "demote") == 0)
        return has_role(members, c->id, "learner");
    if (strcmp(word, "set-addr") == 0)
        return m != NULL && strcmp(str(m, "peer_addr"), c->peer) == 0;
    if (strcmp(word, "add") == 0 && ctl->learner)
        return has_role(members, c->id, "learner");
    if (strcmp(word, "replace") == 0)
        return has_role(members, c->id, "voter") && member_of(members, c->old) == NULL;
    /* What it was is gone, now or before it was asked for, and nothing is left to do with it. */
    if (strcmp(word, "rejoin") == 0)
        return m != NULL && (c->was_so || was_removed(members, c->id, c->configuration)) &&
               !is_changing(members, c->id);
    return has_role(members, c->id, "voter");
}

/* An entry is on its way, more is to come of one that is there, or the leader is about to make one.
 */
static bool is_under_way(const struct change *c, const json_t *members)
{
    const json_t *task = json_object_get(members, "last_task");
    const char *state = str(task, "state");

    if (!json_is_true(json_object_get(members, "committed")) || is_changing(members, c->id))
        return true;
    return strcmp(str(task, "id"), c->id) == 0 &&
           (strcmp(state, "asking") == 0 || strcmp(state, "naming") == 0 ||
            strcmp(state, "dialling") == 0 || strcmp(state, "adding") == 0);
}

/* A node remembers the last task that it was given, of long ago perhaps: it is ours by its number,
 * or was taken back by an entry behind the question (MEMBER-24). Earlier versions tell neither. */
static bool is_ours(const struct change *c, const json_t *task)
{
    if (json_object_get(task, "task") == NULL)
        return true;
    return (c->task != 0 && unsigned_of(task, "task") == c->task) ||
           unsigned_of(task, "taken_back") > c->least;
}

/* NULL: it goes on. */
static const char *why_failed(const struct change *c, const json_t *members)
{
    const json_t *task = json_object_get(members, "last_task");

    if (task == NULL || strcmp(str(task, "id"), c->id) != 0 ||
        strcmp(str(task, "state"), "failed") != 0 || !is_ours(c, task))
        return NULL;
    return str(task, "why");
}

/* ---- asking ---- */

/* The leader knows most; where it does not answer any more, any node. */
static json_t *ask_members(struct ridd *client, struct change *c)
{
    static const char question[] = "{\"type\":\"members\"}";
    struct ridd_reply *r = NULL;
    json_t *members = NULL;

    if (c->endpoint[0] != '\0')
        r = ridd_request_at(client, c->endpoint, question, RIDD_KIND_READ, CTL_ASK_MS);
    if (r == NULL || r->status != RIDD_OK) {
        ridd_reply_free(r);
        c->endpoint[0] = '\0';
        c->leads = false;
        r = ridd_request(client, question, RIDD_KIND_READ, 0);
    }
    if (r->status == RIDD_OK)
        members = json_loadb(r->json, r->json_len, 0, NULL);
    ridd_reply_free(r);
    return members;
}

static int leave_it(const struct ctl *ctl, struct change *c, const char *why)
{
    clear_line(c);
    return report(ctl, CTL_EXIT_AGAIN,
                  "%s; the cluster goes on with it by itself: 'ridctl member list' shows how far "
                  "it is",
                  why);
}

static int say_done(const struct ctl *ctl, struct change *c)
{
    clear_line(c);
    if (ctl->json)
        return CTL_EXIT_OK;
    (void)printf("%s %s", c->id, c->verb->done);
    if (c->old != NULL)
        (void)printf(" of %s", c->old);
    (void)printf("\n");
    return CTL_EXIT_OK;
}

static char *question_of(const struct ctl *ctl, const struct change *c)
{
    cleanup_json json_t *q = json_object();
    char *text;

    (void)json_object_set_new(q, "type", json_string(c->verb->type));
    (void)json_object_set_new(q, "id", json_string(c->id));
    if (c->old != NULL)
        (void)json_object_set_new(q, "old", json_string(c->old));
    if (c->peer != NULL) {
        (void)json_object_set_new(q, "peer_addr", json_string(c->peer));
        (void)json_object_set_new(q, "client_addr", json_string(c->client));
    }
    if (ctl->learner)
        (void)json_object_set_new(q, "learner", json_true());
    if (ctl->dry_run)
        (void)json_object_set_new(q, "dry_run", json_true());
    if (ctl->force)
        (void)json_object_set_new(q, "force", json_true());
    /* Asked once more, when it may be done: then it is not done again. */
    if (c->configuration != 0 && strcmp(c->verb->word, "rejoin") == 0)
        (void)json_object_set_new(q, "based_on", json_integer((json_int_t)c->configuration));
    text = json_dumps(q, JSON_COMPACT);
    return text;
}

static void note_answer(struct change *c, const struct ridd_reply *r, const json_t *reply)
{
    (void)snprintf(c->endpoint, sizeof(c->endpoint), "%s", r->endpoint);
    c->least = unsigned_of(reply, "configuration_index");
    c->task = unsigned_of(reply, "task");
    c->was_so = json_is_true(json_object_get(reply, "done"));
    c->leads = false;
}

/* "Ask again" is said while the leader hands over or another change is on its way. */
static struct ridd_reply *ask(const struct ctl *ctl, struct ridd *client, struct change *c)
{
    const uint64_t until_us =
        c->until_us != 0 ? c->until_us : clock_mono_us() + MEMBER_BUSY_MS * UINT64_C(1000);
    char *question = question_of(ctl, c);
    struct ridd_reply *r = NULL;

    while (question != NULL) {
        r = ridd_request(client, question, RIDD_KIND_ONCE, 0);
        if (r->status != RIDD_BUSY || clock_mono_us() >= until_us || interrupted != 0)
            break;
        show(c, r->text);
        ridd_reply_free(r);
        r = NULL;
        pause_ms(CTL_PROGRESS_EVERY_MS);
    }
    free(question);
    return r;
}

/* What had not entered the log, or was not committed, went with the leader that was asked: nobody
 * goes on with that. A node that lags may not know yet, so that it is looked at for a while. */
static bool is_forgotten(struct change *c, const json_t *members)
{
    const uint64_t now_us = clock_mono_us();

    if (is_under_way(c, members))
        c->idle_us = 0;
    else if (c->idle_us == 0)
        c->idle_us = now_us;
    return c->idle_us != 0 && now_us - c->idle_us > CTL_MEMBER_IDLE_MS * UINT64_C(1000);
}

/* What is so already is said to be (MEMBER-3). */
static int ask_again(const struct ctl *ctl, struct ridd *client, struct change *c)
{
    struct ridd_reply *r = ask(ctl, client, c);
    int exit_code = CTL_EXIT_OK;

    c->idle_us = 0;
    if (r == NULL)
        return report_no_memory(ctl);
    if (r->status == RIDD_OK) {
        cleanup_json json_t *reply = json_loadb(r->json, r->json_len, 0, NULL);

        note_answer(c, r, reply);
    } else if (r->status == RIDD_PRECONDITION_FAILED) {
        clear_line(c);
        exit_code = report_failure(ctl, r, c->id);
    }
    ridd_reply_free(r);
    return exit_code;
}

/* Nothing was appended for it, so nobody has said yet that the node that was asked still leads. A
 * read does: a quorum confirmed whoever answered, and what that one shows then is not older. False:
 * not yet. */
static bool was_confirmed(struct ridd *client, struct change *c)
{
    static const char question[] = "{\"type\":\"read_index\",\"key\":\"ridctl\"}";
    struct ridd_reply *r;

    if (!c->was_so || c->leads)
        return true;
    r = ridd_request(client, question, RIDD_KIND_READ, 0);
    if (r->status == RIDD_OK) {
        (void)snprintf(c->endpoint, sizeof(c->endpoint), "%s", r->endpoint);
        c->leads = true;
    }
    ridd_reply_free(r);
    return false;
}

static int watch(const struct ctl *ctl, struct ridd *client, struct change *c)
{
    for (;;) {
        cleanup_json json_t *members = ask_members(client, c);
        const char *why = members != NULL ? why_failed(c, members) : NULL;

        if (why != NULL) {
            clear_line(c);
            return report(ctl, CTL_EXIT_PRECONDITION, "'%s': %s", c->id, why);
        }
        if (members != NULL && is_done(ctl, c, members)) {
            if (was_confirmed(client, c))
                return say_done(ctl, c);
            if (c->leads)
                continue; /* what it shows from now on counts */
        }
        if (members != NULL)
            show_progress(c, members);
        if (members != NULL && is_forgotten(c, members)) {
            const int exit_code = ask_again(ctl, client, c);

            if (exit_code != CTL_EXIT_OK)
                return exit_code;
        }
        if (interrupted != 0)
            return leave_it(ctl, c, "interrupted");
        if (c->until_us != 0 && clock_mono_us() >= c->until_us)
            return leave_it(ctl, c, "it takes longer than --timeout");
        pause_ms(CTL_PROGRESS_EVERY_MS);
    }
}

static long long number(const json_t *o, const char *name)
{
    return (long long)json_integer_value(json_object_get(o, name));
}

static void say_quorums(const json_t *reply)
{
    const long long spare = number(reply, "heard_after") - number(reply, "quorum_after");

    (void)printf("voters %lld -> %lld, quorum %lld -> %lld; of those that would be voters %lld "
                 "answer now: ",
                 number(reply, "voters"), number(reply, "voters_after"), number(reply, "quorum"),
                 number(reply, "quorum_after"), number(reply, "heard_after"));
    if (spare >= 0)
        (void)printf("survives %lld more\n", spare);
    else
        (void)printf("no quorum, %lld more must\n", -spare);
}

static int begin(const struct ctl *ctl, struct ridd *client, struct change *c)
{
    struct ridd_reply *r = ask(ctl, client, c);
    cleanup_json json_t *reply = NULL;
    int exit_code = CTL_EXIT_OK;

    if (r == NULL)
        return report_no_memory(ctl);
    if (r->status != RIDD_OK) {
        clear_line(c);
        /* Its words are all that there is to say: nothing is there to be read and tried again. */
        exit_code = r->status == RIDD_PRECONDITION_FAILED && !ctl->json
                        ? report(ctl, CTL_EXIT_PRECONDITION, "'%s': %s", c->id, r->text)
                        : report_failure(ctl, r, c->id);
        ridd_reply_free(r);
        return exit_code;
    }
    reply = json_loadb(r->json, r->json_len, 0, NULL);
    note_answer(c, r, reply);
    c->configuration = c->least;
    if (ctl->json)
        (void)printf("%s\n", r->json);
    else
        say_quorums(reply);
    ridd_reply_free(r);
    if (ctl->dry_run)
        return CTL_EXIT_OK;
    (void)fflush(stdout);
    return watch(ctl, client, c);
}

static int find_word(const struct ctl *ctl, const struct member_verb **ret)
{
    for (size_t i = 0; i < N_WORDS; i++) {
        if (strcmp(ctl->args[0], words[i].word) != 0)
            continue;
        *ret = &words[i];
        if (ctl->n_args - 1 == words[i].n_args)
            return CTL_EXIT_OK;
        return report(ctl, CTL_EXIT_USAGE, "usage: ridctl member %s%s", words[i].word,
                      words[i].usage);
    }
    return ctl_check_word(ctl, "member", "WORD", ctl->args[0]);
}

/* Whoever gives one that changes nothing means something else. */
static int check_options(const struct ctl *ctl, const struct member_verb *verb)
{
    if (ctl->learner && !verb->learner)
        return report(ctl, CTL_EXIT_USAGE, "--learner is for add and rejoin");
    if ((ctl->dry_run || ctl->force) && verb->type == NULL)
        return report(ctl, CTL_EXIT_USAGE, "%s is for changes, and list makes none",
                      ctl->dry_run ? "--dry-run" : "--force-unsafe");
    return CTL_EXIT_OK;
}

int verb_member(struct ctl *ctl)
{
    struct change c = {.verb = NULL};
    struct ridd *client = NULL;
    int exit_code = find_word(ctl, &c.verb);
    bool is_replace;

    if (exit_code == CTL_EXIT_OK)
        exit_code = check_options(ctl, c.verb);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    if (c.verb->type == NULL)
        return verb_members(ctl);
    is_replace = strcmp(c.verb->word, "replace") == 0;
    c.old = is_replace ? ctl->args[1] : NULL;
    c.id = ctl->args[is_replace ? 2 : 1];
    if (c.verb->n_args >= 3) {
        c.peer = ctl->args[is_replace ? 3 : 2];
        c.client = ctl->args[is_replace ? 4 : 3];
    }
    if (ctl->timeout_ms != 0)
        c.until_us = clock_mono_us() + ctl->timeout_ms * UINT64_C(1000);
    exit_code = cluster_open(ctl, &client);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    catch_interrupt();
    exit_code = begin(ctl, client, &c);
    ridd_close(client);
    return exit_code;
}
