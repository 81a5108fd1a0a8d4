/* One line per failure: what, where, next step; and the number that a script sees. */
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl_int.h"

#include "base/banned.h"

/* Every status once: its exit code and what a person can do about it ("": nothing to add). */
static const struct {
    enum ridd_status status;
    int exit_code;
    const char *next;
} table[] = {
    {RIDD_OK, CTL_EXIT_OK, ""},
    {RIDD_NOT_LEADER, CTL_EXIT_AGAIN, "try again; 'ridctl status' shows who leads"},
    {RIDD_TERM_CHANGED, CTL_EXIT_AGAIN,
     "the leader changed meanwhile: try again; 'ridctl status' shows who leads"},
    {RIDD_ROLE_CHANGED, CTL_EXIT_AGAIN,
     "the leader changed meanwhile: try again; 'ridctl status' shows who leads"},
    {RIDD_TIMEOUT, CTL_EXIT_AGAIN,
     "try again, or a larger --timeout; 'ridctl status' shows which nodes are slow, "
     "full or down"},
    {RIDD_NETWORK, CTL_EXIT_NO_QUORUM, "start more nodes; 'ridctl status' shows which are down"},
    {RIDD_INTERNAL, CTL_EXIT_AGAIN, "'ridctl events' or the log of that node says why"},
    {RIDD_CANCELLED, CTL_EXIT_AGAIN, "try again; 'ridctl status' shows who leads"},
    {RIDD_OVERLOADED, CTL_EXIT_AGAIN, "try again later; 'ridctl top' shows who is busy"},
    {RIDD_BUSY, CTL_EXIT_AGAIN, "try again later; 'ridctl top' shows who is busy"},
    {RIDD_NO_SPACE, CTL_EXIT_AGAIN, "'ridctl status' shows which nodes are full"},
    {RIDD_SESSION_EXPIRED, CTL_EXIT_AGAIN, "open a new session; 'ridctl explain session_expired'"},
    {RIDD_NOT_SUPPORTED, CTL_EXIT_USAGE, "'ridctl explain not_supported'"},
    {RIDD_MALFORMED, CTL_EXIT_USAGE, ""},
    {RIDD_TOO_LARGE, CTL_EXIT_USAGE, "'ridctl explain too_large'"},
    {RIDD_KEY_NOT_FOUND, CTL_EXIT_NO_KEY, "--create would make it: 'ridctl cas --help'"},
    {RIDD_PRECONDITION_FAILED, CTL_EXIT_PRECONDITION, "read it and decide again: 'ridctl get KEY'"},
    {RIDD_DENIED, CTL_EXIT_DENIED,
     "who you are there and what that may do: 'ridctl explain denied'"},
    {RIDD_OTHER_ERROR, CTL_EXIT_AGAIN,
     "this ridctl does not know that error: is it older than the node? 'ridctl --version'"},
    {RIDD_UNREACHABLE, CTL_EXIT_NOBODY, "is ridd running there? try 'ridctl status'"},
    {RIDD_NO_ANSWER, CTL_EXIT_NOBODY, "try 'ridctl status', or a larger --timeout"},
    {RIDD_DISCONNECTED, CTL_EXIT_NOBODY,
     "try again; 'ridctl events' or the log of that node says "
     "why"},
    {RIDD_BAD_REPLY, CTL_EXIT_NOBODY,
     "is that the client port of ridd? 'ridctl explain bad_reply'"},
    {RIDD_OUTCOME_UNKNOWN, CTL_EXIT_UNKNOWN,
     "read the key before you write it again: 'ridctl get KEY'"},
    {RIDD_INVALID, CTL_EXIT_USAGE, ""},
    {RIDD_NO_MEMORY, CTL_EXIT_SYSTEM, ""},
};

static size_t row_of(enum ridd_status status)
{
    size_t n = sizeof(table) / sizeof(table[0]);

    for (size_t i = 0; i < n; i++)
        if (table[i].status == status)
            return i;
    return n - 1;
}

