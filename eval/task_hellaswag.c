/*
 * task_hellaswag.c - HellaSwag: the right one of four endings.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"
#include "eval/casing.h"
#include "eval/task.h"
#include "eval/text.h"

/* WikiHow's markup as lm-eval takes it out: ends stripped, " [title]" to ". ", then every
 * other [..] to nothing, then double spaces to single ones.  In place; it only shrinks. */
static void clean(char *s)
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
static char *context_of(const char *s)
{
    const char *last = NULL;
    uint32_t c;

    for (const char *p = s; *p; p++)
        if (strchr(".!?", *p) && p[1] == ' ' && p[2])
            last = p + 2;
    if (!last || !rbe_utf8_char(last, strlen(last), &c) || !rbe_is_small(c))
        return strdup(s);
    char *b = rbe_capitalise(last);
    char *joined = b ? rbe_join3(s, (size_t)(last - s), b, "") : NULL;
    free(b);
    return joined;
}

/* The query and an ending, both cleaned in place. */
static enum rbe_status add_ending(struct rbe_loading *l, struct rbe_item *it, const char *query,
                                  char *ending, struct rbe_diag *d)
{
    clean(ending);
    char *s = rbe_join3(" ", 1, ending, "");
    const enum rbe_status err = s ? rbe_item_add(l, it, query, s, d) : RBE_ERR_NOMEM;

    free(s);
    return err;
}

/* The original's fields: query = activity_label + ": " + ctx_a + " " + capitalised ctx_b. */
static enum rbe_status json_line(struct rbe_loading *l, const json_t *o, struct rbe_diag *d)
{
    const char *label = json_string_value(json_object_get(o, "activity_label"));
    const char *ctx_a = json_string_value(json_object_get(o, "ctx_a"));
    const char *ctx_b = json_string_value(json_object_get(o, "ctx_b"));
    const json_t *endings = json_object_get(o, "endings"), *gold = json_object_get(o, "label");
    const char *digit = json_string_value(gold);
    const json_int_t answer = json_is_integer(gold) ? json_integer_value(gold)
                              : digit && digit[0] && !digit[1] ? digit[0] - '0' : -1;
    enum rbe_status err = RBE_OK;

    if (label && ctx_a && ctx_b && json_array_size(endings) == 4 && rbe_item_no_answer(gold))
        return rbe_item_unlabelled(l, "label", d);
    if (!label || !ctx_a || !ctx_b || json_array_size(endings) != 4 || answer < 0 ||
        answer > 3)
        return rbe_item_malformed(l, "not an activity_label, ctx_a, ctx_b, four endings and a "
                                  "label from 0 to 3", d);
    struct rbe_item *it = rbe_item_new(l->x);
    char *b = rbe_capitalise(ctx_b);
    char *head = rbe_join3(label, strlen(label), ": ", ctx_a), *query = NULL;
    if (!it || !b || !head) {
        err = RBE_ERR_NOMEM;
    } else {
        it->answer = (unsigned)answer;
        if (!(query = rbe_join3(head, strlen(head), " ", b)))
            err = RBE_ERR_NOMEM;
        else
            clean(query);
    }
    for (size_t k = 0; k < 4 && !err; k++) {
        const char *text = json_string_value(json_array_get(endings, k));
        char *ending = text ? strdup(text) : NULL;
        if (!text)
            err = rbe_item_malformed(l, "an ending that is not a string", d);
        else
            err = ending ? add_ending(l, it, query, ending, d) : RBE_ERR_NOMEM;
        free(ending);
    }
    free(b);
    free(head);
    free(query);
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

static enum rbe_status text_file(struct rbe_loading *l, char *text, size_t limit,
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
            return rbe_item_malformed(l, "wants the number of the right ending, 0 to 3", d);
        struct rbe_item *it = rbe_item_new(l->x);
        char *context = context_of(line);
        if (!it || !context) {
            free(context);
            return RBE_ERR_NOMEM;
        }
        it->answer = (unsigned)(label[0] - '0');
        clean(context);
        for (int k = 0; k < 4 && !err; k++) {
            char *ending = next_line(&at);
            l->line++;
            err = ending ? add_ending(l, it, context, ending, d)
                         : rbe_item_malformed(l, "the file ends within an item", d);
        }
        free(context);
        taken++;
        if (!err)
            rbe_item_end(l);
    }
    return err;
}

const struct rbe_task_kind rbe_task_hellaswag = {
    .name = "hellaswag", .line = json_line, .text_file = text_file,
    .data = "hellaswag/hellaswag_val_full.txt",
    .metric = RBE_KEY(acc_norm)};
