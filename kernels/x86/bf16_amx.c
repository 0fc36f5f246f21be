/*
 * bf16_amx.c - kernels/bf16.h with the tiles of AMX.
 *
 * SPDX-License-Identifier: MIT
 *
 * Four tiles of sums, 32 rows by 32 columns, take two tiles of A and two of B for each 32 of k:
 * four loads for four products.
 */
#include "kernels/x86/bf16_pack.h"

/* What LDTILECFG reads. */
struct tiles {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};
_Static_assert(sizeof(struct tiles) == 64, "the layout is the instruction's");

static const struct tiles all_whole = {
    .palette = 1, .bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

INLINE void block(size_t k, const uint16_t *a, size_t lda, const uint16_t *b, bool add,
                  float *c, size_t ldc)
{
    const uint16_t *a1 = a + 16 * lda;
    float *c1 = c + 16 * ldc;

    if (add) {
        _tile_loadd(0, c, ldc * sizeof *c);
        _tile_loadd(1, c + 16, ldc * sizeof *c);
        _tile_loadd(2, c1, ldc * sizeof *c);
        _tile_loadd(3, c1 + 16, ldc * sizeof *c);
    } else {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    }
    for (size_t l = 0; l < k; l += STEP, b += STEP * STEP) {
        _tile_loadd(4, a + l, lda * sizeof *a);
        _tile_loadd(6, b, 64);
        _tile_loadd(7, b + 512, 64);
        _tile_loadd(5, a1 + l, lda * sizeof *a);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, ldc * sizeof *c);
    _tile_stored(1, c + 16, ldc * sizeof *c);
    _tile_stored(2, c1, ldc * sizeof *c);
    _tile_stored(3, c1 + 16, ldc * sizeof *c);
}

/* Columns first..last of `rows` rows. */
static void strip(size_t rows, size_t n, size_t first, size_t last, size_t k, const uint16_t *a,
                  size_t lda, const uint16_t *b, size_t panel, bool add, float *c, size_t ldc)
{
    float edge[STEP * STEP];

    for (size_t j = first; j < last; j += STEP) {
        const uint16_t *from = b + j / STEP * panel;

        if (rows >= STEP && n - j >= STEP) {
            block(k, a, lda, from, add, c + j, ldc);
            continue;
        }
        edge_in(edge, add ? c + j : NULL, ldc, rows, n - j);
        block(k, a, lda, from, add, edge, STEP);
        edge_out(c + j, edge, ldc, rows, n - j);
    }
}

static void product(size_t m, size_t n, size_t k, const uint16_t *a, size_t lda,
                    const uint16_t *b, size_t panel, bool add, float *c, size_t ldc)
{
    const size_t some = columns_at_once(k);

    _tile_loadconfig(&all_whole);
    for (size_t j = 0; j < n; j += some)
        for (size_t i = 0; i < m; i += STEP)
            strip(m - i < STEP ? m - i : STEP, n, j, n - j < some ? n : j + some, k,
                  a + i * lda, lda, b, panel, add, c + i * ldc, ldc);
    _tile_release();
}

const struct rbe_bf16 rbe_bf16_amx = {"amx", pack_rows, pack_panels, product};
