/* That the other side knows the cluster's id, without either of them saying it (PEER-8).
 *
 * The id was drawn at random and stands in the log: 128 bits that only nodes of the cluster have. A
 * proof is HMAC-SHA256 with it as key, over a text that names the direction, the ids of dialler and
 * acceptor, the challenges of both, nonce and channel, and what the reply says: refusal and
 * removed_index. So it is of use to nobody else, in no other handshake, and as no other answer. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "net/peer_int.h"

#include "base/banned.h"

#define PROOF_TEXT_BYTES 32u
/* Filled with zeros: no text begins as another one goes on. */
static const char texts[PEER_PROOF_TEXTS][PROOF_TEXT_BYTES] = {
    [PEER_PROOF_OF_ACCEPTOR] = "ridd link 1: acceptor",
    [PEER_PROOF_OF_DIALLER] = "ridd link 1: dialler",
    [PEER_PROOF_MASK] = "ridd link 1: incarnations",
    [PEER_PROOF_OF_REMOVAL] = "ridd link 1: removal",
    [PEER_PROOF_SHOWN] = "ridd link 1: shown",
};

bool peer_challenge_draw(unsigned char ret[WIRE_CHALLENGE_BYTES])
{
    return getrandom(ret, WIRE_CHALLENGE_BYTES, 0) == (ssize_t)WIRE_CHALLENGE_BYTES;
}

bool peer_proof(const unsigned char key[16], enum peer_proof_text text,
                const struct peer_proof_over *o, unsigned char ret[WIRE_PROOF_BYTES])
{
    unsigned char data[PROOF_TEXT_BYTES + 8 + 8 + 2 * WIRE_CHALLENGE_BYTES + 8 + 1 + 1 + 8];
    unsigned char *p = data;
    unsigned len = 0;

    memcpy(p, texts[text], PROOF_TEXT_BYTES);
    p += PROOF_TEXT_BYTES;
    put_u64(p, o->dialler);
    put_u64(p + 8, o->acceptor);
    p += 16;
    memcpy(p, o->challenge_of_dialler, WIRE_CHALLENGE_BYTES);
    memcpy(p + WIRE_CHALLENGE_BYTES, o->challenge_of_acceptor, WIRE_CHALLENGE_BYTES);
    p += (size_t)2 * WIRE_CHALLENGE_BYTES;
    put_u64(p, o->nonce);
    p[8] = (unsigned char)o->channel;
    p[9] = o->refused;
    put_u64(p + 10, o->removed_index);
    rid_assert(p + 18 == data + sizeof(data));
    return HMAC(EVP_sha256(), key, 16, data, sizeof(data), ret, &len) != NULL &&
           len == WIRE_PROOF_BYTES;
}

bool peer_net_shown_key(const unsigned char key[16], char ret_text[WIRE_CLUSTER_HASH_BUF])
{
    unsigned char hash[WIRE_PROOF_BYTES];
    unsigned len = 0;

    if (HMAC(EVP_sha256(), key, 16, (const unsigned char *)texts[PEER_PROOF_SHOWN],
             PROOF_TEXT_BYTES, hash, &len) == NULL ||
        len != WIRE_PROOF_BYTES)
        return false;
    (void)snprintf(ret_text, WIRE_CLUSTER_HASH_BUF, "%016llx", (unsigned long long)get_u64(hash));
    return true;
}

bool peer_net_same_key(const unsigned char a[16], const unsigned char b[16])
{
    return CRYPTO_memcmp(a, b, 16) == 0;
}

bool peer_proof_equal(const unsigned char a[WIRE_PROOF_BYTES],
                      const unsigned char b[WIRE_PROOF_BYTES])
{
    return CRYPTO_memcmp(a, b, WIRE_PROOF_BYTES) == 0;
}
