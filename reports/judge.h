/*
 * judge.h - what the judges of the criteria share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_REPORTS_JUDGE_H
#define RBE_REPORTS_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/criteria.h"
#include "base/rows.h"
#include "reports/criteria.h"

/* What a criterion is judged on: indices of models, -1 for none. */
struct rbe_pair {
    const struct rbe_results *r;
    int base, model;
};

/* Fills c, whose limit is set, and its target where the list has one. */
typedef void rbe_judge_fn(struct rbe_criterion *c, const struct rbe_pair *p);

/* judge_size.c: memory and parameters. */
rbe_judge_fn rbe_judge_file, rbe_judge_peak, rbe_judge_edge, rbe_judge_parameters;
/* judge_speed.c: times. */
rbe_judge_fn rbe_judge_time, rbe_judge_speedup, rbe_judge_hundred, rbe_judge_conversation;
rbe_judge_fn rbe_judge_device;
/* judge_quality.c: what of the original's predictions is left. */
rbe_judge_fn rbe_judge_change, rbe_judge_perplexity, rbe_judge_generation, rbe_judge_arm;
rbe_judge_fn rbe_judge_schedule;

void rbe_say(char *out, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
#define SAY(field, ...) rbe_say((field), sizeof(field), __VA_ARGS__)
/* One number into a text, by a format of our own tables; no text for NAN. */
void rbe_say_number(char out[RBE_CRITERION_TEXT], const char *format, double x);
/* " (LOW to HIGH)" of the pair at this path, or nothing. */
void rbe_say_interval(char *out, size_t size, const json_t *v, const char *path,
                      const char *format);
/* The reason stands where "how" would. */
void rbe_not_measured(struct rbe_criterion *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void rbe_cite(struct rbe_criterion *c, const struct rbe_row *row);

const struct rbe_model_seen *rbe_pair_model(const struct rbe_pair *p, bool base);
/* The last row of a kind; the last inference row that holds `field`; the last row, whatever it
 * measures, that gives the bytes of the RBE model. */
const struct rbe_row *rbe_pair_row(const struct rbe_pair *p, const char *kind, bool base);
const struct rbe_row *rbe_pair_inference(const struct rbe_pair *p, bool base,
                                         const char *field);
const struct rbe_row *rbe_pair_sized(const struct rbe_pair *p);

/* x, and its 95 % interval where there is one (else NULL), against a limit. */
enum rbe_verdict rbe_verdict_of(double x, const json_t *ci, const struct rbe_limit *limit);
/* A time of a row with more threads than CPUs says nothing of the model. */
bool rbe_timed_in_vain(struct rbe_criterion *c, const struct rbe_row *row);

#endif
