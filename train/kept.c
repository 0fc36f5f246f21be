/*
 * kept.c - slots for the predictions of windows that come again.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/kept.h"

#include <stdlib.h>

#include "grad/top.h"
#include "train/tokens.h"

struct rbe_kept {
    struct rbe_kept_plan plan;
    size_t windows;             /* of a pass */
    size_t cut;                 /* where the first of the text's windows starts */
    size_t sequence;            /* bytes of a sequence's predictions */
    uint32_t *slots;            /* [windows] by place in the text: 1 + its slot, or 0 */
    uint32_t *first;            /* [windows] likewise: its index in the first pass */
    bool *there;                /* [slots] */
    unsigned char *bytes;       /* [slots][sequence] */
};

static size_t length_of(const struct rbe_kept_plan *p)
{
    return (size_t)p->time + 1;
}

/* Windows of a pass, as rbe_tokens_window() has them. */
static size_t pass_of(const struct rbe_kept_plan *p)
{
    return p->count / length_of(p) - 1;
}

/* Bytes for each window of a pass, kept or not, and for a kept one. */
static size_t fixed_bytes(void)
{
    return 2 * sizeof(uint32_t);
}

static size_t slot_bytes(const struct rbe_kept_plan *p)
{
    return p->time * rbe_top_bytes(p->vocab) + sizeof(bool);
}

/* How many windows are kept. */
static size_t slots_of(const struct rbe_kept_plan *p)
{
    if (p->count < 2 * length_of(p) || pass_of(p) >= UINT32_MAX)
        return 0;
    const size_t n = pass_of(p), fixed = sizeof(struct rbe_kept) + n * fixed_bytes();
    if (p->windows <= n || p->limit <= fixed)
        return 0;
    const uint64_t again = p->windows - n < n ? p->windows - n : n;
    const size_t room = (p->limit - fixed) / slot_bytes(p);
    return again < room ? (size_t)again : room;
}

size_t rbe_kept_bytes(const struct rbe_kept_plan *p)
{
    const size_t slots = slots_of(p);

    return slots ? sizeof(struct rbe_kept) + pass_of(p) * fixed_bytes() +
                       slots * slot_bytes(p)
                 : 0;
}

/* The place in the text of window `index`. */
static size_t place_of(const struct rbe_kept *k, uint64_t index)
{
    return (rbe_kept_window(k, &k->plan, index) - k->cut) / length_of(&k->plan);
}

enum rbe_status rbe_kept_open(struct rbe_kept **out, const struct rbe_kept_plan *plan,
                              struct rbe_diag *d)
{
    const size_t slots = slots_of(plan);
    struct rbe_kept *k;

    *out = NULL;
    if (!slots)
        return RBE_OK;
    if (!(k = calloc(1, sizeof *k)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    k->plan = *plan;
    k->windows = pass_of(plan);
    k->sequence = plan->time * rbe_top_bytes(plan->vocab);
    if (!(k->slots = calloc(k->windows, sizeof *k->slots)) ||
        !(k->first = calloc(k->windows, sizeof *k->first)) ||
        !(k->there = calloc(slots, sizeof *k->there)) ||
        !(k->bytes = malloc(slots * k->sequence))) {
        rbe_kept_close(&k);
        return rbe_fail(d, RBE_ERR_NOMEM, "the teacher's predictions need %.0f MB of memory",
                        (double)rbe_kept_bytes(plan) * 1e-6);
    }
    k->cut = rbe_kept_window(k, plan, 0) % length_of(plan);
    for (size_t i = 0; i < k->windows; i++)
        k->first[place_of(k, i)] = (uint32_t)i;
    for (size_t i = 0; i < slots; i++)
        k->slots[place_of(k, k->windows + i)] = (uint32_t)(1 + i);
    *out = k;
    return RBE_OK;
}

void rbe_kept_close(struct rbe_kept **pk)
{
    struct rbe_kept *k = *pk;

    if (!k)
        return;
    free(k->slots);
    free(k->first);
    free(k->there);
    free(k->bytes);
    free(k);
    *pk = NULL;
}

size_t rbe_kept_window(const struct rbe_kept *k, const struct rbe_kept_plan *plan,
                       uint64_t index)
{
    return rbe_tokens_window(plan->count, length_of(plan), plan->seed, index, k != NULL);
}

struct rbe_kept_at rbe_kept_find(struct rbe_kept *k, uint64_t index, uint64_t from)
{
    struct rbe_kept_at at = {.state = RBE_KEPT_NOT};
    const size_t place = k ? place_of(k, index) : 0;

    if (!k || !k->slots[place])
        return at;
    at.first = k->first[place];
    if (at.first >= from && at.first != index)
        return at;              /* beside its first in this micro-batch */
    at.state = at.first < from ? RBE_KEPT_KNOWN : RBE_KEPT_FIRST;
    at.predictions = k->bytes + (k->slots[place] - 1) * k->sequence;
    at.there = &k->there[k->slots[place] - 1];
    return at;
}
