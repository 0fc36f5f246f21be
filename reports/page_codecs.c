/*
 * page_codecs.c - where the bits go: every matrix, every conversion, every codec.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <string.h>

#include "base/rows.h"

/* --- allocation --------------------------------------------------------------------- */

/* "768 x 3072" */
static void shape_text(char out[64], const json_t *shape)
{
    out[0] = 0;
    for (size_t k = 0; k < json_array_size(shape) && k < 4; k++)
        snprintf(out + strlen(out), 64 - strlen(out), "%s%lld", k ? " x " : "",
                 (long long)json_integer_value(json_array_get(shape, k)));
}

/* A tensor's layer, and its word in this field: class or part; false for what has no word, or
 * lies in no layer. */
static bool in_layer(const json_t *tensor, int *layer, const char *field, const char **word)
{
    const double number = RBE_NUMBER_AT(tensor, layer);

    *word = rbe_string_at(tensor, field);
    *layer = number >= 0 && number < 1e6 ? (int)number : -1;
    return *word && *layer >= 0;
}

/* The words that layers have in it, in the order of the tensors; returns how many. */
enum { WORDS_MAX = 16 };
static size_t words_of(const char *out[WORDS_MAX], const json_t *tensors, const char *field)
{
    const char *word;
    size_t i, k, n = 0;
    json_t *t;
    int layer;

    json_array_foreach(tensors, i, t) {
        if (!in_layer(t, &layer, field, &word) || n == WORDS_MAX)
            continue;
        for (k = 0; k < n && strcmp(out[k], word) != 0; k++)
            ;
        n += k == n;
        out[k] = word;
    }
    return n;
}

/* Rows that have a B of their own, one line each: the embedding's, by falling frequency of
 * the tokens. */
static void parts_table(const struct rbe_page *p, const json_t *tensor)
{
    const json_t *part;
    double row = 0;
    size_t i;

    rbe_document_paragraph(p->doc, "Ranges of the rows of %s, scales not counted:",
                           rbe_text_or(RBE_STRING_AT(tensor, name), "?"));
    rbe_document_table(p->doc, "rows|codec|>B|>bits/weight");
    json_array_foreach(RBE_VALUE_AT(tensor, parts), i, part) {
        const double rows = RBE_NUMBER_AT(part, rows), b = RBE_NUMBER_AT(part, block);

        rbe_document_cell(p->doc, "%.0f to %.0f", row, row + rows - 1);
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(part, codec), "?"));
        rbe_number_cell(p->doc, "%.0f", b);
        rbe_number_cell(p->doc, "%.2f", b > 0 ? 128 / b : NAN);
        row += rows;
    }
}

static enum rbe_status allocation(const struct rbe_page *p)
{
    const struct rbe_row *row = rbe_results_conversion(p->r, p->c->model);
    const char *class, *order[WORDS_MAX], *apart = "";
    struct rbe_plot_data data;
    char vars[128], title[160];
    double apart_bits = 0, apart_weights = 0;
    enum rbe_status err;
    size_t i;
    json_t *t;

    rbe_document_heading(p->doc, 2, "Where the bits go");
    if (!row) {
        rbe_document_paragraph(p->doc, "NOT MEASURED: no conversion of the judged model was "
                               "recorded.");
        return RBE_OK;
    }
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    data.missing = "its conversion names no matrix of a layer";
    fprintf(data.tsv, "# class\tlayer\tbits_per_weight\n");
    const size_t count = words_of(order, RBE_VALUE_AT(row->v, tensors),
                                  RBE_KEY(class));
    for (size_t k = 0; k < count; k++)
        json_array_foreach(RBE_VALUE_AT(row->v, tensors), i, t) {
            char name[64];
            int layer;
            if (!in_layer(t, &layer, RBE_KEY(class), &class) || strcmp(class, order[k]) != 0)
                continue;
            rbe_plot_series(&data, name, class);
            fprintf(data.tsv, "%s\t%d\t%.17g\n", name, layer,
                    RBE_NUMBER_AT(t, bits_per_weight));
            data.rows++;
        }
    /* The matrices of no layer: the embedding's. */
    json_array_foreach(RBE_VALUE_AT(row->v, tensors), i, t) {
        const double b = RBE_NUMBER_AT(t, bytes), bits = RBE_NUMBER_AT(t, bits_per_weight);
        if (RBE_STRING_AT(t, part) && RBE_NUMBER_AT(t, layer) < 0 && b > 0 && bits > 0) {
            apart = rbe_text_or(RBE_STRING_AT(t, class), "?");
            apart_bits += 8 * b;
            apart_weights += 8 * b / bits;
        }
    }
    char name[64];
    rbe_plot_series(&(struct rbe_plot_data){0}, name, apart);
    snprintf(vars, sizeof vars, "apart=%.17g; apart_name='%s'; ",
             apart_weights > 0 ? apart_bits / apart_weights : 0, name);
    const int shown = rbe_model_of(p, row);
    snprintf(title, sizeof title, "Bits by layer and matrix, %s",
             rbe_text_or(RBE_STRING_AT(row->v, model, name), "?"));
    if ((err = rbe_plot_draw(p->plotter, &data, p->doc, "allocation", "allocation", title,
                             vars, shown == p->c->model ?
                             "Bits per weight of each matrix, scales counted; dashed: "
                             "the token embedding, which is the output layer too." :
                             "Bits per weight of each matrix, scales counted; dashed: the "
                             "token embedding, which is the output layer too. The judged "
                             "model is this one after training, which does not change the "
                             "size.", p->d)))
        return err;

