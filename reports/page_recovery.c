/*
 * page_recovery.c - what training after encoding wins back.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/rows.h"

/* --- recovery ----------------------------------------------------------------------- */

/* Points of a latent stage are not those of an RBE model: a line of their own.  All in percent
 * of the original's perplexity, since trainings of several originals share the plot. */
static void recovery_points(const struct rbe_page *p, const struct rbe_row *row,
                            struct rbe_plot_data *data)
{
    const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
    const bool control = RBE_TRUE_AT(row->v, control);
    const double base = RBE_NUMBER_AT(row->v, base_perplexity);
    size_t k;
    json_t *t;

    json_array_foreach(RBE_VALUE_AT(row->v, points), k, t) {
        const bool latent = json_is_false(RBE_VALUE_AT(t, encoded)) && !control;
        const double y = 100 * (RBE_NUMBER_AT(t, perplexity) / base - 1);
        char name[64], what[80];
        if (isnan(y))
            continue;
        snprintf(what, sizeof what, "%.40s%s%s", m ? m->name : "?", control ? " f32 tuned" : "",
                 latent ? " not encoded yet" : "");
        rbe_plot_series(data, name, what);
        fprintf(data->tsv, "%s\t%.17g\t%.17g\n", name, RBE_NUMBER_AT(t, tokens) / 1e6, y);
        data->rows++;
    }
}

static bool is_of_judged(const struct rbe_page *p, const struct rbe_row *row)
{
    return rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == p->c->base;
}

/* Whether a training of the judged original is there: then the plot shows those alone. */
static bool has_judged(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    while ((row = rbe_next_of_all(p, RBE_KIND(recovery), &i)))
        if (is_of_judged(p, row))
            return true;
    return false;
}

enum rbe_status rbe_section_recovery(const struct rbe_page *p)
{
    const bool judged = has_judged(p);
    const struct rbe_row *row;
    struct rbe_plot_data data;
    enum rbe_status err;
    const json_t *stages = NULL;        /* of the training that has most */
    char vars[512];
    size_t i = 0;
    int used;

    rbe_document_heading(p->doc, 2, "Recovered by training");
    if (!rbe_page_has(p, RBE_KIND(recovery), NULL, "no training after encoding was run"))
        return RBE_OK;
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    data.missing = "no training gives its perplexity and the original's";
    fprintf(data.tsv, "# model\ttokens_millions\tperplexity_above_original_percent\n");
    while ((row = rbe_next_of_all(p, RBE_KIND(recovery), &i))) {
        if (judged && !is_of_judged(p, row))
            continue;
        recovery_points(p, row, &data);
        if (json_array_size(RBE_VALUE_AT(row->v, stages)) > json_array_size(stages))
            stages = RBE_VALUE_AT(row->v, stages);
    }
    used = snprintf(vars, sizeof vars, "stages='");
    for (i = 0; i < json_array_size(stages) && used < (int)sizeof vars - 64; i++) {
        const json_t *stage = json_array_get(stages, i);
        char word[24];
        snprintf(word, sizeof word, "%s", rbe_text_or(RBE_STRING_AT(stage, name), "?"));
        for (char *c = word; *c; c++)
            if (!isalnum((unsigned char)*c))
                *c = '-';
        used += snprintf(vars + used, sizeof vars - (size_t)used, "%s %.6f ", word,
                         fmax(0, RBE_NUMBER_AT(stage, end_tokens)) / 1e6);
    }
    snprintf(vars + used, sizeof vars - (size_t)used, "'; ");
    if ((err = rbe_plot_draw(p->plotter, &data, p->doc, "recovery", "recovery",
                             "Perplexity during recovery training", vars,
                             "Perplexity on validation text, in percent above the original's, "
                             "while the encoded model is trained to follow it; not the test "
                             "text of the criteria. "
                             "Dotted: where a stage of the training ends, with its name.",
                             p->d)))
        return err;
    if (judged)
        rbe_document_paragraph(p->doc, "Trainings of other originals are in the table alone.");
    rbe_document_table(p->doc, "model|profile|loss|>tokens|>perplexity before|>after|"
                       ">original, f32|>divergence before, nats|>after|>tokens/s|>time, s");
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(recovery), &i))) {
        const json_t *points = RBE_VALUE_AT(row->v, points);
        const size_t n = json_array_size(points);
        const json_t *first = json_array_get(points, 0);
        const json_t *last = json_array_get(points, n ? n - 1 : 0);
        rbe_row_begin(p, row);
        rbe_document_cell(p->doc, "%s%s%s",
                          rbe_text_or(RBE_STRING_AT(row->v, model, name), "?"),
                          RBE_TRUE_AT(row->v, control) ? " (control: f32)" : "",
                          rbe_row_recorded(p, row) ? " (recorded)" : "");
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(row->v, profile), "-"));
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(row->v, loss), "-"));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, tokens));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(first, perplexity));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(last, perplexity));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, base_perplexity));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(first, divergence));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(last, divergence));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, tokens_per_s));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, seconds));
    }
    return RBE_OK;
}
