/*
 * manifest.c - reading datasets/MANIFEST.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "datasets/fetch.h"

struct rbe_manifest {
    char *text;                 /* the file, cut into the strings that rows point to */
    size_t count, room;
    struct rbe_dataset *rows;
};

enum { FIELDS = 6 };

/* A name is joined to folders that are written to: it must stay below them. */
static bool safe_name(const char *s)
{
    return *s && *s != '/' && !strstr(s, "..") && !strchr(s, '\\');
}

static bool hex64(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

static enum rbe_status read_row(struct rbe_dataset *r, char *line, const char *path,
                                size_t number, struct rbe_diag *d)
{
    char *f[FIELDS + 1], *save = NULL, *end;
    int n = 0;

    for (char *t = strtok_r(line, " \t", &save); t && n <= FIELDS;
         t = strtok_r(NULL, " \t", &save))
        f[n++] = t;
    if (n != FIELDS)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: %s%d fields, not %d", path, number,
                        n > FIELDS ? "more than " : "", n > FIELDS ? FIELDS : n, FIELDS);
    errno = 0;
    const unsigned long long bytes = strtoull(f[1], &end, 10);
    if (errno || *end || f[1][0] == '-')
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: '%s' is no size", path, number, f[1]);
    if (!safe_name(f[0]))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: '%s' leaves the data folder", path,
                        number, f[0]);
    if (strcmp(f[2], "-") && !hex64(f[2]))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: '%s' is no sha256", path, number, f[2]);
    *r = (struct rbe_dataset){.name = f[0], .bytes = bytes, .licence = f[3]};
    r->sha256 = strcmp(f[2], "-") ? f[2] : NULL;
    r->embedded = strcmp(f[4], "-") ? f[4] : NULL;
    if (strcmp(f[5], "project") && strcmp(f[5], "mirror")) {
        char *hash = strchr(f[5], '#');
        if (!strstr(f[5], "://"))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: '%s' is no URL", path, number, f[5]);
        if (hash)
            *hash = 0;
        r->url = f[5];
        r->member = hash ? hash + 1 : NULL;
    }
    return RBE_OK;
}

enum rbe_status rbe_manifest_open(struct rbe_manifest **out, const char *path,
                                  struct rbe_diag *d)
{
    enum rbe_status err;
    size_t size, number = 0;

    *out = NULL;
    struct rbe_manifest *m = calloc(1, sizeof *m);
    if (!m)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    if ((err = rbe_read_text(&m->text, &size, NULL, path, d)))
        goto out;
    if (memchr(m->text, 0, size)) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: not a text file", path);
        goto out;
    }
    for (char *line = m->text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        number++;
        if (line[strspn(line, " \t\r")] == 0 || *line == '#')
            continue;
        if (m->count == m->room) {
            const size_t room = m->room ? 2 * m->room : 32;
            struct rbe_dataset *rows = realloc(m->rows, room * sizeof *rows);
            if (!rows) {
                err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
                goto out;
            }
            m->rows = rows;
            m->room = room;
        }
        if ((err = read_row(&m->rows[m->count], line, path, number, d)))
            goto out;
        m->count++;
    }
out:
    if (err)
        rbe_manifest_close(&m);
    *out = m;
    return err;
}

void rbe_manifest_close(struct rbe_manifest **m)
{
    if (*m) {
        free((*m)->text);
        free((*m)->rows);
        free(*m);
    }
    *m = NULL;
}

size_t rbe_manifest_count(const struct rbe_manifest *m)
{
    return m->count;
}

const struct rbe_dataset *rbe_manifest_at(const struct rbe_manifest *m, size_t i)
{
    return &m->rows[i];
}
