/*
 * page_quality.c - predictions, generated texts and comprehension against the original.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <string.h>

#include "base/rows.h"

/* --- divergence, comprehension, generation -------------------------------------------- */

enum rbe_status rbe_section_divergence(const struct rbe_page *p)
{
    static const char *const fields[] = {RBE_KEY(kl, p50), RBE_KEY(kl, mean), RBE_KEY(kl, p90),
                                         RBE_KEY(kl, p99), RBE_KEY(kl, p999)};
    const struct rbe_row *row;
    struct rbe_plot_data data;
    size_t i = 0;
    enum rbe_status err;

    rbe_document_heading(p->doc, 2, "Token by token against the original");
    if (!rbe_page_has(p, RBE_KIND(divergence), "divergence",
                      "no run has compared the predictions"))
        return RBE_OK;
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    data.missing = "every divergence is 0";
    fprintf(data.tsv, "# model\tindex (p50 mean p90 p99 p999)\tkl_nats\n");
    while ((row = rbe_next_of_all(p, RBE_KIND(divergence), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        char name[64], what[80];
        snprintf(what, sizeof what, "%.40s%s", m ? rbe_text_or(m->name, "?") : "?",
                 rbe_row_recorded(p, row) ? " (recorded)" : "");
        rbe_plot_series(&data, name, what);
        for (int k = 0; k < 5; k++) {
            const double x = rbe_number_at(row->v, fields[k]);
            if (x > 0) {
                fprintf(data.tsv, "%s\t%d\t%.17g\n", name, k, x);
                data.rows++;
            }
        }
        fputc('\n', data.tsv);
    }
    if ((err = rbe_plot_draw(p->plotter, &data, p->doc, "divergence", "divergence",
                             "Divergence of the predictions", "",
                             "Kullback-Leibler divergence of each model's next-token "
                             "distribution from the original's (0: the same).", p->d)))
        return err;
    rbe_document_table(p->doc, "model|text|>tokens|>KL mean, nats|>s.e.|>median|>90 %|>99 %|"
                       ">99.9 %|>same first choice|>s.e.|>of five choices the same|>s.e.|"
                       ">same token drawn|>s.e.|"
                       ">change of the true token's p|>s.e.");
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(divergence), &i))) {
        rbe_row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(row->v, text, name), "-"));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, tokens));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(row->v, kl, mean));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(row->v, kl, mean_se));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(row->v, kl, p50));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, kl, p90));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, kl, p99));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, kl, p999));
        rbe_number_cell(p->doc, "%.2f %%", 100 * RBE_NUMBER_AT(row->v, top1, agreement));
        rbe_number_cell(p->doc, "%.2f", 100 * RBE_NUMBER_AT(row->v, top1, agreement_se));
        rbe_number_cell(p->doc, "%.2f %%", 100 * RBE_NUMBER_AT(row->v, top5, agreement));
        rbe_number_cell(p->doc, "%.2f", 100 * RBE_NUMBER_AT(row->v, top5, agreement_se));
        rbe_number_cell(p->doc, "%.2f %%", 100 * RBE_NUMBER_AT(row->v, acceptance, rate));
        rbe_number_cell(p->doc, "%.2f", 100 * RBE_NUMBER_AT(row->v, acceptance, rate_se));
        rbe_number_cell(p->doc, "%+.5f", RBE_NUMBER_AT(row->v, true_token, mean));
        rbe_number_cell(p->doc, "%.5f", RBE_NUMBER_AT(row->v, true_token, mean_se));
    }
    return RBE_OK;
}

/* The paired change of a metric and its error.  That of LAMBADA's perplexity, exp(-mean log p),
 * follows from the change of log p, in percent. */
static void change_cells(const struct rbe_page *p, const json_t *paired, const char *metric)
{
    const json_t *pair = json_object_get(paired, metric);
    const double log_p = RBE_NUMBER_AT(paired, log_p, change);

    if (!pair && !strcmp(metric, "perplexity") && !isnan(log_p)) {
        const double ratio = exp(-log_p);
        rbe_number_cell(p->doc, "%+.3g %%", 100 * (ratio - 1));
        rbe_number_cell(p->doc, "%.2g %%",
                        100 * ratio * RBE_NUMBER_AT(paired, log_p, change_se));
        return;
    }
    rbe_number_cell(p->doc, "%+.3g", RBE_NUMBER_AT(pair, change));
    rbe_number_cell(p->doc, "%.3g", RBE_NUMBER_AT(pair, change_se));
}

/* How many, and of the whole file those that were not scored, or not with all they have. */
static void items_cell(const struct rbe_page *p, const struct rbe_row *row)
{
    const double refused = RBE_NUMBER_AT(row->v, items_refused);
    const double cut = RBE_NUMBER_AT(row->v, items_cut);
    char odd[64] = "";
    int used = 0;

    if (refused > 0)
        used = snprintf(odd, sizeof odd, "; %.0f refused", refused);
    if (cut > 0)
        snprintf(odd + used, sizeof odd - (size_t)used, "; %.0f with a cut context", cut);
    rbe_document_cell(p->doc, "%.0f%s%s", RBE_NUMBER_AT(row->v, items),
                      RBE_TRUE_AT(row->v, complete) ? "" : " (part)", odd);
}

