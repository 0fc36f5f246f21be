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
#include "convert/profile.h"
#include "eval/comprehension.h"
#include "kernels/attention.h"
#include "kernels/formats.h"
#include "train/recipe.h"

/* Of rbe-run, what it has: its script is made by itself. */
#define EVAL       RBE_PROGRAM " eval"
#define COMPLETION RBE_PROGRAM " completion"
#define FUNCTION   "_" RBE_PROGRAM

/* What may stand at a place. */
struct offer {
    char words[2048];           /* blanks between them; "" when none is known */
    bool files;
};

static void add_word(struct offer *x, const char *word)
{
    const size_t at = strlen(x->words);

    snprintf(x->words + at, sizeof x->words - at, "%s%s", at ? " " : "", word);
}

static void add_models(struct offer *x)
{
    for (const struct rbe_named_model *m = rbe_named_models; m->name; m++)
        add_word(x, m->name);
    x->files = true;
}

/* Whether an option, or the arguments of a command, are models: names, and files. */
static bool takes_models(const char *what)
{
    return what && (!strncmp(what, "MODEL", 5) || !strncmp(what, "[MODEL", 6) ||
                    !strncmp(what, "ORIGINAL", 8));
}

#ifndef RBE_RUN
/* What only commands that rbe-run has not take: names of profiles. */
static bool offer_profiles(struct offer *x, const struct rbe_command *c,
                           const struct rbe_command_option *o)
{
    if (strcmp(o->name, "profile"))
        return false;
    if (!strcmp(c->name, "rbe tune"))
        rbe_recipe_names(x->words, sizeof x->words, " ");
    else
        rbe_profile_names(x->words, sizeof x->words, " ");
    x->files = true;
    return true;
}

static void add_tasks(struct offer *x)
{
    for (int t = 0; t < RBE_TASK_COUNT; t++)
        add_word(x, rbe_task_name((enum rbe_task)t));
    x->files = true;
}
#else
static bool offer_profiles(struct offer *x, const struct rbe_command *c,
                           const struct rbe_command_option *o)
{
    (void)x, (void)c, (void)o;
    return false;
}

static void add_tasks(struct offer *x)
{
    (void)x;
}
#endif

/* What may stand behind an option.  Only what no list of another room has is written here. */
static struct offer behind(const struct rbe_command *c, const struct rbe_command_option *o)
{
    static const struct {
        const char *arg, *words;
    } known[] = {{"FORMAT", "md csv json jsonl sql"}, {"HOW", "parse text"},
                 {"LEVEL", "fast default best"}};
    static const char *const files[] = {"FILE", "PATH", "DIR", "FOLDER", "DIR|URL"};
    struct offer x = {"", false};
    char name[64];

    if (offer_profiles(&x, c, o))
        return x;
    rbe_option_name(name, sizeof name, o);
    if (takes_models(o->arg))
        add_models(&x);
    else if (!strcmp(name, "codec"))
        rbe_format_names(x.words, sizeof x.words, " ", NULL);
    else if (!strcmp(name, "dtype"))
        add_word(&x, strcmp(c->name, "rbe export") ? "F16 BF16 F32" : "f16 f32");
    for (int t = 0; !strcmp(name, "kv-cache") && t < RBE_KV_TYPES; t++)
        add_word(&x, rbe_kv_type_name((enum rbe_kv_type)t));
    for (size_t i = 0; o->arg && i < sizeof known / sizeof known[0]; i++)
        if (!strcmp(known[i].arg, o->arg))
            add_word(&x, known[i].words);
    for (size_t i = 0; o->arg && i < sizeof files / sizeof files[0]; i++)
        x.files |= !strcmp(files[i], o->arg);
    return x;
}

/* What the arguments of a command may be. */
static struct offer arguments_of(const struct rbe_command *c)
{
    struct offer x = {"", true};

    if (!strcmp(c->name, COMPLETION))
        x = (struct offer){"bash zsh", false};
    else if (!strcmp(c->name, EVAL " comprehension"))
        add_tasks(&x);
    else if (takes_models(c->usage))
        add_models(&x);
    return x;
}

/* Whether one can type it. */
static bool is_shown(const struct rbe_command_option *o)
{
    return o->text && o->kind != RBE_OPTION_MOVED;
}

/* Whether a command has options, and one can see it.  A program of its own is completed by what
 * rbe says. */
static bool has_options(const struct rbe_command *c)
{
    return c->options && (c->run ? c->what != NULL : !strcmp(RBE_PROGRAM, "rbe"));
}

