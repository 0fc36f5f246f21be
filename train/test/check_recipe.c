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

int main(void)
{
    check_read("\n");
    check_read("");
    check_read("\n\n# the end");
    return check_done();
}
