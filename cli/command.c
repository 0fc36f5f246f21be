/*
 * command.c - option parsing by popt, help, and error lines.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cli/command.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpus.h"
#include "base/file.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/progress.h"
#include "base/result.h"
#include "cli/man.h"
#include "kernels/formats.h"
#include "model/config.h"
#include "model/names.h"

static bool as_man;             /* how --help looks */
static const char see_also[] = "rbe(1), rbe-bench(1), rbe-measure(1)";

void rbe_help_as_man(void)
{
    as_man = true;
}

const struct rbe_command *rbe_command_find(const char *name)
{
    const struct rbe_command *c = rbe_commands;

    while (c->name && strcmp(c->name, name))
        c++;
    return c->name ? c : NULL;
}

const char *rbe_command_word(const struct rbe_command *c, const char *group)
{
    const size_t n = strlen(group);

    return c->what && !strncmp(c->name, group, n) && c->name[n] == ' ' &&
           !strchr(c->name + n + 1, ' ') ? c->name + n + 1 : NULL;
}

void rbe_print_group(FILE *f, const char *group, const char *what, const char *usage,
                     const char *about, const char *closing)
{
    int wide = 0;

    if (as_man) {
        char text[512];
        snprintf(text, sizeof text, "%s\n%s", about, closing);
        rbe_man_head(f, group, what, usage);
        rbe_man_text(f, "DESCRIPTION", text);
        rbe_man_commands(f, group);
        rbe_man_group_examples(f, group);
        rbe_man_tail(f, see_also);
        return;
    }
    for (const struct rbe_command *c = rbe_commands; c->name; c++) {
        const char *word = rbe_command_word(c, group);
        if (word && (int)strlen(word) > wide)
            wide = (int)strlen(word);
    }
    fprintf(f, "Usage: %s %s\n%s\n\n", group, usage, about);
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, group))
            fprintf(f, "  %-*s  %s\n", wide, rbe_command_word(c, group), c->what);
    fprintf(f, "\n%s\n", closing);
}

/* --- what texts say ----------------------------------------------------------------------- */

void rbe_option_name(char *out, size_t size, const struct rbe_command_option *o)
{
    snprintf(out, size, "%s", o->name);
    for (; *out; out++)
        *out = *out == '_' ? '-' : *out;
}

static void *place_of(const struct rbe_command_option *o, const void *values)
{
    return o->variable ? (void *)o->variable : (char *)(uintptr_t)values + o->at;
}

static void value_text(char *out, size_t size, const struct rbe_command_option *o,
                       const void *values)
{
    const void *p = place_of(o, values);

    switch (o->kind) {
    case RBE_OPTION_TEXT: snprintf(out, size, "%s", *(char *const *)p); break;
    case RBE_OPTION_INT: snprintf(out, size, "%d", *(const int *)p); break;
    case RBE_OPTION_UNSIGNED: snprintf(out, size, "%u", *(const uint32_t *)p); break;
    case RBE_OPTION_LONG: snprintf(out, size, "%lld", *(const long long *)p); break;
    case RBE_OPTION_SEED: snprintf(out, size, "%lld", (long long)*(const uint64_t *)p); break;
    case RBE_OPTION_FLOAT: snprintf(out, size, "%g", (double)*(const float *)p); break;
    case RBE_OPTION_DOUBLE: snprintf(out, size, "%g", *(const double *)p); break;
    default: assert(!"an option with a default"); break;
    }
}

/* Every codec, what it is, and its block sizes: a line each. */
static void codec_table(char *out, size_t size)
{
    size_t at = 0;

    for (int f = 0; f < RBE_FORMAT_COUNT && at < size; f++) {
        const struct rbe_format_facts *facts = rbe_format_facts((enum rbe_format)f);
        char blocks[64];
        at += (size_t)snprintf(out + at, size - at, "%s  %-10s %s%s%s", f ? "\n" : "",
                               facts->name, facts->about, facts->max_block ? "; B = " : "",
                               facts->max_block ? rbe_format_blocks(blocks, sizeof blocks,
                                                                    (enum rbe_format)f) : "");
    }
}

