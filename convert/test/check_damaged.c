/*
 * check_damaged.c - no byte of an RBE model can change without a word or a consequence.
 *
 * SPDX-License-Identifier: MIT
 *
 * A flipped bit anywhere in the file ends in an error, at the latest when the first tokens go
 * through, or leaves every logit as it was.
 */
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/model.h"
#include "model/synth.h"

static char dir[] = "/tmp/rbe-check-damaged-XXXXXX";
static char *good, *bad;

enum { LAYERS = 2, VOCAB = 64, TOKENS = 6 };

static const struct rbe_model_config config = {.vocab = VOCAB, .n_ctx = 16, .n_embd = 32,
                                              .n_layer = LAYERS, .n_head = 2, .n_inner = 64,
                                              .ln_eps = 1e-5F, .eos = VOCAB - 1};

static void write_good(void)
{
    const char text[] = "other codec=f16\nall codec=int4\nwpe codec=int4\n";
    struct rbe_convert_options o = {.search = -1};
    struct rbe_profile *p = NULL;
    struct rbe_convert *c = NULL;
    struct rbe_source *s = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_synth(dir, &config, RBE_DT_F32, 1, &d) &&
               !rbe_profile_parse(&p, text, "t", &d) && !rbe_source_open(&s, dir, &d)))
        printf("     %s\n", d.text);
    o.profile = p;
    if (!CHECK(s && !rbe_convert_plan(&c, s, &o, &d) && !rbe_convert_run(c, good, &d)))
        printf("     %s\n", d.text);
    rbe_convert_close(&c);
    rbe_profile_close(&p);
    rbe_source_close(&s);
}

/* Logits of some tokens.  *loaded: no error before they went through. */
static enum rbe_status run(const char *path, float *logits, bool *loaded, struct rbe_pool *pool,
                           struct rbe_diag *d)
{
    static const uint32_t ids[TOKENS] = {3, 60, 17, 17, 0, 42};
    const struct rbe_session_limits l = {.max_batch = 4};
    struct rbe_session *s = NULL;
    struct rbe_model *m = NULL;
    enum rbe_status err;

    *loaded = !(err = rbe_model_open(&m, path, d));
    if (!err && !(err = rbe_session_open(&s, m, l, pool, d)) &&
        !(err = rbe_forward(s, ids, TOKENS, d)))
        err = rbe_logits(s, RBE_LAST, 1, logits, d);
    rbe_session_close(&s);
    rbe_model_close(&m);
    return err;
}

static void put(const char *bytes, size_t size)
{
    FILE *f = fopen(bad, "wb");

    CHECK(f && fwrite(bytes, 1, size, f) == size);
    if (f)
        fclose(f);
}

static void check_bytes(struct check_rng *rng)
{
    static float want[VOCAB], got[VOCAB];
    unsigned early = 0, late = 0, harmless = 0, other = 0;
    struct rbe_pool *pool = NULL;
    struct rbe_diag d = {""};
    char *bytes;
    bool loaded;
    size_t size;

    CHECK(!rbe_pool_open(&pool, 2, &d));
    if (!CHECK(!run(good, want, &loaded, NULL, &d) &&
               !rbe_read_file(&bytes, &size, good, &d))) {
        printf("     %s\n", d.text);
        rbe_pool_close(&pool);
        return;
    }
    for (size_t i = check_below(rng, 23); i < size; i += 23) {
        const char old = bytes[i];
        bytes[i] = (char)(old ^ 1 << check_below(rng, 8));
        put(bytes, size);
        d.text[0] = 0;
        memset(got, 0, sizeof got);
        const enum rbe_status err = run(bad, got, &loaded, i % 2 ? pool : NULL, &d);
        if (!check_that(err ? strstr(d.text, bad) && !strchr(d.text, '\n')
                            : !memcmp(got, want, sizeof got),
                        __FILE__, __LINE__, "a changed byte is noticed, or harmless"))
            printf("     byte %zu of %zu: status %d, '%s'\n", i, size, err, d.text);
        early += !loaded;
        late += loaded && err;
        harmless += !err;
        /* With --no-verify what is late goes through, and gives other numbers unless it
         * is padding. */
        rbe_no_verify = 1;
        if (loaded && err)
            other += CHECK(!run(bad, got, &loaded, NULL, &d)) &&
                     memcmp(got, want, sizeof got) != 0;
        rbe_no_verify = 0;
        bytes[i] = old;
    }
    printf("%u refused at once, %u at the first tokens, %u harmless; %u of these give other "
           "numbers unverified\n", early, late, harmless, other);
    CHECK(early > 0 && late > 0 && other > late / 8);
    free(bytes);
    rbe_pool_close(&pool);
}

