/*
 * convert.h - a checkpoint becomes an RBE model, one tensor at a time.
 *
 * SPDX-License-Identifier: MIT
 *
 * First a plan (which codec and B each matrix gets, within the budget), then the encoding,
 * then the file.  Finished matrices lie as small containers in the folder OUT.partial until
 * the file is complete, so that an interrupted conversion goes on where it stopped; beside
 * them what the calibration has gathered and the allocation has measured.  Each is keyed by
 * the very numbers that decide it, and checked by checksums, so that nothing stale or damaged
 * is ever taken over.
 */
#ifndef RBE_CONVERT_CONVERT_H
#define RBE_CONVERT_CONVERT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/progress.h"
#include "convert/calibrate.h"
#include "convert/profile.h"
#include "model/source.h"
#include "rbe/encode.h"
#include "rbe/quality.h"

/* What happened to one tensor, or will. */
struct rbe_convert_entry {
    const struct rbe_source_tensor *tensor;
    enum rbe_class tensor_class;
    int layer;                          /* -1 outside the blocks */
    struct rbe_settings settings;
    struct rbe_encode_options options;  /* matrices; `parts` points to own_parts */
    struct rbe_encode_part *own_parts;  /* or NULL: one part */
    bool encoded;                       /* a matrix, or positions with a codec of their own */
    bool rate_met;                      /* the codec can have the rate the profile asks for */
    bool elsewhere;                     /* of another shard: not encoded, not written */
    bool done, reused;                  /* encoded; taken over from an interrupted run */
    double sensitivity;                 /* nats a token at the rate it was measured at, or 0 */
    double output_error;                /* relative, under the calibration's moment, of what was
                                         * to be encoded; or 0 */
    struct rbe_quality quality;         /* of what was encoded: column means removed */
    double seconds;                     /* its share of the time of what was encoded at once */
    struct rbe_encode_spent spent;      /* parts of that, of what this run encoded */
};

struct rbe_convert_options {
    const struct rbe_profile *profile;
    double budget_bits;         /* of file bytes * 8 / parameters; 0: the profile's budget */
    uint64_t budget_bytes;      /* of the file; 0: budget_bits */
    int search;                 /* enum rbe_search for all matrices, or -1: the profile's */
    const struct rbe_calibration *calibration;  /* NULL: encode without error feedback */
    double low_rank;            /* not 0: matrices become their projection to the rank whose
                                   f16 factors have this ratio, stored as the profile says */
    bool no_feedback;           /* the calibration measures output errors only */
    bool drawn;                 /* no seed is searched (rbe/encode.h) */
    size_t compensate;          /* tokens of the calibration by which matrices of layers
                                   compensate for what is encoded before
                                   (convert/compensate.h); 0: none */
    unsigned shard_index, shard_count;  /* 0-based; of the matrices; count 0 or 1: all */
    const char *shared;         /* folder of what several processes measure once, or NULL */
    struct rbe_pool *pool;      /* may be NULL */
    struct rbe_progress *progress;      /* started and ended by each step, or NULL */
};

struct rbe_convert {
    const struct rbe_source *source;
    struct rbe_convert_options o;
    struct rbe_convert_entry *entries;  /* one for each tensor of the file */
    struct rbe_source_tensor embed_mean;        /* of the file, where the source has none */
    struct rbe_compensation *compensation;      /* while matrices of layers are encoded */
    double compensating;        /* seconds of its targets */
    struct rbe_container **finished;    /* [count]: each matrix alone, once it is encoded */
    size_t count, next;                 /* next: the first that rbe_convert_next() looks at */
    uint64_t params;                    /* of the model, tied output layer counted once */
    uint64_t budget_bytes;              /* 0: none */
    uint64_t file_bytes;                /* planned; then measured */
    bool measured;                      /* the blocks are those of rbe_convert_allocate() */
    size_t probes, probes_reused;       /* sensitivities measured, and taken over, by it */
    char *folder;                       /* OUT.partial, from rbe_convert_begin() on */
    bool made;                          /* which was not there before */
    struct rbe_diag unkept;             /* why a sensitivity was not kept, or "" */
    double seconds;                     /* of encoding, interrupted runs included */
    unsigned shortages;                 /* rbe_shortages() before the plan */
};

/*
 * Decides every tensor's codec.  Matrices whose B is open share the budget: the smallest
 * common B that fits (rbe_convert_allocate() may have better ideas).  RBE_ERR_LIMIT: the
 * budget cannot be met; the message says the smallest size that can.
 */
enum rbe_status rbe_convert_plan(struct rbe_convert **out, const struct rbe_source *s,
                                 const struct rbe_convert_options *o, struct rbe_diag *d);
void rbe_convert_close(struct rbe_convert **c);

/* The profile for a model of this shape when none is named. */
const char *rbe_convert_default_profile(const struct rbe_model_config *c);

/* Whether the plan finds this matrix's B. */
bool rbe_convert_is_open(const struct rbe_convert_entry *r);

/* Exact size of the file under the present options of every row. */
enum rbe_status rbe_convert_size(uint64_t *bytes, const struct rbe_convert *c,
                                 struct rbe_diag *d);

