/*
 * funnel_avx512vbmi2.c - does the funnel shift pay on this CPU?
 *
 * SPDX-License-Identifier: MIT
 *
 * On some CPUs it is one instruction for three, on others (Zen 4) it waits for the
 * multiplier that the seed kernels keep busy, and two shifts and an or are faster.  No
 * feature bit tells, so both row steps are timed, a few microseconds in all.
 */
#ifndef __AVX512VBMI2__
#error "needs -mavx512vbmi2: the Makefile takes ISA flags from the file name's suffix"
#endif
#include "kernels/funnel.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "kernels/body/unroll.h"
#include "kernels/format/seed.h"

/* What the compiler knows of the value is forgotten. */
#define HIDE(v) __asm__ volatile("" : "+v"(v))

enum { STEPS = 100, SAMPLES = 9 };

/* One row step of a seed kernel; the sum feeds the window, so that nothing is hoisted. */
INLINE __m512i step(const int funnel, __m512i sum, __m512i word)
{
    __m512i u;

    if (funnel) {
        u = _mm512_shrdv_epi16(sum, word, _mm512_set1_epi16(5));
    } else {
        __m512i high = _mm512_sllv_epi16(word, _mm512_set1_epi16(11));
        HIDE(high);     /* or the compiler makes a funnel shift of it */
        u = _mm512_or_si512(_mm512_srlv_epi16(sum, _mm512_set1_epi16(5)), high);
    }
    const __m512i h = _mm512_mullo_epi16(u, _mm512_set1_epi16((short)RBE_SEED_MULTIPLIER));
    return _mm512_dpwssd_epi32(sum, _mm512_maddubs_epi16(_mm512_set1_epi8(1), h), word);
}

/* Twelve independent sums hide every latency.  Returns nanoseconds. */
INLINE int64_t time_steps(const int funnel)
{
    __m512i word = _mm512_set1_epi16(12345);
    __m512i a = word, b = word, c = word, d = word, e = word, f = word;
    __m512i g = word, h = word, i = word, j = word, k = word, l = word;
    struct timespec start, end;

    HIDE(a); HIDE(b); HIDE(c); HIDE(d); HIDE(e); HIDE(f);
    HIDE(g); HIDE(h); HIDE(i); HIDE(j); HIDE(k); HIDE(l);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int n = 0; n < STEPS; n++) {
        a = step(funnel, a, word), b = step(funnel, b, word), c = step(funnel, c, word);
        d = step(funnel, d, word), e = step(funnel, e, word), f = step(funnel, f, word);
        g = step(funnel, g, word), h = step(funnel, h, word), i = step(funnel, i, word);
        j = step(funnel, j, word), k = step(funnel, k, word), l = step(funnel, l, word);
        HIDE(word);
    }
    HIDE(a); HIDE(b); HIDE(c); HIDE(d); HIDE(e); HIDE(f);
    HIDE(g); HIDE(h); HIDE(i); HIDE(j); HIDE(k); HIDE(l);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (end.tv_sec - start.tv_sec) * 1000000000LL + (end.tv_nsec - start.tv_nsec);
}

bool rbe_funnel_shift_pays(void)
{
    int64_t least[2] = {INT64_MAX, INT64_MAX};

    for (int s = 0; s < SAMPLES; s++) {
        const int64_t two = time_steps(0), one = time_steps(1);
        least[0] = two < least[0] ? two : least[0];
        least[1] = one < least[1] ? one : least[1];
    }
    return least[1] <= least[0];
}
