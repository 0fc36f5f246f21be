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

enum rbe_status rbe_export_tokenizer_files(const char *folder, const char *place,
                                           struct rbe_diag *d)
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
    rbe_gguf_add_u32(o, KEY("bos_token_id"), f.bos < 0 ? c->eos : (uint32_t)f.bos);
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
