/*
 * export_tokenizer.c - writes a tokenizer for other programs.
 *
 * SPDX-License-Identifier: MIT
 *
 * It has been opened before (rbe_find_tokenizer_place()), so its files are known to be right.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "convert/export_private.h"
#include "model/tokenizer_files.h"

#define KEY(name) "tokenizer.ggml." name

/* What a token is (tokenizer.ggml.token_type). */
enum { NORMAL = 1, CONTROL = 3, USER = 4, UNUSED = 5 };

static enum rbe_status no_memory(const char *place, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", place);
}

/* --- files -------------------------------------------------------------------------------- */

static enum rbe_status copy_file(const char *to, const char *from, struct rbe_diag *d)
{
    struct rbe_outfile o = {0};
    char *text;
    size_t size;
    enum rbe_status err = rbe_read_file(&text, &size, from, d);

    if (err)
        return err;
    if (!(err = rbe_outfile_open(&o, to, d))) {
        fwrite(text, 1, size, o.f);
        err = rbe_outfile_commit(&o, d);
    }
    rbe_outfile_discard(&o);
    free(text);
    return err;
}

/* OpenAI's names become those of Hugging Face, which stand first. */
static const char *const files[][2] = {
    {"tokenizer.json", "tokenizer.json"}, {"vocab.json", "vocab.json"},
    {"encoder.json", "vocab.json"}, {"merges.txt", "merges.txt"}, {"vocab.bpe", "merges.txt"},
    {"added_tokens.json", "added_tokens.json"},
    {"tokenizer_config.json", "tokenizer_config.json"},
    {"special_tokens_map.json", "special_tokens_map.json"},
    {"chat_template.jinja", "chat_template.jinja"},
    {"generation_config.json", "generation_config.json"}};

static enum rbe_status copy_files(const char *folder, const char *place, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; !err && i < sizeof files / sizeof files[0]; i++) {
        char *from = rbe_path_join(place, files[i][0]);
        char *to = rbe_path_join(folder, files[i][1]);

        if (!from || !to)
            err = no_memory(place, d);
        else if (!access(from, F_OK) && access(to, F_OK))
            err = copy_file(to, from, d);
        free(from);
        free(to);
    }
    return err;
}

/* --- files made of metadata --------------------------------------------------------------- */

static json_t *added_json(const struct rbe_tokenizer_files *f)
{
    json_t *list = json_array();

    for (size_t i = 0; i < f->added_count; i++) {
        const struct rbe_added *a = &f->added[i];
        if (!a->idle)
            json_array_append_new(
                list, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", a->id, "content",
                                a->content, "single_word", 0, "lstrip", 0, "rstrip", 0,
                                "normalized", (int)a->late, "special", (int)a->special));
    }
    return list;
}

/* How texts are cut: GPT-2's pattern is ByteLevel's own. */
static json_t *cutting_json(const struct rbe_pattern *p)
{
    json_t *parts = json_array();
    bool digits, none;
    const char *const regex = rbe_pattern_regex(p, &digits);
    const bool own = !strcmp(regex, rbe_pattern_regex(rbe_pattern_at(RBE_PATTERN_GPT2), &none));

    if (digits)
        json_array_append_new(parts, json_pack("{s:s, s:b}", "type", "Digits",
                                               "individual_digits", 1));
    if (!own)
        json_array_append_new(parts, json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split",
                                               "pattern", "Regex", regex, "behavior",
                                               "Isolated", "invert", 0));
    json_array_append_new(parts, json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel",
                                           "add_prefix_space", 0, "trim_offsets", 1,
                                           "use_regex", (int)own));
    return json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", parts);
}

/* The token that belongs before a text, or null. */
static json_t *template_json(const char *begin, json_int_t id)
{
    return !begin ? json_null()
                  : json_pack("{s:s, s:[{s:{s:s, s:i}}, {s:{s:s, s:i}}], s:[{s:{s:s, s:i}}, "
                              "{s:{s:s, s:i}}], s:{s:{s:s, s:[I], s:[s]}}}", "type",
                              "TemplateProcessing", "single", "SpecialToken", "id", begin,
                              "type_id", 0, "Sequence", "id", "A", "type_id", 0, "pair",
                              "Sequence", "id", "A", "type_id", 0, "Sequence", "id", "B",
                              "type_id", 1, "special_tokens", begin, "id", begin, "ids", id,
                              "tokens", begin);
}

static json_t *merges_json(const struct rbe_tokenizer_files *f)
{
    json_t *list = json_array();

    for (const char *p = f->lines, *end = p + f->lines_size, *eol; p < end; p = eol + 1) {
        eol = memchr(p, '\n', (size_t)(end - p));
        eol = eol ? eol : end;
        json_array_append_new(list, json_stringn(p, (size_t)(eol - p)));
    }
    return list;
}

