/*
 * json.h - JSON read so that running out of memory is never taken for a damaged text, and
 * values by their path.
 *
 * SPDX-License-Identifier: MIT
 *
 * jansson does not say why it gives up, and where its buffer for a token cannot grow it drops
 * characters and may read past the token's end.  So a failed allocation leaves the parser at
 * once, with all that it had taken given back.
 */
#ifndef RBE_BASE_JSON_H
#define RBE_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/*
 * json_loadb() into *out.  RBE_ERR_NOMEM: d says "NAME: out of memory".  RBE_ERR_FORMAT: d says
 * where NAME is not JSON, as does *e (may be NULL), for a caller that has a better word.
 */
enum rbe_status rbe_json_load(json_t **out, const char *text, size_t size, size_t flags,
                              json_error_t *e, const char *name, struct rbe_diag *d);

/* From here on jansson's allocations that fail are noted (rbe_shortages()), so that a value
 * built of many calls need not check each. */
void rbe_json_watch(void);

/* The value at a path of names with dots between; NAN, NULL or false where it is missing,
 * null, or of another type. */
double rbe_number_at(const json_t *v, const char *path);
const char *rbe_string_at(const json_t *v, const char *path);
bool rbe_true_at(const json_t *v, const char *path);
json_t *rbe_value_at(const json_t *v, const char *path);
/* The pair [low, high] there; NULL too where it is one of nulls: an interval not measured. */
const json_t *rbe_interval_at(const json_t *v, const char *path);

/* Of a list of objects the first whose member "name" is this, or NULL. */
json_t *rbe_object_named(const json_t *list, const char *name);

#endif
