/*
 * check_conversion.c - a conversion takes the memory it says, and centring changes nothing.
 *
 * SPDX-License-Identifier: MIT
 *
 * malloc and its kin are replaced by ones that keep the bytes in use and their height.
 */
#include <malloc.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "grad/product.h"
#include "convert/test/predictions.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"
#include "model/synth.h"

/* A sanitizer replaces malloc itself. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define COUNTING 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COUNTING 0
#endif
#endif
#ifndef COUNTING
#define COUNTING 1
#endif

static atomic_long in_use, height;

#if COUNTING
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static void *add(void *p)
{
    const long now = atomic_fetch_add(&in_use, (long)malloc_usable_size(p)) +
                     (long)malloc_usable_size(p);
    long most = atomic_load(&height);

    while (now > most && !atomic_compare_exchange_weak(&height, &most, now))
        ;
    return p;
}

void *malloc(size_t n)
{
    return add(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return add(__libc_calloc(n, size));
}

void *realloc(void *p, size_t n)
{
    atomic_fetch_sub(&in_use, (long)malloc_usable_size(p));
    return add(__libc_realloc(p, n));
}

void *aligned_alloc(size_t align, size_t n)
{
    return add(__libc_memalign(align, n));
}

int posix_memalign(void **p, size_t align, size_t n)
{
    *p = add(__libc_memalign(align, n));
    return *p ? 0 : 12;
}

void free(void *p)
{
    atomic_fetch_sub(&in_use, (long)malloc_usable_size(p));
    __libc_free(p);
}
#endif

enum { VOCAB = 8192, EMBD = 128, CTX = 64, TOKENS = 8 * CTX };

static char dir[] = "/tmp/rbe-check-conversion-XXXXXX";

static const struct rbe_model_config config = {.vocab = VOCAB, .n_ctx = CTX, .n_embd = EMBD,
                                              .n_layer = 2, .n_head = 4, .n_inner = 512,
                                              .ln_eps = 1e-5F, .eos = VOCAB - 1};

/* --- memory ------------------------------------------------------------------------------- */

static long before;

static void phase(void)
{
    before = atomic_load(&in_use);
    atomic_store(&height, before);
}

/* Of what was promised the phase took all but the slack: small objects, and the scratch that
 * the library of dense products takes for itself. */
static void took(const char *what, size_t promised)
{
    const double most = (double)(atomic_load(&height) - before), slack = 2 << 20;

    printf("%s: %.2f MB of %.2f\n", what, most / 1e6, (double)promised / 1e6);
    if (COUNTING) {
        CHECK(most <= (double)promised + slack);
        CHECK(most >= 0.7 * (double)promised - slack);
    }
}

static void check_memory(const char *out)
{
    const struct rbe_convert_options base = {.budget_bits = 3, .search = RBE_SEARCH_FAST};
    struct rbe_convert_options o = base;
    struct rbe_profile *profile = NULL;
    struct rbe_calibration *calibration = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_source *s = NULL;
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};
    struct check_rng rng = {5};
    uint32_t tokens[TOKENS];

    for (size_t i = 0; i < TOKENS; i++)
        tokens[i] = check_below(&rng, VOCAB);
    if (!CHECK(!rbe_pool_open(&pool, 2, &d) && !rbe_source_open(&s, dir, &d) &&
               !rbe_profile_open(&profile, "mini-2.89", &d)))
        goto out;
    o.profile = profile;
    o.pool = pool;
    for (int k = 0; k < 2 * RBE_METRIC_COUNT; k++) {
        struct rbe_model *model = NULL;
        const struct rbe_calibration_how how = {.metric = (enum rbe_metric)(k / 2),
                                                .bf16 = k % 2 && rbe_product_has_bf16()};

        rbe_calibration_close(&calibration);
        phase();
        if (how.metric != RBE_METRIC_INPUTS) {
            CHECK(!rbe_calibrate_fisher(&calibration, how, s, tokens, TOKENS, pool, NULL, &d));
        } else {
            CHECK(!rbe_model_open(&model, dir, &d) &&
                  !rbe_calibrate(&calibration, model, tokens, TOKENS, how.bf16, pool, NULL,
                                 &d));
            rbe_model_close(&model);
        }
        took(rbe_metric_name(how.metric), rbe_calibration_bytes(&config, how, 2));
    }
    if (!CHECK(!rbe_convert_plan(&c, s, &o, &d)))
        goto out;
    c->o.calibration = calibration;
    phase();
    CHECK(!rbe_convert_allocate(c, dir, &d) && c->measured);
    took("allocation", rbe_convert_allocate_bytes(c, 2));
    const struct rbe_calibration_how both = {.metric = RBE_METRIC_TWO_SIDED};
    const size_t whole = rbe_convert_bytes(c, &both, false, 2);
    const size_t held = rbe_calibration_held_bytes(&config, RBE_METRIC_TWO_SIDED);
    CHECK(whole >= rbe_calibration_bytes(&config, both, 2));
    CHECK(rbe_convert_bytes(c, &both, true, 2) >=
          held + rbe_convert_allocate_bytes(c, 2));
    phase();
    CHECK(!rbe_convert_run(c, out, &d));
    took("encoding", rbe_convert_bytes(c, NULL, false, 2));
    printf("%s", d.text);
