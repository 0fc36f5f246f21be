/*
 * gguf.h - reading GGUF files of versions 2 and 3, every field checked, and writing them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Format: "GGUF", u32 version, u64 number of tensors, u64 number of metadata; the metadata,
 * each a key, a u32 type and a value; of each tensor name, number of dimensions, dimensions
 * (the first is the length of a row), u32 type and offset; then, from the next multiple of the
 * alignment on (general.alignment, else 32), the tensors, each at such a multiple.  Texts are a
 * u64 length and bytes, arrays a u32 type, a u64 count and the elements.  All little-endian.
 *
 * Checked at open: counts, lengths and offsets against the file; types; keys and names
 * (printable UTF-8, each once); dimensions (their product, rows of whole blocks); that tensors
 * follow each other with no overlap and no hole beyond the padding.  Refused by name: tensor
 * types that are not read (rbe/gguf_types.def), version 1, big-endian files, parts of a split
 * model.
 */
#ifndef RBE_RBE_GGUF_H
#define RBE_RBE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* How tensors are stored; the numbers are the format's. */
enum rbe_gguf_type {
#define RBE_GGUF_TYPE(NAME, name, id, weights, bytes) RBE_GT_##NAME = id,
#define RBE_GGUF_OTHER(NAME, id)
#include "rbe/gguf_types.def"
#undef RBE_GGUF_TYPE
#undef RBE_GGUF_OTHER
};

/* "Q4_K", ...; NULL: nobody has heard of it. */
const char *rbe_gguf_type_name(uint32_t type);
/* Bytes of a row of so many weights; 0: a type that is not read, or not whole blocks. */
uint64_t rbe_gguf_row_bytes(uint32_t type, uint64_t cols);

enum { RBE_GGUF_MAX_DIMS = 4, RBE_GGUF_MAX_NAME = 64, RBE_GGUF_MAX_KEY = 65535 };

struct rbe_gguf_tensor {
    const char *name;
    enum rbe_gguf_type type;
    unsigned dims;
    uint64_t ne[RBE_GGUF_MAX_DIMS];     /* as the file has them; 1 beyond dims */
    uint64_t rows, cols;        /* cols is ne[0], rows the product of the others */
    uint64_t offset;            /* in the file */
    const void *data;           /* into the mapping; aligned to nothing */
    size_t bytes;
};

/* What metadata can be; the numbers are the format's. */
enum rbe_gguf_kind { RBE_GV_U8, RBE_GV_I8, RBE_GV_U16, RBE_GV_I16, RBE_GV_U32, RBE_GV_I32,
                     RBE_GV_F32, RBE_GV_BOOL, RBE_GV_STRING, RBE_GV_ARRAY, RBE_GV_U64,
                     RBE_GV_I64, RBE_GV_F64, RBE_GV_COUNT };

/* "u8", ... */
const char *rbe_gguf_kind_name(enum rbe_gguf_kind kind);

struct rbe_gguf_value {
    const char *key;            /* NULL: an element of an array */
    enum rbe_gguf_kind kind, element;   /* element: of an array */
    uint64_t count;             /* of an array */
    const uint8_t *data;        /* of a string its bytes, of an array the first element */
    size_t bytes;
};

/* Bytes of a text, which may be any and have no NUL at the end. */
struct rbe_gguf_text {
    const char *s;
    size_t n;
};

struct rbe_gguf;

/* Whether it is a regular file that starts as a GGUF file does, or is called *.gguf. */
bool rbe_gguf_is(const char *path);

enum rbe_status rbe_gguf_open(struct rbe_gguf **out, const char *path, struct rbe_diag *d);
/*
 * Of the first `size` bytes of a file of file_bytes, which hold all but the tensors; they must
 * stay there.  The same checks; the tensors' `data` are NULL.
 */
enum rbe_status rbe_gguf_open_header(struct rbe_gguf **out, const void *bytes, size_t size,
                                     uint64_t file_bytes, const char *name,
                                     struct rbe_diag *d);
void rbe_gguf_close(struct rbe_gguf **g);

const char *rbe_gguf_path(const struct rbe_gguf *g);
unsigned rbe_gguf_version(const struct rbe_gguf *g);
uint32_t rbe_gguf_alignment(const struct rbe_gguf *g);
size_t rbe_gguf_file_bytes(const struct rbe_gguf *g);
/* Another when the file is, or was written to (struct rbe_map). */
uint64_t rbe_gguf_stamp(const struct rbe_gguf *g);
/* Of the file.  Fails for want of memory only. */
enum rbe_status rbe_gguf_sha256(char hex[65], const struct rbe_gguf *g);

/* --- tensors ------------------------------------------------------------------------------ */

size_t rbe_gguf_count(const struct rbe_gguf *g);
/* In the order of the header. */
const struct rbe_gguf_tensor *rbe_gguf_at(const struct rbe_gguf *g, size_t i);
/* NULL when absent. */
const struct rbe_gguf_tensor *rbe_gguf_find(const struct rbe_gguf *g, const char *name);

