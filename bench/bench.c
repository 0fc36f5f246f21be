/*
 * bench.c - a whole run: machine, roofs, cases, Google Benchmark, files.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/table.h"
#include "base/utf8.h"
#include "bench/build.h"
#include "bench/gbench.h"
#include "bench/launches.h"
#include "bench/summary.h"
#include "kernels/cpu.h"
#include "model/dense.h"

enum { REPETITIONS = 7 };

struct run {
    const struct rbe_bench_options *o;
    struct rbe_machine *machine;
    struct rbe_cpulist cpus;
    struct rbe_teams teams;
    struct rbe_roofs roofs;
    struct rbe_data *data;
    struct rbe_suite *suite;
    struct rbe_selection selection;
    json_t *extra; /* what goes into the result's context as "rbe" */
    char *partial; /* the file that Google Benchmark writes */
    char *out_flag;
    char *samples_path;
    FILE *samples;
    const char *out, *filter;
    unsigned repetitions, left_out;
    bool list_only, own_table;
    bool whole; /* the result stands complete at `out` */
};

/* --- flags of Google Benchmark ------------------------------------------------------------ */

static const char *flag_value(const char *arg, const char *flag)
{
    const size_t n = strlen(flag);
    return !strncmp(arg, flag, n) && arg[n] == '=' ? arg + n + 1 : NULL;
}

/* As Google Benchmark reads a truth value. */
static bool is_true(const char *v)
{
    static const char *const no[] = {"0", "n", "no", "f", "false", "off"};

    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++)
        if (!strcasecmp(v, no[i]))
            return false;
    return true;
}

/* 0 where it is none, or far too large. */
static unsigned whole_number(const char *v)
{
    const size_t n = strlen(v);

    return n && n <= 6 && strspn(v, "0123456789") == n ? (unsigned)atoi(v) : 0;
}

/* What of Google Benchmark's flags this program must know; returns a bad one or NULL. */
static const char *read_flags(struct run *r)
{
    const char *v;

    r->repetitions = REPETITIONS;
    r->filter = "";
    r->own_table = !r->o->quiet;
    for (int i = 1; i < r->o->google_count; i++) {
        const char *arg = r->o->google[i];
        if ((v = flag_value(arg, "--benchmark_out")))
            r->out = v;
        else if ((v = flag_value(arg, "--benchmark_out_format")) && strcmp(v, "json"))
            return arg;
        else if ((v = flag_value(arg, "--benchmark_repetitions")))
            r->repetitions = whole_number(v);
        else if ((v = flag_value(arg, "--benchmark_filter")))
            r->filter = strcmp(v, "all") ? v : "";
        else if (flag_value(arg, "--benchmark_format"))
            r->own_table = false;
        else if ((v = flag_value(arg, "--benchmark_min_time")))
            return "--benchmark_min_time (use --min-time)";
        else if (!strcmp(arg, "--benchmark_report_aggregates_only") ||
                 ((v = flag_value(arg, "--benchmark_report_aggregates_only")) && is_true(v)))
            return "--benchmark_report_aggregates_only (rows are made of the repetitions)";
        else if (!strcmp(arg, "--benchmark_list_tests"))
            r->list_only = true;
        else if ((v = flag_value(arg, "--benchmark_list_tests")))
            r->list_only = is_true(v);
    }
    return r->repetitions < 1 || r->repetitions > 1000 ? "--benchmark_repetitions" : NULL;
}

/* Our defaults first: a later flag of the user wins. */
static enum rbe_status start_google(struct run *r, struct rbe_diag *d)
{
    const int room = r->o->google_count + 10;
    char **argv = calloc((size_t)room, sizeof *argv), min_time[64];
    int argc = 0;

