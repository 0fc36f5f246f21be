/*
 * reply.h - what goes back to a client of lines or messages: one JSON object each.
 *
 * SPDX-License-Identifier: MIT
 *
 * {"id", "status": "accepted"}; {"id", "status": "part", "text", "index"?}; {"id", "status":
 * "done", ...}; {"id"?, "status": "error", "error"}.  All are fresh strings without a newline,
 * NULL when out of memory.
 */
#ifndef RBE_DEPLOY_SERVE_REPLY_H
#define RBE_DEPLOY_SERVE_REPLY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

char *rbe_reply_accepted(const char *id);
char *rbe_reply_part(const char *id, size_t index, const char *text, size_t size);
/* The answer of rbe_sink_calls: of a single prompt "text", "finish_reason" and the rest beside
 * the id, of several "choices". */
char *rbe_reply_done(const char *id, const json_t *answer, bool again);
/* id may be NULL. */
char *rbe_reply_error(const char *id, const char *why);

#endif
