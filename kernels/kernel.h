/*
 * kernel.h - the registry of interchangeable fused-decode kernels.
 *
 * SPDX-License-Identifier: MIT
 *
 * A kernel multiplies an encoded matrix by activations, decoding the weights as it goes and
 * never writing the decoded matrix to memory.  kernels.def is the only list of kernels; it
 * drives dispatch, tests and benches.  Formats: kernels/formats.def, kernels/format/.
 */
#ifndef RBE_KERNELS_KERNEL_H
#define RBE_KERNELS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/formats.h"

/*
 * An encoded matrix W [rows = M outputs][cols = N inputs]: views into memory somebody else
 * owns, usually a mapped model file.  Which fields a format uses, and how `codes` is laid
 * out, stands in kernels/format/<format>.h.
 */
struct rbe_matrix {
    enum rbe_format format;
    uint32_t rows, cols;
    uint32_t block;             /* B: rows of a strip (seed), side of a block (hybrid, ...) */
    uint32_t aux;               /* rbe_aux_k(): K of hybrid; else 0 */
    const void *codes;
    size_t code_bytes;
    const uint16_t *scale;      /* f16: [rows] (seed), [rows][groups] (int8, int4) */
    const uint16_t *col_scale;  /* f16 [cols], or NULL for all ones (seed, seed4) */
    const int32_t *row_sum;     /* [rows], of rbe_row_sums(); NULL: no kernel with `sums` */
};

/* Kernels may read activations up to the next multiple of this many columns: zeros. */
enum { RBE_ACT_PAD = 128 };

/* Largest |q| of quantised activations: q = 256 high + low with two signed bytes; of 8 bits. */
enum { RBE_ACT_MAX = 127 * 256 + 127, RBE_ACT8_MAX = 127 };

/*
 * Activations made ready for a matrix by rbe_act_prepare(): `count` vectors of `cols`.
 * Integer formats read q and scale, float formats read x.
 */
struct rbe_act {
    size_t count;               /* vectors: 1 for decode, T for prefill */
    size_t cols;
    size_t stride;              /* elements between vectors in x and q; >= cols, a multiple
                                 * of RBE_ACT_PAD */
    float *x;                   /* [count][stride], zero from cols to its RBE_ACT_PAD */
    int16_t *q;                 /* [count][stride], the same */
    uint16_t *pair;             /* [count][stride], with 8 bits: the byte q + 128, twice */
    float *scale;               /* [count]: x[n] is about q[n] * scale */
    unsigned bits;              /* of q: 8, else 16; the caller's choice before
                                 * rbe_act_prepare() */
};

/* Bytes rbe_act_init() needs for `count` vectors of up to `max_cols`. */
size_t rbe_act_bytes(size_t count, size_t max_cols);

/* Lays an act of 16 bits out in `mem` (64-byte aligned, rbe_act_bytes() long).  Does not own
 * it. */
void rbe_act_init(struct rbe_act *a, void *mem, size_t count, size_t max_cols);

/*
 * Fills `a` from x [count][ldx] for products with w: copies, folds the column scales in and,
 * for integer formats, quantises to a->bits with the largest scale that keeps every int32
 * sum exact: |g| * sum|q| < 2^31 over the columns a sum spans.  Same result on every ISA,
 * bit for bit.
 */
void rbe_act_prepare(struct rbe_act *a, const struct rbe_matrix *w, const float *x,
                     size_t ldx, size_t count);

/*
 * Bits that models quantise activations to for a format: formats.def's, but for what was chosen
 * for all (8, 16; 0: nothing).  0 for formats of floats.
 */
unsigned rbe_format_act_bits(enum rbe_format f);

/* "int8:16 int4:16 seed:8 seed4:8", of all formats of integers, into buf; returns buf. */
char *rbe_act_bits_string(char *buf, size_t size);

void rbe_act_choose_bits(unsigned bits);

