/*
 * tokenizer_gguf.c - reads the tokenizer in a GGUF file's metadata.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/tokenizer_files.h"
#include "rbe/gguf.h"

#define KEY(name) "tokenizer.ggml." name

/* What a token is (tokenizer.ggml.token_type). */
enum { NORMAL = 1, UNKNOWN, CONTROL, USER, UNUSED };

bool rbe_tokenizer_is_key(const char *key)
{
    return !strncmp(key, "tokenizer.", strlen("tokenizer."));
}

bool rbe_tokenizer_gguf_has(const char *path)
{
    struct rbe_gguf *g = NULL;
    const bool has = rbe_gguf_is(path) && !rbe_gguf_open(&g, path, NULL) &&
                     rbe_gguf_value(g, KEY("model"));

    rbe_gguf_close(&g);
    return has;
}

static enum rbe_status no_memory(const struct rbe_gguf *g, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", rbe_gguf_path(g));
}

/* The text of a key that may be missing: NULL then. */
static enum rbe_status optional_text(char **out, const struct rbe_gguf *g, const char *key,
                                     struct rbe_diag *d)
{
    *out = NULL;
    return rbe_gguf_value(g, key) ? rbe_gguf_string(out, g, key, d) : RBE_OK;
}

static enum rbe_status check_model(const struct rbe_gguf *g, struct rbe_diag *d)
{
    char *model;
    enum rbe_status err = rbe_gguf_string(&model, g, KEY("model"), d);

    if (!err && strcmp(model, "gpt2"))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: " KEY("model") " '%.60s'%s is not supported: "
                       "only gpt2, byte-level BPE, is read", rbe_gguf_path(g), model,
                       strcmp(model, "llama") ? "" : " (SentencePiece)");
    free(model);
    return err;
}

/*
 * A file that names no way to cut is one of GPT-2 made before there were names for it; of
 * another architecture it could be any.
 */
static enum rbe_status read_pattern(struct rbe_tokenizer_files *f, const struct rbe_gguf *g,
                                    struct rbe_diag *d)
{
    char *pre, *arch = NULL;
    enum rbe_status err;

    if ((err = optional_text(&pre, g, KEY("pre"), d)) ||
        (err = optional_text(&arch, g, "general.architecture", d)))
        goto out;
    if (pre && strcmp(pre, "default"))
        f->pattern = rbe_pattern_of_name(pre);
    else if (arch && !strcmp(arch, "gpt2"))
        f->pattern = rbe_pattern_at(RBE_PATTERN_GPT2);
    if (!f->pattern)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: " KEY("pre") " %s%.60s%s is not supported: "
                       "how texts are cut into words is not known", rbe_gguf_path(g),
                       pre ? "'" : "(", pre ? pre : "missing", pre ? "'" : ")");
    /* What their models' own files say. */
    f->nfc = f->pattern == rbe_pattern_at(RBE_PATTERN_QWEN2);
    f->ignore_merges = f->pattern == rbe_pattern_at(RBE_PATTERN_LLAMA3);
    f->drops = true;
out:
    free(pre);
    free(arch);
    return err;
}

/* An id under a key that may be missing: -1 then. */
static enum rbe_status optional_id(json_int_t *out, const struct rbe_gguf *g, const char *key,
                                   size_t count, struct rbe_diag *d)
{
    uint32_t id;

    *out = -1;
    if (!rbe_gguf_value(g, key))
        return RBE_OK;
    const enum rbe_status err = rbe_gguf_u32(&id, g, key, d);
    if (!err && id >= count)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is %u, and there are %zu tokens",
                        rbe_gguf_path(g), key, id, count);
    *out = err ? -1 : (json_int_t)id;
    return err;
}

static enum rbe_status optional_bool(bool *out, const struct rbe_gguf *g, const char *key,
                                     struct rbe_diag *d)
{
    return rbe_gguf_value(g, key) ? rbe_gguf_bool(out, g, key, d) : RBE_OK;
}

static enum rbe_status read_ends(struct rbe_tokenizer_files *f, const struct rbe_gguf *g,
                                 size_t count, struct rbe_diag *d)
{
    bool begins = f->pattern == rbe_pattern_at(RBE_PATTERN_LLAMA3), ends = false, blank = false;
    enum rbe_status err;

    if ((err = optional_id(&f->eos, g, KEY("eos_token_id"), count, d)) ||
        (err = optional_id(&f->bos, g, KEY("bos_token_id"), count, d)) ||
        (err = optional_bool(&begins, g, KEY("add_bos_token"), d)) ||
        (err = optional_bool(&ends, g, KEY("add_eos_token"), d)) ||
        (err = optional_bool(&blank, g, KEY("add_space_prefix"), d)))
        return err;
    if (ends || blank)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is not supported", rbe_gguf_path(g),
                        ends ? KEY("add_eos_token") : KEY("add_space_prefix"));
    if (begins && f->bos < 0)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: " KEY("add_bos_token") " without "
                        KEY("bos_token_id"), rbe_gguf_path(g));
    if (!begins)
        f->bos = -1;
    return RBE_OK;
}

