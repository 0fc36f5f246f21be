/*
 * suite.c - the cases: verify once, then time, with the validity of every sample beside it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/suite.h"

#include <float.h>
#include <math.h>
#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "bench/gbench.h"
#include "bench/plan.h"
#include "bench/work.h"
#include "kernels/cpu.h"
#include "kernels/format/seed.h"
#include "kernels/transform.h"
#include "model/dense.h"
#include "rbe/seed_search.h"

enum case_kind { PRODUCT, MODEL, PREPARE, PROBE, DENSE, SEARCH };

enum { SHAPES_MAX = 5 };

/* One matrix shape of a case, `times` of them in a row. */
struct part {
    struct rbe_matrix w;
    struct rbe_matrix_size size;
    unsigned times;
    struct rbe_act act;
    void *act_memory;
    float *x; /* [count][cols] */
};

struct bench_case {
    struct rbe_suite *suite;
    char name[160], label[160];
    enum case_kind kind;
    const struct rbe_kernel *kernel;
    const struct rbe_probe *probe;
    enum rbe_format format;
    unsigned threads, layers, parts_count;
    struct part parts[SHAPES_MAX];
    size_t rows_max, count, working_set; /* bytes; PROBE and PREPARE */
    struct {
        size_t m, n, k;
        float *a, *b, *c; /* [m][k], [k][n], [m][n] */
    } dense;
    struct {
        struct rbe_search_case of;
        struct rbe_seed_search *run, *scalar;
        float *target;  /* [rows] */
        uint16_t *words; /* of a column */
    } search;
    double bytes, weights, multiply_adds; /* of one iteration */
    enum rbe_probe_kind arithmetic;       /* what the multiply-adds are held against */
    uint32_t isa;                         /* ditto */
    bool cold, made, verified, bad;
    struct rbe_cursor cursor;
};

struct rbe_suite {
    struct rbe_data *data;
    const struct rbe_teams *teams;
    struct rbe_roofs *roofs;
    struct rbe_suite_options o;
    struct bench_case **cases;
    size_t count, room;
    struct rbe_suite_result result;
    struct rbe_progress progress;
    double expected, done;
    float *y, *y_scalar; /* products land here, one case at a time */
    size_t y_size;
};

enum rbe_status rbe_suite_open(struct rbe_suite **out, struct rbe_data *data,
                               const struct rbe_teams *teams, struct rbe_roofs *roofs,
                               const struct rbe_suite_options *o, struct rbe_diag *d)
{
    struct rbe_suite *s = calloc(1, sizeof *s);

    *out = s;
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    *s = (struct rbe_suite){.data = data, .teams = teams, .roofs = roofs, .o = *o};
    return RBE_OK;
}

static void free_case(struct bench_case *c)
{
    for (unsigned i = 0; i < c->parts_count; i++) {
        free(c->parts[i].act_memory);
        free(c->parts[i].x);
    }
    free(c->dense.a);
    free(c->dense.b);
    free(c->dense.c);
    rbe_seed_search_close(&c->search.run);
    rbe_seed_search_close(&c->search.scalar);
    free(c->search.target);
    free(c->search.words);
    free(c);
}

void rbe_suite_close(struct rbe_suite **s)
{
    if (!*s)
        return;
    for (size_t i = 0; i < (*s)->count; i++)
        free_case((*s)->cases[i]);
    free((*s)->cases);
    free((*s)->y);
    free((*s)->y_scalar);
    free(*s);
    *s = NULL;
}

size_t rbe_suite_count(const struct rbe_suite *s)
{
    return s->count;
}

const char *rbe_suite_name(const struct rbe_suite *s, size_t i)
{
    return s->cases[i]->name;
}

struct rbe_suite_result rbe_suite_result(const struct rbe_suite *s)
{
    return s->result;
}

/* As Google Benchmark filters: an extended regular expression, "-" before it negates. */
enum rbe_status rbe_suite_matches(size_t *count, const struct rbe_suite *s,
                                  const char *filter, struct rbe_diag *d)
{
    const bool negative = filter[0] == '-';
    char why[128];
    regex_t re;

    *count = 0;
    const int bad = regcomp(&re, filter + negative, REG_EXTENDED | REG_NOSUB);
    if (bad) {
        regerror(bad, &re, why, sizeof why);
        return rbe_fail(d, RBE_ERR_ARG, "the filter '%s': %s", filter, why);
    }
    for (size_t i = 0; i < s->count; i++)
        *count += !regexec(&re, s->cases[i]->name, 0, NULL, 0) != negative;
    regfree(&re);
    return *count ? RBE_OK
                  : rbe_fail(d, RBE_ERR_ARG, "the filter '%s' selects nothing of %zu "
                             "benchmarks (--benchmark_list_tests shows them)", filter,
                             s->count);
}

void rbe_suite_expect(struct rbe_suite *s, const char *filter, unsigned repetitions)
{
    struct rbe_diag unused;
    size_t count;

    rbe_suite_matches(&count, s, filter, &unused);
    s->expected = (double)count * repetitions;
    rbe_progress_start(&s->progress, "measuring", "samples", s->expected);
}

/* --- verification ------------------------------------------------------------------------- */

