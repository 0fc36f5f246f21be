/*
 * check_serve_power.c - rbe-serve at rest: what systemd is told, the sleep lock, the model's
 * pages, the CPU's time.
 *
 * SPDX-License-Identifier: MIT
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernels/test/check.h"

#define MODEL "datasets/embedded/mini-2.89-tuned.rbe"

static char folder[] = "/dev/shm/rbe-power-XXXXXX", program[4096], path[64], told[64], held[64];
static pid_t server;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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

/* A request's last reply. */
static void ask(char *out, size_t room, const char *id)
{
    const struct sockaddr_un a = address(path);
    char line[256];
    size_t n = 0;

    const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(line, sizeof line, "{\"id\":\"%s\",\"prompt\":\"The city\",\"max_tokens\":9,"
             "\"temperature\":0}\n", id);
    out[0] = 0;
    if (!CHECK(!connect(fd, (const struct sockaddr *)&a, sizeof a) &&
               write(fd, line, strlen(line)) > 0))
        return;
    shutdown(fd, SHUT_WR);
    for (ssize_t got; n < room - 1 && (got = read(fd, out + n, room - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = 0;
    close(fd);
    char *text = strstr(out, "\"text\":");
    memmove(out, text ? text : "", strlen(text ? text : "") + 1);
}

/* Kilobytes of files in memory. */
static long file_pages(void)
{
    char name[64], line[128];
    long kb = -1;

    snprintf(name, sizeof name, "/proc/%d/status", (int)server);
    FILE *f = fopen(name, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "RssFile:", 8))
            kb = strtol(line + 8, NULL, 10);
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

static void check_rest(int fd)
{
    char first[4096], again[4096];

    CHECK(hears(fd, "READY=1", 20) >= 0);
    CHECK(hears(fd, "WATCHDOG=1", 5) >= 0 && hears(fd, "WATCHDOG=1", 5) > 0.2);
    CHECK(access(held, F_OK) != 0);
    ask(first, sizeof first, "a");
    const long busy = file_pages();
    CHECK(*first && exists_for(held, true, 5));
    /* The lock ends two seconds after the work, the pages go after one. */
    CHECK(exists_for(held, false, 6));
    const long idle = file_pages();
    printf("files in memory: %ld kB, at rest %ld kB\n", busy, idle);
    CHECK(idle > 0 && busy - idle > 3000);
    const double ran = run_time(), begun = now();
    sleep(2);
    const double share = 100 * (run_time() - ran) / (now() - begun);
    printf("CPU at rest: %.3f %%\n", share);
    CHECK(share < 1);
    const double asked = now();
    ask(again, sizeof again, "b");
    printf("woken and answered in %.1f ms\n", 1e3 * (now() - asked));
    CHECK(!strcmp(first, again) && file_pages() > idle + 3000);
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
    char command[128], search[4096];

    if (!bin) {
        printf("SKIP RBE_BIN, the folder of the programs, is not set\n");
        return 77;
    }
    if (access("/dev/shm", W_OK))
        strcpy(folder, "/tmp/rbe-power-XXXXXX");
    if (!CHECK(mkdtemp(folder) != NULL))
        return check_done();
    snprintf(program, sizeof program, "%s/rbe-serve", bin);
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(told, sizeof told, "%s/told", folder);
    snprintf(held, sizeof held, "%s/held", folder);
    const struct sockaddr_un a = address(told);
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (CHECK(put_inhibitor() && !bind(fd, (const struct sockaddr *)&a, sizeof a))) {
        snprintf(search, sizeof search, "%s:%s", folder, place ? place : "/usr/bin:/bin");
        setenv("PATH", search, 1);
        setenv("NOTIFY_SOCKET", told, 1);
        setenv("WATCHDOG_USEC", "600000", 1);
        server = fork();
        if (!server) {
            execl(program, program, "-q", "-m", MODEL, "-t", "1", "--socket", path, "--idle",
                  "1", "--inhibit-sleep", (char *)NULL);
            _exit(127);
        }
        check_rest(fd);
    }
    close(fd);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    CHECK(system(command) == 0);
    return check_done();
}
