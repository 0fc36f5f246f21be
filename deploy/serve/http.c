/*
 * http.c - OpenAI's completions over HTTP.
 *
 * SPDX-License-Identifier: MIT
 *
 * libmicrohttpd's one thread reads and writes; a connection whose answer is not there yet is
 * suspended, and resumed by whoever has more of it.  A second thread looks for clients that
 * went away or take too long, which the library does not notice while they are suspended, or as
 * long as a byte comes now and then.
 */
#include "deploy/serve/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/library.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/sensors.h"

#define RBE_LIBRARY_PREFIX(name) MHD_##name
#define CALLS(CALL)                                                                            \
    CALL(start_daemon) CALL(stop_daemon) CALL(suspend_connection) CALL(resume_connection)      \
    CALL(create_response_from_buffer) CALL(create_response_from_callback)                      \
    CALL(queue_response) CALL(destroy_response) CALL(add_response_header)                      \
    CALL(lookup_connection_value) CALL(get_connection_values) CALL(get_connection_info)
static struct { CALLS(RBE_LIBRARY_CALL) } mhd;

enum { HEAD_BYTES = 32 << 10, LOOKS_MS = 100, FULL_MS = 300 };

/* What a connection does; each lasts no longer than options.patience, but for waiting. */
enum doing { SENDS, WAITS, TAKES };

struct connection {
    int fd;
    enum doing doing;
    double since;
    struct exchange *x;
    struct connection *next, **at;
};

/* A request and its answer. */
struct exchange {
    struct rbe_http *h;
    struct MHD_Connection *connection;
    struct connection *c;       /* or NULL */
    char *body;
    size_t size;
    bool overflow;
    bool taken;                 /* the core has it: struct rbe_sink */
    bool chat, stream;
    unsigned long long number;
    time_t created;
    struct rbe_sink sink;
    /* Guarded by the lock of struct rbe_http. */
    bool suspended, gone, done;
    unsigned status;            /* of text, once done, where it is no stream */
    char *text;                 /* what goes out, or the rest of it */
    size_t text_size, parts;
};

struct rbe_http {
    struct rbe_core *core;
    struct rbe_http_options o;
    char address[64];
    int listener;
    struct MHD_Daemon *daemon;
    pthread_t watcher;
    bool watched, loopback;
    atomic_bool stop;
    atomic_ullong number;
    pthread_mutex_t lock;
    struct connection *connections;
    double started;
    /* By status: 2xx, 4xx, 5xx. */
    atomic_ullong said[6];
};

/* --- texts -------------------------------------------------------------------------------- */

static char *dump(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}

static char *error_text(const char *why, unsigned status)
{
    return dump(json_pack("{s:{s:o, s:s, s:n}}", "error", "message", rbe_result_string(why),
                          "type", status < 500 ? "invalid_request_error" : "server_error",
                          "code"));
}

/* The members that every answer has. */
static json_t *envelope(const struct exchange *x, bool chunk)
{
    char id[64];

    snprintf(id, sizeof id, "%s-%llu", x->chat ? "chatcmpl" : "cmpl", x->number);
    return json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object",
                     !x->chat ? "text_completion" : chunk ? "chat.completion.chunk"
                                                          : "chat.completion",
                     "created", (json_int_t)x->created, "model",
                     rbe_engine_name(rbe_core_engine(x->h->core)));
}

static json_t *chat_choice(json_t *choice)
{
    return json_pack("{s:O, s:{s:s, s:O}, s:O}", "index", json_object_get(choice, "index"),
                     "message", "role", "assistant", "content",
                     json_object_get(choice, "text"), "finish_reason",
                     json_object_get(choice, "finish_reason"));
}

static char *whole_text(const struct exchange *x, const json_t *answer)
{
    json_t *o = envelope(x, false), *choices = json_array(), *choice;
    size_t i;

    json_array_foreach(json_object_get(answer, "choices"), i, choice) {
        json_t *one = x->chat ? chat_choice(choice) : json_copy(choice);
        if (!json_object_get(one, "logprobs"))
            json_object_set_new(one, "logprobs", json_null());
        json_array_append_new(choices, one);
    }
    json_object_set_new(o, "choices", choices);
    json_object_set(o, "usage", json_object_get(answer, "usage"));
    return dump(o);
}

