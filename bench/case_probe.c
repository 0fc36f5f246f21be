/*
 * case_probe.c - the machine's roofs again, among the rows.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/case.h"

struct probe {
    struct rbe_case base;
    const struct rbe_probe *of;
};

static double seconds(struct rbe_case *c, uint64_t n)
{
    return rbe_probe_time(((struct probe *)c)->of, rbe_case_team(c), c->suite->roofs->buffer,
                          c->working_set, n);
}

static void raise(const struct rbe_case *c, struct rbe_roofs *roofs, double rate)
{
    rbe_roofs_note(roofs, ((const struct probe *)c)->of, c->working_set, c->threads,
                   (c->bytes > 0 ? c->bytes : c->multiply_adds) * rate);
}

static const struct rbe_case_kind kind = {
    .name = "probe", .size = sizeof(struct probe), .seconds = seconds, .raise = raise};

enum rbe_status rbe_suite_probe(struct rbe_suite *s, const struct rbe_probe *p, size_t bytes,
                                unsigned threads, struct rbe_diag *d)
{
    struct rbe_case *c;
    const enum rbe_status err = rbe_case_new(&c, s, &kind, threads, d);

    if (err)
        return err;
    ((struct probe *)c)->of = p;
    c->working_set = bytes;
    rbe_case_name(c, "%s", p->name);
    if (p->kind == RBE_PROBE_READ) {
        c->bytes = (double)bytes;
        rbe_case_name(c, "/bytes:%zu", bytes);
    } else {
        c->weights = c->multiply_adds = p->work * RBE_PROBE_ROUNDS * threads;
        c->arithmetic = p->kind;
        c->isa = p->isa;
    }
    rbe_case_name(c, "/t:%u", threads);
    rbe_case_facts(c, p->kind == RBE_PROBE_READ ? "read" : "peak", "none",
                   p->word, -1);
    return rbe_case_register(c, d);
}
