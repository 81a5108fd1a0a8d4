/* The heap: against a search through an array, with nodes that leave from the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/prng.h"

#define N 200u

struct model {
    struct heap heap;
    struct heap_node nodes[N];
    unsigned n;
};

static uint64_t smallest(const struct model *m)
{
    uint64_t key = UINT64_MAX;

    for (unsigned i = 0; i < N; i++)
        if (m->nodes[i].in_heap && m->nodes[i].key < key)
            key = m->nodes[i].key;
    return key;
}

static unsigned n_below(const struct heap_node *node)
{
    unsigned n = 1;

    for (const struct heap_node *c = node->child; c != NULL; c = c->next) {
        assert_true(c->key >= node->key);
        if (c == node->child)
            assert_ptr_equal(c->prev, node);
        if (c->next != NULL)
            assert_ptr_equal(c->next->prev, c);
        n += n_below(c);
    }
    return n;
}

static void check(const struct model *m)
{
    assert_int_equal(m->heap.n, m->n);
    assert_int_equal(m->heap.first == NULL, m->n == 0);
    if (m->n == 0)
        return;
    assert_true(m->heap.first->key == smallest(m));
    assert_null(m->heap.first->prev);
    assert_null(m->heap.first->next);
    assert_int_equal(n_below(m->heap.first), m->n);
}

static void heap__the_smallest_is_first(void **state)
{
    static const uint64_t spans[] = {3, 50, UINT64_MAX};

    (void)state;
    for (unsigned run = 0; run < 30; run++) {
        struct model m;
        struct prng prng;

        prng_init(&prng, 100 + run);
        memset(&m, 0, sizeof(m));
        for (unsigned step = 0; step < 2000; step++) {
            struct heap_node *node = &m.nodes[prng_below(&prng, N)];

            if (prng_below(&prng, 3) == 0 && m.heap.first != NULL)
                node = m.heap.first;
            if (node->in_heap) {
                heap_remove(&m.heap, node);
                m.n--;
            } else {
                heap_add(&m.heap, node, prng_below(&prng, spans[run % 3]));
                m.n++;
            }
            check(&m);
        }
        while (m.heap.first != NULL) {
            heap_remove(&m.heap, m.heap.first);
            m.n--;
            check(&m);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap__the_smallest_is_first),
    };

    return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}
