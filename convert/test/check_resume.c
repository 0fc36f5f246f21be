/*
 * check_resume.c - a conversion that is interrupted wherever it can be, and goes on, gives the
 * bytes of one that was not; what is left of another conversion, or damaged, is not taken.
 *
 * SPDX-License-Identifier: MIT
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "grad/product.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/synth.h"

enum { CTX = 16, VOCAB = 258 };

static char dir[] = "/tmp/rbe-check-resume-XXXXXX";
static const struct rbe_model_config config = {.vocab = VOCAB, .n_ctx = CTX, .n_embd = 32,
                                              .n_layer = 1, .n_head = 2, .n_inner = 128,
                                              .ln_eps = 1e-5F, .eos = VOCAB - 1};

static const struct rbe_model_config llama = {
    .arch = RBE_ARCH_LLAMA, .vocab = VOCAB, .n_ctx = CTX, .n_embd = 32, .n_layer = 1,
    .n_head = 4, .n_kv = 2, .head = 8, .n_inner = 64, .ln_eps = 1e-5F, .rope_base = 10000,
    .eos = VOCAB - 1};

/* What may differ from one conversion to the next. */
struct settings {
    const char *text;           /* file name */
    enum rbe_metric metric;
    bool center;
    int search;
    bool no_feedback;
    unsigned passes;
    bool bf16;
    unsigned windows;           /* of text */
    size_t compensate;
};
static const struct settings usual = {"a.txt", RBE_METRIC_FISHER, true, RBE_SEARCH_FAST, false,
                                      1, false, 8, 0};
/* Enough text for targets other than the original, where a matrix has as many inputs as the
 * model is wide. */
static const struct settings compensated = {"a.txt", RBE_METRIC_FISHER, true, RBE_SEARCH_FAST,
                                            false, 1, false, 32, 512};

/* Where a run is interrupted; each goes one step further than the run before. */
enum stage { NOWHERE, CALIBRATING, MEASURING, ENCODING };

struct outcome {
    enum rbe_status err;
    size_t taken, probes, probes_reused, rows, rows_reused;
    bool kept;                  /* something is in the folder */
    char unkept[256];
};

static struct outcome *now;
static enum stage where;

static void row_done(const struct rbe_convert_entry *r)
{
    now->rows++;
    now->rows_reused += r->reused;
    if (where == ENCODING && !r->reused)
        raise(SIGINT);
}

static char *in_dir(const char *name)
{
    char *p = rbe_path_join(dir, name);

    if (!p)
        exit(1);
    return p;
}

/* One process's conversion to `out`, as rbe convert does it. */
static struct outcome run(const char *out, const struct settings *s, enum stage stage)
{
    char profile_text[200], *path = in_dir(out), *text = in_dir(s->text);
    struct rbe_convert_options o = {.budget_bits = 9, .search = s->search,
                                    .no_feedback = s->no_feedback,
                                    .compensate = s->compensate};
    struct rbe_calibration *calibration = NULL;
    struct rbe_profile *profile = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_source *source = NULL;
    struct rbe_diag d = {""};
    struct outcome to = {0};

    now = &to;
    where = stage;
    rbe_clear_interrupt();
    snprintf(profile_text, sizeof profile_text, "other codec=f16\nwpe codec=int8\n"
             "all codec=seed hadamard=max\nwte codec=seed hadamard=max center=%s\n",
             s->center ? "on" : "off");
    if (!CHECK(!rbe_profile_parse(&profile, profile_text, "t", &d) &&
               !rbe_source_open(&source, dir, &d)))
        goto out;
    o.profile = profile;
    if (!CHECK(!rbe_convert_plan(&c, source, &o, &d) && !rbe_convert_begin(c, path, &d)))
        goto out;
    struct rbe_calibration_keep keep = {.folder = c->folder, .source_sha256 = source->sha256};
    const struct rbe_calibration_how how = {.metric = s->metric, .bf16 = s->bf16,
                                            .passes = s->passes};
    if (stage == CALIBRATING)
        raise(SIGINT);
    to.err = rbe_calibrate_file(&calibration, dir, text, how, s->windows * CTX, &keep, NULL,
                                NULL, &d);
    to.taken = keep.taken;
    snprintf(to.unkept, sizeof to.unkept, "%.200s", keep.why.text);
    c->o.calibration = calibration;
    if (stage == MEASURING)
        raise(SIGINT);
    if (!to.err)
        to.err = rbe_convert_allocate(c, dir, &d);
    to.probes = c->probes;
    to.probes_reused = c->probes_reused;
    CHECK(to.err || c->measured);
    const struct rbe_convert_entry *r = NULL;
    while (!to.err && !(to.err = rbe_convert_next(&r, c, &d)) && r)
        row_done(r);
    if (!to.err)
        to.err = rbe_convert_write(c, path, &d);
    to.kept = rbe_convert_has_kept(c);
    if (!CHECK(!to.err || (to.err == RBE_ERR_INTERRUPTED && stage) ||
               (to.err == RBE_ERR_IO && s->passes > 1)))
        printf("     %s\n", d.text);
out:
    rbe_clear_interrupt();
    rbe_convert_close(&c);
    rbe_calibration_close(&calibration);
    rbe_profile_close(&profile);
    rbe_source_close(&source);
    free(path);
    free(text);
    return to;
}

