/*
 * fuzz.c - what the harnesses share, and the entry of libFuzzer.
 *
 * SPDX-License-Identifier: MIT
 */
#include "ci/fuzz/fuzz.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "convert/convert.h"
#include "kernels/cpu.h"
#include "model/synth.h"
#include "model/tokenizer.h"

/* --- the list ----------------------------------------------------------------------------- */

static const struct {
    const char *name;
    rbe_fuzz_fn *fn;
} parsers[] = {
#define RBE_PARSER(name, what) {#name, rbe_fuzz_##name},
#include "ci/fuzz/parsers.def"
#undef RBE_PARSER
};

rbe_fuzz_fn *rbe_fuzz_find(const char *name)
{
    for (size_t i = 0; i < sizeof parsers / sizeof *parsers; i++)
        if (!strcmp(parsers[i].name, name))
            return parsers[i].fn;
    return NULL;
}

void rbe_fuzz_need(bool ok, const char *file, int line, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "FAIL %s:%d: %s\n", file, line, what);
    abort();
}

bool rbe_fuzz_said(enum rbe_status err, struct rbe_diag *d)
{
    if (err)
        FUZZ_NEED(d->text[0] && !strchr(d->text, '\n') && err != RBE_ERR_NOMEM);
    d->text[0] = 0;
    return !err;
}

/* --- files -------------------------------------------------------------------------------- */

static char folder[256];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *rbe_fuzz_folder(void)
{
    const char *tmp = getenv("FUZZ_TMP");

    if (!folder[0]) {
        if (!tmp)
            tmp = access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm";
        snprintf(folder, sizeof folder, "%s/rbe-fuzz-XXXXXX", tmp);
        FUZZ_NEED(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    return folder;
}

const char *rbe_fuzz_path(const char *name)
{
    static char path[8][400];
    static unsigned next;
    char *p = path[next++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", rbe_fuzz_folder(), name);
    return p;
}

const char *rbe_fuzz_put(const char *name, const void *data, size_t size)
{
    const char *path = rbe_fuzz_path(name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    FUZZ_NEED(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
    return path;
}

/* The next line "=== NAME" at or after `at`, or the end. */
static size_t find_mark(const uint8_t *data, size_t size, size_t at)
{
    while (at < size && !(size - at > 4 && !memcmp(data + at, "=== ", 4) &&
                          (!at || data[at - 1] == '\n'))) {
        const uint8_t *nl = memchr(data + at, '\n', size - at);
        at = nl ? (size_t)(nl - data) + 1 : size;
    }
    return at;
}

void rbe_fuzz_put_files(const char *const *names, const uint8_t *data, size_t size)
{
    for (size_t i = 0; names[i]; i++)
        unlink(rbe_fuzz_path(names[i]));
    for (size_t at = find_mark(data, size, 0); at < size;) {
        const uint8_t *nl = memchr(data + at, '\n', size - at);
        const size_t begin = nl ? (size_t)(nl - data) + 1 : size;
        const size_t end = find_mark(data, size, begin), n = begin - at - 4 - (nl != NULL);
        for (size_t i = 0; names[i]; i++)
            if (strlen(names[i]) == n && !memcmp(names[i], data + at + 4, n))
                rbe_fuzz_put(names[i], data + begin, end - begin);
        at = end;
    }
}

/* The linker puts these in the place of rbe_map_open() and so on. */
enum rbe_status __wrap_rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d);
enum rbe_status __real_rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d);
void __wrap_rbe_map_close(struct rbe_map *m);
void __real_rbe_map_close(struct rbe_map *m);
void __wrap_rbe_map_forget(const void *bytes, size_t size);

enum rbe_status __wrap_rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d)
{
    struct rbe_map real;
    const enum rbe_status err = __real_rbe_map_open(&real, path, d);

    *m = real;
    if (err || !real.size)
        return err;
    /* Aligned as a mapping is, so that codes may be read by vectors. */
    void *copy = NULL;
    FUZZ_NEED(!posix_memalign(&copy, 4096, real.size));
    memcpy(copy, real.bytes, real.size);
    m->bytes = copy;
    __real_rbe_map_close(&real);
    return RBE_OK;
}

void __wrap_rbe_map_close(struct rbe_map *m)
{
    free((void *)(uintptr_t)m->bytes);
    memset(m, 0, sizeof *m);
}

/* A copy cannot be read again. */
void __wrap_rbe_map_forget(const void *bytes, size_t size)
{
    (void)bytes;
    (void)size;
}

/* --- a model and a tokenizer -------------------------------------------------------------- */

static void need(enum rbe_status err, const struct rbe_diag *d)
{
    if (err)
        fprintf(stderr, "%s\n", d->text);
    FUZZ_NEED(!err);
}

const struct rbe_fuzz_world *rbe_fuzz_world(void)
{
    static const char *const profiles[] = {
        "name: one\nother codec=f16\nwpe codec=int8\nall codec=seed block=32 hadamard=max\n"
        "wte codec=seed4 block=32 center=on\nattn.proj codec=int4\nmlp.fc codec=packed128 "
        "block=16\n",
        "name: two\nother codec=f32\nwpe codec=f16\nall codec=hybrid block=16 k=3\n"
        "wte codec=int8\nattn.proj codec=f16\nmlp.fc codec=seed block=16 scales=row\n"};
    static const char config[] = "{\"n_layer\": 1, \"n_embd\": 16, \"n_head\": 2, "
                                 "\"n_inner\": 16, \"n_ctx\": 8, \"vocab_size\": 48}";
    static struct rbe_fuzz_world w;
    struct rbe_model_config c;
    struct rbe_source *source;
    struct rbe_profile *p;
    struct rbe_convert *plan;
    struct rbe_diag d = {""};

    if (w.folder[0])
        return &w;
    snprintf(w.folder, sizeof w.folder, "%s", rbe_fuzz_path("world"));
    need(rbe_model_config_parse(&c, config, strlen(config), "config", &d), &d);
    need(rbe_make_dirs(w.folder, &d), &d);
    need(rbe_synth(w.folder, &c, RBE_DT_F32, 5, &d), &d);
    need(rbe_source_open(&source, w.folder, &d), &d);
    for (int i = 0; i < RBE_FUZZ_MODELS; i++) {
        snprintf(w.model[i], sizeof w.model[i], "%s/%d.rbe", w.folder, i);
        need(rbe_profile_parse(&p, profiles[i], "profile", &d), &d);
        const struct rbe_convert_options o = {.profile = p, .search = RBE_SEARCH_FAST};
        need(rbe_convert_plan(&plan, source, &o, &d), &d);
        need(rbe_convert_run(plan, w.model[i], &d), &d);
        rbe_convert_close(&plan);
        rbe_profile_close(&p);
    }
    rbe_source_close(&source);
    return &w;
}

const struct rbe_tokenizer *rbe_fuzz_vocabulary(void)
{
    static struct rbe_tokenizer *t;
    struct rbe_diag d = {""};

    if (!t)
        need(rbe_tokenizer_open(&t, "datasets/embedded/rbe-mini", &d), &d);
    return t;
}

/* --- libFuzzer ---------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rbe_fuzz_fn *fn;

    if (!fn) {
        const char *name = getenv("FUZZ_PARSER");
        if (!name || !(fn = rbe_fuzz_find(name))) {
            fprintf(stderr, "FUZZ_PARSER is not one of ci/fuzz/parsers.def\n");
            exit(2);
        }
        rbe_cpu_init();
    }
    fn(data, size);
    return 0;
}
