/*
 * check_serve_mqtt.c - rbe-serve at a real mosquitto: correlation, parts, last will, what comes
 * while it is away, a full queue; and broker or service killed at random: what was accepted is
 * answered, and never with two texts.
 *
 * SPDX-License-Identifier: MIT
 *
 * KILLS=N kills one of them N times (25).
 */
#include <fcntl.h>
#include <mosquitto.h>
#include <mqtt_protocol.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/library.h"
#include "deploy/test/service.h"

#define RBE_LIBRARY_PREFIX(name) mosquitto_##name
#define CALLS(CALL)                                                                            \
    CALL(lib_init) CALL(new) CALL(destroy) CALL(int_option) CALL(connect_bind_v5)              \
    CALL(reconnect) CALL(loop) CALL(subscribe_v5) CALL(publish_v5) CALL(socket)                \
    CALL(connect_v5_callback_set) CALL(message_v5_callback_set) CALL(property_read_binary)     \
    CALL(property_add_binary) CALL(property_add_string) CALL(property_free_all)
static struct { CALLS(RBE_LIBRARY_CALL) } mosq;

static char conf[64];
static pid_t server = -1, broker = -1;
static struct mosquitto *client;
static bool connected;
static char status[32];         /* of the service */

/* What a process says goes to a file, whose end is shown when a test fails. */
static void hear_no_more(const char *name)
{
    char log[96];

    snprintf(log, sizeof log, "%s/%s.log", folder, name);
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
}

static void start_service(const char *queue)
{
    server = service_fork();
    if (server)
        return;
    hear_no_more("service");
    execl(program, program, "-m", tiny, "-t", "1", "--mqtt", path, "--state", state,
          "--remember", "1000000", "--queue", queue, "--mqtt-topic", "test", (char *)NULL);
    _exit(127);
}

static void start_broker(void)
{
    broker = service_fork();
    if (broker)
        return;
    hear_no_more("broker");
    execlp("mosquitto", "mosquitto", "-c", conf, (char *)NULL);
    execl("/usr/sbin/mosquitto", "mosquitto", "-c", conf, (char *)NULL);
    _exit(127);
}

/* --- what was asked and said -------------------------------------------------------------- */

struct asked {
    bool accepted, lost, told;
    char *text, parts[512];
    size_t errors;
    double when;                /* asked last */
};
static struct asked *asked;
static bool heard;              /* a reply */
static size_t first;            /* number of asked[0]: earlier ones are of an earlier round */
static size_t asked_count, asked_room, different, faults, correlated, uncorrelated;
static bool correlates = true;
static const char *replies = "mine/replies";

static void publish(const char *text, const char *id)
{
    mosquitto_property *p = NULL;

    if (correlates) {
        mosq.property_add_string(&p, MQTT_PROP_RESPONSE_TOPIC, replies);
        mosq.property_add_binary(&p, MQTT_PROP_CORRELATION_DATA, id, (uint16_t)strlen(id));
    }
    mosq.publish_v5(client, NULL, "test/request", (int)strlen(text), text, 1, false, p);
    mosq.property_free_all(&p);
}

static void ask(size_t i)
{
    char text[256], id[32];

    snprintf(id, sizeof id, "r%zu", first + i);
    snprintf(text, sizeof text,
             "{\"id\":\"%s\",\"prompt\":\"The river %zu\",\"max_tokens\":%zu,"
             "\"stream\":%s}", id, i % 17, 1 + i % 12, i % 2 ? "true" : "false");
    publish(text, id);
}

static size_t ask_new(void)
{
    if (asked_count == asked_room) {
        asked_room = 2 * asked_room + 64;
        asked = realloc(asked, asked_room * sizeof *asked);
    }
    asked[asked_count] = (struct asked){0};
    ask(asked_count);
    return asked_count++;
}

static void on_message(struct mosquitto *m, void *arg, const struct mosquitto_message *in,
                       const mosquitto_property *properties)
{
    void *data = NULL;
    uint16_t n = 0;
    json_t *o;

    (void)m, (void)arg;
    if (!strcmp(in->topic, "test/status")) {
        snprintf(status, sizeof status, "%.*s", in->payloadlen, (char *)in->payload);
        return;
    }
    if (rbe_json_load(&o, in->payload, (size_t)in->payloadlen, 0, NULL, "reply", NULL)) {
        faults++;
        return;
    }
    const char *id = rbe_string_at(o, "id"), *how = rbe_string_at(o, "status");
    const char *text = rbe_string_at(o, "text");
    const size_t number = id && *id == 'r' ? strtoul(id + 1, NULL, 10) : SIZE_MAX;
    const size_t i = number - first;
    if (number < first) {       /* the broker had it still */
        json_decref(o);
        return;
    }
    mosq.property_read_binary(properties, MQTT_PROP_CORRELATION_DATA, &data, &n, false);
    heard = true;
    const bool right = data && id && n == strlen(id) && !memcmp(data, id, n);
    correlated += right;
    uncorrelated += data && !right;
    free(data);
    if (i >= asked_count || !how) {
        faults++;
    } else if (!strcmp(how, "accepted")) {
        asked[i].accepted = true;
    } else if (!strcmp(how, "part")) {
        strncat(asked[i].parts, text, 60);
    } else if (!strcmp(how, "done") && text) {
        asked[i].accepted = asked[i].told = true;
        if (!asked[i].text)
            asked[i].text = strdup(text);
        different += strcmp(asked[i].text, text) != 0;
    } else {
        asked[i].errors++;
        asked[i].lost = strstr(rbe_string_at(o, "error"), "is not known") != NULL;
        faults += !asked[i].lost && !strstr(rbe_string_at(o, "error"), "of another request");
    }
    json_decref(o);
}

