/*
 * memory.h - the memory-limited mode: what does not fit is refused before it is asked for.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_MEMORY_H
#define RBE_BASE_MEMORY_H

#include <stddef.h>

#include "base/status.h"

/* Whether `more` bytes for `what` fit under `limit` bytes of address space (0: no limit)
 * beside what this process has mapped already; RBE_ERR_LIMIT names all of them. */
enum rbe_status rbe_memory_check(const char *what, size_t more, size_t limit,
                                 struct rbe_diag *d);

/* RLIMIT_AS of this process; 0 when there is none. */
size_t rbe_memory_limit(void);

#endif
