/*
 * fields.c - the types of what result rows hold.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reports/results.h"

#define SCHEMA "rbe-result-1"

/*
 * What rows hold: a letter for the type, a blank, and where it stands: names with dots between,
 * "[]" behind a list and "{}" behind an object for each of what is in it.
 *   t text   b true or false   o object   l list   i two numbers   n number
 *   + number above 0   0 number of 0 or more   % number of 0 to 1
 * Behind a '?' it may be missing or null; all else a row must have.
 */
static const char *const of_every_kind[] = {
    "?t time_utc", "?t command", "?t commit", "?b dirty", "?o machine", "?t machine.cpu",
    "?t machine.arch", "?t machine.kernel", "?t machine.emulator", "?0 machine.threads",
    "?0 machine.cores", "?+ machine.cpu_quota", "?b machine.oversubscribed",
    "?0 machine.memory_bytes", "?o text", "?t text.name", "?t text.sha256", "?t protocol",
    "?t special", "?t task", "?t mode", "?t group", "?b complete", "?+ windows",
    "?0 first_window", "?0 items", "?+ context", NULL};

/* Of a model, wherever it is named. */
static const char *const of_every_model[] = {
    "?t name", "?t path", "?t sha256", "?t label", "?b rbe", "?+ bytes", "?+ parameters",
    "?+ bits_per_weight", NULL};
static const char *const models[] = {"model", "base", "before", "scorer"};

static const char *const of_benchmarks[] = {
    "l benchmarks", "t benchmarks[].run_name", "?t benchmarks[].label",
    "?t benchmarks[].time_unit", "?t benchmarks[].aggregate_name", "?0 benchmarks[].real_time",
    "?0 benchmarks[].repetitions", "?0 benchmarks[].bytes_per_second",
    "?0 benchmarks[].items_per_second", "?0 benchmarks[].read_roof", "?0 benchmarks[].block",
    "?0 benchmarks[].threads_pinned", NULL};

