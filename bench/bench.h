/*
 * bench.h - a whole run, from options to files.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_BENCH_H
#define RBE_BENCH_BENCH_H

#include "bench/plan.h"

struct rbe_bench_options {
    struct rbe_selection_texts texts;
    const char *cpus, *events, *out, *tsv, *svg, *summarise, *output;
    double min_seconds, foreign_percent, probe_seconds;
    double slowest; /* NaN: not given, RBE_BENCH_SLOWEST for the default set */
    int repeats, launches, quiet, full, set_limit_mib;
    int google_count, argc;
    char **google; /* Google Benchmark's flags, after the program's name */
    char **argv;   /* the whole command line, for the record */
};

/* Prints what went wrong; returns the exit status. */
int rbe_bench_main(const struct rbe_bench_options *o);

#endif
