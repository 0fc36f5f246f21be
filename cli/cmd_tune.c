/*
 * cmd_tune.c - rbe tune: an original and its RBE model give a better one of the same size.
 *
 * SPDX-License-Identifier: MIT
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "convert/calibrate.h"
#include "model/companion.h"
#include "model/data.h"
#include "model/synth.h"
#include "train/archive.h"
#include "train/trainer.h"

/* What is not said.  The matrices of large models are not encoded again, and less is looked at
 * in between. */
static const struct defaults {
    const char *profile;
    uint64_t tokens;
    uint32_t micro, windows, evaluations;
} small = {"default", TUNE_TOKENS, TUNE_MICRO, TUNE_WINDOWS, TUNE_LOOKS},
  large = {"scales-large", TUNE_TOKENS_LARGE, TUNE_MICRO_LARGE, TUNE_WINDOWS_LARGE,
           TUNE_LOOKS_LARGE};

/* Bytes up to which the layers of a calibration are not run twice. */
#define CALIBRATION_MOST ((size_t)1400 * 1000 * 1000)

/* Everything a run holds, so that one function closes it. */
struct run {
    const struct rbe_tune_args *a;
    struct rbe_recipe recipe;
    struct rbe_loss loss;
    struct rbe_source *source, *model;  /* model: NULL for the control */
    struct rbe_pool *pool;
    struct rbe_tokenizer *tokenizer;
    struct rbe_tokens text, valid;
    enum rbe_layout layout;
    struct rbe_grad *train, *teacher;
    struct rbe_student *student;
    struct rbe_progress progress;
    struct rbe_trainer_options o;
    struct rbe_trainer_result result;
    char key[65], model_sha[65];
    uint64_t tokens;
    bool rounded;               /* the recipe's batch, to whole sequences */
};

static void close_run(struct run *r)
{
    rbe_student_close(&r->student);
    rbe_grad_close(&r->teacher);
    rbe_grad_close(&r->train);
    rbe_tokens_close(&r->text);
    rbe_tokens_close(&r->valid);
    rbe_tokenizer_close(&r->tokenizer);
    rbe_pool_close(&r->pool);
    rbe_source_close(&r->model);
    rbe_source_close(&r->source);
    rbe_recipe_close(&r->recipe);
}

static enum rbe_status check_arguments(const struct rbe_tune_args *a, struct rbe_diag *d)
{
    if (a->tokens > 0 && a->minutes > 0)
        return rbe_fail(d, RBE_ERR_ARG, "--tokens and --minutes exclude one another");
    if (a->resume && a->minutes > 0)
        return rbe_fail(d, RBE_ERR_ARG, "--resume: give --tokens, with the number that "
                                        "--minutes gave");
    if (a->resume && !a->checkpoint)
        return rbe_fail(d, RBE_ERR_ARG, "--resume needs --checkpoint");
    if (a->calibration && a->no_calibration)
        return rbe_fail(d, RBE_ERR_ARG, "--calibration and --no-calibration exclude one "
                        "another");
    const enum rbe_metric metric = a->metric ? rbe_metric_by_name(a->metric)
                                             : RBE_METRIC_FISHER;
    if (metric != RBE_METRIC_INPUTS && metric != RBE_METRIC_FISHER)
        return rbe_fail(d, RBE_ERR_ARG, "--metric: inputs or fisher");
    return RBE_OK;
}

/* None of the outputs may be an input, and each can be written: known before the work. */
static enum rbe_status check_files(const struct rbe_tune_args *a, struct rbe_diag *d)
{
    static const char *const plain[] = {"model.safetensors", "config.json"};
    struct rbe_files f = {0};
    char *made = NULL;
    enum rbe_status err;
    size_t i;

