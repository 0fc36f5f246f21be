/*
 * trainer.c - the loop of a recovery training.
 *
 * SPDX-License-Identifier: MIT
 *
 * All that decides what comes next is in struct state and in the student, and both go into a
 * checkpoint: one that is read back goes on bit for bit.
 */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/calibrate.h"

enum { KEY_SIZE = 65 };

/* Past this many times the perplexity at the start the training is taken to diverge. */
#define DIVERGED 3.0

struct state {
    uint32_t stage;
    uint32_t encoded;           /* progressive: groups done in this stage */
    uint64_t step;              /* of this stage */
    uint64_t window;            /* of the text, taken so far */
    uint64_t tokens;
    double factor;              /* of the rate, driven by performance */
    struct rbe_adaptive adaptive;
    double first;               /* perplexity at the start */
    double loss;                /* smoothed, for people */
    double gap;                 /* smoothed: cross entropy less the original's, nats */
    double seconds;
    double original;
    uint64_t points;
    uint64_t passes;            /* sequences the teacher read */
};

struct trainer {
    const struct rbe_trainer_options *o;
    struct rbe_student *s;
    struct rbe_grad *train, *teacher;
    struct rbe_trainer_result *r;
    struct state now;
    struct rbe_calibration *calibration;
    uint32_t *tokens;           /* [micro][time] */
    uint32_t *targets;
    struct rbe_kept *kept;      /* or NULL */
    struct rbe_kept_plan plan;
    unsigned char **predictions;        /* [micro] of the windows in hand */
    uint64_t total_steps, steps_here;
    uint64_t encodings;         /* groups encoded so far by this process */
    double began, saved;        /* rbe_now() */
    struct rbe_diag *d;
};

static const struct rbe_stage *stage_of(const struct trainer *t)
{
    return &t->o->recipe->stages[t->now.stage];
}

/* Sequences of a step. */
static uint32_t sequences_of(const struct rbe_trainer_options *o)
{
    return o->recipe->batch / o->time ? o->recipe->batch / o->time : 1;
}

static uint64_t steps_of(const struct trainer *t, size_t stage)
{
    return rbe_recipe_steps(t->o->recipe, stage, t->o->tokens);
}

/* --- evaluation --------------------------------------------------------------------------- */

/* t on the validation windows: the figures of *p.  teacher may be NULL. */
static enum rbe_status evaluate(struct rbe_trainer_point *p, struct rbe_grad *t,
                                struct rbe_grad *teacher, const struct rbe_trainer_options *o,
                                struct rbe_diag *d)
{
    const struct rbe_tokens *v = o->valid;
    const size_t all = (v->count - 1) / o->time;
    const size_t n = all < o->valid_windows ? all : o->valid_windows;
    const struct rbe_loss both = {.alpha = teacher ? 0.5F : 0, .temperature = 1, .factor = 1};
    struct rbe_loss_sums sums = {0};
    enum rbe_status err = RBE_OK;

    /* Whole windows side by side need a copy: they are spread over the text. */
    uint32_t *tokens = malloc(2 * (size_t)o->micro * o->time * sizeof *tokens);
    uint32_t *targets = tokens ? tokens + (size_t)o->micro * o->time : NULL;
    if (!tokens)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (size_t at = 0; at < n && !err;) {
        struct rbe_grad_batch b = {.time = o->time, .tokens = tokens, .targets = targets};
        for (; b.batch < o->micro && at < n; b.batch++, at++) {
            const uint32_t *from = v->ids + at * all / n * o->time;
            memcpy(tokens + (size_t)b.batch * o->time, from, o->time * sizeof *tokens);
            memcpy(targets + (size_t)b.batch * o->time, from + 1,
                   (o->time - 1) * sizeof *tokens);
            targets[(size_t)b.batch * o->time + o->time - 1] = RBE_NO_TARGET;
        }
        err = rbe_grad_evaluate(t, &b, &both, teacher, &sums, d);
    }
    free(tokens);
    const double count = sums.count ? (double)sums.count : NAN;
    p->perplexity = exp(sums.ce / count);
    p->divergence = teacher ? sums.kl / count : NAN;
    p->agreement = teacher ? (double)sums.agree / count : NAN;
    return err;
}

