/*
 * consumer.c - a program of somebody else's, built with librbe through pkg-config.
 *
 * SPDX-License-Identifier: MIT
 *
 * Goes on from "The city" with the model of argv[1] for eight tokens, the likeliest each time;
 * then encodes a small matrix, and multiplies by it and by what it decodes to.
 */
#include <math.h>
#include <rbe/chat.h>
#include <rbe/codec.h>
#include <rbe/model.h>
#include <rbe/sampler.h>
#include <rbe/tokenizer.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum rbe_status go_on(const char *path, struct rbe_pool *pool, struct rbe_diag *d)
{
    static const char prompt[] = "The city";
    struct rbe_model *model = NULL;
    struct rbe_tokenizer *tokenizer = NULL;
    struct rbe_session *session = NULL;
    struct rbe_sampler *sampler = NULL;
    uint32_t *ids = NULL, next;
    float *logits = NULL;
    size_t count, size;
    enum rbe_status err;

    if ((err = rbe_model_open(&model, path, d)) ||
        (err = rbe_tokenizer_for(&tokenizer, model, NULL, d)) ||
        (err = rbe_tokenizer_encode(tokenizer, prompt, strlen(prompt), false, &ids, &count,
                                    d)) ||
        (err = rbe_session_open(&session, model, (struct rbe_session_limits){.max_tokens = 64},
                                pool, d)) ||
        (err = rbe_forward(session, ids, count, d)))
        goto out;
    sampler = rbe_sampler_open(rbe_model_vocab(model), (struct rbe_sampling){.top_p = 1});
    logits = malloc(rbe_model_vocab(model) * sizeof *logits);
    err = sampler && logits ? RBE_OK : RBE_ERR_NOMEM;
    fputs(prompt, stdout);
    for (int i = 0; !err && i < 8; i++)
        if (!(err = rbe_logits(session, RBE_LAST, 1, logits, d))) {
            next = rbe_sample(sampler, logits);
            const char *bytes = rbe_tokenizer_bytes(tokenizer, next, &size);
            fwrite(bytes, 1, size, stdout);
            err = rbe_forward(session, &next, 1, d);
        }
    putchar('\n');
out:
    free(ids);
    free(logits);
    rbe_sampler_close(&sampler);
    rbe_session_close(&session);
    rbe_tokenizer_close(&tokenizer);
    rbe_model_close(&model);
    return err;
}

/* Is y what the decoded rows give?  The kernels round x to 16 bits. */
static enum rbe_status use_codec(const char *codec, uint32_t block, struct rbe_pool *pool,
                                 struct rbe_diag *d)
{
    enum { ROWS = 128, COLS = 256, COUNT = 3 };
    static float w[ROWS * COLS], x[COUNT * COLS], y[COUNT * ROWS], row[COLS];
    const struct rbe_coding how = {.codec = codec, .block = block, .hadamard = 64,
                                   .search = "fast"};
    struct rbe_coded *c;
    uint32_t seed = 1;
    double far = 0;
    enum rbe_status err;

    for (int i = 0; i < ROWS * COLS + COUNT * COLS; i++) {
        seed = seed * 1664525U + 1013904223U;
        *(i < ROWS * COLS ? &w[i] : &x[i - ROWS * COLS]) = (float)(seed >> 8) / 0x1p23F - 1;
    }
    if ((err = rbe_coded_open(&c, w, ROWS, COLS, &how, pool, d)))
        return err;
    err = rbe_coded_multiply(c, x, COUNT, y, pool, d);
    for (uint32_t r = 0; !err && r < ROWS; r++) {
        rbe_coded_row(c, r, row);
        for (int t = 0; t < COUNT; t++) {
            double sum = 0;
            for (int i = 0; i < COLS; i++)
                sum += (double)row[i] * (double)x[t * COLS + i];
            const double off = fabs(sum - (double)y[t * ROWS + r]);
            far = off > far ? off : far;
        }
    }
    printf("%s: %zu bytes, %s, products within %.1e\n", codec, rbe_coded_bytes(c),
           rbe_coded_kernel(c), far);
    rbe_coded_close(&c);
    return !err && !(far < 0.05) ? RBE_ERR_NUMERIC : err;
}

static bool print_piece(void *arg, const char *text, size_t size)
{
    (void)arg;
    fwrite(text, 1, size, stdout);
    return true;
}

/* A question and its answer, as an app would have it. */
static enum rbe_status talk(const char *model, struct rbe_diag *d)
{
    const struct rbe_edge_config how = {.context = 64, .max_tokens = 8, .threads = 1};
    struct rbe_chat *c;
    char stats[1024];
    enum rbe_status err;

    if ((err = rbe_chat_open(&c, model, NULL, &how, d)))
        return err;
    if (!(err = rbe_chat_say(c, "Where does the river rise?", print_piece, NULL, d))) {
        rbe_chat_stats(c, stats, sizeof stats);
        printf("\n%s\n", stats);
    }
    rbe_chat_close(&c);
    return err;
}

int main(int argc, char **argv)
{
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};
    enum rbe_status err;

    if (argc != 2)
        return 2;
    if (!(err = rbe_init(&d)) && !(err = rbe_pool_open(&pool, 2, &d)) &&
        !(err = go_on(argv[1], pool, &d)) && !(err = talk(argv[1], &d)) &&
        !(err = use_codec("seed", 32, pool, &d)))
        err = use_codec("int4", 0, pool, &d);
    if (err)
        fprintf(stderr, "consumer: %s: %s\n", rbe_strerror(err), d.text);
    rbe_pool_close(&pool);
    return err ? 1 : 0;
}
