/* TLS for the engine, by the product's own streams; what it is done with ridctl takes, too
 * (keyring.h). */
#include <string.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "load/ridbench_int.h"
#include "tls/tls.h"

#include "base/banned.h"

static int open_stream(void *ctx, int fd, const char *host, void **ret)
{
    const struct bench *b = ctx;
    struct tls_stream *s = NULL;
    const int rc = tls_stream_new(b->tls_ctx, TLS_DIAL, fd,
                                  b->tls.server_name != NULL ? b->tls.server_name : host, &s);

    *ret = s;
    return rc;
}

static int shake(void *stream)
{
    return tls_shake(stream);
}
static_assert((int)LOAD_WANT_WRITE == (int)TLS_WANT_WRITE && TLS_DONE == 0, "as the engine has it");

static ssize_t receive(void *stream, void *buf, size_t size)
{
    return tls_recv(stream, buf, size);
}

static ssize_t send_some(void *stream, const void *data, size_t len)
{
    return tls_send(stream, data, len);
}

static size_t pending(const void *stream)
{
    return tls_stream_pending(stream);
}

static void close_stream(void *stream)
{
    tls_say_end(stream);
    tls_stream_free(stream);
}

static int make_context(struct bench *b)
{
    struct tls_secrets secrets = {.n = 0};
    const struct tls_conf conf = {.use = TLS_CLIENTS,
                                  .cluster = b->tls.cluster,
                                  .secrets = b->tls.secret_file != NULL ? &secrets : NULL,
                                  .cert_file = b->tls.cert_file,
                                  .key_file = b->tls.key_file,
                                  .ca_file = b->tls.ca_file};
    int rc = b->tls.secret_file != NULL ? tls_secrets_read(b->tls.secret_file, &secrets) : 0;

    if (rc == 0)
        rc = tls_ctx_new(&conf, &b->tls_ctx);
    tls_secrets_wipe(&secrets);
    return rc == 0 ? BENCH_EXIT_OK : bench_report(b, BENCH_EXIT_CONF, "%s", err_text());
}

/* The first line of the file, or what the environment has; libridd has looked at it. */
static bool read_token(const struct bench *b, char *ret, size_t size)
{
    cleanup_file FILE *f = b->tls.token_file != NULL ? fopen(b->tls.token_file, "re") : NULL;

    ret[0] = '\0';
    if (f != NULL && fgets(ret, (int)size, f) == NULL)
        return false;
    if (b->tls.token != NULL)
        (void)snprintf(ret, size, "%s", b->tls.token);
    ret[strcspn(ret, " \r\n")] = '\0';
    return ret[0] != '\0';
}

int bench_secure(struct bench *b)
{
    char token[CALL_TOKEN_BYTES_MAX + 2];
    int exit_code;

    if (b->tls.ca_file == NULL && b->tls.secret_file == NULL)
        return BENCH_EXIT_OK;
    exit_code = make_context(b);
    if (exit_code != BENCH_EXIT_OK)
        return exit_code;
    b->secure = (struct load_secure){.open = open_stream,
                                     .shake = shake,
                                     .receive = receive,
                                     .send = send_some,
                                     .pending = pending,
                                     .close = close_stream,
                                     .ctx = b};
    if (read_token(b, token, sizeof(token))) {
        (void)snprintf(b->hello, sizeof(b->hello), "{\"type\":\"auth\",\"token\":\"%s\"}\n", token);
        b->secure.hello = b->hello;
        b->secure.hello_ok = "auth_ok";
    }
    b->plan.secure = &b->secure;
    return BENCH_EXIT_OK;
}

void bench_secure_done(struct bench *b)
{
    tls_ctx_unref(take_ptr(b->tls_ctx));
    explicit_bzero(b->hello, sizeof(b->hello));
}

int bench_dial(const struct bench *b, const char *endpoints, const struct ridd_options *options,
               struct ridd **ret_client)
{
    char why[RIDD_TEXT_SIZE] = "";
    struct ridd *client = NULL;

    if (!keyring_check(endpoints, &b->tls, why, sizeof(why)))
        return bench_report(b, BENCH_EXIT_USAGE, "%s", why);
    if (ridd_open(endpoints, options, &client) != RIDD_OK)
        return bench_report(b, BENCH_EXIT_SYSTEM, "no memory");
    if (!keyring_is_empty(&b->tls) && ridd_set_tls(client, &b->tls, why, sizeof(why)) != RIDD_OK) {
        ridd_close(client);
        return bench_report(b, BENCH_EXIT_CONF, "%s", why);
    }
    *ret_client = client;
    return BENCH_EXIT_OK;
}
