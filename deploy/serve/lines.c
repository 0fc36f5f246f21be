/*
 * lines.c - requests as lines of JSON.
 *
 * SPDX-License-Identifier: MIT
 *
 * One thread reads and writes for all clients; replies are put into a client's buffer by
 * whoever has them.  A request holds its client until it is answered, so that one may vanish at
 * any time.  Those of standard input are told their answers by the journal's address instead,
 * as those of an earlier process are.
 */
#include "deploy/serve/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "deploy/serve/reply.h"

enum { OUT_MOST = 1 << 20, RETRY_MS = 20 };

struct request {
    struct rbe_sink sink;
    struct client *client;
    char *id;
    bool stream;
    struct request *next, **at; /* of its client */
};

/* An answer for standard output that is not written yet. */
struct told {
    char *id;
    struct told *next;
};

struct client {
    struct rbe_lines *l;
    uint64_t number;
    int in, out;                /* -1: closed; the same for a socket */
    char *line;                 /* what was read and is not taken */
    size_t size, room;
    bool skips;                 /* the rest of a line that was too long */
    bool last;                  /* no more comes */
    struct rbe_request *held;   /* did not fit the queue */
    /* Guarded by the lock of struct rbe_lines. */
    char *text;                 /* to be written */
    size_t text_size;
    uint32_t open;              /* requests not answered */
    struct request *requests, *done;    /* those answered are freed by the thread */
    struct client *next;
};

struct rbe_lines {
    struct rbe_core *core;
    struct rbe_lines_options o;
    int listener, wake;
    pthread_t thread;
    bool started;
    atomic_bool stop, ended, broken;
    struct told *told;
    pthread_mutex_t lock;
    struct client *clients, *standard;
    uint32_t count;             /* of the socket's clients */
    uint64_t numbers;
    int out_errno;
};

static void wake(struct rbe_lines *l)
{
    const uint64_t one = 1;

    if (write(l->wake, &one, sizeof one) < 0)
        return;                 /* it is full: awake already */
}

/* A line for the client; frees text.  Parts may be left out where nobody reads: the answer has
 * all of it. */
static void say(struct client *c, char *text, bool part)
{
    struct rbe_lines *l = c->l;

    if (!text)
        return;
    pthread_mutex_lock(&l->lock);
    const size_t n = strlen(text);
    if (c->out >= 0 && !(part && c->text_size > OUT_MOST)) {
        char *grown = realloc(c->text, c->text_size + n + 1);
        if (grown) {
            c->text = grown;
            memcpy(grown + c->text_size, text, n);
            c->text_size += n;
            grown[c->text_size++] = '\n';
        }
    }
    pthread_mutex_unlock(&l->lock);
    free(text);
    wake(l);
}

/* --- what the core calls ------------------------------------------------------------------ */

static void on_accepted(void *arg)
{
    struct request *q = arg;

    say(q->client, rbe_reply_accepted(q->id), false);
}

static bool on_part(void *arg, size_t index, const char *text, size_t size)
{
    struct request *q = arg;

    if (q->stream)
        say(q->client, rbe_reply_part(q->id, index, text, size), true);
    return true;
}

