/*
 * power.h - what the service says to systemd, and how it keeps the machine awake.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_DEPLOY_SERVE_POWER_H
#define RBE_DEPLOY_SERVE_POWER_H

#include <stdbool.h>
#include <sys/types.h>

/* A state as sd_notify() sends it ("READY=1"), to $NOTIFY_SOCKET; nothing where there is none. */
void rbe_notify(const char *state);

struct rbe_power {
    bool inhibit;               /* set by the caller; the rest begins as zeros */
    pid_t child;                /* systemd-inhibit, which holds the lock while `hold` is open */
    int hold;
    double last_work, last_word;
};

/*
 * Whether there is work: the sleep lock is taken with it and let go of two seconds after it, or
 * at once where this process ends.  Without systemd-inhibit nothing is held.
 */
void rbe_power_inhibit(struct rbe_power *p, bool work);

/* Tells the watchdog ($WATCHDOG_USEC), twice in its time, that this process is well. */
void rbe_power_watch(struct rbe_power *p, bool well);

#endif
