/*
 * cmd_merge.c - `rbe merge`: shards of an evaluation into one result file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/result.h"
#include "cli/arguments.h"
#include "eval/merge.h"

static enum rbe_status run(const char *out, const char **names, size_t n, struct rbe_diag *d)
{
    json_t **files = calloc(n, sizeof *files), *joined = NULL, *r;
    struct rbe_result_file *f = NULL;
    struct rbe_files all = {0};
    size_t i, lines = 0;
    enum rbe_status err = files ? RBE_OK : RBE_ERR_NOMEM;

    for (i = 0; i < n && !err; i++)
        err = rbe_files_read(&all, names[i], d);
    if (!err)
        err = rbe_files_append(&all, out, d);
    for (i = 0; i < n && !err; i++) {
        unsigned unfinished = 0;
        err = rbe_result_read(&files[i], names[i], &unfinished, d);
        if (!err && unfinished)
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: its last line is unfinished", names[i]);
    }
    if (err || (err = rbe_merge(&joined, files, names, n, d)) ||
        (err = rbe_result_open(&f, out, d)))
        goto out;
    json_array_foreach(joined, i, r) {
        if ((err = rbe_result_append(f, json_incref(r), d)))
            goto out;
        lines++;
    }
    printf("%s: %zu records from %zu files\n", out, lines, n);
out:
    rbe_files_free(&all);
    rbe_result_close(&f);
    json_decref(joined);
    for (i = 0; files && i < n; i++)
        json_decref(files[i]);
    free(files);
    return err;
}

enum rbe_status rbe_cmd_merge(struct rbe_merge_args *a, struct rbe_diag *d)
{
    const char **args = a->call.args;
    const int count = a->call.count;

    if (!a->out || !count)
        return rbe_fail(d, RBE_ERR_ARG, "wants --out FILE and the shards' files");
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++)
            if (!strcmp(args[i], args[j]))
                return rbe_fail(d, RBE_ERR_ARG, "%s is named twice", args[i]);
    return run(a->out, args, (size_t)count, d);
}
