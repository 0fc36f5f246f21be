/*
 * cmd_convert.c - rbe convert: a checkpoint to an RBE model, with a row for each matrix.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "cli/convert_table.h"
#include "cli/options.h"
#include "convert/convert.h"
#include "grad/product.h"
#include "model/companion.h"
#include "model/data.h"

/* What a conversion may take when nothing else is said. */

/* --- the result row ----------------------------------------------------------------------- */

static json_t *entry_json(const struct rbe_convert_entry *r)
{
    const struct rbe_quality *q = &r->quality;
    const struct rbe_encode_options *o = &r->options;
    char codec[32];

    codec_names(codec, sizeof codec, r);
    json_t *j = RBE_OBJECT(
        RBE_WORD(name, r->tensor->name), RBE_WORD(class, rbe_class_name(r->tensor_class)),
        RBE_WORD(part, rbe_class_part(r->tensor_class)), RBE_INT(layer, r->layer),
        RBE_JSON(shape,
                 json_pack("[I, I]", (json_int_t)r->tensor->rows, (json_int_t)r->tensor->cols)),
        RBE_WORD(codec, codec), RBE_INT(block, o->block), RBE_INT(aux, rbe_aux_k(o->aux)),
        RBE_INT(hadamard, o->hadamard), RBE_INT(bytes, q->bytes),
        RBE_REAL(bits_per_weight, q->bits), RBE_REAL(ratio, q->ratio),
        RBE_REAL(relative_rmse, q->relative_rmse), RBE_REAL(bound, q->bound),
        RBE_REAL(psnr_db, q->psnr_db), RBE_REAL(seconds, r->seconds),
        RBE_FLAG(rate_met, r->rate_met), RBE_JSON(parts, json_array()));
    for (size_t i = 0; j && i < o->part_count; i++)
        json_array_append_new(RBE_VALUE_AT(j, parts),
                              RBE_OBJECT(RBE_INT(rows, o->parts[i].rows),
                                         RBE_WORD(codec, rbe_format_name(o->parts[i].format)),
                                         RBE_INT(block, o->parts[i].block)));
    if (j && r->output_error > 0)
        RBE_SET(j, RBE_REAL(output_error, sqrt(r->output_error)));
    if (j && r->sensitivity > 0)
        RBE_SET(j, RBE_REAL(probe_divergence, r->sensitivity));
    if (j && r->settings.level != RBE_LEVEL_NONE) {
        RBE_SET(j, RBE_WORD(quality, rbe_level_name(r->settings.level)));
        RBE_SET(j, RBE_FLAG(quality_met, q->psnr_db >= rbe_level_psnr_db(r->settings.level)));
    }
    return j;
}

static json_t *calibration_json(const struct rbe_convert *c)
{
    const struct rbe_calibration *k = c->o.calibration;

    if (!k)
        return json_null();
    json_t *j = RBE_OBJECT(RBE_INT(tokens, rbe_calibration_tokens(k)),
                           RBE_WORD(metric, rbe_metric_name(rbe_calibration_metric(k))),
                           RBE_WORD(products, rbe_calibration_is_bf16(k) ? "bf16" : "f32"),
                           RBE_WORD(sha256, rbe_calibration_sha256(k)),
                           RBE_FLAG(feedback, !c->o.no_feedback),
                           RBE_INT(compensated, rbe_convert_compensated(c)));
    if (j && rbe_convert_compensated(c) &&
        RBE_SET(j, RBE_REAL(compensated_share, rbe_profile_compensate_share(c->o.profile)))) {
        json_decref(j);
        j = NULL;
    }
    return j;
}

/* What a part of the conversion took. */
enum stage { CALIBRATION, SENSITIVITIES, ENCODING, WRITING, STAGES };

struct stages {
    double seconds[STAGES];
    uint64_t peak[STAGES];
    bool done[STAGES];
    bool resumed;               /* a part of the work had been done before */
    double since;
};

static void begin_stage(struct stages *s)
{
    rbe_usage_restart_peak();
    s->since = rbe_now();
}

