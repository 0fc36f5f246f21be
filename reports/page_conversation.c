/*
 * page_conversation.c - turn by turn.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <stdlib.h>
#include <string.h>

#include "base/rows.h"

/* --- conversation ----------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Up to 400 points of the distribution of token times of one conversation. */
static enum rbe_status cdf_rows(struct rbe_plot_data *data, const char *series,
                                const json_t *turns)
{
    size_t n = 0, room = 0, i, k;
    json_t *turn, *t;
    double *all;

    json_array_foreach(turns, i, turn)
        room += json_array_size(RBE_VALUE_AT(turn, token_ms));
    if (!room)
        return RBE_OK;
    if (!(all = malloc(room * sizeof *all)))
        return RBE_ERR_NOMEM;
    json_array_foreach(turns, i, turn)
        json_array_foreach(RBE_VALUE_AT(turn, token_ms), k, t)
            if (json_is_number(t) && json_number_value(t) > 0)
                all[n++] = json_number_value(t);
    qsort(all, n, sizeof *all, by_value);
    const size_t points = n < 400 ? n : 400;
    for (i = 0; i < points; i++) {
        const size_t at = points > 1 ? i * (n - 1) / (points - 1) : 0;
        fprintf(data->tsv, "%s\t%.17g\t%.17g\n", series, all[at],
                (double)(at + 1) / (double)n);
        data->rows++;
    }
    free(all);
    return RBE_OK;
}

static enum rbe_status conversation_plots(const struct rbe_page *p)
{
    struct rbe_plot_data turns, context, cdf;
    const struct rbe_row *row;
    enum rbe_status err = RBE_OK;
    size_t i = 0, k;
    json_t *t;

    const bool ok = rbe_plot_begin(&turns) && rbe_plot_begin(&context) && rbe_plot_begin(&cdf);
    if (!ok)
        return RBE_ERR_NOMEM;
    turns.missing = "no conversation of this run gives its times";
    context.missing = cdf.missing = turns.missing;
    fprintf(turns.tsv, "# model\tturn\tfirst_token_ms\tp95_ms\n");
    fprintf(context.tsv, "# model\tcontext_tokens\tp50_ms\n");
    fprintf(cdf.tsv, "# model\tms\tshare\n");
    while (!err && (row = rbe_next(p, RBE_KIND(conversation), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        char name[64];
        rbe_plot_series(&turns, name, m ? m->name : "?");
        rbe_plot_series(&context, name, m ? m->name : "?");
        rbe_plot_series(&cdf, name, m ? m->name : "?");
        json_array_foreach(RBE_VALUE_AT(row->v, turns), k, t) {
            fprintf(turns.tsv, "%s\t%zu\t%.17g\t%.17g\n", name, k + 1,
                    RBE_NUMBER_AT(t, first_token_ms), RBE_NUMBER_AT(t, p95_ms));
            fprintf(context.tsv, "%s\t%.17g\t%.17g\n", name, RBE_NUMBER_AT(t, context_tokens),
                    RBE_NUMBER_AT(t, p50_ms));
            turns.rows++;
            context.rows++;
        }
        err = cdf_rows(&cdf, name, RBE_VALUE_AT(row->v, turns));
    }
    const enum rbe_status a = rbe_plot_draw(p->plotter, &turns, p->doc, "turns", "turns",
        "Latency by turn", "", "Time to the first token of each answer, and the 95th "
        "percentile of the time between its tokens.", p->d);
    const enum rbe_status b = rbe_plot_draw(p->plotter, &context, p->doc, "context", "context",
        "Time for a token by length of the context", "", "Median time between tokens of each "
        "turn against the tokens in the context at its end.", p->d);
    const enum rbe_status c = rbe_plot_draw(p->plotter, &cdf, p->doc, "cdf", "cdf",
        "Distribution of the time for a token", "", "Share of all tokens of the conversation "
        "that took at most a given time.", p->d);
    return err ? err : a ? a : b ? b : c;
}

static void turns_table(const struct rbe_page *p, const struct rbe_row *row)
{
    size_t k;
    json_t *t;

    rbe_document_fold(p->doc, "Every turn of %s",
                      rbe_text_or(RBE_STRING_AT(row->v, model, name), "the model"));
    rbe_document_table(p->doc, ">turn|question|>tokens|>context|>turns dropped|"
                       ">first token, ms|>p50, ms|>p95, ms|>p99, ms|>model file|"
                       ">resident|>CPUs used|"
                       ">coherence|>perplexity by the scorer");
    json_array_foreach(RBE_VALUE_AT(row->v, turns), k, t) {
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, turn));
        rbe_document_cell(p->doc, "%.120s", rbe_text_or(RBE_STRING_AT(t, prompt), ""));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, tokens));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, context_tokens));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, dropped_turns));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, first_token_ms));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, p50_ms));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, p95_ms));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, p99_ms));
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(t, model_bytes));
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(t, resident_bytes));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, cpu_utilisation));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, coherence));
        rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(t, quality));
    }
    rbe_document_unfold(p->doc);
}

/* What was run ahead of its choice, if anything. */
static void guesses(const struct rbe_page *p, const struct rbe_row *row)
{
    const double guessed = RBE_NUMBER_AT(row->v, summary, guessed);
    const double right = RBE_NUMBER_AT(row->v, summary, guessed_right);

    if (guessed > 0)
        rbe_document_paragraph(p->doc, "%s: %.0f tokens were run before they were chosen, %.0f "
                               "%% of them rightly; with them it makes %.2f tokens in the "
                               "time of one that is run alone.",
                               rbe_text_or(RBE_STRING_AT(row->v, model, name), "the model"),
                               guessed, 100 * right / guessed,
                               RBE_NUMBER_AT(row->v, summary, lookup_gain));
}

enum rbe_status rbe_section_conversation(const struct rbe_page *p)
{
    const struct rbe_row *row;
    enum rbe_status err;
    size_t i = 0;

    rbe_document_heading(p->doc, 2, "Conversation");
    if (!rbe_page_has(p, RBE_KIND(conversation), "conversation",
                      "no conversation was measured"))
        return RBE_OK;
    if ((err = conversation_plots(p)))
        return err;
    rbe_document_table(p->doc, "model|>turns|>turns within limits|>tokens|"
                       ">worst first token, ms|>worst p95, ms|>p50, ms|>p99, ms|"
                       ">load, s|>100 tokens, s|>coherence|>perplexity by the scorer");
    while ((row = rbe_next_of_all(p, RBE_KIND(conversation), &i))) {
        rbe_row_model_cell(p, row);
        rbe_document_cell(p->doc, "%zu", json_array_size(RBE_VALUE_AT(row->v, turns)));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, summary, turns_within));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, summary, tokens));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, summary, first_token_ms_max));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, summary, p95_ms_max));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, summary, p50_ms));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, summary, p99_ms));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, load_s));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, summary, hundred_tokens_s));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(row->v, summary, coherence));
        rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(row->v, summary, quality));
    }
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(conversation), &i))) {
        guesses(p, row);
        turns_table(p, row);
    }
    return RBE_OK;
}
