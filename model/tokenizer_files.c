/*
 * tokenizer_files.c - reads vocab.json and merges.txt, or Hugging Face's tokenizer.json.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

/* The first of the names that the folder has, else the last; fresh. */
static char *pick(const char *folder, const char *const *names)
{
    for (;; names++) {
        char *path = rbe_path_join(folder, *names);
        if (!path || !names[1] || !access(path, F_OK))
            return path;
        free(path);
    }
}

static const char *const fast_names[] = {"tokenizer.json", NULL};
static const char *const vocab_names[] = {"vocab.json", "encoder.json", NULL};
static const char *const merges_names[] = {"merges.txt", "vocab.bpe", NULL};
static const char *const added_names[] = {"added_tokens.json", NULL};

/* 1, 0, or -1 when memory has run out. */
static int has(const char *folder, const char *const *names)
{
    char *path = pick(folder, names);
    const int exists = path ? !access(path, F_OK) : -1;

    free(path);
    return exists;
}

int rbe_tokenizer_files_exist(const char *folder)
{
    const int fast = has(folder, fast_names);

    return fast ? fast : has(folder, vocab_names);
}

/* A file without the byte order mark that some editors put in front. */
static enum rbe_status read_text(char **text, size_t *size, const char *path,
                                 struct rbe_diag *d)
{
    const enum rbe_status err = rbe_read_file(text, size, path, d);

    if (!err && *size >= 3 && !memcmp(*text, "\xEF\xBB\xBF", 3)) {
        *size -= 3;
        memmove(*text, *text + 3, *size);
    }
    return err;
}

static enum rbe_status read_json(json_t **out, const char *path, struct rbe_diag *d)
{
    json_error_t je;
    char *text;
    size_t size;
    enum rbe_status err;

    *out = NULL;
    if ((err = read_text(&text, &size, path, d)))
        return err;
    err = rbe_json_load(out, text, size, JSON_REJECT_DUPLICATES, &je, path, d);
    free(text);
    return err == RBE_ERR_FORMAT ? rbe_fail(d, err, "%s: not valid JSON at byte %d", path,
                                            je.position < 0 ? 0 : je.position)
                                 : err;
}

/* --- tokenizer.json ----------------------------------------------------------------------- */

/* o[key] when it is there and not null. */
static const json_t *given(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);

    return json_is_null(v) ? NULL : v;
}

/* "ByteLevel" of {"type": "ByteLevel"}. */
static const char *type_of(const json_t *part)
{
    const char *type = json_string_value(json_object_get(part, "type"));

    return type ? type : "without a type";
}

/* A template that puts nothing around the text. */
static bool adds_nothing(const json_t *template)
{
    const json_t *single = json_object_get(template, "single"), *piece;
    size_t i;

    json_array_foreach(single, i, piece)
        if (!json_object_get(piece, "Sequence"))
            return false;
    return json_is_array(single);
}

static enum rbe_status check_parts(const json_t *root, const char *path, struct rbe_diag *d)
{
    const json_t *normalizer = given(root, "normalizer"), *cut = given(root, "pre_tokenizer");
    const json_t *post = given(root, "post_processor"), *decoder = given(root, "decoder");

    if (normalizer)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: normalizer %s is not supported; GPT-2 has none",
                        path, type_of(normalizer));
    if (!cut)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: no pre_tokenizer; only ByteLevel is supported",
                        path);
    if (strcmp(type_of(cut), "ByteLevel"))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer %s is not supported; only "
                        "ByteLevel is", path, type_of(cut));
    if (!json_is_false(json_object_get(cut, "add_prefix_space")))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer: add_prefix_space is not false",
                        path);
    if (given(cut, "use_regex") && !json_is_true(given(cut, "use_regex")))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer: use_regex is not true", path);
    if (post && strcmp(type_of(post), "ByteLevel") &&
        (strcmp(type_of(post), "TemplateProcessing") || !adds_nothing(post)))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: post_processor %s is not supported: nothing is "
                        "put around a text", path, type_of(post));
    if (decoder && strcmp(type_of(decoder), "ByteLevel"))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: decoder %s is not supported; only ByteLevel is",
                        path, type_of(decoder));
    return RBE_OK;
}

static enum rbe_status check_model(const json_t *model, const char *path, struct rbe_diag *d)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    static const char *const switches[] = {"byte_fallback", "ignore_merges"};
    const json_t *type = given(model, "type"), *v;

    if (!json_is_object(model))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model is not an object", path);
    if (type && strcmp(type_of(model), "BPE"))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model %s is not supported; only BPE is", path,
                        type_of(model));
    for (size_t i = 0; i < 2; i++) {
        v = given(model, affixes[i]);
        if (v && (!json_is_string(v) || json_string_length(v)))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: %s is not supported", path,
                            affixes[i]);
        v = given(model, switches[i]);
        if (v && !json_is_false(v))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: %s is not supported", path,
                            switches[i]);
    }
    v = given(model, "dropout");
    if (v && (!json_is_number(v) || json_number_value(v) != 0))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: dropout is not supported", path);
    if (!json_is_array(json_object_get(model, "merges")))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: merges is not an array", path);
    return RBE_OK;
}

