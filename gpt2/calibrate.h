/*
 * calibrate.h - what the inputs of each weight matrix look like on a sample of text.
 *
 * SPDX-License-Identifier: MIT
 *
 * Runs the model over windows of a text and gathers, for every weight matrix, the second
 * moment H = mean of x x^T and the mean of its inputs x.  For wte.weight, the tied output
 * layer, x are the final hidden states: the metric of an error of the logits.  Encoders take
 * H as the cost of an error (rbe/encode.h).
 */
#ifndef RBE_GPT2_CALIBRATE_H
#define RBE_GPT2_CALIBRATE_H

#include "gpt2/model.h"
#include "rbe/progress.h"

struct rbe_calibration;

enum { RBE_CALIBRATION_TOKENS = 131072 };        /* by default */

/*
 * Over the first `count` tokens at most, in whole windows of the model's context; fewer than
 * 8 windows are RBE_ERR_ARG.  Interruptible (rbe_interrupted()).  progress may be NULL; it is
 * started and ended here.
 */
enum rbe_status rbe_calibrate(struct rbe_calibration **out, struct rbe_gpt2 *m,
                              const uint32_t *tokens, size_t count, struct rbe_pool *pool,
                              struct rbe_progress *progress, struct rbe_diag *d);

/*
 * The same from files: the checkpoint at model_path, and a text (UTF-8; NULL: the shipped
 * calibration.txt), tokenized with the model's tokenizer.  tokens 0: the default number.
 */
enum rbe_status rbe_calibrate_file(struct rbe_calibration **out, const char *model_path,
                                   const char *text_path, size_t tokens, struct rbe_pool *pool,
                                   struct rbe_progress *progress, struct rbe_diag *d);
void rbe_calibration_close(struct rbe_calibration **c);

/* Tokens that went in, and their number. */
const uint32_t *rbe_calibration_text(const struct rbe_calibration *c);
size_t rbe_calibration_tokens(const struct rbe_calibration *c);
/* sha256 of the text file, or "" when made from tokens: for keys of finished work. */
const char *rbe_calibration_sha256(const struct rbe_calibration *c);

/* H [cols][cols] and mean [cols] of the inputs of the weight so named; NULL when unknown. */
const float *rbe_calibration_moment(const struct rbe_calibration *c, const char *name);
const float *rbe_calibration_mean(const struct rbe_calibration *c, const char *name);

/* How often each token occurred [vocab]. */
const uint32_t *rbe_calibration_counts(const struct rbe_calibration *c);

#endif
