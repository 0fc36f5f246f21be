/*
 * synth.h - checkpoints of any shape with generated weights, for timing and memory.
 *
 * SPDX-License-Identifier: MIT
 *
 * Weights have the statistics GPT-2 and Llama are published to start from: normal with standard
 * deviation 0.02, the two projections into the residual stream of each layer divided by
 * sqrt(2 n_layer), position embeddings 0.01, norms 1 and 0, biases 0.  Such a model says
 * nothing about quality; its metadata carry the label "synthetic" into every table.
 */
#ifndef RBE_MODEL_SYNTH_H
#define RBE_MODEL_SYNTH_H

#include "model/config.h"
#include "rbe/safetensors.h"

/* Writes folder/config.json and folder/model.safetensors (names and layout of published
 * checkpoints), matrices as `dtype` (F32, F16 or BF16), the rest F32.  Same seed, same bytes.
 * Needs the file's size in memory. */
enum rbe_status rbe_synth(const char *folder, const struct rbe_model_config *c,
                          enum rbe_dtype dtype, uint64_t seed, struct rbe_diag *d);

/* Whether a checkpoint may be written to the folder: what stands there must have been made by
 * the same command, which its weights' metadata say under `label`.  Nobody has another copy of
 * a trained one, or of its configuration, and other files of weights would be hidden. */
enum rbe_status rbe_checkpoint_replaceable(const char *folder, const char *label,
                                           const char *command, struct rbe_diag *d);

#endif
