/*
 * body/attention.h - the functions of kernels/attention.h for any width of registers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written in lanes.h, over an ISA's simd header, and for int8 in these words, which the file
 * that defines the table has:
 *
 * struct bytes: 64 bytes of the cache, four of each of sixteen sums, ready to be multiplied by
 * the numbers of several queries: bytes_load(b).
 * struct operand: such numbers, int16 or two bytes.  operand_keys(queries, i, n): those of
 * query i.  operand_values(w, room, n): of w [n], 0 to RBE_ACT_MAX; room has 2 RBE_KV_CHUNK
 * bytes and is aligned.  struct four: the numbers 4 g .. 4 g + 3, operand_four(x, g).
 * struct sums: sixteen sums of 32 bits, in whatever lanes suit; they may wrap on the way.
 * sums_zero(), sums_store(int32_t out[16], sums), sums_add(sums, bytes, four): products of
 * bytes, which are 128 too large where MOVED, and of numbers.
 * SUMS: how many of them stand in registers.
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

/* Of `rows` positions from t on, those that query i looks at: see mix(). */
INLINE size_t rows_seen(size_t count, bool later, size_t i, size_t t, size_t rows)
{
    const size_t seen = count + (later ? i : 0);

    return seen < t ? 0 : seen - t < rows ? seen - t : rows;
}

INLINE void rows_mix(const int half, float *y, size_t ldy, const float *p, size_t ldp, size_t n,
                     const struct rbe_kv *kv, size_t count, bool later)
{
    const size_t all = count + (later ? n - 1 : 0);

    for (size_t i = 0; i < n; i++)
        memset(y + i * ldy, 0, kv->dim * sizeof *y);
    for (size_t t = 0; t < all; t += ROWS_AT_ONCE)
        for (size_t i = 0; i < n; i++)
            row_mix(half, y + i * ldy, p + i * ldp + t,
                    row_at(half, kv->values, t * kv->dim),
                    rows_seen(count, later, i, t, ROWS_AT_ONCE), kv->dim);
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
                    const struct rbe_kv *kv, size_t count, bool later)
{
    rows_mix(0, y, ldy, p, ldp, n, kv, count, later);
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
                    const struct rbe_kv *kv, size_t count, bool later)
{
    rows_mix(1, y, ldy, p, ldp, n, kv, count, later);
}

/* --- int8 --------------------------------------------------------------------------------- */

INLINE float bf16_value(uint16_t h)
{
    return rbe_f32_from_bits((uint32_t)h << 16);
}

/* A register of them. */
INLINE f32x bf16_load(const uint16_t *p)
{
    typedef uint16_t u16_bits __attribute__((vector_size(sizeof(f32x) / 2)));
    typedef uint32_t u32_bits __attribute__((vector_size(sizeof(f32x))));
    u16_bits h;

    memcpy(&h, p, sizeof h);
    return (f32x)(__builtin_convertvector(h, u32_bits) << 16);
}

/* What bytes of a row count in, a bf16: at least max |x| / 127; NaN when an x is not finite. */
INLINE uint16_t byte_scale(const float *x, size_t n)
{
    const f32x zero = {0};
    f32x most = zero, odd = zero;       /* v - v is 0, or NaN */
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
    if (f32_sum(odd) != 0)
        return 0x7FC0;
    /* Next to zero there would be no inverse. */
    const float want = f32_largest(most) / 127, least = want < 0x1p-100F ? 0x1p-100F : want;
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

/* Where the k-th of four neighbours stands: bytes 0 and 2 of four, then 1 and 3, so that what
 * is left of words by a mask, or by a shift, are neighbours. */
INLINE unsigned byte_of(unsigned k)
{
    return k % 2 * 2 + k / 2;
}

/* Four numbers as they stand there, moved up. */
INLINE uint32_t four_bytes_of(const int32_t *q)
{
    uint32_t four = 0;

    RBE_UNROLL
    for (unsigned k = 0; k < 4; k++)
        four |= ((uint32_t)q[k] & 0xFF) << 8 * byte_of(k);
    return four ^ 0x80808080;
}

/* Byte `at` of each of sixteen numbers becomes the low byte of q, moved up. */
INLINE void put_bytes(void *numbers, const int32_t *q, unsigned at)
{
    typedef uint32_t u32_bits __attribute__((vector_size(sizeof(f32x))));
    u32_bits old, new;

    for (size_t i = 0; i < 16; i += F32_LANES) {
        memcpy(&old, (char *)numbers + 4 * i, sizeof old);
        memcpy(&new, q + i, sizeof new);
        new = (old & ~(0xFFU << 8 * at)) | ((new & 0xFF) ^ 128) << 8 * at;
        memcpy((char *)numbers + 4 * i, &new, sizeof new);
    }
}

static void place_int8(const struct rbe_kv *kv, size_t at, const float *key, const float *value)
{
    const size_t n = padded_dim(kv);
    uint8_t *k = (uint8_t *)kv->keys + at / 16 * n * 16 + at % 16 * 4;
    uint8_t *v = (uint8_t *)kv->values + at / 4 * n * 4;
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
        for (size_t j = 0; j < 4; j++) {
            const uint32_t four = four_bytes_of(q[0] + 4 * j);
            memcpy(k + j * 64, &four, sizeof four);
        }
        put_bytes(v, q[1], byte_of(at % 4));
    }
    kv->key_scales[at] = scales[0];
    kv->value_scales[at] = scales[1];
}

