/*
 * probe.h - the machine's roofs, measured in the same run as what is held against them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_PROBE_H
#define RBE_BENCH_PROBE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "bench/machine.h"

enum rbe_probe_kind {
    RBE_PROBE_READ,    /* loads from a buffer */
    RBE_PROBE_FMA_F32, /* multiply and add of floats */
    RBE_PROBE_DOT_I16, /* products of 16-bit integers into 32-bit sums */
    RBE_PROBE_DOT_I8,  /* products of bytes into 32-bit sums */
};

/*
 * READ: reads p [n bytes], n a multiple of 4096.  The others: n rounds of `work` independent
 * multiply-adds in registers.  Returns something that depends on all of it.
 */
typedef uint64_t rbe_probe_fn(const void *p, size_t n);

struct rbe_probe {
    const char *name; /* probe_read_avx512 */
    enum rbe_probe_kind kind;
    uint32_t isa; /* RBE_ISA_* bits it needs */
    double work;  /* multiply-adds of a round; READ: 1 */
    rbe_probe_fn *run;
    const char *word; /* probes.def's for the ISA: avx512 */
};

enum { RBE_PROBE_ROUNDS = 4096 };

/* Every probe compiled in, in the order of probes.def; NULL past the end. */
const struct rbe_probe *rbe_probe_at(size_t i);

/* Seconds for n iterations on every thread of the team.  READ: an iteration reads `bytes` of
 * the buffer, divided among the threads; the others: RBE_PROBE_ROUNDS rounds on each. */
double rbe_probe_time(const struct rbe_probe *p, const struct rbe_team *team,
                      const void *buffer, size_t bytes, uint64_t n);

enum { RBE_CURVE_MAX = 32, RBE_ROOF_PROBES = 32 };

struct rbe_roofs {
    uint8_t *buffer; /* what READ probes read, buffer_bytes long */
    size_t buffer_bytes; /* the largest working set */
    uint32_t isa;
    /* Read bandwidth by working set: bytes, and bytes/s for each number of threads, the best
     * of all READ probes. */
    unsigned points;
    size_t bytes[RBE_CURVE_MAX];
    double read[RBE_CURVE_MAX][RBE_MAX_CPUS + 1];
    /* Multiply-adds/s of probe i by threads; 0 where it cannot run. */
    double peak[RBE_ROOF_PROBES][RBE_MAX_CPUS + 1];
    unsigned threads; /* the most that was measured */
    /* Where the curve of one thread has come down to its end: what all caches hold. */
    size_t cache_bytes;
};

/* The curve's points up to a working set of max_bytes, and nothing measured: for a list. */
void rbe_roofs_plan(struct rbe_roofs *r, uint32_t isa, size_t max_bytes);

/*
 * Measures them with teams[1], teams[2], ... teams[threads] (NULL: not that many) up to a
 * working set of max_bytes.  `seconds` for each point and probe.
 */
enum rbe_status rbe_roofs_measure(struct rbe_roofs *r, struct rbe_team *const *teams,
                                  unsigned threads, uint32_t isa, size_t max_bytes,
                                  double seconds, struct rbe_diag *d);
void rbe_roofs_close(struct rbe_roofs *r);

/* A later, faster run of a probe raises its roof; p NULL: so many bytes a second were read
 * from that working set by other means. */
void rbe_roofs_note(struct rbe_roofs *r, const struct rbe_probe *p, size_t bytes,
                    unsigned threads, double rate);

/* Peak for a kernel of `isa` that multiplies as `kind` says: its best probe's; 0 when
 * unknown. */
double rbe_roofs_peak(const struct rbe_roofs *r, enum rbe_probe_kind kind, uint32_t isa,
                      unsigned threads);

/* Read bandwidth at a working set of so many bytes, of the next larger point; SIZE_MAX means
 * memory.  0 when unknown. */
double rbe_roofs_read(const struct rbe_roofs *r, size_t bytes, unsigned threads);

json_t *rbe_roofs_json(const struct rbe_roofs *r);

#endif
