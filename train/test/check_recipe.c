/*
 * check_recipe.c - what a recipe says is what is read, to its last line.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/test/check.h"
#include "train/recipe.h"

#include <string.h>

static void check_read(const char *end)
{
    char text[400];
    struct rbe_recipe r;
    struct rbe_diag d = {""};

    snprintf(text, sizeof text,
             "# a comment\nname: two\n\nloss: ce\nschedule: linear\nfloor: 0.2\nclip: 0.5\n"
             "batch: 1024\nstage first epochs=5 matrices=latent encode-every=7 latents=1e-3 "
             "share=0.5\n"
             "stage last epochs=3 scales=2e-3 plain=3e-3 decay=0.125 text=2 average=0.5%s",
             end);
    if (!CHECK(!rbe_recipe_parse(&r, text, "t", &d))) {
        printf("     %s\n", d.text);
        return;
    }
    CHECK(!strcmp(r.name, "two") && !strcmp(r.loss, "ce") &&
          r.schedule == RBE_SCHEDULE_LINEAR);
    CHECK(r.floor == 0.2 && r.clip == 0.5 && r.batch == 1024 && r.warmup == 0.05);
    CHECK(r.count == 2);
    CHECK(!strcmp(r.stages[0].name, "first") && r.stages[0].epochs == 5 &&
          r.stages[0].matrices == RBE_MATRICES_LATENT && r.stages[0].encode_every == 7 &&
          r.stages[0].latents == 1e-3 && r.stages[0].share == 0.5);
    if (r.count == 2)
        CHECK(!strcmp(r.stages[1].name, "last") && r.stages[1].epochs == 3 &&
              r.stages[1].scales == 2e-3 && r.stages[1].plain == 3e-3 &&
              r.stages[1].decay == 0.125 && r.stages[1].text == 2 &&
              r.stages[1].average == 0.5 &&
              r.stages[1].matrices == RBE_MATRICES_CODED);
    rbe_recipe_close(&r);
}

/* What is no recipe, with the line that says why. */
static void check_faults(void)
{
    static const char *const cases[][2] = {
        {"", "t: not one stage"},
        {"oops\n", "t:1: neither a stage nor"},
        {"colour: red\nstage a epochs=1", "t:1: 'colour' is no header"},
        {"batch: 0\nstage a epochs=1", "t:1: 'batch' is no header, or '0' no value"},
        {"batch: 10.5\nstage a epochs=1", "'10.5' no value"},
        {"batch: 512\n\nbatch: 512\nstage a epochs=1", "t:3: 'batch:' is given twice"},
        {"loss: kl\nstage a epochs=1\nloss: ce", "t:3: 'loss:' is given twice"},
        {"stage\tepochs=1", "t:1: a stage needs a name"},
        {"stage a epochs=1 colour=red", "t:1: 'colour' is no key, or 'red' no value"},
        {"stage a scales=1", "t:1: stage 'a' has no epochs"},
        {"stage a epochs=1\nstage b epochs=1 scales=1 epochs=2",
         "t:2: 'epochs' is given twice"},
        {"stage a matrices=latent epochs=1 matrices=latent", "t:1: 'matrices' is given twice"},
        {"stage a epochs=1 share=0.5", "share is for"}};
    struct rbe_recipe r;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rbe_diag d = {""};
        CHECK(rbe_recipe_parse(&r, cases[i][0], "t", &d) == RBE_ERR_ARG && !r.text);
        if (!CHECK(strstr(d.text, cases[i][1]) && !strchr(d.text, '\n')))
            printf("'%s' instead of '%s'\n", d.text, cases[i][1]);
    }
    /* The same keys in several stages are none too many. */
    CHECK(!rbe_recipe_parse(&r, "stage a epochs=1\nstage b epochs=1", "t", NULL));
    rbe_recipe_close(&r);
}

int main(void)
{
    check_faults();
    check_read("\n");
    check_read("");
    check_read("\n\n# the end");
    return check_done();
}
