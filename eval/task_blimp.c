/*
 * task_blimp.c - BLiMP: the acceptable of two sentences, by phenomenon and paradigm.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "eval/task.h"

static enum rbe_status line(struct rbe_loading *l, const json_t *o, struct rbe_diag *d)
{
    static const char *const keys[2] = {"sentence_good", "sentence_bad"};
    const char *term = json_string_value(json_object_get(o, "linguistics_term"));
    const char *uid = json_string_value(json_object_get(o, "UID"));
    unsigned group, paradigm;
    enum rbe_status err;

    for (int k = 0; k < 2; k++)
        if (!json_is_string(json_object_get(o, keys[k])))
            return rbe_item_malformed(l, "no \"sentence_good\" and \"sentence_bad\"", d);
    if ((err = rbe_names_index(&l->x->groups, term ? term : "unnamed", &group)) ||
        (err = rbe_names_index(&l->x->paradigms, uid ? uid : "unnamed", &paradigm)))
        return err;
    struct rbe_item *it = rbe_item_new(l->x);
    if (!it)
        return RBE_ERR_NOMEM;
    it->group = group;
    it->paradigm = paradigm;
    for (int k = 0; k < 2 && !err; k++) {
        char *s = rbe_join3(" ", 1, json_string_value(json_object_get(o, keys[k])), "");
        err = s ? rbe_item_add(l, it, "", s, d) : RBE_ERR_NOMEM;
        free(s);
    }
    return err;
}

const struct rbe_task_kind rbe_task_blimp = {.name = "blimp", .line = line, .folder = true};
