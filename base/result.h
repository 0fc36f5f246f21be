/*
 * result.h - result files: one JSON object a line, appended whole, never damaged.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every measurement that `rbe report` shows is a line of such a file.  docs/RESULTS.md lists
 * the fields.  A line goes out in a single write, so that a crash or an interrupt loses at
 * most the line being written; readers leave out a last line without its newline.
 */
#ifndef RBE_BASE_RESULT_H
#define RBE_BASE_RESULT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define RBE_RESULT_SCHEMA "rbe-result-1"

struct rbe_result_file;

/*
 * Opens path for appending, creating it and its folder when missing.  path NULL: records are
 * built but appended nowhere.  An existing file must be a result file (anything else is
 * refused untouched); an unfinished last line left by a crash is cut off.
 */
enum rbe_status rbe_result_open(struct rbe_result_file **out, const char *path,
                                struct rbe_diag *d);
void rbe_result_close(struct rbe_result_file **f);

/* What scripts/commit.sh said when the program was built, said once by its main. */
void rbe_result_built_from(const char *commit);

/*
 * A record with the common fields: schema, kind, time_utc, command, commit, dirty, machine with
 * `threads` as the number used.  NULL when out of memory; the caller owns it.
 */
json_t *rbe_result_new(const char *kind, unsigned threads);

/* The number of threads used, where another process than this one used them. */
int rbe_result_set_threads(json_t *record, unsigned threads);

/* record[key] = {name, path (base name), sha256, bytes, rbe, label, bits_per_weight,
 * parameters, kv_cache}; label may be NULL (null), kv_cache too (left out); params 0 leaves
 * bits_per_weight null. */
struct rbe_result_model {
    const char *name, *path, *sha256, *label, *kv_cache;
    uint64_t bytes, params;
    bool rbe;
};
int rbe_result_set_model(json_t *record, const char *key, const struct rbe_result_model *m);

/* record.text = {name, sha256, bytes}. */
int rbe_result_set_text(json_t *record, const char *name, const char *sha256, uint64_t bytes);

/* x, or null when it is not finite (JSON has no NaN). */
json_t *rbe_result_real(double x);
/* Bytes from outside (a name, a command line) as rbe_utf8_text() has them; null for NULL. */
json_t *rbe_result_string(const char *bytes);
/* Text out of a record, whose last character a fixed buffer may have cut. */
json_t *rbe_result_text(const char *text);

/* Appends the record as one line and gives the caller's reference up.  A NULL record is
 * RBE_ERR_NOMEM. */
enum rbe_status rbe_result_append(struct rbe_result_file *f, json_t *record,
                                  struct rbe_diag *d);

/*
 * All records of a file, which may be a pipe and begin with a byte-order mark, as an array the
 * caller owns.  A line that is not JSON, has another
 * schema or no kind is an error naming the line; an unfinished last line is left out and
 * counted in *unfinished (may be NULL).
 */
enum rbe_status rbe_result_read(json_t **out, const char *path, unsigned *unfinished,
                                struct rbe_diag *d);
/* The same of a file's text. */
enum rbe_status rbe_result_parse(json_t **out, const char *text, size_t size, const char *path,
                                 unsigned *unfinished, struct rbe_diag *d);

/* CPU list this process may run on, "0-1,4"; read back from the kernel. */
char *rbe_affinity_string(char *buf, size_t size);

/* Resident, peak resident and peak virtual bytes of this process, and CPU seconds used (all
 * threads); 0 where the system does not tell. */
struct rbe_usage {
    uint64_t resident_bytes, peak_bytes, peak_virtual_bytes;
    double cpu_s;
};
struct rbe_usage rbe_usage_now(void);
/* From here on peak_bytes is that of what follows, where the system allows; returns what it
 * was. */
uint64_t rbe_usage_restart_peak(void);

#endif