void rbe_option_text(char *out, size_t size, const char *text,
                     const struct rbe_command_option *o, const void *values)
{
    size_t at = 0;

    while (*text && at + 1 < size) {
        const size_t plain = strcspn(text, "{");
        const size_t word = text[plain] ? strcspn(text + plain, "}") : 0;
        at += (size_t)snprintf(out + at, size - at, "%.*s", (int)plain, text);
        text += plain;
        if (!word || at >= size)
            break;
        if (word == 1)
            value_text(out + at, size - at, o, values);
        else if (!strncmp(text, "{codecs}", word + 1))
            rbe_format_names(out + at, size - at, " ", NULL);
        else if (!strncmp(text, "{codec table}", word + 1))
            codec_table(out + at, size - at);
        else if (!strncmp(text, "{sizes}", word + 1))
            rbe_model_config_sizes(out + at, size - at, RBE_ARCH_COUNT, " or ");
        at += strlen(out + at);
        text += word + 1;
    }
    assert(at < size);
}

/* --- options ------------------------------------------------------------------------------ */

enum { MOST_OPTIONS = 64 };

struct poptOption *rbe_option_table(const struct rbe_command *c)
{
    static struct poptOption table[MOST_OPTIONS + 1];
    static char words[16384];   /* names and texts */
    const size_t room = sizeof words;
    size_t at = 0, n = 0;

    c->defaults(c->values);
    for (const struct rbe_command_option *o = c->options(); o->kind; o++) {
        struct poptOption *p = &table[n++];
        assert(n <= MOST_OPTIONS);
        if (o->kind == RBE_OPTION_MOVED) {
            *p = (struct poptOption){.shortName = o->letter, .val = (int)n,
                                     .argInfo = POPT_ARG_STRING | POPT_ARGFLAG_DOC_HIDDEN};
            continue;
        }
        rbe_option_name(words + at, room - at, o);
        *p = (struct poptOption){.longName = words + at, .shortName = o->letter,
                                 .argDescrip = o->arg};
        at += strlen(words + at) + 1;
        if (o->text) {
            rbe_option_text(words + at, room - at, o->text, o, c->values);
            p->descrip = words + at;
            at += strlen(words + at) + 1;
        }
        switch (o->kind) {
        case RBE_OPTION_SWITCH: p->argInfo = POPT_ARG_NONE; break;
        case RBE_OPTION_TEXTS: p->argInfo = POPT_ARG_ARGV; break;
        default: p->argInfo = POPT_ARG_STRING; break;
        }
        if (o->kind < RBE_OPTION_INT)
            p->arg = place_of(o, c->values);
        else
            p->val = (int)n;
        if (!o->text)
            p->argInfo |= POPT_ARGFLAG_DOC_HIDDEN;
    }
    table[n] = (struct poptOption)POPT_TABLEEND;
    return table;
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

/* Where a letter of this option was another one's: what it means now. */
static const char *moved(const struct rbe_command *c, const char *name)
{
    for (const struct rbe_command_option *o = c->options(); o->kind; o++)
        if (o->kind == RBE_OPTION_MOVED && !strcmp(o->name, name))
            return o->text;
    return NULL;
}

/* The text of an option into its number; says what is wrong with it. */
static bool set_number(const struct rbe_command_option *o, const char *text,
                       const struct rbe_command *c)
{
    const bool whole = o->kind < RBE_OPTION_FLOAT;
    void *p = place_of(o, c->values);
    char name[64];
    double v;

    rbe_option_name(name, sizeof name, o);
    if (!read_number(text, whole, &v)) {
        const char *now = moved(c, o->name);
        fprintf(stderr, "%s: --%s: '%s' is no %snumber%s%s\n", c->name, name, text,
                whole ? "whole " : "", now ? ": " : "", now ? now : "");
        return false;
    }
    if (!(v >= o->least && v <= o->most)) {
        fprintf(stderr, "%s: --%s: '%s' is out of range: from %.10g to %.10g\n", c->name, name,
                text, o->least, o->most);
        return false;
    }
    switch (o->kind) {
    case RBE_OPTION_INT: *(int *)p = (int)v; break;
    case RBE_OPTION_UNSIGNED: *(uint32_t *)p = (uint32_t)v; break;
    case RBE_OPTION_LONG: *(long long *)p = strtoll(text, NULL, 10); break;
    case RBE_OPTION_SEED: *(uint64_t *)p = (uint64_t)strtoll(text, NULL, 10); break;
    case RBE_OPTION_FLOAT: *(float *)p = (float)v; break;
    default: *(double *)p = v; break;
    }
    return true;
}

static bool is_model(const struct rbe_command_option *o)
{
    return o->arg && !strcmp(o->arg, "MODEL");
}

/* Models of options by their names: popt's strings, or a default, become paths. */
static enum rbe_status find_models(const struct rbe_command *c, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (const struct rbe_command_option *o = c->options(); o->kind && !err; o++) {
        char **one[] = {place_of(o, c->values), NULL};
        char **list = !is_model(o) ? NULL : o->kind == RBE_OPTION_TEXTS
                      ? *(char ***)place_of(o, c->values) : one[0];
        const bool many = o->kind == RBE_OPTION_TEXTS;
        for (; list && *list && !err; list = many ? list + 1 : NULL) {
            char *path;
            if (!(err = rbe_model_find(&path, *list, d)))
                *list = path;
        }
    }
    return err;
}

/* An option that is none: what it may have been. */
static struct rbe_nearest_hint nearest_option(const char *typed, const struct rbe_command *c)
{
    struct rbe_nearest near = rbe_nearest_to(typed);

