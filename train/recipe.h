/*
 * recipe.h - what a recovery training does: a small text file, data and not code.
 *
 * SPDX-License-Identifier: MIT
 *
 *     # comment
 *     name: three-stages
 *     about: one line for people
 *     loss: kl                 ce, kl, chapter or chapter-plain (grad/loss.h)
 *     schedule: cosine         or linear, constant, adaptive, published (train/schedule.h)
 *     warmup: 0.05             part of a stage's steps
 *     floor: 0                 part of the rate that is left at a stage's end
 *     clip: 1                  largest norm of the gradient; 0: any
 *     batch: 4096              tokens of a step
 *     optimizer: adamw         of latent matrices but the embedding: or muon
 *     stage NAME epochs=N KEY=VALUE...
 *
 * A header stands once, and so does a key of a stage.  A step is of whole sequences: `batch` is
 * rounded down to them, or they are as short as it is.
 *
 * Stages come in turn; each gets the part of all tokens that its epochs are of all epochs.
 *
 *     epochs=X         its share
 *     scales=X         learning rate of row and column scales, relative to their size
 *     plain=X          of norms, biases, positions, relative to the RMS of the tensor
 *     latents=X        of matrices that are latent (train/student.h), likewise
 *     decay=X          of scales, towards the values they start from
 *     text=X           pulls the mean log probability of the text's tokens to the original's:
 *                      the cross entropy counts besides, by X times its excess over the
 *                      original's, the mean of the last steps, in nats; for the loss kl alone
 *     average=X        the stage gives the mean of the states after its last X of all steps, 0
 *                      to 1 (matrices=coded alone)
 *     matrices=coded   codes stand still (the default)
 *     matrices=progressive     all latent at first, from the original; encoded group by group
 *                      (the embedding, each layer), the rest trained on in between
 *     matrices=latent  all latent, from the original plus its codes' error; encoded every
 *                      encode-every steps and at the end
 *     share=X          latent: all start from what their codes stand for instead, at every
 *                      encoding again, which is of this part of a matrix's columns, those that
 *                      moved most (train/student.h); all else, and scales, stays
 *     order=forward    progressive: layers 0, 1, ..., then the embedding; backward: the last
 *                      layer first; embedding-first: the embedding, then forward
 *     encode-every=N   steps; 0: only at the end
 *     search=LEVEL     the encoder's effort: fast, default or best
 */
#ifndef RBE_TRAIN_RECIPE_H
#define RBE_TRAIN_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "rbe/encode.h"
#include "train/optimizer.h"
#include "train/schedule.h"

enum rbe_mechanism { RBE_MATRICES_CODED, RBE_MATRICES_PROGRESSIVE, RBE_MATRICES_LATENT,
                     RBE_MECHANISM_COUNT };
enum rbe_encode_order { RBE_ORDER_FORWARD, RBE_ORDER_BACKWARD, RBE_ORDER_EMBEDDING_FIRST,
                        RBE_ORDER_COUNT };

/* "coded", "progressive", "latent"; NULL past the end. */
const char *rbe_mechanism_name(enum rbe_mechanism m);

enum { RBE_RECIPE_STAGES = 16 };

struct rbe_stage {
    char name[32];
    double epochs;
    double scales, plain, latents, decay, text, average, share;
    enum rbe_mechanism matrices;
    enum rbe_encode_order order;
    uint64_t encode_every;
    enum rbe_search search;
};

struct rbe_recipe {
    char name[64], about[160], loss[32];
    enum rbe_schedule schedule;
    enum rbe_optimizer_kind optimizer;
    double warmup, floor, clip, epochs;         /* epochs: of all stages */
    uint32_t batch;
    size_t count;
    struct rbe_stage stages[RBE_RECIPE_STAGES];
    char *text;                 /* as read: part of what identifies a run */
};

/* A file, when it has a '/' or ends in .profile; else a shipped one's name.  RBE_ERR_ARG:
 * unknown, or a fault in the file (the line named). */
enum rbe_status rbe_recipe_open(struct rbe_recipe *r, const char *name_or_path,
                                struct rbe_diag *d);
/* Names of the shipped ones, sorted, `between` between them. */
void rbe_recipe_names(char *out, size_t size, const char *between);
/* From text; `where` stands in messages. */
enum rbe_status rbe_recipe_parse(struct rbe_recipe *r, const char *text, const char *where,
                                 struct rbe_diag *d);
void rbe_recipe_close(struct rbe_recipe *r);

/* Steps of stage i when the whole training has `tokens`: at least one. */
uint64_t rbe_recipe_steps(const struct rbe_recipe *r, size_t i, uint64_t tokens);

/* True when some stage trains weights. */
bool rbe_recipe_has_latents(const struct rbe_recipe *r);
/* True when some stage has text=X. */
bool rbe_recipe_wants_text(const struct rbe_recipe *r);
/* True when some stage takes means. */
bool rbe_recipe_averages(const struct rbe_recipe *r);

#endif
