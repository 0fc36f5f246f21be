/*
 * eval_perplexity.c - `rbe eval perplexity`: models, texts and protocols in one command.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/rows.h"
#include "cli/arguments.h"
#include "eval/measure.h"
#include "model/data.h"

/* Over the rows of a text and protocol; r is the first of them. */
static void print_heading(const json_t *r, const struct rbe_perplexity_plan *p)
{
    const double done = RBE_NUMBER_AT(r, windows), all = RBE_NUMBER_AT(r, windows_total);

    printf("%s  %s (%s)  context %u, stride %u  %zu tokens, %.0f scored  %.0f of %.0f "
           "windows%s\n", p->text->name, rbe_protocol_name(p->windows->protocol),
           rbe_protocol_alias(p->windows->protocol), p->windows->context, p->windows->stride,
           p->windows->text_tokens, RBE_NUMBER_AT(r, scored), done, all,
           done < all ? " (partial)" : "");
    printf("  %-24s %9s  %-20s %8s %8s %9s %8s %8s\n", "model", "ppl", "95 % interval",
           "nll", "+-", "word ppl", "bits/B", "s");
}

static void print_model(const json_t *r)
{
    printf("  %-24s %s  %-20s %s %s %s %s %s\n", rbe_show_model(r, "model").text,
           rbe_show("%9.3f", RBE_NUMBER_AT(r, perplexity)).text,
           rbe_show_interval("%.3f", RBE_VALUE_AT(r, perplexity_ci95)).text,
           rbe_show("%8.4f", RBE_NUMBER_AT(r, nll_mean)).text,
           rbe_show("%8.4f", RBE_NUMBER_AT(r, nll_se)).text,
           rbe_show("%9.2f", RBE_NUMBER_AT(r, word_perplexity)).text,
           rbe_show("%8.4f", RBE_NUMBER_AT(r, bits_per_byte)).text,
           rbe_show("%8.1f", RBE_NUMBER_AT(r, seconds)).text);
}

static void print_pair(const json_t *pair)
{
    printf("  %-24s %s %% %s %% against %s, %s times its time\n", "",
           rbe_show("%+8.3f", RBE_NUMBER_AT(pair, percent_change)).text,
           rbe_show_interval("%+.3f", RBE_VALUE_AT(pair, percent_change_ci95)).text,
           rbe_show_model(pair, "base").text,
           rbe_show("%.2f", RBE_NUMBER_AT(pair, time_ratio)).text);
}

struct shown {
    const struct rbe_perplexity_plan *p;
    bool heading;               /* stands already */
};

static void print_row(const json_t *r, void *arg)
{
    struct shown *s = arg;

    if (!s->heading)
        print_heading(r, s->p);
    s->heading = true;
    (RBE_VALUE_AT(r, percent_change) ? print_pair : print_model)(r);
}

static enum rbe_status measure(struct rbe_eval_options *o, struct rbe_runner *runners,
                               const struct rbe_text *text, const struct rbe_windows *w,
                               void *arg, struct rbe_diag *d)
{
    const struct rbe_eval_perplexity_args *a = arg;
    const struct rbe_perplexity_plan p = {.text = text, .windows = w,
                                          .checkpoint_s = a->checkpoint,
                                          .resamples = (unsigned)a->resamples};
    struct shown shown = {.p = &p};
    const struct rbe_evaluation e = rbe_eval_given(o, runners, print_row, &shown);

    return rbe_measure_perplexity(&e, &p, d);
}

/* "P1,P3", "all" or one name into a list ended by RBE_PROTOCOL_COUNT. */
static enum rbe_status parse_protocols(const char *s, enum rbe_protocol *out,
                                       struct rbe_diag *d)
{
    char name[32];
    int n = 0;
    enum rbe_status err = RBE_OK;

    if (!strcmp(s, "all"))
        s = "P1,P2,P3,P4";
    while (!err && *s && n < RBE_PROTOCOL_COUNT) {
        const size_t len = strcspn(s, ",");
        snprintf(name, sizeof name, "%.*s", (int)len, s);
        err = rbe_protocol_parse(&out[n++], name, d);
        s += len + (s[len] == ',');
    }
    if (!err && (*s || !n))
        err = rbe_fail(d, RBE_ERR_ARG, "--protocol: wants one to four names");
    out[n] = RBE_PROTOCOL_COUNT;
    return err;
}

enum rbe_status rbe_eval_perplexity(struct rbe_eval_perplexity_args *a, struct rbe_diag *d)
{
    enum rbe_protocol list[RBE_PROTOCOL_COUNT + 1];
    enum rbe_status err;

    if ((err = parse_protocols(a->protocol, list, d)))
        return err;
    if (!(err = rbe_eval_begin(&a->o, true, d)))
        err = rbe_eval_each_text(&a->o, 1, list, (uint32_t)a->context, measure, a, d);
    rbe_eval_end(&a->o);
    return err;
}
