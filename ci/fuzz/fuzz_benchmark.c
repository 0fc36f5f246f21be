/*
 * fuzz_benchmark.c - any bytes as Google Benchmark's JSON and its samples, in the form of
 * rbe_fuzz_put_files().
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "ci/fuzz/fuzz.h"
#include "ci/fuzz/report.h"
#include "gate/compare.h"

bool rbe_fuzz_benchmark(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"results/b.json", "results/b.json.samples.jsonl",
                                        NULL};
    struct rbe_figures f;
    struct rbe_diag d = {""};
    bool taken = false;

    mkdir(rbe_fuzz_path("results"), 0700);
    rbe_fuzz_put_files(names, data, size);
    if (rbe_fuzz_said(rbe_figures_read(&f, rbe_fuzz_path(names[0]), &d), &d)) {
        rbe_fuzz_compare(&f);
        rbe_figures_free(&f);
        taken = true;
    }
    return rbe_fuzz_report(rbe_fuzz_path("results"), size) || taken;
}
