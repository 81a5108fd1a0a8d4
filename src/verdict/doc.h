/* A cluster as one JSON document: the verdict, and what each node said.
 *
 * For: `ridctl status --json`, and /cluster.json of the daemon, which is the same document with
 * more of each node.
 * Not for: asking anybody.
 * Units: as in the status reply that ridd-protocol(7) describes; ridctl(1) has the fields.
 * Ownership: borrows everything.
 * Errors: -ENOMEM; what was written into the buffer is no document then.
 * Thread: any.
 * Source: STATUS-1; ridctl(1). */
#ifndef RIDD_VERDICT_DOC_H
#define RIDD_VERDICT_DOC_H

#include "base/buf.h"
#include "verdict/verdict.h"

/* One JSON text, as it was sent. */
struct doc_text {
    const char *json; /* NULL: there is none */
    size_t len;
};

struct doc_node {
    struct doc_text status; /* exactly where the verdict's node has one */
    bool answered;          /* without a status: something came back, or nobody could be asked */
    /* What ridctl does not ask for: absent from the document when it was not asked. */
    bool has_more;
    struct doc_text slow;   /* absent: null in the document */
    struct doc_text events; /* the same */
};

/* Appends the document, without a newline. nodes and said are those that were judged. */
int verdict_doc(const struct verdict *v, const struct verdict_node *nodes,
                const struct doc_node *said, unsigned n, struct buf *out);

#endif
