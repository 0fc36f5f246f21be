/*
 * eval_perplexity.c - `rbe eval perplexity`: models, texts and protocols in one command.
 *
 * SPDX-License-Identifier: MIT
 *
 * Every thread takes whole windows.  A few of them go through all models before the next few:
 * what is finished when the work is interrupted is paired, and time ratios compare the same
 * minutes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/perplexity.h"
#include "model/data.h"

/* Rows of logits a thread makes at once: few, so that they are still in its cache when they
 * are summed. */
enum { ROWS = 128 };

/* All models take turns about this often; the windows of a turn at most, for each thread. */
static const double turn_s = 0.5;
enum { TURN_MAX = 16 };

/* What the warm-up before a long pass reads of a window. */
enum { WARM_UP_TOKENS = 256, WARM_UP_LEAST = 16 };

struct job {
    struct rbe_eval_options *o;
    double checkpoint_s;        /* partial results are appended this often */
    struct rbe_runner *runners;
    struct rbe_runner *lanes;   /* [model][lane_count], one lane a thread */
    unsigned lane_count;
    const struct rbe_text *text;
    struct rbe_windows w;
    size_t first, count, done;  /* windows: the first of this shard, wanted, measured */
    double **nll, *scored;      /* [model][count], [count] */
    double *seconds;            /* [model] */
};

static void job_free(struct job *j)
{
    for (size_t m = 0; j->nll && m < j->o->model_count; m++)
        free(j->nll[m]);
    free(j->nll);
    free(j->scored);
    free(j->seconds);
    for (size_t i = 0; j->lanes && i < j->o->model_count * j->lane_count; i++)
        rbe_runner_close(&j->lanes[i]);
    free(j->lanes);
    rbe_windows_free(&j->w);
}

static enum rbe_status job_allocate(struct job *j, struct rbe_diag *d)
{
    const size_t models = j->o->model_count;
    bool ok = (j->nll = calloc(models, sizeof *j->nll)) &&
              (j->scored = calloc(j->count + 1, sizeof *j->scored)) &&
              (j->seconds = calloc(models, sizeof *j->seconds));

    for (size_t m = 0; ok && m < models; m++)
        ok = (j->nll[m] = calloc(j->count + 1, sizeof **j->nll));
    return ok ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu windows", j->count);
}

/* A session for every thread and model: whole windows side by side need no barriers. */
static enum rbe_status open_lanes(struct job *j, struct rbe_diag *d)
{
    const unsigned threads = rbe_pool_threads(j->o->pool);
    enum rbe_status err = RBE_OK;

    j->lane_count = j->count < threads ? (unsigned)j->count : threads;
    const size_t all = j->o->model_count * j->lane_count;
    if (!(j->lanes = calloc(all, sizeof *j->lanes)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < all && !err; i++)
        err = rbe_runner_share(&j->lanes[i], &j->runners[i / j->lane_count], ROWS, d);
    return err;
}

static json_t *make_record(struct job *j, size_t m)
{
    json_t *r = rbe_eval_record(j->o, "perplexity", &j->runners[m]);

    if (r && (rbe_text_record(r, j->text, j->w.protocol == RBE_P3) ||
              rbe_perplexity_describe(r, &j->w) ||
              rbe_perplexity_summarise(r, j->nll[m], j->scored, j->done, j->first,
                                       j->seconds[m], (unsigned)j->o->resamples))) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

/* --- going on after an interrupt --------------------------------------------------------- */

/* Whether an old record is of this model, text, protocol and shard. */
static bool belongs(const struct job *j, const json_t *r, size_t m)
{
    const char *kind = json_string_value(RBE_VALUE_AT(r, kind));
    const char *model = json_string_value(RBE_VALUE_AT(r, model, sha256));
    const char *text = json_string_value(RBE_VALUE_AT(r, text, sha256));
    const char *protocol = json_string_value(RBE_VALUE_AT(r, protocol));
    const char *special = json_string_value(RBE_VALUE_AT(r, special));

    return kind && !strcmp(kind, "perplexity") && model && text && protocol &&
           !strcmp(model, rbe_gpt2_sha256(j->runners[m].model)) &&
           !strcmp(text, j->text->sha256) && special && !strcmp(special, j->o->special) &&
           !strcmp(protocol, rbe_protocol_name(j->w.protocol)) &&
           json_integer_value(RBE_VALUE_AT(r, context)) == j->w.context &&
           json_integer_value(RBE_VALUE_AT(r, windows_total)) == (json_int_t)j->w.count &&
           json_integer_value(RBE_VALUE_AT(r, first_window)) == (json_int_t)j->first;
}

static enum rbe_status resume(struct job *j, const json_t *old, struct rbe_diag *d)
{
    size_t least = j->count;

    for (size_t m = 0; m < j->o->model_count; m++) {
        const json_t *last = NULL, *r;
        size_t i, n = 0;
        json_array_foreach(old, i, r)
            if (belongs(j, r, m))
                last = r;
        if (last) {
            double *nll, *scored;
            const enum rbe_status err = rbe_perplexity_samples(last, &nll, &scored, &n, d);
            if (err)
                return err;
            if (n > j->count)
                n = j->count;
            memcpy(j->nll[m], nll, n * sizeof *nll);
            memcpy(j->scored, scored, n * sizeof *scored);
            j->seconds[m] = RBE_NUMBER_AT(last, seconds);
            free(nll);
            free(scored);
        }
        least = n < least ? n : least;
    }
    j->done = least;
    if (!least)
        memset(j->seconds, 0, j->o->model_count * sizeof *j->seconds);
    return RBE_OK;
}

/* --- measuring --------------------------------------------------------------------------- */

static enum rbe_status checkpoint(struct job *j, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->o->model_count && !err; m++)
        err = rbe_result_append(j->o->results, make_record(j, m), d);
    return err;
}

/* Runs the first `tokens` of lane_count windows through every model, scoring the same share
 * of them as of whole ones; *seconds is what it took. */
static enum rbe_status warm_up(struct job *j, uint32_t tokens, double *seconds,
                               struct rbe_diag *d)
{
    struct rbe_windows w = j->w;
    double *values = calloc(2 * (size_t)j->lane_count, sizeof *values);
    enum rbe_status err = RBE_ERR_NOMEM;

