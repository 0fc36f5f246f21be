/*
 * grad.h - a model that can be trained: forward and backward pass in f32, batched.
 *
 * SPDX-License-Identifier: MIT
 *
 * Parameters and gradients are two flat arrays of the same layout, cut into named slices:
 * the checkpoint's tensors in the model's order, matrices as W [outputs][inputs] as the
 * runtime and the codecs have them (a checkpoint may store linear layers the other way
 * round; rbe_source_read() turns them).  Tensors of one role of a layer are ranges of rows of
 * one weight, and lie behind each other without a gap.  In a tied model the output layer is
 * the token embedding, whose gradient is that of both its uses.  What rotated positions are
 * divided by (role ROPE_FACTORS) has no gradient: it stays zero.
 *
 * Logits are never held for more than a chunk of positions, so memory does not grow with
 * tokens times vocabulary.  Products go through model/dense.h, split over the pool; sums run
 * in an order that follows from the shapes and the number of threads alone, so that the
 * same calls give the same bits.
 */
#ifndef RBE_GRAD_GRAD_H
#define RBE_GRAD_GRAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "grad/loss.h"
#include "model/config.h"
#include "model/source.h"

/* A micro-batch: `batch` sequences of `time` tokens each. */
struct rbe_grad_limits {
    uint32_t batch, time;       /* the largest; time 1..n_ctx */
    bool forward_only;          /* a teacher or a validation: no gradients kept */
    bool tap_only;              /* no gradients of parameters: what passes by on the way is
                                 * for rbe_grad_tap(); with bf16, weights that are multiplied
                                 * are held as rounded alone, and looked up so too */
    bool recompute;             /* keep only every layer's input, run layers twice: slower,
                                 * far less memory */
    bool bf16;                  /* round the inputs of products to bf16 (grad/product.h):
                                 * faster, and gradients good to about a part in 200; a
                                 * student and its teacher may differ in it */
};

/*
 * What stands in the place of a matrix's gradient where only scales of rows and columns move:
 * for g the gradient by W and R the rotation of rbe_rotate(), the sums over columns of g W, by
 * row, and over the rows of a part of (g R) (W R), by column.  They follow from the inputs and
 * outputs of products alone: no gradient of a matrix is computed or touched.
 */
struct rbe_grad_sums {
    uint32_t rotation;          /* block of the rotation; 0: none */
    uint64_t seed;              /* of its signs */
    bool columns;               /* sums by column are wanted */
    uint32_t parts;             /* ranges of rows whose columns are summed apart: part i begins
                                 * at row0[i] and ends where the next one does */
    const uint32_t *row0;
    float *sums;                /* [threads][rows + parts * cols], one set for each thread of
                                 * the pool, to be added up: a step adds to them */
};

/* One tensor. */
struct rbe_grad_slice {
    char name[64];              /* as in the checkpoint, without a prefix */
    enum rbe_role role;
    int layer;                  /* -1 outside the layers */
    bool matrix;                /* may be encoded */
    bool frozen;                /* the caller's to set: its gradient is not computed, and its
                                 * memory in gradients not touched */
    const struct rbe_grad_sums *sums;   /* the caller's to set, of a matrix: these instead of
                                         * its gradient; NULL at first */
    uint32_t rows, cols;        /* W [outputs][inputs]; positions [n_ctx][n_embd];
                                 * a vector: rows 1 */
    uint32_t row0, weight_rows; /* its first row in its role's weight, and the rows of that:
                                 * 0 and `rows` where it is all of it */
    size_t at, count;           /* where in the flat arrays, in floats; at % 16 == 0 where
                                 * row0 is 0; or RBE_NOT_STORED */
};

/* Of a slice that is held as rounded alone: only rbe_grad_load() can set it. */
#define RBE_NOT_STORED SIZE_MAX

struct rbe_grad;

/* Bytes rbe_grad_open() will allocate with a pool of `threads`; SIZE_MAX when they do not
 * fit a size_t. */
size_t rbe_grad_bytes(const struct rbe_model_config *c, struct rbe_grad_limits l,
                      unsigned threads);

/*
 * Parameters are zero at first.  pool may be NULL and must outlive it; a teacher shares the
 * student's, or has one of as many threads.  RBE_ERR_ARG: an impossible shape, or bf16 where
 * rbe_product_has_bf16() says no; RBE_ERR_NOMEM says how much was needed.
 */
enum rbe_status rbe_grad_open(struct rbe_grad **out, const struct rbe_model_config *c,
                              struct rbe_grad_limits l, struct rbe_pool *pool,
                              struct rbe_diag *d);
void rbe_grad_close(struct rbe_grad **t);

const struct rbe_model_config *rbe_grad_config(const struct rbe_grad *t);
unsigned rbe_grad_threads(const struct rbe_grad *t);    /* of its pool */

/* The slices, in the order of rbe_source's tensors. */
size_t rbe_grad_slices(const struct rbe_grad *t);
struct rbe_grad_slice *rbe_grad_slice(struct rbe_grad *t, size_t i);
struct rbe_grad_slice *rbe_grad_find(struct rbe_grad *t, const char *name);        /* or NULL */

