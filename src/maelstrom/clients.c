/* Who sends requests here, by name. Each has its own order and floor, as a connection has over TCP.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "maelstrom/maelstrom_int.h"

#include "base/banned.h"

static struct list *bucket(struct maelstrom *m, struct wire_slice name)
{
    return &m->clients[hash_fnv64(name.data, name.len) % CLIENT_BUCKETS];
}

static void forget(struct maelstrom *m, struct client *c)
{
    list_remove(&c->link);
    list_remove(&c->idle);
    m->n_clients--;
    service_conn_free(c->conn);
    free(c);
}

struct client *clients_get(struct maelstrom *m, struct wire_slice name)
{
    struct list *head = bucket(m, name);
    struct client *c;

    list_for_each(it, head)
    {
        c = list_entry(it, struct client, link);
        if (c->name_len == name.len && memcmp(c->name, name.data, name.len) == 0)
            return c;
    }
    if (m->n_clients >= MAELSTROM_CLIENTS_MAX) {
        if (list_empty(&m->idle))
            return NULL;
        forget(m, list_entry(m->idle.next, struct client, idle));
    }
    c = calloc(1, sizeof(*c) + name.len);
    if (c == NULL)
        return NULL;
    if (service_conn_new(engine_service(m->engine), c, &c->conn) != 0) {
        free(c);
        return NULL;
    }
    memcpy(c->name, name.data, name.len);
    c->name_len = name.len;
    list_append(head, &c->link);
    list_append(&m->idle, &c->idle);
    m->n_clients++;
    return c;
}

void clients_update(struct maelstrom *m, struct client *c)
{
    list_remove(&c->idle);
    if (c->n_owed == 0 && c->n_forwards == 0)
        list_append(&m->idle, &c->idle);
}

void clients_done(struct maelstrom *m)
{
    for (unsigned i = 0; i < CLIENT_BUCKETS; i++)
        while (!list_empty(&m->clients[i]))
            forget(m, list_entry(m->clients[i].next, struct client, link));
}
