/*
 * convert_private.h - what the files of a conversion share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CONVERT_CONVERT_PRIVATE_H
#define RBE_CONVERT_CONVERT_PRIVATE_H

#include "convert/convert.h"

static inline enum rbe_status no_memory(struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

/* Whether the embedding's means go to the positions, or to a vector of their own. */
bool rbe_convert_is_centered(const struct rbe_convert *c);
/* Whether this is where they go. */
bool rbe_convert_takes_means(const struct rbe_convert *c, const struct rbe_convert_entry *r);

/* Whether a matrix is encoded with error feedback where there is a calibration. */
bool rbe_convert_uses_feedback(const struct rbe_convert_entry *r);

/* What a calibration tells of a matrix, or range of a weight's rows; NULL: nothing.  The moment
 * is the caller's to free(). */
bool rbe_convert_knows(const struct rbe_convert *c, const struct rbe_convert_entry *r);
enum rbe_status rbe_convert_moment(float **out, const struct rbe_convert *c,
                                   const struct rbe_convert_entry *r, struct rbe_diag *d);
const float *rbe_convert_importance(const struct rbe_convert *c,
                                    const struct rbe_convert_entry *r);
enum rbe_status rbe_convert_row_metric(float **out, const struct rbe_convert *c,
                                       const struct rbe_convert_entry *r, struct rbe_diag *d);

/* Options of a matrix that stand for its encoding with what a calibration by `metric` tells,
 * if it does: what is pointed to is not looked at. */
struct rbe_encode_options rbe_convert_told(const struct rbe_convert_entry *r, bool told,
                                           enum rbe_metric metric);

/* Whether a matrix, encoded with such options, is one of several at a time. */
bool rbe_convert_is_narrow(const struct rbe_convert *c, const struct rbe_convert_entry *r,
                           const struct rbe_encode_options *o, unsigned threads);

/* The rank of a matrix's projection where they become of low rank. */
uint32_t rbe_convert_rank(const struct rbe_convert *c, const struct rbe_convert_entry *r);

/* Whether the targets of this matrix compensate for what is encoded before. */
bool rbe_convert_is_compensated(const struct rbe_convert *c, const struct rbe_convert_entry *r);

/* The row of a role that the model has once, or NULL. */
const struct rbe_convert_entry *rbe_convert_entry_of(const struct rbe_convert *c,
                                                     enum rbe_role role);

/* Adds, in their order, the metadata of the file, and the tensors of one that this process has
 * written or encoded: `plain` keeps what they point to, [c->count]. */
enum rbe_status rbe_convert_add_contents(struct rbe_container_builder *b,
                                         const struct rbe_convert *c, void **plain,
                                         struct rbe_diag *d);
/* Tensor i as the file has it [rows][cols], fresh; an encoded one must be finished. */
enum rbe_status rbe_convert_stored(float **out, const struct rbe_convert *c, size_t i,
                                   struct rbe_diag *d);
/* Frees `plain` and what it keeps; NULL is harmless. */
void rbe_convert_free_plain(void **plain, const struct rbe_convert *c);

/* --- shards (convert/shard.c) ------------------------------------------------------------- */

/* Says which rows are another shard's: all shards of a plan say the same. */
enum rbe_status rbe_shard_deal(struct rbe_convert *c, struct rbe_diag *d);

/* --- finished matrices, in c->folder (convert/partial.c) ---------------------------------- */

/* Of all that a finished matrix depends on: name, bytes (o is what encodes x), and by `moment`
 * the error that is reported. */
enum rbe_status rbe_partial_key(char hex[65], const struct rbe_convert_entry *r, const float *x,
                                const struct rbe_encode_options *o, const float *moment);
/* Where it is kept, fresh; NULL when out of memory. */
char *rbe_partial_path(const struct rbe_convert *c, const struct rbe_convert_entry *r);
enum rbe_status rbe_partial_save(const struct rbe_convert_entry *r, const struct rbe_weight *w,
                                 const char *key, const char *path, struct rbe_diag *d);
/* Opens a finished matrix and fills what r says of it; false when there is none, it is not what
 * this run needs, or it is damaged: the container's checksums hold codes and metadata. */
bool rbe_partial_load(struct rbe_convert_entry *r, const char *key, const char *path,
                      struct rbe_container **out);
/* Removes the folder with all that this program wrote there. */
void rbe_partial_remove(const struct rbe_convert *c);

#endif
