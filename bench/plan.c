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

#include "base/nearest.h"
#include "kernels/cpu.h"
#include "kernels/isa.h"

/* GPT-2 small: the four matrices of a block, and the output layer. */
static const struct rbe_shape gpt2_shapes[] = {
    {2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {50257, 768}};
enum { GPT2_SHAPES = sizeof gpt2_shapes / sizeof gpt2_shapes[0] };

enum { GPT2_LAYERS = 12, GPT2_WIDTH = 768, GPT2_VOCAB = 50257, DEFAULT_VECTORS = 32 };

/* Rows of a searched column: those of a block of rows under feedback (rbe/encode_seed.c). */
enum { SEARCH_ROWS = 384 };

struct values {
    unsigned count;
    const uint32_t *v;
};

uint32_t rbe_plan_aux(enum rbe_format f, uint32_t block)
{
    uint32_t aux = 0;

    if (rbe_format_facts(f)->rate == RBE_RATE_K)
        while (aux < block * block &&
               rbe_matrix_size(f, block, block, block, aux + 1).codes * 11 <=
                   (size_t)block * block * 4)
            aux++;
    return aux;
}

/* --- lists -------------------------------------------------------------------------------- */

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

enum what { BY_NAME, BY_FORMAT, BY_ISA };

static const char *key(const struct rbe_kernel *k, enum what what)
{
    return what == BY_NAME     ? k->name
           : what == BY_FORMAT ? rbe_format_name(k->format)
                               : k->word;
}

/* All distinct keys of what runs here, for messages. */
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

/* Whether a name ends in an ISA that kernels are written for and a CPU may lack. */
static bool known_isa(const char *name)
{
    static const struct {
        const char *word;
        uint32_t bits;
    } all[] = {
#define RBE_KERNEL(op, format, isa) {#isa, RBE_BITS(isa)},
#include "kernels/kernels.def"
    };
    const char *last = strrchr(name, '_');

    last = last ? last + 1 : name;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].bits && !strcmp(last, all[i].word))
            return true;
    return false;
}

/* Keeps the kernels that an item of the list matches; an item that matches none is an error. */
static enum rbe_status keep(struct rbe_selection *sel, const char *text, const char *option,
                            enum what what, uint32_t isa, struct rbe_diag *d)
{
    bool wanted[RBE_PLAN_KERNELS] = {false};
    const struct rbe_kernel *k;
    const char *s = text;
    char item[64], valid[sizeof d->text];

    if (!text)
        return RBE_OK;
    sel->kernels_given = true;
    while (next_item(&s, item, sizeof item)) {
        bool found = false;
        for (size_t i = 0; (k = rbe_kernel_at(i)) && i < RBE_PLAN_KERNELS; i++)
            if (rbe_kernel_runs_on(k, isa) && !fnmatch(item, key(k, what), 0))
                wanted[i] = found = true;
        if (!found) {
            valid_keys(what, isa, valid, sizeof valid);
            return rbe_fail(d, RBE_ERR_ARG, "%s: %s '%s'%s; valid: %s", option,
                            what != BY_FORMAT && known_isa(item)
                                ? "this CPU cannot run, or $RBE_DISABLE_ISA masks,"
                                : "nothing here is called",
                            item, rbe_nearest_in(item, valid).text, valid);
        }
    }
    bool any = false;
    for (size_t i = 0; i < RBE_PLAN_KERNELS; i++)
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
            return rbe_fail(d, RBE_ERR_ARG, "%s: unknown '%s'%s; valid: %s", option, item,
                            rbe_nearest_in(item, valid).text, valid);
    }
    if (text && !*text)
        return rbe_fail(d, RBE_ERR_ARG, "%s: an empty list; valid: %s", option, valid);
    return RBE_OK;
}

