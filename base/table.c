/*
 * table.c - result rows as Markdown, CSV, JSON and SQL.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "base/rows.h"
#include "base/utf8.h"

enum { MOST_DEPTH = 8, LONGEST_PATH = 200 };

enum rbe_status rbe_output_parse(enum rbe_output *out, const char *name, struct rbe_diag *d)
{
    static const char *const names[] = {
        [RBE_OUTPUT_MD] = "md", [RBE_OUTPUT_CSV] = "csv", [RBE_OUTPUT_JSON] = "json",
        [RBE_OUTPUT_JSONL] = "jsonl", [RBE_OUTPUT_SQL] = "sql"};

    *out = RBE_OUTPUT_USUAL;
    if (!name)
        return RBE_OK;
    for (size_t i = RBE_OUTPUT_MD; i <= RBE_OUTPUT_SQL; i++)
        if (!strcmp(name, names[i]))
            *out = (enum rbe_output)i;
    if (*out != RBE_OUTPUT_USUAL)
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_ARG, "--output %.40s: " RBE_OUTPUT_NAMES "%s", name,
                    rbe_nearest_in(name, RBE_OUTPUT_NAMES).text);
}

enum rbe_status rbe_output_refuse_file(const char *path, struct rbe_diag *d)
{
    enum rbe_output how;

    return !path || rbe_output_parse(&how, path, NULL)
               ? RBE_OK
               : rbe_fail(d, RBE_ERR_ARG, "--out %s: a file of this name is ./%s; --output %s "
                          "prints this form", path, path, path);
}

/* --- one level ---------------------------------------------------------------------------- */

static bool set(json_t *flat, const char *path, json_t *v)
{
    return !json_object_set_nocheck(flat, path, v);
}

static bool is_pair(const json_t *v)
{
    return json_array_size(v) == 2 && !json_is_object(json_array_get(v, 0)) &&
           !json_is_array(json_array_get(v, 0)) && !json_is_string(json_array_get(v, 0));
}

/* Every value of v that is no list into flat, by its path; false: out of memory. */
static bool flatten(json_t *flat, const char *above, json_t *v, int depth)
{
    const char *key;
    json_t *x;

    json_object_foreach(v, key, x) {
        char path[LONGEST_PATH];
        bool good = true;
        snprintf(path, sizeof path, "%s%s%s", above, *above ? "." : "", key);
        if (json_is_object(x)) {
            good = depth == MOST_DEPTH || flatten(flat, path, x, depth + 1);
        } else if (is_pair(x)) {
            const size_t n = strlen(path);
            snprintf(path + n, sizeof path - n, ".low");
            good = set(flat, path, json_array_get(x, 0));
            snprintf(path + n, sizeof path - n, ".high");
            good = good && set(flat, path, json_array_get(x, 1));
        } else if (!json_is_array(x)) {
            good = set(flat, path, x);
        }
        if (!good)
            return false;
    }
    return true;
}

/* Adds a flat row's columns: by name, the first value that is there, or null. */
static void note_columns(json_t *columns, json_t *flat)
{
    const char *key;
    json_t *x;

    json_object_foreach(flat, key, x)
        if (!json_object_get(columns, key) || json_is_null(json_object_get(columns, key)))
            json_object_set_nocheck(columns, key, x);
}

