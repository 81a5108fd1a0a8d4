/* What the halves of the log's fuzz target share: fuzz-log.c builds and judges, log-damage.c breaks. */
#ifndef RIDD_TESTS_FUZZ_LOG_RIG_H
#define RIDD_TESTS_FUZZ_LOG_RIG_H

#include "base/prng.h"
#include "fuzz/steps.h"
#include "store/store_int.h"
#include "unit/fake-disk.h"
#include "unit/store-model.h"

#define STEPS_MAX 160u

enum trust { HONEST, ROTTEN, FORGED };

enum op {
    OP_SUBMIT,
    OP_WORK,
    OP_IDLE,
    OP_PREPARE,
    OP_READ,
    OP_OPEN,
    OP_CRASH,
    OP_FAULT,
    OP_FLIP,
    OP_ZERO,
    OP_RESIZE,
    OP_FILE,
    OP_GARBLE,
    OP_EDIT_RECORD,
    OP_EDIT_HEADER,
    OP_MAKE_RECORD,
    OP_REMOVE_RECORDS,
    OP_REPEAT_RECORDS,
    OP_SEAL,
    N_OPS,
};

struct log_rig {
    struct fake_disk *disk;
    struct store_conf conf;
    struct store *store;
    enum trust trust;
    unsigned n_damages; /* since the last open */
    bool flipped_once;  /* the one damage is a bit */
    bool faults;        /* armed since the last open */
    bool only_full;     /* and nothing but that */
    bool dumps;         /* honest logs too */
    bool cache_lies;    /* a sync has failed since the last loss of power */

    struct model_batch batches[STEPS_MAX]; /* what the log may hold, in order */
    unsigned n_batches;
    unsigned n_durable;
    unsigned n_durable_before; /* without the last disk batch */
    struct model newest;       /* HONEST, ROTTEN: all of batches; FORGED: as read */
    uint64_t number;
    struct prng prng;
    struct steps steps;
};

/* The process is gone, and with cut (or when the power is off) the machine was too; nothing is armed
 * any more. */
void log_rig_restart(struct log_rig *rig, const struct fake_disk_cut *cut);

/* One step of those from OP_FLIP on. */
void log_damage(struct log_rig *rig, const uint8_t *s);

#endif
