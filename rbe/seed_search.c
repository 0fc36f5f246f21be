/*
 * seed_search.c - Viterbi search with a sliding window of decisions (seed_search.h).
 *
 * SPDX-License-Identifier: MIT
 *
 * decisions is a ring: one line for each row that brings new bits, [2^(L - k)] bytes.  When
 * it is full, the best path of that moment is followed back and its oldest quarter becomes
 * final. Should the path that wins in the end differ there (it does not in practice), the
 * stream is still valid: outputs are read back from the stream, never from the path.
 *
 * A search of all 16 bits of the window keeps a line of costs for each row instead, and finds
 * a decision again when a path is followed back: one group of a row then, where the search
 * would decide for all of them.
 */
#include "rbe/seed_search.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu.h"
#include "kernels/format/seed.h"
#include "kernels/format/seedg.h"
#include "kernels/trellis.h"

/* Bits on each side of a joint whose rows have a say in it (docs/log/ENCODER.md). */
enum { JOINT_BITS = 96 };

/*
 * The unit of costs.  A row of mean weight that errs as much as the rate makes it err costs
 * UNIT: fine enough that rounding loses some 0.01 dB, coarse enough that a path may fall
 * 2^16 / UNIT rows behind before its cost saturates (docs/log/ENCODER.md).
 */
#define UNIT 24.0

/* A map as the trellis computes it: its output is a weight plus `offset`. */
struct map {
    enum rbe_trellis_map kind;
    uint16_t multiplier, step;  /* step: of the addend from row to row of a strip */
    int offset, most;           /* most: largest |weight| */
    double sigma;               /* of weights */
};

static const struct map *map_of(enum rbe_format format)
{
    static const struct map bytes = {RBE_TRELLIS_BYTES, RBE_SEED_MULTIPLIER, 0, 0,
                                     RBE_SEED_GMAX, 104.5};
    static const struct map nibbles = {RBE_TRELLIS_NIBBLES, RBE_SEED4_MULTIPLIER,
                                       RBE_SEED4_STEP, RBE_SEED4_GMAX, RBE_SEED4_GMAX, 9.22};
    static const struct map table = {RBE_TRELLIS_TABLE, 1, 0, 0, RBE_SEEDG_GMAX, 66.2};

    return format == RBE_SEEDG ? &table : format == RBE_SEED4 ? &nibbles : &bytes;
}

/*
 * A search of all bits takes spans of at most WHOLE_ROWS rows, which then need no more memory
 * than decisions, of at most WHOLE_SHIFT new bits each.
 */
enum { WHOLE_SHIFT = 5, WHOLE_ROWS = RBE_SEED_DEPTH / 2 };

/* A row of such a search. */
struct whole_row {
    struct rbe_trellis_row row; /* free: of a span's first row all that a sweep takes at once */
    unsigned bits;              /* that differ between its states */
    unsigned fixed;             /* the window's others, those of the tail */
    unsigned dropped;           /* bits that the states lose before the next row */
    uint16_t *costs;            /* its line: of its states folded for the next row */
};

struct rbe_seed_search {
    const struct rbe_trellis *ops;
    struct rbe_trellis_state trellis;
    const struct map *map;
    unsigned block, bits;
    double factor;              /* of a row of mean weight: e = (g - target) * factor */
    size_t line;                /* bytes of a ring line */
    uint8_t *decisions;         /* [RBE_SEED_DEPTH][line] */
    uint8_t *narrow;            /* [2^(L - 1)]: the line of the one row of a span that brings
                                 * fewer bits than lines are made for, where the ring turns
                                 * or the tail begins */
    uint8_t *start;             /* [2^L], carries of row 0 */
    float *joint;               /* targets and weights around the joint of a ring */
    /* Of a search of all bits, in the same memory: */
    struct whole_row *rows;     /* [WHOLE_ROWS] of a span */
    uint16_t *costs;            /* [WHOLE_ROWS][line], as decisions */
    uint16_t *narrow_costs;     /* [2^15], as narrow */
    uint16_t *last;             /* [2^16] of the last row's states */
    uint16_t *zeros;            /* [2^(16 - WHOLE_SHIFT)] of those before the first row */
    void *memory;
};

