/*
 * summary.c - robust rows from repetitions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/summary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rows.h"
#include "base/stats.h"
#include "kernels/formats.h"
#include "kernels/isa.h"

/* Not by rbe_number_at(): a name of a counted event may have dots. */
static double number_or_nan(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static const char *string_or(const json_t *o, const char *key, const char *otherwise)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : otherwise;
}

/* A field of the row, "-" when it has none. */
static void fact(char *buf, size_t size, const json_t *row, const char *key)
{
    snprintf(buf, size, "%s", string_or(row, key, "-"));
}

static double time_unit_ns(const char *unit)
{
    return !strcmp(unit, "s") ? 1e9 : !strcmp(unit, "ms") ? 1e6 : !strcmp(unit, "us") ? 1e3 : 1;
}

/* The repetitions of one row among all of a result. */
struct repetitions {
    const json_t *list;
    const size_t *next;         /* of each entry of list: the next of its row, or NONE */
    size_t first;
};
#define NONE SIZE_MAX

static const json_t *entry(const struct repetitions *r, size_t i)
{
    return json_array_get(r->list, i);
}

/* The median of a counter over the repetitions of a row. */
static double median_of(const struct repetitions *all, const char *key, double *room)
{
    size_t n = 0;

    for (size_t i = all->first; i != NONE; i = all->next[i]) {
        const double v = number_or_nan(entry(all, i), key);
        if (!isnan(v))
            room[n++] = v;
    }
    rbe_sort(room, n);
    return rbe_median(room, n);
}

static double fold(const struct repetitions *all, const char *key, bool max)
{
    double out = 0;

    for (size_t i = all->first; i != NONE; i = all->next[i]) {
        const double v = number_or_nan(entry(all, i), key);
        if (!isnan(v))
            out = max ? fmax(out, v) : out + v;
    }
    return out;
}

/* Medians of each launch's times, and how they scatter. */
static void between_launches(struct rbe_bench_row *r, const struct repetitions *all,
                             double *room, double *medians)
{
    unsigned launches = 0;

    for (json_int_t launch = 0;; launch++) {
        size_t n = 0;
        for (size_t i = all->first; i != NONE; i = all->next[i]) {
            const json_t *b = entry(all, i);
            const double t = RBE_NUMBER_AT(b, real_time);
            if (!isnan(t) && !RBE_TRUE_AT(b, error_occurred) &&
                json_integer_value(RBE_VALUE_AT(b, launch)) == launch)
                room[n++] = t;
        }
        if (!n)
            break;
        rbe_sort(room, n);
        medians[launches++] = rbe_median(room, n);
    }
    r->launches = launches;
    if (launches > 1) {
        rbe_sort(medians, launches);
        r->between = rbe_mad(medians, launches, room) / rbe_median(medians, launches);
    }
}

