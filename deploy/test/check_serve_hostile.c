/*
 * check_serve_hostile.c - rbe-serve and clients that mean it ill: raw bytes over HTTP.
 *
 * SPDX-License-Identifier: MIT
 *
 * ROUNDS=N sends so many damaged requests (300).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "deploy/test/service.h"

/* LONGEST: seconds for what must come, beyond what a busy machine makes of it. */
enum { IDLE = 300, LONGEST = 60 };

static pid_t server = -1;
static uint16_t port;
static char said[1 << 16];      /* what came back */

/* Starts it, and finds where it listens in what it says. */
static bool start(void)
{
    char text[512] = "", *at;
    size_t n = 0;
    int ends[2];

    if (pipe(ends))
        return false;
    server = service_fork();
    if (!server) {
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        execl(program, program, "-m", tiny, "-t", "1", "--http", "0", "--state", state,
              "--clients", "16", "--patience", "4", "--body", "20000", (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    while (!strchr(text, '\n') && n < sizeof text - 1) {
        const ssize_t got = read(ends[0], text + n, sizeof text - 1 - n);
        if (got <= 0)
            break;
        text[n += (size_t)got] = 0;
    }
    /* It stays open: nobody reads what more is said. */
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    at = strstr(text, "http://127.0.0.1:");
    port = at ? (uint16_t)strtoul(at + 17, NULL, 10) : 0;
    if (!port)
        printf("%s\n", text);
    return port != 0;
}

static int dial(void)
{
    const struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (const struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

static bool put(int fd, const char *bytes, size_t size)
{
    for (ssize_t n; size; bytes += n, size -= (size_t)n)
        if ((n = send(fd, bytes, size, MSG_NOSIGNAL)) <= 0)
            return false;
    return true;
}

/* Into said, until the end or so many seconds; false: no end came. */
static bool hear(int fd, double seconds)
{
    const double until = now() + seconds;
    size_t n = 0;

    said[0] = 0;
    for (double left; (left = until - now()) > 0;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, (int)(1e3 * left) + 1) < 1)
            continue;
        const ssize_t got = recv(fd, said + n, sizeof said - 1 - n, 0);
        if (got <= 0)
            return true;
        said[n += (size_t)got] = 0;
    }
    return false;
}

/* The status of what comes back for these bytes; 0: none, -1: the connection does not end. */
static int status_of(const char *bytes, size_t size)
{
    const int fd = dial();
    int status = 0;

    if (fd < 0)
        return -2;
    put(fd, bytes, size);
    if (!hear(fd, LONGEST))
        status = -1;
    else if (!strncmp(said, "HTTP/1.", 7))
        status = atoi(said + 9);
    close(fd);
    return status;
}

#define HEADS "Host: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"

/* The same of a body with `more` heads. */
static int post(const char *more, const char *body, size_t size)
{
    char *text = malloc(size + strlen(more) + 256);
    const int n = sprintf(text, "POST /v1/completions HTTP/1.1\r\n" HEADS
                          "%sContent-Length: %zu\r\n\r\n", more, size);

    memcpy(text + n, body, size);
    const int status = status_of(text, (size_t)n + size);
    free(text);
    return status;
}

static const char good[] = "{\"prompt\":\"x\",\"max_tokens\":2}";

static bool serves(void)
{
    return post("", good, sizeof good - 1) == 200;
}

static bool gives(const char *what, int want, int got)
{
    if (want != got)
        printf("%s: %d, not %d: %.300s\n", what, got, want, said);
    return CHECK(want == got);
}

/* --- messages ----------------------------------------------------------------------------- */

static void check_framing(void)
{
    static const struct { const char *text; int want; } rows[] = {
        /* Where a body ends must be told once. */
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Content-Length: 29\r\n"
         "Content-Length: 5\r\n\r\n{\"prompt\":\"x\",\"max_tokens\":2}", 400},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Content-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n1d\r\n{\"prompt\":\"x\",\"max_tokens\":2}\r\n"
         "0\r\n\r\n",
         400},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Transfer-Encoding: gzip, chunked\r\n\r\n"
         "5\r\nhello\r\n0\r\n\r\n", 400},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Transfer-Encoding: chunked\r\n\r\n"
         "1d\r\n{\"prompt\":\"x\",\"max_tokens\":2}\r\n0\r\n\r\n", 200},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
         400},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Transfer-Encoding: chunked\r\n\r\n"
         "ffffffffffffffffff\r\n", 413},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS "Content-Length: -1\r\n\r\n", 400},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS
         "Content-Length: 99999999999999999999999\r\n\r\n", 413},
        {"POST /v1/completions HTTP/1.1\r\n" HEADS
         "Content-Length: 9223372036854775807\r\n\r\n", 413},
        /* Names that only begin like this machine's. */
        {"GET /v1/models HTTP/1.1\r\nHost: localhost.example.org\r\nConnection: close\r\n\r\n",
         403},
        {"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1.example.org\r\nConnection: close\r\n\r\n",
         403},
        {"GET /v1/models HTTP/1.1\r\nHost: [::1].example.org\r\nConnection: close\r\n\r\n",
         403},
        {"GET /v1/models HTTP/1.1\r\nHost: LocalHost:80\r\nConnection: close\r\n\r\n", 200},
        {"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n\r\n", 200},
        {"GET /v1/models HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n", 200},
        {"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n", 505},
        {"GET /health HTTP/1.0\r\n\r\n", 200},
        {"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
         404},
        {"BREW /v1/completions HTTP/1.1\r\n" HEADS "\r\n", 405},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        gives(rows[i].text, rows[i].want, status_of(rows[i].text, strlen(rows[i].text)));
    /* Several at once are answered in their order. */
    static const char many[] =
        "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 29\r\n\r\n{\"prompt\":\"x\",\"max_tokens\":2}"
        "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    gives("pipelined", 200, status_of(many, sizeof many - 1));
    const char *first = strstr(said, "\"status\""), *second = strstr(said, "\"choices\"");
    const char *third = strstr(said, "\"owned_by\"");
    CHECK(first && second && third && first < second && second < third);
}

