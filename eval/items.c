/*
 * items.c - items of the comprehension tasks: files, and choices as tokens.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "eval/task.h"
#include "eval/text.h"

static uint32_t count_characters(const char *s)
{
    uint32_t n = 0;

    for (; *s; s++)
        n += (*s & 0xC0) != 0x80;
    return n;
}

enum rbe_status rbe_choice_encode(struct rbe_choice *c, const char *context,
                                  const char *continuation, const struct rbe_tokenizer *t,
                                  uint32_t n_ctx, struct rbe_diag *d)
{
    const size_t nc = strlen(context), nn = strlen(continuation);
    /* White space at the end of the context belongs to the continuation's first token. */
    const size_t keep = rbe_strip_right(context, nc);
    size_t whole = 0, alone = 0, n = 0;
    uint32_t *ids = NULL, *head = NULL;
    char *text = malloc(nc + nn + 1);
    enum rbe_status err = RBE_OK;

    memset(c, 0, sizeof *c);
    c->characters = count_characters(continuation) - (continuation[0] == ' ');
    if (!text)
        return RBE_ERR_NOMEM;
    memcpy(text, context, nc);
    memcpy(text + nc, continuation, nn + 1);
    if ((err = rbe_tokenizer_encode(t, text, nc + nn, false, &ids, &whole, d)) ||
        (err = rbe_tokenizer_encode(t, text, keep, false, &head, &alone, d)))
        goto out;
    /* Nothing to score, nothing to score it by, or too much of it: no score would be one of
     * this continuation. */
    const size_t scored = whole > alone ? whole - alone : 0;
    if (!scored)
        err = rbe_fail(d, RBE_ERR_LIMIT, "no token is the continuation's own");
    else if (nc && !keep)
        err = rbe_fail(d, RBE_ERR_LIMIT, "a context of white space only");
    else if (scored > n_ctx)
        err = rbe_fail(d, RBE_ERR_LIMIT, "a continuation of %zu tokens, the context is %u",
                       scored, n_ctx);
    else if (!(c->tokens = malloc((whole + 1) * sizeof *c->tokens)))
        err = RBE_ERR_NOMEM;
    if (err)
        goto out;
    if (!alone)
        c->tokens[n++] = rbe_tokenizer_eos(t);
    memcpy(c->tokens + n, ids, whole * sizeof *ids);
    n += whole;
    if (n > (size_t)n_ctx + 1) {
        c->cut = (uint32_t)(n - n_ctx - 1);
        n -= c->cut;
        memmove(c->tokens, c->tokens + c->cut, n * sizeof *c->tokens);
    }
    c->count = (uint32_t)n;
    c->first = (uint32_t)(n - scored);
out:
    free(text);
    free(ids);
    free(head);
    return err;
}

static void free_item(struct rbe_item *it)
{
    for (unsigned k = 0; k < it->choices; k++) {
        free(it->choice[k].tokens);
        free(it->choice[k].context);
        free(it->choice[k].continuation);
    }
    free(it->choice);
}

static void free_names(struct rbe_names *x)
{
    for (size_t i = 0; i < x->count; i++)
        free(x->name[i]);
    free(x->name);
}

struct rbe_item *rbe_item_new(struct rbe_items *x)
{
    if (x->count == x->room) {
        const size_t room = x->room ? 2 * x->room : 256;
        struct rbe_item *more = realloc(x->item, room * sizeof *more);
        if (!more)
            return NULL;
        x->item = more;
        x->room = room;
    }
    struct rbe_item *it = &x->item[x->count++];
    memset(it, 0, sizeof *it);
    return it;
}

void rbe_items_free(struct rbe_items *x)
{
    for (size_t i = 0; i < x->count; i++)
        free_item(&x->item[i]);
    free_names(&x->files);
    free_names(&x->groups);
    free_names(&x->paradigms);
    free(x->item);
    free(x->name);
    memset(x, 0, sizeof *x);
}

