/*
 * cmd_models.c - `rbe models`: the models that have a name.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <fnmatch.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/result.h"
#include "cli/arguments.h"
#include "cli/paint.h"

/* The file's bytes, or those of the weights in a folder. */
static double bytes_of(const char *path)
{
    struct stat st;
    double sum = 0;
    DIR *dir;
    const struct dirent *e;

    if (stat(path, &st))
        return 0;
    if (!S_ISDIR(st.st_mode))
        return (double)st.st_size;
    if (!(dir = opendir(path)))
        return 0;
    while ((e = readdir(dir))) {
        char *file = fnmatch("*.safetensors", e->d_name, 0) ? NULL
                     : rbe_path_join(path, e->d_name);
        if (file && !stat(file, &st) && S_ISREG(st.st_mode))
            sum += (double)st.st_size;
        free(file);
    }
    closedir(dir);
    return sum;
}

static void print(const struct rbe_named_model *m, const char *path)
{
    const char *bold = rbe_paint(stdout, RBE_BOLD), *plain = rbe_paint(stdout, RBE_PLAIN);

    printf("%s%-12s%s ", bold, m->name, plain);
    if (path)
        printf("%8.2f MB  %s\n", bytes_of(path) / 1e6, m->what);
    else
        printf("%8s     %s\n", "not here", m->what);
    printf("%-12s %8s     ", "", "");
    if (path)
        printf("%s\n", path);
    else if (m->file)
        printf("it ships: set RBE_DATA to its folder\n");
    else
        printf("rbe fetch %s brings it into data/\n", m->fetched);
}

enum rbe_status rbe_cmd_models(struct rbe_models_args *a, struct rbe_diag *d)
{
    json_t *list = a->json ? json_array() : NULL;

    if (a->json && !list)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (const struct rbe_named_model *m = rbe_named_models; m->name; m++) {
        char *path = rbe_named_model_path(m);
        if (a->json)
            json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:o, s:o}", "name", m->name,
                "about", m->what, "ships", m->file != NULL, "bytes",
                path ? json_integer((json_int_t)bytes_of(path)) : json_null(), "path",
                path ? rbe_result_string(path) : json_null()));
        else
            print(m, path);
        free(path);
    }
    if (a->json) {
        json_dumpf(list, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(list);
    }
    return RBE_OK;
}
