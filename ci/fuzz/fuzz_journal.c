/*
 * fuzz_journal.c - any bytes as the journal of rbe-serve.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "ci/fuzz/fuzz.h"
#include "deploy/serve/journal.h"

static enum rbe_status count(void *arg, char type, const char *text, size_t size,
                             struct rbe_diag *d)
{
    size_t *n = arg;

    (void)type, (void)d;
    FUZZ_NEED(!text[size]);
    ++*n;
    return RBE_OK;
}

bool rbe_fuzz_journal(const uint8_t *data, size_t size)
{
    struct rbe_journal *j;
    struct rbe_diag d = {""};
    size_t before = 0, after = 0;

    FUZZ_NEED(!rbe_make_dirs(rbe_fuzz_path("state"), &d));
    rbe_fuzz_put("state/journal", data, size);
    if (!rbe_fuzz_said(rbe_journal_open(&j, rbe_fuzz_path("state"), count, &before, &d), &d))
        return false;
    /* What is written behind it is there at the next time, and nothing of it is gone. */
    FUZZ_NEED(!rbe_journal_append(j, 'Q', "more", 4, true, &d));
    rbe_journal_close(&j);
    FUZZ_NEED(!rbe_journal_open(&j, rbe_fuzz_path("state"), count, &after, &d));
    FUZZ_NEED(after == before + 1);
    rbe_journal_close(&j);
    return true;
}
