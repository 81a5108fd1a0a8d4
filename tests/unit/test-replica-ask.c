/* The requests that the header promises. */
#include "test-replica-ask.h"

#include "base/banned.h"

static struct ask *ask_of(struct replica_request *rr)
{
    return list_entry(rr, struct ask, rr);
}

static struct wire_slice the_key(void)
{
    static struct wire_key key;

    assert_int_equal(wire_key_set_string(&key, "k", 1), 0);
    return (struct wire_slice){(const char *)key.bytes, key.len};
}

static void ended(struct ask *a)
{
    assert_int_equal(a->n_served + a->n_written + a->n_failed, 1); /* exactly one callback */
    if (a->then != NULL)
        a->then(a);
}

static void on_served(struct replica_request *rr, const struct replica_view *view)
{
    struct ask *a = ask_of(rr);
    struct command_value v;

    if (view->get(view->ctx, the_key(), &v) != 0) {
        assert_true(replica_read_failed(a->fx->nodes[a->node].replica, rr));
        return;
    }
    a->n_served++;
    a->view = *view;
    if (v.exists)
        (void)snprintf(a->value, sizeof(a->value), "%.*s", (int)v.text.len, v.text.data);
    ended(a);
}

static void on_written(struct replica_request *rr, const struct command_result *result)
{
    (void)result;
    ask_of(rr)->n_written++;
    ended(ask_of(rr));
}

static void on_failed(struct replica_request *rr, const struct replica_failure *f)
{
    ask_of(rr)->n_failed++;
    ask_of(rr)->failure = *f;
    ended(ask_of(rr));
}

void ask_init(struct ask *a, struct fx *fx, int node, enum replica_kind kind)
{
    buf_done(&a->command);
    memset(a, 0, sizeof(*a));
    a->fx = fx;
    a->node = node;
    a->rr.kind = kind;
    a->rr.deadline_us = UINT64_MAX;
    a->rr.served = on_served;
    a->rr.written = on_written;
    a->rr.failed = on_failed;
}

void ask_submit(struct ask *a)
{
    replica_submit(a->fx->nodes[a->node].replica, &a->rr, a->fx->now_us);
}

void ask_read(struct ask *a, struct fx *fx, int node, enum replica_kind kind)
{
    ask_read_in(a, fx, node, NULL, kind);
}

void ask_read_in(struct ask *a, struct fx *fx, int node, struct replica_session *session,
                 enum replica_kind kind)
{
    ask_init(a, fx, node, kind);
    a->rr.session = session;
    a->rr.max_stale_us = 1000000;
    ask_submit(a);
}

void ask_bounded(struct ask *a, struct fx *fx, int node, unsigned ms)
{
    ask_init(a, fx, node, REPLICA_READ_BOUNDED);
    a->rr.max_stale_us = (uint64_t)ms * 1000u;
    ask_submit(a);
}

void ask_write(struct ask *a, struct fx *fx, int node, struct replica_session *session,
               const char *text)
{
    struct command c = {.op = COMMAND_WRITE, .key = the_key(), .value = {text, strlen(text)}};

    ask_init(a, fx, node, REPLICA_WRITE);
    assert_int_equal(command_encode(&c, &a->command), 0);
    a->rr.command = a->command.data;
    a->rr.command_len = a->command.len;
    a->rr.session = session;
    ask_submit(a);
}

bool ask_pending(const struct ask *a)
{
    return a->n_served + a->n_written + a->n_failed == 0;
}

void ask_expect(const struct ask *a, const char *value)
{
    assert_int_equal(a->n_served, 1);
    assert_string_equal(a->value, value);
}

void ask_expect_failed(const struct ask *a, enum wire_error error)
{
    assert_int_equal(a->n_failed, 1);
    assert_string_equal(wire_error_name(a->failure.error), wire_error_name(error));
    assert_false(a->failure.after_append);
}

void ask_done(struct ask *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        buf_done(&a[i].command);
}

void ask_write_through(struct fx *fx, const char *text)
{
    struct ask a = {.command = BUF_INIT};

    ask_write(&a, fx, fx_leader(fx), NULL, text);
    fx_settle(fx);
    assert_int_equal(a.n_written, 1);
    fx_advance(fx, 2 * FX_HEARTBEAT_US);
    ask_done(&a, 1);
}

int ask_follower(const struct fx *fx)
{
    for (int i = 0; i < fx->n - fx->options.n_learners; i++)
        if (i != fx_leader(fx))
            return i;
    fail_msg("nobody follows");
    return -1;
}
