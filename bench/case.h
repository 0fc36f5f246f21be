/*
 * case.h - one benchmark, and the table of functions behind which its kind stands.
 *
 * SPDX-License-Identifier: MIT
 *
 * A kind is a file case_*.c: a struct that begins with a rbe_case, a table, and the
 * rbe_suite_*() of bench/suite.h that registers one.  suite.c calls the table in this order:
 * make, verify, then iterate as often as Google Benchmark asks, report, and at last close.
 */
#ifndef RBE_BENCH_CASE_H
#define RBE_BENCH_CASE_H

#include "base/progress.h"
#include "bench/gbench.h"
#include "bench/suite.h"

struct rbe_case;

struct rbe_case_kind {
    const char *name; /* "product": the field `what` */
    size_t size;      /* of the struct that begins with the rbe_case */
    /* All memory, when the case is first run; NULL: none. */
    enum rbe_status (*make)(struct rbe_case *c, struct rbe_diag *d);
    /* Once, with the buffers that are timed; why goes to `d`.  NULL: nothing to be verified. */
    enum rbe_status (*verify)(struct rbe_case *c, struct rbe_diag *d);
    void (*iterate)(struct rbe_case *c);
    /* Seconds of n iterations, by a kind that counts them itself; NULL: iterate, n times. */
    double (*seconds)(struct rbe_case *c, uint64_t n);
    /* Counters beside those of every row, where an iteration took `per` seconds; NULL: none. */
    void (*report)(const struct rbe_case *c, struct rbe_gbench_state *g, double per);
    /* A kind that is a roof itself raises it, at so many iterations a second; or NULL. */
    void (*raise)(const struct rbe_case *c, struct rbe_roofs *roofs, double rate);
    void (*close)(struct rbe_case *c); /* frees what make() made; may be NULL */
};

struct rbe_case {
    const struct rbe_case_kind *kind;
    struct rbe_suite *suite;
    char name[160];
    char op[16], format[16], isa_name[16]; /* what it is, in the result's fields */
    char size[32];                         /* of the whole model; else empty */
    int used; /* whether the model's runtime takes this version here; -1: it takes none or any
               */
    unsigned threads;
    size_t working_set;                   /* bytes that are read over and over; 0: see `cold` */
    double bytes, weights, multiply_adds; /* of one iteration; 0: that rate is not shown */
    enum rbe_probe_kind arithmetic;       /* what the multiply-adds are held against */
    uint32_t isa;                         /* ditto */
    bool cold;                            /* matrices come from memory each time */
    bool made, verified, bad;             /* suite.c's */
};

struct rbe_suite {
    struct rbe_data *data;
    const struct rbe_teams *teams;
    struct rbe_roofs *roofs;
    struct rbe_suite_options o;
    struct rbe_case **cases;
    size_t count, room;
    struct rbe_suite_result result;
    struct rbe_progress progress;
    double expected, done;
    float *y, *y_scalar; /* products land here, one case at a time */
    size_t y_size;
};

/* A fresh case of that kind, zeros behind its rbe_case.  RBE_ERR_ARG: no such team. */
enum rbe_status rbe_case_new(struct rbe_case **out, struct rbe_suite *s,
                             const struct rbe_case_kind *kind, unsigned threads,
                             struct rbe_diag *d);
void rbe_case_free(struct rbe_case *c);
/* The suite takes c over, whether it succeeds or not. */
enum rbe_status rbe_case_register(struct rbe_case *c, struct rbe_diag *d);

/* Fills op to used. */
void rbe_case_facts(struct rbe_case *c, const char *op, const char *format, const char *isa,
                    int used);
void rbe_case_name(struct rbe_case *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* appends */

struct rbe_team *rbe_case_team(const struct rbe_case *c);

/* Takes a sample (again, while others used the CPUs) and fills its row in: sample.c. */
void rbe_case_measure(struct rbe_case *c, struct rbe_gbench_state *g, uint64_t iterations);

/* Roofs that a case is held against; 0 where none applies. */
double rbe_case_read_roof(const struct rbe_case *c);
double rbe_case_peak(const struct rbe_case *c);

#endif