static void end_stage(struct stages *s, enum stage which)
{
    s->seconds[which] = rbe_now() - s->since;
    s->peak[which] = rbe_usage_now().peak_bytes;
    s->done[which] = true;
}

/* The largest of all stages. */
static double peak_of(const struct stages *s)
{
    uint64_t most = rbe_usage_now().peak_bytes;

    for (int k = 0; k < STAGES; k++)
        most = s->peak[k] > most ? s->peak[k] : most;
    return (double)most;
}

static json_t *stages_json(const struct stages *s, const struct rbe_convert *c)
{
    static const char *const names[STAGES] = {"calibration", "sensitivities", "encoding",
                                              "writing"};
    struct rbe_encode_spent spent = {0};
    json_t *all = json_array();

    for (size_t i = 0; i < c->count; i++) {
        spent.factors += c->entries[i].spent.factors;
        spent.feedback += c->entries[i].spent.feedback;
        spent.search += c->entries[i].spent.search;
        spent.scales += c->entries[i].spent.scales;
    }
    const double known = spent.factors + spent.feedback + spent.search + spent.scales +
                         c->compensating;
    for (int k = 0; k < STAGES; k++) {
        json_t *o = !s->done[k] ? NULL
                    : RBE_OBJECT(RBE_WORD(name, names[k]), RBE_REAL(seconds, s->seconds[k]),
                                 RBE_INT(peak_bytes, s->peak[k]));
        if (o && k == ENCODING) {
            const struct {
                const char *name;
                double seconds;
            } parts[] = {{"targets", c->compensating}, {"factors", spent.factors},
                         {"feedback", spent.feedback}, {"search", spent.search},
                         {"scales", spent.scales},
                         {"rest", fmax(0, s->seconds[k] - known)}};
            json_t *list = json_array();
            for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
                json_array_append_new(list, RBE_OBJECT(RBE_WORD(name, parts[i].name),
                                                       RBE_REAL(seconds, parts[i].seconds)));
            RBE_SET(o, RBE_JSON(parts, list));
        }
        if (o)
            json_array_append_new(all, o);
    }
    return all;
}

/* The row, sha being the file's, NULL where the file is yet to be joined: of what was encoded
 * here.  NULL when out of memory. */
static json_t *result_row(const struct rbe_convert_args *a, const struct rbe_convert *c,
                          const struct stages *s, const char *sha, unsigned threads)
{
    const struct rbe_source *from = c->source;
    char *name = rbe_path_name(a->model);
    bool bad;

    if (!name)
        return NULL;
    const struct rbe_result_model base = {
        .name = name, .path = rbe_base_name(rbe_source_path(from)), .sha256 = from->sha256,
        .label = from->label, .bytes = rbe_source_file_bytes(from), .params = c->params};
    const struct rbe_result_model model = {
        .name = rbe_base_name(a->out), .path = rbe_base_name(a->out), .sha256 = sha,
        .label = from->label, .bytes = c->file_bytes, .params = c->params, .rbe = true};
    json_t *j = rbe_result_new(RBE_KIND(convert), threads), *rows = json_array();
    bool resumed = s->resumed;
    for (size_t i = 0; i < c->count; i++) {
        resumed = resumed || c->entries[i].reused;
        if (c->entries[i].encoded && !c->entries[i].elsewhere)
            json_array_append_new(rows, entry_json(&c->entries[i]));
    }
    json_t *totals =
        RBE_OBJECT(RBE_INT(bytes, c->file_bytes), RBE_INT(parameters, c->params),
                   RBE_REAL(bits_per_weight, 8 * (double)c->file_bytes / (double)c->params),
                   RBE_INT(compressed_parameters, rbe_convert_compressed(c)),
                   RBE_WORD(compressed_definition, RBE_COMPRESSED_DEFINITION));
    bad = !j || rbe_result_set_model(j, RBE_KEY(base), &base) ||
          rbe_result_set_model(j, RBE_KEY(model), &model) ||
          RBE_SET(j, RBE_TEXT(profile, rbe_profile_name(c->o.profile)),
                  RBE_WORD(series, rbe_profile_series(c->o.profile))) ||
          RBE_SET(j, RBE_REAL(seconds, c->seconds));
    bad = RBE_SET(j,
                  RBE_WORD(search, a->search ? a->search : "default"),
                  RBE_JSON(calibration, calibration_json(c))) ||
          bad;
    bad = RBE_SET(j, RBE_WORD(allocation, c->measured ? "measured" : "even")) || bad;
    bad = RBE_SET(j, RBE_REAL(peak_bytes, peak_of(s))) || bad;
    /* Of shards each has its own: there is no sequence. */
    if (sha)
        bad = RBE_SET(j, RBE_JSON(stages, stages_json(s, c))) || bad;
    if (sha && resumed)
        bad = RBE_SET(j, RBE_FLAG(resumed, true)) || bad;
    bad = RBE_SET(j, RBE_JSON(totals, totals)) || bad;
    if (c->o.low_rank > 0)
        bad = RBE_SET(j, RBE_INT(low_rank_bytes, rbe_convert_low_rank_bytes(c))) || bad;
    bad = RBE_SET(j, RBE_JSON(tensors, rows)) || bad;
    if (bad) {
        json_decref(j);
        j = NULL;
    }
    free(name);
    return j;
}

