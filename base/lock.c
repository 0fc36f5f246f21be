/*
 * lock.c - locks on files (lock.h).
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/progress.h"

/* How often is looked whether the lock is free: a signal must be able to end the wait. */
static const struct timespec again = {.tv_nsec = 200L * 1000 * 1000};

int rbe_lock_take(const char *path, const char *what)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    bool said = false;

    while (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB)) {
        if (errno == EINTR)
            continue;
        if (errno != EWOULDBLOCK || rbe_interrupted()) {
            close(fd);
            fd = -1;
            break;
        }
        if (!said)
            rbe_progress_say("waiting for %s (%s)\n", what, path);
        said = true;
        nanosleep(&again, NULL);
    }
    return fd;
}

void rbe_lock_drop(int *lock)
{
    if (*lock >= 0)
        close(*lock);
    *lock = -1;
}