/* "seed 16 to 4096, hybrid 16, 32, ... 256": of all formats with blocks. */
static void valid_blocks(char *buf, size_t size)
{
    char blocks[64];

    buf[0] = 0;
    for (int f = 0; f < RBE_FORMAT_COUNT; f++) {
        const size_t used = strlen(buf);
        if (rbe_format_facts((enum rbe_format)f)->max_block)
            snprintf(buf + used, size - used, "%s%s %s", used ? ", " : "",
                     rbe_format_name((enum rbe_format)f),
                     rbe_format_blocks(blocks, sizeof blocks, (enum rbe_format)f));
    }
}

/* Every block size is one that some selected kernel's format takes. */
static enum rbe_status check_blocks(const struct rbe_selection *sel, struct rbe_diag *d)
{
    const struct rbe_kernel *k;
    char valid[sizeof d->text];

    for (unsigned b = 0; b < sel->blocks.count; b++) {
        bool taken = false;
        for (size_t i = 0; (k = rbe_kernel_at(i)) && i < RBE_PLAN_KERNELS; i++)
            taken |= sel->kernel[i] &&
                     rbe_matrix_size(k->format, 4096, 4096, sel->blocks.v[b], 0).codes > 0;
        if (!taken) {
            valid_blocks(valid, sizeof valid);
            return rbe_fail(d, RBE_ERR_ARG, "--blocks: no selected kernel takes B = %u; valid: "
                            "%s", sel->blocks.v[b], valid);
        }
    }
    return RBE_OK;
}

enum rbe_status rbe_selection_parse(struct rbe_selection *sel,
                                    const struct rbe_selection_texts *t, uint32_t isa,
                                    unsigned max_threads, struct rbe_diag *d)
{
    static const char *const kinds[] = {"product", "model", "prepare",
                                         "probe",   "dense", "search",
                                         "attention"};
    static const char *const caches[] = {"cold", "hot"};
    bool *const kind_flags[] = {&sel->product, &sel->model, &sel->prepare, &sel->probe,
                                &sel->dense,   &sel->search, &sel->attention};
    bool *const cache_flags[] = {&sel->cold, &sel->hot};
    const struct rbe_kernel *k;
    enum rbe_status err;

    *sel = (struct rbe_selection){.slowest = sel->slowest, .full = sel->full};
    for (size_t i = 0; (k = rbe_kernel_at(i)) && i < RBE_PLAN_KERNELS; i++)
        sel->kernel[i] = rbe_kernel_runs_on(k, isa);
    if ((err = keep(sel, t->kernels, "--kernels", BY_NAME, isa, d)) ||
        (err = keep(sel, t->formats, "--formats", BY_FORMAT, isa, d)) ||
        (err = keep(sel, t->isa, "--isa", BY_ISA, isa, d)) ||
        (err = parse_shapes(sel, t->shapes, d)) ||
        (err = parse_numbers(&sel->blocks, t->blocks, "--blocks", 4, 4096, d)) ||
        (err = parse_numbers(&sel->threads, t->threads, "--threads", 1, max_threads, d)) ||
        (err = parse_numbers(&sel->vectors, t->vectors, "--vectors", 1, 4096, d)) ||
        (err = parse_words(t->cache, "--cache", 2, caches, cache_flags, d)) ||
        (err = parse_words(t->kinds, "--kinds", 7, kinds, kind_flags, d)))
        return err;
    if (t->blocks && (err = check_blocks(sel, d)))
        return err;
    if (!t->kinds)
        sel->product = sel->model = sel->prepare = sel->probe = sel->dense = sel->search =
            sel->attention = true;
    return RBE_OK;
}

/* --- what one product costs --------------------------------------------------------------- */

struct planner {
    struct rbe_suite *suite;
    const struct rbe_selection *sel;
    uint32_t isa;
    double slowest;                /* seconds; 0: no limit */
    double cost[RBE_PLAN_KERNELS]; /* seconds per weight and vector, at the default block */
    unsigned left_out;
};

static bool slow(struct planner *p, size_t i, double weights)
{
    if (p->slowest <= 0)
        return false;
    if (p->cost[i] <= 0)
        p->cost[i] = rbe_suite_cost(p->suite, rbe_kernel_at(i));
    const bool is = p->cost[i] * weights > p->slowest;
    p->left_out += is;
    return is;
}

