/*
 * fuzz_request.c - any bytes as a request to rbe-serve.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ci/fuzz/fuzz.h"
#include "deploy/serve/request.h"

static void look(const struct rbe_request *r, const struct rbe_request_limits *l)
{
    FUZZ_NEED(r->text && r->count > 0 && r->count <= RBE_REQUEST_PROMPTS);
    FUZZ_NEED(r->max_tokens <= l->max_tokens && r->stop_count <= RBE_REQUEST_STOPS);
    FUZZ_NEED(r->logprobs >= -1 && r->logprobs <= RBE_REQUEST_LOGPROBS);
    FUZZ_NEED(r->sampling.temperature >= 0 && r->sampling.top_p > 0 && r->sampling.top_p <= 1);
    for (size_t i = 0; i < r->count; i++) {
        FUZZ_NEED(r->prompts[i].n > 0 && r->prompts[i].n + r->max_tokens <= l->context);
        for (size_t k = 0; k < r->prompts[i].n; k++)
            FUZZ_NEED(r->prompts[i].ids[k] < rbe_tokenizer_vocab(l->tokenizer));
    }
}

/* A text within a record of the journal. */
static void look_at_record(const char *text)
{
    char *record = NULL;
    json_t *o;

    FUZZ_NEED(asprintf(&record, "{\"request\":%s}", text) > 0);
    FUZZ_NEED(!rbe_json_load(&o, record, strlen(record), 0, NULL, "record", NULL));
    free(record);
    record = json_dumps(o, JSON_COMPACT);
    FUZZ_NEED(record != NULL);
    free(record);
    json_decref(o);
}

bool rbe_fuzz_request(const uint8_t *data, size_t size)
{
    const struct rbe_request_limits l = {.tokenizer = rbe_fuzz_vocabulary(), .context = 64,
                                         .max_tokens = 32};
    struct rbe_request *r, *again;
    struct rbe_diag d = {""};
    char *text = malloc(size + 1);

    if (size)
        memcpy(text, data, size);
    const bool taken = rbe_fuzz_said(rbe_request_parse(&r, text, size, &l, &d), &d);
    free(text);
    if (taken && !r->asks) {
        look(r, &l);
        look_at_record(r->text);
        /* What is kept is the same request. */
        FUZZ_NEED(!rbe_request_parse(&again, r->text, strlen(r->text), &l, &d));
        FUZZ_NEED(again->hash == r->hash && !strcmp(again->text, r->text) && !again->id);
        FUZZ_NEED(again->count == r->count && again->prompts[0].n == r->prompts[0].n);
        rbe_request_free(&again);
    }
    FUZZ_NEED(taken || !r || (r->id && !r->prompts));
    rbe_request_free(&r);
    return taken;
}