out:
    rbe_convert_close(&c);
    rbe_calibration_close(&calibration);
    rbe_profile_close(&profile);
    rbe_source_close(&s);
    rbe_pool_close(&pool);
}

/* --- centring ----------------------------------------------------------------------------- */

/* Means as large as in trained models: half of the embedding's energy and more. */
static void shift_columns(const char *path)
{
    struct rbe_safetensors *f = NULL;
    struct rbe_tensor_out out[100];
    struct rbe_diag d = {""};
    float *wte = malloc(sizeof(float) * VOCAB * EMBD);

    if (!CHECK(!rbe_safetensors_open(&f, path, &d)))
        return;
    for (size_t i = 0; i < rbe_safetensors_count(f); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(f, i);
        out[i] = (struct rbe_tensor_out){t->name, t->dtype, t->dims,
                                         {t->shape[0], t->dims > 1 ? t->shape[1] : 1}, t->data};
        if (strcmp(t->name, "wte.weight"))
            continue;
        CHECK(!rbe_tensor_to_f32(t, wte, &d));
        for (size_t k = 0; k < VOCAB * EMBD; k++)
            wte[k] += 0.03F * (float)((int)(k % EMBD % 5) - 2);
        out[i].dtype = RBE_DT_F32;
        out[i].data = wte;
    }
    CHECK(!rbe_safetensors_write(path, out, rbe_safetensors_count(f), NULL, &d));
    rbe_safetensors_close(&f);
    free(wte);
}

/* wte in int8 with its means moved to wpe, which is stored as `positions`. */
static void check_centred(const char *positions, const char *out)
{
    static float want[CTX * VOCAB], got[CTX * VOCAB];
    char text[200];
    struct rbe_convert_options o = {.search = -1};
    struct rbe_profile *p = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""};
    uint32_t tokens[CTX];
    double error = 0, power = 0;

    for (uint32_t i = 0; i < CTX; i++)
        tokens[i] = (i * 2654435761U) % VOCAB;
    snprintf(text, sizeof text, "other codec=f32\nall codec=f32\nwpe codec=%s\n"
             "wte codec=int8 center=on\n", positions);
    if (!CHECK(!rbe_profile_parse(&p, text, "t", &d) && !rbe_source_open(&s, dir, &d)))
        return;
    o.profile = p;
    if (!CHECK(!rbe_convert_plan(&c, s, &o, &d) && !rbe_convert_run(c, out, &d)))
        printf("     %s\n", d.text);
    check_predictions(want, dir, tokens, CTX, VOCAB);
    check_predictions(got, out, tokens, CTX, VOCAB);
    for (size_t i = 0; i < CTX * VOCAB; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        power += (double)want[i] * want[i];
    }
    printf("centred, wpe in %s: predictions err by %.4f\n", positions, sqrt(error / power));
    /* int8 of the rest of wte errs by 0.0066; means left out or added twice by far more. */
    CHECK(error <= 0.02 * 0.02 * power && power > 0);
    rbe_convert_close(&c);
    rbe_profile_close(&p);
    rbe_source_close(&s);
}

static void check_default_profile(void)
{
    struct rbe_model_config small = {.vocab = 50257, .n_ctx = 1024, .n_embd = 768,
                                    .n_layer = 12, .n_head = 12, .n_inner = 3072};

    CHECK(!strcmp(rbe_convert_default_profile(&small), "mobile-45mb"));
    small.n_layer = 24;
    CHECK(!strcmp(rbe_convert_default_profile(&small), "gpt2-2.89"));
    small.n_layer = 6;
    CHECK(!strcmp(rbe_convert_default_profile(&small), "mini-2.89"));
}

int main(void)
{
    struct rbe_diag d = {""};

    rbe_cpu_init();
    check_default_profile();
    if (!CHECK(mkdtemp(dir) && !rbe_synth(dir, &config, RBE_DT_F32, 1, &d)))
        return check_done();
    char *out = rbe_path_join(dir, "m.rbe"), *json = rbe_path_join(dir, "config.json");
    char *model = rbe_path_join(dir, "model.safetensors");
    check_memory(out);
    shift_columns(model);
    check_centred("f16", out);
    check_centred("int8", out);
    char *const files[] = {out, model, json};
    for (int i = 0; i < 3; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    CHECK(!rmdir(dir));
    return check_done();
}