enum rbe_status rbe_item_add(struct rbe_loading *l, struct rbe_item *it, const char *context,
                             const char *continuation, struct rbe_diag *d)
{
    struct rbe_diag why = {""};
    struct rbe_choice *more = realloc(it->choice, (it->choices + 1) * sizeof *more), *c;

    if (!more)
        return RBE_ERR_NOMEM;
    it->choice = more;
    c = &more[it->choices];
    enum rbe_status err = rbe_choice_encode(c, context, continuation, l->t, l->n_ctx, &why);
    if (err == RBE_ERR_LIMIT) {
        const char *base = strrchr(l->path, '/');
        char *first = l->x->first_refused;
        if (!l->refused && !l->x->refused++) {
            snprintf(first, sizeof l->x->first_refused, "%.80s line %u: %.90s",
                     base ? base + 1 : l->path, l->line, why.text);
            /* For a row: a name may be no UTF-8, or cut within a character. */
            for (char *s = first; *s; s++)
                *s = (unsigned char)*s < 0x80 ? *s : '?';
            rbe_one_line(first);
        }
        l->refused = true;
        return RBE_OK;
    }
    if (err)
        return rbe_fail(d, err, "%s: line %u: %s", l->path, l->line,
                        why.text[0] ? why.text : rbe_strerror(err));
    it->choices++;
    c->context = strdup(context);
    c->continuation = strdup(continuation);
    return c->context && c->continuation ? RBE_OK : RBE_ERR_NOMEM;
}

void rbe_item_end(struct rbe_loading *l)
{
    struct rbe_item *it = &l->x->item[l->x->count - 1];
    bool cut = false;

    for (unsigned k = 0; k < it->choices; k++)
        cut = cut || it->choice[k].cut;
    it->line = l->line;
    it->file = l->file;
    if (l->refused) {
        free_item(it);
        l->x->count--;
    } else {
        l->x->cut += cut;
    }
    l->refused = false;
}

enum rbe_status rbe_item_malformed(const struct rbe_loading *l, const char *what,
                                   struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: line %u: %s", l->path, l->line, what);
}

enum rbe_status rbe_item_unlabelled(const struct rbe_loading *l, const char *key,
                                    struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: line %u: no answer (\"%s\" is empty or missing): "
                    "an unlabelled test split; take the one for validation", l->path, l->line,
                    key);
}

bool rbe_item_no_answer(const json_t *answer)
{
    return !answer || json_is_null(answer) ||
           (json_is_string(answer) && !json_string_length(answer)) ||
           (json_is_integer(answer) && json_integer_value(answer) == -1) ||
           (json_is_string(answer) && !strcmp(json_string_value(answer), "-1"));
}

enum rbe_status rbe_names_index(struct rbe_names *x, const char *name, unsigned *index)
{
    for (size_t g = 0; g < x->count; g++)
        if (!strcmp(x->name[g], name)) {
            *index = (unsigned)g;
            return RBE_OK;
        }
    char **more = realloc(x->name, (x->count + 1) * sizeof *more);
    if (!more)
        return RBE_ERR_NOMEM;
    x->name = more;
    if (!(more[x->count] = strdup(name)))
        return RBE_ERR_NOMEM;
    *index = (unsigned)x->count++;
    return RBE_OK;
}

char *rbe_join3(const char *a, size_t na, const char *b, const char *c)
{
    const size_t nb = strlen(b), nc = strlen(c);
    char *s = malloc(na + nb + nc + 1);

    if (s) {
        memcpy(s, a, na);
        memcpy(s + na, b, nb);
        memcpy(s + na + nb, c, nc + 1);
    }
    return s;
}