static enum rbe_status add_point(struct trainer *t)
{
    struct rbe_trainer_point p = {.tokens = t->now.tokens, .stage = t->now.stage};
    enum rbe_status err;

    for (size_t i = 0; i < rbe_student_matrices(t->s); i++)
        p.latent += rbe_student_is_latent(t->s, i);
    if ((err = rbe_student_snap(t->s, t->d)))
        return err;
    err = evaluate(&p, t->train, t->teacher, t->o, t->d);
    rbe_student_refresh(t->s);
    if (err)
        return err;
    if (t->now.points == 0)
        t->now.first = p.perplexity;
    t->now.factor = rbe_adaptive_factor(&t->now.adaptive, p.perplexity);
    if (t->now.points < RBE_TRAINER_POINTS)
        t->r->points[t->now.points++] = p;
    if (t->o->on_point)
        t->o->on_point(t->o->arg, &p);
    if (!(p.perplexity < DIVERGED * t->now.first))
        return rbe_fail(t->d, RBE_ERR_NUMERIC, "the training diverges: perplexity %.4g after "
                        "%llu tokens, %.4g at the start", p.perplexity,
                        (unsigned long long)t->now.tokens, t->now.first);
    return RBE_OK;
}

/* --- encoding ----------------------------------------------------------------------------- */

/* The group of a matrix: 0 for the embedding and the output layer, 1 + its layer. */
static unsigned group_of(const struct rbe_source_tensor *t)
{
    return (unsigned)(t->layer + 1);
}

/* Which group is encoded as the k-th of n. */
static unsigned group_at(enum rbe_encode_order order, unsigned k, unsigned n)
{
    if (order == RBE_ORDER_EMBEDDING_FIRST)
        return k;
    if (k + 1 == n)
        return 0;
    return order == RBE_ORDER_BACKWARD ? n - 1 - k : k + 1;
}

static enum rbe_status need_calibration(struct trainer *t)
{
    enum rbe_status err;

    if (t->calibration || !t->o->original)
        return RBE_OK;
    struct rbe_progress *p = t->o->progress, was = p ? *p : (struct rbe_progress){0};
    err = rbe_calibrate_file(&t->calibration, t->o->original, t->o->calibration,
                             t->o->how, 0, NULL, t->o->pool, p, t->d);
    if (p)
        *p = was;
    return err;
}

static enum rbe_status encode_group(struct trainer *t, unsigned group, bool again)
{
    enum rbe_status err = need_calibration(t);
    const struct rbe_calibration *c = t->calibration;
    t->encodings++;

    for (size_t i = 0; i < rbe_student_matrices(t->s) && !err; i++) {
        const struct rbe_source_tensor *m = rbe_student_matrix(t->s, i);
        if (group_of(m) != group || !rbe_student_is_latent(t->s, i))
            continue;
        const float *rows = c ? rbe_calibration_rows(c, m->weight_name) : NULL;
        float *moment = NULL;
        if (!c || !(err = rbe_calibration_moment(&moment, c, m->weight_name, t->d)))
            err = rbe_student_encode(
                t->s, i,
                &(struct rbe_student_encoding){
                    .search = stage_of(t)->search, .moment = moment,
                    .importance = rows ? rows + m->row0 : NULL, .share = stage_of(t)->share,
                    .again = again},
                t->d);
        free(moment);
        if (!err && rbe_interrupted())
            err = rbe_fail(t->d, RBE_ERR_INTERRUPTED, "interrupted while encoding%s",
                           t->o->checkpoint ? "; --resume goes on from the last checkpoint"
                                            : "");
    }
    return err;
}

