/*
 * trellis_neon.c - body/trellis.h in 8 lanes.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/arm/simd_neon.h"

#include "kernels/body/trellis.h"
#include "kernels/list.h"

RBE_TABLE(trellis, neon)
