/*
 * case_prepare.c - making a token's vectors ready for a model's products.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/parts.h"
#include "bench/work.h"
#include "kernels/cpu.h"
#include "kernels/transform.h"

static void one_prepare(struct rbe_case *c)
{
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;

    for (unsigned i = 0; i < p->parts_count; i++)
        for (unsigned k = 0; k < p->parts[i].times; k++)
            rbe_act_prepare(&p->parts[i].act, &p->parts[i].w, p->parts[i].x,
                            p->parts[i].w.cols, p->count);
}

static const struct rbe_case_kind kind = {
    .name = "prepare", .size = sizeof(struct rbe_parts_case), .make = rbe_parts_make,
    .iterate = one_prepare, .close = rbe_parts_close};

enum rbe_status rbe_suite_prepare(struct rbe_suite *s, enum rbe_format f, const char *size,
                                  uint32_t layers, uint32_t width, struct rbe_diag *d)
{
    const uint32_t block = rbe_format_facts(f)->usual_block;
    const struct rbe_parts_shape shapes[] = {{64, width, block, 0, 3 * layers + 1},
                                             {64, 4 * width, block, 0, layers}};
    const struct rbe_transform *t = rbe_transform_best(rbe_cpu_isa());
    struct rbe_case *c;
    enum rbe_status err = rbe_case_new(&c, s, &kind, 1, d);
    struct rbe_parts_case *p = (struct rbe_parts_case *)c;

    if (err)
        return err;
    p->format = f;
    p->count = 1;
    if ((err = rbe_parts_add(p, shapes, sizeof shapes / sizeof shapes[0], d))) {
        rbe_case_free(c);
        return err;
    }
    /* What is read: values and their scales, the same ones over and over.  A value is
     * multiplied by its column's scale, where there is one, and once to be quantised. */
    c->bytes = c->weights = 0;
    for (unsigned i = 0; i < p->parts_count; i++) {
        const struct rbe_part *x = &p->parts[i];
        const double values = (double)x->w.cols * x->times;
        c->working_set += x->w.cols * sizeof(float) + x->size.col_scale;
        c->bytes += values * sizeof(float) + (double)x->size.col_scale * x->times;
        c->multiply_adds +=
            values * ((x->size.col_scale > 0) + (rbe_format_facts(f)->gmax > 0));
    }
    c->arithmetic = RBE_PROBE_FMA_F32;
    c->isa = t->isa;
    rbe_case_name(c, "prepare_%s/%s/t:1", rbe_format_name(f), size);
    rbe_case_label(c, "prepare", rbe_format_name(f), t->name, -1);
    return rbe_case_register(c, d);
}
