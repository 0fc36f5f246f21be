/*
 * check_student.c - what a student moves is what is stored: scales found again by descent,
 * codes found again by encoding, files of the same size.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/test/check.h"
#include "train/student.h"

#include <malloc.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "model/synth.h"

#define LLAMA                                                                                  \
    "\"model_type\": \"llama\", \"num_hidden_layers\": 2, \"hidden_size\": 32, "               \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 48, "      \
    "\"max_position_embeddings\": 16, \"vocab_size\": 97"
#define GPT2                                                                                   \
    "\"n_layer\": 2, \"n_embd\": 32, \"n_head\": 2, \"n_ctx\": 16, \"vocab_size\": 97"
/* Every kind of matrix: rotated, in blocks, two codecs with groups, one without scales. */
#define PROFILE                                                                                \
    "name: mixed\nother codec=f16\nall codec=seed block=44 hadamard=max\n"                     \
    "wte codec=seed4 block=32 center=on\nattn.proj layers=0 codec=int4\n"                      \
    "attn.proj layers=1 codec=int8 hadamard=16\nmlp.fc layers=0 codec=packed128 block=16\n"    \
    "mlp.fc layers=1 codec=f16\n"
/* Those that give a row of zeros back: no packed128, and no means taken off the embedding. */
#define PRUNED_PROFILE                                                                         \
    "name: pruned\nother codec=f16\nall codec=seed block=44 hadamard=max\n"                    \
    "wte codec=seed4 block=32\nattn.proj layers=0 codec=int4\n"                                \
    "attn.proj layers=1 codec=int8 hadamard=16\nmlp.fc layers=0 codec=seed4 block=48\n"        \
    "mlp.fc layers=1 codec=f16\n"

/* What is tested: a model of each kind. */
static const struct model {
    const char *config, *profile, *pruned;
    bool quick;                 /* what the one before it shows as well is left out */
    size_t matrices;            /* that have codes: those stored as f16 do not */
    const char *latent, *norm;  /* a matrix of a layer, a vector */
    const char *key, *other;    /* of the configuration: what makes another model, and how */
} models[] = {
    {"{" GPT2 "}", PROFILE "wpe codec=int8\n", PRUNED_PROFILE "wpe codec=int8\n", false, 8,
     "h.0.mlp.c_proj.weight", "h.1.ln_1.weight", "layer_norm_epsilon",
     "{" GPT2 ", \"layer_norm_epsilon\": 1e-3}"},
    {"{" LLAMA ", \"tie_word_embeddings\": true}", PROFILE, PRUNED_PROFILE, false, 13,
     "layers.0.mlp.down_proj.weight", "layers.1.input_layernorm.weight", "rope_theta",
     "{" LLAMA ", \"tie_word_embeddings\": true, \"rope_theta\": 500}"},
    {"{" LLAMA "}", PROFILE, PRUNED_PROFILE, true, 14, "layers.1.self_attn.v_proj.weight",
     "norm.weight", "rms_norm_eps", "{" LLAMA ", \"rms_norm_eps\": 1e-3}"},
};
enum { PRUNED = 3 };            /* every so manieth row */

struct world {
    const struct model *m;
    char dir[32], *model;
    struct rbe_model_config config;
    struct rbe_source *source, *own;
};

static const struct rbe_student_encoding fast = {.search = RBE_SEARCH_FAST};
static const struct rbe_student_encoding again_fast = {.search = RBE_SEARCH_FAST,
                                                       .again = true};

static void need(enum rbe_status err, const struct rbe_diag *d, const char *what)
{
    if (!CHECK(err == RBE_OK)) {
        printf("     %s: %s\n", what, d->text);
        exit(1);
    }
}

/* Zeros for every PRUNED-th row of every matrix; linear layers stand [in][out]. */
static void prune(const char *dir)
{
    char *path = rbe_path_join(dir, "model.safetensors");
    struct rbe_tensor_out out[64];
    struct rbe_safetensors *f;
    struct rbe_diag d = {""};

    need(rbe_safetensors_open(&f, path, &d), &d, "prune");
    const size_t n = rbe_safetensors_count(f);
    for (size_t i = 0; i < n; i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(f, i);
        const bool linear = !strncmp(t->name, "h.", 2) && t->dims == 2;
        const bool matrix = t->dims == 2 && !strstr(t->name, "wpe.weight");
        float *x = malloc(t->count * sizeof *x);

        need(rbe_tensor_to_f32(t, x, &d), &d, "prune");
        out[i] = (struct rbe_tensor_out){t->name, RBE_DT_F32, t->dims, {0}, x};
        memcpy(out[i].shape, t->shape, sizeof out[i].shape);
        for (size_t k = 0; matrix && k < t->count; k++)
            if ((linear ? k % t->shape[1] : k / t->shape[1]) % PRUNED == 0)
                x[k] = 0;
    }
    need(rbe_safetensors_write(path, out, n, (const char *const[]){NULL}, &d), &d, "prune");
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)out[i].data);
    rbe_safetensors_close(&f);
    free(path);
}

