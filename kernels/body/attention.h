/*
 * body/attention.h - the functions of kernels/attention.h for any width of registers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written in lanes.h, over an ISA's simd header, and for int8 in these words, which the file
 * that defines the table has:
 *
 * struct sums: sixteen sums of 32 bits, in whatever lanes suit; they may wrap on the way.
 * sums_zero(), sums_store(int32_t out[16], sums).
 * sums_keys(sums, b, x, g): adds to sum k the products of bytes b[4 k .. 4 k + 3], which are
 * 128 too large where KEYS_MOVED, and of the numbers 4 g .. 4 g + 3 of x.  sums_values(): the
 * same of signed bytes.
 * struct operand: such numbers, int16 or two bytes.  operand_keys(queries, i, n): those of
 * query i.  operand_values(w, room, n): of w [n], 0 to RBE_ACT_MAX; room has 2 RBE_KV_CHUNK
 * bytes and is aligned.
 */
#ifndef RBE_KERNELS_BODY_ATTENTION_H
#define RBE_KERNELS_BODY_ATTENTION_H

#include "kernels/attention.h"
#include "kernels/body/lanes.h"
#include "kernels/f16.h"
#include "kernels/kernel.h"

/* --- rows of floats ----------------------------------------------------------------------- */

/* Register k of sixteen of a row's values, and single ones. */
INLINE f32x row_load(const int half, const void *p, size_t i)
{
    return half ? f32_load_half((const uint16_t *)p + i) : f32_load((const float *)p + i);
}

