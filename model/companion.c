/*
 * companion.c - finds, writes and replaces the tokenizer beside an RBE model.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/companion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "model/tokenizer_files.h"

static const char tokenizer_key[] = "rbe.tokenizer_xxh3";

static enum rbe_status no_memory(const char *model, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory for a tokenizer", model);
}

char *rbe_tokenizer_beside(const char *model_path)
{
    static const char end[] = ".tokenizer.gguf";
    size_t n = strlen(model_path);

    /* A folder's name may end in slashes. */
    while (n > 1 && model_path[n - 1] == '/')
        n--;
    char *path = malloc(n + sizeof end);
    if (path) {
        memcpy(path, model_path, n);
        strcpy(path + n, end);
    }
    return path;
}

/* Of what the file says of its tokenizer; false, and nothing, when it has none in it: a token
 * that ends texts, say, is the configuration's too. */
static bool sum_of(char hex[17], const struct rbe_gguf *g)
{
    uint64_t sum = 0;
    bool any = false;

    hex[0] = 0;
    for (size_t i = 0; i < rbe_gguf_value_count(g); i++) {
        const struct rbe_gguf_value *v = rbe_gguf_value_at(g, i);
        const uint64_t kind[] = {v->kind, v->element, v->count};
        if (!rbe_tokenizer_is_key(v->key))
            continue;
        any = any || !strcmp(v->key, "tokenizer.ggml.model") ||
              !strcmp(v->key, "tokenizer.ggml.tokens");
        sum = XXH3_64bits_withSeed(v->key, strlen(v->key), sum);
        sum = XXH3_64bits_withSeed(kind, sizeof kind, sum);
        sum = XXH3_64bits_withSeed(v->data, v->bytes, sum);
    }
    if (any)
        snprintf(hex, 17, "%016llx", (unsigned long long)sum);
    return any;
}

bool rbe_companion_is_due(const struct rbe_gguf *from)
{
    char sum[17];

    return sum_of(sum, from);
}

/* Whether it is a container, and what that says its companion is; "": it has none.  What cannot
 * be opened is none: who reads it as a model says what is wrong. */
static enum rbe_status read_key(bool *container, char hex[17], const char *path,
                                struct rbe_diag *d)
{
    struct rbe_safetensors *s = NULL;
    const enum rbe_status err = rbe_gguf_is(path) ? RBE_ERR_FORMAT
                                                  : rbe_safetensors_open(&s, path, NULL);

    *container = !err && rbe_container_is(s);
    const char *v = *container ? rbe_safetensors_meta(s, tokenizer_key) : NULL;
    snprintf(hex, 17, "%s", v ? v : "");
    rbe_safetensors_close(&s);
    return err == RBE_ERR_NOMEM ? no_memory(path, d) : RBE_OK;
}

enum rbe_status rbe_companion_find(char **path, const char *model_path, struct rbe_diag *d)
{
    char want[17], is[17], *own = rbe_tokenizer_beside(model_path);
    struct rbe_gguf *g = NULL;
    enum rbe_status err;
    bool container;

    *path = NULL;
    if (!own)
        return no_memory(model_path, d);
    const bool there = !access(own, F_OK);
    struct stat st;
    if (!stat(model_path, &st) && S_ISDIR(st.st_mode)) {
        /* A plain checkpoint has no place for a sum: its own files, if it has them, come
         * first. */
        const int files = rbe_tokenizer_files_exist(model_path);
        err = files < 0 ? no_memory(model_path, d) : RBE_OK;
        if (files || !there)
            goto out;
        *path = own;
        own = NULL;
        goto out;
    }
    if ((err = read_key(&container, want, model_path, d)) || !(*want || (container && there)))
        goto out;
    if (!there) {
        err = rbe_fail(d, RBE_ERR_IO, "%s: is not there, the tokenizer that belongs to %s "
                       "(--tokenizer names another)", own, model_path);
        goto out;
    }
    if ((err = rbe_gguf_open(&g, own, d)))
        goto out;
    if (!sum_of(is, g) || strcmp(is, want) != 0) {
        err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: is the tokenizer of another model than %s: "
                       "remove it, or convert anew", own, model_path);
        goto out;
    }
    *path = own;
    own = NULL;
out:
    rbe_gguf_close(&g);
    free(own);
    return err;
}

enum rbe_status rbe_companion_replace(struct rbe_files *f, const char *model, bool gets_one,
                                      struct rbe_diag *d)
{
    char *path = rbe_tokenizer_beside(model);
    struct rbe_gguf *g = NULL;
    enum rbe_status err = RBE_OK;
    char is[17];

    if (!path)
        return no_memory(model, d);
    if (!access(path, F_OK) &&
        (rbe_gguf_open(&g, path, NULL) || rbe_gguf_count(g) || !sum_of(is, g)))
        err = rbe_fail(d, RBE_ERR_ARG, "%s: would be taken for the tokenizer of %s, and is "
                       "none that was made for a model: remove it", path, model);
    else
        err = gets_one ? rbe_files_replace(f, path, d) : rbe_files_append(f, path, d);
    rbe_gguf_close(&g);
    free(path);
    return err;
}

static enum rbe_status write_file(const char *path, const struct rbe_gguf *from,
                                  struct rbe_diag *d)
{
    struct rbe_gguf_out *o = NULL;
    enum rbe_status err;

    if ((err = rbe_gguf_begin(&o, d)))
        goto out;
    for (size_t i = 0; i < rbe_gguf_value_count(from); i++) {
        const struct rbe_gguf_value *v = rbe_gguf_value_at(from, i);
        /* The architecture says how a file without tokenizer.ggml.pre cuts texts. */
        if (rbe_tokenizer_is_key(v->key) || !strcmp(v->key, "general.architecture"))
            rbe_gguf_add_value(o, v);
    }
    err = rbe_gguf_write(o, path, d);
out:
    rbe_gguf_end(&o);
    return err;
}

enum rbe_status rbe_companion_add_meta(struct rbe_container_builder *b,
                                       const struct rbe_gguf *from, struct rbe_diag *d)
{
    char sum[17];

    return from && sum_of(sum, from)
               ? rbe_container_add_meta(b, tokenizer_key, sum, d)
               : RBE_OK;
}

enum rbe_status rbe_companion_write_plain(const char *folder, const struct rbe_gguf *from,
                                          struct rbe_diag *d)
{
    char sum[17], *path = rbe_tokenizer_beside(folder);
    enum rbe_status err = RBE_OK;

    if (!path)
        return no_memory(folder, d);
    if (from && sum_of(sum, from))
        err = write_file(path, from, d);
    else
        unlink(path);
    free(path);
    return err;
}

enum rbe_status rbe_companion_write(struct rbe_container_builder *b, const char *model,
                                    const struct rbe_gguf *from, struct rbe_diag *d)
{
    char sum[17], *path = rbe_tokenizer_beside(model);
    enum rbe_status err;

    if (!path)
        return no_memory(model, d);
    const bool has_one = from && sum_of(sum, from), was_there = !access(path, F_OK);
    if (!has_one || !(err = write_file(path, from, d)))
        err = rbe_container_write(b, model, d);
    /* Another model's, that lay here, would be in the way of this one. */
    if (err ? has_one && !was_there : !has_one)
        unlink(path);
    free(path);
    return err;
}
