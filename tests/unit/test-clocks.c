/* Clocks: the one that is not slewed, the time that the machine slept, and what a hypervisor says. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/hold_clock.h"
#include "base/limits.h"
#include "base/prng.h"
#include "base/vmclock.h"

/* ---- a machine whose truth is known ---- */

struct machine {
    uint64_t awake_us; /* what a clock shows that nobody slews */
    uint64_t slept_us;
    int64_t slew_ppm; /* of the clocks that are slewed */
    uint64_t step_us; /* what a reading takes */
    /* Before the n-th reading from now the process is held up, and the machine sleeps; 0: never. */
    unsigned stall_at;
    uint64_t stall_us;
    unsigned sleep_at;
    uint64_t sleep_us;
    bool stalls_always;
    unsigned n_read;
};

static uint64_t slewed(const struct machine *m)
{
    return (uint64_t)((int64_t)m->awake_us + (int64_t)m->awake_us * m->slew_ppm / 1000000);
}

static uint64_t read_machine(void *ctx, clockid_t clock)
{
    struct machine *m = ctx;

    m->n_read++;
    m->awake_us += m->step_us;
    if (m->stalls_always || (m->stall_at > 0 && --m->stall_at == 0))
        m->awake_us += m->stall_us;
    if (m->sleep_at > 0 && --m->sleep_at == 0)
        m->slept_us += m->sleep_us;
    if (clock == CLOCK_BOOTTIME)
        return slewed(m) + m->slept_us;
    assert_int_equal(clock, CLOCK_MONOTONIC);
    return slewed(m);
}

static void begin(struct hold_clock *c, struct machine *m)
{
    const struct hold_clock_source source = {m, read_machine};

    *m = (struct machine){.awake_us = 5000000, .slept_us = 7000000};
    hold_clock_init(c, &source);
    assert_true(hold_clock_suspended_us(c) == 0);
}

/* LEASE-0: only what the machine slept, since it began; not what it slept before. */
static void clocks__sleep_is_counted(void **state)
{
    struct hold_clock c;
    struct machine m;

    (void)state;
    begin(&c, &m);
    m.awake_us += 1000000;
    assert_true(hold_clock_suspended_us(&c) == 0);
    m.slept_us += 3600000000u;
    assert_true(hold_clock_suspended_us(&c) == 3600000000u);
    m.awake_us += 1000000;
    assert_true(hold_clock_suspended_us(&c) == 3600000000u);
    m.slept_us -= 5; /* no clock of a kernel does that */
    assert_true(hold_clock_suspended_us(&c) == 3600000000u);
}

/* LEASE-0: both clocks that are compared are slewed alike, which leaves no trace; CLOCK_BOOTTIME alone
 * would lack 83 ms in each second. */
static void clocks__slewing_is_no_sleep(void **state)
{
    struct hold_clock c;
    struct machine m;

    (void)state;
    begin(&c, &m);
    m.slew_ppm = -83000;
    m.step_us = 1;
    for (unsigned i = 0; i < 1000; i++) {
        m.awake_us += 10000;
        assert_true(hold_clock_suspended_us(&c) <= 1);
    }
    m.slept_us += 500000;
    assert_true(hold_clock_suspended_us(&c) >= 500000 - 3);
    assert_true(hold_clock_suspended_us(&c) <= 500001);
}

/* Held up between two readings, the process must not take that for sleep: what left next would be dated
 * into the future. */
static void clocks__a_stall_is_no_sleep(void **state)
{
    struct hold_clock c;
    struct machine m;

    (void)state;
    for (unsigned at = 1; at <= 3; at++) {
        begin(&c, &m);
        m.stall_us = 8000;
        m.stall_at = at;
        assert_true(hold_clock_suspended_us(&c) == 0);
        /* And sleep that ended before is not overlooked for it. */
        m.slept_us += 20000;
        m.stall_at = at;
        assert_true(hold_clock_suspended_us(&c) == 20000);
    }
}