static const struct {
    const char *kind, *field[32];
} kinds[] = {
    {"perplexity", {"t model.name", "t protocol", "+ perplexity", "+ scored", "?+ stride",
                    "?n nll_sum", "?0 nll_se", "?+ word_perplexity", "?0 bits_per_byte",
                    "?t protocol_name", "?0 tokens_per_s"}},
    {"paired", {"t model.name", "t base.name", "t protocol", "n percent_change", "+ perplexity",
                "+ base_perplexity", "+ windows", "+ scored", "+ context",
                "?i percent_change_ci95", "?+ time_ratio"}},
    {"divergence", {"t model.name", "t base.name", "n kl.mean", "% top1.agreement",
                    "?% top1.agreement_se", "?0 kl.mean_se", "?n kl.p50", "?n kl.p90",
                    "?n kl.p99", "?n kl.p999", "?n true_token.mean", "?0 true_token.mean_se",
                    "?0 true_token.rms", "?0 true_token.rms_se", "?0 tokens"}},
    {"inference", {"t model.name", "t mode", "+ machine.threads", "?+ decode_median_ms",
                   "?+ speedup", "?i speedup_ci95", "?+ peak_bytes", "?+ model_bytes",
                   "?0 prompt_tokens", "?o hundred", "?0 hundred.tokens", "?0 hundred.wall_s",
                   "?0 hundred.load_s", "?l decode", "?0 decode[].depth", "?0 decode[].tokens",
                   "?+ decode[].median_ms", "?0 decode[].mad_ms", "?+ decode[].p95_ms",
                   "?+ decode[].p99_ms", "?0 prefill.tokens_per_s", "?+ first_token_ms",
                   "?0 gb_per_s", "?0 cpu_utilisation", "?0 validity.repeats"}},
    {"conversation", {"t model.name", "l turns", "o summary", "?0 turns[].first_token_ms",
                      "?0 turns[].p95_ms", "?0 turns[].p50_ms", "?0 turns[].p99_ms",
                      "?t turns[].prompt", "?0 turns[].tokens", "?0 turns[].context_tokens",
                      "?l turns[].token_ms", "?0 summary.first_token_ms_max",
                      "?0 summary.p95_ms_max", "?0 summary.hundred_tokens_s"}},
    {"generation", {"t model.name", "t base.name", "o fluency", "o coherence", "o relevance",
                    "?n fluency.retained", "?n coherence.retained", "?n relevance.retained",
                    "?i fluency.retained_ci95", "?i coherence.retained_ci95",
                    "?i relevance.retained_ci95", "+ prompts", "+ tokens", "+ candidates",
                    "?l samples"}},
    {"comprehension", {"t model.name", "t task", "o metrics", "n metrics{}.value",
                       "?0 metrics{}.se", "?n paired{}.change", "?0 paired{}.change_se",
                       "?0 items_refused", "?t first_refused", "?0 items_cut"}},
    {"edge", {"t model.name", "+ limit_bytes", "0 tokens", "b passed", "?t reason",
              "+ threads", "+ batch", "?0 peak_bytes", "?0 peak_virtual_bytes",
              "?0 median_ms"}},
    {"convert", {"t model.name", "t profile", "l tensors", "t tensors[].name",
                 "?t tensors[].codec", "?0 tensors[].bytes", "?+ tensors[].ratio",
                 "?+ tensors[].bits_per_weight", "?0 tensors[].relative_rmse",
                 "?0 tensors[].bound", "?l tensors[].shape", "?0 seconds", "?+ low_rank_bytes",
                 "?+ totals.compressed_parameters", "?t totals.compressed_definition"}},
    {"contents", {"t model.name", "l tensors", "t tensors[].name", "?t tensors[].codec",
                  "?0 tensors[].bytes", "?+ tensors[].bits_per_weight",
                  "?+ totals.compressed_parameters", "?t totals.compressed_definition"}},
    {"recovery", {"t model.name", "l points", "0 points[].tokens", "?+ points[].perplexity",
                  "?t profile", "?t loss", "?b control", "?+ base_perplexity", "?0 tokens",
                  "?l stages", "?t stages[].name", "?n stages[].end_tokens"}},
    {"codecs", {"t source.name", "l rows", "t rows[].codec", "?+ rows[].asked",
                "?+ rows[].ratio", "?0 rows[].bits_per_weight", "?0 rows[].relative_rmse",
                "?b rows[].met"}},
    {"distortion", {"l rows", "t rows[].codec", "n rows[].loss_db", "?n rows[].wanted_db",
                    "?+ rows[].bits_per_weight", "?0 rows[].relative_rmse", "?t rows[].search",
                    "?0 rows[].block"}},
    {"step", {"t step", "b ok", "?t reason", "?l criteria"}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* What x should be and is not, or NULL. */
static const char *wrong_type(const json_t *x, char type)
{
    const double v = json_is_number(x) ? json_number_value(x) : NAN;

    switch (type) {
    case 't': return json_is_string(x) ? NULL : "no text";
    case 'b': return json_is_boolean(x) ? NULL : "neither true nor false";
    case 'o': return json_is_object(x) ? NULL : "no object";
    case 'l': return json_is_array(x) ? NULL : "no list";
    case 'i':
        if (json_array_size(x) == 2 && json_is_null(json_array_get(x, 0)) &&
            json_is_null(json_array_get(x, 1)))
            return NULL;        /* one window has no interval */
        return json_array_size(x) == 2 && json_is_number(json_array_get(x, 0)) &&
               json_is_number(json_array_get(x, 1)) ? NULL : "no pair of numbers";
    case 'n': return isfinite(v) ? NULL : "no number";
    case '+': return isfinite(v) && v > 0 ? NULL : "no number above 0";
    case '0': return isfinite(v) && v >= 0 ? NULL : "no number of 0 or more";
    case '%': return v >= 0 && v <= 1 ? NULL : "no number of 0 to 1";
    }
    return "of no known type";
}

/* What is wrong at the path, or NULL; missing or null: "" unless it may be. */
static const char *wrong_at(const json_t *v, const char *path, char type, bool may_lack)
{
    const char *each = strpbrk(path, "[{"), *wrong = NULL, *key;
    char part[64];
    size_t i;
    json_t *x;

    if (!each) {
        x = rbe_value_at(v, path);
        return x && !json_is_null(x) ? wrong_type(x, type) : may_lack ? NULL : "";
    }
    snprintf(part, sizeof part, "%.*s", (int)(each - path), path);
    json_t *all = rbe_value_at(v, part);
    if (*each == '[')
        json_array_foreach(all, i, x)
            if (!wrong)
                wrong = json_is_object(x) ? wrong_at(x, each + 3, type, may_lack) : "no object";
    if (*each == '{')
        json_object_foreach(all, key, x)
            if (!wrong)
                wrong = json_is_object(x) ? wrong_at(x, each + 3, type, may_lack) : "no object";
    return wrong;
}

/* `within` stands before each path: "model.", or nothing; `what` is a kind of row. */
static enum rbe_status check_fields(const json_t *v, const char *within,
                                    const char *const *field, const char *what,
                                    const char *file, size_t line, struct rbe_diag *d)
{
    for (; *field; field++) {
        const bool may_lack = **field == '?';
        const char *type = *field + may_lack;
        char path[64];
        snprintf(path, sizeof path, "%s%s", within, type + 2);
        const char *wrong = wrong_at(v, path, *type, may_lack);
        if (wrong && !*wrong)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: %s row without \"%s\"", file, line,
                            what, path);
        if (wrong)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: %s row: \"%s\" is %s", file, line,
                            what, path, wrong);
    }
    return RBE_OK;
}

enum rbe_status rbe_check_row(const json_t *v, const char *file, size_t line,
                              struct rbe_diag *d)
{
    const char *schema = rbe_string_at(v, "schema"), *kind = rbe_string_at(v, "kind");
    enum rbe_status err;

    if (!schema)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: no result row: it has no \"schema\"", file,
                        line);
    if (strcmp(schema, SCHEMA))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: schema '%.40s', but this reads " SCHEMA,
                        file, line, schema);
    if (!kind)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: the row has no \"kind\"", file, line);
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].kind, kind))
            continue;
        if ((err = check_fields(v, "", of_every_kind, kind, file, line, d)) ||
            (err = check_fields(v, "", kinds[i].field, kind, file, line, d)))
            return err;
        for (size_t k = 0; k < sizeof models / sizeof *models; k++) {
            const json_t *m = rbe_value_at(v, models[k]);
            char within[16];
            if (m && !json_is_null(m) && !json_is_object(m))
                return rbe_fail(d, RBE_ERR_FORMAT, "%s:%zu: %s row: \"%s\" is no object", file,
                                line, kind, models[k]);
            snprintf(within, sizeof within, "%s.", models[k]);
            if ((err = check_fields(v, within, of_every_model, kind, file, line, d)))
                return err;
        }
    }
    return RBE_OK;
}

enum rbe_status rbe_check_benchmarks(const json_t *v, const char *file, struct rbe_diag *d)
{
    return check_fields(v, "", of_benchmarks, "benchmark", file, 1, d);
}

bool rbe_known_kind(const char *kind)
{
    for (size_t i = 0; i < KINDS; i++)
        if (!strcmp(kinds[i].kind, kind))
            return true;
    return false;
}
