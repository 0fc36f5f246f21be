/*
 * check_svd.c - the low-rank baseline against matrices whose singular values are known.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/svd.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/test/check.h"
#include "rbe/quality.h"

/* w = sum of s[k] u_k v_k^T with cosine vectors, orthonormal: the optimum is known. */
static void known_values(uint32_t rows, uint32_t cols)
{
    enum { RANK = 6 };
    static const double s[RANK] = {9, 5, 3, 2, 1, 0.5};
    float *w = calloc((size_t)rows * cols, sizeof *w);
    struct rbe_diag d = {""};
    double all = 0, left = 0, e;

    for (int k = 0; k < RANK; k++) {
        all += s[k] * s[k];
        for (uint32_t r = 0; r < rows; r++)
            for (uint32_t c = 0; c < cols; c++)
                w[r * cols + c] += (float)(s[k] * 2 / sqrt((double)rows * cols) *
                                           cos(M_PI * (k + 1) * (2 * r + 1) / (2.0 * rows)) *
                                           cos(M_PI * (k + 2) * (2 * c + 1) / (2.0 * cols)));
    }
    left = all;
    for (uint32_t k = 0; k < RANK; k++) {
        CHECK(rbe_svd_error(&e, w, rows, cols, k, NULL, NULL, &d) == RBE_OK);
        CHECK_NEAR(e, sqrt(left / all), 1e-3);
        left -= s[k] * s[k];
    }
    CHECK(rbe_svd_error(&e, w, rows, cols, RANK, NULL, NULL, &d) == RBE_OK && e < 1e-3);
    free(w);
}

int main(void)
{
    enum { R = 60, C = 40 };
    float w[R * C];
    struct rbe_diag d = {""};
    struct rbe_pool *pool;
    double e, before = 2, again;

    known_values(50, 30);
    known_values(24, 70);
    rbe_white_gaussian(w, R * C, 4);
    for (uint32_t k = 0; k <= C; k += 8) {
        CHECK(rbe_svd_error(&e, w, R, C, k, NULL, NULL, &d) == RBE_OK);
        CHECK(e < before);
        /* No more than rate and distortion allow for white noise, but for rounding. */
        CHECK(e >= (1 - 1e-12) * rbe_rate_bound(8.0 * (double)rbe_svd_bytes(R, C, k) /
                                               (R * C)));
        before = e;
    }
    CHECK(e < 1e-3);                    /* full rank: f16 rounding is left */
    CHECK(rbe_pool_open(&pool, 3, &d) == RBE_OK);
    CHECK(rbe_svd_error(&e, w, R, C, 9, NULL, NULL, &d) == RBE_OK);
    CHECK(rbe_svd_error(&again, w, R, C, 9, NULL, pool, &d) == RBE_OK && again == e);
    rbe_pool_close(&pool);
    CHECK(rbe_svd_error(&e, w, R, C, C + 1, NULL, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_svd_rank(768, 2304, 6143) == 0 && rbe_svd_rank(768, 2304, 6144) == 1);
    CHECK(rbe_svd_rank(4, 4, 100000) == 4);
    return check_done();
}
