/*
 * progress.h - how long work shows where it is, and how it is interrupted.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_PROGRESS_H
#define RBE_BASE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * One line of progress on stderr: on a terminal a bar with rate and time left, redrawn at
 * most ten times a second and never wider than the terminal; otherwise a plain line every ten
 * seconds.  Call from one thread.
 */
struct rbe_progress {
    const char *what, *unit;
    double total, done;         /* in units; total 0 = unknown */
    double skipped;             /* of those done, what took no time */
    double started, drawn, step; /* seconds, monotonic */
    bool tty, quiet;
};

void rbe_progress_start(struct rbe_progress *p, const char *what, const char *unit,
                        double total);
/* `note` (may be NULL) stands at the end of the line: a loss, a tensor's name. */
void rbe_progress_update(struct rbe_progress *p, double done, const char *note);
/* `amount` units more are done by earlier work: they tell nothing of the rate.  The next
 * update counts them in its `done`. */
void rbe_progress_skip(struct rbe_progress *p, double amount);
void rbe_progress_end(struct rbe_progress *p);
/* Takes a bar that stands on the terminal away, before anything else is printed there; the next
 * update draws it anew. */
void rbe_progress_clear(void);
/* The line as it would be `spent` seconds after the start, in at most so many columns. */
void rbe_progress_line(char *buf, size_t size, const struct rbe_progress *p, double spent,
                       const char *note, bool last, unsigned columns);
/* Seconds left at the rate so far, `spent` seconds after the start; 0 when nothing tells. */
double rbe_progress_left(const struct rbe_progress *p, double spent);

/* Holds a line for stderr back until work begins, which is at rbe_progress_start(): an error
 * before then stands alone.  Lines held before stay in front of it; the same line again is
 * none.  To release them by hand: printed, or dropped. */
void rbe_progress_hold(const char *line);
void rbe_progress_release(bool print);

/* Silences all progress of this process (--quiet). */
void rbe_progress_silence(void);
bool rbe_progress_shown(void);
/* A line about the work ahead, on stderr, unless silenced. */
void rbe_progress_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* From now on SIGINT, SIGTERM and SIGHUP set a flag instead of ending the process; a second one
 * ends it at once. */
void rbe_catch_interrupt(void);
bool rbe_interrupted(void);
/* Whether one of them was another than SIGINT, for who takes Ctrl-C as less than the end; not
 * cleared. */
bool rbe_told_to_end(void);
/* Whether it came longer ago than rbe_interrupt_grace seconds (0.7): what has not ended by then
 * is broken off, and what was done of it is lost.  Work of many passes asks this within a pass,
 * so that a short one still counts. */
bool rbe_interrupt_is_old(void);
extern double rbe_interrupt_grace;
void rbe_clear_interrupt(void);
/* The answer to "go on?" of an encoder (rbe/encode.h) that shows nothing. */
bool rbe_not_interrupted(void *unused, double done);

/* Seconds since some fixed point, monotonic. */
double rbe_now(void);

#endif