/* What the trellis asks for (kernels/trellis.h), at least. */
static unsigned least_bits(unsigned block, unsigned bits)
{
    const unsigned most = (128 + block - 1) / block;    /* new bits of a row, at most */
    const unsigned least = most > 5 ? 2 * most : most + 5;

    return bits < least ? least : bits;
}

/* New bits of a row that has any, at least. */
static unsigned least_shift(unsigned block)
{
    return block > 128 ? 1 : 128 / block;
}

/* Much of it goes through the caches for each column: in large pages where there are some. */
enum { LINE = 64, PAGE = 2 << 20 };

static size_t page_for(size_t bytes)
{
    return bytes < PAGE ? LINE : PAGE;
}

static size_t in_pages(size_t bytes)
{
    const size_t page = page_for(bytes);

    return (bytes + page - 1) / page * page;
}

static size_t joint_rows(unsigned block)
{
    return (JOINT_BITS * (size_t)block + 127) / 128;
}

struct layout {
    size_t cost, hash, next_cost, next_hash, start, joint, narrow, zeros, rows, decisions;
    size_t total;
};

static bool can_be_whole(unsigned block, unsigned bits)
{
    return bits == 16 && block <= 128 && (128 + block - 1) / block <= WHOLE_SHIFT;
}

static struct layout layout_of(unsigned block, unsigned bits)
{
    const size_t states = (size_t)1 << bits, line = states >> least_shift(block);
    struct layout l = {0};

    l.hash = l.cost + states * sizeof(uint16_t);
    l.next_cost = l.hash + states * sizeof(uint16_t);
    l.next_hash = l.next_cost + states * sizeof(uint16_t);
    l.start = l.next_hash + states * sizeof(uint16_t);
    l.joint = l.start + states;
    /* Two sides, and at most a strip of rows that are none. */
    l.narrow = l.joint + 2 * (2 * joint_rows(block) + block) * sizeof(float);
    l.zeros = (l.narrow + states / 2 + 63) / 64 * 64;
    l.rows = l.decisions = l.zeros;
    l.total = l.decisions + RBE_SEED_DEPTH * line;
    if (can_be_whole(block, bits)) {
        l.rows += sizeof(uint16_t) << (16 - WHOLE_SHIFT);
        l.decisions = (l.rows + WHOLE_ROWS * sizeof(struct whole_row) + 63) / 64 * 64;
        l.total = l.decisions + WHOLE_ROWS * line * sizeof(uint16_t);
    }
    return l;
}

float rbe_seed_sigma(enum rbe_format format)
{
    return (float)map_of(format)->sigma;
}

size_t rbe_seed_search_bytes(unsigned block, unsigned bits)
{
    const struct layout l = layout_of(block, least_bits(block, bits));

    return sizeof(struct rbe_seed_search) + in_pages(l.total);
}

/* The square of the error to be expected is that of the maps' outputs less 6 dB a bit; beyond
 * some 8 bits it is that of rounding to integers. */
static double usual_factor(const struct map *m, unsigned block)
{
    const double expected = m->sigma * exp2(-128.0 / block);
    const double error = expected > 0.29 ? expected : 0.29;

    return sqrt(UNIT * 65536) / error;
}

