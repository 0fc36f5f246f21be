/*
 * rows.c - base/rows.def as a table.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/rows.h"

#include <stdarg.h>
#include <string.h>

#include "base/criteria.h"

const struct rbe_field rbe_row_fields[] = {
#define OTHER false
#define REPORTED true
#define KIND(name, shown, about) {NULL, #name, RBE_FIELD_OBJECT, shown, "", about},
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

static int set_fields(json_t *row, const char *key, va_list ap)
{
    int bad = !row;

    for (; key; key = va_arg(ap, const char *))
        bad |= json_object_set_new(row, key, va_arg(ap, json_t *));
    return bad;
}

int rbe_row_set(json_t *row, const char *key, ...)
{
    va_list ap;

    va_start(ap, key);
    const int bad = set_fields(row, key, ap);
    va_end(ap);
    return bad;
}

json_t *rbe_row_object(const char *key, ...)
{
    json_t *o = json_object();
    va_list ap;

    va_start(ap, key);
    const int bad = set_fields(o, key, ap);
    va_end(ap);
    if (bad) {
        json_decref(o);
        return NULL;
    }
    return o;
}

json_t *rbe_row_pair(double x, double y)
{
    return json_pack("[o, o]", rbe_result_real(x), rbe_result_real(y));
}

json_t *rbe_row_word(const char *word)
{
    return word ? json_string(word) : json_null();
}
