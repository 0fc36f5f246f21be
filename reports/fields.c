/*
 * fields.c - the types of what result rows hold.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/result.h"
#include "base/rows.h"

/* What x should be and is not, or NULL. */
static const char *wrong_type(const json_t *x, enum rbe_field_type type)
{
    const double v = json_is_number(x) ? json_number_value(x) : NAN;

    switch (type) {
    case RBE_FIELD_TEXT: return json_is_string(x) ? NULL : "not a text";
    case RBE_FIELD_FLAG: return json_is_boolean(x) ? NULL : "neither true nor false";
    case RBE_FIELD_MODEL:
    case RBE_FIELD_OBJECT: return json_is_object(x) ? NULL : "not an object";
    case RBE_FIELD_LIST: return json_is_array(x) ? NULL : "not a list";
    case RBE_FIELD_PAIR:
        if (json_array_size(x) == 2 && json_is_null(json_array_get(x, 0)) &&
            json_is_null(json_array_get(x, 1)))
            return NULL;        /* one window has no interval */
        return json_array_size(x) == 2 && json_is_number(json_array_get(x, 0)) &&
               json_is_number(json_array_get(x, 1)) ? NULL : "not a pair of numbers";
    case RBE_FIELD_NUMBER: return isfinite(v) ? NULL : "not a number";
    case RBE_FIELD_ABOVE0: return isfinite(v) && v > 0 ? NULL : "not a number above 0";
    case RBE_FIELD_COUNT: return isfinite(v) && v >= 0 ? NULL : "not a number of 0 or more";
    case RBE_FIELD_SHARE: return v >= 0 && v <= 1 ? NULL : "not a number from 0 to 1";
    }
    return "of an unknown type";
}

/* What is wrong at the path, or NULL; missing or null: "" unless it may be. */
static const char *wrong_at(const json_t *v, const char *path, const struct rbe_field *f)
{
    const char *each = strpbrk(path, "[{"), *wrong = NULL, *key;
    char part[64];
    size_t i;
    json_t *x;

    if (!each) {
        x = rbe_value_at(v, path);
        return x && !json_is_null(x) ? wrong_type(x, f->type) : f->must ? "" : NULL;
    }
    snprintf(part, sizeof part, "%.*s", (int)(each - path), path);
    json_t *all = rbe_value_at(v, part);
    if (*each == '[')
        json_array_foreach(all, i, x)
            if (!wrong)
                wrong = json_is_object(x) ? wrong_at(x, each + 3, f) : "not an object";
    if (*each == '{')
        json_object_foreach(all, key, x)
            if (!wrong)
                wrong = json_is_object(x) ? wrong_at(x, each + 3, f) : "not an object";
    return wrong;
}

static enum rbe_status check_fields(const json_t *v, const char *within,
                                    const struct rbe_field *of, const char *what,
                                    const char *file, size_t line, struct rbe_diag *d);

static enum rbe_status check_field(const json_t *v, const char *path,
                                   const struct rbe_field *f, const char *what,
                                   const char *file, size_t line, struct rbe_diag *d)
{
    const bool model = f->type == RBE_FIELD_MODEL;
    const json_t *m = model ? rbe_value_at(v, path) : NULL;
    const char *wrong = wrong_at(v, path, f);
    enum rbe_status err;

    if (json_is_object(m) &&
        (err = check_fields(v, path, rbe_row_kind(RBE_KIND(model)), what, file, line, d)))
        return err;
    if (model && f->must)
        wrong = RBE_STRING_AT(m, name) ? NULL : "";
    if (wrong && !*wrong)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: %s row without \"%s%s\"", file, line, what,
                        path, model ? ".name" : "");
    if (wrong)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: %s row: \"%s\" is %s", file, line, what,
                        path, wrong);
    return RBE_OK;
}

/* The fields of a kind; `within` (or "") is the path of the model that they are of, `what` the
 * kind of the row. */
static enum rbe_status check_fields(const json_t *v, const char *within,
                                    const struct rbe_field *of, const char *what,
                                    const char *file, size_t line, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char path[96];

    for (const struct rbe_field *f = of + 1; f->parent && !err; f++) {
        snprintf(path, sizeof path, "%s%s%s%s", within, *within ? "." : "", f->parent, f->name);
        err = check_field(v, path, f, what, file, line, d);
    }
    return err;
}

enum rbe_status rbe_check_row(const json_t *v, const char *file, size_t line,
                              struct rbe_diag *d)
{
    const char *schema = RBE_STRING_AT(v, schema), *kind = RBE_STRING_AT(v, kind);

    if (!schema)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: no result row: it has no \"schema\"", file,
                        line);
    if (strcmp(schema, RBE_RESULT_SCHEMA))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: schema '%.40s', but this reads "
                        RBE_RESULT_SCHEMA, file, line, schema);
    if (!kind)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: the row has no \"kind\"", file, line);
    if (!rbe_known_kind(kind))
        return RBE_OK;
    const enum rbe_status err = check_fields(v, "", rbe_row_kind(kind), kind, file, line, d);
    return err ? err : check_fields(v, "", rbe_row_kind(RBE_KIND(every)), kind, file, line, d);
}

enum rbe_status rbe_check_benchmarks(const json_t *v, const char *file, struct rbe_diag *d)
{
    return check_fields(v, "", rbe_row_kind(RBE_KIND(benchmark)), "benchmark", file, 1, d);
}

bool rbe_known_kind(const char *kind)
{
    const struct rbe_field *k = rbe_row_kind(kind);

    return k && k->must;
}