static void on_done(void *arg, const json_t *answer, bool again)
{
    struct request *q = arg;
    struct client *c = q->client;
    struct rbe_lines *l = c->l;

    say(c, rbe_reply_done(q->id, answer, again), false);
    pthread_mutex_lock(&l->lock);
    *q->at = q->next;
    if (q->next)
        q->next->at = q->at;
    q->next = c->done;
    c->done = q;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

static const struct rbe_sink_calls sink_calls = {on_accepted, on_part, on_done};

/* --- standard output ---------------------------------------------------------------------- */

static void on_front_accepted(void *arg, const json_t *to, const char *id)
{
    struct rbe_lines *l = arg;

    (void)to;
    if (l->standard)
        say(l->standard, rbe_reply_accepted(id), false);
}

static void on_front_part(void *arg, const json_t *to, const char *id, size_t index,
                          const char *text, size_t size)
{
    struct rbe_lines *l = arg;

    if (l->standard && json_is_true(json_object_get(to, "stream")))
        say(l->standard, rbe_reply_part(id, index, text, size), true);
}

static void on_front_done(void *arg, const json_t *to, const char *id, const json_t *answer,
                          bool again)
{
    struct rbe_lines *l = arg;
    struct told *t = l->standard ? calloc(1, sizeof *t) : NULL;

    (void)to;
    if (!l->standard)
        return;
    say(l->standard, rbe_reply_done(id, answer, again), false);
    if (!t || !(t->id = strdup(id))) {
        free(t);
        return;
    }
    pthread_mutex_lock(&l->lock);
    t->next = l->told;
    l->told = t;
    pthread_mutex_unlock(&l->lock);
}

static const struct rbe_front_calls front_calls = {"lines", on_front_accepted, on_front_part,
                                                   on_front_done};

/* All that was told has been written. */
static void note_written(struct rbe_lines *l)
{
    pthread_mutex_lock(&l->lock);
    struct told *t = l->standard->text_size ? NULL : l->told, *next;
    if (t)
        l->told = NULL;
    pthread_mutex_unlock(&l->lock);
    for (; t; t = next) {
        next = t->next;
        if (!atomic_load(&l->broken))
            rbe_core_delivered(l->core, t->id);
        free(t->id);
        free(t);
    }
}

/* --- requests ----------------------------------------------------------------------------- */

static void free_done(struct client *c)
{
    pthread_mutex_lock(&c->l->lock);
    struct request *q = c->done, *next;
    c->done = NULL;
    for (struct request *i = q; i; i = i->next)
        c->open--;
    pthread_mutex_unlock(&c->l->lock);
    for (; q; q = next) {
        next = q->next;
        free(q->id);
        free(q);
    }
}

/* What could not be submitted; it stays held while the queue is full. */
static void refuse(struct client *c, enum rbe_status err, const struct rbe_diag *why)
{
    if (err == RBE_ERR_LIMIT)
        return;
    say(c, rbe_reply_error(c->held->id, err == RBE_ERR_NOMEM ? "out of memory" : why->text),
        false);
    rbe_request_free(&c->held);
}

static void submit_standard(struct client *c)
{
    struct rbe_diag why = {""};
    json_t *to = json_pack("{s:s, s:b}", "front", front_calls.name, "stream", c->held->stream);
    const enum rbe_status err =
        to ? rbe_core_submit(c->l->core, &c->held, NULL, to, c->number, &why) : RBE_ERR_NOMEM;

    json_decref(to);
    if (err)
        refuse(c, err, &why);
    else
        rbe_request_free(&c->held);
}

static void submit_held(struct client *c)
{
    struct rbe_lines *l = c->l;
    struct rbe_diag why = {""};
    struct request *q = calloc(1, sizeof *q);
    char *id = strdup(c->held->id);
    enum rbe_status err = RBE_ERR_NOMEM;

    if (!q || !id)
        goto out;
    *q = (struct request){.sink = {.calls = &sink_calls, .arg = q}, .client = c, .id = id,
                          .stream = c->held->stream};
    pthread_mutex_lock(&l->lock);
    q->next = c->requests;
    q->at = &c->requests;
    if (q->next)
        q->next->at = &q->next;
    c->requests = q;
    c->open++;
    pthread_mutex_unlock(&l->lock);
    if (c->held->asks)
        err = rbe_core_ask(l->core, id, &q->sink, &why);
    else
        err = rbe_core_submit(l->core, &c->held, &q->sink, NULL, c->number, &why);
    if (!err) {
        rbe_request_free(&c->held);
        return;
    }
    pthread_mutex_lock(&l->lock);
    *q->at = q->next;
    if (q->next)
        q->next->at = q->at;
    c->open--;
    pthread_mutex_unlock(&l->lock);
out:
    refuse(c, err, &why);
    free(id);
    free(q);
}

static void submit(struct client *c)
{
    if (c == c->l->standard && !c->held->asks)
        submit_standard(c);
    else
        submit_held(c);
}

static void take_line(struct client *c, const char *line, size_t size)
{
    struct rbe_diag why = {""};
    const enum rbe_status err = rbe_request_parse(
        &c->held, line, size, rbe_engine_limits(rbe_core_engine(c->l->core)), &why);

    if (!err && !c->held->id)
        rbe_fail(&why, RBE_ERR_ARG, "want an \"id\"");
    if (!err && c->held->id) {
        submit(c);
        return;
    }
    say(c, rbe_reply_error(c->held ? c->held->id : NULL, why.text), false);
    rbe_request_free(&c->held);
}

/* Whether the client's next line may be taken. */
static bool may_take(struct client *c)
{
    const uint32_t queue = rbe_core_counts(c->l->core).queue;

    pthread_mutex_lock(&c->l->lock);
    const bool may = !c->held && c->text_size < OUT_MOST &&
                     c->open < (queue > 2 ? queue / 2 : 1);
    pthread_mutex_unlock(&c->l->lock);
    return may;
}

/* Takes what lines there are. */
static void take_lines(struct client *c)
{
    size_t at = 0;

    if (c->held)
        submit(c);
    while (may_take(c)) {
        char *end = memchr(c->line ? c->line + at : "", '\n', c->size - at);
        size_t n = end ? (size_t)(end - c->line) - at : c->size - at;
        if (!end && !c->last && n <= c->l->o.line)
            break;
        if (n > c->l->o.line && !c->skips) {
            struct rbe_diag why;
            rbe_fail(&why, RBE_ERR_ARG, "a line of more than %zu bytes", c->l->o.line);
            say(c, rbe_reply_error(NULL, why.text), false);
        }
        const bool skip = c->skips || n > c->l->o.line;
        c->skips = skip && !end;
        const size_t from = at;
        at += n + (end ? 1 : 0);
        while (n && (c->line[from + n - 1] == '\r' || c->line[from + n - 1] == ' '))
            n--;
        if (n && !skip)
            take_line(c, c->line + from, n);
        if (!end)
            break;
    }
    c->size -= at;
    if (at)
        memmove(c->line, c->line + at, c->size);
}

static void read_more(struct client *c)
{
    const size_t want = 16384;

    if (c->room - c->size < want) {
        char *grown = realloc(c->line, c->size + want);
        if (!grown)
            return;
        c->line = grown;
        c->room = c->size + want;
    }
    const ssize_t n = read(c->in, c->line + c->size, c->room - c->size);
    if (n > 0)
        c->size += (size_t)n;
    else if (!n || (errno != EINTR && errno != EAGAIN))
        c->last = true;
}

static void write_more(struct client *c)
{
    pthread_mutex_lock(&c->l->lock);
    /* A pipe that can be written to takes so much at once; the others need not wait. */
    const size_t most = c == c->l->standard && c->text_size > 4096 ? 4096 : c->text_size;
    const ssize_t n = most ? write(c->out, c->text, most) : 0;
    if (n > 0) {
        c->text_size -= (size_t)n;
        memmove(c->text, c->text + n, c->text_size);
    } else if (n < 0 && errno != EINTR && errno != EAGAIN) {
        if (c == c->l->standard) {
            c->l->out_errno = errno;
            atomic_store(&c->l->broken, true);
        }
        c->out = -1;
        c->last = true;
        c->text_size = 0;
    }
    pthread_mutex_unlock(&c->l->lock);
}

/* --- clients ------------------------------------------------------------------------------ */

static struct client *add_client(struct rbe_lines *l, int in, int out)
{
    struct client *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    *c = (struct client){.l = l, .number = ++l->numbers, .in = in, .out = out,
                         .next = l->clients};
    l->clients = c;
    return c;
}

/* Its requests go on, and are answered to whoever asks for their ids. */
static void remove_client(struct client *c)
{
    struct rbe_lines *l = c->l;

    for (;;) {
        pthread_mutex_lock(&l->lock);
        struct request *q = c->requests;
        pthread_mutex_unlock(&l->lock);
        if (!q)
            break;
        rbe_core_leave(l->core, &q->sink);
        pthread_mutex_lock(&l->lock);
        if (c->requests == q) {         /* else done() came before */
            c->requests = q->next;
            if (q->next)
                q->next->at = &c->requests;
            q->next = c->done;
            c->done = q;
        }
        pthread_mutex_unlock(&l->lock);
    }
    free_done(c);
    if (c->in > 2)
        close(c->in);
    rbe_request_free(&c->held);
    free(c->line);
    free(c->text);
    free(c);
}

static void remove_gone(struct rbe_lines *l)
{
    for (struct client **at = &l->clients; *at;) {
        struct client *c = *at;
        /* One that shut its side down may still read; one whose side is closed cannot. */
        const bool idle = c->last && !c->size && !c->held && !c->open && !c->text_size;
        if (c != l->standard && (idle || c->out < 0)) {
            *at = c->next;
            remove_client(c);
            l->count--;
        } else {
            at = &c->next;
        }
    }
}

static void accept_client(struct rbe_lines *l)
{
    const int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0)
        return;
    if (l->count >= l->o.clients) {
        static const char full[] = "{\"status\":\"error\",\"error\":\"too many clients\"}\n";
        if (write(fd, full, sizeof full - 1) < 0)
            errno = 0;          /* it has gone already */
        close(fd);
    } else if (add_client(l, fd, fd)) {
        l->count++;
    } else {
        close(fd);
    }
}