/* One event; text NULL: the last of this choice. */
static char *event_text(const struct exchange *x, size_t index, json_t *text,
                        const char *finish)
{
    json_t *o = envelope(x, true), *choice = json_object();
    char *line = NULL;

    json_object_set_new(choice, "index", json_integer((json_int_t)index));
    if (x->chat) {
        json_t *delta = json_object();
        if (text && !x->parts)
            json_object_set_new(delta, "role", json_string("assistant"));
        if (text)
            json_object_set(delta, "content", text);
        json_object_set_new(choice, "delta", delta);
    } else {
        json_object_set_new(choice, "text", text ? json_incref(text) : json_string(""));
    }
    json_object_set_new(choice, "finish_reason", finish ? json_string(finish) : json_null());
    json_object_set_new(o, "choices", json_pack("[o]", choice));
    char *json = dump(o);
    if (!json || asprintf(&line, "data: %s\n\n", json) < 0)
        line = NULL;
    free(json);
    return line;
}

/* --- what the core calls ------------------------------------------------------------------ */

/* With the lock. */
static void wake(struct exchange *x)
{
    if (x->suspended) {
        x->suspended = false;
        mhd.resume_connection(x->connection);
    }
}

/* With the lock; frees text. */
static void add(struct exchange *x, char *text)
{
    const size_t n = text ? strlen(text) : 0;
    char *grown = text ? realloc(x->text, x->text_size + n + 1) : NULL;

    if (grown) {
        memcpy(grown + x->text_size, text, n + 1);
        x->text = grown;
        x->text_size += n;
    } else {
        x->gone = true;         /* out of memory: cut off rather than wrong */
    }
    free(text);
}

static bool on_part(void *arg, size_t index, const char *text, size_t size)
{
    struct exchange *x = arg;
    json_t *s = x->stream ? json_stringn(text, size) : NULL;

    pthread_mutex_lock(&x->h->lock);
    if (x->stream) {
        add(x, event_text(x, index, s, NULL));
        x->parts++;
        wake(x);
    }
    const bool reads = !x->gone;
    pthread_mutex_unlock(&x->h->lock);
    json_decref(s);
    return reads;
}

/* The end of a stream. */
static void add_ends(struct exchange *x, const json_t *answer)
{
    const bool all = !x->parts;         /* nothing has been sent */
    const char *error = json_string_value(json_object_get(answer, "error"));
    json_t *choice;
    size_t i;

    json_array_foreach(json_object_get(answer, "choices"), i, choice) {
        if (all)
            add(x, event_text(x, i, json_object_get(choice, "text"), NULL));
        x->parts++;
        add(x, event_text(x, i, NULL, json_string_value(json_object_get(choice,
                                                                        "finish_reason"))));
    }
    if (error) {
        char *json = error_text(error, 500), *line = NULL;
        if (json && asprintf(&line, "data: %s\n\n", json) < 0)
            line = NULL;
        free(json);
        add(x, line);
    }
    add(x, strdup("data: [DONE]\n\n"));
}

static void on_done(void *arg, const json_t *answer, bool again)
{
    struct exchange *x = arg;
    const char *error = json_string_value(json_object_get(answer, "error"));
    char *text = x->stream ? NULL : error ? error_text(error, 500) : whole_text(x, answer);

    (void)again;
    pthread_mutex_lock(&x->h->lock);
    if (x->stream) {
        add_ends(x, answer);
    } else {
        x->status = error ? 500 : 200;
        add(x, text);
    }
    x->done = true;
    if (x->c) {
        x->c->doing = TAKES;
        x->c->since = rbe_now();
    }
    wake(x);
    pthread_mutex_unlock(&x->h->lock);
}

static const struct rbe_sink_calls sink_calls = {NULL, on_part, on_done};

/* --- replies ------------------------------------------------------------------------------ */

