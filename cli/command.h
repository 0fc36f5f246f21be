/*
 * command.h - what the subcommands of rbe share: option parsing and error lines.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_COMMAND_H
#define RBE_CLI_COMMAND_H

#include <popt.h>
#include <stdbool.h>

#include "base/status.h"
#include "cli/man.h"
#include "rbe/container.h"

/* argv[0] is the subcommand's name.  Returns the exit status: 0 ok, 1 failed, 2 usage. */
typedef int rbe_command_fn(int argc, const char **argv);

#define RBE_COMMAND(name, what) rbe_command_fn rbe_cmd_##name;
#include "cli/commands.def"
#undef RBE_COMMAND

/*
 * Parses a popt table; `usage` is what stands after the options in the first line of help
 * ("MODEL TEXT"), `about` a sentence or two below it, and every table gets --help.
 * Returns the positional arguments (NULL-terminated, valid until the program ends) in *args
 * and their number in *count.  On --help prints and returns 0 in *code; on a bad option
 * prints one line and *code is 2; then the result is false and the command returns *code.
 * argv[0] becomes "rbe COMMAND".
 */
bool rbe_parse(int argc, const char **argv, const struct poptOption *table, const char *usage,
               const char *about, const char ***args, int *count, int *code);

/*
 * Numbers of a popt table (of int, long long, float or double; no nested tables, no `val`s)
 * are read in decimal and held to cli/numbers.def; popt itself takes an empty text for 0, "010"
 * for 8, and "nan".  The copy of the table, to be freed after the context that is made with it,
 * has texts in their place (NULL: out of memory); rbe_read_options() goes through the context's
 * options and fills the numbers of `table`.  On a bad option it prints one line and is false.
 */
struct poptOption *rbe_numbers_as_texts(const struct poptOption *table, const char *program);
bool rbe_read_options(poptContext c, const struct poptOption *table, const char *program);

/* What --help of a command that only has subcommands prints: usage ("rbe COMMAND ..."), a
 * sentence, the list, and a closing text. */
void rbe_print_commands(FILE *f, const char *name, const char *usage, const char *about,
                        const struct rbe_man_item *items, size_t n, const char *closing);

/* From here on --help prints a manual page.  rbe_describe() says, before a command runs, in
 * one line what it does; only manual pages show it. */
void rbe_help_as_man(void);
void rbe_describe(const char *what);

/* A row of the popt table of whatever runs RBE models. */
#define RBE_NO_VERIFY_OPTION                                                                   \
    {"no-verify", 0, POPT_ARG_NONE, &rbe_no_verify, 0,                                         \
     "do not compare the codes of RBE models with their checksums", NULL}
/* Says on stderr that there are more threads than CPUs, when there are: at the command's first
 * progress, at rbe_progress_release(true), or at its good end. */
void rbe_warn_threads(const char *command, unsigned threads);

/* Prints "rbe COMMAND: text" on stderr and returns the exit status for s. */
int rbe_report_failure(const char *command, enum rbe_status s, const struct rbe_diag *d);

#endif
