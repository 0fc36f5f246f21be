/*
 * names.c - finds models by name.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "model/data.h"

const struct rbe_named_model rbe_named_models[] = {
#define MODEL(name, file, fetched, what) {name, file, fetched, what},
#include "model/models.def"
    {0}
};

char *rbe_named_model_path(const struct rbe_named_model *m)
{
    char *path = m->file ? rbe_data_path(m->file) : NULL;

    return path ? path : rbe_fetched_path(m->fetched);
}

static const struct rbe_named_model *by_name(const char *name)
{
    const struct rbe_named_model *m = rbe_named_models;

    while (m->name && strcmp(m->name, name))
        m++;
    return m->name ? m : NULL;
}

/* Whoever writes so means a file. */
static bool is_path(const char *name)
{
    static const char *const endings[] = {".rbe", ".gguf", ".safetensors", ".json", ".bin"};
    const size_t n = strlen(name);

    if (strchr(name, '/') || !n || !strcmp(name, ".") || !strcmp(name, ".."))
        return true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        const size_t m = strlen(endings[i]);
        if (n > m && !strcmp(name + n - m, endings[i]))
            return true;
    }
    return false;
}

static enum rbe_status no_such(const char *name, struct rbe_diag *d)
{
    struct rbe_nearest near = rbe_nearest_to(name);
    char names[200] = "";
    size_t at = 0;

    for (const struct rbe_named_model *m = rbe_named_models; m->name; m++) {
        if (at >= sizeof names)
            break;
        rbe_nearest_try(&near, m->name);
        at += (size_t)snprintf(names + at, sizeof names - at, "%s%s", at ? ", " : "", m->name);
    }
    return rbe_fail(d, RBE_ERR_IO, "%.100s: no such file or folder, nor a model of this "
                    "name%s; names: %s", name, rbe_nearest_hint(&near).text, names);
}

enum rbe_status rbe_model_find(char **out, const char *name, struct rbe_diag *d)
{
    const struct rbe_named_model *m = by_name(name);

    *out = NULL;
    if (!access(name, F_OK))
        m = NULL;
    else if (m)
        *out = rbe_named_model_path(m);
    else if (*name && !strchr(name, '/'))
        *out = rbe_data_path(name);
    if (*out)
        return RBE_OK;
    if (m && m->file)
        return rbe_fail(d, RBE_ERR_IO, "the shipped model %s is not found; set RBE_DATA to the "
                        "folder of what ships", name);
    if (m)
        return rbe_fail(d, RBE_ERR_IO, "the model %s does not ship and is not in data/: rbe "
                        "fetch %s brings it", name, m->fetched);
    if (access(name, F_OK) && !is_path(name))
        return no_such(name, d);
    *out = strdup(name);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}
