/*
 * comprehension.c - loading, scoring and summing up the comprehension tasks.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/comprehension.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"
#include "eval/casing.h"
#include "eval/text.h"

static const char *const names[RBE_TASK_COUNT] = {
    [RBE_LAMBADA] = "lambada", [RBE_HELLASWAG] = "hellaswag",
    [RBE_WINOGRANDE] = "winogrande", [RBE_BLIMP] = "blimp"};

const char *rbe_task_name(enum rbe_task t)
{
    return names[t];
}

enum rbe_status rbe_task_parse(enum rbe_task *t, const char *name, struct rbe_diag *d)
{
    for (int i = 0; i < RBE_TASK_COUNT; i++)
        if (!strcasecmp(name, names[i])) {
            *t = (enum rbe_task)i;
            return RBE_OK;
        }
    return rbe_fail(d, RBE_ERR_ARG,
                    "unknown task '%s'; valid: lambada, hellaswag, winogrande, blimp", name);
}

/* --- items ------------------------------------------------------------------------------- */

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

static struct rbe_item *new_item(struct rbe_items *x)
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
        for (unsigned k = 0; k < x->item[i].choices; k++)
            free(x->item[i].choice[k].tokens);
    for (size_t g = 0; g < x->group_count; g++)
        free(x->groups[g]);
    free(x->groups);
    free(x->item);
    free(x->name);
    memset(x, 0, sizeof *x);
}

/* What the loaders share. */
struct loading {
    struct rbe_items *x;
    const struct rbe_tokenizer *t;
    uint32_t n_ctx;
    const char *path;
    unsigned line;
    bool refused;               /* a choice of the item being read cannot be scored */
};

static enum rbe_status add_choice(struct loading *l, struct rbe_item *it, const char *context,
                                  const char *continuation, struct rbe_diag *d)
{
    struct rbe_diag why = {""};
    const enum rbe_status err = rbe_choice_encode(&it->choice[it->choices], context,
                                                  continuation, l->t, l->n_ctx, &why);

    if (err == RBE_ERR_LIMIT) {
        const char *base = strrchr(l->path, '/');
        char *first = l->x->first_refused;
        if (!l->refused && !l->x->refused++) {
            snprintf(first, sizeof l->x->first_refused, "%.80s line %u: %.90s",
                     base ? base + 1 : l->path, l->line, why.text);
            /* For a row: a name may be no UTF-8, or cut within a character. */
            for (char *s = first; *s; s++)
                *s = (unsigned char)*s < 0x80 ? *s : '?';
        }
        l->refused = true;
        return RBE_OK;
    }
    if (err)
        return rbe_fail(d, err, "%s: line %u: %s", l->path, l->line,
                        why.text[0] ? why.text : rbe_strerror(err));
    it->choices++;
    return RBE_OK;
}

/* After the last choice of the last item: takes one back that cannot be scored, and counts. */
static void end_item(struct loading *l)
{
    struct rbe_item *it = &l->x->item[l->x->count - 1];
    bool cut = false;

    for (unsigned k = 0; k < it->choices; k++) {
        cut = cut || it->choice[k].cut;
        if (l->refused)
            free(it->choice[k].tokens);
    }
    if (l->refused)
        l->x->count--;
    else
        l->x->cut += cut;
    l->refused = false;
}

static enum rbe_status malformed(const struct loading *l, const char *what, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: line %u: %s", l->path, l->line, what);
}

static char *join3(const char *a, size_t na, const char *b, const char *c)
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

static enum rbe_status lambada_line(struct loading *l, const json_t *o, struct rbe_diag *d)
{
    const char *text = json_string_value(json_object_get(o, "text"));
    const char *space = text ? strrchr(text, ' ') : NULL;

    if (!text)
        return malformed(l, "no string \"text\"", d);
    /* A single word stands after <|endoftext|>. */
    struct rbe_item *it = new_item(l->x);
    char *context = strndup(text, space ? (size_t)(space - text) : 0);
    char *word = join3(" ", 1, space ? space + 1 : text, "");
    enum rbe_status err = it && context && word ? RBE_OK : RBE_ERR_NOMEM;
    if (!err)
        err = add_choice(l, it, context, word, d);
    free(context);
    free(word);
    return err;
}

/* Test splits come without the answers. */
static enum rbe_status unlabelled(const struct loading *l, const char *key, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: line %u: no answer (\"%s\" is empty or missing): "
                    "an unlabelled test split; take the one for validation", l->path, l->line,
                    key);
}