INLINE float row_value(const int half, const void *p, size_t i)
{
    return half ? rbe_f16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

INLINE const void *row_at(const int half, const void *p, size_t i)
{
    return (const char *)p + i * (half ? sizeof(uint16_t) : sizeof(float));
}

INLINE void row_scores(const int half, float *s, const float *q, const void *k, size_t count,
                       size_t dim, float scale)
{
    const size_t whole = dim / LANES * LANES;
    float q_last[LANES], k_last[LANES] = {0};

    pad(q_last, q + whole, dim - whole, 0);
    for (size_t t = 0; t < count; t++, k = row_at(half, k, dim)) {
        struct sixteen sum = {.a = {0}};
        size_t i = 0;
#define PRODUCT(at) (f32_load(q + i + (at)) * row_load(half, k, i + (at)))
        for (; i < whole; i += LANES)
            ADD_LANES(sum, PRODUCT);
#undef PRODUCT
#define PRODUCT(at) (f32_load(q_last + (at)) * f32_load(k_last + (at)))
        if (i < dim) {
            for (size_t j = i; j < dim; j++)
                k_last[j - i] = row_value(half, k, j);
            ADD_LANES(sum, PRODUCT);
        }
#undef PRODUCT
        s[t] = scale * sum_lanes(sum);
    }
}

/* y += sum over t of p[t] * v[t]. */
INLINE void row_mix(const int half, float *y, const float *p, const void *v, size_t count,
                    size_t dim)
{
    size_t i = 0;

    for (; i + 4 * F32_LANES <= dim; i += 4 * F32_LANES) {
        f32x a = f32_load(y + i), b = f32_load(y + i + F32_LANES),
             c = f32_load(y + i + 2 * F32_LANES), d = f32_load(y + i + 3 * F32_LANES);
        for (size_t t = 0; t < count; t++) {
            const size_t from = t * dim + i;
            a += row_load(half, v, from) * p[t];
            b += row_load(half, v, from + F32_LANES) * p[t];
            c += row_load(half, v, from + 2 * F32_LANES) * p[t];
            d += row_load(half, v, from + 3 * F32_LANES) * p[t];
        }
        f32_store(y + i, a);
        f32_store(y + i + F32_LANES, b);
        f32_store(y + i + 2 * F32_LANES, c);
        f32_store(y + i + 3 * F32_LANES, d);
    }
    for (; i < dim; i++) {
        float a = y[i];
        for (size_t t = 0; t < count; t++)
            a += row_value(half, v, t * dim + i) * p[t];
        y[i] = a;
    }
}

/* Keys and values that stay in the first or second level of cache while the queries pass. */
enum { ROWS_AT_ONCE = 128 };

INLINE void rows_scores(const int half, float *s, size_t lds, const struct rbe_kv_queries *q,
                        const struct rbe_kv *kv, size_t count)
{
    for (size_t t = 0; t < count; t += ROWS_AT_ONCE) {
        const size_t rows = count - t < ROWS_AT_ONCE ? count - t : ROWS_AT_ONCE;
        for (size_t i = 0; i < q->count; i++)
            row_scores(half, s + i * lds + t, q->x + i * q->ldx,
                       row_at(half, kv->keys, t * kv->dim), rows, kv->dim, q->scale);
    }
}

INLINE void rows_mix(const int half, float *y, size_t ldy, const float *p, size_t ldp, size_t n,
                     const struct rbe_kv *kv, size_t count)
{
    for (size_t i = 0; i < n; i++)
        memset(y + i * ldy, 0, kv->dim * sizeof *y);
    for (size_t t = 0; t < count; t += ROWS_AT_ONCE) {
        const size_t rows = count - t < ROWS_AT_ONCE ? count - t : ROWS_AT_ONCE;
        for (size_t i = 0; i < n; i++)
            row_mix(half, y + i * ldy, p + i * ldp + t,
                    row_at(half, kv->values, t * kv->dim), rows, kv->dim);
    }
}

static void place_f32(const struct rbe_kv *kv, size_t at, const float *key, const float *value)
{
    memcpy((float *)kv->keys + at * kv->dim, key, kv->dim * sizeof *key);
    memcpy((float *)kv->values + at * kv->dim, value, kv->dim * sizeof *value);
}

static void scores_f32(float *s, size_t lds, const struct rbe_kv_queries *q,
                       const struct rbe_kv *kv, size_t count)
{
    rows_scores(0, s, lds, q, kv, count);
}

static void mix_f32(float *y, size_t ldy, float *p, size_t ldp, size_t n,
                    const struct rbe_kv *kv, size_t count)
{
    rows_mix(0, y, ldy, p, ldp, n, kv, count);
}

static void place_f16(const struct rbe_kv *kv, size_t at, const float *key, const float *value)
{
    uint16_t *k = (uint16_t *)kv->keys + at * kv->dim;
    uint16_t *v = (uint16_t *)kv->values + at * kv->dim;

    for (size_t i = 0; i < kv->dim; i++) {
        k[i] = rbe_f16_from_f32(key[i]);
        v[i] = rbe_f16_from_f32(value[i]);
    }
}

static void scores_f16(float *s, size_t lds, const struct rbe_kv_queries *q,
                       const struct rbe_kv *kv, size_t count)
{
    rows_scores(1, s, lds, q, kv, count);
}

static void mix_f16(float *y, size_t ldy, float *p, size_t ldp, size_t n,
                    const struct rbe_kv *kv, size_t count)
{
    rows_mix(1, y, ldy, p, ldp, n, kv, count);
}

/* --- int8 --------------------------------------------------------------------------------- */

INLINE float bf16_value(uint16_t h)
{
    return rbe_f32_from_bits((uint32_t)h << 16);
}

/* What bytes of a row count in, a bf16: at least max |x| / 127; NaN when an x is not finite. */
INLINE uint16_t byte_scale(const float *x, size_t n)
{
    const f32x zero = {0};
    f32x most = zero, odd = zero;       /* v - v is 0, or NaN */
    float odds[F32_LANES], finite = 0;
    size_t i = 0;

#define TAKE(load)                                                                             \
    do {                                                                                       \
        const f32x v = load;                                                                   \
        most = f32_max(f32_max(v, zero - v), most);                                            \
        odd += v - v;                                                                          \
    } while (0)
    for (; i + F32_LANES <= n; i += F32_LANES)
        TAKE(f32_load(x + i));
    if (i < n)
        TAKE(f32_load_part(x + i, n - i, 0));
#undef TAKE
    f32_store(odds, odd);
    for (int k = 0; k < F32_LANES; k++)
        finite += odds[k];
    if (finite != 0)
        return 0x7FC0;
    /* Next to zero there would be no inverse. */
    const float want = max_lanes(most) / 127, least = want < 0x1p-100F ? 0x1p-100F : want;
    return (uint16_t)((rbe_bits_from_f32(least) + 0xFFFF) >> 16);
}

/* x * by rounded to the nearest integer, below 2^22: adding 1.5 * 2^23 leaves it in the low
 * bits. */
INLINE s32_bits to_integers(f32x x, float by)
{
    return (s32_bits)(x * by + 0x1.8p23F) - 0x4B400000;
}

/* Sixteen of them, of which n are there. */
INLINE void sixteen_integers(int32_t *q, const float *x, size_t n, float by)
{
    float part[LANES];

    if (n < LANES)
        pad(part, x, n, 0);
    for (size_t i = 0; i < LANES; i += F32_LANES) {
        const s32_bits v = to_integers(f32_load((n < LANES ? part : x) + i), by);
        memcpy(q + i, &v, sizeof v);
    }
}

INLINE size_t padded_dim(const struct rbe_kv *kv)
{
    return (kv->dim + 15) / 16 * 16;
}

/* Byte `at` of each of sixteen numbers becomes the low byte of q. */
INLINE void put_bytes(void *numbers, const int32_t *q, unsigned at)
{
    typedef uint32_t u32_bits __attribute__((vector_size(sizeof(f32x))));
    u32_bits old, new;

    for (size_t i = 0; i < 16; i += F32_LANES) {
        memcpy(&old, (char *)numbers + 4 * i, sizeof old);
        memcpy(&new, q + i, sizeof new);
        new = (old & ~(0xFFU << 8 * at)) | (new & 0xFF) << 8 * at;
        memcpy((char *)numbers + 4 * i, &new, sizeof new);
    }
}

static void place_int8(const struct rbe_kv *kv, size_t at, const float *key, const float *value)
{
    const size_t n = padded_dim(kv);
    uint8_t *k = (uint8_t *)kv->keys + at / 16 * n * 16 + at % 16 * 4;
    int8_t *v = (int8_t *)kv->values + at / 4 * n * 4;
    const uint16_t scales[2] = {byte_scale(key, kv->dim), byte_scale(value, kv->dim)};
    float by[2];

    for (int j = 0; j < 2; j++)
        by[j] = scales[j] == 0x7FC0 ? 0 : 1 / bf16_value(scales[j]);
    for (size_t i = 0; i < n; i += 16, k += 16 * 16, v += 16 * 4) {
        const size_t left = i < kv->dim ? kv->dim - i : 0;
        const size_t there = left < 16 ? left : 16;
        int32_t q[2][LANES];
        sixteen_integers(q[0], key + i, there, by[0]);
        sixteen_integers(q[1], value + i, there, by[1]);
        uint8_t bytes[16];
        for (size_t j = 0; j < 16; j++)
            bytes[j] = (uint8_t)(q[0][j] + 128);
        for (size_t j = 0; j < 4; j++)
            memcpy(k + j * 64, bytes + 4 * j, 4);
        put_bytes(v, q[1], at % 4);
    }
    kv->key_scales[at] = scales[0];
    kv->value_scales[at] = scales[1];
}

/* Bytes that are asked for before they are read: a page, where the machine's own prefetching
 * stops.  From memory a token's attention took 2.3 ms without and 1.9 with (19.5 MB; least
 * times of docs/log/KERNELS.md). */
enum { AHEAD = 4096 };

static void scores_int8(float *s, size_t lds, const struct rbe_kv_queries *q,
                        const struct rbe_kv *kv, size_t count)
{
    const size_t n = padded_dim(kv);
    const size_t end = (count + 15) / 16 * 16 * n;
    const uint8_t *const codes = kv->keys, *const values = kv->values;

    for (size_t t = 0; t < count; t += 16) {
        const uint8_t *const code = codes + t * n;
        /* The first values come behind the last keys. */
        const size_t ahead = t * n + AHEAD;
        const uint8_t *const next = ahead < end       ? codes + ahead
                                    : ahead < 2 * end ? values + (ahead - end)
                                                      : code;
        float scale[16];
        for (int k = 0; k < 16; k++)
            scale[k] = bf16_value(kv->key_scales[t + k]);
        for (size_t i = 0; i < q->count; i++) {
            const struct operand x = operand_keys(q, i, n);
            const uint32_t shift = KEYS_MOVED ? (uint32_t)q->shift[i] : 0;
            float *const to = s + i * lds + t, unit = q->unit[i];
            struct sums sum = sums_zero();
            int32_t out[16];
            for (size_t g = 0; g < n / 4; g++) {
                if (i == 0)
                    __builtin_prefetch(next + 64 * g);
                sum = sums_keys(sum, code + 64 * g, x, g);
            }
            sums_store(out, sum);
            for (int k = 0; k < 16; k++)
                to[k] = (float)(int32_t)((uint32_t)out[k] - shift) * scale[k] * unit;
        }
    }
}

/*
 * w [count, padded to four] = p * scale in 16 bits; returns what they count in.  count is at
 * most RBE_KV_CHUNK, for |sum of w * value| <= RBE_ACT_MAX * 127 * RBE_KV_CHUNK < 2^31.
 */
INLINE float weigh(int16_t *w, float *p, const uint16_t *scales, size_t count)
{
    const f32x zero = {0};
    f32x most = zero, odd = zero;
    float odds[F32_LANES], finite = 0, scale[LANES];
    size_t t;

    for (t = 0; t < count; t += LANES) {
        const size_t there = count - t < LANES ? count - t : LANES;
        float last[LANES], *from = p + t;
        for (size_t k = 0; k < there; k++)
            scale[k] = bf16_value(scales[t + k]);
        if (there < LANES) {
            pad(scale, scale, there, 0);
            pad(last, from, there, 0);
            from = last;
        }
        for (size_t i = 0; i < LANES; i += F32_LANES) {
            const f32x v = f32_load(from + i) * f32_load(scale + i);
            most = f32_max(v, most);
            odd += v - v;
            f32_store(from + i, v);
        }
        if (there < LANES)
            memcpy(p + t, last, there * sizeof *p);
    }
    f32_store(odds, odd);
    for (int k = 0; k < F32_LANES; k++)
        finite += odds[k];
    const float max = max_lanes(most), least = max < 0x1p-100F ? 0x1p-100F : max;
    const float by = finite == 0 ? RBE_ACT_MAX / least : 0;
    for (t = 0; t < count; t += LANES) {
        int32_t q[LANES];
        sixteen_integers(q, p + t, count - t, by);
        for (size_t k = 0; k < LANES; k++)
            w[t + k] = (int16_t)q[k];
    }
    return finite == 0 ? least / RBE_ACT_MAX : finite;
}

/* How many sums of sixteen values the registers hold. */
enum { TILE = 4 };

/* y [dim] += unit * sum over n positions of w * value, n a multiple of 4; `from`: values of
 * the first, which are asked for ahead below `end`. */
INLINE void add_values(const int tile, float *y, size_t dim, const int8_t *from,
                       const int8_t *end, size_t stride, struct operand w, size_t n, float unit)
{
    struct sums sum[TILE];
    int32_t out[16];

    RBE_UNROLL
    for (int j = 0; j < tile; j++)
        sum[j] = sums_zero();
    for (size_t g = 0; g < n / 4; g++, from += stride) {
        if (from < end) {
            RBE_UNROLL
            for (int j = 0; j < tile; j++)
                __builtin_prefetch(from + AHEAD + 64 * j);
        }
        RBE_UNROLL
        for (int j = 0; j < tile; j++)
            sum[j] = sums_values(sum[j], from + 64 * j, w, g);
    }
    RBE_UNROLL
    for (int j = 0; j < tile; j++, y += 16) {
        sums_store(out, sum[j]);
        const size_t left = dim - 16 * (size_t)j;
        if (left >= 16)
            for (int k = 0; k < 16; k++)
                y[k] += (float)out[k] * unit;
        else
            for (size_t k = 0; k < left; k++)
                y[k] += (float)out[k] * unit;
    }
}

static void mix_int8(float *y, size_t ldy, float *p, size_t ldp, size_t n,
                     const struct rbe_kv *kv, size_t count)
{
    const size_t wide = padded_dim(kv);
    _Alignas(64) int16_t w[RBE_KV_CHUNK];
    _Alignas(64) int8_t room[2 * RBE_KV_CHUNK];

    for (size_t i = 0; i < n; i++)
        memset(y + i * ldy, 0, kv->dim * sizeof *y);
    for (size_t t = 0; t < count; t += RBE_KV_CHUNK) {
        const size_t rows = count - t < RBE_KV_CHUNK ? count - t : RBE_KV_CHUNK;
        const size_t fours = (rows + 3) / 4 * 4;
        const int8_t *const from = (const int8_t *)kv->values + t * wide;
        const size_t left = (count - t) * wide;
        for (size_t i = 0; i < n; i++) {
            const float unit = weigh(w, p + i * ldp + t, kv->value_scales + t, rows);
            const struct operand x = operand_values(w, room, fours);
            float *const to = y + i * ldy;
            const int8_t *const end = i || left < AHEAD ? from : from + (left - AHEAD);
            size_t k = 0;
            for (; k + 16 * TILE <= wide; k += 16 * TILE)
                add_values(TILE, to + k, kv->dim - k, from + 4 * k, end, 4 * wide, x, fours,
                           unit);
            for (; k < wide; k += 16)
                add_values(1, to + k, kv->dim - k, from + 4 * k, end, 4 * wide, x, fours,
                           unit);
        }
    }
}

#define FUNCTIONS                                                                              \
    {                                                                                          \
        {place_f32, scores_f32, mix_f32}, {place_f16, scores_f16, mix_f16},                    \
        {place_int8, scores_int8, mix_int8},                                                   \
    }

#endif