/* Takes text. */
static enum MHD_Result reply(struct exchange *x, unsigned status, char *text, const char *type)
{
    if (!text)
        return MHD_NO;
    struct MHD_Response *r = mhd.create_response_from_buffer(strlen(text), text,
                                                             MHD_RESPMEM_MUST_FREE);
    if (!r) {
        free(text);
        return MHD_NO;
    }
    mhd.add_response_header(r, "Content-Type", type);
    if (status == 401)
        mhd.add_response_header(r, "WWW-Authenticate", "Bearer");
    if (status == 405)
        mhd.add_response_header(r, "Allow", "GET, POST");
    if (status == 503)
        mhd.add_response_header(r, "Retry-After", "1");
    atomic_fetch_add(&x->h->said[status / 100], 1);
    pthread_mutex_lock(&x->h->lock);
    if (x->c) {
        x->c->doing = TAKES;
        x->c->since = rbe_now();
    }
    pthread_mutex_unlock(&x->h->lock);
    const enum MHD_Result ok = mhd.queue_response(x->connection, status, r);
    mhd.destroy_response(r);
    return ok;
}

static enum MHD_Result reply_json(struct exchange *x, unsigned status, char *text)
{
    return reply(x, status, text, "application/json");
}

static enum MHD_Result refuse(struct exchange *x, unsigned status, const char *why)
{
    return reply_json(x, status, error_text(why, status));
}

static char *metrics(struct rbe_http *h)
{
    const struct rbe_core_counts n = rbe_core_counts(h->core);
    const struct rbe_engine_counts *e = rbe_engine_counts(rbe_core_engine(h->core));
    const struct { const char *name, *type; double value; } rows[] = {
        {"rbe_requests_accepted_total", "counter", (double)n.accepted},
        {"rbe_requests_answered_total", "counter", (double)n.answered},
        {"rbe_requests_failed_total", "counter", (double)n.failed},
        {"rbe_requests_left_total", "counter", (double)n.left},
        {"rbe_requests_refused_full_total", "counter", (double)n.full},
        {"rbe_requests_repeated_total", "counter", (double)n.repeated},
        {"rbe_requests_recovered_total", "counter", (double)n.recovered},
        {"rbe_requests_waiting", "gauge", n.waiting},
        {"rbe_requests_running", "gauge", n.running},
        {"rbe_queue_size", "gauge", n.queue},
        {"rbe_answers_remembered", "gauge", n.remembered},
        {"rbe_journal_bytes", "gauge", (double)n.journal_bytes},
        {"rbe_healthy", "gauge", n.healthy},
        {"rbe_prompt_tokens_total", "counter", (double)atomic_load(&e->prompt_tokens)},
        {"rbe_cached_tokens_total", "counter", (double)atomic_load(&e->cached_tokens)},
        {"rbe_answer_tokens_total", "counter", (double)atomic_load(&e->answer_tokens)},
        {"rbe_guessed_tokens_total", "counter", (double)atomic_load(&e->guessed_tokens)},
        {"rbe_guessed_right_total", "counter", (double)atomic_load(&e->guessed_right)},
        {"rbe_busy_seconds_total", "counter", 1e-6 * (double)atomic_load(&e->microseconds)},
        {"rbe_resting", "gauge", n.resting},
        {"rbe_rests_total", "counter", n.rests},
        {"rbe_temperature_celsius", "gauge", rbe_temperature(rbe_sysfs())},
        {"rbe_cpu_megahertz", "gauge", rbe_frequency(rbe_sysfs())},
        {"rbe_cpu_joules_total", "counter", rbe_energy(rbe_sysfs())},
        {"rbe_uptime_seconds", "gauge", rbe_now() - h->started},
        {"rbe_http_responses_2xx_total", "counter", (double)atomic_load(&h->said[2])},
        {"rbe_http_responses_4xx_total", "counter", (double)atomic_load(&h->said[4])},
        {"rbe_http_responses_5xx_total", "counter", (double)atomic_load(&h->said[5])},
    };
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    for (size_t i = 0; f && i < sizeof rows / sizeof rows[0]; i++)
        if (!isnan(rows[i].value))      /* a sensor that is not there */
            fprintf(f, "# TYPE %s %s\n%s %.15g\n", rows[i].name, rows[i].type, rows[i].name,
                    rows[i].value);
    if (f && fclose(f)) {
        free(text);
        text = NULL;
    }
    return text;
}

static char *models(struct rbe_http *h)
{
    return dump(json_pack("{s:s, s:[{s:s, s:s, s:s}]}", "object", "list", "data", "id",
                          rbe_engine_name(rbe_core_engine(h->core)), "object", "model",
                          "owned_by", "rbe"));
}

/* --- requests ----------------------------------------------------------------------------- */

