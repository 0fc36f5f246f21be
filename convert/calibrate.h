/*
 * calibrate.h - what the inputs of each weight matrix look like on a sample of text.
 *
 * SPDX-License-Identifier: MIT
 *
 * Runs the model over windows of a text and gathers, for every weight matrix, the second
 * moment H = mean of x x^T of its inputs x.  For the tied output layer x are the final hidden
 * states: the metric of an error of the logits.  Encoders take H as the cost of an error
 * (rbe/encode.h).
 *
 * RBE_METRIC_FISHER comes nearer to the divergence of the predictions, which for an error e_i
 * of output row i is about half of e_i (mean of g_i^2 x x^T) e_i^T: g_i the gradient, by that
 * output, of the loss of tokens drawn from the predictions themselves (the Fisher
 * information; for a logit g_i^2 is p (1 - p) in the mean).  It is taken apart into one H for
 * all rows, whose positions weigh |g| (the logits': sum of p (1 - p)), and a weight of each
 * row, the root of the mean of g_i^2.  By the factors themselves the positions would weigh
 * |g|^2 and the rows that mean; what a sample of text tells of them is too uncertain for that.
 * To the H of a token embedding that is the output layer too, that of its rows as the inputs
 * of the first layer is added: the mean of g g^T.  One that is not has this alone.
 *
 * RBE_METRIC_TWO_SIDED also says what errors of two rows cost together: the mean of g g^T, as
 * correlations between the rows, whose weights stay.  Not of the logits, nor of very many rows.
 */
#ifndef RBE_CONVERT_CALIBRATE_H
#define RBE_CONVERT_CALIBRATE_H

#include "base/progress.h"
#include "convert/profile.h"
#include "model/model.h"
#include "model/source.h"

struct rbe_calibration;

enum {
    RBE_CALIBRATION_TOKENS = 131072,    /* by default */
    RBE_CALIBRATION_PASSES = 8,         /* more than these save hardly any memory */
};

/* What is gathered, and how. */
struct rbe_calibration_how {
    enum rbe_metric metric;
    bool bf16;                  /* inputs of products rounded to bf16 (grad/product.h), by
                                 * RBE_METRIC_INPUTS of moments only: half of the time; where
                                 * rbe_product_has_bf16() says no: RBE_ERR_ARG */
    bool again;                 /* layers run twice, to the same bits: in less memory */
    unsigned passes;            /* over the text, each for a part of the moments: less memory
                                 * still, to the same bits; 0: one; more need a place to keep
                                 * them, RBE_ERR_IO when the disk is full */
};

/*
 * Where the sums are kept from time to time, and when interrupted, so that the same
 * calibration goes on from there to the same bits: FOLDER/calibration.rbe, about as large as
 * half of the moments.  A file of another calibration, or a damaged one, is not taken over.
 * A finished calibration reads its moments from there.
 *
 * In a shared folder the file is called by what it depends on, calibration-KEY.rbe.  One
 * process at a time gathers, where the file system has locks; others wait, and take over what
 * it has left.  A whole calibration is never replaced, and none that cannot be kept is used:
 * all processes have the same bits.
 */
struct rbe_calibration_keep {
    const char *folder, *source_sha256;
    uint64_t reserve;           /* bytes that the disk must have left besides */
    bool shared;                /* FOLDER is of several processes, each for its calibrations */
    size_t taken;               /* out: tokens taken over, by all passes */
    struct rbe_diag why;        /* out: why the last state was not kept, or "" */
};

/*
 * Over the first `count` tokens at most, in whole windows of the model's context, or of 512
 * tokens where that is longer than 1024; fewer than 8 windows are RBE_ERR_ARG.  Interruptible
 * (rbe_interrupted()).  progress may be NULL; it is started and ended here.
 */
