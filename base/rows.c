/*
 * rows.c - base/rows.def as a table.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/rows.h"

#include <string.h>

const struct rbe_field rbe_row_fields[] = {
#define OTHER false
#define REPORTED true
#define KIND(name, shown, about) {NULL, name, RBE_FIELD_OBJECT, shown, "", about},
#define MUST(parent, name, type, ...) {parent, #name, RBE_FIELD_##type, true, __VA_ARGS__},
#define MAY(parent, name, type, ...) {parent, #name, RBE_FIELD_##type, false, __VA_ARGS__},
#include "base/rows.def"
    {0},
};

const struct rbe_field *rbe_row_kind(const char *name)
{
    for (const struct rbe_field *f = rbe_row_fields; f->name; f++)
        if (!f->parent && !strcmp(f->name, name))
            return f;
    return NULL;
}