/* Bytes that are asked for before they are read, and a place to ask for them: the second level
 * of cache, which does not make loads wait (times in docs/log/KERNELS.md). */
enum { AHEAD = 8192 };
#define ASK_FOR(p) __builtin_prefetch(p, 0, 2)

/* Queries that take the same bytes while these are in registers. */
enum { QUERIES = SUMS < 4 ? SUMS : 4 };

/* f(1, ...) to f(QUERIES, ...), whichever n is. */
#define FOR_QUERIES(n, f, ...)                                                                 \
    do {                                                                                       \
        if ((n) == 1)                                                                          \
            f(1, __VA_ARGS__);                                                                 \
        else if (QUERIES > 2 && (n) == 3)                                                      \
            f(QUERIES > 2 ? 3 : 1, __VA_ARGS__);                                               \
        else if (QUERIES > 3 && (n) == 4)                                                      \
            f(QUERIES > 3 ? 4 : 1, __VA_ARGS__);                                               \
        else                                                                                   \
            f(QUERIES > 1 ? 2 : 1, __VA_ARGS__);                                               \
    } while (0)

/* Sums of a register, less what moved bytes added to them. */
INLINE f32x moved_back(const int32_t *sum, int32_t shift)
{
    typedef uint32_t u32_bits __attribute__((vector_size(sizeof(f32x))));
    u32_bits v;

    memcpy(&v, sum, sizeof v);
    return __builtin_convertvector((s32_bits)(v - (uint32_t)shift), f32x);
}

/* Sixteen keys and queries i .. i + n - 1; `next` is asked for meanwhile, if not NULL. */
INLINE void sixteen_scores(const int n, float *s, size_t lds, const struct rbe_kv_queries *q,
                           size_t i, const uint8_t *code, size_t wide, const uint16_t *scales,
                           const uint8_t *next)
{
    struct operand x[QUERIES];
    struct sums sum[QUERIES];
    f32x scale[LANES / F32_LANES];

    RBE_UNROLL
    for (int k = 0; k < n; k++) {
        x[k] = operand_keys(q, i + (size_t)k, wide);
        sum[k] = sums_zero();
    }
    for (size_t g = 0; g < wide / 4; g++) {
        if (next)
            ASK_FOR(next + 64 * g);
        const struct bytes b = bytes_load(code + 64 * g);
        RBE_UNROLL
        for (int k = 0; k < n; k++)
            sum[k] = sums_add(sum[k], b, operand_four(x[k], g));
    }
    RBE_UNROLL
    for (int k = 0; k < LANES / F32_LANES; k++)
        scale[k] = bf16_load(scales + k * F32_LANES);
    RBE_UNROLL
    for (int k = 0; k < n; k++, i++, s += lds) {
        const int32_t shift = MOVED ? q->shift[i] : 0;
        const float unit = q->unit[i];
        int32_t out[LANES];
        sums_store(out, sum[k]);
        RBE_UNROLL
        for (int j = 0; j < LANES / F32_LANES; j++)
            f32_store(s + j * F32_LANES,
                      moved_back(out + j * F32_LANES, shift) * scale[j] * unit);
    }
}