    if ((err = rbe_files_read_model(&f, a->original, d)) ||
        (err = rbe_files_read(&f, a->control ? NULL : a->model, d)) ||
        (err = rbe_files_read(&f, a->profile, d)) ||
        (err = rbe_files_read_data(&f, a->valid, "wiki.valid.raw", d)) ||
        (err = rbe_files_read_data(&f, a->calibration, "calibration.txt", d)))
        goto out;
    if (!a->text && (err = rbe_files_read_data(&f, NULL, "wikipedia-tune.jsonl", d)))
        goto out;
    for (i = 0; a->text && a->text[i]; i++)
        if ((err = rbe_files_read(&f, a->text[i], d)))
            goto out;
    /* What --resume reads is not replaced before it was read. */
    if ((err = rbe_files_replace(&f, a->checkpoint, d)) ||
        (a->checkpoint && !a->resume && (err = rbe_archive_replaceable(a->checkpoint, d))) ||
        (err = rbe_files_append(&f, a->out_json, d)) ||
        (a->out && (err = rbe_companion_replace(&f, a->out, rbe_gguf_is(a->original), d))) ||
        (!a->control && ((err = rbe_files_guard_model(&f, a->out, d)) ||
                         (err = rbe_files_replace(&f, a->out, d)))))
        goto out;
    /* Made again by who fills it. */
    if (!a->control || !a->out ||
        (err = rbe_checkpoint_replaceable(a->out, RBE_STUDENT_CONTROL, "rbe tune --control",
                                          d)) ||
        (err = rbe_make_new_dirs(&made, a->out, d)))
        goto out;
    for (i = 0; i < 2 && !err; i++) {
        char *path = rbe_path_join(a->out, plain[i]);
        err = path ? rbe_files_replace(&f, path, d)
                   : rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", a->out);
        free(path);
    }
    rbe_unmake_dirs(&made, a->out);
out:
    rbe_files_free(&f);
    return err;
}

/* --- texts -------------------------------------------------------------------------------- */

static enum rbe_status shipped(char **out, const char *name, struct rbe_diag *d)
{
    *out = rbe_data_path(name);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_IO, "%s, which ships with the project, is not "
                                    "found: give a file", name);
}

static enum rbe_status open_texts(struct run *r, struct rbe_diag *d)
{
    char *own = NULL, *valid = NULL;
    const char *const *texts = (const char *const *)r->a->text;
    const size_t least = 2 * ((size_t)r->o.time + 1);
    enum rbe_status err;
    size_t n = 0;

    if (!texts && (err = shipped(&own, "wikipedia-tune.jsonl", d)))
        return err;
    const char *const single[] = {own};
    texts = texts ? texts : single;
    while (r->a->text ? texts[n] != NULL : n < 1)
        n++;
    /* No window is needed twice when the text is long enough. */
    const size_t limit = (size_t)r->tokens + least;
    err = rbe_tokens_open(&r->text, texts, n, r->a->minutes > 0 ? 0 : limit, r->layout,
                          r->tokenizer, d);
    if (!err && r->text.count < least)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: the text is too short: %zu tokens, and %zu are "
                       "needed", texts[0], r->text.count, least);
    if (!err && !r->a->valid)
        err = shipped(&valid, "wiki.valid.raw", d);
    const char *const v = r->a->valid ? r->a->valid : valid;
    if (!err)
        err = rbe_tokens_open(&r->valid, &v, 1, 0, RBE_LAYOUT_ROWS, r->tokenizer, d);
    if (!err && r->valid.count < (size_t)r->o.time + 1)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: the text is too short: %zu tokens, and %u are "
                       "needed", v, r->valid.count, r->o.time + 1);
    free(own);
    free(valid);
    return err;
}

/* --- memory ------------------------------------------------------------------------------- */

/* The configuration that is trained: the model's, which may have a vector more. */
static const struct rbe_model_config *trained(const struct run *r)
{
    return r->model ? &r->model->config : &r->source->config;
}

/* Whether matrices are encoded by what a calibration tells. */
static bool reads_calibration(const struct run *r)
{
    return !r->a->no_calibration && rbe_recipe_has_latents(&r->recipe);
}

static size_t calibration_bytes(const struct run *r)
{
    if (!reads_calibration(r))
        return 0;
    return rbe_calibration_bytes(&r->source->config, r->o.how, rbe_pool_threads(r->pool));
}

static struct rbe_student_uses uses_of(const struct rbe_recipe *recipe)
{
    struct rbe_student_uses u = {.latent = rbe_recipe_has_latents(recipe),
                                 .means = rbe_recipe_averages(recipe),
                                 .sums = true,
                                 .kind = recipe->optimizer};

    for (size_t i = 0; i < recipe->count; i++)
        u.errors = u.errors || recipe->stages[i].matrices == RBE_MATRICES_LATENT;
    return u;
}

