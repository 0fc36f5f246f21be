/*
 * topology.c - sockets, cores, caches and memory nodes, as the kernel tells them.
 *
 * SPDX-License-Identifier: MIT
 *
 * A core and a cache stand in the folder of every CPU that shares them: each is counted at the
 * first of those.
 */
#include "base/topology.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"

enum { MOST_CACHES = 16 };

/* The first line of root/...; false when there is no such file, or it is empty. */
__attribute__((format(printf, 4, 5)))
static bool line(char *buf, int size, const char *root, const char *format, ...)
{
    char path[512];
    const int n = snprintf(path, sizeof path, "%s/", root);
    va_list args;

    buf[0] = 0;
    if (n < 0 || n >= (int)sizeof path)
        return false;
    va_start(args, format);
    vsnprintf(path + n, sizeof path - (size_t)n, format, args);
    va_end(args);
    FILE *f = fopen(path, "r");
    if (!f)
        return false;
    if (!fgets(buf, size, f))
        buf[0] = 0;
    fclose(f);
    buf[strcspn(buf, "\n")] = 0;
    return buf[0];
}

/* The last number of a list such as "0-3,8-11"; -1 without a list. */
static int last_of(const char *root, const char *file)
{
    char text[512];

    if (!line(text, sizeof text, root, "%s", file))
        return -1;
    const size_t n = strlen(text);
    size_t at = n;
    while (at && text[at - 1] >= '0' && text[at - 1] <= '9')
        at--;
    return at < n ? atoi(text + at) : -1;
}

/* "48K", "1M" in bytes. */
static json_int_t bytes_of(const char *text)
{
    char *end;
    const json_int_t n = strtoll(text, &end, 10);

    return *end == 'K' ? n << 10 : *end == 'M' ? n << 20 : n;
}

/* One more cache of this kind in the list. */
static int count_cache(json_t *caches, json_int_t level, const char *type, json_int_t bytes)
{
    json_t *c;
    size_t i;

    json_array_foreach(caches, i, c)
        if (json_integer_value(RBE_VALUE_AT(c, level)) == level &&
            json_integer_value(RBE_VALUE_AT(c, bytes)) == bytes &&
            !strcmp(json_string_value(RBE_VALUE_AT(c, type)), type)) {
            json_t *n = RBE_VALUE_AT(c, count);
            return json_integer_set(n, json_integer_value(n) + 1);
        }
    return json_array_append_new(caches, RBE_OBJECT(RBE_INT(level, level), RBE_WORD(type, type),
                                                    RBE_INT(bytes, bytes), RBE_INT(count, 1)));
}

static int caches_of(json_t *caches, const char *root, int cpu)
{
    int bad = 0;

    for (int i = 0; i < MOST_CACHES; i++) {
        char level[16], type[32], size[32], shared[256];
        if (!line(level, sizeof level, root, "cpu/cpu%d/cache/index%d/level", cpu, i))
            break;
        if (line(type, sizeof type, root, "cpu/cpu%d/cache/index%d/type", cpu, i) &&
            line(size, sizeof size, root, "cpu/cpu%d/cache/index%d/size", cpu, i) &&
            line(shared, sizeof shared, root, "cpu/cpu%d/cache/index%d/shared_cpu_list", cpu,
                 i) &&
            atoi(shared) == cpu)
            bad |= count_cache(caches, atoi(level), type, bytes_of(size));
    }
    return bad;
}

static json_t *count_or_null(int n)
{
    return n ? json_integer(n) : json_null();
}

json_t *rbe_topology(const char *root)
{
    json_t *sockets = json_object(), *caches = json_array();
    char text[256];
    const int last_cpu = last_of(root, "cpu/possible"), last_node = last_of(root,
                                                                           "node/possible");
    int cpus = 0, cores = 0, nodes = 0, bad = 0;

    for (int n = 0; n <= last_cpu; n++) {
        if (!line(text, sizeof text, root, "cpu/cpu%d/topology/physical_package_id", n))
            continue;
        cpus++;
        bad |= json_object_set_new(sockets, text, json_true());
        if (line(text, sizeof text, root, "cpu/cpu%d/topology/thread_siblings_list", n))
            cores += atoi(text) == n;
        bad |= caches_of(caches, root, n);
    }
    /* A node of memory without CPUs has an empty list. */
    for (int n = 0; n <= last_node; n++)
        nodes += line(text, sizeof text, root, "node/node%d/distance", n);
    json_t *t = RBE_OBJECT(
        RBE_JSON(sockets, count_or_null((int)json_object_size(sockets))),
        RBE_JSON(cores, count_or_null(cores)), RBE_JSON(cpus, count_or_null(cpus)),
        RBE_JSON(threads_per_core, cores ? json_real((double)cpus / cores) : json_null()),
        RBE_JSON(numa_nodes, count_or_null(nodes)), RBE_JSON(caches, caches));
    json_decref(sockets);
    if (bad) {
        json_decref(t);
        return NULL;
    }
    return t;
}
