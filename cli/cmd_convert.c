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
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/command.h"
#include "convert/convert.h"
#include "model/data.h"

/* What a conversion may take when nothing else is said. */
#define MEMORY_MB 2000.0

struct arguments {
    const char *model, *out, *profile, *codec, *search, *calibration, *metric, *json;
    int block, threads, plan, quiet, no_calibration, no_feedback, allocate, even;
    double bits, bytes, low_rank, memory;
};

/* "hybrid", or "seed+seed4" of parts that differ. */
static void codec_names(char *buf, size_t size, const struct rbe_convert_row *r)
{
    unsigned seen = 0;
    size_t at = 0;

    if (!r->options.part_count) {
        snprintf(buf, size, "%s", rbe_format_name(r->options.format));
        return;
    }
    buf[0] = 0;
    for (size_t i = 0; i < r->options.part_count && at < size; i++) {
        const enum rbe_format f = r->options.parts[i].format;
        if (!(seen >> f & 1))
            at += (size_t)snprintf(buf + at, size - at, "%s%s", at ? "+" : "",
                                   rbe_format_name(f));
        seen |= 1U << f;
    }
}

/* "44", "36-52" of parts that differ, "64 k9" of codecs with K, "-" of those without blocks. */
static void block_text(char *buf, size_t size, const struct rbe_convert_row *r)
{
    const struct rbe_encode_options *o = &r->options;
    uint32_t low = o->block, high = o->block;

    for (size_t i = 0; i < o->part_count; i++) {
        const uint32_t b = o->parts[i].block;
        low = i && low < b ? low : b;
        high = i && high > b ? high : b;
    }
    if (!high)
        snprintf(buf, size, "-");
    else if (!o->part_count && rbe_format_facts(o->format)->rate == RBE_RATE_K)
        snprintf(buf, size, "%u k%u", low, rbe_aux_k(o->aux));
    else if (low == high)
        snprintf(buf, size, "%u", low);
    else
        snprintf(buf, size, "%u-%u", low, high);
}

static void print_head(void)
{
    printf("%-24s %11s %-9s %8s %9s %7s %8s %7s %7s %7s %6s %-14s %6s\n", "tensor",
           "shape", "codec", "B", "bytes", "bits/w", "ratio", "relRMSE", "bound", "outErr",
           "PSNR", "quality", "s");
}

static void print_row(void *arg, const struct rbe_convert_row *r)
{
    const struct rbe_quality *q = &r->quality;
    char shape[24], codec[32], block[24], level[32] = "", output[16] = "-";

    (void)arg;
    snprintf(shape, sizeof shape, "%ux%u", r->tensor->rows, r->tensor->cols);
    codec_names(codec, sizeof codec, r);
    block_text(block, sizeof block, r);
    if (r->choice.level != RBE_LEVEL_NONE)
        snprintf(level, sizeof level, "%s %s", rbe_level_name(r->choice.level),
                 q->psnr_db >= rbe_level_psnr_db(r->choice.level) ? "met" : "missed");
    if (r->output_error > 0)
        snprintf(output, sizeof output, "%.4f", sqrt(r->output_error));
    rbe_progress_clear();
    printf("%-24s %11s %-9s %8s %9zu %7.4g %7.4g%c %7.4f %7.4f %7s %6.2f %-14s %6.1f%s\n",
           r->tensor->name, shape, codec, block, q->bytes, q->bits, q->ratio,
           r->rate_met ? ' ' : '!', q->relative_rmse, q->bound, output, q->psnr_db, level,
           r->seconds, r->reused ? " (kept)" : "");
    /* Tiles mix rows, and may be zeros for other reasons. */
    if (q->lost_rows && !rbe_format_facts(r->options.format)->tiles)
        printf("%s: %zu rows are too small for an f16 scale and become zeros\n",
               r->tensor->name, q->lost_rows);
    fflush(stdout);
}

