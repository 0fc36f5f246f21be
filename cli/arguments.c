/*
 * arguments.c - cli/commands.def as tables.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cli/arguments.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>

#include "base/criteria.h"
#include "base/stats.h"

/* The kind of an option follows from its member's type; another type does not compile. */
#define NUMBER_KIND(member)                                                                    \
    _Generic(((args *)0)->member, int: RBE_OPTION_INT, uint32_t: RBE_OPTION_UNSIGNED,          \
             long long: RBE_OPTION_LONG, uint64_t: RBE_OPTION_SEED, float: RBE_OPTION_FLOAT,   \
             double: RBE_OPTION_DOUBLE)
#define TEXT_KIND(member)                                                                      \
    _Generic(((args *)0)->member, char *: RBE_OPTION_TEXT, const char *: RBE_OPTION_TEXT)
#define TEXTS_KIND(member)  _Generic(((args *)0)->member, char **: RBE_OPTION_TEXTS)
#define SWITCH_KIND(member) _Generic(((args *)0)->member, int: RBE_OPTION_SWITCH)
#define ROW(kind, member, name, letter, ...)                                                   \
    {kind##_KIND(member), name, letter, offsetof(args, member), __VA_ARGS__},

#define MOVED(letter, option, text)                                                            \
    {RBE_OPTION_MOVED, #option, letter, 0, 0, 0, NULL, text, NULL},
#define COMMAND(name, ...)                                                                     \
    static const struct rbe_command_option *name##_options(void)                               \
    {                                                                                          \
        typedef struct rbe_##name##_args args __attribute__((unused));                         \
        static const struct rbe_command_option list[] = {
#define EVALUATION(name, ...) COMMAND(eval_##name, )
#define PROGRAM(name, ...) COMMAND(name, )
#define SWITCH(member, letter, text) SWITCH_AT(member, #member, letter, text)
#define SWITCH_AT(member, name, letter, text)                                                  \
    ROW(SWITCH, member, name, letter, 0, 0, NULL, text, NULL)
#define GLOBAL_SWITCH(variable, name, letter, text)                                            \
    {RBE_OPTION_SWITCH, name, letter, 0, 0, 0, NULL, text, &variable},
#define TEXT(member, ...) TEXT_AT(member, #member, __VA_ARGS__)
#define TEXT_AT(member, name, letter, value, arg, text)                                        \
    ROW(TEXT, member, name, letter, 0, 0, arg, text, NULL)
#define TEXTS(member, ...) TEXTS_AT(member, #member, __VA_ARGS__)
#define TEXTS_AT(member, name, letter, arg, text)                                              \
    ROW(TEXTS, member, name, letter, 0, 0, arg, text, NULL)
#define NUMBER(type, member, ...) NUMBER_AT(member, #member, __VA_ARGS__)
#define NUMBER_AT(member, name, letter, least, most, value, arg, text)                         \
    ROW(NUMBER, member, name, letter, least, most, arg, text, NULL)
#define END                                                                                    \
            {0}                                                                                \
        };                                                                                     \
        return list;                                                                           \
    }
#include "cli/commands.def"

/* --- their defaults ----------------------------------------------------------------------- */

#define COMMAND(name, ...)                                                                     \
    static void name##_defaults(void *values)                                                  \
    {                                                                                          \
        struct rbe_##name##_args *a = values;                                                  \
        (void)a;
#define EVALUATION(name, ...) COMMAND(eval_##name, )
#define PROGRAM(name, ...) COMMAND(name, )
#define TEXT(member, letter, value, ...) a->member = (value);
#define TEXT_AT(member, name, letter, value, ...) a->member = (value);
#define NUMBER(type, member, letter, least, most, value, ...) a->member = (value);
#define NUMBER_AT(member, name, letter, least, most, value, ...) a->member = (value);
#define END }
#include "cli/commands.def"

/* --- examples ----------------------------------------------------------------------------- */

#define COMMAND(name, ...) static const struct rbe_example name##_examples[] = {
#define EVALUATION(name, ...) COMMAND(eval_##name, )
#define PROGRAM(name, ...) COMMAND(name, )
#define EXAMPLE(text, line) {text, line, false},
#define EXAMPLE_LONG(text, line) {text, line, true},
#define END {0}};
#include "cli/commands.def"

/* --- the commands ------------------------------------------------------------------------- */

/* What popt gives away stays reachable in these. */
#define COMMAND(name, ...)                                                                     \
    static struct rbe_##name##_args name##_args;                                               \
    static enum rbe_status name##_run(void *values, struct rbe_diag *d)                        \
    {                                                                                          \
        return rbe_cmd_##name(values, d);                                                      \
    }
#define EVALUATION(name, ...)                                                                  \
    static struct rbe_eval_##name##_args eval_##name##_args;                                   \
    static enum rbe_status eval_##name##_run(void *values, struct rbe_diag *d)                 \
    {                                                                                          \
        return rbe_eval_##name(values, d);                                                     \
    }
#define PROGRAM(name, ...) static struct rbe_##name##_args name##_args;
#include "cli/commands.def"

const struct rbe_command rbe_commands[] = {
#define OPTIONS(name)                                                                          \
    name##_options, name##_examples, name##_defaults, &name##_args.call, sizeof name##_args
#define COMMAND(name, what, usage, about)                                                      \
    {RBE_PROGRAM " " #name, what, usage, about, OPTIONS(name), name##_run},
#define EVALUATION(name, what, usage, about)                                                   \
    {RBE_PROGRAM " eval " #name, what, usage, about, OPTIONS(eval_##name), eval_##name##_run},
#define PROGRAM(name, what, usage, about)                                                      \
    {"rbe-" #name, what, usage, about, OPTIONS(name), NULL},
#define GROUP(name, what)                                                                      \
    {RBE_PROGRAM " " #name, what, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL},
#include "cli/commands.def"
    {0}
};
