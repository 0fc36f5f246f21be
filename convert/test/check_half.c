/*
 * check_half.c - sums of x x^T, of which half is kept, against slow ones in doubles.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>

#include "convert/half.h"
#include "grad/product.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"

enum { WIDEST = 203, MOST = 70, BESIDE = 5 };

/* x [count][ldx]; each number has 7 bits, so that sums are exact in f32 and bf16. */
static void fill(float *x, size_t count, size_t ldx, struct check_rng *rng)
{
    for (size_t i = 0; i < count * ldx; i++)
        x[i] = ((float)check_below(rng, 255) - 127) / 16;
}

/* half += x x^T twice, the second time less of it, by so many threads. */
static void add(float *half, bool bf16, size_t n, const float *x, size_t ldx, size_t count,
                unsigned threads)
{
    struct rbe_half *h = NULL;
    struct rbe_pool *pool = NULL;

    CHECK(threads == 1 || !rbe_pool_open(&pool, threads, NULL));
    CHECK(!rbe_half_open(&h, bf16, WIDEST, MOST, pool, NULL));
    rbe_half_add(h, half, n, x, ldx, count);
    rbe_half_add(h, half, n, x, ldx, count / 2);
    rbe_half_close(&h);
    rbe_pool_close(&pool);
}

static void check_sums(bool bf16, size_t n, size_t count, struct check_rng *rng)
{
    const size_t ldx = n + BESIDE, floats = rbe_half_floats(n);
    float *x = malloc(count * ldx * sizeof *x), *to = malloc(n * n * sizeof *to);
    float *half = calloc(floats + 1, sizeof *half), *same = calloc(floats + 1, sizeof *same);
    size_t wrong = 0;

    fill(x, count, ldx, rng);
    for (size_t i = 0; i < floats + 1; i++)
        half[i] = same[i] = 2;
    add(half, bf16, n, x, ldx, count, 3);
    add(same, bf16, n, x, ldx, count, 1);
    CHECK(!memcmp(half, same, (floats + 1) * sizeof *half) && half[floats] == 2);
    rbe_half_unfold(to, half, n, 0.5F);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++) {
            double want = 2;
            for (size_t t = 0; t < count + count / 2; t++) {
                const float *at = x + (t < count ? t : t - count) * ldx;
                want += (double)at[i] * (double)at[k];
            }
            wrong += (double)to[i * n + k] != want / 2;
        }
    for (size_t i = 0; i < n; i++)
        wrong += half[rbe_half_diagonal(n, i)] != 2 * to[i * n + i];
    if (!CHECK(!wrong))
        printf("     %zu x %zu, %zu at once, bf16 %d: %zu wrong\n", n, n, count, bf16, wrong);
    free(x);
    free(to);
    free(half);
    free(same);
}

/* 1 + 2^-9 is 1 when it is rounded. */
static void check_rounding(bool bf16)
{
    const float x[1] = {1 + 0x1p-9F};
    float sum = 0;

    add(&sum, bf16, 1, x, 1, 1, 1);
    CHECK(sum == (bf16 ? 1 : x[0] * x[0]));
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {1, 31, 32, 33, 64, 65, 95, 96, 127, 192, WIDEST};
    struct check_rng rng = check_seed(argc, argv);
    struct rbe_half *none;

    if (rbe_cpu_init())
        return 1;
    for (int bf16 = 0; bf16 < 1 + rbe_product_has_bf16(); bf16++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (size_t count = 1; count <= MOST; count += count == 1 ? 31 : 19)
                check_sums(bf16, sizes[i], count, &rng);
        check_rounding(bf16);
    }
    if (!rbe_product_has_bf16())
        CHECK(rbe_half_open(&none, true, 1, 1, NULL, NULL) == RBE_ERR_ARG && !none);
    CHECK(rbe_half_bytes(false, WIDEST, MOST) < 100);
    return check_done();
}
