/*
 * fuzz_profile.c - any text as a profile, asked about every tensor.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "convert/profile.h"

bool rbe_fuzz_profile(const uint8_t *data, size_t size)
{
    static const uint32_t shapes[][2] = {{48, 16}, {3, 7}};
    char *text = malloc(size + 1);
    struct rbe_profile *p;
    struct rbe_diag d = {""};

    if (size)
        memcpy(text, data, size);
    text[size] = 0;
    const bool taken = rbe_fuzz_said(rbe_profile_parse(&p, text, "input", &d), &d);
    free(text);
    if (!taken)
        return false;
    FUZZ_NEED(rbe_profile_name(p) != NULL && rbe_profile_metric(p) < RBE_METRIC_COUNT);
    rbe_profile_about(p);
    FUZZ_NEED(rbe_profile_budget_bits(p) >= 0);
    for (int c = 0; c < RBE_CLASS_COUNT; c++)
        for (int layer = -1; layer < 2; layer++) {
            const struct rbe_settings s = rbe_profile_settings(p, (enum rbe_class)c, layer);
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                struct rbe_encode_options o;
                bool met;
                rbe_fuzz_said(rbe_settings_resolve(&s, shapes[i][0], shapes[i][1], &o, &met,
                                                   &d), &d);
            }
        }
    rbe_profile_close(&p);
    return true;
}