static bool same_files(const char *a, const char *b)
{
    char *pa = in_dir(a), *pb = in_dir(b), *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    const bool same = !rbe_read_file(&x, &n, pa, NULL) && !rbe_read_file(&y, &m, pb, NULL) &&
                      n == m && n && !memcmp(x, y, n);

    free(x);
    free(y);
    free(pa);
    free(pb);
    return same;
}

static bool exists(const char *name)
{
    char *p = in_dir(name);
    const bool is = !access(p, F_OK);

    free(p);
    return is;
}

static void forget(const char *name)
{
    char *p = in_dir(name);

    unlink(p);
    free(p);
}

/* After the folder's file was changed in the middle; `end`: cut off there. */
static void damage(const char *name, bool end)
{
    char *p = in_dir(name), *text = NULL;
    size_t n = 0;

    if (CHECK(!rbe_read_file(&text, &n, p, NULL) && n > 100)) {
        text[n / 2] ^= 1;
        FILE *f = fopen(p, "wb");
        CHECK(f && fwrite(text, 1, end ? n / 2 : n, f) == (end ? n / 2 : n));
        if (f)
            fclose(f);
    }
    free(text);
    free(p);
}

/* Interrupted after every window of every pass, every probe and every matrix. */
static void check_steps(const struct settings *like, enum rbe_metric metric, unsigned passes,
                        size_t want_rows, size_t want_probes)
{
    struct settings s = *like;
    struct outcome o;
    size_t steps, probes = 0;

    s.metric = metric;
    o = run("whole.rbe", &s, NOWHERE);
    const size_t rows = o.rows;
    probes = o.probes;
    CHECK(!o.err && rows == want_rows && probes == want_probes);
    CHECK(!o.rows_reused && !o.probes_reused);
    CHECK(!exists("whole.rbe.partial"));
    s.passes = passes;
    for (steps = 0; steps < passes * s.windows; steps++) {
        o = run("cut.rbe", &s, CALIBRATING);
        CHECK(o.err == RBE_ERR_INTERRUPTED && o.kept && o.taken == CTX * steps);
    }
    for (steps = 0; steps < probes; steps++) {
        o = run("cut.rbe", &s, MEASURING);
        CHECK(o.err == RBE_ERR_INTERRUPTED && o.kept && o.taken == CTX * s.windows * passes);
        CHECK(o.probes_reused == steps && o.probes == steps + 1);
    }
    for (steps = 0; steps + 1 < rows; steps++) {
        o = run("cut.rbe", &s, ENCODING);
        CHECK(o.err == RBE_ERR_INTERRUPTED && o.kept && o.probes_reused == probes);
        CHECK(o.rows_reused == steps && o.rows == steps + 1);
    }
    CHECK(!exists("cut.rbe"));
    o = run("cut.rbe", &s, NOWHERE);
    CHECK(!o.err && o.rows_reused == rows - 1 && o.probes_reused == probes);
    CHECK(same_files("cut.rbe", "whole.rbe"));
    CHECK(!exists("cut.rbe.partial"));
    forget("cut.rbe");
    forget("whole.rbe");
}