static void fill_row(struct rbe_bench_row *r, const struct rbe_bench_rows *rows,
                     const struct repetitions *all, double *room, double *room2)
{
    const char *run_name = string_or(entry(all, all->first), RBE_KEY(run_name), "");
    const char *suffix = strstr(run_name, "/manual_time");
    const json_t *timed = NULL;
    double unit = 1;
    size_t n = 0;

    snprintf(r->name, sizeof r->name, "%.*s",
             (int)(suffix ? (size_t)(suffix - run_name) : strlen(run_name)), run_name);
    for (size_t i = all->first; i != NONE; i = all->next[i]) {
        const json_t *b = entry(all, i);
        if (RBE_TRUE_AT(b, error_occurred)) {
            snprintf(r->error, sizeof r->error, "%s",
                     string_or(b, RBE_KEY(error_message), "error"));
            continue;
        }
        timed = b;
        unit = time_unit_ns(string_or(b, RBE_KEY(time_unit), "ns"));
        const double t = RBE_NUMBER_AT(b, real_time);
        if (!isnan(t))
            room[n++] = t * unit;
    }
    r->samples = (unsigned)n;
    rbe_sort(room, n);
    r->ns_min = rbe_quantile(room, n, 0);
    r->ns_median = rbe_median(room, n);
    r->ns_mad = rbe_mad(room, n, room2);
    r->unstable =
        n && !(n >= RBE_STABLE_SAMPLES && r->ns_mad <= RBE_UNSTABLE * r->ns_median);
    fact(r->kind, sizeof r->kind, timed, RBE_KEY(what));
    fact(r->op, sizeof r->op, timed, RBE_KEY(op));
    fact(r->format, sizeof r->format, timed, RBE_KEY(format));
    fact(r->isa, sizeof r->isa, timed, RBE_KEY(isa));
    fact(r->cache, sizeof r->cache, timed, RBE_KEY(cache));
    const json_t *used = timed ? RBE_VALUE_AT(timed, used) : NULL;
    snprintf(r->used, sizeof r->used, used ? "%d" : "-", (int)json_integer_value(used));
    const struct {
        const char *key;
        double *to;
    } counters[] = {
        {RBE_KEY(rows), &r->rows},
        {RBE_KEY(cols), &r->cols},
        {RBE_KEY(block), &r->block},
        {RBE_KEY(aux), &r->aux},
        {RBE_KEY(vectors), &r->vectors},
        {RBE_KEY(threads_pinned), &r->threads},
        {RBE_KEY(bytes), &r->bytes},
        {RBE_KEY(weights), &r->weights},
        {RBE_KEY(bits_per_weight), &r->bits_per_weight},
        {RBE_KEY(ratio), &r->ratio},
        {RBE_KEY(bytes_per_second), &r->bytes_per_second},
        {RBE_KEY(items_per_second), &r->weights_per_second},
        {RBE_KEY(read_roof), &r->read_roof},
        {RBE_KEY(read_fraction), &r->read_fraction},
        {RBE_KEY(multiply_adds_per_second), &r->multiply_adds_per_second},
        {RBE_KEY(peak), &r->peak},
        {RBE_KEY(peak_fraction), &r->peak_fraction},
    };
    for (size_t k = 0; k < sizeof counters / sizeof counters[0]; k++)
        *counters[k].to = median_of(all, counters[k].key, room);
    for (unsigned k = 0; k < rows->events; k++)
        r->event[k] = median_of(all, rows->event[k], room);
    r->foreign_max = fold(all, RBE_KEY(foreign_share), true);
    r->lost_max = fold(all, RBE_KEY(lost_share), true);
    r->repeats = fold(all, RBE_KEY(repeats), false);
    r->disturbed = fold(all, RBE_KEY(disturbed), false);
    between_launches(r, all, room, room2);
}

struct ordered {
    json_int_t family;
    size_t index;
};

static int by_family(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;

    if (x->family != y->family)
        return x->family < y->family ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

void rbe_summary_sort(json_t *result)
{
    json_t *old = RBE_VALUE_AT(result, benchmarks), *sorted = json_array(), *row;
    const size_t n = json_array_size(old);
    struct ordered *order = calloc(n + 1, sizeof *order);
    size_t i;

    /* Without memory, and where there are no rows, all stays as it is. */
    if (order && sorted && json_is_array(old)) {
        json_array_foreach(old, i, row) {
            order[i].family = json_integer_value(RBE_VALUE_AT(row, family_index));
            order[i].index = i;
        }
        qsort(order, n, sizeof *order, by_family);
        for (i = 0; i < n; i++)
            json_array_append(sorted, json_array_get(old, order[i].index));
        json_object_set(result, RBE_KEY(benchmarks), sorted);
    }
    json_decref(sorted);
    free(order);
}

/* The names of the events that this run counted. */
static void read_events(struct rbe_bench_rows *out, const json_t *result)
{
    const json_t *rbe = RBE_VALUE_AT(result, context, rbe), *name;
    size_t i;

    json_array_foreach(RBE_VALUE_AT(rbe, counters, counted), i, name)
        if (json_is_string(name) && out->events < RBE_ROW_EVENTS)
            snprintf(out->event[out->events++], sizeof out->event[0], "%s",
                     json_string_value(name));
}

/* Where the row of each repetition begins, in the order they are first met, and which
 * repetition follows which; returns how many rows there are. */
static size_t group(const json_t *list, size_t *first, size_t *last, size_t *next,
                    json_t *place)
{
    size_t count = 0, i;
    const json_t *b;

    json_array_foreach(list, i, b)
    {
        const char *name = string_or(b, RBE_KEY(run_name), "");
        const json_t *at = json_object_get(place, name);
        next[i] = NONE;
        if (strcmp(string_or(b, RBE_KEY(run_type), ""), "iteration"))
            continue;
        if (at) {
            size_t *end = &last[json_integer_value(at)];
            *end = next[*end] = i;
            continue;
        }
        json_object_set_new(place, name, json_integer((json_int_t)count));
        first[count] = last[count] = i;
        count++;
    }
    return count;
}

enum rbe_status rbe_summary(struct rbe_bench_rows *out, const json_t *result,
                            struct rbe_diag *d)
{
    const json_t *list = RBE_VALUE_AT(result, benchmarks), *b;
    const size_t n = json_array_size(list) + 1;
    enum rbe_status err = RBE_ERR_NOMEM;
    json_t *place = json_object();
    size_t i;

    *out = (struct rbe_bench_rows){0};
    double *room = malloc(2 * n * sizeof *room);
    size_t *first = malloc(3 * n * sizeof *first);
    if (!json_is_array(list)) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "no \"benchmarks\": not a Google Benchmark result");
        goto out;
    }
    json_array_foreach(list, i, b) if (!string_or(b, RBE_KEY(run_name), NULL))
    {
        err = rbe_fail(d, RBE_ERR_FORMAT, "benchmark %zu has no \"run_name\"", i);
        goto out;
    }
    if (!place || !room || !first) {
        rbe_fail(d, err, "out of memory");
        goto out;
    }
    size_t *next = first + 2 * n;
    const size_t count = group(list, first, first + n, next, place);
    if (!(out->row = calloc(count + 1, sizeof *out->row))) {
        rbe_fail(d, err, "out of memory");
        goto out;
    }
    err = RBE_OK;
    read_events(out, result);
    for (; out->count < count; out->count++) {
        const struct repetitions all = {list, next, first[out->count]};
        fill_row(&out->row[out->count], out, &all, room, room + n);
    }
    if (!out->count)
        err = rbe_fail(d, RBE_ERR_FORMAT, "no repetitions among the \"benchmarks\"");