enum rbe_status rbe_seed_search_open(struct rbe_seed_search **out, enum rbe_format format,
                                     unsigned block, unsigned bits,
                                     const struct rbe_trellis *ops, struct rbe_diag *d)
{
    *out = NULL;
    if (block < RBE_SEED_MIN_BLOCK || block > RBE_SEED_MAX_BLOCK)
        return rbe_fail(d, RBE_ERR_ARG, "block %u: seed takes %d to %d", block,
                        RBE_SEED_MIN_BLOCK, RBE_SEED_MAX_BLOCK);
    if (bits < 8 || bits > 16)
        return rbe_fail(d, RBE_ERR_ARG, "a search window of %u bits: 8 to 16 are possible",
                        bits);
    bits = least_bits(block, bits);
    const struct layout l = layout_of(block, bits);
    struct rbe_seed_search *s = calloc(1, sizeof *s);
    uint8_t *memory = s ? aligned_alloc(page_for(l.total), in_pages(l.total)) : NULL;
    if (!memory) {
        free(s);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    if (page_for(l.total) == PAGE)
        madvise(memory, in_pages(l.total), MADV_HUGEPAGE);
    s->ops = ops ? ops : rbe_trellis_best(rbe_cpu_isa());
    s->map = map_of(format);
    s->block = block;
    s->bits = bits;
    s->factor = usual_factor(s->map, block);
    s->line = (size_t)1 << (bits - least_shift(block));
    s->memory = memory;
    s->start = memory + l.start;
    s->joint = (float *)(memory + l.joint);
    s->narrow = memory + l.narrow;
    s->decisions = memory + l.decisions;
    s->costs = (uint16_t *)(memory + l.decisions);
    s->last = (uint16_t *)(memory + l.cost);
    s->narrow_costs = (uint16_t *)(memory + l.next_cost);
    s->zeros = (uint16_t *)(memory + l.zeros);
    s->rows = (struct whole_row *)(memory + l.rows);
    memset(s->zeros, 0, l.rows - l.zeros);
    s->trellis.cost = (uint16_t *)(memory + l.cost);
    s->trellis.hash = (uint16_t *)(memory + l.hash);
    s->trellis.next_cost = (uint16_t *)(memory + l.next_cost);
    s->trellis.next_hash = (uint16_t *)(memory + l.next_hash);
    rbe_trellis_init(&s->trellis, bits, s->map->multiplier);
    *out = s;
    return RBE_OK;
}

void rbe_seed_search_close(struct rbe_seed_search **s)
{
    if (*s) {
        free((*s)->memory);
        free(*s);
    }
    *s = NULL;
}

/* Where the decisions of a row that brings k > 0 bits are kept, the ring's line `ring`. */
static uint8_t *decisions_of(const struct rbe_seed_search *s, unsigned k, size_t ring)
{
    return k < least_shift(s->block) ? s->narrow
                                     : s->decisions + ring % RBE_SEED_DEPTH * s->line;
}

/* First bit of row r's window in the column. */
static size_t row_bit(size_t r, unsigned block)
{
    return 128 * (r / block) + rbe_seed_bit((unsigned)(r % block), block);
}

/* Row r's place in its strip. */
static unsigned place(const struct rbe_seed_search *s, const struct rbe_seed_span *p, size_t r)
{
    return (unsigned)((p->turn && r >= p->turn ? r - p->turn : r) % s->block);
}

static size_t offset(const struct rbe_seed_search *s, const struct rbe_seed_span *p, size_t r)
{
    return p->turn && r >= p->turn ? p->turn_bit + row_bit(r - p->turn, s->block)
                                   : row_bit(r, s->block);
}

/* Writes `count` <= 16 bits at bit `at`; those from `end` on do not exist. */
static void put_bits(uint16_t *words, size_t at, unsigned count, unsigned value, size_t end)
{
    for (unsigned i = 0; i < count && at + i < end; i++)
        words[(at + i) / 16] |= (uint16_t)((value >> i & 1) << (at + i) % 16);
}

/* Bits from the beginning of row r - 1's window to that of r's. */
static unsigned shift_of(const struct rbe_seed_search *s, const struct rbe_seed_span *p,
                         size_t r)
{
    return (unsigned)(offset(s, p, r) - offset(s, p, r - 1));
}

/* How many of the newest bits of row r's window are fixed by the tail. */
static unsigned fixed_bits(const struct rbe_seed_search *s, const struct rbe_seed_span *p,
                           size_t r)
{
    const size_t end = offset(s, p, r) + 16;

    return p->tail == RBE_SEED_ANY || end <= p->end ? 0 : (unsigned)(end - p->end);
}

/* How many bits row r > first adds to the window that are not fixed by the tail. */
static unsigned chosen_bits(const struct rbe_seed_search *s, const struct rbe_seed_span *p,
                            size_t r)
{
    const size_t end = offset(s, p, r) + 16, begin = offset(s, p, r - 1) + 16;

    if (p->tail == RBE_SEED_ANY || end <= p->end)
        return (unsigned)(end - begin);
    return begin < p->end ? (unsigned)(p->end - begin) : 0;
}

/* The factor of a row of weight 1, from the mean of the rows that cost anything. */
static double factor_of(const struct rbe_seed_search *s, const struct rbe_seed_span *p)
{
    double sum = 0;
    size_t n = 0;

    for (size_t i = 0; p->weight && i < p->count; i++) {
        sum += (double)p->weight[i];
        n += p->weight[i] > 0;
    }
    return n ? s->factor / sqrt(sum / (double)n) : s->factor;
}

/* What the generator does at row r (seed.h), as the trellis wants it. */
static struct rbe_trellis_row row_of(const struct rbe_seed_search *s,
                                     const struct rbe_seed_span *p, double factor, size_t r)
{
    const size_t at = offset(s, p, r), i = r - p->first;
    const double weight = p->weight ? (double)p->weight[i] : 1;
    const struct map *const m = s->map;
    struct rbe_trellis_row row = {.map = m->kind};

    factor *= sqrt(weight);
    /* Beyond the map's range a target would make all outputs saturate, and none the best. */
    const double reach = m->most + 8192 / factor;
    const double target = fmin(fmax((double)p->target[i], -reach), reach);

    for (; factor > 127 && row.doublings < RBE_TRELLIS_MAX_DOUBLINGS; factor /= 2)
        row.doublings++;
    /* A light row still costs something. */
    row.factor = (uint8_t)(!(weight > 0) ? 0 : factor > 127 ? 127 : factor < 1 ? 1
                                                                     : lrint(factor));
    const double scaled = (target + m->offset) * row.factor;
    row.target = (int16_t)(scaled > 32767 ? 32767 : scaled < -32767 ? -32767 : lrint(scaled));
    row.addend = (uint16_t)(place(s, p, r) * m->step);
    if (r == p->first)
        return row;
    row.shift = shift_of(s, p, r);
    row.free = chosen_bits(s, p, r);
    if (row.free < row.shift)
        row.fixed = (unsigned)p->tail >> (at + 16 - row.shift + row.free - p->end) &
                    ((1U << (row.shift - row.free)) - 1);
    return row;
}

/* The state before the fold by k of which group g keeps decision d. */
static unsigned state_before(const struct rbe_seed_search *s, unsigned k, unsigned g,
                             unsigned d)
{
    return rbe_trellis_reverse(d, k) << (s->bits - k) | g;
}

/* The best state of the last row, whose groups were folded for the next with decisions
 * `line`. */
static unsigned best_state(const struct rbe_seed_search *s, const uint8_t *line)
{
    const struct rbe_trellis_state *t = &s->trellis;
    const size_t groups = (size_t)1 << (t->bits - t->fold);
    unsigned best = 0;

    for (size_t i = 1; i < groups; i++)
        if (t->cost[i] < t->cost[best])
            best = (unsigned)i;
    return t->fold ? state_before(s, t->fold, best, line[best]) : best;
}

/* Follows the path into `state` at row `last` back to row `first` and writes the bits that
 * rows first..keep brought.  `ring` is the line after the one of row `last`. */
static void trace(const struct rbe_seed_search *s, const struct rbe_seed_span *p, size_t first,
                  size_t keep, size_t last, unsigned state, size_t ring, uint16_t *words)
{
    const size_t base = p->first / s->block * 128;

    for (size_t r = last; r > p->first && r >= first; r--) {
        const unsigned k = chosen_bits(s, p, r), group = state >> k;

        if (!k)
            continue;
        if (r <= keep)
            put_bits(words, offset(s, p, r - 1) + 16 - base, k,
                     rbe_trellis_reverse(state & ((1U << k) - 1), k), p->end - base);
        ring--;
        state = state_before(s, k, group, decisions_of(s, k, ring)[group]);
    }
    if (first == p->first) {
        const unsigned newest = rbe_trellis_reverse(state, s->bits);
        const unsigned carry = s->bits < 16 ? s->start[state] : 0;

        put_bits(words, offset(s, p, first) - base, 16, newest << (16 - s->bits) | carry,
                 p->end - base);
    }
}

/*
 * The first row: a step of a trellis of 16 bits, whose windows bring 8 new ones each and fold
 * by the bits that are only carried; or the one window that is allowed.
 */
static void start(struct rbe_seed_search *s, const struct rbe_trellis_row *row, int only)
{
    struct rbe_trellis_state *t = &s->trellis;
    const unsigned L = s->bits, carried = 16 - L;
    const size_t states = (size_t)1 << L;

    t->least = 0;
    if (only >= 0) {
        const size_t state = rbe_trellis_reverse((unsigned)only, 16) & (states - 1);

        memset(t->cost, 0xFF, states * sizeof *t->cost);
        memset(t->hash, 0, states * sizeof *t->hash);
        t->cost[state] = 0;
        t->hash[state] = (uint16_t)((unsigned)only * t->multiplier);
        s->start[state] = (uint8_t)((unsigned)only & ((1U << carried) - 1));
        t->fold = 0;
        return;
    }
    struct rbe_trellis_row all = *row;
    all.shift = all.free = 8;
    t->bits = 16;
    t->fold = 8;
    for (unsigned g = 0; g < 256; g++) {
        t->cost[g] = 0;
        t->hash[g] = (uint16_t)(rbe_trellis_reverse(g, 8) * t->multiplier);
    }
    s->ops->step(t, &all, carried, s->start);
    t->bits = L;
    t->fold = 0;
    for (size_t i = 0; carried && i < states; i++)
        t->hash[i] = (uint16_t)((t->hash[i] << carried) + s->start[i] * t->multiplier);
}

/* --- all bits of the window --------------------------------------------------------------- */

/* A search of all bits under way. */
struct whole {
    const struct rbe_seed_search *s;
    const struct rbe_seed_span *p;
    double factor;
    uint16_t *words;
    uint32_t chosen;            /* bits of the best path yet that end it (follow_tail()) */
};

static struct whole_row *row_at(const struct whole *w, size_t r)
{
    return &w->s->rows[r - w->p->first];
}

/* more: another row follows. */
static void set_row(const struct whole *w, size_t r, bool more)
{
    const struct rbe_seed_search *s = w->s;
    const unsigned fixed = fixed_bits(s, w->p, r), shift = more ? shift_of(s, w->p, r + 1) : 0;
    struct whole_row *x = row_at(w, r);

    x->row = row_of(s, w->p, w->factor, r);
    if (r == w->p->first)
        x->row.free = WHOLE_SHIFT;
    x->bits = 16 - fixed;
    x->fixed = (unsigned)w->p->tail & ((1U << fixed) - 1);
    x->dropped = shift < x->bits ? shift : x->bits;
    x->costs = !more ? s->last
               : !fixed && shift < least_shift(s->block)
                   ? s->narrow_costs
                   : s->costs + (r - w->p->first) * s->line;
}

/*
 * The costs of the states of row r that group `group` was folded from, the oldest bits of state
 * i those of i.  The least of all is not subtracted.  Returns the bits.
 */
static unsigned group_costs(const struct whole *w, size_t r, unsigned group,
                            unsigned cost[1 << WHOLE_SHIFT])
{
    const struct whole_row *const x = row_at(w, r);
    const uint16_t *const from = r == w->p->first ? w->s->zeros : row_at(w, r - 1)->costs;
    const unsigned left = x->bits - x->dropped, multiplier = w->s->map->multiplier;
    const unsigned window =
        rbe_trellis_reverse(group, left) << x->dropped | x->fixed << x->bits;

    for (unsigned o = 0; o < 1U << x->dropped; o++) {
        const unsigned hash =
            (window | rbe_trellis_reverse(o, x->dropped)) * multiplier + x->row.addend;

        cost[o] = from[(o << left | group) >> x->row.free] +
                  rbe_trellis_cost(&x->row, rbe_trellis_output(hash & 0xFFFF, x->row.map));
        if (cost[o] > RBE_TRELLIS_NEVER)
            cost[o] = RBE_TRELLIS_NEVER;
    }
    return x->dropped;
}

/* The best state of row r of those folded into a group. */
static unsigned best_of_group(const struct whole *w, size_t r, unsigned group)
{
    unsigned cost[1 << WHOLE_SHIFT], best = 0;

    if (r == w->p->first && w->p->start >= 0)
        return rbe_trellis_reverse((unsigned)w->p->start, 16);
    const unsigned dropped = group_costs(w, r, group, cost);
    for (unsigned o = 1; o < 1U << dropped; o++)
        best = cost[o] < cost[best] ? o : best;
    return best << (row_at(w, r)->bits - dropped) | group;
}

/* The first of n costs that is the least. */
static unsigned first_least(const uint16_t *cost, size_t n, uint16_t least)
{
    enum { AT_ONCE = 64 };
    size_t i = 0;

    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        unsigned found = 0;
        for (size_t k = 0; k < AT_ONCE; k++)
            found |= cost[i + k] == least;
        if (found)
            break;
    }
    while (i + 1 < n && cost[i] != least)
        i++;
    return (unsigned)i;
}