static const char *head(const struct exchange *x, const char *name)
{
    return mhd.lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* Takes as long whatever is wrong. */
static bool has_token(const struct exchange *x)
{
    const char *want = x->h->o.token, *got = head(x, "Authorization");
    unsigned char differs;

    if (!want)
        return true;
    if (!got || strncasecmp(got, "Bearer ", 7))
        return false;
    got += 7;
    const size_t n = strlen(want), k = strlen(got);
    differs = n != k;
    for (size_t i = 0; i < k; i++)
        differs |= (unsigned char)(got[i] ^ want[i % (n ? n : 1)]);
    return !differs;
}

/* A page of the web whose name was made to mean this machine sends its own name, which may
 * begin like one of this machine's. */
static bool has_local_name(const struct exchange *x)
{
    const char *host = head(x, "Host");
    char name[64];
    struct in_addr v4;

    if (!host)
        return true;
    if (!strncmp(host, "[::1]", 5))
        return !host[5] || host[5] == ':';
    const size_t n = strcspn(host, ":");
    snprintf(name, sizeof name, "%.*s", (int)(n < sizeof name ? n : 0), host);
    return !strcasecmp(name, "localhost") ||
           (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127);
}

struct lengths {
    unsigned known, others;
};

static enum MHD_Result count_lengths(void *arg, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct lengths *n = arg;

    (void)kind;
    if (!strcasecmp(name, "Content-Length"))
        n->known++;
    else if (!strcasecmp(name, "Transfer-Encoding"))
        *(value && !strcasecmp(value, "chunked") ? &n->known : &n->others) += 1;
    return MHD_YES;
}

/* Whether it is clear where the body ends.  Where two say so, or one says what nobody here
 * knows, a proxy in front may believe the other. */
static bool has_one_length(const struct exchange *x)
{
    struct lengths n = {0, 0};

    mhd.get_connection_values(x->connection, MHD_HEADER_KIND, count_lengths, &n);
    return n.known <= 1 && !n.others;
}

/* What must be right before a body is read; 0: it is. */
static unsigned early_fault(const struct exchange *x, const char *url, const char *method,
                            const char **why)
{
    const char *length = head(x, "Content-Length"), *type = head(x, "Content-Type");
    const bool get = !strcmp(method, "GET") || !strcmp(method, "HEAD");
    const bool post = !strcmp(method, "POST");

    *why = "not found";
    if (!x->h->o.token && !has_local_name(x)) {
        *why = "Host is not this machine's";
        return 403;
    }
    if (strcmp(url, "/health") && !has_token(x)) {
        *why = "a bearer token is needed";
        return 401;
    }
    const bool asks = !strcmp(url, "/v1/completions") || !strcmp(url, "/v1/chat/completions");
    const bool reads = !strcmp(url, "/health") || !strcmp(url, "/metrics") ||
                       !strcmp(url, "/v1/models");
    if (!asks && !reads)
        return 404;
    if (asks ? !post : !get) {
        *why = asks ? "want POST" : "want GET";
        return 405;
    }
    if (!has_one_length(x)) {
        *why = "want one Content-Length, or Transfer-Encoding: chunked";
        return 400;
    }
    if (length && strtoull(length, NULL, 10) > x->h->o.body) {
        *why = "a longer body than is taken";
        return 413;
    }
    /* A page of the web cannot send this type elsewhere without asking. */
    if (asks && (!type || strncasecmp(type, "application/json", 16))) {
        *why = "want Content-Type: application/json";
        return 415;
    }
    return 0;
}

static unsigned status_of(enum rbe_status err)
{
    switch (err) {
    case RBE_ERR_ARG: return 400;
    case RBE_ERR_MISMATCH: return 409;
    default: return 503;
    }
}

static enum rbe_status read_request(struct exchange *x, struct rbe_request **r,
                                    struct rbe_diag *d)
{
    const char *key = head(x, "Idempotency-Key");
    json_error_t e;
    json_t *o;

    *r = NULL;
    enum rbe_status err = rbe_json_load(&o, x->body ? x->body : "", x->size,
                                        JSON_REJECT_DUPLICATES, &e, "request", d);
    if (err == RBE_ERR_FORMAT)
        return rbe_fail(d, RBE_ERR_ARG, "not JSON: %s", e.text);
    if (err)
        return err;
    if (key && json_is_object(o) && json_object_set_new(o, "id", rbe_result_string(key)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (!err)
        err = rbe_request_read(r, o, rbe_engine_limits(rbe_core_engine(x->h->core)), d);
    if (!err && ((*r)->asks || (*r)->chat != x->chat))
        err = rbe_fail(d, RBE_ERR_ARG, "want \"%s\"", x->chat ? "messages" : "prompt");
    json_decref(o);
    return err;
}

/* The next bytes of a stream. */
static ssize_t read_stream(void *arg, uint64_t at, char *out, size_t room)
{
    struct exchange *x = arg;
    ssize_t n;

    (void)at;
    pthread_mutex_lock(&x->h->lock);
    if (x->gone) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (x->text_size) {
        n = (ssize_t)(x->text_size < room ? x->text_size : room);
        memcpy(out, x->text, (size_t)n);
        x->text_size -= (size_t)n;
        memmove(x->text, x->text + n, x->text_size);
    } else if (x->done) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        n = 0;
        x->suspended = true;
        mhd.suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->h->lock);
    return n;
}

static enum MHD_Result begin_stream(struct exchange *x)
{
    struct MHD_Response *r = mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, 4096,
                                                               read_stream, x, NULL);

    if (!r)
        return MHD_NO;
    mhd.add_response_header(r, "Content-Type", "text/event-stream");
    mhd.add_response_header(r, "Cache-Control", "no-store");
    atomic_fetch_add(&x->h->said[2], 1);
    const enum MHD_Result ok = mhd.queue_response(x->connection, 200, r);
    mhd.destroy_response(r);
    return ok;
}

/* The answer, or waiting for it. */
static enum MHD_Result wait_or_reply(struct exchange *x)
{
    pthread_mutex_lock(&x->h->lock);
    const bool done = x->done, gone = x->gone;
    char *text = x->text;
    if (done)
        x->text = NULL;
    if (!done && !gone) {
        x->suspended = true;
        mhd.suspend_connection(x->connection);
    }
    pthread_mutex_unlock(&x->h->lock);
    if (gone)
        return MHD_NO;
    return done ? reply_json(x, x->status, text) : MHD_YES;
}

static enum MHD_Result submit(struct exchange *x, const char *url)
{
    struct rbe_http *h = x->h;
    struct rbe_diag why = {""};
    struct rbe_request *r;

    x->chat = !strcmp(url, "/v1/chat/completions");
    enum rbe_status err = read_request(x, &r, &why);
    if (!err) {
        x->stream = r->stream;
        x->number = atomic_fetch_add(&h->number, 1) + 1;
        x->created = time(NULL);
        x->sink = (struct rbe_sink){.calls = &sink_calls, .arg = x};
        pthread_mutex_lock(&h->lock);
        if (x->c)
            x->c->doing = WAITS;
        pthread_mutex_unlock(&h->lock);
        err = rbe_core_submit(h->core, &r, &x->sink, NULL, (uint64_t)(uintptr_t)x->c, &why);
    }
    rbe_request_free(&r);
    if (err)
        return refuse(x, status_of(err), why.text);
    x->taken = true;
    return x->stream ? begin_stream(x) : wait_or_reply(x);
}

static enum MHD_Result answer(struct exchange *x, const char *url)
{
    if (x->overflow)
        return refuse(x, 413, "a longer body than is taken");
    if (!strcmp(url, "/health")) {
        const bool healthy = rbe_core_healthy(x->h->core);
        return reply_json(x, healthy ? 200 : 503,
                          strdup(healthy ? "{\"status\":\"ok\"}"
                                         : "{\"status\":\"the journal cannot be written\"}"));
    }
    if (!strcmp(url, "/metrics"))
        return reply(x, 200, metrics(x->h), "text/plain; version=0.0.4");
    if (!strcmp(url, "/v1/models"))
        return reply_json(x, 200, models(x->h));
    return x->taken ? wait_or_reply(x) : submit(x, url);
}

static struct exchange *begin(struct rbe_http *h, struct MHD_Connection *connection)
{
    struct exchange *x = calloc(1, sizeof *x);
    const union MHD_ConnectionInfo *i =
        mhd.get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    if (!x)
        return NULL;
    x->h = h;
    x->connection = connection;
    pthread_mutex_lock(&h->lock);
    if ((x->c = i ? i->socket_context : NULL)) {
        x->c->x = x;
        x->c->doing = SENDS;
        x->c->since = rbe_now();
    }
    pthread_mutex_unlock(&h->lock);
    return x;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *size, void **state)
{
    struct exchange *x = *state;
    const char *why;

    (void)version;
    if (!x) {
        if (!(x = *state = begin(arg, connection)))
            return MHD_NO;
        const unsigned fault = early_fault(x, url, method, &why);
        return fault ? refuse(x, fault, why) : MHD_YES;
    }
    if (!*size)
        return answer(x, url);
    /* What is too long is read on for a while, so that the client sees why. */
    if (x->size + *size > x->h->o.body)
        x->overflow = true;
    if (x->overflow && (x->size += *size) > 4 * x->h->o.body)
        return MHD_NO;
    if (!x->overflow) {
        char *grown = realloc(x->body, x->size + *size);
        if (!grown)
            return MHD_NO;
        memcpy(grown + x->size, data, *size);
        x->body = grown;
        x->size += *size;
    }
    *size = 0;
    return MHD_YES;
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct exchange *x = *state;
    struct rbe_http *h = arg;

    (void)connection, (void)why;
    if (!x)
        return;
    if (x->taken)
        rbe_core_leave(h->core, &x->sink);
    pthread_mutex_lock(&h->lock);
    if (x->c) {
        x->c->x = NULL;
        x->c->doing = SENDS;
        x->c->since = rbe_now();
    }
    pthread_mutex_unlock(&h->lock);
    free(x->body);
    free(x->text);
    free(x);
    *state = NULL;
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct rbe_http *h = arg;
    struct connection *c = *context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *i =
            mhd.get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!i || !(c = calloc(1, sizeof *c)))
            return;
        *c = (struct connection){.fd = i->connect_fd, .since = rbe_now()};
        pthread_mutex_lock(&h->lock);
        c->next = h->connections;
        c->at = &h->connections;
        if (c->next)
            c->next->at = &c->next;
        h->connections = c;
        pthread_mutex_unlock(&h->lock);
        *context = c;
    } else if (c) {
        pthread_mutex_lock(&h->lock);
        *c->at = c->next;
        if (c->next)
            c->next->at = c->at;
        pthread_mutex_unlock(&h->lock);
        free(c);
        *context = NULL;
    }
}

