/*
 * results.h - result files read back: checked rows, and the models that they speak of.
 *
 * SPDX-License-Identifier: MIT
 *
 * Reads what docs/RESULTS.md defines (JSON lines, *.jsonl, or one row, *.json) and Google
 * Benchmark's JSON (*.json with "benchmarks").  Nothing else of the project is asked.
 *
 * Rows in the folder's subfolder recorded/ were measured at another time, maybe elsewhere: a
 * page may show them, labelled so, but nothing is judged by them.
 */
#ifndef RBE_REPORTS_RESULTS_H
#define RBE_REPORTS_RESULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "base/status.h"

struct rbe_row {
    json_t *v;                  /* the object */
    const char *kind;
    const char *file;           /* the file it stood in, within the folder */
    size_t line;
};

/* A model that some row names. */
struct rbe_model_seen {
    const char *key;            /* sha256, or the name where that is null */
    const char *name, *label;   /* label: NULL, or "synthetic ..." */
    const char *codec;          /* the one with most bytes, from its conversion, or NULL */
    double bytes, parameters, bits;
    bool rbe;
    bool measured;              /* a row names it, not a recorded one */
    int base;                   /* index of the original it is compared with, or -1 */
};

struct rbe_results {
    struct rbe_row *rows;       /* without those that a later row of the same key replaces */
    size_t count;               /* measured; recorded ones of other keys follow up to... */
    size_t all;                 /* ...here */
    json_t **bench;             /* Google Benchmark documents */
    const char **bench_file;    /* the file each stood in, within the folder */
    size_t bench_count;
    struct rbe_model_seen *models;
    size_t model_count;
    char **notes;               /* what a reader must be told: lines left out */
    size_t note_count;
    char **names;               /* files read, within the folder */
    size_t file_count;
};

/* Reads every *.jsonl and *.json of a folder and of its recorded/, in the order of their names.
 * A row that is not understood fails naming file and line; so does a folder without any row. */
enum rbe_status rbe_results_open(struct rbe_results **out, const char *folder,
                                 struct rbe_diag *d);
void rbe_results_close(struct rbe_results **r);

/* Index of the model that an object {name, sha256, ...} names, or -1. */
int rbe_results_model(const struct rbe_results *r, const json_t *model);

/* The last measured row of a kind about this model, or NULL (also for model -1). */
const struct rbe_row *rbe_results_last(const struct rbe_results *r, const char *kind,
                                       int model);
/* The same, a recorded one where none was measured. */
const struct rbe_row *rbe_results_last_of_all(const struct rbe_results *r, const char *kind,
                                              int model);

/* "perplexity", "convert-int4": a row's step, of steps of one name with what it was for. */
void rbe_step_name(char out[96], const json_t *row);

/* Whether the word for a codec in a row stands for plain floats (kernels/formats.def). */
bool rbe_codec_is_float(const char *codec);

/*
 * How a model was encoded: its convert row, or what rbe info found in its file, or, as training
 * keeps every matrix's place and size, the convert row of the model it was trained from; a
 * recorded one where none was measured.  NULL: no row tells.
 */
const struct rbe_row *rbe_results_conversion(const struct rbe_results *r, int model);

#endif
