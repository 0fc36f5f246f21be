/*
 * service.h - what the tests of rbe-serve share: a folder, processes, time.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_DEPLOY_TEST_SERVICE_H
#define RBE_DEPLOY_TEST_SERVICE_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/test/check.h"

/* The test's own, set by service_folder(); the programs' name, and files in the folder. */
static char folder[32], program[4096], tiny[64], state[64], path[64];

static inline double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline bool run(const char *format, const char *a, const char *b)
{
    char command[8192];

    snprintf(command, sizeof command, format, a, b);
    return system(command) == 0;
}

/* Ends a process; how it ended. */
static inline int end(pid_t *p, int sig)
{
    int how = -1;

    kill(*p, sig);
    waitpid(*p, &how, 0);
    *p = -1;
    return how;
}

/* fork() of a program that does not outlive the test. */
static inline pid_t service_fork(void)
{
    const pid_t p = fork();

    if (!p)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return p;
}

static inline void service_remove(void)
{
    run("rm -rf '%s'%s", folder, "");
}

/* Makes the folder, in memory where that can be: a busy disk's syncs take long.  It goes when
 * the test ends, also at the first check that fails.  bin: where the programs are. */
static inline bool service_folder(const char *bin)
{
    snprintf(folder, sizeof folder, "%s/rbe-serve-XXXXXX",
             access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    if (!mkdtemp(folder) || atexit(service_remove))
        return false;
    snprintf(program, sizeof program, "%s/rbe-serve", bin);
    snprintf(tiny, sizeof tiny, "%s/tiny", folder);
    snprintf(state, sizeof state, "%s/state", folder);
    snprintf(path, sizeof path, "%s/socket", folder);
    return true;
}

/* And a model in it. */
static inline bool service_model(const char *bin)
{
    return run("'%s/rbe' synth '%s' --shape 1,32,2,64,8192 > /dev/null", bin, tiny);
}

/* `kills` in rounds, each with a state of its own, which every process reads as it starts. */
static inline void kill_in_rounds(struct check_rng *r, unsigned kills,
                                  void (*kill_some)(struct check_rng *r, unsigned kills),
                                  void (*forget)(void))
{
    enum { ROUND = 250 };

    for (unsigned left = kills, n; left && !check_failed; left -= n) {
        n = left < ROUND ? left : ROUND;
        kill_some(r, n);
        forget();
        CHECK(run("rm -rf '%s'%s", state, ""));
    }
}

#endif
