/* Writing: the configuration in force. */
#include <stdio.h>
#include <string.h>

#include "conf/conf_int.h"

#include "base/banned.h"

static void print_key(const struct conf *c, const struct conf_key *k, FILE *out)
{
    char size[CONF_SIZE_BUF];
    char who[CONF_WHO_TEXT];
    const char *text = (const char *)c + k->offset;

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
    (void)fprintf(out, "%s = %s\n", k->name, text);
}

void conf_print(const struct conf *c, FILE *out)
{
    for (unsigned s = 0; s < CONF_N_SECTIONS; s++) {
        (void)fprintf(out, "%s[%s]\n", s == 0 ? "" : "\n", conf_section_names[s]);
        for (size_t i = 0; i < CONF_N_KEYS; i++)
            if (conf_keys[i].section == s)
                print_key(c, &conf_keys[i], out);
        for (unsigned i = 0; s == CONF_PEERS && i < c->n_peers; i++) {
            const struct conf_peer *p = &c->peers[i];

            (void)fprintf(out, "%s = %s %s%s%s\n", p->name, p->peer_addr, p->client_addr,
                          p->http_addr[0] != '\0' ? " " : "", p->http_addr);
        }
    }
}
