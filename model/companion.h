/*
 * companion.h - the tokenizer of an RBE model that came from a GGUF file.
 *
 * SPDX-License-Identifier: MIT
 *
 * A container has no place for a tokenizer.  That of a GGUF file goes to MODEL.tokenizer.gguf,
 * metadata without tensors, and the container's `rbe.tokenizer_xxh3` says which one it is:
 * another one that lies there, or none, is an error that names both.
 */
#ifndef RBE_MODEL_COMPANION_H
#define RBE_MODEL_COMPANION_H

#include <stdbool.h>

#include "base/file.h"
#include "rbe/container.h"
#include "rbe/gguf.h"

/* Where the companion of a model lies, fresh; NULL when out of memory. */
char *rbe_tokenizer_beside(const char *model_path);

/* *path: the companion, fresh, or NULL where the model, a container or not, has none.
 * RBE_ERR_MISMATCH: it is that of another model; RBE_ERR_IO: it is not there. */
enum rbe_status rbe_companion_find(char **path, const char *model_path, struct rbe_diag *d);

/* Adds the companion of `model`, which will be written, to the outputs, whether it gets one or
 * not: what lies there may be replaced, or removed, when it is one. */
enum rbe_status rbe_companion_replace(struct rbe_files *f, const char *model, bool gets_one,
                                      struct rbe_diag *d);

/* Whether what is made from the file gets a companion: there is a tokenizer in it. */
bool rbe_companion_is_due(const struct rbe_gguf *from);

/* Says in a container that is being built which companion it has: the tokenizer of `from`, if
 * that (it may be NULL) has one. */
enum rbe_status rbe_companion_add_meta(struct rbe_container_builder *b,
                                       const struct rbe_gguf *from, struct rbe_diag *d);
/* Writes the container, and before it this companion; one of another model is removed. */
enum rbe_status rbe_companion_write(struct rbe_container_builder *b, const char *model,
                                    const struct rbe_gguf *from, struct rbe_diag *d);

/* The companion of a folder with a plain checkpoint, alone: no sum ties it to the model. */
enum rbe_status rbe_companion_write_plain(const char *folder, const struct rbe_gguf *from,
                                          struct rbe_diag *d);

#endif