/* Writes the bits that the path into `state` at row `last` has up to there. */
static void follow(const struct whole *w, size_t last, unsigned state)
{
    const struct rbe_seed_span *p = w->p;
    const size_t base = p->first / w->s->block * 128;

    for (size_t r = last; r > p->first; r--) {
        const unsigned k = row_at(w, r)->row.free;

        put_bits(w->words, offset(w->s, p, r - 1) + 16 - base, k,
                 rbe_trellis_reverse(state & ((1U << k) - 1), k), p->end - base);
        state = best_of_group(w, r - 1, state >> k);
    }
    put_bits(w->words, offset(w->s, p, p->first) - base, 16, rbe_trellis_reverse(state, 16),
             p->end - base);
}

/*
 * From the rows with fixed bits back to row `row`, the last without: `path` are the chosen bits
 * from the oldest of `state` on, the newest lowest.  Of paths that cost the same the one counts
 * whose newest 16 bits are the lowest, then whose others are.
 */
static void follow_tail(struct whole *w, size_t row, size_t r, unsigned state, uint32_t path)
{
    if (r == row) {
        const uint32_t order = path << 16 | path >> 16;
        const uint32_t best = w->chosen << 16 | w->chosen >> 16;

        w->chosen = order < best ? path : w->chosen;
        return;
    }
    const struct whole_row *const x = row_at(w, r);
    const unsigned group = state >> x->row.free;
    unsigned cost[1 << WHOLE_SHIFT], least = RBE_TRELLIS_NEVER;
    const unsigned dropped = group_costs(w, r - 1, group, cost);

    for (unsigned o = 0; o < 1U << dropped; o++)
        least = cost[o] < least ? cost[o] : least;
    for (unsigned o = 0; o < 1U << dropped; o++)
        if (cost[o] == least)
            follow_tail(w, row, r - 1, o << (row_at(w, r - 1)->bits - dropped) | group,
                        (uint32_t)o << x->bits | path);
}