static enum rbe_status append_result(struct rbe_result_file *file,
                                     const struct rbe_convert_args *a,
                                     const struct rbe_convert *c, const struct stages *s,
                                     unsigned threads, struct rbe_diag *d)
{
    char sha[65];
    const enum rbe_status err = rbe_sha256_file(sha, a->out, d);

    return err ? err : rbe_result_append(file, result_row(a, c, s, sha, threads), d);
}

/* --- what is asked for -------------------------------------------------------------------- */

/* Codes that stand for nothing: for times and memory. */
static bool is_drawn(const struct rbe_convert_args *a)
{
    return a->search && !strcmp(a->search, "none");
}

static enum rbe_status check_arguments(const struct rbe_convert_args *a, struct rbe_diag *d)
{
    if (a->bits > 0 && a->bytes > 0)
        return rbe_fail(d, RBE_ERR_ARG, "--bits and --bytes exclude one another");
    if (a->allocate && a->even)
        return rbe_fail(d, RBE_ERR_ARG, "--allocate and --even exclude one another");
    if (a->allocate && a->no_calibration)
        return rbe_fail(d, RBE_ERR_ARG, "--allocate needs a calibration text");
    if ((a->calibration || a->metric || a->f32) && a->no_calibration)
        return rbe_fail(d, RBE_ERR_ARG, "--no-calibration excludes --calibration, --metric and "
                        "--f32");
    if (a->compensate > 0 && (a->no_calibration || a->no_feedback))
        return rbe_fail(d, RBE_ERR_ARG, "--compensate is by error feedback: it excludes %s",
                        a->no_calibration ? "--no-calibration" : "--no-feedback");
    if (a->search && !is_drawn(a) && rbe_search_by_name(a->search) == RBE_SEARCH_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "--search: fast, default, best or none");
    if (is_drawn(a) &&
        (a->calibration || a->metric || a->f32 || a->allocate || a->compensate > 0))
        return rbe_fail(d, RBE_ERR_ARG, "--search none draws codes: it excludes --calibration, "
                        "--metric, --f32, --allocate and --compensate");
    if (a->shard && a->plan)
        return rbe_fail(d, RBE_ERR_ARG, "--plan: is the same for all shards");
    if (a->shard && a->json)
        return rbe_fail(d, RBE_ERR_ARG, "--json: the row of all shards is written by rbe merge "
                        "--json");
    if (a->metric && rbe_metric_by_name(a->metric) == RBE_METRIC_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "--metric: inputs, fisher or two-sided");
    return RBE_OK;
}

/* None of the outputs may be an input, and each can be written: known before the work. */
static enum rbe_status check_files(const struct rbe_convert_args *a, struct rbe_diag *d)
{
    struct rbe_files f = {0};
    char *partial = malloc(strlen(a->out) + sizeof ".partial");
    enum rbe_status err;
    struct stat st;

