/*
 * compensate.h - targets that compensate for what is already encoded.
 *
 * SPDX-License-Identifier: MIT
 *
 * Matrices of layers are encoded in the order in which the model runs them.  When the turn of W
 * comes its inputs are x', no longer the original's x; its outputs W x are wanted all the same,
 * and where they are added to the residual stream, that has lost r - r' by then.  So instead of
 * W that matrix is encoded which has, over a text, the least mean of
 *
 *     |W' x' - W x' - S W (x - x') - RBE_COMPENSATE_STREAM (r - r')|^2,
 *
 * W' = W + (S W E[(x - x') x'^T] + RBE_COMPENSATE_STREAM E[(r - r') x'^T]) E[x' x'^T]^-1, the
 * moment damped as that of feedback.h.  S is the profile's compensate-share: all of it suits
 * the text at hand best, and other text less.  Where W is added to the stream, a token counts
 * by the inverse of |r'|^2, because what follows normalises.  Targets for the inputs of encoded
 * layers: Li et al. 2025, "GPTAQ", and Arai and Ichikawa 2025, "Quantization error
 * propagation".  The share of the stream's error was found by measurement
 * (docs/log/ENCODER.md).
 */
#ifndef RBE_CONVERT_COMPENSATE_H
#define RBE_CONVERT_COMPENSATE_H

#include "convert/convert.h"

#define RBE_COMPENSATE_STREAM 0.3F

struct rbe_compensation;

/* The first `tokens` of c's calibration at most, in whole windows; of a matrix with more than
 * an eighth as many inputs the targets are the original.  c must outlive it. */
enum rbe_status rbe_compensation_open(struct rbe_compensation **out,
                                      const struct rbe_convert *c, size_t tokens,
                                      struct rbe_diag *d);
/* Bytes it takes at its height. */
size_t rbe_compensation_bytes(const struct rbe_model_config *c, size_t tokens, bool bf16,
                              unsigned threads);
void rbe_compensation_close(struct rbe_compensation **k);

/*
 * Makes the targets of the weight that r is of, a matrix of a layer, unless they are there.
 * All that the model runs before it must be finished, and nothing of it.  Weights come in the
 * order in which the model runs them, some may be left out.  RBE_ERR_INTERRUPTED:
 * rbe_interrupted().
 */
enum rbe_status rbe_compensation_prepare(struct rbe_compensation *k,
                                         const struct rbe_convert_entry *r, struct rbe_diag *d);
/* The targets of r [rows][cols], until the next are made; rows of zeros stay zeros. */
const float *rbe_compensation_targets(const struct rbe_compensation *k,
                                      const struct rbe_convert_entry *r);

#endif