    if ((w.w = calloc(j->lane_count, sizeof *w.w)) && values) {
        for (size_t i = 0; i < j->lane_count; i++) {
            w.w[i] = j->w.w[j->first + i];
            if (w.w[i].length > tokens + 1) {
                w.w[i].first = 1 + (uint32_t)((uint64_t)tokens * (w.w[i].first - 1) /
                                              (w.w[i].length - 1));
                w.w[i].length = tokens + 1;
            }
        }
        const double start = rbe_now();
        err = RBE_OK;
        for (size_t m = 0; m < j->o->model_count && !err; m++)
            err = rbe_perplexity_windows(j->lanes + m * j->lane_count, j->lane_count,
                                         j->o->pool, &w, 0, j->lane_count, values,
                                         values + j->lane_count, d);
        *seconds = rbe_now() - start;
    }
    free(w.w);
    free(values);
    return err;
}

/* Says how long the pass will take before it starts, measured on these very models. */
static enum rbe_status project(struct job *j, const char *what, struct rbe_diag *d)
{
    double seconds = 0, tokens = 0;
    enum rbe_status err;

    for (size_t i = j->done; i < j->count; i++)
        tokens += j->w.w[j->first + i].length;
    const uint32_t part = j->w.context - 1 < WARM_UP_TOKENS ? j->w.context - 1 : WARM_UP_TOKENS;
    const double warm = (double)part * j->lane_count;
    if (j->o->quiet || tokens < 4 * warm)
        return RBE_OK;
    if ((err = warm_up(j, WARM_UP_LEAST, &seconds, d)) ||
        (err = warm_up(j, part, &seconds, d)))
        return err;
    fprintf(stderr, "%s: %zu windows of %u tokens, %zu model(s), %u at once: about %.0f s "
            "(from %u tokens of a window)\n", what, j->count - j->done, j->w.context,
            j->o->model_count, j->lane_count, seconds * tokens / warm, part);
    return RBE_OK;
}

static enum rbe_status measure(struct job *j, struct rbe_diag *d)
{
    char what[64];
    struct rbe_progress p;
    double saved = rbe_now();
    const size_t before = j->done;
    size_t each = 1;            /* windows of a turn for each thread */
    enum rbe_status err;