/* The programs that the script is for. */
static void print_programs(void)
{
    printf(RBE_PROGRAM);
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (!c->run && has_options(c))
            printf(" %s", c->name);
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

/* What a place offers, as the script has it. */
static void bash_offer(struct offer x)
{
    printf("%swords='%s' ;;\n", x.files ? "files=1 " : "", x.words);
}

/* The words behind each option. */
static void bash_values(const struct rbe_command *c)
{
    for (const struct rbe_command_option *o = c->options(); o->kind; o++) {
        if (o->kind == RBE_OPTION_SWITCH || !is_shown(o))
            continue;
        printf("    '%s --", c->name);
        print_name(o);
        if (o->letter)
            printf("' | '%s -%c", c->name, o->letter);
        printf("') ");
        bash_offer(behind(c, o));
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
    printf("%s' ;;\n", c->run ? "--help" : "");
}

static void print_bash(void)
{
    printf("# completion of ");
    print_programs();
    printf(", made by " COMPLETION " bash\n"
           FUNCTION "() {\n"
           "    local cur=$2 prev=$3 command=${COMP_WORDS[0]##*/} words='' files='' i=1\n"
           "    # --option=value comes as three words\n"
           "    [ \"$cur\" = = ] && cur=''\n"
           "    [ \"$prev\" = = ] && prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
           "    COMPREPLY=()\n"
           "    if [ \"$command\" = " RBE_PROGRAM " ] && [ \"$COMP_CWORD\" -gt 1 ]; then\n"
           "        command=\"" RBE_PROGRAM " ${COMP_WORDS[1]}\" i=2\n"
           "        if [ \"$command\" = '" EVAL "' ] && [ \"$COMP_CWORD\" -gt 2 ]; then\n"
           "            command=\"" EVAL " ${COMP_WORDS[2]}\" i=3\n"
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
           "            " RBE_PROGRAM " | '" EVAL "') words=--help ;;\n");
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c)) {
            printf("        ");
            bash_options(c);
        }
    printf("            esac ;;\n"
           "        *)\n"
           "            case $command in\n"
           "            " RBE_PROGRAM ") words='");
    print_words(RBE_PROGRAM);
    printf("' ;;\n"
           "            '" EVAL "') words='");
    print_words(EVAL);
    printf("' ;;\n");
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c)) {
            printf("            '%s') ", c->name);
            bash_offer(arguments_of(c));
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
           "complete -F " FUNCTION " ");
    print_programs();
    putchar('\n');
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

static void zsh_offer(struct offer x)
{
    if (*x.words && x.files)
        printf("{_alternative \"names\\:name\\:(%s)\" \"files\\:file\\:_files\"}", x.words);
    else if (*x.words)
        printf("(%s)", x.words);
    else if (x.files)
        printf("_files");
}

static void zsh_value(const struct rbe_command *c, const struct rbe_command_option *o)
{
    putchar(':');
    zsh_text(o->arg, strlen(o->arg));
    putchar(':');
    zsh_offer(behind(c, o));
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
            zsh_value(c, o);
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
    if (c->run)                 /* programs of their own list theirs */
        printf("        '--help[show how it is called]' \\\n");
    printf("        '*:argument:");
    zsh_offer(arguments_of(c));
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
    printf("#compdef ");
    print_programs();
    printf("\n"
           "# made by " COMPLETION " zsh\n"
           FUNCTION "() {\n"
           "    local command=${words[1]:t}\n"
           "    local -a list\n"
           "    if [[ $command = " RBE_PROGRAM " && $CURRENT -gt 2 ]]; then\n"
           "        command=\"" RBE_PROGRAM " ${words[2]}\"\n"
           "        shift words; (( CURRENT-- ))\n"
           "        if [[ $command = '" EVAL "' && $CURRENT -gt 2 ]]; then\n"
           "            command=\"" EVAL " ${words[2]}\"\n"
           "            shift words; (( CURRENT-- ))\n"
           "        fi\n"
           "    fi\n"
           "    case $command in\n");
    zsh_group(RBE_PROGRAM);
    zsh_group(EVAL);
    for (const struct rbe_command *c = rbe_commands; c->name; c++)
        if (has_options(c))
            zsh_command(c);
    printf("    esac\n"
           "}\n"
           "if [[ $funcstack[1] = " FUNCTION " ]]; then " FUNCTION " \"$@\"; else compdef "
           FUNCTION " ");
    print_programs();
    puts("; fi");
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
