/*
 * sequences.c - what the times of whole sequences say.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/sequences.h"

#include <math.h>
#include <stdlib.h>

#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"

/* Arrays by sequence: of numbers, and `decode_ms` of arrays. */
static const char *const columns[] = {
    RBE_KEY(prefill_ms),  RBE_KEY(first_token_ms), RBE_KEY(first_token),     RBE_KEY(wall_s),
    RBE_KEY(foreign_cpu), RBE_KEY(steal),          RBE_KEY(cpu_utilisation), RBE_KEY(tainted)};
enum { PREFILL, FIRST, TOKEN, WALL, FOREIGN, STEAL, CPUS, TAINTED, COLUMNS };

json_t *rbe_sequences_samples(void)
{
    json_t *s = json_object();
    int bad = RBE_SET(s, RBE_JSON(decode_ms, json_array()));

    for (int i = 0; i < COLUMNS; i++)
        bad |= json_object_set_new(s, columns[i], json_array());
    if (bad) {
        json_decref(s);
        return NULL;
    }
    return s;
}

int rbe_sequences_add(json_t *samples, double prefill_ms, double first_ms, uint32_t token,
                      const struct rbe_times *decode)
{
    const double w = decode->weight > 0 ? decode->weight : NAN;
    json_t *ms = json_array();
    json_t *const value[COLUMNS] = {
        [PREFILL] = rbe_result_real(prefill_ms), [FIRST] = rbe_result_real(first_ms),
        [TOKEN] = json_integer(token), [WALL] = rbe_result_real(decode->weight),
        [FOREIGN] = rbe_result_real(decode->foreign / w),
        [STEAL] = rbe_result_real(decode->steal / w),
        [CPUS] = rbe_result_real(decode->cpus / w), [TAINTED] = json_integer(decode->tainted)};
    int bad = 0;

    for (size_t i = 0; i < decode->count; i++)
        bad |= json_array_append_new(ms, rbe_result_real(decode->ms[i]));
    bad |= json_array_append_new(RBE_VALUE_AT(samples, decode_ms), ms);
    for (int i = 0; i < COLUMNS; i++)
        bad |= json_array_append_new(json_object_get(samples, columns[i]), value[i]);
    return bad;
}

static double number_at(const json_t *samples, int column, size_t i)
{
    const json_t *x = json_array_get(json_object_get(samples, columns[column]), i);

    return json_is_number(x) ? json_number_value(x) : NAN;
}

/* All sequences' decoded tokens, in order, with what else the machine did. */
static enum rbe_status gather(struct rbe_times *all, const json_t *samples, size_t n)
{
    const json_t *lists = RBE_VALUE_AT(samples, decode_ms), *list, *x;
    size_t i, k, count = 0;

    json_array_foreach(lists, i, list)
        count += json_array_size(list);
    if (!(all->ms = malloc((count + 1) * sizeof *all->ms)))
        return RBE_ERR_NOMEM;
    json_array_foreach(lists, i, list)
        json_array_foreach(list, k, x)
            all->ms[all->count++] = json_number_value(x);
    for (i = 0; i < n; i++) {
        const double w = number_at(samples, WALL, i);
        all->weight += w;
        all->foreign += w * number_at(samples, FOREIGN, i);
        all->steal += w * number_at(samples, STEAL, i);
        all->cpus += w * number_at(samples, CPUS, i);
        all->tainted += (unsigned)json_integer_value(
            json_array_get(json_object_get(samples, columns[TAINTED]), i));
    }
    return RBE_OK;
}

/* Means of the prefill and of the first token, and all time over all tokens. */
static int set_means(json_t *record, const json_t *samples, size_t n,
                     const struct rbe_times *all, double *column)
{
    const double prompt = RBE_NUMBER_AT(record, prompt_tokens);
    const double length = RBE_NUMBER_AT(record, length);
    double total = 0;
    int bad;

    for (size_t i = 0; i < n; i++)
        column[i] = number_at(samples, FIRST, i);
    bad = RBE_SET(record, RBE_REAL(first_token_ms, rbe_mean_se(column, n).value));
    for (size_t i = 0; i < n; i++)
        total += column[i] = number_at(samples, PREFILL, i);
    const struct rbe_ratio prefill = rbe_mean_se(column, n);
    for (size_t i = 0; i < all->count; i++)
        total += all->ms[i];
    bad |= RBE_SET(record, RBE_REAL(ms_per_token, total / ((double)n * length)));
    bad |= RBE_SET(
        record,
        RBE_JSON(prefill,
                 RBE_OBJECT(RBE_SHARED(tokens, (RBE_VALUE_AT(record, prompt_tokens))),
                            RBE_REAL(mean_ms, prefill.value), RBE_REAL(mean_ms_se, prefill.se),
                            RBE_REAL(tokens_per_s, 1e3 * prompt / prefill.value))));
    return bad;
}

enum rbe_status rbe_sequences_summarise(json_t *record, struct rbe_diag *d)
{
    const json_t *samples = RBE_VALUE_AT(record, samples);
    const size_t n = json_array_size(RBE_VALUE_AT(samples, decode_ms));
    struct rbe_times all = {0};
    double *column = calloc(n + 1, sizeof *column);
    enum rbe_status err = column ? RBE_OK : RBE_ERR_NOMEM;

    for (int i = 0; i < COLUMNS && !err; i++)
        if (!n || json_array_size(json_object_get(samples, columns[i])) != n)
            err = rbe_fail(d, RBE_ERR_FORMAT, "an inference record without its samples");
    if (err || (err = gather(&all, samples, n)))
        goto out;
    json_t *validity = rbe_times_validity(&all);
    int bad = set_means(record, samples, n, &all, column);
    bad |= RBE_SET(record, RBE_INT(sequences, n),
                   RBE_FLAG(complete, (double)n == RBE_NUMBER_AT(record, sequences_total)),
                   RBE_JSON(decode, json_pack("[o]", rbe_times_json(&all))),
                   RBE_REAL(decode_median_ms, rbe_times_median(&all)),
                   RBE_SHARED(cpu_utilisation, RBE_VALUE_AT(validity, cpu_utilisation)),
                   RBE_JSON(validity, validity));
    if (bad)
        err = RBE_ERR_NOMEM;
out:
    rbe_times_free(&all);
    free(column);
    return err;
}
