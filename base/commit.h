/*
 * commit.h - the commit that this program was built from.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_COMMIT_H
#define RBE_BASE_COMMIT_H

/* As scripts/commit.sh said it when the program was linked; empty: not known. */
extern const char rbe_commit[128];

#endif
