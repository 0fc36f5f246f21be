/*
 * page_rate.c - size against quality: the curve, and every perplexity.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"
#include "kernels/formats.h"

/* --- size and quality --------------------------------------------------------------- */

/* Does a paired row compare with this original by the text and protocol of the criteria? */
static bool same_task(const struct rbe_page *p, const struct rbe_row *row, int base)
{
    return rbe_results_model(p->r, RBE_VALUE_AT(row->v, base)) == base &&
           !strcmp(RBE_STRING_AT(row->v, protocol), RBE_CRITERIA_PROTOCOL) &&
           rbe_is_wikitext(row->v);
}

double rbe_page_common_windows(const struct rbe_page *p, int base)
{
    double best = NAN;
    size_t most = 0, i = 0;
    const struct rbe_row *row;

    while ((row = rbe_next_of_all(p, RBE_KIND(paired), &i))) {
        const double w = RBE_NUMBER_AT(row->v, windows);
        size_t n = 0, k = 0;
        const struct rbe_row *o;
        if (!same_task(p, row, base))
            continue;
        while ((o = rbe_next_of_all(p, RBE_KIND(paired), &k)))
            n += same_task(p, o, base) && RBE_NUMBER_AT(o->v, windows) == w;
        if (n > most || (n == most && w > best)) {
            most = n;
            best = w;
        }
    }
    return best;
}

/* The lines of the plot, in the order of the legend. */
enum {
    /* By a search, and the format: */
    BEFORE_RECOVERY,
    AFTER_RECOVERY = BEFORE_RECOVERY + RBE_FORMAT_COUNT,
    ONE_B = AFTER_RECOVERY + RBE_FORMAT_COUNT,
    PARTS = ONE_B + RBE_FORMAT_COUNT,
    SEARCHED,                   /* those before it are found by a search */
    ONE_RATE = SEARCHED,        /* and the format */
    LOW_RANK = ONE_RATE + RBE_FORMAT_COUNT,
    RATED,                      /* and the format */
    SCHEDULES = RATED + RBE_FORMAT_COUNT,
    RIVALS,                     /* files of other programs */
    SERIES,
};

struct series_name {
    char text[48];
};

/* A '_' is shown as a blank. */
static struct series_name series_name(size_t s)
{
    static const struct { size_t first; const char *what; } of_format[] = {
        {RATED, ""}, {ONE_RATE, ""}, {ONE_B, ",_one_B"}, {AFTER_RECOVERY, ",_after_recovery"},
        {BEFORE_RECOVERY, ",_before_recovery"}};
    static const char *const names[SERIES] = {
        [PARTS] = "parts_of_the_model", [LOW_RANK] = "low_rank_(SVD)",
        [SCHEDULES] = "schedules_of_the_chapter", [RIVALS] = "other_files"};
    struct series_name out;
    size_t i = 0;

    if (names[s]) {
        snprintf(out.text, sizeof out.text, "%s", names[s]);
        return out;
    }
    while (s < of_format[i].first)
        i++;
    const enum rbe_format f = (enum rbe_format)(s - of_format[i].first);
    snprintf(out.text, sizeof out.text, "%s%s", rbe_format_name(f), of_format[i].what);
    return out;
}

/* The codec of a row, or the first of several ("seed+seed4"); NULL where the list has none. */
static const struct rbe_format_facts *facts_of(const char *codec)
{
    char first[32];

    snprintf(first, sizeof first, "%.*s", (int)strcspn(codec, "+"), codec);
    const enum rbe_format f = rbe_format_by_name(first);
    return f == RBE_FORMAT_COUNT ? NULL : rbe_format_facts(f);
}

static bool same(const char *a, const char *b)
{
    return a && !strcmp(a, b);
}

/* Was what is open in the profile shared out by measured sensitivities? */
static bool measured_allocation(const struct rbe_row *conversion)
{
    const char *allocation = RBE_STRING_AT(conversion->v, allocation);
    size_t i;
    json_t *t;

    if (allocation)
        return same(allocation, "measured");
    /* Records from before that field have what the probes found. */
    json_array_foreach(RBE_VALUE_AT(conversion->v, tensors), i, t)
        if (RBE_NUMBER_AT(t, probe_divergence) > 0)
            return true;
    return false;
}

