/*
 * json.c - jansson with an allocator that leaves the parser when memory runs out.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/json.h"

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The parser of this thread, and what it holds: given back when it is left. */
static _Thread_local struct parse {
    bool runs;
    jmp_buf out;
    void **block;
    size_t count, room;
} parse;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static json_malloc_t take_before;
static json_free_t give_before;

static void *note(void *block)
{
    struct parse *p = &parse;

    if (p->count == p->room) {
        const size_t room = p->room ? 2 * p->room : 64;
        void **grown = realloc(p->block, room * sizeof *grown);
        if (!grown) {
            give_before(block);
            return NULL;
        }
        p->block = grown;
        p->room = room;
    }
    p->block[p->count++] = block;
    return block;
}

static void *take(size_t size)
{
    void *block = take_before(size);

    if (block && parse.runs)
        block = note(block);
    if (!block) {
        rbe_shortage_note();
        if (parse.runs)
            longjmp(parse.out, 1);
    }
    return block;
}

static void give(void *block)
{
    /* Most were taken a moment ago. */
    for (size_t i = parse.runs && block ? parse.count : 0; i-- > 0;)
        if (parse.block[i] == block) {
            parse.block[i] = parse.block[--parse.count];
            break;
        }
    give_before(block);
}

static void watch(void)
{
    json_get_alloc_funcs(&take_before, &give_before);
    json_set_alloc_funcs(take, give);
}

/* Gives back what the parser still holds. */
static void end(void)
{
    parse.runs = false;
    while (parse.count)
        give_before(parse.block[--parse.count]);
    free(parse.block);
    parse.block = NULL;
    parse.room = 0;
}

void rbe_json_watch(void)
{
    pthread_once(&once, watch);
}

enum rbe_status rbe_json_load(json_t **out, const char *text, size_t size, size_t flags,
                              json_error_t *e, const char *name, struct rbe_diag *d)
{
    json_error_t own;

    *out = NULL;
    pthread_once(&once, watch);
    if (setjmp(parse.out)) {
        end();
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", name);
    }
    parse.runs = true;
    *out = json_loadb(text, size, flags, e ? e : &own);
    parse.count = 0;            /* they are *out's now */
    end();
    if (!*out)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: not JSON at line %d: %s", name,
                        e ? e->line : own.line, e ? e->text : own.text);
    return RBE_OK;
}

/* --- values by path ----------------------------------------------------------------------- */

json_t *rbe_value_at(const json_t *v, const char *path)
{
    char name[64];

    while (v && *path) {
        const size_t n = strcspn(path, ".");
        if (n >= sizeof name)
            return NULL;
        memcpy(name, path, n);
        name[n] = 0;
        v = json_object_get(v, name);
        path += n + (path[n] == '.');
    }
    return (json_t *)(uintptr_t)v;
}

const json_t *rbe_interval_at(const json_t *v, const char *path)
{
    const json_t *x = rbe_value_at(v, path);

    return json_is_number(json_array_get(x, 0)) && json_is_number(json_array_get(x, 1)) ? x
                                                                                        : NULL;
}

double rbe_number_at(const json_t *v, const char *path)
{
    const json_t *x = rbe_value_at(v, path);
    return json_is_number(x) ? json_number_value(x) : NAN;
}

const char *rbe_string_at(const json_t *v, const char *path)
{
    return json_string_value(rbe_value_at(v, path));
}

json_t *rbe_object_named(const json_t *list, const char *name)
{
    size_t i;
    json_t *o;

    json_array_foreach((json_t *)(uintptr_t)list, i, o) {
        const char *own = rbe_string_at(o, "name");
        if (own && !strcmp(own, name))
            return o;
    }
    return NULL;
}

bool rbe_true_at(const json_t *v, const char *path)
{
    return json_is_true(rbe_value_at(v, path));
}
