/*
 * replay.h - the gate's decisions on rounds drawn from a recording.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_GATE_REPLAY_H
#define RBE_GATE_REPLAY_H

#include <stdio.h>

#include "gate/turns.h"

/*
 * Reads the rounds `rbe gate --rounds N --record FILE` wrote and makes `decisions` decisions,
 * each on rounds drawn in runs of four neighbours (what is near in time is alike), with the
 * rule, looks and budget of a live one.  Prints one line: how many passed, failed, could not
 * be told, and the rounds and seconds they took.  A pool that has not every metric in every
 * round is refused.
 */
enum rbe_status rbe_replay(FILE *out, const char *path, const char *metrics,
                           const struct rbe_turns_options *o, unsigned decisions,
                           struct rbe_diag *d);

#endif