enum rbe_status rbe_calibrate(struct rbe_calibration **out, struct rbe_model *m,
                              const uint32_t *tokens, size_t count, bool bf16,
                              struct rbe_pool *pool, struct rbe_progress *progress,
                              struct rbe_diag *d);

/* The same by RBE_METRIC_FISHER or RBE_METRIC_TWO_SIDED: takes a backward pass. */
enum rbe_status rbe_calibrate_fisher(struct rbe_calibration **out,
                                     struct rbe_calibration_how how,
                                     const struct rbe_source *s, const uint32_t *tokens,
                                     size_t count, struct rbe_pool *pool,
                                     struct rbe_progress *progress, struct rbe_diag *d);

/*
 * Either from files: the checkpoint at model_path, and a text (UTF-8; NULL: the shipped
 * calibration.txt; RBE_ERR_FORMAT for control bytes other than tab and line ends), tokenized
 * with the model's tokenizer.  tokens 0: the default number.  keep NULL: nothing is kept.
 */
enum rbe_status rbe_calibrate_file(struct rbe_calibration **out, const char *model_path,
                                   const char *text_path, struct rbe_calibration_how how,
                                   size_t tokens, struct rbe_calibration_keep *keep,
                                   struct rbe_pool *pool, struct rbe_progress *progress,
                                   struct rbe_diag *d);
/* Bytes it takes meanwhile: half of the moments that a pass gathers, and the model. */
size_t rbe_calibration_bytes(const struct rbe_model_config *c, struct rbe_calibration_how how,
                             unsigned threads);
/* The fastest `again` and `passes` (up to `most`) whose bytes are within a limit; one pass, and
 * `again`, where none are. */
void rbe_calibration_fit(struct rbe_calibration_how *how, const struct rbe_model_config *c,
                         unsigned most, unsigned threads, size_t limit);
/* Bytes a finished one holds, its moments on the disk: the weights of rows, the tokens. */
size_t rbe_calibration_held_bytes(const struct rbe_model_config *c, enum rbe_metric metric);
void rbe_calibration_close(struct rbe_calibration **c);

/* Tokens that went in, and their number. */
const uint32_t *rbe_calibration_text(const struct rbe_calibration *c);
size_t rbe_calibration_tokens(const struct rbe_calibration *c);
/* sha256 of the text file, or "" when made from tokens: for keys of finished work. */
const char *rbe_calibration_sha256(const struct rbe_calibration *c);

enum rbe_metric rbe_calibration_metric(const struct rbe_calibration *c);
/* Whether its products were of inputs rounded to bf16. */
bool rbe_calibration_is_bf16(const struct rbe_calibration *c);

/* Of its moments, weights of rows and text: 16 hexadecimal digits and a NUL. */
void rbe_calibration_digest(char hex[17], const struct rbe_calibration *c);

/* Whether a metric of this matrix's rows is gathered. */
bool rbe_calibration_has_metric(const struct rbe_source_tensor *t, enum rbe_metric metric);
/* That of a matrix, or range of the rows of the weight so named [rows][rows]: its diagonal are
 * the weights of the rows.  The caller's to free(); NULL when there is none. */
enum rbe_status rbe_calibration_row_metric(float **out, const struct rbe_calibration *c,
                                           const char *name, size_t row0, size_t rows,
                                           struct rbe_diag *d);

/* Whether the inputs of the weight so named (weight_name of model/source.h) are known: not
 * where they, or but by RBE_METRIC_INPUTS the gradients, were zero throughout. */
bool rbe_calibration_knows(const struct rbe_calibration *c, const char *name);
/* Their H [cols][cols], the caller's to free(); NULL when unknown.  Half of it is kept. */
enum rbe_status rbe_calibration_moment(float **out, const struct rbe_calibration *c,
                                       const char *name, struct rbe_diag *d);
/* Weights of its rows [rows], their mean 1; NULL by RBE_METRIC_INPUTS and when unknown. */
const float *rbe_calibration_rows(const struct rbe_calibration *c, const char *name);

#endif