/* The container again, its parts untouched, with another configuration and, where `twice` is
 * a name, that weight under it once more. */
static void rebuild(const char *json, const char *twice)
{
    struct rbe_container_builder *b = NULL;
    struct rbe_container *c = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_container_open(&c, good, true, &d) && !rbe_container_begin(&b, &d)))
        return;
    const struct rbe_safetensors *f = rbe_container_file(c);
    CHECK(!rbe_container_add_meta(b, "rbe.config", json, &d));
    for (size_t i = 0; i < rbe_container_weight_count(c); i++)
        CHECK(!rbe_container_add_weight(b, rbe_container_weight_at(c, i), &d));
    if (twice) {
        struct rbe_weight w = *rbe_container_weight_at(c, 0);
        snprintf(w.name, sizeof w.name, "%s", twice);
        CHECK(!rbe_container_add_weight(b, &w, &d));
    }
    for (size_t i = 0; i < rbe_safetensors_count(f); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(f, i);
        if (!rbe_container_owns(c, t))
            CHECK(!rbe_container_add_tensor(b, t->name, t->dtype, t->dims, t->shape, t->data,
                                            &d));
    }
    if (!CHECK(!rbe_container_write(b, bad, &d)))
        printf("     %s\n", d.text);
    rbe_container_end(&b);
    rbe_container_close(&c);
}

/* Weights that the configuration does not know are no more ignored than in a checkpoint. */
static void check_places(void)
{
    static const struct {
        const char *layers, *twice, *reason;
    } cases[] = {{"2", NULL, NULL},
                 {"1", NULL, "'h.1."},
                 {"3", NULL, "'h.2.ln_1.weight' is missing"},
                 {"2", "lm_head.weight", "'lm_head.weight' has no place"},
                 {"2", "h.2.attn.c_attn.weight", "'h.2.attn.c_attn.weight' has no place"},
                 {"2", "ln_f.weight", "'ln_f.weight' has no place"},
                 {"2", "score", "'score' has no place"}};
    struct rbe_diag d = {""};
    char json[200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rbe_model *m;
        snprintf(json, sizeof json, "{\"vocab_size\":%d,\"n_ctx\":16,\"n_embd\":32,"
                 "\"n_layer\":%s,\"n_head\":2,\"n_inner\":64}", VOCAB, cases[i].layers);
        rebuild(json, cases[i].twice);
        d.text[0] = 0;
        const enum rbe_status err = rbe_model_open(&m, bad, &d);
        if (!CHECK(cases[i].reason ? err && strstr(d.text, cases[i].reason) : !err))
            printf("     case %zu: %d, '%s'\n", i, err, d.text);
        rbe_model_close(&m);
    }
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);

    rbe_cpu_init();
    if (!CHECK(mkdtemp(dir) != NULL))
        return check_done();
    good = rbe_path_join(dir, "good.rbe");
    bad = rbe_path_join(dir, "bad.rbe");
    write_good();
    check_bytes(&rng);
    check_places();
    char *const files[] = {good, bad, rbe_path_join(dir, "model.safetensors"),
                           rbe_path_join(dir, "config.json")};
    for (int i = 0; i < 4; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    CHECK(!rmdir(dir));
    return check_done();
}
