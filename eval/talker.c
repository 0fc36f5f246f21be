/*
 * talker.c - a conversation with a model in a process of its own.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both ends of a socket: a message to the talker is a length and a question (the first one,
 * empty, says that it shall load), one back is a struct reply and the turn's arrays.  Both ends
 * are the same program: structs go as they stand.
 */
#include "eval/talker.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/progress.h"
#include "model/data.h"

struct rbe_talker {
    pid_t pid;
    int socket;
    char *name;                 /* for messages */
};

struct reply {
    enum rbe_status status;
    struct rbe_diag diag;
    double load_s;
    struct rbe_said said;       /* its pointers mean nothing on the other side */
    size_t answer_size;
};

/* False when the other end is gone. */
static bool put(int fd, const void *data, size_t n)
{
    const char *p = data;

    while (n) {
        const ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static bool get(int fd, void *data, size_t n)
{
    char *p = data;

    while (n) {
        const ssize_t k = recv(fd, p, n, 0);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static size_t intervals(const struct rbe_turn *t)
{
    return t->tokens ? t->tokens - 1 : 0;
}

/* --- the talker's process ---------------------------------------------------------------- */

struct speaker {
    struct rbe_pool *pool;
    struct rbe_runner runner;
    struct rbe_tokenizer *tokenizer;
    struct rbe_conversation *conversation;
};

static enum rbe_status load(struct speaker *s, const struct rbe_talker_options *o,
                            struct reply *r)
{
    enum rbe_status err;

    if ((err = rbe_pool_open(&s->pool, o->threads, &r->diag)) ||
        (err = rbe_runner_open(&s->runner, o->model, rbe_lookup_rows(o->how.lookup), o->kv,
                               s->pool, &r->diag)) ||
        (err = rbe_find_tokenizer(&s->tokenizer, o->tokenizer, o->vocabulary_of,
                                  rbe_model_config(s->runner.model), &r->diag)))
        return err;
    if (o->parse_special)
        rbe_tokenizer_parse_special(s->tokenizer);
    r->load_s = s->runner.load_s;
    return rbe_conversation_open(&s->conversation, s->runner.session, s->runner.model,
                                 s->tokenizer, o->how, &r->diag);
}

static bool to_stdout(void *arg, const char *bytes, size_t size)
{
    (void)arg;
    fwrite(bytes, 1, size, stdout);
    fflush(stdout);
    return true;
}

static void answer(struct speaker *s, const char *question, bool stream, struct reply *r)
{
    const struct rbe_load before = rbe_load_now();

    r->status = rbe_conversation_turn(s->conversation, question, stream ? to_stdout : NULL,
                                      NULL, &r->said.turn, &r->diag);
    const struct rbe_load after = rbe_load_now();
    r->said.share = rbe_load_between(&before, &after);
    r->said.usage = rbe_usage_now();
    r->answer_size = r->status ? 0 : strlen(r->said.turn.answer);
}

static bool send_reply(int fd, const struct reply *r)
{
    const struct rbe_turn *t = &r->said.turn;

    return put(fd, r, sizeof *r) &&
           (r->status || !t->ids ||
            (put(fd, t->ids, (t->context_tokens + t->tokens) * sizeof *t->ids) &&
             put(fd, t->token_ms, intervals(t) * sizeof *t->token_ms) &&
             put(fd, t->answer, r->answer_size)));
}

/* Until the other end is gone.  Nothing is freed: the process ends. */
static void speak(int fd, const struct rbe_talker_options *o)
{
    struct speaker s = {0};
    size_t n;

    while (get(fd, &n, sizeof n)) {
        struct reply r = {.status = RBE_OK};
        char *question = calloc(n + 1, 1);
        if (!question || !get(fd, question, n))
            break;
        if (!n)
            r.status = load(&s, o, &r);
        else
            answer(&s, question, o->stream, &r);
        const bool sent = send_reply(fd, &r);
        rbe_turn_free(&r.said.turn);
        free(question);
        if (!sent)
            break;
    }
}

/* --- this process ------------------------------------------------------------------------ */

enum rbe_status rbe_talker_open(struct rbe_talker **out, const struct rbe_talker_options *o,
                                struct rbe_diag *d)
{
    struct rbe_talker *t = calloc(1, sizeof *t);
    int ends[2];

    *out = NULL;
    if (!t || !(t->name = strdup(o->model))) {
        free(t);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    t->socket = -1;
    *out = t;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return rbe_fail_errno(d, "socketpair");
    fflush(NULL);
    t->pid = fork();
    if (!t->pid) {
        close(ends[0]);
        speak(ends[1], o);
        _exit(0);
    }
    close(ends[1]);
    t->socket = ends[0];
    return t->pid < 0 ? rbe_fail_errno(d, "fork") : RBE_OK;
}

void rbe_talker_close(struct rbe_talker **t)
{
    if (!*t)
        return;
    /* Talkers that were forked later have this end open, too: closing alone ends nothing. */
    if ((*t)->socket >= 0) {
        shutdown((*t)->socket, SHUT_RDWR);
        close((*t)->socket);
    }
    if ((*t)->pid > 0 && rbe_interrupted())
        kill((*t)->pid, SIGKILL);
    while ((*t)->pid > 0 && waitpid((*t)->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    free((*t)->name);
    free(*t);
    *t = NULL;
}

/* Until the answer begins; an interrupt does not wait for the end of a turn. */
static bool answers(const struct rbe_talker *t)
{
    struct pollfd ready = {.fd = t->socket, .events = POLLIN};

    while (!rbe_interrupted())
        if (poll(&ready, 1, 100) > 0)
            return true;
    return false;
}

static enum rbe_status ask(struct rbe_talker *t, const char *question, struct reply *r,
                           struct rbe_diag *d)
{
    const size_t n = strlen(question);

    const bool asked = put(t->socket, &n, sizeof n) && put(t->socket, question, n);
    if (asked && !answers(t))
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
    if (!asked || !get(t->socket, r, sizeof *r))
        return rbe_fail(d, RBE_ERR_IO, "%s: its process has ended", t->name);
    if (r->status)
        *d = r->diag;
    return r->status;
}

enum rbe_status rbe_talker_load(struct rbe_talker *t, double *load_s, struct rbe_diag *d)
{
    struct reply r;
    const enum rbe_status err = ask(t, "", &r, d);

    *load_s = err ? 0 : r.load_s;
    return err;
}

enum rbe_status rbe_talker_turn(struct rbe_talker *t, const char *question, struct rbe_said *s,
                                struct rbe_diag *d)
{
    struct reply r;
    enum rbe_status err = ask(t, question, &r, d);

    if (err)
        return err;
    struct rbe_turn *turn = &s->turn;
    *turn = r.said.turn;
    s->share = r.said.share;
    s->usage = r.said.usage;
    const size_t ids = (turn->context_tokens + turn->tokens) * sizeof *turn->ids;
    const size_t times = intervals(turn) * sizeof *turn->token_ms;
    turn->ids = malloc(ids + 1);
    turn->token_ms = malloc(times + 1);
    turn->answer = calloc(r.answer_size + 1, 1);
    if (!turn->ids || !turn->token_ms || !turn->answer)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a turn");
    else if (!get(t->socket, turn->ids, ids) || !get(t->socket, turn->token_ms, times) ||
             !get(t->socket, turn->answer, r.answer_size))
        err = rbe_fail(d, RBE_ERR_IO, "%s: its process has ended", t->name);
    if (err)
        rbe_turn_free(turn);
    return err;
}
