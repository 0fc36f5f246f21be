/*
 * commit.c - the commit that this program was built from, linked into programs alone.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/commit.h"

#ifndef RBE_COMMIT
#error "the Makefile includes commit.h of the build folder"
#endif

/* Of a fixed size, in a section of its own: without it the programs of two commits can be
 * compared. */
__attribute__((section(".rbe.commit"))) const char rbe_commit[128] = RBE_COMMIT;