static enum rbe_status encode_all(struct trainer *t, bool again)
{
    const unsigned n = 1 + rbe_grad_config(t->train)->n_layer;
    enum rbe_status err = RBE_OK;

    for (unsigned g = 0; g < n && !err; g++)
        err = encode_group(t, g, again);
    return err;
}

/* Encodings that are due before this step. */
static enum rbe_status encode_due(struct trainer *t)
{
    const struct rbe_stage *s = stage_of(t);
    const unsigned n = 1 + rbe_grad_config(t->train)->n_layer;
    enum rbe_status err = RBE_OK;

    if (s->matrices == RBE_MATRICES_PROGRESSIVE)
        while (!err && t->now.encoded < n &&
               (uint64_t)t->now.encoded * t->steps_here <= t->now.step * n)
            err = encode_group(t, group_at(s->order, t->now.encoded++, n), false);
    if (s->matrices == RBE_MATRICES_LATENT && s->encode_every && t->now.step &&
        t->now.step % s->encode_every == 0)
        err = encode_all(t, true);
    return err;
}

/* --- checkpoints -------------------------------------------------------------------------- */

static enum rbe_status archive_all(struct trainer *t, struct rbe_archive *a)
{
    char key[KEY_SIZE] = "";
    enum rbe_status err;

    snprintf(key, sizeof key, "%s", t->o->key);
    if ((err = rbe_archive_bytes(a, key, sizeof key, t->d)))
        return err;
    if (strcmp(key, t->o->key) != 0)
        return rbe_fail(t->d, RBE_ERR_MISMATCH, "%s: a checkpoint of another run (other "
                        "models, texts, profile, tokens, seed or threads)", t->o->checkpoint);
    if ((err = rbe_archive_bytes(a, &t->now, sizeof t->now, t->d)))
        return err;
    if (t->now.points > RBE_TRAINER_POINTS || t->now.stage >= t->o->recipe->count)
        return rbe_fail(t->d, RBE_ERR_FORMAT, "%s: impossible state", t->o->checkpoint);
    if ((err = rbe_archive_bytes(a, t->r->points, t->now.points * sizeof *t->r->points, t->d)))
        return err;
    return rbe_student_archive(t->s, a, t->d);
}

static enum rbe_status save(struct trainer *t)
{
    struct rbe_archive *a;
    enum rbe_status err;

    t->saved = rbe_now();
    if (!t->o->checkpoint)
        return RBE_OK;
    if ((err = rbe_archive_open(&a, t->o->checkpoint, false, t->d)))
        return err;
    if ((err = archive_all(t, a))) {
        rbe_archive_close(&a, false, NULL);
        return err;
    }
    err = rbe_archive_close(&a, true, t->d);
    t->r->saved |= !err;
    return err;
}

static enum rbe_status restore(struct trainer *t)
{
    struct rbe_archive *a;
    enum rbe_status err;

    if ((err = rbe_archive_open(&a, t->o->checkpoint, true, t->d)))
        return err;
    if ((err = archive_all(t, a))) {
        rbe_archive_close(&a, false, NULL);
        return err;
    }
    err = rbe_archive_close(&a, true, t->d);
    t->r->saved |= !err;
    return err;
}

/* --- stages ------------------------------------------------------------------------------- */

static void use_rates(struct trainer *t)
{
    const struct rbe_stage *s = stage_of(t);

    rbe_student_set_rates(t->s, &(struct rbe_student_rates){
        .scales = (float)s->scales, .latents = (float)s->latents, .plain = (float)s->plain,
        .decay = (float)s->decay});
    t->steps_here = steps_of(t, t->now.stage);
}

static enum rbe_status begin_stage(struct trainer *t)
{
    const struct rbe_stage *s = stage_of(t);
    enum rbe_status err = RBE_OK;

