/*
 * encode.h - turning a weight matrix into codes: one front for every codec.
 *
 * SPDX-License-Identifier: MIT
 *
 * rbe_encode_weight() checks, rotates, allocates and splits into parts, then calls the
 * codec's own encoder (rbe_encoder_<codec>) once for each part.  Encoders see the matrix as the
 * codec stores it: already rotated, with the moments of the rotated inputs.
 */
#ifndef RBE_RBE_ENCODE_H
#define RBE_RBE_ENCODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "kernels/kernel.h"
#include "rbe/container.h"

/* Changes whenever an encoder would give other bytes for the same options. */
#define RBE_ENCODER "rbe-encoder-5"

enum rbe_search { RBE_SEARCH_DEFAULT, RBE_SEARCH_FAST, RBE_SEARCH_BEST, RBE_SEARCH_COUNT };

/* "default", "fast", "best"; NULL past the end. */
const char *rbe_search_name(enum rbe_search s);
/* RBE_SEARCH_COUNT when the name is unknown. */
enum rbe_search rbe_search_by_name(const char *name);

/* Which scales an encoder with a choice stores. */
enum rbe_scales { RBE_SCALES_ROW_COL, RBE_SCALES_ROW };

/* Codec of `rows` consecutive rows. */
struct rbe_encode_part {
    uint32_t rows;
    enum rbe_format format;
    uint32_t block, aux;        /* as in struct rbe_matrix */
};

/* Seconds: of the factors of the moments, of taking over errors, of the search, of fitting the
 * scales again. */
struct rbe_encode_spent {
    double factors, feedback, search, scales;
};

/*
 * Called from the calling thread now and then with the part done, 0..1 of the whole weight.
 * Returning false stops the encoder, which then answers RBE_ERR_INTERRUPTED.
 */
typedef bool rbe_encode_progress_fn(void *arg, double done);

/* All zero but for format and block is a valid choice: the defaults.  What decides bytes stands
 * in rbe_encode_key() too. */
struct rbe_encode_options {
    enum rbe_format format;     /* unless `parts` is given */
    uint32_t block, aux;        /* block 0 and aux 0 for formats that use none */
    size_t part_count;          /* row ranges with their own codec, in row order; 0: one */
    const struct rbe_encode_part *parts;        /* their rows add up to the matrix's */

    enum rbe_search search;
    unsigned window;            /* seed: newest bits searched, 8..16; 0: by search level */
    float search_scale;         /* seed: in units of sigma; 0: tuned to the rate */
    enum rbe_scales scales;
    bool fixed_cols;            /* seed: of the scales, only rows' are fitted to what was found:
                                 * in a third of the time */
    bool scale_search;          /* int8, int4: scales of least error instead of max / range */
    /* Seeds: codes are drawn, not searched, and stand for nothing; scales fit the weights.  For
     * times and memory, which do not depend on values.  The moment is not looked at. */
    bool drawn;

    /* Seeds that were encoded before, in the same parts and rotation, NULL: none.  Their scales
     * stay, and so do the codes of the columns of which again [part_count][cols] is false, in
     * the stored basis; what those err is passed on like the errors of others. */
    const struct rbe_weight *before;
    const bool *again;

    uint32_t hadamard;          /* 0, or block of the rotation: divides cols, power of two */
    uint64_t sign_seed;

    /* What an error costs: sum over m of row_importance[m] * e_m H e_m^T, e_m the error of
     * row m.  In the basis of `w` as passed in; NULL: all ones, and the identity. */
    const float *row_importance;        /* [rows], positive */
    const float *moment;                /* [cols][cols], H = mean of x x^T, symmetric */
    /* Or tr(G E H E^T): formats of seeds with a moment pass errors on down the rows, too.  Its
     * diagonal should be row_importance, by which scales are fitted.  NULL: that alone. */
    const float *row_metric;            /* [rows][rows], G, symmetric */
    float damping;              /* added to H's diagonal, of its mean; 0: the default, 0.01 */

    rbe_encode_progress_fn *progress;   /* may be NULL */
    void *progress_arg;
    struct rbe_encode_spent *spent;     /* what seeds took is added there; may be NULL */
};

/*
 * Encodes w [rows][cols] (outputs by inputs; finite) into *out, which then owns its memory
 * (rbe_weight_free) and has no name yet.  pool may be NULL.
 * RBE_ERR_ARG: a shape, block or option the codec cannot have.  RBE_ERR_NUMERIC: NaN or
 * infinity in w, or values that the codec's own floats cannot hold.  On failure *out is empty.
 * A row of zeros decodes to zeros; not so in hybrid and packed128, whose blocks mix rows,
 * unless the whole block is zeros.
 */
enum rbe_status rbe_encode_weight(struct rbe_weight *out, const float *w, uint32_t rows,
                                  uint32_t cols, const struct rbe_encode_options *o,
                                  struct rbe_pool *pool, struct rbe_diag *d);

/* sha256 of all that the encoded bytes depend on: the weights, the options (moment and
 * importance by their values), the encoder.  For keys of finished work. */