/* Every range of a weight has a block of its own, and one of them another codec. */
static void divide(struct rbe_convert *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct rbe_convert_entry *e = &c->entries[i];

        if (e->tensor->row0 && e->options.format == RBE_SEED)
            e->options.block += e->tensor->row0 / 8;
        if (e->tensor->row0 && e->tensor->layer == 0 && e->tensor->role == RBE_ROLE_FFN_UP)
            e->options.format = RBE_INT8;
    }
}

static void make_world(struct world *w, const struct model *m, bool pruned)
{
    struct rbe_profile *p;
    struct rbe_convert *c;
    struct rbe_diag d = {""};

    w->m = m;
    strcpy(w->dir, "/tmp/rbe-student-XXXXXX");
    CHECK(mkdtemp(w->dir) != NULL);
    w->model = rbe_path_join(w->dir, "m.rbe");
    need(rbe_model_config_parse(&w->config, m->config, strlen(m->config), "test", &d), &d,
         "config");
    need(rbe_synth(w->dir, &w->config, RBE_DT_F32, 5, &d), &d, "synth");
    if (pruned)
        prune(w->dir);
    need(rbe_source_open(&w->source, w->dir, &d), &d, "source");
    need(rbe_profile_parse(&p, pruned ? m->pruned : m->profile, "test", &d), &d, "profile");
    const struct rbe_convert_options o = {.profile = p, .search = RBE_SEARCH_FAST};
    need(rbe_convert_plan(&c, w->source, &o, &d), &d, "plan");
    divide(c);
    need(rbe_convert_run(c, w->model, &d), &d, "convert");
    rbe_convert_close(&c);
    rbe_profile_close(&p);
    need(rbe_source_open_encoded(&w->own, w->model, true, &d), &d, "container");
}

static struct rbe_grad *open_train(const struct world *w)
{
    struct rbe_grad *t;
    struct rbe_diag d = {""};

    need(rbe_grad_open(&t, &w->own->config, (struct rbe_grad_limits){.batch = 1, .time = 8},
                       NULL, &d), &d, "train");
    return t;
}

static struct rbe_student *open_student(const struct world *w, struct rbe_grad *t,
                                        const struct rbe_source *own,
                                        enum rbe_optimizer_kind kind)
{
    const struct rbe_student_uses uses = {.latent = true, .errors = true, .kind = kind};
    struct rbe_student *s;
    struct rbe_diag d = {""};

    need(rbe_student_open(&s, t, w->source, own, &uses, NULL, &d), &d, "student");
    return s;
}

static const struct rbe_grad_slice *tokens_of(struct rbe_grad *t)
{
    size_t i = 0;

    while (rbe_grad_slice(t, i)->role != RBE_ROLE_TOKENS)
        i++;
    return rbe_grad_slice(t, i);
}

static long size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) ? -1 : (long)st.st_size;
}

/* Sum of squares of the difference of two sets of weights. */
static double distance(struct rbe_grad *t, const float *other)
{
    const float *p = rbe_grad_params(t);
    double sum = 0;

    for (size_t i = 0; i < rbe_grad_floats(t); i++)
        sum += (double)(p[i] - other[i]) * (double)(p[i] - other[i]);
    return sum;
}

/* The weights are those that the file decodes to. */
static void check_reading(const struct world *w)
{
    struct rbe_grad *t = open_train(w);
    struct rbe_student *s;
    float row[128];

    s = open_student(w, t, w->own, RBE_ADAMW);
    for (size_t i = 0; i < rbe_container_weight_count(w->own->container); i++) {
        const struct rbe_weight *x = rbe_container_weight_at(w->own->container, i);
        const struct rbe_grad_slice *slice = rbe_grad_find(t, x->name);
        double worst = 0;
        for (size_t r = 0; r < x->rows; r++) {
            rbe_weight_decode_row(x, r, row);
            for (size_t c = 0; c < x->cols; c++)
                worst = fmax(worst, fabs((double)(row[c] - rbe_grad_params(t)
                                                  [slice->at + r * x->cols + c])));
        }
        CHECK(worst < 1e-6);
    }
    rbe_student_close(&s);
    rbe_grad_close(&t);
}

/* Sum of squares of the gradients of a weight's scales, in doubles and by another way: with
 * W' as decoded in the stored basis, d L / d theta is the sum of G' W' over what a scale
 * covers. */
