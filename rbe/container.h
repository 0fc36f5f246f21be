/*
 * container.h - the RBE model file: a safetensors file whose matrices may be encoded.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every weight matrix of the model, `h.3.mlp.c_fc.weight` say, is a list of one or more
 * parts, each covering a range of its rows (outputs; tokens of the embedding) with its own
 * codec and B.  A part is stored as up to three tensors: NAME.codes (U8), NAME.scale (F16),
 * NAME.col_scale (F16), with NAME.<part> for parts beyond the first.  Its parameters stand as
 * JSON under NAME in __metadata__:
 *     {"rows":1024,"cols":256,"hadamard":256,"sign_seed":"7",
 *      "parts":[{"rows":1024,"codec":"seed","block":44}]}
 * (hadamard, sign_seed, block and aux are left out when 0).  `rbe.version` is the format's
 * version, `rbe.config` the config.json of the original, `rbe.profile`, `rbe.source_sha256`,
 * `rbe.encoder` say where it came from, `rbe.keys` lists these keys, space-separated.  Other
 * tensors (norms, biases, positions) are plain F16 or F32 under the names of the checkpoint.
 *
 * The tensor `rbe.checksums` (U8 [tensors][8]) holds the XXH3 checksum, little-endian, of
 * every other tensor in file order; `rbe.header_xxh3` that of names, types, shapes, metadata
 * and checksums.  Tensors begin at multiples of the largest power of two, up to 64, that
 * divides their size, so that codes of the seed formats are aligned to vector registers.
 *
 * A matrix may be encoded in a rotated basis: W' = W R with R = diag(signs) H, H a
 * normalised Hadamard matrix in blocks of `hadamard` columns.  Then y = W' (R^T x); the
 * signs come from a seed (rbe_rotate).  The embedding's column means may have been moved to
 * the positions (exact: a constant shift of all logits).
 */
#ifndef RBE_RBE_CONTAINER_H
#define RBE_RBE_CONTAINER_H

#include "base/status.h"
#include "kernels/kernel.h"
#include "rbe/safetensors.h"

struct rbe_part {
    uint32_t row0;              /* first row of the whole matrix this part covers */
    struct rbe_matrix m;        /* m.rows rows from there */
};

/* A weight matrix W [rows][cols] of a linear layer, as stored. */
struct rbe_weight {
    char name[64];
    uint32_t rows, cols;
    uint32_t hadamard;          /* 0: not rotated; else block of the transform, divides cols */
    uint64_t sign_seed;
    size_t part_count;
    struct rbe_part *parts;     /* in row order, covering every row once */
    size_t bytes;               /* of its tensors on disk */
};

/* Metadata of a part of a file that was made in shards: no model by itself. */
#define RBE_SHARD_KEY "rbe.shard"

struct rbe_container;

/* Opens and checks everything but the checksums of the codes, which `verify` adds. */
enum rbe_status rbe_container_open(struct rbe_container **out, const char *path, bool verify,
                                   struct rbe_diag *d);
void rbe_container_close(struct rbe_container **c);

/* Set by --no-verify: whoever compares checksums at the first use of codes leaves it. */
extern int rbe_no_verify;

/* The same with a file that is open already; *file belongs to the container from then on, or
 * is closed. */
enum rbe_status rbe_container_take(struct rbe_container **out, struct rbe_safetensors **file,
                                   bool verify, struct rbe_diag *d);

/* True when the file says it is an RBE container (has rbe.version); for telling one from a
 * plain checkpoint. */
bool rbe_container_is(const struct rbe_safetensors *s);

/* Compares the checksums of w's codes, for who opened without `verify`. */
enum rbe_status rbe_container_check(const struct rbe_container *c, const struct rbe_weight *w,
                                    struct rbe_diag *d);

const struct rbe_safetensors *rbe_container_file(const struct rbe_container *c);
/* Whether t is part of an encoded weight, or the checksums; else it is a tensor of its own. */
bool rbe_container_owns(const struct rbe_container *c, const struct rbe_tensor *t);
const struct rbe_weight *rbe_container_weight(const struct rbe_container *c, const char *name);
size_t rbe_container_weight_count(const struct rbe_container *c);
const struct rbe_weight *rbe_container_weight_at(const struct rbe_container *c, size_t i);

/* x <- R^T x, count vectors of n, n a multiple of block: random signs, then an orthonormal
 * fast Walsh-Hadamard transform of each block.  Same bits on every ISA. */
void rbe_rotate(float *x, size_t ldx, size_t count, size_t n, uint32_t block,
                uint64_t sign_seed);
/* The inverse: x <- R x. */
void rbe_unrotate(float *x, size_t ldx, size_t count, size_t n, uint32_t block,
                  uint64_t sign_seed);

/* Building a container: add weights (what they point to stays the caller's until written)
 * and plain tensors, then write. */
struct rbe_container_builder;
enum rbe_status rbe_container_begin(struct rbe_container_builder **out, struct rbe_diag *d);
enum rbe_status rbe_container_add_weight(struct rbe_container_builder *b,
                                         const struct rbe_weight *w, struct rbe_diag *d);
enum rbe_status rbe_container_add_tensor(struct rbe_container_builder *b, const char *name,
                                         enum rbe_dtype dtype, unsigned dims,
                                         const uint64_t *shape, const void *data,
                                         struct rbe_diag *d);
enum rbe_status rbe_container_add_meta(struct rbe_container_builder *b, const char *key,
                                       const char *value, struct rbe_diag *d);
/* Bytes rbe_container_write() would write: exact, without looking at any data. */
size_t rbe_container_file_bytes(const struct rbe_container_builder *b);
enum rbe_status rbe_container_write(struct rbe_container_builder *b, const char *path,
                                    struct rbe_diag *d);
void rbe_container_end(struct rbe_container_builder **b);

#endif
