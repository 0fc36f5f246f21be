/*
 * gate_worker.c - the program ci/gate.sh builds against each revision and asks in turns.
 *
 * SPDX-License-Identifier: MIT
 *
 * gate-worker MODEL THREADS [cpu|wall] loads a model, prints "ready" and answers one line of
 * standard input after another with one line, until the input ends:
 *     cpu N        runs on CPU N only from now on          -> "ok"
 *     NAME COUNT   measures COUNT units of a metric        -> COUNT times in ns
 *     memory 1     peak resident bytes so far              -> one number
 * or "error REASON".  Metrics: decode (a token, greedily, after PROMPT), prefill (PROMPT
 * tokens into an empty cache), gemv_FORMAT (a product of the fastest kernel, weights in
 * cache).  Times are CPU time with one thread, else the wall clock's, unless one is named.
 * It uses few functions of the library, so that it builds against old revisions.
 *
 * Built with -DRBE_PLANT_SLOWDOWN, every unit lasts $RBE_PLANT_SLOWDOWN percent longer, by
 * spinning: how ci/gate-quality.sh measures what the gate catches.
 */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "kernels/cpu.h"
#include "kernels/kernel.h"
#include "model/model.h"

enum { PROMPT = 32, MOST_TOKENS = 96, SIDE = 768, BLOCK = 44, MOST_UNITS = 100000 };

struct worker {
    struct rbe_pool *pool;
    struct rbe_model *model;
    struct rbe_session *session;
    float *logits;
    uint32_t vocab, token, prompt[PROMPT];
    double plant;               /* share of a unit's time added to it */
    /* One matrix and its input for each format, made when first asked for, never freed. */
    struct rbe_matrix matrix[RBE_FORMAT_COUNT];
    struct rbe_act act[RBE_FORMAT_COUNT];
    float y[SIDE];
};

/* One thread's CPU time leaves out what other processes took; more threads wait for each
 * other, which only the wall clock sees. */