/* Writes the best path. */
static void finish(struct whole *w, uint16_t least)
{
    const size_t last = w->p->first + w->p->count - 1;
    const size_t states = (size_t)1 << row_at(w, last)->bits;
    const uint16_t *const cost = w->s->last;
    size_t row = last;

    while (fixed_bits(w->s, w->p, row))
        row--;
    unsigned state = first_least(cost, states, least);
    if (row < last) {
        const unsigned k = row_at(w, row + 1)->row.free;
        const size_t base = w->p->first / w->s->block * 128;

        w->chosen = UINT32_MAX;
        for (size_t i = state; i < states; i++)
            if (cost[i] == least)
                follow_tail(w, row, last, (unsigned)i, (uint32_t)i);
        put_bits(w->words, offset(w->s, w->p, row) + 16 - base, k,
                 rbe_trellis_reverse(w->chosen & ((1U << k) - 1), k), w->p->end - base);
        state = w->chosen >> k;
    }
    follow(w, row, state);
}

static void run_whole(struct rbe_seed_search *s, const struct rbe_seed_span *p,
                      uint16_t *words)
{
    struct whole w = {.s = s, .p = p, .factor = factor_of(s, p), .words = words};
    struct rbe_trellis_sweep t = {.multiplier = s->map->multiplier, .from = s->zeros};
    const size_t stop = p->first + p->count;

    set_row(&w, p->first, p->count > 1);
    for (size_t r = p->first; r < stop; r++) {
        const struct whole_row *const x = row_at(&w, r);

        if (r + 1 < stop)
            set_row(&w, r + 1, r + 2 < stop);
        t.bits = x->bits;
        t.fixed = x->fixed;
        t.fold = x->dropped;
        t.to = x->costs;
        t.ahead = r + 1 < stop ? row_at(&w, r + 1)->costs : NULL;
        if (r == p->first && p->start >= 0) {
            const size_t groups = (size_t)1 << (t.bits - t.fold);

            memset(t.to, 0xFF, groups * sizeof *t.to);
            t.to[rbe_trellis_reverse((unsigned)p->start, 16) & (groups - 1)] = 0;
            t.least = 0;
            t.any = RBE_TRELLIS_NEVER;
        } else {
            s->ops->sweep(&t, &x->row);
        }
        t.from = t.to;
    }
    finish(&w, t.least);
}

