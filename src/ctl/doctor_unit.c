/* What systemd says of the instances of ridd@.service on this host. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/command_int.h"
#include "ctl/doctor_int.h"

#include "base/banned.h"

struct unit {
    char id[96];
    char state[32];
    char sub[32];
    char result[32];
    unsigned long restarts;
};

static void judge_unit(struct findings *f, const struct unit *u)
{
    char next[FINDING_NEXT_BUF];

    (void)snprintf(next, sizeof(next), "journalctl -u %s -n 50", u->id);
    if (strcmp(u->state, "failed") == 0)
        finding_add(f, FINDING_FAIL, "unit", u->id, next, "failed (%s) after %lu restarts",
                    u->result, u->restarts);
    else if (strcmp(u->state, "active") != 0)
        finding_add(f, FINDING_WARN, "unit", u->id, next, "is %s (%s)", u->state, u->sub);
    else if (u->restarts > 0)
        finding_add(f, FINDING_WARN, "unit", u->id, next,
                    "is active, and was started again %lu times by systemd", u->restarts);
    else
        finding_add(f, FINDING_OK, "unit", u->id, NULL, "is active (%s)", u->sub);
}

static void take_property(struct unit *u, const char *name, size_t name_len, const char *value,
                          size_t len)
{
    static const struct {
        const char *name;
        size_t offset;
        size_t size;
    } texts[] = {
        {"Id", offsetof(struct unit, id), sizeof(u->id)},
        {"ActiveState", offsetof(struct unit, state), sizeof(u->state)},
        {"SubState", offsetof(struct unit, sub), sizeof(u->sub)},
        {"Result", offsetof(struct unit, result), sizeof(u->result)},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (strlen(texts[i].name) == name_len && strncmp(texts[i].name, name, name_len) == 0)
            (void)snprintf((char *)u + texts[i].offset, texts[i].size, "%.*s", (int)len, value);
    if (name_len == 9 && strncmp(name, "NRestarts", 9) == 0)
        u->restarts = strtoul(value, NULL, 10);
}

/* A unit ends at an empty line. */
void doctor_judge_units(struct findings *f, const char *text)
{
    struct unit u = {.id = ""};
    unsigned n = 0;

    for (const char *line = text;; line += strcspn(line, "\n"), line += *line == '\n') {
        const size_t len = strcspn(line, "\n");
        const char *equals = memchr(line, '=', len);

        if (equals != NULL)
            take_property(&u, line, (size_t)(equals - line), equals + 1,
                          len - (size_t)(equals + 1 - line));
        if (len > 0)
            continue;
        if (u.id[0] != '\0') {
            judge_unit(f, &u);
            n++;
        }
        u = (struct unit){.id = ""};
        if (*line == '\0')
            break;
    }
    if (n == 0)
        finding_add(f, FINDING_NOTE, "unit", NULL, "systemctl list-units 'ridd@*' --all",
                    "systemd knows no ridd@NAME.service here");
}

void doctor_units(struct findings *f)
{
    static const char *const argv[] = {
        "systemctl", "show", "--no-pager", "--property=Id,ActiveState,SubState,Result,NRestarts",
        "ridd@*",    NULL};
    cleanup_buf struct buf out = BUF_INIT;
    bool cut = false;
    int status = 0;
    const int rc =
        command_run(argv, DOCTOR_COMMAND_MS, DOCTOR_COMMAND_BYTES_MAX, &out, &cut, &status);

    if (rc == 0 && status == 0) {
        doctor_judge_units(f, (const char *)out.data);
        return;
    }
    finding_add(f, FINDING_NOTE, "unit", NULL, NULL, "systemd is not to be asked here (%s)",
                rc == -ENOENT      ? "there is no systemctl"
                : rc == -ETIMEDOUT ? "systemctl did not answer in time"
                                   : "systemctl failed");
    finding_is_detail(f);
}
