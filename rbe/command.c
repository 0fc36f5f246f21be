/*
 * command.c - option parsing by popt, and error lines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/command.h"

#include <stdint.h>
#include <stdio.h>

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
    c = poptGetContext(name, argc, argv, all, 0);
    char line[256];
    snprintf(line, sizeof line, "[OPTION...] %s", usage);
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
        poptPrintHelp(c, stdout, 0);
        printf("\n%s\n", about);
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
    if (s)
        fprintf(stderr, "rbe %s: %s\n", command,
                d && d->text[0] ? d->text : rbe_strerror(s));
    return rbe_exit_code(s);
}