/* Leaves a calibration, the probes, wte and wpe of a conversion of `s`. */
static void leave(const char *out, const struct settings *s)
{
    CHECK(run(out, s, CALIBRATING).err == RBE_ERR_INTERRUPTED);
    CHECK(run(out, s, MEASURING).err == RBE_ERR_INTERRUPTED);
    for (int i = 0; i < 2; i++)
        CHECK(run(out, s, ENCODING).err == RBE_ERR_INTERRUPTED);
}

/* What `before` left is not taken by `then`, which gives what it gives alone. */
static void check_change(const char *what, const struct settings *before,
                         const struct settings *then, bool text, bool rows)
{
    const unsigned failed = check_failed;
    struct outcome o;

    CHECK(!run("whole.rbe", then, NOWHERE).err);
    leave("cut.rbe", before);
    o = run("cut.rbe", then, NOWHERE);
    CHECK(!o.err && (o.taken > 0) == text && (o.rows_reused > 0) == rows);
    CHECK(same_files("cut.rbe", "whole.rbe"));
    forget("cut.rbe");
    forget("whole.rbe");
    if (failed != check_failed)
        printf("     changed: %s\n", what);
}

static void check_changes(void)
{
    struct settings s = usual;

    s.center = false;           /* moves means to the positions: wpe is another, too */
    check_change("center", &s, &usual, true, false);
    check_change("center, the other way", &usual, &s, true, false);
    s = usual;
    s.text = "b.txt";
    check_change("text", &s, &usual, false, true);      /* the positions are the same */
    s = usual;
    s.metric = RBE_METRIC_INPUTS;
    check_change("metric", &s, &usual, false, true);
    s.metric = RBE_METRIC_TWO_SIDED;    /* the embedding has none of the rows: it is the same */
    check_change("metric, two sides", &s, &usual, false, true);
    CHECK(!run("whole.rbe", &usual, NOWHERE).err && !run("cut.rbe", &s, NOWHERE).err);
    CHECK(!same_files("cut.rbe", "whole.rbe"));
    forget("cut.rbe");
    forget("whole.rbe");
    s = usual;
    s.bf16 = rbe_product_has_bf16();
    if (s.bf16)
        check_change("products", &s, &usual, false, true);
    s = usual;
    s.search = RBE_SEARCH_DEFAULT;
    check_change("search", &usual, &s, true, false);
    s = usual;
    s.no_feedback = true;
    check_change("feedback", &usual, &s, true, true);
    s = compensated;
    s.compensate = 0;
    check_change("compensation", &compensated, &s, true, true);
    check_change("compensation, the other way", &s, &compensated, true, true);
    CHECK(!run("whole.rbe", &compensated, NOWHERE).err && !run("cut.rbe", &s, NOWHERE).err);
    CHECK(!same_files("cut.rbe", "whole.rbe"));
    forget("cut.rbe");
    forget("whole.rbe");
}

/* Damaged leftovers are done again. */
static void check_damage(void)
{
    static const char *const files[] = {"calibration.rbe", "allocation.rbe", "wte.weight.rbe",
                                        "wpe.weight.rbe"};
    char name[64];
    struct outcome o;

    CHECK(!run("whole.rbe", &usual, NOWHERE).err);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (int end = 0; end < (i % 2 ? 1 : 2); end++) {
            leave("cut.rbe", &usual);
            snprintf(name, sizeof name, "cut.rbe.partial/%s", files[i]);
            damage(name, end);
            o = run("cut.rbe", &usual, NOWHERE);
            CHECK(!o.err && (o.taken == 0) == (i == 0));
            CHECK(o.probes_reused == (i == 1 ? 0 : o.probes));
            CHECK(o.rows_reused == (i < 2 ? 2 : 1));
            CHECK(same_files("cut.rbe", "whole.rbe"));
            CHECK(!exists("cut.rbe.partial"));
            forget("cut.rbe");
        }
    /* What a killed run was writing. */
    leave("cut.rbe", &usual);
    damage("cut.rbe.partial/wte.weight.rbe", false);
    char *from = in_dir("cut.rbe.partial/wte.weight.rbe");
    char *to = in_dir("cut.rbe.partial/wte.weight.rbe.tmpAb3xY9");
    CHECK(!rename(from, to));
    CHECK(!run("cut.rbe", &usual, NOWHERE).err);
    CHECK(same_files("cut.rbe", "whole.rbe") && !exists("cut.rbe.partial"));
    free(from);
    free(to);
    forget("cut.rbe");
    forget("whole.rbe");
}