void report_clean(char *s)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)s[0];

        if (c < 0x20 || c == 0x7f) {
            s[0] = '?';
        } else if (c == 0xc2 && ((unsigned char)s[1] & 0xe0u) == 0x80u) { /* C1, as UTF-8 */
            s[0] = '?';
            s[1] = '?';
        }
    }
}

/* For --json: a failure is a document, too, once per run. */
static bool json_told;

/* What is wrong before anything was asked of a server. */
static void maybe_print_json(const struct ctl *ctl, int exit_code, const char *text)
{
    struct doc d = DOC_INIT;
    const char *error = exit_code == CTL_EXIT_USAGE     ? "usage"
                        : exit_code == CTL_EXIT_CONF    ? "configuration"
                        : exit_code == CTL_EXIT_SYSTEM  ? "system"
                        : exit_code == CTL_EXIT_DAMAGED ? "damaged"
                                                        : NULL;

    if (!ctl->json || json_told || error == NULL)
        return;
    json_told = true;
    doc_open(&d, NULL, '{');
    doc_str(&d, "error", error);
    doc_bool(&d, "definite", true);
    doc_str(&d, "text", text);
    doc_close(&d, '}');
    (void)doc_print(&d, ctl);
}

/* What to type where nothing better is known. */
static const char *next_of(const struct ctl *ctl, int exit_code)
{
    const bool members = ctl->verb != NULL && strncmp(ctl->verb->name, "member", 6) == 0;

    switch ((enum ctl_exit)exit_code) {
    case CTL_EXIT_OK:
    case CTL_EXIT_DEGRADED:
    case CTL_EXIT_SPLIT:
    case CTL_EXIT_USAGE:
        return NULL;
    case CTL_EXIT_NOT_LINEARIZABLE:
        return "'ridctl bundle' keeps what is needed to report it";
    case CTL_EXIT_NO_KEY:
        return ctl->int_key ? "'ridctl ls --int-key' lists them" : "'ridctl ls' lists them";
    case CTL_EXIT_PRECONDITION:
        return members ? "'ridctl member list' shows how it is" : "'ridctl get KEY' shows it";
    case CTL_EXIT_UNKNOWN:
        return "'ridctl get KEY' before you write it again";
    case CTL_EXIT_NO_QUORUM:
    case CTL_EXIT_NOBODY:
        return "'ridctl status' shows what each node says";
    case CTL_EXIT_SYSTEM:
        return "'free -m' and 'ulimit -a' show what is left";
    case CTL_EXIT_OUTPUT:
        return "'df' and 'ls -ld' show the place";
    case CTL_EXIT_AGAIN:
        return "'ridctl status' shows how the nodes are";
    case CTL_EXIT_DENIED:
        return "'id' shows who you are here";
    case CTL_EXIT_DAMAGED:
        return "'ridctl backup verify FILE' reads another one through";
    case CTL_EXIT_CONF:
        return "'ridd --config FILE --check-config' shows what is wrong with one";
    }
    return NULL;
}

/* Whether it says what to type already. */
static bool names_command(const char *text)
{
    static const char *const marks[] = {"`ridctl ",      "`ridd ",         "'ridctl ",
                                        "'ridd ",        "'df'",           "'id'",
                                        "usage: ridctl", "did you mean '", "give --endpoints"};

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (strstr(text, marks[i]) != NULL)
            return true;
    return false;
}

/* Every failure ends with the next command to type (TELL-1). */
static void add_next(const struct ctl *ctl, int exit_code, char *text, size_t size)
{
    const size_t len = strlen(text);
    const char *next = next_of(ctl, exit_code);

    if (len == 0 || names_command(text))
        return;
    if (next != NULL)
        (void)snprintf(text + len, size - len, "%s %s", text[len - 1] == '?' ? "" : ";", next);
    else if (exit_code == CTL_EXIT_USAGE)
        (void)snprintf(text + len, size - len, "; see 'ridctl %s%s--help'",
                       ctl->verb != NULL ? ctl->verb->name : "", ctl->verb != NULL ? " " : "");
}

static char last[256];

const char *report_last(void)
{
    return last;
}

