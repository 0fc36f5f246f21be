/*
 * task_winogrande.c - Winogrande: what follows the blank, given either option in it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/task.h"
#include "eval/text.h"

static enum rbe_status line(struct rbe_loading *l, const json_t *o, struct rbe_diag *d)
{
    const char *s = json_string_value(json_object_get(o, "sentence"));
    const char *option[2] = {json_string_value(json_object_get(o, "option1")),
                             json_string_value(json_object_get(o, "option2"))};
    const char *answer = json_string_value(json_object_get(o, "answer"));
    const char *blank = s ? strchr(s, '_') : NULL;
    enum rbe_status err = RBE_OK;

    if (blank && option[0] && option[1] && rbe_item_no_answer(json_object_get(o, "answer")))
        return rbe_item_unlabelled(l, "answer", d);
    if (!blank || !option[0] || !option[1] || !answer ||
        (strcmp(answer, "1") && strcmp(answer, "2")))
        return rbe_item_malformed(l, "not a sentence with a blank, two options and an answer",
                                  d);
    struct rbe_item *it = rbe_item_new(l->x);
    const char *rest = blank + 1;
    const size_t n = rbe_strip(&rest, strlen(rest));
    /* Nothing after the blank: the space alone is scored. */
    char *target = malloc(n + 2);
    if (!it || !target)
        err = RBE_ERR_NOMEM;
    else
        snprintf(target, n + 2, " %.*s", (int)n, rest);
    for (int k = 0; k < 2 && !err; k++) {
        char *context = rbe_join3(s, (size_t)(blank - s), option[k], "");
        err = context ? rbe_item_add(l, it, context, target, d) : RBE_ERR_NOMEM;
        free(context);
    }
    if (it)
        it->answer = answer[0] == '2';
    free(target);
    return err;
}

const struct rbe_task_kind rbe_task_winogrande = {
    .name = "winogrande", .line = line, .data = "winogrande/dev.jsonl"};
