/*
 * eval_tasks.c - `rbe eval --tasks LIST`: several evaluations by their names, in turn.
 *
 * SPDX-License-Identifier: MIT
 *
 * A name is that of an evaluation, or a comprehension task's; the latter are one evaluation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/nearest.h"
#include "cli/arguments.h"
#include "cli/tasks.h"
#include "eval/comprehension.h"

static const char group[] = "rbe eval", comprehension[] = "comprehension",
                  choices[] = "choices";

/* The evaluation that one runs by its name alone, or NULL. */
static const struct rbe_command *evaluation(const char *name)
{
    for (const struct rbe_command *c = rbe_commands; c->name; c++) {
        const char *word = rbe_command_word(c, group);
        if (word && !strcmp(word, name) && strcmp(word, comprehension) && strcmp(word, choices))
            return c;
    }
    return NULL;
}

bool rbe_eval_is_task(const char *word)
{
    char name[32];
    enum rbe_task t;

    snprintf(name, sizeof name, "%.*s", (int)strcspn(word, "="), word);
    return !rbe_task_parse(&t, name, NULL);
}

/* Every name that LIST takes, to `f` or as candidates. */
static void all_names(FILE *f, struct rbe_nearest *near)
{
    for (const struct rbe_command *c = rbe_commands; c->name; c++) {
        const char *word = rbe_command_word(c, group);
        if (!word || !evaluation(word))
            continue;
        if (near)
            rbe_nearest_try(near, word);
        else
            fprintf(f, "%-14s %s\n", word, c->what);
    }
    for (int t = 0; t < RBE_TASK_COUNT; t++) {
        const char *word = rbe_task_name((enum rbe_task)t);
        if (near)
            rbe_nearest_try(near, word);
        else
            fprintf(f, "%-14s a task of rbe eval comprehension; %s=PATH for data of your own\n",
                    word, word);
    }
}

static int unknown(const char *word)
{
    struct rbe_nearest near = rbe_nearest_to(word);

    all_names(NULL, &near);
    fprintf(stderr, "%s: --tasks: unknown task '%.60s'%s; --tasks list names them\n", group,
            word, rbe_nearest_hint(&near).text);
    return 2;
}

/* Runs c with these words behind its name, then the common options. */
static int run_one(const struct rbe_command *c, const char *const *words, int count,
                   const char *const *options, int option_count)
{
    const char **argv = calloc((size_t)count + (size_t)option_count + 2, sizeof *argv);
    int n = 1, code = 1;

    if (!argv) {
        fprintf(stderr, "%s: out of memory\n", group);
        return 1;
    }
    argv[0] = c->name;
    for (int i = 0; i < count; i++)
        argv[n++] = words[i];
    for (int i = 0; i < option_count; i++)
        argv[n++] = options[i];
    code = rbe_command_run(c, n, argv);
    free(argv);
    return code;
}

enum { MOST_TASKS = 32 };

/* What LIST says: evaluations in its order, each once, and the tasks of comprehension. */
struct plan {
    const struct rbe_command *runs[MOST_TASKS];
    const char *tasks[MOST_TASKS];
    int run_count, task_count;
};

static int read_list(struct plan *p, char *list)
{
    char *save = NULL;

    for (char *w = strtok_r(list, ",", &save); w; w = strtok_r(NULL, ",", &save)) {
        const struct rbe_command *c = evaluation(w);
        const bool task = !c && rbe_eval_is_task(w);
        bool known = false;
        if (!c && !task)
            return unknown(w);
        if (p->run_count == MOST_TASKS || p->task_count == MOST_TASKS) {
            fprintf(stderr, "%s: --tasks: more than %d\n", group, MOST_TASKS);
            return 2;
        }
        if (task) {
            p->tasks[p->task_count++] = w;
            c = rbe_command_find("rbe eval comprehension");
        }
        for (int i = 0; i < p->run_count; i++)
            known |= p->runs[i] == c;
        if (!known)
            p->runs[p->run_count++] = c;
    }
    if (!p->run_count)
        fprintf(stderr, "%s: --tasks: no task; --tasks list names them\n", group);
    return p->run_count ? 0 : 2;
}

int rbe_eval_tasks(int argc, const char **argv)
{
    const char **options = calloc((size_t)argc + 1, sizeof *options), *list = NULL;
    /* Their words live as long as the commands' arguments: to the end. */
    static char *words;
    struct plan p = {.run_count = 0};
    int count = 0, code = 0;

    for (int i = 1; options && i < argc; i++)
        if (!strncmp(argv[i], "--tasks=", 8))
            list = argv[i] + 8;
        else if (!strcmp(argv[i], "--tasks"))
            list = i + 1 < argc ? argv[++i] : "";
        else
            options[count++] = argv[i];
    free(words);
    words = strdup(list ? list : "");
    if (!options || !words) {
        fprintf(stderr, "%s: out of memory\n", group);
        code = 1;
    } else if (!strcmp(words, "list")) {
        all_names(stdout, NULL);
    } else {
        code = read_list(&p, words);
        for (int i = 0; i < p.run_count && !code; i++) {
            const bool tasks = strstr(p.runs[i]->name, comprehension) != NULL;
            code = run_one(p.runs[i], p.tasks, tasks ? p.task_count : 0, options, count);
        }
    }
    free(options);
    return code;
}
