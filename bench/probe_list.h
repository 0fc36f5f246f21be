/*
 * probe_list.h - declares every probe of probes.def, and what their loops are made of.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_PROBE_LIST_H
#define RBE_BENCH_PROBE_LIST_H

#include "bench/probe.h"
#include "kernels/isa.h"

#define RBE_BENCH_PROBE(kind, kind_enum, isa, work)                                            \
    RBE_ON(isa, rbe_probe_fn rbe_probe_##kind##_##isa;)
#include "bench/probes.def"
#undef RBE_BENCH_PROBE

/* Twelve chains: enough to hide 4 cycles of latency on 2 units, few enough for 16 registers
 * with three operands. */
#define RBE_EACH12(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/* The compiler must take v for new here: products of constants are not hoisted. */
#ifdef __x86_64__
#ifdef __AVX512F__
#define RBE_OPAQUE(v) __asm__ volatile("" : "+v"(v))
#else
#define RBE_OPAQUE(v) __asm__ volatile("" : "+x"(v))
#endif
#else
#define RBE_OPAQUE(v) __asm__ volatile("" : "+w"(v))
#endif

#endif