static void report_text(const struct ctl *ctl, int exit_code, bool as_json, char *text, size_t size)
{
    if (ctl->quiet)
        return;
    report_clean(text);
    add_next(ctl, exit_code, text, size);
    (void)snprintf(last, sizeof(last), "%.*s", (int)sizeof(last) - 1, text);
    if (as_json)
        maybe_print_json(ctl, exit_code, text);
    (void)fflush(stdout);
    if (ctl->verb != NULL)
        (void)fprintf(stderr, "ridctl: %s: %s\n", ctl->verb->name, text);
    else
        (void)fprintf(stderr, "ridctl: %s\n", text);
}

int report(const struct ctl *ctl, int exit_code, const char *format, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    report_text(ctl, exit_code, true, text, sizeof(text));
    return exit_code;
}

int report_one(const struct ctl *ctl, int exit_code, const char *format, ...)
{
    char text[2048];
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);
    report_text(ctl, exit_code, false, text, sizeof(text));
    return exit_code;
}

int report_no_memory(const struct ctl *ctl)
{
    return report(ctl, CTL_EXIT_SYSTEM, "out of memory");
}

/* Nobody leads, and that did not change while there was time. */
static bool nobody_leads(const struct ridd_reply *r)
{
    return r->status == RIDD_NOT_LEADER && r->leader_id[0] == '\0';
}

int report_exit_code(const struct ridd_reply *r)
{
    if (nobody_leads(r))
        return CTL_EXIT_NO_QUORUM;
    return table[row_of(r->status)].exit_code;
}

static int print_failure_json(const struct ctl *ctl, const struct ridd_reply *r)
{
    struct doc d = DOC_INIT;

    json_told = true;
    doc_open(&d, NULL, '{');
    doc_str(&d, "error",
            r->server_name[0] != '\0' && r->status == RIDD_OTHER_ERROR
                ? r->server_name
                : ridd_status_name(r->status));
    if (r->cause != r->status)
        doc_str(&d, "cause", ridd_status_name(r->cause));
    if (r->code >= 0)
        doc_int(&d, "code", r->code);
    doc_bool(&d, "definite", r->definite != 0);
    doc_str(&d, "text", r->text);
    if (r->leader_id[0] != '\0')
        doc_str(&d, "leader_id", r->leader_id);
    if (r->index != 0)
        doc_u64(&d, "index", r->index);
    doc_str(&d, "endpoint", r->endpoint);
    doc_u64(&d, "attempts", r->attempts);
    doc_close(&d, '}');
    return doc_print(&d, ctl);
}

int report_failure(const struct ctl *ctl, const struct ridd_reply *r, const char *subject)
{
    size_t row = row_of(r->status);
    const char *next = table[row].next;
    char where[RIDD_ENDPOINT_SIZE + 16] = "";
    char what[160] = "";

    if (ctl->json)
        (void)print_failure_json(ctl, r);
    if (subject != NULL)
        (void)snprintf(what, sizeof(what), "'%.*s%s': ", 100, subject,
                       strlen(subject) > 100 ? "..." : "");
    if (nobody_leads(r))
        next = "'ridctl status' shows why nobody leads, and which nodes to start";
    if (r->status == RIDD_UNREACHABLE && strstr(r->text, "no TLS with") != NULL)
        next = "are --ca, --secret and --server-name of this cluster?";
    if (ctl->only_local && (r->status == RIDD_NOT_LEADER || r->status == RIDD_UNREACHABLE))
        next = "only the node of this host was asked, since there is nothing for the TLS of the "
               "others: try sudo, or give --secret FILE or --ca FILE";
    if (strncmp(next, "try again", 9) == 0 && strstr(r->text, "try again") != NULL)
        next = strstr(next, "'ridctl") != NULL ? strstr(next, "'ridctl") : ""; /* said already */
    if (strstr(r->text, "begin without") != NULL)
        next = "'ridctl explain precondition'"; /* a token of another cluster, not a cas */
    if (r->code >= 0)                           /* the server's words do not say whose they are */
        (void)snprintf(where, sizeof(where), "%s says: ", r->endpoint);
    return report(ctl, report_exit_code(r), "%s%s%s%s%s", what, where, r->text,
                  next[0] != '\0' ? "; " : "", next);
}
