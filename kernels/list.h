/*
 * list.h - kernels.def as declarations, so that a wrong signature or an unlisted name does not
 * compile, and the forms in which files define what is listed.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_LIST_H
#define RBE_KERNELS_LIST_H

#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/isa.h"
#include "kernels/kernel.h"
#include "kernels/transform.h"
#include "kernels/trellis.h"
#include "kernels/vector.h"

#define RBE_KERNEL(op, format, isa)                                                            \
    RBE_ON(isa, rbe_product_fn rbe_##op##_##format##_##isa;)
#define RBE_VERSION(table, isa)                                                                \
    RBE_ON(isa, extern const struct rbe_##table rbe_##table##_##isa;)
#include "kernels/kernels.def"

/* A kernel that is a function of its file or body. */
#define RBE_PRODUCT(op, format, isa, function)                                                 \
    RBE_BUILT(isa);                                                                            \
    void rbe_##op##_##format##_##isa(const struct rbe_matrix *w, const struct rbe_act *a,      \
                                     float *y, size_t ldy, size_t row0, size_t row1)           \
    {                                                                                          \
        function(w, a, y, ldy, row0, row1);                                                    \
    }

/* A version of a table, whose functions the file or body names as FUNCTIONS, in order. */
#define RBE_TABLE(table, isa)                                                                  \
    RBE_BUILT(isa);                                                                            \
    const struct rbe_##table rbe_##table##_##isa = {#isa, RBE_BITS(isa), FUNCTIONS};

#endif