/* A disk too full to keep a calibration hinders no conversion. */
static void check_full_disk(void)
{
    struct rlimit limit, small;
    struct outcome o;

    CHECK(!run("whole.rbe", &usual, NOWHERE).err);
    signal(SIGXFSZ, SIG_IGN);
    CHECK(!getrlimit(RLIMIT_FSIZE, &limit));
    small = limit;
    small.rlim_cur = 20000;     /* less than the moments */
    CHECK(!setrlimit(RLIMIT_FSIZE, &small));
    o = run("cut.rbe", &usual, CALIBRATING);
    CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
    CHECK(o.err == RBE_ERR_INTERRUPTED && !o.kept && strstr(o.unkept, "cannot write"));
    o = run("cut.rbe", &usual, NOWHERE);
    CHECK(!o.err && !o.taken && !o.unkept[0] && same_files("cut.rbe", "whole.rbe"));
    forget("cut.rbe");
    /* In memory, then; but not several passes. */
    CHECK(!setrlimit(RLIMIT_FSIZE, &small));
    struct settings s = usual;
    for (s.passes = 1; s.passes <= 2; s.passes++) {
        o = run("cut.rbe", &s, MEASURING);
        CHECK(o.err == (s.passes == 1 ? RBE_ERR_INTERRUPTED : RBE_ERR_IO));
        CHECK(strstr(o.unkept, "cannot write"));
    }
    CHECK(!setrlimit(RLIMIT_FSIZE, &limit));
    forget("cut.rbe");
    forget("whole.rbe");
}

/* A token for each byte, one merge, and <|endoftext|>. */
static void write_tokenizer(void)
{
    char *vocab = in_dir("vocab.json"), *merges = in_dir("merges.txt");
    FILE *f = fopen(vocab, "w");
    unsigned other = 256;

    for (unsigned b = 0; f && b < 256; b++) {
        const bool same = (b > 32 && b < 127) || (b > 160 && b != 173);
        fprintf(f, "%s\"\\u%04x\": %u", b ? ", " : "{", same ? b : other++, b);
    }
    CHECK(f && fprintf(f, ", \"er\": 256, \"<|endoftext|>\": 257}") > 0 && !fclose(f));
    f = fopen(merges, "w");
    CHECK(f && fprintf(f, "#version: 0.2\ne r\n") > 0 && !fclose(f));
    free(vocab);
    free(merges);
}

static void write_text(const char *name, const char *word)
{
    char *p = in_dir(name);
    FILE *f = fopen(p, "w");

    for (int i = 0; f && i < 400; i++)
        fprintf(f, "%s %d is no %d. ", word, i, i * 7 % 13);
    CHECK(f && !fclose(f));
    free(p);
}

int main(void)
{
    static const char *const left[] = {"a.txt", "b.txt", "config.json", "model.safetensors",
                                       "vocab.json", "merges.txt"};
    struct rbe_diag d = {""};

    rbe_cpu_init();
    rbe_catch_interrupt();
    if (!CHECK(mkdtemp(dir) && !rbe_synth(dir, &config, RBE_DT_F32, 1, &d)))
        return check_done();
    write_tokenizer();
    write_text("a.txt", "Number");
    write_text("b.txt", "Figure");
    check_steps(&usual, RBE_METRIC_FISHER, 1, 6, 5);
    check_steps(&usual, RBE_METRIC_FISHER, 2, 6, 5);
    check_steps(&usual, RBE_METRIC_INPUTS, 2, 6, 5);
    check_steps(&usual, RBE_METRIC_TWO_SIDED, 1, 6, 5);
    check_steps(&compensated, RBE_METRIC_FISHER, 1, 6, 5);
    check_changes();
    check_damage();
    check_full_disk();
    /* Queries, keys and values apart, gates and what they gate. */
    CHECK(!rbe_synth(dir, &llama, RBE_DT_F32, 1, &d));
    check_steps(&usual, RBE_METRIC_INPUTS, 1, 8, 8);
    check_steps(&usual, RBE_METRIC_FISHER, 2, 8, 8);
    check_steps(&usual, RBE_METRIC_TWO_SIDED, 2, 8, 8);
    check_steps(&compensated, RBE_METRIC_INPUTS, 1, 8, 8);
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        forget(left[i]);
    CHECK(!rmdir(dir));
    return check_done();
}
