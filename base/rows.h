/*
 * rows.h - the fields of result rows, by names that the compiler knows (base/rows.def).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_ROWS_H
#define RBE_BASE_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

/* A name of the list is a type: one that is not does not compile. */
#define KIND(...)
#define MUST(parent, name, ...) typedef char rbe_key_##name;
#define MAY(parent, name, ...) typedef char rbe_key_##name;
#include "base/rows.def"

/* RBE_KEY(kl) is "kl", RBE_KEY(kl, mean) the path "kl.mean" of base/json.h; a constant. */
#define RBE_KEY(...) RBE_KEY_PICK(__VA_ARGS__, RBE_KEY3, RBE_KEY2, RBE_KEY1, 0)(__VA_ARGS__)
#define RBE_KEY_PICK(a, b, c, pick, ...) pick
#define RBE_KEY1(a) (&#a[0 * sizeof(rbe_key_##a)])
#define RBE_KEY2(a, b) (&#a "." #b[0 * sizeof(rbe_key_##a) * sizeof(rbe_key_##b)])
#define RBE_KEY3(a, b, c)                                                                      \
    (&#a "." #b "." #c[0 * sizeof(rbe_key_##a) * sizeof(rbe_key_##b) * sizeof(rbe_key_##c)])

/* The functions of base/json.h: RBE_NUMBER_AT(row, kl, mean). */
#define RBE_NUMBER_AT(v, ...) rbe_number_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_STRING_AT(v, ...) rbe_string_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_TRUE_AT(v, ...) rbe_true_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_VALUE_AT(v, ...) rbe_value_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_INTERVAL_AT(v, ...) rbe_interval_at(v, RBE_KEY(__VA_ARGS__))
/* row.key = a new value, or a number (null where it is not finite): not 0 when out of memory. */
#define RBE_SET(row, key, value) json_object_set_new(row, RBE_KEY(key), value)
#define RBE_SET_REAL(row, key, x) rbe_result_set_real(row, RBE_KEY(key), x)

enum rbe_field_type {
    RBE_FIELD_TEXT, RBE_FIELD_FLAG, RBE_FIELD_OBJECT, RBE_FIELD_LIST,
    RBE_FIELD_MODEL,            /* an object with the fields of the kind `model` */
    RBE_FIELD_PAIR,             /* two numbers, or two nulls */
    RBE_FIELD_NUMBER,           /* finite; and in a range: */
    RBE_FIELD_ABOVE0, RBE_FIELD_COUNT /* 0 or more */, RBE_FIELD_SHARE /* 0 to 1 */,
};

struct rbe_field {
    const char *parent;         /* NULL: a kind begins, and this is its name */
    const char *name;
    enum rbe_field_type type;
    bool must;                  /* of a kind: `rbe report` shows it */
    const char *unit;
    const char *meaning;        /* "=": that of the field before; of a kind what it is about */
};

/* The list, ended by a field without a name. */
extern const struct rbe_field rbe_row_fields[];

/* The kind of this name, its fields behind it; NULL when there is none. */
const struct rbe_field *rbe_row_kind(const char *name);

#endif