static void print_plan(const struct rbe_convert *c)
{
    printf("%-24s %11s %-9s %8s %11s %7s %11s\n", "tensor", "shape", "codec", "B", "bytes",
           "bits/w", "probe KL");
    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_row *r = &c->rows[i];
        char shape[24], codec[32], block[24];

        if (!r->encoded)
            continue;
        const size_t bytes = rbe_encode_bytes(r->tensor->rows, r->tensor->cols, &r->options);
        snprintf(shape, sizeof shape, "%ux%u", r->tensor->rows, r->tensor->cols);
        codec_names(codec, sizeof codec, r);
        block_text(block, sizeof block, r);
        printf("%-24s %11s %-9s %8s %11zu %7.4g", r->tensor->name, shape, codec, block, bytes,
               8 * (double)bytes / ((double)r->tensor->rows * r->tensor->cols));
        if (r->sensitivity > 0)
            printf(" %11.3g", r->sensitivity);
        printf("\n");
        for (size_t k = 0, row = 0; k < r->options.part_count; k++) {
            const struct rbe_encode_part *p = &r->options.parts[k];

            snprintf(shape, sizeof shape, "%zu..%zu", row, row + p->rows - 1);
            printf("  rows %-17s %11s %-9s %8u %11s %7.4g\n", shape, "",
                   rbe_format_name(p->format), p->block, "",
                   (double)rbe_format_facts(p->format)->strip_bits / p->block);
            row += p->rows;
        }
    }
    printf("planned file: %" PRIu64 " bytes, %.4f bits a parameter\n", c->file_bytes,
           8 * (double)c->file_bytes / (double)c->params);
}

/* Largest resident memory of this process so far. */
static double peak_bytes(void)
{
    struct rusage u;

    return getrusage(RUSAGE_SELF, &u) ? NAN : 1024 * (double)u.ru_maxrss;
}

static void print_totals(const struct rbe_convert *c)
{
    uint64_t weights = 0, bytes = 0, unmet = 0, missed = 0;
    double w2 = 0, e2 = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_row *r = &c->rows[i];
        const struct rbe_quality *q = &r->quality;
        const double n = (double)q->weights;

        if (!r->encoded)
            continue;
        weights += q->weights;
        bytes += q->bytes;
        w2 += n * q->rms * q->rms;
        e2 += n * q->rmse * q->rmse;
        unmet += !r->rate_met;
        missed += r->choice.level != RBE_LEVEL_NONE &&
                  !(q->psnr_db >= rbe_level_psnr_db(r->choice.level));
    }
    printf("matrices: %" PRIu64 " weights in %" PRIu64 " bytes, %.4f bits a weight, %.4g:1 of "
           "f32, relative RMSE %.4f\n", weights, bytes,
           8 * (double)bytes / (double)weights, 4 * (double)weights / (double)bytes,
           w2 > 0 ? sqrt(e2 / w2) : 0);
    printf("file: %" PRIu64 " bytes for %" PRIu64 " parameters (tied output layer counted "
           "once): %.4f bits a parameter\n      (8 * file bytes / parameters; norms, biases, "
           "positions and the header included), %.4g:1 of f32\n", c->file_bytes, c->params,
           8 * (double)c->file_bytes / (double)c->params,
           4 * (double)c->params / (double)c->file_bytes);
    printf("compressed parameters: %" PRIu64 " (%s)\n", rbe_convert_compressed(c),
           RBE_COMPRESSED_DEFINITION);
    if (c->o.low_rank > 0)
        printf("as low-rank factors: %" PRIu64 " bytes, %.4f bits a parameter\n",
               rbe_convert_low_rank_bytes(c),
               8 * (double)rbe_convert_low_rank_bytes(c) / (double)c->params);
    printf("%.0f s of encoding; peak memory %.0f MB\n", c->seconds, peak_bytes() / 1e6);
    if (unmet)
        printf("! %" PRIu64 " matrices: the codec cannot have the rate the profile asks for at "
               "that block; its smallest is used\n", unmet);
    if (missed)
        printf("quality: %" PRIu64 " matrices miss their level (PSNR = 20 log10(largest |w| / "
               "RMSE); Ultra 50, High 40, Medium 30, Low 20 dB)\n", missed);
}