    snprintf(what, sizeof what, "%s %.40s", rbe_protocol_name(j->w.protocol), j->text->name);
    if ((err = project(j, what, d)))
        return err;
    rbe_progress_start(&p, what, "windows", (double)(j->count - j->done));
    while (j->done < j->count) {
        bool whole = true;
        const double start = rbe_now();
        const size_t left = j->count - j->done;
        const size_t n = left < each * j->lane_count ? left : each * j->lane_count;
        for (size_t m = 0; m < j->o->model_count && whole; m++) {
            const double from = rbe_now();
            if ((err = rbe_perplexity_windows(j->lanes + m * j->lane_count, j->lane_count,
                                              j->o->pool, &j->w, j->first + j->done, n,
                                              j->nll[m] + j->done, j->scored + j->done, d)) &&
                err != RBE_ERR_INTERRUPTED)
                return err;
            whole = !err;
            j->seconds[m] += rbe_now() - from;
        }
        j->done += whole ? n : 0;
        const double now = rbe_now();
        if (now - start < turn_s && each < TURN_MAX)
            each *= 2;
        rbe_progress_update(&p, (double)(j->done - before), NULL);
        if (rbe_interrupted() && j->done < j->count) {
            rbe_progress_end(&p);
            if (j->done && (err = checkpoint(j, d)))
                return err;
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu windows%s",
                            j->done, j->count, j->o->out ? "; --resume goes on" : "");
        }
        if (j->o->out && now - saved >= j->checkpoint_s && j->done < j->count) {
            if ((err = checkpoint(j, d)))
                return err;
            saved = rbe_now();
        }
    }
    rbe_progress_end(&p);
    return RBE_OK;
}

/* --- results ----------------------------------------------------------------------------- */

static void print_heading(const struct job *j)
{
    double scored = 0;

    for (size_t i = 0; i < j->done; i++)
        scored += j->scored[i];
    printf("%s  %s (%s)  context %u, stride %u  %zu tokens, %.0f scored  %zu of %zu "
           "windows%s\n", j->text->name, rbe_protocol_name(j->w.protocol),
           rbe_protocol_alias(j->w.protocol),
           j->w.context, j->w.stride, j->w.text_tokens, scored, j->done, j->w.count,
           j->done < j->w.count ? " (partial)" : "");
    printf("  %-24s %9s  %-20s %8s %8s %9s %8s %8s\n", "model", "ppl", "95 % interval",
           "nll", "+-", "word ppl", "bits/B", "s");
}

static void print_record(const json_t *r, const json_t *pair)
{
    printf("  %-24s %s  %-20s %s %s %s %s %s\n", rbe_show_model(r, "model").text,
           rbe_show("%9.3f", RBE_NUMBER_AT(r, perplexity)).text,
           rbe_show_interval("%.3f", RBE_VALUE_AT(r, perplexity_ci95)).text,
           rbe_show("%8.4f", RBE_NUMBER_AT(r, nll_mean)).text,
           rbe_show("%8.4f", RBE_NUMBER_AT(r, nll_se)).text,
           rbe_show("%9.2f", RBE_NUMBER_AT(r, word_perplexity)).text,
           rbe_show("%8.4f", RBE_NUMBER_AT(r, bits_per_byte)).text,
           rbe_show("%8.1f", RBE_NUMBER_AT(r, seconds)).text);
    if (pair)
        printf("  %-24s %s %% %s %% against %s, %s times its time\n", "",
               rbe_show("%+8.3f", RBE_NUMBER_AT(pair, percent_change)).text,
               rbe_show_interval("%+.3f", RBE_VALUE_AT(pair, percent_change_ci95)).text,
               rbe_show_model(pair, "base").text,
               rbe_show("%.2f", RBE_NUMBER_AT(pair, time_ratio)).text);
}

static enum rbe_status finish(struct job *j, struct rbe_diag *d)
{
    const unsigned resamples = (unsigned)j->o->resamples;
    json_t *base = NULL;
    enum rbe_status err = RBE_OK;

    if (!j->o->json)
        print_heading(j);
    for (size_t m = 0; m < j->o->model_count && !err; m++) {
        json_t *r = make_record(j, m), *pair = NULL;
        if (!r) {
            err = RBE_ERR_NOMEM;
            break;
        }
        if (m) {
            if (!(pair = rbe_eval_record(j->o, "paired", NULL)))
                err = RBE_ERR_NOMEM;
            else
                err = rbe_perplexity_pair(pair, base, r, resamples, d);
        } else {
            base = json_incref(r);
        }
        if (!err && !j->o->json)
            print_record(r, pair);
        if (err) {
            json_decref(r);
            json_decref(pair);
            break;
        }
        err = rbe_eval_emit(j->o, r, d);
        if (pair && !err)
            err = rbe_eval_emit(j->o, pair, d);
    }
    json_decref(base);
    return err;
}

