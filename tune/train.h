/*
 * train.h - what a rbe_train holds; shared by the files of tune that compute with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_TUNE_TRAIN_H
#define RBE_TUNE_TRAIN_H

#include "gpt2/weights.h"
#include "tune/grad.h"

/* Where a tensor starts in the flat arrays, and its slice. */
enum { RBE_TRAIN_LAYER_SLICES = 12 };

/* A layer's tensors, in the checkpoint's order. */
enum rbe_train_tensor {
    RBE_T_LN1_GAIN, RBE_T_LN1_BIAS, RBE_T_QKV, RBE_T_QKV_BIAS, RBE_T_PROJ, RBE_T_PROJ_BIAS,
    RBE_T_LN2_GAIN, RBE_T_LN2_BIAS, RBE_T_FC, RBE_T_FC_BIAS, RBE_T_OUT, RBE_T_OUT_BIAS
};

struct rbe_train {
    struct rbe_gpt2_config c;
    struct rbe_train_limits limits;
    struct rbe_pool *pool;
    struct rbe_train_slice *slices;
    size_t slice_count, floats;
    float *arena;               /* everything below */
    float *params, *grads;
};

#endif