/* Of the teacher's predictions in a training of so many tokens; 0: the most they can be. */
static size_t kept_bytes(const struct run *r, uint64_t tokens)
{
    struct rbe_trainer_options o = r->o;

    o.tokens = tokens;
    const struct rbe_kept_plan plan = rbe_trainer_kept(&o, trained(r)->vocab);
    return rbe_kept_bytes(&plan);
}

static enum rbe_status check_memory(const struct run *r, struct rbe_grad_limits l,
                                    struct rbe_diag *d)
{
    const struct rbe_student_uses uses = uses_of(&r->recipe);
    const unsigned threads = rbe_pool_threads(r->pool);
    struct rbe_grad_limits forward = l;

    forward.forward_only = true;
    const size_t student = rbe_grad_bytes(trained(r), l, threads);
    const size_t teacher = rbe_loss_distils(&r->loss)
                               ? rbe_grad_bytes(&r->source->config, forward, threads)
                               : 0;
    const size_t own = rbe_student_bytes(r->source, r->model, &uses, threads);
    const size_t files = rbe_source_file_bytes(r->source) +
                         (r->model ? rbe_source_file_bytes(r->model) : 0) +
                         (r->text.count + r->valid.count) * sizeof(uint32_t);
    const size_t calibration = calibration_bytes(r);
    const double kept = (double)kept_bytes(r, r->a->minutes > 0 ? 0 : r->tokens) / 1e6;
    const double need = ((double)student + (double)teacher + (double)own + (double)files +
                         (double)calibration) / 1e6 + kept;
    const double machine =
        (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 1e6;
    const double limit = r->a->memory > 0 ? r->a->memory : machine;

    printf("memory: %.0f MB (student %.0f, teacher %.0f, its predictions %.0f, what is trained "
           "%.0f, calibration %.0f, files %.0f) of %.0f\n", need, (double)student / 1e6,
           (double)teacher / 1e6, kept, (double)own / 1e6, (double)calibration / 1e6,
           (double)files / 1e6, limit);
    if (need > limit)
        return rbe_fail(d, RBE_ERR_LIMIT, "not enough memory: %.0f MB are needed, %.0f MB are "
                        "%s; a smaller --micro%s or --recompute needs less", need, limit,
                        r->a->memory > 0 ? "allowed" : "there",
                        kept > 0 ? ", a smaller --teacher-memory" : "");
    return RBE_OK;
}

/* --- opening ------------------------------------------------------------------------------ */

/* Of the text by which matrices are encoded; "none" where none is read. */
static enum rbe_status calibration_sha(char hex[65], const struct run *r, struct rbe_diag *d)
{
    char *shipped = NULL;

    strcpy(hex, "none");
    if (!reads_calibration(r))
        return RBE_OK;
    const char *path = r->a->calibration ? r->a->calibration
                                         : (shipped = rbe_data_path("calibration.txt"));
    const enum rbe_status err =
        path ? rbe_sha256_file(hex, path, d)
             : rbe_fail(d, RBE_ERR_IO, "the shipped calibration.txt is not there: name a text "
                        "with --calibration");
    free(shipped);
    return err;
}

/* A text that changes whenever the numbers of a run would. */
static enum rbe_status make_key(struct run *r, struct rbe_diag *d)
{
    char text[1024], recipe[65], shape[65], calibration[65];
    enum rbe_status err = calibration_sha(calibration, r, d);

    if (err)
        return err;
    if ((err = rbe_sha256(recipe, r->recipe.text, strlen(r->recipe.text))) ||
        (err = rbe_sha256(shape, &r->source->config, sizeof r->source->config)))
        return err;
    int n = snprintf(text, sizeof text, "tune 4 %s %s %s %s %s %s %" PRIu64 " %" PRIu64
                     " %s %s %u %u %u %u %d %d %d %d %s %zu", r->source->sha256, shape,
                     r->model_sha, calibration, recipe,
                     r->recipe.loss, r->tokens, r->o.seed, r->text.sha256,
                     r->valid.sha256, r->o.time, r->o.micro, r->o.evaluations,
                     r->o.valid_windows, (int)rbe_pool_threads(r->pool), r->a->control,
                     r->a->bf16, r->a->recompute, rbe_metric_name(r->o.how.metric),
                     kept_bytes(r, r->tokens));
    /* A checkpoint that took steps of another size does not go on. */
    if (r->rounded)
        n += snprintf(text + n, sizeof text - (size_t)n, " %u", r->recipe.batch);
    return rbe_sha256(r->key, text, (size_t)n);
}

static enum rbe_status open_models(struct run *r, struct rbe_diag *d)
{
    struct rbe_grad_limits l = {.batch = r->o.micro, .time = r->o.time,
                                .recompute = r->a->recompute, .bf16 = r->a->bf16};
    const struct rbe_student_uses uses = uses_of(&r->recipe);
    enum rbe_status err;