static bool is_unlabelled(const json_t *answer)
{
    return !answer || json_is_null(answer) ||
           (json_is_string(answer) && !json_string_length(answer)) ||
           (json_is_integer(answer) && json_integer_value(answer) == -1) ||
           (json_is_string(answer) && !strcmp(json_string_value(answer), "-1"));
}

static enum rbe_status winogrande_line(struct loading *l, const json_t *o, struct rbe_diag *d)
{
    const char *s = json_string_value(json_object_get(o, "sentence"));
    const char *option[2] = {json_string_value(json_object_get(o, "option1")),
                             json_string_value(json_object_get(o, "option2"))};
    const char *answer = json_string_value(json_object_get(o, "answer"));
    const char *blank = s ? strchr(s, '_') : NULL;
    enum rbe_status err = RBE_OK;

    if (blank && option[0] && option[1] && is_unlabelled(json_object_get(o, "answer")))
        return unlabelled(l, "answer", d);
    if (!blank || !option[0] || !option[1] || !answer ||
        (strcmp(answer, "1") && strcmp(answer, "2")))
        return malformed(l, "not a sentence with a blank, two options and an answer", d);
    struct rbe_item *it = new_item(l->x);
    const char *rest = blank + 1;
    const size_t n = rbe_strip(&rest, strlen(rest));
    /* Nothing after the blank: the space alone is scored. */
    char *target = malloc(n + 2);
    if (!it || !target)
        err = RBE_ERR_NOMEM;
    else
        snprintf(target, n + 2, " %.*s", (int)n, rest);
    for (int k = 0; k < 2 && !err; k++) {
        char *context = join3(s, (size_t)(blank - s), option[k], "");
        err = context ? add_choice(l, it, context, target, d) : RBE_ERR_NOMEM;
        free(context);
    }
    if (it)
        it->answer = answer[0] == '2';
    free(target);
    return err;
}

static enum rbe_status find_group(struct rbe_items *x, const char *name, unsigned *group)
{
    for (size_t g = 0; g < x->group_count; g++)
        if (!strcmp(x->groups[g], name)) {
            *group = (unsigned)g;
            return RBE_OK;
        }
    char **more = realloc(x->groups, (x->group_count + 1) * sizeof *more);
    if (!more)
        return RBE_ERR_NOMEM;
    x->groups = more;
    if (!(more[x->group_count] = strdup(name)))
        return RBE_ERR_NOMEM;
    *group = (unsigned)x->group_count++;
    return RBE_OK;
}

static enum rbe_status blimp_line(struct loading *l, const json_t *o, struct rbe_diag *d)
{
    static const char *const keys[2] = {"sentence_good", "sentence_bad"};
    const char *term = json_string_value(json_object_get(o, "linguistics_term"));
    unsigned group;
    enum rbe_status err;

    for (int k = 0; k < 2; k++)
        if (!json_is_string(json_object_get(o, keys[k])))
            return malformed(l, "no \"sentence_good\" and \"sentence_bad\"", d);
    if ((err = find_group(l->x, term ? term : "unnamed", &group)))
        return err;
    struct rbe_item *it = new_item(l->x);
    if (!it)
        return RBE_ERR_NOMEM;
    it->group = group;
    for (int k = 0; k < 2 && !err; k++) {
        char *s = join3(" ", 1, json_string_value(json_object_get(o, keys[k])), "");
        err = s ? add_choice(l, it, "", s, d) : RBE_ERR_NOMEM;
        free(s);
    }
    return err;
}

/* WikiHow's markup as lm-eval takes it out: ends stripped, " [title]" to ". ", then every
 * other [..] to nothing, then double spaces to single ones.  In place; it only shrinks. */
static void hellaswag_clean(char *s)
{
    static const char title[] = " [title]";
    const size_t mark = sizeof title - 1;
    const char *in = s, *close;
    char *out = s;
    const size_t n = rbe_strip(&in, strlen(s));

    for (const char *end = in + n; in < end;)
        if ((size_t)(end - in) >= mark && !memcmp(in, title, mark)) {
            *out++ = '.';
            *out++ = ' ';
            in += mark;
        } else {
            *out++ = *in++;
        }
    *out = 0;
    for (in = out = s; *in;)
        if (*in == '[' && (close = in + strcspn(in, "]\n"), *close == ']'))
            in = close + 1;
        else
            *out++ = *in++;
    *out = 0;
    /* str.replace("  ", " "): pairs from the left, once. */
    for (in = out = s; *in; in++) {
        if (in[0] == ' ' && in[1] == ' ')
            in++;
        *out++ = *in;
    }
    *out = 0;
}

