/*
 * check_probe.c - probes read all they say, work in proportion, and roofs are sane.
 *
 * SPDX-License-Identifier: MIT
 *
 * Runs alone: it judges times.
 */
#include <stdlib.h>
#include <string.h>

#include "bench/probe.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"

enum { BYTES = 16384 };

/* A byte that changes anywhere changes the result: nothing is left unread. */
static void reads_all(const struct rbe_probe *p, struct check_rng *rng)
{
    uint8_t *buffer = aligned_alloc(64, BYTES);

    if (!CHECK(buffer != NULL))
        return;
    memset(buffer, 0, BYTES);
    const uint64_t before = p->run(buffer, BYTES);
    unsigned missed = 0;
    for (int i = 0; i < 512; i++) {
        /* Every 32 bytes once, at a random byte of them. */
        uint8_t *at = buffer + 32 * i + check_below(rng, 32);
        *at = 0x5A;
        missed += p->run(buffer, BYTES) == before;
        *at = 0;
    }
    if (!CHECK(missed == 0))
        printf("     %s left %u of 512 places unread\n", p->name, missed);
    free(buffer);
}

/* Four times the rounds take more than twice as long: the loop was not optimised away. */
static void works_in_proportion(const struct rbe_probe *p, const struct rbe_team *team)
{
    double one = 1e9, four = 1e9;

    for (int i = 0; i < 40; i++) {
        const double a = rbe_probe_time(p, team, NULL, 0, 8);
        const double b = rbe_probe_time(p, team, NULL, 0, 32);
        one = a < one ? a : one;
        four = b < four ? b : four;
    }
    if (!CHECK(four > 2 * one))
        printf("     %s: %g s and %g s\n", p->name, one, four);
    /* Twelve chains of at least one cycle's latency each, at less than 10 GHz. */
    CHECK(p->work * RBE_PROBE_ROUNDS * 8 / one < p->work / 3 * 1e10);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    struct rbe_team *teams[RBE_MAX_CPUS + 1] = {NULL};
    struct rbe_machine *machine;
    struct rbe_cpulist cpus;
    static struct rbe_roofs roofs;
    const struct rbe_probe *p;
    struct rbe_diag d;

    rbe_cpu_init();
    const uint32_t isa = rbe_cpu_isa();
    CHECK(rbe_machine_open(&machine, &d) == RBE_OK);
    rbe_machine_one_per_core(machine, &cpus);
    if (!CHECK(rbe_team_open(&teams[1], 1, &cpus, &d) == RBE_OK))
        return check_done();
    for (size_t i = 0; (p = rbe_probe_at(i)); i++) {
        if (p->isa & ~isa) {
            printf("SKIP %s: not on this CPU\n", p->name);
            continue;
        }
        if (p->kind == RBE_PROBE_READ)
            reads_all(p, &rng);
        else
            works_in_proportion(p, teams[1]);
    }

    const size_t set = 8 << 20;
    CHECK(rbe_roofs_measure(&roofs, teams, 1, isa, set, 0.002, &d) == RBE_OK);
    CHECK(roofs.points > 5 && roofs.bytes[roofs.points - 1] == set);
    for (unsigned i = 0; i < roofs.points; i++)
        CHECK(roofs.read[i][1] > 1e8 && roofs.read[i][1] < 1e13);
    CHECK(roofs.cache_bytes > 0 && roofs.cache_bytes <= set);
    /* The next larger point answers; beyond the curve, and for SIZE_MAX, its end. */
    CHECK(rbe_roofs_read(&roofs, 1, 1) == roofs.read[0][1]);
    CHECK(rbe_roofs_read(&roofs, roofs.bytes[2], 1) == roofs.read[2][1]);
    CHECK(rbe_roofs_read(&roofs, SIZE_MAX, 1) == roofs.read[roofs.points - 1][1]);
    CHECK(rbe_roofs_read(&roofs, 1, 2) == 0);
    /* Wider instruction sets never have the lower peak: theirs include the narrower. */
    CHECK(rbe_roofs_peak(&roofs, RBE_PROBE_FMA_F32, isa, 1) >=
          rbe_roofs_peak(&roofs, RBE_PROBE_FMA_F32, 0, 1));
    CHECK(rbe_roofs_peak(&roofs, RBE_PROBE_DOT_I16, 0, 1) > 0);
    /* Noting a faster run raises a roof, a slower one does not lower it. */
    p = rbe_probe_at(0);
    const double old = roofs.read[roofs.points - 1][1];
    rbe_roofs_note(&roofs, p, set, 1, old * 2);
    CHECK(rbe_roofs_read(&roofs, SIZE_MAX, 1) == old * 2);
    rbe_roofs_note(&roofs, p, set, 1, old);
    CHECK(rbe_roofs_read(&roofs, SIZE_MAX, 1) == old * 2);

    /* Any number of threads has roofs of its own. */
    roofs.threads = RBE_MAX_CPUS;
    rbe_roofs_note(&roofs, NULL, set, RBE_MAX_CPUS, 5e9);
    CHECK(rbe_roofs_read(&roofs, SIZE_MAX, RBE_MAX_CPUS) == 5e9);
    CHECK(rbe_roofs_read(&roofs, SIZE_MAX, 1) == old * 2);

    rbe_roofs_close(&roofs);
    rbe_team_close(&teams[1]);
    rbe_machine_close(&machine);
    return check_done();
}