/* --- which values each axis takes --------------------------------------------------------- */

/* Without a list: all of the format's sweep, with --full or where the default set has it; else
 * the usual one. */
static struct values blocks_of(const struct planner *p, const struct rbe_kernel *k, bool sweep,
                               uint32_t *room)
{
    const struct rbe_format_facts *facts = rbe_format_facts(k->format);
    struct values all = {0, facts->sweep};

    *room = facts->usual_block;
    if (*room && p->sel->blocks.count)
        return (struct values){p->sel->blocks.count, p->sel->blocks.v};
    while (all.count < sizeof facts->sweep / sizeof *facts->sweep && all.v[all.count])
        all.count++;
    if (all.count && (p->sel->full || (sweep && facts->all_blocks)))
        return all;
    return (struct values){1, room};
}

static bool is_best(const struct rbe_kernel *k, uint32_t isa)
{
    const unsigned bits = rbe_format_act_bits(k->format);

    return k == rbe_kernel_best_for(k->op, k->format, isa, bits, true);
}

static bool wants_threads(const struct planner *p, unsigned t)
{
    const struct rbe_list *l = &p->sel->threads;
    bool listed = !l->count;

    for (unsigned i = 0; i < l->count; i++)
        listed |= l->v[i] == t;
    return listed && rbe_suite_has_threads(p->suite, t);
}

bool rbe_plan_uses(const struct rbe_selection *s, unsigned cpus, unsigned t)
{
    if (t > cpus)
        return false;
    for (unsigned i = 0; i < s->threads.count; i++)
        if (s->threads.v[i] == t)
            return true;
    return t == 1 || (!s->threads.count && ((t & (t - 1)) == 0 || t == cpus));
}

/*
 * Whether a row is in the set, by the axes that were not asked for: GPT-2's shapes cold at the
 * usual block on one thread; the block sweep and hot weights on one shape; the best kernels
 * on more threads.  What was asked for holds, each with the defaults of the others.
 */
static bool in_set(const struct planner *p, const struct rbe_product_case *c, bool up,
                   bool head, bool usual)
{
    const struct rbe_selection *s = p->sel;
    const bool asked = s->shapes_count || s->blocks.count || s->threads.count ||
                       s->vectors.count || s->cold || s->hot;
    const bool gemm = rbe_kernel_vectors(c->kernel) > 1;

    if (s->full)
        return true;
    if (gemm && !s->shapes_count && !up)
        return false;
    if (!s->blocks.count && !usual && (s->shapes_count || !up || gemm))
        return false;
    if (!c->cold && !s->hot && (asked || gemm || !up || !usual || c->threads > 1))
        return false;
    return s->threads.count || c->threads == 1 ||
           (!asked && !gemm && c->cold && usual && (up || head) && is_best(c->kernel, p->isa));
}

static enum rbe_status product(struct planner *p, size_t i, const struct rbe_product_case *c,
                               struct rbe_diag *d)
{
    /* Not every block size is one of every format: a sweep goes on without it. */
    if (!rbe_matrix_size(c->kernel->format, c->rows, c->cols, c->block, c->aux).codes ||
        slow(p, i, (double)c->rows * c->cols * c->count))
        return RBE_OK;
    return rbe_suite_product(p->suite, c, d);
}

/* One kernel, shape and block on every number of threads, cold and hot, of so many vectors. */
static enum rbe_status threads_and_caches(struct planner *p, size_t i,
                                          struct rbe_product_case *c, struct rbe_diag *d)
{
    const struct rbe_selection *s = p->sel;
    const bool up = c->rows == 3072 && c->cols == 768, head = c->rows == GPT2_VOCAB;
    const bool usual = c->block == rbe_format_facts(c->kernel->format)->usual_block;
    static const uint32_t usual_counts[RBE_OP_COUNT][3] = {
        [RBE_GEMV] = {1}, [RBE_GEMM] = {DEFAULT_VECTORS}, [RBE_FEW] = {2, 4, 8}};
    const size_t most = rbe_kernel_vectors(c->kernel);
    const struct values counts = most > 1 && s->vectors.count
                                     ? (struct values){s->vectors.count, s->vectors.v}
                                     : (struct values){c->kernel->op == RBE_FEW ? 3 : 1,
                                                       usual_counts[c->kernel->op]};
    enum rbe_status err = RBE_OK;

