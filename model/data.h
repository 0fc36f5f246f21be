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
/* The same of what rbe fetch brought into its usual folder, by its name in datasets/MANIFEST:
 * in data/ of the program's folder and of those above it, then of the current folder and of
 * those above it. */
char *rbe_fetched_path(const char *name);

/* Adds to what a command reads: the file itself, or what ships under this name where it is
 * NULL. */
enum rbe_status rbe_files_read_data(struct rbe_files *f, const char *path, const char *shipped,
                                    struct rbe_diag *d);
/* Adds every file that may be read with a model: of its folder, or beside its file, those
 * that belong to a checkpoint or a tokenizer. */
enum rbe_status rbe_files_read_model(struct rbe_files *f, const char *path, struct rbe_diag *d);
/* Whether a file of this name in a folder is read as a part of a model. */
bool rbe_is_model_file(const char *name);
/* `out`, a file or folder to make, must not become a part of a model that stands in its folder:
 * for who names it to `f` as an output next. */
enum rbe_status rbe_files_guard_model(struct rbe_files *f, const char *out, struct rbe_diag *d);

/*
 * The tokenizer of a model: from `folder`, or a GGUF file, when given; else the GGUF file's
 * own, or a container's companion (model/companion.h), or from the model's folder or the folder
 * that the model file stands in; else the shipped one that fits the model.  One that does not
 * fit the model (rbe_tokenizer_fits()) is RBE_ERR_MISMATCH.
 */
enum rbe_status rbe_find_tokenizer(struct rbe_tokenizer **out, const char *folder,
                                   const char *model_path, const struct rbe_model_config *c,
                                   struct rbe_diag *d);
/* Where that one is read from, a fresh string. */
enum rbe_status rbe_find_tokenizer_place(char **out, const char *folder, const char *model_path,
                                         const struct rbe_model_config *c, struct rbe_diag *d);

/* Does one stand beside the model, right or not? */
bool rbe_has_tokenizer(const char *model_path);

#endif
