/*
 * trellis_body.h - the step of trellis.h, in vectors of 16 lanes that the compiler maps to
 * whatever registers the including file is compiled for.
 *
 * SPDX-License-Identifier: MIT
 *
 * The including file defines RBE_TRELLIS_OPS, the name of its table.
 *
 * Costs are non-negative floats, whose bit patterns order like integers.  So the fold puts
 * the carry and the predecessor's number into the lowest bits of the pattern and takes
 * integer minima: the winner brings its name along.  This bends a cost by at most 2^-13 of
 * itself (16 - L + k <= 11 bits of 24; k > 3 only where L - k + ... keeps it below 12), and
 * costs stay small because each step subtracts the least.
 */
#include <stddef.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "rbe/trellis.h"

/* No vector crosses a call: every function here is inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

typedef int32_t v16i __attribute__((vector_size(64)));
typedef float v16f __attribute__((vector_size(64)));
typedef uint16_t v16h __attribute__((vector_size(32)));
typedef int16_t v16s __attribute__((vector_size(32)));
typedef uint8_t v16b __attribute__((vector_size(16)));

#define INLINE static inline __attribute__((always_inline))

/* A forbidden state's cost: never the best, and far from overflow. */
#define NEVER 1e30F

INLINE v16i load_i(const void *p) { v16i v; memcpy(&v, p, sizeof v); return v; }
INLINE v16f load_f(const void *p) { v16f v; memcpy(&v, p, sizeof v); return v; }
INLINE v16h load_h(const void *p) { v16h v; memcpy(&v, p, sizeof v); return v; }
#define STORE(p, v) do { const __typeof__(v) v_ = (v); memcpy((p), &v_, sizeof v_); } while (0)

INLINE v16i min_i(const v16i *a, const v16i *b)
{
#if defined(__AVX512F__)
    return (v16i)_mm512_min_epi32((__m512i)*a, (__m512i)*b);
#else
    const v16i less = *a < *b;
    return (*a & less) | (*b & ~less);
#endif
}

/* Minima of neighbours: lanes 0,1 -> 0, 2,3 -> 1, ... of a and then b. */
INLINE void pair_min(v16i *out, const v16i *a, const v16i *b)
{
    const v16i even = __builtin_shufflevector(*a, *b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22,
                                              24, 26, 28, 30);
    const v16i odd = __builtin_shufflevector(*a, *b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23,
                                             25, 27, 29, 31);
    *out = min_i(&even, &odd);
}

/* Minima of groups of 2^k lanes: 2^k vectors in v, one out. Unrolled: they stay in registers.
 */
INLINE v16i group_min(v16i *v, unsigned k)
{
#pragma GCC unroll 4
    for (unsigned n = 1U << k; n > 1; n /= 2) {
#pragma GCC unroll 8
        for (unsigned i = 0; i < n / 2; i++)
            pair_min(&v[i], &v[2 * i], &v[2 * i + 1]);
    }
    return v[0];
}

INLINE v16f output(const v16h *u, unsigned multiplier, unsigned addend, int nibbles)
{
    const v16h h = *u * (uint16_t)multiplier + (uint16_t)addend;
    v16s g;

    if (nibbles) {
        const v16h two = (h & 0x0F0F) + (h >> 4 & 0x0F0F);
        g = (v16s)((two & 0xFF) + (two >> 8)) - 30;
    } else {
        g = ((v16s)(h << 8) >> 8) + ((v16s)h >> 8);
    }
    return __builtin_convertvector(__builtin_convertvector(g, v16i), v16f);
}

/*
 * The best of each group of 2^k states, from cost into group, its window into next_window.
 * carried: the states' carries stand in window, for the step before shifted by `shift`.
 */
INLINE void fold(struct rbe_trellis *t, unsigned k, uint8_t *decision, int carried)
{
    const unsigned L = t->bits, c = 16 - L;
    const size_t groups = (size_t)1 << (L - k), wrap = ((size_t)1 << (L - t->shift)) - 1;
    const int32_t low = (1 << (c + k)) - 1, carry_mask = (1 << c) - 1;
    const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    v16i least = load_i(t->cost);

    for (size_t g = 0; g < groups; g += 16) {
        v16i v[1 << 8];

#pragma GCC unroll 16
        for (unsigned i = 0; i < 1U << k; i++) {
            const size_t s = (g << k) + 16 * i;
            v16i name = (lane + (int)(16 * i)) & ((1 << k) - 1);

            if (carried) {
                const v16h w = load_h(t->window + (s & wrap));
                name |= (__builtin_convertvector(w, v16i) & carry_mask) << k;
            }
            v[i] = (load_i(t->cost + s) & ~low) | name;
        }
        const v16i best = group_min(v, k);
        const v16i j = best & ((1 << k) - 1), carry = (best & low) >> k;
        const v16i w = ((lane + (int)g) << c) | ((j << c | carry) >> k);

        const v16i cost = best & ~low;

        STORE(t->group + g, cost);
        STORE(t->next_window + g, __builtin_convertvector(w, v16h));
        if (k)
            STORE(decision + g, __builtin_convertvector(j, v16b));
        least = min_i(&least, &cost);
    }
    float m = ((v16f)least)[0];
    for (unsigned i = 1; i < 16; i++)
        m = ((v16f)least)[i] < m ? ((v16f)least)[i] : m;
    for (size_t g = 0; g < groups; g += 16)
        STORE(t->group + g, load_f(t->group + g) - m);

    uint16_t *const swap = t->window;
    t->window = t->next_window;
    t->next_window = swap;
    t->shift = k;
}