out:
    free(room);
    free(first);
    json_decref(place);
    if (err)
        rbe_bench_rows_free(out);
    return err;
}

void rbe_bench_rows_free(struct rbe_bench_rows *r)
{
    free(r->row);
    *r = (struct rbe_bench_rows){0};
}

/* --- output ------------------------------------------------------------------------------- */

static void put(FILE *f, double v)
{
    if (isnan(v))
        fputs("\t-", f);
    else
        fprintf(f, "\t%.9g", v);
}

static void header_line(FILE *f, const json_t *context, const char *key)
{
    const json_t *v = json_object_get(context, key);

    if (json_is_string(v))
        fprintf(f, "# %s %s\n", key, json_string_value(v));
    else if (json_is_integer(v))
        fprintf(f, "# %s %" JSON_INTEGER_FORMAT "\n", key, json_integer_value(v));
    else if (json_is_real(v))
        fprintf(f, "# %s %.9g\n", key, json_number_value(v));
    else if (v)
        fprintf(f, "# %s %s\n", key, json_is_null(v) ? "unknown" : json_is_true(v) ? "1" : "0");
}

static void header_machine(FILE *f, const json_t *rbe)
{
    const json_t *topology = RBE_VALUE_AT(rbe, topology), *v;
    size_t i;

    static const char *const machine[] = {RBE_KEY(cpu), RBE_KEY(arch), RBE_KEY(cores),
                                          RBE_KEY(memory_bytes), RBE_KEY(kernel)};
    for (i = 0; i < sizeof machine / sizeof machine[0]; i++)
        header_line(f, RBE_VALUE_AT(rbe, machine), machine[i]);
    header_line(f, rbe, RBE_KEY(isa));
    header_line(f, rbe, RBE_KEY(cpus_pinned));
    header_line(f, rbe, RBE_KEY(topology_summary));
    header_line(f, topology, RBE_KEY(numa_nodes));
    header_line(f, topology, RBE_KEY(smt));
    json_array_foreach(RBE_VALUE_AT(topology, caches), i, v)
        fprintf(f, "# cache level=%d bytes=%lld count=%d shared_by_threads=%d\n",
                (int)json_integer_value(RBE_VALUE_AT(v, level)),
                (long long)json_integer_value(RBE_VALUE_AT(v, bytes)),
                (int)json_integer_value(RBE_VALUE_AT(v, count)),
                (int)json_integer_value(RBE_VALUE_AT(v, shared_by_threads)));
    header_line(f, RBE_VALUE_AT(rbe, conditions), RBE_KEY(governor));
    header_line(f, RBE_VALUE_AT(rbe, conditions), RBE_KEY(turbo));
    header_line(f, rbe, RBE_KEY(cold_bytes));
}

