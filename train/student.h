/*
 * student.h - an RBE model in training: what of it can move, and how it moves.
 *
 * SPDX-License-Identifier: MIT
 *
 * A student keeps the f32 weights of a rbe_grad (grad/grad.h) equal to what its container
 * would decode to, and turns the gradients of those weights into gradients of what is stored.
 *
 *   coded   codes stand still; the scales of rows and columns move.  With g the codes' values,
 *           W = diag(row) g diag(col) R^T and G the gradient by W, G' = G R:
 *           d row[m] = sum over n of G'[m][n] g[m][n] col[n], and so for columns.  Scales move
 *           as s = s0 (1 + theta), so one rate fits all; forward they are rounded to f16, as
 *           they are stored, and the gradient takes the rounding for the identity.
 *   latent  the weights themselves move (f32); student_encode() finds codes for them.  Between
 *           two encodings W = latent + error, error that of the last encoding: the gradient
 *           goes straight through the encoder.
 *   plain   norms, biases, positions and matrices stored as f16 or f32: move, and are rounded
 *           as stored (positions stored as int8: when written).
 *
 * Matrices in tiles (kernels/formats.def) have no scales to move; they can be latent.
 *
 * A matrix's rows that are zeros in the original (pruned neurons, unused tokens) stay zeros.
 */
#ifndef RBE_TRAIN_STUDENT_H
#define RBE_TRAIN_STUDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "grad/grad.h"
#include "model/source.h"
#include "rbe/encode.h"
#include "train/archive.h"
#include "train/optimizer.h"

struct rbe_student;

/* What a training will ask of a student. */
struct rbe_student_uses {
    bool latent;                /* rbe_student_thaw(), of any matrix */
    bool errors;                /* with keep_error, or rbe_student_encode() with `again` */
    bool means;                 /* rbe_student_average() */
    bool sums;                  /* the gradients of scales are found without those of the
                                 * matrices (grad/grad.h), which saves a quarter of a step */
    enum rbe_optimizer_kind kind;       /* what moves latent matrices of layers; AdamW moves
                                         * the embedding, the output layer and all else */
};

/* Bytes that a student so used takes at its height, t's arrays apart: of model (NULL: the
 * control), a converted `source`.  SIZE_MAX when out of memory. */
size_t rbe_student_bytes(const struct rbe_source *source, const struct rbe_source *model,
                         const struct rbe_student_uses *uses, unsigned threads);

/* RBE_ERR_MISMATCH: `model`, an RBE container, is of another configuration than `source`, or
 * not made from it; both names are given. */
enum rbe_status rbe_student_fits(const struct rbe_source *source,
                                 const struct rbe_source *model, struct rbe_diag *d);

/*
 * Reads `model`, whose tensors were found, into t's parameters; all matrices coded.  t is of
 * model's configuration.  RBE_ERR_MISMATCH as above.  All arguments must outlive the student.
 */
enum rbe_status rbe_student_open(struct rbe_student **out, struct rbe_grad *t,
                                 const struct rbe_source *source,
                                 const struct rbe_source *model,
                                 const struct rbe_student_uses *uses, struct rbe_pool *pool,
                                 struct rbe_diag *d);
/* The control: the original itself, nothing encoded and nothing rounded. */
enum rbe_status rbe_student_open_plain(struct rbe_student **out, struct rbe_grad *t,
                                       const struct rbe_source *source, struct rbe_pool *pool,
                                       struct rbe_diag *d);
void rbe_student_close(struct rbe_student **s);

/* Learning rates of the three kinds, relative to the size of what moves: a scale's own value,
 * else the tensor's RMS.  0: stands still. */
struct rbe_student_rates {
    float scales, latents, plain;
    float decay;                /* of scales, towards the values they started from */
};
void rbe_student_set_rates(struct rbe_student *s, const struct rbe_student_rates *r);

