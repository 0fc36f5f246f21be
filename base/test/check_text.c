/*
 * check_text.c - texts as people mean them: marks, line ends, white space, pipes.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "kernels/test/check.h"

static void check_plain(void)
{
    static const struct {
        const char *from, *to;
        bool bom;
        size_t crs;
    } cases[] = {
        {"a\nb\n", "a\nb\n", false, 0},
        {"\xEF\xBB\xBF" "a\r\nb", "a\nb", true, 1},
        {"a\rb\r\r\n\r", "a\nb\n\n\n", false, 4},
        {"a\xEF\xBB\xBF", "a\xEF\xBB\xBF", false, 0},
        {"\xEF\xBB\xBF", "", true, 0},
        {"\xEF\xBB", "\xEF\xBB", false, 0},
        {"", "", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char s[32];
        struct rbe_text_marks m;
        strcpy(s, cases[i].from);
        const size_t n = rbe_text_plain(s, strlen(s), &m);
        CHECK(n == strlen(cases[i].to) && !strcmp(s, cases[i].to));
        CHECK(m.bom == cases[i].bom && m.crs == cases[i].crs);
    }
}

static void check_strip(void)
{
    /* One of each width: tab, U+0085, U+00A0, U+1680, U+2003, U+3000; U+200B is none. */
    static const char text[] = "\t\xC2\x85\xE3\x80\x80 a \xE2\x80\x8B\xC2\xA0\xE1\x9A\x80"
                               "\xE2\x80\x83";
    const char *s = text;

    CHECK(rbe_strip(&s, strlen(s)) == 5 && !memcmp(s, "a \xE2\x80\x8B", 5));
    CHECK(rbe_strip_right(text, strlen(text)) == 6 + 5 + 1);
    s = " \xC2\xA0 ";
    CHECK(rbe_strip(&s, 4) == 0);
    CHECK(rbe_strip_right("\xC2\xA0\xFF", 3) == 3 && rbe_strip_right("\x85", 1) == 1);
    CHECK(rbe_strip_right("", 0) == 0);
    for (uint32_t c = 0, n; c < 0x110000; c += c < 0x3000 ? 1 : 0x111) {
        char out[4];
        uint32_t back;
        n = (uint32_t)rbe_utf8_put(out, c);
        if (c < 0xD800 || c > 0xDFFF)
            CHECK(rbe_utf8_char(out, n, &back) == n && back == c &&
                  !rbe_utf8_char(out, n - 1, &back));
    }
}

/* What a child writes into a pipe in pieces, read through its name. */
static void check_pipe(void)
{
    static const char piece[] = "\xEF\xBB\xBFline\r\n";
    const size_t each = 8, pieces = 40000;  /* more than a pipe holds */
    struct rbe_diag d = {""};
    char path[32], *s = NULL, sha256[65] = "";
    int fd[2], status = 1;
    size_t n = 0;

    if (!CHECK(!pipe(fd)))
        return;
    const pid_t child = fork();
    if (!child) {
        close(fd[0]);
        for (size_t i = 0; i < pieces; i++)
            if (write(fd[1], piece, sizeof piece - 1) != sizeof piece - 1)
                _exit(1);
        _exit(0);
    }
    close(fd[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", fd[0]);
    char *name = rbe_text_name(path);
    CHECK(name && !strcmp(name, "pipe"));
    free(name);
    CHECK(!rbe_read_text(&s, &n, sha256, path, &d));
    CHECK(n == pieces * each - 3 && s && !memcmp(s, "line\n\xEF\xBB\xBFline\n", 13) && !s[n]);
    CHECK(strlen(sha256) == 64);
    free(s);
    close(fd[0]);
    CHECK(waitpid(child, &status, 0) == child && !status);
}

static void check_files(void)
{
    char path[] = "/tmp/rbe-check-text-XXXXXX", sha256[65], *s;
    struct rbe_diag d = {""};
    const int fd = mkstemp(path);
    size_t n;

    if (!CHECK(fd >= 0 && write(fd, "a\r\nb", 4) == 4))
        return;
    CHECK(!rbe_read_text(&s, &n, sha256, path, &d) && n == 3 && !strcmp(s, "a\nb"));
    /* That of the file, not of what was read. */
    char of_file[65];
    CHECK(!rbe_sha256_file(of_file, path, &d) && !strcmp(sha256, of_file));
    free(s);
    CHECK(pwrite(fd, "\xFF\xFE", 2, 0) == 2);
    CHECK(rbe_read_text(&s, &n, NULL, path, &d) == RBE_ERR_FORMAT && !s && !n);
    CHECK(strstr(d.text, path) && strstr(d.text, "UTF-16"));
    char *name = rbe_text_name(path);
    CHECK(name && !strcmp(name, path + 5));
    free(name);
    close(fd);
    unlink(path);
    CHECK(rbe_read_text(&s, &n, NULL, path, &d) == RBE_ERR_IO && strstr(d.text, path));
    CHECK(rbe_read_text(&s, &n, NULL, "/tmp", &d) == RBE_ERR_IO && !s);
    CHECK(rbe_read_text(&s, &n, NULL, "/dev/zero", &d) == RBE_ERR_IO && !s);
    /* A file that says it is empty, and is not. */
    CHECK(!rbe_read_file(&s, &n, "/proc/self/status", &d) && n > 100 && s && !s[n]);
    free(s);
}

static void check_again(void)
{
    struct rbe_words_seen seen = {.count = 0};

    CHECK(!rbe_word_again(&seen, "a") && !rbe_word_again(&seen, "ab"));
    CHECK(rbe_word_again(&seen, "a") && rbe_word_again(&seen, "ab"));
    CHECK(!rbe_word_again(&seen, "b") && seen.count == 3);
}

int main(void)
{
    check_again();
    check_plain();
    check_strip();
    check_pipe();
    check_files();
    return check_done();
}
