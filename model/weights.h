/*
 * weights.h - what a loaded model holds; shared by the files of gpt2 only.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_WEIGHTS_H
#define RBE_MODEL_WEIGHTS_H

#include "model/model.h"

/* The weight matrices of a layer, and how many rows and columns they have. */
enum rbe_linear { RBE_QKV, RBE_ATTN_PROJ, RBE_MLP_FC, RBE_MLP_PROJ, RBE_LINEARS };

struct rbe_layer {
    const struct rbe_weight *weight[RBE_LINEARS];
    const float *bias[RBE_LINEARS];
    const float *ln1_gain, *ln1_bias, *ln2_gain, *ln2_bias;
};

struct rbe_gpt2 {
    struct rbe_gpt2_config config;
    char *path, *label;
    char sha256[65];
    uint64_t stamp;                     /* of the files, when their weights were taken */
    size_t file_bytes, bytes_per_token;
    struct rbe_container *container;    /* NULL: a plain checkpoint, all of it in arena */
    float *arena;
    struct rbe_weight *own_weights;     /* of a plain checkpoint */
    struct rbe_part *own_parts;
    const struct rbe_weight *wte;
    const float *wpe, *lnf_gain, *lnf_bias;
    struct rbe_layer *layers;
    bool rotated;                       /* some weight is */
    _Atomic bool verified;              /* nothing is left of the codes' checksums to compare */
};

#endif
