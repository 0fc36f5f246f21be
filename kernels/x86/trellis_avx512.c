/*
 * trellis_avx512.c - body/trellis.h in 32 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx512.h"

#include "kernels/body/trellis.h"
#include "kernels/list.h"

RBE_TABLE(trellis, avx512)