static double oracle(const struct rbe_weight *w, const float *gradient)
{
    double total = 0, cols[128];
    float row[128], g[128];

    for (size_t i = 0; i < w->part_count; i++) {
        const struct rbe_matrix *m = &w->parts[i].m;
        const uint32_t width =
            m->format == RBE_INT8 ? 128 : m->format == RBE_INT4 ? 32 : m->cols;

        memset(cols, 0, sizeof cols);
        for (uint32_t r = 0; r < m->rows; r++) {
            rbe_decode_row(m, r, row);
            memcpy(g, gradient + (w->parts[i].row0 + r) * m->cols, m->cols * sizeof *g);
            if (w->hadamard)
                rbe_rotate(g, m->cols, 1, m->cols, w->hadamard, w->sign_seed);
            for (uint32_t c = 0; c < m->cols; c += width) {
                double sum = 0;
                for (uint32_t k = c; k < c + width && k < m->cols; k++) {
                    sum += (double)g[k] * (double)row[k];
                    cols[k] += (double)g[k] * (double)row[k];
                }
                total += sum * sum;
            }
        }
        for (uint32_t c = 0; m->col_scale && c < m->cols; c++)
            total += cols[c] * cols[c];
    }
    return total;
}

/* The size of each matrix's gradient alone. */
static void check_gradients(const struct world *w, struct check_rng *rng)
{
    struct rbe_grad *t = open_train(w);
    struct rbe_student *s;
    struct rbe_diag d = {""};
    double norm;

    s = open_student(w, t, w->own, RBE_ADAMW);
    rbe_student_set_rates(s, &(struct rbe_student_rates){.scales = 1});
    for (size_t i = 0; i < rbe_container_weight_count(w->own->container); i++) {
        const struct rbe_weight *x = rbe_container_weight_at(w->own->container, i);
        const enum rbe_format f = x->parts[0].m.format;
        const struct rbe_grad_slice *slice = rbe_grad_find(t, x->name);
        float *g = rbe_grad_gradients(t) + slice->at;

        if (!slice->matrix || f == RBE_F16 || f == RBE_PACKED128)
            continue;
        for (size_t k = 0; k < slice->count; k++)
            g[k] = check_unit(rng);
        const double want = sqrt(oracle(x, g));
        need(rbe_student_step(s, 0, 0, &norm, &d), &d, "step");
        CHECK_NEAR(norm, want, 1e-5 * want);
    }
    rbe_student_close(&s);
    rbe_grad_close(&t);
}

/* The same step by sums and by the gradients of matrices. */
static void check_sums(const struct world *w, struct check_rng *rng)
{
    const struct rbe_student_rates rates = {.scales = 0.01F, .plain = 0.01F};
    const struct rbe_loss ce = {0, 1, 1, 0};
    uint32_t tokens[8], targets[8];
    const struct rbe_grad_batch b = {.batch = 1, .time = 8, .tokens = tokens,
                                     .targets = targets};
    struct rbe_grad *t[2];
    double norm[2];
    struct rbe_diag d = {""};

    for (int i = 0; i < 8; i++) {
        tokens[i] = check_below(rng, w->config.vocab);
        targets[i] = check_below(rng, w->config.vocab);
    }
    for (int i = 0; i < 2; i++) {
        const struct rbe_student_uses uses = {.sums = i};
        struct rbe_loss_sums sums = {0};
        struct rbe_student *s;

        t[i] = open_train(w);
        need(rbe_student_open(&s, t[i], w->source, w->own, &uses, NULL, &d), &d, "student");
        rbe_student_set_rates(s, &rates);
        for (int step = 0; step < 2; step++) {
            need(rbe_grad_step(t[i], &b, &ce, NULL, 1, &sums, &d), &d, "gradients");
            need(rbe_student_step(s, 1, 0, &norm[i], &d), &d, "step");
        }
        size_t summed = 0;
        for (size_t k = 0; k < rbe_grad_slices(t[i]); k++)
            summed += rbe_grad_slice(t[i], k)->sums != NULL;
        CHECK((summed > 0) == (i > 0));
        rbe_student_close(&s);
    }
    CHECK_NEAR(norm[1], norm[0], 1e-3 * norm[0]);
    const double moved = distance(t[0], rbe_grad_params(t[1]));
    rbe_grad_close(&t[1]);
    t[1] = open_train(w);
    CHECK(moved <= 1e-6 * distance(t[0], rbe_grad_params(t[1])));
    rbe_grad_close(&t[0]);
    rbe_grad_close(&t[1]);
}

/* Moves all that is continuous at random, writes a file, and finds the same values again from
 * the gradient of the distance to it: only right gradients lead there. */
