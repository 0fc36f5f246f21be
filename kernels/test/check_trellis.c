/*
 * check_trellis.c - the search's step: every version of trellis.h bit for bit against plain
 * loops over windows, in buffers that touch unreadable pages.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/format/seed.h"
#include "kernels/format/seedg.h"
#include "kernels/test/check.h"
#include "kernels/test/guard.h"
#include "kernels/trellis.h"

enum { STATES = 1 << RBE_TRELLIS_MAX_BITS };

static struct check_rng rng;
static struct guarded room[4], decision_room;
static uint16_t cost[STATES], window[STATES];       /* of groups, as a step finds them */
static uint16_t want_cost[STATES], want_window[STATES];
static uint8_t want_decision[STATES];

/* What an output costs, from the words of trellis.h. */
static long row_cost(const struct rbe_trellis_row *r, unsigned multiplier, unsigned u)
{
    const unsigned h = (u * multiplier + r->addend) & 0xFFFF;
    long g = 0;

    if (r->map == RBE_TRELLIS_TABLE)
        g = rbe_seedg_map((uint16_t)u);
    else if (r->map == RBE_TRELLIS_NIBBLES)
        for (int i = 0; i < 16; i += 4)
            g += h >> i & 15;
    else
        for (int i = 0; i < 16; i += 8)
            g += (long)((h >> i & 255) ^ 128) - 128;
    long e = g * r->factor - r->target;
    for (int i = -1; i < r->doublings; i++) {
        e = i < 0 ? e : 2 * e;
        e = e > 32767 ? 32767 : e < -32768 ? -32768 : e;
    }
    return e * e / 65536;
}

/* The window of state s, whose k newest bits are the lowest of s, reversed. */
static unsigned window_of(unsigned s, unsigned k)
{
    unsigned u = window[s >> k];

    for (unsigned i = 0; i < k; i++)
        u |= (s >> i & 1) << (15 - i);
    return u;
}

static void expect_step(const struct rbe_trellis_state *t, const struct rbe_trellis_row *r,
                        unsigned fold)
{
    const unsigned L = t->bits, k = r ? r->shift : 0;

    for (unsigned g = 0; g < 1U << (L - fold); g++) {
        long best = -1;
        unsigned from = 0;

        for (unsigned o = 0; o < 1U << fold; o++) {
            const unsigned s = o << (L - fold) | g, u = window_of(s, k);
            long c = cost[s >> k] + (r ? row_cost(r, t->multiplier, u) : 0);
            c = c > 65535 ? 65535 : c;
            if (best < 0 || c < best) {
                best = c;
                from = u;
            }
        }
        want_cost[g] = (uint16_t)(best == 65535 ? 65535 : best - t->least);
        want_window[g] = (uint16_t)(from >> fold);
        want_decision[g] = (uint8_t)(from >> (16 - L) & ((1U << fold) - 1));
    }
}

static void expect_drain(const struct rbe_trellis_state *t, const struct rbe_trellis_row *r)
{
    for (unsigned s = 0; s < 1U << t->bits; s++) {
        unsigned u = window[s >> r->free];

        for (unsigned i = 0; i < r->free; i++)      /* above the window's bits, newest last */
            u |= (s >> i & 1) << (15 - i);
        u = u >> (r->shift - r->free) | r->fixed << (16 - r->shift + r->free);
        long c = cost[s >> r->free] + row_cost(r, t->multiplier, u);
        c = c >= 65535 ? 65535 : c - t->least;
        want_cost[s] = (uint16_t)c;
        want_window[s] = (uint16_t)u;
    }
}

/* Groups of 2^fold: some costs near the least, some large, some that nothing can save. */
static void fill_groups(struct rbe_trellis_state *t, unsigned fold)
{
    const uint16_t base = (uint16_t)check_below(&rng, 3000);

    t->fold = fold;
    t->least = 0xFFFF;
    for (unsigned g = 0; g < 1U << (t->bits - fold); g++) {
        const unsigned kind = check_below(&rng, 8);
        cost[g] = (uint16_t)(kind == 0   ? RBE_TRELLIS_NEVER
                             : kind < 3 ? base + check_below(&rng, 60000)
                                        : base + check_below(&rng, 500));
        window[g] = (uint16_t)(check_below(&rng, 65536) >> fold);
        t->cost[g] = cost[g];
        t->hash[g] = (uint16_t)((unsigned)window[g] * t->multiplier);
        t->least = cost[g] < t->least ? cost[g] : t->least;
    }
}

static struct rbe_trellis_row some_row(unsigned shift, enum rbe_trellis_map map)
{
    static const uint8_t factors[] = {0, 1, 2, 64, 126, 127};
    struct rbe_trellis_row r = {.shift = shift, .free = shift, .map = map};

    r.addend = (uint16_t)(map == RBE_TRELLIS_NIBBLES ? check_below(&rng, 65536) : 0);
    r.factor = check_below(&rng, 3) ? (uint8_t)check_below(&rng, 128)
                                    : factors[check_below(&rng, 6)];
    r.doublings = (uint8_t)(check_below(&rng, 2) ? 0 : check_below(&rng, 8));
    r.target = (int16_t)(check_below(&rng, 8) ? (int)check_below(&rng, 40000) - 20000
                         : check_below(&rng, 2) ? 32767 : -32767);
    return r;
}

