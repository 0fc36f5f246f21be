/*
 * check_serve_power.c - rbe-serve at rest: what systemd is told, the sleep lock, the model's
 * pages, the CPU's time.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/sensors.h"
#include "deploy/test/service.h"

#define MODEL "datasets/embedded/mini-2.89-tuned.rbe"
enum { NICE = 3, REQUESTS = 20 };

static char told[64], held[64];
static pid_t server;

static struct sockaddr_un address(const char *name)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};

    strcpy(a.sun_path, name);
    return a;
}

/* Seconds until this word came, or -1. */
static double hears(int fd, const char *word, double seconds)
{
    const double begun = now();
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char text[128];

    for (double left; (left = begun + seconds - now()) > 0;) {
        if (poll(&p, 1, (int)(1e3 * left) + 1) < 1)
            continue;
        const ssize_t n = recv(fd, text, sizeof text - 1, 0);
        text[n > 0 ? n : 0] = 0;
        if (!strcmp(text, word))
            return now() - begun;
    }
    return -1;
}

/* A request's last reply; the seconds until the first piece of its text. */
static double ask(char *out, size_t room, const char *id)
{
    const struct sockaddr_un a = address(path);
    const double begun = now();
    double first = -1;
    char line[256];
    size_t n = 0;

    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(line, sizeof line, "{\"id\":\"%s\",\"prompt\":\"The city\",\"max_tokens\":9,"
             "\"temperature\":0,\"stream\":true}\n", id);
    out[0] = 0;
    if (!CHECK(!connect(fd, (const struct sockaddr *)&a, sizeof a) &&
               write(fd, line, strlen(line)) > 0))
        return -1;
    shutdown(fd, SHUT_WR);
    for (ssize_t got; n < room - 1 && (got = read(fd, out + n, room - 1 - n)) > 0;) {
        out[n += (size_t)got] = 0;
        if (first < 0 && strstr(out, "\"part\""))
            first = now() - begun;
    }
    close(fd);
    char *done = strstr(out, "\"done\""), *text = done ? strstr(done, "\"text\":") : NULL;
    memmove(out, text ? text : "", strlen(text ? text : "") + 1);
    return first;
}

/* A line of its status in kilobytes: "RssFile:", files in memory; "VmRSS:", all. */
static long kilobytes(const char *what)
{
    char name[64], line[128];
    long kb = -1;

    snprintf(name, sizeof name, "/proc/%d/status", (int)server);
    FILE *f = fopen(name, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, what, strlen(what)))
            kb = strtol(line + strlen(what), NULL, 10);
    if (f)
        fclose(f);
    return kb;
}

/* Seconds that all its threads have run. */
static double run_time(void)
{
    char name[384], line[128];
    double sum = 0;

    snprintf(name, sizeof name, "/proc/%d/task", (int)server);
    DIR *d = opendir(name);
    for (struct dirent *e; d && (e = readdir(d));) {
        snprintf(name, sizeof name, "/proc/%d/task/%s/schedstat", (int)server, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(name, "r");
        if (f && fgets(line, sizeof line, f))
            sum += 1e-9 * strtod(line, NULL);
        if (f)
            fclose(f);
    }
    if (d)
        closedir(d);
    return sum;
}

static bool exists_for(const char *name, bool want, double seconds)
{
    const double until = now() + seconds;

    while ((access(name, F_OK) == 0) != want && now() < until)
        usleep(5000);
    return (access(name, F_OK) == 0) == want;
}

/* Every thread lets others go first. */
static void check_nice(void)
{
    const int mine = getpriority(PRIO_PROCESS, 0), want = mine + NICE > 19 ? 19 : mine + NICE;
    char name[64];
    unsigned threads = 0;

    snprintf(name, sizeof name, "/proc/%d/task", (int)server);
    DIR *d = opendir(name);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.') {
            threads++;
            CHECK(getpriority(PRIO_PROCESS, (id_t)strtoul(e->d_name, NULL, 10)) == want);
        }
    if (d)
        closedir(d);
    CHECK(threads > 2);
}