    if (!partial)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    sprintf(partial, "%s.partial", a->out);
    if (!(err = rbe_files_read_model(&f, a->model, d)) &&
        !(err = rbe_files_read(&f, a->profile, d)) &&
        !(err = rbe_files_read_data(&f, a->calibration, "calibration.txt", d)) &&
        !(err = rbe_files_guard_model(&f, a->out, d)) &&
        !(err = rbe_files_replace(&f, a->out, d)) &&
        !(err = rbe_companion_replace(&f, a->out, rbe_gguf_is(a->model), d)))
        err = rbe_files_append(&f, a->json, d);
    /* Where finished matrices are kept. */
    if (!err && (stat(partial, &st) ? errno != ENOENT : !S_ISDIR(st.st_mode)))
        err = rbe_fail(d, RBE_ERR_IO, "%s: cannot be a folder", partial);
    rbe_files_free(&f);
    free(partial);
    return err;
}

/* That the model gets no companion which nothing can read. */
static enum rbe_status check_tokenizer(const struct rbe_source *s, const char *model,
                                       struct rbe_diag *d)
{
    struct rbe_tokenizer *t = NULL;
    enum rbe_status err = RBE_OK;

    if (s->gguf && rbe_companion_is_due(s->gguf))
        err = rbe_find_tokenizer(&t, model, model, &s->config, d);
    rbe_tokenizer_close(&t);
    return err;
}

/* The profile the options name, or the default for this model. */
static enum rbe_status open_profile(struct rbe_profile **out, const struct rbe_convert_args *a,
                                    const struct rbe_source *s, struct rbe_diag *d)
{
    char name[64], valid[256];

    *out = NULL;
    if (a->codec) {
        if (a->profile)
            return rbe_fail(d, RBE_ERR_ARG, "--profile and --codec exclude one another");
        if (rbe_format_by_name(a->codec) == RBE_FORMAT_COUNT) {
            rbe_format_names(valid, sizeof valid, ", ", NULL);
            return rbe_fail(d, RBE_ERR_ARG, "unknown codec '%.40s'%s; valid: %s", a->codec,
                            rbe_nearest_in(a->codec, valid).text, valid);
        }
        if (a->block > 0)
            snprintf(name, sizeof name, "%.32s-b%d", a->codec, a->block);
        else
            snprintf(name, sizeof name, "%.32s", a->codec);
        return rbe_profile_open(out, name, d);
    }
    if (a->block)
        return rbe_fail(d, RBE_ERR_ARG, "--block needs --codec");
    if (a->profile)
        return rbe_profile_open(out, a->profile, d);
    return rbe_profile_open(out, rbe_convert_default_profile(&s->config), d);
}

/* --- the steps ---------------------------------------------------------------------------- */

struct work {
    const struct rbe_convert_args *a;
    struct rbe_source *source;
    struct rbe_profile *profile;
    struct rbe_pool *pool;
    struct rbe_convert *c;
    struct rbe_result_file *json;
    struct rbe_calibration *calibration;
    struct rbe_progress progress;
    struct rbe_calibration_how how;
    bool calibrates, allocates;
    char *shared;               /* folder of the calibration and the allocation, or NULL */
    unsigned shard_index, shard_count;
    double limit;               /* MB */
    struct stages stages;
};

/* Options that would decide nothing with this plan. */
static enum rbe_status check_used(const struct rbe_convert_args *a, const struct rbe_convert *c,
                                  struct rbe_diag *d)
{
    const char *const name = rbe_profile_name(c->o.profile);
    const char *const unused =
        a->calibration ? "--calibration" : a->metric ? "--metric" : a->f32 ? "--f32"
        : a->no_feedback ? "--no-feedback" : a->allocate ? "--allocate"
        : a->compensate > 0 ? "--compensate" : NULL;
    bool open = false;

    if (unused && !rbe_convert_wants_calibration(c))
        return rbe_fail(d, RBE_ERR_ARG, "%s: profile %s has no matrix that uses a "
                        "calibration", unused, name);
    for (size_t i = 0; i < c->count; i++)
        open = open || rbe_convert_is_open(&c->entries[i]);
    if (a->allocate && !open)
        return rbe_fail(d, RBE_ERR_ARG, "--allocate: profile %s leaves no B to choose", name);
    return RBE_OK;
}

