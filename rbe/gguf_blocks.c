/*
 * gguf_blocks.c - the block formats of GGUF tensors, decoded to f32.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written from the description of the GGUF/ggml block formats.  A block is scale times code, or
 * scale times code plus or minus an offset; scales are F16 (in the _K types times a small whole
 * number for each 16 or 32 weights).  These products are exact in f32, whatever the file says:
 * 11 bits of an F16, 7 of a scale, 6 of a code.  So a weight is rounded once at most.
 */
#include <math.h>

#include "kernels/f16.h"
#include "rbe/gguf.h"

/* `n` blocks at `in` (any address) to out. */
typedef void decode_fn(float *restrict out, const uint8_t *restrict in, uint64_t n);

static uint32_t word(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static float half(const uint8_t *p)
{
    return rbe_f16_to_f32((uint16_t)(p[0] | p[1] << 8));
}

static int8_t signed_byte(uint8_t b)
{
    return (int8_t)(b < 128 ? b : b - 256);
}

static void decode_f32(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        out[i] = rbe_f32_from_bits(word(in + 4 * i));
}

static void decode_f16(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        out[i] = half(in + 2 * i);
}

static void decode_bf16(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        out[i] = rbe_f32_from_bits((uint32_t)in[2 * i] << 16 | (uint32_t)in[2 * i + 1] << 24);
}

/* --- blocks of 32 ------------------------------------------------------------------------- */
/* Weight i of the first half has the low four bits of byte i, that of the second the high. */

static int nibble(const uint8_t *codes, int i)
{
    return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
}

/* f16 scale, codes; the offset is 8. */
static void decode_q4_0(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 18, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = half(in) * (float)(nibble(in + 2, i) - 8);
}

/* f16 scale, f16 minimum, codes. */
static void decode_q4_1(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 20, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = half(in) * (float)nibble(in + 4, i) + half(in + 2);
}

/* The same with a word of fifth bits, one for each weight, before the codes. */
static int five_bits(const uint8_t *in, int i)
{
    return nibble(in + 4, i) | (int)(word(in) >> i & 1) << 4;
}

static void decode_q5_0(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 22, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = half(in) * (float)(five_bits(in + 2, i) - 16);
}

static void decode_q5_1(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 24, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = half(in) * (float)five_bits(in + 4, i) + half(in + 2);
}

/* f16 scale, signed bytes. */
static void decode_q8_0(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 34, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = half(in) * signed_byte(in[2 + i]);
}

/* f16 scale, codes that choose a level. */
static void decode_iq4_nl(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    static const int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};

    for (; n--; in += 18, out += 32)
        for (int i = 0; i < 32; i++)
            out[i] = half(in) * levels[nibble(in + 2, i)];
}

/* --- blocks of 256 ------------------------------------------------------------------------ */

/*
 * Codes of two bits in 64 bytes: each 32 bytes hold 128 weights, 32 in the lowest two bits, the
 * next 32 in those above, and so on.
 */
static int two_bits(const uint8_t *codes, int i)
{
    return codes[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3;
}

/* 16 bytes of four-bit scale (low) and minimum (high), codes, f16 scale of the scales, f16 of
 * the minima. */
static void decode_q2_k(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 84, out += 256) {
        const float d = half(in + 80), dmin = half(in + 82);
        for (int i = 0; i < 256; i++) {
            const int s = in[i / 16];
            out[i] = d * (float)((s & 15) * two_bits(in + 16, i)) - dmin * (float)(s >> 4);
        }
    }
}

/*
 * 32 bytes of third bits (bit k of byte j: weight 32 k + j; clear: 4 less), codes, 16 scales of
 * six bits in 12 bytes, offset 32, f16 scale of the scales.  Of the scales the first 8 bytes
 * hold the low four bits, of 0 to 7 in their low half, 8 to 15 in their high; the last 4 bytes
 * the two high bits, of 0 to 3 lowest, then 4 to 7, and so on.
 */
static void decode_q3_k(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 110, out += 256) {
        const uint8_t *packed = in + 96;
        const float d = half(in + 108);
        for (int i = 0; i < 256; i++) {
            const int s = i / 16, low = packed[s % 8] >> s / 8 * 4 & 15;
            const int scale = (low | (packed[8 + s % 4] >> s / 4 * 2 & 3) << 4) - 32;
            const int code = two_bits(in + 32, i) - (in[i % 32] >> i / 32 & 1 ? 0 : 4);
            out[i] = d * (float)(scale * code);
        }
    }
}