static void tell_energy(void)
{
    const double before = rbe_energy(rbe_sysfs());
    char text[4096], id[16];

    for (int i = 0; i < REQUESTS && !isnan(before); i++) {
        snprintf(id, sizeof id, "e%d", i);
        ask(text, sizeof text, id);
    }
    const double joules = rbe_energy(rbe_sysfs()) - before;
    if (joules > 0)             /* of the whole machine */
        printf("requests of 9 tokens per joule: %.2f\n", REQUESTS / joules);
    else
        printf("requests per joule: NOT MEASURED, no counter of energy can be read\n");
}

static void check_rest(int fd)
{
    char first[4096], again[4096];

    CHECK(hears(fd, "READY=1", 20) >= 0);
    CHECK(hears(fd, "WATCHDOG=1", 5) >= 0 && hears(fd, "WATCHDOG=1", 5) > 0.2);
    CHECK(access(held, F_OK) != 0);
    const double awake = ask(first, sizeof first, "a");
    const long busy = kilobytes("RssFile:");
    CHECK(*first && awake >= 0 && exists_for(held, true, 5));
    check_nice();
    /* The lock ends two seconds after the work, the pages go after one. */
    /* Nobody reads the watchdog's words any more, and it goes on. */
    CHECK(exists_for(held, false, 6));
    const long idle = kilobytes("RssFile:");
    printf("files in memory: %ld kB, at rest %ld kB of %ld kB in all\n", busy, idle,
           kilobytes("VmRSS:"));
    CHECK(idle > 0 && busy - idle > 3000);
    /* With two threads, of which one would wait for the other's work. */
    const double ran = run_time(), begun = now();
    sleep(2);
    const double share = 100 * (run_time() - ran) / (now() - begun);
    printf("CPU at rest: %.3f %%\n", share);
    CHECK(share < 1);
    const double asked = now(), woken = ask(again, sizeof again, "b");
    printf("first token %.1f ms after the request at rest, %.1f ms when it was loaded; all "
           "nine after %.1f ms\n", 1e3 * woken, 1e3 * awake, 1e3 * (now() - asked));
    CHECK(!strcmp(first, again) && woken >= 0 && kilobytes("RssFile:") > idle + 3000);
    tell_energy();
    /* However it ends, the lock ends. */
    CHECK(exists_for(held, true, 5));
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    CHECK(exists_for(held, false, 5));
}

/* Stands for systemd-inhibit: the lock is a file. */
static bool put_inhibitor(void)
{
    char name[64];

    snprintf(name, sizeof name, "%s/systemd-inhibit", folder);
    FILE *f = fopen(name, "w");
    if (!f)
        return false;
    fprintf(f, "#!/bin/sh\n[ \"$1\" = --what=sleep ] || exit 1\ntouch '%s'\n"
            "while [ $# -gt 1 ]; do shift; done\n\"$1\"\nrm -f '%s'\n", held, held);
    return !fclose(f) && !chmod(name, 0700);
}

int main(void)
{
    const char *bin = getenv("RBE_BIN"), *place = getenv("PATH");
    char search[4096];

    if (!bin) {
        printf("SKIP RBE_BIN, the folder of the programs, is not set\n");
        return 77;
    }
    if (!CHECK(service_folder(bin)))
        return check_done();
    snprintf(told, sizeof told, "%s/told", folder);
    snprintf(held, sizeof held, "%s/held", folder);
    const struct sockaddr_un a = address(told);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (CHECK(put_inhibitor() && !bind(fd, (const struct sockaddr *)&a, sizeof a))) {
        snprintf(search, sizeof search, "%s:%s", folder, place ? place : "/usr/bin:/bin");
        setenv("PATH", search, 1);
        setenv("NOTIFY_SOCKET", told, 1);
        setenv("WATCHDOG_USEC", "600000", 1);
        server = service_fork();
        if (!server) {
            execl(program, program, "-q", "-m", MODEL, "-t", "2", "--socket", path, "--idle",
                  "1", "--inhibit-sleep", "--nice", "3", (char *)NULL);
            _exit(127);
        }
        check_rest(fd);
    }
    close(fd);
    return check_done();
}
