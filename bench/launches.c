/*
 * launches.c - runs this program several times and joins the results.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/launches.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/rows.h"

extern char **environ;

/* Options that the launches get differently; true with how many arguments one takes up. */
static bool ours(char *const *argv, int *length)
{
    static const char *const names[] = {"--launches", "--out", "-o",
                                        "--tsv",      "--svg", "--benchmark_out",
                                        "--output"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const size_t n = strlen(names[i]);
        if (strncmp(argv[0], names[i], n) || (argv[0][n] && argv[0][n] != '='))
            continue;
        *length = argv[0][n] == '=' || !argv[1] ? 1 : 2;
        return true;
    }
    return false;
}

static enum rbe_status launch(const struct rbe_bench_options *o, char *out, int *code,
                              struct rbe_diag *d)
{
    char **argv = calloc((size_t)o->argc + 4, sizeof *argv);
    enum rbe_status err = RBE_OK;
    int argc = 0, length, status;
    pid_t pid;

    if (!argv)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (int i = 0; i < o->argc; i += length) {
        length = 1;
        if (i && ours(o->argv + i, &length))
            continue;
        argv[argc++] = o->argv[i];
    }
    argv[argc++] = "--quiet";
    argv[argc++] = "--out";
    argv[argc++] = out;
    const int rc = posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ);
    if (rc) {
        errno = rc;
        err = rbe_fail_errno(d, "cannot start a launch");
    }
    /* A signal to this process alone is handed on, once: a second one ends a launch at once. */
    bool told = false;
    pid_t gone = 0;
    while (!rc && !gone) {
        if (rbe_interrupted() && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
        gone = waitpid(pid, &status, told ? 0 : WNOHANG);
        if (gone < 0 && errno == EINTR) {
            gone = 0;
        } else if (gone < 0) {
            err = rbe_fail_errno(d, "waiting for a launch");
        } else if (!gone) {
            usleep(20000);
        }
    }
    if (!err)
        *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    free(argv);
    return err;
}

/* Appends the rows of `more` to `all`, which may be NULL; takes `more` over. */
static void join(json_t **all, json_t *more, int number)
{
    json_t *list = RBE_VALUE_AT(more, benchmarks), *row;
    size_t i;

    json_array_foreach(list, i, row) RBE_SET(row, RBE_INT(launch, number));
    if (!*all) {
        *all = more;
        return;
    }
    json_array_extend(RBE_VALUE_AT(*all, benchmarks), list);
    json_decref(more);
}

static void append_file(const char *to, const char *from)
{
    char buf[65536];
    size_t n;
    FILE *in = fopen(from, "r"), *out = to ? fopen(to, "a") : NULL;

    while (in && out && (n = fread(buf, 1, sizeof buf, in)))
        fwrite(buf, 1, n, out);
    if (in)
        fclose(in);
    if (out)
        fclose(out);
    unlink(from);
}

enum rbe_status rbe_launches(json_t **out, const struct rbe_bench_options *o,
                             const char *samples, struct rbe_diag *d)
{
    const char *tmp = getenv("TMPDIR");
    struct rbe_progress progress;
    enum rbe_status err = RBE_OK;
    /* Longer than the system takes: what is cut is refused. */
    char path[PATH_MAX + 64], samples_from[PATH_MAX + 128];
    int code = 0;

    *out = NULL;
    if (o->quiet)
        rbe_progress_silence();
    rbe_progress_start(&progress, "launches", "launches", o->launches);
    for (int i = 0; i < o->launches && !err && !code && !rbe_interrupted(); i++) {
        snprintf(path, sizeof path, "%s/rbe-bench.%ld.%d.json", tmp && *tmp ? tmp : "/tmp",
                 (long)getpid(), i);
        snprintf(samples_from, sizeof samples_from, "%s.samples.jsonl", path);
        err = launch(o, path, &code, d);
        json_t *one = NULL;
        char *text = NULL;
        size_t size;
        struct rbe_diag why = {""};
        enum rbe_status bad = rbe_read_file(&text, &size, path, &why);
        if (!bad && !(bad = rbe_json_load(&one, text, size, 0, NULL, path, &why)))
            join(out, one, i);
        free(text);
        /* A launch that failed has said why itself, and may have written nothing. */
        if (bad && !err && !code && !rbe_interrupted())
            err = rbe_fail(d, bad, "%s", why.text);
        append_file(samples, samples_from);
        unlink(path);
        rbe_progress_update(&progress, i + 1, NULL);
    }
    rbe_progress_end(&progress);
    if (*out)
        RBE_SET(RBE_VALUE_AT(*out, context, rbe), RBE_INT(launches, o->launches));
    if (!err && rbe_interrupted())
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted; the launches so far are kept");
    /* The launch has said why on its own. */
    if (!err && code)
        err = rbe_fail(d, code == 2 ? RBE_ERR_ARG : RBE_ERR_NUMERIC,
                       "a launch ended with status %d", code);
    return err;
}
