/*
 * report.h - what is done with results that were read.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CI_FUZZ_REPORT_H
#define RBE_CI_FUZZ_REPORT_H

#include <stdbool.h>

#include "gate/compare.h"

/* Reads a folder of results and writes its page; true when the folder was taken. */
bool rbe_fuzz_report(const char *folder);

/* Compares figures with themselves. */
void rbe_fuzz_compare(const struct rbe_figures *f);

#endif
