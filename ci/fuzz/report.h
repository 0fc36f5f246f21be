/*
 * report.h - what is done with results that were read.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CI_FUZZ_REPORT_H
#define RBE_CI_FUZZ_REPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "gate/compare.h"

/*
 * Reads a folder of results and makes its page; true when the folder was taken.  To write the
 * page takes longer than all else: it is written in another form, or in none, by the input's
 * size, which is all that `size` is for.
 */
bool rbe_fuzz_report(const char *folder, size_t size);

/* Compares figures with themselves. */
void rbe_fuzz_compare(const struct rbe_figures *f);

#endif
