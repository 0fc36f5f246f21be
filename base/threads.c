/*
 * threads.c - the pool: one generation counter, workers spin on it, then wait on a futex
 * through a condition variable.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
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

struct rbe_pool {
    unsigned threads, started;
    atomic_uint generation;     /* a new value is a new job */
    atomic_uint pending;        /* workers not yet done with it */
    atomic_uint sleepers;
    atomic_bool stop;
    rbe_pool_fn *fn;
    void *arg;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct worker workers[];
};

static unsigned await_job(struct rbe_pool *p, unsigned seen)
{
    for (int i = 0; i < SPINS; i++) {
        const unsigned g = atomic_load_explicit(&p->generation, memory_order_acquire);
        if (g != seen)
            return g;
        relax();
    }
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->sleepers, 1);
    unsigned g;
    while ((g = atomic_load(&p->generation)) == seen)
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->sleepers, 1);
    pthread_mutex_unlock(&p->lock);
    return g;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct rbe_pool *p = w->pool;
    unsigned seen = 0;

    for (;;) {
        seen = await_job(p, seen);
        if (atomic_load(&p->stop))
            return NULL;
        p->fn(p->arg, w->index, p->threads);
        atomic_fetch_sub_explicit(&p->pending, 1, memory_order_release);
    }
}

/* Sequentially consistent against the sleepers' own counter: either the worker sees the
 * new generation, or this sees the sleeper and wakes it under the lock. */
static void post(struct rbe_pool *p)
{
    atomic_fetch_add(&p->generation, 1);
    if (atomic_load(&p->sleepers)) {
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
    struct rbe_pool *p = *pp;

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

void rbe_pool_run(struct rbe_pool *p, rbe_pool_fn *fn, void *arg)
{
    if (!p || p->threads == 1) {
        fn(arg, 0, 1);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    atomic_store(&p->pending, p->threads - 1);
    post(p);
    fn(arg, 0, p->threads);
    for (unsigned i = 0; atomic_load_explicit(&p->pending, memory_order_acquire); i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();      /* more threads than CPUs: let the others finish */
    }
}

void rbe_split(size_t total, size_t step, unsigned i, unsigned n, size_t *begin, size_t *end)
{
    const size_t units = (total + step - 1) / step;
    const size_t b = units * i / n * step, e = units * (i + 1) / n * step;

    *begin = b < total ? b : total;
    *end = e < total ? e : total;
}