/*
 * Eight scales and eight minima of six bits in 12 bytes: 0 to 3 of the scales in the low six
 * bits of bytes 0 to 3, of the minima in those of bytes 4 to 7; of 4 to 7 the low four bits in
 * bytes 8 to 11 (scale low, minimum high) and the high two at the top of those bytes.
 */
static int packed_scale(const uint8_t *p, int s)
{
    return s < 4 ? p[s] & 63 : (p[s + 4] & 15) | p[s - 4] >> 6 << 4;
}

static int packed_minimum(const uint8_t *p, int s)
{
    return s < 4 ? p[s + 4] & 63 : p[s + 4] >> 4 | p[s] >> 6 << 4;
}

/* Codes of four bits in 128 bytes: each 32 bytes hold 64 weights, 32 in the low halves and the
 * next 32 in the high. */
static int four_bits(const uint8_t *codes, int i)
{
    return codes[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15;
}

/* f16 scale of the scales, f16 of the minima, 12 bytes of both, codes. */
static void decode_q4_k(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 144, out += 256) {
        const float d = half(in), dmin = half(in + 2);
        for (int i = 0; i < 256; i++)
            out[i] = d * (float)(packed_scale(in + 4, i / 32) * four_bits(in + 16, i)) -
                     dmin * (float)packed_minimum(in + 4, i / 32);
    }
}

/* The same with 32 bytes of fifth bits before the codes: bit k of byte j, weight 32 k + j. */
static void decode_q5_k(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 176, out += 256) {
        const float d = half(in), dmin = half(in + 2);
        for (int i = 0; i < 256; i++) {
            const int code = four_bits(in + 48, i) | (in[16 + i % 32] >> i / 32 & 1) << 4;
            out[i] = d * (float)(packed_scale(in + 4, i / 32) * code) -
                     dmin * (float)packed_minimum(in + 4, i / 32);
        }
    }
}

/*
 * 128 bytes of low four bits: each 64 bytes hold 128 weights, 64 in the low halves and 64 in
 * the high; 64 bytes of high two bits, as codes of two bits; 16 signed scales, f16 scale of the
 * scales.  The offset is 32.
 */
static void decode_q6_k(float *restrict out, const uint8_t *restrict in, uint64_t n)
{
    for (; n--; in += 210, out += 256) {
        const float d = half(in + 208);
        for (int i = 0; i < 256; i++) {
            const int low = in[i / 128 * 64 + i % 64] >> i % 128 / 64 * 4 & 15;
            const int code = (low | two_bits(in + 128, i) << 4) - 32;
            out[i] = d * (float)(signed_byte(in[192 + i / 16]) * code);
        }
    }
}

enum rbe_status rbe_gguf_decode(float *out, const struct rbe_gguf_tensor *t, uint64_t row0,
                                uint64_t rows, struct rbe_diag *d)
{
    static const struct {
        decode_fn *decode;
        uint32_t weights;
    } blocks[] = {
#define RBE_GGUF_TYPE(NAME, name, id, weights, bytes) [id] = {decode_##name, weights},
#define RBE_GGUF_OTHER(NAME, id)
#include "rbe/gguf_types.def"
#undef RBE_GGUF_TYPE
#undef RBE_GGUF_OTHER
    };

    if (row0 > t->rows || rows > t->rows - row0)
        return rbe_fail(d, RBE_ERR_ARG, "tensor '%s' has %llu rows, not %llu from %llu on",
                        t->name, (unsigned long long)t->rows, (unsigned long long)rows,
                        (unsigned long long)row0);
    /* A row is whole blocks, and the file holds them all: so says rbe_gguf_open(). */
    blocks[t->type].decode(out, (const uint8_t *)t->data +
                                    row0 * rbe_gguf_row_bytes(t->type, t->cols),
                           rows * (t->cols / blocks[t->type].weights));
    for (uint64_t i = 0; i < rows * t->cols; i++)
        if (!isfinite(out[i]))
            return rbe_fail(d, RBE_ERR_NUMERIC, "tensor '%s': element %llu is %s", t->name,
                            (unsigned long long)(row0 * t->cols + i),
                            isnan(out[i]) ? "NaN" : "infinite");
    return RBE_OK;
}