/* `before`, `n` times `unit`, `after`. */
static char *repeated(const char *before, const char *unit, size_t n, const char *after)
{
    const size_t k = strlen(unit);
    char *text = malloc(strlen(before) + n * k + strlen(after) + 1), *at = text;

    at = stpcpy(at, before);
    for (size_t i = 0; i < n; i++, at += k)
        memcpy(at, unit, k);
    strcpy(at, after);
    return text;
}

static void check_floods(void)
{
    char *heads = repeated("GET /health HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", 20000,
                           "");
    char *line = repeated("GET /", "a", 100000, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    char *method = repeated("", "A", 100000, "");

    const int by_heads = status_of(heads, strlen(heads));
    CHECK(by_heads == 431 || by_heads == 0);
    const int by_line = status_of(line, strlen(line));
    CHECK(by_line == 414 || by_line == 0);
    CHECK(status_of(method, strlen(method)) != 200);
    CHECK(serves());
    free(heads);
    free(line);
    free(method);
}

/* --- bodies ------------------------------------------------------------------------------- */

static void check_bodies(void)
{
    static const char *const bad[] = {
        "", "[1]", "{", "{\"prompt\":\"x\"}}", "\xEF\xBB\xBF{\"prompt\":\"x\"}",
        "{\"prompt\":\"\xFF\xFE\"}", "{\"prompt\":\"\xC0\x80\"}", "{\"prompt\":\"\\ud800\"}",
        "{\"prompt\":\"\\ud800\\u0041\"}", "{\"prompt\":\"a\\u0000b\"}",
        "{\"prompt\":\"x\",\"prompt\":\"y\"}", "{\"prompt\":\"x\",\"temperature\":NaN}",
        "{\"prompt\":\"x\",\"temperature\":1e999}", "{\"prompt\":\"x\",\"temperature\":-1}",
        "{\"prompt\":\"x\",\"max_tokens\":99999999999999999999}",
        "{\"prompt\":\"x\",\"max_tokens\":9007199254740993}",
        "{\"prompt\":\"x\",\"max_tokens\":1.5}", "{\"prompt\":\"x\",\"top_p\":0}",
        "{\"prompt\":\"\"}", "{\"prompt\":[]}", "{\"prompt\":[-1]}", "{\"prompt\":[99999999]}",
        "{\"prompt\":[1,\"a\"]}", "{\"prompt\":{\"a\":1}}",
        "{\"prompt\":\"x\",\"stop\":[\"\"]}",
        "{\"prompt\":\"x\",\"\\u0001\\n\":1}", "{\"prompt\":\"x\",\"logprobs\":6}",
    };
    char *deep = repeated("{\"id\":\"deep\",\"prompt\":\"x\",\"metadata\":", "[", 3000, "");
    char *kept = repeated("{\"id\":\"kept\",\"prompt\":\"x\",\"max_tokens\":2,\"metadata\":",
                          "[", 2047, "");
    char *closed = repeated(kept, "]", 2047, "}");

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        gives(bad[i], 400, post("", bad[i], strlen(bad[i])));
        /* One line that says why. */
        const char *why = strstr(said, "\"message\":\"");
        CHECK(why && !strchr(why, '\n') && why[11] != '"');
    }
    gives("deep", 400, post("", deep, strlen(deep)));
    gives("as deep as can be read", 400, post("", closed, strlen(closed)));
    CHECK(strstr(said, "levels") != NULL);
    char *key = repeated("Idempotency-Key: ", "k", 300, "\r\n");
    gives("a long key", 400, post(key, good, sizeof good - 1));
    gives("an odd key", 400, post("Idempotency-Key: a b\xFF\r\n", good, sizeof good - 1));
    free(key);
    free(deep);
    free(kept);
    free(closed);
}

