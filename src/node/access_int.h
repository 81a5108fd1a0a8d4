/* What the two files of access.h share. */
#ifndef RIDD_NODE_ACCESS_INT_H
#define RIDD_NODE_ACCESS_INT_H

#include "node/access.h"

/* One line more; there is room for all. id: of a user or group. */
void access_add(struct access_grants *grants, const struct conf_grant *g, uint32_t id);
/* Adds what somebody else wrote, as it may stand between quotes in a line of the log. */
void access_add_words(char *text, size_t size, const char *more, size_t len);
/* Grant number i is somebody's, too. */
void access_join(struct access_right *right, const struct access_grant *g, unsigned i);

#endif