    for (unsigned t = 1; t <= RBE_MAX_CPUS; t++)
        for (unsigned v = 0; wants_threads(p, t) && v < counts.count; v++)
            for (int hot = 0; hot < 2 && !err; hot++) {
                const bool listed = hot ? s->hot : s->cold;
                c->threads = t;
                c->count = counts.v[v];
                c->cold = !hot;
                if ((listed || (!s->cold && !s->hot)) && c->count <= most &&
                    in_set(p, c, up, head, usual))
                    err = product(p, i, c, d);
            }
    return err;
}

static enum rbe_status products(struct planner *p, size_t i, struct rbe_diag *d)
{
    const struct rbe_selection *s = p->sel;
    struct rbe_product_case c = {.kernel = rbe_kernel_at(i)};
    enum rbe_status err = RBE_OK;
    uint32_t room;
    const struct values blocks = blocks_of(p, c.kernel, true, &room);

    for (unsigned a = 0; a < (s->shapes_count ? s->shapes_count : GPT2_SHAPES); a++)
        for (unsigned b = 0; b < blocks.count && !err; b++) {
            const struct rbe_shape shape = s->shapes_count ? s->shapes[a] : gpt2_shapes[a];
            c.rows = shape.rows;
            c.cols = shape.cols;
            c.block = blocks.v[b];
            c.aux = rbe_plan_aux(c.kernel->format, c.block);
            err = threads_and_caches(p, i, &c, d);
        }
    return err;
}

/* --- the other kinds ---------------------------------------------------------------------- */

/* Formats with all blocks on every ISA, the others on their best one, unless asked for. */
static enum rbe_status models(struct planner *p, size_t i, struct rbe_diag *d)
{
    const struct rbe_selection *s = p->sel;
    const struct rbe_kernel *k = rbe_kernel_at(i);
    struct rbe_model_case c = {.kernel = k,
                               .size = "124M",
                               .layers = GPT2_LAYERS,
                               .width = GPT2_WIDTH,
                               .vocab = GPT2_VOCAB};
    enum rbe_status err = RBE_OK;
    uint32_t room;
    const struct values blocks = blocks_of(p, k, false, &room);

