/*
 * child.c - running this program again, in a process of its own and under limits.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/child.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/rows.h"
#include "base/stats.h"
#include "model/model.h"
#include "rbe/container.h"

enum { REPORT_MAX = 1 << 28, STACK_BYTES = 1 << 20 };

/* In the child between fork and exec: only calls that are safe there. */
static void become(char *const *argv, const int out[2], const int err[2],
                   struct rbe_child_limits limits)
{
    /* Threads get their stack's size from this; 8 MiB each would eat the limit. */
    const struct rlimit stack = {STACK_BYTES, STACK_BYTES};
    const struct rlimit space = {limits.address_space, limits.address_space};

    if (dup2(out[1], STDOUT_FILENO) < 0 || dup2(err[1], STDERR_FILENO) < 0)
        _exit(126);
    close(out[0]);
    close(err[0]);
    if (limits.address_space &&
        (setrlimit(RLIMIT_STACK, &stack) || setrlimit(RLIMIT_AS, &space)))
        _exit(126);
    execv("/proc/self/exe", argv);
    _exit(127);
}

/* What a child writes; no more than REPORT_MAX of it is kept. */
struct said {
    char *text;                 /* always ends with a NUL, once drained */
    size_t count, room;
};

static bool make_room(struct said *s)
{
    const size_t room = s->room ? 2 * s->room : 4096;
    char *more = s->room - s->count > 1 ? s->text : realloc(s->text, room);

    if (!more)
        return false;
    if (s->room - s->count <= 1)
        s->room = room;
    s->text = more;
    return true;
}

/* Reads to the end, keeps what fits.  An interrupt ends the child. */
static enum rbe_status drain(int fd, struct said *s, pid_t child)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char rest[4096];
    bool short_of_memory = false;

    for (;;) {
        const bool full = s->count >= REPORT_MAX || short_of_memory;
        if (rbe_interrupted())
            kill(child, SIGKILL);
        if (poll(&ready, 1, 100) < 1)
            continue;
        if (!full && !make_room(s)) {
            short_of_memory = true;
            continue;
        }
        const ssize_t got = full ? read(fd, rest, sizeof rest)
                                 : read(fd, s->text + s->count, s->room - 1 - s->count);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        s->count += full ? 0 : (size_t)got;
    }
    if (short_of_memory || !make_room(s))
        return RBE_ERR_NOMEM;
    s->text[s->count] = 0;
    return RBE_OK;
}

/* A line without the name of the command that says it ("rbe eval worker: "): the user called
 * another. */
static const char *without_name(const char *line, char *const *argv)
{
    char name[64];

    snprintf(name, sizeof name, " %s %s: ", argv[1], argv[2]);
    const char *at = strstr(line, name);
    return at && !memchr(line, ' ', (size_t)(at - line)) ? at + strlen(name) : line;
}

static enum rbe_status explain(const char *model, int status, char *text, char *const *argv,
                               struct rbe_diag *d)
{
    size_t n = strlen(text);

    while (n && text[n - 1] == '\n')
        text[--n] = 0;
    const char *line = strrchr(text, '\n');
    line = without_name(line ? line + 1 : text, argv);
    if (WIFSIGNALED(status))
        return rbe_fail(d, RBE_ERR_LIMIT, "%s: ended by signal %d (%s)", model,
                        WTERMSIG(status), *line ? line : strsignal(WTERMSIG(status)));
    /* 127: the dynamic linker gave up before the program began. */
    if (WEXITSTATUS(status) == 127)
        return rbe_fail(d, RBE_ERR_LIMIT, "the limit does not hold the program and its "
                        "libraries (%s)", *line ? line : "it could not be started");
    /* 2: the request was impossible, 3: the model is faulty, whatever the limit. */
    const int code = WEXITSTATUS(status);
    return rbe_fail(d, code == 2 ? RBE_ERR_ARG : code == RBE_CHILD_FAULTY ? RBE_ERR_FORMAT
                                                                          : RBE_ERR_LIMIT, "%s",
                    *line ? line : "the worker failed and said nothing");
}

