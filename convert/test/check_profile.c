/*
 * check_profile.c - profiles: what tensors get, and every fault named with its line.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/profile.h"

#include <math.h>
#include <string.h>

#include "kernels/format/hybrid.h"
#include "kernels/test/check.h"

static void rules(void)
{
    static const char text[] =
        "# a comment\n"
        "name: mine\n\n"
        "about:  what it is \r\n"
        "budget-bits: 2.5   # of the file\n"
        "allocation: measured\n"
        "series: parts\n"
        "metric: fisher\n"
        "tokens: 777\n"
        "probes: 333\n"
        "compensate: 555\n"
        "compensate-share: 0.25\n"
        "all codec=seed block=44 search=best hadamard=256\n"
        "mlp.fc layers=3-8 codec=hybrid ratio=100 quality=High\n"
        "  mlp.fc\tlayers=5 search=fast scales=row\n"
        "wte center=on codec=int4 scale-search=on\n"
        "mlp.proj ratio=10\n"
        "mlp.proj layers=1 block=50 cost=0.35\n"
        "wpe codec=f32\n";
    struct rbe_profile *p;
    struct rbe_diag d = {""};

    if (!CHECK(rbe_profile_parse(&p, text, "t", &d) == RBE_OK)) {
        printf("%s\n", d.text);
        return;
    }
    CHECK(!strcmp(rbe_profile_name(p), "mine"));
    CHECK(!strcmp(rbe_profile_about(p), "what it is"));
    CHECK_NEAR(rbe_profile_budget_bits(p), 2.5, 0);
    CHECK(rbe_profile_measured(p));
    CHECK(!strcmp(rbe_profile_series(p), "parts"));
    CHECK(rbe_profile_metric(p) == RBE_METRIC_FISHER);
    CHECK(rbe_profile_tokens(p) == 777 && rbe_profile_probes(p) == 333);
    CHECK(rbe_profile_compensate(p) == 555);
    CHECK_NEAR(rbe_profile_compensate_share(p), 0.25, 0);
    CHECK(rbe_metric_by_name("inputs") == RBE_METRIC_INPUTS);
    CHECK(!rbe_metric_name(RBE_METRIC_COUNT));
    CHECK(rbe_profile_budget_bytes(p) == 0);
    struct rbe_settings c = rbe_profile_settings(p, RBE_CLASS_FC, 2);
    CHECK(c.format == RBE_SEED && c.block == 44 && c.search == RBE_SEARCH_BEST);
    CHECK(c.scales == RBE_SCALES_ROW_COL && c.hadamard == 256 && c.feedback);
    c = rbe_profile_settings(p, RBE_CLASS_FC, 8);
    CHECK(c.format == RBE_HYBRID && c.block == 0 && c.level == RBE_LEVEL_HIGH);
    CHECK_NEAR(c.bits, 0.32, 1e-12);
    CHECK(c.search == RBE_SEARCH_BEST);
    c = rbe_profile_settings(p, RBE_CLASS_FC, 5);
    CHECK(c.format == RBE_HYBRID && c.search == RBE_SEARCH_FAST);
    CHECK(c.scales == RBE_SCALES_ROW);
    c = rbe_profile_settings(p, RBE_CLASS_MLP_PROJ, 0);
    CHECK(c.format == RBE_SEED && c.block == 0);
    CHECK_NEAR(c.bits, 3.2, 1e-12);
    CHECK_NEAR(c.cost, 1, 0);
    c = rbe_profile_settings(p, RBE_CLASS_MLP_PROJ, 1);
    CHECK(c.format == RBE_SEED && c.block == 50 && c.bits == 0);
    CHECK_NEAR(c.cost, 0.35, 0);
    c = rbe_profile_settings(p, RBE_CLASS_WTE, -1);
    CHECK(c.format == RBE_INT4 && c.center && c.scale_search && c.block == 0);
    CHECK(rbe_profile_settings(p, RBE_CLASS_WPE, -1).format == RBE_F32);
    CHECK(rbe_profile_settings(p, RBE_CLASS_OTHER, 3).format == RBE_F16);
    rbe_profile_close(&p);
    CHECK(!p);
}

/* What a profile of one rule leaves open. */
static void defaults(void)
{
    struct rbe_profile *p;
    struct rbe_diag d = {""};

    if (!CHECK(rbe_profile_parse(&p, "all codec=seed", "t", &d) == RBE_OK))
        return;
    CHECK(!strcmp(rbe_profile_name(p), "t") && !*rbe_profile_about(p));
    CHECK(rbe_profile_budget_bits(p) == 0 && rbe_profile_budget_bytes(p) == 0);
    CHECK(!rbe_profile_measured(p) && !rbe_profile_series(p));
    CHECK(rbe_profile_metric(p) == RBE_METRIC_INPUTS);
    CHECK(rbe_profile_tokens(p) == 0 && rbe_profile_probes(p) == 0);
    CHECK(rbe_profile_compensate(p) == 0 && rbe_profile_compensate_share(p) == 1);
    rbe_profile_close(&p);
}

