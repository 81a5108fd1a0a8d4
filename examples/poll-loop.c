/* libridd in a loop made by hand: poll(2) over the client's descriptor and standard input. Each line
 * that is typed is a key, whose value is printed when it comes; many may be under way.
 *
 *     cc -std=c99 poll-loop.c $(pkg-config --cflags --libs libridd) -o poll-loop
 *     printf 'a\nb\n' | ./poll-loop 127.0.0.1:7400,127.0.0.1:7410,127.0.0.1:7420 */
#define _POSIX_C_SOURCE 200809L
#include <poll.h>
#include <ridd_async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int n_failed;

static void on_value(struct ridd *client, struct ridd_reply *reply, void *arg)
{
    char *key = (char *)arg;

    (void)client;
    if (reply->status != RIDD_OK) {
        fprintf(stderr, "%s: %s\n", key, reply->text);
        n_failed++;
    } else {
        printf("%s = %s\n", key, reply->exists ? reply->value : "(absent)");
    }
    ridd_reply_free(reply);
    free(key);
}

static void ask(struct ridd *client, const char *line, size_t len)
{
    char *key = (char *)malloc(len + 1);

    if (key == NULL)
        return;
    memcpy(key, line, len);
    key[len] = '\0';
    if (ridd_async_get(client, ridd_key(key), RIDD_VIA_DEFAULT, on_value, key) == 0) {
        fprintf(stderr, "%s: %s\n", key, ridd_status_name(ridd_async_refused(client)));
        n_failed++;
        free(key); /* no callback will */
    }
}

/* Asks for the lines that are whole. 0 at the end of standard input. */
static int read_keys(struct ridd *client)
{
    static char text[4096];
    static size_t len;
    ssize_t n = read(STDIN_FILENO, text + len, sizeof(text) - len);
    char *newline;

    if (n <= 0)
        return 0;
    len += (size_t)n;
    while ((newline = (char *)memchr(text, '\n', len)) != NULL) {
        size_t line = (size_t)(newline - text);

        ask(client, text, line);
        len -= line + 1;
        memmove(text, newline + 1, len);
    }
    return len < sizeof(text);
}

int main(int argc, char **argv)
{
    struct ridd *client;
    int more = 1;

    if (argc < 2 || ridd_open(argv[1], NULL, &client) != RIDD_OK) {
        fprintf(stderr, "usage: poll-loop HOST:PORT,...\n");
        return 64;
    }
    while (more || ridd_async_pending(client) > 0) {
        struct pollfd p[2];

        p[0].fd = ridd_async_fd(client);
        p[0].events = POLLIN;
        p[1].fd = more ? STDIN_FILENO : -1;
        p[1].events = POLLIN;
        p[1].revents = 0;
        if (poll(p, 2, ridd_async_timeout_ms(client)) < 0)
            continue;
        if (p[1].revents != 0)
            more = read_keys(client);
        ridd_process(client);
    }
    ridd_close(client);
    return n_failed == 0 ? 0 : 1;
}