    if ((err = check_memory(r, l, d)) ||
        (err = rbe_grad_open(&r->train, trained(r), l, r->pool, d)))
        return err;
    if (r->a->control)
        err = rbe_student_open_plain(&r->student, r->train, r->source, r->pool, d);
    else
        err = rbe_student_open(&r->student, r->train, r->source, r->model, &uses, r->pool, d);
    if (err || !rbe_loss_distils(&r->loss))
        return err;
    l.forward_only = true;
    if (!(err = rbe_grad_open(&r->teacher, &r->source->config, l, r->pool, d)))
        err = rbe_grad_load(r->teacher, r->source, d);
    return err;
}

/* Tokens for --minutes: from the speed of two steps whose gradients are thrown away. */
static enum rbe_status tokens_for_minutes(struct run *r, struct rbe_diag *d)
{
    const struct rbe_grad_batch b = {.batch = r->o.micro, .time = r->o.time,
                                     .tokens = r->text.ids, .targets = r->text.ids + 1};
    struct rbe_loss_sums sums = {0};
    enum rbe_status err;
    double rate = 0;

    if (r->text.count < (size_t)b.batch * b.time + 1)
        return rbe_fail(d, RBE_ERR_ARG, "the text is too short for --minutes");
    for (int i = 0; i < 2; i++) {
        const double start = rbe_now();
        if ((err = rbe_grad_step(r->train, &b, &r->loss, r->teacher, 0, &sums, d)))
            return err;
        rate = (double)b.batch * b.time / (rbe_now() - start);
    }
    rbe_grad_zero(r->train);
    if (60 * r->a->minutes * rate < r->recipe.batch)
        return rbe_fail(d, RBE_ERR_ARG, "profile %s: a step has %u tokens (batch), which take "
                        "%.0f s, longer than --minutes %g", r->recipe.name, r->recipe.batch,
                        r->recipe.batch / rate, r->a->minutes);
    /* A tenth for evaluations and what else a step does. */
    r->tokens = (uint64_t)(0.9 * 60 * r->a->minutes * rate / r->recipe.batch) * r->recipe.batch;
    r->tokens = r->tokens ? r->tokens : r->recipe.batch;
    r->o.tokens = r->tokens;
    printf("%.0f tokens/s: --tokens %" PRIu64 " for %g minutes\n", rate, r->tokens,
           r->a->minutes);
    return RBE_OK;
}

static void on_point(void *arg, const struct rbe_trainer_point *p)
{
    const struct run *r = arg;

    rbe_progress_clear();
    printf("%11" PRIu64 " tokens  %-12s validation perplexity %.3f", p->tokens,
           p->tokens ? r->recipe.stages[p->stage].name : "start", p->perplexity);
    if (!isnan(p->divergence))
        printf("  divergence %.5f  agreement %.2f %%", p->divergence, 100 * p->agreement);
    printf("%s\n", p->latent ? "  (not all matrices are encoded)" : "");
    fflush(stdout);
}

/* Sequences no longer than a step, and a step of whole sequences. */
static enum rbe_status fit_step(struct run *r, struct rbe_diag *d)
{
    const uint32_t batch = r->recipe.batch;
    const uint32_t time = r->o.time < batch ? r->o.time : batch;

    if (time < 2)
        return rbe_fail(d, RBE_ERR_ARG, "profile %s: sequences of %u token have none to "
                        "predict: the profile's batch is %u, the model's context %u",
                        r->recipe.name, time, batch, r->source->config.n_ctx);
    r->o.time = time;
    r->recipe.batch = batch / time * time;
    r->rounded = r->recipe.batch != batch;
    if (r->rounded)
        printf("batch: %u tokens are no whole number of sequences of %u: a step has %u\n",
               batch, time, r->recipe.batch);
    if (!(r->a->minutes > 0) && r->recipe.batch > r->tokens)
        return rbe_fail(d, RBE_ERR_ARG, "profile %s: a step has %u tokens (batch), the whole "
                        "training %" PRIu64 " (--tokens)", r->recipe.name, r->recipe.batch,
                        r->tokens);
    return RBE_OK;
}

static uint32_t default_time(const struct rbe_model_config *c)
{
    return c->n_ctx < TUNE_TIME ? c->n_ctx : TUNE_TIME;
}

static enum rbe_status open_run(struct run *r, struct rbe_diag *d)
{
    const struct rbe_tune_args *a = r->a;
    enum rbe_status err;