static void check_descent(const struct world *w, struct check_rng *rng)
{
    struct rbe_grad *t = open_train(w);
    char *path = rbe_path_join(w->dir, "moved.rbe");
    const struct rbe_student_rates rates = {.scales = 1, .plain = 1};
    struct rbe_student *s;
    struct rbe_source *moved;
    struct rbe_diag d = {""};
    double norm;

    s = open_student(w, t, w->own, RBE_ADAMW);
    const size_t n = rbe_grad_floats(t);
    float *target = malloc(n * sizeof *target), *start = malloc(n * sizeof *start);
    memcpy(start, rbe_grad_params(t), n * sizeof *start);
    rbe_student_set_rates(s, &rates);
    CHECK(rbe_student_moving(s) > 1000);
    for (int i = 0; i < 4; i++) {
        for (size_t k = 0; k < rbe_grad_slices(t); k++)
            for (size_t m = 0; m < rbe_grad_slice(t, k)->count; m++)
                rbe_grad_gradients(t)[rbe_grad_slice(t, k)->at + m] = check_unit(rng);
        need(rbe_student_step(s, 0.02F, 0, &norm, &d), &d, "step");
    }
    need(rbe_student_write(s, path, &d), &d, "write");
    CHECK(size_of(path) == size_of(w->model));
    need(rbe_student_snap(s, &d), &d, "snap");
    memcpy(target, rbe_grad_params(t), n * sizeof *target);
    rbe_student_close(&s);

    /* The file says the same. */
    need(rbe_source_open_encoded(&moved, path, true, &d), &d, "open");
    s = open_student(w, t, moved, RBE_ADAMW);
    CHECK(distance(t, target) < 1e-9);
    rbe_student_close(&s);
    rbe_source_close(&moved);

    s = open_student(w, t, w->own, RBE_ADAMW);
    rbe_student_set_rates(s, &rates);
    const double first = distance(t, target);
    for (int i = 0; i < 600; i++) {
        for (size_t k = 0; k < n; k++)
            rbe_grad_gradients(t)[k] = rbe_grad_params(t)[k] - target[k];
        need(rbe_student_step(s, 0.003F * (1 - (float)i / 600), 0, &norm, &d), &d, "step");
    }
    const double last = distance(t, target);
    CHECK(first > 1e-3);
    if (!CHECK(last < 1e-4 * first))
        printf("     %g -> %g\n", first, last);
    /* Rates of 0: nothing moves. */
    rbe_student_set_rates(s, &(struct rbe_student_rates){0});
    CHECK(rbe_student_moving(s) == 0);
    rbe_student_close(&s);
    rbe_grad_close(&t);
    free(target);
    free(start);
    free(path);
}

/* Encoding the original again gives the converter's file; a latent matrix that keeps its
 * error changes nothing at first. */
static void check_encoding(const struct world *w)
{
    struct rbe_grad *t = open_train(w);
    char *path = rbe_path_join(w->dir, "again.rbe");
    struct rbe_source *again;
    struct rbe_student *s;
    struct rbe_diag d = {""};

    s = open_student(w, t, w->own, RBE_ADAMW);
    const size_t n = rbe_grad_floats(t), matrices = rbe_student_matrices(s);
    float *start = malloc(n * sizeof *start);
    memcpy(start, rbe_grad_params(t), n * sizeof *start);
    double total = 0;
    for (size_t i = 0; i < n; i++)
        total += (double)start[i] * (double)start[i];
    CHECK(matrices == w->m->matrices);
    for (size_t i = 0; i < matrices; i++)
        need(rbe_student_thaw(s, i, RBE_START_ERROR, &d), &d, "thaw");
    CHECK(distance(t, start) == 0);
    CHECK(rbe_student_write(s, path, &d) == RBE_ERR_ARG);
    for (size_t i = 0; i < matrices; i++)
        need(rbe_student_encode(s, i, &again_fast, &d), &d, "encode");
    CHECK(rbe_student_is_latent(s, 0));
    /* The same codes, but for what a rounding of original + error - error may do. */
    CHECK(distance(t, start) < 0.02 * total);
    rbe_student_close(&s);

    s = open_student(w, t, w->own, RBE_ADAMW);
    for (size_t i = 0; i < matrices; i++) {
        need(rbe_student_thaw(s, i, RBE_START_ORIGINAL, &d), &d, "thaw");
        need(rbe_student_encode(s, i, &fast, &d), &d, "encode");
    }
    CHECK(!rbe_student_is_latent(s, 0));
    need(rbe_student_write(s, path, &d), &d, "write");
    need(rbe_source_open_encoded(&again, path, true, &d), &d, "open");
    for (size_t i = 0; i < rbe_container_weight_count(w->own->container); i++) {
        const struct rbe_weight *a = rbe_container_weight_at(w->own->container, i);
        const struct rbe_weight *b = rbe_container_weight(again->container, a->name);
        CHECK(b && b->bytes == a->bytes &&
              !memcmp(a->parts[0].m.codes, b->parts[0].m.codes, a->parts[0].m.code_bytes));
    }
    CHECK(size_of(path) == size_of(w->model));
    rbe_source_close(&again);
    rbe_student_close(&s);
    rbe_grad_close(&t);
    free(start);
    free(path);
}

