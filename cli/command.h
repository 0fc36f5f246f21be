/*
 * command.h - what commands are, and what they share: their parser, their help, error lines.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_COMMAND_H
#define RBE_CLI_COMMAND_H

#include <popt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"
#include "rbe/container.h"

/* How a command was called. */
struct rbe_call {
    const char *name;           /* "rbe eval edge" */
    const char **args;          /* what is no option, NULL-terminated; stays to the end */
    int count;
    int code;                   /* exit status in the place of the usual one, or 0 */
};

/* rbe-run is the same program with the commands that generate text. */
#ifdef RBE_RUN
#define RBE_PROGRAM "rbe-run"
#else
#define RBE_PROGRAM "rbe"
#endif

enum rbe_option_kind {
    RBE_OPTION_END, RBE_OPTION_MOVED, RBE_OPTION_SWITCH, RBE_OPTION_TEXT, RBE_OPTION_TEXTS,
    RBE_OPTION_INT,
    RBE_OPTION_UNSIGNED, RBE_OPTION_LONG, RBE_OPTION_SEED, RBE_OPTION_FLOAT, RBE_OPTION_DOUBLE,
};

/* A row of cli/commands.def. */
struct rbe_command_option {
    enum rbe_option_kind kind;
    const char *name;           /* may have _ for - */
    char letter;
    size_t at;                  /* of its value in the command's struct, or: */
    double least, most;
    const char *arg, *text;     /* text NULL: no help shows it */
    int *variable;
};

struct rbe_example {
    const char *text, *line;
    bool is_long;               /* or needs files that do not ship */
};

struct rbe_command {
    /* name: with the program's; what: NULL when hidden */
    const char *name, *what, *usage, *about;
    const struct rbe_command_option *(*options)(void);  /* NULL: a group of commands */
    const struct rbe_example *examples;         /* the last one has no line */
    void (*defaults)(void *values);
    struct rbe_call *values;    /* the command's struct, which begins so */
    size_t size;                /* of it */
    enum rbe_status (*run)(void *values, struct rbe_diag *d);   /* NULL: a program of its own */
};
extern const struct rbe_command rbe_commands[];     /* the last one has no name */

/* The command of this name, or NULL. */
const struct rbe_command *rbe_command_find(const char *name);
/* The word of c behind the name of a group ("rbe", "rbe eval"), NULL if it is none of it, or is
 * hidden. */
const char *rbe_command_word(const struct rbe_command *c, const char *group);

/* Runs it with argv[0] the command; returns the exit status: 0 ok, 1 failed, 2 usage. */
int rbe_command_run(const struct rbe_command *c, int argc, const char **argv);

/*
 * The parts of that, for a program of its own.  The popt table of a command over its struct,
 * which is set to the defaults; it lives to the end of the process, and there is one.  Numbers
 * are texts in it, which rbe_read_options() reads in decimal and holds to their range: popt
 * itself takes an empty text for 0, "010" for 8, and "nan".  On a bad option it prints one line
 * and is false.
 */
struct poptOption *rbe_option_table(const struct rbe_command *c);
bool rbe_read_options(poptContext popt, const struct rbe_command *c);

/* --help of a command; `see`: the pages that its manual page names.  False: out of memory. */
bool rbe_print_help(const struct rbe_command *c, const struct poptOption *table,
                    const char *see);

/* In the place of the command's argument i, a model's name or path, its path. */
enum rbe_status rbe_call_model(struct rbe_call *call, int i, struct rbe_diag *d);
/* The path of the only argument, which may be left out for the usual model. */
enum rbe_status rbe_call_only_model(const char **path, struct rbe_call *call, const char *usual,
                                    struct rbe_diag *d);

/* Prints every example as lines of a shell, those that are long too or not. */
void rbe_print_examples(FILE *f, bool is_long);

/* A text of the list with what {} and other words in braces stand for. */
void rbe_option_text(char *out, size_t size, const char *text,
                     const struct rbe_command_option *o, const void *values);
/* An option's name as it is typed. */
void rbe_option_name(char *out, size_t size, const struct rbe_command_option *o);

/* What --help of a group prints: usage ("COMMAND ..."), a sentence, its commands, and a closing
 * text. */
void rbe_print_group(FILE *f, const char *group, const char *what, const char *usage,
                     const char *about, const char *closing);

/* From here on --help prints a manual page. */
void rbe_help_as_man(void);

/* "rbe", or "rbe-run" where the commands are its. */
const char *rbe_program(void);

/* Says on stderr that there are more threads than CPUs, when there are: at the command's first
 * progress, at rbe_progress_release(true), or at its good end. */
void rbe_warn_threads(const char *command, unsigned threads);

/* Prints "rbe COMMAND: text" (rbe_program()) on stderr and returns the exit status for s. */
int rbe_report_failure(const char *command, enum rbe_status s, const struct rbe_diag *d);

/* The beginning of a program that was built from this commit: 0, or its exit status. */
int rbe_start(const char *program, const char *commit);
/* The end of a program: its exit status, unless its output could not be written or a shortage
 * of memory left something out, which `lost` names. */
int rbe_finish(const char *program, int code, const char *lost);

#endif