    if (!argv)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    snprintf(min_time, sizeof min_time, "--benchmark_min_time=%.9g", r->o->min_seconds);
    argv[argc++] = r->o->google[0];
    argv[argc++] = min_time;
    argv[argc++] = "--benchmark_repetitions=7";
    argv[argc++] = "--benchmark_enable_random_interleaving=true";
    /* The environment may set it. */
    argv[argc++] = "--benchmark_report_aggregates_only=false";
    /* Without a filter the library grows its list by one row at a time: seconds for 10,000. */
    if (r->selection.full)
        argv[argc++] = "--benchmark_filter=.*";
    if (r->out_flag)
        argv[argc++] = r->out_flag;
    for (int i = 1; i < r->o->google_count; i++)
        if (!flag_value(r->o->google[i], "--benchmark_out"))
            argv[argc++] = r->o->google[i];
    _Static_assert(REPETITIONS == 7, "the flag above says so too");
    const char *bad = rbe_gbench_init(&argc, argv);
    const enum rbe_status err =
        bad ? rbe_fail(d, RBE_ERR_ARG, "%s: not a flag of Google Benchmark, or no value for it",
                       bad)
            : RBE_OK;
    free(argv);
    return err;
}

/* --- the machine -------------------------------------------------------------------------- */

static enum rbe_status open_teams(struct run *r, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (unsigned t = 1; t <= r->cpus.count && t <= RBE_MAX_CPUS && !err; t++) {
        if (!rbe_plan_uses(&r->selection, r->cpus.count, t))
            continue;
        err = rbe_team_open(&r->teams.of[t], t, &r->cpus, d);
        if (!err)
            err = rbe_perf_open(&r->teams.perf[t], r->teams.of[t]->tid, t, r->o->events, d);
    }
    return err;
}

/* The most that one arena of weights may take. */
static size_t set_limit(const struct run *r)
{
    const size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);

    return r->o->set_limit_mib ? (size_t)r->o->set_limit_mib << 20 : memory / 8;
}

/* Large enough to leave every cache, by what the system claims: virtual machines claim too
 * much or too little, so the measured curve has the last word (cold_bytes below). */
static size_t largest_set(const struct run *r)
{
    const size_t claimed = rbe_machine_llc_bytes(r->machine), limit = set_limit(r);
    size_t n = claimed * 4 < (size_t)256 << 20 ? (size_t)256 << 20 : claimed * 4;

    if (n > (size_t)2 << 30)
        n = (size_t)2 << 30;
    n = n > limit ? limit : n;
    return n / 4096 * 4096;
}

static size_t cold_bytes(const struct run *r)
{
    const size_t claimed = rbe_machine_llc_bytes(r->machine);
    size_t n = 2 * claimed > 2 * r->roofs.cache_bytes ? 2 * claimed : 2 * r->roofs.cache_bytes;

    if (n < (size_t)128 << 20)
        n = (size_t)128 << 20;
    return n > set_limit(r) ? set_limit(r) : n;
}

static void say(const struct run *r, const char *text)
{
    if (!r->o->quiet)
        fprintf(stderr, "rbe-bench: %s\n", text);
}

static enum rbe_status measure_roofs(struct run *r, struct rbe_diag *d)
{
    unsigned threads = 0;
    char text[200];

    for (unsigned t = 1; t <= r->cpus.count; t++)
        if (r->teams.of[t])
            threads = t;
    say(r, "measuring read bandwidth and multiply-add rates first");
    const enum rbe_status err = rbe_roofs_measure(
        &r->roofs, r->teams.of, threads, rbe_cpu_isa(), largest_set(r), r->o->probe_seconds, d);
    if (err)
        return err;
    if (rbe_interrupted())
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted before anything was measured");
    snprintf(text, sizeof text,
             "one thread reads %.1f GB/s from memory; caches end at %zu MiB "
             "(the system claims %zu); cold means %zu MiB",
             rbe_roofs_read(&r->roofs, SIZE_MAX, 1) / 1e9, r->roofs.cache_bytes >> 20,
             rbe_machine_llc_bytes(r->machine) >> 20, cold_bytes(r) >> 20);
    say(r, text);
    return RBE_OK;
}

/* --- context ------------------------------------------------------------------------------ */

