/*
 * export_private.h - what the files of an export share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CONVERT_EXPORT_PRIVATE_H
#define RBE_CONVERT_EXPORT_PRIVATE_H

#include "base/status.h"
#include "model/config.h"
#include "rbe/gguf.h"

/* The tokenizer that stands at `place`, into a folder as files. */
enum rbe_status rbe_export_tokenizer_files(const char *folder, const char *place,
                                           struct rbe_diag *d);
/* And as metadata of a GGUF file, for a model of c->vocab rows. */
enum rbe_status rbe_export_tokenizer_gguf(struct rbe_gguf_out *o, const char *place,
                                          const struct rbe_model_config *c,
                                          struct rbe_diag *d);

#endif
