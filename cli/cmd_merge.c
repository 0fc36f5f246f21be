/*
 * cmd_merge.c - `rbe merge`: shards of an evaluation into one result file, or those of a
 * conversion into one model.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "convert/convert.h"
#include "eval/merge.h"
#include "model/companion.h"
#include "model/data.h"

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

static enum rbe_status join_model(const struct rbe_merge_args *a, const char **names, size_t n,
                                  struct rbe_diag *d)
{
    struct rbe_result_file *f = NULL;
    struct rbe_files all = {0};
    json_t *row = NULL;
    char *companion = NULL;
    enum rbe_status err = RBE_OK;

    rbe_companion_find(&companion, names[0], NULL);
    const bool gets_one = companion;
    free(companion);
    for (size_t i = 0; i < n && !err; i++)
        err = rbe_files_read_model(&all, names[i], d);
    if (err || (err = rbe_files_replace(&all, a->out, d)) ||
        (err = rbe_companion_replace(&all, a->out, gets_one, d)) ||
        (err = rbe_files_append(&all, a->json, d)) || (err = rbe_result_open(&f, a->json, d)) ||
        (err = rbe_convert_join(&row, a->out, names, n, d)))
        goto out;
    printf("%s: %.0f bytes, %.4f bits a parameter, from %zu parts\n", a->out,
           RBE_NUMBER_AT(row, totals, bytes), RBE_NUMBER_AT(row, totals, bits_per_weight), n);
    if (a->json)
        err = rbe_result_append(f, json_incref(row), d);
out:
    rbe_files_free(&all);
    rbe_result_close(&f);
    json_decref(row);
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
    if (rbe_convert_is_part(args[0]))
        return join_model(a, args, (size_t)count, d);
    if (a->json)
        return rbe_fail(d, RBE_ERR_ARG, "--json: %s is no part of a conversion", args[0]);
    return run(a->out, args, (size_t)count, d);
}
