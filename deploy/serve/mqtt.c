/*
 * mqtt.c - requests and replies as messages of MQTT 5.
 *
 * SPDX-License-Identifier: MIT
 *
 * One thread does all that the library does.  The library is told that there are threads, and
 * so it does not write by itself but in loop_write() only: the acknowledgement of a request,
 * which it makes before or after it calls on_message(), leaves when that has returned, and
 * never where the connection is broken off within.  Then the broker sends the request again.
 * What has come and has no place yet, for a broker does not always keep to the number of
 * messages it was told, is held, and nothing is written as long.
 */
#include "deploy/serve/mqtt.h"

#include <arpa/inet.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "base/library.h"
#include "base/progress.h"
#include "deploy/serve/reply.h"

#define RBE_LIBRARY_PREFIX(name) mosquitto_##name
#define CALLS(CALL)                                                                            \
    CALL(lib_init) CALL(new) CALL(destroy) CALL(int_option) CALL(threaded_set)                 \
    CALL(username_pw_set) CALL(will_set_v5) CALL(connect_bind_v5) CALL(reconnect)              \
    CALL(disconnect_v5) CALL(socket) CALL(want_write) CALL(loop_read) CALL(loop_write)         \
    CALL(loop_misc) CALL(subscribe_v5) CALL(publish_v5) CALL(connect_v5_callback_set)          \
    CALL(disconnect_v5_callback_set) CALL(subscribe_v5_callback_set)                           \
    CALL(publish_v5_callback_set) CALL(message_v5_callback_set) CALL(property_read_string)     \
    CALL(property_read_binary) CALL(property_add_binary) CALL(property_add_int32)              \
    CALL(property_free_all) CALL(pub_topic_check) CALL(strerror) CALL(reason_string)
static struct { CALLS(RBE_LIBRARY_CALL) } mosq;

enum { BURST = 16, PARTS_MOST = 1000, DELAY_MS = 100, DELAY_MOST_MS = 30000, END_MS = 2000 };

/* To be published, or published and not acknowledged. */
struct message {
    char *topic, *text, *id;    /* id: of an answer, which is delivered then; or NULL */
    uint8_t *correlation;
    uint16_t correlation_size;
    int qos, mid;
    struct message *next;
};

/* A request that the core could not take. */
struct held {
    struct rbe_request *r;
    json_t *to;
    struct held *next;
};

struct list {
    struct message *first, **last;
    size_t count;
};

struct rbe_mqtt {
    struct rbe_core *core;
    struct rbe_mqtt_options o;
    char *host, *request, *response, *status;
    int port, wake;
    struct mosquitto *client;
    mosquitto_property *properties;
    pthread_t thread;
    bool started, called, connected, subscribed;
    bool drop;                  /* a message could not be taken, as `why` says */
    struct rbe_diag why;
    bool offline_said, held_said;
    struct held *held;
    atomic_bool stop;
    pthread_mutex_t lock;
    struct list out;            /* guarded by it */
    struct list sent;
    uint32_t burst;
};

/* --- messages ----------------------------------------------------------------------------- */

static void message_free(struct message *m)
{
    if (!m)
        return;
    free(m->topic);
    free(m->text);
    free(m->id);
    free(m->correlation);
    free(m);
}

static void list_add(struct list *l, struct message *m)
{
    m->next = NULL;
    *(l->first ? l->last : &l->first) = m;
    l->last = &m->next;
    l->count++;
}

static struct message *list_take(struct list *l, struct message **at)
{
    struct message *m = *at;

    *at = m->next;
    if (l->last == &m->next)
        l->last = at;
    l->count--;
    return m;
}

static void list_free(struct list *l)
{
    while (l->first)
        message_free(list_take(l, &l->first));
}

static void wake(struct rbe_mqtt *m)
{
    const uint64_t one = 1;

    if (write(m->wake, &one, sizeof one) < 0)
        return;                 /* it is full: awake already */
}