void rbe_seed_search_run(struct rbe_seed_search *s, const struct rbe_seed_span *p,
                         uint16_t *words)
{
    struct rbe_trellis_state *t = &s->trellis;
    const size_t stop = p->first + p->count;
    size_t next = p->first;     /* first row whose bits are not final */
    size_t ring = 0, kept = 0;  /* lines written; lines whose rows are final */

    if (!p->count)
        return;
    memset(words, 0, (p->end / 16 - p->first / s->block * 8) * sizeof *words);
    if (can_be_whole(s->block, s->bits) && p->count <= WHOLE_ROWS &&
        !fixed_bits(s, p, p->first)) {
        run_whole(s, p, words);
        return;
    }
    const double factor = factor_of(s, p);
    for (size_t r = p->first; r < stop; r++) {
        const struct rbe_trellis_row row = row_of(s, p, factor, r);
        const unsigned fold = r + 1 < stop ? chosen_bits(s, p, r + 1) : 0;

        if (fold && ring - kept == RBE_SEED_DEPTH) {
            /* Count back over the rows that wrote all lines but the oldest quarter; row r's
             * was written in the step before it. */
            const bool wrote = t->fold > 0;
            size_t keep = r;
            for (size_t n = 0; n < RBE_SEED_DEPTH / 4 * 3; keep--)
                n += chosen_bits(s, p, keep) != 0;
            trace(s, p, next, keep, r - 1,
                  best_state(s, wrote ? decisions_of(s, t->fold, ring - 1) : NULL),
                  ring - wrote, words);
            next = keep + 1;
            kept += RBE_SEED_DEPTH / 4;
        }
        uint8_t *const line = fold ? decisions_of(s, fold, ring) : NULL;
        if (r == p->first) {
            start(s, &row, p->start);
            if (fold)
                s->ops->step(t, NULL, fold, line);
        } else if (row.free < row.shift) {
            s->ops->drain(t, &row);
        } else {
            s->ops->step(t, &row, fold, line);
        }
        ring += fold != 0;
    }
    trace(s, p, next, stop, stop - 1, best_state(s, NULL), ring, words);
}