/*
 * Shares the budget by measured sensitivity instead: every matrix whose B is open, and each
 * of seven ranges of a large vocabulary's rows, is encoded alone at the plan's B with a small
 * search; what that does to the predictions (sensitivity.h) is taken to add up and to fall by
 * 4 with each bit.  The plan's blocks become those of least total divergence, none far below
 * the plan's rate.  Ranges have scales of their own: where the budget leaves no room for them
 * the plan stays as it is, with c->measured false.  Needs a calibration and a budget; does
 * nothing when no B is open.  What is measured is kept where rbe_convert_begin() came before,
 * or in the shared folder, where one process measures at a time and the others take it over.
 */
enum rbe_status rbe_convert_allocate(struct rbe_convert *c, const char *model_path,
                                     struct rbe_diag *d);

/* Bytes rbe_convert_allocate() takes at its height, besides the calibration. */
size_t rbe_convert_allocate_bytes(const struct rbe_convert *c, unsigned threads);

/*
 * Bytes a conversion takes at its height, the mapped checkpoint and some MB of program and
 * tables apart: of the calibration, NULL where there is none, of the allocation where
 * `allocates`, of the encoding, whichever is most.
 */
size_t rbe_convert_bytes(const struct rbe_convert *c, const struct rbe_calibration_how *how,
                         bool allocates, unsigned threads);

/* A row's weights as they are stored [rows][cols], fresh: the embedding's means moved to the
 * positions, or to the vector for them where positions are no tensor; of low rank where that is
 * asked for. */
enum rbe_status rbe_convert_weights(float **out, const struct rbe_convert *c,
                                    const struct rbe_convert_entry *r, struct rbe_diag *d);

/* What the file would take if it held the factors of a low-rank conversion, or 0. */
uint64_t rbe_convert_low_rank_bytes(const struct rbe_convert *c);

/* Tokens by which targets compensate for what is encoded before; 0: they do not. */
size_t rbe_convert_compensated(const struct rbe_convert *c);

/* True when some matrix would be encoded with what a calibration tells. */
bool rbe_convert_wants_calibration(const struct rbe_convert *c);

/* Whether a matrix is to be encoded with what a calibration tells, and that tells nothing. */
bool rbe_convert_is_untold(const struct rbe_convert *c, const struct rbe_convert_entry *r);

/* Makes PATH.partial, where calibration and allocation are kept too if they come after.
 * rbe_convert_close() removes an empty one. */
enum rbe_status rbe_convert_begin(struct rbe_convert *c, const char *path, struct rbe_diag *d);
/* Is something of an unfinished conversion there? */
bool rbe_convert_has_kept(const struct rbe_convert *c);
/* Where the model's own weights are the reason that nothing can go on: PATH.partial is removed,
 * unless something of an earlier run was there. */
void rbe_convert_give_up(const struct rbe_convert *c);

/*
 * Encodes the next matrix, or takes it over, and keeps it in PATH.partial, which must have been
 * begun; *out is its row, or NULL when all are done.  Matrices whose search cannot keep the
 * pool's threads busy are encoded several at a time, one on each thread, ahead of their turn.
 * RBE_ERR_INTERRUPTED (rbe_interrupted()) leaves the finished ones there.
 */
enum rbe_status rbe_convert_next(const struct rbe_convert_entry **out, struct rbe_convert *c,
                                 struct rbe_diag *d);
/* Once all are done: writes `path`, in one step at the end, and removes PATH.partial.  A
 * failure leaves an existing `path` as it was.  A GGUF file's tokenizer goes to
 * rbe_tokenizer_beside(path) before. */
enum rbe_status rbe_convert_write(struct rbe_convert *c, const char *path, struct rbe_diag *d);
/*
 * The same of a shard: `path` is a part of the file, a container of its own that
 * rbe_convert_join() takes.  row: the result row of the conversion, whose tensors are those of
 * this shard.
 */
enum rbe_status rbe_convert_write_part(struct rbe_convert *c, const char *path,
                                       const json_t *row, struct rbe_diag *d);
/* All of it. */
enum rbe_status rbe_convert_run(struct rbe_convert *c, const char *path, struct rbe_diag *d);

/*
 * Compressed parameters (evaluation.md, C10): what a converted model stores, counted in the
 * original's unit of 32 bits for codes, and one for each scale, norm, bias and position.
 */
#define RBE_COMPRESSED_DEFINITION                                                              \
    "32-bit words of codes, plus scales, norms, biases and positions, one each"
uint64_t rbe_convert_compressed(const struct rbe_convert *c);

/*
 * Joins the parts that shards of one conversion have written, in any order, into the file that
 * one conversion writes, byte for byte, and its result row into the same but for times, memory
 * and command, a fresh object in *row.  RBE_ERR_MISMATCH: a part is missing, there twice, or of
 * another conversion; the message says which and in what.  Nothing is written then.
 */
enum rbe_status rbe_convert_join(json_t **row, const char *out, const char *const *parts,
                                 size_t count, struct rbe_diag *d);
/* Whether the file begins like a container, and not like a result file. */
bool rbe_convert_is_part(const char *path);

#endif
