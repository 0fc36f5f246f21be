/*
 * parts.h - the matrices of a case and the vectors they are multiplied with.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_PARTS_H
#define RBE_BENCH_PARTS_H

#include "bench/case.h"

enum { RBE_PARTS_MAX = 5 };

/* One matrix shape, `times` of them in a row. */
struct rbe_part {
    struct rbe_matrix w;
    struct rbe_matrix_size size;
    unsigned times;
    struct rbe_act act;
    void *act_memory;
    float *x; /* [count][cols] */
    int32_t *sums; /* of w's rows where the kernel needs them: times do not depend on them, and
                    * only verification has them right */
};

/* A case that begins with these; `format` and `count`, the vectors, are set before parts are
 * added. */
struct rbe_parts_case {
    struct rbe_case c;
    const struct rbe_kernel *kernel; /* NULL: nothing is multiplied */
    enum rbe_format format;
    size_t count;
    unsigned parts_count;
    struct rbe_part parts[RBE_PARTS_MAX];
    struct rbe_cursor cursor;
};

struct rbe_parts_shape {
    uint32_t rows, cols, block, aux;
    unsigned times;
};

/* Adds shapes and what they amount to; memory comes with rbe_parts_make().  RBE_ERR_ARG: the
 * format has no such matrix. */
enum rbe_status rbe_parts_add(struct rbe_parts_case *p, const struct rbe_parts_shape *shapes,
                              size_t n, struct rbe_diag *d);

/* Of a rbe_case_kind. */
enum rbe_status rbe_parts_make(struct rbe_case *c, struct rbe_diag *d);
void rbe_parts_close(struct rbe_case *c);

#endif
