/*
 * fuzz_tokenizer.c - any bytes as the files of a tokenizer, in the form of
 * rbe_fuzz_put_files().
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "model/tokenizer.h"
#include "model/tokenizer_files.h"

static bool encode(const struct rbe_tokenizer *t)
{
    static const char text[] = "the heat of the there 's 12 <|endoftext|>\n\n \xC3\xA9 \xF0\x9F"
                               "\x98\x80";
    struct rbe_diag d = {""};
    uint32_t *ids;
    size_t count, size;

    if (!rbe_fuzz_said(rbe_tokenizer_encode(t, text, sizeof text - 1, true, &ids, &count, &d),
                       &d))
        return false;
    for (size_t i = 0; i < count; i++)
        FUZZ_NEED(ids[i] < rbe_tokenizer_vocab(t));
    char *back = rbe_tokenizer_text(t, ids, count, &size);
    FUZZ_NEED(back != NULL);
    free(back);
    free(ids);
    return true;
}

bool rbe_fuzz_tokenizer(const uint8_t *data, size_t size)
{
    static const char gguf[] = "model.gguf";
    static const char *const names[] = {
        "vocab.json", "encoder.json", "merges.txt", "vocab.bpe", "tokenizer.json",
        "added_tokens.json", "special_tokens_map.json", "tokenizer_config.json",
        gguf, NULL};
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    uint32_t begin;

    rbe_fuzz_put_files(names, data, size);
    const char *file = rbe_fuzz_path(gguf);
    const char *path = rbe_tokenizer_gguf_has(file) ? file : rbe_fuzz_folder();
    if (!rbe_fuzz_said(rbe_tokenizer_open(&t, path, &d), &d))
        return false;
    if (rbe_tokenizer_begin(t, &begin))
        FUZZ_NEED(begin < rbe_tokenizer_vocab(t));
    FUZZ_NEED(rbe_tokenizer_eos(t) < rbe_tokenizer_vocab(t));
    rbe_fuzz_said(rbe_tokenizer_fits(t, "input", 300, 299, &d), &d);
    const bool taken = encode(t);
    rbe_tokenizer_close(&t);
    return taken;
}