/* Options of this command alone. */
struct how {
    char *protocols;
    int context, checkpoint_s;
};

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_runner *runners,
                           const struct rbe_text *text, const struct rbe_tokenizer *t,
                           enum rbe_protocol p, const struct how *how, struct rbe_diag *d)
{
    struct job j = {.o = o, .runners = runners, .text = text,
                    .checkpoint_s = how->checkpoint_s};
    enum rbe_status err;

    if ((err = rbe_windows_make(&j.w, p, text, t, runners[0].n_ctx,
                                (uint32_t)how->context, d)))
        return err;
    rbe_eval_note_bytes(text, p);
    err = rbe_eval_share(o, j.w.count, "windows", &j.first, &j.count, d);
    if (!err && !(err = job_allocate(&j, d)) && (!o->old || !(err = resume(&j, o->old, d))) &&
        !(err = open_lanes(&j, d)) && !(err = measure(&j, d)))
        err = finish(&j, d);
    job_free(&j);
    return err;
}

/* "P1,P3", "all" or one name into a list ended by RBE_PROTOCOL_COUNT. */
static enum rbe_status parse_protocols(const char *s, enum rbe_protocol *out,
                                       struct rbe_diag *d)
{
    char name[32];
    int n = 0;
    enum rbe_status err = RBE_OK;

    if (!strcmp(s, "all"))
        s = "P1,P2,P3,P4";
    while (!err && *s && n < RBE_PROTOCOL_COUNT) {
        const size_t len = strcspn(s, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, s);
        err = rbe_protocol_parse(&out[n++], name, d);
        s += len + (s[len] == ',');
    }
    if (!err && (*s || !n))
        err = rbe_fail(d, RBE_ERR_ARG, "--protocol: wants one to four names");
    out[n] = RBE_PROTOCOL_COUNT;
    return err;
}

static enum rbe_status run_all(struct rbe_eval_options *o, const struct how *how,
                               struct rbe_diag *d)
{
    enum rbe_protocol list[RBE_PROTOCOL_COUNT + 1];
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_status err;

    if ((err = parse_protocols(how->protocols, list, d)))
        return err;
    if ((err = rbe_eval_begin(o, true, d)) ||
        (err = rbe_eval_open_models(o, 1, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, &runners[0], &t, d)))
        goto out;
    for (char **path = o->texts; *path && !err; path++) {
        struct rbe_text text;
        if ((err = rbe_text_open(&text, *path, d)))
            break;
        for (int i = 0; list[i] != RBE_PROTOCOL_COUNT && !err; i++)
            err = run(o, runners, &text, t, list[i], how, d);
        rbe_text_close(&text);
    }
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

int rbe_eval_perplexity(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    static struct how how = {.protocols = "P1", .checkpoint_s = 60};
    int count, code;
    struct rbe_diag d = {""};
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_SPECIAL_OPTION(&o),
        RBE_EVAL_SHARD_OPTION(&o),
        {"text", 0, POPT_ARG_ARGV, &o.texts, 0,
         "UTF-8 text, or .jsonl with a \"text\" a line; repeat it (default: the embedded "
         "WikiText test)", "FILE"},
        {"protocol", 'p', POPT_ARG_STRING, &how.protocols, 0,
         "P1 (hf), P2 (hf-stride), P3 (llamacpp), P4 (lm-eval), a list of them, or all "
         "(default P1)", "NAME"},
        {"windows", 0, POPT_ARG_INT, &o.limit, 0, "only the first N windows", "N"},
        {"context", 0, POPT_ARG_INT, &how.context, 0, "window length (default: the protocol's)",
         "N"},
        {"resamples", 0, POPT_ARG_INT, &o.resamples, 0, "bootstrap resamples (default 2000)",
         "N"},
        RBE_EVAL_RESUME_OPTION(&o),
        {"checkpoint", 0, POPT_ARG_INT, &how.checkpoint_s, 0,
         "append partial results every so many seconds (default 60; 0: as often as can be)",
         "S"},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "", "Perplexity with standard errors over windows; "
                   "models after the first are compared with it window by window.", &args,
                   &count, &code))
        return code;
    enum rbe_status err = RBE_OK;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else if (how.context < 0 || o.resamples < 0 || how.checkpoint_s < 0)
        err = rbe_fail(&d, RBE_ERR_ARG, "negative --context, --resamples or --checkpoint");
    else
        err = run_all(&o, &how, &d);
    return rbe_report_failure(argv[0], err, &d);
}
