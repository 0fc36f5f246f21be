/*
 * trellis_avx512.c - the trellis step (trellis_body.h), compiled for AVX512.
 *
 * SPDX-License-Identifier: MIT
 */
#define RBE_TRELLIS_OPS rbe_trellis_avx512
#include "rbe/trellis_body.h"
