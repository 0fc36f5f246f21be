/*
 * fuzz_recording.c - any bytes as recorded predictions.
 *
 * SPDX-License-Identifier: MIT
 *
 * The input is the header's text up to a newline, then the rows.  In the header MODEL and TEXT
 * stand for the checksums that are wanted, since these follow from other files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "eval/recording.h"

enum { CONTEXT = 8, VOCAB = 48, TOKENS = 16 };

/* `from` up to `end` into to, `what` replaced by the value where it first stands. */
static size_t replace(char *to, size_t room, const char *from, size_t n, const char *what,
                      const char *value)
{
    const char *at = memmem(from, n, what, strlen(what));
    const size_t before = at ? (size_t)(at - from) : n;
    const size_t k = at ? strlen(value) : 0, after = at ? n - before - strlen(what) : 0;

    if (before + k + after > room)
        return 0;
    memcpy(to, from, before);
    memcpy(to + before, value, k);
    memcpy(to + before + k, from + n - after, after);
    return before + k + after;
}

bool rbe_fuzz_recording(const uint8_t *data, size_t size)
{
    static struct rbe_model *model;
    static uint32_t tokens[TOKENS];
    static struct rbe_window window[] = {{0, CONTEXT, 1}, {CONTEXT, CONTEXT, 1}};
    static struct rbe_text text = {.name = "text", .sha256 = "0123456789abcdef"};
    const struct rbe_windows w = {.protocol = RBE_P1, .context = CONTEXT, .tokens = tokens,
                                  .token_count = TOKENS, .w = window, .count = 2};
    struct rbe_recording *r;
    struct rbe_diag d = {""};
    float logits[3 * VOCAB];
    char head[RBE_RECORDING_HEAD], half[RBE_RECORDING_HEAD];
    const uint8_t *nl = size ? memchr(data, '\n', size) : NULL;
    const size_t n = nl ? (size_t)(nl - data) : size, rest = nl ? size - n - 1 : 0;

    if (!model)
        FUZZ_NEED(!rbe_model_open(&model, rbe_fuzz_world()->folder, &d) &&
                  !rbe_model_hash(model, &d));
    struct rbe_runner base = {.model = model, .n_ctx = CONTEXT, .vocab = VOCAB};
    const size_t used = n > sizeof half ? 0
        : replace(head, sizeof head - 1, half,
                  replace(half, sizeof half, (const char *)data, n, "MODEL",
                          rbe_model_sha256(model)), "TEXT", text.sha256);
    memset(head + used, ' ', sizeof head - used);
    head[sizeof head - 1] = '\n';
    char *all = malloc(sizeof head + rest);
    memcpy(all, head, sizeof head);
    if (rest)
        memcpy(all + sizeof head, nl + 1, rest);
    const char *path = rbe_fuzz_put("input", all, sizeof head + rest);
    free(all);
    if (!rbe_fuzz_said(rbe_recording_open(&r, path, &base, &text, &w, 1, &d), &d))
        return false;
    while (rbe_fuzz_said(rbe_recording_rows(r, logits, 3, &d), &d))
        ;
    rbe_recording_close(&r);
    return true;
}
