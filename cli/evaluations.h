/*
 * evaluations.h - the evaluations of `rbe eval`, from evaluations.def.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_EVALUATIONS_H
#define RBE_CLI_EVALUATIONS_H

#include "cli/command.h"

#define RBE_EVALUATION(name, what) rbe_command_fn rbe_eval_##name;
#include "cli/evaluations.def"
#undef RBE_EVALUATION

#endif