/* rbe_act_choose_bits() by $RBE_ACTIVATIONS, if it is set.  Returns NULL, or what it is when it
 * is neither "8" nor "16". */
const char *rbe_act_bits_init(void);

/*
 * y[t * ldy + r] = sum over c of W[r][c] * a.x[t][c] for row0 <= r < row1, t < a.count.
 *
 * row0 is a multiple of rbe_row_step(w); row1 too, or equal to w->rows.  GEMV kernels take
 * count == 1 only.  A kernel never allocates, never fails, writes only the named rows, and
 * reads not one byte past the codes, scales and padded activations.
 */
typedef void rbe_product_fn(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                            size_t ldy, size_t row0, size_t row1);

enum rbe_op { RBE_GEMV, RBE_GEMM, RBE_FEW, RBE_OP_COUNT };

/* Vectors of a FEW product, at most; each gets the bits of its GEMV. */
enum { RBE_FEW_MAX = 8 };

/* "gemv", ...: kernels.def's word, without the bits. */
const char *rbe_op_name(enum rbe_op op);

struct rbe_kernel {
    const char *name;           /* gemv_seed_avx512: unique, stable, the key in every report */
    enum rbe_op op;
    enum rbe_format format;
    uint32_t isa;               /* RBE_ISA_* bits, all of which it needs (kernels/cpu.h) */
    rbe_product_fn *run;
    const char *word;           /* kernels.def's for the ISA: avx512 */
    unsigned bits;              /* 8: takes activations of 8 bits only; 16: any */
    bool sums;                  /* needs the matrix' row_sum */
};

/* Every kernel compiled in, in the order of kernels.def; NULL past the end. */
const struct rbe_kernel *rbe_kernel_at(size_t i);

/* The kernel so named, or NULL.  Does not ask whether this CPU can run it. */
const struct rbe_kernel *rbe_kernel_by_name(const char *name);

/* The last listed kernel of this op and format that `isa` can run, for activations of any bits;
 * NULL if there is none.  Of a format that weighs them, funnel-shift kernels are passed over
 * where they measure slower (funnel.h). */
const struct rbe_kernel *rbe_kernel_best(enum rbe_op op, enum rbe_format f, uint32_t isa);

/* The same for activations of these bits; with sums, for matrices that have their row_sum. */
const struct rbe_kernel *rbe_kernel_best_for(enum rbe_op op, enum rbe_format f, uint32_t isa,
                                             unsigned bits, bool sums);

/* Vectors that it takes at once, at most. */
static inline size_t rbe_kernel_vectors(const struct rbe_kernel *k)
{
    return k->op == RBE_GEMM ? SIZE_MAX : k->op == RBE_FEW ? RBE_FEW_MAX : 1;
}

static inline bool rbe_kernel_runs_on(const struct rbe_kernel *k, uint32_t isa)
{
    return (k->isa & ~isa) == 0;
}

/* Rows a product may be split at: B for strips and blocks, 1 for plain formats. */
size_t rbe_row_step(const struct rbe_matrix *w);

/*
 * Bytes of codes, scales and column scales a well-formed matrix of this shape has, for
 * formats whose size follows from it; 0 when the shape is impossible for the format
 * (kernels/format/).  The container checks files with it, benches allocate by it.
 */
struct rbe_matrix_size {
    size_t codes, scale, col_scale;
};
struct rbe_matrix_size rbe_matrix_size(enum rbe_format f, uint32_t rows, uint32_t cols,
                                       uint32_t block, uint32_t aux);

/*
 * sums[r] = the sum of row r's integer weights, in all columns that are stored, for the row_sum
 * of w.  False where memory is short, a sum may be too large, or the format has no strips: then
 * there are none.
 */
bool rbe_row_sums(const struct rbe_matrix *w, int32_t *sums);

/* Decodes row r into out [cols], column scales applied: the slow, obvious reference, also
 * used to look tokens up. */
void rbe_decode_row(const struct rbe_matrix *w, size_t r, float *out);

#endif