/* Accuracy by group of a task's items, folded. */
static void group_table(const struct rbe_page *p, const struct rbe_row *row, const char *what,
                        json_t *groups)
{
    const char *name;
    json_t *value;

    if (!json_object_size(groups))
        return;
    rbe_document_fold(p->doc, "%s by %s, %s", RBE_STRING_AT(row->v, task), what,
                      rbe_text_or(RBE_STRING_AT(row->v, model, name), "?"));
    rbe_document_table(p->doc, "name|>items|>accuracy|>standard error|>change|"
                       ">standard error of the change");
    json_object_foreach(groups, name, value) {
        rbe_document_cell(p->doc, "%.60s", name);
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(value, items));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(value, acc));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(value, acc_se));
        rbe_number_cell(p->doc, "%+.3f", RBE_NUMBER_AT(value, change));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(value, change_se));
    }
    rbe_document_unfold(p->doc);
}

void rbe_section_comprehension(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_heading(p->doc, 2, "Comprehension");
    if (!rbe_page_has(p, RBE_KIND(comprehension), "comprehension",
                      "no comprehension task was run"))
        return;
    rbe_document_table(p->doc, "model|task|>items|measure|>value|>s.e.|>change|>s.e. of it");
    while ((row = rbe_next_of_all(p, RBE_KIND(comprehension), &i))) {
        const char *metric;
        json_t *value;
        json_object_foreach(RBE_VALUE_AT(row->v, metrics), metric, value) {
            rbe_row_model_cell(p, row);
            rbe_document_cell(p->doc, "%s", RBE_STRING_AT(row->v, task));
            items_cell(p, row);
            rbe_document_cell(p->doc, "%s", metric);
            rbe_number_cell(p->doc, "%.4g", RBE_NUMBER_AT(value, value));
            rbe_number_cell(p->doc, "%.4g", RBE_NUMBER_AT(value, se));
            change_cells(p, RBE_VALUE_AT(row->v, paired), metric);
        }
    }
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(comprehension), &i))) {
        group_table(p, row, "group", RBE_VALUE_AT(row->v, groups));
        group_table(p, row, "paradigm", RBE_VALUE_AT(row->v, paradigms));
    }
}

void rbe_section_generation(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0, k;
    json_t *t;

    rbe_document_heading(p->doc, 2, "Generated text");
    if (!rbe_page_has(p, RBE_KIND(generation), "generation",
                      "no run has compared generated texts"))
        return;
    static const struct {
        const char *key, *what, *format;
        double scale;
    } kept[] = {{RBE_KEY(relevance), "relevance, %", "%.1f", 100},
                {RBE_KEY(coherence), "gain by the prompt, nats a token", "%.3f", 1},
                {RBE_KEY(fluency), "fluency: the worst of the next three", NULL, 0},
                {RBE_KEY(text_perplexity), "perplexity", "%.2f", 1},
                {RBE_KEY(rep4), "rep-4", "%.3f", 1},
                {RBE_KEY(distinct2), "distinct-2", "%.3f", 1},
                {RBE_KEY(distinct1), "distinct-1", "%.3f", 1}};
    rbe_document_table(p->doc, "model|>prompts|measure|>original|>model's|>retained (95 %)");
    while ((row = rbe_next_of_all(p, RBE_KIND(generation), &i)))
        for (k = 0; k < sizeof kept / sizeof *kept; k++) {
            const json_t *m = rbe_value_at(row->v, kept[k].key);
            const char *format = kept[k].format;
            rbe_row_model_cell(p, row);
            rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, prompts));
            rbe_document_cell(p->doc, "%s", kept[k].what);
            rbe_number_cell(p->doc, format ? format : "%.3f",
                            format ? kept[k].scale * RBE_NUMBER_AT(m, original) : NAN);
            rbe_number_cell(p->doc, format ? format : "%.3f",
                            format ? kept[k].scale * RBE_NUMBER_AT(m, model) : NAN);
            rbe_share_cell(p->doc, RBE_NUMBER_AT(m, retained),
                           RBE_INTERVAL_AT(m, retained_ci95));
        }
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(generation), &i))) {
        if (!json_array_size(RBE_VALUE_AT(row->v, samples)))
            continue;
        rbe_document_fold(p->doc,
                          "Samples: answers of the original and of %s to the same "
                          "prompts",
                          rbe_text_or(RBE_STRING_AT(row->v, model, name), "the model"));
        rbe_document_table(p->doc, "prompt|original|model");
        json_array_foreach(RBE_VALUE_AT(row->v, samples), k, t) {
            if (k >= 8)
                break;
            rbe_document_cell(p->doc, "%.400s", rbe_text_or(RBE_STRING_AT(t, prompt), ""));
            rbe_document_cell(p->doc, "%.1200s", rbe_text_or(RBE_STRING_AT(t, original), ""));
            rbe_document_cell(p->doc, "%.1200s", rbe_text_or(RBE_STRING_AT(t, model), ""));
        }
        rbe_document_unfold(p->doc);
    }
}
