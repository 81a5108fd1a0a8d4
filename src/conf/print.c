/* Writing: the configuration in force. */
#include <stdio.h>
#include <string.h>

#include "conf/conf_int.h"

#include "base/banned.h"

static void print_key(const struct conf *c, const struct conf_key *k, FILE *out)
{
    char size[CONF_SIZE_BUF];
    char who[CONF_WHO_TEXT];
    char listen[CONF_LISTEN_TEXT];
    const char *text = (const char *)c + k->offset;
    const char *scheme = "";

    switch (k->kind) {
    case CONF_KIND_SELF:
        if (c->self == NULL)
            return;
        text = c->self->name;
        break;
    case CONF_KIND_NAME:
    case CONF_KIND_DIR:
        break;
    case CONF_KIND_ADDRESS:
    case CONF_KIND_HOSTS:
        if (text[0] == '\0')
            return; /* a key without a value is a mistake */
        if (k->kind == CONF_KIND_ADDRESS)
            scheme = conf_scheme_text(&conf_http_schemes, c->http_scheme);
        break;
    case CONF_KIND_FILE:
        text = *text != '\0' ? text : "none";
        break;
    case CONF_KIND_YES:
        text = c->security.insecure ? "yes" : "no";
        break;
    case CONF_KIND_LISTEN:
        text = conf_format_listen(c, listen, sizeof(listen));
        break;
    case CONF_KIND_SOCKET:
        (void)snprintf(who, sizeof(who), "%s%s", *text != '\0' ? "unix:" : "none", text);
        text = who;
        break;
    case CONF_KIND_WHO:
        text = conf_format_who((const struct conf_who_list *)(const void *)text, who, sizeof(who));
        break;
    case CONF_KIND_LEVEL:
        text = log_level_name((enum log_level)conf_number_get(c, k));
        break;
    case CONF_KIND_SIZE:
        text = conf_format_size(size, conf_number_get(c, k));
        break;
    case CONF_KIND_UNSIGNED:
    case CONF_KIND_MS:
        (void)snprintf(size, sizeof(size), "%llu", (unsigned long long)conf_number_get(c, k));
        text = size;
        break;
    }
    (void)fprintf(out, "%s = %s%s\n", k->name, scheme, text);
}

const char *conf_format_peer(const struct conf_peer *p, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s = %s %s%s%s%s%s", p->name, p->peer_addr,
                   conf_scheme_text(&conf_client_schemes, p->client_scheme), p->client_addr,
                   p->http_addr[0] != '\0' ? " " : "",
                   conf_scheme_text(&conf_http_schemes, p->http_scheme), p->http_addr);
    return ret;
}

void conf_print(const struct conf *c, FILE *out)
{
    char peer[CONF_PEER_TEXT];
    char grant[CONF_GRANT_TEXT];

    for (unsigned s = 0; s < CONF_N_SECTIONS; s++) {
        (void)fprintf(out, "%s[%s]\n", s == 0 ? "" : "\n", conf_section_names[s]);
        for (size_t i = 0; i < CONF_N_KEYS; i++)
            if (conf_keys[i].section == s)
                print_key(c, &conf_keys[i], out);
        for (unsigned i = 0; s == CONF_PEERS && i < c->n_peers; i++)
            (void)fprintf(out, "%s\n", conf_format_peer(&c->peers[i], peer, sizeof(peer)));
        for (unsigned i = 0; s == CONF_ACCESS && i < c->n_grants; i++)
            (void)fprintf(out, "%s\n", conf_format_grant(&c->grants[i], grant, sizeof(grant)));
    }
}