    if (k->op != RBE_GEMV || (!rbe_format_facts(k->format)->all_blocks && !s->kernels_given &&
                              !s->full && !is_best(k, p->isa)))
        return RBE_OK;
    for (unsigned b = 0; b < blocks.count; b++) {
        c.block = blocks.v[b];
        c.aux = rbe_plan_aux(k->format, c.block);
        if (!rbe_matrix_size(k->format, GPT2_WIDTH, GPT2_WIDTH, c.block, c.aux).codes)
            continue;
        for (unsigned t = 1; t <= RBE_MAX_CPUS && !err; t++) {
            c.threads = t;
            if (wants_threads(p, t) && !slow(p, i, 123.5e6))
                err = rbe_suite_model(p->suite, &c, d);
        }
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

/* On every team: roofs belong to each number of threads. */
static enum rbe_status probes(struct planner *p, struct rbe_diag *d)
{
    const struct rbe_roofs *roofs = rbe_suite_roofs(p->suite);
    const struct rbe_probe *probe;
    enum rbe_status err = RBE_OK;

    for (unsigned t = 1; roofs && t <= RBE_MAX_CPUS && !err; t++) {
        if (!rbe_suite_has_threads(p->suite, t))
            continue;
        err = read_curve(p, t, d);
        for (size_t i = 0; (probe = rbe_probe_at(i)) && !err; i++)
            if (!(probe->isa & ~p->isa) && probe != widest_read(p->isa))
                err = rbe_suite_probe(
                    p->suite, probe,
                    probe->kind == RBE_PROBE_READ ? roofs->bytes[roofs->points - 1] : 0, t, d);
    }
    return err;
}

/* The codec whose search is measured. */
static const enum rbe_format searched = RBE_SEED;

/* Does a kernel of this ISA stand in the selection?  Steps of the search and attention follow
 * it. */
static bool takes_isa(const struct rbe_selection *s, const char *isa)
{
    const struct rbe_kernel *k;

    for (size_t i = 0; (k = rbe_kernel_at(i)) && i < RBE_PLAN_KERNELS; i++)
        if (s->kernel[i] && k->format == searched &&
            (!strcmp(k->word, isa) || (!k->isa && !strcmp(isa, "any"))))
            return true;
    return false;
}

/* Default and small efforts at the rates that profiles use, or at the blocks asked for. */
static enum rbe_status searches(const struct planner *p, struct rbe_diag *d)
{
    static const unsigned bits[] = {11, 14, 16}, blocks[] = {32, 44, 64};
    const struct rbe_list *asked = &p->sel->blocks;
    const struct rbe_trellis *ops;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; (ops = rbe_trellis_at(i)) && !err; i++) {
        if (ops->isa & ~p->isa || !takes_isa(p->sel, ops->name))
            continue;
        for (unsigned l = 0; l < 3; l++)
            for (unsigned b = 0; b < (asked->count ? asked->count : 3) && !err; b++) {
                const struct rbe_search_case c = {
                    .ops = ops,
                    .format = searched,
                    .bits = bits[l],
                    .block = asked->count ? asked->v[b] : blocks[b],
                    .rows = SEARCH_ROWS,
                };
                if (rbe_format_takes_block(searched, c.block))
                    err = rbe_suite_search(p->suite, &c, d);
            }
    }
    return err;
}

/* Every version and kind of cache, at the end of GPT-2's context. */
static enum rbe_status attentions(const struct planner *p, struct rbe_diag *d)
{
    const struct rbe_attention *version;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; (version = rbe_attention_at(i)) && !err; i++)
        for (unsigned t = 1; t <= RBE_MAX_CPUS && !err; t++)
            for (int type = 0; type < RBE_KV_TYPES && !err; type++) {
                const struct rbe_attention_case c = {
                    .version = version,
                    .type = (enum rbe_kv_type)type,
                    .size = "124M",
                    .layers = GPT2_LAYERS,
                    .heads = GPT2_WIDTH / 64,
                    .dim = 64,
                    .positions = 1024,
                    .threads = t,
                };
                if (!(version->isa & ~p->isa) && takes_isa(p->sel, version->name) &&
                    wants_threads(p, t))
                    err = rbe_suite_attention(p->suite, &c, d);
            }
    return err;
}

enum rbe_status rbe_plan(struct rbe_suite *suite, const struct rbe_selection *s, uint32_t isa,
                         unsigned *left_out, struct rbe_diag *d)
{
    const bool asked = s->full || s->kernels_given || s->shapes_count || s->blocks.count;
    struct planner p = {.suite = suite,
                        .sel = s,
                        .isa = isa,
                        .slowest = s->slowest >= 0 ? s->slowest : asked ? 0
                                                                    : RBE_BENCH_SLOWEST};
    bool prepared[RBE_FORMAT_COUNT] = {false};
    const struct rbe_kernel *k;
    enum rbe_status err = RBE_OK;

    for (size_t i = 0; (k = rbe_kernel_at(i)) && i < RBE_PLAN_KERNELS && !err; i++) {
        if (!s->kernel[i])
            continue;
        if (s->product)
            err = products(&p, i, d);
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
    for (unsigned t = 1; s->dense && t <= RBE_MAX_CPUS && !err; t++)
        if (wants_threads(&p, t))
            err = rbe_suite_dense(suite, 512, 3072, 768, t, d);
    if (s->search && !err)
        err = searches(&p, d);
    if (s->attention && !err)
        err = attentions(&p, d);
    *left_out = p.left_out;
    return err;
}
