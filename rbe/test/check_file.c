/*
 * check_file.c - files are replaced whole or not at all; errors name file and reason.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

#include "kernels/test/check.h"
#include "rbe/file.h"

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