static json_t *row_json(const struct rbe_convert_row *r)
{
    const struct rbe_quality *q = &r->quality;
    const struct rbe_encode_options *o = &r->options;
    char codec[32];

    codec_names(codec, sizeof codec, r);
    json_t *j = RBE_OBJECT(
        RBE_WORD(name, r->tensor->name), RBE_WORD(class, rbe_class_name(r->tensor_class)),
        RBE_INT(layer, r->layer),
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
    if (j && r->choice.level != RBE_LEVEL_NONE) {
        RBE_SET(j, RBE_WORD(quality, rbe_level_name(r->choice.level)));
        RBE_SET(j, RBE_FLAG(quality_met, q->psnr_db >= rbe_level_psnr_db(r->choice.level)));
    }
    return j;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static json_t *calibration_json(const struct rbe_convert *c)
{
    const struct rbe_calibration *k = c->o.calibration;

    return !k ? json_null()
              : RBE_OBJECT(RBE_INT(tokens, rbe_calibration_tokens(k)),
                           RBE_WORD(metric, rbe_metric_name(rbe_calibration_metric(k))),
                           RBE_WORD(sha256, rbe_calibration_sha256(k)),
                           RBE_FLAG(feedback, !c->o.no_feedback));
}

static enum rbe_status append_result(struct rbe_result_file *file, const struct arguments *a,
                                     const struct rbe_convert *c, unsigned threads,
                                     struct rbe_diag *d)
{
    const struct rbe_source *s = c->source;
    char sha[65];
    enum rbe_status err;
    bool bad;

    if ((err = rbe_sha256_file(sha, a->out, d)))
        return err;
    char *name = rbe_path_name(a->model);
    if (!name)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    const struct rbe_result_model base = {
        .name = name, .path = base_name(rbe_safetensors_path(s->file)), .sha256 = s->sha256,
        .label = s->label, .bytes = rbe_safetensors_file_bytes(s->file), .params = c->params};
    const struct rbe_result_model model = {
        .name = base_name(a->out), .path = base_name(a->out), .sha256 = sha, .label = s->label,
        .bytes = c->file_bytes, .params = c->params, .rbe = true};
    json_t *j = rbe_result_new("convert", threads), *rows = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (c->rows[i].encoded)
            json_array_append_new(rows, row_json(&c->rows[i]));
    json_t *totals =
        RBE_OBJECT(RBE_INT(bytes, c->file_bytes), RBE_INT(parameters, c->params),
                   RBE_REAL(bits_per_weight, 8 * (double)c->file_bytes / (double)c->params),
                   RBE_INT(compressed_parameters, rbe_convert_compressed(c)),
                   RBE_WORD(compressed_definition, RBE_COMPRESSED_DEFINITION));
    bad = !j || rbe_result_set_model(j, RBE_KEY(base), &base) ||
          rbe_result_set_model(j, RBE_KEY(model), &model) ||
          RBE_SET(j, RBE_TEXT(profile, rbe_profile_name(c->o.profile))) ||
          RBE_SET(j, RBE_REAL(seconds, c->seconds));
    bad = RBE_SET(j, RBE_JSON(calibration, calibration_json(c))) || bad;
    bad = RBE_SET(j, RBE_WORD(allocation, c->measured ? "measured" : "even")) || bad;
    bad = RBE_SET(j, RBE_REAL(peak_bytes, peak_bytes())) || bad;
    bad = RBE_SET(j, RBE_JSON(totals, totals)) || bad;
    if (c->o.low_rank > 0)
        bad = RBE_SET(j, RBE_INT(low_rank_bytes, rbe_convert_low_rank_bytes(c))) || bad;
    bad = RBE_SET(j, RBE_JSON(tensors, rows)) || bad;
    if (bad) {
        json_decref(j);
        j = NULL;
    }
    free(name);
    return rbe_result_append(file, j, d);
}

/* The profile the options name, or the default for this model. */
static enum rbe_status open_profile(struct rbe_profile **out, const struct arguments *a,
                                    const struct rbe_source *s, struct rbe_diag *d)
{
    char name[64];

    *out = NULL;
    if (a->codec) {
        if (a->profile)
            return rbe_fail(d, RBE_ERR_ARG, "--profile and --codec exclude one another");
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

static enum rbe_status check_arguments(const struct arguments *a, struct rbe_diag *d)
{
    if (a->bits < 0 || a->bits > 32 || !(a->bits >= 0))
        return rbe_fail(d, RBE_ERR_ARG, "--bits: between 0 and 32 a parameter");
    if (!(a->bytes >= 0 && a->bytes < 1e15))
        return rbe_fail(d, RBE_ERR_ARG, "--bytes: a number of bytes");
    if (a->bits > 0 && a->bytes > 0)
        return rbe_fail(d, RBE_ERR_ARG, "--bits and --bytes exclude one another");
    if (!(a->low_rank >= 0 && a->low_rank < 1e6))
        return rbe_fail(d, RBE_ERR_ARG, "--low-rank: a ratio");
    if (a->allocate && a->even)
        return rbe_fail(d, RBE_ERR_ARG, "--allocate and --even exclude one another");
    if (a->allocate && a->no_calibration)
        return rbe_fail(d, RBE_ERR_ARG, "--allocate needs a calibration text");
    if ((a->calibration || a->metric) && a->no_calibration)
        return rbe_fail(d, RBE_ERR_ARG, "--no-calibration excludes --calibration and "
                        "--metric");
    if (a->threads < 0 || a->threads > 1024)
        return rbe_fail(d, RBE_ERR_ARG, "--threads: from 1 to 1024");
    if (!(a->memory >= 0 && a->memory < 1e9))
        return rbe_fail(d, RBE_ERR_ARG, "--memory: a number of MB");
    if (a->block < 0)
        return rbe_fail(d, RBE_ERR_ARG, "--block: a positive number");
    if (a->search && rbe_search_by_name(a->search) == RBE_SEARCH_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "--search: fast, default or best");
    if (a->metric && rbe_metric_by_name(a->metric) == RBE_METRIC_COUNT)
        return rbe_fail(d, RBE_ERR_ARG, "--metric: inputs or fisher");
    return RBE_OK;
}

/* Options that would decide nothing with this plan. */
static enum rbe_status check_used(const struct arguments *a, const struct rbe_convert *c,
                                  struct rbe_diag *d)
{
    const char *const name = rbe_profile_name(c->o.profile);
    const char *const unused =
        a->calibration ? "--calibration" : a->metric ? "--metric"
        : a->no_feedback ? "--no-feedback" : a->allocate ? "--allocate" : NULL;
    bool open = false;

    if (unused && !rbe_convert_wants_calibration(c))
        return rbe_fail(d, RBE_ERR_ARG, "%s: with profile %s no matrix is encoded by what a "
                        "calibration tells", unused, name);
    for (size_t i = 0; i < c->count; i++)
        open = open || rbe_convert_is_open(&c->rows[i]);
    if (a->allocate && !open)
        return rbe_fail(d, RBE_ERR_ARG, "--allocate: profile %s leaves no B to choose", name);
    return RBE_OK;
}

/* Says what the conversion takes, and refuses what is too much before it begins. */
static enum rbe_status check_memory(const struct arguments *a, const struct rbe_convert *c,
                                    bool calibrates, enum rbe_metric metric, bool allocate,
                                    struct rbe_diag *d)
{
    const double limit = a->memory > 0 ? a->memory : MEMORY_MB;
    const unsigned threads = rbe_pool_threads(c->o.pool);
    const double need =
        (double)rbe_convert_bytes(c, calibrates, metric, allocate, threads) / 1e6;

    printf("memory: up to %.0f MB besides the mapped checkpoint, of %.0f\n", need, limit);
    fflush(stdout);
    if (need <= limit || (a->plan && !allocate))
        return RBE_OK;
    return rbe_fail(d, RBE_ERR_LIMIT, "%s: the conversion needs up to %.0f MB of memory "
                    "besides the mapped checkpoint, %.0f are allowed (--memory)%s", a->model,
                    need, limit, allocate ? "; --even needs less"
                                 : calibrates ? "; --no-calibration needs less" : "");
}

static void print_unkept(const struct rbe_diag *why)
{
    if (why->text[0])
        printf("not kept for the case of an interrupt: %s\n", why->text);
}

static enum rbe_status calibrate(struct rbe_calibration **out, const struct arguments *a,
                                 const struct rbe_convert *c, enum rbe_metric metric,
                                 struct rbe_progress *progress, struct rbe_diag *d)
{
    /* The disk has to hold every matrix, and then the file. */
    struct rbe_calibration_keep keep = {.folder = c->folder,
                                        .source_sha256 = c->source->sha256,
                                        .reserve = 2 * c->file_bytes};
    const enum rbe_status err =
        rbe_calibrate_file(out, a->model, a->calibration, metric, 0, c->folder ? &keep : NULL,
                           c->o.pool, progress, d);

    print_unkept(&keep.why);
    if (err)
        return err;
    printf("calibrated on %zu tokens of %s", rbe_calibration_tokens(*out),
           a->calibration ? a->calibration : "the shipped sample");
    if (keep.taken)
        printf(", %zu of them before the interrupt", keep.taken);
    printf("\n");
    return RBE_OK;
}

static void print_untold(const struct rbe_convert *c)
{
    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_is_untold(c, &c->rows[i]))
            printf("%s: the calibration tells nothing of it, inputs or gradients are zero on "
                   "all of the text: encoded without feedback\n", c->rows[i].tensor->name);
}

static enum rbe_status allocate_measured(const struct arguments *a, struct rbe_convert *c,
                                         struct rbe_diag *d)
{
    const enum rbe_status err = rbe_convert_allocate(c, a->model, d);

    print_unkept(&c->unkept);
    if (!err && c->probes_reused)
        printf("%zu of %zu sensitivities were measured before the interrupt\n",
               c->probes_reused, c->probes);
    return err;
}

/* None of the outputs may be an input, and each can be written: known before the work. */
static enum rbe_status check_files(const struct arguments *a, struct rbe_diag *d)
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
        !(err = rbe_files_replace(&f, a->out, d)))
        err = rbe_files_append(&f, a->json, d);
    /* Where finished matrices are kept. */
    if (!err && (stat(partial, &st) ? errno != ENOENT : !S_ISDIR(st.st_mode)))
        err = rbe_fail(d, RBE_ERR_IO, "%s: cannot be a folder", partial);
    rbe_files_free(&f);
    free(partial);
    return err;
}

static enum rbe_status convert(const struct arguments *a, struct rbe_diag *d)
{
    struct rbe_source *source = NULL;
    struct rbe_profile *profile = NULL;
    struct rbe_calibration *calibration = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_pool *pool = NULL;
    struct rbe_result_file *json = NULL;
    struct rbe_progress progress = {0};
    enum rbe_status err;

    if ((err = check_arguments(a, d)) || (!a->plan && (err = check_files(a, d))) ||
        (err = rbe_source_open(&source, a->model, d)) ||
        (err = open_profile(&profile, a, source, d)) ||
        (err = rbe_pool_open(&pool, (unsigned)a->threads, d)))
        goto out;
    rbe_warn_threads("convert", rbe_pool_threads(pool));
    const struct rbe_convert_options o = {
        .profile = profile, .budget_bits = a->bits, .budget_bytes = (uint64_t)a->bytes,
        .search = a->search ? (int)rbe_search_by_name(a->search) : -1, .pool = pool,
        .low_rank = a->low_rank, .no_feedback = a->no_feedback, .progress = &progress,
        .row_done = print_row};
    if ((err = rbe_convert_plan(&c, source, &o, d)) || (err = check_used(a, c, d)))
        goto out;
    /* Not after the work, should there be no place for its result. */
    if (!a->plan && (err = rbe_result_open(&json, a->json, d)))
        goto out;
    rbe_catch_interrupt();
    const enum rbe_metric metric =
        a->metric ? rbe_metric_by_name(a->metric) : rbe_profile_metric(profile);
    const bool allocate =
        a->allocate || (rbe_profile_measured(profile) && !a->even && !a->no_calibration);
    const bool calibrates = rbe_convert_wants_calibration(c) && !a->no_calibration;
    if ((err = check_memory(a, c, calibrates, metric, calibrates && allocate, d)))
        goto out;
    if (!a->plan && (err = rbe_convert_begin(c, a->out, d)))
        goto out;
    if (calibrates && (!a->plan || allocate)) {
        if ((err = calibrate(&calibration, a, c, metric, &progress, d)))
            goto out;
        c->o.calibration = calibration;
        print_untold(c);
        if (allocate && (err = allocate_measured(a, c, d)))
            goto out;
        if (allocate && !c->measured)
            printf("no measured allocation fits the budget: all open matrices get the same "
                   "B\n");
    }
    if (a->plan) {
        print_plan(c);
        goto out;
    }
    printf("%s -> %s, profile %s (%s)\n", a->model, a->out, rbe_profile_name(profile),
           rbe_profile_about(profile));
    if (source->label)
        printf("synthetic weights: %s\n", source->label);
    print_head();
    if ((err = rbe_convert_run(c, a->out, d)))
        goto out;
    print_totals(c);
    if (a->json)
        err = append_result(json, a, c, rbe_pool_threads(pool), d);
out:
    if (err == RBE_ERR_INTERRUPTED && c && rbe_convert_has_kept(c))
        rbe_fail(d, err, "interrupted; what is finished is kept in %s, the same command goes "
                 "on", c->folder);
    rbe_result_close(&json);
    rbe_convert_close(&c);
    rbe_calibration_close(&calibration);
    rbe_pool_close(&pool);
    rbe_profile_close(&profile);
    rbe_source_close(&source);
    return err;
}

int rbe_cmd_convert(int argc, const char **argv)
{
    static struct arguments a;      /* popt's copies stay reachable */
    char names[128], codecs[192];
    snprintf(codecs, sizeof codecs, "instead: one codec for every matrix: %s",
             rbe_format_names(names, sizeof names, " ", NULL));
    const struct poptOption table[] = {
        {"profile", 'p', POPT_ARG_STRING, &a.profile, 0,
         "which codec each tensor gets (default: mobile-45mb for GPT-2 small, else mini-2.89)",
         "NAME|FILE"},
        {"codec", 0, POPT_ARG_STRING, &a.codec, 0, codecs, "NAME"},
        {"block", 0, POPT_ARG_INT, &a.block, 0, "with --codec: B", "N"},
        {"bits", 0, POPT_ARG_DOUBLE, &a.bits, 0,
         "budget: 8 * file bytes / parameters (default: the profile's)", "X"},
        {"bytes", 0, POPT_ARG_DOUBLE, &a.bytes, 0, "budget: size of the file", "N"},
        {"search", 0, POPT_ARG_STRING, &a.search, 0, "encoder effort: fast, default or best",
         "LEVEL"},
        {"calibration", 0, POPT_ARG_STRING, &a.calibration, 0,
         "text whose inputs decide which errors matter (default: a shipped sample)", "FILE"},
        {"metric", 0, POPT_ARG_STRING, &a.metric, 0,
         "what an error costs: inputs (the inputs that meet it, all alike) or fisher (those by "
         "how much the predictions depend on the layer; takes a backward pass; default: the "
         "profile's)", "NAME"},
        {"allocate", 0, POPT_ARG_NONE, &a.allocate, 0,
         "share the budget by how much each open matrix matters, as measured on the "
         "calibration text (profiles may ask for it)", NULL},
        {"even", 0, POPT_ARG_NONE, &a.even, 0, "give all open matrices the same B", NULL},
        {"no-calibration", 0, POPT_ARG_NONE, &a.no_calibration, 0,
         "encode each matrix for itself, all open ones with the same B", NULL},
        {"no-feedback", 0, POPT_ARG_NONE, &a.no_feedback, 0,
         "calibrate for the allocation and the column outErr, but encode without feedback",
         NULL},
        {"low-rank", 0, POPT_ARG_DOUBLE, &a.low_rank, 0,
         "for comparison: every matrix's best approximation whose two f16 factors are X times "
         "smaller than f32 (the file itself holds the product)", "X"},
        {"memory", 0, POPT_ARG_DOUBLE, &a.memory, 0,
         "refuse to take more than so many MB besides the mapped checkpoint (default: 2000)",
         "MB"},
        {"threads", 't', POPT_ARG_INT, &a.threads, 0, "threads (default: one for each CPU)",
         "N"},
        {"plan", 0, POPT_ARG_NONE, &a.plan, 0, "print the allocation and its size, and stop",
         NULL},
        {"json", 0, POPT_ARG_STRING, &a.json, 0, "append the result to this file", "FILE"},
        {"quiet", 'q', POPT_ARG_NONE, &a.quiet, 0, "no progress", NULL},
        POPT_TABLEEND};
    struct rbe_diag d = {""};
    const char **args;
    int count, code;

    if (!rbe_parse(argc, argv, table, "MODEL OUT.rbe",
                   "Converts a GPT-2 checkpoint (a folder with config.json and "
                   "model.safetensors, or the\nfile) into an RBE model and prints what each "
                   "matrix cost and lost.  An interrupted\nconversion goes on where it stopped "
                   "when the same command runs again.", &args, &count, &code))
        return code;
    if (count != 2 && !(a.plan && count == 1)) {
        fprintf(stderr, "rbe convert: want MODEL and OUT.rbe; --help explains\n");
        return 2;
    }
    if (a.quiet)
        rbe_progress_silence();
    /* The shipped model goes by its name. */
    char *shipped = access(args[0], F_OK) ? rbe_data_path(args[0]) : NULL;
    a.model = shipped ? shipped : args[0];
    a.out = args[1] ? args[1] : "";
    const enum rbe_status err = convert(&a, &d);
    free(shipped);
    return rbe_report_failure("convert", err, &d);
}
