/*
 * eval_divergence.c - `rbe eval divergence`: models against the first one, token by token.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>

#include "eval/divergence.h"
#include "eval/evaluations.h"
#include "eval/options.h"
#include "eval/perplexity.h"
#include "gpt2/data.h"
#include "rbe/progress.h"

static json_t *make_record(struct rbe_eval_options *o, struct rbe_runner *runners, size_t m,
                           const struct rbe_text *text, const struct rbe_windows *w,
                           const struct rbe_divergence *v, size_t done, size_t first)
{
    json_t *r = rbe_eval_record(o, "divergence", &runners[m]);

    if (r && (rbe_runner_record(&runners[0], r, "base") ||
              rbe_result_set_text(r, text->name, text->sha256, text->file_bytes) ||
              rbe_perplexity_describe(r, w) ||
              rbe_divergence_summarise(r, v, done, first))) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

static void print_record(const json_t *r)
{
    const json_t *kl = json_object_get(r, "kl"), *dp = json_object_get(r, "true_token");
    const json_t *top = json_object_get(r, "top1");

    printf("%s against %s, %s, %lld tokens\n"
           "  KL         mean %.5f +- %.5f nats, p50 %.5f, p90 %.5f, p99 %.4f, p99.9 %.4f, max "
           "%.3f\n  top-1      %.2f %% +- %.2f agree\n"
           "  true token probability changes by %+.5f +- %.5f (mean), %.5f +- %.5f (RMS)\n"
           "  perplexity ratio %.5f\n",
           json_string_value(json_object_get(json_object_get(r, "model"), "name")),
           json_string_value(json_object_get(json_object_get(r, "base"), "name")),
           json_string_value(json_object_get(r, "protocol")),
           (long long)json_integer_value(json_object_get(r, "tokens")),
           rbe_eval_number(kl, "mean"), rbe_eval_number(kl, "mean_se"),
           rbe_eval_number(kl, "p50"), rbe_eval_number(kl, "p90"), rbe_eval_number(kl, "p99"),
           rbe_eval_number(kl, "p999"), rbe_eval_number(kl, "max"),
           100 * rbe_eval_number(top, "agreement"), 100 * rbe_eval_number(top, "agreement_se"),
           rbe_eval_number(dp, "mean"), rbe_eval_number(dp, "mean_se"),
           rbe_eval_number(dp, "rms"), rbe_eval_number(dp, "rms_se"),
           rbe_eval_number(r, "perplexity_ratio"));
}

/* The base's predictions to a file, or from one. */
struct tape {
    char *record, *recorded;
};

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_runner *runners,
                           const struct rbe_text *text, const struct rbe_windows *w,
                           const struct tape *tape, struct rbe_diag *d)
{
    struct rbe_recording *recording = NULL;
    const size_t others = o->model_count - 1;
    struct rbe_divergence *v = calloc(others, sizeof *v);
    struct rbe_progress p;
    size_t first, end, done = 0;
    enum rbe_status err = v ? RBE_OK : RBE_ERR_NOMEM;

    rbe_eval_range(o, w->count, &first, &end);
    size_t count = end - first;
    if (o->limit && count > (size_t)o->limit)
        count = (size_t)o->limit;
    for (size_t m = 0; m < others && !err; m++)
        err = rbe_divergence_init(&v[m], count, d);
    if (!err && tape->record)
        err = rbe_recording_create(&recording, tape->record, &runners[0], text, w, count, d);
    else if (!err && tape->recorded)
        err = rbe_recording_open(&recording, tape->recorded, &runners[0], text, w, count, d);
    rbe_progress_start(&p, "divergence", "windows", (double)count);
    while (!err && done < count && !rbe_interrupted()) {
        err = rbe_divergence_window(runners, o->model_count, w, first + done, done, v,
                                    recording, d);
        done += !err;
        rbe_progress_update(&p, (double)done, NULL);
    }
    rbe_progress_end(&p);
    if (!err && recording && done == count)
        err = rbe_recording_commit(recording, d);
    for (size_t m = 0; m < others && !err && done; m++) {
        json_t *r = make_record(o, runners, m + 1, text, w, &v[m], done, first);
        if (r)
            json_object_set_new(r, "recorded",
                                tape->recorded ? json_string("F16") : json_null());
        if (r && !o->json)
            print_record(r);
        err = rbe_eval_emit(o, r, d);
    }
    if (!err && done < count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu windows", done,
                       count);
    for (size_t m = 0; v && m < others; m++)
        rbe_divergence_free(&v[m]);
    free(v);
    rbe_recording_close(&recording);
    return err;
}

static enum rbe_status run_all(struct rbe_eval_options *o, const char *protocol,
                               const struct tape *tape, struct rbe_diag *d)
{
    struct rbe_runner *runners = NULL;
    struct rbe_tokenizer *t = NULL;
    enum rbe_protocol p;
    enum rbe_status err;

    if ((err = rbe_protocol_parse(&p, protocol, d)) || (err = rbe_eval_begin(o, true, d)))
        return err;
    if ((tape->record || tape->recorded) && (o->shard || o->texts[1] ||
                                             (tape->record && tape->recorded))) {
        err = rbe_fail(d, RBE_ERR_ARG, "one of --record and --recorded, one text, no --shard");
        goto out;
    }
    if (o->model_count < 2) {
        err = rbe_fail(d, RBE_ERR_ARG, "wants two or more --model, the original first");
        goto out;
    }
    if ((err = rbe_eval_open_models(o, 0, &runners, d)) ||
        (err = rbe_find_tokenizer(&t, o->tokenizer, o->models[0],
                                  rbe_gpt2_config(runners[0].model), d)))
        goto out;
    for (char **path = o->texts; *path && !err; path++) {
        struct rbe_text text;
        struct rbe_windows w;
        if ((err = rbe_text_open(&text, *path, d)))
            break;
        if (!(err = rbe_windows_make(&w, p, &text, t, runners[0].n_ctx, 0, d))) {
            err = run(o, runners, &text, &w, tape, d);
            rbe_windows_free(&w);
        }
        rbe_text_close(&text);
    }
out:
    rbe_tokenizer_close(&t);
    rbe_eval_close_models(o, &runners);
    rbe_eval_end(o);
    return err;
}

int rbe_eval_divergence(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    static char *protocol = "P1";
    static struct tape tape;
    struct rbe_diag d = {""};
    int count, code;
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_SHARD_OPTION(&o),
        {"text", 0, POPT_ARG_ARGV, &o.texts, 0,
         "UTF-8 text; repeat it (default: the embedded WikiText test)", "FILE"},
        {"protocol", 'p', POPT_ARG_STRING, &protocol, 0, "which windows (default P1)", "NAME"},
        {"windows", 0, POPT_ARG_INT, &o.limit, 0, "only the first N windows", "N"},
        {"record", 0, POPT_ARG_STRING, &tape.record, 0,
         "keep the first model's predictions in this file (half precision, two bytes a word "
         "of the vocabulary and token)", "FILE"},
        {"recorded", 0, POPT_ARG_STRING, &tape.recorded, 0,
         "take them from it instead of running the first model", "FILE"},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "", "KL divergence from the first model, top-1 "
                   "agreement, change of the true token's probability.", &args, &count, &code))
        return code;
    enum rbe_status err;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else
        err = run_all(&o, protocol, &tape, &d);
    return rbe_report_failure(argv[0], err, &d);
}
