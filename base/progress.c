/*
 * progress.c - progress on stderr, and interrupts.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/progress.h"

#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static bool silent;
static volatile sig_atomic_t interrupts, told_to_end;
static _Atomic int64_t interrupted_at_ns;       /* set before `interrupts` */

double rbe_interrupt_grace = 0.7;

double rbe_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_signal(int sig)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    if (!interrupts)
        interrupted_at_ns = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
    if (sig != SIGINT)
        told_to_end = 1;
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
    /* A terminal that is closed; nohup has it ignored. */
    struct sigaction was;
    if (!sigaction(SIGHUP, NULL, &was) && was.sa_handler != SIG_IGN)
        sigaction(SIGHUP, &a, NULL);
}

bool rbe_interrupted(void)
{
    return interrupts != 0;
}

bool rbe_told_to_end(void)
{
    return told_to_end != 0;
}

bool rbe_interrupt_is_old(void)
{
    return interrupts &&
           rbe_now() - 1e-9 * (double)interrupted_at_ns >= rbe_interrupt_grace;
}

bool rbe_not_interrupted(void *unused, double done)
{
    (void)unused;
    (void)done;
    return !interrupts;
}

void rbe_clear_interrupt(void)
{
    interrupts = 0;
}

void rbe_progress_silence(void)
{
    silent = true;
}

bool rbe_progress_shown(void)
{
    return !silent;
}

void rbe_progress_say(const char *fmt, ...)
{
    va_list ap;

    if (silent)
        return;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
}

static char held[640];

void rbe_progress_hold(const char *line)
{
    const size_t n = strlen(held);

    if (!strstr(held, line))
        snprintf(held + n, sizeof held - n, "%s%s", n ? "\n" : "", line);
}

void rbe_progress_release(bool print)
{
    if (print && held[0])
        fprintf(stderr, "%s\n", held);
    held[0] = 0;
}

double rbe_progress_left(const struct rbe_progress *p, double spent)
{
    const double own = p->done - p->skipped;

    return own > 0 && p->total > p->done ? spent * (p->total - p->done) / own : 0;
}

/* --- the line ----------------------------------------------------------------------------- */

/* Whether a bar stands on the terminal, without the end of its line. */
static bool on_screen;

static unsigned terminal_columns(void)
{
    const char *env = getenv("COLUMNS");
    struct winsize w;

    if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col)
        return w.ws_col;
    return env && atoi(env) > 0 ? (unsigned)atoi(env) : 80;
}

/* How many bytes of s fit into so many columns; what is not ASCII may take two. */
static size_t fitting(const char *s, size_t columns)
{
    size_t n = 0;

    while (s[n]) {
        const size_t wide = (unsigned char)s[n] < 0x80 ? 1 : 2;
        size_t bytes = 1;
        while (wide == 2 && ((unsigned char)s[n + bytes] & 0xC0) == 0x80)
            bytes++;
        if (wide > columns)
            break;
        columns -= wide;
        n += bytes;
    }
    return n;
}

static bool fits(const char *s, size_t columns)
{
    return !s[fitting(s, columns)];
}

/* "12:34", or hours. */
static void put_time(char *buf, size_t size, double seconds)
{
    const long s = seconds < 3.6e8 ? (long)seconds : 360000000;

    if (s < 360000)
        snprintf(buf, size, "%ld:%02ld", s / 60, s % 60);
    else
        snprintf(buf, size, "%ld h", s / 3600);
}

void rbe_progress_line(char *buf, size_t size, const struct rbe_progress *p, double spent,
                       const char *note, bool last, unsigned columns)
{
    const double rate = spent > 0 ? (p->done - p->skipped) / spent : 0;
    const double part = p->total > 0 ? fmin(1, fmax(0, p->done / p->total)) : 0;
    char bar[32] = "", percent[16] = "", speed[64], left[48], time[32];

    if (p->tty) {
        snprintf(bar, sizeof bar, " [....................]");
        memset(bar + 2, '#', part > 0 ? (size_t)(20 * part) : 0);
    }
    if (p->total > 0)
        snprintf(percent, sizeof percent, " %3.0f%%", floor(100 * part));
    snprintf(speed, sizeof speed, "  %.4g %.30s/s", rate, p->unit);
    put_time(time, sizeof time, last ? spent : rbe_progress_left(p, spent));
    snprintf(left, sizeof left, "  %s %s", last ? "took" : "left", time);
    /* What tells least goes first: the note, the bar, the rate; then the name is cut. */
    for (int drop = 0; drop < 4; drop++) {
        snprintf(buf, size, "%s%s%s%s%s%s%s%s", p->what, drop < 2 ? bar : "",
                 p->tty ? "" : ":", percent, drop < 3 ? speed : "", left,
                 note && !drop ? "  " : "", note && !drop ? note : "");
        if (fits(buf, columns))
            return;
    }
    const size_t rest = strlen(percent) + strlen(left);
    snprintf(buf, size, "%.*s%s%s", (int)fitting(p->what, columns > rest ? columns - rest : 0),
             p->what, percent, left);
    buf[fitting(buf, columns)] = 0;
}

static void draw(struct rbe_progress *p, const char *note, bool last)
{
    char line[512];

    /* A line that fills the last column wraps on some terminals. */
    rbe_progress_line(line, sizeof line, p, rbe_now() - p->started, note, last,
                      p->tty ? terminal_columns() - 1 : sizeof line - 1);
    fprintf(stderr, p->tty ? "\r%s\033[K%s" : "%s%s", line, p->tty && !last ? "" : "\n");
    fflush(stderr);
    on_screen = p->tty && !last;
}

void rbe_progress_clear(void)
{
    if (!on_screen)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    on_screen = false;
}

void rbe_progress_start(struct rbe_progress *p, const char *what, const char *unit,
                        double total)
{
    const bool tty = isatty(STDERR_FILENO);

    *p = (struct rbe_progress){.what = what, .unit = unit, .total = total,
                               .started = rbe_now(), .tty = tty, .quiet = silent,
                               .step = tty ? 0.1 : 10};
    p->drawn = p->started;
    rbe_progress_release(true);
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
    else
        rbe_progress_clear();
    p->quiet = true;
}
