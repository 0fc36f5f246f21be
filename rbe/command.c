/*
 * command.c - option parsing by popt, and error lines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/command.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* How --help looks, and what a manual page calls the command. */
static bool as_man;
static const char *description = "";

void rbe_help_as_man(void)
{
    as_man = true;
}

void rbe_describe(const char *what)
{
    description = what;
}

void rbe_print_commands(FILE *f, const char *name, const char *usage, const char *about,
                        const struct rbe_man_item *items, size_t n, const char *closing)
{
    if (as_man) {
        char text[512];
        snprintf(text, sizeof text, "%s\n%s", about, closing);
        rbe_man_head(f, name, description, usage);
        rbe_man_text(f, "DESCRIPTION", text);
        rbe_man_list(f, "COMMANDS", items, n);
        rbe_man_tail(f, "rbe(1), rbe-bench(1), rbe-measure(1)");
        return;
    }
    int wide = 0;
    for (size_t i = 0; i < n; i++)
        if ((int)strlen(items[i].name) > wide)
            wide = (int)strlen(items[i].name);
    fprintf(f, "Usage: %s %s\n%s\n\n", name, usage, about);
    for (size_t i = 0; i < n; i++)
        fprintf(f, "  %-*s  %s\n", wide, items[i].name, items[i].what);
    fprintf(f, "\n%s\n", closing);
}

bool rbe_parse(int argc, const char **argv, const struct poptOption *table, const char *usage,
               const char *about, const char ***args, int *count, int *code)
{
    int help = 0, rc;
    const struct poptOption all[] = {
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)table, 0, "Options:", NULL},
        {"help", 'h', POPT_ARG_NONE, &help, 0, "show this text", NULL},
        POPT_TABLEEND};
    static char name[64];       /* popt's help shows argv[0], long after this returned */

    *args = NULL;
    *count = 0;
    *code = 0;
    snprintf(name, sizeof name, "rbe %s", argv[0]);
    argv[0] = name;
    /* Kept, and reachable, to the end of the process: the arguments live in it. */
    static poptContext c;
    if (!(c = poptGetContext(name, argc, argv, all, 0))) {
        fprintf(stderr, "%s: out of memory\n", name);
        *code = 1;
        return false;
    }
    char line[256];
    snprintf(line, sizeof line, "[OPTION...]%s%s", *usage ? " " : "", usage);
    poptSetOtherOptionHelp(c, line);
    while ((rc = poptGetNextOpt(c)) > 0)
        ;
    if (rc < -1) {
        fprintf(stderr, "%s: %s: %s\n", name, poptBadOption(c, POPT_BADOPTION_NOALIAS),
                poptStrerror(rc));
        *code = 2;
        return false;
    }
    if (help) {
        if (as_man) {
            rbe_man_head(stdout, name, description, line);
            rbe_man_text(stdout, "DESCRIPTION", about);
            rbe_man_options(stdout, all);
            rbe_man_tail(stdout, "rbe(1), rbe-bench(1), rbe-measure(1)");
        } else {
            poptPrintHelp(c, stdout, 0);
            printf("\n%s\n", about);
        }
        return false;
    }
    *args = poptGetArgs(c);
    static const char *none[] = {NULL};
    if (!*args)
        *args = none;
    while ((*args)[*count])
        ++*count;
    return true;
}

int rbe_report_failure(const char *command, enum rbe_status s, const struct rbe_diag *d)
{
    /* rbe_parse() has put the program's name before argv[0] already. */
    if (s)
        fprintf(stderr, "rbe %s: %s\n", strncmp(command, "rbe ", 4) ? command : command + 4,
                d && d->text[0] ? d->text : rbe_strerror(s));
    return rbe_exit_code(s);
}
