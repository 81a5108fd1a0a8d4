/* CRC32C (Castagnoli), SSE4.2 where the processor has it, a table elsewhere.
 *
 * For: records on disk and frames between nodes: bytes that were hit by accident.
 * Not for: an attacker, who can make any checksum right.
 * Units: bytes.
 * Errors: none; a null length gives back the value that was put in.
 * Thread: any; pure.
 * Source: RFC 3720, B.4: crc32c(0, "123456789", 9) == 0xe3069283. Feed the result back in to go on
 * over more bytes.
 * Obvious: ownership. */
#ifndef RIDD_BASE_CRC32C_H
#define RIDD_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);
/* The table variant alone, so that a test can hold both against each other. */
uint32_t crc32c_table(uint32_t crc, const void *data, size_t len);

#endif
