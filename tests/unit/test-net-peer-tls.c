/* net: the links of peers once more, by the same cases, over TLS. */
#define TEST_OVER_TLS
#include "test-net-peer.c"
