/*
 * student_private.h - what a rbe_student holds; shared by the files behind student.h.
 *
 *   student.c           opening: what of a model can move, and what moves it
 *   student_weights.c   codes and scales to weights, gradients of weights to those of scales
 *   student_step.c      rates, steps, the means of the states, what is evaluated
 *   student_encode.c    latent matrices: from the original, and to codes
 *   student_write.c     files: the container, the control
 *   student_archive.c   checkpoints
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_TRAIN_STUDENT_PRIVATE_H
#define RBE_TRAIN_STUDENT_PRIVATE_H

#include "train/student.h"

enum {
    CHUNKS = 8,                 /* row ranges whose column sums are added in order: the result
                                 * does not depend on the number of threads */
    NO_SPAN = -1,
};

enum kind { CODED, OPAQUE, LATENT, PLAIN };

/* The scales of one part of a coded matrix. */
struct scales {
    uint32_t row0, rows, cols, groups, width;   /* scales of a row; columns of each */
    int16_t *g;                 /* [rows][cols] what the codes stand for, at scale 1 */
    float *row, *col;           /* [rows][groups], [cols] or NULL: the values at theta 0 */
    float *row_theta, *col_theta, *row_grad, *col_grad, *row_now, *col_now;
    int row_span, col_span;
};

struct tensor {
    struct rbe_grad_slice *slice;
    const struct rbe_source_tensor *origin;     /* NULL: the original has no such tensor */
    const struct rbe_source_tensor *own;        /* the model's; the original's of a control */
    enum kind kind;
    struct rbe_weight w;        /* own copy; rows 0: a plain tensor of the file */
    struct scales *parts;       /* [w.part_count]; NULL for codecs without scales */
    struct rbe_grad_sums sums;  /* from which their gradients follow; .sums NULL: they do not,
                                 * for a row has several scales */
    enum rbe_dtype dtype;       /* of a plain tensor */
    float *master;              /* plain: before rounding */
    float *error;               /* latent: what W has more than the latent, or NULL */
    float size;                 /* RMS */
    int span;                   /* latent or plain, or NO_SPAN */
    bool centered;              /* the embedding: its means were moved to the positions */
    bool *zeros;                /* [rows] of a matrix that are zeros and stay so; or NULL */
};

struct rbe_student {
    struct rbe_grad *train;
    const struct rbe_source *source;
    const struct rbe_source *model;             /* NULL: the control */
    struct rbe_pool *pool;
    struct tensor *tensors;
    struct tensor *tokens;      /* the embedding */
    size_t count;
    bool summed;                /* gradients of scales come from sums */
    struct rbe_optimizer *optimizer;
    struct rbe_optimizer_span *spans;   /* scales and plain tensors, then latents */
    size_t span_count, settled; /* settled: spans that are no latents */
    double *sums;               /* [CHUNKS][largest cols] */
    float *buffer;              /* [CHUNKS][largest cols] */
    size_t widest;
    struct rbe_student_rates rates;
    float *means;               /* of the settled spans, in turn; NULL: none was taken */
    uint64_t averaged;          /* states that the means are of */
    bool swapped;               /* means and present values have changed places */
};

static inline enum rbe_status no_memory(struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

static inline float *weights_of(const struct rbe_student *s, const struct tensor *t)
{
    return rbe_grad_params(s->train) + t->slice->at;
}

static inline float *gradient_of(const struct rbe_student *s, const struct tensor *t)
{
    return rbe_grad_gradients(s->train) + t->slice->at;
}

/* Notes which rows of the matrix x are all zeros. */
enum rbe_status rbe_student_find_zeros(struct tensor *t, const float *x, struct rbe_diag *d);

/* --- student_weights.c -------------------------------------------------------------------- */

/* Whether a codec has scales that can move. */
bool rbe_student_has_scales(enum rbe_format f);
/* t->parts for the codes that t->w has, where its codecs have scales; theta is 0.  threads:
 * of the passes where sums are wanted, else 0. */
enum rbe_status rbe_student_open_scales(struct tensor *t, unsigned threads, struct rbe_diag *d);
void rbe_student_free_scales(struct tensor *t);
/* What the codes stand for. */
enum rbe_status rbe_student_read_codes(struct scales *p, const struct rbe_matrix *m,
                                       struct rbe_diag *d);
/* And the stored scales; theta becomes 0. */
enum rbe_status rbe_student_read_scales(struct scales *p, const struct rbe_matrix *m,
                                        struct rbe_diag *d);
/* Brings t's weights up to date with what is stored; those of all tensors. */
void rbe_student_apply(struct rbe_student *s, struct tensor *t);
void rbe_student_apply_all(struct rbe_student *s);
/* The weights that t's own copy decodes to. */
void rbe_student_decode(struct rbe_student *s, struct tensor *t);
/* Gradients of t's scales from the sums, or from the gradient of its weights. */
void rbe_student_chain(struct rbe_student *s, struct tensor *t);

/* --- student_step.c ----------------------------------------------------------------------- */

/* Gives t's spans the rates of its present kind. */
void rbe_student_rate(struct rbe_student *s, struct tensor *t);
/* Makes room for the means, `floats` long, if there is none. */
enum rbe_status rbe_student_open_means(struct rbe_student *s, size_t *floats,
                                       struct rbe_diag *d);

/* --- student_encode.c --------------------------------------------------------------------- */

/* The original's weights in the form the container has them; the caller frees them. */
enum rbe_status rbe_student_original(float **out, const struct rbe_student *s,
                                     const struct tensor *t, struct rbe_diag *d);
enum rbe_status rbe_student_error_room(float **error, size_t n, struct rbe_diag *d);
/* Codes for x with the codec, blocks and rotation that t has.  chosen: the columns of each
 * part that are encoded, all else stays; NULL: all. */
enum rbe_status rbe_student_encode_like(struct rbe_weight *out, const struct rbe_student *s,
                                        const struct tensor *t, const float *x,
                                        const struct rbe_student_encoding *how,
                                        const bool *chosen, struct rbe_diag *d);

/* --- student_write.c ---------------------------------------------------------------------- */

/* The present values into t's own copy of the weight. */
enum rbe_status rbe_student_store(struct rbe_student *s, struct tensor *t, struct rbe_diag *d);

#endif
