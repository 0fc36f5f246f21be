/*
 * task_choices.c - items of one's own: the right one of several choices after a context.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "base/rows.h"
#include "eval/task.h"

static bool all_strings(const json_t *list)
{
    const json_t *x;
    size_t i;

    json_array_foreach(list, i, x)
        if (!json_is_string(x))
            return false;
    return true;
}

static enum rbe_status line(struct rbe_loading *l, const json_t *o, struct rbe_diag *d)
{
    const json_t *context = json_object_get(o, "context");
    const json_t *choices = json_object_get(o, "choices");
    const json_t *answer = json_object_get(o, "answer"), *group = json_object_get(o, "group");
    const size_t n = json_array_size(choices);
    char why[96];
    unsigned in = 0;
    enum rbe_status err;

    if (n < 2 || n > RBE_MAX_CHOICES || !all_strings(choices)) {
        snprintf(why, sizeof why, "\"choices\" is no list of 2 to %d strings", RBE_MAX_CHOICES);
        return rbe_item_malformed(l, why, d);
    }
    if (!json_is_string(context) &&
        !(json_is_array(context) && json_array_size(context) == n && all_strings(context)))
        return rbe_item_malformed(l, "\"context\" is no string, nor a list of one for each "
                                  "choice", d);
    if (rbe_item_no_answer(answer))
        return rbe_item_unlabelled(l, "answer", d);
    if (!json_is_integer(answer) || json_integer_value(answer) < 0 ||
        json_integer_value(answer) >= (json_int_t)n) {
        snprintf(why, sizeof why, "\"answer\" is no integer from 0 to %zu", n - 1);
        return rbe_item_malformed(l, why, d);
    }
    if (group && !json_is_string(group))
        return rbe_item_malformed(l, "\"group\" is no string", d);
    /* Where any item has a group, those without have one without a name: group 0, where they
     * are the first. */
    const bool any = l->x->groups.count, late = group && !any && l->x->count;
    if ((late || (!group && any)) && (err = rbe_names_index(&l->x->groups, "", &in)))
        return err;
    if (group && (err = rbe_names_index(&l->x->groups, json_string_value(group), &in)))
        return err;
    struct rbe_item *it = rbe_item_new(l->x);
    if (!it)
        return RBE_ERR_NOMEM;
    it->group = in;
    it->answer = (unsigned)json_integer_value(answer);
    err = RBE_OK;
    for (size_t k = 0; k < n && !err; k++) {
        const json_t *c = json_is_array(context) ? json_array_get(context, k) : context;
        err = rbe_item_add(l, it, json_string_value(c),
                           json_string_value(json_array_get(choices, k)), d);
    }
    return err;
}

const struct rbe_task_kind rbe_task_choices = {.name = "choices", .line = line,
                                               .metric = RBE_KEY(acc_norm)};