static clockid_t unit_clock = CLOCK_THREAD_CPUTIME_ID;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(unit_clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#ifdef RBE_PLANT_SLOWDOWN
static uint64_t planted(const struct worker *w, uint64_t start)
{
    const uint64_t end = now_ns();
    const uint64_t until = end + (uint64_t)((double)(end - start) * w->plant);
    uint64_t now = end;

    while (now < until)
        now = now_ns();
    return now - start;
}
#else
static uint64_t planted(const struct worker *w, uint64_t start)
{
    (void)w;
    return now_ns() - start;
}
#endif

static uint32_t largest(const float *x, uint32_t n)
{
    uint32_t best = 0;

    for (uint32_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

/* One token: forward, logits, choice.  The cache goes back to the prompt when it is full. */
static enum rbe_status decode(struct worker *w, struct rbe_diag *d)
{
    enum rbe_status err;

    if ((err = rbe_forward(w->session, &w->token, 1, d)) ||
        (err = rbe_logits(w->session, RBE_LAST, 1, w->logits, d)))
        return err;
    w->token = largest(w->logits, w->vocab);
    return RBE_OK;
}

static enum rbe_status prefill(struct worker *w, struct rbe_diag *d)
{
    rbe_session_truncate(w->session, 0);
    return rbe_forward(w->session, w->prompt, PROMPT, d);
}

/* Codes of finite numbers of a moderate size, whatever the format; old revisions have no list
 * of formats to ask. */
static enum rbe_status make_matrix(struct worker *w, enum rbe_format f)
{
    const uint32_t block = f == RBE_SEED || f == RBE_SEED4 ? BLOCK : 0;
    const struct rbe_matrix_size size = rbe_matrix_size(f, SIDE, SIDE, block, 0);
    const size_t scales = (size.scale + size.col_scale) / 2;
    uint8_t *codes = aligned_alloc(64, (size.codes + 127) / 64 * 64);
    uint16_t *scale = calloc(scales + 64, sizeof *scale);
    void *mem = aligned_alloc(64, (rbe_act_bytes(1, SIDE) + 63) / 64 * 64);
    static float x[SIDE];
    uint64_t s = 20250131;

    if (!codes || !scale || !mem || !size.codes) {
        free(codes);
        free(scale);
        free(mem);
        return RBE_ERR_NOMEM;
    }
    for (size_t i = 0; i < size.codes; i++) {
        s = s * 6364136223846793005u + 1442695040888963407u;
        codes[i] = (uint8_t)(s >> 56);
    }
    /* High bytes of floats: exponents near 1. */
    for (size_t i = 3; f == RBE_F32 && i < size.codes; i += 4)
        codes[i] = (uint8_t)(0x3C | (codes[i] & 0x80));
    for (size_t i = 1; f == RBE_F16 && i < size.codes; i += 2)
        codes[i] = (uint8_t)(0x28 | (codes[i] & 0x83));
    for (size_t i = 0; i < scales; i++)
        scale[i] = 0x2800;      /* 2^-5 */
    for (size_t i = 0; i < SIDE; i++)
        x[i] = 1.0F - (float)(i * 37 % SIDE) * (2.0F / SIDE);
    w->matrix[f] = (struct rbe_matrix){.format = f, .rows = SIDE, .cols = SIDE, .block = block,
                                       .codes = codes, .code_bytes = size.codes,
                                       .scale = size.scale ? scale : NULL,
                                       .col_scale = size.col_scale ? scale + size.scale / 2
                                                                   : NULL};
    rbe_act_init(&w->act[f], mem, 1, SIDE);
    rbe_act_prepare(&w->act[f], &w->matrix[f], x, SIDE, 1);
    return RBE_OK;
}

/* Room for n more tokens; the prompt is read outside of what is timed. */
static enum rbe_status rewind_for(struct worker *w, struct rbe_diag *d)
{
    if (rbe_session_length(w->session) < PROMPT) {
        const enum rbe_status err = prefill(w, d);
        if (err)
            return err;
    }
    rbe_session_truncate(w->session, PROMPT);
    w->token = w->prompt[0];
    return RBE_OK;
}

static enum rbe_status measure(struct worker *w, const char *name, unsigned long count,
                               struct rbe_diag *d)
{
    const bool is_decode = !strcmp(name, "decode"), is_prefill = !strcmp(name, "prefill");
    const struct rbe_kernel *k = NULL;
    enum rbe_format f = RBE_FORMAT_COUNT;
    enum rbe_status err = RBE_OK;

    if (!strncmp(name, "gemv_", 5) && (f = rbe_format_by_name(name + 5)) < RBE_HYBRID) {
        k = rbe_kernel_best(RBE_GEMV, f, rbe_cpu_isa());
        if (!w->matrix[f].codes && (err = make_matrix(w, f)))
            return rbe_fail(d, err, "%s: out of memory", name);
    }
    if (!is_decode && !is_prefill && !k)
        return rbe_fail(d, RBE_ERR_ARG, "no metric '%s'", name);
    for (unsigned long i = 0; i < count; i++) {
        if (is_decode && (i == 0 || rbe_session_length(w->session) >= MOST_TOKENS) &&
            (err = rewind_for(w, d)))
            return err;
        const uint64_t start = now_ns();
        if (k)
            k->run(&w->matrix[f], &w->act[f], w->y, SIDE, 0, SIDE);
        else if ((err = is_decode ? decode(w, d) : prefill(w, d)))
            return err;
        printf("%s%llu", i ? " " : "", (unsigned long long)planted(w, start));
    }
    putchar('\n');
    return RBE_OK;
}

static enum rbe_status answer(struct worker *w, char *line, struct rbe_diag *d)
{
    char name[64];
    unsigned long n;
    struct rusage u;
    cpu_set_t set;

    if (sscanf(line, "%63s %lu", name, &n) != 2)
        return rbe_fail(d, RBE_ERR_ARG, "wants NAME COUNT");
    if (!strcmp(name, "cpu")) {
        CPU_ZERO(&set);
        CPU_SET((int)(n % CPU_SETSIZE), &set);
        if (sched_setaffinity(0, sizeof set, &set))
            return rbe_fail_errno(d, "CPU %lu", n);
        puts("ok");
        return RBE_OK;
    }
    if (!strcmp(name, "memory")) {
        if (getrusage(RUSAGE_SELF, &u))
            return rbe_fail_errno(d, "getrusage");
        printf("%ld\n", u.ru_maxrss * 1024);
        return RBE_OK;
    }
    if (n < 1 || n > MOST_UNITS)
        return rbe_fail(d, RBE_ERR_ARG, "%s: COUNT is 1 to %d", name, MOST_UNITS);
    return measure(w, name, n, d);
}

static enum rbe_status load(struct worker *w, const char *path, unsigned threads,
                            struct rbe_diag *d)
{
    enum rbe_status err;

    if ((err = rbe_pool_open(&w->pool, threads, d)) ||
        (err = rbe_model_open(&w->model, path, d)))
        return err;
    const struct rbe_model_config *c = rbe_model_config(w->model);
    w->vocab = c->vocab;
    if (!(w->logits = malloc(c->vocab * sizeof *w->logits)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (c->n_ctx < MOST_TOKENS)
        return rbe_fail(d, RBE_ERR_ARG, "%s: a context of %u tokens is too short", path,
                        c->n_ctx);
    for (uint32_t i = 0; i < PROMPT; i++)
        w->prompt[i] = (i * 2654435761u >> 8) % c->vocab;
    const struct rbe_session_limits l = {.max_tokens = MOST_TOKENS, .max_batch = PROMPT,
                                         .max_logits = 1};
    return rbe_session_open(&w->session, w->model, l, w->pool, d);
}

int main(int argc, char **argv)
{
    static struct worker w;
    struct rbe_diag d = {""};
    char line[256];
    enum rbe_status err;

    const char *clock = argc == 4 ? argv[3] : argc == 3 && atoi(argv[2]) > 1 ? "wall" : "cpu";
    if (argc < 3 || argc > 4 || atoi(argv[2]) < 1 ||
        (strcmp(clock, "cpu") && strcmp(clock, "wall")) ||
        (!strcmp(clock, "cpu") && atoi(argv[2]) > 1)) {
        fputs("usage: gate-worker MODEL THREADS [cpu|wall]; cpu with one thread only\n",
              stderr);
        return 2;
    }
    if (!strcmp(clock, "wall"))
        unit_clock = CLOCK_MONOTONIC;
    const char *bad = rbe_cpu_init();
    if (bad) {
        fprintf(stderr, "gate-worker: RBE_DISABLE_ISA: unknown name '%s'\n", bad);
        return 2;
    }
#ifdef RBE_PLANT_SLOWDOWN
    const char *plant = getenv("RBE_PLANT_SLOWDOWN");
    w.plant = plant ? atof(plant) / 100 : 0;
#endif
    err = load(&w, argv[1], (unsigned)atoi(argv[2]), &d);
    if (!err)
        puts("ready");
    while (!err && !fflush(stdout) && fgets(line, sizeof line, stdin))
        err = answer(&w, line, &d);
    if (err)
        printf("error %s\n", d.text[0] ? d.text : rbe_strerror(err));
    rbe_session_close(&w.session);
    rbe_model_close(&w.model);
    rbe_pool_close(&w.pool);
    free(w.logits);
    return err != RBE_OK;
}