/* --- clients that vanish, or take too long ------------------------------------------------ */

static void look(struct rbe_http *h)
{
    const double now = rbe_now();
    uint32_t count = 0;

    pthread_mutex_lock(&h->lock);
    for (const struct connection *c = h->connections; c; c = c->next)
        count++;
    /* While all places are taken those that send nothing do not keep theirs. */
    const double idle = count >= h->o.clients ? 1e-3 * FULL_MS : h->o.patience;
    for (struct connection *c = h->connections; c; c = c->next) {
        struct pollfd p = {.fd = c->fd, .events = POLLRDHUP};
        const double most = c->doing == SENDS && !c->x ? idle : h->o.patience;
        if (c->doing == WAITS && c->x && c->x->suspended && poll(&p, 1, 0) > 0) {
            c->x->gone = true;
            wake(c->x);
        } else if (c->doing != WAITS && now - c->since > most) {
            shutdown(c->fd, SHUT_RDWR);         /* the library sees an end */
            c->since = now;
        }
    }
    pthread_mutex_unlock(&h->lock);
}

static void *watch(void *arg)
{
    struct rbe_http *h = arg;
    const struct timespec pause = {.tv_nsec = LOOKS_MS * 1000000};

    while (!atomic_load(&h->stop)) {
        nanosleep(&pause, NULL);
        look(h);
    }
    return NULL;
}

