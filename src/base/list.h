/* An intrusive, circular, doubly linked list.
 *
 * For: objects that are in a list as long as they live, and leave it from the middle.
 * Not for: values, which go by place (base/ring.h).
 * Ownership: the list owns nothing; who frees an object takes it out first. A head and a node are
 * the same struct; an initialised node that is in no list points at itself, so that list_remove()
 * is harmless on it.
 * Errors: none. A node that was never initialised is an error of the programmer.
 * Thread: one at a time.
 * Source: the lists of Linux and BSD.
 * Obvious: units. */
#ifndef RIDD_BASE_LIST_H
#define RIDD_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_INIT(name)                                                                            \
    {                                                                                              \
        &(name), &(name)                                                                           \
    }
/* The object that `ptr` is the node of. It stays a pointer all the way: made of a number it would
 * belong to no object for a compiler or an analyser. (The formatter takes the minus for a sign.) */
/* clang-format off */
#define list_entry(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define list_entry_const(ptr, type, member)                                                        \
    ((const type *)(const void *)((const char *)(ptr) - offsetof(type, member)))
/* clang-format on */
/* The list must not change inside the body. */
#define list_for_each(it, head) for (struct list *it = (head)->next; it != (head); it = it->next)
/* The current node may be removed or freed inside the body. */
#define list_for_each_safe(it, head)                                                               \
    for (struct list *it = (head)->next, *it##_next = it->next; it != (head);                      \
         it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
    l->next = l;
    l->prev = l;
}

static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void list_append(struct list *head, struct list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* Moves everything in `from` to the end of `to`; `from` is empty afterwards. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
