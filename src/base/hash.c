/* The prime is 2^88 + 0x13b. In halves of 64 bits, since a machine of 32 has no number of 128. */
#include "base/hash.h"

#include "base/bytes.h"

void hash_fnv128(const void *data, size_t len, unsigned char ret_hash[16])
{
    const unsigned char *p = data;
    uint64_t high = 0x6c62272e07bb0142u;
    uint64_t low = 0x62b821756295c58du;

    for (size_t i = 0; i < len; i++) {
        uint64_t carry;

        low ^= p[i];
        carry = ((low >> 32) * 0x13b + ((low & 0xffffffffu) * 0x13b >> 32)) >> 32;
        high = high * 0x13b + carry + (low << 24);
        low *= 0x13b;
    }
    put_u64(ret_hash, low);
    put_u64(ret_hash + 8, high);
}