    if ((err = rbe_source_open(&r->source, a->original, d)))
        return err;
    const struct rbe_model_config *c = &r->source->config;
    const struct defaults *without =
        rbe_model_config_params(c) > TUNE_LARGE * (uint64_t)1000000 ? &large : &small;
    /* The original has no codes to find: its default moves what is continuous alone. */
    const char *const profile =
        a->control && without == &small ? "scales" : without->profile;
    if ((err = rbe_recipe_open(&r->recipe, a->profile ? a->profile : profile, d)))
        return err;
    if (a->loss)
        snprintf(r->recipe.loss, sizeof r->recipe.loss, "%s", a->loss);
    if ((err = rbe_loss_named(&r->loss, r->recipe.loss, d)) ||
        (err = rbe_pool_open(&r->pool, (unsigned)a->threads, d)))
        return err;
    if (rbe_recipe_wants_text(&r->recipe) && (r->loss.alpha < 1 || r->loss.temperature != 1))
        return rbe_fail(d, RBE_ERR_ARG, "profile %s: text=X is for the loss kl, not '%s'",
                        r->recipe.name, r->recipe.loss);
    rbe_warn_threads("tune", rbe_pool_threads(r->pool));
    const char *const layout = a->layout ? a->layout : rbe_layout_name(RBE_LAYOUT_BOTH);
    while (r->layout < RBE_LAYOUT_COUNT && strcmp(rbe_layout_name(r->layout), layout) != 0)
        r->layout++;
    if (r->layout == RBE_LAYOUT_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "--layout '%.40s': plain, rows or both", layout);
    if (a->control && rbe_recipe_has_latents(&r->recipe))
        return rbe_fail(d, RBE_ERR_ARG, "--control: the original has no codes; give a profile "
                        "whose stages are all matrices=coded");
    if (a->control && r->loss.alpha >= 1)
        return rbe_fail(d, RBE_ERR_ARG, "--control: the original is its own teacher, loss '%s' "
                        "has no gradient; give --loss ce or chapter", r->recipe.loss);
    if (!a->control &&
        ((err = rbe_source_open_encoded(&r->model, a->model, !rbe_no_verify, d)) ||
         (err = rbe_student_fits(r->source, r->model, d)) ||
         (err = rbe_sha256_file(r->model_sha, a->model, d))))
        return err;
    if ((uint32_t)a->context > c->n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "--context %d: %s has a context of %u", a->context,
                        a->original, c->n_ctx);
    r->tokens = a->tokens > 0 ? (uint64_t)a->tokens : without->tokens;
    r->o = (struct rbe_trainer_options){
        .recipe = &r->recipe, .loss = r->loss, .tokens = r->tokens, .seed = (uint64_t)a->seed,
        .time = a->context ? (uint32_t)a->context : default_time(c),
        .micro = a->micro ? (uint32_t)a->micro : without->micro,
        .kept_bytes = (size_t)(1e6 * a->teacher_memory),
        .evaluations = a->evaluations < 0 ? without->evaluations : (uint32_t)a->evaluations,
        .valid_windows = a->valid_windows ? (uint32_t)a->valid_windows : without->windows,
        .text = &r->text, .valid = &r->valid,
        .original = a->no_calibration ? NULL : a->original, .calibration = a->calibration,
        .how = {.metric = a->metric ? rbe_metric_by_name(a->metric) : RBE_METRIC_FISHER,
                .bf16 = a->bf16},
        .checkpoint = a->checkpoint, .every_s = 60 * a->every, .resume = a->resume,
        .stop_after = (uint64_t)a->stop_after, .key = r->key, .pool = r->pool,
        .progress = &r->progress, .on_point = on_point, .arg = r};
    rbe_calibration_fit(&r->o.how, c, 1, rbe_pool_threads(r->pool), CALIBRATION_MOST);
    if ((err = fit_step(r, d)) ||
        (err = rbe_find_tokenizer(&r->tokenizer, NULL, a->original, c, d)) ||
        (err = open_texts(r, d)) || (err = open_models(r, d)))
        return err;
    if (a->minutes > 0 && (err = tokens_for_minutes(r, d)))
        return err;
    return make_key(r, d);
}

/* --- the result row ----------------------------------------------------------------------- */

static json_t *points_json(const struct run *r)
{
    json_t *points = json_array();

    for (size_t i = 0; i < r->result.count; i++) {
        const struct rbe_trainer_point *p = &r->result.points[i];
        json_array_append_new(
            points,
            RBE_OBJECT(RBE_INT(tokens, p->tokens), RBE_REAL(perplexity, p->perplexity),
                       RBE_REAL(divergence, p->divergence), RBE_REAL(agreement, p->agreement),
                       RBE_TEXT(stage, r->recipe.stages[p->stage].name),
                       RBE_FLAG(encoded, !p->latent)));
    }
    return points;
}

static json_t *stages_json(const struct run *r)
{
    json_t *stages = json_array();
    uint64_t at = 0;

    for (size_t i = 0; i < r->recipe.count; i++) {
        const struct rbe_stage *s = &r->recipe.stages[i];
        at += rbe_recipe_steps(&r->recipe, i, r->tokens) * r->recipe.batch;
        json_array_append_new(
            stages, RBE_OBJECT(RBE_TEXT(name, s->name),
                               RBE_WORD(mechanism, rbe_mechanism_name(s->matrices)),
                               RBE_REAL(scales, s->scales), RBE_REAL(plain, s->plain),
                               RBE_REAL(latents, s->latents), RBE_REAL(text, s->text),
                               RBE_REAL(average, s->average), RBE_REAL(share, s->share),
                               RBE_INT(end_tokens, at)));
    }
    return stages;
}

/* The folder's name, for a checkpoint in it is always called the same; fresh, or NULL. */
static char *original_name(const struct rbe_source *s)
{
    const char *path = rbe_source_path(s);

    if (s->gguf)
        return rbe_path_name(path);
    char *folder = strdup(path), *slash = folder ? strrchr(folder, '/') : NULL;

    if (slash)
        slash[slash == folder] = 0;
    char *name = folder ? rbe_path_name(slash ? folder : ".") : NULL;
    free(folder);
    return name;
}

static int set_model(json_t *j, const char *key, const struct run *r, const char *path,
                     const char *name, const char *sha, bool rbe)
{
    struct stat st;

    return rbe_result_set_model(j, key, &(struct rbe_result_model){
        .name = name, .path = rbe_base_name(path), .sha256 = sha, .label = r->source->label,
        .bytes = stat(path, &st) ? 0 : (uint64_t)st.st_size,
        .params = rbe_model_config_params(&r->source->config), .rbe = rbe});
}

static enum rbe_status append_result(const struct run *r, struct rbe_result_file *file,
                                     struct rbe_diag *d)
{
    const struct rbe_trainer_result *x = &r->result;
    char sha[65] = "";
    enum rbe_status err;
    int bad = 0;

