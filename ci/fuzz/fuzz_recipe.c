/*
 * fuzz_recipe.c - any text as a recipe.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "train/recipe.h"

bool rbe_fuzz_recipe(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct rbe_recipe r;
    struct rbe_diag d = {""};

    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    const bool taken = rbe_fuzz_said(rbe_recipe_parse(&r, text, "input", &d), &d);
    free(text);
    if (!taken)
        return false;
    FUZZ_NEED(r.count > 0 && r.count <= RBE_RECIPE_STAGES && r.batch > 0);
    FUZZ_NEED(r.epochs > 0 && isfinite(r.epochs) && r.schedule < RBE_SCHEDULE_COUNT);
    for (size_t i = 0; i < r.count; i++)
        FUZZ_NEED(rbe_recipe_steps(&r, i, 1000) > 0 && rbe_recipe_steps(&r, i, 1) > 0);
    rbe_recipe_has_latents(&r);
    rbe_recipe_averages(&r);
    rbe_recipe_close(&r);
    return true;
}