    t->now.step = 0;
    t->now.encoded = 0;
    use_rates(t);
    for (size_t i = 0; s->matrices && i < rbe_student_matrices(t->s) && !err; i++)
        err = rbe_student_thaw(t->s, i,
                               s->matrices == RBE_MATRICES_PROGRESSIVE ? RBE_START_ORIGINAL
                               : s->share > 0                          ? RBE_START_CODES
                                                                       : RBE_START_ERROR,
                               t->d);
    return err;
}

/* Windows first .. first + count of the text, a micro-batch: those whose predictions are known
 * come last. */
static struct rbe_grad_batch take_windows(struct trainer *t, uint64_t first, uint32_t count)
{
    const struct rbe_trainer_options *o = t->o;
    uint32_t taught = 0, known = 0;

    for (uint32_t i = 0; i < count; i++) {
        const struct rbe_kept_at k = rbe_kept_find(t->kept, first + i, first);
        const uint32_t to = k.state == RBE_KEPT_KNOWN ? count - ++known : taught++;
        const size_t at = rbe_kept_window(t->kept, &t->plan, first + i);
        memcpy(t->tokens + (size_t)to * o->time, o->text->ids + at, o->time * sizeof(uint32_t));
        memcpy(t->targets + (size_t)to * o->time, o->text->ids + at + 1,
               o->time * sizeof(uint32_t));
        t->predictions[to] = k.predictions;
    }
    return (struct rbe_grad_batch){.batch = count, .time = o->time, .tokens = t->tokens,
                                   .targets = t->targets, .known = known,
                                   .kept = t->kept ? t->predictions : NULL};
}

/* Those windows of a micro-batch whose predictions were to be kept have been. */
static void mark_kept(struct trainer *t, uint64_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct rbe_kept_at k = rbe_kept_find(t->kept, first + i, first);
        if (k.state == RBE_KEPT_FIRST)
            *k.there = true;
    }
}

/* Sequences of the micro-batch that begins as the done-th of a step. */
static uint32_t micro_of(const struct rbe_trainer_options *o, uint32_t done)
{
    const uint32_t left = sequences_of(o) - done;

    return left < o->micro ? left : o->micro;
}

/* Computes what a micro-batch knows and this process, gone on from a checkpoint, does not
 * have: the teacher reads the micro-batches in which it came first. */
static enum rbe_status make_known(struct trainer *t, uint64_t first, uint32_t count)
{
    const uint32_t sequences = sequences_of(t->o);
    enum rbe_status err = RBE_OK;

    for (uint32_t i = 0; i < count && !err; i++) {
        const struct rbe_kept_at k = rbe_kept_find(t->kept, first + i, first);
        if (k.state != RBE_KEPT_KNOWN || *k.there)
            continue;
        const uint32_t done = (uint32_t)(k.first % sequences) / t->o->micro * t->o->micro;
        const uint64_t from = k.first / sequences * sequences + done;
        struct rbe_grad_batch b = take_windows(t, from, micro_of(t->o, done));
        b.batch -= b.known;
        b.known = 0;
        err = rbe_grad_predict(t->teacher, &b, t->o->loss.temperature, t->d);
        if (!err)
            mark_kept(t, from, micro_of(t->o, done));
    }
    return err;
}

/* The mean over the last steps, about ten. */
static void smooth(const struct trainer *t, double *mean, double x)
{
    *mean = t->now.tokens ? 0.9 * *mean + 0.1 * x : x;
}

static enum rbe_status train_step(struct trainer *t)
{
    const struct rbe_trainer_options *o = t->o;
    const struct rbe_recipe *r = o->recipe;
    const uint32_t sequences = sequences_of(o);
    const float weight = 1 / ((float)sequences * (float)o->time);
    const uint64_t window = t->now.window, passes = t->now.passes;
    struct rbe_loss_sums sums = {0};
    struct rbe_loss loss = o->loss;
    enum rbe_status err;
    double norm;

