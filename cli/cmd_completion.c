/*
 * cmd_completion.c - `rbe completion bash|zsh`: what the Tab key of a shell offers, from
 * cli/commands.def.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/nearest.h"
#include "cli/arguments.h"
#include "eval/comprehension.h"
#include "kernels/formats.h"

/* What may stand behind an option: "" what the shell's files are, NULL nothing that is known.
 * Only what no list of another room has is written here. */
static const char *values_of(const struct rbe_command_option *o)
{
    static char names[256];
    static const struct {
        const char *arg, *words;
    } known[] = {
        {"FORMAT", "md csv json jsonl sql"}, {"HOW", "parse text"},
        {"LEVEL", "fast default best"}, {"TYPE", "F16 BF16 F32"},
        {"FILE", ""}, {"PATH", ""}, {"DIR", ""}, {"FOLDER", ""}, {"NAME|FILE", ""},
        {"DIR|URL", ""},
    };

    if (!strcmp(o->name, "codec"))
        return rbe_format_names(names, sizeof names, " ", NULL);
    for (size_t i = 0; o->arg && i < sizeof known / sizeof known[0]; i++)
        if (!strcmp(known[i].arg, o->arg))
            return known[i].words;
    return NULL;
}

/* Whether an option, or the arguments of a command, are models: names, and files. */
static bool takes_models(const char *what)
{
    return what && (!strncmp(what, "MODEL", 5) || !strncmp(what, "[MODEL", 6) ||
                    !strncmp(what, "ORIGINAL", 8));
}

static void print_models(void)
{
    for (const struct rbe_named_model *m = rbe_named_models; m->name; m++)
        printf(m == rbe_named_models ? "%s" : " %s", m->name);
}

/* Of rbe eval comprehension. */
static void print_tasks(void)
{
    for (int t = 0; t < RBE_TASK_COUNT; t++)
        printf("%s%s", t ? " " : "", rbe_task_name((enum rbe_task)t));
}

/* Whether one can type it. */
static bool is_shown(const struct rbe_command_option *o)
{
    return o->text && o->kind != RBE_OPTION_MOVED;
}

/* Whether a command has options, and one can see it. */
static bool has_options(const struct rbe_command *c)
{
    return c->options && (c->what || !c->run);
}

static void print_words(const char *group)
{
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, group))
            printf(" %s", rbe_command_word(c, group));
}

static void print_name(const struct rbe_command_option *o)
{
    char name[64];

    rbe_option_name(name, sizeof name, o);
    printf("%s", name);
}

/* --- bash --------------------------------------------------------------------------------- */

/* The words behind an option, each kind once: a pattern of option names to it. */
static void bash_values(const struct rbe_command *c)
{
    for (const struct rbe_command_option *o = c->options(); o->kind; o++) {
        const char *words = o->kind == RBE_OPTION_SWITCH ? NULL : values_of(o);
        if (o->kind == RBE_OPTION_SWITCH || !is_shown(o))
            continue;
        printf("    '%s --", c->name);
        print_name(o);
        if (o->letter)
            printf("' | '%s -%c", c->name, o->letter);
        if (takes_models(o->arg)) {
            printf("') files=1 words='");
            print_models();
            printf("' ;;\n");
        } else if (words && !*words)
            printf("') files=1 ;;\n");
        else
            printf("') words='%s' ;;\n", words ? words : "");
    }
}

static void bash_options(const struct rbe_command *c)
{
    printf("    '%s') words='", c->name);
    for (const struct rbe_command_option *o = c->options(); o->kind; o++)
        if (is_shown(o)) {
            printf("--");
            print_name(o);
            putchar(' ');
        }
    printf("--help' ;;\n");
}

static void print_bash(void)
{
    printf("# completion of rbe and rbe-bench, made by rbe completion bash\n"
           "_rbe() {\n"
           "    local cur=$2 prev=$3 command=${COMP_WORDS[0]##*/} words='' files='' i=1\n"
           "    # --option=value comes as three words\n"
           "    [ \"$cur\" = = ] && cur=''\n"
           "    [ \"$prev\" = = ] && prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    COMPREPLY=()\n"
           "    if [ \"$command\" = rbe ] && [ \"$COMP_CWORD\" -gt 1 ]; then\n"
           "        command=\"rbe ${COMP_WORDS[1]}\" i=2\n"
           "        if [ \"$command\" = 'rbe eval' ] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
           "            command=\"rbe eval ${COMP_WORDS[2]}\" i=3\n"
           "        fi\n"
           "    fi\n"
           "    [ \"$COMP_CWORD\" -ge \"$i\" ] || return\n"
           "    case \"$command $prev\" in\n");
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c))
            bash_values(c);
    printf("    *)\n"
           "        case $cur in\n"
           "        -*)\n"
           "            case $command in\n"
           "            rbe | 'rbe eval') words=--help ;;\n");
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c)) {
            printf("        ");
            bash_options(c);
        }
    printf("            esac ;;\n"
           "        *)\n"
           "            case $command in\n"
           "            rbe) words='");
    print_words("rbe");
    printf("' ;;\n"
           "            'rbe eval') words='");
    print_words("rbe eval");
    printf("' ;;\n"
           "            'rbe completion') words='bash zsh' ;;\n"
           "            'rbe eval comprehension') files=1 words='");
    print_tasks();
    printf("' ;;\n");
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c) && takes_models(c->usage)) {
            printf("            '%s') files=1 words='", c->name);
            print_models();
            printf("' ;;\n");
        }
    printf("            *) files=1 ;;\n"
           "            esac ;;\n"
           "        esac ;;\n"
           "    esac\n"
           "    # shellcheck disable=SC2207 # names of files stay whole: one a line\n"
           "    if [ -n \"$files\" ]; then\n"
           "        local IFS=$'\\n'\n"
           "        COMPREPLY=($(compgen -W \"${words// /$IFS}\" -- \"$cur\"; compgen -f -- "
           "\"$cur\"))\n"
           "        compopt -o filenames 2> /dev/null\n"
           "    else\n"
           "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    fi\n"
           "}\n"
           "complete -F _rbe rbe rbe-bench\n");
}

