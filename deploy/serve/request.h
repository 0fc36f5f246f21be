/*
 * request.h - what a client asks for, read from JSON, every number checked.
 *
 * SPDX-License-Identifier: MIT
 *
 * The members are those of OpenAI's completions and chat completions; one that would change the
 * answer and is not known here is refused by name.
 */
#ifndef RBE_DEPLOY_SERVE_REQUEST_H
#define RBE_DEPLOY_SERVE_REQUEST_H

#include <jansson.h>
#include <rbe/sampler.h>
#include <rbe/tokenizer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { RBE_REQUEST_ID = 128, RBE_REQUEST_PROMPTS = 64, RBE_REQUEST_STOPS = 4,
       RBE_REQUEST_LOGPROBS = 5, RBE_REQUEST_DEPTH = 32 };

struct rbe_request_limits {
    const struct rbe_tokenizer *tokenizer;
    uint32_t context;           /* tokens of a prompt and its answer */
    uint32_t max_tokens;        /* of an answer, at most, and where none is asked for */
    bool plain;                 /* no ChatML */
};

struct rbe_prompt {
    uint32_t *ids;
    size_t n;
};

struct rbe_request {
    char *id;                   /* NULL: none; 1 to RBE_REQUEST_ID bytes */
    char *text;                 /* the request as JSON, but for id and stream; always alike */
    uint64_t hash;              /* of it */
    bool asks;                  /* only what became of the id: nothing below is set */
    bool chat, stream, echo;
    int logprobs;               /* the likeliest tokens of each place; -1: none are asked for */
    uint32_t max_tokens;
    struct rbe_sampling sampling;
    bool seeded;                /* with a seed of its own */
    struct rbe_prompt *prompts;
    size_t count;               /* at least one */
    char *stops[RBE_REQUEST_STOPS];
    size_t stop_count;
    uint32_t end;               /* a token that ends the answer, or UINT32_MAX */
};

/*
 * From a JSON object.  RBE_ERR_ARG: it is not one that can be answered, d says why; where its
 * id could be read, (*out)->id is set all the same, and nothing else.
 */
enum rbe_status rbe_request_read(struct rbe_request **out, const json_t *o,
                                 const struct rbe_request_limits *l, struct rbe_diag *d);
/* The same from a text. */
enum rbe_status rbe_request_parse(struct rbe_request **out, const char *text, size_t size,
                                  const struct rbe_request_limits *l, struct rbe_diag *d);
void rbe_request_free(struct rbe_request **r);

#endif