INLINE void spread(struct rbe_trellis *t, const struct rbe_trellis_row *r, int nibbles)
{
    const unsigned k = t->shift;
    const size_t groups = (size_t)1 << (t->bits - k);
    const v16f zero = {0}, target = zero + r->target, weight = zero + r->weight;

    for (unsigned n = 0; n < 1U << k; n++) {
        float *const cost = t->cost + n * groups;

        const uint16_t top = (uint16_t)((uint32_t)n << (16 - k));
        for (size_t g = 0; g < groups; g += 16) {
            const v16h u = load_h(t->window + g) | top;
            const v16f e = target - output(&u, r->multiplier, r->addend, nibbles);
            STORE(cost + g, load_f(t->group + g) + weight * (e * e));
        }
    }
}

/* Adds the errors of `windows` to costs: cost[i] = base[i] + weight * e^2. */
INLINE void add_errors(const struct rbe_trellis_row *r, const float *base,
                       const uint16_t *windows, float *cost, size_t count)
{
    const v16f zero = {0}, target = zero + r->target, weight = zero + r->weight;

    for (size_t i = 0; i < count; i += 16) {
        const v16h u = load_h(windows + i);
        const v16f e = target - output(&u, r->multiplier, r->addend, r->nibbles);
        STORE(cost + i, load_f(base + i) + weight * (e * e));
    }
}

/* The first row with fixed bits: the last bits that can be chosen, then whole windows. */
static void begin_drain(struct rbe_trellis *t, const struct rbe_trellis_row *r,
                        uint8_t *decision)
{
    const unsigned k = r->shift, fixed = k - r->free;
    const size_t groups = (size_t)1 << (t->bits - r->free);

    fold(t, r->free, decision, t->bits < 16);
    for (size_t n = 0; n < (size_t)1 << r->free; n++) {
        const uint16_t top = (uint16_t)(n << (16 - k) | r->fixed << (16 - fixed));
        uint16_t *const windows = t->next_window + n * groups;

        for (size_t g = 0; g < groups; g++)
            windows[g] = (uint16_t)(t->window[g] >> fixed | top);
        add_errors(r, t->group, windows, t->cost + n * groups, groups);
    }
    uint16_t *const swap = t->window;
    t->window = t->next_window;
    t->next_window = swap;
    t->draining = 1;
}

static void drain(struct rbe_trellis *t, const struct rbe_trellis_row *r)
{
    const size_t states = (size_t)1 << t->bits;
    const uint16_t top = (uint16_t)((uint32_t)r->fixed << (16 - r->shift));

    for (size_t s = 0; s < states; s++)
        t->window[s] = (uint16_t)(t->window[s] >> r->shift | top);
    add_errors(r, t->cost, t->window, t->cost, states);
}

INLINE void step_k(struct rbe_trellis *t, const struct rbe_trellis_row *r, uint8_t *decision,
                   unsigned k)
{
    if (t->bits == 16)
        fold(t, k, decision, 0);
    else
        fold(t, k, decision, 1);
    if (r->nibbles)
        spread(t, r, 1);
    else
        spread(t, r, 0);
}

static void step(struct rbe_trellis *t, const struct rbe_trellis_row *r, uint8_t *decision)
{
    if (t->draining) {
        drain(t, r);
        return;
    }
    if (r->free < r->shift) {
        begin_drain(t, r, decision);
        return;
    }
    switch (r->shift) {
    case 0: step_k(t, r, decision, 0); break;
    case 1: step_k(t, r, decision, 1); break;
    case 2: step_k(t, r, decision, 2); break;
    case 3: step_k(t, r, decision, 3); break;
    case 4: step_k(t, r, decision, 4); break;
    default: step_k(t, r, decision, r->shift); break;
    }
}

/* The first row is a fold of all 2^16 windows by their lowest 16 - L bits. */
static void start(struct rbe_trellis *t, const struct rbe_trellis_row *r, float *scratch,
                  uint8_t *decision)
{
    const v16h lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const v16f zero = {0}, target = zero + r->target, weight = zero + r->weight;
    const unsigned L = t->bits;
    struct rbe_trellis all = {.bits = 16, .shift = 0, .cost = scratch, .group = t->cost,
                              .window = t->next_window, .next_window = t->window};

    for (size_t u = 0; u < 1 << 16; u += 16) {
        const v16h w = lane + (uint16_t)u;
        const v16f e = target - output(&w, r->multiplier, r->addend, r->nibbles);
        STORE(scratch + u, weight * (e * e));
    }
    if (r->only >= 0) {
        const float cost = scratch[r->only];
        for (size_t u = 0; u < 1 << 16; u++)
            scratch[u] = NEVER;
        scratch[r->only] = cost;
    }
    fold(&all, 16 - L, decision, 0);
    /* fold leaves the windows shifted; a step without a shift before it wants them whole. */
    for (size_t s = 0; s < (size_t)1 << L; s++)
        all.window[s] = (uint16_t)(s << (16 - L) | (L < 16 ? decision[s] : 0));
    t->window = all.window;
    t->next_window = all.next_window;
    t->shift = 0;
    t->draining = 0;
}

const struct rbe_trellis_ops RBE_TRELLIS_OPS = {start, step};
