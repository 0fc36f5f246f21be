/*
 * tokenizer_files.c - reads vocab.json and merges.txt, or Hugging Face's tokenizer.json.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/tokenizer_files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "rbe/gguf.h"

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
static const char *const config_names[] = {"tokenizer_config.json", NULL};

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

enum { MAX_PARTS = 8 };

/* A part, or the parts of a Sequence under `key`, into part[]; their number, 0 when there are
 * none, SIZE_MAX when there are too many. */
static size_t parts_of(const json_t *root, const char *key, const json_t *part[MAX_PARTS])
{
    const json_t *all = json_is_object(root) ? root : NULL;
    const json_t *list = all && !strcmp(type_of(all), "Sequence") ? json_object_get(all, key)
                                                                  : NULL;
    const size_t n = json_array_size(list);

    part[0] = root;
    for (size_t i = 0; list && i < n && i < MAX_PARTS; i++)
        part[i] = json_array_get(list, i);
    return !root ? 0 : !list ? 1 : n > MAX_PARTS ? SIZE_MAX : n;
}

static enum rbe_status refuse(const char *what, const char *path, struct rbe_diag *d,
                              const json_t *part, const char *why)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s %s is not supported; %s", path, what,
                    type_of(part), why);
}

static enum rbe_status too_many(const char *what, const char *path, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s has more than %d parts", path, what, MAX_PARTS);
}

static enum rbe_status read_normalizer(struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    static const char what[] = "normalizer";
    const json_t *part[MAX_PARTS];
    const size_t n = parts_of(given(f->root, what), "normalizers", part);

    if (n > MAX_PARTS)
        return too_many(what, f->path, d);
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_object_get(part[i], "type"));
        if (!type || strcmp(type, "NFC"))
            return refuse(what, f->path, d, part[i], "only NFC is");
        f->nfc = true;
    }
    return RBE_OK;
}

/* The regular expression of a Split that keeps every piece; NULL: it is another Split. */
static const char *regex_of(const json_t *split)
{
    const char *how = json_string_value(json_object_get(split, "behavior"));

    if (!how || strcmp(how, "Isolated") || json_is_true(json_object_get(split, "invert")))
        return NULL;
    return json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
}

/*
 * [Digits, one by one] [Split] ByteLevel, which looks for GPT-2's pattern itself where there
 * is no Split.
 */
static enum rbe_status read_cutting(struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    static const char what[] = "pre_tokenizer";
    const json_t *part[MAX_PARTS];
    const size_t n = parts_of(given(f->root, what), "pretokenizers", part);
    const char *regex = NULL;
    bool digits = false;
    size_t i = 0;

    if (n > MAX_PARTS)
        return too_many(what, f->path, d);
    if (!n)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: no pre_tokenizer; ByteLevel is needed",
                        f->path);
    if (!strcmp(type_of(part[i]), "Digits")) {
        if (!json_is_true(json_object_get(part[i], "individual_digits")))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer Digits: individual_digits is "
                            "not true", f->path);
        digits = true;
        i++;
    }
    if (i < n && !strcmp(type_of(part[i]), "Split")) {
        if (!(regex = regex_of(part[i])))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer Split: only a pattern Regex "
                            "with the behavior Isolated is supported", f->path);
        i++;
    }
    if (i == n)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer: ByteLevel is not its last part",
                        f->path);
    if (strcmp(type_of(part[i]), "ByteLevel"))
        return refuse(what, f->path, d, part[i], strcmp(type_of(part[i]), "Metaspace") ?
                      "only ByteLevel is, after Digits or Split" :
                      "this is a SentencePiece vocabulary, and only byte-level BPE is read");
    if (i + 1 < n)
        return refuse(what, f->path, d, part[i + 1], "ByteLevel must be the last part");
    if (!json_is_false(json_object_get(part[i], "add_prefix_space")))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer: add_prefix_space is not false",
                        f->path);
    const json_t *own = given(part[i], "use_regex");
    if (regex ? !json_is_false(own) : own && !json_is_true(own))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer: use_regex is not %s", f->path,
                        regex ? "false after Split" : "true");
    f->pattern = regex ? rbe_pattern_of_regex(regex, digits)
                       : rbe_pattern_at(digits ? RBE_PATTERN_SMOLLM : RBE_PATTERN_GPT2);
    if (!f->pattern)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: pre_tokenizer Split: the pattern '%.60s%s' is "
                        "not one of those known (GPT-2, SmolLM, Llama 3, Qwen 2)", f->path,
                        regex, strlen(regex) > 60 ? "..." : "");
    return RBE_OK;
}

/* A template that puts nothing around the text, or one token in front. */
static enum rbe_status read_template(struct rbe_tokenizer_files *f, const json_t *template,
                                     struct rbe_diag *d)
{
    const json_t *single = json_object_get(template, "single"), *piece;
    const char *begin = NULL;
    bool good = json_is_array(single), text = false;
    size_t i;

    json_array_foreach(single, i, piece) {
        const json_t *token = json_object_get(piece, "SpecialToken");
        if (json_object_get(piece, "Sequence") && !text)
            text = true;
        else if (!text && !begin)
            good &= (begin = json_string_value(json_object_get(token, "id"))) != NULL;
        else
            good = false;
    }
    if (!good || (begin && f->bos >= 0))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: post_processor TemplateProcessing is not "
                        "supported: only nothing, or one token before a text, is", f->path);
    if (!begin)
        return RBE_OK;
    const json_t *ids = json_object_get(
        json_object_get(json_object_get(template, "special_tokens"), begin), "ids");
    const json_t *id = json_array_get(ids, 0);
    if (json_array_size(ids) != 1 || !json_is_integer(id) || json_integer_value(id) < 0)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: post_processor TemplateProcessing: '%s' has no "
                        "id", f->path, begin);
    f->bos = json_integer_value(id);
    return RBE_OK;
}

