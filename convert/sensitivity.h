/*
 * sensitivity.h - what an error in one matrix does to the model's predictions.
 *
 * SPDX-License-Identifier: MIT
 *
 * The measure is the mean KL divergence, in nats a token, of the predictions of the model
 * with some rows of one matrix changed from those of the original, over a few windows of
 * the calibration text.  It is arithmetic on one text, not a sample of noise: small
 * differences between encodings can be compared.
 *
 * Logits are not compared as such.  What the output layer multiplies moves by d, logit v by its
 * row w[v] d, and the divergence follows from these moves and from the probabilities before:
 * log(sum p[v] e^(w[v] d)) - sum p[v] w[v] d.  So inputs of this product, the largest, may be
 * rounded to bf16: the moves are then good to a part in some hundreds.  The layers before it
 * are in f32: rounded, two runs of theirs differ by more than many a matrix is worth.
 */
#ifndef RBE_CONVERT_SENSITIVITY_H
#define RBE_CONVERT_SENSITIVITY_H

#include "convert/calibrate.h"

struct rbe_sensitivity;

/*
 * Loads the plain checkpoint and keeps its predictions on about `tokens` tokens, in windows of
 * at most 256; 0: on up to four windows of at most 512.  At most 256 MiB of predictions, or one
 * window's.  bf16: moves of logits by products of bf16 (grad/product.h); where
 * rbe_product_has_bf16() says no: RBE_ERR_ARG.  pool may be NULL.
 */
enum rbe_status rbe_sensitivity_open(struct rbe_sensitivity **out, const char *model_path,
                                     const struct rbe_calibration *c, size_t tokens, bool bf16,
                                     struct rbe_pool *pool, struct rbe_diag *d);
void rbe_sensitivity_close(struct rbe_sensitivity **s);

/* Bytes it takes with a pool of `threads`, measuring apart. */
size_t rbe_sensitivity_bytes(const struct rbe_model_config *c, size_t tokens, bool bf16,
                             unsigned threads);

/* With change [rows][cols] added to rows row0 .. row0 + rows - 1 of the matrix so named; the
 * original is put back.  Takes as much memory as `change` does. */
enum rbe_status rbe_sensitivity_measure(struct rbe_sensitivity *s, const char *name,
                                        size_t row0, size_t rows, const float *change,
                                        double *kl, struct rbe_diag *d);

/* KL(p || softmax(log p + moves)) in nats, at least 0, from tilt() of p and the moves, less any
 * number for all (kernels/vector.h). */
double rbe_prediction_divergence(const double tilt[2]);

#endif
