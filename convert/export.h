/*
 * export.h - a model, RBE or not, becomes files that other programs read.
 *
 * SPDX-License-Identifier: MIT
 *
 * Either a folder as Hugging Face has them (model.safetensors, config.json, tokenizer) or one
 * GGUF file.  The weights are those that the model computes with: decoded, turned back into
 * the basis of the original, in the names and the orientation of model/arch.def.
 */
#ifndef RBE_CONVERT_EXPORT_H
#define RBE_CONVERT_EXPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/progress.h"
#include "model/source.h"

struct rbe_export_options {
    bool gguf;                  /* a file; else a folder */
    bool wide;                  /* F32; else F16, in a GGUF file of matrices alone */
    const char *tokenizer;      /* the place that it is read from, or NULL: none */
    const char *name;           /* of the model, for who lists it */
    struct rbe_progress *progress;      /* or NULL */
};

/* What became of the weights. */
struct rbe_export_counts {
    uint64_t values, f16;       /* in all; of them written as F16 */
    uint64_t rounded;           /* of these, those that F16 does not have */
    uint64_t lost;              /* of these, those below 2^-14, where F16 has fewer digits */
};

/* Whether `out` can be made: a folder must not be there yet. */
enum rbe_status rbe_export_check(const char *out, bool gguf, struct rbe_diag *d);

/*
 * Writes `out`, in one step at the end: where it fails nothing is there that was not before.
 * s: rbe_source_find_all() has found its tensors; checksums of codes are compared.
 * RBE_ERR_NUMERIC names the tensor with a value that is not finite, or too large for F16.
 * Memory: the largest matrix twice as f32.
 */
enum rbe_status rbe_export(struct rbe_export_counts *counts, const struct rbe_source *s,
                           const char *out, const struct rbe_export_options *o,
                           struct rbe_diag *d);

#endif
