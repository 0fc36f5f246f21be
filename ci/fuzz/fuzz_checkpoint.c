/*
 * fuzz_checkpoint.c - any bytes as the checkpoint of a training.
 *
 * SPDX-License-Identifier: MIT
 *
 * Checksums count in the tests only: a fuzzer would not find them.
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "train/student.h"

static struct rbe_source *source, *model;
static struct rbe_grad *train;

/* To open a student takes longer than to read one, which overwrites all that was there: one
 * serves for so many inputs. */
enum { INPUTS = 64 };

static struct rbe_student *open_student(void)
{
    const struct rbe_student_uses uses = {.latent = true, .errors = true};
    const struct rbe_fuzz_world *w = rbe_fuzz_world();
    struct rbe_student *s;
    struct rbe_diag d = {""};

    if (!train) {
        FUZZ_NEED(!rbe_source_open(&source, w->folder, &d));
        FUZZ_NEED(!rbe_source_open_encoded(&model, w->model[0], true, &d));
        FUZZ_NEED(!rbe_grad_open(&train, &source->config,
                                 (struct rbe_grad_limits){.batch = 1, .time = 4}, NULL, &d));
    }
    FUZZ_NEED(!rbe_student_open(&s, train, source, model, &uses, NULL, &d));
    return s;
}

void rbe_fuzz_write_checkpoint(const char *path, bool latent)
{
    struct rbe_student *s = open_student();
    struct rbe_archive *a;
    struct rbe_diag d = {""};

    for (size_t i = 0; latent && i < rbe_student_matrices(s); i++)
        FUZZ_NEED(!rbe_student_thaw(s, i, i % 2, &d));
    FUZZ_NEED(!rbe_archive_open(&a, path, false, &d));
    FUZZ_NEED(!rbe_student_archive(s, a, &d));
    FUZZ_NEED(!rbe_archive_close(&a, true, &d));
    rbe_student_close(&s);
}

bool rbe_fuzz_checkpoint(const uint8_t *data, size_t size)
{
    static struct rbe_student *s;
    static unsigned inputs;
    struct rbe_archive *a;
    struct rbe_diag d = {""};
    bool taken = false;

    const char *path = rbe_fuzz_put("input", data, size);
    if (!rbe_fuzz_said(rbe_archive_open(&a, path, true, &d), &d))
        return false;
    if (inputs++ % INPUTS == 0) {
        rbe_student_close(&s);
        s = open_student();
    }
    if (rbe_fuzz_said(rbe_student_archive(s, a, &d), &d)) {
        taken = rbe_fuzz_said(rbe_archive_close(&a, true, &d), &d);
        for (size_t i = 0; i < rbe_student_matrices(s); i++)
            rbe_student_is_latent(s, i);
        if (rbe_fuzz_said(rbe_student_snap(s, &d), &d))
            rbe_student_refresh(s);
    } else {
        rbe_archive_close(&a, false, NULL);
    }
    return taken;
}
