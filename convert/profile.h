/*
 * profile.h - which codec each tensor gets: small text files, data and not code.
 *
 * SPDX-License-Identifier: MIT
 *
 *     # comment
 *     name: phase1
 *     about: one line for people
 *     budget-bits: 2.89            or budget-bytes: 45000000, of the whole file
 *     allocation: measured         the budget is shared by measured sensitivity (or: even)
 *     metric: fisher               what an error costs in calibrated matrices (or: inputs)
 *     tokens: 32768                of the calibration text (default: 131072)
 *     probes: 512                  tokens by which a matrix's sensitivity is measured (default:
 *                                  convert/sensitivity.h)
 *     compensate: 32768            tokens of the calibration text by which matrices of layers
 *                                  compensate for what is encoded before (convert/compensate.h;
 *                                  default: they do not)
 *     compensate-share: 0.6        the part of what their inputs have lost that is restored so
 *                                  (0..1, default 1)
 *     series: parts                where its models stand in the curve of size against quality:
 *                                  parts of the model, or schedule; else by their codec
 *     CLASS [layers=A-B] codec=NAME [KEY=VALUE...]
 *
 * Each header stands once at most.
 *
 * CLASS is one of model/arch.def's: wte, wpe, attn.qkv, attn.proj, mlp.fc, mlp.proj, other
 * (norms and biases; the same words for every architecture: of a Llama attn.qkv are its
 * queries, keys and values, mlp.fc its gates and what they gate); or all (the matrices: every
 * class but wpe and other).  Of all lines that match a tensor the later ones win, key by key;
 * a line with a codec forgets the block, rate and k of those before.
 *
 *     layers=A-B       only these layers (0-based, B may be missing: A only); not for wte, wpe
 *     codec=NAME       one of kernels/formats.def; other: f32 f16
 *     block=N          B
 *     bits=X ratio=X   rate of this tensor, scales counted: B or K follows; without block, bits
 *                      and ratio B follows the budget in seed, seed4 and seedg
 *     k=N              hybrid: coefficients of each block
 *     energy=X         hybrid: smallest K that leaves this part of the energy (0..1)
 *     layout=published hybrid: 8-byte coefficients instead of f16 and packed indices
 *     quality=LEVEL    Ultra High Medium Low: PSNR above 50 40 30 20 dB, reported
 *     search=LEVEL     fast default best;  window=8..16, search-scale=X: seed's by hand
 *     scales=row       seed: no column scales (scales=row-col, the default, has both)
 *     scale-search=on  int8, int4: scales of least error
 *     hadamard=N       rotate inputs in blocks of N; N = max: the largest that fits, up to 1024
 *     center=on        wte: move the columns' means to the positions, or to a vector
 *     feedback=off     do not use calibration data for this tensor
 *     cost=X           allocation: counts X times its measured divergence (default 1), say more
 *                      where training will not win it back, less where it will
 */
#ifndef RBE_CONVERT_PROFILE_H
#define RBE_CONVERT_PROFILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "model/arch.h"
#include "rbe/encode.h"
#include "rbe/quality.h"

/* What makes an error of a matrix cost: the inputs that meet it, all alike; or those by how
 * much the predictions depend on the layer's outputs there; or the same with what errors of two
 * rows cost together (convert/calibrate.h). */
enum rbe_metric {
    RBE_METRIC_INPUTS,
    RBE_METRIC_FISHER,
    RBE_METRIC_TWO_SIDED,
    RBE_METRIC_COUNT
};

/* "inputs", "fisher", "two-sided"; NULL past the end. */
const char *rbe_metric_name(enum rbe_metric m);
/* RBE_METRIC_COUNT when the name is unknown. */
enum rbe_metric rbe_metric_by_name(const char *name);

/* What a profile wants for one tensor. */
struct rbe_settings {
    enum rbe_format format;
    uint32_t block;             /* 0: not given */
    double bits;                /* 0: not given; a ratio of x stands here as 32 / x */
    int64_t k;                  /* -1: not given */
    double energy;              /* 0: not given */
    bool published;
    enum rbe_level level;
    enum rbe_search search;
    unsigned window;
    float search_scale;
    enum rbe_scales scales;
    bool scale_search;
    uint32_t hadamard;          /* RBE_HADAMARD_MAX: as large as fits */
    bool center, feedback;
    double cost;                /* 1: as measured */
};

#define RBE_HADAMARD_MAX UINT32_MAX

struct rbe_profile;

/*
 * name_or_path: a file, when it has a '/' or ends in .profile; else a shipped profile's name;
 * else CODEC or CODEC-bN (seed-b44): that codec for all matrices, the rest f16.
 * RBE_ERR_ARG: unknown (the valid names are listed), or a fault in the file (the line named).
 */
enum rbe_status rbe_profile_open(struct rbe_profile **out, const char *name_or_path,
                                 struct rbe_diag *d);
/* Names of the shipped profiles, sorted, `between` between them. */
void rbe_profile_names(char *out, size_t size, const char *between);
/* From text; `where` stands in messages. */
enum rbe_status rbe_profile_parse(struct rbe_profile **out, const char *text, const char *where,
                                  struct rbe_diag *d);
void rbe_profile_close(struct rbe_profile **p);

const char *rbe_profile_name(const struct rbe_profile *p);
const char *rbe_profile_about(const struct rbe_profile *p);
/* A word for the field `series` of result rows, or NULL. */
const char *rbe_profile_series(const struct rbe_profile *p);
/* 0 when it sets none. */
double rbe_profile_budget_bits(const struct rbe_profile *p);
uint64_t rbe_profile_budget_bytes(const struct rbe_profile *p);
/* True: the open choices are to be shared out by measured sensitivity. */
bool rbe_profile_measured(const struct rbe_profile *p);
enum rbe_metric rbe_profile_metric(const struct rbe_profile *p);
/* Of the calibration text; 0 when it sets none. */
size_t rbe_profile_tokens(const struct rbe_profile *p);
size_t rbe_profile_probes(const struct rbe_profile *p);
size_t rbe_profile_compensate(const struct rbe_profile *p);
double rbe_profile_compensate_share(const struct rbe_profile *p);

/* The first line of its text below line `after` (0: of all) whose layers=A-B begins past the
 * last of so many layers, so that it is about no matrix of such a model; 0: there is none. */
int rbe_profile_beyond(const struct rbe_profile *p, int layers, int after);

struct rbe_settings rbe_profile_settings(const struct rbe_profile *p, enum rbe_class c,
                                         int layer);

/* True when the choice leaves B to a budget. */
bool rbe_settings_are_open(const struct rbe_settings *c);

/*
 * Fills o's codec, rotation and search for a rows x cols matrix.  For a rate that the codec
 * cannot reach with this shape the nearest it can is taken and *met is false.  An open choice
 * gets no block.  energy needs the weights: rbe_encode_k_for_energy().
 */
enum rbe_status rbe_settings_resolve(const struct rbe_settings *c, uint32_t rows, uint32_t cols,
                                     struct rbe_encode_options *o, bool *met,
                                     struct rbe_diag *d);

#endif
