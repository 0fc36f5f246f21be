/*
 * command.c - option parsing by popt, and error lines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/progress.h"
#include "cli/command.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpus.h"

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

/* --- options ------------------------------------------------------------------------------ */

static bool is_end(const struct poptOption *o)
{
    return !o->longName && !o->shortName && !o->arg;
}

static bool is_number(const struct poptOption *o)
{
    switch (o->argInfo & POPT_ARG_MASK) {
    case POPT_ARG_INT:
    case POPT_ARG_LONGLONG:
    case POPT_ARG_FLOAT:
    case POPT_ARG_DOUBLE: return true;
    default: return false;
    }
}

static const struct range {
    const char *command, *option;
    double least, most;
} ranges[] = {
#define RBE_NUMBER(command, option, least, most) {command, option, least, most},
#include "cli/numbers.def"
#undef RBE_NUMBER
};

static const struct range *range_of(const char *command, const char *option)
{
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (!strcmp(ranges[i].command, command) && !strcmp(ranges[i].option, option))
            return &ranges[i];
    return NULL;
}

struct poptOption *rbe_numbers_as_texts(const struct poptOption *table, const char *program)
{
    size_t n = 0;

    while (!is_end(&table[n]))
        n++;
    struct poptOption *copy = calloc(n + 1, sizeof *copy);
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = table[i];
        if (!is_number(&table[i]))
            continue;
        assert(range_of(program, table[i].longName));
        copy[i].argInfo = POPT_ARG_STRING;
        copy[i].arg = NULL;
        copy[i].val = (int)i + 1;
    }
    return copy;
}

/* A decimal number, nothing before or behind it; not finite where it is too large. */
static bool read_number(const char *text, bool whole, double *v)
{
    const char *digits = text + (*text == '-' || *text == '+');
    char *end;

    /* strtod() would take blanks, "nan", "inf" and hexadecimal. */
    if (!isdigit((unsigned char)*digits) && (whole || *digits != '.'))
        return false;
    if (whole && digits[strspn(digits, "0123456789")])
        return false;
    *v = strtod(text, &end);
    return end != text && !*end && !strpbrk(text, "xX");
}

/* The text of an option into its number; says what is wrong with it. */
static bool set_number(const struct poptOption *o, const char *text, const char *program)
{
    const unsigned type = o->argInfo & POPT_ARG_MASK;
    const bool whole = type == POPT_ARG_INT || type == POPT_ARG_LONGLONG;
    const struct range *r = range_of(program, o->longName);
    double v;

    if (!read_number(text, whole, &v)) {
        fprintf(stderr, "%s: --%s: '%s' is no %snumber\n", program, o->longName, text,
                whole ? "whole " : "");
        return false;
    }
    if (!(v >= r->least && v <= r->most)) {
        fprintf(stderr, "%s: --%s: '%s' is out of range: from %.10g to %.10g\n", program,
                o->longName, text, r->least, r->most);
        return false;
    }
    if (type == POPT_ARG_INT)
        *(int *)o->arg = (int)v;
    else if (type == POPT_ARG_LONGLONG)
        *(long long *)o->arg = strtoll(text, NULL, 10);
    else if (type == POPT_ARG_FLOAT)
        *(float *)o->arg = (float)v;
    else
        *(double *)o->arg = v;
    return true;
}

bool rbe_read_options(poptContext c, const struct poptOption *table, const char *program)
{
    bool good = true;
    int rc;

    while (good && (rc = poptGetNextOpt(c)) > 0) {
        char *text = poptGetOptArg(c);
        good = set_number(&table[rc - 1], text ? text : "", program);
        free(text);
    }
    if (good && rc < -1)
        fprintf(stderr, "%s: %s: %s\n", program, poptBadOption(c, POPT_BADOPTION_NOALIAS),
                poptStrerror(rc));
    return good && rc == -1;
}

bool rbe_parse(int argc, const char **argv, const struct poptOption *table, const char *usage,
               const char *about, const char ***args, int *count, int *code)
{
    int help = 0;
    const struct poptOption own[] = {
        {"help", 'h', POPT_ARG_NONE, &help, 0, "show this text", NULL}, POPT_TABLEEND};
    static char name[64];       /* popt's help shows argv[0], long after this returned */
    /* Kept, and reachable, to the end of the process: the arguments live in it. */
    static poptContext c;
    static struct poptOption *texts;

    *args = NULL;
    *count = 0;
    *code = 0;
    snprintf(name, sizeof name, "rbe %s", argv[0]);
    argv[0] = name;
    if (!(texts = rbe_numbers_as_texts(table, name))) {
        fprintf(stderr, "%s: out of memory\n", name);
        *code = 1;
        return false;
    }
    const struct poptOption parsed[] = {
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, texts, 0, NULL, NULL},
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)own, 0, NULL, NULL},
        POPT_TABLEEND};
    if (!(c = poptGetContext(name, argc, argv, parsed, 0))) {
        fprintf(stderr, "%s: out of memory\n", name);
        *code = 1;
        return false;
    }
    if (!rbe_read_options(c, table, name)) {
        *code = 2;
        return false;
    }
    if (help) {
        const struct poptOption shown[] = {
            {NULL, 0, POPT_ARG_INCLUDE_TABLE, (void *)(uintptr_t)table, 0, "Options:", NULL},
            own[0], POPT_TABLEEND};
        char line[256];
        snprintf(line, sizeof line, "[OPTION...]%s%s", *usage ? " " : "", usage);
        if (as_man) {
            rbe_man_head(stdout, name, description, line);
            rbe_man_text(stdout, "DESCRIPTION", about);
            rbe_man_options(stdout, shown);
            rbe_man_tail(stdout, "rbe(1), rbe-bench(1), rbe-measure(1)");
        } else {
            poptContext h = poptGetContext(name, argc, argv, shown, 0);
            if (!h) {
                fprintf(stderr, "%s: out of memory\n", name);
                *code = 1;
                return false;
            }
            poptSetOtherOptionHelp(h, line);
            poptPrintHelp(h, stdout, 0);
            printf("\n%s\n", about);
            poptFreeContext(h);
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

/* rbe_parse() has put the program's name before argv[0] already. */
static const char *bare(const char *command)
{
    return strncmp(command, "rbe ", 4) ? command : command + 4;
}

void rbe_warn_threads(const char *command, unsigned threads)
{
    const double quota = rbe_cpu_quota();
    const unsigned allowed = rbe_cpus_allowed();
    const double cpus = quota > 0 && quota < allowed ? quota : allowed;
    char line[160];

    if (!rbe_oversubscribed(threads))
        return;
    snprintf(line, sizeof line, "rbe %s: %u thread%s on %.3g CPU%s: they wait for each other, "
             "and times of this run say little", bare(command), threads,
             threads > 1 ? "s" : "", cpus, cpus > 1 ? "s" : "");
    rbe_progress_hold(line);
}

int rbe_report_failure(const char *command, enum rbe_status s, const struct rbe_diag *d)
{
    rbe_progress_clear();
    rbe_progress_release(!s);
    if (s)
        fprintf(stderr, "rbe %s: %s\n", bare(command),
                d && d->text[0] ? d->text : rbe_strerror(s));
    return rbe_exit_code(s);
}