static enum rbe_status load_jsonl(struct rbe_loading *l, char *text, size_t size, size_t limit,
                                  struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t taken = 0;

    for (size_t at = 0; at < size && !err && (!limit || taken < limit);) {
        const char *nl = memchr(text + at, '\n', size - at);
        const size_t n = nl ? (size_t)(nl - (text + at)) : size - at;
        json_error_t e;
        l->line++;
        if (rbe_strip_right(text + at, n)) {
            const size_t had = l->x->count;
            json_t *o;
            if ((err = rbe_json_load(&o, text + at, n, JSON_REJECT_DUPLICATES, &e, l->path,
                                     d)))
                err = err == RBE_ERR_NOMEM ? err : rbe_item_malformed(l, e.text, d);
            else
                err = l->kind->line(l, o, d);
            json_decref(o);
            taken++;
            if (!err && l->x->count > had)
                rbe_item_end(l);
        }
        at += n + 1;
    }
    return err;
}

static enum rbe_status load_file(struct rbe_items *x, const char *path,
                                 const struct rbe_tokenizer *t, uint32_t n_ctx, size_t limit,
                                 struct rbe_diag *d)
{
    struct rbe_loading l = {.x = x, .kind = rbe_task_kind(x->task), .t = t, .n_ctx = n_ctx,
                            .path = path};
    char *text = NULL, *name = rbe_text_name(path), both[130];
    size_t size;
    enum rbe_status err = name ? rbe_names_index(&x->files, name, &l.file) : RBE_ERR_NOMEM;

    if (err || (err = rbe_read_file(&text, &size, path, d)) ||
        (err = rbe_text_utf16(text, size, path, d)))
        goto out;
    const size_t bad = rbe_utf8_valid(text, size);
    if (!size || bad < size) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %s", path,
                       size ? "not text (packed? unpack it first)" : "empty");
    } else {
        x->bytes += size;
        snprintf(both, sizeof both, "%s", x->sha256);
        err = rbe_sha256(both + strlen(both), text, size);
        if (err)
            goto out;
        if (!x->sha256[0])
            memcpy(x->sha256, both, 65);
        else if ((err = rbe_sha256(x->sha256, both, strlen(both))))
            goto out;
        size = rbe_text_plain(text, size, NULL);
        const char *start = text;
        const bool lines = l.kind->text_file && rbe_strip(&start, size) && *start != '{';
        x->variant = lines ? "text-file" : "lm-eval";
        err = lines ? l.kind->text_file(&l, text, limit, d)
                    : load_jsonl(&l, text, size, limit, d);
    }
out:
    free(text);
    free(name);
    return err;
}

static int is_jsonl(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);

    /* Archives made on a Mac have a "._name" beside every file. */
    return n > 6 && e->d_name[0] != '.' && !strcmp(e->d_name + n - 6, ".jsonl");
}

enum rbe_status rbe_items_load(struct rbe_items *out, enum rbe_task task, const char *path,
                               const struct rbe_tokenizer *t, uint32_t n_ctx, size_t limit,
                               struct rbe_diag *d)
{
    struct dirent **list = NULL;
    struct stat st;
    int n = 0;
    enum rbe_status err = RBE_OK;

    memset(out, 0, sizeof *out);
    out->task = task;
    out->limit = limit;
    if (!(out->name = rbe_text_name(path)))
        return RBE_ERR_NOMEM;
    if (rbe_task_kind(task)->folder && !stat(path, &st) && S_ISDIR(st.st_mode)) {
        if ((n = scandir(path, &list, is_jsonl, alphasort)) < 0) {
            n = 0;
            err = rbe_fail_errno(d, "%s", path);
        } else if (!n) {
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no .jsonl file in this folder", path);
        }
        for (int i = 0; i < n && !err; i++) {
            char *file = rbe_path_join(path, list[i]->d_name);
            err = file ? load_file(out, file, t, n_ctx, limit, d) : RBE_ERR_NOMEM;
            free(file);
        }
        for (int i = 0; i < n; i++)
            free(list[i]);
        free(list);
    } else {
        err = load_file(out, path, t, n_ctx, limit, d);
    }
    if (!err && !out->count && out->refused)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no item can be scored; %s", path,
                       out->first_refused);
    else if (!err && !out->count)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no items", path);
    if (err)
        rbe_items_free(out);
    return err;
}
