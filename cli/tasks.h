/*
 * tasks.h - `rbe eval --tasks LIST`.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_TASKS_H
#define RBE_CLI_TASKS_H

#include <stdbool.h>

/* Whether rbe eval comprehension takes it: "lambada", or "lambada=PATH". */
bool rbe_eval_is_task(const char *word);

/* Runs the evaluations of LIST in argv (argv[0] is "eval"), each with all other arguments, up
 * to the first that fails; the exit status. */
int rbe_eval_tasks(int argc, const char **argv);

#endif