/* A machine on which each look is interrupted: it is looked a few times, and never too much is said. */
static void clocks__a_machine_that_is_always_late(void **state)
{
    struct hold_clock c;
    struct machine m;

    (void)state;
    begin(&c, &m);
    m.stall_us = 8000;
    m.stalls_always = true;
    m.n_read = 0;
    assert_true(hold_clock_suspended_us(&c) == 0);
    assert_int_equal(m.n_read, 3 * HOLD_CLOCK_LOOKS);
    m.slept_us += 1000000;
    assert_true(hold_clock_suspended_us(&c) == 1000000 - 8000);
    m.stalls_always = false;
    m.n_read = 0;
    assert_true(hold_clock_suspended_us(&c) == 1000000);
    assert_int_equal(m.n_read, 3);
}

/* Whatever happens at whichever reading: never more than was slept, never less than before, and all that
 * was slept before an undisturbed look. */
static void clocks__never_too_much(void **state)
{
    struct hold_clock c;
    struct machine m;
    struct prng p;
    uint64_t last = 0;
    uint64_t slept_before;

    (void)state;
    prng_init(&p, 17);
    begin(&c, &m);
    slept_before = m.slept_us;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t suspended;
        uint64_t certain = m.slept_us - slept_before;

        m.awake_us += prng_below(&p, 5000);
        m.stall_at = prng_below(&p, 3) == 0 ? 1 + (unsigned)prng_below(&p, 12) : 0;
        m.stall_us = prng_below(&p, 20000);
        m.sleep_at = prng_below(&p, 10) == 0 ? 1 + (unsigned)prng_below(&p, 12) : 0;
        m.sleep_us = prng_below(&p, 100000);
        suspended = hold_clock_suspended_us(&c);
        assert_true(suspended <= m.slept_us - slept_before);
        assert_true(suspended >= last);
        if (m.stall_at == 0 && m.sleep_at == 0 && m.stall_us == 0)
            assert_true(suspended >= certain);
        last = suspended;
        m.stall_at = m.sleep_at = 0;
        assert_true(hold_clock_suspended_us(&c) == m.slept_us - slept_before);
        last = m.slept_us - slept_before;
    }
}

static void clocks__the_kernel(void **state)
{
    struct hold_clock c;
    uint64_t last = 0;

    (void)state;
    hold_clock_init(&c, NULL);
    for (unsigned i = 0; i < 10000; i++) {
        uint64_t suspended = hold_clock_suspended_us(&c);

        assert_true(suspended >= last);
        last = suspended;
    }
}

/* ---- the clock itself ---- */

static uint64_t kernel_us(clockid_t clock)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(clock, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* LEASE-0: not the one that is slewed. */
static void clocks__ours_is_the_raw_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        const uint64_t before = kernel_us(CLOCK_MONOTONIC_RAW);
        const uint64_t now = clock_mono_us();

        assert_true(before <= now);
        assert_true(now <= kernel_us(CLOCK_MONOTONIC_RAW));
    }
}

