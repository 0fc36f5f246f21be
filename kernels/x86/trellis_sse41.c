/*
 * trellis_sse41.c - body/trellis.h in 8 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/x86/simd_sse41.h"

#include "kernels/body/trellis.h"
#include "kernels/list.h"

RBE_TABLE(trellis, sse41)
