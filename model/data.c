/*
 * data.c - finds what ships, however the program was installed.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/data.h"

#include <dirent.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "base/file.h"
#include "model/companion.h"
#include "model/model.h"
#include "model/tokenizer_files.h"

static bool exists(const char *path)
{
    return path && !access(path, R_OK);
}

/* DIR/SUB/NAME when it exists, else NULL. */
static char *try_path(const char *dir, const char *sub, const char *name)
{
    char *folder = rbe_path_join(dir, sub);
    char *path = folder ? rbe_path_join(folder, name) : NULL;

    free(folder);
    if (!path)                  /* it may be there: nothing else must be taken for it */
        rbe_shortage_note();
    if (!exists(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

/* Where data that ship, and fetched ones, lie below a folder. */
static const char *const shipped_in[] = {"datasets/embedded", "share/rbe-bench", NULL};
static const char *const fetched_in[] = {"data", NULL};

/* In `dir` (overwritten) and every folder above it. */
static char *search_upward(char *dir, const char *const *below, const char *name)
{
    char *found = NULL, *slash;

    do {
        for (int i = 0; below[i] && !found; i++)
            found = try_path(dir, below[i], name);
        slash = strrchr(dir, '/');
        if (slash)
            *slash = 0;
    } while (!found && slash);
    return found;
}

/* Above the program, then above the current folder. */
static char *search(const char *const *below, const char *name)
{
    char dir[PATH_MAX];
    char *found = NULL;
    const ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
    if (n > 0) {
        dir[n] = 0;
        found = search_upward(dir, below, name);
    }
    if (!found && getcwd(dir, sizeof dir))
        found = search_upward(dir, below, name);
    return found;
}

char *rbe_data_path(const char *name)
{
    const char *env = getenv("RBE_DATA");

    return env ? try_path(env, ".", name) : search(shipped_in, name);
}

char *rbe_fetched_path(const char *name)
{
    return search(fetched_in, name);
}

/* The folder itself, or the folder a file stands in; fresh, NULL when out of memory. */
static char *folder_of(const char *path)
{
    struct stat st;
    char *s = strdup(path);

    if (!s || (!stat(path, &st) && S_ISDIR(st.st_mode)))
        return s;
    char *slash = strrchr(s, '/');
    if (slash)
        slash[slash == s] = 0;
    else
        strcpy(s, ".");         /* a file's name has at least one character */
    return s;
}

bool rbe_has_tokenizer(const char *model_path)
{
    char *folder = *model_path ? folder_of(model_path) : NULL, *own = NULL;
    const bool has = (folder && rbe_tokenizer_files_exist(folder) > 0) ||
                     rbe_companion_find(&own, model_path, NULL) || own;

    free(folder);
    free(own);
    return has || rbe_tokenizer_gguf_has(model_path);
}

enum rbe_status rbe_files_read_data(struct rbe_files *f, const char *path, const char *shipped,
                                    struct rbe_diag *d)
{
    char *own = path ? NULL : rbe_data_path(shipped);
    const enum rbe_status err = rbe_files_read(f, path ? path : own, d);

    free(own);
    return err;
}

bool rbe_is_model_file(const char *name)
{
    static const char *const names[] = {
        "config.json", "model.safetensors", "model.safetensors.index.json",
        "*-of-*.safetensors", "pytorch_model*.bin", "vocab.json", "vocab.bpe", "encoder.json",
        "merges.txt", "tokenizer.json", "tokenizer_config.json", "added_tokens.json",
        "special_tokens_map.json", "generation_config.json", "chat_template.jinja"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!fnmatch(names[i], name, 0))
            return true;
    return false;
}

enum rbe_status rbe_files_read_model(struct rbe_files *f, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = rbe_files_read(f, path, d);
    char *folder = folder_of(path), *own = rbe_tokenizer_beside(path);
    DIR *dir = folder ? opendir(folder) : NULL;
    struct dirent *e;

    while (dir && !err && (e = readdir(dir))) {
        const bool known = rbe_is_model_file(e->d_name);
        char *file = known ? rbe_path_join(folder, e->d_name) : NULL;
        if (file)
            err = rbe_files_read(f, file, d);
        else if (known)
            err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        free(file);
    }
    if (!err && exists(own))
        err = rbe_files_read(f, own, d);
    if (!err && folder)
        err = rbe_files_guard(f, folder, rbe_is_model_file, d);
    if (dir)
        closedir(dir);
    free(folder);
    free(own);
    return err;
}

/* Whether the folder holds a part of a model other than the one of this name. */
static bool holds_others(const char *folder, const char *name)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;
    bool any = false;

    while (dir && !any && (e = readdir(dir)))
        any = rbe_is_model_file(e->d_name) && strcmp(e->d_name, name) != 0;
    if (dir)
        closedir(dir);
    return any;
}

enum rbe_status rbe_files_guard_model(struct rbe_files *f, const char *out, struct rbe_diag *d)
{
    char *folder = strdup(out), *name = rbe_path_name(out);
    enum rbe_status err = RBE_OK;
    size_t n = strlen(out);

    if (!folder || !name) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", out);
        goto out;
    }
    while (n && folder[n - 1] == '/')
        n--;
    while (n && folder[n - 1] != '/')
        n--;
    folder[n] = 0;
    const char *where = n ? folder : ".";
    if (holds_others(where, name))
        err = rbe_files_guard(f, where, rbe_is_model_file, d);
out:
    free(folder);
    free(name);
    return err;
}

static enum rbe_status open_fitting(struct rbe_tokenizer **out, const char *folder,
                                    const struct rbe_model_config *c, struct rbe_diag *d)
{
    enum rbe_status err = rbe_tokenizer_open(out, folder, d);

    if (!err && (err = rbe_tokenizer_fits(*out, folder, c->vocab, c->eos, d)))
        rbe_tokenizer_close(out);
    return err;
}

/* The tokenizer of a folder, and which that was, fresh. */
static enum rbe_status take_place(struct rbe_tokenizer **out, char **where, const char *folder,
                                  const struct rbe_model_config *c, struct rbe_diag *d)
{
    const enum rbe_status err = open_fitting(out, folder, c, d);

    if (err || (*where = strdup(folder)))
        return err;
    rbe_tokenizer_close(out);
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a tokenizer");
}

static enum rbe_status find_tokenizer(struct rbe_tokenizer **out, char **where,
                                      const char *folder, const char *model_path,
                                      const struct rbe_model_config *c, struct rbe_diag *d)
{
    static const char *const shipped[] = {"rbe-mini", "gpt2"};
    enum rbe_status err;

    *out = NULL;
    *where = NULL;
    if (folder || rbe_tokenizer_gguf_has(model_path))
        return take_place(out, where, folder ? folder : model_path, c, d);
    char *own = NULL;
    if ((err = rbe_companion_find(&own, model_path, d)))
        return err;
    if (own) {
        err = take_place(out, where, own, c, d);
        free(own);
        return err;
    }
    err = RBE_ERR_IO;
    if (*model_path) {
        char *beside = folder_of(model_path);
        const int has = beside ? rbe_tokenizer_files_exist(beside) : -1;
        if (has)
            err = has > 0 ? take_place(out, where, beside, c, d)
                          : rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a tokenizer");
        free(beside);
        if (has)
            return err;
    }
    for (size_t i = 0; err && err != RBE_ERR_NOMEM && i < sizeof shipped / sizeof shipped[0];
         i++) {
        char *path = rbe_data_path(shipped[i]);
        if (path)
            err = take_place(out, where, path, c, NULL);
        free(path);
    }
    if (err == RBE_ERR_NOMEM)
        return rbe_fail(d, err, "out of memory for a tokenizer");
    if (err)
        err = rbe_fail(d, RBE_ERR_IO, "%s: no tokenizer.json, nor vocab.json and merges.txt, "
                       "beside it, and no shipped tokenizer fits its %u tokens", model_path,
                       c->vocab);
    return err;
}

enum rbe_status rbe_find_tokenizer(struct rbe_tokenizer **out, const char *folder,
                                   const char *model_path, const struct rbe_model_config *c,
                                   struct rbe_diag *d)
{
    char *where;
    const enum rbe_status err = find_tokenizer(out, &where, folder, model_path, c, d);

    free(where);
    /* Reading it took ten times the memory that it keeps. */
#ifdef __GLIBC__
    malloc_trim(0);
#endif
    return err;
}

enum rbe_status rbe_find_tokenizer_place(char **out, const char *folder, const char *model_path,
                                         const struct rbe_model_config *c, struct rbe_diag *d)
{
    struct rbe_tokenizer *t;
    const enum rbe_status err = find_tokenizer(&t, out, folder, model_path, c, d);

    rbe_tokenizer_close(&t);
    return err;
}

enum rbe_status rbe_tokenizer_for(struct rbe_tokenizer **out, const struct rbe_model *m,
                                  const char *folder, struct rbe_diag *d)
{
    if (out)
        *out = NULL;
    if (!out || !m)
        return rbe_fail_null(d);
    return rbe_find_tokenizer(out, folder, rbe_model_path(m), rbe_model_config(m), d);
}
