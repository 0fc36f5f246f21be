/*
 * check_threads.c - the pool runs every part once and publishes what workers wrote; interrupts
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/progress.h"
#include "base/threads.h"
#include "kernels/test/check.h"

struct job {
    unsigned calls[16];
    size_t cells[4096], total, step;
};

static void fill(void *arg, unsigned i, unsigned n)
{
    struct job *j = arg;
    size_t begin, end;

    j->calls[i]++;
    rbe_split(j->total, j->step, i, n, &begin, &end);
    for (size_t k = begin; k < end; k++)
        j->cells[k]++; /* plain memory: the pool must order it, the thread sanitizer sees */
}

static void check_pool(unsigned threads)
{
    struct rbe_pool *p;
    static struct job j;
    size_t wrong = 0;

    if (!CHECK(rbe_pool_open(&p, threads, NULL) == RBE_OK))
        return;
    CHECK(rbe_pool_threads(p) == threads);
    memset(&j, 0, sizeof j);
    j.total = 4096;
    j.step = 44;
    for (unsigned round = 1; round <= 500; round++) {
        /* Long pauses between some rounds: workers fall asleep and must be woken. */
        if (round % 250 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        rbe_pool_run(p, fill, &j);
        for (size_t k = 0; k < j.total; k++)
            wrong += j.cells[k] != round;
        for (unsigned i = 0; i < threads; i++)
            wrong += j.calls[i] != round;
    }
    CHECK(wrong == 0);
    rbe_pool_close(&p);
    CHECK(p == NULL);
    rbe_pool_close(&p);
}

static void blocked(void *arg, unsigned i, unsigned n)
{
    sigset_t mask;

    (void)n;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    ((int *)arg)[i] = sigismember(&mask, SIGINT) && sigismember(&mask, SIGTERM);
}

/* Interrupts come to the first thread alone, on a stack of their own. */
static void check_interrupts(void)
{
    struct sigaction a;
    struct rbe_pool *p;
    int got[3] = {0};
    stack_t stack;

    rbe_catch_interrupt();
    CHECK(!sigaltstack(NULL, &stack) && !(stack.ss_flags & SS_DISABLE));
    CHECK(!sigaction(SIGTERM, NULL, &a) && a.sa_flags & SA_ONSTACK);
    CHECK(!raise(SIGTERM) && rbe_interrupted());
    rbe_clear_interrupt();
    if (!CHECK(rbe_pool_open(&p, 3, NULL) == RBE_OK))
        return;
    rbe_pool_run(p, blocked, got);
    CHECK(!got[0] && got[1] && got[2]);
    rbe_pool_close(&p);
}

int main(void)
{
    struct rbe_diag d = {{0}};
    struct rbe_pool *p;

    for (unsigned t = 1; t <= 5; t++)
        check_pool(t);
    check_interrupts();
    CHECK(rbe_pool_open(&p, 5000, &d) == RBE_ERR_ARG && !p && d.text[0]);
    CHECK(rbe_pool_open(&p, 0, &d) == RBE_OK && rbe_pool_threads(p) >= 1);
    rbe_pool_close(&p);

    /* Parts are disjoint, in order, cut at multiples of the step, and cover everything. */
    unsigned bad = 0;
    for (size_t total = 0; total < 300; total += 7)
        for (size_t step = 1; step < 70; step += 13)
            for (unsigned n = 1; n < 6; n++) {
                size_t at = 0;
                for (unsigned i = 0; i < n; i++) {
                    size_t b, e;
                    rbe_split(total, step, i, n, &b, &e);
                    bad += b != at || e < b || (e % step && e != total);
                    at = e;
                }
                bad += at != total;
            }
    CHECK(bad == 0);
    return check_done();
}
