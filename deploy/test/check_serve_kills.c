/*
 * check_serve_kills.c - rbe-serve by a UNIX socket: clients that vanish or do not read, and the
 * service killed at random: what was accepted is answered, and never with two texts.
 *
 * SPDX-License-Identifier: MIT
 *
 * KILLS=N kills it N times (60).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/json.h"
#include "deploy/test/service.h"

static pid_t server = -1;

static void start(const char *queue)
{
    server = service_fork();
    if (server)
        return;
    execl(program, program, "-m", tiny, "-t", "1", "-q", "--socket", path, "--state", state,
          "--remember", "1000000", "--queue", queue, "--clients", "8", (char *)NULL);
    _exit(127);
}

/* -1: it does not come up. */
static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const double until = now() + 20;

    strcpy(a.sun_path, path);
    while (now() < until) {
        const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (!connect(fd, (struct sockaddr *)&a, sizeof a))
            return fd;
        close(fd);
        usleep(1000);
    }
    return -1;
}

static void say(int fd, const char *text)
{
    if (send(fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        return;                 /* it has been killed: the reader sees that */
}

/* --- what was asked and said -------------------------------------------------------------- */

struct asked {
    bool accepted, lost, told;
    char *text;                 /* of the answer, or NULL */
};
static struct asked *asked;
static size_t asked_count, asked_room, different, faults;

static void ask(int fd, size_t i)
{
    char line[256];

    snprintf(line, sizeof line,
             "{\"id\":\"r%zu\",\"prompt\":\"The river %zu\",\"max_tokens\":%zu,"
             "\"stream\":%s}\n",
             i, i % 17, 1 + i % 12, i % 2 ? "true" : "false");
    say(fd, line);
}

static size_t ask_new(int fd)
{
    if (asked_count == asked_room) {
        asked_room = 2 * asked_room + 64;
        asked = realloc(asked, asked_room * sizeof *asked);
    }
    asked[asked_count] = (struct asked){0};
    ask(fd, asked_count);
    return asked_count++;
}

/* One line of the service. */
static void hear(const char *line, size_t size)
{
    json_t *o;

    if (rbe_json_load(&o, line, size, 0, NULL, "reply", NULL)) {
        faults++;
        return;
    }
    const char *id = rbe_string_at(o, "id"), *status = rbe_string_at(o, "status");
    const char *text = rbe_string_at(o, "text");
    const size_t i = id && *id == 'r' ? strtoul(id + 1, NULL, 10) : asked_count;
    if (i >= asked_count || !status) {
        faults++;
    } else if (!strcmp(status, "accepted")) {
        asked[i].accepted = true;
    } else if (!strcmp(status, "done") && text) {
        asked[i].accepted = asked[i].told = true;
        if (!asked[i].text)
            asked[i].text = strdup(text);
        different += strcmp(asked[i].text, text) != 0;
    } else if (!strcmp(status, "error")) {
        asked[i].lost = strstr(rbe_string_at(o, "error"), "is not known") != NULL;
        faults += !asked[i].lost && !strstr(rbe_string_at(o, "error"), "the service ends");
    }
    json_decref(o);
}

struct ear {
    int fd;
    char text[65536];
    size_t size;
};

/* Hears until `until`, or the end; false at the end. */
static bool listen_until(struct ear *e, double until)
{
    for (;;) {
        const double left = until - now();
        struct pollfd p = {.fd = e->fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)(1e3 * left) + 1) < 1)
            return true;
        const ssize_t n = read(e->fd, e->text + e->size, sizeof e->text - e->size);
        if (n <= 0)
            return false;
        e->size += (size_t)n;
        for (char *end; (end = memchr(e->text, '\n', e->size));) {
            const size_t k = (size_t)(end - e->text);
            hear(e->text, k);
            e->size -= k + 1;
            memmove(e->text, end + 1, e->size);
        }
    }
}

/* --- tests -------------------------------------------------------------------------------- */

static struct ear ear;

