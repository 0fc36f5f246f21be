/*
 * progress.c - progress on stderr, and interrupts.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/progress.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool silent;
static volatile sig_atomic_t interrupts;

double rbe_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_signal(int sig)
{
    if (interrupts++) {
        signal(sig, SIG_DFL);
        raise(sig);
    }
}

/*
 * oneDNN's generated products point the stack pointer into scratch memory from the heap while
 * they run: what a signal pushes there would overwrite the heap.  So handlers get a stack of
 * their own, on this thread; a pool's threads (threads.c) take no such signals.
 */
static void have_signal_stack(void)
{
    static unsigned char memory[1 << 16];
    const stack_t own = {.ss_sp = memory, .ss_size = sizeof memory};
    stack_t had;

    if (!sigaltstack(NULL, &had) && had.ss_flags & SS_DISABLE)
        sigaltstack(&own, NULL);
}

void rbe_catch_interrupt(void)
{
    struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};

    have_signal_stack();
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

bool rbe_interrupted(void)
{
    return interrupts != 0;
}

void rbe_clear_interrupt(void)
{
    interrupts = 0;
}

void rbe_progress_silence(void)
{
    silent = true;
}

double rbe_progress_left(const struct rbe_progress *p, double spent)
{
    const double own = p->done - p->skipped;

    return own > 0 && p->total > p->done ? spent * (p->total - p->done) / own : 0;
}

static void draw(struct rbe_progress *p, const char *note, bool last)
{
    const double t = rbe_now() - p->started, rate = t > 0 ? (p->done - p->skipped) / t : 0;
    const double part = p->total > 0 ? p->done / p->total : 0;
    const double left = last ? t : rbe_progress_left(p, t);
    char bar[21];

    memset(bar, '.', 20);
    memset(bar, '#', part >= 1 ? 20 : part > 0 ? (size_t)(20 * part) : 0);
    bar[20] = 0;
    if (p->tty)
        fprintf(stderr, "\r\033[K%s [%s] ", p->what, bar);
    else
        fprintf(stderr, "%s: ", p->what);
    if (p->total > 0)
        fprintf(stderr, "%3.0f%%  ", 100 * part);
    fprintf(stderr, "%.4g %s/s  %s %d:%02d", rate, p->unit, last ? "took" : "left",
            (int)left / 60, (int)left % 60);
    fprintf(stderr, "%s%s%s", note ? "  " : "", note ? note : "", p->tty && !last ? "" : "\n");
    fflush(stderr);
}

void rbe_progress_start(struct rbe_progress *p, const char *what, const char *unit,
                        double total)
{
    const bool tty = isatty(STDERR_FILENO);

    *p = (struct rbe_progress){.what = what, .unit = unit, .total = total,
                               .started = rbe_now(), .tty = tty, .quiet = silent,
                               .step = tty ? 0.1 : 10};
    p->drawn = p->started;
}

void rbe_progress_update(struct rbe_progress *p, double done, const char *note)
{
    p->done = done;
    if (p->quiet)
        return;
    const double t = rbe_now();
    if (t - p->drawn < p->step)
        return;
    p->drawn = t;
    draw(p, note, false);
}

void rbe_progress_skip(struct rbe_progress *p, double amount)
{
    p->skipped += amount;
}

void rbe_progress_end(struct rbe_progress *p)
{
    /* Short work says nothing in a log. */
    if (!p->quiet && (p->tty || rbe_now() - p->started >= p->step))
        draw(p, NULL, true);
    p->quiet = true;
}