/* One step from t's gradients, which it zeroes; then t's parameters are up to date. */
enum rbe_status rbe_student_step(struct rbe_student *s, float rate, float max_norm,
                                 double *norm, struct rbe_diag *d);

/*
 * Takes the present scales and plain tensors into their means.  From then on what is
 * evaluated (rbe_student_snap()) are the means, while steps go on from the present values;
 * rbe_student_settle() puts the means in their place and forgets them.  Latent matrices have
 * no means: none may be taken while there are any.
 */
enum rbe_status rbe_student_average(struct rbe_student *s, struct rbe_diag *d);
void rbe_student_settle(struct rbe_student *s);

/* Trainable numbers that move at the present rates. */
uint64_t rbe_student_moving(const struct rbe_student *s);

/* Matrices in the model's order. */
size_t rbe_student_matrices(const struct rbe_student *s);
const struct rbe_source_tensor *rbe_student_matrix(const struct rbe_student *s, size_t i);
bool rbe_student_is_latent(const struct rbe_student *s, size_t i);

/* What a matrix starts from that becomes latent.  Only with the first its weights change. */
enum rbe_student_start {
    RBE_START_ORIGINAL,
    RBE_START_ERROR,            /* its original, plus the error of its present codes */
    RBE_START_CODES,            /* what its present codes stand for */
};

/* Matrix i becomes latent. */
enum rbe_status rbe_student_thaw(struct rbe_student *s, size_t i, enum rbe_student_start from,
                                 struct rbe_diag *d);

/* How codes are found.  moment, importance: of the columns and rows, as in rbe/encode.h; may
 * be NULL. */
struct rbe_student_encoding {
    enum rbe_search search;
    const float *moment, *importance;
    double share;               /* 0 or 1: all of it.  Else of seeds this part of the columns,
                                 * those whose latents have moved most from their codes against
                                 * what a code's error costs there, and by 1 / share times as
                                 * far; the others, and all scales, stay (Malinovskii et al.
                                 * 2024, "PV-Tuning") */
    bool again;                 /* it stays latent, else it is coded from now on */
};

/*
 * Finds codes for latent matrix i with the codec, block and rotation of the container.  A
 * matrix that is not latent is left alone.
 *
 * The optimiser's state: scales start anew, for they belong to other codes.  A latent that
 * stays latent goes on with its moments and steps, for it has not moved; one that is coded
 * from now on forgets them.  So once all is coded nothing of the latents' time is left: the
 * matrices train on as those of a student opened from the file.
 */
enum rbe_status rbe_student_encode(struct rbe_student *s, size_t i,
                                   const struct rbe_student_encoding *how, struct rbe_diag *d);

/* t's parameters become what a file written now would decode to (latent matrices apart; with
 * the means where some were taken): to be evaluated.  rbe_student_refresh() goes back, before
 * training goes on. */
enum rbe_status rbe_student_snap(struct rbe_student *s, struct rbe_diag *d);
void rbe_student_refresh(struct rbe_student *s);

/* Writes the container: the tensors of the one that was opened, and as many bytes.  All
 * matrices must be coded.  A GGUF original's tokenizer goes to rbe_tokenizer_beside(path)
 * before. */
enum rbe_status rbe_student_write(struct rbe_student *s, const char *path, struct rbe_diag *d);
/* The key in its metadata. */
#define RBE_STUDENT_CONTROL "control"
/* Writes FOLDER/model.safetensors (f32) and config.json: the control; a GGUF original's
 * tokenizer as above. */
enum rbe_status rbe_student_write_plain(struct rbe_student *s, const char *folder,
                                        struct rbe_diag *d);

/* Everything that a continued training needs, to or from a checkpoint; reading needs a student
 * opened from the same files, and leaves it unusable when it fails. */
enum rbe_status rbe_student_archive(struct rbe_student *s, struct rbe_archive *a,
                                    struct rbe_diag *d);

#endif
