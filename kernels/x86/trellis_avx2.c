/*
 * trellis_avx2.c - body/trellis.h in 16 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_avx2.h"

#include "kernels/body/trellis.h"
#include "kernels/list.h"

RBE_TABLE(trellis, avx2)
