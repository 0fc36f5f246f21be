/*
 * cmd_eval.c - `rbe eval WHAT`: finds the evaluation and runs it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "eval/evaluations.h"

static const struct {
    const char *name, *title, *what;
    rbe_command_fn *run;
} evaluations[] = {
#define RBE_EVALUATION(name, what) {#name, "eval " #name, what, rbe_eval_##name},
#include "eval/evaluations.def"
#undef RBE_EVALUATION
};
enum { COUNT = sizeof evaluations / sizeof evaluations[0] };

static void usage(FILE *f)
{
    fprintf(f, "Usage: rbe eval WHAT [OPTION...]\n"
               "Measures a model, or compares models with the first one.\n\n");
    for (int i = 0; i < COUNT; i++)
        fprintf(f, "  %-14s %s\n", evaluations[i].name, evaluations[i].what);
    fprintf(f, "\nrbe eval WHAT --help explains one.  Result lines: docs/RESULTS.md.\n");
}

int rbe_cmd_eval(int argc, const char **argv)
{
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        usage(stdout);
        return 0;
    }
    for (int i = 0; i < COUNT; i++)
        if (!strcmp(argv[1], evaluations[i].name)) {
            argv[1] = evaluations[i].title;
            return evaluations[i].run(argc - 1, argv + 1);
        }
    fprintf(stderr, "rbe eval: unknown evaluation '%s'; valid:", argv[1]);
    for (int i = 0; i < COUNT; i++)
        fprintf(stderr, " %s", evaluations[i].name);
    fputc('\n', stderr);
    return 2;
}