static void on_connect(struct mosquitto *m, void *arg, int code, int flags,
                       const mosquitto_property *properties)
{
    (void)arg, (void)flags, (void)properties;
    connected = !code;
    mosq.subscribe_v5(m, NULL, "mine/replies", 1, 0, NULL);
    mosq.subscribe_v5(m, NULL, "test/response", 1, 0, NULL);
    mosq.subscribe_v5(m, NULL, "test/status", 1, 0, NULL);
}

/* Turns the client's loop for so long, or until *flag. */
static void turn(double seconds, const bool *flag)
{
    const double until = now() + seconds;

    do {
        if (mosq.loop(client, 5, 1)) {
            connected = false;
            usleep(2000);
            mosq.reconnect(client);
        }
    } while (now() < until && !(flag && *flag));
}

static bool status_becomes(const char *want)
{
    const double until = now() + 20;

    while (strcmp(status, want) && now() < until)
        turn(0.01, NULL);
    return !strcmp(status, want);
}

/* --- tests -------------------------------------------------------------------------------- */

static void check_replies(void)
{
    start_service("8");
    CHECK(status_becomes("online"));
    const size_t a = ask_new(), b = ask_new();
    turn(20, &asked[b].told);
    CHECK(asked[a].accepted && asked[a].told && asked[b].told && !*asked[a].parts);
    CHECK(!strcmp(asked[b].parts, asked[b].text));
    /* Again, and what is wrong. */
    asked[a].told = false;
    ask(a);
    turn(20, &asked[a].told);
    CHECK(asked[a].told && !different);
    publish("{\"id\":\"r0\",\"prompt\":\"another\"}", "r0");
    publish("{\"id\":\"r1\"}", "r1");
    asked[b].told = false;
    turn(20, &asked[b].told);
    CHECK(asked[a].errors == 1 && asked[b].told && !faults && !uncorrelated);
    /* Without an address it goes to the default. */
    correlates = false;
    publish("no JSON", "");
    const size_t c = ask_new();
    turn(20, &asked[c].told);
    CHECK(asked[c].told && faults == 1);
    faults = 0;
    correlates = true;
    /* Nor at the service's own topics. */
    replies = "test/status";
    const size_t own = ask_new();
    turn(20, &asked[own].told);
    CHECK(asked[own].told && !strcmp(status, "online"));
    replies = "test/request";
    const size_t self = ask_new();
    turn(20, &asked[self].told);
    CHECK(asked[self].told && !faults);
    replies = "mine/replies";
    /* The last will; what comes meanwhile waits for the next process. */
    end(&server, SIGKILL);
    CHECK(status_becomes("offline"));
    const size_t e = ask_new();
    turn(0.1, NULL);
    start_service("1");
    CHECK(status_becomes("online"));
    turn(20, &asked[e].told);
    CHECK(asked[e].told);
    /* More than fit the queue wait at the broker. */
    size_t last = 0;
    for (int i = 0; i < 40; i++)
        last = ask_new();
    turn(30, &asked[last].told);
    for (size_t i = 0; i < asked_count; i++)
        CHECK(asked[i].told);
    CHECK(end(&server, SIGTERM) == 0 && status_becomes("offline"));
    CHECK(!different && !faults && !uncorrelated && correlated >= 40);
}

