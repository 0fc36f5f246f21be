/*
 * http.h - OpenAI's completions over HTTP, by libmicrohttpd, which is loaded when it is needed.
 *
 * SPDX-License-Identifier: MIT
 *
 * POST /v1/completions and /v1/chat/completions, GET /v1/models, /health, /metrics.  A request
 * with the head Idempotency-Key has that id; without, it ends when its client goes away.
 */
#ifndef RBE_DEPLOY_SERVE_HTTP_H
#define RBE_DEPLOY_SERVE_HTTP_H

#include "deploy/serve/core.h"

struct rbe_http;

struct rbe_http_options {
    const char *address;        /* "PORT", "HOST:PORT", "[HOST]:PORT"; a number or localhost */
    const char *token;          /* that clients must show, or NULL */
    uint32_t clients;           /* connections at once */
    uint32_t patience;          /* seconds for a client to send a request, or take an answer */
    size_t body;                /* bytes of a request */
};

/* Begins to listen.  RBE_ERR_ARG: beyond loopback without a token. */
enum rbe_status rbe_http_open(struct rbe_http **out, struct rbe_core *c,
                              const struct rbe_http_options *o, struct rbe_diag *d);
/* Where it listens, "127.0.0.1:8080". */
const char *rbe_http_address(const struct rbe_http *h);
/* After rbe_core_stop(). */
void rbe_http_close(struct rbe_http **h);

#endif
