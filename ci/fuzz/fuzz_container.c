/*
 * fuzz_container.c - any bytes as an RBE container, decoded and run.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "model/model.h"
#include "rbe/container.h"

/* More than this would only take time. */
enum { MOST = 1 << 16 };

static void decode(const struct rbe_weight *w)
{
    float *row = malloc(w->cols * sizeof *row);

    for (size_t i = 0; i < w->part_count && (uint64_t)w->rows * w->cols <= MOST; i++)
        for (uint32_t r = 0; r < w->parts[i].m.rows; r++)
            rbe_decode_row(&w->parts[i].m, r, row);
    free(row);
}

static void run(const char *path)
{
    static const uint32_t tokens[] = {0, 0, 1};
    struct rbe_model *m;
    struct rbe_session *s;
    struct rbe_diag d = {""};

    if (!rbe_fuzz_said(rbe_model_open(&m, path, &d), &d))
        return;
    const struct rbe_model_config *c = rbe_model_config(m);
    const struct rbe_session_limits l = {c->n_ctx < 3 ? c->n_ctx : 3, 3, 1, RBE_KV_DEFAULT};
    if (rbe_model_config_params(c) <= MOST &&
        rbe_fuzz_said(rbe_session_open(&s, m, l, NULL, &d), &d)) {
        float *logits = malloc(c->vocab * sizeof *logits);
        const size_t n = c->vocab > 1 && l.max_tokens == 3 ? 3 : 1;
        if (rbe_fuzz_said(rbe_forward(s, tokens, n, &d), &d))
            rbe_fuzz_said(rbe_logits(s, RBE_LAST, 1, logits, &d), &d);
        free(logits);
        rbe_session_close(&s);
    }
    rbe_model_close(&m);
}

bool rbe_fuzz_container(const uint8_t *data, size_t size)
{
    struct rbe_container *c;
    struct rbe_diag d = {""};
    const char *path = rbe_fuzz_put("input", data, size);

    if (!rbe_fuzz_said(rbe_container_open(&c, path, true, &d), &d))
        return false;
    for (size_t i = 0; i < rbe_container_weight_count(c); i++) {
        const struct rbe_weight *w = rbe_container_weight_at(c, i);
        FUZZ_NEED(rbe_container_weight(c, w->name) != NULL);
        decode(w);
    }
    rbe_container_close(&c);
    run(path);
    return true;
}
