/*
 * power.h - what the service says to systemd, and how it keeps the machine awake.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_DEPLOY_SERVE_POWER_H
#define RBE_DEPLOY_SERVE_POWER_H

#include <stdbool.h>
#include <sys/types.h>

/* A state as sd_notify() sends it ("READY=1"), to $NOTIFY_SOCKET where there is one. */
void rbe_notify(const char *state);

struct rbe_power {
    bool inhibit;               /* set by the caller, like say; the rest begins as zeros */
    void (*say)(const char *why);   /* once, when the lock is not given */
    bool said;
    pid_t child;                /* systemd-inhibit, which holds the lock while `hold` is open */
    int hold;
    double last_work, last_word, next_try;
};

/*
 * Whether there is work: the sleep lock is taken with it and let go of two seconds after it, or
 * at once where this process ends.  A lock that is not given is asked for a minute later again.
 */
void rbe_power_inhibit(struct rbe_power *p, bool work);

/* Tells the watchdog ($WATCHDOG_USEC), twice in its time, that this process is well. */
void rbe_power_watch(struct rbe_power *p, bool well);

#endif
