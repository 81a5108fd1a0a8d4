/* token, secret: what clients prove themselves by. Nothing is asked of a node. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "conf/conf.h"
#include "ctl/ctl_int.h"
#include "tls/secret.h"

#include "base/banned.h"

/* The only word that either verb has so far. */
static int check_word(const struct ctl *ctl)
{
    if (strcmp(ctl->args[0], "make") == 0)
        return CTL_EXIT_OK;
    return report(ctl, CTL_EXIT_USAGE, "takes 'make', not '%.60s'; see 'ridctl %s --help'",
                  ctl->args[0], ctl->verb->name);
}

static int report_error(const struct ctl *ctl, int exit_code, int rc)
{
    return report(ctl, exit_code, "%s",
                  err_text_for(rc)[0] != '\0' ? err_text_for(rc) : strerror(-rc));
}

int verb_token(struct ctl *ctl)
{
    char token[TLS_TOKEN_TEXT_BYTES + 1];
    char hash[2 * ACCESS_HASH_BYTES + 1];
    struct doc d = DOC_INIT;
    int exit_code = check_word(ctl);
    int rc;

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rc = tls_token_make(token, hash);
    if (rc != 0)
        return report_error(ctl, CTL_EXIT_SYSTEM, rc);
    if (ctl->json) {
        doc_open(&d, NULL, '{');
        doc_str(&d, "token", token);
        doc_str(&d, "sha256", hash);
        doc_close(&d, '}');
        return doc_print(&d, ctl);
    }
    (void)printf("%s\n", token);
    (void)fprintf(stderr,
                  "for [access] in ridd.conf of every node, with a name and a role of your own "
                  "choice:\nNAME = read token %s\n",
                  hash);
    return CTL_EXIT_OK;
}

/* The line of its file. */
static int derive(struct ctl *ctl, const char *name, char *ret, size_t size)
{
    const char *file = NULL;
    const char *cluster = NULL;
    struct tls_secrets secrets = {.n = 0};
    struct tls_secret derived = {.len = 0};
    int exit_code = cluster_secret(ctl, &file, &cluster);
    int rc;

    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    rc = tls_secrets_read(file, &secrets);
    if (rc != 0)
        exit_code = report_error(ctl, CTL_EXIT_CONF, rc);
    else if (secrets.of[0].name[0] != '\0')
        exit_code = report(ctl, CTL_EXIT_USAGE,
                           "'%s' is the secret of a client ('%s'): nothing follows from it; give "
                           "the cluster's",
                           file, secrets.of[0].name);
    if (exit_code == CTL_EXIT_OK) {
        rc = tls_secret_derive(&secrets.of[0], cluster, name, &derived);
        if (rc == 0)
            rc = tls_secret_format(&derived, ret, size);
        if (rc != 0)
            exit_code = report_error(ctl, CTL_EXIT_SYSTEM, rc);
    }
    tls_secrets_wipe(&secrets);
    explicit_bzero(&derived, sizeof(derived));
    return exit_code;
}

int verb_secret(struct ctl *ctl)
{
    char line[CTL_SECRET_LINE_SIZE];
    char path[NODE_NAME_BYTES_MAX + sizeof(".secret")];
    const char *name = ctl->args[1];
    const char *out = ctl->out;
    int exit_code = check_word(ctl);
    int rc = 0;

    if (exit_code == CTL_EXIT_OK && !conf_name_ok(name))
        exit_code = report(ctl, CTL_EXIT_USAGE, "'%.60s' is no name: 1 to %u of A-Z a-z 0-9 _ -",
                           name, NODE_NAME_BYTES_MAX);
    if (exit_code == CTL_EXIT_OK)
        exit_code = derive(ctl, name, line, sizeof(line) - 1);
    if (exit_code != CTL_EXIT_OK)
        return exit_code;
    (void)snprintf(path, sizeof(path), "%s.secret", name);
    if (out == NULL)
        out = path;
    memcpy(line + strlen(line), "\n", 2);
    if (strcmp(out, "-") == 0)
        (void)fputs(line, stdout);
    else
        rc = tls_secret_write(out, line);
    explicit_bzero(line, sizeof(line));
    if (rc != 0)
        return report_error(ctl, CTL_EXIT_OUTPUT, rc);
    (void)fprintf(stderr,
                  "%s%s%sfor [access] in ridd.conf of every node, with a role of your own "
                  "choice:\n%s = read secret %s\n",
                  strcmp(out, "-") == 0 ? "" : "written: '", strcmp(out, "-") == 0 ? "" : out,
                  strcmp(out, "-") == 0 ? "" : "'; ", name, name);
    return CTL_EXIT_OK;
}
