/*
 * names.h - models by name: "mini-2.89" instead of the path of its file.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_NAMES_H
#define RBE_MODEL_NAMES_H

#include <stddef.h>

#include "base/status.h"

/* What commands that make text take where no model is named. */
#define RBE_USUAL_MODEL "mini-2.89"

/* A row of model/models.def. */
struct rbe_named_model {
    const char *name;
    const char *file;           /* of what ships, or NULL */
    const char *fetched;        /* its place below the folder of rbe fetch */
    const char *what;
};
extern const struct rbe_named_model rbe_named_models[];     /* the last one has no name */

/* Where that model is: a fresh string; NULL where it is nowhere.  What ships is found as
 * rbe_data_path() does, what was fetched as rbe_fetched_path(). */
char *rbe_named_model_path(const struct rbe_named_model *m);

/*
 * The path of a model that somebody named, a fresh string: what exists as a path is that path;
 * else a name of the list, or of what ships.  A word that is neither, without a slash and
 * without an ending of model files, is RBE_ERR_IO, and says which names there are; any other
 * comes back as it is, for whoever opens it to complain.
 */
enum rbe_status rbe_model_find(char **out, const char *name, struct rbe_diag *d);

#endif