static void context_string(json_t *extra, const char *key, const char *value)
{
    rbe_gbench_context(key, value);
    json_object_set_new(extra, key, rbe_result_string(value));
}

static void describe(struct run *r)
{
    char text[512];
    json_t *facts, *warnings, *v, *topology;
    struct rbe_cpulist read_back = {0};
    size_t i;

    rbe_machine_conditions(r->machine, &facts, &warnings);
    topology = rbe_machine_json(r->machine);
    for (unsigned t = 1; t <= r->cpus.count; t++)
        if (r->teams.of[t])
            read_back = r->teams.of[t]->pinned;
    context_string(r->extra, RBE_KEY(cpus_pinned),
                   rbe_cpulist_string(&read_back, text, sizeof text));
    context_string(r->extra, RBE_KEY(isa), rbe_isa_string(rbe_cpu_isa(), text, sizeof text));
    context_string(r->extra, RBE_KEY(topology_summary),
                   RBE_STRING_AT(topology, summary));
    if (r->roofs.points) {
        snprintf(text, sizeof text, "%.4g", rbe_roofs_read(&r->roofs, SIZE_MAX, 1));
        context_string(r->extra, RBE_KEY(memory_roof_1_thread), text);
        snprintf(text, sizeof text, "%zu", rbe_data_cold_bytes(r->data));
        context_string(r->extra, RBE_KEY(cold_bytes), text);
    }
    json_object_set_new(r->extra, RBE_KEY(topology), topology);
    json_object_set_new(r->extra, RBE_KEY(conditions), facts);
    json_object_set_new(r->extra, RBE_KEY(warnings), warnings);
    json_object_set_new(r->extra, RBE_KEY(unstable_limit), json_real(RBE_UNSTABLE));
    RBE_SET(r->extra, RBE_REAL(foreign_limit, r->o->foreign_percent / 100));
    json_object_set_new(r->extra, RBE_KEY(counters), rbe_perf_json(r->teams.perf[1]));
    if (!rbe_perf_hardware(r->teams.perf[1])) {
        snprintf(text, sizeof text, "no hardware counters: %s; software events instead",
                 rbe_perf_reason(r->teams.perf[1]));
        json_array_append_new(warnings, json_string(text));
    }
    if (r->roofs.points && set_limit(r) < 2 * rbe_machine_llc_bytes(r->machine)) {
        snprintf(text, sizeof text,
                 "cold weights take %zu MiB only: caches may hold much of "
                 "them",
                 cold_bytes(r) >> 20);
        json_array_append_new(warnings, json_string(text));
    }
    json_object_set_new(r->extra, RBE_KEY(dense_library), json_string(rbe_dense_name()));
    context_string(r->extra, RBE_KEY(compiler), rbe_build_compiler());
    context_string(r->extra, RBE_KEY(flags), rbe_build_flags());
    json_array_foreach(warnings, i, v) say(r, json_string_value(v));
    if (r->samples) { /* the first line says what the samples were taken on */
        json_dumpf(r->extra, r->samples, JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputc('\n', r->samples);
        fflush(r->samples);
    }
}

/* --- files -------------------------------------------------------------------------------- */

static char *with_suffix(const char *path, const char *suffix)
{
    char *p = malloc(strlen(path) + strlen(suffix) + 1);

    if (p)
        strcat(strcpy(p, path), suffix);
    return p;
}

/* Names what is written on the way, and tries every destination before anything is measured. */
static enum rbe_status name_files(struct run *r, struct rbe_diag *d)
{
    const char *tmp = getenv("TMPDIR");
    struct rbe_files files = {0};
    enum rbe_status err;
    char own[64];

    snprintf(own, sizeof own, "/rbe-bench.%ld", (long)getpid());
    if (r->out) {
        r->partial = with_suffix(r->out, ".partial");
        r->samples_path = with_suffix(r->out, ".samples.jsonl");
    } else {
        char *base = with_suffix(tmp && *tmp ? tmp : "/tmp", own);
        r->partial = base ? with_suffix(base, ".json") : NULL;
        free(base);
    }
    if (!r->partial || (r->out && !r->samples_path))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!(err = rbe_files_replace(&files, r->out, d)) &&
        !(err = rbe_files_replace(&files, r->samples_path, d)) &&
        !(err = rbe_files_replace(&files, r->partial, d)) &&
        !(err = rbe_files_replace(&files, r->o->tsv, d)))
        err = rbe_files_replace(&files, r->o->svg, d);
    rbe_files_free(&files);
    if (err)
        return err;
    const size_t n = strlen(r->partial) + 32;
    if (!(r->out_flag = malloc(n)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    snprintf(r->out_flag, n, "--benchmark_out=%s", r->partial);
    return RBE_OK;
}

static enum rbe_status open_samples(struct run *r, struct rbe_diag *d)
{
    if (r->samples_path && !(r->samples = fopen(r->samples_path, "w")))
        return rbe_fail_errno(d, "%s", r->samples_path);
    return RBE_OK;
}

static enum rbe_status write_json(const json_t *j, const char *path, struct rbe_diag *d)
{
    struct rbe_outfile f = {0};
    enum rbe_status err = rbe_outfile_open(&f, path, d);

    if (!err && json_dumpf(j, f.f, JSON_INDENT(1) | JSON_REAL_PRECISION(9)))
        err = rbe_fail_errno(d, "%s", path);
    if (!err)
        err = rbe_outfile_commit(&f, d);
    rbe_outfile_discard(&f);
    return err;
}

static enum rbe_status write_tsv(const struct rbe_bench_rows *rows, const json_t *result,
                                 const char *path, struct rbe_diag *d)
{
    struct rbe_outfile f = {0};
    enum rbe_status err = rbe_outfile_open(&f, path, d);

    if (!err) {
        rbe_summary_tsv(f.f, rows, result);
        err = rbe_outfile_commit(&f, d);
    }
    rbe_outfile_discard(&f);
    return err;
}

/* The same with bytes that are no UTF-8 as rbe_utf8_text() has them, in JSON strings; or
 * NULL. */
static char *mend(const char *text, size_t size)
{
    char *out = malloc(5 * size + 1), *to = out;

    for (size_t i = 0; out && i < size;) {
        uint32_t code;
        const size_t n = rbe_utf8_char(text + i, size - i, &code);
        if (n)
            memcpy(to, text + i, n);
        else
            sprintf(to, "\\\\x%02X", (unsigned char)text[i]);
        to += n ? n : 5;
        i += n ? n : 1;
    }
    if (out)
        *to = 0;
    return out;
}

static enum rbe_status load(json_t **out, const char *path, struct rbe_diag *d)
{
    char *text = NULL, *mended = NULL;
    json_error_t e = {0};
    size_t size;
    enum rbe_status err;

    *out = NULL;
    if ((err = rbe_read_file(&text, &size, path, d)))
        return err;
    /* Google Benchmark writes the program's path and the host's name as they are. */
    if (!(mended = mend(text, size)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    else
        err = rbe_json_load(out, mended, strlen(mended), 0, &e, path, d);
    free(mended);
    free(text);
    return err == RBE_ERR_FORMAT ? rbe_fail(d, err, "%s: line %d: %s", path, e.line, e.text)
                                 : err;
}

static enum rbe_status print_rows(const struct rbe_bench_rows *rows, const json_t *result,
                                  enum rbe_output how, struct rbe_diag *d)
{
    json_t *list = rbe_summary_json(rows, result);
    const enum rbe_status err = list ? rbe_output_rows(stdout, how, list, "rbe_bench", d)
                                     : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    json_decref(list);
    return err;
}

/* The rows of a result, printed and written where they were asked for. */
static enum rbe_status present(const struct rbe_bench_options *o, const json_t *result,
                               bool table, struct rbe_diag *d)
{
    struct rbe_bench_rows rows;
    enum rbe_status err = rbe_summary(&rows, result, d);

    if (err)
        return err;
    enum rbe_output how;
    if (!(err = rbe_output_parse(&how, o->output, d)) && how != RBE_OUTPUT_USUAL)
        err = print_rows(&rows, result, how, d);
    else if (!err && table)
        rbe_summary_table(stdout, &rows);
    if (!err && o->tsv)
        err = write_tsv(&rows, result, o->tsv, d);
    rbe_bench_rows_free(&rows);
    return err;
}

/* Google Benchmark writes times of 0 beside an error: a row that was not timed has none. */
static void drop_times_of_failed(json_t *benchmarks)
{
    json_t *row;
    size_t i;

    json_array_foreach(benchmarks, i,
                       row) if (RBE_TRUE_AT(row, error_occurred))
    {
        json_object_del(row, RBE_KEY(real_time));
        json_object_del(row, RBE_KEY(cpu_time));
    }
}

/* What Google Benchmark wrote, completed, takes its place by rename. */
static enum rbe_status finish(struct run *r, struct rbe_diag *d)
{
    const struct rbe_suite_result s = rbe_suite_result(r->suite);
    json_t *result;
    enum rbe_status err = load(&result, r->partial, d);

    if (err == RBE_ERR_FORMAT) {
        const struct rbe_diag why = *d;
        rbe_fail(d, err, "%s (written just now: disk full?)", why.text);
    }
    if (err)
        return err;
    json_object_set_new(r->extra, RBE_KEY(interrupted), json_boolean(rbe_interrupted()));
    json_object_set_new(r->extra, RBE_KEY(samples),
                        RBE_OBJECT(RBE_INT(taken, s.samples), RBE_INT(repeated, s.repeated),
                                   RBE_INT(disturbed, s.disturbed)));
    json_object_set_new(r->extra, RBE_KEY(verification),
                        RBE_OBJECT(RBE_INT(passed, s.verified), RBE_INT(failed, s.failed),
                                   RBE_WORD(first_failure, s.first_failure)));
    json_object_set_new(r->extra, RBE_KEY(left_out_as_too_slow), json_integer(r->left_out));
    json_object_set_new(r->extra, RBE_KEY(huge_page_share),
                        rbe_result_real(rbe_data_huge_share(r->data)));
    /* Probes among the rows may have found the machine faster than at the start. */
    json_object_set_new(r->extra, RBE_KEY(roofs), rbe_roofs_json(&r->roofs));
    rbe_suite_final_roofs(r->suite, RBE_VALUE_AT(result, benchmarks));
    drop_times_of_failed(RBE_VALUE_AT(result, benchmarks));
    json_object_set(RBE_VALUE_AT(result, context), RBE_KEY(rbe), r->extra);
    rbe_summary_sort(result);
    if (r->out)
        err = write_json(result, r->out, d);
    r->whole = r->out && !err;
    if (!err)
        err = present(r->o, result, r->own_table, d);
    json_decref(result);
    return err;
}

/* --- the run ------------------------------------------------------------------------------ */

/* Machine, CPUs, and what is to be measured; draws the machine. */
static enum rbe_status look(struct run *r, struct rbe_diag *d)
{
    const struct rbe_bench_options *o = r->o;
    enum rbe_status err;

    if ((err = rbe_machine_open(&r->machine, d)))
        return err;
    if (o->cpus)
        err = rbe_cpulist_parse(&r->cpus, o->cpus, d);
    else
        rbe_machine_one_per_core(r->machine, &r->cpus);
    /* A filter selects among all rows, and so a list shows all of them. */
    r->selection.full = o->full || r->list_only || *r->filter;
    r->selection.slowest = o->slowest;
    if (err ||
        (err = rbe_selection_parse(&r->selection, &o->texts, rbe_cpu_isa(), r->cpus.count, d)))
        return err;
    if (!r->list_only && (err = name_files(r, d)))
        return err;
    return o->svg ? rbe_machine_svg(r->machine, &r->cpus, o->svg, d) : RBE_OK;
}

/* What a filter selects is known from the plan, and needs no measured machine. */
static enum rbe_status check_filter(struct run *r, struct rbe_diag *d)
{
    struct rbe_selection all = r->selection;
    struct rbe_suite_options none = {0};
    struct rbe_suite *s = NULL;
    unsigned left_out;
    size_t count;

    if (!*r->filter)
        return RBE_OK;
    all.slowest = 0;
    rbe_roofs_plan(&r->roofs, rbe_cpu_isa(), largest_set(r));
    enum rbe_status err = rbe_suite_open(&s, NULL, &r->teams, &r->roofs, &none, d);
    if (!err && !(err = rbe_plan(s, &all, rbe_cpu_isa(), &left_out, d)))
        err = rbe_suite_matches(&count, s, r->filter, d);
    rbe_suite_close(&s);
    return err;
}

static enum rbe_status prepare(struct run *r, struct rbe_diag *d)
{
    enum rbe_status err;

    /* Before any thread is pinned: the record is of what this process was given. */
    if (!(r->extra = rbe_result_new(RBE_KIND(bench), r->cpus.count)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if ((err = start_google(r, d)) || (err = open_teams(r, d)))
        return err;
    if (r->list_only)
        rbe_roofs_plan(&r->roofs, rbe_cpu_isa(), largest_set(r));
    else if ((err = check_filter(r, d)) || (err = open_samples(r, d)) ||
             (err = measure_roofs(r, d)))
        return err;
    return rbe_data_open(&r->data, cold_bytes(r), d);
}

static enum rbe_status plan(struct run *r, struct rbe_diag *d)
{
    const struct rbe_suite_options so = {.min_seconds = r->o->min_seconds,
                                         .foreign_limit = r->o->foreign_percent / 100,
                                         .repeats_max = (unsigned)r->o->repeats,
                                         .raw = r->samples};
    enum rbe_status err = rbe_suite_open(&r->suite, r->data, &r->teams,
                                         &r->roofs, &so, d);
    char text[128];

    if (err || (err = rbe_plan(r->suite, &r->selection, rbe_cpu_isa(), &r->left_out, d)))
        return err;
    if (r->left_out && !r->list_only) {
        snprintf(text, sizeof text,
                 "%u case(s) left out: a product would last too long (--slowest)", r->left_out);
        say(r, text);
    }
    return RBE_OK;
}

static enum rbe_status measure(struct run *r, struct rbe_diag *d)
{
    struct rbe_suite_result s;

    rbe_suite_register(r->suite);
    if (r->list_only) {
        rbe_gbench_run(false, false);
        return RBE_OK;
    }
    describe(r);
    /* Google Benchmark's own table grows where a bar would stand. */
    if (r->o->quiet || (!r->own_table && isatty(STDOUT_FILENO)))
        rbe_progress_silence();
    rbe_suite_expect(r->suite, r->filter, r->repetitions);
    const size_t ran = rbe_gbench_run(r->own_table || r->o->quiet, true);
    rbe_progress_clear();
    s = rbe_suite_result(r->suite);
    if (!ran)
        return rbe_fail(d, RBE_ERR_ARG,
                        "the filter '%s' selects nothing of %zu benchmarks "
                        "(--benchmark_list_tests shows them)",
                        r->filter, rbe_suite_count(r->suite));
    const enum rbe_status written = finish(r, d);
    if (written)
        return written;
    if (rbe_interrupted())
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted; what was measured is kept%s%s",
                        r->out ? " in " : "", r->out ? r->out : "");
    if (s.failed)
        return rbe_fail(d, RBE_ERR_NUMERIC,
                        "%u case(s) failed verification, or could not be made, and were not "
                        "timed; first: %s",
                        s.failed, s.first_failure);
    return RBE_OK;
}

static enum rbe_status close_run(struct run *r, bool keep_partial, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    rbe_suite_close(&r->suite);
    rbe_data_close(&r->data);
    rbe_roofs_close(&r->roofs);
    for (unsigned t = 0; t <= RBE_MAX_CPUS; t++) {
        rbe_perf_close(&r->teams.perf[t]);
        rbe_team_close(&r->teams.of[t]);
    }
    rbe_machine_close(&r->machine);
    json_decref(r->extra);
    if (r->samples) {
        const bool bad = ferror(r->samples), empty = ftell(r->samples) == 0;
        if (fclose(r->samples) || bad)
            err = rbe_fail(d, RBE_ERR_IO, "%s: could not be written", r->samples_path);
        else if (empty)
            unlink(r->samples_path);
    }
    if (r->partial && (!keep_partial || r->whole || !r->out))
        unlink(r->partial);
    free(r->partial);
    free(r->samples_path);
    free(r->out_flag);
    return err;
}

static int complain(enum rbe_status err, const struct rbe_diag *d)
{
    rbe_progress_clear();
    if (err)
        fprintf(stderr, "rbe-bench: %s\n", d->text[0] ? d->text : rbe_strerror(err));
    return rbe_exit_code(err);
}

static int summarise(const struct rbe_bench_options *o)
{
    struct rbe_diag d = {{0}};
    struct rbe_files files = {0};
    json_t *result;
    enum rbe_status err;

    if (!(err = rbe_files_read(&files, o->summarise, &d)) &&
        !(err = rbe_files_replace(&files, o->tsv, &d)))
        err = load(&result, o->summarise, &d);
    rbe_files_free(&files);
    if (!err) {
        rbe_summary_sort(result);
        err = present(o, result, !o->quiet, &d);
        json_decref(result);
    }
    return complain(err, &d);
}

/* Several processes instead of this one. */
static enum rbe_status several(struct run *r, struct rbe_diag *d)
{
    struct rbe_diag later = {{0}};
    json_t *result;

    if (r->list_only)
        return rbe_fail(d, RBE_ERR_ARG, "--launches: a list needs none");
    /* The launches append to it. */
    enum rbe_status err = open_samples(r, d);
    if (err)
        return err;
    if (r->samples)
        fclose(r->samples);
    r->samples = NULL;
    err = rbe_launches(&result, r->o, r->samples_path, d);
    if (!result)
        return err;
    rbe_summary_sort(result);
    enum rbe_status written = r->out ? write_json(result, r->out, &later) : RBE_OK;
    if (!written)
        written = present(r->o, result, r->own_table, &later);
    json_decref(result);
    if (!err && written)
        *d = later;
    return err ? err : written;
}

int rbe_bench_main(const struct rbe_bench_options *o)
{
    struct run *r = calloc(1, sizeof *r);
    struct rbe_diag d = {{0}};
    enum rbe_output how;
    enum rbe_status err = rbe_output_parse(&how, o->output, &d), lost;

    if (err || (err = rbe_output_refuse_file(o->out, &d))) {
        free(r);
        return complain(err, &d);
    }
    if (o->summarise) {
        free(r);
        return summarise(o);
    }
    if (!r)
        return complain(rbe_fail(&d, RBE_ERR_NOMEM, "out of memory"), &d);
    r->o = o;
    r->out = o->out;
    const char *bad = read_flags(r);
    if (bad)
        err = rbe_fail(&d, RBE_ERR_ARG, "%s: not possible here", bad);
    rbe_catch_interrupt();
    if (!err)
        err = look(r, &d);
    if (!err && o->launches > 1) {
        err = several(r, &d);
        goto out;
    }
    if (!err)
        err = prepare(r, &d);
    if (!err)
        err = plan(r, &d);
    if (!err)
        err = measure(r, &d);
out:
    /* A result that could not be completed is left for the user to look at. */
    lost = close_run(r, err == RBE_ERR_FORMAT || err == RBE_ERR_IO, err ? NULL : &d);
    err = err ? err : lost;
    free(r);
    return complain(err, &d);
}
