/*
 * optimizer.h - AdamW, and steps along the nearest orthogonal matrix (Muon).
 *
 * SPDX-License-Identifier: MIT
 *
 * It moves spans: any runs of f32 with a gradient beside them, slices of a rbe_grad or
 * arrays of the caller's own.  AdamW (Loshchilov and Hutter 2019): decoupled decay, both
 * moments corrected for their bias.  Muon (Jordan and others 2024): Nesterov momentum of a
 * matrix's gradient, made nearly orthogonal by five Newton-Schulz steps through the dense
 * library, scaled by 0.2 sqrt(max(rows, cols)) so that its entries are about as large as
 * AdamW's and both can share a learning rate.
 */
#ifndef RBE_TRAIN_OPTIMIZER_H
#define RBE_TRAIN_OPTIMIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"

enum rbe_optimizer_kind { RBE_ADAMW, RBE_MUON };

/* "adamw" or "muon"; RBE_ERR_ARG names the valid ones. */
enum rbe_status rbe_optimizer_named(enum rbe_optimizer_kind *k, const char *name,
                                    struct rbe_diag *d);

const char *rbe_optimizer_name(enum rbe_optimizer_kind k);

struct rbe_optimizer_span {
    float *param;               /* [rows][cols] */
    const float *gradient;      /* [rows][cols] */
    size_t rows, cols;          /* a vector: rows 1 */
    enum rbe_optimizer_kind kind;       /* RBE_MUON: rows and cols above 1 */
    float rate;                 /* times the step's learning rate; 0: not moved, its state
                                 * and its count of steps stand still, and its gradient is
                                 * not read */
    float decay;                /* times the options' decay */
};

struct rbe_optimizer_options {
    float beta1, beta2, eps;    /* AdamW; zeros: 0.9, 0.95, 1e-8 */
    float momentum;             /* Muon; 0: 0.95 */
    float decay;                /* p -= rate * decay * p, both kinds; 0 is 0 */
};

struct rbe_optimizer;

/* Bytes rbe_optimizer_open() will allocate. */
size_t rbe_optimizer_bytes(const struct rbe_optimizer_span *spans, size_t count);

/* Copies the spans; their arrays stay the caller's and must outlive it.  pool may be NULL. */
enum rbe_status rbe_optimizer_open(struct rbe_optimizer **out,
                                   const struct rbe_optimizer_span *spans, size_t count,
                                   struct rbe_optimizer_options options, struct rbe_pool *pool,
                                   struct rbe_diag *d);
void rbe_optimizer_close(struct rbe_optimizer **o);

/* Changes how span i is moved from now on; its state stays. */
void rbe_optimizer_set(struct rbe_optimizer *o, size_t i, float rate, float decay);

/* Span i starts anew: no moments, no steps made. */
void rbe_optimizer_forget(struct rbe_optimizer *o, size_t i);

/*
 * One step with this learning rate.  Where max_norm > 0 and the gradients' norm (over spans
 * whose rate is not 0, summed in double in an order that no number of threads changes) is
 * larger, they count max_norm / norm times.  *norm gets that norm.
 * RBE_ERR_NUMERIC: the norm is not finite; then nothing was moved.
 */
enum rbe_status rbe_optimizer_step(struct rbe_optimizer *o, float rate, float max_norm,
                                   double *norm, struct rbe_diag *d);

/*
 * The state, for checkpoints: moments of all spans in one flat array (AdamW 2 rows cols,
 * Muon rows cols, in the order of the spans) and the steps each span has made.  Writing
 * both back into an optimiser of the same spans goes on bit for bit.
 */
float *rbe_optimizer_state(struct rbe_optimizer *o, size_t *floats);
uint64_t *rbe_optimizer_steps(struct rbe_optimizer *o, size_t *spans);

#endif
