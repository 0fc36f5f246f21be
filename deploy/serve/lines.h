/*
 * lines.h - requests as lines of JSON: from standard input, and from clients of a UNIX socket.
 *
 * SPDX-License-Identifier: MIT
 *
 * Replies are those of reply.h, a line each; parts only where the request says "stream".
 * Every request has an id.  Where no more is taken, nothing is read: the queue is full, half
 * of it is this client's, or the client does not read its replies.
 */
#ifndef RBE_DEPLOY_SERVE_LINES_H
#define RBE_DEPLOY_SERVE_LINES_H

#include "deploy/serve/core.h"

struct rbe_lines;

struct rbe_lines_options {
    bool standard;              /* standard input and output */
    const char *socket;         /* path of a UNIX socket, or NULL */
    uint32_t clients;           /* of the socket, at most */
    size_t line;                /* bytes of a line, at most */
};

/* Before rbe_core_start(): answers of an earlier process go to standard output.  A socket that
 * nobody listens at any more is replaced. */
enum rbe_status rbe_lines_open(struct rbe_lines **out, struct rbe_core *c,
                               const struct rbe_lines_options *o, struct rbe_diag *d);
enum rbe_status rbe_lines_start(struct rbe_lines *l, struct rbe_diag *d);
/* Standard input has ended and what there was to say is written, or standard output is gone. */
bool rbe_lines_ended(struct rbe_lines *l);
/* Of standard output, RBE_OK where it is whole. */
enum rbe_status rbe_lines_stop(struct rbe_lines *l, struct rbe_diag *d);
void rbe_lines_close(struct rbe_lines **l);

#endif