    json_array_foreach(RBE_VALUE_AT(row->v, tensors), i, t)
        if (json_array_size(RBE_VALUE_AT(t, parts)))
            parts_table(p, t);
    rbe_document_fold(p->doc, "Every tensor of %s",
                      rbe_text_or(RBE_STRING_AT(row->v, model, name), "?"));
    rbe_document_table(p->doc, "tensor|shape|codec|>B|>bytes|>bits/weight|>ratio|"
                       ">relative RMSE|>bound|>time, s");
    json_array_foreach(RBE_VALUE_AT(row->v, tensors), i, t) {
        char dims[64];
        shape_text(dims, RBE_VALUE_AT(t, shape));
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(t, name), "?"));
        rbe_document_cell(p->doc, "%s", dims);
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(t, codec), "?"));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, block));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, bytes));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, bits_per_weight));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, ratio));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, relative_rmse));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, bound));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, seconds));
    }
    rbe_document_unfold(p->doc);
    return RBE_OK;
}

/* A part of it had been done before: its times are not those of a conversion. */
static bool is_resumed(const struct rbe_row *row)
{
    return json_is_true(RBE_VALUE_AT(row->v, resumed));
}

static void conversions(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_heading(p->doc, 3, "Conversions");
    if (!rbe_page_has(p, RBE_KIND(convert), "convert", "no model was converted"))
        return;
    rbe_document_table(p->doc, "model|profile|main codec|encoder|>file|>bits/weight|"
                       ">relative RMSE, mean|>bound, mean|>time, s");
    while ((row = rbe_next_of_all(p, RBE_KIND(convert), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        double rmse = 0, bound = 0;
        size_t k, n = 0;
        json_t *t;
        json_array_foreach(RBE_VALUE_AT(row->v, tensors), k, t) {
            const double x = RBE_NUMBER_AT(t, relative_rmse);
            const char *codec = RBE_STRING_AT(t, codec);
            if (isnan(x) || !codec || rbe_codec_is_float(codec))
                continue;
            rmse += x;
            bound += RBE_NUMBER_AT(t, bound);
            n++;
        }
        rbe_row_model_cell(p, row);
        const char *profile = RBE_STRING_AT(row->v, profile);
        const char *slash = strrchr(profile, '/');
        rbe_document_cell(p->doc, "%s", slash ? slash + 1 : profile);
        rbe_document_cell(p->doc, "%s", rbe_text_or(m->codec, "-"));
        char how[64];
        rbe_page_encoding(p, rbe_model_of(p, row), how);
        rbe_document_cell(p->doc, "%s", how);
        rbe_megabytes_cell(p->doc, m->bytes);
        rbe_number_cell(p->doc, "%.3f", m->bits);
        rbe_number_cell(p->doc, "%.4f", n ? rmse / (double)n : NAN);
        rbe_number_cell(p->doc, "%.4f", n ? bound / (double)n : NAN);
        rbe_number_cell(p->doc, "%.1f",
                        is_resumed(row) ? NAN : RBE_NUMBER_AT(row->v, seconds));
    }
}

/* --- where the time of a conversion goes ------------------------------------------------- */

/* What a conversion is made of: its stages, the encoding by its parts. */
static const struct {
    const char *name, *what;
    bool part;
} stages[] = {
    {"calibration", "calibration: what the inputs of each matrix look like", false},
    {"sensitivities", "sensitivities: what an error in each does to the predictions", false},
    {"factors", "factors of the inputs' moments", true},
    {"feedback", "feedback: later columns take over errors", true},
    {"search", "search for seeds", true},
    {"scales", "scales of rows and columns", true},
    {"rest", "rest of the encoding: rotation, what was lost, keeping it", true},
    {"writing", "writing the file", false},
};
enum { STAGES = sizeof stages / sizeof *stages };

static const json_t *stage_of(const json_t *row, int k)
{
    const json_t *all = RBE_VALUE_AT(row, stages);
    const json_t *encoding = rbe_object_named(all, "encoding");

    return rbe_object_named(stages[k].part ? RBE_VALUE_AT(encoding, parts) : all,
                            stages[k].name);
}

static double seconds_of(const json_t *row, int k)
{
    return RBE_NUMBER_AT(stage_of(row, k), seconds);
}

static double seconds_in_all(const json_t *row)
{
    double sum = 0;

    for (int k = 0; k < STAGES; k++) {
        const double x = seconds_of(row, k);
        sum += isnan(x) ? 0 : x;
    }
    return sum;
}

static void stage_cells(const struct rbe_page *p, const struct rbe_row *row)
{
    const double all = seconds_in_all(row->v);
    const json_t *encoding = rbe_object_named(RBE_VALUE_AT(row->v, stages), "encoding");

    for (int k = 0; k < STAGES; k++) {
        const double x = seconds_of(row->v, k);
        if (isnan(x))
            continue;
        rbe_row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s%s", stages[k].what,
                          is_resumed(row) ? " (what an earlier run had left)" : "");
        rbe_number_cell(p->doc, "%.2f", x);
        rbe_number_cell(p->doc, "%.1f %%", 100 * x / all);
        rbe_megabytes_cell(p->doc, RBE_NUMBER_AT(stages[k].part ? encoding
                                                 : stage_of(row->v, k), peak_bytes));
    }
}

static enum rbe_status stages_section(const struct rbe_page *p)
{
    const struct rbe_row *row;
    struct rbe_plot_data data;
    char vars[256] = "parts='";
    size_t i = 0;

    rbe_document_heading(p->doc, 3, "Where the time of a conversion goes");
    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    data.missing = "no conversion of this run tells its stages";
    fputs("# conversion", data.tsv);
    for (int k = 0; k < STAGES; k++) {
        fprintf(data.tsv, "\t%s_s", stages[k].name);
        snprintf(vars + strlen(vars), sizeof vars - strlen(vars), "%s%s", k ? " " : "",
                 stages[k].name);
    }
    putc('\n', data.tsv);
    while ((row = rbe_next_of_all(p, RBE_KIND(convert), &i))) {
        char name[64];
        if (!json_array_size(RBE_VALUE_AT(row->v, stages)))
            continue;
        rbe_plot_series(&data, name, rbe_text_or(rbe_page_model(p, rbe_model_of(p, row))->name,
                                                 "?"));
        fprintf(data.tsv, "%s%s", name, is_resumed(row) ? ", the rest" : "");
        for (int k = 0; k < STAGES; k++) {
            const double x = seconds_of(row->v, k);
            fprintf(data.tsv, "\t%.17g", isnan(x) ? 0 : x);
        }
        putc('\n', data.tsv);
        data.rows++;
    }
    const size_t rows = data.rows;
    snprintf(vars + strlen(vars), sizeof vars - strlen(vars), "'; rows=%zu; ", rows);
    const enum rbe_status err = rbe_plot_draw(
        p->plotter, &data, p->doc, "stages", "stages", "Where the time of a conversion goes",
        vars, "Seconds of each part of a conversion, in their order. Conversions without "
        "calibration have no first two; codes of generated weights are drawn, not searched; "
        "\"the rest\": of a conversion that an earlier run had begun.",
        p->d);
    if (err || !rows)
        return err;
    rbe_document_fold(p->doc, "Seconds and memory of each part");
    rbe_document_table(p->doc, "model|part|>time, s|>of all|>peak memory");
    i = 0;
    while ((row = rbe_next_of_all(p, RBE_KIND(convert), &i)))
        stage_cells(p, row);
    rbe_document_unfold(p->doc);
    return RBE_OK;
}

/* What one layer's matrices of one class came to. */
struct layer_sum {
    double weights, bytes, rmse, bound;
    size_t tensors;
};

/* Layer by layer, what a schedule of the chapter gave and what it cost. */
static void schedule_table(const struct rbe_page *p, const struct rbe_row *row)
{
    const json_t *tensors = RBE_VALUE_AT(row->v, tensors);
    const char *part, *parts[WORDS_MAX];
    const size_t count = words_of(parts, tensors, RBE_KEY(part));
    int layer = 0, last = -1;
    size_t i;
    json_t *t;

    rbe_document_fold(
        p->doc, "%s, layer by layer (%s%s%.10s)", RBE_STRING_AT(row->v, profile),
        RBE_STRING_AT(row->v, model, name), rbe_row_recorded(p, row) ? ", recorded " : "",
        rbe_row_recorded(p, row) ? rbe_text_or(RBE_STRING_AT(row->v, time_utc), "?") : "");
    rbe_document_table(p->doc, ">layer|matrices|>number|>bytes|>ratio|>relative RMSE, mean|"
                       ">bound, mean");
    json_array_foreach(tensors, i, t)
        if (in_layer(t, &layer, RBE_KEY(part), &part) && layer > last)
            last = layer;
    for (int l = 0; l <= last; l++)
        for (size_t k = 0; k < count; k++) {
            struct layer_sum s = {0};
            json_array_foreach(tensors, i, t) {
                const double ratio = RBE_NUMBER_AT(t, ratio);
                const double bytes = RBE_NUMBER_AT(t, bytes);
                if (!in_layer(t, &layer, RBE_KEY(part), &part) || layer != l ||
                    strcmp(part, parts[k]) != 0 || !(ratio > 0) || !(bytes >= 0))
                    continue;
                s.weights += ratio * bytes;
                s.bytes += bytes;
                s.rmse += RBE_NUMBER_AT(t, relative_rmse);
                s.bound += RBE_NUMBER_AT(t, bound);
                s.tensors++;
            }
            if (!s.tensors)
                continue;
            rbe_document_cell(p->doc, "%d", l);
            rbe_document_cell(p->doc, "%s", parts[k]);
            rbe_document_cell(p->doc, "%zu", s.tensors);
            rbe_number_cell(p->doc, "%.0f", s.bytes);
            rbe_number_cell(p->doc, "%.1f : 1", s.weights / s.bytes);
            rbe_number_cell(p->doc, "%.4f", s.rmse / (double)s.tensors);
            rbe_number_cell(p->doc, "%.4f", s.bound / (double)s.tensors);
        }
    rbe_document_unfold(p->doc);
}

static void schedules(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0, shown = 0;

    rbe_document_heading(p->doc, 3, "The chapter's schedules");
    while ((row = rbe_next_of_all(p, RBE_KIND(convert), &i)))
        if (!strcmp(rbe_text_or(RBE_STRING_AT(row->v, series), ""), RBE_SERIES_SCHEDULE)) {
            schedule_table(p, row);
            shown++;
        }
    if (!shown)
        rbe_document_paragraph(p->doc, "NOT MEASURED: no conversion by a schedule of the "
                               "chapter (profiles chapter-*).");
}

enum rbe_status rbe_section_allocation(const struct rbe_page *p)
{
    enum rbe_status err = allocation(p);

    if (err)
        return err;
    conversions(p);
    if (!(err = stages_section(p)))
        schedules(p);
    return err;
}

/* --- codecs on the same matrices --------------------------------------------------------- */

/* The same rows as numbers, with their guards. */
static void codecs_table(const struct rbe_page *p, const struct rbe_row *row)
{
    size_t k;
    json_t *t;

    const bool recorded = rbe_row_recorded(p, row);
    rbe_document_fold(
        p->doc, "Every codec at the same ratios%s%.10s%s", recorded ? " (recorded " : "",
        recorded ? rbe_text_or(RBE_STRING_AT(row->v, time_utc), "?") : "", recorded ? ")" : "");
    rbe_document_table(p->doc, "codec|>asked ratio|>true ratio|>bits/weight|>relative RMSE|"
                       ">bound|>PSNR, dB|>on white noise|>its bound|>time, s");
    json_array_foreach(RBE_VALUE_AT(row->v, rows), k, t) {
        const bool met = !json_is_false(RBE_VALUE_AT(t, met));
        rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(t, codec), "?"));
        rbe_number_cell(p->doc, met ? "%.0f : 1" : "%.0f : 1 (has none)",
                        RBE_NUMBER_AT(t, asked));
        rbe_number_cell(p->doc, "%.1f : 1", RBE_NUMBER_AT(t, ratio));
        rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, bits_per_weight));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, relative_rmse));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, bound));
        rbe_number_cell(p->doc, "%.1f", RBE_NUMBER_AT(t, psnr_db));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, control_rmse));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, control_bound));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, seconds));
    }
    rbe_document_unfold(p->doc);
}

