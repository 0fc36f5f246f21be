/*
 * sampler.c - greedy, temperature, top-k and top-p.
 *
 * SPDX-License-Identifier: MIT
 *
 * Probabilities come from the elementwise softmax, which all machines compute alike, and are
 * added in double in a fixed order, so the choice is the same everywhere.  Candidates for
 * top-k and top-p are taken from a heap: only as many are sorted as are kept.
 */
#include <math.h>
#include <rbe/sampler.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/stats.h"
#include "kernels/cpu.h"
#include "kernels/elementwise.h"

struct rbe_sampler {
    struct rbe_sampling how;
    size_t vocab;
    uint64_t state;
    float *p;                   /* [vocab] */
    uint32_t *heap;             /* [vocab] ids, the likeliest on top */
};

struct rbe_sampler *rbe_sampler_open(size_t vocab, struct rbe_sampling how)
{
    struct rbe_sampler *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    *s = (struct rbe_sampler){.how = how, .vocab = vocab, .state = how.seed,
                              .p = malloc(vocab * sizeof *s->p),
                              .heap = malloc(vocab * sizeof *s->heap)};
    if (!s->p || !s->heap)
        rbe_sampler_close(&s);
    return s;
}

void rbe_sampler_close(struct rbe_sampler **s)
{
    if (!s || !*s)
        return;
    free((*s)->p);
    free((*s)->heap);
    free(*s);
    *s = NULL;
}

/* Uniform in [0, 1), 53 bits. */
static double uniform(struct rbe_sampler *s)
{
    return (double)(rbe_random_next(&s->state) >> 11) * 0x1p-53;
}

/* Likelier first; of equals the lower id. */
static bool before(const struct rbe_sampler *s, uint32_t a, uint32_t b)
{
    return s->p[a] != s->p[b] ? s->p[a] > s->p[b] : a < b;
}

/* Puts heap[i] where it belongs among n; on top comes the likeliest, or the unlikeliest. */
static void sift(struct rbe_sampler *s, size_t i, size_t n, bool unlikely)
{
    const uint32_t id = s->heap[i];

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && before(s, s->heap[child + 1], s->heap[child]) != unlikely)
            child++;
        if (before(s, s->heap[child], id) == unlikely)
            break;
        s->heap[i] = s->heap[child];
        i = child;
    }
    s->heap[i] = id;
}

static void make_heap(struct rbe_sampler *s, size_t n, bool unlikely)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(s, i, n, unlikely);
}

/* The likeliest k of all, as choose_candidates() leaves them: few get as far as the heap. */
static void choose_few(struct rbe_sampler *s, size_t k)
{
    for (size_t i = 0; i < k; i++)
        s->heap[i] = (uint32_t)i;
    make_heap(s, k, true);
    for (size_t i = k; i < s->vocab; i++)
        if (s->p[i] > s->p[s->heap[0]]) {
            s->heap[0] = (uint32_t)i;
            sift(s, 0, k, true);
        }
    for (size_t n = k; n-- > 0;) {      /* the unlikeliest first */
        s->heap[s->vocab - 1 - n] = s->heap[0];
        s->heap[0] = s->heap[n];
        sift(s, 0, n, true);
    }
}

/* All that may be candidates, on the heap: where top_p alone decides, those left out have less
 * in all than half of what it leaves.  Returns how many. */
static size_t choose_likely(struct rbe_sampler *s, bool all)
{
    const float rest = 1 - s->how.top_p;
    const float least = all || rest < 0.01F ? 0 : 0.5F * rest / (float)s->vocab;
    size_t n = 0;

    for (size_t i = 0; i < s->vocab; i++)
        if (!(s->p[i] < least))
            s->heap[n++] = (uint32_t)i;
    make_heap(s, n, false);
    return n;
}

/* Moves the candidates to the end of the heap's array, the likeliest last; returns how many,
 * and their probability in all. */
static size_t choose_candidates(struct rbe_sampler *s, double *mass)
{
    const size_t k = s->how.top_k && s->how.top_k < s->vocab ? s->how.top_k : s->vocab;
    const bool few = k <= s->vocab / 2;
    size_t n = few ? 0 : choose_likely(s, k < s->vocab), kept = 0;
    double within = 0;

    if (few)
        choose_few(s, k);
    *mass = 0;
    /* top-p counts among the top k: their probability first. */
    while (kept < k) {
        if (!few) {
            const uint32_t top = s->heap[0];
            s->heap[0] = s->heap[--n];
            sift(s, 0, n, false);
            s->heap[s->vocab - 1 - kept] = top;
        }
        *mass += s->p[s->heap[s->vocab - 1 - kept++]];
        if (k == s->vocab && *mass >= (double)s->how.top_p)
            return kept;
    }
    for (size_t i = 0; i < kept; i++) {
        within += s->p[s->heap[s->vocab - 1 - i]];
        if (within >= (double)s->how.top_p * *mass) {
            *mass = within;
            return i + 1;
        }
    }
    return kept;
}

uint32_t rbe_sample(struct rbe_sampler *s, const float *logits)
{
    if (!s || !logits)
        return 0;
    const struct rbe_elementwise *e = rbe_elementwise_best(rbe_cpu_isa());
    const uint32_t best = (uint32_t)e->largest(logits, s->vocab);
    double mass = 0, sum = 0;

    if (!(s->how.temperature > 0))
        return best;
    const float scale = 1 / s->how.temperature;
    for (size_t i = 0; i < s->vocab; i++)
        s->p[i] = (logits[i] - logits[best]) * scale;
    e->softmax(s->p, s->vocab);
    const double u = uniform(s);
    if (isnan(s->p[best]))
        return best;
    if (!s->how.top_k && !(s->how.top_p < 1)) {
        for (size_t i = 0; i < s->vocab; i++)
            mass += s->p[i];
        for (size_t i = 0; i < s->vocab; i++) {
            sum += s->p[i];
            if (sum > u * mass)
                return (uint32_t)i;
        }
        return best;
    }
    const size_t count = choose_candidates(s, &mass);
    for (size_t i = 0; i < count; i++) {
        const uint32_t id = s->heap[s->vocab - 1 - i];
        sum += s->p[id];
        if (sum > u * mass)
            return id;
    }
    return best;
}
