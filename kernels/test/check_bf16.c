/*
 * check_bf16.c - products of bf16: how factors are laid out, and sums against doubles.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "kernels/bf16.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "kernels/vector.h"

enum { MAX = 160, STEP = RBE_BF16_STEP };

static float a[MAX * MAX], b[MAX * MAX], turned[MAX * MAX], c[(MAX + 1) * MAX];
static uint16_t rows[MAX * 2 * MAX], panels[MAX * MAX], again[MAX * 2 * MAX];

static float as_bf16(float v)
{
    uint16_t half;

    rbe_vector_at(0)->round_bf16(&half, &v, 1, 1);
    memcpy(&v, &(const uint32_t){(uint32_t)half << 16}, sizeof v);
    return v;
}

static void turn(float *to, const float *from, size_t m, size_t n)
{
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            to[j * m + i] = from[i * n + j];
}

/* C = 0.5 A B, and added to what is there; the sum in one piece, and in two. */
static void check_product(const struct rbe_bf16 *v, size_t m, size_t n, size_t k)
{
    const size_t wide = rbe_bf16_padded(k), ld = wide + STEP, ldc = n + 3;
    const size_t last = rbe_bf16_padded(n) / STEP;

    turn(turned, a, m, k);
    memset(again, 0x55, sizeof again);
    v->rows(again, ld, turned, m, true, m, k, 0.5F);
    memset(rows, 0x55, sizeof rows);
    v->rows(rows, ld, a, k, false, m, k, 0.5F);
    CHECK(!memcmp(rows, again, sizeof rows));
    CHECK(rows[m * ld] == 0x5555 && rows[wide] == 0x5555);
    for (size_t l = k; l < wide; l++)
        CHECK(rows[(m - 1) * ld + l] == 0);

    turn(turned, b, k, n);
    memset(again, 0x55, sizeof again);
    for (size_t p = 0; p < last; p++)
        v->panels(again, turned, k, true, k, n, p, p + 1);
    memset(panels, 0x55, sizeof panels);
    v->panels(panels, b, n, false, k, n, 0, last);
    CHECK(!memcmp(panels, again, rbe_bf16_packed(k, n) * sizeof *panels));

    for (int add = 0; add < 2; add++)
        for (size_t split = 0; split < (wide > STEP ? 2 : 1); split++) {
            const size_t first = split ? STEP : wide;
            for (size_t i = 0; i <= m; i++)
                for (size_t j = 0; j < ldc; j++)
                    c[i * ldc + j] = 3;
            v->product(m, n, first, rows, ld, panels, STEP * wide, add, c, ldc);
            if (split)
                v->product(m, n, wide - first, rows + first, ld, panels + STEP * first,
                           STEP * wide, true, c, ldc);
            bool near = true, kept = true;
            for (size_t i = 0; i < m; i++)
                for (size_t j = 0; j < n; j++) {
                    double sum = add ? 3 : 0, size = 1;
                    for (size_t l = 0; l < k; l++) {
                        const double x = (double)as_bf16(0.5F * a[i * k + l]) *
                                         (double)as_bf16(b[l * n + j]);
                        sum += x;
                        size += fabs(x);
                    }
                    near = near && fabs((double)c[i * ldc + j] - sum) <= 2e-6 * size;
                }
            for (size_t i = 0; i <= m; i++)
                for (size_t j = i < m ? n : 0; j < ldc; j++)
                    kept = kept && c[i * ldc + j] == 3;
            if (!CHECK(near && kept))
                printf("     %s: %zu x %zu x %zu, add %d, split %zu\n", v->name, m, n, k, add,
                       split);
        }
}

int main(int argc, char **argv)
{
    static const size_t shapes[][3] = {{1, 1, 1},    {32, 32, 32},  {33, 31, 65}, {8, 64, 40},
                                       {17, 16, 96}, {64, 100, 33}, {70, 37, 128}};
    const struct rbe_bf16 *v;
    struct check_rng rng = check_seed(argc, argv);
    size_t n = 0;

    if (rbe_cpu_init())
        return 2;
    for (size_t i = 0; i < MAX * MAX; i++) {
        a[i] = 2 * check_unit(&rng) - 1;
        b[i] = 2 * check_unit(&rng) - 1;
    }
    for (; (v = rbe_bf16_at(n)) != NULL; n++)
        for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
            check_product(v, shapes[i][0], shapes[i][1], shapes[i][2]);
    CHECK(n ? rbe_bf16_best() == rbe_bf16_at(n - 1) : !rbe_bf16_best());
    if (!n)
        printf("SKIP this CPU has no products of bf16\n");
    return check_done();
}