    if (!r->a->control && (err = rbe_sha256_file(sha, r->a->out, d)))
        return err;
    json_t *j = rbe_result_new(RBE_KIND(recovery), rbe_pool_threads(r->pool));
    const char *original = rbe_source_path(r->source);
    char *base = original_name(r->source);
    bad |=
        !j || !base || set_model(j, RBE_KEY(base), r, original, base, r->source->sha256, false);
    if (r->a->control)
        bad = bad || set_model(j, RBE_KEY(model), r, original, RBE_KEY(control),
                               r->source->sha256, false);
    else
        bad = bad ||
              set_model(j, RBE_KEY(before), r, r->a->model, rbe_base_name(r->a->model),
                        r->model_sha, true) ||
              set_model(j, RBE_KEY(model), r, r->a->out, rbe_base_name(r->a->out), sha, true);
    json_t *rest =
        RBE_OBJECT(RBE_FLAG(control, r->a->control), RBE_FLAG(bf16, r->a->bf16),
                   RBE_TEXT(profile, r->recipe.name), RBE_WORD(loss, r->recipe.loss),
                   RBE_WORD(schedule, rbe_schedule_name(r->recipe.schedule)),
                   RBE_WORD(optimizer, rbe_optimizer_name(r->recipe.optimizer)),
                   RBE_WORD(layout, rbe_layout_name(r->layout)), RBE_INT(tokens, x->tokens),
                   RBE_INT(seed, r->o.seed), RBE_REAL(seconds, x->seconds),
                   RBE_REAL(tokens_per_s, (double)x->tokens / x->seconds),
                   RBE_INT(teacher_passes, x->passes), RBE_INT(teacher_memory, x->kept_bytes),
                   RBE_REAL(base_perplexity, x->original > 0 ? x->original : NAN),
                   RBE_JSON(valid, RBE_OBJECT(RBE_WORD(sha256, r->valid.sha256),
                                              RBE_INT(windows, r->o.valid_windows),
                                              RBE_INT(context, r->o.time))),
                   RBE_JSON(stages, stages_json(r)), RBE_JSON(points, points_json(r)));
    bad = bad || !rest || json_object_update(j, rest);
    json_decref(rest);
    free(base);
    if (bad) {
        json_decref(j);
        j = NULL;
    }
    return rbe_result_append(file, j, d);
}

/* --- the command -------------------------------------------------------------------------- */

static enum rbe_status tune(const struct rbe_tune_args *a, struct rbe_diag *d)
{
    struct run r = {.a = a};
    struct rbe_result_file *file = NULL;
    enum rbe_status err;
    struct stat st;

