/* What TLS is done with: files that are read at once, so that what is wrong with them is known
 * before anybody is asked, and whom they are shown to. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "client/client_int.h"

#include "base/banned.h"

static bool is_given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

void secure_done(struct secure *s)
{
    tls_ctx_unref(take_ptr(s->ctx));
    free(take_ptr(s->server_name));
    if (s->token != NULL)
        explicit_bzero(s->token, strlen(s->token));
    free(take_ptr(s->token));
}

/* ---- why not ---- */

struct why {
    char *text;
    size_t size;
};

static enum ridd_status invalid(struct why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum ridd_status invalid(struct why *why, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    (void)vsnprintf(why->text, why->size, format, ap);
    va_end(ap);
    return RIDD_INVALID;
}

/* Of a call that has said something. */
static enum ridd_status failed(struct why *why, int rc, const char *what)
{
    const char *text = err_text_for(rc);

    if (rc == -ENOMEM)
        return RIDD_NO_MEMORY;
    return invalid(why, "%s%s%s", text[0] != '\0' ? text : what, text[0] != '\0' ? "" : ": ",
                   text[0] != '\0' ? "" : strerror(-rc));
}

/* ---- the token ---- */

static bool token_ok(const char *token, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (token[i] <= ' ' || token[i] > '~')
            return false;
    return len > 0 && len <= CALL_TOKEN_BYTES_MAX;
}

/* As a JSON string, with its quotes. */
static enum ridd_status keep_token(const char *token, size_t len, const char *of, struct secure *s,
                                   struct why *why)
{
    if (!token_ok(token, len))
        return invalid(why, "%s holds no token: 1 to %u bytes of ASCII, without a space", of,
                       CALL_TOKEN_BYTES_MAX);
    return ridd_json_string(token, len, &s->token);
}

/* Its first line; a pipe will do. */
static enum ridd_status read_token(const char *name, struct secure *s, struct why *why)
{
    char path[PATH_MAX];
    char text[CALL_TOKEN_BYTES_MAX + 2];
    size_t len = 0;
    ssize_t n = 0;
    struct stat st;
    cleanup_fd int fd = -1;
    enum ridd_status status;
    const int rc = tls_file_path(name, path, sizeof(path));

    if (rc != 0)
        return failed(why, rc, "token_file");
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        return invalid(why, "cannot read the token in '%s': %s", path, strerror(errno));
    if (S_ISREG(st.st_mode) && (st.st_mode & S_IRWXO) != 0)
        return invalid(why, "others may read the token in '%s': chmod o= '%s'", path, path);
    while (len < sizeof(text) && memchr(text, '\n', len) == NULL &&
           ((n = read(fd, text + len, sizeof(text) - len)) > 0 || (n < 0 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    if (n < 0)
        return invalid(why, "cannot read the token in '%s': %s", path, strerror(errno));
    if (memchr(text, '\n', len) != NULL)
        len = (size_t)((char *)memchr(text, '\n', len) - text);
    while (len > 0 && (text[len - 1] == '\r' || text[len - 1] == ' '))
        len--;
    status = keep_token(text, len, path, s, why);
    explicit_bzero(text, sizeof(text));
    return status;
}

static enum ridd_status take_token(const struct ridd_tls *tls, struct secure *s, struct why *why)
{
    if (is_given(tls->token) && is_given(tls->token_file))
        return invalid(why, "token and token_file are two of what there is one of");
    if (is_given(tls->token_file))
        return read_token(tls->token_file, s, why);
    return is_given(tls->token) ? keep_token(tls->token, strlen(tls->token), "token", s, why)
                                : RIDD_OK;
}

/* ---- certificates and secrets ---- */

static enum ridd_status read_secrets(const struct ridd_tls *tls, struct tls_secrets *ret,
                                     struct why *why)
{
    const int rc = tls_secrets_read(tls->secret_file, ret);

    if (rc != 0)
        return failed(why, rc, "secret_file");
    if (ret->of[0].name[0] == '\0' && !is_given(tls->cluster))
        return invalid(why,
                       "'%s' is the secret of a cluster: say which, in cluster, or give a "
                       "client's own (ridctl secret make)",
                       tls->secret_file);
    return RIDD_OK;
}

static enum ridd_status make_context(const struct ridd_tls *tls, struct secure *s, struct why *why)
{
    struct tls_secrets secrets = {.n = 0};
    const bool has_secret = is_given(tls->secret_file);
    const struct tls_conf conf = {.use = TLS_CLIENTS,
                                  .cluster = tls->cluster != NULL ? tls->cluster : "",
                                  .secrets = has_secret ? &secrets : NULL,
                                  .cert_file = tls->cert_file,
                                  .key_file = tls->key_file,
                                  .ca_file = tls->ca_file};
    enum ridd_status status = has_secret ? read_secrets(tls, &secrets, why) : RIDD_OK;

    if (status == RIDD_OK) {
        const int rc = tls_ctx_new(&conf, &s->ctx);

        if (rc != 0)
            status = failed(why, rc, "TLS");
    }
    tls_secrets_wipe(&secrets);
    return status;
}

static enum ridd_status take(const struct ridd_tls *tls, struct secure *s, struct why *why)
{
    const bool proves = is_given(tls->cert_file);
    const bool checks = is_given(tls->ca_file) || is_given(tls->secret_file);
    enum ridd_status status = RIDD_OK;

    if (tls->flags != 0)
        return invalid(why, "flags has bits that this version does not know");
    if (proves != is_given(tls->key_file))
        return invalid(why, "cert_file and key_file go together");
    if (proves && !checks)
        return invalid(why, "a certificate alone does not tell who the server is: give ca_file or "
                            "secret_file");
    s->has_cert = proves;
    if (is_given(tls->server_name)) {
        s->server_name = strdup(tls->server_name);
        if (s->server_name == NULL)
            return RIDD_NO_MEMORY;
    }
    if (checks)
        status = make_context(tls, s, why);
    return status == RIDD_OK ? take_token(tls, s, why) : status;
}

enum ridd_status ridd_set_tls(struct ridd *client, const struct ridd_tls *tls, char *text,
                              size_t size)
{
    struct ridd_tls nothing;
    struct secure fresh = {NULL, NULL, NULL, false};
    char words[RIDD_TEXT_SIZE] = "";
    struct why why = {words, sizeof(words)};
    enum ridd_status status;

    memset(&nothing, 0, sizeof(nothing));
    status = take(tls != NULL ? tls : &nothing, &fresh, &why);
    if (size > 0)
        (void)snprintf(text, size, "%s", status == RIDD_NO_MEMORY ? "out of memory" : words);
    if (status != RIDD_OK) {
        secure_done(&fresh);
        return status;
    }
    secure_done(&client->secure);
    client->secure = fresh;
    client->n_secured++;
    return RIDD_OK;
}
