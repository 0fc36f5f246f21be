/*
 * criteria.c - base/criteria.def as a table.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/criteria.h"

#include <string.h>

#include "base/rows.h"

const struct rbe_limit rbe_limits[RBE_LIMITS] = {
#define CRITERION(name, id, section, limit, unit, sense, kind, field, what, ...)               \
    {id, section, limit, unit, RBE_##sense, RBE_KIND(kind), field, what},
#define CONDITION(name, section, limit, unit, sense, kind, field, what)                        \
    {NULL, section, limit, unit, RBE_##sense, RBE_KIND(kind), field, what},
#include "base/criteria.def"
};

const char *rbe_device_of(const struct rbe_limit *limit)
{
    static const char *const names[RBE_LIMITS] = {
#define DEVICE(limit, name) [RBE_LIMIT_##limit] = name,
        RBE_DEVICES(DEVICE, )
    };

    return names[limit - rbe_limits];
}

bool rbe_is_device(const char *name)
{
    for (size_t i = 0; i < RBE_LIMITS; i++) {
        const char *device = rbe_device_of(&rbe_limits[i]);
        if (device && !strcmp(device, name))
            return true;
    }
    return false;
}

bool rbe_meets(const struct rbe_limit *limit, double x)
{
    switch (limit->sense) {
    case RBE_AT_LEAST:
        return x >= limit->value;
    case RBE_AT_MOST:
        return x <= limit->value;
    case RBE_BELOW:
        return x < limit->value;
    case RBE_EQUAL:
        return x == limit->value;
    }
    return false;
}
