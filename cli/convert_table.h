/*
 * convert_table.h - what rbe convert prints of a plan and of what came of it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_CONVERT_TABLE_H
#define RBE_CLI_CONVERT_TABLE_H

#include <stdio.h>

#include "convert/convert.h"

/* "hybrid", or "seed+seed4" of parts that differ. */
static inline void codec_names(char *buf, size_t size, const struct rbe_convert_entry *r)
{
    unsigned seen = 0;
    size_t at = 0;

    if (!r->options.part_count) {
        snprintf(buf, size, "%s", rbe_format_name(r->options.format));
        return;
    }
    buf[0] = 0;
    for (size_t i = 0; i < r->options.part_count && at < size; i++) {
        const enum rbe_format f = r->options.parts[i].format;
        if (!(seen >> f & 1))
            at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? "+" : "",
                                   rbe_format_name(f));
        seen |= 1U << f;
    }
}

/* The matrices' rows, B and bytes, and the size of the file. */
void rbe_convert_print_plan(const struct rbe_convert *c);

/* The table's head; a line of it, once the matrix is encoded; what all came to. */
void rbe_convert_print_head(void);
void rbe_convert_print_line(const struct rbe_convert_entry *r);
void rbe_convert_print_totals(const struct rbe_convert *c, double peak_bytes);

#endif
