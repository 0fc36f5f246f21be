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
#include "base/result.h"

/* A name of the list is a type: one that is not does not compile. */
#define KIND(name, ...) typedef char rbe_kind_##name;
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

/* RBE_KIND(perplexity) is "perplexity", a kind of the list; a constant too. */
#define RBE_KIND(a) (&#a[0 * sizeof(rbe_kind_##a)])

/* The functions of base/json.h: RBE_NUMBER_AT(row, kl, mean). */
#define RBE_NUMBER_AT(v, ...) rbe_number_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_STRING_AT(v, ...) rbe_string_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_TRUE_AT(v, ...) rbe_true_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_VALUE_AT(v, ...) rbe_value_at(v, RBE_KEY(__VA_ARGS__))
#define RBE_INTERVAL_AT(v, ...) rbe_interval_at(v, RBE_KEY(__VA_ARGS__))
/*
 * A new object of fields, RBE_OBJECT(RBE_INT(tokens, n), RBE_REAL(mean_ms, x)), NULL when out
 * of memory or where a value is NULL; and fields set in a row, RBE_SET(row, RBE_INT(tokens,
 * n)), which is not 0 then.  A real number is null where it is not finite; a text may be of any
 * bytes, and NULL, which is null; a word is one of ours.
 */
#define RBE_OBJECT(...)     rbe_row_object(__VA_ARGS__, (const char *)NULL)
#define RBE_SET(row, ...)   rbe_row_set(row, __VA_ARGS__, (const char *)NULL)
#define RBE_INT(key, x)     RBE_JSON(key, json_integer((json_int_t)(x)))
#define RBE_REAL(key, x)    RBE_JSON(key, rbe_result_real(x))
#define RBE_PAIR(key, x, y) RBE_JSON(key, rbe_row_pair(x, y))
#define RBE_FLAG(key, x)    RBE_JSON(key, json_boolean(x))
#define RBE_WORD(key, x)    RBE_JSON(key, rbe_row_word(x))
#define RBE_TEXT(key, x)    RBE_JSON(key, rbe_result_string(x))
#define RBE_SHARED(key, x)  RBE_JSON(key, json_incref(x)) /* x stays the caller's, too */
#define RBE_JSON(key, x)    RBE_KEY(key), (x)             /* x is given up */
json_t *rbe_row_object(const char *key, ...);
int rbe_row_set(json_t *row, const char *key, ...);
json_t *rbe_row_word(const char *word);
/* [x, y], either null where it is not finite. */
json_t *rbe_row_pair(double x, double y);

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

/* Words of the field `series`. */
#define RBE_SERIES_PARTS "parts"
#define RBE_SERIES_SCHEDULE "schedule"

/* The list, ended by a field without a name. */
extern const struct rbe_field rbe_row_fields[];

/* The kind of this name, its fields behind it; NULL when there is none. */
const struct rbe_field *rbe_row_kind(const char *name);

#endif