/* Formats that multiply in integers leave a scale; the others leave it as it was. */
static bool in_integers(const struct rbe_act *a)
{
    return !isnan(a->scale[0]);
}

/* |error| <= g(n) sum|w x|, g(n) = n u / (1 - n u), holds for every order of summation; n
 * also covers decoding.  Formats with tiles sum terms up to a block's side times larger than
 * the weights they make. */
static double bound(const struct rbe_matrix *w, double sum_abs)
{
    const double u = FLT_EPSILON / 2, n = (double)w->cols + 8;
    const bool tiles = rbe_format_facts(w->format)->tiles;

    return (tiles ? (double)w->block : 1.0) * n * u / (1 - n * u) * sum_abs;
}

static bool verify_row(const struct rbe_matrix *w, const struct rbe_act *a, const float *y,
                       size_t ldy, size_t r, float *row, char *why, size_t why_size)
{
    struct rbe_matrix plain = *w;

    /* Column scales are in the activations already. */
    plain.col_scale = NULL;
    rbe_decode_row(&plain, r, row);
    for (size_t t = 0; t < a->count; t++) {
        double sum = 0, sum_abs = 0;
        for (size_t c = 0; c < w->cols; c++) {
            const double x = in_integers(a) ? (double)a->q[t * a->stride + c] * a->scale[t]
                                            : a->x[t * a->stride + c];
            sum += row[c] * x;
            sum_abs += fabs(row[c] * x);
        }
        const double err = fabs(y[t * ldy + r] - sum), limit = bound(w, sum_abs) + FLT_MIN;
        if (!(err <= limit)) {
            snprintf(why, why_size,
                     "row %zu, vector %zu: got %.9g, want %.9g, allowed error "
                     "%.3g",
                     r, t, (double)y[t * ldy + r], sum, limit);
            return false;
        }
    }
    return true;
}

bool rbe_suite_verify(const struct rbe_matrix *w, const struct rbe_act *a, const float *y,
                      size_t ldy, char *why, size_t why_size)
{
    /* Every row of small matrices; of large ones the first and last hundred and every k-th,
     * k odd, so that all places within a strip are met. */
    const size_t budget = 2000000 / (w->cols * a->count + 1) + 200;
    const size_t stride = w->rows > budget ? (w->rows / budget + 1) | 1 : 1;
    float *row = malloc(w->cols * sizeof *row);
    bool ok = row != NULL;

    if (!ok)
        snprintf(why, why_size, "out of memory");
    for (size_t r = 0; r < w->rows && ok; r++)
        if (r % stride == 0 || r < 100 || r + 100 >= w->rows)
            ok = verify_row(w, a, y, ldy, r, row, why, why_size);
    free(row);
    return ok;
}

/* --- one iteration ------------------------------------------------------------------------ */

struct job {
    const struct bench_case *c;
    const struct part *p;
    float *y;
};

static void product_part(void *arg, unsigned i, unsigned n)
{
    const struct job *j = arg;
    size_t begin, end;

    rbe_split(j->p->w.rows, rbe_row_step(&j->p->w), i, n, &begin, &end);
    if (begin < end)
        j->c->kernel->run(&j->p->w, &j->p->act, j->y, j->p->w.rows, begin, end);
}

static struct rbe_team *team_of(const struct bench_case *c)
{
    return c->suite->teams->of[c->threads];
}

static void one_product(struct bench_case *c, struct part *p)
{
    struct job j = {c, p, c->suite->y};

    rbe_data_move(c->suite->data, &c->cursor, c->cold, &p->size, &p->w);
    rbe_pool_run(team_of(c)->pool, product_part, &j);
}

/* GPT-2's order: the four matrices of a block, layer after layer, then the output layer. */
static void one_model(struct bench_case *c)
{
    for (unsigned layer = 0; layer < c->layers; layer++)
        for (unsigned i = 0; i + 1 < c->parts_count; i++)
            one_product(c, &c->parts[i]);
    one_product(c, &c->parts[c->parts_count - 1]);
}

static void one_prepare(struct bench_case *c)
{
    for (unsigned i = 0; i < c->parts_count; i++)
        for (unsigned k = 0; k < c->parts[i].times; k++)
            rbe_act_prepare(&c->parts[i].act, &c->parts[i].w, c->parts[i].x, c->parts[i].w.cols,
                            c->count);
}

static void dense_part(void *arg, unsigned i, unsigned n)
{
    const struct bench_case *c = arg;
    size_t begin, end;

    rbe_split(c->dense.n, 64, i, n, &begin, &end);
    if (begin < end)
        rbe_sgemm(false, false, c->dense.m, end - begin, c->dense.k, 1, c->dense.a, c->dense.k,
                  c->dense.b + begin, c->dense.n, 0, c->dense.c + begin, c->dense.n);
}

/* One column, joint and all, into words. */
static void search_column(const struct bench_case *c, struct rbe_seed_search *with)
{
    const size_t rows = c->search.of.rows;
    const uint16_t joint = rbe_seed_search_join(with, c->search.target, NULL, rows, 0);
    const struct rbe_seed_span span = {
        .target = c->search.target,
        .count = rows,
        .end = 16 * rbe_seed_column_words(rows, c->search.of.block),
        .start = joint,
        .tail = joint,
    };

    rbe_seed_search_run(with, &span, c->search.words);
}