/* `count` steps with gradients of this size and signs that a hash of their place gives. */
static void steps_along(struct rbe_student *s, struct rbe_grad *t, float size, int count)
{
    struct rbe_diag d = {""};
    double norm;

    for (int i = 0; i < count; i++) {
        for (size_t k = 0; k < rbe_grad_slices(t); k++)
            for (size_t m = 0; m < rbe_grad_slice(t, k)->count; m++)
                rbe_grad_gradients(t)[rbe_grad_slice(t, k)->at + m] =
                    (m * 2654435761U >> 16 & 1) ? size : -size;
        need(rbe_student_step(s, 0.01F, 0, &norm, &d), &d, "step");
    }
}

static void all_matrices(struct rbe_student *s, bool thaw, bool again)
{
    struct rbe_diag d = {""};

    for (size_t i = 0; i < rbe_student_matrices(s); i++)
        if (thaw)
            need(rbe_student_thaw(s, i, RBE_START_ERROR, &d), &d, "thaw");
        else
            need(rbe_student_encode(s, i, again ? &again_fast : &fast, &d), &d, "encode");
}

/* What a matrix of the file is encoded as. */
static bool is_searched(const struct world *w, const struct rbe_student *s, size_t i)
{
    const struct rbe_weight *found =
        rbe_container_weight(w->own->container, rbe_student_matrix(s, i)->name);

    return CHECK(found) && rbe_format_facts(found->parts[0].m.format)->feedback;
}

/* Of some of the columns: what did not move keeps its codes, what moved goes along; scales
 * stay, and a matrix that stays latent goes on from its new codes. */
static void check_some(const struct world *w)
{
    struct rbe_student_encoding some = {.share = 0.25, .again = true};
    struct rbe_grad *t = open_train(w);
    struct rbe_student *s = open_student(w, t, w->own, RBE_ADAMW);
    const size_t n = rbe_grad_floats(t), matrices = rbe_student_matrices(s);
    float *start = malloc(n * sizeof *start), *moved = malloc(n * sizeof *moved);
    char *path = rbe_path_join(w->dir, "some.rbe");
    double along = 0, far = 0;
    struct rbe_source *written;
    struct rbe_diag d = {""};

    memcpy(start, rbe_grad_params(t), n * sizeof *start);
    for (size_t i = 0; i < matrices; i++)
        if (is_searched(w, s, i))
            need(rbe_student_thaw(s, i, RBE_START_CODES, &d), &d, "thaw");
    CHECK(distance(t, start) == 0);
    for (size_t i = 0; i < matrices; i++)
        need(rbe_student_encode(s, i, &some, &d), &d, "encode");
    CHECK(distance(t, start) == 0);
    rbe_student_set_rates(s, &(struct rbe_student_rates){.latents = 1});
    steps_along(s, t, 0.01F, 3);
    memcpy(moved, rbe_grad_params(t), n * sizeof *moved);
    some.again = false;
    for (size_t i = 0; i < matrices; i++)
        need(rbe_student_encode(s, i, &some, &d), &d, "encode");
    for (size_t i = 0; i < n; i++) {
        const double step = (double)moved[i] - (double)start[i];
        along += step * ((double)rbe_grad_params(t)[i] - (double)start[i]);
        far += step * step;
    }
    CHECK(along > 0.1 * far);
    need(rbe_student_write(s, path, &d), &d, "write");
    need(rbe_source_open_encoded(&written, path, true, &d), &d, "open");
    for (size_t i = 0; i < rbe_container_weight_count(w->own->container); i++) {
        const struct rbe_weight *a = rbe_container_weight_at(w->own->container, i);
        const struct rbe_weight *b = rbe_container_weight(written->container, a->name);
        const struct rbe_matrix *m = &a->parts[0].m;
        CHECK(b && (!m->scale ||
                    !memcmp(m->scale, b->parts[0].m.scale, m->rows * sizeof *m->scale)));
    }
    rbe_source_close(&written);
    rbe_student_close(&s);
    rbe_grad_close(&t);
    free(moved);
    free(start);
    free(path);
}

/* Once all is coded the optimiser remembers nothing of the time before: the student trains on
 * as one opened from the file that it writes: its scales and, thawed again, its latents. */
