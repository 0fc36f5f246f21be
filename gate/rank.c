/*
 * rank.c - Mann-Whitney and Wilcoxon's signed ranks.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/rank.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/stats.h"
#include "base/status.h"

enum { MOST_EXACT_PAIR = 25, MOST_EXACT_SIGNED = 250 };

/* P(Z >= z) for a normal Z. */
static double upper_tail(double z)
{
    return 0.5 * erfc(z / sqrt(2));
}

/* --- two samples -------------------------------------------------------------------- */

/* P(U <= u) without ties: ways[k][s] counts subsets of k ranks out of the first i whose sum
 * exceeds the least possible by s. */
static double exact_lower(size_t n, size_t m, size_t u)
{
    const size_t sums = n * m + 1;
    double *ways = calloc((n + 1) * sums, sizeof *ways), total = 0, tail = 0;

    if (!ways) {
        rbe_shortage_note();
        return NAN;
    }
    ways[0] = 1;
    /* Of the i-th rank: taken as the k-th, it exceeds its least place k by i - k. */
    for (size_t i = 1; i <= n + m; i++)
        for (size_t k = i < n ? i : n; k >= 1; k--)
            for (size_t s = i - k; s < sums; s++)
                ways[k * sums + s] += ways[(k - 1) * sums + s - (i - k)];
    for (size_t s = 0; s < sums; s++) {
        total += ways[n * sums + s];
        tail += s <= u ? ways[n * sums + s] : 0;
    }
    free(ways);
    return tail / total;
}

double rbe_mann_whitney(const double *a, size_t n, const double *b, size_t m)
{
    const size_t all = n + m;
    double *x = n && m ? malloc(all * sizeof *x) : NULL, below = 0, ties = 0;

    if (!x) {
        if (n && m)
            rbe_shortage_note();
        return NAN;
    }
    memcpy(x, a, n * sizeof *x);
    memcpy(x + n, b, m * sizeof *x);
    rbe_sort(x, n);
    rbe_sort(x + n, m);
    /* Of b, so many are less than x[i], and so many at most it. */
    for (size_t i = 0, less = n, most = n; i < n; i++) {
        while (less < all && x[less] < x[i])
            less++;
        while (most < all && x[most] <= x[i])
            most++;
        below += (double)(less - n) + 0.5 * (double)(most - less);
    }
    rbe_sort(x, all);
    for (size_t i = 0, j; i < all; i = j) {
        for (j = i + 1; j < all && x[j] == x[i]; j++)
            ;
        const double t = (double)(j - i);
        ties += t * t * t - t;
    }
    free(x);
    const double dn = (double)n, dm = (double)m, d = dn + dm;
    if (ties == 0 && n <= MOST_EXACT_PAIR && m <= MOST_EXACT_PAIR)
        return fmin(1, 2 * exact_lower(n, m, (size_t)fmin(below, dn * dm - below)));
    const double var = dn * dm / 12 * (d + 1 - ties / (d * (d - 1)));
    if (!(var > 0))
        return 1;
    return fmin(1, 2 * upper_tail(fmax(0, fabs(below - dn * dm / 2) - 0.5) / sqrt(var)));
}

/* --- signed ranks ------------------------------------------------------------------- */

size_t rbe_signed_rank_tail(size_t n, double alpha)
{
    const size_t sums = n * (n + 1) / 2 + 1;

    if (n > MOST_EXACT_SIGNED) {
        const double dn = (double)n, sd = sqrt(dn * (dn + 1) * (2 * dn + 1) / 24);
        double low = 0, high = 40;
        for (int i = 0; i < 80; i++) {
            const double z = (low + high) / 2;
            *(upper_tail(z) > alpha ? &low : &high) = z;
        }
        const double w = dn * (dn + 1) / 4 - high * sd - 0.5;
        return w > 0 ? (size_t)w : 0;
    }
    double *p = calloc(sums, sizeof *p), tail = 0;
    size_t c = 0;
    if (!p) {
        rbe_shortage_note();
        return 0;
    }
    p[0] = 1;
    for (size_t i = 1; i <= n; i++)
        for (size_t s = sums; s-- > 0;)
            p[s] = 0.5 * (p[s] + (s >= i ? p[s - i] : 0));
    while (c < sums && (tail += p[c]) <= alpha)
        c++;
    free(p);
    return c;
}

struct rbe_centre rbe_signed_rank_centre(const double *x, size_t n, double alpha_low,
                                         double alpha_high)
{
    struct rbe_centre r = {NAN, NAN, NAN};
    const size_t pairs = n * (n + 1) / 2;
    double *mean = n ? malloc(pairs * sizeof *mean) : NULL;
    size_t k = 0;

    if (!mean) {
        if (n)
            rbe_shortage_note();
        return r;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = i; j < n; j++)
            mean[k++] = (x[i] + x[j]) / 2;
    rbe_sort(mean, pairs);
    r.value = rbe_median(mean, pairs);
    /* W of x - c is the number of pairs whose mean is above c: with `tail` rare sums, the
     * tail-th smallest mean and all below it are rejected as centres. */
    const size_t low = rbe_signed_rank_tail(n, alpha_low);
    const size_t high = rbe_signed_rank_tail(n, alpha_high);
    r.low = low ? mean[low - 1] : -INFINITY;
    r.high = high ? mean[pairs - high] : INFINITY;
    free(mean);
    return r;
}
