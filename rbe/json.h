/*
 * json.h - reading JSON so that running out of memory is never taken for a damaged text.
 *
 * SPDX-License-Identifier: MIT
 *
 * jansson does not say why it gives up, and where its buffer for a token cannot grow it drops
 * characters and may read past the token's end.  So a failed allocation leaves the parser at
 * once, with all that it had taken given back.
 */
#ifndef RBE_RBE_JSON_H
#define RBE_RBE_JSON_H

#include <jansson.h>
#include <stddef.h>

#include "rbe/status.h"

/*
 * json_loadb() into *out.  RBE_ERR_NOMEM: d says "NAME: out of memory".  RBE_ERR_FORMAT: d says
 * where NAME is not JSON, as does *e (may be NULL), for a caller that has a better word.
 */
enum rbe_status rbe_json_load(json_t **out, const char *text, size_t size, size_t flags,
                              json_error_t *e, const char *name, struct rbe_diag *d);

/* From here on jansson's allocations that fail are noted (rbe_shortages()), so that a value
 * built of many calls need not check each. */
void rbe_json_watch(void);

#endif
