/*
 * cmd_fetch.c - rbe fetch: lists and brings the data files of MANIFEST.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/progress.h"
#include "base/result.h"
#include "cli/arguments.h"
#include "datasets/fetch.h"

/* The nearest MANIFEST above the program or the current folder, or the installed one. */
static char *find_manifest(void)
{
    static const char *const below[] = {"datasets/MANIFEST", "share/rbe-bench/MANIFEST"};
    char start[2][4096];
    const ssize_t n = readlink("/proc/self/exe", start[0], sizeof start[0] - 1);

    start[0][n < 0 ? 0 : n] = 0;
    if (!getcwd(start[1], sizeof start[1]))
        start[1][0] = 0;
    for (int i = 0; i < 2; i++) {
        char *dir = start[i];
        for (;;) {
            for (int j = 0; j < 2; j++) {
                char *p = rbe_path_join(*dir ? dir : "/", below[j]);
                if (p && access(p, R_OK) == 0)
                    return p;
                free(p);
            }
            char *slash = strrchr(dir, '/');
            if (!slash)
                break;
            *slash = 0;
        }
    }
    return NULL;
}

/* `what` selects a row by its name or by a folder that it lies in. */
static bool selects(const char *what, const char *name)
{
    size_t n = strlen(what);
    const bool folder = n && what[n - 1] == '/';

    while (n && what[n - 1] == '/')
        n--;
    return n && !strncmp(what, name, n) && ((name[n] == 0 && !folder) || name[n] == '/');
}

/* Whether one of the arguments is its very name, not that of a folder. */
static bool by_name(const struct rbe_dataset *s, const char **args, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(args[i], s->name))
            return true;
    return false;
}

static bool selected(const struct rbe_dataset *s, const char **args, int count,
                     const char *mirror)
{
    /* Unasked: what does not ship and can be had. */
    if (!count)
        return !s->embedded && (s->url || mirror);
    for (int i = 0; i < count; i++)
        if (selects(args[i], s->name))
            return true;
    return false;
}

static const char *state_of(const struct rbe_dataset *s, const char *to)
{
    return rbe_dataset_present(s, to) ? "present" : s->embedded ? "embedded"
           : s->url ? "can be fetched" : "mirror only";
}

static void list(const struct rbe_manifest *m, const char **args, int count, const char *to,
                 json_t *rows)
{
    for (size_t i = 0; i < rbe_manifest_count(m); i++) {
        const struct rbe_dataset *s = rbe_manifest_at(m, i);
        if (count && !selected(s, args, count, NULL))
            continue;
        const char *state = state_of(s, to);
        if (rows)
            json_array_append_new(rows, json_pack("{s:o, s:I, s:s?, s:o, s:o, s:s}",
                "name", rbe_result_string(s->name), "bytes", (json_int_t)s->bytes, "sha256",
                s->sha256, "licence", rbe_result_string(s->licence), "url",
                rbe_result_string(s->url), "state", state));
        else
            printf("%-40s %11" PRIu64 " bytes  %-12s  %s\n", s->name, s->bytes, s->licence,
                   state);
    }
}

/* Every name asked for must select something. */
static bool known(const struct rbe_manifest *m, const char **args, int count)
{
    for (int i = 0; i < count; i++) {
        bool any = false;
        for (size_t k = 0; k < rbe_manifest_count(m); k++)
            any |= selects(args[i], rbe_manifest_at(m, k)->name);
        if (!any) {
            struct rbe_nearest near = rbe_nearest_to(args[i]);
            for (size_t k = 0; k < rbe_manifest_count(m); k++) {
                const char *name = rbe_manifest_at(m, k)->name;
                char folder[64];
                snprintf(folder, sizeof folder, "%.*s", (int)strcspn(name, "/"), name);
                rbe_nearest_try(&near, folder);
                rbe_nearest_try(&near, name);
            }
            fprintf(stderr, "rbe fetch: no data set '%s'%s; rbe fetch --list names them\n",
                    args[i], rbe_nearest_hint(&near).text);
            return false;
        }
    }
    return true;
}

