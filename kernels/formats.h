/*
 * formats.h - what distinguishes the codecs, from the one list of them (formats.def).
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_KERNELS_FORMATS_H
#define RBE_KERNELS_FORMATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum rbe_format {
#define RBE_FORMAT(name, NAME, min, max, gmax, group, ...) RBE_##NAME,
#include "kernels/formats.def"
#undef RBE_FORMAT
    RBE_FORMAT_COUNT
};

enum {
#define RBE_FORMAT(name, NAME, min, max, gmax, group, ...)                                     \
    RBE_##NAME##_MIN_BLOCK = min, RBE_##NAME##_MAX_BLOCK = max, RBE_##NAME##_GMAX = gmax,      \
    RBE_##NAME##_GROUP = group,
#include "kernels/formats.def"
#undef RBE_FORMAT
};

/* What sets the bytes: nothing; B; K at a given B (rbe_aux_k()). */
enum rbe_rate { RBE_RATE_NONE, RBE_RATE_BLOCK, RBE_RATE_K };

struct rbe_format_facts {
    const char *name;
    uint32_t min_block, max_block;      /* 0: it has no blocks */
    int gmax;                           /* largest |integer weight|; 0: products in f32 */
    uint32_t group;                     /* columns of a scale and of an int32 sum; 0: all */
    const char *about;                  /* a line for people */
    unsigned float_bytes;       /* the codes are floats of so many bytes, which norms and biases
                                 * can be stored as too; 0: they are codes */
    enum rbe_rate rate;
    uint32_t usual_block;       /* where none is asked for; of benchmarks: as near to 11 : 1 as
                                 * the codec comes */
    bool powers;                /* blocks are powers of two */
    unsigned strip_bits;        /* codes of B weights, whatever B: a budget may choose B, and
                                 * another for each range of rows; 0: not so */
    unsigned act_bits;          /* of activations where nobody chooses; 0: 16 */
    bool col_scale;             /* has scales of columns, and may go without */
    bool feedback;              /* searched: a calibration and an effort change the codes */
    bool tiles;                 /* blocks are B x B, rendered from what their rows share */
    bool published;             /* has a layout RBE_AUX_PUBLISHED as well */
    bool weighs_funnel;         /* funnel-shift kernels only where they pay (funnel.h) */
    bool all_blocks;            /* the default benchmarks have its sweep, and all its ISAs */
    unsigned place;             /* of codecs with a rate in what `rbe codecs` prints; 0: last */
    uint32_t sweep[20];         /* blocks of a benchmark with all of them; then zeros */
};

/* f < RBE_FORMAT_COUNT. */
const struct rbe_format_facts *rbe_format_facts(enum rbe_format f);

/* "seed", "int4", ...; NULL past the end. */
const char *rbe_format_name(enum rbe_format f);

/* RBE_FORMAT_COUNT when the name is unknown. */
enum rbe_format rbe_format_by_name(const char *name);

/* The names that `has` takes (NULL: all), with `between` between them, into buf. */
const char *rbe_format_names(char *buf, size_t size, const char *between,
                             bool (*has)(const struct rbe_format_facts *));

/* Whether the codec has blocks of this size; true for all sizes where it has no blocks. */
bool rbe_format_takes_block(enum rbe_format f, uint32_t block);

/* "16 to 4096" or "16, 32, ... 256", of a codec with blocks, into buf. */
const char *rbe_format_blocks(char *buf, size_t size, enum rbe_format f);

/* The parameter `aux` of a matrix (RBE_RATE_K): K, and this bit for the published layout. */
#define RBE_AUX_PUBLISHED 0x80000000U

static inline uint32_t rbe_aux_k(uint32_t aux)
{
    return aux & ~RBE_AUX_PUBLISHED;
}

#endif
