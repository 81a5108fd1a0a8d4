/* CRC32C (Castagnoli), SSE4.2 where the processor has it, a table elsewhere. Pure, any thread.
 * crc32c(0, "123456789", 9) == 0xe3069283; feed the result back in to go on over more bytes. */
#ifndef RIDD_BASE_CRC32C_H
#define RIDD_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The table variant alone, so that a test can hold both against each other. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
