/*
 * cmd_eval.c - `rbe eval WHAT`: finds the evaluation and runs it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "cli/evaluations.h"

static const struct rbe_man_item items[] = {
#define RBE_EVALUATION(name, what) {#name, what},
#include "cli/evaluations.def"
#undef RBE_EVALUATION
};
static const struct {
    const char *title;
    rbe_command_fn *run;
} evaluations[] = {
#define RBE_EVALUATION(name, what) {"eval " #name, rbe_eval_##name},
#include "cli/evaluations.def"
#undef RBE_EVALUATION
};
enum { COUNT = sizeof items / sizeof items[0] };

static void usage(FILE *f)
{
    rbe_print_commands(f, "rbe eval", "WHAT [OPTION...]",
                       "Measures a model, or compares models with the first one.", items, COUNT,
                       "rbe eval WHAT --help explains one.  Result lines: docs/RESULTS.md.");
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
        if (!strcmp(argv[1], items[i].name)) {
            rbe_describe(items[i].what);
            argv[1] = evaluations[i].title;
            return evaluations[i].run(argc - 1, argv + 1);
        }
    fprintf(stderr, "rbe eval: unknown evaluation '%s'; valid:", argv[1]);
    for (int i = 0; i < COUNT; i++)
        fprintf(stderr, " %s", items[i].name);
    fputc('\n', stderr);
    return 2;
}