static enum rbe_status codecs_plots(const struct rbe_page *p)
{
    const struct rbe_row *row;
    struct rbe_plot_data data;
    char title[160], name[64], id[32] = "distortion";
    size_t i = 0, k, plots = 0;
    json_t *t;

    while ((row = rbe_next_of_all(p, RBE_KIND(codecs), &i))) {
        if (plots++)
            snprintf(id, sizeof id, "distortion_%zu", plots);
        if (!rbe_plot_begin(&data))
            return RBE_ERR_NOMEM;
        data.missing = "no row gives an error and a size";
        fprintf(data.tsv, "# codec\tbits_per_weight\trelative_rmse\n");
        json_array_foreach(RBE_VALUE_AT(row->v, rows), k, t) {
            const double x = RBE_NUMBER_AT(t, bits_per_weight);
            const double y = RBE_NUMBER_AT(t, relative_rmse);
            /* A codec that cannot go as low says so; its lowest rate stands there once. */
            if (!(x > 0) || !(y > 0) || json_is_false(RBE_VALUE_AT(t, met)))
                continue;
            rbe_plot_series(&data, name, rbe_text_or(RBE_STRING_AT(t, codec), "?"));
            fprintf(data.tsv, "%s\t%.17g\t%.17g\n", name, x, y);
            data.rows++;
        }
        snprintf(title, sizeof title, "Error against size, %zu matrices of %s%s",
                 json_array_size(RBE_VALUE_AT(row->v, matrices)),
                 rbe_text_or(RBE_STRING_AT(row->v, source, name), "?"),
                 json_is_false(RBE_VALUE_AT(row->v, complete)) ? " (interrupted)" : "");
        const enum rbe_status err = rbe_plot_draw(p->plotter, &data, p->doc, "distortion",
            id, title, "", "Relative RMSE of the weights as decoded (all zeros: 1), "
            "by the true size of each codec, without calibration; svd and block means: the "
            "same bytes in f16. Dashed: 2^-bits, the lowest error that is possible on white "
            "Gaussian weights.", p->d);
        if (err)
            return err;
        codecs_table(p, row);
    }
    return RBE_OK;
}