/* What is waited for; fds has room for two of each client and two more. */
static nfds_t list_waits(struct rbe_lines *l, struct pollfd *fds, int *timeout)
{
    nfds_t n = 0;

    *timeout = 1000;
    fds[n++] = (struct pollfd){.fd = l->wake, .events = POLLIN};
    fds[n++] = (struct pollfd){.fd = l->listener, .events = POLLIN};
    for (struct client *c = l->clients; c; c = c->next) {
        const bool may = may_take(c);
        pthread_mutex_lock(&l->lock);
        const bool writes = c->out >= 0 && c->text_size;
        pthread_mutex_unlock(&l->lock);
        if (c->held)
            *timeout = RETRY_MS;
        /* A socket that nobody reads from still says when its other end is closed. */
        fds[n++] = (struct pollfd){.fd = c->last || (!may && c->in <= 2) ? -1 : c->in,
                                   .events = may ? POLLIN : 0};
        fds[n++] = (struct pollfd){.fd = writes ? c->out : -1, .events = POLLOUT};
    }
    return n;
}

static void serve_clients(struct rbe_lines *l, const struct pollfd *fds, nfds_t n)
{
    nfds_t i = 2;

    for (struct client *c = l->clients; c && i + 1 < n; c = c->next, i += 2) {
        if (fds[i].fd >= 0 && (fds[i].revents & (POLLIN | POLLHUP | POLLERR))) {
            if (fds[i].events & POLLIN)
                read_more(c);
            else if (c->in > 2)         /* both ends of the socket are down */
                c->last = true, c->out = -1;
        }
        take_lines(c);
        if (fds[i + 1].fd >= 0 && fds[i + 1].revents)
            write_more(c);
        free_done(c);
        if (c == l->standard) {
            note_written(l);
            atomic_store(&l->ended, c->last && !c->size && !c->held && !c->open);
        }
    }
}