/* The whole read curve, and every probe's rate. */
static void header_roofs(FILE *f, const json_t *roofs)
{
    const json_t *v;
    size_t i;

    json_array_foreach(RBE_VALUE_AT(roofs, read_curve), i, v)
        fprintf(f, "# roof_read threads=%d bytes=%lld bytes_per_second=%.9g\n",
                (int)json_integer_value(RBE_VALUE_AT(v, threads)),
                (long long)json_integer_value(RBE_VALUE_AT(v, bytes)),
                json_number_value(RBE_VALUE_AT(v, bytes_per_second)));
    json_array_foreach(RBE_VALUE_AT(roofs, peaks), i, v)
        fprintf(f, "# roof_peak probe=%s threads=%d multiply_adds_per_second=%.9g\n",
                string_or(v, RBE_KEY(probe), "-"),
                (int)json_integer_value(RBE_VALUE_AT(v, threads)),
                json_number_value(RBE_VALUE_AT(v, multiply_adds_per_second)));
}

/* What the plots of the table must know of the lists: codecs with their usual B, ISAs. */
static void header_lists(FILE *f)
{
    static const struct {
        const char *word;
        uint32_t bits;
    } isas[] = {
#define RBE_KERNEL(op, format, isa) {#isa, RBE_BITS(isa)},
#include "kernels/kernels.def"
    };
    int64_t last = -1, next;

    fputs("# formats", f);
    for (int i = 0; i < RBE_FORMAT_COUNT; i++)
        fprintf(f, " %s", rbe_format_name((enum rbe_format)i));
    fputs("\n# usual_blocks", f);
    for (int i = 0; i < RBE_FORMAT_COUNT; i++)
        fprintf(f, " %u", (unsigned)rbe_format_facts((enum rbe_format)i)->usual_block);
    fputs("\n# isas", f);
    do {
        const char *word = NULL;
        next = INT64_MAX;
        for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
            if (isas[i].bits > last && isas[i].bits < next) {
                next = isas[i].bits;
                word = isas[i].word;
            }
        if (word)
            fprintf(f, " %s", word);
        last = next;
    } while (next != INT64_MAX);
    putc('\n', f);
}

void rbe_summary_tsv(FILE *f, const struct rbe_bench_rows *r, const json_t *result)
{
    const json_t *context = RBE_VALUE_AT(result, context), *v;
    json_t *rbe = RBE_VALUE_AT(context, rbe), *absent, *reason;
    const char *name;
    size_t i;

    fputs("# schema rbe-bench-1\n", f);
    header_line(f, context, RBE_KEY(date));
    header_line(f, rbe, RBE_KEY(commit));
    header_line(f, rbe, RBE_KEY(dirty));
    header_line(f, rbe, RBE_KEY(compiler));
    header_line(f, rbe, RBE_KEY(flags));
    header_line(f, rbe, RBE_KEY(command));
    header_machine(f, rbe);
    header_roofs(f, RBE_VALUE_AT(rbe, roofs));
    header_lists(f);
    absent = RBE_VALUE_AT(rbe, counters, unavailable);
    json_object_foreach(absent, name, reason)
        fprintf(f, "# no_counter %s %s\n", name, json_string_value(reason));
    json_array_foreach(RBE_VALUE_AT(rbe, warnings), i, v)
        fprintf(f, "# warning %s\n", json_string_value(v));
    fputs(
        "name\tkind\top\tformat\tisa\tcache\trows\tcols\tblock\taux\tvectors\tthreads\tsamples"
        "\tns_median\tns_mad\tns_min\tbytes\tweights\tbits_per_weight\tratio"
        "\tbytes_per_second\tweights_per_second\tread_roof\tread_fraction\tpeak"
        "\tpeak_fraction\tforeign_max\tlost_max\trepeats\tdisturbed\tlaunches\tbetween"
        "\tunstable\terror\tused\tmultiply_adds_per_second",
        f);
    for (unsigned k = 0; k < r->events; k++)
        fprintf(f, "\t%s", r->event[k]);
    fputc('\n', f);
    for (i = 0; i < r->count; i++) {
        const struct rbe_bench_row *b = &r->row[i];
        fprintf(f, "%s\t%s\t%s\t%s\t%s\t%s", b->name, b->kind, b->op, b->format, b->isa,
                b->cache);
        const double first[] = {b->rows,
                                b->cols,
                                b->block,
                                b->aux,
                                b->vectors,
                                b->threads,
                                b->samples,
                                b->ns_median,
                                b->ns_mad,
                                b->ns_min,
                                b->bytes,
                                b->weights,
                                b->bits_per_weight,
                                b->ratio,
                                b->bytes_per_second,
                                b->weights_per_second,
                                b->read_roof,
                                b->read_fraction,
                                b->peak,
                                b->peak_fraction,
                                b->foreign_max,
                                b->lost_max,
                                b->repeats,
                                b->disturbed,
                                b->launches,
                                b->between};
        for (size_t k = 0; k < sizeof first / sizeof first[0]; k++)
            put(f, first[k]);
        fprintf(f, "\t%d\t%s\t%s", b->unstable, b->error[0] ? b->error : "-", b->used);
        put(f, b->multiply_adds_per_second);
        for (unsigned k = 0; k < r->events; k++)
            put(f, b->event[k]);
        fputc('\n', f);
    }
}