/* Lines about layers that a model does not have, by its number of layers. */
static void beyond(void)
{
    struct rbe_profile *p;

    if (!CHECK(rbe_profile_parse(&p,
                                 "# a comment\nall codec=seed\nmlp.fc layers=1-99 block=44\n"
                                 "mlp.fc layers=2 block=45\n\nall layers=12-9999 block=46",
                                 "t", NULL) == RBE_OK))
        return;
    CHECK(rbe_profile_beyond(p, 2, 0) == 4 && rbe_profile_beyond(p, 2, 4) == 6);
    CHECK(rbe_profile_beyond(p, 2, 6) == 0);
    CHECK(rbe_profile_beyond(p, 1, 0) == 3);
    CHECK(rbe_profile_beyond(p, 3, 0) == 6);
    CHECK(rbe_profile_beyond(p, 13, 0) == 0);
    rbe_profile_close(&p);
}

static void faults(void)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "not one rule"},
        {"all codec=seed\nfoo codec=seed", "t:2: unknown class 'foo'"},
        {"all codec=magic", "t:1: unknown codec 'magic'"},
        {"\n\nall codec=seed colour=red", "t:3: unknown key 'colour'"},
        {"all codec=seed block", "t:1: 'block' is not KEY=VALUE"},
        {"all codec=seed block=-4", "t:1: '-4' is no value for 'block'"},
        {"all codec=seed block=4x", "no value"},
        {"all codec=seed block=99999999999999999999", "no value"},
        {"all codec=seed block=44 block=45", "t:1: 'block' is given twice"},
        {"all codec=seed ratio=0.5", "no value"},
        {"all codec=seed ratio=nan", "no value"},
        {"all codec=seed bits=", "no value"},
        {"all codec=seed block=44 ratio=8", "same choice"},
        {"all codec=hybrid ratio=8 bits=4", "more than one"},
        {"all codec=int4 block=32", "no block"},
        {"all codec=seed k=3", "belong to codec=hybrid"},
        {"all codec=seed quality=superb", "no value"},
        {"all codec=seed hadamard=3", "no value"},
        {"all codec=seed window=7", "no value"},
        {"all codec=seed window=17", "no value"},
        {"all codec=seed center=yes", "no value"},
        {"mlp.fc layers=8-3 codec=seed", "no value"},
        {"mlp.fc layers=a codec=seed", "no value"},
        {"wte layers=3 codec=seed", "no layers"},
        {"other codec=seed", "stay plain"},
        {"other codec=int4", "stay plain"},
        {"all", "says nothing"},
        {"size: 3\nall codec=seed", "t:1: unknown header"},
        {"budget-bits: lots\nall codec=seed", "no budget"},
        {"series: mine\nall codec=seed", "parts or schedule"},
        {"allocation: fair\nall codec=seed", "measured or even"},
        {"metric: feet\nall codec=seed", "inputs, fisher or two-sided"},
        {"probes: 0\nall codec=seed", "no number of tokens"},
        {"probes: many\nall codec=seed", "no number of tokens"},
        {"compensate-share: 1.1\nall codec=seed", "between 0 and 1"},
        {"compensate-share: \nall codec=seed", "between 0 and 1"},
        {"budget-bits: 2\nbudget-bytes: 5\nall codec=seed", "two budgets"},
        {"budget-bits: 2\n\nbudget-bits: 2\nall codec=seed",
         "t:3: 'budget-bits:' is given twice"},
        {"name: a\nall codec=seed\nname: b", "t:3: 'name:' is given twice"},
        {"about: a\nabout:\nall codec=seed", "t:2: 'about:' is given twice"},
        {"compensate: 5\ncompensate-share: 1\ncompensate: 6\nall codec=seed",
         "t:3: 'compensate:' is given twice"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rbe_profile *p;
        struct rbe_diag d = {""};

        CHECK(rbe_profile_parse(&p, cases[i].text, "t", &d) == RBE_ERR_ARG && !p);
        if (!CHECK(strstr(d.text, cases[i].why) && !strchr(d.text, '\n')))
            printf("'%s' instead of '%s'\n", d.text, cases[i].why);
    }
}

