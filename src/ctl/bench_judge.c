/* What a key and a value of `bench` look like, and what an answer proves wrong. */
#include <stdlib.h>
#include <string.h>

#include "ctl/bench_int.h"

#include "base/banned.h"

static const char mark[] = "ridbench/";

void bench_key_name(const struct bench *b, unsigned key, char ret[BENCH_KEY_SIZE])
{
    (void)snprintf(ret, BENCH_KEY_SIZE, BENCH_PREFIX "%s/%06u", b->run, key);
}

char *bench_value(const struct bench *b, unsigned key, uint32_t number)
{
    char *value = NULL;

    if (asprintf(&value, "\"%s%s/%06u/%u/%s\"", mark, b->run, key, (unsigned)number, b->padding) <
        0)
        return NULL;
    return value;
}

bool bench_value_number(const struct bench *b, unsigned key, const char *string,
                        uint32_t *ret_number)
{
    char begin[sizeof(mark) + BENCH_RUN_SIZE + 16];
    size_t len;
    unsigned long number;
    char *end;

    (void)snprintf(begin, sizeof(begin), "%s%s/%06u/", mark, b->run, key);
    len = strlen(begin);
    if (string == NULL || strncmp(string, begin, len) != 0 || string[len] < '0' ||
        string[len] > '9')
        return false;
    number = strtoul(string + len, &end, 10);
    if (*end != '/' || number > UINT32_MAX || strcmp(end + 1, b->padding) != 0)
        return false;
    *ret_number = (uint32_t)number;
    return true;
}

bool bench_key_is_own(const char *key, const char *value, uint64_t *ret_begun_s)
{
    static const char form[] = BENCH_PREFIX "xxxxxxxx-xxxx/dddddd";

    if (key == NULL || value == NULL || strlen(key) != sizeof(form) - 1 ||
        strncmp(key, BENCH_PREFIX, sizeof(BENCH_PREFIX) - 1) != 0)
        return false;
    for (size_t i = sizeof(BENCH_PREFIX) - 1; i < sizeof(form) - 1; i++) {
        const char *allowed = form[i] == 'x'   ? "0123456789abcdef"
                              : form[i] == 'd' ? "0123456789"
                                               : NULL;

        if (allowed != NULL ? strchr(allowed, key[i]) == NULL : key[i] != form[i])
            return false;
    }
    if (strncmp(value, mark, sizeof(mark) - 1) != 0 ||
        strncmp(value + sizeof(mark) - 1, key + sizeof(BENCH_PREFIX) - 1,
                sizeof(form) - sizeof(BENCH_PREFIX)) != 0)
        return false;
    *ret_begun_s = strtoull(key + sizeof(BENCH_PREFIX) - 1, NULL, 16);
    return true;
}

/* ---- answers ---- */

static void note_wrong(struct bench *b, const struct bench_call *call, const struct ridd_reply *r,
                       const char *why)
{
    char key[BENCH_KEY_SIZE];

    if (b->n_wrong++ > 0)
        return;
    bench_key_name(b, call->key, key);
    (void)snprintf(b->wrong, sizeof(b->wrong), "%s of %s from %s: %s", b->method, key, r->endpoint,
                   why);
}

void bench_judge(struct bench *b, const struct bench_call *call, const struct ridd_reply *r)
{
    const struct bench_key *key = &b->keys[call->key];
    uint32_t number = 0;

    if (!r->exists && !b->linearizable)
        b->n_absent++; /* it promises little */
    else if (!r->exists)
        note_wrong(b, call, r, "the key is said to be absent");
    else if (!bench_value_number(b, call->key, r->string, &number))
        note_wrong(b, call, r, "the value is that of another key");
    else if (number > key->begun)
        note_wrong(b, call, r, "a value that was never written");
    else if (b->linearizable && !key->loose && number < call->number)
        note_wrong(b, call, r, "an older value than the last that was acknowledged before");
    else if (b->linearizable && !r->linearizable)
        note_wrong(b, call, r, "it does not say that it is linearizable");
}