/* Seconds that n iterations took. */
static double run_iterations(struct bench_case *c, uint64_t n)
{
    const double start = rbe_now();

    if (c->kind == PROBE)
        return rbe_probe_time(c->probe, team_of(c), c->suite->roofs->buffer, c->working_set, n);
    for (uint64_t i = 0; i < n; i++) {
        if (c->kind == PRODUCT)
            one_product(c, &c->parts[0]);
        else if (c->kind == MODEL)
            one_model(c);
        else if (c->kind == DENSE)
            rbe_pool_run(team_of(c)->pool, dense_part, c);
        else if (c->kind == SEARCH)
            search_column(c, c->search.run);
        else
            one_prepare(c);
    }
    return rbe_now() - start;
}

static void fail_case(struct bench_case *c, const char *why)
{
    struct rbe_suite_result *r = &c->suite->result;

    c->bad = true;
    if (!r->failed++)
        snprintf(r->first_failure, sizeof r->first_failure, "%.100s: %.150s", c->name, why);
}

/* A few elements of the dense product, in double, to the bound for any order. */
static void verify_dense(struct bench_case *c)
{
    const size_t m = c->dense.m, n = c->dense.n, k = c->dense.k;
    const double u = FLT_EPSILON / 2, g = (double)k * u / (1 - (double)k * u);
    char why[128];

    rbe_pool_run(team_of(c)->pool, dense_part, c);
    for (size_t e = 0; e < 1000 && !c->bad; e++) {
        const size_t i = e * 7919 % m, j = e * 104729 % n;
        double sum = 0, sum_abs = 0;
        for (size_t t = 0; t < k; t++) {
            const double v = (double)c->dense.a[i * k + t] * c->dense.b[t * n + j];
            sum += v;
            sum_abs += fabs(v);
        }
        if (!(fabs(c->dense.c[i * n + j] - sum) <= g * sum_abs)) {
            snprintf(why, sizeof why, "element %zu, %zu: got %.9g, want %.9g", i, j,
                     (double)c->dense.c[i * n + j], sum);
            fail_case(c, why);
        }
    }
    if (!c->bad)
        c->suite->result.verified++;
}

/* Costs are integers: every version finds the words that the scalar one finds. */
static void verify_search(struct bench_case *c)
{
    const size_t words = rbe_seed_column_words(c->search.of.rows, c->search.of.block);
    uint16_t *want = malloc(words * sizeof *want);

    if (want) {
        search_column(c, c->search.scalar);
        memcpy(want, c->search.words, words * sizeof *want);
        search_column(c, c->search.run);
    }
    if (!want)
        fail_case(c, "out of memory");
    else if (memcmp(want, c->search.words, words * sizeof *want))
        fail_case(c, "other words than the scalar search");
    else
        c->suite->result.verified++;
    free(want);
    rbe_seed_search_close(&c->search.scalar);
}

/* Sums in integers are exact: every kernel gives the scalar one's bits, in every row. */
static bool same_as_scalar(struct bench_case *c, const struct part *p, char *why, size_t size)
{
    const struct rbe_kernel *scalar = rbe_kernel_best(RBE_GEMV, c->format, 0);
    const float *y = c->suite->y;
    float *want = c->suite->y_scalar;

    if (c->kernel->op != RBE_GEMV || !scalar || !rbe_format_facts(c->format)->gmax)
        return true;
    scalar->run(&p->w, &p->act, want, p->w.rows, 0, p->w.rows);
    for (size_t r = 0; r < p->w.rows; r++)
        if (memcmp(&y[r], &want[r], sizeof *y)) {
            snprintf(why, size, "row %zu: got %.9g, the scalar kernel %.9g", r, (double)y[r],
                     (double)want[r]);
            return false;
        }
    return true;
}

/* Each of the case's matrices once, with the buffers it will be timed with. */
static void verify_case(struct bench_case *c)
{
    struct rbe_suite *s = c->suite;
    char why[256];

    c->verified = true;
    if (c->kind == DENSE)
        verify_dense(c);
    if (c->kind == SEARCH)
        verify_search(c);
    if (c->kind != PRODUCT && c->kind != MODEL)
        return;
    for (unsigned i = 0; i < c->parts_count && !c->bad; i++) {
        struct part *p = &c->parts[i];
        for (size_t k = 0; k < p->w.rows * c->count; k++)
            s->y[k] = NAN; /* a row that is not written is wrong */
        one_product(c, p);
        if (!rbe_suite_verify(&p->w, &p->act, s->y, p->w.rows, why, sizeof why) ||
            !same_as_scalar(c, p, why, sizeof why))
            fail_case(c, why);
    }
    if (!c->bad)
        s->result.verified++;
}

/* --- samples ------------------------------------------------------------------------------ */

struct sample {
    uint64_t iterations;
    double seconds;
    struct rbe_validity v;
    unsigned attempts;
    bool accepted;
    double event[RBE_PERF_EVENTS], running;
};