static void scores_int8(float *s, size_t lds, const struct rbe_kv_queries *q,
                        const struct rbe_kv *kv, size_t count)
{
    const size_t wide = padded_dim(kv);
    const size_t end = (count + 15) / 16 * 16 * wide;
    const uint8_t *const codes = kv->keys, *const values = kv->values;

    for (size_t t = 0; t < count; t += 16) {
        const uint8_t *const code = codes + t * wide;
        /* The first values come behind the last keys. */
        const size_t ahead = t * wide + AHEAD;
        const uint8_t *next = ahead < end       ? codes + ahead
                              : ahead < 2 * end ? values + (ahead - end)
                                                : NULL;
        for (size_t i = 0; i < q->count; i += QUERIES, next = NULL) {
            const size_t n = q->count - i < QUERIES ? q->count - i : QUERIES;
            FOR_QUERIES(n, sixteen_scores, s + i * lds + t, lds, q, i, code, wide,
                        kv->key_scales + t, next);
        }
    }
}

/* Weights of some positions: w * unit, and 128 times the sum of w. */
struct weights {
    struct operand w;
    float unit;
    int32_t shift;
};

/*
 * w [count, padded to sixteen] = p * scale in 16 bits.  count is at least 1 and at most
 * RBE_KV_CHUNK, for |sum of w * value| <= RBE_ACT_MAX * 127 * RBE_KV_CHUNK < 2^31.
 */
INLINE struct weights weigh(int16_t *w, float *p, const uint16_t *scales, size_t count)
{
    const size_t whole = count / LANES * LANES, left = count - whole;
    const f32x zero = {0};
    f32x most = zero, odd = zero, sum = zero;
    float last[LANES];
    size_t t;

#define TAKE(to, v)                                                                            \
    do {                                                                                       \
        const f32x product = v;                                                                \
        most = f32_max(product, most);                                                         \
        odd += product - product;                                                              \
        f32_store(to, product);                                                                \
    } while (0)
    for (t = 0; t < whole; t += F32_LANES)
        TAKE(p + t, f32_load(p + t) * bf16_load(scales + t));
    if (left) {
        uint16_t scale[LANES] = {0};
        memcpy(scale, scales + whole, left * sizeof *scale);
        pad(last, p + whole, left, 0);
        for (size_t k = 0; k < LANES; k += F32_LANES)
            TAKE(last + k, f32_load(last + k) * bf16_load(scale + k));
    }
#undef TAKE
    const float finite = f32_sum(odd), max = f32_largest(most);
    const float least = max < 0x1p-100F ? 0x1p-100F : max, by = RBE_ACT_MAX / least;
    if (finite != 0) {
        memset(w, 0, (whole + LANES) * sizeof *w);
        return (struct weights){.unit = finite};
    }
    /* Sums are exact: below RBE_ACT_MAX * RBE_KV_CHUNK, which is below 2^24. */
#define TAKE(to, v)                                                                            \
    do {                                                                                       \
        const f32x rounded = ((v)*by + 0x1.8p23F) - 0x1.8p23F;                                 \
        sum += rounded;                                                                        \
        f32_store_s16(to, rounded);                                                            \
    } while (0)
    for (t = 0; t < whole; t += F32_LANES)
        TAKE(w + t, f32_load(p + t));
    for (size_t k = 0; left && k < LANES; k += F32_LANES)
        TAKE(w + whole + k, f32_load(last + k));
#undef TAKE
    return (struct weights){.unit = least / RBE_ACT_MAX,
                            .shift = (int32_t)(128 * (uint32_t)f32_sum(sum))};
}

/* y += unit * sum, of sixteen that of which `left` are there. */
INLINE void add_sixteen(float *y, size_t left, const int32_t *sum, int32_t shift, float unit)
{
    for (size_t k = 0; k < LANES; k += F32_LANES) {
        const f32x v = moved_back(sum + k, shift) * unit;
        if (left >= k + F32_LANES)
            f32_store(y + k, f32_load(y + k) + v);
        else if (left > k)
            f32_store_part(y + k, f32_load_part(y + k, left - k, 0) + v, left - k);
    }
}

/*
 * y [dim] += unit * sum over n positions of w * value, n a multiple of 4, of queries that stand
 * ldy apart; `from`: values of the first.  Those ahead are asked for below `end`, and then what
 * is at `next`, if not NULL.
 */
