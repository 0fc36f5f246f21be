/*
 * sensitivity.h - what an error in one matrix does to the model's predictions.
 *
 * SPDX-License-Identifier: MIT
 *
 * The measure is the mean KL divergence, in nats a token, of the predictions of the model
 * with some rows of one matrix changed from those of the original, over a few windows of
 * the calibration text.  It is exact arithmetic on one text, not a sample of noise: small
 * differences between encodings can be compared.
 */
#ifndef RBE_CONVERT_SENSITIVITY_H
#define RBE_CONVERT_SENSITIVITY_H

#include "convert/calibrate.h"

struct rbe_sensitivity;

/*
 * Loads the plain checkpoint and keeps its predictions on about `tokens` tokens, in windows of
 * at most 256; 0: on up to four windows of at most 512.  At most 256 MiB of predictions, or one
 * window's.  pool may be NULL.
 */
enum rbe_status rbe_sensitivity_open(struct rbe_sensitivity **out, const char *model_path,
                                     const struct rbe_calibration *c, size_t tokens,
                                     struct rbe_pool *pool, struct rbe_diag *d);
void rbe_sensitivity_close(struct rbe_sensitivity **s);

/* Bytes it takes, measuring apart. */
size_t rbe_sensitivity_bytes(const struct rbe_model_config *c, size_t tokens);

/* With change [rows][cols] added to rows row0 .. row0 + rows - 1 of the matrix so named; the
 * original is put back.  Takes as much memory as `change` does. */
enum rbe_status rbe_sensitivity_measure(struct rbe_sensitivity *s, const char *name,
                                        size_t row0, size_t rows, const float *change,
                                        double *kl, struct rbe_diag *d);

/* Probabilities p [vocab] of logits; returns the mean of their logarithms under p, in nats. */
double rbe_prediction(float *p, const float *logits, size_t vocab);

/* KL(p || softmax(logits)) in nats, at least 0; p and log_p as rbe_prediction() gave them. */
double rbe_prediction_divergence(const float *p, double log_p, const float *logits,
                                 size_t vocab);

#endif