    rbe_nearest_try(&near, "--help");
    for (const struct rbe_command_option *o = c->options(); o->kind; o++) {
        char name[64] = "--";
        if (!o->text || o->kind == RBE_OPTION_MOVED)
            continue;
        rbe_option_name(name + 2, sizeof name - 2, o);
        rbe_nearest_try(&near, name);
    }
    return rbe_nearest_hint(&near);
}

bool rbe_read_options(poptContext popt, const struct rbe_command *c)
{
    bool good = true;
    int rc;

    while (good && (rc = poptGetNextOpt(popt)) > 0) {
        char *text = poptGetOptArg(popt);
        const struct rbe_command_option *o = &c->options()[rc - 1];
        if (o->kind == RBE_OPTION_MOVED) {
            fprintf(stderr, "%s: -%c: %s\n", c->name, o->letter, o->text);
            good = false;
        } else {
            good = set_number(o, text ? text : "", c);
        }
        free(text);
    }
    if (good && rc < -1) {
        const char *bad = poptBadOption(popt, POPT_BADOPTION_NOALIAS);
        const bool none = rc == POPT_ERROR_BADOPT && !strncmp(bad, "--", 2);
        fprintf(stderr, "%s: %s: %s%s\n", c->name, bad, poptStrerror(rc),
                none ? nearest_option(bad, c).text : "");
    }
    return good && rc == -1;
}

static void print_examples(FILE *f, const struct rbe_command *c, const char *indent)
{
    if (c->examples->line)
        fputs("\nExamples:\n", f);
    for (const struct rbe_example *e = c->examples; e->line; e++)
        fprintf(f, "%s# %s\n%s%s\n", indent, e->text, indent, e->line);
}

void rbe_print_examples(FILE *f, bool is_long)
{
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        for (const struct rbe_example *e = c->examples; e && e->line; e++)
            if (e->is_long == is_long)
                fprintf(f, "# %s: %s\n%s\n", c->name, e->text, e->line);
}

bool rbe_print_help(const struct rbe_command *c, const struct poptOption *table,
                    const char *see)
{
    const char *argv[] = {c->name, NULL};
    char line[256], about[2048];

    snprintf(line, sizeof line, "[OPTION...]%s%s", *c->usage ? " " : "", c->usage);
    rbe_option_text(about, sizeof about, c->about, NULL, NULL);
    if (as_man) {
        rbe_man_head(stdout, c->name, c->what, line);
        rbe_man_text(stdout, "DESCRIPTION", about);
        rbe_man_options(stdout, table);
        rbe_man_examples(stdout, c);
        rbe_man_tail(stdout, see);
        return true;
    }
    poptContext popt = poptGetContext(c->name, 1, argv, table, 0);
    if (!popt)
        return false;
    poptSetOtherOptionHelp(popt, line);
    poptPrintHelp(popt, stdout, 0);
    printf("\n%s\n", about);
    print_examples(stdout, c, "  ");
    poptFreeContext(popt);
    return true;
}

static int no_memory(const char *name)
{
    fprintf(stderr, "%s: out of memory\n", name);
    return 1;
}

int rbe_command_run(const struct rbe_command *c, int argc, const char **argv)
{
    /* Kept, and reachable, to the end of the process: the arguments live in them. */
    enum { MOST_RUNS = 16 };
    static volatile poptContext kept[MOST_RUNS];
    static unsigned runs;
    static const char *none[] = {NULL};
    struct rbe_call *call = c->values;
    struct rbe_diag d = {""};
    enum rbe_status err;
    int help = 0;
    const struct poptOption all[] = {
        {NULL, 0, POPT_ARG_INCLUDE_TABLE, rbe_option_table(c), 0,
         c->options()->kind ? "Options:" : NULL, NULL},
        {"help", 'h', POPT_ARG_NONE, &help, 0, "show this text", NULL}, POPT_TABLEEND};

    call->name = argv[0] = c->name;
    poptContext popt = poptGetContext(c->name, argc, argv, all, 0);
    if (!popt)
        return no_memory(c->name);
    kept[runs++ % MOST_RUNS] = popt;
    (void)kept;
    if (!rbe_read_options(popt, c))
        return 2;
    if (help)
        return rbe_print_help(c, all, see_also) ? 0 : no_memory(c->name);
    call->args = poptGetArgs(popt);
    if (!call->args)
        call->args = none;
    while (call->args[call->count])
        call->count++;
    if ((err = find_models(c, &d)))
        return rbe_report_failure(c->name, err, &d);
    if (!*c->usage && call->count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", call->args[0]);
    else
        err = c->run(call, &d);
    const int code = rbe_report_failure(c->name, err, &d);
    return call->code ? call->code : code;
}

enum rbe_status rbe_call_model(struct rbe_call *call, int i, struct rbe_diag *d)
{
    char *path;
    const enum rbe_status err = rbe_model_find(&path, call->args[i], d);

    /* It stays to the end, as all arguments do. */
    if (!err)
        call->args[i] = path;
    return err;
}

enum rbe_status rbe_call_only_model(const char **path, struct rbe_call *call, const char *usual,
                                    struct rbe_diag *d)
{
    /* Reachable to the end. */
    static const char *args[2];

    *path = NULL;
    if (call->count > 1)
        return rbe_fail(d, RBE_ERR_ARG, "one model, not %d", call->count);
    if (!call->count) {
        args[0] = usual;
        call->args = args;
    }
    const enum rbe_status err = rbe_call_model(call, 0, d);
    if (!err)
        *path = call->args[0];
    return err;
}

const char *rbe_program(void)
{
    static const char run[] = "rbe-run";

    return strncmp(rbe_commands->name, run, sizeof run - 1) ? "rbe" : run;
}

/* What stands before a command's name, and the blank after it: a name may begin so. */
static const char *program(const char *command)
{
    return strncmp(command, "rbe", 3) ? rbe_program() : "";
}

static const char *blank(const char *command)
{
    return strncmp(command, "rbe", 3) ? " " : "";
}

void rbe_warn_threads(const char *command, unsigned threads)
{
    const double quota = rbe_cpu_quota();
    const unsigned allowed = rbe_cpus_allowed();
    const double cpus = quota > 0 && quota < allowed ? quota : allowed;
    char line[160];

    if (!rbe_oversubscribed(threads))
        return;
    snprintf(line, sizeof line, "%s%s%s: %u thread%s on %.3g CPU%s: they wait for each other, "
             "and times of this run say little", program(command), blank(command), command,
             threads, threads > 1 ? "s" : "", cpus, cpus > 1 ? "s" : "");
    rbe_progress_hold(line);
}

int rbe_report_failure(const char *command, enum rbe_status s, const struct rbe_diag *d)
{
    rbe_progress_clear();
    rbe_progress_release(!s);
    if (s)
        fprintf(stderr, "%s%s%s: %s\n", program(command), blank(command), command,
                d && d->text[0] ? d->text : rbe_strerror(s));
    return rbe_exit_code(s);
}

int rbe_start(const char *program, const char *commit)
{
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_init(&d);

    rbe_hold_standard();
    /* A reader that has gone is a write error, and none that ends a measurement. */
    signal(SIGPIPE, SIG_IGN);
    /* So is a file that may grow no further (ulimit -f): else no temporary is removed. */
    signal(SIGXFSZ, SIG_IGN);
    rbe_result_built_from(commit);
    if (err)
        fprintf(stderr, "%s: %s\n", program, d.text);
    return rbe_exit_code(err);
}

int rbe_finish(const char *program, int code, const char *lost)
{
    errno = 0;
    if (fflush(stdout) || ferror(stdout)) {
        /* What could not be written earlier has left no errno. */
        fprintf(stderr, "%s: standard output: %s\n", program,
                errno ? strerror(errno) : "could not be written");
        return code ? code : 1;
    }
    if (!code && rbe_shortages()) {
        fprintf(stderr, "%s: out of memory: %s\n", program, lost);
        return 1;
    }
    return code;
}
