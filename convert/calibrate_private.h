/*
 * calibrate_private.h - what the files of a calibration share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CONVERT_CALIBRATE_PRIVATE_H
#define RBE_CONVERT_CALIBRATE_PRIVATE_H

#include "convert/calibrate.h"

enum {
    NAME_SIZE = 64,
    WINDOW_MOST = 1024,         /* tokens of a window: the whole context, if it is no longer, */
    WINDOW_LONG = 512,          /* else so many */
};

/* Rows of a range of a weight, and where the moment of their gradients is. */
struct range {
    size_t row0, rows, at;
};

/* One weight's inputs, and the gradients by its outputs. */
struct site {
    char name[NAME_SIZE];
    size_t rows, cols;
    struct range ranges[RBE_RANGES_MAX];        /* those with such a moment */
    size_t range_count, outer_floats;
    float *outer;               /* sums of g g^T, half a square for each range; as sums */
    const float *outer_upper;   /* as upper */
    double weight;              /* of the positions, summed */
    float *sums;                /* half of it (half.h); NULL once it is on the disk */
    const float *upper;         /* the same, or where it is mapped */
    unsigned pass;              /* by which it is gathered */
    double *energy;             /* [rows] sums of g^2; NULL by RBE_METRIC_INPUTS */
    float *importance;          /* [rows], mean 1; as energy */
    bool silent;                /* the sums are all zero: nothing is known */
};

/* Which pass gathers a weight's moment. */
struct share {
    char name[NAME_SIZE];
    unsigned pass;
};

struct rbe_calibration {
    struct rbe_calibration_how how;
    struct rbe_model_config config;
    struct site *sites;
    size_t site_count, tokens;
    uint32_t *text;             /* [tokens] */
    char sha256[65];

    /* While gathering. */
    struct rbe_pool *pool;
    const struct rbe_vector *v;
    struct rbe_half *half;
    float *weights;             /* [tokens of a window]; NULL by RBE_METRIC_INPUTS */
    float *scaled;              /* [tokens of a window][largest cols]; the same */
    float *energies;            /* [SLICES][largest rows]; the same */
    bool failed;                /* out of memory in the tap */
    unsigned pass;
    struct share *shares;       /* [share_count]; NULL with one pass */
    size_t share_count;
    size_t done;                /* tokens of this pass, whole windows */
    bool found_whole;           /* all of this pass was on the disk */
    struct rbe_calibration_keep *keep;  /* or NULL */
    char key[65];               /* of all that the sums depend on */
    double kept;                /* rbe_now() of the last state kept */
    int lock;                   /* of a shared folder, or -1 */

    struct rbe_container **files;       /* [passes] what is on the disk, mapped; or NULL */
};

/* Tokens of a window. */
static inline uint32_t rbe_calibration_window(const struct rbe_model_config *c)
{
    return c->n_ctx <= WINDOW_MOST ? c->n_ctx : WINDOW_LONG;
}

/* Whether this pass gathers the weight's moment; name NULL: any. */
bool rbe_calibration_is_of_pass(const struct rbe_calibration *c, const char *name);

/* A site with sums of zero; NULL: out of memory. */
struct site *rbe_calibration_add_site(struct rbe_calibration *c, const char *name, size_t rows,
                                      size_t cols);
/* Those from the first on. */
void rbe_calibration_drop_sites(struct rbe_calibration *c, size_t first);

/* --- calibrate_keep.c --------------------------------------------------------------------- */

/* With c->keep: the key, a hash of all that the sums depend on.  RBE_ERR_NOMEM. */
enum rbe_status rbe_calibration_set_key(struct rbe_calibration *c,
                                        const struct rbe_model_config *config);

/* Whether nothing is left to gather. */
bool rbe_calibration_all_is_kept(struct rbe_calibration *c);

/* With c->keep: keeps this pass's state.  Where that fails, c->keep->why says it and the work
 * goes on. */
void rbe_calibration_keep_state(struct rbe_calibration *c);
/* With c->keep: takes a kept state of the same calibration, undamaged; else nothing is done
 * yet. */
void rbe_calibration_take_state(struct rbe_calibration *c,
                                const struct rbe_model_config *config);

/* With c->keep: what a pass has gathered stays on the disk, where there is room; else in
 * memory.  RBE_ERR_IO: with several passes, or in a shared folder, it has to. */
enum rbe_status rbe_calibration_leave_on_disk(struct rbe_calibration *c, struct rbe_diag *d);

/* In a shared folder one process gathers while the others wait.  RBE_ERR_INTERRUPTED. */
enum rbe_status rbe_calibration_wait_turn(struct rbe_calibration *c, struct rbe_diag *d);

#endif