static void check_kills(struct check_rng *r, unsigned kills)
{
    size_t accepted = 0, lost = 0, missing = 0;

    for (unsigned k = 0; k < kills; k++) {
        start("8");
        const int fd = dial();
        if (!CHECK(fd >= 0)) {
            end(&server, SIGKILL);
            return;
        }
        ear = (struct ear){.fd = fd};
        ask(fd, ask_new(fd));
        poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 10000);
        const double until = now() + 1e-6 * check_below(r, 20000);
        do {
            const size_t new = ask_new(fd);
            if (check_below(r, 3) == 0)
                ask(fd, check_below(r, (uint32_t)new + 1));
            listen_until(&ear, now() + 1e-6 * check_below(r, 4000));
        } while (now() < until);
        end(&server, SIGKILL);
        listen_until(&ear, now() + 10);         /* what it had said */
        close(fd);
    }
    start("8");
    ear = (struct ear){.fd = dial()};
    for (size_t i = 0; i < asked_count && ear.fd >= 0; i++) {
        char line[64];
        if (!asked[i].accepted)
            continue;
        asked[i].told = false;
        snprintf(line, sizeof line, "{\"id\":\"r%zu\"}\n", i);
        say(ear.fd, line);
        accepted++;
        if (i % 4 == 0)
            listen_until(&ear, now() + 0.0001);
    }
    const double until = now() + 60;
    for (missing = 1; missing && now() < until;) {
        if (!listen_until(&ear, now() + 0.05))
            break;
        missing = lost = 0;
        for (size_t i = 0; i < asked_count; i++) {
            lost += asked[i].accepted && asked[i].lost;
            missing += asked[i].accepted && !asked[i].lost && !asked[i].told;
        }
    }
    printf("%u kills: %zu asked, %zu accepted, %zu lost, %zu unanswered, %zu with two texts\n",
           kills, asked_count, accepted, lost, missing, different);
    CHECK(accepted > 0 && !lost && !missing && !different && !faults);
    close(ear.fd);
    CHECK(end(&server, SIGTERM) == 0);
    CHECK(access(path, F_OK) != 0);
}

/* Clients that vanish, do not read, or are too many do not hold the others up. */
static void check_clients(void)
{
    char text[128];
    int fds[9];

    start("16");
    const int deaf = dial(), gone = dial();
    for (size_t i = 0; i < 5; i++)
        ask_new(gone);
    close(gone);
    /* Its replies stay in its buffers; its requests stay in the socket's. */
    for (int i = 0; i < 2000; i++)
        if (send(deaf, "{\"id\":\"r0\"}\n{\n", 14, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            break;
    ear = (struct ear){.fd = dial()};
    const double begun = now();
    const size_t i = ask_new(ear.fd);
    while (!asked[i].text && now() < begun + 20)
        if (!listen_until(&ear, now() + 0.02))
            break;
    CHECK(asked[i].text != NULL);
    for (size_t k = 0; k < sizeof fds / sizeof fds[0]; k++)
        fds[k] = dial();
    const ssize_t n = read(fds[8], text, sizeof text - 1);
    text[n > 0 ? n : 0] = 0;
    CHECK(strstr(text, "too many clients") != NULL);
    for (size_t k = 0; k < sizeof fds / sizeof fds[0]; k++)
        close(fds[k]);
    close(deaf);
    close(ear.fd);
    struct stat st;
    CHECK(!stat(path, &st) && (st.st_mode & 0777) == 0600);
    CHECK(end(&server, SIGTERM) == 0);
}

static void forget(void)
{
    for (size_t i = 0; i < asked_count; i++)
        free(asked[i].text);
    asked_count = 0;
}

int main(int argc, char **argv)
{
    struct check_rng r = check_seed(argc, argv);
    const char *bin = getenv("RBE_BIN"), *kills = getenv("KILLS");

    if (!bin) {
        printf("SKIP RBE_BIN, the folder of the programs, is not set\n");
        return 77;
    }
    if (!CHECK(service_folder(bin)))
        return check_done();
    if (CHECK(service_model(bin))) {
        check_clients();
        kill_in_rounds(&r, kills ? (unsigned)strtoul(kills, NULL, 10) : 60, check_kills,
                       forget);
    }
    forget();
    free(asked);
    return check_done();
}