/* --- clients ------------------------------------------------------------------------------ */

static const char stream[] =
    "POST /v1/completions HTTP/1.1\r\n" HEADS "Content-Length: 45\r\n\r\n"
    "{\"prompt\":\"x\",\"max_tokens\":60,\"stream\":true }";

static void check_clients(void)
{
    int fds[IDLE];

    /* Gone in the middle of a stream, with a reset. */
    for (int i = 0; i < 4; i++) {
        const struct linger l = {.l_onoff = 1};
        const int fd = dial();
        put(fd, stream, sizeof stream - 1);
        recv(fd, said, 100, 0);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
        close(fd);
    }
    CHECK(serves());
    /* Half closed, with all or a part of a request: an end comes. */
    for (size_t n = sizeof stream - 1; n; n = n > 40 ? 40 : 0) {
        const int fd = dial();
        put(fd, stream, n);
        shutdown(fd, SHUT_WR);
        CHECK(hear(fd, LONGEST));
        close(fd);
    }
    /* Some that do not read. */
    const int small = 1024;
    for (int i = 0; i < 4; i++) {
        fds[i] = dial();
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        put(fds[i], stream, sizeof stream - 1);
    }
    CHECK(serves());
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    /* One that says nothing, while there are places. */
    fds[0] = dial();
    const double dialled = now();
    CHECK(hear(fds[0], LONGEST));
    const double kept = now() - dialled;
    close(fds[0]);
    /* Many more than there are places, which say nothing. */
    for (int i = 0; i < IDLE; i++) {
        const struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(fds[i], (const struct sockaddr *)&a, sizeof a))
            continue;           /* it is under way */
    }
    const double begun = now();
    CHECK(serves());
    const double took = now() - begun;
    printf("served after %.1f s, behind %d idle connections; alone one is kept %.1f s\n", took,
           (int)IDLE, kept);
    /* They leave sooner than those: at most 128 wait in the queue, and 16 by 16 they would take
     * 8 times that.  How long either takes, a busy machine says. */
    CHECK(took < 6 * kept);
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
}

/* Good requests, damaged. */
static void check_damaged(struct check_rng *r, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        char text[512];
        size_t n = (size_t)sprintf(text, i % 2 ? "POST /v1/completions HTTP/1.1\r\n" HEADS
                                   "Content-Length: %zu\r\n\r\n%s"
                                   : "GET /v1/models?%zu=%s HTTP/1.1\r\n" HEADS "\r\n",
                                   sizeof good - 1, good);
        for (uint32_t k = 1 + check_below(r, 5); k; k--) {
            const size_t at = check_below(r, (uint32_t)n);
            const size_t cut = 1 + check_below(r, 8);
            if (check_below(r, 2) || n < 40) {
                text[at] = (char)check_next(r);
            } else if (at + cut < n) {
                memmove(text + at, text + at + cut, n - at - cut);
                n -= cut;
            }
        }
        const int fd = dial();
        put(fd, text, n);
        if (i % 4 == 0) {
            struct pollfd p = {.fd = fd, .events = POLLIN};
            poll(&p, 1, 20);
        }
        close(fd);
    }
    CHECK(serves());
}

static size_t open_files(void)
{
    char name[64];
    size_t n = 0;

    snprintf(name, sizeof name, "/proc/%d/fd", (int)server);
    DIR *d = opendir(name);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static bool has_metric(const char *line)
{
    static const char ask[] = "GET /metrics HTTP/1.0\r\n\r\n";

    return status_of(ask, sizeof ask - 1) == 200 && strstr(said, line);
}

int main(int argc, char **argv)
{
    struct check_rng r = check_seed(argc, argv);
    const char *bin = getenv("RBE_BIN"), *rounds = getenv("ROUNDS");

    if (!bin) {
        printf("SKIP RBE_BIN, the folder of the programs, is not set\n");
        return 77;
    }
    if (!CHECK(service_folder(bin)))
        return check_done();
    if (CHECK(service_model(bin)) && CHECK(start()) && CHECK(serves())) {
        const size_t before = open_files();
        check_framing();
        check_floods();
        check_bodies();
        check_clients();
        check_damaged(&r, rounds ? (unsigned)strtoul(rounds, NULL, 10) : 300);
        /* Nothing of it stays: the vanished are noticed, and what they asked is left. */
        const double until = now() + LONGEST;
        while ((!has_metric("\nrbe_requests_waiting 0\n") || open_files() > before + 1) &&
               now() < until)
            usleep(50000);
        CHECK(has_metric("\nrbe_requests_waiting 0\n") && open_files() <= before + 1);
        CHECK(end(&server, SIGTERM) == 0);
        /* What was kept can be read again. */
        CHECK(start() && serves());
        CHECK(end(&server, SIGTERM) == 0);
    }
    if (server > 0)
        end(&server, SIGKILL);
    return check_done();
}