static const char *text_of(const struct rbe_tokenizer_files *f, json_int_t id)
{
    const char *text;
    json_t *v;

    json_object_foreach((json_t *)(uintptr_t)f->vocab, text, v)
        if (id >= 0 && json_integer_value(v) == id)
            return text;
    return NULL;
}

static json_t *tokenizer_json(const struct rbe_tokenizer_files *f)
{
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:{s:s, s:b, s:b, s:b}, s:{s:s, s:n, "
                     "s:n, s:n, s:n, s:b, s:b, s:b, s:O, s:o}}",
                     "version", "1.0", "truncation", "padding", "added_tokens", added_json(f),
                     "normalizer", f->nfc ? json_pack("{s:s}", "type", "NFC") : json_null(),
                     "pre_tokenizer", cutting_json(f->pattern), "post_processor",
                     template_json(text_of(f, f->bos), f->bos), "decoder", "type", "ByteLevel",
                     "add_prefix_space", 1, "trim_offsets", 1, "use_regex", 1, "model", "type",
                     "BPE", "dropout", "unk_token", "continuing_subword_prefix",
                     "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                     (int)f->ignore_merges, "vocab", f->vocab, "merges", merges_json(f));
}

static enum rbe_status write_json(const char *folder, const char *name, json_t *j,
                                  struct rbe_diag *d)
{
    char *path = rbe_path_join(folder, name);
    struct rbe_outfile o = {0};
    enum rbe_status err = RBE_ERR_NOMEM;

    if (!path || !j)
        no_memory(folder, d);
    else if (!(err = rbe_outfile_open(&o, path, d))) {
        if (json_dumpf(j, o.f, JSON_INDENT(1)))
            err = rbe_fail_errno(d, "%s: cannot write", path);
        else
            err = rbe_outfile_commit(&o, d);
    }
    rbe_outfile_discard(&o);
    json_decref(j);
    free(path);
    return err;
}

/* The template of conversations is Hugging Face's in both. */
static enum rbe_status chat_template(char **out, const char *place, struct rbe_diag *d)
{
    static const char key[] = "tokenizer.chat_template";
    struct rbe_gguf *g;
    enum rbe_status err = rbe_gguf_open(&g, place, d);

    *out = NULL;
    if (!err && rbe_gguf_value(g, key))
        err = rbe_gguf_string(out, g, key, d);
    rbe_gguf_close(&g);
    return err;
}

static enum rbe_status make_files(const char *folder, const char *place, struct rbe_diag *d)
{
    struct rbe_tokenizer_files f = {0};
    char *template = NULL;
    enum rbe_status err;

    rbe_json_watch();
    const unsigned shortages = rbe_shortages();
    if ((err = rbe_tokenizer_files_read(&f, place, d)) ||
        (err = chat_template(&template, place, d)) ||
        (err = write_json(folder, "tokenizer.json", tokenizer_json(&f), d)) ||
        (err = write_json(folder, "tokenizer_config.json",
                          json_pack("{s:s, s:b, s:s*, s:s*, s:s*}", "tokenizer_class",
                                    "PreTrainedTokenizerFast", "clean_up_tokenization_spaces",
                                    0, "bos_token", text_of(&f, f.bos), "eos_token",
                                    text_of(&f, f.eos), "chat_template", template), d)))
        goto out;
    if (rbe_shortages() != shortages)
        err = no_memory(place, d);
out:
    free(template);
    rbe_tokenizer_files_free(&f);
    return err;
}

enum rbe_status rbe_export_tokenizer_files(const char *folder, const char *place,
                                           struct rbe_diag *d)
{
    return rbe_tokenizer_gguf_has(place) ? make_files(folder, place, d)
                                         : copy_files(folder, place, d);
}

/* --- metadata ----------------------------------------------------------------------------- */

/* The tokens by id and their types; rows of the embedding without one are named as other
 * programs name them. */
struct tokens {
    struct rbe_gguf_text *text;
    int32_t *type;
    char (*padding)[24];        /* names */
};

static bool tokens_open(struct tokens *t, uint32_t count)
{
    *t = (struct tokens){calloc(count, sizeof *t->text), calloc(count, sizeof *t->type),
                         calloc(count, sizeof *t->padding)};
    if (!t->text || !t->type || !t->padding)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const int n = snprintf(t->padding[i], sizeof t->padding[i], "[PAD%u]", i);
        t->text[i] = (struct rbe_gguf_text){t->padding[i], (size_t)n};
        t->type[i] = UNUSED;
    }
    return true;
}

static void tokens_close(struct tokens *t)
{
    free(t->text);
    free(t->type);
    free(t->padding);
}

static void set_token(struct tokens *t, uint32_t count, json_int_t id, const char *text,
                      int32_t type)
{
    if (id < 0 || id >= count)
        return;
    t->text[id] = (struct rbe_gguf_text){text, strlen(text)};
    t->type[id] = type;
}

