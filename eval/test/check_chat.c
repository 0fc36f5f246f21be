/*
 * check_chat.c - rbe chat in a terminal: Ctrl-C stops the answer, not the program.
 *
 * SPDX-License-Identifier: MIT
 *
 * The program runs under a pseudo-terminal, so that line editing, echo and the signal of the
 * Ctrl-C key are the real ones.
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/test/check.h"

enum { PATIENCE_MS = 20000 };

static int terminal = -1;
static char seen[1 << 16], before[256];
static size_t size;

/* Reads until `what` has come, keeps what stood before it, forgets all up to its end; false
 * when the program ended or took too long. */
static bool await(const char *what)
{
    for (;;) {
        const char *at = memmem(seen, size, what, strlen(what));
        if (at) {
            const size_t used = (size_t)(at - seen) + strlen(what);
            snprintf(before, sizeof before, "%.*s", (int)(at - seen), seen);
            memmove(seen, seen + used, size - used);
            size -= used;
            return true;
        }
        struct pollfd p = {.fd = terminal, .events = POLLIN};
        if (size == sizeof seen || poll(&p, 1, PATIENCE_MS) < 1)
            break;
        const ssize_t got = read(terminal, seen + size, sizeof seen - size);
        if (got <= 0)
            break;
        size += (size_t)got;
    }
    printf("     waited in vain for '%s' after '%.*s'\n", what, (int)size, seen);
    return false;
}

static bool type(const char *keys)
{
    return write(terminal, keys, strlen(keys)) == (ssize_t)strlen(keys);
}

int main(void)
{
    const char *folder = getenv("RBE_BIN");
    char path[4096];
    int status = 0;

    snprintf(path, sizeof path, "%s/rbe", folder ? folder : "");
    if (!folder || access(path, X_OK)) {
        printf("SKIP RBE_BIN does not name the folder of the programs\n");
        return 77;
    }
    const char *emulator = getenv("EMULATOR");
    if (emulator && *emulator) {
        printf("SKIP the program does not run without an emulator\n");
        return 77;
    }
    const pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    if (child < 0) {
        printf("SKIP no pseudo-terminal\n");
        return 77;
    }
    if (!child) {
        setenv("TERM", "vt100", 1);
        execl(path, "rbe", "chat", "--model", "rbe-mini", "--max-tokens", "480", "--threads",
              "1", "--timing", NULL);
        _exit(127);
    }
    const char question[] = "Write all that you know of the history of the river.";
    CHECK(await("Ctrl-C stops an answer") && await("you> "));
    /* The echo of the question's end, then the first word of the answer. */
    CHECK(type(question) && type("\r") && await("the river.") && await("\n"));
    CHECK(await("The "));
    CHECK(type("\003") && await("[stopped]") && await("\n["));
    /* Left alone, this answer has 68 tokens. */
    CHECK(await(" ") && atoi(before) > 0 && atoi(before) < 50);
    /* It listens again, and answers to the end. */
    CHECK(await("you> ") && type("Who?\r") && await("resident]"));
    /* At the prompt Ctrl-C clears the line: the rest alone is the question. */
    CHECK(await("you> ") && type("/qxx") && await("/qxx") && type("\003") && await("you> "));
    CHECK(type("/reset\r") && await("[forgotten]") && await("you> "));
    CHECK(type("/quit\r"));
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(terminal);
    return check_done();
}
