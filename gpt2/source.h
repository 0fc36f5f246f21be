/*
 * source.h - a GPT-2 checkpoint as its encoders read it: tensor by tensor.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_GPT2_SOURCE_H
#define RBE_GPT2_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "gpt2/config.h"
#include "rbe/safetensors.h"

/* One tensor of the architecture, in the order of the model. */
struct rbe_source_tensor {
    char name[64];              /* without "transformer." */
    bool matrix;                /* wte, or a linear layer's weight: may be encoded */
    bool transposed;            /* stored [in][out], as OpenAI wrote linear layers */
    uint32_t rows, cols;        /* a matrix as W [outputs][inputs]; a vector: rows 1 */
    const struct rbe_tensor *tensor;
};

struct rbe_source {
    struct rbe_safetensors *file;
    char *config_json;
    struct rbe_gpt2_config config;
    char sha256[65];            /* of the weight file */
    const char *label;          /* "synthetic" metadata of a generated checkpoint, or NULL */
    struct rbe_source_tensor *tensors;
    size_t count;
};

/*
 * path: a folder with config.json and model.safetensors, or such a file with config.json
 * beside it.  Every tensor of the architecture must be there with the configuration's shape
 * and a float type; others (causal masks, a second copy of the output layer) are ignored.
 * An RBE container is refused.
 */
enum rbe_status rbe_source_open(struct rbe_source **out, const char *path, struct rbe_diag *d);
void rbe_source_close(struct rbe_source **s);

/* NULL when the model has no such tensor. */
const struct rbe_source_tensor *rbe_source_find(const struct rbe_source *s, const char *name);

/* t as f32 [rows][cols] in fresh memory (*out, the caller frees), linear layers turned to
 * [outputs][inputs].  NaN and infinity are errors that name the tensor. */
enum rbe_status rbe_source_read(float **out, const struct rbe_source *s,
                                const struct rbe_source_tensor *t, struct rbe_diag *d);

#endif
