/*
 * check_file.c - files are replaced whole or not at all; errors name file and reason.
 *
 * SPDX-License-Identifier: MIT
 */
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/test/check.h"

static char folder[] = "/tmp/rbe-check-file-XXXXXX";

static int holds(const char *path, const char *want)
{
    char *s;
    size_t n;
    const int ok = !rbe_read_file(&s, &n, path, NULL) && n == strlen(want) &&
                   !memcmp(s, want, n + 1);
    free(s);
    return ok;
}

static void put(const char *path, const char *text)
{
    struct rbe_outfile o;

    if (CHECK(!rbe_outfile_open(&o, path, NULL))) {
        fputs(text, o.f);
        CHECK(!rbe_outfile_commit(&o, NULL));
    }
}

/* What may not be written when `path` is read. */
static void check_outputs(const char *path)
{
    struct rbe_files f = {0};
    struct rbe_diag d = {{0}};
    char *hard = rbe_path_join(folder, "hard"), *soft = rbe_path_join(folder, "soft");
    char *fresh = rbe_path_join(folder, "fresh"), *dots = rbe_path_join(folder, "./fresh");
    struct stat st;

    CHECK(!link(path, hard) && !symlink("a", soft));
    CHECK(!rbe_files_read(&f, NULL, &d) && !rbe_files_read(&f, "/nonexistent", &d));
    CHECK(!rbe_files_read(&f, path, &d) && !rbe_files_read(&f, hard, &d));
    CHECK(!rbe_files_append(&f, NULL, &d) && !rbe_files_replace(&f, NULL, &d));
    CHECK(rbe_files_append(&f, path, &d) == RBE_ERR_ARG);
    CHECK(rbe_files_replace(&f, hard, &d) == RBE_ERR_ARG && strstr(d.text, hard));
    CHECK(strstr(d.text, "the same file as the input") && strstr(d.text, path));
    CHECK(rbe_files_append(&f, soft, &d) == RBE_ERR_ARG);
    CHECK(rbe_files_append(&f, folder, &d) == RBE_ERR_IO);
    CHECK(rbe_files_replace(&f, "/nonexistent/f", &d) == RBE_ERR_IO);
    /* Two outputs, neither there yet; trying made none. */
    CHECK(!rbe_files_replace(&f, fresh, &d) && stat(fresh, &st));
    CHECK(rbe_files_append(&f, dots, &d) == RBE_ERR_ARG && strstr(d.text, "the output"));
    CHECK(!rbe_files_append(&f, "/dev/null", &d) && !rbe_files_append(&f, "/dev/null", &d));
    rbe_files_free(&f);
    CHECK(!f.count && !unlink(hard) && !unlink(soft));
    free(hard);
    free(soft);
    free(fresh);
    free(dots);
}

/* What is behind a link is replaced, not the link; nor what the program prints into. */
static void check_links(const char *path)
{
    char *soft = rbe_path_join(folder, "soft"), *out = rbe_path_join(folder, "out");
    struct rbe_diag d = {{0}};
    struct rbe_outfile o;
    struct stat st;

    CHECK(!symlink("a", soft));
    put(soft, "through the link");
    CHECK(!lstat(soft, &st) && S_ISLNK(st.st_mode) && holds(path, "through the link"));
    put(path, "first");
    CHECK(!unlink(soft) && !symlink("nothing", soft));
    CHECK(rbe_outfile_open(&o, soft, &d) == RBE_ERR_IO && !o.f && strstr(d.text, soft));
    CHECK(!unlink(soft));

    put(out, "");
    fflush(stdout);
    const int kept = dup(STDOUT_FILENO), fd = open(out, O_WRONLY);
    CHECK(kept >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
    const enum rbe_status err = rbe_outfile_open(&o, out, &d);
    dup2(kept, STDOUT_FILENO);
    CHECK(err == RBE_ERR_IO && strstr(d.text, "prints there"));
    close(kept);
    close(fd);
    CHECK(!unlink(out));
    free(soft);
    free(out);
}

static void check_names(void)
{
    static const char *const cases[][2] = {{"a/b", "b"}, {"a/b//", "b"}, {"b", "b"},
                                           {"/", "/"}};
    char here[PATH_MAX];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *name = rbe_path_name(cases[i][0]);
        CHECK(name && !strcmp(name, cases[i][1]));
        free(name);
    }
    CHECK(!chdir(folder) && getcwd(here, sizeof here));
    char *name = rbe_path_name("./.");
    CHECK(name && !strcmp(name, strrchr(here, '/') + 1));
    free(name);
}

