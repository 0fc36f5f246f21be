/*
 * main.c - the program rbe-bench: options, the run, and its files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <math.h>
#include <popt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/commit.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/version.h"
#include "bench/bench.h"
#include "cli/command.h"
#include "cli/man.h"
#include "kernels/cpu.h"

static const char about[] =
    "Measures the kernels: each is verified, then timed, cold unless asked otherwise, against\n"
    "the read bandwidth and multiply-add rate measured in the same run.  Without selections\n"
    "it runs a default set of a few minutes.  Lists are comma-separated; names may hold\n"
    "wildcards.  Google Benchmark's own flags are taken too: --benchmark_filter=REGEX, which\n"
    "selects among all rows as --full registers them, --benchmark_list_tests, which lists\n"
    "them, --benchmark_repetitions=N, --benchmark_format=console|json|csv, ...\n"
    "Exit status: 0 ok, 1 failed (a kernel that is wrong, say), 2 usage.\n";

static int fail_usage(const char *what, const char *why)
{
    fprintf(stderr, "rbe-bench: %s%s%s\n", what, why ? ": " : "", why ? why : "");
    return 2;
}

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

static int parse(struct rbe_bench_options *o, int argc, const char **argv)
{
    int help = 0, man = 0, version = 0, rc = -1;
    const struct poptOption table[] = {
        {"kernels", 0, POPT_ARG_STRING, &o->texts.kernels, 0, "only these kernels", "LIST"},
        {"formats", 0, POPT_ARG_STRING, &o->texts.formats, 0, "only these formats: seed,int4",
         "LIST"},
        {"isa", 0, POPT_ARG_STRING, &o->texts.isa, 0, "only kernels of these: scalar,avx2",
         "LIST"},
        {"shapes", 0, POPT_ARG_STRING, &o->texts.shapes, 0, "matrices: 3072x768,768x768",
         "LIST"},
        {"blocks", 0, POPT_ARG_STRING, &o->texts.blocks, 0, "block sizes B: 16,44,4096",
         "LIST"},
        {"vectors", 0, POPT_ARG_STRING, &o->texts.vectors, 0,
         "vectors a gemm kernel takes at once: 1,32", "LIST"},
        {"threads", 0, POPT_ARG_STRING, &o->texts.threads, 0, "numbers of threads: 1,2",
         "LIST"},
        {"cpus", 0, POPT_ARG_STRING, &o->cpus, 0,
         "pin threads to these, in this order: 0-3,8 (one of each core)", "LIST"},
        {"cache", 0, POPT_ARG_STRING, &o->texts.cache, 0, "cold, hot, or both", "LIST"},
        {"kinds", 0, POPT_ARG_STRING, &o->texts.kinds, 0,
         "product, model, prepare, probe, dense, search", "LIST"},
        {"min-time", 0, POPT_ARG_DOUBLE, &o->min_seconds, 0, "seconds of one repetition (0.03)",
         "S"},
        {"probe-time", 0, POPT_ARG_DOUBLE, &o->probe_seconds, 0,
         "seconds for each point of the machine's roofs (0.02)", "S"},
        {"set-limit", 0, POPT_ARG_INT, &o->set_limit_mib, 0,
         "use no more than this for weights and for the roofs (an eighth of the memory)",
         "MIB"},
        {"full", 0, POPT_ARG_NONE, &o->full, 0,
         "every shape, B, number of threads and cache of what is selected: hours", NULL},
        {"slowest", 0, POPT_ARG_DOUBLE, &o->slowest, 0,
         "leave out products that last longer (0.5 in the default set; 0: none)", "S"},
        {"foreign-limit", 0, POPT_ARG_DOUBLE, &o->foreign_percent, 0,
         "repeat samples during which others used more of the CPUs (3)", "PERCENT"},
        {"repeats", 0, POPT_ARG_INT, &o->repeats, 0, "repeat one sample at most so often (3)",
         "N"},
        {"events", 0, POPT_ARG_STRING, &o->events, 0,
         "count these events, by libpfm4's names (cycles, instructions, misses, ...)", "LIST"},
        {"launches", 0, POPT_ARG_INT, &o->launches, 0,
         "measure in so many processes, one after the other (1)", "N"},
        {"out", 'o', POPT_ARG_STRING, &o->out, 0,
         "write Google Benchmark's JSON, and every sample to FILE.samples.jsonl at once",
         "FILE"},
        {"tsv", 0, POPT_ARG_STRING, &o->tsv, 0, "write one row per benchmark", "FILE"},
        {"svg", 0, POPT_ARG_STRING, &o->svg, 0, "draw the machine with the pinned CPUs",
         "FILE"},
        {"summarise", 0, POPT_ARG_STRING, &o->summarise, 0,
         "measure nothing: print the table of a JSON written before", "FILE"},
        {"quiet", 'q', POPT_ARG_NONE, &o->quiet, 0, "no progress, no table", NULL},
        {"help", 'h', POPT_ARG_NONE, &help, 0, "show this text", NULL},
        {"version", 0, POPT_ARG_NONE, &version, 0, "say which this is", NULL},
        {"man", 0, POPT_ARG_NONE | POPT_ARGFLAG_DOC_HIDDEN, &man, 0, NULL, NULL},
        POPT_TABLEEND};
    struct poptOption *texts = rbe_numbers_as_texts(table, "rbe-bench");
    if (!texts) {
        fputs("rbe-bench: out of memory\n", stderr);
        return 1;
    }
    poptContext c = poptGetContext("rbe-bench", argc, argv, texts, 0);

    if (!rbe_read_options(c, table, "rbe-bench"))
        rc = 2;
    else if (poptPeekArg(c))
        rc = fail_usage(poptPeekArg(c), "unexpected argument (see --help)");
    poptFreeContext(c);
    free(texts);
    if (man && rc == -1) {
        rbe_man_head(stdout, "rbe-bench", "measures kernels that multiply encoded weights",
                     "[OPTION...] [--benchmark_...]");
        rbe_man_text(stdout, "DESCRIPTION", about);
        rbe_man_options(stdout, table);
        rbe_man_tail(stdout, "rbe(1), rbe-measure(1), rbe-bench-plots(1)");
        rc = 0;
    } else if (help && rc == -1) {
        c = poptGetContext("rbe-bench", argc, argv, table, 0);
        poptSetOtherOptionHelp(c, "[OPTION...] [--benchmark_...]");
        poptPrintHelp(c, stdout, 0);
        printf("\n%s", about);
        poptFreeContext(c);
        rc = 0;
    } else if (version && rc == -1) {
        puts("rbe-bench " RBE_VERSION);
        rc = 0;
    }
    return rc;
}

int main(int argc, char **argv)
{
    static struct rbe_bench_options o = {.min_seconds = 0.03,
                                         .slowest = NAN,
                                         .foreign_percent = 3,
                                         .repeats = 3,
                                         .launches = 1,
                                         .probe_seconds = 0.02};
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_init(&d);
    int gc = 0, pc = 0;

    rbe_hold_standard();
    /* A reader that has gone is a write error, and none that ends a measurement. */
    signal(SIGPIPE, SIG_IGN);
    rbe_result_built_from(rbe_commit);
    if (err) {
        fprintf(stderr, "rbe-bench: %s\n", d.text);
        return rbe_exit_code(err);
    }
    rbe_json_watch();
    char **gv = calloc((size_t)argc + 1, sizeof *gv);
    const char **pv = calloc((size_t)argc + 1, sizeof *pv);
    int code = 1;
    if (gv && pv) {
        split(argc, argv, &gc, gv, &pc, pv);
        code = parse(&o, pc, pv);
        if (code == -1) {
            o.google_count = gc;
            o.google = gv;
            o.argc = argc;
            o.argv = argv;
            code = rbe_bench_main(&o);
        }
    } else {
        fprintf(stderr, "rbe-bench: out of memory\n");
    }
    free(gv);
    free(pv);
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) {
        /* What could not be written earlier has left no errno. */
        fprintf(stderr, "rbe-bench: standard output: %s\n",
                errno ? strerror(errno) : "could not be written");
        code = code ? code : 1;
    }
    if (!code && rbe_shortages()) {
        fprintf(stderr, "rbe-bench: out of memory: the results are not whole\n");
        code = 1;
    }
    return code;
}