/* The text file has ctx_a and ctx_b joined: where the last sentence begins in lower case, it
 * is taken for ctx_b.  Fresh, or NULL when out of memory. */
static char *hellaswag_context(const char *s)
{
    const char *last = NULL;
    uint32_t c;

    for (const char *p = s; *p; p++)
        if (strchr(".!?", *p) && p[1] == ' ' && p[2])
            last = p + 2;
    if (!last || !rbe_utf8_char(last, strlen(last), &c) || !rbe_is_small(c))
        return strdup(s);
    char *b = rbe_capitalise(last);
    char *joined = b ? join3(s, (size_t)(last - s), b, "") : NULL;
    free(b);
    return joined;
}

/* The query and an ending, both cleaned in place. */
static enum rbe_status hellaswag_choice(struct loading *l, struct rbe_item *it,
                                        const char *query, char *ending, struct rbe_diag *d)
{
    hellaswag_clean(ending);
    char *s = join3(" ", 1, ending, "");
    const enum rbe_status err = s ? add_choice(l, it, query, s, d) : RBE_ERR_NOMEM;

    free(s);
    return err;
}

/* The original's fields: query = activity_label + ": " + ctx_a + " " + capitalised ctx_b. */
static enum rbe_status hellaswag_line(struct loading *l, const json_t *o, struct rbe_diag *d)
{
    const char *label = json_string_value(json_object_get(o, "activity_label"));
    const char *ctx_a = json_string_value(json_object_get(o, "ctx_a"));
    const char *ctx_b = json_string_value(json_object_get(o, "ctx_b"));
    const json_t *endings = json_object_get(o, "endings"), *gold = json_object_get(o, "label");
    const char *digit = json_string_value(gold);
    const json_int_t answer = json_is_integer(gold) ? json_integer_value(gold)
                              : digit && digit[0] && !digit[1] ? digit[0] - '0' : -1;
    enum rbe_status err = RBE_OK;

    if (label && ctx_a && ctx_b && json_array_size(endings) == 4 && is_unlabelled(gold))
        return unlabelled(l, "label", d);
    if (!label || !ctx_a || !ctx_b || json_array_size(endings) != 4 || answer < 0 ||
        answer > 3)
        return malformed(l, "not an activity_label, ctx_a, ctx_b, four endings and a label "
                         "from 0 to 3", d);
    struct rbe_item *it = new_item(l->x);
    char *b = rbe_capitalise(ctx_b);
    char *head = join3(label, strlen(label), ": ", ctx_a), *query = NULL;
    if (!it || !b || !head) {
        err = RBE_ERR_NOMEM;
    } else {
        it->answer = (unsigned)answer;
        if (!(query = join3(head, strlen(head), " ", b)))
            err = RBE_ERR_NOMEM;
        else
            hellaswag_clean(query);
    }
    for (size_t k = 0; k < 4 && !err; k++) {
        const char *text = json_string_value(json_array_get(endings, k));
        char *ending = text ? strdup(text) : NULL;
        if (!text)
            err = malformed(l, "an ending that is not a string", d);
        else
            err = ending ? hellaswag_choice(l, it, query, ending, d) : RBE_ERR_NOMEM;
        free(ending);
    }
    free(b);
    free(head);
    free(query);
    return err;
}

static enum rbe_status load_jsonl(struct loading *l, char *text, size_t size, size_t limit,
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
            if ((err = rbe_json_load(&o, text + at, n, 0, &e, l->path, d)))
                err = err == RBE_ERR_NOMEM ? err : malformed(l, e.text, d);
            else if (l->x->task == RBE_LAMBADA)
                err = lambada_line(l, o, d);
            else if (l->x->task == RBE_WINOGRANDE)
                err = winogrande_line(l, o, d);
            else if (l->x->task == RBE_HELLASWAG)
                err = hellaswag_line(l, o, d);
            else
                err = blimp_line(l, o, d);
            json_decref(o);
            taken++;
            if (!err && l->x->count > had)
                end_item(l);
        }
        at += n + 1;
    }
    return err;
}

static char *next_line(char **at)
{
    char *line = *at;

    if (!line || !*line)
        return NULL;
    char *nl = strchr(line, '\n');
    *at = nl ? nl + 1 : line + strlen(line);
    if (nl)
        *nl = 0;
    return line;
}

