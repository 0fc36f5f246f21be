/*
 * vector.h - what training does besides matrix products: backward halves, losses, optimisers;
 * and of a conversion the dot products by which scales are fitted, what error feedback takes
 * off, and how far predictions move.
 *
 * SPDX-License-Identifier: MIT
 *
 * Compiled several times from one source (body/vector.h), like kernels/elementwise.h, whose
 * functions the forward pass uses; all versions agree bit for bit.
 */
#ifndef RBE_KERNELS_VECTOR_H
#define RBE_KERNELS_VECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a position costs: grad/loss.h. */
struct rbe_loss {
    float alpha;                /* 0..1: weight of the divergence */
    float temperature;          /* T > 0 */
    float factor;               /* 1, or T^2 so that gradients keep their size as T grows */
    float text;                 /* weight of the cross entropy besides; may be negative */
};

/* Sums over positions; divide by count.  In nats. */
struct rbe_loss_sums {
    double loss, ce, kl;        /* kl is 0 where the loss has no teacher */
    double original;            /* the teacher's own cross entropy, of t / T; 0 likewise */
    uint64_t agree;             /* positions where student's and teacher's largest agree */
    uint64_t count;
};

/* Constants of one AdamW step: d = gradient g; m = b1 m + (1 - b1) d;
 * v = b2 v + (1 - b2) d^2; p = p keep - step m / (sqrt(v) root + eps). */
struct rbe_vector_adam {
    float gradient, b1, b2, keep, step, root, eps;
};

struct rbe_vector {
    const char *name;
    uint32_t isa;               /* RBE_ISA_* bits it needs */

    /* y = x + bias. */
    void (*add)(float *y, const float *x, const float *bias, size_t n);
    /* y = GELU(x), GPT-2's tanh form. */
    void (*gelu)(float *y, const float *x, size_t n);
    /* d *= GELU'(x); then x = GELU(x). */
    void (*gelu_back)(float *d, float *x, size_t n);
    /* y = norm(x) gain + bias; dx = base (NULL: zero) + the gradient of that norm by x for dy;
     * dgain and dbias += theirs.  dx may be base or dy. */
    void (*norm_back)(float *dx, const float *base, float *y, const float *x,
                      const float *gain, const float *bias, const float *dy, float *dgain,
                      float *dbias, size_t n, float eps);
    /* d = scale * p * (d - sum of p * d): through a softmax that gave p. */
    void (*softmax_back)(float *d, const float *p, size_t n, float scale);
    /* rbe_loss_row() of a counted position; teacher NULL: cross entropy alone. */
    void (*loss_row)(const struct rbe_loss *l, float *student, float *teacher, size_t vocab,
                     uint32_t target, float weight, bool want_gradient,
                     struct rbe_loss_sums *sums);
    /* Sum of x^2: blocks of 512 in f32, their sum in double. */
    double (*squares)(const float *x, size_t n);
    void (*adam)(float *p, float *m, float *v, const float *g, size_t n,
                 const struct rbe_vector_adam *c);
    /* d = scale g; m = beta m + d; u = beta m + d (Nesterov). */
    void (*momentum)(float *u, float *m, const float *g, size_t n, float beta,
                     float scale);
    /* to = scale * x as bf16, rounded to nearest, ties to even.  A NaN stays one unless nearly
     * all bits of its payload are set, as no arithmetic sets them. */
    void (*round_bf16)(uint16_t *to, const float *x, size_t n, float scale);
    /* sum += a b, one by one. */
    void (*multiply_add)(float *sum, const float *a, const float *b, size_t n);
    /* y = a y + b x. */
    void (*blend)(float *y, const float *x, size_t n, float a, float b);
    /* norm_back() of y = x / sqrt(mean of x^2 + eps) * gain. */
    void (*rms_back)(float *dx, const float *base, float *y, const float *x,
                     const float *gain, const float *dy, float *dgain, size_t n, float eps);
    /* d is the gradient by z = x / (1 + e^-x) * y: dx and dy become those by x and y, d
     * becomes z. */
    void (*swiglu_back)(float *dx, float *dy, float *d, const float *x, const float *y,
                        size_t n);
    /* out[i][j] += a[i] . b[j] for i < rows and j < cols, of n values: in four sums of f32, and
     * their sum in double.  a [rows][n]; b [n / 4][cols][4], so that dot products fill wide
     * registers; rows and n are multiples of 4, cols one of 8. */
    void (*dots)(double *out, const float *a, const float *b, size_t rows, size_t cols,
                 size_t n);
    /* to = by x. */
    void (*scale)(float *to, const float *x, size_t n, float by);
    /* sums += e(g), one by one; returns the sum of all e(g), added up like squares(): e(g) is
     * g^2, or where `logit` |g| (1 - |g|). */
    double (*energies)(float *sums, const float *g, size_t n, bool logit);
    /* to[m] -= sum over p < count of by[p * stride] x[p][m], m < n, rows of x ld apart: four
     * products are added up, by pairs, and taken off, one such sum after the other. */
    void (*take_off)(float *to, const float *by, size_t stride, const float *x, size_t ld,
                     size_t count, size_t n);
    /* c[i][j] -= sum over k < count of l[i][k] x[k][j], i < rows and j < cols: in doubles, one
     * product after the other; rows of l are ldl apart, those of c and x ld. */
    void (*subtract)(double *c, const double *l, size_t ldl, const double *x, size_t ld,
                     size_t count, size_t rows, size_t cols);
    /* sum[0] += the sum of p d, sum[1] += that of p (e^d - 1 - d), d = moves - from, added up
     * like squares(). */
    void (*tilt)(double sum[2], const float *p, const float *moves, size_t n, float from);
};

/* The version at i, narrowest first; NULL past the end. */
const struct rbe_vector *rbe_vector_at(size_t i);

/* The widest that `isa` can run. */
const struct rbe_vector *rbe_vector_best(uint32_t isa);

#endif