/* Room for as many added tokens. */
static enum rbe_status make_room(struct rbe_tokenizer_files *f, size_t n, struct rbe_diag *d)
{
    f->added = calloc(n + 1, sizeof *f->added);
    return f->added ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", f->added_path);
}

static enum rbe_status add(struct rbe_tokenizer_files *f, const char *content, const json_t *id,
                           bool special, bool late, struct rbe_diag *d)
{
    if (!content || !*content)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: an added token has no content", f->added_path);
    if (!json_is_integer(id))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: the id of the added token '%s' is not an "
                        "integer", f->added_path, content);
    f->added[f->added_count++] =
        (struct rbe_added){content, json_integer_value(id), special, late};
    return RBE_OK;
}

static enum rbe_status add_objects(struct rbe_tokenizer_files *f, const json_t *list,
                                   struct rbe_diag *d)
{
    static const char *const refused[] = {"single_word", "lstrip", "rstrip"};
    enum rbe_status err;
    const json_t *token;
    size_t i;

    if (list && !json_is_array(list))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: added_tokens is not an array", f->path);
    if ((err = make_room(f, json_array_size(list), d)))
        return err;
    json_array_foreach(list, i, token) {
        const char *content = json_string_value(json_object_get(token, "content"));
        for (size_t k = 0; content && k < 3; k++)
            if (json_is_true(json_object_get(token, refused[k])))
                return rbe_fail(d, RBE_ERR_FORMAT, "%s: added token '%s': %s is not supported",
                                f->path, content, refused[k]);
        if ((err = add(f, content, json_object_get(token, "id"),
                       json_is_true(json_object_get(token, "special")),
                       json_is_true(json_object_get(token, "normalized")), d)))
            return err;
    }
    return RBE_OK;
}

static enum rbe_status read_fast(struct rbe_tokenizer_files *f, const char *folder,
                                 struct rbe_diag *d)
{
    enum rbe_status err;

    f->path = pick(folder, fast_names);
    f->merges_path = pick(folder, fast_names);
    f->added_path = pick(folder, fast_names);
    if (!f->path || !f->merges_path || !f->added_path)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
    if ((err = read_json(&f->root, f->path, d)))
        return err;
    if (!json_is_object(f->root))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: not a JSON object", f->path);
    const json_t *model = json_object_get(f->root, "model");
    if ((err = check_model(model, f->path, d)) || (err = check_parts(f->root, f->path, d)) ||
        (err = add_objects(f, given(f->root, "added_tokens"), d)))
        return err;
    f->vocab = json_object_get(model, "vocab");
    f->merges = json_object_get(model, "merges");
    return RBE_OK;
}

/* --- GPT-2's own files -------------------------------------------------------------------- */

static enum rbe_status read_plain(struct rbe_tokenizer_files *f, const char *folder,
                                  struct rbe_diag *d)
{
    enum rbe_status err;
    const char *content;
    json_t *id;

    f->path = pick(folder, vocab_names);
    f->merges_path = pick(folder, merges_names);
    f->added_path = pick(folder, added_names);
    if (!f->path || !f->merges_path || !f->added_path)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
    if ((err = read_json(&f->root, f->path, d)) ||
        (err = read_text(&f->lines, &f->lines_size, f->merges_path, d)))
        return err;
    f->vocab = f->root;
    if (!has(folder, added_names))
        return RBE_OK;
    if ((err = read_json(&f->added_root, f->added_path, d)))
        return err;
    if (!json_is_object(f->added_root))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: not an object of tokens and their ids",
                        f->added_path);
    err = make_room(f, json_object_size(f->added_root), d);
    json_object_foreach(f->added_root, content, id)
        if (!err)
            err = add(f, content, id, true, false, d);
    return err;
}

enum rbe_status rbe_tokenizer_files_read(struct rbe_tokenizer_files *f, const char *folder,
                                         struct rbe_diag *d)
{
    *f = (struct rbe_tokenizer_files){0};
    const enum rbe_status err = has(folder, fast_names) ? read_fast(f, folder, d)
                                                        : read_plain(f, folder, d);
    if (!err && !json_is_object(f->vocab))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: the vocabulary is not an object of tokens and "
                        "their ids", f->path);
    return err;
}

void rbe_tokenizer_files_free(struct rbe_tokenizer_files *f)
{
    json_decref(f->root);
    json_decref(f->added_root);
    free(f->path);
    free(f->merges_path);
    free(f->added_path);
    free(f->lines);
    free(f->added);
    *f = (struct rbe_tokenizer_files){0};
}