/* Where shards have it unless they are told: beside their parts. */
static enum rbe_status find_shared(struct work *w, struct rbe_diag *d)
{
    const struct rbe_convert_args *a = w->a;
    const char *slash = strrchr(a->out, '/');
    char *folder;

    if (!a->shared && w->shard_count < 2)
        return RBE_OK;
    if (a->shared)
        w->shared = strdup(a->shared);
    else if ((folder = slash ? strndup(a->out, (size_t)(slash + 1 - a->out)) : strdup("."))) {
        w->shared = rbe_path_join(folder, "shared");
        free(folder);
    }
    return w->shared ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

/* How the calibration keeps within the limit; within CONVERT_AIM, too, where that takes no more
 * than running layers twice (a tenth more time). */
static void fit_calibration(struct work *w)
{
    const struct rbe_model_config *config = &w->source->config;
    const unsigned threads = rbe_pool_threads(w->pool);
    struct rbe_calibration_how twice;

    rbe_calibration_fit(&w->how, config, RBE_CALIBRATION_PASSES, threads,
                        (size_t)(w->limit * 1e6));
    twice = w->how;
    twice.again = true;
    if (!(w->a->memory > 0) &&
        rbe_calibration_bytes(config, w->how, threads) > CONVERT_AIM * (size_t)1000000 &&
        rbe_calibration_bytes(config, twice, threads) <= CONVERT_AIM * (size_t)1000000)
        w->how = twice;
}

/* Lines of the profile for layers that the model does not have: a slip, or a profile for models
 * of several depths. */
static void warn_beyond(const struct rbe_profile *p, const struct rbe_source *s)
{
    const int layers = (int)s->config.n_layer;
    char text[300];
    size_t n = 0;
    int line = 0;

    while ((line = rbe_profile_beyond(p, layers, line)) && n < sizeof text / 2)
        n += (size_t)snprintf(text + n, sizeof text - n, n ? ", line %d" : "line %d", line);
    if (!n)
        return;
    char all[480];
    snprintf(all, sizeof all, "rbe convert: profile %.60s: without effect, as the model has "
             "layers 0 to %d alone: %s%s", rbe_profile_name(p), layers - 1, text,
             line ? ", and others" : "");
    rbe_progress_hold(all);
}

/* Which codec and B each matrix gets, as far as that is known before anything is measured. */
static enum rbe_status make_plan(struct work *w, struct rbe_diag *d)
{
    const struct rbe_convert_args *a = w->a;
    const struct rbe_convert_options o = {
        .profile = w->profile, .budget_bits = a->bits, .budget_bytes = (uint64_t)a->bytes,
        .search = a->search && !is_drawn(a) ? (int)rbe_search_by_name(a->search) : -1,
        .drawn = is_drawn(a), .pool = w->pool,
        .low_rank = a->low_rank, .no_feedback = a->no_feedback, .progress = &w->progress,
        .compensate = a->compensate < 0 ? rbe_profile_compensate(w->profile)
                                        : (size_t)a->compensate,
        .shard_index = w->shard_index, .shard_count = w->shard_count, .shared = w->shared};
    enum rbe_status err;

    if (o.drawn && !w->source->label)
        return rbe_fail(d, RBE_ERR_ARG, "%s: --search none draws the codes at random, which "
                        "only generated weights (rbe synth) may become", a->model);
    if ((err = rbe_convert_plan(&w->c, w->source, &o, d)) || (err = check_used(a, w->c, d)))
        return err;
    warn_beyond(w->profile, w->source);
    w->how.metric = a->metric ? rbe_metric_by_name(a->metric) : rbe_profile_metric(w->profile);
    w->calibrates = rbe_convert_wants_calibration(w->c) && !a->no_calibration && !is_drawn(a);
    w->allocates = w->calibrates &&
                   (a->allocate || (rbe_profile_measured(w->profile) && !a->even));
    const double params = (double)rbe_model_config_params(&w->source->config);
    w->limit = a->memory > 0 ? a->memory : fmax(CONVERT_MEMORY, 1000 + 5 * params / 1e6);
    w->how.bf16 = rbe_product_has_bf16() && !a->f32;
    if (w->calibrates)
        fit_calibration(w);
    return RBE_OK;
}

/* Says what the conversion takes, and refuses what is too much before it begins. */
static enum rbe_status check_memory(const struct work *w, struct rbe_diag *d)
{
    const struct rbe_convert_args *a = w->a;
    const double limit = w->limit;
    const struct rbe_calibration_how *how = w->calibrates ? &w->how : NULL;
    const unsigned threads = rbe_pool_threads(w->pool);
    const double need = (double)rbe_convert_bytes(w->c, how, w->allocates, threads) / 1e6;