enum rbe_status rbe_encode_key(char hex[65], const float *w, uint32_t rows, uint32_t cols,
                               const struct rbe_encode_options *o);

/* Frees what rbe_encode_weight() or rbe_weight_alloc() made; harmless on a zeroed one. */
void rbe_weight_free(struct rbe_weight *w);

/* A weight of these parts with zeroed, 64-byte aligned codes and scales. */
enum rbe_status rbe_weight_alloc(struct rbe_weight *out, uint32_t rows, uint32_t cols,
                                 const struct rbe_encode_part *parts, size_t part_count,
                                 enum rbe_scales scales, struct rbe_diag *d);

/* Decodes row r of the whole weight into out [cols], in the original (unrotated) basis. */
void rbe_weight_decode_row(const struct rbe_weight *w, size_t r, float *out);

/* Bytes of a part's codes and of the scales that are stored; codes 0: the codec cannot have
 * this shape or block. */
struct rbe_matrix_size rbe_encode_part_size(const struct rbe_encode_part *p, uint32_t cols,
                                            enum rbe_scales scales);

/* Bytes such a weight takes, or 0 when a part is impossible. */
size_t rbe_encode_bytes(uint32_t rows, uint32_t cols, const struct rbe_encode_options *o);

/* Bytes rbe_encode_weight() takes at its height with a pool of `threads`: copies, searches and
 * the result; w, o->moment and o->row_metric are the caller's and are not looked at.  What an
 * encoder needs that does not grow with the matrix is not counted. */
size_t rbe_encode_memory(uint32_t rows, uint32_t cols, const struct rbe_encode_options *o,
                         unsigned threads);

/* Pieces that the threads of a pool can work on at the same time, however many they are;
 * o->moment and o->row_metric are not looked at. */
size_t rbe_encode_shares(uint32_t rows, uint32_t cols, const struct rbe_encode_options *o);

/*
 * The smallest K of a codec with K (RBE_RATE_K), the same for every block x block tile of w
 * [rows][cols], that leaves at most the part `energy` (0..1) of the sum of w^2 unexplained
 * before values are rounded.  pool may be NULL.
 */
enum rbe_status rbe_encode_k_for_energy(uint32_t *k, enum rbe_format f, const float *w,
                                        uint32_t rows, uint32_t cols, uint32_t block,
                                        double energy, struct rbe_pool *pool,
                                        struct rbe_diag *d);

/* What the project wants the search to lose at most on white Gaussian weights, in dB over the
 * bound; NAN: nothing. */
double rbe_encode_wanted_db(enum rbe_format f, uint32_t block, enum rbe_search s);

/* --- the codecs' side ------------------------------------------------------------------- */

/*
 * What an encoder gets: w [m->rows][m->cols] rotated, to be encoded into codes, scale and
 * col_scale, which are zeroed memory of rbe_matrix_size() bytes that *m points to as well
 * (so rbe_decode_row(m) sees what was written so far).  col_scale is NULL when none is to be
 * stored.  importance and moment are of this part, in the stored basis, as in the options.
 */
struct rbe_encode_job {
    const struct rbe_encode_options *o;
    struct rbe_matrix *m;
    const float *w;
    void *codes;
    uint16_t *scale, *col_scale;
    const float *importance;    /* [m->rows] or NULL */
    const float *row_metric;    /* [m->rows][metric_ld] or NULL */
    size_t metric_ld;
    const float *moment;        /* [m->cols][m->cols] or NULL */
    const struct rbe_matrix *before;    /* or NULL */
    const bool *again;          /* [m->cols] then */
    struct rbe_pool *pool;
    double done0, done1;        /* the part of the weight's progress this job is */
};

/* Reports progress 0..1 of the job; false: stop and return RBE_ERR_INTERRUPTED. */
bool rbe_encode_tick(const struct rbe_encode_job *j, double done);

struct rbe_encoder {
    enum rbe_status (*encode)(const struct rbe_encode_job *j, struct rbe_diag *d);
    /* What that allocates for a part, by the way `o` asks for; NULL: nothing that grows. */
    size_t (*memory)(const struct rbe_encode_part *p, uint32_t cols,
                     const struct rbe_encode_options *o, unsigned threads);
    /* As rbe_encode_shares(), of a part; NULL: as many as there are threads. */
    size_t (*shares)(const struct rbe_encode_part *p, uint32_t cols,
                     const struct rbe_encode_options *o);
    /* As rbe_encode_k_for_energy(); codecs with K only. */
    enum rbe_status (*k_for_energy)(uint32_t *k, const float *w, uint32_t rows, uint32_t cols,
                                    uint32_t block, double energy, struct rbe_pool *pool,
                                    struct rbe_diag *d);
    /* As rbe_encode_wanted_db(); NULL: nothing is. */
    double (*wanted_db)(uint32_t block, enum rbe_search s);
};

#define RBE_FORMAT(name, ...) extern const struct rbe_encoder rbe_encoder_##name;
#include "kernels/formats.def"
#undef RBE_FORMAT

#endif
