/*
 * plan.c - parsing of selections, and the default set.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/plan.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu.h"
#include "kernels/format/hybrid.h"

/* GPT-2 small: the four matrices of a block, and the output layer. */
static const struct rbe_shape gpt2_shapes[] = {
    {2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {50257, 768}};
enum { GPT2_SHAPES = sizeof gpt2_shapes / sizeof gpt2_shapes[0] };

enum { GPT2_LAYERS = 12, GPT2_WIDTH = 768, GPT2_VOCAB = 50257, DEFAULT_VECTORS = 32 };

/* Bits a weight from 8 down to 1/32. */
static const uint32_t sweep_blocks[] = {16, 20, 24, 28,  32,  36,  40,   44,   48,
                                        56, 64, 96, 128, 256, 512, 1024, 2048, 4096};

void rbe_plan_default(enum rbe_format f, uint32_t *block, uint32_t *aux)
{
    *block = *aux = 0;
    if (f == RBE_SEED || f == RBE_SEED4)
        *block = 44;
    if (f == RBE_PACKED128)
        *block = 16;
    if (f == RBE_HYBRID) {
        /* The most entries that 64 * 64 weights may have at 11 : 1. */
        *block = 64;
        while (rbe_hybrid_bytes(*block, *aux + 1) * 11 <= 64 * 64 * 4)
            ++*aux;
    }
}

/* --- lists -------------------------------------------------------------------------------- */

static bool strips(enum rbe_format f)
{
    return f == RBE_SEED || f == RBE_SEED4;
}

/* The next item of a comma-separated list into buf; false at its end. */
static bool next_item(const char **s, char *buf, size_t size)
{
    if (!**s)
        return false;
    const size_t n = strcspn(*s, ",");
    snprintf(buf, size, "%.*s", (int)(n < size ? n : size - 1), *s);
    *s += n + ((*s)[n] == ',');
    return true;
}

static enum rbe_status parse_numbers(struct rbe_list *l, const char *text, const char *option,
                                     uint32_t min, uint32_t max, struct rbe_diag *d)
{
    char item[64], *end;
    const char *s = text;

    while (s && next_item(&s, item, sizeof item)) {
        const unsigned long v = isdigit((unsigned char)item[0]) ? strtoul(item, &end, 10) : 0;
        if (!isdigit((unsigned char)item[0]) || *end || v < min || v > max ||
            l->count == RBE_LIST_MAX)
            return rbe_fail(d, RBE_ERR_ARG, "%s: '%s' is not a number from %u to %u", option,
                            item, min, max);
        l->v[l->count++] = (uint32_t)v;
    }
    if (text && !l->count)
        return rbe_fail(d, RBE_ERR_ARG, "%s: an empty list", option);
    return RBE_OK;
}

static enum rbe_status parse_shapes(struct rbe_selection *sel, const char *text,
                                    struct rbe_diag *d)
{
    char item[64];
    const char *s = text;

    while (s && next_item(&s, item, sizeof item)) {
        struct rbe_shape *out = &sel->shapes[sel->shapes_count];
        int used = 0;
        if (sel->shapes_count == RBE_LIST_MAX || !isdigit((unsigned char)item[0]) ||
            sscanf(item, "%7ux%7u%n", &out->rows, &out->cols, &used) != 2 || item[used] ||
            !out->rows || !out->cols || (uint64_t)out->rows * out->cols > 1U << 30)
            return rbe_fail(d, RBE_ERR_ARG,
                            "--shapes: '%s' is no ROWSxCOLS such as 3072x768 "
                            "(at most 2^30 weights)",
                            item);
        sel->shapes_count++;
    }
    if (text && !sel->shapes_count)
        return rbe_fail(d, RBE_ERR_ARG, "--shapes: an empty list");
    return RBE_OK;
}

static const char *isa_suffix(const struct rbe_kernel *k)
{
    return strrchr(k->name, '_') + 1;
}

enum what { BY_NAME, BY_FORMAT, BY_ISA };

static const char *key(const struct rbe_kernel *k, enum what what)
{
    return what == BY_NAME     ? k->name
           : what == BY_FORMAT ? rbe_format_name(k->format)
                               : isa_suffix(k);
}

/* All distinct keys, for messages. */
static void valid_keys(enum what what, uint32_t isa, char *buf, size_t size)
{
    const struct rbe_kernel *k;

    buf[0] = 0;
    for (size_t i = 0; (k = rbe_kernel_at(i)); i++) {
        bool seen = !rbe_kernel_runs_on(k, isa);
        for (size_t j = 0; j < i && !seen; j++)
            seen = rbe_kernel_runs_on(rbe_kernel_at(j), isa) &&
                   !strcmp(key(rbe_kernel_at(j), what), key(k, what));
        const size_t used = strlen(buf);
        if (!seen)
            snprintf(buf + used, size - used, "%s%s", used ? " " : "", key(k, what));
    }
}

/* Keeps the kernels that an item of the list matches; an item that matches none is an error. */
static enum rbe_status keep(struct rbe_selection *sel, const char *text, const char *option,
                            enum what what, uint32_t isa, struct rbe_diag *d)
{
    bool wanted[256] = {false};
    const struct rbe_kernel *k;
    const char *s = text;
    char item[64], valid[2048];

    if (!text)
        return RBE_OK;
    sel->kernels_given = true;
    while (next_item(&s, item, sizeof item)) {
        bool found = false;
        for (size_t i = 0; (k = rbe_kernel_at(i)) && i < 256; i++)
            if (rbe_kernel_runs_on(k, isa) && !fnmatch(item, key(k, what), 0))
                wanted[i] = found = true;
        if (!found) {
            valid_keys(what, isa, valid, sizeof valid);
            return rbe_fail(d, RBE_ERR_ARG, "%s: nothing here is called '%s'; valid: %.400s",
                            option, item, valid);
        }
    }
    bool any = false;
    for (size_t i = 0; i < 256; i++)
        any |= sel->kernel[i] &= wanted[i];
    if (!any)
        return rbe_fail(d, RBE_ERR_ARG, "%s: '%s' leaves no kernel", option, text);
    return RBE_OK;
}

static enum rbe_status parse_words(const char *text, const char *option, unsigned count,
                                   const char *const *names, bool *const *flags,
                                   struct rbe_diag *d)
{
    const char *s = text;
    char item[64], valid[256] = "";

    for (unsigned i = 0; i < count; i++) {
        const size_t used = strlen(valid);
        snprintf(valid + used, sizeof valid - used, "%s%s", i ? " " : "", names[i]);
    }
    while (s && next_item(&s, item, sizeof item)) {
        bool found = false;
        for (unsigned i = 0; i < count; i++)
            if (!strcmp(item, names[i]))
                *flags[i] = found = true;
        if (!found)
            return rbe_fail(d, RBE_ERR_ARG, "%s: unknown '%s'; valid: %s", option, item, valid);
    }
    return RBE_OK;
}

/* Every block size is one that some selected kernel's format takes. */
static enum rbe_status check_blocks(const struct rbe_selection *sel, struct rbe_diag *d)
{
    const struct rbe_kernel *k;

    for (unsigned b = 0; b < sel->blocks.count; b++) {
        bool taken = false;
        for (size_t i = 0; (k = rbe_kernel_at(i)) && i < 256; i++)
            taken |= sel->kernel[i] &&
                     rbe_matrix_size(k->format, 4096, 4096, sel->blocks.v[b], 0).codes > 0;
        if (!taken)
            return rbe_fail(d, RBE_ERR_ARG,
                            "--blocks: no selected kernel takes B = %u; valid: seed and seed4 "
                            "16 to 4096, hybrid 16, 32, ... 256, packed128 4 to 512",
                            sel->blocks.v[b]);
    }
    return RBE_OK;
}

enum rbe_status rbe_selection_parse(struct rbe_selection *sel,
                                    const struct rbe_selection_texts *t, uint32_t isa,
                                    unsigned max_threads, struct rbe_diag *d)
{
    static const char *const kinds[] = {"product", "model", "prepare", "probe", "dense"};
    static const char *const caches[] = {"cold", "hot"};
    bool *const kind_flags[] = {&sel->product, &sel->model, &sel->prepare, &sel->probe,
                                &sel->dense};
    bool *const cache_flags[] = {&sel->cold, &sel->hot};
    const struct rbe_kernel *k;
    enum rbe_status err;

    const double slowest = sel->slowest;
    memset(sel, 0, sizeof *sel);
    sel->slowest = slowest;
    for (size_t i = 0; (k = rbe_kernel_at(i)) && i < 256; i++)
        sel->kernel[i] = rbe_kernel_runs_on(k, isa);
    if ((err = keep(sel, t->kernels, "--kernels", BY_NAME, isa, d)) ||
        (err = keep(sel, t->formats, "--formats", BY_FORMAT, isa, d)) ||
        (err = keep(sel, t->isa, "--isa", BY_ISA, isa, d)) ||
        (err = parse_shapes(sel, t->shapes, d)) ||
        (err = parse_numbers(&sel->blocks, t->blocks, "--blocks", 4, 4096, d)) ||
        (err = parse_numbers(&sel->threads, t->threads, "--threads", 1, max_threads, d)) ||
        (err = parse_numbers(&sel->vectors, t->vectors, "--vectors", 1, 4096, d)) ||
        (err = parse_words(t->cache, "--cache", 2, caches, cache_flags, d)) ||
        (err = parse_words(t->kinds, "--kinds", 5, kinds, kind_flags, d)))
        return err;
    if (t->blocks && (err = check_blocks(sel, d)))
        return err;
    if (!t->kinds)
        sel->product = sel->model = sel->prepare = sel->probe = sel->dense = true;
    return RBE_OK;
}

/* --- what one product costs --------------------------------------------------------------- */

struct planner {
    struct rbe_suite *suite;
    const struct rbe_selection *sel;
    uint32_t isa;
    double cost[256]; /* seconds per weight and vector, at the default block */
    unsigned max_threads, left_out;
};

static bool slow(struct planner *p, size_t i, double weights)
{
    if (p->cost[i] <= 0)
        p->cost[i] = rbe_suite_cost(p->suite, rbe_kernel_at(i));
    const bool is = p->sel->slowest > 0 && p->cost[i] * weights > p->sel->slowest;
    p->left_out += is;
    return is;
}

static enum rbe_status product(struct planner *p, size_t i, struct rbe_shape shape,
                               uint32_t block, unsigned threads, uint32_t vectors, bool cold,
                               struct rbe_diag *d)
{
    const struct rbe_kernel *k = rbe_kernel_at(i);
    struct rbe_product_case c = {.kernel = k,
                                 .rows = shape.rows,
                                 .cols = shape.cols,
                                 .count = vectors,
                                 .threads = threads,
                                 .cold = cold};

    rbe_plan_default(k->format, &c.block, &c.aux);
    if (block && c.block) {
        c.block = block;
        /* Not every block size is one of every format: a sweep goes on without it. */
        if (!rbe_matrix_size(k->format, shape.rows, shape.cols, block, c.aux).codes)
            return RBE_OK;
    }
    if (slow(p, i, (double)shape.rows * shape.cols * (k->op == RBE_GEMM ? vectors : 1)))
        return RBE_OK;
    return rbe_suite_product(p->suite, &c, d);
}

/* --- the sets ----------------------------------------------------------------------------- */

static bool is_best(const struct rbe_kernel *k, uint32_t isa)
{
    return k == rbe_kernel_best(k->op, k->format, isa);
}

/* Everything the lists name, against each other. */
static enum rbe_status asked_products(struct planner *p, size_t i, struct rbe_diag *d)
{
    const struct rbe_selection *s = p->sel;
    const struct rbe_kernel *k = rbe_kernel_at(i);
    const unsigned shapes = s->shapes_count ? s->shapes_count : GPT2_SHAPES;
    const unsigned blocks = s->blocks.count ? s->blocks.count : 1;
    const unsigned threads = s->threads.count ? s->threads.count : 1;
    const unsigned vectors = k->op == RBE_GEMM && s->vectors.count ? s->vectors.count : 1;
    enum rbe_status err = RBE_OK;
    uint32_t default_block, aux;

    rbe_plan_default(k->format, &default_block, &aux);
    for (unsigned a = 0; a < shapes; a++)
        for (unsigned b = 0; b < (default_block ? blocks : 1); b++)
            for (unsigned t = 0; t < threads; t++)
                for (unsigned v = 0; v < vectors; v++)
                    for (int hot = 0; hot < 2 && !err; hot++)
                        if (hot ? s->hot : s->cold || !s->hot)
                            err = product(p, i, s->shapes_count ? s->shapes[a] : gpt2_shapes[a],
                                          s->blocks.count ? s->blocks.v[b] : 0,
                                          s->threads.count ? s->threads.v[t] : 1,
                                          s->vectors.count ? s->vectors.v[v] : DEFAULT_VECTORS,
                                          !hot, d);
    return err;
}

/* GPT-2's shapes cold; one shape hot; the block sweep; the best kernels on more threads. */
static enum rbe_status default_products(struct planner *p, size_t i, struct rbe_diag *d)
{
    const struct rbe_kernel *k = rbe_kernel_at(i);
    const struct rbe_shape up = {3072, 768}, head = {50257, 768};
    enum rbe_status err = RBE_OK;

    if (k->op == RBE_GEMM)
        return product(p, i, up, 0, 1, DEFAULT_VECTORS, true, d);
    for (int a = 0; a < GPT2_SHAPES && !err; a++)
        if (!strips(k->format) || gpt2_shapes[a].rows != up.rows)
            err = product(p, i, gpt2_shapes[a], 0, 1, 1, true, d);
    /* That shape is in the sweep, with the usual block among the others. */
    for (size_t b = 0; strips(k->format) && b < sizeof sweep_blocks / 4 && !err; b++)
        err = product(p, i, up, sweep_blocks[b], 1, 1, true, d);
    if (!err)
        err = product(p, i, up, 0, 1, 1, false, d);
    for (unsigned t = 2; is_best(k, p->isa) && t <= p->max_threads && !err; t *= 2) {
        err = product(p, i, up, 0, t, 1, true, d);
        if (!err)
            err = product(p, i, head, 0, t, 1, true, d);
    }
    return err;
}

static enum rbe_status one_model(struct planner *p, size_t i, uint32_t block, unsigned threads,
                                 struct rbe_diag *d)
{
    const struct rbe_kernel *k = rbe_kernel_at(i);
    struct rbe_model_case c = {.kernel = k,
                               .size = "124M",
                               .layers = GPT2_LAYERS,
                               .width = GPT2_WIDTH,
                               .vocab = GPT2_VOCAB,
                               .threads = threads};

    rbe_plan_default(k->format, &c.block, &c.aux);
    if (block && c.block)
        c.block = block;
    if (!rbe_matrix_size(k->format, GPT2_WIDTH, GPT2_WIDTH, c.block, c.aux).codes)
        return RBE_OK;
    if (slow(p, i, 123.5e6))
        return RBE_OK;
    return rbe_suite_model(p->suite, &c, d);
}

/* Strips on every ISA, the other formats on their best one, on 1, 2, 4, ... threads. */
static enum rbe_status models(struct planner *p, size_t i, struct rbe_diag *d)
{
    const struct rbe_selection *s = p->sel;
    const struct rbe_kernel *k = rbe_kernel_at(i);
    const unsigned blocks = s->blocks.count && strips(k->format) ? s->blocks.count : 1;
    enum rbe_status err = RBE_OK;

    if (k->op != RBE_GEMV || (!strips(k->format) && !s->kernels_given && !is_best(k, p->isa)))
        return RBE_OK;
    for (unsigned b = 0; b < blocks && !err; b++) {
        const uint32_t block = s->blocks.count ? s->blocks.v[b] : 0;
        if (s->threads.count)
            for (unsigned t = 0; t < s->threads.count && !err; t++)
                err = one_model(p, i, block, s->threads.v[t], d);
        else
            for (unsigned t = 1; t <= p->max_threads && !err; t *= 2)
                err = one_model(p, i, block, t, d);
    }
    return err;
}

static const struct rbe_probe *widest_read(uint32_t isa)
{
    const struct rbe_probe *probe, *widest = NULL;

    for (size_t i = 0; (probe = rbe_probe_at(i)); i++)
        if (probe->kind == RBE_PROBE_READ && !(probe->isa & ~isa))
            widest = probe;
    return widest;
}

/* The read curve by the widest probe: all of its points up to 1 MiB, then each second. */
static enum rbe_status read_curve(struct planner *p, unsigned threads, struct rbe_diag *d)
{
    const struct rbe_roofs *roofs = rbe_suite_roofs(p->suite);
    const unsigned last = roofs->points - 1;
    enum rbe_status err = RBE_OK;

    for (unsigned i = 0; i < last && !err; i += i < 6 ? 1 : 2)
        err = rbe_suite_probe(p->suite, widest_read(p->isa), roofs->bytes[i], threads, d);
    return err ? err
               : rbe_suite_probe(p->suite, widest_read(p->isa), roofs->bytes[last], threads, d);
}

static enum rbe_status probes(struct planner *p, struct rbe_diag *d)
{
    const struct rbe_roofs *roofs = rbe_suite_roofs(p->suite);
    const struct rbe_probe *probe;
    enum rbe_status err = RBE_OK;

    for (unsigned t = 1; roofs && t <= p->max_threads && !err; t *= 2)
        err = read_curve(p, t, d);
    for (size_t i = 0; roofs && (probe = rbe_probe_at(i)) && !err; i++) {
        if (probe->isa & ~p->isa || probe == widest_read(p->isa))
            continue;
        for (unsigned t = 1; t <= p->max_threads && !err; t *= 2) {
            if (probe->kind == RBE_PROBE_READ)
                err = rbe_suite_probe(p->suite, probe, roofs->buffer_bytes, t, d);
            else
                err = rbe_suite_probe(p->suite, probe, 0, t, d);
        }
    }
    return err;
}

enum rbe_status rbe_plan(struct rbe_suite *suite, const struct rbe_selection *s, uint32_t isa,
                         unsigned *left_out, struct rbe_diag *d)
{
    struct planner p = {
        .suite = suite, .sel = s, .isa = isa, .max_threads = rbe_suite_max_threads(suite)};
    const bool asked = s->shapes_count || s->blocks.count || s->threads.count ||
                       s->vectors.count || s->cold || s->hot;
    bool prepared[RBE_FORMAT_COUNT] = {false};
    const struct rbe_kernel *k;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; (k = rbe_kernel_at(i)) && !err; i++) {
        if (!s->kernel[i])
            continue;
        if (s->product)
            err = asked ? asked_products(&p, i, d) : default_products(&p, i, d);
        if (s->model && !err)
            err = models(&p, i, d);
        if (s->prepare && !err && !prepared[k->format]) {
            prepared[k->format] = true;
            err = rbe_suite_prepare(suite, k->format, "124M", GPT2_LAYERS, GPT2_WIDTH, d);
        }
    }
    if (s->probe && !err)
        err = probes(&p, d);
    /* Prefill of 512 tokens by the widest matrix of a block. */
    for (unsigned t = 1; s->dense && t <= p.max_threads && !err; t *= 2)
        err = rbe_suite_dense(suite, 512, 3072, 768, t, d);
    *left_out = p.left_out;
    return err;
}