static void add_tokens(struct rbe_gguf_out *o, struct tokens *t,
                       const struct rbe_tokenizer_files *f, const struct rbe_model_config *c)
{
    const char *text;
    json_t *id;

    json_object_foreach((json_t *)(uintptr_t)f->vocab, text, id)
        set_token(t, c->vocab, json_integer_value(id), text, NORMAL);
    for (size_t i = 0; i < f->added_count; i++)
        set_token(t, c->vocab, f->added[i].id, f->added[i].content,
                  f->added[i].special ? CONTROL : USER);
    t->type[c->eos] = CONTROL;
    rbe_gguf_add_strings(o, KEY("tokens"), t->text, c->vocab);
    rbe_gguf_add_i32s(o, KEY("token_type"), t->type, c->vocab);
}

/* One merge, "LEFT RIGHT", at the end of what was written of them before. */
static void put_merge(FILE *f, const json_t *v)
{
    if (json_is_string(v))
        fprintf(f, "%s\n", json_string_value(v));
    else
        fprintf(f, "%s %s\n", json_string_value(json_array_get(v, 0)),
                json_string_value(json_array_get(v, 1)));
}

/* As lines, fresh, whichever way the files have them. */
static char *merge_lines(const struct rbe_tokenizer_files *f)
{
    char *text = NULL;
    size_t size, i;
    FILE *to = open_memstream(&text, &size);
    const json_t *v;

    if (!to)
        return NULL;
    json_array_foreach(f->merges, i, v)
        put_merge(to, v);
    if (f->lines_size)
        fwrite(f->lines, 1, f->lines_size, to);
    const bool bad = ferror(to);
    if (fclose(to) || bad) {
        free(text);
        return NULL;
    }
    return text;
}

static enum rbe_status add_merges(struct rbe_gguf_out *o, const struct rbe_tokenizer_files *f,
                                  struct rbe_diag *d)
{
    char *const lines = merge_lines(f);
    struct rbe_gguf_text *text = NULL;
    size_t count = 0, most = 1;

    for (const char *p = lines; p && *p; p++)
        most += *p == '\n';
    if (!lines || !(text = calloc(most, sizeof *text))) {
        free(lines);
        return no_memory(f->merges_path, d);
    }
    for (const char *p = lines; *p;) {
        const size_t n = strcspn(p, "\r\n");

        if (n && !(p == lines && !strncmp(p, "#version", 8)))
            text[count++] = (struct rbe_gguf_text){p, n};
        p += n + strspn(p + n, "\r\n");
    }
    rbe_gguf_add_strings(o, KEY("merges"), text, count);
    free(text);
    free(lines);
    return RBE_OK;
}

/* All that another file says of its tokenizer; the end of text is part of the configuration. */
static enum rbe_status copy_metadata(struct rbe_gguf_out *o, const char *place,
                                     struct rbe_diag *d)
{
    struct rbe_gguf *g;
    const enum rbe_status err = rbe_gguf_open(&g, place, d);

    for (size_t i = 0; !err && i < rbe_gguf_value_count(g); i++) {
        const struct rbe_gguf_value *v = rbe_gguf_value_at(g, i);
        if (!strncmp(v->key, "tokenizer.", 10) && strcmp(v->key, KEY("eos_token_id")))
            rbe_gguf_add_value(o, v);
    }
    rbe_gguf_close(&g);
    return err;
}

static enum rbe_status make_metadata(struct rbe_gguf_out *o, const char *place,
                                     const struct rbe_model_config *c, struct rbe_diag *d)
{
    struct rbe_tokenizer_files f = {0};
    struct tokens t = {0};
    enum rbe_status err;
    char pre[64];
    size_t n;

    if ((err = rbe_tokenizer_files_read(&f, place, d)))
        goto out;
    if (!tokens_open(&t, c->vocab)) {
        err = no_memory(place, d);
        goto out;
    }
    const char *const name = rbe_pattern_name(f.pattern, &n);
    snprintf(pre, sizeof pre, "%.*s", (int)n, name);
    rbe_gguf_add_string(o, KEY("model"), "gpt2");
    rbe_gguf_add_string(o, KEY("pre"), pre);
    add_tokens(o, &t, &f, c);
    if ((err = add_merges(o, &f, d)))
        goto out;
    rbe_gguf_add_u32(o, KEY("bos_token_id"), f.bos < 0 ? c->bos : (uint32_t)f.bos);
    rbe_gguf_add_bool(o, KEY("add_bos_token"), f.bos >= 0);
out:
    tokens_close(&t);
    rbe_tokenizer_files_free(&f);
    return err;
}

enum rbe_status rbe_export_tokenizer_gguf(struct rbe_gguf_out *o, const char *place,
                                          const struct rbe_model_config *c,
                                          struct rbe_diag *d)
{
    return rbe_tokenizer_gguf_has(place) ? copy_metadata(o, place, d)
                                         : make_metadata(o, place, c, d);
}
