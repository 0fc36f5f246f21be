/*
 * topology.c - a drawing of packages, NUMA nodes, caches, cores and threads, with the pinned
 * CPUs marked.
 *
 * SPDX-License-Identifier: MIT
 */
#include <hwloc.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "bench/machine.h"
#include "bench/machine_private.h"

/* Pixels; a text line is 18 high. */
enum { UNIT_W = 124, UNIT_H = 34, PAD = 8, LINE = 22 };

static bool drawn(hwloc_obj_t o)
{
    switch (o->type) {
    case HWLOC_OBJ_MACHINE:
    case HWLOC_OBJ_PACKAGE:
    case HWLOC_OBJ_CORE:
    case HWLOC_OBJ_PU:
        return true;
    default:
        return hwloc_obj_type_is_dcache(o->type);
    }
}

/* NUMA nodes are hwloc's memory children: a line for each above what it serves. */
static int memory_lines(hwloc_obj_t o)
{
    int n = 0;

    for (hwloc_obj_t m = o->memory_first_child; m; m = m->next_sibling)
        n += m->type == HWLOC_OBJ_NUMANODE;
    return n;
}

static void sizes(hwloc_obj_t o, int *w, int *h);

/* Width and height of the children beside each other. */
static void row_size(hwloc_obj_t o, int *w, int *h)
{
    *w = *h = 0;
    for (hwloc_obj_t c = o->first_child; c; c = c->next_sibling) {
        int cw, ch;
        sizes(c, &cw, &ch);
        if (cw) {
            *w += cw + (*w ? PAD : 0);
            *h = ch > *h ? ch : *h;
        }
    }
}

/* Objects that are not drawn are as large as their children. */
static void sizes(hwloc_obj_t o, int *w, int *h)
{
    row_size(o, w, h);
    if (*w || drawn(o))
        *h += memory_lines(o) * (LINE + PAD);
    if (!drawn(o))
        return;
    if (o->type == HWLOC_OBJ_PU) {
        *w = UNIT_W;
        *h = UNIT_H;
        return;
    }
    *w = (*w > UNIT_W ? *w : UNIT_W) + 2 * PAD;
    *h += LINE + 2 * PAD;
}

static void title(hwloc_obj_t o, char *buf, size_t size)
{
    if (hwloc_obj_type_is_dcache(o->type)) {
        const unsigned long long kib = o->attr->cache.size >> 10;
        snprintf(buf, size, kib >= 1024 && kib % 1024 == 0 ? "L%u %llu MiB" : "L%u %llu KiB",
                 o->attr->cache.depth, kib >= 1024 && kib % 1024 == 0 ? kib >> 10 : kib);
    } else if (o->type == HWLOC_OBJ_MACHINE) {
        snprintf(buf, size, "machine");
    } else {
        snprintf(buf, size, "%s %u",
                 o->type == HWLOC_OBJ_PACKAGE ? "package"
                 : o->type == HWLOC_OBJ_CORE  ? "core"
                                              : "CPU",
                 o->os_index == HWLOC_UNKNOWN_INDEX ? o->logical_index : o->os_index);
    }
}

static void draw(FILE *f, hwloc_obj_t o, const struct rbe_cpulist *pinned, int x, int y)
{
    int w, h;
    char text[64];

    sizes(o, &w, &h);
    if (drawn(o)) {
        int mark = -1;
        for (unsigned i = 0; o->type == HWLOC_OBJ_PU && i < pinned->count; i++)
            if (pinned->cpu[i] == o->os_index)
                mark = (int)i;
        title(o, text, sizeof text);
        fprintf(f, "<rect x='%d' y='%d' width='%d' height='%d' rx='4' class='%s'/>\n", x, y, w,
                h,
                mark >= 0                           ? "pinned"
                : hwloc_obj_type_is_dcache(o->type) ? "cache"
                                                    : "box");
        if (mark >= 0)
            fprintf(f, "<text x='%d' y='%d' class='on'>%s: thread %d</text>\n", x + 6, y + 21,
                    text, mark);
        else
            fprintf(f, "<text x='%d' y='%d'>%s</text>\n", x + 6,
                    y + (o->type == HWLOC_OBJ_PU ? 21 : 17), text);
        x += PAD;
        y += LINE + PAD;
        w -= 2 * PAD;
    }
    for (hwloc_obj_t m = o->memory_first_child; m; m = m->next_sibling) {
        if (m->type != HWLOC_OBJ_NUMANODE)
            continue;
        fprintf(f,
                "<rect x='%d' y='%d' width='%d' height='%d' rx='4' class='numa'/>\n"
                "<text x='%d' y='%d'>NUMA %u: %.1f GiB</text>\n",
                x, y, w, LINE, x + 6, y + 16, m->os_index,
                (double)m->attr->numanode.local_memory / (1 << 30));
        y += LINE + PAD;
    }
    for (hwloc_obj_t c = o->first_child; c; c = c->next_sibling) {
        int cw, ch;
        sizes(c, &cw, &ch);
        if (!cw)
            continue;
        draw(f, c, pinned, x, y);
        x += cw + PAD;
    }
}

enum rbe_status rbe_machine_svg(const struct rbe_machine *m, const struct rbe_cpulist *pinned,
                                const char *path, struct rbe_diag *d)
{
    const hwloc_obj_t root = hwloc_get_root_obj(m->topology);
    struct rbe_outfile f = {0};
    enum rbe_status err = rbe_outfile_open(&f, path, d);
    int w, h;

    if (err)
        return err;
    sizes(root, &w, &h);
    /* Mid greys and one blue read on light and on dark pages. */
    fprintf(f.f,
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' "
            "height='%d' font-family='sans-serif' font-size='13'>\n"
            "<style>rect{fill:none;stroke:#7d8590;stroke-width:1.2}"
            ".cache{fill:#7d8590;fill-opacity:.15}.numa{stroke-dasharray:4 3}"
            ".pinned{fill:#2f7ed8;stroke:#2f7ed8}"
            "text{fill:#7d8590}.on{fill:#fff}</style>\n",
            w + 2 * PAD, h + 2 * PAD, w + 2 * PAD, h + 2 * PAD);
    draw(f.f, root, pinned, PAD, PAD);
    fputs("</svg>\n", f.f);
    err = rbe_outfile_commit(&f, d);
    rbe_outfile_discard(&f);
    return err;
}
