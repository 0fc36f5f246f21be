/*
 * check_memory.c - a session allocates what it says, once, and nothing per token.
 *
 * SPDX-License-Identifier: MIT
 *
 * malloc and its kin are replaced by counting ones that call glibc's own.
 */
#include <errno.h>
#include <rbe/sampler.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/lookup.h"
#include "model/model.h"

static atomic_ulong calls, bytes;

/* A sanitizer replaces malloc itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define COUNTING 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTING 0
#endif
#endif
#if !defined(COUNTING) && defined(__GLIBC__)
#define COUNTING 1
#elif !defined(COUNTING)
#define COUNTING 0
#endif

#if COUNTING
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);

static void count(size_t n)
{
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&bytes, n);
}

void *malloc(size_t n)
{
    count(n);
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    count(n * size);
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    count(n);
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    count(n);
    return __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    count(n);
    *p = __libc_memalign(align, n);
    return *p ? 0 : ENOMEM;
}
#endif

/* What a small device is asked for: evaluation criterion C8. */
enum { TOKENS = 256, THREADS = 4 };

static void check_session(struct rbe_model *m, enum rbe_kv_cache kv, unsigned threads,
                          int tokens)
{
    const uint32_t vocab = rbe_model_config(m)->vocab;
    const struct rbe_session_limits l = {.max_tokens = TOKENS, .max_batch = 16,
                                         .max_logits = 2, .kv_cache = kv};
    const struct rbe_sampling how = {.temperature = 1, .top_k = 40, .top_p = 0.9F};
    struct rbe_pool *pool;
    struct rbe_session *s;
    struct rbe_sampler *sampler = rbe_sampler_open(vocab, how);
    float *logits = malloc(vocab * sizeof *logits);
    struct rbe_diag d;
    uint32_t id = 1;

    CHECK(!rbe_pool_open(&pool, threads, &d));
    const size_t said = rbe_session_bytes(m, l);        /* the first call may start oneDNN */
    unsigned long before = atomic_load(&bytes);
    CHECK(!rbe_session_open(&s, m, l, pool, &d));
    CHECK(!COUNTING || atomic_load(&bytes) - before == said);
    /* The first token may warm something up; no later one may. */
    for (int i = 0; i < tokens; i++) {
        before = atomic_load(&calls);
        CHECK(!rbe_forward(s, &id, 1, &d));
        CHECK(!rbe_logits(s, RBE_LAST, 1, logits, &d));
        id = rbe_sample(sampler, logits);
        CHECK(i == 0 || atomic_load(&calls) == before);
    }
    rbe_session_close(&s);
    rbe_pool_close(&pool);
    rbe_sampler_close(&sampler);
    free(logits);
}

/* Nor does a token that is guessed, or found wrong. */
static void check_lookup(struct rbe_model *m)
{
    const struct rbe_session_limits l = {.max_tokens = TOKENS,
                                         .max_logits = RBE_LOOKUP_GUESS + 1};
    struct rbe_session *s;
    struct rbe_lookup *k;
    uint32_t ids[TOKENS];
    const float *logits;
    struct rbe_diag d;

    for (uint32_t i = 0; i < TOKENS; i++)
        ids[i] = i % 9 == 8 ? i : i % 9;
    CHECK(!rbe_session_open(&s, m, l, NULL, &d));
    CHECK(!rbe_lookup_open(&k, s, m, RBE_GUESS_ALWAYS, &d));
    for (uint32_t n = 1; n <= 60; n++) {
        const unsigned long before = atomic_load(&calls);
        CHECK(!rbe_lookup_logits(k, ids, n, &logits, &d));
        CHECK(n == 1 || atomic_load(&calls) == before);
    }
    CHECK(rbe_lookup_counts(k)->right > 0);
    CHECK(rbe_lookup_counts(k)->guessed > rbe_lookup_counts(k)->right);
    rbe_lookup_close(&k);
    rbe_session_close(&s);
}

