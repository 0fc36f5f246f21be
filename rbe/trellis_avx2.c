/*
 * trellis_avx2.c - the trellis step (trellis_body.h), compiled for AVX2.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_TRELLIS_OPS rbe_trellis_avx2
#include "rbe/trellis_body.h"
