/*
 * said.c - what is reported of all the turns of a conversation.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/said.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/criteria.h"
#include "base/rows.h"
#include "base/stats.h"

/* Seconds of this model's turns until so many tokens were made, load included; NaN when there
 * were fewer. */
static double seconds_to(const struct rbe_said *s, int turns, double load_s, unsigned tokens)
{
    double ms = 0;
    unsigned made = 0;

    for (int i = 0; i < turns; i++)
        for (uint32_t j = 0; j < s[i].turn.tokens; j++) {
            ms += j ? s[i].turn.token_ms[j - 1] : s[i].turn.first_ms;
            if (++made == tokens)
                return load_s + ms / 1e3;
        }
    return NAN;
}

json_t *rbe_said_summary(const struct rbe_said *s, int turns, double load_s)
{
    size_t n = 0, all = 0;
    double first_max = 0, p95_max = 0, resident_max = 0, busy = 0, coherence = 0, quality = 0;
    int within = 0, dropped = 0;

    for (int i = 0; i < turns; i++)
        all += s[i].turn.tokens;
    double *ms = calloc(all + 1, sizeof *ms), *one = calloc(all + 1, sizeof *one);
    if (!ms || !one) {
        free(ms);
        free(one);
        return NULL;
    }
    for (int i = 0; i < turns; i++) {
        const struct rbe_turn *t = &s[i].turn;
        const size_t m = t->tokens ? t->tokens - 1 : 0;
        memcpy(one, t->token_ms, m * sizeof *one);
        memcpy(ms + n, t->token_ms, m * sizeof *ms);
        n += m;
        rbe_sort(one, m);
        /* A turn too short for a p95 is held to its largest. */
        double p95 = rbe_percentile_if_enough(one, m, 0.95);
        if (isnan(p95))
            p95 = m ? one[m - 1] : 0;
        first_max = fmax(first_max, t->first_ms);
        p95_max = fmax(p95_max, p95);
        resident_max = fmax(resident_max, (double)s[i].usage.resident_bytes);
        within += RBE_MEETS(C5_FIRST, t->first_ms) && RBE_MEETS(C5, p95);
        dropped += (int)t->dropped;
        busy += s[i].share.foreign;
        coherence += s[i].coherence;
        quality += log(s[i].quality);
    }
    rbe_sort(ms, n);
    struct rbe_lookup_counts run = {0};
    for (int i = 0; i < turns; i++) {
        run.tokens += s[i].turn.run.tokens;
        run.guessed += s[i].turn.run.guessed;
        run.right += s[i].turn.run.right;
        run.spent += s[i].turn.run.spent;
    }
    json_t *o = RBE_OBJECT(
        RBE_INT(turns, turns), RBE_INT(tokens, all), RBE_REAL(first_token_ms_max, first_max),
        RBE_REAL(p95_ms_max, p95_max), RBE_REAL(p50_ms, rbe_quantile(ms, n, 0.5)),
        RBE_REAL(p95_ms, rbe_percentile_if_enough(ms, n, 0.95)),
        RBE_REAL(p99_ms, rbe_percentile_if_enough(ms, n, 0.99)), RBE_INT(turns_within, within),
        RBE_INT(dropped_turns, dropped),
        RBE_REAL(hundred_tokens_s,
                 seconds_to(s, turns, load_s, (unsigned)RBE_LIMIT(C4_TOKENS))),
        RBE_REAL(coherence, coherence / turns), RBE_REAL(quality, exp(quality / turns)),
        RBE_REAL(foreign_cpu, busy / turns), RBE_INT(resident_bytes_max, resident_max));
    if (run.guessed)
        RBE_SET(o, RBE_INT(guessed, run.guessed), RBE_INT(guessed_right, run.right),
                RBE_REAL(lookup_gain, (double)run.tokens / run.spent));
    free(ms);
    free(one);
    return o;
}
