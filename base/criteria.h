/*
 * criteria.h - the limits of the chapter's promises (base/criteria.def).
 *
 * SPDX-License-Identifier: MIT
 *
 * They stand in base/ because two rooms that do not see each other use them: evaluations, whose
 * summaries say what is met, and reports, which judges.
 */
#ifndef RBE_BASE_CRITERIA_H
#define RBE_BASE_CRITERIA_H

#include <stdbool.h>

enum rbe_limit_name {
#define CRITERION(name, ...) RBE_LIMIT_##name,
#define CONDITION(name, ...) RBE_LIMIT_##name,
#include "base/criteria.def"
    RBE_LIMITS
};

enum rbe_sense { RBE_AT_LEAST, RBE_AT_MOST, RBE_BELOW, RBE_EQUAL };

struct rbe_limit {
    const char *id;      /* "C3b"; NULL: a condition of the criterion before it */
    const char *section; /* of the chapter */
    double value;
    const char *unit;
    enum rbe_sense sense;
    const char *kind, *field; /* of the row that decides it */
    const char *what;
};

/* Parameters of the model that the chapter speaks of, GPT-2 small. */
#define RBE_GPT2_SMALL 124439808

extern const struct rbe_limit rbe_limits[RBE_LIMITS];

#define RBE_LIMIT(name) (rbe_limits[RBE_LIMIT_##name].value)

/* What $RBE_DEVICE may say, and the criterion of such devices: the one list.  RBE_DEVICE_NAMES
 * is their names as a text with `between` between them. */
#define RBE_DEVICES(DEVICE, between)                                                           \
    DEVICE(C11, "phone") between DEVICE(C11B, "pi") between DEVICE(C11C, "desktop")
#define RBE_DEVICE_NAME(limit, name) name
#define RBE_DEVICE_NAMES(between)    RBE_DEVICES(RBE_DEVICE_NAME, between)

/* The device of a limit, NULL for none; whether there is one of this name. */
const char *rbe_device_of(const struct rbe_limit *limit);
bool rbe_is_device(const char *name);

/* Is x as the limit wants it?  False for NaN. */
bool rbe_meets(const struct rbe_limit *limit, double x);
#define RBE_MEETS(name, x) rbe_meets(&rbe_limits[RBE_LIMIT_##name], x)

#endif
