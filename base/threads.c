/*
 * threads.c - the pool: one gate, workers spin on it, then wait on a futex through a condition
 * variable.
 *
 * SPDX-License-Identifier: MIT
 *
 * The gate holds the job's number, whether it is open, and how many workers have entered.  A
 * worker enters by counting itself, and reads the job only then: one that comes to a closed
 * gate, or to that of a later job, has nothing to do with the job before.
 */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/cpus.h"

#if defined(__x86_64__)
#define relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define relax() __asm__ volatile("yield")
#else
#define relax() ((void)0)
#endif

/* About 100 us of pauses on current x86 (40 to 140 cycles each). */
enum { SPINS = 4000 };

struct worker {
    struct rbe_pool *pool;
    pthread_t thread;
    unsigned index;
};

enum { ENTERED = (1 << 11) - 1, OPEN = 1 << 11, JOB = 1 << 12 };

struct rbe_pool {
    unsigned threads, started;
    _Atomic uint64_t gate;      /* JOB * the job's number + OPEN + workers that entered */
    atomic_uint left;           /* of these, those that are done with it */
    atomic_uint sleepers;
    atomic_bool called;         /* sleepers were, and none has come or gone since */
    atomic_bool stop;
    rbe_pool_fn *fn;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct worker workers[];
};

/* The number of a job after this one. */
static uint64_t await_job(struct rbe_pool *p, uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        const uint64_t g = atomic_load_explicit(&p->gate, memory_order_acquire) / JOB;
        if (g != seen)
            return g;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    uint64_t g;
    /* Before each look at the gate, also after a call for the job that it has done already: a
     * later call must find that it sleeps again. */
    while (atomic_store(&p->called, false), (g = atomic_load(&p->gate) / JOB) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    atomic_store(&p->called, false);
    pthread_mutex_unlock(&p->lock);
    return g;
}

static bool enter(struct rbe_pool *p, uint64_t job)
{
    uint64_t g = atomic_load_explicit(&p->gate, memory_order_relaxed);

    while (g / JOB == job && g & OPEN)
        if (atomic_compare_exchange_weak_explicit(&p->gate, &g, g + 1, memory_order_acquire,
                                                  memory_order_relaxed))
            return true;
    return false;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct rbe_pool *p = w->pool;
    uint64_t seen = 0;

    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        if (!enter(p, seen))
            continue;
        p->fn(p->arg, w->index, p->threads);
        atomic_fetch_add_explicit(&p->left, 1, memory_order_release);
    }
}

/* Sequentially consistent against the sleepers' own counter: either the worker sees the
 * new job, or this sees the sleeper and wakes it under the lock. */
static void post(struct rbe_pool *p)
{
    atomic_store_explicit(&p->left, 0, memory_order_relaxed);
    atomic_store(&p->gate, (atomic_load(&p->gate) / JOB + 1) * JOB + OPEN);
    if (atomic_load(&p->sleepers) && !atomic_exchange(&p->called, true)) {
        pthread_mutex_lock(&p->lock);
        pthread_cond_broadcast(&p->wake);
        pthread_mutex_unlock(&p->lock);
    }
}

/* A thread that leaves interrupts to the others: see rbe_catch_interrupt(). */
static int start(struct worker *w)
{
    sigset_t interrupts, had;

    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigaddset(&interrupts, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &interrupts, &had);
    const int failed = pthread_create(&w->thread, NULL, work, w);
    pthread_sigmask(SIG_SETMASK, &had, NULL);
    return failed;
}

enum rbe_status rbe_pool_open(struct rbe_pool **out, unsigned threads, struct rbe_diag *d)
{
    if (!out)
        return rbe_fail_null(d);
    *out = NULL;
    if (!threads)
        threads = rbe_cpus_usable();
    if (threads > 1024)
        return rbe_fail(d, RBE_ERR_ARG, "%u threads: the limit is 1024", threads);
    struct rbe_pool *p = calloc(1, sizeof *p + threads * sizeof p->workers[0]);
    if (!p)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    p->threads = threads;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    for (unsigned i = 1; i < threads; i++) {
        struct worker *w = &p->workers[i];
        *w = (struct worker){.pool = p, .index = i};
        if (start(w)) {
            rbe_pool_close(&p);
            struct rlimit space;
            const bool limited =
                !getrlimit(RLIMIT_AS, &space) && space.rlim_cur != RLIM_INFINITY;
            return rbe_fail(d, RBE_ERR_NOMEM, "cannot start thread %u of %u%s", i, threads,
                            limited ? " within the limit of memory" : "");
        }
        p->started = i;
    }
    *out = p;
    return RBE_OK;
}

void rbe_pool_close(struct rbe_pool **pp)
{
    struct rbe_pool *p = pp ? *pp : NULL;

    if (!p)
        return;
    atomic_store(&p->stop, true);
    post(p);
    for (unsigned i = 1; i <= p->started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *pp = NULL;
}

unsigned rbe_pool_threads(const struct rbe_pool *p)
{
    return p ? p->threads : 1;
}

static void begin(struct rbe_pool *p, rbe_pool_fn *fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    post(p);
    fn(arg, 0, p->threads);
}

static void await_workers(struct rbe_pool *p, unsigned count)
{
    for (unsigned i = 0; atomic_load_explicit(&p->left, memory_order_acquire) < count; i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();      /* more threads than CPUs: let the others finish */
    }
}

void rbe_pool_run(struct rbe_pool *p, rbe_pool_fn *fn, void *arg)
{
    if (!p || p->threads == 1) {
        fn(arg, 0, 1);
        return;
    }
    begin(p, fn, arg);
    await_workers(p, p->threads - 1);
}

void rbe_pool_share(struct rbe_pool *p, rbe_pool_fn *fn, void *arg)
{
    if (!p || p->threads == 1) {
        fn(arg, 0, 1);
        return;
    }
    begin(p, fn, arg);
    await_workers(p, atomic_fetch_and(&p->gate, ~(uint64_t)OPEN) & ENTERED);
}

bool rbe_take(struct rbe_taken *t, size_t total, unsigned i, unsigned n, size_t *begin,
              size_t *end)
{
    const unsigned shares = n < RBE_SHARES ? n : RBE_SHARES;
    const size_t pieces = n > 1 ? 8 : 1;        /* of a share */

    for (unsigned k = 0; k < shares; k++) {
        const unsigned whose = (i + k) % shares;
        atomic_uint *taken = &t->of[whose].pieces;
        size_t first, last;
        rbe_split(total, 1, whose, shares, &first, &last);
        const size_t piece = (last - first + pieces - 1) / pieces;
        const size_t count = piece ? (last - first + piece - 1) / piece : 0;
        if (atomic_load_explicit(taken, memory_order_relaxed) >= count)
            continue;
        const size_t mine = atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
        if (mine >= count)
            continue;
        *begin = first + mine * piece;
        *end = mine + 1 < count ? *begin + piece : last;
        return true;
    }
    return false;
}

void rbe_split(size_t total, size_t step, unsigned i, unsigned n, size_t *begin, size_t *end)
{
    const size_t units = (total + step - 1) / step;
    const size_t b = units * i / n * step, e = units * (i + 1) / n * step;

    *begin = b < total ? b : total;
    *end = e < total ? e : total;
}