    printf("memory: up to %.0f MB besides the mapped checkpoint, of %.0f", need, limit);
    if (how && how->passes > 1)
        printf(", by a calibration in %u passes", how->passes);
    putchar('\n');
    fflush(stdout);
    if (need <= limit || (a->plan && !w->allocates && !w->shared))
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_LIMIT, "%s: the conversion needs up to %.0f MB of memory "
                    "besides the mapped checkpoint, %.0f are allowed (--memory)%s", a->model,
                    need, limit, w->allocates ? "; --even needs less"
                                 : w->calibrates ? "; --no-calibration needs less" : "");
}

static void print_unkept(const struct rbe_diag *why)
{
    if (why->text[0])
        printf("not kept for the case of an interrupt: %s\n", why->text);
}

static void print_untold(const struct rbe_convert *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_is_untold(c, &c->entries[i]))
            printf("%s: inputs or gradients are zero on the whole calibration text: encoded "
                   "without feedback\n", c->entries[i].tensor->name);
}

/* What the matrices' inputs look like on a text. */
static enum rbe_status calibrate(struct work *w, struct rbe_diag *d)
{
    struct rbe_convert *c = w->c;
    const char *text = w->a->calibration;
    /* The disk has to hold every matrix, and then the file. */
    const char *folder = w->shared ? w->shared : c->folder;
    struct rbe_calibration_keep keep = {.folder = folder,
                                        .shared = w->shared,
                                        .source_sha256 = c->source->sha256,
                                        .reserve = 2 * c->file_bytes};
    begin_stage(&w->stages);
    const enum rbe_status err =
        rbe_calibrate_file(&w->calibration, w->a->model, text, w->how,
                           rbe_profile_tokens(w->profile),
                           folder ? &keep : NULL, w->pool, &w->progress, d);
    end_stage(&w->stages, CALIBRATION);

    print_unkept(&keep.why);
    if (err)
        return err;
    w->stages.resumed = keep.taken > 0;
    printf("calibrated on %zu tokens of %s", rbe_calibration_tokens(w->calibration),
           text ? text : "the shipped sample");
    if (keep.taken)
        printf(", %zu of them before%s", keep.taken,
               w->shared ? ", or by another process" : " the interrupt");
    printf("\n");
    c->o.calibration = w->calibration;
    print_untold(c);
    return RBE_OK;
}

/* Shares the budget by what an error in each matrix does. */
static enum rbe_status allocate(struct work *w, struct rbe_diag *d)
{
    struct rbe_convert *c = w->c;

    begin_stage(&w->stages);
    const enum rbe_status err = rbe_convert_allocate(c, w->a->model, d);
    end_stage(&w->stages, SENSITIVITIES);

    print_unkept(&c->unkept);
    w->stages.resumed = w->stages.resumed || c->probes_reused > 0;
    if (!err && c->probes_reused)
        printf("%zu of %zu sensitivities were measured before%s\n", c->probes_reused,
               c->probes, w->shared ? ", or by another process" : " the interrupt");
    if (!err && !c->measured)
        printf("no measured allocation fits the budget: all open matrices get the same B\n");
    return err;
}

/* Matrix after matrix, then the file. */
static enum rbe_status encode(struct work *w, struct rbe_diag *d)
{
    const struct rbe_convert_entry *r;
    enum rbe_status err;