static void open_trellis(struct rbe_trellis_state *t, unsigned bits, enum rbe_trellis_map map,
                         enum place place)
{
    static const uint16_t multiplier[] = {[RBE_TRELLIS_BYTES] = RBE_SEED_MULTIPLIER,
                                          [RBE_TRELLIS_NIBBLES] = RBE_SEED4_MULTIPLIER,
                                          [RBE_TRELLIS_TABLE] = 1};
    const size_t bytes = sizeof(uint16_t) << bits;
    uint16_t **const arrays[] = {&t->cost, &t->hash, &t->next_cost, &t->next_hash};

    rbe_trellis_init(t, bits, multiplier[map]);
    for (int i = 0; i < 4; i++) {
        *arrays[i] = guarded_at(&room[i], place, bytes, sizeof(uint16_t));
        memset(*arrays[i], 0xA5, bytes);
    }
}

static bool as_expected(const struct rbe_trellis_state *t, unsigned fold,
                        const uint8_t *decision)
{
    const size_t groups = (size_t)1 << (t->bits - fold);
    uint16_t least = 0xFFFF;

    for (size_t g = 0; g < groups; g++) {
        const uint16_t hash = (uint16_t)((unsigned)want_window[g] * t->multiplier);
        if (t->cost[g] != want_cost[g] || t->hash[g] != hash ||
            (fold && decision[g] != want_decision[g]))
            return false;
        least = want_cost[g] < least ? want_cost[g] : least;
    }
    return t->least == least && t->fold == fold;
}

static const char *const names[] = {"bytes", "nibbles", "table"};

static void check_step(const struct rbe_trellis *ops, unsigned bits, unsigned k,
                       unsigned fold, enum rbe_trellis_map map, enum place place)
{
    static struct rbe_trellis_state t;
    const struct rbe_trellis_row r = some_row(k, map);
    const bool bare = k == 0 && check_below(&rng, 2);
    uint8_t *decision = guarded_at(&decision_room, place, (size_t)1 << (bits - fold), 1);

    open_trellis(&t, bits, map, place);
    fill_groups(&t, k);
    expect_step(&t, bare ? NULL : &r, fold);
    memset(decision, 0x5A, (size_t)1 << (bits - fold));
    ops->step(&t, bare ? NULL : &r, fold, fold ? decision : NULL);
    if (!CHECK(as_expected(&t, fold, decision)))
        printf("     %s: L %u, k %u, fold %u, %s, factor %u, doubled %u\n", ops->name, bits, k,
               fold, names[map], r.factor, r.doublings);
}

static void check_drain(const struct rbe_trellis *ops, unsigned bits, unsigned shift,
                        unsigned free, enum rbe_trellis_map map, enum place place)
{
    static struct rbe_trellis_state t;
    struct rbe_trellis_row r = some_row(shift, map);

    r.free = free;
    r.fixed = check_below(&rng, 1U << (shift - free));
    open_trellis(&t, bits, map, place);
    fill_groups(&t, free);
    expect_drain(&t, &r);
    ops->drain(&t, &r);
    if (!CHECK(as_expected(&t, 0, NULL)))
        printf("     %s: L %u drains %u of %u bits, %s\n", ops->name, bits, shift - free, shift,
               names[map]);
}

/* Costs of groups as a sweep finds them: calm ones are all small. */
static void fill_costs(struct rbe_trellis_sweep *t, uint16_t *from, size_t groups, bool calm)
{
    const unsigned base = check_below(&rng, 3000);

    t->least = RBE_TRELLIS_NEVER;
    t->any = 0;
    for (size_t g = 0; g < groups; g++) {
        const unsigned kind = check_below(&rng, 8);
        cost[g] = (uint16_t)(kind == 0 && !calm ? RBE_TRELLIS_NEVER
                             : kind < 3         ? base + check_below(&rng, calm ? 25000 : 60000)
                                                : base + check_below(&rng, 500));
        from[g] = cost[g];
        t->least = cost[g] < t->least ? cost[g] : t->least;
        t->any |= cost[g];
    }
}

static bool as_swept(const struct rbe_trellis_sweep *t, const struct rbe_trellis_row *r,
                     unsigned before)
{
    unsigned least = RBE_TRELLIS_NEVER, any = 0;

    for (unsigned g = 0; g < 1U << (t->bits - t->fold); g++) {
        long best = RBE_TRELLIS_NEVER;

        for (unsigned o = 0; o < 1U << t->fold; o++) {
            const unsigned s = o << (t->bits - t->fold) | g;
            const unsigned u = rbe_trellis_reverse(s, t->bits) | t->fixed << t->bits;
            const long c = cost[s >> r->free] + row_cost(r, t->multiplier, u);
            best = c < best ? c : best;
        }
        best = best == RBE_TRELLIS_NEVER ? best : best - (long)before;
        if (t->to[g] != best)
            return false;
        least = t->to[g] < least ? t->to[g] : least;
        any |= t->to[g];
    }
    return t->least == least && t->any == any;
}