static enum rbe_status read_around(struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    static const char what[] = "post_processor";
    const json_t *part[MAX_PARTS];
    const size_t n = parts_of(given(f->root, what), "processors", part);
    enum rbe_status err = RBE_OK;

    if (n > MAX_PARTS)
        return too_many(what, f->path, d);
    for (size_t i = 0; i < n && !err; i++)
        if (!strcmp(type_of(part[i]), "TemplateProcessing"))
            err = read_template(f, part[i], d);
        else if (strcmp(type_of(part[i]), "ByteLevel"))
            err = refuse(what, f->path, d, part[i], "only TemplateProcessing is");
    return err;
}

static enum rbe_status read_parts(struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    const json_t *decoder = given(f->root, "decoder");
    enum rbe_status err;

    if ((err = read_normalizer(f, d)) || (err = read_cutting(f, d)) ||
        (err = read_around(f, d)))
        return err;
    if (decoder && strcmp(type_of(decoder), "ByteLevel"))
        return refuse("decoder", f->path, d, decoder, "only ByteLevel is");
    return RBE_OK;
}

static enum rbe_status check_model(const json_t *model, const char *path, struct rbe_diag *d)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const json_t *type = given(model, "type"), *v;

    if (!json_is_object(model))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model is not an object", path);
    if (type && strcmp(type_of(model), "BPE"))
        return refuse("model", path, d, model, strcmp(type_of(model), "Unigram") ? "only BPE is"
                      : "this is a SentencePiece vocabulary, and only byte-level BPE is read");
    for (size_t i = 0; i < 2; i++) {
        v = given(model, affixes[i]);
        if (v && (!json_is_string(v) || json_string_length(v)))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: %s is not supported", path,
                            affixes[i]);
    }
    v = given(model, "byte_fallback");
    if (v && !json_is_false(v))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: byte_fallback is not supported: this is "
                        "a SentencePiece vocabulary, and only byte-level BPE is read", path);
    v = given(model, "ignore_merges");
    if (v && !json_is_boolean(v))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: model: ignore_merges is neither true nor false",
                        path);
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
        (struct rbe_added){content, json_integer_value(id), special, late, false};
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

/* The end of text that tokenizer_config.json names, a text or an object with its content. */
static enum rbe_status read_end(struct rbe_tokenizer_files *f, const char *folder,
                                struct rbe_diag *d)
{
    char *path = has(folder, config_names) ? pick(folder, config_names) : NULL;
    enum rbe_status err = RBE_OK;

    if (path && !(err = read_json(&f->config_root, path, d))) {
        const json_t *end = given(f->config_root, "eos_token");
        if (json_is_object(end))
            end = json_object_get(end, "content");
        f->eos_text = json_string_value(end);
        if (end && (!f->eos_text || !*f->eos_text))
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: eos_token is not a text", path);
    }
    free(path);
    return err;
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
    if ((err = check_model(model, f->path, d)) || (err = read_parts(f, d)) ||
        (err = add_objects(f, given(f->root, "added_tokens"), d)) ||
        (err = read_end(f, folder, d)))
        return err;
    f->vocab = json_object_get(model, "vocab");
    f->merges = json_object_get(model, "merges");
    f->ignore_merges = json_is_true(json_object_get(model, "ignore_merges"));
    f->drops = !given(model, "unk_token");
    return RBE_OK;
}

/* --- GPT-2's own files -------------------------------------------------------------------- */

static enum rbe_status read_plain(struct rbe_tokenizer_files *f, const char *folder,
                                  struct rbe_diag *d)
{
    enum rbe_status err;
    const char *content;
    struct stat st;
    json_t *id;

    if (stat(folder, &st) < 0)
        return rbe_fail_errno(d, "%s", folder);
    if (!S_ISDIR(st.st_mode))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: neither a folder with a tokenizer nor a GGUF "
                        "file", folder);
    if (!has(folder, vocab_names))
        return rbe_fail(d, RBE_ERR_IO, "%s: no tokenizer.json, nor vocab.json and merges.txt, "
                        "in it", folder);
    f->pattern = rbe_pattern_at(RBE_PATTERN_GPT2);
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

enum rbe_status rbe_tokenizer_files_read(struct rbe_tokenizer_files *f, const char *path,
                                         struct rbe_diag *d)
{
    *f = (struct rbe_tokenizer_files){.eos = -1, .bos = -1};
    const enum rbe_status err = rbe_gguf_is(path)       ? rbe_tokenizer_gguf_read(f, path, d)
                                : has(path, fast_names) ? read_fast(f, path, d)
                                                        : read_plain(f, path, d);
    if (!err && !json_is_object(f->vocab))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: the vocabulary is not an object of tokens and "
                        "their ids", f->path);
    return err;
}

void rbe_tokenizer_files_free(struct rbe_tokenizer_files *f)
{
    json_decref(f->root);
    json_decref(f->added_root);
    json_decref(f->config_root);
    free(f->path);
    free(f->merges_path);
    free(f->added_path);
    free(f->lines);
    free(f->texts);
    free(f->added);
    *f = (struct rbe_tokenizer_files){0};
}