static enum rbe_status load_hellaswag_text(struct loading *l, char *text, size_t limit,
                                      struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t taken = 0;
    char *line, *at = text;

    while (!err && (!limit || taken < limit) && (line = next_line(&at))) {
        l->line++;
        if (!rbe_strip_right(line, strlen(line)))
            continue;           /* between items */
        const char *label = next_line(&at);
        l->line++;
        if (!label || label[0] < '0' || label[0] > '3' || label[1])
            return malformed(l, "wants the number of the right ending, 0 to 3", d);
        struct rbe_item *it = new_item(l->x);
        char *context = hellaswag_context(line);
        if (!it || !context) {
            free(context);
            return RBE_ERR_NOMEM;
        }
        it->answer = (unsigned)(label[0] - '0');
        hellaswag_clean(context);
        for (int k = 0; k < 4 && !err; k++) {
            char *ending = next_line(&at);
            l->line++;
            err = ending ? hellaswag_choice(l, it, context, ending, d)
                         : malformed(l, "the file ends within an item", d);
        }
        free(context);
        taken++;
        if (!err)
            end_item(l);
    }
    return err;
}

static enum rbe_status load_file(struct rbe_items *x, const char *path,
                                 const struct rbe_tokenizer *t, uint32_t n_ctx, size_t limit,
                                 struct rbe_diag *d)
{
    struct loading l = {x, t, n_ctx, path, 0, false};
    char *text = NULL, both[130];
    size_t size;
    enum rbe_status err = rbe_read_file(&text, &size, path, d);

    if (err)
        return err;
    const size_t bad = rbe_utf8_valid(text, size);
    if ((err = rbe_text_utf16(text, size, path, d))) {
        free(text);
        return err;
    }
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
        const bool lines = x->task == RBE_HELLASWAG &&
                           rbe_strip(&start, size) && *start != '{';
        x->variant = lines ? "text-file" : "lm-eval";
        err = lines ? load_hellaswag_text(&l, text, limit, d)
                    : load_jsonl(&l, text, size, limit, d);
    }
