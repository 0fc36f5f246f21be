/*
 * consumer.c - a program of somebody else's, built with librbe through pkg-config.
 *
 * SPDX-License-Identifier: MIT
 *
 * Opens the model of argv[1], runs three tokens and prints the likeliest next one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cpu.h"
#include "model/model.h"

int main(int argc, char **argv)
{
    const uint32_t tokens[] = {1, 2, 3};
    struct rbe_gpt2 *model = NULL;
    struct rbe_session *session = NULL;
    struct rbe_diag d = {""};
    float *logits = NULL;
    uint32_t best = 0;
    int code = 1;

    if (argc != 2 || rbe_cpu_init())
        return 2;
    if (rbe_gpt2_open(&model, argv[1], &d) ||
        rbe_session_open(&session, model, (struct rbe_session_limits){.max_tokens = 8}, NULL,
                         &d) ||
        rbe_forward(session, tokens, 3, &d))
        goto out;
    const uint32_t vocab = rbe_gpt2_config(model)->vocab;
    if (!(logits = malloc(vocab * sizeof *logits)) ||
        rbe_logits(session, RBE_LAST, 1, logits, &d))
        goto out;
    for (uint32_t i = 1; i < vocab; i++)
        if (logits[i] > logits[best])
            best = i;
    printf("%u of %u tokens\n", best, vocab);
    code = 0;
out:
    if (code)
        fprintf(stderr, "consumer: %s\n", d.text);
    free(logits);
    rbe_session_close(&session);
    rbe_gpt2_close(&model);
    return code;
}
