/*
 * trainer.h - runs a recipe: stages, encodings, evaluations, checkpoints.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_TRAIN_TRAINER_H
#define RBE_TRAIN_TRAINER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/progress.h"
#include "convert/calibrate.h"
#include "convert/profile.h"
#include "grad/loss.h"
#include "train/kept.h"
#include "train/recipe.h"
#include "train/student.h"
#include "train/tokens.h"

/* A point of the recovery curve. */
struct rbe_trainer_point {
    uint64_t tokens;            /* trained on so far */
    double perplexity;          /* of the validation windows */
    double divergence, agreement;       /* from the teacher, there: KL in nats; part of the
                                         * positions with the same most likely token.  NAN
                                         * without a teacher */
    uint32_t stage;             /* index in the recipe */
    uint32_t latent;            /* matrices without codes then: not an RBE model yet */
};

enum { RBE_TRAINER_POINTS = 512 };

struct rbe_trainer_options {
    const struct rbe_recipe *recipe;
    struct rbe_loss loss;
    uint64_t tokens, seed;
    uint32_t time;              /* tokens of a sequence */
    uint32_t micro;             /* sequences of a micro-batch */
    size_t kept_bytes;          /* that the teacher's predictions of text which comes again may
                                 * take (train/kept.h) */
    uint32_t evaluations;       /* of the whole run, beside those at a stage's end */
    const struct rbe_tokens *text, *valid;
    uint32_t valid_windows;     /* at most so many, spread over the text */
    /* For encoding: the original's file for calibration, NULL: without. */
    const char *original, *calibration;
    struct rbe_calibration_how how;
    const char *checkpoint;     /* or NULL: none */
    double every_s;             /* seconds between checkpoints */
    bool resume;                /* go on from the checkpoint, which must be there */
    const char *key;            /* a text that identifies the run: models, recipe, texts */
    uint64_t stop_after;        /* steps, for tests; 0: none */
    struct rbe_pool *pool;
    struct rbe_progress *progress;
    void (*on_point)(void *arg, const struct rbe_trainer_point *p);     /* may be NULL */
    void *arg;
};

struct rbe_trainer_result {
    struct rbe_trainer_point points[RBE_TRAINER_POINTS];
    size_t count;
    double original;            /* perplexity of the teacher on the same windows, or 0 */
    double seconds;             /* of training and encoding, evaluations and stops apart */
    uint64_t tokens;
    uint64_t passes;            /* sequences of the training that the teacher read, what a
                                 * resume reads again apart */
    size_t kept_bytes;          /* taken for its predictions */
    bool saved;                 /* the checkpoint is of this run: written, or gone on from */
};

/* What is kept of a teacher's predictions in this training of a model of so many tokens; with
 * tokens of 0 the length of the training is not known yet. */
struct rbe_kept_plan rbe_trainer_kept(const struct rbe_trainer_options *o, size_t vocab);

/*
 * Trains s, whose weights are t's, by the teacher (NULL where the loss needs none).  At its
 * end every matrix is coded.  RBE_ERR_INTERRUPTED: stopped; the checkpoint, if any, was
 * written and goes on.  RBE_ERR_NUMERIC: the loss is not finite or diverges: the last
 * checkpoint is kept as it was.  RBE_ERR_MISMATCH: the checkpoint is another run's.
 */
enum rbe_status rbe_trainer_run(struct rbe_trainer_result *r, struct rbe_student *s,
                                struct rbe_grad *t, struct rbe_grad *teacher,
                                const struct rbe_trainer_options *o, struct rbe_diag *d);

#endif
