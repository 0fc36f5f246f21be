/*
 * dnnl.h - oneDNN's functions, loaded when products are first asked for (base/library.h).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_DNNL_H
#define RBE_MODEL_DNNL_H

#include <dnnl.h>

#include "base/library.h"

#define RBE_DNNL_CALLS(CALL)                                                                   \
    CALL(sgemm) CALL(version) CALL(set_max_cpu_isa) CALL(engine_create) CALL(engine_destroy)   \
    CALL(stream_create) CALL(stream_destroy) CALL(matmul_desc_init) CALL(memory_create)        \
    CALL(memory_destroy) CALL(memory_set_data_handle) CALL(memory_desc_get_size)               \
    CALL(memory_desc_init_by_strides) CALL(post_ops_create) CALL(post_ops_destroy)             \
    CALL(post_ops_append_sum) CALL(primitive_attr_create) CALL(primitive_attr_destroy)         \
    CALL(primitive_attr_set_post_ops) CALL(primitive_attr_set_scratchpad_mode)                 \
    CALL(primitive_create) CALL(primitive_destroy) CALL(primitive_execute)                     \
    CALL(primitive_desc_create) CALL(primitive_desc_destroy) CALL(primitive_desc_query_md)

#define RBE_LIBRARY_PREFIX(name) dnnl_##name
struct rbe_dnnl {
    RBE_DNNL_CALLS(RBE_LIBRARY_CALL)
};

/* Filled when rbe_dense_fast() is true. */
extern struct rbe_dnnl rbe_dnnl;

#endif
