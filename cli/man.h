/*
 * man.h - manual pages from what --help prints: the same option tables, the same sentences.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_CLI_MAN_H
#define RBE_CLI_MAN_H

#include <popt.h>
#include <stdio.h>

struct rbe_command;

/* The head of a page of section 1: "rbe eval" becomes rbe-eval, `what` its one line, and
 * `usage` what stands behind the name in the synopsis. */
void rbe_man_head(FILE *f, const char *name, const char *what, const char *usage);
/* The options of a popt table and of the tables it includes. */
void rbe_man_options(FILE *f, const struct poptOption *table);
/* A section of text: lines that begin with a blank keep their breaks, the others flow. */
void rbe_man_text(FILE *f, const char *section, const char *text);
/* The examples of a command, where it has any. */
void rbe_man_examples(FILE *f, const struct rbe_command *c);

/* The first example of every command of a group. */
void rbe_man_group_examples(FILE *f, const char *group);
/* The commands of a group. */
void rbe_man_commands(FILE *f, const char *group);
/* EXIT STATUS and SEE ALSO; `see` is a list of pages such as "rbe(1), rbe-eval(1)". */
void rbe_man_tail(FILE *f, const char *see);

#endif