/* One token into the vocabulary, and if its text stands as it is, among the added ones. */
static enum rbe_status add_token(struct rbe_tokenizer_files *f, json_t *vocab,
                                 const struct rbe_gguf *g, size_t i, const char *text, size_t n,
                                 int32_t type, struct rbe_diag *d)
{
    const char *why = NULL;
    uint32_t code;

    for (size_t at = 0, k; at < n && !why; at += k)
        if (!(k = rbe_utf8_char(text + at, n - at, &code)) || !code)
            why = "is not a text";
    if (!n)
        why = "is empty";
    else if (json_object_get(vocab, text))
        why = "is there before";
    else if (type < NORMAL || type > UNUSED)
        why = "is of a type that byte-level BPE does not have";
    if (why)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: " KEY("tokens") ": token %zu %s",
                        rbe_gguf_path(g), i, why);
    if (json_object_set_new_nocheck(vocab, text, json_integer((json_int_t)i)))
        return no_memory(g, d);
    if (type != NORMAL)
        f->added[f->added_count++] = (struct rbe_added){
            text, (json_int_t)i, type != USER, false, type == UNKNOWN || type == UNUSED};
    return RBE_OK;
}

static enum rbe_status read_tokens(struct rbe_tokenizer_files *f, const struct rbe_gguf *g,
                                   size_t *tokens, struct rbe_diag *d)
{
    struct rbe_gguf_text *text = NULL;
    int32_t *type = NULL;
    size_t count, types = 0, total = 0, added = 0;
    json_t *vocab = f->root = json_object();
    enum rbe_status err;

    if ((err = rbe_gguf_strings(&text, &count, g, KEY("tokens"), d)) ||
        (rbe_gguf_value(g, KEY("token_type")) &&
         (err = rbe_gguf_i32s(&type, &types, g, KEY("token_type"), d))))
        goto out;
    if (type && types != count) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: " KEY("token_type") " has %zu elements, and "
                       "there are %zu tokens", rbe_gguf_path(g), types, count);
        goto out;
    }
    for (size_t i = 0; i < count; i++) {
        total += text[i].n + 1;
        added += type && type[i] != NORMAL;
    }
    f->texts = malloc(total + 1);
    f->added = calloc(added + 1, sizeof *f->added);
    if (!vocab || !f->texts || !f->added)
        err = no_memory(g, d);
    for (size_t i = 0, at = 0; i < count && !err; at += text[i++].n + 1) {
        memcpy(f->texts + at, text[i].s, text[i].n);
        f->texts[at + text[i].n] = 0;
        err = add_token(f, vocab, g, i, f->texts + at, text[i].n, type ? type[i] : NORMAL, d);
    }
    f->vocab = vocab;
    *tokens = count;
out:
    free(text);
    free(type);
    return err;
}

/* As the lines of a merges.txt. */
static enum rbe_status read_merges(struct rbe_tokenizer_files *f, const struct rbe_gguf *g,
                                   struct rbe_diag *d)
{
    struct rbe_gguf_text *text;
    size_t count, total = 0;
    enum rbe_status err = rbe_gguf_strings(&text, &count, g, KEY("merges"), d);

    if (err)
        return err;
    for (size_t i = 0; i < count; i++)
        total += text[i].n + 1;
    f->listed = true;
    if (!(f->lines = malloc(total + 1)))
        err = no_memory(g, d);
    for (size_t i = 0; i < count && !err; i++) {
        if (memchr(text[i].s, '\n', text[i].n))
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: merge %zu is not two tokens",
                           rbe_gguf_path(g), i + 1);
        memcpy(f->lines + f->lines_size, text[i].s, text[i].n);
        f->lines_size += text[i].n;
        f->lines[f->lines_size++] = '\n';
    }
    free(text);
    return err;
}

enum rbe_status rbe_tokenizer_gguf_read(struct rbe_tokenizer_files *f, const char *path,
                                        struct rbe_diag *d)
{
    struct rbe_gguf *g;
    size_t count = 0;
    enum rbe_status err = rbe_gguf_open(&g, path, d);

    if (err)
        return err;
    f->path = strdup(path);
    f->merges_path = strdup(path);
    f->added_path = strdup(path);
    if (!f->path || !f->merges_path || !f->added_path)
        err = no_memory(g, d);
    else if (!(err = check_model(g, d)) && !(err = read_pattern(f, g, d)) &&
             !(err = read_tokens(f, g, &count, d)) && !(err = read_ends(f, g, count, d)))
        err = read_merges(f, g, d);
    rbe_gguf_close(&g);
    return err;
}
