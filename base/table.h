/*
 * table.h - result rows in the forms that other programs read: Markdown, CSV, JSON, SQL.
 *
 * SPDX-License-Identifier: MIT
 *
 * Markdown, CSV and SQL have a column for each value that is no list, nested ones by their path
 * ("model.name"), and two for each pair of numbers ("kl_ci95.low", "kl_ci95.high"); what else
 * is a list stands in JSON only.  Markdown, which people read, leaves out where a row was made:
 * the machine, the command, checksums.
 */
#ifndef RBE_BASE_TABLE_H
#define RBE_BASE_TABLE_H

#include <jansson.h>
#include <stdio.h>

#include "base/status.h"

enum rbe_output {
    RBE_OUTPUT_USUAL, RBE_OUTPUT_MD, RBE_OUTPUT_CSV, RBE_OUTPUT_JSON, RBE_OUTPUT_JSONL,
    RBE_OUTPUT_SQL,
};
#define RBE_OUTPUT_NAMES "md, csv, json, jsonl or sql"

/* By its name; NULL is the usual one. */
enum rbe_status rbe_output_parse(enum rbe_output *out, const char *name, struct rbe_diag *d);

/* RBE_ERR_ARG where the file of --out has a form's name: meant was --output. */
enum rbe_status rbe_output_refuse_file(const char *path, struct rbe_diag *d);

/* Prints rows, a list of objects.  In SQL, which sqlite3 takes, they go into this table, or
 * where it is NULL into one for each kind: rbe_perplexity, rbe_paired, ... */
enum rbe_status rbe_output_rows(FILE *f, enum rbe_output how, const json_t *rows,
                                const char *table, struct rbe_diag *d);

#endif