static void check_sweep(const struct rbe_trellis *ops, unsigned bits, unsigned k,
                        unsigned fold, enum rbe_trellis_map map, bool calm, enum place place)
{
    static const uint16_t multiplier[] = {[RBE_TRELLIS_BYTES] = RBE_SEED_MULTIPLIER,
                                          [RBE_TRELLIS_NIBBLES] = RBE_SEED4_MULTIPLIER,
                                          [RBE_TRELLIS_TABLE] = 1};
    const struct rbe_trellis_row r = some_row(k, map);
    const size_t groups = (size_t)1 << (bits - k), left = (size_t)1 << (bits - fold);
    uint16_t *from = guarded_at(&room[0], place, groups * sizeof *from, sizeof *from);
    struct rbe_trellis_sweep t = {
        .bits = bits, .fixed = check_below(&rng, 1U << (16 - bits)), .fold = fold,
        .multiplier = multiplier[map], .from = from,
        .to = guarded_at(&room[1], place, left * sizeof *from, sizeof *from)};

    if (check_below(&rng, 2))
        t.ahead = guarded_at(&room[2], place, left * sizeof *from, sizeof *from);
    fill_costs(&t, from, groups, calm);
    const unsigned before = t.least;
    ops->sweep(&t, &r);
    if (!CHECK(as_swept(&t, &r, before)))
        printf("     %s: sweep of %u bits, k %u, fold %u, %s, factor %u, doubled %u\n",
               ops->name, bits, k, fold, names[map], r.factor, r.doublings);
}

/* Searches' pairs with many rows each; then every other of what a sweep takes. */
static void check_sweeps(const struct rbe_trellis *ops)
{
    for (unsigned k = 0; k <= 5; k++)
        for (unsigned fold = k > 1 ? k - 1 : 0; fold <= k + 1 && fold <= 5; fold++)
            for (int i = 0; i < 36; i++)
                check_sweep(ops, 11 + (unsigned)i % 5 / 4 * 3, k, fold,
                            (enum rbe_trellis_map)(i % 3), i % 2, AT_END);
    for (unsigned bits = 1; bits <= 16; bits += bits < 9 ? 1 : 3)
        for (unsigned k = 0; k <= RBE_TRELLIS_MAX_SHIFT; k++)
            for (unsigned fold = 0; fold <= RBE_TRELLIS_MAX_SHIFT && k + fold <= bits; fold++)
                check_sweep(ops, bits, k, fold, (enum rbe_trellis_map)((k + fold) % 3),
                            fold % 2, k % 2 ? AT_END : AT_START);
}

/* Every pair of new and dropped bits that a trellis of this many bits takes. */
static void check_all(const struct rbe_trellis *ops, unsigned bits)
{
    for (unsigned k = 0; k <= RBE_TRELLIS_MAX_SHIFT; k++) {
        for (unsigned fold = 0; fold <= RBE_TRELLIS_MAX_SHIFT; fold++) {
            const unsigned most = k > fold ? k : fold;
            if (bits < most + 5 || bits < 2 * most)
                continue;
            for (int map = 0; map < 3; map++)
                for (int place = 0; place < 2; place++)
                    check_step(ops, bits, k, fold, (enum rbe_trellis_map)map,
                               (enum place)place);
        }
        for (unsigned free = 0; free < k && bits >= k + 5 && bits >= 2 * k; free++)
            check_drain(ops, bits, k, free, (enum rbe_trellis_map)(free % 3),
                        free % 2 ? AT_END : AT_START);
    }
}

/* The pairs that conversions spend their time in, with all factors and doublings. */
static void check_often(const struct rbe_trellis *ops)
{
    for (unsigned k = 1; k <= 4; k++)
        for (unsigned fold = k > 1 ? k - 1 : 1; fold <= k + 1 && fold <= 5; fold++)
            for (int i = 0; i < 24; i++)
                check_step(ops, 10, k, fold, (enum rbe_trellis_map)(i % 3), AT_END);
}

int main(int argc, char **argv)
{
    unsigned ran = 0;

    rng = check_seed(argc, argv);
    if (rbe_cpu_init())
        return 2;
    for (int i = 0; i < 4; i++)
        if (!guarded_open(&room[i], sizeof(uint16_t) * STATES + 64))
            return 1;
    if (!guarded_open(&decision_room, STATES + 64))
        return 1;
    for (size_t i = 0; rbe_trellis_at(i); i++) {
        const struct rbe_trellis *ops = rbe_trellis_at(i);

        if (ops->isa & ~rbe_cpu_isa()) {
            printf("SKIP %s: this CPU cannot run it\n", ops->name);
            continue;
        }
        check_all(ops, 8);
        check_all(ops, 11);
        check_all(ops, 13);
        check_all(ops, 16);
        check_often(ops);
        check_sweeps(ops);
        ran++;
    }
    CHECK(ran > 0 && !(rbe_trellis_best(rbe_cpu_isa())->isa & ~rbe_cpu_isa()));
    CHECK(rbe_trellis_best(0)->isa == 0);
    return check_done();
}
