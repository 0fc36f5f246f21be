/*
 * power.c - what the service says to systemd, and how it keeps the machine awake.
 *
 * SPDX-License-Identifier: MIT
 */
#include "deploy/serve/power.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/progress.h"

enum { LINGER_S = 2, RETRY_S = 60 };

extern char **environ;

void rbe_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    const size_t n = path ? strlen(path) : 0;

    if (!n || n >= sizeof a.sun_path || (*path != '/' && *path != '@'))
        return;
    memcpy(a.sun_path, path, n);
    if (*path == '@')           /* an abstract name */
        a.sun_path[0] = 0;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    /* Who does not read what it is told must not hold the service up. */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &(struct timeval){.tv_usec = 500000},
               sizeof(struct timeval));
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        errno = 0;              /* nobody listens */
    close(fd);
}

static void not_given(struct rbe_power *p, const char *why)
{
    p->next_try = rbe_now() + RETRY_S;
    if (p->say && !p->said)
        p->say(why);
    p->said = true;
}

/* The child reads a pipe of this process, whose end is its end, however it comes.  What it has
 * to say is said here. */
static void take_lock(struct rbe_power *p)
{
    char *argv[] = {(char[]){"systemd-inhibit"}, (char[]){"--what=sleep"},
                    (char[]){"--who=rbe-serve"}, (char[]){"--why=requests are answered"},
                    (char[]){"--mode=block"}, (char[]){"cat"}, NULL};
    posix_spawn_file_actions_t files;
    int ends[2];

    if (pipe2(ends, O_CLOEXEC))
        return;
    if (!posix_spawn_file_actions_init(&files)) {
        posix_spawn_file_actions_adddup2(&files, ends[0], STDIN_FILENO);
        posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (posix_spawnp(&p->child, argv[0], &files, NULL, argv, environ)) {
            p->child = 0;
            not_given(p, "there is no systemd-inhibit");
        }
        posix_spawn_file_actions_destroy(&files);
    }
    close(ends[0]);
    if (p->child)
        p->hold = ends[1];
    else
        close(ends[1]);
}

void rbe_power_inhibit(struct rbe_power *p, bool work)
{
    const double now = rbe_now();

    if (work)
        p->last_work = now;
    if (p->child && waitpid(p->child, NULL, WNOHANG) == p->child) {
        close(p->hold);
        p->child = 0;
        not_given(p, "systemd-inhibit was refused");
    }
    if (work && p->inhibit && !p->child && now >= p->next_try) {
        take_lock(p);
    } else if (!work && p->child && now - p->last_work > LINGER_S) {
        close(p->hold);
        waitpid(p->child, NULL, 0);
        p->child = 0;
    }
}

void rbe_power_watch(struct rbe_power *p, bool well)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    const double period = usec ? 1e-6 * strtod(usec, NULL) : 0, now = rbe_now();

    if (!(period > 0) || !well || now - p->last_word < period / 2 ||
        (pid && strtol(pid, NULL, 10) != (long)getpid()))
        return;
    p->last_word = now;
    rbe_notify("WATCHDOG=1");
}
