/*
 * check_rows.c - base/rows.def: is it sound, does docs/RESULTS.md say the same, and do rows
 * hold what it lists and nothing else?  And base/criteria.def: so too, in docs/CHAPTER.md.
 *
 * SPDX-License-Identifier: MIT
 *
 *   check_rows                 the lists and the pages
 *   check_rows --write         the pages' tables made anew
 *   check_rows --files FILE... every row of result files (or one row, *.json)
 */
#include "kernels/test/check.h"

#include <stdbool.h>
#include <string.h>

#include "base/criteria.h"
#include "base/file.h"
#include "base/rows.h"

static const char rows_page[] = "docs/RESULTS.md", chapter_page[] = "docs/CHAPTER.md";

/* --- the list ----------------------------------------------------------------------------- */

/* The field of a kind at `path`, of `size` characters. */
static const struct rbe_field *find(const struct rbe_field *kind, const char *path, size_t size)
{
    char at[96];

    for (const struct rbe_field *f = kind + 1; f->parent; f++) {
        snprintf(at, sizeof at, "%s%s", f->parent, f->name);
        if (strlen(at) == size && !strncmp(at, path, size))
            return f;
    }
    return NULL;
}

/* What a parent names must be listed, in the kind or for every row, and be of its type. */
static bool has_parent(const struct rbe_field *kind, const struct rbe_field *f)
{
    size_t n = strlen(f->parent);

    if (!n)
        return true;
    const bool list = n > 3 && !strcmp(f->parent + n - 3, "[].");
    const bool each = n > 3 && !strcmp(f->parent + n - 3, "{}.");
    n -= list || each ? 3 : 1;
    const struct rbe_field *of = find(kind, f->parent, n);
    if (!of)
        of = find(rbe_row_kind("every"), f->parent, n);
    return of && of->type == (list ? RBE_FIELD_LIST : RBE_FIELD_OBJECT);
}

static void check_list(void)
{
    const struct rbe_field *kind = NULL;

    for (const struct rbe_field *f = rbe_row_fields; f->name; f++) {
        if (!f->parent) {
            kind = f;
            CHECK(rbe_row_kind(f->name) == f);
            continue;
        }
        char path[96];
        snprintf(path, sizeof path, "%s%s", f->parent, f->name);
        if (!CHECK(has_parent(kind, f)) || !CHECK(find(kind, path, strlen(path)) == f))
            printf("     %s: %s\n", kind->name, path);
    }
    CHECK(!strcmp(RBE_KEY(schema), "schema"));
    CHECK(!strcmp(RBE_KEY(kl, mean), "kl.mean"));
    CHECK(!strcmp(RBE_KEY(machine, topology, cores), "machine.topology.cores"));
}

/* --- the page ----------------------------------------------------------------------------- */

/* One line for a field and those that share its meaning; a model is said among the fields of
 * every row. */
static const struct rbe_field *put_line(FILE *f, const struct rbe_field *of)
{
    const struct rbe_field *end = of + 1;

    while (end->parent && !strcmp(end->meaning, "="))
        end++;
    if (of->type == RBE_FIELD_MODEL && !*of->meaning)
        return end;
    for (const struct rbe_field *x = of; x < end; x++)
        fprintf(f, "%s%s`%s%s`%s", x > of ? ", " : "| ", x->must ? "**" : "", x->parent,
                x->name, x->must ? "**" : "");
    fprintf(f, " | %s | %s |\n", of->unit, of->meaning);
    return end;
}

static void put_table(FILE *f, const struct rbe_field *kind)
{
    fprintf(f, "%s%s| field | unit | meaning |\n|---|---|---|\n", kind->meaning,
            *kind->meaning ? "\n\n" : "");
    for (const struct rbe_field *x = kind + 1; x->parent; )
        x = put_line(f, x);
}

static void put_criteria(FILE *f)
{
    static const char *const senses[] = {"at least", "at most", "below", "equal to"};

    fputs("| | what | limit | unit | section | row | field |\n|---|---|---|---|---|---|---|\n",
          f);
    for (const struct rbe_limit *l = rbe_limits; l < rbe_limits + RBE_LIMITS; l++) {
        const bool share = !strcmp(l->unit, "share");
        fprintf(f, "| %s | %s | %s %.10g | %s | %s | %s | `%s` |\n", l->id ? l->id : "",
                l->what, senses[l->sense], share ? 100 * l->value : l->value,
                share ? "%" : l->unit, l->section, l->kind, l->field);
    }
}

/* A page with the tables of the lists between its markers. */
static char *made_anew(const char *was)
{
    static const char begin[] = "<!-- fields of ", end[] = "<!-- end -->\n";
    char *text = NULL, name[32];
    size_t size;
    FILE *f = open_memstream(&text, &size);

    for (const char *at; f && (at = strstr(was, begin)); ) {
        const char *line = strchr(at, '\n'), *stop = strstr(at, end);
        const struct rbe_field *kind;
        snprintf(name, sizeof name, "%.*s", (int)strcspn(at + sizeof begin - 1, " "),
                 at + sizeof begin - 1);
        const bool criteria = !strcmp(name, "criteria");
        if (!CHECK(line && stop && ((kind = rbe_row_kind(name)) || criteria)))
            break;
        fprintf(f, "%.*s\n", (int)(line - was), was);
        if (criteria)
            put_criteria(f);
        else
            put_table(f, kind);
        was = stop;
    }
    if (f) {
        fputs(was, f);
        fclose(f);
    }
    return text;
}

