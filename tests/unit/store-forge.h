/* What no version of the store writes today: batches made by hand, with good checksums, at the end of
 * a log on the fake disk. The log must be closed. Ends the test on an error. */
#ifndef RIDD_TESTS_STORE_FORGE_H
#define RIDD_TESTS_STORE_FORGE_H

#include "store/recover_int.h"
#include "unit/fake-disk.h"

/* The records, with the number of the next batch, and a BATCH_END that names `last`; NULL: without
 * one, as a crash leaves it. */
void forge_batch(struct fake_disk *disk, const struct store_conf *conf, const struct record *recs,
                 unsigned n, const struct raft_entry_id *last);
/* The header of the file is of this version from now on. */
void forge_version(struct fake_disk *disk, const char *name, uint32_t version);

#endif