    loss.text = (float)(stage_of(t)->text * t->now.gap);
    for (uint32_t done = 0; done < sequences;) {
        const uint32_t n = micro_of(o, done);
        if (!(err = make_known(t, t->now.window, n))) {
            const struct rbe_grad_batch b = take_windows(t, t->now.window, n);
            err = rbe_grad_step(t->train, &b, &loss, t->teacher, weight, &sums, t->d);
            t->now.passes += t->teacher ? n - b.known : 0;
        }
        if (err) {
            t->now.window = window;     /* as before the step: it can be saved */
            t->now.passes = passes;
            return err;
        }
        mark_kept(t, t->now.window, n);
        t->now.window += n;
        done += n;
    }
    const double warmup = ceil(r->warmup * (double)t->steps_here);
    const double driven = r->schedule == RBE_SCHEDULE_ADAPTIVE ? t->now.factor : 1;
    const double rate = driven * rbe_schedule_factor(r->schedule, t->now.step, t->steps_here,
                                                     (uint64_t)warmup, r->floor);
    if ((err = rbe_student_step(t->s, (float)rate, (float)r->clip, &norm, t->d)))
        return err;
    smooth(t, &t->now.loss, sums.loss / (double)sums.count);
    smooth(t, &t->now.gap, t->teacher ? (sums.ce - sums.original) / (double)sums.count : 0);
    t->now.tokens += (uint64_t)sequences * o->time;
    t->now.step++;
    const double counted = stage_of(t)->average * (double)t->steps_here;
    return (double)(t->steps_here - t->now.step) < counted ? rbe_student_average(t->s, t->d)
                                                           : RBE_OK;
}

/* Is an evaluation due after this step?  They are spread evenly over all steps. */
static bool point_due(const struct trainer *t)
{
    const uint64_t n = t->o->evaluations;
    uint64_t at = t->now.step;

    for (size_t i = 0; i < t->now.stage; i++)
        at += steps_of(t, i);
    return at * n / t->total_steps != (at - 1) * n / t->total_steps;
}

static void show(struct trainer *t, double first_tokens)
{
    char note[80];

    if (!t->o->progress)
        return;
    snprintf(note, sizeof note, "%s, step %llu of %llu, loss %.4f", stage_of(t)->name,
             (unsigned long long)t->now.step, (unsigned long long)t->steps_here, t->now.loss);
    rbe_progress_update(t->o->progress, (double)t->now.tokens - first_tokens, note);
}

/* After an interrupt, at a point from which the run can go on: saves, and says so. */
static enum rbe_status stop_here(struct trainer *t)
{
    const enum rbe_status err = save(t);

    return err ? err : rbe_fail(t->d, RBE_ERR_INTERRUPTED, "interrupted after %llu tokens%s",
                                (unsigned long long)t->now.tokens,
                                t->o->checkpoint ? "; --resume goes on" : "");
}

/* Whether an interrupt broke off the evaluation after the step that was the last. */
static bool point_missing(const struct trainer *t)
{
    const size_t n = t->now.points;

    return t->now.step && t->now.step < t->steps_here && point_due(t) &&
           n < RBE_TRAINER_POINTS && (!n || t->r->points[n - 1].tokens != t->now.tokens);
}

static enum rbe_status run_stage(struct trainer *t, double first_tokens)
{
    const struct rbe_trainer_options *o = t->o;
    enum rbe_status err = point_missing(t) ? add_point(t) : RBE_OK;