/* The flat arrays, [rbe_grad_floats()], 64-byte aligned; what lies between slices is zero
 * and must stay so.  Gradients: NULL when forward_only or tap_only.  With bf16 the weights are
 * packed for products by the first pass after rbe_grad_params() was called: who writes to them
 * later calls it again. */
size_t rbe_grad_floats(const struct rbe_grad *t);
float *rbe_grad_params(struct rbe_grad *t);
float *rbe_grad_gradients(struct rbe_grad *t);

/* All parameters from a checkpoint; RBE_ERR_MISMATCH when its configuration is another. */
enum rbe_status rbe_grad_load(struct rbe_grad *t, const struct rbe_source *s,
                              struct rbe_diag *d);

/* Every gradient becomes zero, and the sums that stand for some; at open they are. */
void rbe_grad_zero(struct rbe_grad *t);

struct rbe_grad_batch {
    uint32_t batch, time;       /* at most the limits */
    const uint32_t *tokens;     /* [batch][time] */
    const uint32_t *targets;    /* [batch][time] the token that follows, or RBE_NO_TARGET */
    const float *draws;         /* [batch][time] 0..1, or NULL: targets are not read but drawn
                                 * from the predictions by these; not with a teacher */
    uint32_t known;             /* of rbe_grad_step(): the last so many sequences have kept
                                 * predictions (grad/top.h), and the teacher does not run */
    unsigned char *const *kept; /* [batch]: of a sequence [time][rbe_top_bytes()]; of others
                                 * than the known where the teacher's are kept, or NULL: not.
                                 * NULL: none are */
};

/*
 * Forward, loss, backward: adds weight times the gradient of the summed loss to the
 * gradients, and the positions' losses to *sums.  For the mean over a batch of N counted
 * positions made of several micro-batches, weight is 1 / N.  teacher: a rbe_grad of the
 * same vocabulary whose limits hold the batch, or NULL when the loss needs none; only its
 * forward pass runs.
 * RBE_ERR_ARG: token or target outside the vocabulary, a shape past the limits, no teacher
 * where one is needed.  RBE_ERR_NUMERIC: the loss is not finite (gradients are then waste).
 * RBE_ERR_INTERRUPTED: rbe_interrupted() between two layers (likewise); also of the next two.
 */
enum rbe_status rbe_grad_step(struct rbe_grad *t, const struct rbe_grad_batch *b,
                              const struct rbe_loss *loss, struct rbe_grad *teacher,
                              float weight, struct rbe_loss_sums *sums, struct rbe_diag *d);

/*
 * What a step's backward pass calls for every weight with its inputs x [tokens][cols] and the
 * gradient dy [tokens][weight_rows] by its outputs, from the calling thread, which may use the
 * pool; s is the first of its ranges; dy has the step's weight in it.  The output layer comes
 * first, in several pieces of the tokens; in a tied model as the token embedding.  That comes
 * last, as what is looked up: x is NULL, and dy [tokens][cols] by the rows that were.  fn NULL:
 * no more.
 */
typedef void rbe_grad_tap_fn(void *arg, const struct rbe_grad_slice *s, const float *x,
                             const float *dy, size_t tokens);
void rbe_grad_tap(struct rbe_grad *t, rbe_grad_tap_fn *fn, void *arg);

/*
 * A model of one layer, its parameters set by rbe_grad_params(): what the layer makes of the
 * residual stream `in` [batch][time][n_embd], which may be `out`.  With fn it ends before its
 * product in role `last`, which gets inputs x [count][cols], to be added to `onto`
 * [count][n_embd], NULL where it is not; x and onto are those of tokens first, first + 1, ...,
 * and fn is called for all of them, in pieces, by every thread of the pool; out is not written.
 */
typedef void rbe_grad_inputs_fn(void *arg, const float *x, const float *onto, size_t first,
                                size_t count);
enum rbe_status rbe_grad_layer(struct rbe_grad *t, uint32_t batch, uint32_t time,
                               const float *in, float *out, enum rbe_role last,
                               rbe_grad_inputs_fn *fn, void *arg, struct rbe_diag *d);

/*
 * What a step keeps of a teacher's predictions at this temperature, without the step: the same
 * bits, where the batch has the step's shape without its known sequences, and t the limits of
 * its student but forward_only.
 */
enum rbe_status rbe_grad_predict(struct rbe_grad *t, const struct rbe_grad_batch *b,
                                 float temperature, struct rbe_diag *d);

/* The same as a step without gradients, and nothing known or kept: for validation;
 * forward_only will do. */
enum rbe_status rbe_grad_evaluate(struct rbe_grad *t, const struct rbe_grad_batch *b,
                                  const struct rbe_loss *loss, struct rbe_grad *teacher,
                                  struct rbe_loss_sums *sums, struct rbe_diag *d);

/* Forward pass alone; targets are not read.  Then logits [count][vocab] of positions
 * first, first + 1, ... of the [batch][time] ones. */
enum rbe_status rbe_grad_forward(struct rbe_grad *t, const struct rbe_grad_batch *b,
                                 struct rbe_diag *d);
enum rbe_status rbe_grad_logits(struct rbe_grad *t, size_t first, size_t count,
                                float *logits, struct rbe_diag *d);

#endif