out:
    free(text);
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
    if (task == RBE_BLIMP && !stat(path, &st) && S_ISDIR(st.st_mode)) {
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

/* --- scoring ----------------------------------------------------------------------------- */

enum rbe_status rbe_scorer_open(struct rbe_scorer *s, struct rbe_runner *r, struct rbe_diag *d)
{
    memset(s, 0, sizeof *s);
    s->r = r;
    s->held = calloc(r->n_ctx + 1, sizeof *s->held);
    s->nll = calloc(r->n_ctx + 1, sizeof *s->nll);
    s->greedy = calloc(r->n_ctx + 1, 1);
    if (s->held && s->nll && s->greedy)
        return RBE_OK;
    rbe_scorer_close(s);
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

void rbe_scorer_close(struct rbe_scorer *s)
{
    free(s->held);
    free(s->nll);
    free(s->greedy);
    memset(s, 0, sizeof *s);
}

enum rbe_status rbe_score(struct rbe_scorer *s, const struct rbe_choice *c, double *log_p,
                          bool *greedy, struct rbe_diag *d)
{
    const uint32_t inputs = c->count - 1, n = c->count - c->first;
    uint32_t keep = 0;
    enum rbe_status err;

    while (keep < s->held_count && keep < inputs && s->held[keep] == c->tokens[keep])
        keep++;
    /* The hidden state before the first scored token is needed: it must be run. */
    if (keep > c->first - 1)
        keep = c->first - 1;
    s->held_count = 0;
    if ((err = rbe_runner_forward(s->r, keep, c->tokens + keep, inputs - keep, d)) ||
        (err = rbe_runner_nll(s->r, c->first - 1 - keep, n, c->tokens + c->first, s->nll,
                              s->greedy, d)))
        return err;
    memcpy(s->held, c->tokens, inputs * sizeof *s->held);
    s->held_count = inputs;
    s->run += inputs - keep;
    s->skipped += keep;
    *log_p = 0;
    *greedy = true;
    for (uint32_t i = 0; i < n; i++) {
        *log_p -= s->nll[i];
        *greedy = *greedy && s->greedy[i];
    }
    return RBE_OK;
}

struct rbe_answer rbe_judge(const struct rbe_item *item, enum rbe_task task,
                            const double *log_p, bool greedy)
{
    struct rbe_answer a = {0, 0, log_p[item->answer]};
    unsigned best = 0, best_norm = 0;

    if (task == RBE_LAMBADA) {
        a.acc = greedy;
        return a;
    }
    for (unsigned k = 1; k < item->choices; k++) {
        if (log_p[k] > log_p[best])
            best = k;
        if (log_p[k] / item->choice[k].characters >
            log_p[best_norm] / item->choice[best_norm].characters)
            best_norm = k;
    }
    a.acc = best == item->answer;
    a.acc_norm = best_norm == item->answer;
    return a;
}

/* --- records ----------------------------------------------------------------------------- */

static double *column(const json_t *record, const char *name, size_t *n)
{
    const json_t *a = json_object_get(RBE_VALUE_AT(record, samples), name);

    *n = json_array_size(a);
    double *x = json_is_array(a) ? calloc(*n + 1, sizeof *x) : NULL;
    for (size_t i = 0; x && i < *n; i++)
        x[i] = json_number_value(json_array_get(a, i));
    return x;
}

static json_t *value_se(double value, double se)
{
    return RBE_OBJECT(RBE_REAL(value, value), RBE_REAL(se, se));
}

/* mean and error of a column as a metric, and its paired change from the base's column. */
static int set_metric(json_t *metrics, json_t *paired, const json_t *record, const json_t *base,
                      const char *name)
{
    size_t n, m;
    double *x = column(record, name, &n), *y = base ? column(base, name, &m) : NULL;
    int bad = !x;

    if (x) {
        const struct rbe_ratio r = rbe_mean_se(x, n);
        if (!strcmp(name, RBE_KEY(log_p))) /* perplexity = exp(-mean); d exp(x) = exp(x) dx */
            bad |= RBE_SET(metrics,
                           RBE_JSON(perplexity, value_se(exp(-r.value), exp(-r.value) * r.se)));
        else
            bad |= json_object_set_new(metrics, name, value_se(r.value, r.se));
    }
    if (x && y && m == n) {
        for (size_t i = 0; i < n; i++)
            x[i] -= y[i];
        const struct rbe_ratio r = rbe_mean_se(x, n);
        bad |= json_object_set_new(
            paired, name, RBE_OBJECT(RBE_REAL(change, r.value), RBE_REAL(change_se, r.se)));
    }
    free(x);
    free(y);
    return bad;
}

/* Of the items of phenomenon g: accuracy, its error, and against the base's on the same. */
static json_t *group_row(const json_t *record, const json_t *base, json_int_t g)
{
    const json_t *group = RBE_VALUE_AT(RBE_VALUE_AT(record, samples), group);
    size_t n, m = 0, k = 0;
    double *x = column(record, RBE_KEY(acc), &n),
           *y = base ? column(base, RBE_KEY(acc), &m) : NULL;
    json_t *row = NULL;

    if (!x)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(group, i)) == g) {
            x[k] = x[i];
            if (y && m == n)
                y[k] = y[i];
            k++;
        }
    const struct rbe_ratio acc = rbe_mean_se(x, k);
    row = RBE_OBJECT(RBE_REAL(acc, acc.value), RBE_REAL(acc_se, acc.se), RBE_INT(items, k));
    if (y && m == n) {
        for (size_t i = 0; i < k; i++)
            x[i] -= y[i];
        const struct rbe_ratio change = rbe_mean_se(x, k);
        RBE_SET(row, RBE_REAL(change, change.value), RBE_REAL(change_se, change.se));
    }
    free(x);
    free(y);
    return row;
}

static json_t *group_table(const json_t *record, const json_t *base)
{
    const json_t *all = RBE_VALUE_AT(record, group_names);
    json_t *table = json_object();

    for (size_t g = 0; g < json_array_size(all); g++)
        json_object_set_new(table, json_string_value(json_array_get(all, g)),
                            group_row(record, base, (json_int_t)g));
    return table;
}