/* In which line a model stands: its codec, and apart what differs in more than the rate. */
static size_t series_of(const struct rbe_page *p, int model)
{
    const struct rbe_row *conversion = rbe_results_last_of_all(p->r, RBE_KIND(convert), model);
    const char *codec = rbe_text_or(rbe_page_model(p, model)->codec, "");
    const struct rbe_format_facts *facts = facts_of(codec);

    if (!rbe_page_model(p, model)->rbe)
        return RIVALS;
    /* A codec that the list has not is drawn with the first that is searched. */
    const enum rbe_format f = facts ? rbe_format_by_name(facts->name) : RBE_SEED;
    if (rbe_results_last_of_all(p->r, RBE_KIND(recovery), model))
        return AFTER_RECOVERY + f;
    if (conversion) {
        const char *series = RBE_STRING_AT(conversion->v, series);
        if (same(series, RBE_SERIES_PARTS))
            return PARTS;
        if (same(series, RBE_SERIES_SCHEDULE))
            return SCHEDULES;
        if (RBE_NUMBER_AT(conversion->v, low_rank_bytes) > 0)
            return LOW_RANK;
        if (facts && facts->feedback && measured_allocation(conversion))
            return BEFORE_RECOVERY + f;
    }
    if (!facts || facts->feedback)
        return ONE_B + f;
    /* A model of floats and others, by the name of its largest matrix's. */
    if (facts->float_bytes && rbe_page_model(p, model)->bits < 15.5)
        return ONE_B + RBE_SEED;
    return (facts->rate == RBE_RATE_NONE ? ONE_RATE : RATED) + f;
}

struct rate_point {
    double bits, perplexity;
    size_t series;
    bool recorded;
    const char *name;           /* of the model */
    char how[64], label[96];    /* label: in the first plot, where it is shown there */
    int side;                   /* of the point, on which the label stands: enum side */
};

struct rate_points {
    struct rate_point *v;
    size_t count;
    double f32, tokens, windows;
    size_t other_windows;       /* models measured on another part of the text only */
    char when[16], where[96];   /* of the last recorded point; empty: there is none */
};

void rbe_page_encoding(const struct rbe_page *p, int model, char out[64])
{
    const struct rbe_row *row = rbe_results_last_of_all(p->r, RBE_KIND(convert), model);
    const char *codec = rbe_text_or(rbe_page_model(p, model)->codec, "");
    const struct rbe_format_facts *facts;
    bool searched = false;
    size_t i;
    json_t *t;

    if (!row) {
        snprintf(out, 64, rbe_results_last_of_all(p->r, RBE_KIND(recovery), model) ? "trained"
                 : "not recorded");
        return;
    }
    json_array_foreach(RBE_VALUE_AT(row->v, tensors), i, t) {
        facts = facts_of(rbe_text_or(RBE_STRING_AT(t, codec), ""));
        searched |= facts && facts->feedback;
    }
    if (!searched) {
        facts = facts_of(codec);
        snprintf(out, 64, "%s", facts && facts->gmax ? "rounded to nearest"
                 : "nothing to search");
        return;
    }
    const json_t *calibration = RBE_VALUE_AT(row->v, calibration);
    snprintf(out, 64, "%s search, %s%s",
             rbe_text_or(RBE_STRING_AT(row->v, search), "unrecorded"),
             !calibration                ? "unrecorded calibration"
             : json_is_null(calibration) ? "no calibration"
                                         : "calibrated",
             measured_allocation(row) ? ", measured allocation" : "");
}

static void put_name(FILE *f, const char *series)
{
    for (; *series; series++)
        putc(*series == '_' ? ' ' : *series, f);
}

/* "seed, one B: fast search, no calibration; int8: rounded to nearest", of sorted points. */
static void put_encodings(FILE *f, const struct rate_points *r)
{
    const char *before = "How the points were encoded: ";

    for (size_t i = 0; i < r->count; i++) {
        bool said = false;
        for (size_t k = 0; k < i && !said; k++)
            said = r->v[k].series == r->v[i].series && !strcmp(r->v[k].how, r->v[i].how);
        if (said || r->v[i].series >= SEARCHED)
            continue;
        fputs(before, f);
        put_name(f, series_name(r->v[i].series).text);
        fprintf(f, ": %s", r->v[i].how);
        before = "; ";
    }
    fputs(*before == 'H' ? "" : ". The other codecs have nothing to search. ", f);
}

