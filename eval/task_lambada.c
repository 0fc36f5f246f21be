/*
 * task_lambada.c - LAMBADA: the last word of a passage.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"
#include "eval/task.h"

static enum rbe_status line(struct rbe_loading *l, const json_t *o, struct rbe_diag *d)
{
    const char *text = json_string_value(json_object_get(o, "text"));
    const char *space = text ? strrchr(text, ' ') : NULL;

    if (!text)
        return rbe_item_malformed(l, "no string \"text\"", d);
    /* A single word stands after <|endoftext|>. */
    struct rbe_item *it = rbe_item_new(l->x);
    char *context = strndup(text, space ? (size_t)(space - text) : 0);
    char *word = rbe_join3(" ", 1, space ? space + 1 : text, "");
    enum rbe_status err = it && context && word ? RBE_OK : RBE_ERR_NOMEM;
    if (!err)
        err = rbe_item_add(l, it, context, word, d);
    free(context);
    free(word);
    return err;
}

const struct rbe_task_kind rbe_task_lambada = {
    .name = "lambada", .line = line, .data = "lambada/lambada_test.jsonl", .greedy = true,
    .metric = RBE_KEY(log_p)};