/* Whether anything that is selected must be brought from a mirror. */
static bool wants(const struct rbe_manifest *m, const char **args, int count, const char *to)
{
    for (size_t i = 0; i < rbe_manifest_count(m); i++) {
        const struct rbe_dataset *s = rbe_manifest_at(m, i);
        if (selected(s, args, count, "") && !rbe_dataset_present(s, to))
            return true;
    }
    return false;
}

/* Fetches what is selected; goes on past a failure, and returns the worst status.  Of a folder,
 * what has no public home is left out, as long as something of it is had. */
static enum rbe_status fetch_all(const struct rbe_manifest *m, const char **args, int count,
                                 const char *mirror, const char *to, json_t *rows)
{
    enum rbe_status worst = RBE_OK;
    const struct rbe_dataset *homeless = NULL;
    size_t had = 0;

    /* Said once, not for each file that is looked for there. */
    struct rbe_diag why;
    if (mirror && !strstr(mirror, "://") && wants(m, args, count, to)) {
        struct stat st;
        if (stat(mirror, &st))
            worst = rbe_fail_errno(&why, "%s", mirror);
        else if (!S_ISDIR(st.st_mode))
            worst = rbe_fail(&why, RBE_ERR_IO, "%s: not a folder", mirror);
        if (worst) {
            rbe_report_failure("fetch", worst, &why);
            return worst;
        }
    }
    for (size_t i = 0; i < rbe_manifest_count(m) && worst != RBE_ERR_INTERRUPTED; i++) {
        const struct rbe_dataset *s = rbe_manifest_at(m, i);
        struct rbe_diag d = {""};
        const char *what = "present";
        enum rbe_status err = RBE_OK;

        if (!selected(s, args, count, mirror))
            continue;
        const bool present = rbe_dataset_present(s, to);
        had += present || s->embedded || s->url || mirror;
        if (!present && !s->url && !mirror && !by_name(s, args, count)) {
            what = s->embedded ? "ships with the program"
                   : "left out: no public home, needs --from";
            homeless = s->embedded ? homeless : s;
        } else if (!present) {
            err = rbe_dataset_fetch(s, mirror, to, &d);
            what = err ? "failed" : s->sha256 ? "fetched" : "fetched, no checksum known";
        }
        if (rows)
            json_array_append_new(rows, json_pack("{s:o, s:s, s:o}", "name",
                                  rbe_result_string(s->name), "state", what, "reason",
                                  rbe_result_string(err ? d.text : NULL)));
        else if (!err)
            printf("%-40s %s\n", s->name, what);
        fflush(stdout);
        if (err) {
            rbe_report_failure("fetch", err, &d);
            worst = err;
        }
    }
    if (homeless && !had) {
        struct rbe_diag d;
        worst = rbe_fail(&d, RBE_ERR_ARG, "%s: has no public home; give a folder or URL that "
                         "has it with --from", homeless->name);
        rbe_report_failure("fetch", worst, &d);
    }
    return worst;
}

enum rbe_status rbe_cmd_fetch(struct rbe_fetch_args *a, struct rbe_diag *d)
{
    struct rbe_manifest *m = NULL;
    char *own = a->manifest ? NULL : find_manifest();
    json_t *rows = a->json ? json_array() : NULL;
    enum rbe_status err;

    if (!a->manifest && !own) {
        json_decref(rows);
        return rbe_fail(d, RBE_ERR_IO, "datasets/MANIFEST not found; name it with --manifest");
    }
    if ((err = rbe_manifest_open(&m, own ? own : a->manifest, d)))
        goto out;
    if (!known(m, a->call.args, a->call.count)) {
        a->call.code = 2;
    } else if (a->list) {
        list(m, a->call.args, a->call.count, a->to, rows);
    } else {
        if (a->quiet)
            rbe_progress_silence();
        rbe_catch_interrupt();
        a->call.code = rbe_exit_code(fetch_all(m, a->call.args, a->call.count, a->from, a->to,
                                               rows));
    }
    if (rows) {
        json_dumpf(rows, stdout, JSON_INDENT(1));
        putchar('\n');
    }
out:
    json_decref(rows);
    rbe_manifest_close(&m);
    free(own);
    return err;
}
