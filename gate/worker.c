/*
 * worker.c - starting a worker, asking it, ending it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/progress.h"

/* An answer is a few thousand numbers at most; poll() counts in int milliseconds. */
enum { MOST_ANSWER = 1 << 20, LONGEST_WAIT_S = 1 };

/* Waits until something can be read; `until` is a time of rbe_now(). */
static enum rbe_status wait_for(const struct rbe_worker *w, double until, struct rbe_diag *d)
{
    struct pollfd p = {.fd = w->out, .events = POLLIN};

    for (;;) {
        const double left = until - rbe_now();
        if (!(left > 0))
            return rbe_fail(d, RBE_ERR_LIMIT, "the worker of %s gave no answer in %.3g s",
                            w->name, w->patience_s);
        const int n = poll(&p, 1, (int)(1e3 * (left < LONGEST_WAIT_S ? left : LONGEST_WAIT_S))
                           + 1);
        if (n > 0)
            return RBE_OK;
        if (n < 0 && errno != EINTR)
            return rbe_fail_errno(d, "waiting for the worker of %s", w->name);
        if (rbe_interrupted())
            return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    }
}

/* One line of the worker, which says nothing unasked; what it says of an error becomes ours. */
static enum rbe_status read_line(struct rbe_worker *w, struct rbe_diag *d)
{
    const double until = rbe_now() + w->patience_s;
    enum rbe_status err;

    for (size_t n = 0; !n || w->line[n - 1];) {
        if (n == w->size) {
            const size_t size = n ? 2 * n : 4096;
            char *p = size > MOST_ANSWER ? NULL : realloc(w->line, size);
            if (!p)
                return rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s: an answer without end",
                                w->name);
            w->line = p;
            w->size = size;
        }
        if ((err = wait_for(w, until, d)))
            return err;
        const ssize_t got = read(w->out, w->line + n, w->size - n);
        if (got <= 0)
            return n ? rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s: an answer was cut off",
                                w->name)
                   : rbe_fail(d, RBE_ERR_IO, "the worker of %s ended without an answer",
                              w->name);
        n += (size_t)got;
        if (w->line[n - 1] == '\n')
            w->line[n - 1] = 0;
    }
    if (!strncmp(w->line, "error", 5))
        return rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s: %s", w->name, w->line);
    return RBE_OK;
}

enum rbe_status rbe_worker_open(struct rbe_worker *w, const char *name, const char *command,
                                double patience_s, struct rbe_diag *d)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    enum rbe_status err;

    *w = (struct rbe_worker){.out = -1, .name = name, .patience_s = patience_s,
                             .failed = true};
    signal(SIGPIPE, SIG_IGN);
    if (pipe2(to, O_CLOEXEC) || pipe2(from, O_CLOEXEC) || (w->pid = fork()) < 0) {
        err = rbe_fail_errno(d, "starting the worker of %s", name);
        w->pid = 0;
        for (int i = 0; i < 2; i++) {
            if (to[i] >= 0)
                close(to[i]);
            if (from[i] >= 0)
                close(from[i]);
        }
        return err;
    }
    if (!w->pid) {
        /* A group of its own, so that what the command starts can be ended with it. */
        setpgid(0, 0);
        signal(SIGPIPE, SIG_DFL);
        if (dup2(to[0], STDIN_FILENO) < 0 || dup2(from[1], STDOUT_FILENO) < 0)
            _exit(126);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    setpgid(w->pid, 0);         /* whoever comes first */
    close(to[0]);
    close(from[1]);
    w->in = fdopen(to[1], "w");
    w->out = from[0];
    if (!w->in)
        err = rbe_fail_errno(d, "starting the worker of %s", name);
    else if (!(err = read_line(w, d)) && strcmp(w->line, "ready"))
        err = rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s said '%.60s', not ready", name,
                       w->line);
    if (err)
        rbe_worker_close(w);
    w->failed = err != RBE_OK;
    return err;
}

void rbe_worker_close(struct rbe_worker *w)
{
    const bool failed = w->failed;

    if (w->in)
        fclose(w->in);
    if (w->pid > 0) {
        close(w->out);
        /* The end of its input ends a worker that waits; a busy one is not waited for. */
        pid_t gone = 0;
        for (int i = 0; i < 50 && !gone; i++) {
            gone = waitpid(w->pid, NULL, WNOHANG);
            if (!gone)
                usleep(1000);
        }
        if (!gone) {
            kill(-w->pid, SIGKILL);
            while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
                ;
        }
    }
    free(w->line);
    *w = (struct rbe_worker){.failed = failed};
}

static enum rbe_status ask(struct rbe_worker *w, const char *what, unsigned long n, double *v,
                           size_t count, struct rbe_diag *d)
{
    enum rbe_status err;

    if (fprintf(w->in, "%s %lu\n", what, n) < 0 || fflush(w->in))
        return rbe_fail(d, RBE_ERR_IO, "the worker of %s ended", w->name);
    if ((err = read_line(w, d)))
        return err;
    if (!count)
        return !strcmp(w->line, "ok") ? RBE_OK
               : rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s said '%.60s', not ok", w->name,
                          w->line);
    char *s = w->line, *end;
    for (size_t i = 0; i < count; i++, s = end) {
        v[i] = strtod(s, &end);
        if (end == s || !(v[i] >= 0) || !isfinite(v[i]))
            return rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s: %s: number %zu of %zu is "
                            "missing or impossible", w->name, what, i + 1, count);
    }
    return s[strspn(s, " ")] ? rbe_fail(d, RBE_ERR_FORMAT, "the worker of %s: %s: more numbers "
                                        "than the %zu asked for", w->name, what, count)
           : RBE_OK;
}

enum rbe_status rbe_worker_ask(struct rbe_worker *w, const char *what, unsigned long n,
                               double *v, size_t count, struct rbe_diag *d)
{
    const enum rbe_status err = ask(w, what, n, v, count, d);

    w->failed = err != RBE_OK;
    return err;
}