    /* Not after the work, should there be no place for its result. */
    if ((err = check_arguments(a, d)) || (err = check_files(a, d)) || (err = open_run(&r, d)) ||
        (a->out_json && (err = rbe_result_open(&file, a->out_json, d))))
        goto out;
    printf("%s%s%s, profile %s (%s), loss %s, %" PRIu64 " tokens, %zu of text in %zu "
           "documents\n", a->original, a->control ? " (control)" : " -> ",
           a->control ? "" : a->model, r.recipe.name, r.recipe.about, r.recipe.loss, r.tokens,
           r.text.count, r.text.documents);
    fflush(stdout);
    rbe_catch_interrupt();
    if ((err = rbe_trainer_run(&r.result, r.student, r.train, r.teacher, &r.o, d)))
        goto out;
    if (a->control)
        err = a->out ? rbe_student_write_plain(r.student, a->out, d) : RBE_OK;
    else
        err = rbe_student_write(r.student, a->out, d);
    if (err)
        goto out;
    const struct rbe_trainer_result *x = &r.result;
    const double last = x->points[x->count - 1].perplexity;
    printf("%" PRIu64 " tokens in %.0f s, %.0f tokens/s; peak memory %.0f MB\n", x->tokens,
           x->seconds, (double)x->tokens / x->seconds,
           (double)rbe_usage_now().peak_bytes / 1e6);
    printf("validation perplexity %.3f -> %.3f", x->points[0].perplexity, last);
    if (x->original > 0)
        printf(", the original %.3f: %+.2f %% -> %+.2f %%", x->original,
               100 * (x->points[0].perplexity / x->original - 1),
               100 * (last / x->original - 1));
    printf("\n");
    if (!a->control && !stat(a->out, &st))
        printf("%s: %lld bytes\n", a->out, (long long)st.st_size);
    if (a->out_json)
        err = append_result(&r, file, d);
    if (!err && r.result.saved)
        unlink(a->checkpoint);
out:
    rbe_result_close(&file);
    close_run(&r);
    return err;
}

enum rbe_status rbe_cmd_tune(struct rbe_tune_args *a, struct rbe_diag *d)
{
    const char *const *args = a->call.args;
    const int count = a->call.count;
    enum rbe_status err;

    if (a->control ? count < 1 || count > 2 : count != 3)
        return rbe_fail(d, RBE_ERR_ARG, "want ORIGINAL MODEL.rbe OUT.rbe, or --control "
                        "ORIGINAL [OUT]; --help explains");
    if (a->quiet)
        rbe_progress_silence();
    if ((err = rbe_call_model(&a->call, 0, d)) ||
        (!a->control && (err = rbe_call_model(&a->call, 1, d))))
        return err;
    a->original = args[0];
    a->model = a->control ? "" : args[1];
    a->out = a->control ? args[1] : args[2];
    return tune(a, d);
}