static void log_sample(const struct bench_case *c, const struct sample *s)
{
    FILE *f = c->suite->o.raw;

    if (!f)
        return;
    fprintf(f,
            "{\"name\": \"%s\", \"iterations\": %llu, \"seconds\": %.9g, \"lost\": %.4g, "
            "\"foreign\": %.4g, \"steal\": %.4g, \"attempt\": %u, \"accepted\": %s}\n",
            c->name, (unsigned long long)s->iterations, s->seconds, s->v.lost, s->v.foreign,
            s->v.steal, s->attempts, s->accepted ? "true" : "false");
    fflush(f);
}

/* Times n iterations, again while others used the CPUs; calibration runs, shorter than half
 * of what will be asked for, are taken as they are. */
static struct sample take_sample(struct bench_case *c, uint64_t n)
{
    const struct rbe_suite_options *o = &c->suite->o;
    struct rbe_suite_result *r = &c->suite->result;
    struct sample s = {.iterations = n};
    struct rbe_meter m;

    for (;;) {
        struct rbe_perf *perf = c->suite->teams->perf[c->threads];
        rbe_meter_start(&m);
        if (perf)
            rbe_perf_start(perf);
        s.seconds = run_iterations(c, n);
        if (perf)
            rbe_perf_stop(perf, s.event, &s.running);
        s.v = rbe_meter_stop(&m, c->threads);
        s.attempts++;
        const bool full = s.seconds >= o->min_seconds / 2,
                   valid = rbe_valid(&s.v, o->foreign_limit);
        s.accepted = valid || !full;
        if (!full)
            return s;
        r->samples++;
        log_sample(c, &s);
        if (valid)
            return s;
        /* On a machine that is never quiet, repeating everything would take for ever. */
        const bool hopeless = r->repeated > 10 + c->suite->expected / 4;
        if (s.attempts > o->repeats_max || hopeless || rbe_interrupted()) {
            r->disturbed++;
            return s;
        }
        r->repeated++;
    }
}

/* Roofs of a case; 0 where none applies. */
static double read_roof(const struct bench_case *c)
{
    if (!c->suite->roofs || c->bytes <= 0)
        return 0;
    /* A hot matrix is read from the level that holds it. */
    return rbe_roofs_read(c->suite->roofs,
                          c->working_set ? c->working_set
                          : c->cold      ? SIZE_MAX
                                         : (size_t)c->bytes,
                          c->threads);
}

static double peak(const struct bench_case *c)
{
    if (!c->suite->roofs || c->multiply_adds <= 0)
        return 0;
    return rbe_roofs_peak(c->suite->roofs, c->arithmetic, c->isa, c->threads);
}

static void report_events(struct rbe_gbench_state *g, const struct bench_case *c,
                          const struct sample *s)
{
    const struct rbe_perf *perf = c->suite->teams->perf[c->threads];

    for (unsigned i = 0; perf && i < rbe_perf_count(perf); i++)
        rbe_gbench_counter(g, rbe_perf_name(perf, i), s->event[i] / (double)s->iterations);
    if (perf && rbe_perf_hardware(perf))
        rbe_gbench_counter(g, "counters_running_share", s->running);
}

static void report(struct rbe_gbench_state *g, const struct bench_case *c,
                   const struct sample *s)
{
    const double per = s->seconds / (double)s->iterations;
    const struct part *p = &c->parts[0];
    const double roof = read_roof(c), top = peak(c);

    rbe_gbench_label(g, c->label);
    if (c->bytes > 0) {
        rbe_gbench_counter(g, "bytes_per_second", c->bytes / per);
        rbe_gbench_counter(g, "bytes", c->bytes);
    }
    if (c->weights > 0) {
        rbe_gbench_counter(g, "items_per_second", c->weights / per);
        rbe_gbench_counter(g, "weights", c->weights);
    }
    if (c->multiply_adds > 0) {
        rbe_gbench_counter(g, "multiply_adds", c->multiply_adds);
        rbe_gbench_counter(g, "multiply_adds_per_second", c->multiply_adds / per);
    }
    if (c->kind == PRODUCT) {
        rbe_gbench_counter(g, "rows", p->w.rows);
        rbe_gbench_counter(g, "cols", p->w.cols);
    }
    if (c->kind == SEARCH) {
        rbe_gbench_counter(g, "block", c->search.of.block);
        rbe_gbench_counter(g, "window", c->search.of.bits);
        rbe_gbench_counter(g, "rows", (double)c->search.of.rows);
    }
    if (c->kind == PRODUCT || c->kind == MODEL) {
        rbe_gbench_counter(g, "block", p->w.block);
        rbe_gbench_counter(g, "aux", p->w.aux);
        rbe_gbench_counter(g, "vectors", (double)c->count);
        rbe_gbench_counter(g, "bits_per_weight", 8 * c->bytes / c->weights * (double)c->count);
        rbe_gbench_counter(g, "ratio", 4 * c->weights / (double)c->count / c->bytes);
    }
    rbe_gbench_counter(g, "threads_pinned", c->threads);
    if (c->kind == DENSE)
        rbe_gbench_counter(g, "gflops", 2e-9 * c->weights / per);
    if (roof > 0) {
        rbe_gbench_counter(g, "read_roof", roof);
        rbe_gbench_counter(g, "read_fraction", c->bytes / per / roof);
    }
    if (top > 0) {
        rbe_gbench_counter(g, "peak", top);
        rbe_gbench_counter(g, "peak_fraction", c->multiply_adds / per / top);
    }
    report_events(g, c, s);
    rbe_gbench_counter(g, "lost_share", s->v.lost);
    if (s->v.foreign >= 0)
        rbe_gbench_counter(g, "foreign_share", s->v.foreign);
    if (s->v.steal >= 0)
        rbe_gbench_counter(g, "steal_share", s->v.steal);
    rbe_gbench_counter(g, "repeats", s->attempts - 1);
    rbe_gbench_counter(g, "disturbed", !s->accepted);
}

