/* Commands out of docs/OPERATIONS.md, run by real processes: the text is what is tested.
 *
 * The text has fenced blocks whose first line is "```console run=NAME"; all blocks of one NAME are a
 * procedure, in the order in which they stand. In a block,
 *
 *     n4# COMMAND      is run on the machine of node n4, with its configuration,
 *     any$ COMMAND     on a machine of nobody, with the configuration of clients,
 *     anything else    is a line that the command before must have said, "..." standing for what
 *                      differs; lines may be left out. Where one begins with "ridctl: " or "ridd: the"
 *                      the command must have failed, otherwise it must not.
 *
 * A command is run by a shell as it stands, but for what a test machine does not have:
 *
 *     10.0.0.X:7401, :7400        are the addresses of node nX, X up to 7; 10.0.0.13 those of n7
 *     /etc/ridd/ridd.conf         is a file of that machine, scp a copy of that of another
 *     /var/lib/ridd, /backup      are in the folder of the cluster
 *     runuser -u ridd --          is left out; so is setpriv with its options
 *     systemctl VERB ridd@nX      starts and ends the process of the node
 *     ridd ... --join &           is started, and `kill %1; wait` ends it */
#ifndef RIDD_TESTS_CLUSTER_BOOK_H
#define RIDD_TESTS_CLUSTER_BOOK_H

#include "cluster/harness.h"

#define BOOK_EXPECT_MAX 12u
#define BOOK_TEXT_BYTES 400u

struct book_command {
    char block[24];
    char machine[8]; /* "n4", "any" */
    char text[BOOK_TEXT_BYTES];
    char expect[BOOK_EXPECT_MAX][BOOK_TEXT_BYTES];
    unsigned n_expect;
    unsigned line; /* of the text */
};

struct book {
    struct book_command *commands;
    unsigned n;
    struct cluster *cluster;
    char confs[CLUSTER_NODES_MAX + 1][240]; /* of n1 to n7, and of clients */
    /* Called when a command is about to be run; NULL: nobody. */
    void (*before)(void *ctx, const struct book_command *command);
    void *ctx;
};

/* Of a cluster of 7 nodes, of which the first `founders` stand in all configurations. */
void book_open(struct book *b, struct cluster *c, unsigned founders);
void book_close(struct book *b);
/* Fails the case where a command does not end, or not say, as the text has it. */
void book_run(struct book *b, const char *block);
/* The same with another node in the place of n4: in each command, and nothing that is said is
 * compared. A `ridctl member` that fails is repeated, as the text says. */
void book_run_as(struct book *b, const char *block, unsigned n4);
/* The text, with what this machine has in the place of what stands there. */
void book_here(const struct book *b, const struct book_command *command, const char *text,
               char *ret_text, size_t size);
/* Nodes that are started by the harness have the file of their machine: of node i. */
void book_aim(struct book *b, unsigned i);
/* One as it was taken from the text; its exit code. */
int book_do(struct book *b, const struct book_command *command, struct buf *out);
/* How many commands a block has. */
unsigned book_count(const struct book *b, const char *block);

#endif
