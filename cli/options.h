/*
 * options.h - what the evaluations have in common on the command line.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_OPTIONS_H
#define RBE_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/file.h"
#include "base/result.h"
#include "base/status.h"
#include "base/table.h"
#include "cli/command.h"
#include "eval/measure.h"
#include "eval/runner.h"
#include "eval/windows.h"

struct rbe_eval_options {
    char **models, **texts;     /* popt's arrays, NULL-terminated, or NULL */
    const char *out, *tokenizer, *shard;
    const char *kv_cache;       /* rbe_kv_cache_parse() */
    const char *output;         /* rbe_output_parse() */
    const char *special;        /* "parse" or "text"; NULL: no text is read */
    int threads, json, quiet, limit, resume;
    struct rbe_files files;     /* what else is read, named before rbe_eval_begin() */
    /* Filled by rbe_eval_begin(). */
    size_t model_count;
    enum rbe_kv_cache kv;
    unsigned shard_index, shard_count;      /* 0-based; count 1 when not sharded */
    struct rbe_pool *pool;
    struct rbe_result_file *results;
    enum rbe_output how;        /* what is printed; --json is the same as jsonl */
    json_t *shown;              /* rows for the other forms, printed at the end */
    json_t *old;                /* --resume: this program's records of `out`, else NULL */
};

/*
 * Checks what was parsed, opens the pool and the result file, catches interrupts.  Texts get
 * the embedded WikiText when none was named and want_text is set.
 */
enum rbe_status rbe_eval_begin(struct rbe_eval_options *o, bool want_text, struct rbe_diag *d);
void rbe_eval_end(struct rbe_eval_options *o);

/* "I/N" with 1 <= I <= N, *index from 0; NULL is the whole, 0 of 1. */
enum rbe_status rbe_shard_parse(unsigned *index, unsigned *count, const char *text,
                                struct rbe_diag *d);

/* For the evaluations that cannot be split: says why. */
enum rbe_status rbe_eval_refuse_shard(const struct rbe_eval_options *o, const char *why,
                                      struct rbe_diag *d);

/* What eval/measure.h is given, once begun; show: a finished row, where not --json. */
struct rbe_evaluation rbe_eval_given(struct rbe_eval_options *o, struct rbe_runner *runners,
                                     void (*show)(const json_t *row, void *arg), void *arg);

/* The tokenizer of all models, which must have the same unless --tokenizer names one, set to
 * --special, which records say from now on. */
enum rbe_status rbe_eval_tokenizer(struct rbe_eval_options *o, const struct rbe_runner *runners,
                                   struct rbe_tokenizer **out, struct rbe_diag *d);

/* Opens all models into a fresh array, as rbe_runners_open() does. */
enum rbe_status rbe_eval_open_models(struct rbe_eval_options *o, uint32_t rows,
                                     struct rbe_runner **out, struct rbe_diag *d);
void rbe_eval_close_models(struct rbe_eval_options *o, struct rbe_runner **runners);

/*
 * Opens all models (rows as above) and calls measure for each text by each protocol of a list
 * that RBE_PROTOCOL_COUNT ends, in windows of `context` tokens (0: the protocol's).  Says on
 * stderr when P3 scores carriage returns or a byte-order mark.
 */
typedef enum rbe_status rbe_eval_windows_fn(struct rbe_eval_options *o,
                                            struct rbe_runner *runners,
                                            const struct rbe_text *text,
                                            const struct rbe_windows *w, void *arg,
                                            struct rbe_diag *d);
enum rbe_status rbe_eval_each_text(struct rbe_eval_options *o, uint32_t rows,
                                   const enum rbe_protocol *protocols, uint32_t context,
                                   rbe_eval_windows_fn *measure, void *arg,
                                   struct rbe_diag *d);

/* --- what tables for people show --------------------------------------------------------- */

struct rbe_shown {
    char text[128];
};

/* x by a printf format of one double ("%9.3f"), or "-" in the same width when it was not
 * measured (NaN). */
struct rbe_shown rbe_show(const char *format, double x);

/* "[low, high]" of a record's pair, either end by the format; "[-]" when not measured. */
struct rbe_shown rbe_show_interval(const char *format, const json_t *pair);

/* Text from outside, at most so many bytes of it (up to 120), as it may go to a terminal. */
struct rbe_shown rbe_show_text(const char *text, int most);

/* The name of a record's "model" or "base"; weights that were generated are called so. */
struct rbe_shown rbe_show_model(const json_t *record, const char *key);

#endif
