/*
 * source.h - a model's weight file, checkpoint or RBE container: which tensors it must hold
 * (model/arch.def), and that it holds these and no others.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_SOURCE_H
#define RBE_MODEL_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/config.h"
#include "rbe/container.h"
#include "rbe/gguf.h"
#include "rbe/safetensors.h"

/* One tensor of the architecture. */
struct rbe_source_tensor {
    char name[64];              /* without the prefix, "transformer." say */
    enum rbe_role role;
    enum rbe_class tensor_class;
    int layer;                  /* -1 outside the layers */
    bool matrix;                /* by its class: may be encoded */
    bool transposed;            /* stored [in][out], as OpenAI wrote linear layers */
    bool paired;                /* GGUF has the rows of each head in another order */
    unsigned dims;              /* as stored: 2, or 1 */
    uint32_t rows, cols;        /* a matrix as W [outputs][inputs]; a vector: rows 1 */
    /* A range of its role's one weight (model/arch.def): the first row of it, and the name of
     * the range at row 0, which is what a session's tap calls the weight. */
    uint32_t row0;
    char weight_name[64];
    char gguf_name[64];         /* "": there is none */
    const struct rbe_tensor *tensor;    /* NULL: encoded, or a GGUF file's */
    const struct rbe_gguf_tensor *gguf;
    const struct rbe_weight *weight;    /* a container's; NULL: not encoded */
};

/* How many tensors a model of this shape has, and which is number i, in the order of
 * model/arch.def (found nowhere yet). */
size_t rbe_source_count(const struct rbe_model_config *c);
struct rbe_source_tensor rbe_source_tensor(const struct rbe_model_config *c, size_t i);

struct rbe_source {
    struct rbe_safetensors *file;       /* the container's, when there is one */
    struct rbe_container *container;    /* NULL: a checkpoint */
    struct rbe_gguf *gguf;      /* then there is no other file */
    char *config_json;          /* of a GGUF file: its configuration as one */
    struct rbe_model_config config;
    char sha256[65];            /* of the weight file, or files: rbe_safetensors_sha256() */
    const char *label;          /* "synthetic" metadata of generated weights, or NULL */
    struct rbe_source_tensor *tensors;
    size_t count;
};

/*
 * path: a folder with config.json and model.safetensors (or model.safetensors.index.json and
 * its shards), or such a file with config.json beside it, or an RBE container, or a GGUF file.
 * Reads the header and the configuration only: tensors, count and sha256 are not there yet.
 */
enum rbe_status rbe_source_open_head(struct rbe_source **out, const char *path,
                                     struct rbe_diag *d);

/*
 * Finds every tensor of the architecture, which must have the configuration's shape and a float
 * type, or in a container be encoded where it is no vector: a matrix must be.  What else the
 * file holds must be what the architecture has to spare (causal masks, the tied output layer
 * once more); anything else means that it is not the model it says.  Factors of rotated
 * positions must be above 0.  A container's header and checksums are checked, but for those of
 * codes.
 */
enum rbe_status rbe_source_find_all(struct rbe_source *s, struct rbe_diag *d);

/* Both, and the sha256, of a checkpoint: an RBE container is refused. */
enum rbe_status rbe_source_open(struct rbe_source **out, const char *path, struct rbe_diag *d);
/* Both, of an RBE container: a checkpoint is refused.  verify: the checksums of codes too. */
enum rbe_status rbe_source_open_encoded(struct rbe_source **out, const char *path, bool verify,
                                        struct rbe_diag *d);
void rbe_source_close(struct rbe_source **s);

const char *rbe_source_path(const struct rbe_source *s);
size_t rbe_source_file_bytes(const struct rbe_source *s);
/* Another when the file is, or was written to. */
uint64_t rbe_source_stamp(const struct rbe_source *s);

/* NULL when the model has no such tensor. */
const struct rbe_source_tensor *rbe_source_find(const struct rbe_source *s, const char *name);
/* The first range of it. */
const struct rbe_source_tensor *rbe_source_of_role(const struct rbe_source *s,
                                                   enum rbe_role role, int layer);

/*
 * t as f32 [rows][cols] into `to`, linear layers turned to [outputs][inputs] by way of scratch
 * (rows * cols; unused by others).  An encoded one is decoded.  NaN and infinity are errors
 * that name the tensor.
 */
enum rbe_status rbe_source_read_to(float *to, float *scratch, const struct rbe_source *s,
                                   const struct rbe_source_tensor *t, struct rbe_diag *d);
/* The same, but linear layers as a checkpoint of the architecture stores them. */
enum rbe_status rbe_source_read_as_stored(float *to, float *scratch, const struct rbe_source *s,
                                          const struct rbe_source_tensor *t,
                                          struct rbe_diag *d);
/* Row r of t in a GGUF file is this one of these. */
uint32_t rbe_source_row_of_gguf(const struct rbe_source_tensor *t, uint32_t head, uint32_t r);
/* As rbe_source_read_to(), in fresh memory (*out, the caller frees). */
enum rbe_status rbe_source_read(float **out, const struct rbe_source *s,
                                const struct rbe_source_tensor *t, struct rbe_diag *d);

#endif