/* What ran faster than a roof shows that the roof was measured too low: a probe among the
 * rows, or a kernel that read cold weights. */
static void raise_roofs(const struct bench_case *c, const struct sample *s)
{
    struct rbe_roofs *roofs = c->suite->roofs;
    const double n = (double)s->iterations / s->seconds;

    if (!roofs || s->seconds < c->suite->o.min_seconds / 2)
        return;
    if (c->kind == PROBE)
        rbe_roofs_note(roofs, c->probe, c->working_set, c->threads,
                       (c->bytes > 0 ? c->bytes : c->multiply_adds) * n);
    else if (c->cold && s->accepted)
        rbe_roofs_note(roofs, NULL, roofs->bytes[roofs->points - 1], c->threads, c->bytes * n);
}

/* --- memory, at the first run ------------------------------------------------------------- */

static enum rbe_status make_part(struct bench_case *c, struct part *p, struct rbe_diag *d)
{
    const uint32_t cols = p->w.cols;
    const enum rbe_status err =
        rbe_data_next(c->suite->data, &c->cursor, c->cold, c->format, p->w.rows, cols,
                      p->w.block, p->w.aux, &p->w, d);

    if (err)
        return err;
    const size_t act_bytes = (rbe_act_bytes(c->count, cols) + 63) / 64 * 64;
    p->act_memory = aligned_alloc(64, act_bytes);
    p->x = malloc(c->count * cols * sizeof *p->x);
    if (!p->act_memory || !p->x)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < c->count * cols; i++)
        p->x[i] = (float)((int)(i * 2654435761U >> 16 & 0xFFFF) - 32768) / 32768;
    rbe_act_init(&p->act, p->act_memory, c->count, cols);
    p->act.scale[0] = NAN; /* see in_integers() */
    rbe_act_prepare(&p->act, &p->w, p->x, cols, c->count);
    return RBE_OK;
}

static enum rbe_status make_dense(struct bench_case *c, struct rbe_diag *d)
{
    const size_t m = c->dense.m, n = c->dense.n, k = c->dense.k;

    c->dense.a = malloc(m * k * sizeof *c->dense.a);
    c->dense.b = malloc(k * n * sizeof *c->dense.b);
    c->dense.c = malloc(m * n * sizeof *c->dense.c);
    if (!c->dense.a || !c->dense.b || !c->dense.c)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < m * k; i++)
        c->dense.a[i] = (float)(i * 2654435761U >> 16 & 0xFF) / 256 - 0.5F;
    for (size_t i = 0; i < k * n; i++)
        c->dense.b[i] = (float)(i * 2246822519U >> 16 & 0xFF) / 256 - 0.5F;
    return RBE_OK;
}

static enum rbe_status make_search(struct bench_case *c, struct rbe_diag *d)
{
    const struct rbe_search_case *s = &c->search.of;
    const size_t words = 8 * rbe_seed_strips(s->rows, s->block);
    const float sigma = rbe_seed_sigma(s->format) / 1.1F;
    uint32_t random = 1;

    c->search.target = malloc(s->rows * sizeof *c->search.target);
    c->search.words = malloc(words * sizeof *c->search.words);
    if (!c->search.target || !c->search.words)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    /* The sum of twelve uniform numbers is near enough to Gaussian. */
    for (size_t r = 0; r < s->rows; r++) {
        float sum = -6;
        for (int i = 0; i < 12; i++) {
            random = random * 1664525 + 1013904223;
            sum += (float)(random >> 8) * 0x1p-24F;
        }
        c->search.target[r] = sigma * sum;
    }
    const enum rbe_status err = rbe_seed_search_open(&c->search.run, s->format, s->block,
                                                     s->bits, s->ops, d);
    return err ? err : rbe_seed_search_open(&c->search.scalar, s->format, s->block, s->bits,
                                            rbe_trellis_at(0), d);
}

static enum rbe_status grow_y(struct rbe_suite *s, size_t size, struct rbe_diag *d)
{
    if (size <= s->y_size)
        return RBE_OK;
    free(s->y);
    free(s->y_scalar);
    s->y_size = 0;
    s->y = malloc(size * sizeof *s->y);
    s->y_scalar = malloc(size * sizeof *s->y_scalar);
    if (!s->y || !s->y_scalar)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    s->y_size = size;
    return RBE_OK;
}

static enum rbe_status make_case(struct bench_case *c, struct rbe_diag *d)
{
    enum rbe_status err = c->kind == DENSE    ? make_dense(c, d)
                          : c->kind == SEARCH ? make_search(c, d)
                                              : RBE_OK;

