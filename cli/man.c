/*
 * man.c - writes manual pages, in the macros of man(7).
 *
 * SPDX-License-Identifier: MIT
 */
#include "cli/man.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#include "base/version.h"
#include "cli/command.h"

/* roff's own characters escaped; `line_start` when a line begins with s. */
static void put(FILE *f, const char *s, bool line_start)
{
    if (line_start && (*s == '.' || *s == '\''))
        fputs("\\&", f);
    for (; *s; s++)
        switch (*s) {
        case '\\': fputs("\\e", f); break;
        case '-': fputs("\\-", f); break;
        case '\'': fputs("\\(aq", f); break;
        case '`': fputs("\\(ga", f); break;
        case '^': fputs("\\(ha", f); break;
        case '~': fputs("\\(ti", f); break;
        default: putc(*s, f);
        }
}

static void put_page_name(FILE *f, const char *name, bool upper)
{
    for (; *name; name++) {
        const char c = *name == ' ' ? '-' : *name;
        if (c == '-')
            fputs("\\-", f);
        else
            putc(upper ? toupper((unsigned char)c) : c, f);
    }
}

void rbe_man_head(FILE *f, const char *name, const char *what, const char *usage)
{
    fputs(".\\\" made from the text of --help\n.TH ", f);
    put_page_name(f, name, true);
    fprintf(f, " 1 %s \"rbe\\-bench %s\" \"User Commands\"\n.SH NAME\n", RBE_VERSION_DATE,
            RBE_VERSION);
    put_page_name(f, name, false);
    fputs(" \\- ", f);
    put(f, what, false);
    fputs("\n.SH SYNOPSIS\n.B ", f);
    put(f, name, false);
    putc('\n', f);
    if (*usage) {
        put(f, usage, true);
        putc('\n', f);
    }
}

static void put_options(FILE *f, const struct poptOption *o)
{
    for (; o->longName || o->shortName || o->arg; o++) {
        if ((o->argInfo & POPT_ARG_MASK) == POPT_ARG_INCLUDE_TABLE) {
            put_options(f, o->arg);
            continue;
        }
        if (o->argInfo & POPT_ARGFLAG_DOC_HIDDEN)
            continue;
        fputs(".TP\n\\fB", f);
        if (o->shortName)
            fprintf(f, "\\-%c%s", o->shortName, o->longName ? "\\fR, \\fB" : "");
        if (o->longName) {
            fputs("\\-\\-", f);
            put(f, o->longName, false);
        }
        fputs("\\fR", f);
        if (o->argDescrip) {
            fputs("=\\fI", f);
            put(f, o->argDescrip, false);
            fputs("\\fR", f);
        }
        putc('\n', f);
        put(f, o->descrip ? o->descrip : "", true);
        putc('\n', f);
    }
}

void rbe_man_options(FILE *f, const struct poptOption *table)
{
    fputs(".SH OPTIONS\n", f);
    put_options(f, table);
}

void rbe_man_text(FILE *f, const char *section, const char *text)
{
    bool filled = true, empty = true;

    fprintf(f, ".SH %s\n", section);
    while (*text) {
        char line[512];
        const size_t n = strcspn(text, "\n");
        const bool keep = *text == ' ';
        snprintf(line, sizeof line, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
        if (!*line) {
            if (!empty && *text)
                fputs(filled ? ".PP\n" : "\n", f);
            empty = true;
            continue;
        }
        if (keep && filled)
            fputs(".nf\n", f);
        if (!keep && !filled)
            fputs(".fi\n", f);
        filled = !keep;
        empty = false;
        put(f, line, true);
        putc('\n', f);
    }
    if (!filled)
        fputs(".fi\n", f);
}

void rbe_man_commands(FILE *f, const char *group)
{
    fputs(".SH COMMANDS\n", f);
    for (const struct rbe_command *c = rbe_commands; c->name; c++) {
        const char *word = rbe_command_word(c, group);
        if (!word)
            continue;
        fputs(".TP\n.B ", f);
        put(f, word, false);
        putc('\n', f);
        put(f, c->what, true);
        putc('\n', f);
    }
}

static void put_example(FILE *f, const struct rbe_example *e, bool first)
{
    fputs(first ? ".SH EXAMPLES\n" : ".PP\n", f);
    put(f, e->text, true);
    fputs(":\n.PP\n.nf\n.RS\n", f);
    put(f, e->line, true);
    fputs("\n.RE\n.fi\n", f);
}

void rbe_man_examples(FILE *f, const struct rbe_command *c)
{
    for (const struct rbe_example *e = c->examples; e->line; e++)
        put_example(f, e, e == c->examples);
}

void rbe_man_group_examples(FILE *f, const char *group)
{
    bool first = true;

    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, group) && c->examples && c->examples->line) {
            put_example(f, c->examples, first);
            first = false;
        }
}

void rbe_man_tail(FILE *f, const char *see)
{
    fputs(".SH EXIT STATUS\n0: success; 1: failure, with the reason on standard error; 2: "
          "wrong command line;\nothers are described above.\n.SH SEE ALSO\n", f);
    put(f, see, true);
    putc('\n', f);
}
