/*
 * safetensors.h - reading and writing safetensors files, every field checked.
 *
 * SPDX-License-Identifier: MIT
 *
 * Format: u64 header length (little-endian), a JSON object name -> {dtype, shape,
 * data_offsets}, then the data.  Checked at open: header length against the file and a
 * limit, JSON, dtypes, shape products (overflow), offsets (in range, in step with dtype and
 * shape, no overlap, no hole).  Duplicate names are refused.  A dtype that is not listed here
 * is no fault: such a tensor's values cannot be read.
 *
 * Weights may lie in several files, shards, that an index (model.safetensors.index.json) lists:
 * {"weight_map": {TENSOR: SHARD, ...}}.  The index opens as one file with all their tensors.
 * Checked: every shard is there, and index and shards name the same tensors in the same
 * places, each once.  `metadata` of the index is not looked at.
 */
#ifndef RBE_RBE_SAFETENSORS_H
#define RBE_RBE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum rbe_dtype { RBE_DT_F32, RBE_DT_F16, RBE_DT_BF16, RBE_DT_U8, RBE_DT_I8, RBE_DT_I16,
                 RBE_DT_I32, RBE_DT_I64, RBE_DT_F64, RBE_DT_BOOL, RBE_DT_COUNT,
                 RBE_DT_OTHER = RBE_DT_COUNT };

const char *rbe_dtype_name(enum rbe_dtype t);
size_t rbe_dtype_size(enum rbe_dtype t);

enum { RBE_ST_MAX_DIMS = 8 };

struct rbe_tensor {
    const char *name;
    enum rbe_dtype dtype;
    const char *dtype_name;     /* as the file writes it */
    unsigned dims;
    uint64_t shape[RBE_ST_MAX_DIMS];
    uint64_t count;             /* product of shape */
    const void *data;           /* into the mapping; aligned to nothing */
    size_t bytes;
};

struct rbe_safetensors;

/* The weight file that `path` means, a fresh string: the file itself; of a folder its
 * model.safetensors, else the index of its shards.  A folder that holds weights of other kinds
 * only is refused by their name. */
enum rbe_status rbe_safetensors_locate(char **out, const char *path, struct rbe_diag *d);

/* What other kind of file these first bytes tell of ("a git-LFS pointer, ..."), or NULL. */
const char *rbe_foreign_file(const void *bytes, size_t size);

/* path: a safetensors file, or the index of shards (its name ends in ".index.json"). */
enum rbe_status rbe_safetensors_open(struct rbe_safetensors **out, const char *path,
                                     struct rbe_diag *d);
void rbe_safetensors_close(struct rbe_safetensors **s);

size_t rbe_safetensors_count(const struct rbe_safetensors *s);
/* In file order, shards by name. */
const struct rbe_tensor *rbe_safetensors_at(const struct rbe_safetensors *s, size_t i);
/* NULL when absent. */
const struct rbe_tensor *rbe_safetensors_find(const struct rbe_safetensors *s,
                                              const char *name);
/* A string of __metadata__ (of the first shard that has it), or NULL. */
const char *rbe_safetensors_meta(const struct rbe_safetensors *s, const char *key);
/* Files that an index lists; 0: none, the file was opened itself. */
size_t rbe_safetensors_shards(const struct rbe_safetensors *s);
/* Of all files, the index too. */
size_t rbe_safetensors_file_bytes(const struct rbe_safetensors *s);
/* Of the file as it was opened.  Of shards: that of the lines that sha256sum prints for the
 * index and then the shards by name, without their folder.  Fails for want of memory only. */
enum rbe_status rbe_safetensors_sha256(char hex[65], const struct rbe_safetensors *s);
/* Another when a file of it is, or was written to, as far as sizes and times tell. */
uint64_t rbe_safetensors_stamp(const struct rbe_safetensors *s);
const char *rbe_safetensors_path(const struct rbe_safetensors *s);

/* F32, F16, BF16 or F64. */
bool rbe_tensor_is_float(const struct rbe_tensor *t);

/* Copies a float tensor to f32 (F64 is rounded). Fails naming the tensor when its dtype is
 * another, or when a value is NaN or infinite. */
enum rbe_status rbe_tensor_to_f32(const struct rbe_tensor *t, float *out, struct rbe_diag *d);

/* One tensor to write; data stays the caller's. */
struct rbe_tensor_out {
    const char *name;
    enum rbe_dtype dtype;
    unsigned dims;
    uint64_t shape[RBE_ST_MAX_DIMS];
    const void *data;
};
/* Writes a file by rename.  meta is key, value, key, value, ..., NULL.  Tensors' data start at
 * multiples of 64 bytes where the sizes allow (header padded with spaces; larger dtypes first
 * is the caller's business). */
enum rbe_status rbe_safetensors_write(const char *path, const struct rbe_tensor_out *tensors,
                                      size_t count, const char *const *meta,
                                      struct rbe_diag *d);

/* Likewise, where read makes a tensor's data when their turn has come; they stay until the next
 * call, and t->data is what the caller wants there.  Nothing is left where a read fails. */
typedef enum rbe_status rbe_tensor_read_fn(const void **data, const struct rbe_tensor_out *t,
                                           struct rbe_diag *d);
enum rbe_status rbe_safetensors_write_by(const char *path, const struct rbe_tensor_out *tensors,
                                         size_t count, const char *const *meta,
                                         rbe_tensor_read_fn *read, struct rbe_diag *d);

#endif
