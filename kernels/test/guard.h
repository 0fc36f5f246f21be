/*
 * guard.h - memory between unreadable pages, for tests.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_TEST_GUARD_H
#define RBE_KERNELS_TEST_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where a buffer lies between its two unreadable pages. */
enum place { AT_END, AT_START, ODD, PLACE_COUNT };

struct guarded {
    unsigned char *base;
    size_t room;
};

static inline bool guarded_open(struct guarded *g, size_t bytes)
{
    const size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);

    g->room = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    unsigned char *all = mmap(NULL, g->room + 2 * page_bytes, PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED)
        return false;
    g->base = all + page_bytes;
    return mprotect(g->base, g->room, PROT_READ | PROT_WRITE) == 0;
}

/* `bytes` of it; `unit` is the alignment the contract promises. */
static inline void *guarded_at(const struct guarded *g, enum place place, size_t bytes,
                               size_t unit)
{
    if (bytes + unit > g->room) {
        printf("FAIL the test's buffers are too small for %zu bytes\n", bytes);
        exit(1);
    }
    if (place == AT_END)
        return g->base + (g->room - bytes) / unit * unit;
    return g->base + (place == ODD ? unit : 0);
}

#endif