int main(void)
{
    struct rbe_diag d = {{0}};
    struct rbe_outfile o;
    struct rbe_map m;
    struct stat st;
    char hex[65];

    if (!CHECK(mkdtemp(folder) != NULL))
        return check_done();
    char *path = rbe_path_join(folder, "a"), *deep = rbe_path_join(folder, "x/y/z");

    put(path, "first");
    CHECK(holds(path, "first"));
    CHECK(!stat(path, &st) && (st.st_mode & 0400));

    /* Not committed: the old content stands and no temporary stays behind. */
    CHECK(!rbe_outfile_open(&o, path, &d));
    fputs("second, abandoned", o.f);
    char *tmp = strdup(o.tmp);
    rbe_outfile_discard(&o);
    CHECK(holds(path, "first") && access(tmp, F_OK) != 0);
    rbe_outfile_discard(&o);
    free(tmp);

    /* The disk is full (a file size limit stands in for it): one line, nothing changed. */
    const struct rlimit old_limit = {RLIM_INFINITY, RLIM_INFINITY};
    struct rlimit limit = {4096, RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    CHECK(!rbe_outfile_open(&o, path, &d));
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 3000; i++)
        fputs("more than fits", o.f);
    tmp = strdup(o.tmp);
    CHECK(rbe_outfile_commit(&o, &d) == RBE_ERR_IO);
    limit = old_limit;
    setrlimit(RLIMIT_FSIZE, &limit);
    CHECK(strstr(d.text, path) && strstr(d.text, "File too large"));
    CHECK(holds(path, "first") && access(tmp, F_OK) != 0);
    free(tmp);

    /* What is no regular file is not replaced by one. */
    char *pipe_path = rbe_path_join(folder, "pipe");
    CHECK(!mkfifo(pipe_path, 0600));
    CHECK(rbe_outfile_open(&o, pipe_path, &d) == RBE_ERR_IO && !o.f);
    CHECK(strstr(d.text, pipe_path) && strstr(d.text, "not a regular file"));
    CHECK(!stat(pipe_path, &st) && S_ISFIFO(st.st_mode));
    CHECK(rbe_outfile_open(&o, folder, &d) == RBE_ERR_IO);
    unlink(pipe_path);
    free(pipe_path);
    check_links(path);

    /* A name as long as names may be. */
    char name[NAME_MAX + 1], *longest;
    memset(name, 'x', NAME_MAX);
    name[NAME_MAX] = 0;
    longest = rbe_path_join(folder, name);
    put(longest, "whole");
    CHECK(holds(longest, "whole"));
    /* A path that is too long for the line leaves room for the reason. */
    char far[2 * sizeof d.text];
    memset(far, 'y', sizeof far - 1);
    far[sizeof far - 1] = 0;
    CHECK(rbe_map_open(&m, far, &d) == RBE_ERR_IO);
    CHECK(!strncmp(d.text, "yyy", 3) && strstr(d.text, "y: File name too long"));
    CHECK(strlen(d.text) == sizeof d.text - 1);
    free(longest);
    check_outputs(path);
    check_names();

    CHECK(rbe_outfile_open(&o, "/nonexistent/folder/f", &d) == RBE_ERR_IO);
    CHECK(strstr(d.text, "/nonexistent/folder/f: cannot write: No such file"));
    CHECK(rbe_map_open(&m, "/nonexistent", &d) == RBE_ERR_IO && !m.bytes);
    CHECK(rbe_map_open(&m, folder, &d) == RBE_ERR_IO && strstr(d.text, "not a regular file"));
    put(path, "");
    CHECK(!rbe_map_open(&m, path, &d) && m.size == 0);
    rbe_map_close(&m);

    CHECK(!rbe_make_dirs(deep, &d) && !stat(deep, &st) && S_ISDIR(st.st_mode));
    CHECK(!rbe_make_dirs(deep, &d));
    char *under = rbe_path_join(path, "sub");
    CHECK(rbe_make_dirs(under, &d) == RBE_ERR_IO);

    /* FIPS 180-2, appendix B.1. */
    put(path, "abc");
    CHECK(!rbe_sha256_file(hex, path, &d));
    CHECK(!strcmp(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));

    char clean[128];
    snprintf(clean, sizeof clean, "rm -rf '%s'", folder);
    CHECK(system(clean) == 0);
    free(path);
    free(deep);
    free(under);
    return check_done();
}