/*
 * Rows row0 .. row0 + rows of t as f32, out[rows][cols]; rows that t does not have are
 * RBE_ERR_ARG.  Every value is the exact one of the block format, rounded once.  Fails naming
 * the tensor when one is NaN or infinite.
 */
enum rbe_status rbe_gguf_decode(float *out, const struct rbe_gguf_tensor *t, uint64_t row0,
                                uint64_t rows, struct rbe_diag *d);

/* --- metadata ----------------------------------------------------------------------------- */

size_t rbe_gguf_value_count(const struct rbe_gguf *g);
/* In the order of the file. */
const struct rbe_gguf_value *rbe_gguf_value_at(const struct rbe_gguf *g, size_t i);
/* NULL when absent. */
const struct rbe_gguf_value *rbe_gguf_value(const struct rbe_gguf *g, const char *key);

/* Steps through an array: *item, at first {0}, becomes the element behind it; the caller counts
 * to array->count. */
void rbe_gguf_next(struct rbe_gguf_value *item, const struct rbe_gguf_value *array);

/* A number, whichever way it is stored; false when it is none or does not fit.  Whole numbers
 * and floats are real numbers; floats are no whole numbers. */
bool rbe_gguf_as_u64(uint64_t *out, const struct rbe_gguf_value *v);
bool rbe_gguf_as_i64(int64_t *out, const struct rbe_gguf_value *v);
bool rbe_gguf_as_real(double *out, const struct rbe_gguf_value *v);

/*
 * What stands under a key.  RBE_ERR_FORMAT with file and key in the reason: it is missing, of
 * another kind, or does not fit.  Where a key may be missing, ask
 * rbe_gguf_value() first.
 */
enum rbe_status rbe_gguf_u32(uint32_t *out, const struct rbe_gguf *g, const char *key,
                             struct rbe_diag *d);
enum rbe_status rbe_gguf_bool(bool *out, const struct rbe_gguf *g, const char *key,
                              struct rbe_diag *d);
/* A fresh string that the caller frees; one with a NUL in it is refused. */
enum rbe_status rbe_gguf_string(char **out, const struct rbe_gguf *g, const char *key,
                                struct rbe_diag *d);
/* Arrays, of numbers of any kind that fits: *out is fresh (never NULL when it succeeds) and the
 * caller frees it; texts point into the file. */
enum rbe_status rbe_gguf_strings(struct rbe_gguf_text **out, size_t *count,
                                 const struct rbe_gguf *g, const char *key,
                                 struct rbe_diag *d);
enum rbe_status rbe_gguf_i32s(int32_t **out, size_t *count, const struct rbe_gguf *g,
                              const char *key, struct rbe_diag *d);

/* --- writing ------------------------------------------------------------------------------ */

struct rbe_gguf_out;

/* A tensor to write, as F32 or F16. */
struct rbe_gguf_tensor_out {
    const char *name;
    enum rbe_gguf_type type;
    unsigned dims;
    uint64_t ne[RBE_GGUF_MAX_DIMS];     /* the first is the length of a row */
    /* Rows row0 .. row0 + rows into out[rows][ne[0]], asked for in order; NULL: user is a
     * const float *, [rows][ne[0]]. */
    enum rbe_status (*read)(float *out, const struct rbe_gguf_tensor_out *t, uint64_t row0,
                            uint64_t rows, struct rbe_diag *d);
    const void *user;
};

/*
 * Building a file: metadata and tensors in any order, then rbe_gguf_write().  Names and values
 * are copied, `user` of a tensor is not looked at before.  What is wrong with them, and a want
 * of memory, is said by rbe_gguf_write().
 */
enum rbe_status rbe_gguf_begin(struct rbe_gguf_out **out, struct rbe_diag *d);
void rbe_gguf_add_u32(struct rbe_gguf_out *o, const char *key, uint32_t x);
void rbe_gguf_add_f32(struct rbe_gguf_out *o, const char *key, float x);
void rbe_gguf_add_bool(struct rbe_gguf_out *o, const char *key, bool x);
void rbe_gguf_add_string(struct rbe_gguf_out *o, const char *key, const char *s);
void rbe_gguf_add_strings(struct rbe_gguf_out *o, const char *key,
                          const struct rbe_gguf_text *s, size_t count);
void rbe_gguf_add_i32s(struct rbe_gguf_out *o, const char *key, const int32_t *x,
                       size_t count);
/* As it stands in another file, of any kind. */
void rbe_gguf_add_value(struct rbe_gguf_out *o, const struct rbe_gguf_value *v);
void rbe_gguf_add_tensor(struct rbe_gguf_out *o, const struct rbe_gguf_tensor_out *t);
/*
 * Writes version 3 by rename.  RBE_ERR_ARG, before anything is written: a type that is not
 * written, or what rbe_gguf_open() would refuse.  RBE_ERR_NUMERIC: a value is not finite, or
 * too large for F16.  Memory: the header and a few rows.
 */
enum rbe_status rbe_gguf_write(struct rbe_gguf_out *o, const char *path, struct rbe_diag *d);
void rbe_gguf_end(struct rbe_gguf_out **o);

#endif