/* Which points this run did not measure. */
static void put_recorded(FILE *f, const struct rate_points *r)
{
    const char *before = "Recorded earlier (";
    size_t fresh = 0;

    if (!*r->when)
        return;
    for (size_t s = 0; s < SERIES; s++) {
        size_t recorded = 0, measured = 0;
        for (size_t i = 0; i < r->count; i++) {
            recorded += r->v[i].series == s && r->v[i].recorded;
            measured += r->v[i].series == s && !r->v[i].recorded;
        }
        fresh += measured;
        if (!recorded)
            continue;
        if (*before == 'R')
            fprintf(f, "%s%s, %s): ", before, r->where, r->when);
        else
            fputs(before, f);
        if (measured)
            fprintf(f, "%zu points of ", recorded);
        put_name(f, series_name(s).text);
        before = "; ";
    }
    fprintf(f, ". %s", fresh ? "All others: measured in this run. " : "");
}

static int by_series_and_bits(const void *a, const void *b)
{
    const struct rate_point *x = a, *y = b;

    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    return (x->bits > y->bits) - (x->bits < y->bits);
}

/* Is there a point measured in this run where this recorded one would stand? */
static bool measured_beside(const struct rate_points *r, size_t series, double bits)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->v[i].series == series && !r->v[i].recorded && fabs(r->v[i].bits - bits) < .005)
            return true;
    return false;
}

/* Was the model of this row measured on so many windows, too? */
static bool measured_alike(const struct rbe_page *p, const struct rbe_row *row, int base,
                           double windows)
{
    const struct rbe_row *o;
    size_t i = 0;

    while ((o = rbe_next_of_all(p, RBE_KIND(paired), &i)))
        if (same_task(p, o, base) && RBE_NUMBER_AT(o->v, windows) == windows &&
            rbe_model_of(p, o) == rbe_model_of(p, row))
            return true;
    return false;
}

static enum rbe_status rate_points(struct rate_points *r, const struct rbe_page *p, int base)
{
    const struct rbe_row *row;
    size_t i = 0;

