/*
 * work.h - how many multiply-adds a product really does, and of what kind.
 *
 * SPDX-License-Identifier: MIT
 *
 * A kernel may do fewer than one for each weight (rows that share a seed's window share its
 * sum) or more (a weight, or a 16-bit activation, taken as two bytes), and only what is done
 * can be held against the machine's rate.  Decoding is not counted.
 */
#ifndef RBE_BENCH_WORK_H
#define RBE_BENCH_WORK_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/probe.h"
#include "kernels/kernel.h"

struct rbe_work {
    double multiply_adds;
    enum rbe_probe_kind kind; /* the probe whose rate they are held against */
};

/* One product of k with a matrix of this shape and `count` vectors, divided among threads. */
struct rbe_work rbe_work_of(const struct rbe_kernel *k, uint32_t rows, uint32_t cols,
                            uint32_t block, uint32_t aux, uint32_t count, unsigned threads);

#endif
