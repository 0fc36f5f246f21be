/*
 * main.c - the program rbe: finds the subcommand in commands.def and runs it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/commit.h"
#include "base/file.h"
#include "base/json.h"
#include "base/result.h"
#include "base/version.h"
#include "cli/command.h"
#include "kernels/cpu.h"

static const struct rbe_man_item items[] = {
#define RBE_COMMAND(name, what) {#name, what},
#include "cli/commands.def"
#undef RBE_COMMAND
};
static rbe_command_fn *const functions[] = {
#define RBE_COMMAND(name, what) rbe_cmd_##name,
#include "cli/commands.def"
#undef RBE_COMMAND
};
enum { COMMAND_COUNT = sizeof items / sizeof items[0] };

static void usage(FILE *f)
{
    char closing[256];

    snprintf(closing, sizeof closing, "rbe COMMAND --help explains one; rbe --version says "
             "which this is.\nRBE_DISABLE_ISA=NAME,... masks CPU features (%s).",
             rbe_isa_names());
    rbe_describe("GPT-2 in Riemannian Basis Encoding: convert, run, measure");
    rbe_print_commands(f, "rbe", "COMMAND [OPTION...] ...",
                       "GPT-2 in Riemannian Basis Encoding: convert, run, measure.", items,
                       COMMAND_COUNT, closing);
}

/* The exit status of a command, unless its output could not be written. */
static int finish(int code)
{
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) {
        /* What could not be written earlier has left no errno. */
        fprintf(stderr, "rbe: standard output: %s\n",
                errno ? strerror(errno) : "could not be written");
        return code ? code : 1;
    }
    if (!code && rbe_shortages()) {
        fputs("rbe: out of memory: what was printed is not whole\n", stderr);
        return 1;
    }
    return code;
}

static int run(int i, int argc, const char **argv)
{
    rbe_describe(items[i].what);
    rbe_json_watch();
    return finish(functions[i](argc, argv));
}

static int find(const char *name)
{
    int i = 0;

    while (i < COMMAND_COUNT && strcmp(name, items[i].name))
        i++;
    return i;
}

/* rbe man [COMMAND [WHAT]]: the manual page, for scripts/manpages.sh. */
static int man(int argc, char **argv)
{
    const char *args[4] = {NULL};
    int n = 0;

    rbe_help_as_man();
    if (argc == 0) {
        usage(stdout);
        return finish(0);
    }
    const int i = find(argv[0]);
    if (argc > 2 || i == COMMAND_COUNT) {
        fputs("rbe man: want a COMMAND, or COMMAND WHAT\n", stderr);
        return 2;
    }
    while (n < argc) {
        args[n] = argv[n];
        n++;
    }
    args[n++] = "--help";
    return run(i, n, args);
}

int main(int argc, char **argv)
{
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_init(&d);

    rbe_hold_standard();
    /* A reader that has gone is a write error, and none that ends a measurement. */
    signal(SIGPIPE, SIG_IGN);
    rbe_result_built_from(rbe_commit);
    if (err) {
        fprintf(stderr, "rbe: %s\n", d.text);
        return rbe_exit_code(err);
    }
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return finish(0);
    }
    if (!strcmp(argv[1], "--version")) {
        puts("rbe-bench " RBE_VERSION);
        return finish(0);
    }
    if (!strcmp(argv[1], "man"))
        return man(argc - 2, argv + 2);
    const int i = find(argv[1]);
    if (i < COMMAND_COUNT)
        return run(i, argc - 1, (const char **)argv + 1);
    fprintf(stderr, "rbe: unknown command '%s'; valid:", argv[1]);
    for (int k = 0; k < COMMAND_COUNT; k++)
        fprintf(stderr, " %s", items[k].name);
    fputc('\n', stderr);
    return 2;
}