/* 1,024 tokens of GPT-2's shape in 20 MB, and smaller caches for whoever asks. */
static void check_sizes(void)
{
    static const struct rbe_model_config gpt2 = {
        .vocab = 50257, .n_ctx = 1024, .n_embd = 768, .n_layer = 12, .n_head = 12, .n_kv = 12,
        .head = 64, .n_inner = 3072, .ln_eps = 1e-5F, .eos = 50256};
    size_t was = SIZE_MAX;

    for (enum rbe_kv_cache kv = RBE_KV_F32; kv <= RBE_KV_INT8; kv++) {
        const struct rbe_session_limits l = {.max_batch = 1, .kv_cache = kv};
        const size_t n = rbe_session_plain_bytes(&gpt2, l);
        printf("GPT-2's shape, 1,024 tokens, cache of %s: %.2f MB\n", rbe_kv_cache_name(kv),
               (double)n / 1e6);
        CHECK(n < was);
        was = n;
    }
    CHECK(was <= 20000000);
}

/* Bytes of huge pages that this process has; 0 where the system does not say. */
static size_t huge_bytes(void)
{
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    size_t kb = 0;

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "AnonHugePages: %zu", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb * 1024;
}

/* Whether pages can be joined here, and are not huge from the first: MADV_COLLAPSE, and memory
 * that hangs together. */
static bool can_join(void)
{
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r");
    char word[16] = "";

    if (f) {
        const bool read = fscanf(f, "%15s", word) == 1;
        fclose(f);
        if (!read || !strcmp(word, "[always]"))
            return false;
    }
    enum { HUGE = 1 << 21, JOIN = 25 };
    char *p = aligned_alloc(HUGE, HUGE);
    const size_t before = huge_bytes();
    bool can = false;

    if (p) {
        memset(p, 1, HUGE);
        can = !madvise(p, HUGE, JOIN) && huge_bytes() > before;
    }
    free(p);
    return can;
}

/* A cache that is mostly used has its pages joined, and none before. */
static void check_pages(struct rbe_model *m)
{
    const uint32_t context = rbe_model_config(m)->n_ctx;
    const struct rbe_session_limits l = {.kv_cache = RBE_KV_F32};
    struct rbe_session *s;
    struct rbe_diag d;

    if (!can_join()) {
        printf("SKIP huge pages: this system joins none\n");
        return;
    }
    CHECK(!rbe_session_open(&s, m, l, NULL, &d));
    const size_t before = huge_bytes();
    for (uint32_t i = 0, one = 1; i < context / 4 * 3 + 4; i++) {
        CHECK(i >= context / 4 * 3 || i % 64 != 0 || huge_bytes() == before);
        CHECK(!rbe_forward(s, &one, 1, &d));
    }
    CHECK(huge_bytes() >= before + ((size_t)2 << 20));
    rbe_session_close(&s);
}

int main(int argc, char **argv)
{
    char *folder = rbe_data_path("rbe-mini"), *rbe = rbe_data_path("mini-2.89-tuned.rbe");
    struct rbe_model *m;
    struct rbe_diag d;

    check_seed(argc, argv);
    rbe_cpu_init();
    check_sizes();
    if (!CHECK(folder != NULL && rbe != NULL) || !CHECK(!rbe_model_open(&m, folder, &d)))
        return check_done();
    if (!COUNTING)
        printf("SKIP counting allocations: a sanitizer or another C library\n");
    else
        CHECK(atomic_load(&calls) > 0);
    for (unsigned threads = 1; threads <= THREADS; threads *= 2)
        check_session(m, RBE_KV_F32, threads, threads == THREADS ? TOKENS : 60);
    rbe_model_close(&m);
    if (CHECK(!rbe_model_open(&m, rbe, &d))) {
        for (enum rbe_kv_cache kv = RBE_KV_DEFAULT; kv <= RBE_KV_INT8; kv++)
            check_session(m, kv, 2, 40);
        check_lookup(m);
        check_pages(m);
    }
    rbe_model_close(&m);
    free(rbe);
    free(folder);
    return check_done();
}