    *r = (struct rate_points){.f32 = NAN, .tokens = NAN,
                              .windows = rbe_page_common_windows(p, base)};
    if (!(r->v = calloc(p->r->all + 1, sizeof *r->v)))
        return RBE_ERR_NOMEM;
    while ((row = rbe_next_of_all(p, RBE_KIND(paired), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        struct rate_point x = {.recorded = rbe_row_recorded(p, row)};
        if (!same_task(p, row, base))
            continue;
        if (RBE_NUMBER_AT(row->v, windows) != r->windows) {
            r->other_windows += !x.recorded && !measured_alike(p, row, base, r->windows);
            continue;
        }
        r->f32 = RBE_NUMBER_AT(row->v, base_perplexity);
        r->tokens = RBE_NUMBER_AT(row->v, scored);
        x.perplexity = RBE_NUMBER_AT(row->v, perplexity);
        x.bits = m->bits;
        x.name = rbe_text_or(m->name, "?");
        x.series = series_of(p, rbe_model_of(p, row));
        if (isnan(x.bits) || !isfinite(x.perplexity) ||
            (x.recorded && measured_beside(r, x.series, x.bits)))
            continue;
        rbe_page_encoding(p, rbe_model_of(p, row), x.how);
        if (x.recorded) {
            snprintf(r->when, sizeof r->when, "%.10s",
                     rbe_text_or(RBE_STRING_AT(row->v, time_utc), "?"));
            snprintf(r->where, sizeof r->where, "%.64s, %.0f CPUs",
                     rbe_text_or(RBE_STRING_AT(row->v, machine, cpu), "?"),
                     RBE_NUMBER_AT(row->v, machine, cores));
        }
        r->v[r->count++] = x;
    }
    qsort(r->v, r->count, sizeof *r->v, by_series_and_bits);
    return RBE_OK;
}

/* --- the first plot: what is lost, by bits ------------------------------------------------ */

/* It shows what somebody may ship: bits between these, and at most so many percent lost. */
enum { BITS_LOW = 2, BITS_HIGH = 5, MOST_LOST = 100 };
/* On a logarithmic scale nothing lost has no place: it stands here. */
#define LEAST_LOST 0.05

static double lost_in_full(const struct rate_points *r, const struct rate_point *x)
{
    return 100 * (x->perplexity / r->f32 - 1);
}

static double lost(const struct rate_points *r, const struct rate_point *x)
{
    return fmax(lost_in_full(r, x), LEAST_LOST);
}

static bool is_shown(const struct rate_points *r, const struct rate_point *x)
{
    return x->bits >= BITS_LOW && x->bits <= BITS_HIGH && lost(r, x) <= MOST_LOST;
}

/* Where a point's label stands, in lead.gp's order.  Lines fall from left to right: above at
 * the right, and below at the left, a label is beside its own. */
enum side { ABOVE_RIGHT, BELOW_LEFT, ABOVE_LEFT, BELOW_RIGHT, SIDES };

/* A box in a picture, lower left and upper right corner, in characters of its text. */
struct box {
    double x0, y0, x1, y1;
};

static bool overlap(const struct box *a, const struct box *b)
{
    return a->x0 < b->x1 && b->x0 < a->x1 && a->y0 < b->y1 && b->y0 < a->y1;
}

static struct box label_box(double x, double y, double length, enum side side)
{
    const bool right = side == ABOVE_RIGHT || side == BELOW_RIGHT;
    const double at = x + (right ? .8 : -.8 - length);
    const double middle = y + (side == ABOVE_RIGHT || side == ABOVE_LEFT ? .5 : -.5);

    return (struct box){at, middle - .45, at + length, middle + .45};
}

/* The first side on which the label hides no point, label or line before it, or SIDES. */
static enum side choose_side(const struct box *taken, size_t count, double x, double y,
                             double length, double wide)
{
    for (int side = ABOVE_RIGHT; side < SIDES; side++) {
        const struct box b = label_box(x, y, length, (enum side)side);
        bool place = b.x0 > 0 && b.x1 < wide;
        for (size_t i = 0; i < count && place; i++)
            place = !overlap(&b, &taken[i]);
        if (place)
            return (enum side)side;
    }
    return SIDES;
}

/* Size of the axes in characters: of the picture as wide as the page, and of that for a phone.
 * The latter has no room for the names of lines. */
static const struct {
    double wide, high;
    enum rbe_plot_shape shape;
    const char *id;
} pictures[] = {
    {47, 22, RBE_PLOT_PHONE, "rate_phone"}, {140, 21, RBE_PLOT_WIDE, "rate"}};

/* The axes in characters, and the logarithm's and the bits' ends. */
struct axes {
    double wide, high, low, most, first, last;
};

static double x_of(const struct axes *a, double bits)
{
    return a->wide * (bits - a->first + .1) / (a->last - a->first + .2);
}

static double y_of(const struct axes *a, double lost)
{
    return a->high * log(1.5 * lost / a->low) / log(2.25 * a->most / a->low);
}

/* The names of the points that are shown; the first of a line tells what the line is of. */
static void name_points(struct rate_points *r, bool lines)
{
    size_t before = SERIES;

    for (size_t k = 0; k < r->count; k++) {
        struct rate_point *x = &r->v[k];
        if (!is_shown(r, x))
            continue;
        const bool tells = lines && before != x->series && x->series < SEARCHED;
        snprintf(x->label, sizeof x->label, "%s%s%.40s",
                 tells ? series_name(x->series).text : "", tells ? ": " : "", x->name);
        before = x->series;
        for (char *c = x->label; *c; c++)
            if (*c == '_' || (unsigned char)*c < ' ')
                *c = ' ';
    }
}

/* Sets the side of each label, those of points that this run measured first; where none is
 * free, `all` says whether the label stands in the way, or is left out. */
static enum rbe_status place_labels(struct rate_points *r, const struct axes *a, bool all)
{
    const double limit = y_of(a, RBE_LIMIT(C3)), budget = x_of(a, rbe_budget_bits());
    struct box *taken = calloc(2 * r->count + 3, sizeof *taken);
    size_t n = 0;

    if (!taken)
        return RBE_ERR_NOMEM;
    taken[n++] = (struct box){0, limit - .05, a->wide, limit + .05};
    taken[n++] = (struct box){budget - .05, 0, budget + .05, a->high};
    for (size_t k = 0; k < r->count; k++)
        if (is_shown(r, &r->v[k])) {
            const double x = x_of(a, r->v[k].bits), y = y_of(a, lost(r, &r->v[k]));
            taken[n++] = (struct box){x - .8, y - .35, x + .8, y + .35};
        }
    for (int recorded = 0; recorded < 2; recorded++)
        for (size_t k = 0; k < r->count; k++) {
            struct rate_point *p = &r->v[k];
            if (!is_shown(r, p) || p->recorded != recorded)
                continue;
            const double x = x_of(a, p->bits), y = y_of(a, lost(r, p));
            const double length = (double)strlen(p->label);
            enum side side = choose_side(taken, n, x, y, length, a->wide);
            if (side == SIDES && !all)
                p->label[0] = 0;
            if (side == SIDES)
                side = x < a->wide / 2 ? ABOVE_RIGHT : BELOW_LEFT;
            p->side = side;
            if (p->label[0])
                taken[n++] = label_box(x, y, length, side);
        }
    free(taken);
    return RBE_OK;
}

/* Writes the points that are shown, each with its label and the side that it stands on. */
static enum rbe_status lead_rows(struct rbe_plot_data *data, struct rate_points *r, int picture)
{
    const bool wide = pictures[picture].shape == RBE_PLOT_WIDE;
    struct axes a = {pictures[picture].wide, pictures[picture].high, INFINITY, 0,
                     rbe_budget_bits(), rbe_budget_bits()};

    for (size_t k = 0; k < r->count; k++)
        if (is_shown(r, &r->v[k])) {
            a.low = fmin(a.low, lost(r, &r->v[k]));
            a.most = fmax(a.most, lost(r, &r->v[k]));
            a.first = fmin(a.first, r->v[k].bits);
            a.last = fmax(a.last, r->v[k].bits);
        }
    name_points(r, wide);
    const enum rbe_status err = place_labels(r, &a, wide);
    for (size_t k = 0; k < r->count && !err; k++) {
        const struct rate_point *x = &r->v[k];
        char name[64];
        if (!is_shown(r, x))
            continue;
        rbe_plot_series(data, name, series_name(x->series).text);
        fprintf(data->tsv, "%s\t%.17g\t%.17g\t%s\t%d\t%d\n", name, x->bits, lost(r, x),
                x->label[0] ? x->label : " ", x->side, x->recorded);
        data->rows++;
    }
    return err;
}

static char *lead_caption(const struct rate_points *r)
{
    char *caption = NULL;
    size_t size, left_out = 0, least = 0;
    FILE *f = open_memstream(&caption, &size);

    if (!f)
        return NULL;
    for (size_t k = 0; k < r->count; k++) {
        const bool shown = is_shown(r, &r->v[k]);
        left_out += !shown;
        least += shown && lost_in_full(r, &r->v[k]) <= LEAST_LOST;
    }
    fprintf(f, "How much worse each encoded model predicts than the original (its perplexity "
            "in f32 is %.2f), by its size, the whole file counted. Lower and further left is "
            "better. Protocol " RBE_CRITERIA_PROTOCOL ", %.0f tokens (%.0f windows). The "
            "lines mark the bits a weight of a 45 MB file of GPT-2 small, and the limit "
            "of %.0f %%. ",
            r->f32, r->tokens, r->windows, RBE_LIMIT(C3));
    if (left_out)
        fprintf(f, "Not shown, but in 'Size against quality': %zu of less than %d or more than "
                "%d bits, or of more than %d %% lost. ", left_out, BITS_LOW, BITS_HIGH,
                MOST_LOST);
    if (least)
        fprintf(f, "At %g %% stands what loses that or less: %zu. ", LEAST_LOST, least);
    if (r->other_windows)
        fprintf(f, "In the table only, because measured on another part of the text: %zu. ",
                r->other_windows);
    put_recorded(f, r);
    put_encodings(f, r);
    fputs("Compare codecs only by points that were encoded in the same way.", f);
    if (fclose(f))
        rbe_shortage_note();
    return caption;
}

/* "WHAT, MODEL", or WHAT alone where no original is known. */
static void title_of(char out[160], const char *what, const struct rbe_page *p, int base)
{
    const struct rbe_model_seen *m = rbe_page_model(p, base);
    const char *name = m ? m->name : NULL;

    snprintf(out, 160, "%s%s%.100s", what, name ? ", " : "", name ? name : "");
}

static enum rbe_status draw_lead(const struct rbe_page *p, int base, struct rate_points *r)
{
    char vars[160], title[160], *caption = lead_caption(r);
    enum rbe_status err = caption ? RBE_OK : RBE_ERR_NOMEM;

    title_of(title, "Quality lost by size", p, base);
    for (int i = 0; i < 2 && !err; i++) {
        const bool phone = pictures[i].shape == RBE_PLOT_PHONE;
        struct rbe_plot_data data;
        if (!rbe_plot_begin(&data)) {
            err = RBE_ERR_NOMEM;
            break;
        }
        data.shape = pictures[i].shape;
        data.missing = phone ? NULL
            : r->count ? "every model that was compared with this original has other bits or "
            "loses more (see 'Size against quality')"
            : "no row compares a model with its original by the whole of protocol "
            RBE_CRITERIA_PROTOCOL " or a part of it, on WikiText-103's test text";
        fprintf(data.tsv, "# series\tbits_per_weight\tpercent_lost\tlabel\tside (0 above "
                "right, 1 below left, 2 above left, 3 below right)\trecorded\n");
        err = lead_rows(&data, r, i);
        snprintf(vars, sizeof vars, "shape='%s'; budget=%.17g; most=%.17g; ",
                 phone ? "phone" : "wide", rbe_budget_bits(), RBE_LIMIT(C3));
        const enum rbe_status drawn =
            rbe_plot_draw(p->plotter, &data, p->doc, "lead", pictures[i].id, title, vars,
                          caption, p->d);
        err = err ? err : drawn;
    }
    free(caption);
    return err;
}

/* --- every point -------------------------------------------------------------------------- */

static enum rbe_status draw_all(const struct rbe_page *p, int base,
                                const struct rate_points *r)
{
    struct rbe_plot_data data;
    char vars[128], title[160];

    if (!rbe_plot_begin(&data))
        return RBE_ERR_NOMEM;
    fprintf(data.tsv, "# series\tbits_per_weight\tperplexity\n");
    for (size_t k = 0; k < r->count; k++) {
        char name[64];
        rbe_plot_series(&data, name, series_name(r->v[k].series).text);
        fprintf(data.tsv, "%s\t%.17g\t%.17g\n", name, r->v[k].bits, r->v[k].perplexity);
        data.rows++;
    }
    snprintf(vars, sizeof vars, "f32=%.17g; budget=%.17g; ", r->f32, rbe_budget_bits());
    title_of(title, "Perplexity by size, every codec", p, base);
    return rbe_plot_draw(p->plotter, &data, p->doc, "rate", "rate_all", title, vars,
                         "Every model measured on this part of the text, with its perplexity "
                         "on a logarithmic scale. low rank (SVD): the size is that of its "
                         "factors in f16.", p->d);
}

/* The original that the curve is of: the judged one, or of the first row that has one. */
static int curve_base(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    if (p->c->base >= 0)
        return p->c->base;
    while ((row = rbe_next_of_all(p, RBE_KIND(paired), &i)))
        if (same_task(p, row, rbe_results_model(p->r, RBE_VALUE_AT(row->v, base))))
            return rbe_results_model(p->r, RBE_VALUE_AT(row->v, base));
    return -1;
}

enum rbe_status rbe_page_lead_plot(const struct rbe_page *p)
{
    const int base = curve_base(p);
    struct rate_points r;
    enum rbe_status err = rate_points(&r, p, base);

    if (!err)
        err = draw_lead(p, base, &r);
    free(r.v);
    return err;
}

/* Where the first plot does not show all of them. */
static enum rbe_status whole_rate_plot(const struct rbe_page *p)
{
    const int base = curve_base(p);
    struct rate_points r;
    enum rbe_status err = rate_points(&r, p, base);
    bool more = false;

    for (size_t i = 0; !err && i < r.count; i++)
        more |= !is_shown(&r, &r.v[i]);
    if (more)
        err = draw_all(p, base, &r);
    free(r.v);
    return err;
}

/* The text's name; two of one name are told apart by their hashes. */
static void text_cell(const struct rbe_page *p, const struct rbe_row *row)
{
    const char *name = rbe_text_or(RBE_STRING_AT(row->v, text, name), "-");

    if (rbe_is_wikitext(row->v) || !RBE_STRING_AT(row->v, text, sha256))
        rbe_document_cell(p->doc, "%s", name);
    else
        rbe_document_cell(p->doc, "%s (%.8s)", name, RBE_STRING_AT(row->v, text, sha256));
}

static void perplexity_table(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    rbe_document_table(p->doc, "model|codec|>file|>bits/weight|text|protocol|>windows|"
                       ">perplexity|>original|>change|95 % interval|>time, x f32");
    while ((row = rbe_next_of_all(p, RBE_KIND(paired), &i))) {
        const struct rbe_model_seen *m = rbe_page_model(p, rbe_model_of(p, row));
        const json_t *ci = RBE_INTERVAL_AT(row->v, percent_change_ci95);
        rbe_row_model_cell(p, row);
        rbe_document_cell(p->doc, "%s", rbe_text_or(m->codec, "-"));
        rbe_megabytes_cell(p->doc, m->bytes);
        rbe_number_cell(p->doc, "%.3f", m->bits);
        text_cell(p, row);
        rbe_document_cell(p->doc, "%s", RBE_STRING_AT(row->v, protocol));
        rbe_document_cell(p->doc, "%.0f%s", RBE_NUMBER_AT(row->v, windows),
                          RBE_TRUE_AT(row->v, complete) ? " (all)" : "");
        const double change = RBE_NUMBER_AT(row->v, percent_change);
        const int digits = fabs(change) < 1000 ? 2 : 0;
        rbe_number_cell(p->doc, digits ? "%.2f" : "%.0f", RBE_NUMBER_AT(row->v, perplexity));
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, base_perplexity));
        rbe_number_cell(p->doc, digits ? "%+.2f %%" : "%+.0f %%", change);
        if (ci)
            rbe_document_cell(p->doc, "%+.*f to %+.*f %%", digits,
                              json_number_value(json_array_get(ci, 0)), digits,
                              json_number_value(json_array_get(ci, 1)));
        else
            rbe_document_cell(p->doc, "-");
        rbe_number_cell(p->doc, "%.2f", RBE_NUMBER_AT(row->v, time_ratio));
    }
}