/* "12.3 us" in 9 columns. */
static const char *time_text(double ns, char *buf, size_t size)
{
    if (ns < 1e4)
        snprintf(buf, size, "%.4g ns", ns);
    else if (ns < 1e7)
        snprintf(buf, size, "%.4g us", ns / 1e3);
    else
        snprintf(buf, size, "%.4g ms", ns / 1e6);
    return buf;
}

static void cell(FILE *f, int width, const char *fmt, double v)
{
    char buf[32] = "-";

    if (!isnan(v))
        snprintf(buf, sizeof buf, fmt, v);
    fprintf(f, " %*s", width, buf);
}

void rbe_summary_table(FILE *f, const struct rbe_bench_rows *r)
{
    unsigned unstable = 0;
    char buf[32];

    fprintf(f, "%-52s %10s %6s %6s %8s %8s %6s %6s %6s\n", "benchmark", "median", "MAD %",
            "betw %", "GB/s", "Gw/s", "bits", "read %", "peak %");
    for (size_t i = 0; i < r->count; i++) {
        const struct rbe_bench_row *b = &r->row[i];
        fprintf(f, "%-52s", b->name);
        if (!b->samples) {
            fprintf(f, " %s\n", b->error[0] ? b->error : "no samples");
            continue;
        }
        fprintf(f, " %10s", time_text(b->ns_median, buf, sizeof buf));
        cell(f, 6, "%.1f", 100 * b->ns_mad / b->ns_median);
        cell(f, 6, "%.1f", b->launches > 1 ? 100 * b->between : NAN);
        cell(f, 8, "%.2f", b->bytes_per_second / 1e9);
        cell(f, 8, "%.2f", b->weights_per_second / 1e9);
        cell(f, 6, "%.2f", b->bits_per_weight);
        cell(f, 6, "%.0f", 100 * b->read_fraction);
        cell(f, 6, "%.0f", 100 * b->peak_fraction);
        fprintf(f, "%s%s\n",
                b->samples < RBE_STABLE_SAMPLES ? "  too few samples"
                : b->unstable                   ? "  unstable"
                                                : "",
                b->error[0] ? "  (stopped early)" : "");
        unstable += b->unstable;
    }
    fprintf(
        f,
        "betw %%: MAD of the launches' medians; GB/s: encoded bytes; Gw/s: weights;\n"
        "read %%: of the measured read bandwidth; peak %%: the multiply-adds done, of the "
        "measured rate of that ISA.\n%u of %zu rows unstable (MAD above %.0f %% of the "
        "median, or fewer than %d samples).\n",
        unstable, r->count, 100 * RBE_UNSTABLE, RBE_STABLE_SAMPLES);
}

/* A field as a number where it is one, null for '-'. */
static json_t *value_of(const char *text)
{
    char *end;
    const double x = strtod(text, &end);

    if (!strcmp(text, "-") || !*text)
        return json_null();
    if (*end || end == text)
        return json_string(text);
    return text[strspn(text, "-0123456789")] ? json_real(x) : json_integer((json_int_t)x);
}

/* The table's own columns: there is one list of them. */
json_t *rbe_summary_json(const struct rbe_bench_rows *r, const json_t *result)
{
    json_t *rows = json_array(), *titles = json_array();
    char *text = NULL, *save = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    if (f) {
        rbe_summary_tsv(f, r, result);
        if (fclose(f))
            f = NULL;
    }
    for (char *line = f ? strtok_r(text, "\n", &save) : NULL; line;
         line = strtok_r(NULL, "\n", &save)) {
        json_t *row = json_object();
        char *field;
        if (*line == '#') {
            json_decref(row);
            continue;
        }
        const bool head = !json_array_size(titles);
        for (size_t i = 0; (field = strsep(&line, "\t")); i++)
            if (head)
                json_array_append_new(titles, json_string(field));
            else if (i < json_array_size(titles))
                json_object_set_new(row, json_string_value(json_array_get(titles, i)),
                                    value_of(field));
        if (head)
            json_decref(row);
        else
            json_array_append_new(rows, row);
    }
    free(text);
    json_decref(titles);
    if (f)
        return rows;
    json_decref(rows);
    return NULL;
}
