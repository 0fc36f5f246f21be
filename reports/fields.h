/*
 * fields.h - is a result row what docs/RESULTS.md says of its kind?
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_REPORTS_FIELDS_H
#define RBE_REPORTS_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * Every field that a report reads must have its type: a text where a text is read, a finite
 * number within its range, lists of objects; those that a kind cannot do without must be there.
 * Else RBE_ERR_FORMAT, naming file, line and field.  Rows of unknown kinds pass.
 */
enum rbe_status rbe_check_row(const json_t *v, const char *file, size_t line,
                              struct rbe_diag *d);

/* The same of a document of Google Benchmark. */
enum rbe_status rbe_check_benchmarks(const json_t *v, const char *file, struct rbe_diag *d);

/* Is this a kind that a report shows? */
bool rbe_known_kind(const char *kind);

#endif
