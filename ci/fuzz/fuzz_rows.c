/*
 * fuzz_rows.c - any bytes as result lines: read, merged, compared, reported.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/result.h"
#include "ci/fuzz/fuzz.h"
#include "ci/fuzz/report.h"
#include "eval/merge.h"
#include "gate/compare.h"

static void merge(json_t *rows, const char *path)
{
    json_t *const files[] = {rows, rows};
    const char *const names[] = {path, path};
    json_t *joined;
    struct rbe_diag d = {""};

    for (size_t n = 1; n <= 2; n++) {
        const enum rbe_status err = rbe_merge(&joined, files, names, n, &d);
        if (!rbe_fuzz_said(err, &d))
            continue;
        rbe_merge_find(rows, json_array_get(joined, 0));
        json_decref(joined);
    }
}

bool rbe_fuzz_rows(const uint8_t *data, size_t size)
{
    const char *path;
    struct rbe_figures f;
    json_t *rows;
    struct rbe_diag d = {""};
    bool taken = false;

    mkdir(rbe_fuzz_path("results"), 0700);
    path = rbe_fuzz_put("results/rows.jsonl", data, size);
    if (rbe_fuzz_said(rbe_result_read(&rows, path, NULL, &d), &d)) {
        merge(rows, path);
        json_decref(rows);
    }
    if (rbe_fuzz_said(rbe_figures_read(&f, path, &d), &d)) {
        rbe_fuzz_compare(&f);
        rbe_figures_free(&f);
        taken = true;
    }
    return rbe_fuzz_report(rbe_fuzz_path("results"), size) || taken;
}
