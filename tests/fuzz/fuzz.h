/* What a fuzz target and its runner (libFuzzer, or driver.c without it) give each other. */
#ifndef RIDD_TESTS_FUZZ_H
#define RIDD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* Optional in a target: scripts have those of steps.c. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *data1, size_t size1, const uint8_t *data2,
                                 size_t size2, uint8_t *out, size_t max_out_size, unsigned seed);
/* The runner's. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* The target's name is that of its corpus: tests/fuzz/corpus/<name>. */
extern const char fuzz_name[];
/* How many mutations the unit test takes, as far as one run costs what it costs. */
extern const unsigned fuzz_runs;
/* Appends seed number i; 0, or 1 when there are no more. */
int fuzz_seed(unsigned i, struct buf *buf);

#endif