/* --- opening ------------------------------------------------------------------------------ */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* "[::1]:80", "127.0.0.1:80", "80". */
static bool parse_address(const char *text, union address *a, socklen_t *size)
{
    char host[64] = "127.0.0.1";
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    const size_t n = colon ? (size_t)(colon - text) : 0;
    char *end;
    const unsigned long number = strtoul(port, &end, 10);

    memset(a, 0, sizeof *a);
    if (*port < '0' || *port > '9' || *end || number > 65535 || n >= sizeof host ||
        (colon && !n))
        return false;
    if (n)
        snprintf(host, sizeof host, "%.*s", (int)n, text);
    if (!strcmp(host, "localhost"))
        strcpy(host, "127.0.0.1");
    if (host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)number);
        *size = sizeof a->v6;
        return inet_pton(AF_INET6, host + 1, &a->v6.sin6_addr) == 1;
    }
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons((uint16_t)number);
    *size = sizeof a->v4;
    return inet_pton(AF_INET, host, &a->v4.sin_addr) == 1;
}

static bool is_loopback(const union address *a)
{
    return a->any.sa_family == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr)
                                        : ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
}

static enum rbe_status listen_at(struct rbe_http *h, struct rbe_diag *d)
{
    union address a;
    socklen_t size;
    const int on = 1;
    char host[48];

