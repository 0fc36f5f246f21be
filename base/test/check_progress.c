/*
 * check_progress.c - the time that progress says is left, and the line it draws.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/progress.h"
#include "kernels/test/check.h"

static void check_left(void)
{
    struct rbe_progress p;

    rbe_progress_start(&p, "test", "units", 100);
    CHECK_NEAR(rbe_progress_left(&p, 5), 0, 0);         /* nothing tells yet */
    rbe_progress_update(&p, 20, NULL);
    CHECK_NEAR(rbe_progress_left(&p, 5), 20, 1e-9);     /* 20 in 5 s */
    /* 40 more that an earlier run did take no time: 40 are left, 20 came in 5 s. */
    rbe_progress_skip(&p, 40);
    rbe_progress_update(&p, 60, NULL);
    CHECK_NEAR(rbe_progress_left(&p, 5), 10, 1e-9);
    rbe_progress_update(&p, 100, NULL);
    CHECK_NEAR(rbe_progress_left(&p, 5), 0, 0);
}

/* In any width, of any part, the line fits and says what it can. */
static void check_lines(void)
{
    static const char *const whats[] = {"x", "measuring", "P1 wiki.test.raw and a longer name",
                                        "\xe6\xb8\xac\xe5\xae\x9a\xe3\x81\xae\xe5\x90\x8d"};
    static const double parts[] = {0, 1e-9, 0.5, 1, 1.13, 1e6, -1};
    char line[512];

    for (size_t w = 0; w < sizeof whats / sizeof *whats; w++)
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            for (unsigned columns = 1; columns <= 140; columns++) {
                const struct rbe_progress p = {.what = whats[w], .unit = "samples",
                                               .total = 1000, .done = 1000 * parts[k],
                                               .tty = true};
                rbe_progress_line(line, sizeof line, &p, 3, "gemv_seed_avx2/768x768/B:44/cold",
                                  false, columns);
                CHECK(strlen(line) <= columns + 12);    /* bytes: the last name has 12 */
                CHECK(w == 3 || strlen(line) <= columns);
                const char *percent = strchr(line, '%');
                CHECK(columns < 20 || percent);
                while (percent && percent > line && strchr("0123456789", percent[-1]))
                    percent--;
                CHECK(!percent || atoi(percent) <= 100);
                CHECK(columns < 20 || strstr(line, "left"));
                CHECK((columns < 100) || strstr(line, "[") != NULL);
            }
    /* Hours and days, and what is no time at all. */
    const struct rbe_progress slow = {.what = "w", .unit = "u", .total = 1e30, .done = 1};
    rbe_progress_line(line, sizeof line, &slow, 1, NULL, false, 80);
    CHECK(strstr(line, "left 100000 h"));
}

/* What a terminal of so many columns gets: bars in place of each other, and none before what is
 * printed after rbe_progress_clear(). */
static void check_terminal(unsigned short columns)
{
    const struct winsize size = {.ws_row = 24, .ws_col = columns};
    static char seen[1 << 16];
    const int pty = posix_openpt(O_RDWR | O_NOCTTY);
    size_t n = 0;

    if (pty < 0 || grantpt(pty) || unlockpt(pty)) {
        printf("SKIP the terminal: no pty\n");
        return;
    }
    const int tty = open(ptsname(pty), O_RDWR | O_NOCTTY), kept = dup(STDERR_FILENO);
    CHECK(tty >= 0 && !ioctl(tty, TIOCSWINSZ, &size));
    fflush(stderr);
    dup2(tty, STDERR_FILENO);
    struct rbe_progress p;
    rbe_progress_start(&p, "a name of some length", "units", 100);
    p.step = 0;
    for (int i = 1; i <= 113; i++)
        rbe_progress_update(&p, i, "a note that is far too long for a terminal of few columns");
    rbe_progress_clear();
    fputs("an output line\n", stderr);
    rbe_progress_update(&p, 113, NULL);
    rbe_progress_end(&p);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    fcntl(pty, F_SETFL, O_NONBLOCK);
    for (ssize_t got; (got = read(pty, seen + n, sizeof seen - 1 - n)) > 0;)
        n += (size_t)got;
    seen[n] = 0;
    close(tty);
    close(kept);
    close(pty);
    CHECK(n > 0);
    /* Each bar begins at the left, ends in erasing the rest, and leaves a column free. */
    unsigned bars = 0;
    for (char *at = seen, *end; (at = strchr(at, '\r')) && (end = strstr(at, "\033[K"));
         at = end) {
        if (at[1] == '\n') {     /* the terminal's own, at the end of a line */
            end = at + 1;
            continue;
        }
        CHECK(end - at - 1 < columns);
        bars++;
    }
    CHECK(bars > 50);
    CHECK(!strstr(seen, "113%") && strstr(seen, "100%"));
    /* Between the last bar and the line there is the order to erase it. */
    const char *line = strstr(seen, "an output line");
    CHECK(line && line - seen > 4 && !memcmp(line - 4, "\r\033[K", 4));
}

/* Lines that are held back until work begins, or are dropped: each once, in their order. */
static void check_held(void)
{
    char path[] = "/tmp/rbe-held-XXXXXX", seen[200] = "";
    const int fd = mkstemp(path), kept = dup(STDERR_FILENO);

    if (!CHECK(fd >= 0 && kept >= 0))
        return;
    fflush(stderr);
    dup2(fd, STDERR_FILENO);
    rbe_progress_hold("dropped");
    rbe_progress_release(false);
    rbe_progress_hold("the first");
    rbe_progress_hold("the second");
    rbe_progress_hold("the first");
    rbe_progress_release(true);
    rbe_progress_release(true);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    CHECK(pread(fd, seen, sizeof seen - 1, 0) > 0);
    CHECK(!strcmp(seen, "the first\nthe second\n"));
    close(fd);
    unlink(path);
}

int main(void)
{
    check_held();
    for (unsigned short columns = 20; columns <= 120; columns += 10)
        check_terminal(columns);
    check_lines();
    rbe_progress_silence();
    check_left();
    return check_done();
}
