/*
 * top.c - the most likely tokens of a prediction, and logits made of them.
 *
 * SPDX-License-Identifier: MIT
 *
 * Kept: the rest as f32, probabilities as f16 [K], ids [K].  f16 is good to 1 part in 2048
 * down to 6e-5 and to 3e-8 below, and the sum of what is kept is brought to one again.
 */
#include "grad/top.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/elementwise.h"
#include "kernels/f16.h"
#include "kernels/vector.h"

/* Less than any logit by so much that its exponential is nothing beside theirs. */
#define NOTHING (-FLT_MAX / 4)

/* What a probability counts as at least: their logarithms are taken.  All of those together are
 * less than f16 leaves open. */
#define LEAST 1e-9

static size_t id_bytes(size_t vocab)
{
    return vocab > UINT16_MAX + (size_t)1 ? sizeof(uint32_t) : sizeof(uint16_t);
}

size_t rbe_top_bytes(size_t vocab)
{
    return sizeof(float) + rbe_top_tokens(vocab) * (sizeof(uint16_t) + id_bytes(vocab));
}

static void put_id(unsigned char *to, size_t i, uint32_t id, bool wide)
{
    const uint16_t half = (uint16_t)id;

    if (wide)
        memcpy(to + i * sizeof id, &id, sizeof id);
    else
        memcpy(to + i * sizeof half, &half, sizeof half);
}

static uint32_t get_id(const unsigned char *from, size_t i, bool wide)
{
    uint32_t id;
    uint16_t half;

    if (wide) {
        memcpy(&id, from + i * sizeof id, sizeof id);
        return id;
    }
    memcpy(&half, from + i * sizeof half, sizeof half);
    return half;
}

/* Is a to be given up before b?  Of equal logits the later one is. */
static bool below(const float *logits, uint32_t a, uint32_t b)
{
    return logits[a] < logits[b] || (logits[a] == logits[b] && a > b);
}

/* A heap whose first is below all others: the one at i to its place. */
static void sink(uint32_t *heap, size_t n, size_t i, const float *logits)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        child += child + 1 < n && below(logits, heap[child + 1], heap[child]);
        if (!below(logits, heap[child], heap[i]))
            return;
        const uint32_t id = heap[i];
        heap[i] = heap[child];
        heap[child] = id;
    }
}

/* The n largest, n >= 1, in any order that follows from the logits. */
static void find_largest(uint32_t *heap, size_t n, const float *logits, size_t vocab)
{
    for (size_t i = 0; i < n; i++)
        heap[i] = (uint32_t)i;
    for (size_t i = n / 2; i-- > 0;)
        sink(heap, n, i, logits);
    for (size_t i = n; i < vocab; i++)
        if (logits[i] > logits[heap[0]]) {
            heap[0] = (uint32_t)i;
            sink(heap, n, 0, logits);
        }
}

void rbe_top_take(unsigned char *to, const float *logits, float *scratch, size_t vocab,
                  float temperature)
{
    const struct rbe_elementwise *e = rbe_elementwise_best(rbe_cpu_isa());
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());
    const bool wide = id_bytes(vocab) > sizeof(uint16_t);
    const size_t n = rbe_top_tokens(vocab);
    unsigned char *const ids = to + sizeof(float) + n * sizeof(uint16_t);
    uint32_t top[RBE_TOP_TOKENS];

    if (n)
        find_largest(top, n, logits, vocab);
    v->scale(scratch, logits, vocab, 1 / temperature);
    const double all = e->log_sum_exp(scratch, vocab);
    for (size_t i = 0; i < n; i++) {
        const uint16_t p = rbe_f16_from_f32((float)exp((double)scratch[top[i]] - all));
        memcpy(to + sizeof(float) + i * sizeof p, &p, sizeof p);
        put_id(ids, i, top[i], wide);
        scratch[top[i]] = NOTHING;
    }
    /* Not one less the others: their rounding would be all of a small rest. */
    const float rest = (float)exp(e->log_sum_exp(scratch, vocab) - all);
    memcpy(to, &rest, sizeof rest);
}

void rbe_top_logits(float *logits, const unsigned char *from, const float *student,
                    size_t vocab, float temperature)
{
    const struct rbe_elementwise *e = rbe_elementwise_best(rbe_cpu_isa());
    const struct rbe_vector *v = rbe_vector_best(rbe_cpu_isa());
    const bool wide = id_bytes(vocab) > sizeof(uint16_t);
    const size_t n = rbe_top_tokens(vocab);
    const unsigned char *const ids = from + sizeof(float) + n * sizeof(uint16_t);
    float rest;

    memcpy(&rest, from, sizeof rest);
    if (temperature == 1)
        memcpy(logits, student, vocab * sizeof *logits);
    else
        v->scale(logits, student, vocab, 1 / temperature);
    for (size_t i = 0; i < n; i++)
        logits[get_id(ids, i, wide)] = NOTHING;
    /* The rest keeps the student's logits; the others stand as far from them as it says. */
    const double from_rest = e->log_sum_exp(logits, vocab) - log(fmax((double)rest, LEAST));
    if (temperature != 1)
        memcpy(logits, student, vocab * sizeof *logits);
    for (size_t i = 0; i < n; i++) {
        uint16_t p;
        memcpy(&p, from + sizeof(float) + i * sizeof p, sizeof p);
        logits[get_id(ids, i, wide)] =
            (float)((double)temperature *
                    (log(fmax((double)rbe_f16_to_f32(p), LEAST)) + from_rest));
    }
}
