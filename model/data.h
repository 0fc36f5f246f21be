/*
 * data.h - where the embedded model, its tokenizer and the text are.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_DATA_H
#define RBE_MODEL_DATA_H

#include <stdbool.h>

#include "base/file.h"
#include "base/status.h"
#include "model/config.h"
#include "model/tokenizer.h"
#include "rbe/gguf.h"

/*
 * Path of a shipped file or folder ("rbe-mini", "wiki.test.raw") in a fresh string, or NULL
 * when it is nowhere.  Looked for in $RBE_DATA; then in datasets/embedded and
 * share/rbe-bench of the program's folder and those above it; then in datasets/embedded of
 * the current folder and those above it.
 */
char *rbe_data_path(const char *name);

/* Adds to what a command reads: the file itself, or what ships under this name where it is
 * NULL. */
enum rbe_status rbe_files_read_data(struct rbe_files *f, const char *path, const char *shipped,
                                    struct rbe_diag *d);
/* Adds every file that may be read with a model: of its folder, or beside its file, those
 * that belong to a checkpoint or a tokenizer. */
enum rbe_status rbe_files_read_model(struct rbe_files *f, const char *path, struct rbe_diag *d);

/*
 * The tokenizer of a model: from `folder`, or a GGUF file, when given; else the GGUF file's
 * own, or that of rbe_tokenizer_beside(), or from the model's folder or the folder that the
 * model file stands in; else the shipped one that fits the model.  One that does not fit the
 * model (rbe_tokenizer_fits()) is RBE_ERR_MISMATCH.
 */
enum rbe_status rbe_find_tokenizer(struct rbe_tokenizer **out, const char *folder,
                                   const char *model_path, const struct rbe_model_config *c,
                                   struct rbe_diag *d);
/* Where that one is read from, a fresh string. */
enum rbe_status rbe_find_tokenizer_place(char **out, const char *folder, const char *model_path,
                                         const struct rbe_model_config *c, struct rbe_diag *d);

/* Does one stand beside the model, right or not? */
bool rbe_has_tokenizer(const char *model_path);

/* Where the tokenizer of a model file lies that came from a GGUF file: MODEL.tokenizer.gguf,
 * metadata without tensors.  Fresh, NULL when out of memory. */
char *rbe_tokenizer_beside(const char *model_path);
/* Writes that file: the tokenizer of `from`, for a container has no place for it; where `from`
 * is NULL or has none nothing is written.  *made: its name, fresh, if no file was there before
 * that it took the place of; else NULL. */
enum rbe_status rbe_tokenizer_write_beside(char **made, const struct rbe_gguf *from,
                                           const char *model_path, struct rbe_diag *d);

#endif
