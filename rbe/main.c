/*
 * main.c - the program rbe: finds the subcommand in commands.def and runs it.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "kernels/cpu.h"
#include "rbe/command.h"

static const struct {
    const char *name, *what;
    rbe_command_fn *run;
} commands[] = {
#define RBE_COMMAND(name, what) {#name, what, rbe_cmd_##name},
#include "rbe/commands.def"
#undef RBE_COMMAND
};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void usage(FILE *f)
{
    fprintf(f, "Usage: rbe COMMAND [OPTION...] ...\n"
               "GPT-2 in Riemannian Basis Encoding: convert, run, measure.\n\n");
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(f, "  %-10s %s\n", commands[i].name, commands[i].what);
    fprintf(f, "\nrbe COMMAND --help explains one.  RBE_DISABLE_ISA=NAME,... masks CPU "
               "features\n(%s).\n", rbe_isa_names());
}

int main(int argc, char **argv)
{
    const char *bad = rbe_cpu_init();

    if (bad) {
        fprintf(stderr, "rbe: RBE_DISABLE_ISA: unknown name '%s'; valid: %s\n", bad,
                rbe_isa_names());
        return 2;
    }
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        usage(stdout);
        return 0;
    }
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(argv[1], commands[i].name)) {
            const int code = commands[i].run(argc - 1, (const char **)argv + 1);
            if (fflush(stdout) || ferror(stdout)) {
                perror("rbe: standard output");
                return code ? code : 1;
            }
            return code;
        }
    fprintf(stderr, "rbe: unknown command '%s'; valid:", argv[1]);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(stderr, " %s", commands[i].name);
    fputc('\n', stderr);
    return 2;
}
