/*
 * build.h - what this program was built with.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_BUILD_H
#define RBE_BENCH_BUILD_H

#include <jansson.h>

/* "gcc 12.2.0" */
const char *rbe_build_compiler(void);

/* Flags of every file; a file for one ISA has those of its suffix beside them (Makefile). */
const char *rbe_build_flags(void);

/* Whether the tree around the program differs from its commit: true, false, or null when the
 * program stands in none or git does not say. */
json_t *rbe_build_dirty(void);

#endif
