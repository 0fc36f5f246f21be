/*
 * main.c - the programs rbe and rbe-run: finds the command in cli/commands.def and runs it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/commit.h"
#include "base/json.h"
#include "base/version.h"
#include "cli/command.h"
#include "kernels/cpu.h"

#ifdef RBE_RUN
#define WHAT "models in Riemannian Basis Encoding: run"
#else
#define WHAT "GPT-2 in Riemannian Basis Encoding: convert, run, measure"
#endif

static void usage(FILE *f)
{
    char closing[384];

    snprintf(closing, sizeof closing, RBE_PROGRAM " COMMAND --help explains one; " RBE_PROGRAM
             " --version says which this is.\nRBE_DISABLE_ISA=NAME,... masks CPU features "
             "(%s).\nRBE_ACTIVATIONS=8 or 16: the bits of activations in products of integers.",
             rbe_isa_names());
    rbe_print_group(f, RBE_PROGRAM, WHAT, "COMMAND [OPTION...] ...", WHAT ".", closing);
}

static void usage_eval(FILE *f)
{
    static const char eval[] = RBE_PROGRAM " eval";

    rbe_print_group(f, eval, rbe_command_find(eval)->what, "WHAT [OPTION...]",
                    "Measures a model, or compares models with the first one.",
                    RBE_PROGRAM " eval WHAT --help explains one.  "
                    "Result lines: docs/RESULTS.md.");
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
        g->usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        g->usage(stdout);
        return 0;
    }
    snprintf(name, sizeof name, "%s %s", g->name, argv[1]);
    const struct rbe_command *c = strchr(argv[1], ' ') ? NULL : rbe_command_find(name);
    if (c)
        return c->run ? rbe_command_run(c, argc - 1, argv + 1)
                      : run(&groups[1], argc - 1, argv + 1);
    fprintf(stderr, "%s: unknown %s '%s'; valid:", g->name, g->unit, argv[1]);
    for (c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, g->name))
            fprintf(stderr, " %s", rbe_command_word(c, g->name));
    fputc('\n', stderr);
    return 2;
}

/* rbe man [COMMAND [WHAT]]: the manual page, for scripts/manpages.sh. */
static int man(int argc, const char **argv)
{
    const char *args[5] = {RBE_PROGRAM};
    int n = 1;

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