    for (unsigned i = 0; i < c->parts_count && !err; i++) {
        err = make_part(c, &c->parts[i], d);
        if (rbe_interrupted())
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    }
    if (!err)
        err = grow_y(c->suite, c->rows_max * c->count, d);
    c->made = !err;
    return err;
}

static void run_case(struct rbe_gbench_state *g, void *arg)
{
    struct bench_case *c = arg;
    struct rbe_diag d = {{0}};
    uint64_t n;

    if (!rbe_interrupted() && !c->made && !c->bad && make_case(c, &d) && !rbe_interrupted())
        fail_case(c, d.text);
    if (!rbe_interrupted() && !c->verified && !c->bad)
        verify_case(c);
    if (rbe_interrupted()) {
        /* All repetitions of a case must tell the same number of iterations, or the library
         * aborts; one that was never started tells none. */
        rbe_gbench_next(g, &n);
        rbe_gbench_fail(g, "interrupted");
        return;
    }
    if (c->bad) {
        rbe_gbench_fail(g, c->made ? "verification failed, not timed" : "not made, not timed");
        return;
    }
    while (rbe_gbench_next(g, &n)) {
        const struct sample s = take_sample(c, n);
        rbe_gbench_seconds(g, s.seconds);
        raise_roofs(c, &s);
        report(g, c, &s);
        if (s.seconds >= c->suite->o.min_seconds / 2 && c->suite->done < c->suite->expected)
            rbe_progress_update(&c->suite->progress, ++c->suite->done, c->name);
    }
}

void rbe_suite_register(struct rbe_suite *s)
{
    for (size_t i = 0; i < s->count; i++)
        rbe_gbench_add(s->cases[i]->name, run_case, s->cases[i]);
}

/* --- registration ------------------------------------------------------------------------- */

/* Adds one shape's figures; its memory comes with make_part(). */
static enum rbe_status add_part(struct bench_case *c, uint32_t rows, uint32_t cols,
                                uint32_t block, uint32_t aux, unsigned times,
                                struct rbe_diag *d)
{
    const struct rbe_matrix_size size = rbe_matrix_size(c->format, rows, cols, block, aux);
    struct part *p = &c->parts[c->parts_count];

    if (!size.codes)
        return rbe_fail(d, RBE_ERR_ARG, "%s has no %u x %u matrix with block %u",
                        rbe_format_name(c->format), rows, cols, block);
    c->parts_count++;
    p->size = size;
    p->w = (struct rbe_matrix){
        .format = c->format, .rows = rows, .cols = cols, .block = block, .aux = aux};
    p->times = times;
    c->bytes += (double)times * (double)(size.codes + size.scale + size.col_scale);
    c->weights += (double)times * rows * cols * (double)c->count;
    if (c->kernel) {
        const struct rbe_work work = rbe_work_of(c->kernel, rows, cols, block, aux,
                                                 (uint32_t)c->count, c->threads);
        c->multiply_adds += times * work.multiply_adds;
        c->arithmetic = work.kind;
        c->isa = c->kernel->isa;
    }
    if (rows > c->rows_max)
        c->rows_max = rows;
    return RBE_OK;
}

static enum rbe_status new_case(struct rbe_suite *s, struct bench_case **out,
                                enum case_kind kind, unsigned threads, struct rbe_diag *d)
{
    *out = NULL;
    if (!rbe_suite_has_threads(s, threads))
        return rbe_fail(d, RBE_ERR_ARG, "no team of %u threads was opened", threads);
    struct bench_case *c = calloc(1, sizeof *c);
    *out = c;
    if (!c)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    c->suite = s;
    c->kind = kind;
    c->threads = threads;
    c->count = 1;
    return RBE_OK;
}

/* Takes c over, whether it succeeds or not. */
static enum rbe_status register_case(struct rbe_suite *s, struct bench_case *c,
                                     struct rbe_diag *d)
{
    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 256;
        struct bench_case **p = realloc(s->cases, room * sizeof *p);
        if (!p) {
            free_case(c);
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        }
        s->cases = p;
        s->room = room;
    }
    s->cases[s->count++] = c;
    return RBE_OK;
}

const char *rbe_isa_suffix(const char *name)
{
    const char *s = strrchr(name, '_');
    return s ? s + 1 : name;
}

bool rbe_suite_has_threads(const struct rbe_suite *s, unsigned t)
{
    return t <= RBE_MAX_CPUS && s->teams->of[t];
}

