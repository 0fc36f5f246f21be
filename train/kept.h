/*
 * kept.h - which of a teacher's predictions are kept until their text is read again.
 *
 * SPDX-License-Identifier: MIT
 *
 * Windows come again in every pass over the text when all passes cut it alike.  What is kept is
 * a matter of the plan alone, of the text, the seed and the length of the whole training: a
 * window that comes again is `known` from the micro-batch on that follows its first one.  A
 * training that goes on after a stop has none of them in memory; it makes those that it needs
 * again, in the micro-batch in which they came first, and so bit for bit.
 */
#ifndef RBE_TRAIN_KEPT_H
#define RBE_TRAIN_KEPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct rbe_kept_plan {
    size_t count;               /* tokens of the text */
    uint32_t time;              /* tokens of a sequence: windows have one more */
    size_t vocab;
    uint64_t seed;              /* of the order of the windows */
    uint64_t windows;           /* taken in the whole training; UINT64_MAX where that is not
                                 * known yet */
    size_t limit;               /* bytes that may be taken */
};

/* Bytes that rbe_kept_open() allocates, at most plan->limit; 0 where no window comes again, or
 * too little may be taken for one. */
size_t rbe_kept_bytes(const struct rbe_kept_plan *plan);

struct rbe_kept;

/* *out is NULL where rbe_kept_bytes() is 0.  Of windows that come again those are kept that do
 * so first. */
enum rbe_status rbe_kept_open(struct rbe_kept **out, const struct rbe_kept_plan *plan,
                              struct rbe_diag *d);
void rbe_kept_close(struct rbe_kept **k);

/* Where window `index` starts in the text, as rbe_tokens_window() but cut alike in all passes;
 * of k NULL it is that. */
size_t rbe_kept_window(const struct rbe_kept *k, const struct rbe_kept_plan *plan,
                       uint64_t index);

/* How window `index` stands to what is kept, in a micro-batch that begins with `from`. */
enum rbe_kept_state {
    RBE_KEPT_NOT,               /* not known, and not to be kept */
    RBE_KEPT_FIRST,             /* to be kept */
    RBE_KEPT_KNOWN,             /* known, by the plan */
};
struct rbe_kept_at {
    enum rbe_kept_state state;
    unsigned char *predictions; /* [time][rbe_top_bytes()], or NULL: of RBE_KEPT_NOT */
    uint64_t first;             /* the window as which it came first */
    bool *there;                /* the caller's: whether they have been computed */
};
/* k NULL: RBE_KEPT_NOT. */
struct rbe_kept_at rbe_kept_find(struct rbe_kept *k, uint64_t index, uint64_t from);

#endif
