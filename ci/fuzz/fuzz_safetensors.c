/*
 * fuzz_safetensors.c - any bytes as a safetensors file.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "rbe/safetensors.h"

bool rbe_fuzz_safetensors(const uint8_t *data, size_t size)
{
    struct rbe_safetensors *s;
    struct rbe_diag d = {""};

    const char *path = rbe_fuzz_put("input", data, size);
    if (!rbe_fuzz_said(rbe_safetensors_open(&s, path, &d), &d))
        return false;
    FUZZ_NEED(rbe_safetensors_file_bytes(s) == size);
    rbe_safetensors_meta(s, "format");
    for (size_t i = 0; i < rbe_safetensors_count(s); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(s, i);
        FUZZ_NEED(rbe_safetensors_find(s, t->name) == t);
        FUZZ_NEED(t->dtype == RBE_DT_OTHER ||
                  t->count * rbe_dtype_size(t->dtype) == t->bytes);
        FUZZ_NEED(t->bytes <= size);
        if (t->dtype == RBE_DT_OTHER)
            continue;
        float *x = malloc(t->count * sizeof *x + 1);
        rbe_fuzz_said(rbe_tensor_to_f32(t, x, &d), &d);
        free(x);
    }
    rbe_safetensors_close(&s);
    return true;
}
