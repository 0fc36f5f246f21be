/*
 * dense.c - dnnl_sgemm, one thread at a time.
 *
 * SPDX-License-Identifier: MIT
 *
 * The library's own threads (OpenMP) sleep between products and wake slowly; the pool's
 * workers spin.  So every thread that calls tells OpenMP to stay alone.
 */
#include "model/dense.h"

#include "base/memory.h"
#include "kernels/cpu.h"

#if defined(RBE_HAVE_DNNL)

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "model/dnnl.h"

struct rbe_dnnl rbe_dnnl;
/* Of OpenMP, which oneDNN is built on. */
static struct { void (*set_num_threads)(int); } omp;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool fast;
static char name[64] = "plain loops";
static _Thread_local bool alone;

/* Addresses that the library takes once it is loaded, 43 MB of version 2.6, and what it was
 * seen to take with two threads, 18 MB; a new one may take more. */
enum { LOADED = 48 * 1000 * 1000, ROOM = 32 * 1000 * 1000 };

/* oneDNN dispatches on feature bits; RBE_DISABLE_ISA must hold for it too.  Near a limit it is
 * left alone: what has been loaded does not give its addresses back. */
static void start(void)
{
    static const char *const names[] = {RBE_DNNL_CALLS(RBE_LIBRARY_NAME)};
    static const char *const threads[] = {"omp_set_num_threads"};
    static const char file[] = RBE_LIBRARY_FILE("libdnnl.so", DNNL_VERSION_MAJOR);
    const uint32_t isa = rbe_cpu_isa();

    if (!(isa & RBE_ISA_SSE41) ||
        rbe_memory_check("oneDNN", LOADED + ROOM, rbe_memory_limit(), NULL) ||
        !rbe_library_open(&rbe_dnnl, file, names, sizeof names / sizeof names[0]) ||
        !rbe_library_open(&omp, file, threads, 1))
        return;
    const dnnl_version_t *v = rbe_dnnl.version();
    rbe_dnnl.set_max_cpu_isa(isa & RBE_ISA_AVX512 ? dnnl_cpu_isa_all
                         : isa & RBE_ISA_AVX2 ? dnnl_cpu_isa_avx2 : dnnl_cpu_isa_sse41);
    snprintf(name, sizeof name, "oneDNN %d.%d.%d dnnl_sgemm", v->major, v->minor, v->patch);
    fast = true;
}

bool rbe_dense_fast(void)
{
    pthread_once(&once, start);
    return fast;
}

const char *rbe_dense_name(void)
{
    pthread_once(&once, start);
    return name;
}

enum rbe_status rbe_dense_room(const char *what, size_t besides, struct rbe_diag *d)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool decided;
    const size_t limit = rbe_memory_limit();
    enum rbe_status err = RBE_OK;

    /* Not asked in vain: the answer loads the library. */
    if (!limit || !rbe_dense_fast())
        return RBE_OK;
    pthread_mutex_lock(&lock);
    err = rbe_memory_check(what, besides + ROOM, limit, d);
    if (err && !decided) {
        atomic_store(&fast, false);
        err = RBE_OK;
    }
    decided = true;
    pthread_mutex_unlock(&lock);
    return err;
}

static bool by_library(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                       const float *a, size_t lda, const float *b, size_t ldb, float beta,
                       float *c, size_t ldc)
{
    if (!rbe_dense_fast())
        return false;
    if (!alone) {
        omp.set_num_threads(1);
        alone = true;
    }
    return rbe_dnnl.sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', (dnnl_dim_t)m, (dnnl_dim_t)n,
                      (dnnl_dim_t)k, alpha, a, (dnnl_dim_t)lda, b, (dnnl_dim_t)ldb, beta, c,
                      (dnnl_dim_t)ldc) == dnnl_success;
}

#else

bool rbe_dense_fast(void)
{
    return false;
}

enum rbe_status rbe_dense_room(const char *what, size_t besides, struct rbe_diag *d)
{
    (void)what;
    (void)besides;
    (void)d;
    return RBE_OK;
}

const char *rbe_dense_name(void)
{
    return "plain loops";
}

#endif

static void by_loops(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha,
                     const float *a, size_t lda, const float *b, size_t ldb, float beta,
                     float *c, size_t ldc)
{
    for (size_t i = 0; i < m; i++) {
        float *row = c + i * ldc;
        for (size_t j = 0; j < n; j++)
            row[j] = beta == 0 ? 0 : beta * row[j];
        for (size_t l = 0; l < k; l++) {
            const float v = alpha * (ta ? a[l * lda + i] : a[i * lda + l]);
            for (size_t j = 0; j < n; j++)
                row[j] += v * (tb ? b[j * ldb + l] : b[l * ldb + j]);
        }
    }
}

void rbe_sgemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a,
               size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    if (!m || !n)
        return;
#if defined(RBE_HAVE_DNNL)
    if (k && by_library(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc))
        return;
#endif
    by_loops(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
