/*
 * check.h - what every test program shares.
 *
 * SPDX-License-Identifier: MIT
 *
 * A program runs CHECKs and ends with `return check_done();`: the last line counts them, the
 * exit status is the verdict, and no check at all is a failure.  With $RBE_CHECK_STOP set it
 * ends at the first that fails: for who wants to know only whether one does.
 */
#ifndef RBE_KERNELS_TEST_CHECK_H
#define RBE_KERNELS_TEST_CHECK_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static unsigned check_passed, check_failed;

/* Counts, and says where it failed; the program goes on.  True when it holds. */
#define CHECK(cond) check_that(!!(cond), __FILE__, __LINE__, #cond)

/* |got - want| <= tol, written so that NaN fails. */
#define CHECK_NEAR(got, want, tol) check_near((got), (want), (tol), __FILE__, __LINE__, #got)

static inline void check_may_stop(void)
{
    if (getenv("RBE_CHECK_STOP"))
        exit(1);
}

static inline int check_that(int ok, const char *file, int line, const char *what)
{
    if (ok) {
        check_passed++;
    } else {
        check_failed++;
        if (check_failed <= 50)
            printf("FAIL %s:%d: %s\n", file, line, what);
        check_may_stop();
    }
    return ok;
}

static inline int check_near(double got, double want, double tol, const char *file, int line,
                             const char *what)
{
    const double err = got > want ? got - want : want - got;
    const int ok = err <= tol;
    check_that(ok, file, line, what);
    if (!ok && check_failed <= 50)
        printf("     got %.17g, want %.17g, error %.3g > %.3g\n", got, want, err, tol);
    return ok;
}

static inline int check_done(void)
{
    printf("%u passed, %u failed\n", check_passed, check_failed);
    return check_failed || !check_passed;
}

/* xorshift64*: small, seeded, the same everywhere. */
struct check_rng {
    uint64_t s;
};

/* The seed is argv[1], or 1; printed as the first line. */
static inline struct check_rng check_seed(int argc, char **argv)
{
    struct check_rng r = {argc > 1 ? strtoull(argv[1], NULL, 0) : 1};
    if (!r.s)
        r.s = 1;
    printf("seed %llu\n", (unsigned long long)r.s);
    return r;
}

static inline uint64_t check_next(struct check_rng *r)
{
    r->s ^= r->s >> 12;
    r->s ^= r->s << 25;
    r->s ^= r->s >> 27;
    return r->s * 0x2545F4914F6CDD1DULL;
}

/* Uniform in [0, n). */
static inline uint32_t check_below(struct check_rng *r, uint32_t n)
{
    return (uint32_t)((check_next(r) >> 32) * n >> 32);
}

/* Uniform in [-1, 1). */
static inline float check_unit(struct check_rng *r)
{
    return (float)((int64_t)check_next(r) >> 40) * 0x1p-23F;
}

#endif