static void *serve(void *arg)
{
    struct rbe_lines *l = arg;
    const size_t room = 2 * (size_t)(l->o.clients + 1) + 2;
    struct pollfd *fds = calloc(room, sizeof *fds);
    uint64_t count;
    int timeout;

    while (fds && !atomic_load(&l->stop)) {
        const nfds_t n = list_waits(l, fds, &timeout);
        const int got = poll(fds, n, timeout);
        if (got < 0 && errno != EINTR)
            break;
        if ((fds[0].revents & POLLIN) && read(l->wake, &count, sizeof count) < 0)
            continue;
        serve_clients(l, fds, n);
        if (fds[1].revents & POLLIN)
            accept_client(l);
        remove_gone(l);
    }
    free(fds);
    return NULL;
}

/* --- opening ------------------------------------------------------------------------------ */

static enum rbe_status listen_at(struct rbe_lines *l, const char *path, struct rbe_diag *d)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    const mode_t before = umask(0177);
    enum rbe_status err = RBE_OK;

    if (strlen(path) >= sizeof a.sun_path) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: longer than the %zu bytes of a socket's name", path,
                       sizeof a.sun_path - 1);
        goto out;
    }
    strcpy(a.sun_path, path);
    l->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->listener < 0) {
        err = rbe_fail_errno(d, "%s", path);
        goto out;
    }
    if (!lstat(path, &st) && S_ISSOCK(st.st_mode)) {
        if (!connect(l->listener, (struct sockaddr *)&a, sizeof a) || errno == EAGAIN) {
            err = rbe_fail(d, RBE_ERR_MISMATCH, "%s: another process listens there", path);
            goto out;
        }
        unlink(path);           /* of one that was killed */
    }
    if (bind(l->listener, (struct sockaddr *)&a, sizeof a) || listen(l->listener, 64))
        err = rbe_fail_errno(d, "%s", path);