static void other_perplexities(const struct rbe_page *p)
{
    const struct rbe_row *row;
    size_t i = 0;

    if (!rbe_any_of_all(p, RBE_KIND(perplexity)))
        return;
    rbe_document_fold(p->doc, "Every perplexity measured, by text and protocol");
    rbe_document_table(p->doc, "model|text|protocol|>context|>stride|>scored|>perplexity|"
                       ">per word|>bits/byte|>-log p, s.e.|>tokens/s");
    while ((row = rbe_next_of_all(p, RBE_KIND(perplexity), &i))) {
        rbe_row_model_cell(p, row);
        text_cell(p, row);
        rbe_document_cell(p->doc, "%s %s%s", RBE_STRING_AT(row->v, protocol),
                          rbe_text_or(RBE_STRING_AT(row->v, protocol_name), ""),
                          RBE_TRUE_AT(row->v, complete) ? "" : " (part)");
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, context));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, stride));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, scored));
        rbe_number_cell(p->doc, "%.5g", RBE_NUMBER_AT(row->v, perplexity));
        rbe_number_cell(p->doc, "%.5g", RBE_NUMBER_AT(row->v, word_perplexity));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(row->v, bits_per_byte));
        rbe_number_cell(p->doc, "%.4f", RBE_NUMBER_AT(row->v, nll_se));
        rbe_number_cell(p->doc, "%.0f", RBE_NUMBER_AT(row->v, tokens_per_s));
    }
    rbe_document_unfold(p->doc);
}

enum rbe_status rbe_section_rate(const struct rbe_page *p)
{
    enum rbe_status err = RBE_OK;

    rbe_document_heading(p->doc, 2, "Size against quality");
    if (rbe_page_has(p, RBE_KIND(paired), "perplexity", "no run compares perplexities")) {
        err = whole_rate_plot(p);
        perplexity_table(p);
    }
    other_perplexities(p);
    return err;
}