    if (err)
        return err;
    while (t->now.step < t->steps_here) {
        const uint64_t encodings = t->encodings;
        const double start = rbe_now();

        if ((err = encode_due(t)))
            return err;
        /* What was encoded for this step would be encoded again. */
        if ((err = train_step(t)))
            return err == RBE_ERR_INTERRUPTED && t->encodings == encodings ? stop_here(t) : err;
        t->now.seconds += rbe_now() - start;
        show(t, first_tokens);
        if (t->now.step < t->steps_here && point_due(t) && (err = add_point(t)))
            return err == RBE_ERR_INTERRUPTED ? stop_here(t) : err;
        const bool stop =
            rbe_interrupted() ||
            (o->stop_after && o->stop_after * o->recipe->batch <= t->now.tokens);
        if (stop)
            return stop_here(t);
        if (rbe_now() - t->saved >= o->every_s && (err = save(t)))
            return err;
    }
    const double start = rbe_now();
    rbe_student_settle(t->s);
    if (stage_of(t)->matrices)
        err = encode_all(t, false);
    t->now.seconds += rbe_now() - start;
    return err ? err : add_point(t);
}

static enum rbe_status run_all(struct trainer *t)
{
    const struct rbe_trainer_options *o = t->o;
    enum rbe_status err = RBE_OK;
    bool begun = o->resume;

    if (o->resume) {
        if ((err = restore(t)))
            return err;
        use_rates(t);
    } else if (t->teacher) {
        struct rbe_trainer_point original;
        if ((err = evaluate(&original, t->teacher, NULL, o, t->d)))
            return err;
        t->now.original = original.perplexity;
    }
    if (!o->resume) {
        t->now.factor = 1;
        if ((err = add_point(t)))
            return err;
    }
    const double first = (double)t->now.tokens;
    uint64_t all = 0;
    for (size_t i = 0; i < o->recipe->count; i++)
        all += steps_of(t, i);
    t->total_steps = all;
    const uint64_t step = (uint64_t)sequences_of(o) * o->time;
    if (o->progress)
        rbe_progress_start(o->progress, "tune", "tokens", (double)(all * step) - first);
    for (; t->now.stage < o->recipe->count && !err; t->now.stage++, begun = false) {
        if (!begun && (err = begin_stage(t)))
            break;
        if ((err = run_stage(t, first)))
            break;
    }
    if (o->progress)
        rbe_progress_end(o->progress);
    return err;
}

struct rbe_kept_plan rbe_trainer_kept(const struct rbe_trainer_options *o, size_t vocab)
{
    uint64_t steps = 0;

    for (size_t i = 0; i < o->recipe->count && o->tokens; i++)
        steps += rbe_recipe_steps(o->recipe, i, o->tokens);
    return (struct rbe_kept_plan){
        .count = o->text->count, .time = o->time, .vocab = vocab, .seed = o->seed,
        .windows = o->tokens ? steps * sequences_of(o) : UINT64_MAX,
        .limit = rbe_loss_distils(&o->loss) ? o->kept_bytes : 0};
}

enum rbe_status rbe_trainer_run(struct rbe_trainer_result *r, struct rbe_student *s,
                                struct rbe_grad *t, struct rbe_grad *teacher,
                                const struct rbe_trainer_options *o, struct rbe_diag *d)
{
    const size_t n = (size_t)o->micro * o->time;
    struct trainer x = {.o = o, .s = s, .train = t, .teacher = teacher, .r = r,
                        .tokens = malloc(2 * n * sizeof(uint32_t)),
                        .predictions = calloc(o->micro, sizeof *x.predictions),
                        .plan = rbe_trainer_kept(o, rbe_grad_config(t)->vocab),
                        .saved = rbe_now(), .d = d};
    enum rbe_status err;

    *r = (struct rbe_trainer_result){.kept_bytes = rbe_kept_bytes(&x.plan)};
    x.targets = x.tokens ? x.tokens + n : NULL;
    if (!x.tokens || !x.predictions)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else if (!(err = rbe_kept_open(&x.kept, &x.plan, d)))
        err = run_all(&x);
    r->count = x.now.points;
    r->original = x.now.original;
    r->seconds = x.now.seconds;
    r->tokens = x.now.tokens;
    r->passes = x.now.passes;
    rbe_calibration_close(&x.calibration);
    rbe_kept_close(&x.kept);
    free(x.predictions);
    free(x.tokens);
    return err;
}
