/*
 * dnnl.h - oneDNN's functions, loaded when products are first asked for (base/library.h).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_DNNL_H
#define RBE_MODEL_DNNL_H

#include <dnnl.h>

#include "base/library.h"

#define RBE_DNNL_CALLS(CALL) CALL(sgemm) CALL(version) CALL(set_max_cpu_isa)

#define RBE_LIBRARY_PREFIX(name) dnnl_##name
struct rbe_dnnl {
    RBE_DNNL_CALLS(RBE_LIBRARY_CALL)
};

/* Filled when rbe_dense_fast() is true. */
extern struct rbe_dnnl rbe_dnnl;

#endif
