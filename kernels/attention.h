/*
 * attention.h - a KV cache in f32, f16 or int8, and attention over it, for every ISA.
 *
 * SPDX-License-Identifier: MIT
 *
 * Compiled several times from one source (body/attention.h).  All versions agree bit for bit:
 * floats are added in one order, in sixteen lanes and never fused, and sums of int8 are exact
 * in 32 bits.
 *
 * f32 and f16: rows of a head, [position][dim].
 *
 * int8: a value is a byte times its row's scale, a bf16 that is at least max |x| / 127; bytes
 * are moved up by 128.  Sixteen keys stand beside each other, so that a register's lanes are
 * positions and no sum runs across lanes: [position / 16][dim / 4][16 positions][4].  Four
 * values do, so that a sum of products over positions has four terms at hand:
 * [position / 4][dim][4 positions].  Of each four bytes the second and the third are swapped
 * (body/attention.h).  dim is padded with zeros to a multiple of 16.
 */
#ifndef RBE_KERNELS_ATTENTION_H
#define RBE_KERNELS_ATTENTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rbe_kv_type { RBE_KV_TYPE_F32, RBE_KV_TYPE_F16, RBE_KV_TYPE_INT8, RBE_KV_TYPES };

/* "f32", "f16", "int8". */
const char *rbe_kv_type_name(enum rbe_kv_type t);

/* Positions are held in steps of so many. */
enum { RBE_KV_STEP = 16 };

/* Keys and values of one head in one layer: views into memory that somebody else owns. */
struct rbe_kv {
    void *keys, *values;        /* 64-byte aligned, rbe_kv_bytes() each */
    uint16_t *key_scales, *value_scales;    /* int8: bf16 [positions], else NULL */
    const void *next;           /* what will be read after the values; or NULL */
    size_t dim;
};

/* Bytes of the keys (or of the values) of a head: `positions` of them, a multiple of
 * RBE_KV_STEP. */
size_t rbe_kv_bytes(enum rbe_kv_type t, size_t positions, size_t dim);

/* Bytes of their scales; 0 where there are none. */
size_t rbe_kv_scale_bytes(enum rbe_kv_type t, size_t positions);

/*
 * Queries that share a head of keys, made ready by rbe_kv_ask(): `count` of them, query i at
 * x + i * ldx.  int8 reads them as 16-bit numbers, 256 high + low in two signed bytes.
 */
struct rbe_kv_queries {
    const float *x;
    size_t ldx, count;
    float scale;                /* scores are scale * (query . key) */
    int16_t *q;                 /* [count][padded dim], the same for the others */
    int8_t *high, *low;         /* swapped like the cache's */
    float *unit;                /* [count] scale * what q counts in */
    int32_t *shift;             /* [count] 128 * sum of q: what moved keys add to a sum */
};

/* Bytes of the arrays of `count` queries; 0 for a type that needs none. */
size_t rbe_kv_query_bytes(enum rbe_kv_type t, size_t count, size_t dim);

/* Fills q; mem: rbe_kv_query_bytes() long, 64-byte aligned.  Same bits on every ISA. */
void rbe_kv_ask(struct rbe_kv_queries *q, enum rbe_kv_type t, void *mem, const float *x,
                size_t ldx, size_t count, size_t dim, float scale);

/* Positions whose weights int8 brings to one scale: what 32 bits hold the sum of. */
enum { RBE_KV_CHUNK = 512 };

struct rbe_attention {
    const char *name;
    uint32_t isa;               /* RBE_ISA_* bits it needs */
    struct rbe_attention_of {
        /* Keeps key and value [dim] at this position, and puts back what stands beside it: two
         * threads at once have positions of different RBE_KV_STEP.  A value that is not finite
         * makes the scores or sums that it has part in NaN or infinite. */
        void (*place)(const struct rbe_kv *kv, size_t at, const float *key, const float *value);
        /* s[i * lds + t] = q.scale * (query i . key t) for t < count; what follows up to the
         * next multiple of RBE_KV_STEP may be overwritten. */
        void (*scores)(float *s, size_t lds, const struct rbe_kv_queries *q,
                       const struct rbe_kv *kv, size_t count);
        /* y[i * ldy] = sum over t < count of p[i * ldp + t] * value t, for i < n; where each
         * query is a position later than the one before, t < count + i.  p >= 0, and is
         * overwritten.  Each y has the bits that it gets alone. */
        void (*mix)(float *y, size_t ldy, float *p, size_t ldp, size_t n,
                    const struct rbe_kv *kv, size_t count, bool later);
    } of[RBE_KV_TYPES];
};

/* The version at i, narrowest first; NULL past the end. */
const struct rbe_attention *rbe_attention_at(size_t i);

/* The last that `isa` can run. */
const struct rbe_attention *rbe_attention_best(uint32_t isa);

#endif