static void shipped(void)
{
    static const char *const names[] = {
        "mobile-45mb", "mini-2.89", "chapter-8.3.1", "chapter-8.3.2", "phase1", "phase2",
        "phase3", "hybrid-architecture", "int8", "int4", "f16", "seed-b32", "seed-b44",
        "f32", "seed4-b51", "packed128-b16"};
    struct rbe_profile *p;
    struct rbe_diag d = {""};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!CHECK(rbe_profile_open(&p, names[i], &d) == RBE_OK)) {
            printf("%s\n", d.text);
            continue;
        }
        CHECK(!strcmp(rbe_profile_name(p), names[i]) && rbe_profile_about(p)[0]);
        for (int c = 0; c < RBE_CLASS_COUNT; c++) {
            const struct rbe_settings choice = rbe_profile_settings(p, (enum rbe_class)c, 5);
            struct rbe_encode_options o;
            bool met;
            CHECK(rbe_settings_resolve(&choice, 3072, 768, &o, &met, &d) == RBE_OK);
        }
        rbe_profile_close(&p);
    }
    CHECK(rbe_profile_open(&p, "phase9", &d) == RBE_ERR_ARG && !p);
    CHECK(strstr(d.text, "hybrid-architecture, int4, int8, mini-2.25, mini-2.25-train"));
    CHECK(rbe_profile_open(&p, "seed-bx", &d) == RBE_ERR_ARG);
    CHECK(rbe_profile_open(&p, "int4-b32", &d) == RBE_ERR_ARG);
    CHECK(strstr(d.text, "int4 takes no block"));
    CHECK(rbe_profile_open(&p, "/nonexistent/x.profile", &d) == RBE_ERR_IO);
    /* Not another model of the same name where the folder is lost. */
    setenv("RBE_PROFILES", "/nonexistent", 1);
    CHECK(rbe_profile_open(&p, "seed-b44", &d) == RBE_ERR_IO && strstr(d.text, "RBE_PROFILES"));
    CHECK(rbe_profile_open(&p, "mini-2.89", &d) == RBE_ERR_IO &&
          strstr(d.text, "RBE_PROFILES"));
    CHECK(!rbe_profile_open(&p, "int8", &d));
    rbe_profile_close(&p);
    unsetenv("RBE_PROFILES");
}

static void rates(void)
{
    struct rbe_settings c = {.format = RBE_SEED, .bits = 3.2, .k = -1};
    struct rbe_encode_options o;
    struct rbe_diag d = {""};
    bool met;

    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_OK && met);
    const double bits = 8.0 * (double)rbe_encode_bytes(3072, 768, &o) / (3072 * 768);
    CHECK(bits <= 3.2 && bits > 3.1);
    c.bits = 0.001;
    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_OK && !met);
    c.bits = 0;
    CHECK(rbe_settings_are_open(&c));
    c = (struct rbe_settings){.format = RBE_HYBRID, .bits = 32.0 / 300, .k = -1, .block = 64};
    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_OK && met);
    /* 54 bytes a block: 16 and K values of 2 bytes with 12-bit indices. */
    CHECK(o.aux == 10 && rbe_hybrid_bytes(64, 10) <= 54 && rbe_hybrid_bytes(64, 11) > 54);
    c.block = 16;
    c.bits = 32.0 / 1200;
    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_OK && !met && o.aux == 0);
    c.block = 48;
    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_ERR_ARG);
    c = (struct rbe_settings){.format = RBE_PACKED128, .bits = 32.0 / 64, .k = -1};
    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_OK && met);
    CHECK(o.block == 20);           /* 24 bytes: B^2 / 6 to 1; cropping 768 / 20 costs */
    c = (struct rbe_settings){.format = RBE_SEED, .block = 44, .hadamard = RBE_HADAMARD_MAX,
                            .k = -1};
    CHECK(rbe_settings_resolve(&c, 3072, 768, &o, &met, &d) == RBE_OK && o.hadamard == 256);
    CHECK(rbe_settings_resolve(&c, 768, 3072, &o, &met, &d) == RBE_OK && o.hadamard == 1024);
    c.block = 5;
    CHECK(rbe_settings_resolve(&c, 768, 3072, &o, &met, &d) == RBE_ERR_ARG);
    c = (struct rbe_settings){.format = RBE_INT4, .bits = 3, .k = -1};
    CHECK(rbe_settings_resolve(&c, 768, 3072, &o, &met, &d) == RBE_ERR_ARG);
    c = (struct rbe_settings){.format = RBE_SEED, .block = 44, .k = 3};
    CHECK(rbe_settings_resolve(&c, 768, 3072, &o, &met, &d) == RBE_ERR_ARG);
}

int main(void)
{
    rules();
    defaults();
    beyond();
    faults();
    shipped();
    rates();
    return check_done();
}