/* All rows so, and their columns. */
static json_t *flatten_all(const json_t *rows, json_t *columns)
{
    json_t *all = json_array(), *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        json_t *flat = json_object();
        const bool good = flat && flatten(flat, "", row, 0);
        note_columns(columns, flat);
        if (json_array_append_new(all, flat) || !good) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

/* --- values ------------------------------------------------------------------------------- */

/* Numbers as JSON has them, true and false as 1 and 0. */
static void put_number(FILE *f, const json_t *v)
{
    if (json_is_integer(v))
        fprintf(f, "%lld", (long long)json_integer_value(v));
    else if (json_is_real(v))
        fprintf(f, "%.9g", json_real_value(v));
    else
        fputs(json_is_true(v) ? "1" : "0", f);
}

/* A quoted string, its quotes doubled. */
static void put_quoted(FILE *f, const char *s, char quote)
{
    putc(quote, f);
    for (; *s; s++) {
        if (*s == quote)
            putc(quote, f);
        putc(*s, f);
    }
    putc(quote, f);
}

static void put_csv(FILE *f, const json_t *v)
{
    const char *s = json_string_value(v);

    if (!v || json_is_null(v))
        return;
    if (!s)
        put_number(f, v);
    else if (strpbrk(s, ",\"\r\n"))
        put_quoted(f, s, '"');
    else
        fputs(s, f);
}

static void put_sql(FILE *f, const json_t *v)
{
    if (!v || json_is_null(v))
        fputs("NULL", f);
    else if (json_is_string(v))
        put_quoted(f, json_string_value(v), '\'');
    else
        put_number(f, v);
}

/* Neither a cell nor what a terminal shows ends by it. */
static void put_md_text(FILE *f, const char *s)
{
    for (size_t n; *s; s += n ? n : 1) {
        n = rbe_utf8_control(s);
        if (*s == '|')
            putc('\\', f);
        putc(*s == '\n' ? ' ' : n ? '?' : *s, f);
    }
}

static void put_md(FILE *f, const json_t *v)
{
    const char *s = json_string_value(v);

    if (json_is_real(v))
        fprintf(f, "%.6g", json_real_value(v));
    else if (!s && v && !json_is_null(v))
        put_number(f, v);
    put_md_text(f, s ? s : "");
}

/* --- tables ------------------------------------------------------------------------------- */

/* Whether Markdown shows the column: it says what was measured, or what came of it. */
static bool in_markdown(const char *column, const json_t *value)
{
    static const char *const left_out[] = {
        RBE_KEY(schema), RBE_KEY(time_utc), RBE_KEY(command), RBE_KEY(commit), RBE_KEY(dirty),
        RBE_KEY(machine), RBE_KEY(bootstrap), RBE_KEY(protocol_name)};
    static const char *const endings[] = {"sha256", ".path", ".parameters", ".label", ".rbe"};
    const size_t n = strcspn(column, "."), all = strlen(column);

    if (json_is_null(value))
        return false;
    for (size_t i = 0; i < sizeof left_out / sizeof left_out[0]; i++)
        if (strlen(left_out[i]) == n && !strncmp(column, left_out[i], n))
            return false;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t m = strlen(endings[i]);
        if (all >= m && !strcmp(column + all - m, endings[i]))
            return false;
    }
    return true;
}

static void print_csv(FILE *f, const json_t *all, json_t *columns)
{
    const char *key, *between = "";
    json_t *row, *x;
    size_t i;

    json_object_foreach(columns, key, x) {
        fprintf(f, "%s%s", between, key);
        between = ",";
    }
    putc('\n', f);
    json_array_foreach(all, i, row) {
        between = "";
        json_object_foreach(columns, key, x) {
            fputs(between, f);
            put_csv(f, json_object_get(row, key));
            between = ",";
        }
        putc('\n', f);
    }
}

static void print_table_name(FILE *f, const char *table, const json_t *row)
{
    const char *kind = table ? NULL : json_string_value(RBE_VALUE_AT(row, kind));

    fprintf(f, "\"%s", table ? table : "rbe_");
    for (; kind && *kind; kind++)
        putc(*kind == '-' || *kind == '"' ? '_' : *kind, f);
    putc('"', f);
}

static bool same_kind(const json_t *a, const json_t *b)
{
    const char *x = json_string_value(RBE_VALUE_AT(a, kind));
    const char *y = json_string_value(RBE_VALUE_AT(b, kind));

    return x == y || (x && y && !strcmp(x, y));
}

