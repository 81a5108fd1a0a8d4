/* Whether this host has a node with a socket for local clients. */
#ifndef RIDD_CTL_LOCAL_INT_H
#define RIDD_CTL_LOCAL_INT_H

#include "conf/conf.h"
#include "ctl/ctl_int.h"

/* True: the endpoint ("unix:/run/ridd/n1.sock"), at which somebody answers. */
bool local_find(const struct ctl *ctl, const struct conf *conf, char *ret, size_t size);

#endif
