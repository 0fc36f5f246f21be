/*
 * formats.c - look-up in the list of codecs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/formats.h"

#include <stdio.h>
#include <string.h>

static const struct rbe_format_facts table[RBE_FORMAT_COUNT] = {
#define RBE_FORMAT(name, NAME, min, max, gmax, group, ...)                                     \
    [RBE_##NAME] = {#name, min, max, gmax, group, __VA_ARGS__},
#include "kernels/formats.def"
#undef RBE_FORMAT
};

const struct rbe_format_facts *rbe_format_facts(enum rbe_format f)
{
    return &table[f];
}

const char *rbe_format_name(enum rbe_format f)
{
    return (unsigned)f < RBE_FORMAT_COUNT ? table[f].name : NULL;
}

enum rbe_format rbe_format_by_name(const char *name)
{
    int f = 0;

    while (f < RBE_FORMAT_COUNT && strcmp(table[f].name, name) != 0)
        f++;
    return (enum rbe_format)f;
}

const char *rbe_format_names(char *buf, size_t size, const char *between,
                             bool (*has)(const struct rbe_format_facts *))
{
    size_t at = 0;

    buf[0] = 0;
    for (int f = 0; f < RBE_FORMAT_COUNT && at < size; f++)
        if (!has || has(&table[f]))
            at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? between : "",
                                   table[f].name);
    return buf;
}

bool rbe_format_takes_block(enum rbe_format f, uint32_t block)
{
    const struct rbe_format_facts *a = &table[f];

    return !a->max_block || (block >= a->min_block && block <= a->max_block &&
                             (!a->powers || !(block & (block - 1))));
}

const char *rbe_format_blocks(char *buf, size_t size, enum rbe_format f)
{
    const struct rbe_format_facts *a = &table[f];

    if (a->powers)
        snprintf(buf, size, "%u, %u, ... %u", a->min_block, 2 * a->min_block, a->max_block);
    else
        snprintf(buf, size, "%u to %u", a->min_block, a->max_block);
    return buf;
}
