/*
 * fuzz_index.c - any bytes as an index of shards and two shards, in the form of
 * rbe_fuzz_put_files().
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "rbe/safetensors.h"

bool rbe_fuzz_index(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"model.safetensors.index.json", "a.safetensors",
                                        "b.safetensors", NULL};
    struct rbe_safetensors *s;
    struct rbe_diag d = {""};
    char *path, hex[65];
    size_t bytes = 0;

    rbe_fuzz_put_files(names, data, size);
    if (!rbe_fuzz_said(rbe_safetensors_locate(&path, rbe_fuzz_folder(), &d), &d))
        return false;
    const enum rbe_status err = rbe_safetensors_open(&s, path, &d);
    free(path);
    if (!rbe_fuzz_said(err, &d))
        return false;
    FUZZ_NEED(rbe_safetensors_count(s) && rbe_safetensors_shards(s));
    rbe_safetensors_meta(s, "format");
    FUZZ_NEED(!rbe_safetensors_sha256(hex, s) && strlen(hex) == 64);
    for (size_t i = 0; i < rbe_safetensors_count(s); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(s, i);
        FUZZ_NEED(rbe_safetensors_find(s, t->name) == t);
        bytes += t->bytes;
    }
    FUZZ_NEED(bytes < rbe_safetensors_file_bytes(s) && rbe_safetensors_file_bytes(s) <= size);
    rbe_safetensors_close(&s);
    return true;
}
