/*
 * arguments.h - what each command is given, a struct for each one in cli/commands.def, and the
 * commands.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_ARGUMENTS_H
#define RBE_CLI_ARGUMENTS_H

#include <rbe/sampler.h>

#include "bench/bench.h"
#include "cli/command.h"
#include "cli/options.h"
#include "eval/measure.h"
#include "gate/compare.h"
#include "gate/turns.h"
#include "model/names.h"

/* struct rbe_chat_args, struct rbe_eval_edge_args, struct rbe_bench_args, ...: the call, then
 * the options. */
#define COMMAND(name, ...) struct rbe_##name##_args { struct rbe_call call;
#define EVALUATION(name, ...) COMMAND(eval_##name, )
#define PROGRAM(name, ...) COMMAND(name, )
#define MEMBER(declaration) declaration;
#define SWITCH(member, ...) int member;
#define TEXT(member, ...) const char *member;
#define TEXTS(member, ...) char **member;
#define NUMBER(type, member, ...) type member;
#define END };
#include "cli/commands.def"

/* rbe_cmd_chat(a, d), rbe_eval_edge(a, d), ... */
#define COMMAND(name, ...)                                                                     \
    enum rbe_status rbe_cmd_##name(struct rbe_##name##_args *a, struct rbe_diag *d);
#define EVALUATION(name, ...)                                                                  \
    enum rbe_status rbe_eval_##name(struct rbe_eval_##name##_args *a, struct rbe_diag *d);
#include "cli/commands.def"

#endif
