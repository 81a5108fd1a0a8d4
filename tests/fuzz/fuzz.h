/* What a fuzz target gives to driver.c besides LLVMFuzzerTestOneInput. */
#ifndef RIDD_TESTS_FUZZ_H
#define RIDD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

extern const char fuzz_name[];
/* Appends seed number i; 0, or 1 when there are no more. */
int fuzz_seed(unsigned i, struct buf *buf);

#endif