/* --- zsh ---------------------------------------------------------------------------------- */

/* A text within '...[...]' of _arguments. */
static void zsh_text(const char *s, size_t size)
{
    for (size_t i = 0; i < size && s[i]; i++)
        switch (s[i]) {
        case '\'': printf("'\\''"); break;
        case '[': case ']': case ':': case '\\': printf("\\%c", s[i]); break;
        default: putchar(s[i]); break;
        }
}

static void zsh_models(void)
{
    printf("{_alternative \"models\\:model\\:(");
    print_models();
    printf(")\" \"files\\:file\\:_files\"}");
}

static void zsh_value(const struct rbe_command_option *o)
{
    const char *words = values_of(o);

    putchar(':');
    zsh_text(o->arg, strlen(o->arg));
    putchar(':');
    if (takes_models(o->arg))
        zsh_models();
    else if (words)
        printf(*words ? "(%s)" : "_files", words);
}

static void zsh_option(const struct rbe_command *c, const struct rbe_command_option *o)
{
    const bool repeated = o->kind == RBE_OPTION_TEXTS, value = o->kind != RBE_OPTION_SWITCH;
    char text[1024];

    rbe_option_text(text, sizeof text, o->text, o, c->values);
    for (int form = 0; form < (o->letter ? 2 : 1); form++) {
        printf("        '%s", repeated ? "*" : "");
        if (form)
            printf("-%c%s", o->letter, value ? "+" : "");
        else {
            printf("--");
            print_name(o);
            if (value)
                putchar('=');
        }
        putchar('[');
        /* A line of a menu is short. */
        zsh_text(text, strcspn(text, ";("));
        putchar(']');
        if (value)
            zsh_value(o);
        printf("' \\\n");
    }
}

static void zsh_command(const struct rbe_command *c)
{
    printf("    '%s')\n        _arguments -s \\\n", c->name);
    c->defaults(c->values);
    for (const struct rbe_command_option *o = c->options(); o->kind; o++)
        if (is_shown(o))
            zsh_option(c, o);
    printf("        '--help[show how it is called]' \\\n        '*:");
    if (!strcmp(c->name, "rbe completion")) {
        printf("shell:(bash zsh)");
    } else if (!strcmp(c->name, "rbe eval comprehension")) {
        printf("task:(");
        print_tasks();
        putchar(')');
    } else if (takes_models(c->usage)) {
        printf("model:");
        zsh_models();
    } else {
        printf("file:_files");
    }
    printf("' ;;\n");
}

static void zsh_group(const char *group)
{
    printf("    '%s')\n        list=(\n", group);
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (rbe_command_word(c, group)) {
            printf("            '%s:", rbe_command_word(c, group));
            zsh_text(c->what, strlen(c->what));
            printf("'\n");
        }
    printf("        )\n        _describe -t commands command list ;;\n");
}

static void print_zsh(void)
{
    printf("#compdef rbe rbe-bench\n"
           "# made by rbe completion zsh\n"
           "_rbe() {\n"
           "    local command=${words[1]:t}\n"
           "    local -a list\n"
           "    if [[ $command = rbe && $CURRENT -gt 2 ]]; then\n"
           "        command=\"rbe ${words[2]}\"\n"
           "        shift words; (( CURRENT-- ))\n"
           "        if [[ $command = 'rbe eval' && $CURRENT -gt 2 ]]; then\n"
           "            command=\"rbe eval ${words[2]}\"\n"
           "            shift words; (( CURRENT-- ))\n"
           "        fi\n"
           "    fi\n"
           "    case $command in\n");
    zsh_group("rbe");
    zsh_group("rbe eval");
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c))
            zsh_command(c);
    printf("    esac\n"
           "}\n"
           "if [[ $funcstack[1] = _rbe ]]; then _rbe \"$@\"; else compdef _rbe rbe rbe-bench; "
           "fi\n");
}

enum rbe_status rbe_cmd_completion(struct rbe_completion_args *a, struct rbe_diag *d)
{
    const char *shell = a->call.count == 1 ? a->call.args[0] : "";

    if (!strcmp(shell, "bash"))
        print_bash();
    else if (!strcmp(shell, "zsh"))
        print_zsh();
    else if (*shell)
        return rbe_fail(d, RBE_ERR_ARG, "no shell '%.40s'%s; valid: bash, zsh", shell,
                        rbe_nearest_in(shell, "bash zsh").text);
    else
        return rbe_fail(d, RBE_ERR_ARG, "for which shell: bash or zsh");
    return RBE_OK;
}
