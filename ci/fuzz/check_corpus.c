/*
 * check_corpus.c - every input of the corpora through its harness, without libFuzzer.
 *
 * SPDX-License-Identifier: MIT
 *
 * check_corpus PARSER FILE...: those files alone; says of each whether the parser took it.
 * check_corpus --make: the inputs of the corpora that follow from the formats, anew.
 */
#include "kernels/test/check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "ci/fuzz/fuzz.h"
#include "kernels/cpu.h"

static bool run(const char *name, const char *path)
{
    struct rbe_diag d = {""};
    size_t size;
    char *text;

    if (!CHECK(rbe_read_file(&text, &size, path, &d) == RBE_OK))
        return false;
    /* Said first: what crashes here is found in the log. */
    fprintf(stderr, "%s\n", path);
    /* A copy without the NUL that rbe_read_file() adds. */
    uint8_t *exact = malloc(size ? size : 1);
    if (size)
        memcpy(exact, text, size);
    const bool taken = rbe_fuzz_find(name)(exact, size);
    free(exact);
    free(text);
    return taken;
}

/* Of each corpus some inputs must be taken, or the harness no longer reaches its parser. */
static void check_parser(const char *name)
{
    char folder[128], path[600];
    unsigned count = 0, taken = 0;
    struct dirent *e;

    snprintf(folder, sizeof folder, "ci/fuzz/corpus/%s", name);
    DIR *dir = opendir(folder);
    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        taken += run(name, path);
        count++;
    }
    if (dir)
        closedir(dir);
    printf("%-12s %3u inputs, %3u taken\n", name, count, taken);
    CHECK(count > 1 && taken > 0);
}

/* What a change of a format makes stale. */
static int make(void)
{
    struct rbe_outfile o;
    struct rbe_map m;
    struct rbe_diag d = {""};
    char path[64];

    rbe_fuzz_write_checkpoint("ci/fuzz/corpus/checkpoint/coded", false);
    rbe_fuzz_write_checkpoint("ci/fuzz/corpus/checkpoint/latent", true);
    for (int i = 0; i < RBE_FUZZ_MODELS; i++) {
        snprintf(path, sizeof path, "ci/fuzz/corpus/container/model-%d", i);
        if (rbe_map_open(&m, rbe_fuzz_world()->model[i], &d) ||
            rbe_outfile_open(&o, path, &d)) {
            fprintf(stderr, "%s\n", d.text);
            return 1;
        }
        fwrite(m.bytes, 1, m.size, o.f);
        rbe_map_close(&m);
        if (rbe_outfile_commit(&o, &d)) {
            fprintf(stderr, "%s\n", d.text);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    rbe_cpu_init();
    if (argc == 2 && !strcmp(argv[1], "--make"))
        return make();
    if (argc > 2) {
        if (!rbe_fuzz_find(argv[1])) {
            fprintf(stderr, "%s: no such parser\n", argv[1]);
            return 2;
        }
        for (int i = 2; i < argc; i++)
            printf("%s: %s\n", argv[i], run(argv[1], argv[i]) ? "taken" : "refused");
        return 0;
    }
#define RBE_PARSER(name, what) check_parser(#name);
#include "ci/fuzz/parsers.def"
#undef RBE_PARSER
    return check_done();
}