static void check_forgets(const struct world *w, enum rbe_optimizer_kind kind)
{
    char *path = rbe_path_join(w->dir, "again.rbe");
    struct rbe_grad *t = open_train(w), *u = open_train(w);
    const struct rbe_student_rates rates = {.scales = 1, .latents = 1};
    const size_t bytes = rbe_grad_floats(t) * sizeof(float);
    struct rbe_student *s = open_student(w, t, w->own, kind), *fresh;
    struct rbe_source *file;
    struct rbe_diag d = {""};

    rbe_student_set_rates(s, &rates);
    steps_along(s, t, 1, 3);
    all_matrices(s, true, false);
    steps_along(s, t, 1, 3);
    all_matrices(s, false, true);
    steps_along(s, t, 1, 3);
    all_matrices(s, false, false);
    need(rbe_student_write(s, path, &d), &d, "write");
    need(rbe_source_open_encoded(&file, path, true, &d), &d, "open");
    fresh = open_student(w, u, file, kind);
    /* A latent's rate is of the RMS that its matrix had when it was opened. */
    rbe_student_set_rates(fresh, &rates);
    CHECK(!memcmp(rbe_grad_params(t), rbe_grad_params(u), bytes));
    steps_along(s, t, -0.5F, 2);
    steps_along(fresh, u, -0.5F, 2);
    CHECK(!memcmp(rbe_grad_params(t), rbe_grad_params(u), bytes));
    all_matrices(s, true, false);
    all_matrices(fresh, true, false);
    CHECK(!memcmp(rbe_grad_params(t), rbe_grad_params(u), bytes));
    steps_along(s, t, -0.5F, 2);
    steps_along(fresh, u, -0.5F, 2);
    const double total = (double)rbe_grad_floats(t);
    if (!CHECK(distance(t, rbe_grad_params(u)) < 1e-9 * total))
        printf("     %g\n", distance(t, rbe_grad_params(u)));
    rbe_student_close(&s);
    rbe_student_close(&fresh);
    rbe_source_close(&file);
    rbe_grad_close(&t);
    rbe_grad_close(&u);
    free(path);
}

/* A latent that is encoded and stays latent keeps its moments: after three steps along g one
 * along -g still goes g's way, by m / (1 - b1^4) of the rate, m = b1 (1 - b1^3) - (1 - b1). */
static void check_goes_on(const struct world *w)
{
    struct rbe_grad *t = open_train(w);
    struct rbe_student *s = open_student(w, t, w->own, RBE_ADAMW);
    const double b1 = 0.9, m = b1 * (1 - pow(b1, 3)) - (1 - b1);
    const struct rbe_grad_slice *x = tokens_of(t);
    float *was = malloc(x->count * sizeof *was);
    double size = 0, worst = 0;

    for (size_t k = 0; k < x->count; k++)
        size += pow((double)rbe_grad_params(t)[x->at + k], 2);
    const double rate = 0.01 * sqrt(size / (double)x->count);
    rbe_student_set_rates(s, &(struct rbe_student_rates){.latents = 1});
    all_matrices(s, true, false);
    steps_along(s, t, 1, 3);
    all_matrices(s, false, true);
    memcpy(was, rbe_grad_params(t) + x->at, x->count * sizeof *was);
    steps_along(s, t, -1, 1);
    for (size_t k = 0; k < x->count; k++) {
        const double sign = (k * 2654435761U >> 16 & 1) ? 1 : -1;
        const double moved = (double)(rbe_grad_params(t)[x->at + k] - was[k]);
        worst = fmax(worst, fabs(moved + sign * rate * m / (1 - pow(b1, 4))));
    }
    if (!CHECK(worst < 1e-3 * rate))
        printf("     %g of the rate\n", worst / rate);
    rbe_student_close(&s);
    rbe_grad_close(&t);
    free(was);
}

/* Muon moves a latent layer by a nearly orthogonal step, AdamW the embedding and the rest. */
static void check_muon(const struct world *w)
{
    struct rbe_grad *t = open_train(w);
    struct rbe_student *s = open_student(w, t, w->own, RBE_MUON);
    float *was = malloc(rbe_grad_floats(t) * sizeof *was);
    const struct rbe_grad_slice *const slices[] = {tokens_of(t),
                                                   rbe_grad_find(t, w->m->latent)};
    double least[2], most[2];

    rbe_student_set_rates(s, &(struct rbe_student_rates){.latents = 1});
    all_matrices(s, true, false);
    memcpy(was, rbe_grad_params(t), rbe_grad_floats(t) * sizeof *was);
    steps_along(s, t, 1, 1);
    for (int i = 0; i < 2; i++) {
        const struct rbe_grad_slice *x = slices[i];
        least[i] = INFINITY;
        most[i] = 0;
        for (size_t k = x->at; k < x->at + x->count; k++) {
            const double moved = fabs((double)(rbe_grad_params(t)[k] - was[k]));
            least[i] = fmin(least[i], moved);
            most[i] = fmax(most[i], moved);
        }
    }
    CHECK_NEAR(least[0], most[0], 1e-3 * most[0]);      /* signs alone */
    CHECK(least[1] < 0.8 * most[1] && most[1] > 0);     /* singular vectors */
    rbe_student_close(&s);
    rbe_grad_close(&t);
    free(was);
}

/* The mean of states is what is evaluated and what the stage ends with; taking it changes
 * nothing in how steps go on. */