static uint64_t at_us(uint64_t due_us)
{
    const struct timespec ts = clock_timer_at(due_us);

    assert_true(ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
    return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

/* What waits until then waits as long as it is, whatever the two clocks show. */
static void clocks__a_time_to_wait_for(void **state)
{
    static const uint64_t waits_us[] = {1, 999999, 1000000, 123456789};

    (void)state;
    for (unsigned i = 0; i < sizeof(waits_us) / sizeof(waits_us[0]); i++) {
        const uint64_t before = kernel_us(CLOCK_MONOTONIC);
        const uint64_t due = clock_mono_us() + waits_us[i];
        const uint64_t at = at_us(due);
        const uint64_t spent = clock_mono_us() + waits_us[i] - due;

        assert_true(at + spent + 1 >= before + waits_us[i]);
        assert_true(at <= kernel_us(CLOCK_MONOTONIC) + waits_us[i]);
    }
    assert_true(at_us(0) <= kernel_us(CLOCK_MONOTONIC));
    assert_true(at_us(UINT64_MAX) >= CLOCK_TIMER_US_MAX);
    assert_true(at_us(UINT64_MAX) <= CLOCK_TIMER_US_MAX + kernel_us(CLOCK_MONOTONIC));
}

/* ---- what a hypervisor says ---- */

struct page {
    char path[64];
    int fd;
    unsigned char bytes[4096];
};

static void page_write(struct page *p)
{
    assert_int_equal(pwrite(p->fd, p->bytes, sizeof(p->bytes), 0), sizeof(p->bytes));
}

static void page_begin(struct page *p)
{
    *p = (struct page){.path = "/tmp/ridd-vmclock-XXXXXX"};
    p->fd = mkstemp(p->path);
    assert_true(p->fd >= 0);
    put_u32(p->bytes, 0x4b4c4356u);
    put_u32(p->bytes + 4, sizeof(p->bytes));
    put_u16(p->bytes + 8, 1);
    p->bytes[10] = 1; /* which counter, and of what time: nothing to us */
    p->bytes[11] = 1;
    put_u64(p->bytes + 16, 42);
    page_write(p);
}

static void page_end(struct page *p)
{
    (void)close(p->fd);
    (void)unlink(p->path);
}

/* LEASE-12: a move to another machine is seen once, and so is a copy. */
static void clocks__a_hypervisor_is_believed(void **state)
{
    struct vmclock *v;
    struct page p;

    (void)state;
    page_begin(&p);
    v = vmclock_open(p.path);
    assert_non_null(v);
    assert_false(vmclock_disrupted(v));
    put_u64(p.bytes + 0x28, 99); /* it goes on */
    put_u32(p.bytes + 12, 2);
    page_write(&p);
    assert_false(vmclock_disrupted(v));
    for (unsigned byte = 0; byte < 8; byte++) { /* any part of it */
        p.bytes[16 + byte]++;
        put_u32(p.bytes + 12, get_u32(p.bytes + 12) + 2);
        page_write(&p);
        assert_true(vmclock_disrupted(v));
        assert_false(vmclock_disrupted(v));
    }
    p.bytes[0x68]++; /* no copies are counted there */
    page_write(&p);
    assert_false(vmclock_disrupted(v));
    p.bytes[24] = 0x80;
    page_write(&p);
    assert_true(vmclock_disrupted(v)); /* it begins to say so, and whatever it was before */
    assert_false(vmclock_disrupted(v));
    p.bytes[0x6f]++;
    page_write(&p);
    assert_true(vmclock_disrupted(v));
    assert_false(vmclock_disrupted(v));
    vmclock_free(v);
    page_end(&p);
}

/* Who is at it for so long has something to say. */
static void clocks__a_page_that_is_being_written(void **state)
{
    struct vmclock *v;
    struct page p;

    (void)state;
    page_begin(&p);
    v = vmclock_open(p.path);
    put_u32(p.bytes + 12, 1);
    page_write(&p);
    assert_true(vmclock_disrupted(v));
    assert_true(vmclock_disrupted(v));
    put_u32(p.bytes + 12, 2);
    page_write(&p);
    assert_false(vmclock_disrupted(v));
    vmclock_free(v);
    page_end(&p);
}

static void clocks__what_is_no_such_device(void **state)
{
    static const struct {
        unsigned at;
        unsigned char value;
    } rows[] = {{0, 0}, {3, 0}, {5, 0}, {8, 2}, {9, 1}};
    struct page p;

    (void)state;
    assert_null(vmclock_open("/nowhere/vmclock"));
    assert_null(vmclock_open("/dev/null"));
    assert_false(vmclock_disrupted(NULL));
    vmclock_free(NULL);
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        page_begin(&p);
        p.bytes[rows[i].at] = rows[i].value;
        page_write(&p);
        assert_null(vmclock_open(p.path));
        page_end(&p);
    }
    page_begin(&p);
    assert_int_equal(ftruncate(p.fd, 0x6f), 0);
    assert_null(vmclock_open(p.path));
    page_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks__sleep_is_counted),
        cmocka_unit_test(clocks__slewing_is_no_sleep),
        cmocka_unit_test(clocks__a_stall_is_no_sleep),
        cmocka_unit_test(clocks__a_machine_that_is_always_late),
        cmocka_unit_test(clocks__never_too_much),
        cmocka_unit_test(clocks__the_kernel),
        cmocka_unit_test(clocks__ours_is_the_raw_one),
        cmocka_unit_test(clocks__a_time_to_wait_for),
        cmocka_unit_test(clocks__a_hypervisor_is_believed),
        cmocka_unit_test(clocks__a_page_that_is_being_written),
        cmocka_unit_test(clocks__what_is_no_such_device),
    };

    return cmocka_run_group_tests_name("clocks", tests, NULL, NULL);
}
