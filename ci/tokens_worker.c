/*
 * tokens_worker.c - token ids of many texts, for ci/tokens.py.
 *
 * SPDX-License-Identifier: MIT
 *
 * tokens_worker FOLDER text|parse: on stdin, for each text its size in bytes, a newline and
 * the bytes; on stdout, for each a line of ids.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer.h"

int main(int argc, char **argv)
{
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    uint32_t *ids;
    size_t size, n;

    if (argc != 3) {
        fprintf(stderr, "usage: tokens_worker FOLDER text|parse\n");
        return 2;
    }
    if (rbe_tokenizer_open(&t, argv[1], &d)) {
        fprintf(stderr, "%s\n", d.text);
        return 1;
    }
    while (scanf("%zu", &size) == 1) {
        char *text = malloc(size + 1);
        if (getchar() != '\n' || !text || fread(text, 1, size, stdin) != size ||
            rbe_tokenizer_encode(t, text, size, !strcmp(argv[2], "parse"), &ids, &n, &d)) {
            fprintf(stderr, "tokens_worker: %s\n", *d.text ? d.text : "input ends too early");
            return 1;
        }
        for (size_t i = 0; i < n; i++)
            printf("%s%u", i ? " " : "", ids[i]);
        putchar('\n');
        free(ids);
        free(text);
    }
    rbe_tokenizer_close(&t);
    return 0;
}