/* What the search for seeds loses on white noise, where the bound is known. */
static void white_noise(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0, k;
    json_t *t;

    rbe_document_heading(p->doc, 3, "Loss on white noise");
    if (!rbe_page_has(p, RBE_KIND(distortion), NULL, "no run of rbe codecs --white"))
        return;
    rbe_document_paragraph(p->doc, "The distortion of each search above the least possible "
                                   "one, 2^-2R of a white Gaussian matrix at R bits a weight.");
    rbe_document_table(p->doc, "shape|codec|>B|search|>bits/weight|>loss, dB|>wanted, dB|"
                       ">relative RMSE|>time, s");
    while ((row = rbe_next_of_all(p, RBE_KIND(distortion), &i)))
        json_array_foreach(RBE_VALUE_AT(row->v, rows), k, t) {
            char shape[64];
            shape_text(shape, RBE_VALUE_AT(row->v, shape));
            rbe_row_begin(p, row);
            rbe_document_cell(p->doc, "%s%s", shape,
                              rbe_row_recorded(p, row) ? " (recorded)" : "");
            rbe_document_cell(p->doc, "%s", RBE_STRING_AT(t, codec));
            rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(t, block));
            rbe_document_cell(p->doc, "%s", rbe_text_or(RBE_STRING_AT(t, search), "-"));
            rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, bits_per_weight));
            rbe_number_cell(p->doc, "%.3f", RBE_NUMBER_AT(t, loss_db));
            rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, wanted_db));
            rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(t, relative_rmse));
            rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(t, seconds));
        }
}

enum rbe_status rbe_section_codecs(const struct rbe_page *p)
{
    enum rbe_status err = RBE_OK;

    rbe_document_heading(p->doc, 2, "Codecs on the same matrices");
    if (rbe_page_has(p, RBE_KIND(codecs), NULL, "no run of rbe codecs"))
        err = codecs_plots(p);
    white_noise(p);
    return err;
}
