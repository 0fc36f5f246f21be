/*
 * weights.h - what a loaded model holds; for those who compute with it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_WEIGHTS_H
#define RBE_MODEL_WEIGHTS_H

#include "model/model.h"

/* Tensors by their roles: those of a layer, or those that the model has once. */
struct rbe_tensors {
    const struct rbe_weight *weight[RBE_ROLE_COUNT];    /* matrices; NULL: there is none */
    const float *values[RBE_ROLE_COUNT];    /* the others; zeros for what there is none of */
    /* What a weight is put together from in a container, NULL behind the last. */
    const struct rbe_weight *stored[RBE_ROLE_COUNT][RBE_RANGES_MAX];
};

struct rbe_model {
    struct rbe_model_config config;
    char *path, *label;
    char sha256[65];
    uint64_t stamp;                     /* of the files, when their weights were taken */
    size_t file_bytes, bytes_per_token;
    struct rbe_container *container;    /* NULL: no codes, all is in arena */
    float *arena;
    int32_t *row_sums;                  /* of the parts whose kernels here need them */
    struct rbe_weight *own_weights;     /* of a plain checkpoint, or of several stored ones */
    struct rbe_part *own_parts;
    size_t own_count, own_part_count;
    struct rbe_tensors whole;           /* of the model once */
    struct rbe_tensors *layers;
    bool rotated;                       /* some weight is */
    _Atomic bool verified;              /* nothing is left of the codes' checksums to compare */
};

#endif
