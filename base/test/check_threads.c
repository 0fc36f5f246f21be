/*
 * check_threads.c - the pool runs every part once and publishes what workers wrote; interrupts
 *
 * SPDX-License-Identifier: MIT
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/progress.h"
#include "base/threads.h"
#include "kernels/test/check.h"

struct job {
    unsigned calls[32];
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

/* Work that is taken piece by piece: all of it is done once, whoever comes. */
struct shared {
    struct rbe_taken taken;
    size_t cells[4096], total;
    unsigned threads;
    atomic_uint wrong, came;
};

static void take(void *arg, unsigned i, unsigned n)
{
    struct shared *j = arg;
    size_t begin, end;

    j->wrong += n != j->threads || i >= n;
    j->came++;
    while (rbe_take(&j->taken, j->total, i, n, &begin, &end))
        for (size_t k = begin; k < end; k++)
            j->cells[k]++;
}

static void check_share(unsigned threads)
{
    static const size_t totals[] = {0, 1, 2, 5, 16, 17, 100, 4096};
    struct rbe_pool *p;
    static struct shared j;
    size_t wrong = 0;

    if (!CHECK(rbe_pool_open(&p, threads, NULL) == RBE_OK))
        return;
    memset(&j, 0, sizeof j);
    for (unsigned round = 1; round <= 400; round++) {
        if (round % 200 == 0)       /* asleep: they may come too late */
            nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        memset(&j, 0, sizeof j);
        j.total = totals[round % 8];
        j.threads = threads;
        rbe_pool_share(p, take, &j);
        /* Nobody is in it any more. */
        const unsigned came = j.came;
        wrong += came < 1 || came > threads || j.wrong;
        for (size_t k = 0; k < 4096; k++)
            wrong += j.cells[k] != (k < j.total);
        /* The next one must have all of them. */
        if (round % 5 == 0) {
            static struct job all;
            memset(&all, 0, sizeof all);
            all.total = 4096;
            all.step = 44;
            rbe_pool_run(p, fill, &all);
            for (unsigned i = 0; i < threads; i++)
                wrong += all.calls[i] != 1;
        }
    }
    CHECK(wrong == 0);
    rbe_pool_close(&p);
    rbe_pool_share(NULL, take, memset(&j, 0, sizeof j));
    CHECK(j.came == 1);
}

/* A worker that is in it is waited for. */
static void wait_in(void *arg, unsigned i, unsigned n)
{
    atomic_uint *state = arg;

    (void)n;
    if (i) {
        state[0]++;
        while (!state[1])
            sched_yield();
    } else {
        while (!state[0])           /* one worker is in it */
            sched_yield();
        state[1] = 1;
    }
}

static void check_pieces(void)
{
    struct rbe_taken taken;
    unsigned wrong = 0;

    for (unsigned n = 1; n < 40; n += 3)
        for (size_t total = 0; total < 400; total += 13) {
            size_t begin, end, sum = 0, most = 0;
            unsigned char seen[400] = {0};
            memset(&taken, 0, sizeof taken);
            /* Two threads in turns; the others never come. */
            for (unsigned turn = 0;; turn++) {
                if (!rbe_take(&taken, total, turn % 2 ? n - 1 : 0, n, &begin, &end))
                    break;
                wrong += begin >= end || end > total;
                for (size_t k = begin; k < end && k < 400; k++)
                    wrong += seen[k]++ != 0;
                sum += end - begin;
                most = end - begin > most ? end - begin : most;
            }
            wrong += sum != total || (n > 1 && most > total / n / 8 + 1 + total / 16);
        }
    CHECK(wrong == 0);
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

    for (unsigned t = 1; t <= 5; t++) {
        check_pool(t);
        check_share(t);
    }
    check_share(20);
    check_pieces();
    if (CHECK(rbe_pool_open(&p, 2, &d) == RBE_OK)) {
        atomic_uint state[2] = {0, 0};
        rbe_pool_share(p, wait_in, state);
        CHECK(state[0] == 1 && state[1] == 1);
        rbe_pool_close(&p);
    }
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
