/*
 * cpu.h - what this CPU can run.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_CPU_H
#define RBE_KERNELS_CPU_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/isa.h"

/*
 * Reads $RBE_DISABLE_ISA, a comma-separated list of names of isa.h ("avx512,vnni"; "all" masks
 * down to scalar).  Masking a feature masks what builds on it.  Returns NULL, or the first
 * name that is unknown.  Every main calls this first and exits 2 on an unknown name.
 */
const char *rbe_cpu_init(void);

/* What this CPU and OS support, less what is masked.  Before rbe_cpu_init(): 0. */
uint32_t rbe_cpu_isa(void);

/* What the CPU and OS support, masked or not. */
uint32_t rbe_cpu_isa_unmasked(void);

/* "avx2+avx512+vnni" into buf, "scalar" for 0; returns buf. */
char *rbe_isa_string(uint32_t isa, char *buf, size_t size);

/* All names, comma-separated, for messages. */
const char *rbe_isa_names(void);

#endif