INLINE void add_values(const int queries, const int tile, float *y, size_t ldy, size_t dim,
                       const uint8_t *from, const uint8_t *end, const uint8_t *next,
                       size_t stride, const struct weights *w, size_t n)
{
    struct sums sum[QUERIES][SUMS];

    RBE_UNROLL
    for (int i = 0; i < queries; i++) {
        RBE_UNROLL
        for (int j = 0; j < tile; j++)
            sum[i][j] = sums_zero();
    }
    for (size_t g = 0; g < n / 4; g++, from += stride) {
        struct four x[QUERIES];
        if (from < end || next) {
            const uint8_t *const ask = from < end ? from + AHEAD : next + (from - end);
            RBE_UNROLL
            for (int j = 0; j < tile; j++)
                ASK_FOR(ask + 64 * j);
        }
        RBE_UNROLL
        for (int i = 0; i < queries; i++)
            x[i] = operand_four(w[i].w, g);
        RBE_UNROLL
        for (int j = 0; j < tile; j++) {
            const struct bytes b = bytes_load(from + 64 * j);
            RBE_UNROLL
            for (int i = 0; i < queries; i++)
                sum[i][j] = sums_add(sum[i][j], b, x[i]);
        }
    }
    RBE_UNROLL
    for (int i = 0; i < queries; i++) {
        RBE_UNROLL
        for (int j = 0; j < tile; j++) {
            int32_t out[LANES];
            sums_store(out, sum[i][j]);
            add_sixteen(y + (size_t)i * ldy + 16 * j, dim - 16 * (size_t)j, out,
                        MOVED ? w[i].shift : 0, w[i].unit);
        }
    }
}

/* All of a row's values, as many sums of sixteen at a time as the queries leave room for. */
INLINE void add_rows(const int queries, float *y, size_t ldy, const struct rbe_kv *kv,
                     const uint8_t *from, const uint8_t *end, const uint8_t *next,
                     const struct weights *w, size_t n)
{
    enum { MOST = SUMS < 4 ? SUMS : 4 };
    const size_t wide = padded_dim(kv);
    const int room = SUMS / queries, tile = room < MOST ? room : MOST;
    size_t k = 0;

    for (; k + 16 * (size_t)tile <= wide; k += 16 * (size_t)tile)
        add_values(queries, tile, y + k, ldy, kv->dim - k, from + 4 * k, end, next, 4 * wide, w,
                   n);
    for (; k < wide; k += 16)
        add_values(queries, 1, y + k, ldy, kv->dim - k, from + 4 * k, end, next, 4 * wide, w,
                   n);
}

static void mix_int8(float *y, size_t ldy, float *p, size_t ldp, size_t n,
                     const struct rbe_kv *kv, size_t count, bool later)
{
    const size_t wide = padded_dim(kv), all = count + (later ? n - 1 : 0);
    _Alignas(64) int16_t number[QUERIES][RBE_KV_CHUNK];
    _Alignas(64) int8_t room[QUERIES][2 * RBE_KV_CHUNK];

    for (size_t i = 0; i < n; i++)
        memset(y + i * ldy, 0, kv->dim * sizeof *y);
    for (size_t t = 0; t < all; t += RBE_KV_CHUNK) {
        const uint8_t *const from = (const uint8_t *)kv->values + t * wide;
        const size_t left = (all - t) * wide;
        const uint8_t *end = left < AHEAD ? from : from + (left - AHEAD), *next = kv->next;
        size_t i = 0;
        while (!rows_seen(count, later, i, t, RBE_KV_CHUNK))
            i++;
        for (; i < n; i += QUERIES, end = from, next = NULL) {
            const size_t some = n - i < QUERIES ? n - i : QUERIES;
            const size_t most = rows_seen(count, later, i + some - 1, t, RBE_KV_CHUNK);
            const size_t fours = (most + 3) / 4 * 4;
            struct weights w[QUERIES];
            for (size_t k = 0; k < some; k++) {
                const size_t rows = rows_seen(count, later, i + k, t, RBE_KV_CHUNK);
                const size_t made = (rows + 15) / 16 * 16;
                w[k] = weigh(number[k], p + (i + k) * ldp + t, kv->value_scales + t, rows);
                if (made < fours)
                    memset(number[k] + made, 0, (fours - made) * sizeof number[k][0]);
                w[k].w = operand_values(number[k], room[k], fours);
            }
            FOR_QUERIES(some, add_rows, y + i * ldy, ldy, kv, from, end, next, w, fours);
        }
    }
}

#define FUNCTIONS                                                                              \
    {                                                                                          \
        {place_f32, scores_f32, mix_f32}, {place_f16, scores_f16, mix_f16},                    \
        {place_int8, scores_int8, mix_int8},                                                   \
    }

#endif