/* Rows first .. rows - 1 and then 0 .. below - 1, where a turn of the ring ends. */
static struct rbe_seed_span across_the_ring(struct rbe_seed_search *s, const float *target,
                                            const float *weight, size_t rows, size_t first,
                                            size_t below)
{
    const size_t words = rbe_seed_column_words(rows, s->block);
    const size_t last = words - rbe_seed_last_words(rows, s->block);
    /* Rows that would start in the last words cost nothing, but bring their bits, so that no
     * row brings more than a trellis takes. */
    const size_t turn = last / RBE_SEED_WORDS * s->block +
                        ((words - last) * s->block + RBE_SEED_WORDS - 1) / RBE_SEED_WORDS;
    float *t = s->joint, *w = s->joint + (turn - first + below);

    for (size_t r = first; r < turn + below; r++) {
        const size_t from = r < turn ? r : r - turn;
        const bool real = r < rows || r >= turn;

        *t++ = real ? target[from] : 0;
        *w++ = !real ? 0 : weight ? weight[from] : 1;
    }
    return (struct rbe_seed_span){
        .target = s->joint, .weight = s->joint + (turn - first + below), .first = first,
        .count = turn - first + below, .turn = turn, .turn_bit = 16 * words,
        .end = 16 * words + 16, .start = RBE_SEED_ANY, .tail = RBE_SEED_ANY};
}

