/* What a load may ask for: its name, another one, how a key is read, of what kind the reads are,
 * how many of a hundred are writes, whether reads promise to be linearizable, whether any node
 * answers.
 *
 * Of mixed ten percent are written, as in what is usual to be measured (YCSB B has five).
 *
 * For: ridbench, and ridctl, which completes the names.
 * Obvious: the rest. */
#ifndef RIDD_LOAD_METHODS_H
#define RIDD_LOAD_METHODS_H

#define LOAD_METHODS(X)                                                                            \
    X("read_index", NULL, READ_INDEX, READ, 0, true, false)                                        \
    X("log", "read_via_log", LOG, READ, 0, true, false)                                            \
    X("lease", "lease_read", LEASE, READ, 0, true, false)                                          \
    X("follower", "follower_read", FOLLOWER, READ, 0, true, true)                                  \
    X("local", "local_read", LOCAL, READ, 0, false, true)                                          \
    X("bounded", NULL, BOUNDED, READ, 0, false, true)                                              \
    X("write", "put", READ_INDEX, READ, 100, true, false)                                          \
    X("mixed", NULL, READ_INDEX, READ, BENCH_MIXED_PERCENT, true, false)                           \
    X("batch", NULL, READ_INDEX, BATCH, 0, true, false)                                            \
    X("scan", NULL, READ_INDEX, SCAN, 0, true, false)

#endif
