/* May memory that is free again be kept for the next one who needs as much?
 *
 * For: lists of free objects of one size, which spare an allocator a million calls in a second.
 * Not for: memory without a bound: each list has one in base/limits.h.
 * Errors: none. Under AddressSanitizer nothing is kept, so that it sees who uses an object that was
 * given back.
 * Obvious: units, ownership, thread, source. */
#ifndef RIDD_BASE_KEEP_H
#define RIDD_BASE_KEEP_H

#if defined(__SANITIZE_ADDRESS__)
#define KEEP_FREE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEP_FREE 0
#endif
#endif
#ifndef KEEP_FREE
#define KEEP_FREE 1
#endif

#endif