static uint8_t digit(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* A message for `to`; takes text.  id: an answer's. */
static void send_text(struct rbe_mqtt *m, const json_t *to, char *text, int qos, const char *id)
{
    const char *topic = json_string_value(json_object_get(to, "topic"));
    const char *hex = json_string_value(json_object_get(to, "correlation"));
    const size_t n = hex ? strlen(hex) / 2 : 0;
    struct message *new = calloc(1, sizeof *new);

    if (!text || !new || !(new->topic = strdup(topic ? topic : m->response)) ||
        (id && !(new->id = strdup(id))) || (n && !(new->correlation = malloc(n)))) {
        message_free(new);
        free(text);
        return;
    }
    new->text = text;
    new->qos = qos;
    new->correlation_size = (uint16_t)n;
    for (size_t i = 0; i < n; i++)
        new->correlation[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    pthread_mutex_lock(&m->lock);
    if (!qos && m->out.count > PARTS_MOST)
        message_free(new);      /* the answer has all of it */
    else
        list_add(&m->out, new);
    pthread_mutex_unlock(&m->lock);
    wake(m);
}

/* --- what the core calls ------------------------------------------------------------------ */

static void on_accepted(void *arg, const json_t *to, const char *id)
{
    send_text(arg, to, rbe_reply_accepted(id), 1, NULL);
}

static void on_part(void *arg, const json_t *to, const char *id, size_t index,
                    const char *text, size_t size)
{
    if (json_is_true(json_object_get(to, "stream")))
        send_text(arg, to, rbe_reply_part(id, index, text, size), 0, NULL);
}

static void on_done(void *arg, const json_t *to, const char *id, const json_t *answer,
                    bool again)
{
    send_text(arg, to, rbe_reply_done(id, answer, again), 1, id);
}

static const struct rbe_front_calls front_calls = {"mqtt", on_accepted, on_part, on_done};

/* Who only asks what became of an id. */
struct question {
    struct rbe_sink sink;
    struct rbe_mqtt *m;
    json_t *to;
    char *id;
};

static void question_free(struct question *q)
{
    if (!q)
        return;
    json_decref(q->to);
    free(q->id);
    free(q);
}

static void on_question_accepted(void *arg)
{
    struct question *q = arg;

    on_accepted(q->m, q->to, q->id);
}

static void on_question_done(void *arg, const json_t *answer, bool again)
{
    struct question *q = arg;

    send_text(q->m, q->to, rbe_reply_done(q->id, answer, again), 1, NULL);
    question_free(q);
}

static const struct rbe_sink_calls question_calls = {on_question_accepted, NULL,
                                                     on_question_done};

/* --- requests ----------------------------------------------------------------------------- */

/* Where the replies to a message go; NULL when out of memory.  The service's own topics are no
 * place for them: it would read them, or others would take them for its state. */
static json_t *address_of(const struct rbe_mqtt *m, const mosquitto_property *properties)
{
    json_t *to = json_pack("{s:s}", "front", front_calls.name);
    char *topic = NULL;
    void *data = NULL;
    uint16_t n = 0;

    if (mosq.property_read_string(properties, MQTT_PROP_RESPONSE_TOPIC, &topic, false) &&
        !mosq.pub_topic_check(topic) && strcmp(topic, m->request) && strcmp(topic, m->status))
        json_object_set_new(to, "topic", json_string(topic));
    if (mosq.property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &data, &n, false)) {
        char *hex = malloc(2 * (size_t)n + 1);
        for (size_t i = 0; hex && i < n; i++)
            snprintf(hex + 2 * i, 3, "%02x", ((uint8_t *)data)[i]);
        if (hex && n)
            json_object_set_new(to, "correlation", json_string(hex));
        free(hex);
    }
    free(topic);
    free(data);
    return to;
}

static enum rbe_status ask(struct rbe_mqtt *m, const char *id, json_t *to, struct rbe_diag *d)
{
    struct question *q = calloc(1, sizeof *q);

    if (!q || !(q->id = strdup(id))) {
        free(q);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    q->m = m;
    q->to = json_incref(to);
    q->sink = (struct rbe_sink){.calls = &question_calls, .arg = q};
    const enum rbe_status err = rbe_core_ask(m->core, id, &q->sink, d);
    if (err)
        question_free(q);
    return err;
}

/* False: another time.  Its own fault is told. */
static bool submit(struct rbe_mqtt *m, struct rbe_request **r, const json_t *to)
{
    struct rbe_diag why = {""};
    const enum rbe_status err = rbe_core_submit(m->core, r, NULL, to, UINT64_MAX, &why);

    if (err == RBE_ERR_MISMATCH)
        send_text(m, to, rbe_reply_error((*r)->id, why.text), 1, NULL);
    m->why = why;
    return !err || err == RBE_ERR_MISMATCH;
}

static bool hold(struct rbe_mqtt *m, struct rbe_request **r, json_t *to)
{
    struct held *h = calloc(1, sizeof *h), **at = &m->held;

    if (!h)
        return false;
    while (*at)
        at = &(*at)->next;
    *h = (struct held){.r = *r, .to = json_incref(to)};
    *r = NULL;
    *at = h;
    return true;
}

/* Whether none is left. */
static bool submit_held(struct rbe_mqtt *m)
{
    for (struct held *h; (h = m->held) && submit(m, &h->r, h->to);) {
        m->held = h->next;
        rbe_request_free(&h->r);
        json_decref(h->to);
        free(h);
        m->held_said = false;
    }
    return !m->held;
}

static void on_message(struct mosquitto *client, void *arg, const struct mosquitto_message *in,
                       const mosquitto_property *properties)
{
    struct rbe_mqtt *m = arg;
    struct rbe_diag why = {""};
    struct rbe_request *r = NULL;
    enum rbe_status err = RBE_ERR_NOMEM;

    (void)client;
    if (m->drop)                /* nothing is acknowledged any more */
        return;
    json_t *to = address_of(m, properties);
    if (!to)
        goto out;
    if ((size_t)in->payloadlen > m->o.body)
        err = rbe_fail(&why, RBE_ERR_ARG, "a request of more than %zu bytes", m->o.body);
    else
        err = rbe_request_parse(&r, in->payload ? in->payload : "", (size_t)in->payloadlen,
                                rbe_engine_limits(rbe_core_engine(m->core)), &why);
    if (!err && !r->id)
        err = rbe_fail(&why, RBE_ERR_ARG, "want an \"id\"");
    if (!err && r->asks) {
        err = ask(m, r->id, to, &why);
    } else if (!err) {
        if (r->stream)
            json_object_set_new(to, "stream", json_true());
        if ((m->held || !submit(m, &r, to)) && !hold(m, &r, to))
            err = rbe_fail(&why, RBE_ERR_NOMEM, "out of memory");
    }
    if (err == RBE_ERR_ARG)
        send_text(m, to, rbe_reply_error(r ? r->id : NULL, why.text), 1, NULL);
out:
    if (err && err != RBE_ERR_ARG) {
        m->drop = true;
        m->why = why;
    }
    rbe_request_free(&r);
    json_decref(to);
}

/* --- the connection ----------------------------------------------------------------------- */

static void tell(struct rbe_mqtt *m, bool fault, const char *what, const char *why)
{
    char text[512];

    snprintf(text, sizeof text, "%s: %s%s%s", m->o.broker, what, *why ? ": " : "", why);
    if (m->o.say)
        m->o.say(m->o.arg, fault, text);
}

static void on_connect(struct mosquitto *client, void *arg, int code, int flags,
                       const mosquitto_property *properties)
{
    struct rbe_mqtt *m = arg;

    (void)flags, (void)properties;
    if (code) {
        if (!m->offline_said)
            tell(m, true, "not connected", mosq.reason_string(code));
        m->offline_said = true;
        return;
    }
    m->connected = true;
    mosq.subscribe_v5(client, NULL, m->request, 1, 0, NULL);
}

static void on_subscribe(struct mosquitto *client, void *arg, int mid, int count,
                         const int *granted, const mosquitto_property *properties)
{
    struct rbe_mqtt *m = arg;

    (void)mid, (void)properties;
    if (count < 1 || granted[0] >= 0x80) {
        tell(m, true, "not subscribed", count < 1 ? "" : mosq.reason_string(granted[0]));
        return;
    }
    m->subscribed = true;
    m->offline_said = false;
    mosq.publish_v5(client, NULL, m->status, 6, "online", 1, true, NULL);
    tell(m, false, "connected", "");
}

static void on_disconnect(struct mosquitto *client, void *arg, int code,
                          const mosquitto_property *properties)
{
    struct rbe_mqtt *m = arg;

    (void)client, (void)properties, (void)code;
    m->connected = m->subscribed = false;
}

/* The broker has it. */
static void on_publish(struct mosquitto *client, void *arg, int mid, int code,
                       const mosquitto_property *properties)
{
    struct rbe_mqtt *m = arg;

    (void)client, (void)properties;
    if (code >= 0x80)
        tell(m, true, "a reply was refused", mosq.reason_string(code));
    for (struct message **at = &m->sent.first; *at; at = &(*at)->next)
        if ((*at)->mid == mid) {
            struct message *sent = list_take(&m->sent, at);
            if (sent->id)
                rbe_core_delivered(m->core, sent->id);
            message_free(sent);
            return;
        }
}

static void publish_all(struct rbe_mqtt *m)
{
    while (m->connected) {
        mosquitto_property *p = NULL;
        pthread_mutex_lock(&m->lock);
        struct message *out = m->out.first ? list_take(&m->out, &m->out.first) : NULL;
        pthread_mutex_unlock(&m->lock);
        if (!out)
            return;
        if (out->correlation)
            mosq.property_add_binary(&p, MQTT_PROP_CORRELATION_DATA, out->correlation,
                                     out->correlation_size);
        const int rc = mosq.publish_v5(m->client, &out->mid, out->topic, (int)strlen(out->text),
                                       out->text, out->qos, false, p);
        mosq.property_free_all(&p);
        if (!rc && out->qos) {
            list_add(&m->sent, out);
            continue;
        }
        /* What can never be sent would be sent for ever. */
        if (rc && rc != MOSQ_ERR_NO_CONN && rc != MOSQ_ERR_NOMEM) {
            tell(m, true, "a reply cannot be sent", mosq.strerror(rc));
            if (out->id)
                rbe_core_delivered(m->core, out->id);
        } else if (rc && out->qos) {
            pthread_mutex_lock(&m->lock);
            out->next = m->out.first;
            if (!m->out.first)
                m->out.last = &out->next;
            m->out.first = out;
            m->out.count++;
            pthread_mutex_unlock(&m->lock);
            return;
        }
        message_free(out);
    }
}

/* Whether as many requests as the broker may send at once have a place; it sends them as soon
 * as there is a connection, for the session knows the subscription of an earlier one. */
static bool may_read(struct rbe_mqtt *m)
{
    const struct rbe_core_counts n = rbe_core_counts(m->core);

    return !m->connected || n.waiting + n.running + m->burst <= n.queue;
}

static int keepalive(const struct rbe_mqtt *m)
{
    const uint32_t s = m->o.seconds < 30000 ? 2 * m->o.seconds + 30 : 60000;

    return (int)s;
}

static int connect_now(struct rbe_mqtt *m)
{
    m->drop = false;
    if (m->called)
        return mosq.reconnect(m->client);
    m->called = true;
    return mosq.connect_bind_v5(m->client, m->host, m->port, keepalive(m), NULL, m->properties);
}

/* One turn; not 0: the connection is gone. */
static int turn(struct rbe_mqtt *m)
{
    const bool may = may_read(m);
    struct pollfd fds[2] = {{.fd = m->wake, .events = POLLIN},
                            {.fd = mosq.socket(m->client), .events = may ? POLLIN : 0}};
    uint64_t count;
    int rc = 0;

    if (!submit_held(m)) {
        if (!m->held_said && !rbe_core_counts(m->core).healthy)
            tell(m, true, "requests wait", m->why.text);
        m->held_said = true;
        if (poll(fds, 1, 20) > 0 && read(m->wake, &count, sizeof count) < 0)
            return 0;
        return mosq.loop_misc(m->client);
    }
    publish_all(m);
    if (mosq.want_write(m->client))
        fds[1].events |= POLLOUT;
    if (fds[1].fd < 0)
        return MOSQ_ERR_CONN_LOST;
    if (poll(fds, 2, may ? 1000 : 20) > 0 && (fds[0].revents & POLLIN) &&
        read(m->wake, &count, sizeof count) < 0)
        return 0;
    if (fds[1].revents & (POLLHUP | POLLERR) || (may && fds[1].revents & POLLIN))
        rc = mosq.loop_read(m->client, 1);
    if (m->drop) {              /* before anything is written */
        shutdown(fds[1].fd, SHUT_RDWR);
        mosq.loop_read(m->client, 1);
        return MOSQ_ERR_CONN_LOST;
    }
    if (!rc && mosq.want_write(m->client))
        rc = mosq.loop_write(m->client, 1);
    return rc ? rc : mosq.loop_misc(m->client);
}

static void pause_for(struct rbe_mqtt *m, int ms)
{
    struct pollfd p = {.fd = m->wake, .events = POLLIN};
    const double until = rbe_now() + 1e-3 * ms;
    uint64_t count;

    for (double left; !atomic_load(&m->stop) && (left = until - rbe_now()) > 0;)
        if (poll(&p, 1, (int)(1e3 * left) + 1) > 0 && read(m->wake, &count, sizeof count) < 0)
            return;
}

/* Says the last word, and waits a little for it to be taken. */
static void leave(struct rbe_mqtt *m)
{
    const double until = rbe_now() + 1e-3 * END_MS;

    if (!m->connected)
        return;
    mosq.publish_v5(m->client, NULL, m->status, 7, "offline", 1, true, NULL);
    do {
        if (turn(m))
            return;
        pthread_mutex_lock(&m->lock);
        const bool out = m->out.first;
        pthread_mutex_unlock(&m->lock);
        if (!out && !m->sent.first && !mosq.want_write(m->client))
            break;
    } while (rbe_now() < until);
    mosq.disconnect_v5(m->client, 0, NULL);
    while (mosq.socket(m->client) >= 0 && mosq.want_write(m->client) && rbe_now() < until)
        if (mosq.loop_write(m->client, 1))
            break;
}

static void *serve(void *arg)
{
    struct rbe_mqtt *m = arg;
    int delay = DELAY_MS;

    while (!atomic_load(&m->stop)) {
        int rc = connect_now(m);
        while (!rc && !atomic_load(&m->stop)) {
            if (m->subscribed)
                delay = DELAY_MS;
            rc = turn(m);
        }
        if (atomic_load(&m->stop))
            break;
        if (!m->offline_said)
            tell(m, true, m->drop ? "not read for now" : "away",
                 m->drop ? m->why.text : mosq.strerror(rc));
        m->offline_said = true;
        m->connected = m->subscribed = false;
        pause_for(m, delay);
        delay = 2 * delay < DELAY_MOST_MS ? 2 * delay : DELAY_MOST_MS;
    }
    leave(m);
    return NULL;
}

/* --- opening ------------------------------------------------------------------------------ */

static char *join(const char *a, const char *b)
{
    char *s = NULL;

    return asprintf(&s, "%s%s", a, b) < 0 ? NULL : s;
}

/* "::1", or with the interface that it is of, "fe80::1%eth0". */
static bool is_ipv6(const char *host)
{
    const size_t size = strcspn(host, "%");
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (size >= sizeof text || (host[size] && !host[size + 1]))
        return false;
    memcpy(text, host, size);
    text[size] = 0;
    return inet_pton(AF_INET6, text, &address) == 1;
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT; an address with colons stands in brackets, for
 * the last part of one could be a port. */
static enum rbe_status parse_broker(struct rbe_mqtt *m, struct rbe_diag *d)
{
    const char *text = m->o.broker, *host = text + (*text == '[');
    const size_t size = strcspn(host, *text == '[' ? "]" : ":");
    const char *rest = host + size + (*text == '[' && host[size]);
    char *end = NULL;

    if (!(m->request = join(m->o.topic, "/request")) ||
        !(m->response = join(m->o.topic, "/response")) ||
        !(m->status = join(m->o.topic, "/status")))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (mosq.pub_topic_check(m->request))
        return rbe_fail(d, RBE_ERR_ARG, "--mqtt-topic %s: not a topic", m->o.topic);
    if (!(m->host = *text == '/' ? strdup(text) : strndup(host, size)))
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    if (*text == '/')           /* port 0 is a UNIX socket */
        return RBE_OK;
    m->port = 1883;
    if (*rest) {
        const unsigned long port = strtoul(rest + 1, &end, 10);
        if (*rest == ':' && rest[1] >= '0' && rest[1] <= '9' && !*end && port <= 65535)
            m->port = (int)port;
        else
            m->port = 0;
    }
    if (!size || !m->port || (*text == '[' && (host[size] != ']' || !is_ipv6(m->host))))
        return rbe_fail(d, RBE_ERR_ARG, "--mqtt %s: want HOST, HOST:PORT, [IPv6], [IPv6]:PORT, "
                        "or a path", text);
    return RBE_OK;
}

static enum rbe_status open_client(struct rbe_mqtt *m, struct rbe_diag *d)
{
    mosq.lib_init();
    if (!(m->client = mosq.new(m->o.id, false, m)) ||
        mosq.int_option(m->client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5) ||
        mosq.int_option(m->client, MOSQ_OPT_RECEIVE_MAXIMUM, (int)m->burst) ||
        mosq.threaded_set(m->client, true) ||
        mosq.property_add_int32(&m->properties, MQTT_PROP_SESSION_EXPIRY_INTERVAL,
                                UINT32_MAX) ||
        mosq.will_set_v5(m->client, m->status, 7, "offline", 1, true, NULL) ||
        (m->o.user && mosq.username_pw_set(m->client, m->o.user, m->o.password)))
        return rbe_fail(d, RBE_ERR_NOMEM, "--mqtt %s: libmosquitto does not start",
                        m->o.broker);
    mosq.connect_v5_callback_set(m->client, on_connect);
    mosq.disconnect_v5_callback_set(m->client, on_disconnect);
    mosq.subscribe_v5_callback_set(m->client, on_subscribe);
    mosq.publish_v5_callback_set(m->client, on_publish);
    mosq.message_v5_callback_set(m->client, on_message);
    return RBE_OK;
}

enum rbe_status rbe_mqtt_open(struct rbe_mqtt **out, struct rbe_core *core,
                              const struct rbe_mqtt_options *o, struct rbe_diag *d)
{
    static const char *const names[] = {CALLS(RBE_LIBRARY_NAME)};
    struct rbe_mqtt *m = calloc(1, sizeof *m);
    const uint32_t queue = rbe_core_counts(core).queue;
    enum rbe_status err;

    *out = NULL;
    if (!m)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    m->core = core;
    m->o = *o;
    m->burst = queue < 4 ? 1 : queue / 4 < BURST ? queue / 4 : BURST;
    m->out.last = &m->out.first;
    m->sent.last = &m->sent.first;
    pthread_mutex_init(&m->lock, NULL);
    m->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (m->wake < 0)
        err = rbe_fail_errno(d, "an event");
    else if (!rbe_library_open(&mosq, "libmosquitto.so.1", names,
                               sizeof names / sizeof names[0]))
        err = rbe_fail(d, RBE_ERR_IO, "libmosquitto.so.1, which --mqtt needs, does not load");
    else if (!(err = parse_broker(m, d)) && !(err = open_client(m, d)))
        rbe_core_front(core, &front_calls, m);
    if (err)
        rbe_mqtt_close(&m);
    *out = m;
    return err;
}

enum rbe_status rbe_mqtt_start(struct rbe_mqtt *m, struct rbe_diag *d)
{
    rbe_core_redeliver(m->core, front_calls.name);
    if (pthread_create(&m->thread, NULL, serve, m))
        return rbe_fail(d, RBE_ERR_NOMEM, "no thread for --mqtt");
    m->started = true;
    return RBE_OK;
}

void rbe_mqtt_close(struct rbe_mqtt **pp)
{
    struct rbe_mqtt *m = *pp;
    struct timespec t;

    if (!m)
        return;
    *pp = NULL;
    atomic_store(&m->stop, true);
    if (m->wake >= 0)
        wake(m);
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 5;
    /* A host that does not answer holds the library up for minutes: the process ends first. */
    if (m->started && pthread_timedjoin_np(m->thread, NULL, &t))
        return;
    if (m->client)
        mosq.destroy(m->client);
    if (m->properties)
        mosq.property_free_all(&m->properties);
    list_free(&m->out);
    list_free(&m->sent);
    for (struct held *h; (h = m->held);) {
        m->held = h->next;
        rbe_request_free(&h->r);
        json_decref(h->to);
        free(h);
    }
    if (m->wake >= 0)
        close(m->wake);
    free(m->host);
    free(m->request);
    free(m->response);
    free(m->status);
    pthread_mutex_destroy(&m->lock);
    free(m);
}