    if (!parse_address(h->o.address, &a, &size))
        return rbe_fail(d, RBE_ERR_ARG, "--http %s: want PORT, HOST:PORT or [HOST]:PORT, HOST "
                        "a number or localhost", h->o.address);
    if (!h->o.token && !is_loopback(&a))
        return rbe_fail(d, RBE_ERR_ARG, "--http %s: beyond this machine only with --token-file",
                        h->o.address);
    h->listener = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (h->listener < 0 ||
        setsockopt(h->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) ||
        bind(h->listener, &a.any, size) || listen(h->listener, 128) ||
        getsockname(h->listener, &a.any, &size))
        return rbe_fail_errno(d, "--http %s", h->o.address);
    if (a.any.sa_family == AF_INET6)
        snprintf(h->address, sizeof h->address, "[%s]:%u",
                 inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof host),
                 ntohs(a.v6.sin6_port));
    else
        snprintf(h->address, sizeof h->address, "%s:%u",
                 inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof host), ntohs(a.v4.sin_port));
    return RBE_OK;
}

/* The library's words, which it prints else. */
static void ignore(void *arg, const char *format, va_list list)
{
    (void)arg, (void)format, (void)list;
}

enum rbe_status rbe_http_open(struct rbe_http **out, struct rbe_core *core,
                              const struct rbe_http_options *o, struct rbe_diag *d)
{
    static const char *const names[] = {CALLS(RBE_LIBRARY_NAME)};
    struct rbe_http *h = calloc(1, sizeof *h);
    enum rbe_status err;

    *out = NULL;
    if (!h)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    h->core = core;
    h->o = *o;
    h->listener = -1;
    h->started = rbe_now();
    pthread_mutex_init(&h->lock, NULL);
    if (!rbe_library_open(&mhd, "libmicrohttpd.so.12", names, sizeof names / sizeof names[0])) {
        err = rbe_fail(d, RBE_ERR_IO, "libmicrohttpd.so.12, which --http needs, does not load");
        goto out;
    }
    if ((err = listen_at(h, d)))
        goto out;
    h->daemon = mhd.start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
        NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, ignore, NULL,
        MHD_OPTION_LISTEN_SOCKET, h->listener, MHD_OPTION_CONNECTION_LIMIT, o->clients,
        MHD_OPTION_CONNECTION_TIMEOUT, o->patience, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_BYTES, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_END);
    if (!h->daemon) {
        err = rbe_fail(d, RBE_ERR_IO, "--http %s: libmicrohttpd does not start", o->address);
        goto out;
    }
    h->listener = -1;           /* the library closes it */
    if (pthread_create(&h->watcher, NULL, watch, h))
        err = rbe_fail(d, RBE_ERR_NOMEM, "no thread to watch clients with");
    else
        h->watched = true;
out:
    if (err)
        rbe_http_close(&h);
    *out = h;
    return err;
}

const char *rbe_http_address(const struct rbe_http *h)
{
    return h->address;
}

void rbe_http_close(struct rbe_http **pp)
{
    struct rbe_http *h = *pp;

    if (!h)
        return;
    atomic_store(&h->stop, true);
    if (h->watched)
        pthread_join(h->watcher, NULL);
    if (h->daemon)
        mhd.stop_daemon(h->daemon);
    if (h->listener >= 0)
        close(h->listener);
    pthread_mutex_destroy(&h->lock);
    free(h);
    *pp = NULL;
}
