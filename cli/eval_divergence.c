/*
 * eval_divergence.c - `rbe eval divergence`: models against the first one, token by token.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/divergence.h"
#include "eval/lanes.h"
#include "eval/merge.h"
#include "eval/perplexity.h"
#include "model/data.h"

/* A record without its samples, or NULL: out of memory. */
static json_t *describe(struct rbe_eval_options *o, struct rbe_runner *runners, size_t m,
                        const struct rbe_text *text, const struct rbe_windows *w, size_t first)
{
    json_t *r = rbe_eval_record(o, "divergence", &runners[m]);

    if (r && (rbe_runner_record(&runners[0], r, RBE_KEY(base)) ||
              rbe_text_record(r, text, w->protocol == RBE_P3) ||
              rbe_perplexity_describe(r, w) || RBE_SET(r, RBE_INT(first_window, first)) ||
              RBE_SET(r, RBE_JSON(recorded, json_null())))) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

static json_t *make_record(struct rbe_eval_options *o, struct rbe_runner *runners, size_t m,
                           const struct rbe_text *text, const struct rbe_windows *w,
                           const struct rbe_divergence *v, size_t done, size_t first)
{
    json_t *r = describe(o, runners, m, text, w, first);

    if (r && rbe_divergence_summarise(r, v, done, first)) {
        json_decref(r);
        r = NULL;
    }
    return r;
}

static void print_record(const json_t *r)
{
    const json_t *kl = RBE_VALUE_AT(r, kl), *dp = RBE_VALUE_AT(r, true_token);
    const json_t *top = RBE_VALUE_AT(r, top1);

    printf("%s against %s, %s, %lld tokens\n"
           "  KL         mean %s +- %s nats, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s\n"
           "  top-1      %s %% +- %s agree\n"
           "  true token probability changes by %s +- %s (mean), %s +- %s (RMS)\n"
           "  perplexity ratio %s\n",
           rbe_show_model(r, "model").text, rbe_show_model(r, "base").text,
           json_string_value(RBE_VALUE_AT(r, protocol)),
           (long long)json_integer_value(RBE_VALUE_AT(r, tokens)),
           rbe_show("%.5f", RBE_NUMBER_AT(kl, mean)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(kl, mean_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(kl, p50)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(kl, p90)).text,
           rbe_show("%.4f", RBE_NUMBER_AT(kl, p99)).text,
           rbe_show("%.4f", RBE_NUMBER_AT(kl, p999)).text,
           rbe_show("%.3f", RBE_NUMBER_AT(kl, max)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(top, agreement)).text,
           rbe_show("%.2f", 100 * RBE_NUMBER_AT(top, agreement_se)).text,
           rbe_show("%+.5f", RBE_NUMBER_AT(dp, mean)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, mean_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, rms)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(dp, rms_se)).text,
           rbe_show("%.5f", RBE_NUMBER_AT(r, perplexity_ratio)).text);
}

/* The base's predictions to a file, or from one. */
struct tape {
    char *record, *recorded;
};

/* Rows of logits a lane makes at once. */
enum { ROWS = 64 };

struct job {
    struct rbe_eval_options *o;
    struct rbe_runner *runners;
    const struct rbe_text *text;
    const struct rbe_windows *w;
    size_t first, count, done;  /* windows: the first of this shard, wanted, measured */
    size_t others;              /* models but the first */
    struct rbe_divergence *v;   /* [others] */
};

/* A lane sums windows into the arrays of all, and counts in histograms of its own. */
struct lane_work {
    const struct job *j;
    struct rbe_divergence *v;   /* [lane][others]; sums not owned */
};

static enum rbe_status one_window(void *arg, unsigned lane, struct rbe_runner *r, size_t i,
                                  struct rbe_diag *d)
{
    const struct lane_work *l = arg;
    const struct job *j = l->j;

    return rbe_divergence_window(r, j->o->model_count, j->w, i, i - j->first,
                                 l->v + lane * j->others, NULL, d);
}

static enum rbe_status side_by_side(struct job *j, struct rbe_diag *d)
{
    const size_t left = j->count - j->done, before = j->done;
    struct lane_work work = {.j = j};
    struct rbe_lanes l;
    size_t done = 0, round = 0;
    enum rbe_status err = rbe_lanes_open(&l, j->runners, j->o->model_count, left, ROWS,
                                         j->o->pool, d);

    if (err)
        return err;
    const size_t each = l.count * j->others;
    struct rbe_progress bar;
    if (!(work.v = calloc(each + 1, sizeof *work.v)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    rbe_progress_start(&bar, "divergence", "windows", (double)left);
    /* In rounds of a window for each lane: the histograms of one that an interrupt broke off
     * count for none of its windows. */
    while (!err && j->done < j->count && done == round) {
        round = j->count - j->done < l.count ? j->count - j->done : l.count;
        memset(work.v, 0, each * sizeof *work.v);
        for (size_t i = 0; i < each; i++)
            memcpy(work.v[i].sum, j->v[i % j->others].sum, sizeof work.v[i].sum);
        err = rbe_lanes_run(&l, j->first + j->done, round, one_window, &work, NULL, NULL,
                            &done, d);
        if (err || done < round)
            break;
        for (size_t i = 0; i < each; i++)
            rbe_divergence_join(&j->v[i % j->others], &work.v[i]);
        j->done += round;
        rbe_progress_update(&bar, (double)(j->done - before), NULL);
    }
    rbe_progress_end(&bar);
    free(work.v);
    rbe_lanes_close(&l);
    return err;
}

/* A recording is read and written window by window: all threads work on the same one. */
static enum rbe_status one_by_one(struct job *j, struct rbe_recording *recording,
                                  struct rbe_diag *d)
{
    struct rbe_progress p;
    enum rbe_status err = RBE_OK;

    rbe_progress_start(&p, "divergence", "windows", (double)j->count);
    while (!err && j->done < j->count && !rbe_interrupted()) {
        err = rbe_divergence_window(j->runners, j->o->model_count, j->w, j->first + j->done,
                                    j->done, j->v, recording, d);
        j->done += !err;
        rbe_progress_update(&p, (double)j->done, NULL);
    }
    if (err == RBE_ERR_INTERRUPTED)
        err = RBE_OK;
    rbe_progress_end(&p);
    return !err && j->done == j->count ? rbe_recording_commit(recording, d) : err;
}

/* Windows that all models have finished already, by their rows. */
static enum rbe_status resume(struct job *j, struct rbe_diag *d)
{
    const json_t **found = calloc(j->others, sizeof *found);
    enum rbe_status err = found ? RBE_OK : RBE_ERR_NOMEM;
    bool all = true;

    for (size_t m = 0; m < j->others && !err; m++) {
        json_t *like = describe(j->o, j->runners, m + 1, j->text, j->w, j->first);
        if (!like)
            err = RBE_ERR_NOMEM;
        else
            found[m] = rbe_merge_find(j->o->old, like);
        json_decref(like);
        /* Histograms cannot be cut: only what ended at the same window is taken. */
        all = all && found[m] &&
              json_equal(RBE_VALUE_AT(found[m], windows), RBE_VALUE_AT(found[0], windows));
    }
    for (size_t m = 0; m < j->others && !err && all; m++)
        if (!(err = rbe_divergence_read(&j->v[m], found[m], d)))
            j->done = j->v[m].windows;
    if (!err && j->done > j->count)
        err = rbe_fail(d, RBE_ERR_MISMATCH, "%s has %zu windows already", j->o->out, j->done);
    free(found);
    return err;
}

static enum rbe_status emit(struct job *j, bool recorded, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t m = 0; m < j->others && !err && j->done; m++) {
        json_t *r = make_record(j->o, j->runners, m + 1, j->text, j->w, &j->v[m], j->done,
                                j->first);
        if (r && recorded)
            RBE_SET(r, RBE_WORD(recorded, "F16"));
        if (r && !j->o->json)
            print_record(r);
        err = rbe_eval_emit(j->o, r, d);
    }
    if (!err && j->done < j->count)
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted after %zu of %zu windows%s",
                       j->done, j->count, j->o->out ? "; --resume goes on" : "");
    return err;
}

static enum rbe_status run(struct rbe_eval_options *o, struct rbe_runner *runners,
                           const struct rbe_text *text, const struct rbe_windows *w,
                           const struct tape *tape, struct rbe_diag *d)
{
    struct job j = {.o = o, .runners = runners, .text = text, .w = w,
                    .others = o->model_count - 1};
    struct rbe_recording *recording = NULL;
    enum rbe_status err = rbe_eval_share(o, w->count, "windows", &j.first, &j.count, d);

    if (err)
        return err;
    if (!(j.v = calloc(j.others, sizeof *j.v)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (o->old)
        err = resume(&j, d);
    for (size_t m = 0; m < j.others && !err; m++)
        err = rbe_divergence_reserve(&j.v[m], j.count - j.done, d);
    if (!err && tape->record)
        err = rbe_recording_create(&recording, tape->record, &runners[0], text, w, j.count, d);
    else if (!err && tape->recorded)
        err = rbe_recording_open(&recording, tape->recorded, &runners[0], text, w, j.count, d);
    if (!err && j.done < j.count)
        err = recording ? one_by_one(&j, recording, d) : side_by_side(&j, d);
    if (!err)
        err = emit(&j, tape->recorded, d);
    for (size_t m = 0; m < j.others; m++)
        rbe_divergence_free(&j.v[m]);
    free(j.v);
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

    if ((err = rbe_protocol_parse(&p, protocol, d)) ||
        (err = rbe_files_read(&o->files, tape->recorded, d)) ||
        (err = rbe_eval_begin(o, true, d)) ||
        (err = rbe_files_replace(&o->files, tape->record, d)))
        goto out;
    if ((tape->record || tape->recorded) && (o->shard || o->resume || o->texts[1] ||
                                             (tape->record && tape->recorded))) {
        err = rbe_fail(d, RBE_ERR_ARG, "one of --record and --recorded, one text, no --shard "
                       "and no --resume");
        goto out;
    }
    /* A recording does not say how special tokens were read. */
    if ((tape->record || tape->recorded) && o->special && strcmp(o->special, "text")) {
        err = rbe_fail(d, RBE_ERR_ARG, "--special %s: not with a recording", o->special);
        goto out;
    }
    if (o->model_count < 2) {
        err = rbe_fail(d, RBE_ERR_ARG, "wants two or more --model, the original first");
        goto out;
    }
    /* Without a recording the work is done in lanes that share these models. */
    const uint32_t rows = tape->record || tape->recorded ? 0 : 1;
    if ((err = rbe_eval_open_models(o, rows, &runners, d)) ||
        (err = rbe_eval_tokenizer(o, &runners[0], &t, d)))
        goto out;
    for (char **path = o->texts; *path && !err; path++) {
        struct rbe_text text;
        struct rbe_windows w;
        if ((err = rbe_text_open(&text, *path, d)))
            break;
        if (!(err = rbe_windows_make(&w, p, &text, t, runners[0].n_ctx, 0, d))) {
            rbe_eval_note_bytes(&text, p);
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
        RBE_EVAL_SPECIAL_OPTION(&o),
        RBE_EVAL_SHARD_OPTION(&o),
        RBE_EVAL_RESUME_OPTION(&o),
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
