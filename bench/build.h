/*
 * build.h - what this program was built with.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_BUILD_H
#define RBE_BENCH_BUILD_H

/* "gcc 12.2.0" */
const char *rbe_build_compiler(void);

/* Flags of every file; a file for one ISA has those of its suffix beside them (Makefile). */
const char *rbe_build_flags(void);

#endif
