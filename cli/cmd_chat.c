/*
 * cmd_chat.c - `rbe chat`: talking to a model in a terminal.
 *
 * SPDX-License-Identifier: MIT
 *
 * Lines are edited by libedit where there is a terminal, and read plainly where there is not.
 * What was typed is kept in $XDG_STATE_HOME/rbe/chat-history, for its owner only.
 * Ctrl-C stops the answer; at the prompt it clears the line; Ctrl-D or /quit ends.
 */
#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/file.h"
#include "base/library.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/stats.h"
#include "cli/arguments.h"
#include "model/conversation.h"
#include "eval/text.h"
#include "model/data.h"

/* libedit; where it is not at hand, lines are read plainly. */
#define RBE_LIBRARY_PREFIX(name) name
#define CALLS(CALL)                                                                            \
    CALL(el_init) CALL(el_set) CALL(el_gets) CALL(el_reset) CALL(el_end) CALL(history)         \
    CALL(history_init) CALL(history_end)
static struct { CALLS(RBE_LIBRARY_CALL) } edit;

struct chat {
    const char *name;           /* of the command, "rbe chat" */
    struct rbe_runner runner;
    struct rbe_conversation *conversation;
    EditLine *edit;             /* NULL: not a terminal */
    History *history;
    char *past;                 /* file of the history; NULL: none is kept */
    char *line;                 /* of getline(), when nothing is edited */
    size_t room;
    bool terminal;              /* what is typed there can be typed again */
    unsigned asked, failed;     /* lines, and those without an answer */
    int timing;
};

static char *prompt(EditLine *e)
{
    static char text[] = "you> ";

    (void)e;
    return text;
}

/*
 * The next character for libedit.  Ctrl-C may come while the process is not in read(), or go
 * to another thread: the flag is looked at ten times a second.
 */
static int read_character(EditLine *e, wchar_t *out)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    mbstate_t state;
    size_t done = (size_t)-2;

    (void)e;
    memset(&state, 0, sizeof state);
    while (done == (size_t)-2) {        /* the beginning of a character */
        char byte;
        while (!rbe_interrupted() && poll(&in, 1, 100) < 1)
            ;
        if (rbe_interrupted())
            return -1;
        const ssize_t got = read(STDIN_FILENO, &byte, 1);
        if (got <= 0)
            return (int)got;
        done = mbrtowc(out, &byte, 1, &state);
        if (done == (size_t)-1) {       /* not of this locale: left out */
            memset(&state, 0, sizeof state);
            done = (size_t)-2;
        }
    }
    return 1;
}

/* The history's file, fresh, its folder made; NULL where there can be none. */
static char *history_file(void)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char *base = NULL, *folder = NULL, *file = NULL;

    /* A relative one is no place, by the specification. */
    if (state && *state == '/')
        base = strdup(state);
    else if (home && *home == '/')
        base = rbe_path_join(home, ".local/state");
    folder = base ? rbe_path_join(base, "rbe") : NULL;
    for (char *at = folder ? strchr(folder + 1, '/') : NULL; at; at = strchr(at + 1, '/')) {
        *at = 0;
        mkdir(folder, 0700);
        *at = '/';
    }
    if (folder && (!mkdir(folder, 0700) || errno == EEXIST))
        file = rbe_path_join(folder, "chat-history");
    free(base);
    free(folder);
    return file;
}

/* Replaces the file in one step: what is kept there stays, or all of it is new. */
static void keep_history(struct chat *c)
{
    HistEvent event;
    char *fresh = NULL;

    if (!c->history || !c->past || asprintf(&fresh, "%s.%ld", c->past, (long)getpid()) < 0)
        return;
    const mode_t before = umask(077);
    const bool kept = edit.history(c->history, &event, H_SAVE, fresh) >= 0 &&
                      !chmod(fresh, 0600) && !rename(fresh, c->past);
    umask(before);
    if (!kept) {
        unlink(fresh);
        fprintf(stderr, "%s: %s: the history could not be kept\n", c->name, c->past);
    }
    free(fresh);
}