static void check_means(const struct world *w)
{
    struct rbe_grad *t = open_train(w), *u = open_train(w);
    struct rbe_student *s = open_student(w, t, w->own, RBE_ADAMW);
    struct rbe_student *other = open_student(w, u, w->own, RBE_ADAMW);
    const size_t n = rbe_grad_floats(t), bytes = n * sizeof(float);
    const struct rbe_grad_slice *x = rbe_grad_find(t, w->m->norm);
    float *first = malloc(bytes), *mean = malloc(bytes);
    struct rbe_diag d = {""};
    double worst = 0, apart = 0;

    rbe_student_set_rates(s, &(struct rbe_student_rates){.scales = 1, .plain = 1});
    rbe_student_set_rates(other, &(struct rbe_student_rates){.scales = 1, .plain = 1});
    steps_along(s, t, 1, 1);
    steps_along(other, u, 1, 1);
    memcpy(first, rbe_grad_params(t), bytes);
    need(rbe_student_average(s, &d), &d, "average");
    steps_along(s, t, 1, 3);
    steps_along(other, u, 1, 3);
    need(rbe_student_average(s, &d), &d, "average");
    need(rbe_student_snap(s, &d), &d, "snap");
    memcpy(mean, rbe_grad_params(t), bytes);
    for (size_t k = x->at; k < x->at + x->count; k++) {
        const double now = (double)rbe_grad_params(u)[k], then = (double)first[k];
        worst = fmax(worst, fabs((double)mean[k] - (now + then) / 2));
        apart = fmax(apart, fabs(now - then));
    }
    CHECK(apart > 0.01 && worst < 0.002);       /* rounded to f16 */
    rbe_student_refresh(s);
    CHECK(!memcmp(rbe_grad_params(t), rbe_grad_params(u), bytes));
    steps_along(s, t, -1, 2);
    steps_along(other, u, -1, 2);
    CHECK(!memcmp(rbe_grad_params(t), rbe_grad_params(u), bytes));
    rbe_student_settle(s);
    need(rbe_student_snap(s, &d), &d, "snap");
    CHECK(!memcmp(rbe_grad_params(t), mean, bytes));
    rbe_student_refresh(s);
    steps_along(s, t, 1, 1);
    need(rbe_student_snap(s, &d), &d, "snap");
    CHECK(memcmp(rbe_grad_params(t), mean, bytes));     /* forgotten */
    rbe_student_close(&s);
    rbe_student_close(&other);
    rbe_grad_close(&t);
    rbe_grad_close(&u);
    free(first);
    free(mean);
}

/* The means of wte were moved: its original has them removed, too. */
static void check_centered(const struct world *w)
{
    struct rbe_grad *t = open_train(w);
    struct rbe_student *s;
    struct rbe_diag d = {""};

    s = open_student(w, t, w->own, RBE_ADAMW);
    need(rbe_student_thaw(s, 0, RBE_START_ORIGINAL, &d), &d, "thaw");
    const struct rbe_grad_slice *wte = tokens_of(t);
    for (size_t c = 0; c < wte->cols; c++) {
        double sum = 0;
        for (size_t r = 0; r < wte->rows; r++)
            sum += (double)rbe_grad_params(t)[wte->at + r * wte->cols + c];
        CHECK_NEAR(sum / wte->rows, 0, 1e-7);
    }
    rbe_student_close(&s);
    rbe_grad_close(&t);
}

/* Rows of zeros are zeros in the file at `path`, and others are not. */
static void check_pruned(const struct world *w, const char *path, const char *what)
{
    struct rbe_grad *t = open_train(w);
    struct rbe_source *c;
    struct rbe_student *s;
    struct rbe_diag d = {""};

    need(rbe_source_open_encoded(&c, path, true, &d), &d, what);
    s = open_student(w, t, c, RBE_ADAMW);
    for (size_t i = 0; i < rbe_grad_slices(t); i++) {
        const struct rbe_grad_slice *x = rbe_grad_slice(t, i);
        size_t wrong = 0;

        for (size_t r = 0; x->matrix && r < x->rows; r++) {
            bool zeros = true;
            for (size_t k = 0; k < x->cols; k++)
                zeros = zeros && rbe_grad_params(t)[x->at + r * x->cols + k] == 0;
            wrong += zeros != (r % PRUNED == 0);
        }
        if (!CHECK(wrong == 0))
            printf("     %s: %s: %zu rows\n", what, x->name, wrong);
    }
    rbe_student_close(&s);
    rbe_source_close(&c);
    rbe_grad_close(&t);
}

