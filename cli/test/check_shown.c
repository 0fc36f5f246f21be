/*
 * check_shown.c - what tables for people show.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "cli/options.h"
#include "kernels/test/check.h"

/* Tables show what was not measured as such. */
static void check_shown(void)
{
    json_t *pair = json_pack("[f, f]", 1.25, 2.5), *none = json_pack("[n, n]");
    json_t *r = json_pack("{s:{s:s, s:s}, s:{s:s, s:n}}", "model", "name", "m", "label",
                          "synthetic GPT-2", "base", "name", "b", "label");

    CHECK(!strcmp(rbe_show("%7.3f", 1.5).text, "  1.500"));
    CHECK(!strcmp(rbe_show("%+7.3f", NAN).text, "      -"));
    CHECK(!strcmp(rbe_show("%.2f", INFINITY).text, "-"));
    CHECK(!strcmp(rbe_show_interval("%.2f", pair).text, "[1.25, 2.50]"));
    CHECK(!strcmp(rbe_show_interval("%.2f", none).text, "[-]"));
    CHECK(!strcmp(rbe_show_interval("%.2f", NULL).text, "[-]"));
    CHECK(!strcmp(rbe_show_model(r, "model").text, "m (synthetic)"));
    CHECK(!strcmp(rbe_show_model(r, "base").text, "b"));
    /* Names come from files and models; what they hold changes nothing on a terminal. */
    CHECK(!strcmp(rbe_show_text("a\x1b[2J\n\x7f\xC2\x9B\xC2\xA0\xC3\xA9", 60).text,
                  "a?[2J?\?\?\xC2\xA0\xC3\xA9"));
    CHECK(!strcmp(rbe_show_text("ab\xC3\xA9", 3).text, "ab"));
    json_object_set_new(json_object_get(r, "model"), "name", json_string("m\x1b[1m"));
    CHECK(!strcmp(rbe_show_model(r, "model").text, "m?[1m (synthetic)"));
    json_decref(pair);
    json_decref(none);
    json_decref(r);
}

int main(void)
{
    check_shown();
    return check_done();
}
