/*
 * fuzz_encoding.c - any bytes to tokens of rbe-mini and back.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "model/tokenizer.h"

bool rbe_fuzz_encoding(const uint8_t *data, size_t size)
{
    const struct rbe_tokenizer *t = rbe_fuzz_vocabulary();
    const char *text = (const char *)data;
    bool taken = false;

    for (int special = 0; special < 2; special++) {
        struct rbe_diag d = {""};
        uint32_t *ids;
        size_t count, back_size;
        if (!rbe_fuzz_said(rbe_tokenizer_encode(t, text, size, special, &ids, &count, &d),
                           &d))
            continue;
        char *back = rbe_tokenizer_text(t, ids, count, &back_size);
        FUZZ_NEED(back && back_size == size && !memcmp(back, text, size));
        free(back);
        free(ids);
        taken = true;
    }
    return taken;
}
