/* A tree in which nobody is below one with a larger key. What loses its root is joined again in
 * pairs, from left to right, and these from right to left: that keeps it flat. */
#include "base/heap.h"

#include "base/assert.h"

#include "base/banned.h"

/* Both are roots. The one with the smaller key, with the other below it. */
static struct heap_node *join(struct heap_node *a, struct heap_node *b)
{
    if (a == NULL || b == NULL)
        return a != NULL ? a : b;
    if (b->key < a->key) {
        struct heap_node *t = a;

        a = b;
        b = t;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child != NULL)
        a->child->prev = b;
    a->child = b;
    return a;
}

/* One root of a list of them. */
static struct heap_node *join_list(struct heap_node *list)
{
    struct heap_node *pairs = NULL; /* by next, the last one first */
    struct heap_node *root = NULL;

    while (list != NULL) {
        struct heap_node *a = list;
        struct heap_node *b = a->next;

        list = b != NULL ? b->next : NULL;
        a->next = NULL;
        if (b != NULL)
            b->next = NULL;
        a = join(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs != NULL) {
        struct heap_node *a = pairs;

        pairs = a->next;
        a->next = NULL;
        root = join(root, a);
    }
    return root;
}

void heap_add(struct heap *h, struct heap_node *node, uint64_t key)
{
    rid_assert(!node->in_heap);
    *node = (struct heap_node){.key = key, .in_heap = true};
    h->first = join(h->first, node);
    h->n++;
}

void heap_remove(struct heap *h, struct heap_node *node)
{
    struct heap_node *below = join_list(node->child);

    rid_assert(node->in_heap);
    rid_assert(h->n > 0);
    if (node == h->first) {
        h->first = below;
    } else {
        if (node->prev->child == node)
            node->prev->child = node->next;
        else
            node->prev->next = node->next;
        if (node->next != NULL)
            node->next->prev = node->prev;
        h->first = join(h->first, below);
    }
    if (h->first != NULL)
        h->first->prev = NULL;
    h->n--;
    *node = (struct heap_node){0};
}
