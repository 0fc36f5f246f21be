/*
 * main.c - the program rbe-bench: options, the run, and its files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <popt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/commit.h"
#include "base/json.h"
#include "base/version.h"
#include "cli/arguments.h"

/* Splits argv: --benchmark_... for Google Benchmark, the rest for popt. */
static void split(int argc, char **argv, int *gc, char **gv, int *pc, const char **pv)
{
    for (int i = 0; i < argc; i++) {
        if (i == 0 || !strncmp(argv[i], "--benchmark_", 12))
            gv[(*gc)++] = argv[i];
        if (i == 0 || strncmp(argv[i], "--benchmark_", 12))
            pv[(*pc)++] = argv[i];
    }
    gv[*gc] = NULL;
    pv[*pc] = NULL;
}

/* The exit status, or -1: go on and measure. */
static int parse(const struct rbe_bench_args *a, const struct rbe_command *c, int argc,
                 const char **argv)
{
    const struct poptOption *table = rbe_option_table(c);
    poptContext popt = poptGetContext("rbe-bench", argc, argv, table, 0);
    int rc = -1;

    if (!popt) {
        fputs("rbe-bench: out of memory\n", stderr);
        return 1;
    }
    if (!rbe_read_options(popt, c)) {
        rc = 2;
    } else if (poptPeekArg(popt)) {
        fprintf(stderr, "rbe-bench: %s: unexpected argument (see --help)\n",
                poptPeekArg(popt));
        rc = 2;
    } else if (a->man || a->help) {
        if (a->man)
            rbe_help_as_man();
        rc = rbe_print_help(c, table, "rbe(1), rbe-measure(1), rbe-bench-plots(1)") ? 0 : 1;
    } else if (a->version) {
        puts("rbe-bench " RBE_VERSION);
        rc = 0;
    }
    poptFreeContext(popt);
    return rc;
}

int main(int argc, char **argv)
{
    const struct rbe_command *c = rbe_command_find("rbe-bench");
    struct rbe_bench_args *a = (void *)c->values;
    int gc = 0, pc = 0, code = rbe_start("rbe-bench", rbe_commit);

    if (code)
        return code;
    rbe_json_watch();
    char **gv = calloc((size_t)argc + 1, sizeof *gv);
    const char **pv = calloc((size_t)argc + 1, sizeof *pv);
    code = 1;
    if (gv && pv) {
        split(argc, argv, &gc, gv, &pc, pv);
        code = parse(a, c, pc, pv);
        if (code == -1) {
            a->o.google_count = gc;
            a->o.google = gv;
            a->o.argc = argc;
            a->o.argv = argv;
            code = rbe_bench_main(&a->o);
        }
    } else {
        fprintf(stderr, "rbe-bench: out of memory\n");
    }
    free(gv);
    free(pv);
    return rbe_finish("rbe-bench", code, "the results are not whole");
}