uint16_t rbe_seed_search_join(struct rbe_seed_search *s, const float *target,
                              const float *weight, size_t rows, size_t strip)
{
    const size_t at = strip ? strip * s->block : rows, reach = joint_rows(s->block);
    const size_t first = at > reach ? at - reach : 0;
    const size_t left = strip ? rows - at : rows, below = left < reach ? left : reach;
    uint16_t words[JOINT_BITS / 16 + 2 * RBE_SEED_WORDS + 1];
    const struct rbe_seed_span span =
        strip ? (struct rbe_seed_span){.target = target + first,
                                       .weight = weight ? weight + first : NULL, .first = first,
                                       .count = at - first + below, .end = 128 * strip + 16,
                                       .start = RBE_SEED_ANY, .tail = RBE_SEED_ANY}
              : across_the_ring(s, target, weight, rows, first, below);

    rbe_seed_search_run(s, &span, words);
    return words[span.end / 16 - 1 - first / s->block * RBE_SEED_WORDS];
}

void rbe_seed_decode_column(enum rbe_format format, unsigned block, const uint16_t *words,
                            size_t rows, int16_t *g)
{
    const size_t count = rbe_seed_column_words(rows, block);

    for (size_t r = 0; r < rows; r++) {
        const size_t at = row_bit(r, block), w = at / 16;
        const uint32_t high = words[w + 1 < count ? w + 1 : 0];
        const uint16_t u = (uint16_t)((high << 16 | words[w]) >> at % 16);

        g[r] = (int16_t)(format == RBE_SEED4   ? rbe_seed4_map(u, (unsigned)(r % block))
                         : format == RBE_SEEDG ? rbe_seedg_map(u)
                                               : rbe_seed_map(u));
    }
}
