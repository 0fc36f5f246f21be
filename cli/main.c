/*
 * main.c - the programs rbe and rbe-run: finds the command in cli/commands.def and runs it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/commit.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/paint.h"
#include "cli/tasks.h"
#include "kernels/cpu.h"

#ifdef RBE_RUN
#define WHAT "Models in Riemannian Basis Encoding: run"
#else
#define WHAT "GPT-2 and Llama in Riemannian Basis Encoding: convert, run, measure"
#endif

static void usage(FILE *f)
{
    char closing[384];

    snprintf(closing, sizeof closing, RBE_PROGRAM " COMMAND --help explains one; " RBE_PROGRAM
             " --version says which this is.\nRBE_DISABLE_ISA=NAME,... masks CPU features:\n"
             "  %s\n"
             "RBE_ACTIVATIONS=8 or 16: the bits of activations in products of integers.",
             rbe_isa_names());
    rbe_print_group(f, RBE_PROGRAM, WHAT, "COMMAND [OPTION...] ...", WHAT ".", closing);
}

static void usage_eval(FILE *f)
{
    static const char eval[] = RBE_PROGRAM " eval";

    rbe_print_group(f, eval, rbe_command_find(eval)->what, "WHAT [OPTION...]",
                    "Measures a model, or compares models with the first one.",
                    RBE_PROGRAM " eval WHAT --help explains one.  "
#ifndef RBE_RUN
                    "rbe eval --tasks LIST OPTION... runs\nseveral, also comprehension tasks "
                    "by name (--tasks perplexity,lambada; --tasks list).\n"
#endif
                    "Result lines: docs/RESULTS.md.");
}

/* What people start with, where one sits at a terminal. */
static int greet(void)
{
    static const struct {
        const char *line, *what;
    } first[] = {
#ifdef RBE_RUN
        {"rbe-run chat", "talk with the model that ships"},
        {"rbe-run generate -p TEXT", "continue a text"},
        {"rbe-run eval edge", "does a generation fit into 256 MiB?"},
#else
        {"rbe demo", "the original and the RBE model write side by side"},
        {"rbe chat", "talk with the RBE model that ships"},
        {"rbe convert MODEL OUT.rbe", "make an RBE model from your GPT-2 or Llama"},
#endif
    };

    puts(WHAT ".  To start with:\n");
    for (size_t i = 0; i < sizeof first / sizeof first[0]; i++)
        printf("  %s%-26s%s %s\n", rbe_paint(stdout, RBE_BOLD), first[i].line,
               rbe_paint(stdout, RBE_PLAIN), first[i].what);
    puts("\n" RBE_PROGRAM " --help lists all commands.");
    return 0;
}

static const struct group {
    const char *name, *unit;
    void (*usage)(FILE *f);
} groups[] = {{RBE_PROGRAM, "command", usage},
              {RBE_PROGRAM " eval", "evaluation", usage_eval}};

/* Finds the command that argv[1] names in this group, and runs it with what follows. */
static int run(const struct group *g, int argc, const char **argv)
{
    char name[64];

    if (argc < 2) {
        if (g == groups && isatty(STDOUT_FILENO))
            return greet();
        g->usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        g->usage(stdout);
        return 0;
    }
#ifndef RBE_RUN
    for (int i = 1; g == &groups[1] && *argv[1] == '-' && i < argc; i++)
        if (!strcmp(argv[i], "--tasks") || !strncmp(argv[i], "--tasks=", 8))
            return rbe_eval_tasks(argc, argv);
#endif
    snprintf(name, sizeof name, "%s %s", g->name, argv[1]);
    const struct rbe_command *c = strchr(argv[1], ' ') ? NULL : rbe_command_find(name);
    if (c)
        return c->run ? rbe_command_run(c, argc - 1, argv + 1)
                      : run(&groups[1], argc - 1, argv + 1);
#ifndef RBE_RUN
    if (g == &groups[1] && rbe_eval_is_task(argv[1])) {
        fprintf(stderr, "%s: '%s' is a task: %s comprehension %s, or %s --tasks %s\n", g->name,
                argv[1], g->name, argv[1], g->name, argv[1]);
        return 2;
    }
#endif
    struct rbe_nearest near = rbe_nearest_to(argv[1]);
    for (c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, g->name))
            rbe_nearest_try(&near, rbe_command_word(c, g->name));
#ifndef RBE_RUN
    if (g == &groups[1])
        rbe_nearest_try(&near, "--tasks");
#endif
    fprintf(stderr, "%s: unknown %s '%s'%s; valid:", g->name, g->unit, argv[1],
            rbe_nearest_hint(&near).text);
    for (c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, g->name))
            fprintf(stderr, " %s", rbe_command_word(c, g->name));
    fputc('\n', stderr);
    return 2;
}

/* rbe man [COMMAND [WHAT]]: the manual page, for scripts/manpages.sh; rbe man examples
 * short|long: all examples as lines of a shell, for the job docs. */
static int man(int argc, const char **argv)
{
    const char *args[5] = {RBE_PROGRAM};
    int n = 1;

    if (argc == 2 && !strcmp(argv[0], "examples") &&
        (!strcmp(argv[1], "short") || !strcmp(argv[1], "long"))) {
        rbe_print_examples(stdout, !strcmp(argv[1], "long"));
        return 0;
    }
    if (argc > 2 || (argc && !strcmp(argv[0], "--help"))) {
        fputs(RBE_PROGRAM " man: want a COMMAND, or COMMAND WHAT\n", stderr);
        return 2;
    }
    rbe_help_as_man();
    for (int i = 0; i < argc; i++)
        args[n++] = argv[i];
    args[n++] = "--help";
    return run(&groups[0], n, args);
}

int main(int argc, char **argv)
{
    const char **args = (const char **)argv;
    int code = rbe_start(RBE_PROGRAM, rbe_commit);

    if (code)
        return code;
    rbe_json_watch();
    if (argc > 1 && !strcmp(argv[1], "--version"))
        puts("rbe-bench " RBE_VERSION);
    else if (argc > 1 && !strcmp(argv[1], "help"))
        usage(stdout);
    else if (argc > 1 && !strcmp(argv[1], "man"))
        code = man(argc - 2, args + 2);
    else
        code = run(&groups[0], argc, args);
    return rbe_finish(RBE_PROGRAM, code, "what was printed is not whole");
}
