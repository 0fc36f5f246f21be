/*
 * fuzz_jsonl.c - any bytes as a text, as the items of every task, as text to train on.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "ci/fuzz/fuzz.h"
#include "eval/comprehension.h"
#include "eval/text.h"
#include "eval/windows.h"
#include "train/tokens.h"

static bool text(const char *path)
{
    struct rbe_text t;
    struct rbe_text_page *pages;
    struct rbe_windows w;
    struct rbe_diag d = {""};
    char *made;
    size_t n;

    if (!rbe_fuzz_said(rbe_text_open(&t, path, &d), &d))
        return false;
    FUZZ_NEED(rbe_utf8_valid(t.bytes, t.size) == t.size && !t.bytes[t.size]);
    FUZZ_NEED(rbe_count_words(t.bytes, t.size) <= rbe_count_fields(t.bytes, t.size));
    if (rbe_fuzz_said(rbe_text_join_rows(t.bytes, t.size, &made, &n, &d), &d))
        free(made);
    if (rbe_fuzz_said(rbe_text_pages(t.bytes, t.size, &pages, &n, &d), &d)) {
        for (size_t i = 0; i < n; i++)
            FUZZ_NEED(pages[i].begin <= pages[i].end && pages[i].end <= t.size);
        free(pages);
    }
    if (rbe_fuzz_said(rbe_text_detokenise(t.bytes, t.size, &made, &n, &d), &d)) {
        FUZZ_NEED(rbe_utf8_valid(made, n) == n);
        free(made);
    }
    for (int p = 0; p < RBE_PROTOCOL_COUNT; p++)
        if (rbe_fuzz_said(rbe_windows_make(&w, (enum rbe_protocol)p, &t, rbe_fuzz_vocabulary(),
                                           8, 0, &d), &d)) {
            for (size_t i = 0; i < w.count; i++)
                FUZZ_NEED(w.w[i].first > 0 && w.w[i].first <= w.w[i].length &&
                          w.w[i].start + w.w[i].length <= w.token_count);
            rbe_windows_free(&w);
        }
    rbe_text_close(&t);
    return true;
}

static bool items(const char *path)
{
    struct rbe_items x;
    struct rbe_diag d = {""};
    bool taken = false;

    for (int task = 0; task < RBE_TASK_COUNT; task++) {
        if (task == RBE_BLIMP ||
            !rbe_fuzz_said(rbe_items_load(&x, (enum rbe_task)task, path, rbe_fuzz_vocabulary(),
                                          16, 0, &d), &d))
            continue;
        for (size_t i = 0; i < x.count; i++)
            for (unsigned k = 0; k < x.item[i].choices; k++) {
                const struct rbe_choice *c = &x.item[i].choice[k];
                FUZZ_NEED(c->first >= 1 && c->first <= c->count && c->count <= 17);
            }
        rbe_items_free(&x);
        taken = true;
    }
    return taken;
}

/* BLiMP's items stand in a folder. */
static bool folder(const char *path)
{
    struct rbe_items x;
    struct rbe_diag d = {""};

    if (!rbe_fuzz_said(rbe_items_load(&x, RBE_BLIMP, path, rbe_fuzz_vocabulary(), 16, 0, &d),
                       &d))
        return false;
    rbe_items_free(&x);
    return true;
}

static bool tokens(const char *path)
{
    const char *const paths[] = {path};
    struct rbe_tokens t;
    struct rbe_diag d = {""};
    bool taken = false;

    for (int l = 0; l < RBE_LAYOUT_COUNT; l++)
        if (rbe_fuzz_said(rbe_tokens_open(&t, paths, 1, 0, (enum rbe_layout)l,
                                          rbe_fuzz_vocabulary(), &d), &d)) {
            rbe_tokens_close(&t);
            taken = true;
        }
    return taken;
}

bool rbe_fuzz_jsonl(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"items/x.jsonl", "x.txt"};
    struct rbe_diag d = {""};
    bool taken = false;

    FUZZ_NEED(!rbe_make_dirs(rbe_fuzz_path("items"), &d));
    for (size_t i = 0; i < 2; i++) {
        const char *path = rbe_fuzz_put(names[i], data, size);
        taken |= text(path);
        taken |= tokens(path);
        /* Items are not told by their file's name. */
        taken |= !i && items(path);
    }
    return folder(rbe_fuzz_path("items")) || taken;
}