static void append(char *buf, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void append(char *buf, size_t size, const char *fmt, ...)
{
    const size_t used = strlen(buf);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(buf + used, size - used, fmt, ap);
    va_end(ap);
}

/* Whether it is the kernel that the model's runtime takes here. */
static bool is_used(const struct rbe_kernel *k)
{
    return k == rbe_kernel_best(k->op, k->format, rbe_cpu_isa());
}

enum rbe_status rbe_suite_product(struct rbe_suite *s, const struct rbe_product_case *p,
                                  struct rbe_diag *d)
{
    struct bench_case *c;
    enum rbe_status err = new_case(s, &c, PRODUCT, p->threads, d);

    if (err)
        return err;
    c->kernel = p->kernel;
    c->format = p->kernel->format;
    c->cold = p->cold;
    c->count = p->kernel->op == RBE_GEMM && p->count ? p->count : 1;
    if ((err = add_part(c, p->rows, p->cols, p->block, p->aux, 1, d))) {
        free_case(c);
        return err;
    }
    snprintf(c->name, sizeof c->name, "%s/%ux%u", p->kernel->name, p->rows, p->cols);
    if (p->block)
        append(c->name, sizeof c->name, "/B:%u", p->block);
    if (p->aux)
        append(c->name, sizeof c->name, "/K:%u", p->aux);
    if (p->kernel->op == RBE_GEMM)
        append(c->name, sizeof c->name, "/T:%zu", c->count);
    append(c->name, sizeof c->name, "/%s/t:%u", p->cold ? "cold" : "hot", p->threads);
    snprintf(c->label, sizeof c->label, "kind=product op=%s format=%s isa=%s cache=%s used=%d",
             p->kernel->op == RBE_GEMM ? "gemm" : "gemv", rbe_format_name(c->format),
             rbe_isa_suffix(p->kernel->name), p->cold ? "cold" : "hot", is_used(p->kernel));
    return register_case(s, c, d);
}

enum rbe_status rbe_suite_model(struct rbe_suite *s, const struct rbe_model_case *m,
                                struct rbe_diag *d)
{
    struct bench_case *c;
    enum rbe_status err = new_case(s, &c, MODEL, m->threads, d);
    const uint32_t e = m->width;

    if (err)
        return err;
    c->kernel = m->kernel;
    c->format = m->kernel->format;
    c->cold = true;
    c->layers = m->layers;
    if ((err = add_part(c, 3 * e, e, m->block, m->aux, m->layers, d)) ||
        (err = add_part(c, e, e, m->block, m->aux, m->layers, d)) ||
        (err = add_part(c, 4 * e, e, m->block, m->aux, m->layers, d)) ||
        (err = add_part(c, e, 4 * e, m->block, m->aux, m->layers, d)) ||
        (err = add_part(c, m->vocab, e, m->block, m->aux, 1, d))) {
        free_case(c);
        return err;
    }
    snprintf(c->name, sizeof c->name, "model_%s/%s", m->kernel->name, m->size);
    if (m->block)
        append(c->name, sizeof c->name, "/B:%u", m->block);
    if (m->aux)
        append(c->name, sizeof c->name, "/K:%u", m->aux);
    append(c->name, sizeof c->name, "/cold/t:%u", m->threads);
    snprintf(c->label, sizeof c->label,
             "kind=model op=gemv format=%s isa=%s cache=cold used=%d",
             rbe_format_name(c->format), rbe_isa_suffix(m->kernel->name), is_used(m->kernel));
    return register_case(s, c, d);
}

enum rbe_status rbe_suite_prepare(struct rbe_suite *s, enum rbe_format f, const char *size,
                                  uint32_t layers, uint32_t width, struct rbe_diag *d)
{
    const uint32_t block = rbe_format_facts(f)->usual_block;
    const struct rbe_transform *t = rbe_transform_best(rbe_cpu_isa());
    struct bench_case *c;
    enum rbe_status err = new_case(s, &c, PREPARE, 1, d);

    if (err)
        return err;
    c->format = f;
    if ((err = add_part(c, 64, width, block, 0, 3 * layers + 1, d)) ||
        (err = add_part(c, 64, 4 * width, block, 0, layers, d))) {
        free_case(c);
        return err;
    }
    /* What is read: values and their scales, the same ones over and over.  A value is
     * multiplied by its column's scale, where there is one, and once to be quantised. */
    c->bytes = c->weights = 0;
    for (unsigned i = 0; i < c->parts_count; i++) {
        const struct part *p = &c->parts[i];
        const double values = (double)p->w.cols * p->times;
        c->working_set += p->w.cols * sizeof(float) + p->size.col_scale;
        c->bytes += values * sizeof(float) + (double)p->size.col_scale * p->times;
        c->multiply_adds +=
            values * ((p->size.col_scale > 0) + (rbe_format_facts(f)->gmax > 0));
    }
    c->arithmetic = RBE_PROBE_FMA_F32;
    c->isa = t->isa;
    snprintf(c->name, sizeof c->name, "prepare_%s/%s/t:1", rbe_format_name(f), size);
    snprintf(c->label, sizeof c->label, "kind=prepare op=prepare format=%s isa=%s cache=hot",
             rbe_format_name(f), t->name);
    return register_case(s, c, d);
}

enum rbe_status rbe_suite_dense(struct rbe_suite *s, size_t m, size_t n, size_t k,
                                unsigned threads, struct rbe_diag *d)
{
    struct bench_case *c;
    const enum rbe_status err = new_case(s, &c, DENSE, threads, d);

    if (err)
        return err;
    c->dense.m = m;
    c->dense.n = n;
    c->dense.k = k;
    c->weights = c->multiply_adds = (double)m * (double)n * (double)k;
    c->arithmetic = RBE_PROBE_FMA_F32;
    c->isa = rbe_cpu_isa();
    snprintf(c->name, sizeof c->name, "dense_sgemm/%zux%zux%zu/t:%u", m, n, k, threads);
    snprintf(c->label, sizeof c->label, "kind=dense op=gemm format=f32 isa=library cache=hot");
    return register_case(s, c, d);
}

enum rbe_status rbe_suite_search(struct rbe_suite *s, const struct rbe_search_case *p,
                                 struct rbe_diag *d)
{
    struct bench_case *c;
    const enum rbe_status err = new_case(s, &c, SEARCH, 1, d);

    if (err)
        return err;
    c->search.of = *p;
    c->weights = (double)p->rows;
    c->isa = p->ops->isa;
    snprintf(c->name, sizeof c->name, "search_%s_%s/L:%u/B:%u/t:1", rbe_format_name(p->format),
             p->ops->name, p->bits, p->block);
    snprintf(c->label, sizeof c->label,
             "kind=search op=search format=%s isa=%s cache=hot used=%d",
             rbe_format_name(p->format), p->ops->name,
             p->ops == rbe_trellis_best(rbe_cpu_isa()));
    return register_case(s, c, d);
}

enum rbe_status rbe_suite_probe(struct rbe_suite *s, const struct rbe_probe *p, size_t bytes,
                                unsigned threads, struct rbe_diag *d)
{
    struct bench_case *c;
    enum rbe_status err = new_case(s, &c, PROBE, threads, d);

    if (err)
        return err;
    c->probe = p;
    c->working_set = bytes;
    snprintf(c->name, sizeof c->name, "%s", p->name);
    if (p->kind == RBE_PROBE_READ) {
        c->bytes = (double)bytes;
        append(c->name, sizeof c->name, "/bytes:%zu", bytes);
    } else {
        c->weights = c->multiply_adds = p->work * RBE_PROBE_ROUNDS * threads;
        c->arithmetic = p->kind;
        c->isa = p->isa;
    }
    append(c->name, sizeof c->name, "/t:%u", threads);
    snprintf(c->label, sizeof c->label, "kind=probe op=%s format=none isa=%s cache=hot",
             p->kind == RBE_PROBE_READ ? "read" : "peak", rbe_isa_suffix(p->name));
    return register_case(s, c, d);
}

double rbe_suite_cost(struct rbe_suite *s, const struct rbe_kernel *k)
{
    const uint32_t block = rbe_format_facts(k->format)->usual_block;
    const uint32_t aux = rbe_plan_aux(k->format, block);
    struct bench_case *c;
    double cost = 0;

    if (new_case(s, &c, PRODUCT, 1, NULL))
        return 0;
    c->kernel = k;
    c->format = k->format;
    c->count = k->op == RBE_GEMM ? 4 : 1;
    float *y = malloc(256 * 4 * sizeof *y);
    if (y && !add_part(c, 256, 768, block, aux, 1, NULL) &&
        !make_part(c, &c->parts[0], NULL)) {
        k->run(&c->parts[0].w, &c->parts[0].act, y, 256, 0, 256);
        const double start = rbe_now();
        k->run(&c->parts[0].w, &c->parts[0].act, y, 256, 0, 256);
        cost = (rbe_now() - start) / c->weights;
    }
    free(y);
    free_case(c);
    return cost;
}

const struct rbe_roofs *rbe_suite_roofs(const struct rbe_suite *s)
{
    return s->roofs;
}

/* --- after the run ------------------------------------------------------------------------ */

/* Google Benchmark's name of a row is that of its case and what the library adds behind '/'. */
static const struct bench_case *case_of(const struct rbe_suite *s, const json_t *places,
                                        const char *run_name)
{
    char name[sizeof s->cases[0]->name];
    const json_t *at = NULL;

    snprintf(name, sizeof name, "%s", run_name);
    for (char *end = name; end && !(at = json_object_get(places, name));)
        if ((end = strrchr(name, '/')))
            *end = 0;
    return at ? s->cases[json_integer_value(at)] : NULL;
}

/* Of mean, median, deviations alike: all but the coefficient of variation scale. */
static void set_fraction(json_t *row, const char *rate, const char *roof_key,
                         const char *fraction_key, double roof)
{
    const json_t *v = json_object_get(row, rate);
    const char *aggregate = json_string_value(json_object_get(row, "aggregate_name"));

    if (!json_is_number(v) || roof <= 0 || (aggregate && !strcmp(aggregate, "cv")))
        return;
    if (!aggregate || !strcmp(aggregate, "mean") || !strcmp(aggregate, "median"))
        json_object_set_new(row, roof_key, json_real(roof));
    json_object_set_new(row, fraction_key, json_real(json_number_value(v) / roof));
}

void rbe_suite_final_roofs(const struct rbe_suite *s, json_t *benchmarks)
{
    json_t *row, *places = json_object();
    size_t i;

    for (i = 0; i < s->count; i++)
        json_object_set_new(places, s->cases[i]->name, json_integer((json_int_t)i));
    json_array_foreach(benchmarks, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "run_name"));
        const struct bench_case *c = name ? case_of(s, places, name) : NULL;
        if (!c)
            continue;
        set_fraction(row, "bytes_per_second", "read_roof", "read_fraction", read_roof(c));
        set_fraction(row, "multiply_adds_per_second", "peak", "peak_fraction", peak(c));
    }
    json_decref(places);
}