    printf("%s -> %s", w->a->model, w->a->out);
    if (w->a->shard)
        printf(", shard %s", w->a->shard);
    printf(", profile %s (%s)\n", rbe_profile_name(w->profile), rbe_profile_about(w->profile));
    if (w->source->label)
        printf("synthetic weights: %s\n", w->source->label);
    rbe_convert_print_head();
    begin_stage(&w->stages);
    while (!(err = rbe_convert_next(&r, w->c, d)) && r)
        rbe_convert_print_line(r);
    end_stage(&w->stages, ENCODING);
    if (!err && w->shard_count > 1) {
        json_t *row = result_row(w->a, w->c, &w->stages, NULL, rbe_pool_threads(w->pool));
        err = row ? rbe_convert_write_part(w->c, w->a->out, row, d)
                  : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        json_decref(row);
        if (!err)
            printf("part %s of a file of %" PRIu64 " bytes; %.0f s of encoding; peak memory "
                   "%.0f MB\n", w->a->shard, w->c->file_bytes, w->c->seconds,
                   peak_of(&w->stages) / 1e6);
        return err;
    }
    if (err)
        return err;
    begin_stage(&w->stages);
    err = rbe_convert_write(w->c, w->a->out, d);
    end_stage(&w->stages, WRITING);
    if (err)
        return err;
    rbe_convert_print_totals(w->c, peak_of(&w->stages));
    return RBE_OK;
}

static enum rbe_status convert(const struct rbe_convert_args *a, struct rbe_diag *d)
{
    struct work w = {.a = a};
    enum rbe_status err;

    if ((err = check_arguments(a, d)) ||
        (err = rbe_shard_parse(&w.shard_index, &w.shard_count, a->shard, d)) ||
        (!a->plan && (err = check_files(a, d))) ||
        (err = rbe_source_open(&w.source, a->model, d)) ||
        (err = check_tokenizer(w.source, a->model, d)) ||
        (err = open_profile(&w.profile, a, w.source, d)) ||
        (err = rbe_pool_open(&w.pool, (unsigned)a->threads, d)))
        goto out;
    rbe_warn_threads("convert", rbe_pool_threads(w.pool));
    /* The result's file not after the work, should there be no place for it. */
    if ((err = find_shared(&w, d)) || (err = make_plan(&w, d)) ||
        (!a->plan && (err = rbe_result_open(&w.json, a->json, d))))
        goto out;
    rbe_catch_interrupt();
    if ((err = check_memory(&w, d)) ||
        (!a->plan && (err = rbe_convert_begin(w.c, a->out, d))) ||
        (w.calibrates && w.shared && (err = rbe_make_dirs(w.shared, d))) ||
        (w.calibrates && (!a->plan || w.allocates || w.shared) && (err = calibrate(&w, d))) ||
        (w.allocates && (err = allocate(&w, d))))
        goto out;
    if (a->plan)
        rbe_convert_print_plan(w.c);
    else if (!(err = encode(&w, d)) && a->json)
        err = append_result(w.json, a, w.c, &w.stages, rbe_pool_threads(w.pool), d);
out:
    if (err == RBE_ERR_NUMERIC && w.c)
        rbe_convert_give_up(w.c);
    if (err == RBE_ERR_INTERRUPTED && w.c && rbe_convert_has_kept(w.c))
        rbe_fail(d, err, "interrupted; what is finished is kept in %s, the same command "
                         "continues", w.c->folder);
    free(w.shared);
    rbe_result_close(&w.json);
    rbe_convert_close(&w.c);
    rbe_calibration_close(&w.calibration);
    rbe_pool_close(&w.pool);
    rbe_profile_close(&w.profile);
    rbe_source_close(&w.source);
    return err;
}

enum rbe_status rbe_cmd_convert(struct rbe_convert_args *a, struct rbe_diag *d)
{
    const char *const *args = a->call.args;
    enum rbe_status err;

    if (a->call.count != 2 && !(a->plan && a->call.count == 1))
        return rbe_fail(d, RBE_ERR_ARG, "want MODEL and OUT.rbe; --help explains");
    if (a->quiet)
        rbe_progress_silence();
    if ((err = rbe_call_model(&a->call, 0, d)))
        return err;
    a->model = args[0];
    a->out = args[1] ? args[1] : "";
    return convert(a, d);
}
