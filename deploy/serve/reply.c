/*
 * reply.c - what goes back to a client of lines or messages.
 *
 * SPDX-License-Identifier: MIT
 */
#include "deploy/serve/reply.h"

#include "base/result.h"

static json_t *reply(const char *id, const char *status)
{
    return id ? json_pack("{s:s, s:s}", "id", id, "status", status)
              : json_pack("{s:s}", "status", status);
}

static char *finish(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}

char *rbe_reply_accepted(const char *id)
{
    return finish(reply(id, "accepted"));
}

char *rbe_reply_part(const char *id, size_t index, const char *text, size_t size)
{
    json_t *o = reply(id, "part");

    if (index)
        json_object_set_new(o, "index", json_integer((json_int_t)index));
    if (json_object_set_new(o, "text", json_stringn(text, size))) {
        json_decref(o);
        return NULL;
    }
    return finish(o);
}

char *rbe_reply_done(const char *id, const json_t *answer, bool again)
{
    const json_t *error = json_object_get(answer, "error");
    json_t *choices = json_object_get(answer, "choices");
    json_t *o = reply(id, error ? "error" : "done");

    if (again)
        json_object_set_new(o, "again", json_true());
    if (error)
        json_object_set(o, "error", (json_t *)(uintptr_t)error);
    else if (json_array_size(choices) == 1)
        json_object_update(o, json_array_get(choices, 0));
    else
        json_object_set(o, "choices", choices);
    json_object_del(o, "index");
    json_t *usage = json_object_get(answer, "usage");
    if (usage)
        json_object_set(o, "usage", usage);
    return finish(o);
}

char *rbe_reply_error(const char *id, const char *why)
{
    json_t *o = reply(id, "error");

    json_object_set_new(o, "error", rbe_result_string(why));
    return finish(o);
}