static void check_page(const char *page, bool write)
{
    struct rbe_diag d = {""};
    char *was = NULL;
    size_t size;

    if (!CHECK(!rbe_read_file(&was, &size, page, &d)))
        return;
    char *is = made_anew(was);
    FILE *f = write && is ? fopen(page, "w") : NULL;
    if (f) {
        fputs(is, f);
        fclose(f);
    } else if (!CHECK(is && !strcmp(is, was))) {
        size_t at = 0;
        while (is && is[at] && is[at] == was[at])
            at++;
        printf("     %s is not what the list says; from here on, as it says (--write makes it "
               "so):\n%.300s\n",
               page, is ? is + at : "");
    }
    /* Every kind has its table there. */
    for (const struct rbe_field *k = rbe_row_fields; page == rows_page && k->name; k++) {
        char begin[64];
        snprintf(begin, sizeof begin, "<!-- fields of %s -->\n", k->name);
        if (!k->parent && !CHECK(strstr(was, begin)))
            printf("     %s: no table of '%s'\n", page, k->name);
    }
    free(is);
    free(was);
}

/* The field of each limit is one of its row's; lists are gone through. */
static void check_criteria(void)
{
    char path[96];

    for (const struct rbe_limit *l = rbe_limits; l < rbe_limits + RBE_LIMITS; l++) {
        const struct rbe_field *kind = rbe_row_kind(strcmp(l->kind, "any") ? l->kind : "every");
        const char *dot = strchr(l->field, '.');
        if (!CHECK(kind != NULL))
            continue;
        const bool model = !strncmp(l->field, "model.", 6);
        if (model)
            kind = rbe_row_kind("model");
        const char *field = model ? dot + 1 : l->field;
        bool found = find(kind, field, strlen(field)) != NULL;
        if (!found && dot) {
            snprintf(path, sizeof path, "%.*s[]%s", (int)(dot - l->field), l->field, dot);
            found = find(kind, path, strlen(path)) != NULL;
        }
        if (!CHECK(found))
            printf("     base/criteria.def: no field %s in rows of %s\n", l->field, l->kind);
    }
    CHECK(RBE_MEETS(C2, 49.9) && !RBE_MEETS(C2, 50) && RBE_MEETS(C4, 10) &&
          !RBE_MEETS(C4, 10.1));
    CHECK(RBE_MEETS(C2B, 2) && !RBE_MEETS(C2B, 1.99) && RBE_MEETS(C8_THREADS, 4));
}

/* --- rows --------------------------------------------------------------------------------- */

static bool listed(const struct rbe_field *kind, const char *path)
{
    return find(kind, path, strlen(path)) || find(rbe_row_kind("every"), path, strlen(path));
}

static void check_object(const struct rbe_field *kind, const json_t *v, const char *within);

/* What is in a value: only where the list goes on there, so that names of groups are free. */
static void check_value(const struct rbe_field *kind, json_t *x, const char *path)
{
    const struct rbe_field *f = find(kind, path, strlen(path)), *every = rbe_row_kind("every");
    static const char *const behind[] = {".", "[].", "{}."};
    char deeper[128];

    f = f ? f : find(every, path, strlen(path));
    if (f && f->type == RBE_FIELD_MODEL && json_is_object(x)) {
        check_object(rbe_row_kind("model"), x, "");
        return;
    }
    for (int i = 0; i < 3; i++) {
        bool any = false;
        const char *key;
        size_t k;
        json_t *y;
        snprintf(deeper, sizeof deeper, "%s%s", path, behind[i]);
        for (const struct rbe_field *g = kind + 1; g->parent; g++)
            any |= !strcmp(g->parent, deeper);
        for (const struct rbe_field *g = every + 1; g->parent; g++)
            any |= !strcmp(g->parent, deeper);
        if (!any)
            continue;
        if (i == 0)
            check_object(kind, x, deeper);
        else if (i == 1)
            json_array_foreach(x, k, y) check_object(kind, y, deeper);
        else
            json_object_foreach(x, key, y) check_object(kind, y, deeper);
    }
}

static void check_object(const struct rbe_field *kind, const json_t *v, const char *within)
{
    char path[128];
    const char *key;
    json_t *x;

    json_object_foreach((json_t *)(uintptr_t)v, key, x) {
        snprintf(path, sizeof path, "%s%s", within, key);
        if (!CHECK(listed(kind, path)))
            printf("     a row of '%s' has \"%s\", which base/rows.def does not list\n",
                   kind->name, path);
        else
            check_value(kind, x, path);
    }
}

static void check_row(const json_t *row, const char *file)
{
    const char *name = rbe_string_at(row, "kind");
    const struct rbe_field *kind = name ? rbe_row_kind(name) : NULL;

    if (CHECK(kind))
        check_object(kind, row, "");
    else
        printf("     %s: no row of a kind of the list\n", file);
}

static void check_file(const char *file)
{
    struct rbe_diag d = {""};
    char *text = NULL;
    size_t size = 0;
    json_t *row;

    if (!CHECK(!rbe_read_file(&text, &size, file, &d)))
        return;
    if (!rbe_json_load(&row, text, size, 0, NULL, file, &d)) {
        check_row(row, file);
        json_decref(row);
        size = 0;
    }
    for (char *at = text, *end; size && (end = strchr(at, '\n')); at = end + 1)
        if (CHECK(!rbe_json_load(&row, at, (size_t)(end - at), 0, NULL, file, &d))) {
            check_row(row, file);
            json_decref(row);
        }
    free(text);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--files")) {
        for (int i = 2; i < argc; i++)
            check_file(argv[i]);
    } else {
        const bool write = argc > 1 && !strcmp(argv[1], "--write");
        check_list();
        check_criteria();
        check_page(rows_page, write);
        check_page(chapter_page, write);
    }
    return check_done();
}