out:
    umask(before);
    if (err && l->listener >= 0) {
        close(l->listener);
        l->listener = -1;
    }
    return err;
}

enum rbe_status rbe_lines_open(struct rbe_lines **out, struct rbe_core *core,
                               const struct rbe_lines_options *o, struct rbe_diag *d)
{
    struct rbe_lines *l = calloc(1, sizeof *l);
    enum rbe_status err = RBE_OK;

    *out = NULL;
    if (!l)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    l->core = core;
    l->o = *o;
    l->listener = -1;
    pthread_mutex_init(&l->lock, NULL);
    if ((l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        err = rbe_fail_errno(d, "an event");
    if (!err && o->standard &&
        !(l->standard = add_client(l, STDIN_FILENO, STDOUT_FILENO)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!err && o->socket)
        err = listen_at(l, o->socket, d);
    if (!err)
        rbe_core_front(core, &front_calls, l);
    if (err)
        rbe_lines_close(&l);
    *out = l;
    return err;
}

enum rbe_status rbe_lines_start(struct rbe_lines *l, struct rbe_diag *d)
{
    if (l->standard)
        rbe_core_redeliver(l->core, front_calls.name);
    if (pthread_create(&l->thread, NULL, serve, l))
        return rbe_fail(d, RBE_ERR_NOMEM, "no thread to read lines with");
    l->started = true;
    return RBE_OK;
}

bool rbe_lines_ended(struct rbe_lines *l)
{
    if (!l->standard || atomic_load(&l->broken))
        return l->standard != NULL;
    pthread_mutex_lock(&l->lock);
    const bool written = !l->standard->text_size && !l->told;
    pthread_mutex_unlock(&l->lock);
    return written && atomic_load(&l->ended);
}

enum rbe_status rbe_lines_stop(struct rbe_lines *l, struct rbe_diag *d)
{
    atomic_store(&l->stop, true);
    wake(l);
    if (l->started)
        pthread_join(l->thread, NULL);
    l->started = false;
    if (atomic_load(&l->broken)) {
        errno = l->out_errno;
        return rbe_fail_errno(d, "standard output");
    }
    return RBE_OK;
}

void rbe_lines_close(struct rbe_lines **pp)
{
    struct rbe_lines *l = *pp;

    if (!l)
        return;
    rbe_lines_stop(l, NULL);
    while (l->clients) {
        struct client *c = l->clients;
        l->clients = c->next;
        remove_client(c);
    }
    if (l->listener >= 0) {
        close(l->listener);
        unlink(l->o.socket);
    }
    if (l->wake >= 0)
        close(l->wake);
    for (struct told *t = l->told, *next; t; t = next) {
        next = t->next;
        free(t->id);
        free(t);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
    *pp = NULL;
}