/* Runs this program with argv: what it printed in *out; `who` is to blame when it fails. */
static enum rbe_status run(struct said *out, char *const *argv, const char *who,
                           struct rbe_child_limits limits, struct rbe_diag *d)
{
    int report[2] = {-1, -1}, errors[2] = {-1, -1}, status = 0;
    struct said why = {0};
    enum rbe_status err = RBE_OK;

    fflush(NULL);
    if (pipe(report) || pipe(errors)) {
        err = rbe_fail_errno(d, "pipe");
        goto out;
    }
    const pid_t pid = fork();
    if (pid < 0) {
        err = rbe_fail_errno(d, "fork");
        goto out;
    }
    if (!pid)
        become(argv, report, errors, limits);
    close(report[1]);
    close(errors[1]);
    report[1] = errors[1] = -1;
    /* It says at most a few lines on stderr: it never blocks on that pipe. */
    err = drain(report[0], out, pid);
    const enum rbe_status bad = drain(errors[0], &why, pid);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    /* The same signal may have reached the child: how that ended tells nothing of the model. */
    if (rbe_interrupted())
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    else if (err || bad)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else if (!WIFEXITED(status) || WEXITSTATUS(status))
        err = explain(who, status, why.text, argv, d);
out:
    for (int i = 0; i < 2; i++) {
        if (report[i] >= 0)
            close(report[i]);
        if (errors[i] >= 0)
            close(errors[i]);
    }
    free(why.text);
    return err;
}

enum rbe_status rbe_child_generate(json_t **out, const char *model, unsigned threads,
                                   unsigned prompt, unsigned tokens, enum rbe_kv_cache kv,
                                   struct rbe_child_limits limits, struct rbe_diag *d)
{
    char t[16], p[16], n[16];
    struct said said = {0};
    json_error_t e;

    *out = NULL;
    snprintf(t, sizeof t, "%u", threads);
    snprintf(p, sizeof p, "%u", prompt);
    snprintf(n, sizeof n, "%u", tokens);
    enum { FIXED = 11 };
    char *argv[FIXED + 4] = {"rbe", "eval", "worker", "--model", (char *)model, "--threads", t,
                             "--prompt", p, "--tokens", n};
    char **more = argv + FIXED;
    if (kv != RBE_KV_DEFAULT) {
        *more++ = "--kv-cache";
        *more++ = (char *)rbe_kv_cache_name(kv);
    }
    if (rbe_no_verify)
        *more++ = "--no-verify";
    const double start = rbe_now();
    enum rbe_status err = run(&said, argv, model, limits, d);
    const double wall = rbe_now() - start;
    if (!err)
        err = rbe_json_load(out, said.text, said.count, 0, &e, "the worker's report", d);
    if (!err)
        RBE_SET(*out, RBE_JSON(wall_s, json_real(wall)));
    free(said.text);
    return err;
}

enum rbe_status rbe_child_rows(json_t **out, char *const *argv, struct rbe_diag *d)
{
    struct said said = {0};
    enum rbe_status err = run(&said, argv, argv[0], (struct rbe_child_limits){0}, d);
    json_t *rows = json_array(), *row;
    json_error_t e;
    char *save = NULL;

    *out = NULL;
    for (char *line = err ? NULL : strtok_r(said.text, "\n", &save); line && !err;
         line = strtok_r(NULL, "\n", &save))
        if (!(err = rbe_json_load(&row, line, strlen(line), 0, &e, "a launch's row", d)))
            json_array_append_new(rows, row);
    free(said.text);
    if (err)
        json_decref(rows);
    else if (!(*out = rows))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    return err;
}

double rbe_child_median(const json_t *report)
{
    const json_t *a = RBE_VALUE_AT(report, token_ms);
    const size_t n = json_array_size(a);
    double *ms = calloc(n + 1, sizeof *ms), m = NAN;

    if (!ms)
        rbe_shortage_note();
    for (size_t i = 1; ms && i < n; i++)
        ms[i - 1] = json_number_value(json_array_get(a, i));
    if (ms && n > 1) {
        rbe_sort(ms, n - 1);
        m = rbe_median(ms, n - 1);
    }
    free(ms);
    return m;
}
