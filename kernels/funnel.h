/*
 * funnel.h - a measured property of the CPU that its feature bits do not tell.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_FUNNEL_H
#define RBE_KERNELS_FUNNEL_H

#include <stdbool.h>

/* True where a seed kernel's row step is no slower with AVX512_VBMI2's funnel shift than
 * with two shifts.  Measures for some microseconds; needs AVX512_VBMI2 and AVX512_VNNI. */
bool rbe_funnel_shift_pays(void);

#endif