/* The rows of one kind, that of `first`. */
static void print_md(FILE *f, const json_t *all, json_t *columns, const json_t *first,
                     const char *table)
{
    const char *key;
    json_t *row, *x;
    size_t i;

    for (int line = 0; line < 2; line++) {
        json_object_foreach(columns, key, x)
            if (in_markdown(key, x)) {
                fputs(line ? "|" : "| ", f);
                put_md_text(f, !line ? key : json_is_number(x) ? "---:" : "---");
                fputs(line ? "" : " ", f);
            }
        fputs("|\n", f);
    }
    json_array_foreach(all, i, row) {
        if (!table && !same_kind(row, first))
            continue;
        json_object_foreach(columns, key, x)
            if (in_markdown(key, x)) {
                fputs("| ", f);
                put_md(f, json_object_get(row, key));
                putc(' ', f);
            }
        fputs("|\n", f);
    }
}

/* The rows of one table, that of `first`. */
static void print_sql_table(FILE *f, const json_t *all, json_t *columns, const json_t *first,
                            const char *table)
{
    const char *key, *between = "";
    json_t *row, *x;
    size_t i;

    fputs("CREATE TABLE IF NOT EXISTS ", f);
    print_table_name(f, table, first);
    fputs(" (", f);
    json_object_foreach(columns, key, x) {
        fputs(between, f);
        put_quoted(f, key, '"');
        fprintf(f, " %s", json_is_integer(x) || json_is_boolean(x) ? "INTEGER"
                : json_is_real(x) ? "REAL" : "TEXT");
        between = ", ";
    }
    fputs(");\n", f);
    json_array_foreach(all, i, row) {
        if (!table && !same_kind(row, first))
            continue;
        fputs("INSERT INTO ", f);
        print_table_name(f, table, row);
        fputs(" (", f);
        between = "";
        json_object_foreach(columns, key, x) {
            fputs(between, f);
            put_quoted(f, key, '"');
            between = ", ";
        }
        fputs(") VALUES (", f);
        between = "";
        json_object_foreach(columns, key, x) {
            fputs(between, f);
            put_sql(f, json_object_get(row, key));
            between = ", ";
        }
        fputs(");\n", f);
    }
}

typedef void print_fn(FILE *f, const json_t *all, json_t *columns, const json_t *first,
                      const char *table);

/* Kind after kind, in the order of their first rows; all kinds share a table with a name. */
static void print_kinds(FILE *f, const json_t *all, const char *table, const char *between,
                        print_fn *print)
{
    json_t *row;
    size_t i;

    json_array_foreach(all, i, row) {
        json_t *columns = json_object(), *other;
        bool seen = false;
        size_t k;
        json_array_foreach(all, k, other) {
            if (!table && !same_kind(row, other))
                continue;
            seen |= k < i;
            note_columns(columns, other);
        }
        if (!seen) {
            fputs(i ? between : "", f);
            print(f, all, columns, row, table);
        }
        json_decref(columns);
    }
}

enum rbe_status rbe_output_rows(FILE *f, enum rbe_output how, const json_t *rows,
                                const char *table, struct rbe_diag *d)
{
    json_t *columns = json_object(), *all = columns ? flatten_all(rows, columns) : NULL, *row;
    size_t i;

    if (how == RBE_OUTPUT_JSON) {
        json_dumpf(rows, f, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
        putc('\n', f);
    } else if (how == RBE_OUTPUT_JSONL) {
        json_array_foreach(rows, i, row) {
            json_dumpf(row, f, JSON_COMPACT | JSON_REAL_PRECISION(17));
            putc('\n', f);
        }
    } else if (all && how == RBE_OUTPUT_CSV) {
        print_csv(f, all, columns);
    } else if (all && how == RBE_OUTPUT_MD) {
        print_kinds(f, all, table, "\n", print_md);
    } else if (all) {
        fputs("BEGIN;\n", f);
        print_kinds(f, all, table, "", print_sql_table);
        fputs("COMMIT;\n", f);
    }
    const bool good = all != NULL;
    json_decref(all);
    json_decref(columns);
    return good ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}