static bool open_editor(struct chat *c)
{
    static const char *const names[] = {CALLS(RBE_LIBRARY_NAME)};
    HistEvent event;

    /* Letters beyond ASCII are typed in the terminal's encoding; numbers stay plain. */
    setlocale(LC_CTYPE, "");
    if (!c->terminal ||
        !rbe_library_open(&edit, "libedit.so.2", names, sizeof names / sizeof names[0]) ||
        !(c->edit = edit.el_init("rbe", stdin, stdout, stderr)))
        return false;
    edit.el_set(c->edit, EL_PROMPT, prompt);
    edit.el_set(c->edit, EL_EDITOR, "emacs");
    edit.el_set(c->edit, EL_GETCFN, read_character);
    if ((c->history = edit.history_init())) {
        edit.history(c->history, &event, H_SETSIZE, 500);
        edit.history(c->history, &event, H_SETUNIQUE, 1);
        /* One that is not there, or is no history, is an empty one. */
        if (c->past)
            edit.history(c->history, &event, H_LOAD, c->past);
        edit.el_set(c->edit, EL_HIST, edit.history, c->history);
    }
    return true;
}

/* As getline() has it: NULL at the end. */
static enum rbe_status read_plainly(char **line, struct chat *c, struct rbe_diag *d)
{
    errno = 0;
    const ssize_t got = getline(&c->line, &c->room, stdin);
    if (got < 0)
        return feof(stdin) || rbe_interrupted() ? RBE_OK : rbe_fail_errno(d, "standard input");
    /* Not the half of a question. */
    if (strlen(c->line) < (size_t)got) {
        fprintf(stderr, "%s: not text: a zero at byte %zu of the line\n", c->name,
                strlen(c->line));
        c->asked++;
        c->failed++;
        c->line[0] = 0;
    }
    c->line[strcspn(c->line, "\r\n")] = 0;
    /* A file's byte-order mark is no part of its first line. */
    *line = c->line + (strncmp(c->line, "\xEF\xBB\xBF", 3) ? 0 : 3);
    return RBE_OK;
}

/* The next line, its newline taken off; *out NULL at the end of input. */
static enum rbe_status read_line(char **out, struct chat *c, struct rbe_diag *d)
{
    static char kept[16384];
    HistEvent event;
    int n = 0;

    *out = NULL;
    if (!c->edit)
        return read_plainly(out, c, d);
    const char *line = edit.el_gets(c->edit, &n);
    if (!line) {
        if (!rbe_interrupted() || rbe_told_to_end()) {
            putchar('\n');     /* the shell's prompt begins a line */
            return RBE_OK;
        }
        rbe_clear_interrupt();
        edit.el_reset(c->edit);
        putchar('\n');
        kept[0] = 0;
        *out = kept;
        return RBE_OK;
    }
    if (c->history && n > 1)
        edit.history(c->history, &event, H_ENTER, line);
    snprintf(kept, sizeof kept, "%s", line);
    kept[strcspn(kept, "\r\n")] = 0;
    *out = kept;
    return RBE_OK;
}

static bool print_token(void *arg, const char *bytes, size_t size)
{
    (void)arg;
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
    return !rbe_interrupted() && !ferror(stdout);
}

static void print_timing(const struct rbe_turn *t)
{
    double sum = 0;

    for (uint32_t i = 0; i + 1 < t->tokens; i++)
        sum += t->token_ms[i];
    printf("[%u tokens, first after %.0f ms, then %.1f ms each; %u in context; %.0f MB "
           "resident]\n", t->tokens, t->first_ms, t->tokens > 1 ? sum / (t->tokens - 1) : 0.0,
           t->context_tokens + t->tokens, (double)rbe_usage_now().resident_bytes / 1e6);
}

/* Ctrl-C at the terminal stops an answer only. */
static bool is_over(const struct chat *c)
{
    return rbe_told_to_end() || (rbe_interrupted() && !c->edit);
}

/* Answers a line.  What is wrong with it is said: an error ends the chat. */
static enum rbe_status reply(struct chat *c, const char *line, struct rbe_diag *d)
{
    const size_t n = strlen(line), bad = rbe_utf8_valid(line, n);
    struct rbe_diag why = {""};
    struct rbe_turn turn;
    enum rbe_status err;