int rbe_comprehension_summarise_samples(json_t *record, const json_t *base)
{
    const char *task = json_string_value(RBE_VALUE_AT(record, task));
    const json_t *samples = RBE_VALUE_AT(record, samples);
    const size_t n = json_array_size(RBE_VALUE_AT(samples, acc));
    json_t *metrics = json_object(), *paired = json_object();
    int bad = RBE_SET(record, RBE_INT(items, n));

    const double total = RBE_NUMBER_AT(record, items_total);
    const bool from_start = !json_integer_value(RBE_VALUE_AT(record, first_item));
    bad |= RBE_SET(record, RBE_FLAG(complete, (double)n == total && from_start));
    bad |= set_metric(metrics, paired, record, base, RBE_KEY(acc));
    if (task && !strcmp(task, "hellaswag"))
        bad |= set_metric(metrics, paired, record, base, RBE_KEY(acc_norm));
    if (task && !strcmp(task, "lambada"))
        bad |= set_metric(metrics, paired, record, base, RBE_KEY(log_p));
    bad |= RBE_SET(record, RBE_JSON(metrics, metrics));
    if (json_array_size(RBE_VALUE_AT(record, group_names)))
        bad |= RBE_SET(record, RBE_JSON(groups, group_table(record, base)));
    if (base) {
        bad |= RBE_SET(record, RBE_SHARED(base, RBE_VALUE_AT(base, model)),
                       RBE_JSON(paired, paired));
    } else {
        json_decref(paired);
    }
    return bad;
}

int rbe_comprehension_describe(json_t *record, const struct rbe_items *x, size_t first)
{
    json_t *group_names = json_array();
    int bad = 0;

    for (size_t g = 0; g < x->group_count; g++)
        bad |= json_array_append_new(group_names, json_string(x->groups[g]));
    bad |=
        RBE_SET(record, RBE_WORD(task, rbe_task_name(x->task)), RBE_WORD(variant, x->variant));
    /* With a limit, how many there are is not known. */
    bad |= RBE_SET(
        record,
        RBE_JSON(items_total, x->limit ? json_null() : json_integer((json_int_t)x->count)),
        RBE_JSON(limit, x->limit ? json_integer((json_int_t)x->limit) : json_null()),
        RBE_INT(items_refused, x->refused),
        RBE_JSON(first_refused, x->refused ? json_string(x->first_refused) : json_null()),
        RBE_INT(items_cut, x->cut), RBE_INT(first_item, first),
        RBE_JSON(group_names, group_names));
    return bad;
}

int rbe_comprehension_summarise(json_t *record, const struct rbe_items *x,
                                const struct rbe_answer *a, size_t first, size_t count,
                                const json_t *base)
{
    json_t *acc = json_array(), *norm = json_array(), *log_p = json_array();
    json_t *group = json_array(), *samples = RBE_OBJECT(RBE_JSON(acc, acc));

    for (size_t i = 0; i < count; i++) {
        json_array_append_new(acc, json_integer((json_int_t)a[i].acc));
        json_array_append_new(norm, json_integer((json_int_t)a[i].acc_norm));
        json_array_append_new(log_p, rbe_result_real(a[i].log_p));
        json_array_append_new(group, json_integer(x->item[first + i].group));
    }
    if (x->task == RBE_HELLASWAG)
        RBE_SET(samples, RBE_SHARED(acc_norm, norm));
    if (x->task == RBE_LAMBADA)
        RBE_SET(samples, RBE_SHARED(log_p, log_p));
    if (x->group_count)
        RBE_SET(samples, RBE_SHARED(group, group));
    json_decref(norm);
    json_decref(log_p);
    json_decref(group);
    if (rbe_comprehension_describe(record, x, first) ||
        RBE_SET(record, RBE_JSON(samples, samples)))
        return -1;
    return rbe_comprehension_summarise_samples(record, base);
}

size_t rbe_comprehension_restore(const json_t *record, struct rbe_answer *a, size_t most)
{
    const char *task = json_string_value(RBE_VALUE_AT(record, task));
    const bool hellaswag = task && !strcmp(task, "hellaswag");
    const bool lambada = task && !strcmp(task, "lambada");
    const json_t *samples = RBE_VALUE_AT(record, samples);
    const json_t *acc = RBE_VALUE_AT(samples, acc);
    const json_t *norm = RBE_VALUE_AT(samples, acc_norm);
    const json_t *log_p = RBE_VALUE_AT(samples, log_p);
    size_t n = 0;

    /* An item whose numbers are not all there is measured again. */
    for (; n < most && n < json_array_size(acc); n++) {
        if (!json_is_number(json_array_get(acc, n)) ||
            (hellaswag && !json_is_number(json_array_get(norm, n))) ||
            (lambada && !json_is_number(json_array_get(log_p, n))))
            break;
        a[n] = (struct rbe_answer){json_number_value(json_array_get(acc, n)),
                                   json_number_value(json_array_get(norm, n)),
                                   json_number_value(json_array_get(log_p, n))};
    }
    return n;
}