static void check_kills(struct check_rng *r, unsigned kills)
{
    size_t accepted = 0, lost = 0, missing = 1;

    start_service("8");
    for (unsigned k = 0; k < kills; k++) {
        /* Something must have been said, or nothing can be lost. */
        heard = false;
        for (int i = 0; i < 50 && !heard; i++) {
            turn(0.1, &heard);
            if (connected && !heard && i % 8 == 0)
                ask_new();
        }
        for (uint32_t n = check_below(r, 4); connected && n; n--)
            ask_new();
        turn(1e-6 * check_below(r, 20000), NULL);
        if (check_below(r, 3)) {
            end(&server, SIGKILL);
            start_service("8");
        } else {
            end(&broker, SIGKILL);
            unlink(path);
            start_broker();
        }
    }
    /* Who was not accepted sends again; who was asks only. */
    const double until = now() + 300;
    for (size_t i = 0; i < asked_count; i++) {
        asked[i].told = false;
        asked[i].when = 0;
    }
    while (missing && now() < until) {
        size_t sent = 0;
        missing = lost = accepted = 0;
        for (size_t i = 0; i < asked_count; i++) {
            accepted += asked[i].accepted;
            lost += asked[i].accepted && asked[i].lost;
            missing += !asked[i].told && !asked[i].lost;
        }
        for (size_t i = 0; i < asked_count && connected && sent < 200; i++)
            /* Not so often that a busy machine never comes to the next one. */
            if (!asked[i].told && !asked[i].lost && now() - asked[i].when > 10) {
                char text[64], id[32];
                asked[i].when = now();
                snprintf(id, sizeof id, "r%zu", first + i);
                snprintf(text, sizeof text, "{\"id\":\"%s\"}", id);
                if (asked[i].accepted)
                    publish(text, id);
                else
                    ask(i);
                sent++;
            }
        turn(0.3, NULL);
    }
    printf("%u kills: %zu asked, %zu accepted, %zu lost, %zu unanswered, %zu with two texts, "
           "%zu odd\n", kills, asked_count, accepted, lost, missing, different, faults);
    CHECK(!waitpid(server, NULL, WNOHANG) && !waitpid(broker, NULL, WNOHANG) && connected);
    CHECK(accepted == asked_count && !lost && !missing && !different && !faults);
    CHECK(end(&server, SIGTERM) == 0);
}

/* A broker that hangs up is called again, each time after a longer pause. */
static void check_pauses(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    double at[5] = {0};
    char before[sizeof path];

    strcpy(before, path);
    snprintf(path, sizeof path, "%s/deaf", folder);
    strcpy(a.sun_path, path);
    if (CHECK(!bind(fd, (const struct sockaddr *)&a, sizeof a) && !listen(fd, 8))) {
        start_service("8");
        for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
            if (!CHECK(poll(&p, 1, 20000) == 1))
                break;
            close(accept(fd, NULL, NULL));
            at[i] = now();
        }
        /* 0.1, 0.2, 0.4 and 0.8 s, seen by a process that may itself be late. */
        CHECK(at[4] - at[0] > 1 && at[4] - at[3] > at[1] - at[0]);
        CHECK(end(&server, SIGTERM) == 0);
    }
    close(fd);
    strcpy(path, before);
}

static bool prepare(const char *bin)
{
    FILE *f;

    snprintf(conf, sizeof conf, "%s/conf", folder);
    if (!(f = fopen(conf, "w")))
        return false;
    fprintf(f, "%slistener 0 %s\nallow_anonymous true\npersistence true\n"
            "persistence_location %s/\nautosave_interval 1\n"
            "max_queued_messages 0\n", geteuid() ? "" : "user root\n", path, folder);
    return !fclose(f) && service_model(bin);
}

static void forget(void)
{
    for (size_t i = 0; i < asked_count; i++)
        free(asked[i].text);
    first += asked_count;
    asked_count = 0;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {CALLS(RBE_LIBRARY_NAME)};
    struct check_rng r = check_seed(argc, argv);
    const char *bin = getenv("RBE_BIN"), *kills = getenv("KILLS");

    if (!bin) {
        printf("SKIP RBE_BIN, the folder of the programs, is not set\n");
        return 77;
    }
    if (!run("command -v mosquitto /usr/sbin/mosquitto > /dev/null%s%s", "", "") ||
        !rbe_library_open(&mosq, "libmosquitto.so.1", names, sizeof names / sizeof names[0])) {
        printf("SKIP mosquitto or libmosquitto: not installed\n");
        return getenv("CI") ? 1 : 77;
    }
    if (!CHECK(service_folder(bin)) || !CHECK(prepare(bin)))
        return check_done();
    start_broker();
    mosq.lib_init();
    client = mosq.new("asker", true, NULL);
    mosq.int_option(client, MOSQ_OPT_PROTOCOL_VERSION, MQTT_PROTOCOL_V5);
    mosq.connect_v5_callback_set(client, on_connect);
    mosq.message_v5_callback_set(client, on_message);
    const double until = now() + 20;
    while (mosq.connect_bind_v5(client, path, 0, 60, NULL, NULL) && now() < until)
        usleep(2000);
    turn(20, &connected);
    if (CHECK(connected)) {
        check_pauses();
        check_replies();
        kill_in_rounds(&r, kills ? (unsigned)strtoul(kills, NULL, 10) : 25, check_kills,
                       forget);
    }
    if (server > 0)
        end(&server, SIGKILL);
    end(&broker, SIGTERM);
    mosq.destroy(client);
    forget();
    free(asked);
    if (check_failed)
        run("tail -n 12 '%s'/*.log%s", folder, "");
    return check_done();
}