/* A pruned model stays pruned: its scales trained, and its weights, by either optimiser. */
static void check_zeros(const struct world *w)
{
    char *path = rbe_path_join(w->dir, "zeros.rbe");
    struct rbe_diag d = {""};

    check_pruned(w, w->model, "converted");
    for (int how = 0; how < 3; how++) {
        struct rbe_grad *t = open_train(w);
        const enum rbe_optimizer_kind kind = how < 2 ? RBE_ADAMW : RBE_MUON;
        struct rbe_student *s = open_student(w, t, w->own, kind);

        if (how)
            all_matrices(s, true, false);
        rbe_student_set_rates(s, &(struct rbe_student_rates){.scales = 1, .latents = 1,
                                                             .plain = 1});
        steps_along(s, t, 1, 3);
        all_matrices(s, false, false);
        steps_along(s, t, 1, 2);
        need(rbe_student_write(s, path, &d), &d, "write");
        rbe_student_close(&s);
        rbe_grad_close(&t);
        check_pruned(w, path, how ? how == 1 ? "latent" : "latent, Muon" : "scales");
    }
    unlink(path);
    free(path);
}

/* Bytes that malloc() has given out; 0 where another allocator stands in for it. */
static size_t given_out(void)
{
    const struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

/* What is planned is what is taken, besides what passes by: at least the embedding, read. */
static void check_memory(const struct world *w)
{
    struct rbe_student_uses uses = {.latent = true};
    size_t codes = 0;

    for (int latent = 0; latent < 2; latent++) {
        const struct rbe_student_uses these = {.latent = latent, .errors = latent};
        struct rbe_grad *t = open_train(w);
        const size_t before = given_out();
        struct rbe_student *s;
        struct rbe_diag d = {""};

        need(rbe_student_open(&s, t, w->source, w->own, &these, NULL, &d), &d, "student");
        if (latent)
            all_matrices(s, true, false);
        for (size_t i = 0; latent && i < rbe_student_matrices(s); i++)
            codes += (size_t)rbe_student_matrix(s, i)->rows * rbe_student_matrix(s, i)->cols;
        const size_t taken = given_out() - before;
        const size_t planned = rbe_student_bytes(w->source, w->own, &these, 1);
        const size_t passing = tokens_of(t)->count * sizeof(float);
        if (!CHECK(taken + passing < planned) ||
            !CHECK(!before || latent || taken > planned / 2))
            printf("     %zu bytes taken, %zu planned\n", taken, planned);
        rbe_student_close(&s);
        rbe_grad_close(&t);
    }
    const size_t without = rbe_student_bytes(w->source, w->own, &uses, 1);
    uses.errors = true;
    CHECK(rbe_student_bytes(w->source, w->own, &uses, 1) == without + codes * sizeof(float));
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    CHECK(f && fputs(text, f) >= 0 && !fclose(f));
}

/* A teacher of other weights, of other sizes, and one that computes otherwise with the same. */
static void check_mismatch(const struct world *w)
{
    char *folder = rbe_path_join(w->dir, "other");
    char *config = rbe_path_join(folder, "config.json");
    char *weights = rbe_path_join(folder, "model.safetensors");
    struct rbe_model_config shorter = w->config;

    shorter.n_layer--;
    for (int how = 0; how < 3; how++) {
        static const char *const keys[] = {"was not made from", "layer"};
        const char *want = how < 2 ? keys[how] : w->m->key;
        struct rbe_grad *t = open_train(w);
        struct rbe_student *s = NULL;
        struct rbe_source *other;
        struct rbe_diag d = {""};

        need(rbe_synth(folder, how == 1 ? &shorter : &w->config, RBE_DT_F32, how ? 5 : 6, &d),
             &d, "synth");
        if (how == 2)
            write_text(config, w->m->other);
        need(rbe_source_open(&other, folder, &d), &d, "source");
        CHECK(rbe_student_open(&s, t, other, w->own, &(struct rbe_student_uses){0}, NULL,
                               &d) == RBE_ERR_MISMATCH);
        if (!CHECK(strstr(d.text, want) && strstr(d.text, folder) && !s))
            printf("     %s\n", d.text);
        rbe_source_close(&other);
        rbe_grad_close(&t);
        CHECK(!unlink(config) && !unlink(weights));
    }
    rmdir(folder);
    free(folder);
    free(config);
    free(weights);
}

static void remove_world(struct world *w)
{
    static const char *const names[] = {"m.rbe", "moved.rbe", "again.rbe", "config.json",
                                        "model.safetensors"};

    rbe_source_close(&w->own);
    rbe_source_close(&w->source);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = rbe_path_join(w->dir, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(w->dir);
    free(w->model);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    struct world w;

    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        make_world(&w, &models[i], false);
        check_reading(&w);
        check_gradients(&w, &rng);
        check_sums(&w, &rng);
        check_descent(&w, &rng);
        check_centered(&w);
        check_memory(&w);
        check_mismatch(&w);
        if (models[i].quick) {
            remove_world(&w);
            continue;
        }
        check_encoding(&w);
        check_some(&w);
        check_forgets(&w, RBE_ADAMW);
        check_forgets(&w, RBE_MUON);
        check_goes_on(&w);
        check_muon(&w);
        check_means(&w);
        remove_world(&w);
        make_world(&w, &models[i], true);
        check_zeros(&w);
        remove_world(&w);
    }
    return check_done();
}