    if (bad == n && !rbe_count_words(line, n))
        return RBE_OK;
    c->asked++;
    if (c->edit)
        rbe_clear_interrupt();
    err = bad < n ? rbe_fail(&why, RBE_ERR_FORMAT, "not UTF-8 at byte %zu of the line", bad)
                  : rbe_conversation_turn(c->conversation, line, print_token, NULL, &turn,
                                          &why);
    /* The conversation is as it was before. */
    if (bad < n || err == RBE_ERR_LIMIT ||
        (err && err != RBE_ERR_INTERRUPTED && c->terminal)) {
        fprintf(stderr, "%s: %s\n", c->name, why.text[0] ? why.text : rbe_strerror(err));
        c->failed++;
        return RBE_OK;
    }
    if (err) {
        *d = why;
        return err;
    }
    printf("%s\n", rbe_interrupted() ? " [stopped]" : "");
    if (c->edit)
        rbe_clear_interrupt();
    if (turn.dropped)
        printf("[context full: the %u oldest turns were forgotten]\n", turn.dropped);
    if (c->timing)
        print_timing(&turn);
    rbe_turn_free(&turn);
    return RBE_OK;
}

static enum rbe_status converse(struct chat *c, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char *line;

    while (!err && !is_over(c) && !(err = read_line(&line, c, d)) && line) {
        if (!strcmp(line, "/quit"))
            break;
        if (!strcmp(line, "/reset")) {
            rbe_conversation_reset(c->conversation);
            printf("[forgotten]\n");
        } else {
            err = reply(c, line, d);
        }
    }
    if (!err && is_over(c))
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    /* Nobody may have read what was said of each. */
    if (!err && c->failed && !c->terminal)
        return rbe_fail(d, RBE_ERR_FORMAT, "%u of %u lines without an answer", c->failed,
                        c->asked);
    return err;
}

static enum rbe_status run(const struct rbe_chat_args *a, enum rbe_kv_cache kv,
                           struct rbe_diag *d)
{
    const enum rbe_guessing lookup = a->lookup ? RBE_GUESS_WHERE_IT_PAYS : RBE_GUESS_NEVER;
    const struct rbe_conversation_options how = {
        .sampling = a->how, .max_tokens = (uint32_t)a->max_tokens, .min_tokens = 1,
        .plain = a->plain, .lookup = lookup};
    struct chat c = {.name = a->call.name, .timing = a->timing,
                     .terminal = isatty(STDIN_FILENO)};
    struct rbe_pool *pool = NULL;
    struct rbe_tokenizer *t = NULL;
    const char *model = a->model;
    enum rbe_status err;
    size_t bytes;

    if ((err = rbe_model_open_bytes(&bytes, model, d)) ||
        (err = rbe_memory_check_quota(model, bytes, d)) ||
        (err = rbe_pool_open(&pool, (unsigned)a->threads, d)) ||
        (err = rbe_runner_open(&c.runner, model, rbe_lookup_rows(lookup), kv, pool, d)) ||
        (err = rbe_find_tokenizer(&t, a->tokenizer, model, rbe_model_config(c.runner.model),
                                  d)))
        goto out;
    if (!strcmp(a->special, "parse"))
        rbe_tokenizer_parse_special(t);
    if ((err = rbe_conversation_open(&c.conversation, c.runner.session, c.runner.model, t,
                                     how, d)))
        goto out;
    rbe_warn_threads(a->call.name, rbe_pool_threads(pool));
    rbe_progress_release(true);
    rbe_catch_interrupt();
    if (c.terminal && !a->no_history)
        c.past = history_file();
    if (open_editor(&c))
        printf("%s; /reset forgets, /quit or Ctrl-D ends, Ctrl-C stops an answer\n",
               c.runner.name);
    err = converse(&c, d);
    keep_history(&c);
out:
    free(c.past);
    if (c.history)
        edit.history_end(c.history);
    if (c.edit)
        edit.el_end(c.edit);
    free(c.line);
    rbe_conversation_close(&c.conversation);
    rbe_tokenizer_close(&t);
    rbe_runner_close(&c.runner);
    rbe_pool_close(&pool);
    return err;
}

enum rbe_status rbe_cmd_chat(struct rbe_chat_args *a, struct rbe_diag *d)
{
    enum rbe_kv_cache kv;

    if (strcmp(a->special, "parse") && strcmp(a->special, "text"))
        return rbe_fail(d, RBE_ERR_ARG, "--special %s: parse or text", a->special);
    const enum rbe_status err = rbe_kv_cache_parse(&kv, a->kv_cache, d);
    return err ? err : run(a, kv, d);
}
