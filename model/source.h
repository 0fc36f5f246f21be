/*
 * source.h - a GPT-2's weight file, checkpoint or RBE container: which tensors it must hold,
 * and that it holds these and no others.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_SOURCE_H
#define RBE_MODEL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "rbe/container.h"
#include "rbe/safetensors.h"

/* One tensor of the architecture. */
struct rbe_source_tensor {
    char name[64];              /* without "transformer." */
    bool matrix;                /* wte, or a linear layer's weight: may be encoded */
    bool transposed;            /* stored [in][out], as OpenAI wrote linear layers */
    unsigned dims;              /* as stored: 2, or 1 */
    uint32_t rows, cols;        /* a matrix as W [outputs][inputs]; a vector: rows 1 */
    const struct rbe_tensor *tensor;    /* NULL: encoded */
    const struct rbe_weight *weight;    /* a container's; NULL: not encoded */
};

/* In the model's order: wte, wpe, so many of each layer (ln_1, attn.c_attn, attn.c_proj, ln_2,
 * mlp.c_fc, mlp.c_proj, each weight and bias), ln_f weight and bias. */
enum { RBE_SOURCE_WTE, RBE_SOURCE_WPE, RBE_SOURCE_LAYERS, RBE_SOURCE_PER_LAYER = 12 };

/* How many tensors a GPT-2 of this shape has, and which is number i (found nowhere yet). */
size_t rbe_source_count(const struct rbe_gpt2_config *c);
struct rbe_source_tensor rbe_source_tensor(const struct rbe_gpt2_config *c, size_t i);

struct rbe_source {
    struct rbe_safetensors *file;       /* the container's, when there is one */
    struct rbe_container *container;    /* NULL: a checkpoint */
    char *config_json;
    struct rbe_gpt2_config config;
    char sha256[65];            /* of the weight file, or files: rbe_safetensors_sha256() */
    const char *label;          /* "synthetic" metadata of generated weights, or NULL */
    struct rbe_source_tensor *tensors;
    size_t count;
};

/*
 * path: a folder with config.json and model.safetensors (or model.safetensors.index.json and
 * its shards), or such a file with config.json beside it, or an RBE container.  Reads the
 * header and the configuration only: tensors, count and sha256 are not there yet.
 */
enum rbe_status rbe_source_open_head(struct rbe_source **out, const char *path,
                                     struct rbe_diag *d);

/*
 * Finds every tensor of the architecture, which must have the configuration's shape and a float
 * type, or in a container be encoded where it is a matrix or wpe.  What else the file holds
 * must be causal masks, of any type, or the output layer once more, equal to wte; anything
 * else means that it is not the model it says.  A container's header and checksums are checked,
 * but for those of codes.
 */
enum rbe_status rbe_source_find_all(struct rbe_source *s, struct rbe_diag *d);

/* Both, and the sha256, of a checkpoint: an RBE container is refused. */
enum rbe_status rbe_source_open(struct rbe_source **out, const char *path, struct rbe_diag *d);
void rbe_source_close(struct rbe_source **s);

/* NULL when the model has no such tensor. */
const struct rbe_source_tensor *rbe_source_find(const struct rbe_source *s, const char *name);

/*
 * t as f32 [rows][cols] into `to`, linear layers turned to [outputs][inputs] by way of scratch
 * (rows * cols; unused by others).  An encoded one is decoded.  NaN and infinity are errors
 * that name the tensor.
 */
enum rbe_status rbe_source_read_to(float *to, float *scratch, const struct rbe_source *s,
                                   const struct rbe_source_tensor *t, struct rbe_diag *d);
/* The same in fresh memory (*out, the caller frees). */
enum rbe_status rbe_source_read(float **out, const struct rbe_source *s,
                                const struct rbe_source_tensor *t, struct rbe_diag *d);

#endif
