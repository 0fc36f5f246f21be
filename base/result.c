/*
 * result.c - appending and reading result lines, and the facts about the machine.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/result.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/file.h"
#include "base/rows.h"
#include "base/text.h"
#include "base/topology.h"
#include "base/utf8.h"
#include "kernels/cpu.h"
#include "kernels/kernel.h"

struct rbe_result_file {
    char *path;                 /* NULL: nothing is written */
    int fd;
    unsigned shortages;         /* before it was opened */
    bool fresh;                 /* was not there before, and is removed if it stays empty */
    char *made;                 /* so was this folder above it; may be NULL */
};

/* --- the machine -------------------------------------------------------------------------- */

/* The value of the first "key : value" line of a /proc file; empty when there is none. */
static void proc_value(char *buf, size_t size, const char *path, const char *key)
{
    char line[512];
    const size_t n = strlen(key);
    FILE *f = fopen(path, "r");

    buf[0] = 0;
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, key, n) || !strchr(" \t:", line[n]))
            continue;
        char *v = strchr(line, ':');
        if (!v)
            continue;
        v += 1 + strspn(v + 1, " \t");
        v[strcspn(v, "\n")] = 0;
        snprintf(buf, size, "%s", v);
        break;
    }
    fclose(f);
}

char *rbe_affinity_string(char *buf, size_t size)
{
    buf[0] = 0;
#ifdef __linux__
    cpu_set_t set;
    size_t at = 0;

    if (sched_getaffinity(0, sizeof set, &set))
        return buf;
    for (int i = 0; i < CPU_SETSIZE && at + 16 < size; i++) {
        if (!CPU_ISSET(i, &set))
            continue;
        int last = i;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &set))
            last++;
        at += (size_t)snprintf(buf + at, size - at, "%s%d", at ? "," : "", i);
        if (last > i)
            at += (size_t)snprintf(buf + at, size - at, "-%d", last);
        i = last;
    }
#else
    (void)size;
#endif
    return buf;
}

struct rbe_usage rbe_usage_now(void)
{
    struct rbe_usage u = {0, 0, 0, 0};
    char value[64];
    struct rusage r;

    proc_value(value, sizeof value, "/proc/self/status", "VmRSS");
    u.resident_bytes = strtoull(value, NULL, 10) * 1024;
    proc_value(value, sizeof value, "/proc/self/status", "VmHWM");
    u.peak_bytes = strtoull(value, NULL, 10) * 1024;
    proc_value(value, sizeof value, "/proc/self/status", "VmPeak");
    u.peak_virtual_bytes = strtoull(value, NULL, 10) * 1024;
    if (!getrusage(RUSAGE_SELF, &r))
        u.cpu_s = (double)r.ru_utime.tv_sec + (double)r.ru_stime.tv_sec +
                  1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
    return u;
}

uint64_t rbe_usage_restart_peak(void)
{
    const uint64_t peak = rbe_usage_now().peak_bytes;
    FILE *f = fopen("/proc/self/clear_refs", "w");

    if (f) {
        fputs("5\n", f);
        fclose(f);
    }
    return peak;
}

/* Read once: it takes a few files for every CPU. */
static json_t *topology(void)
{
    static json_t *known;

    if (!known)
        known = rbe_topology("/sys/devices/system");
    return json_incref(known);
}

static int set_threads(json_t *machine, unsigned threads)
{
    return RBE_SET(machine, RBE_INT(threads, threads)) ||
           RBE_SET(machine, RBE_FLAG(oversubscribed, rbe_oversubscribed(threads)));
}

int rbe_result_set_threads(json_t *record, unsigned threads)
{
    return set_threads(RBE_VALUE_AT(record, machine), threads);
}

static json_t *machine(unsigned threads)
{
    char cpu[256], isa[128], affinity[256], activations[128], value[64];
    const char *emulator = getenv("RBE_EMULATOR"), *device = getenv("RBE_DEVICE");
    struct utsname u;
    json_t *m = json_object();

    if (uname(&u))
        memset(&u, 0, sizeof u);
    proc_value(cpu, sizeof cpu, "/proc/cpuinfo", "model name");
    if (!cpu[0])
        snprintf(cpu, sizeof cpu, "%s", u.machine[0] ? u.machine : "unknown");
    proc_value(value, sizeof value, "/proc/meminfo", "MemTotal");
    const double quota = rbe_cpu_quota();
    if (RBE_SET(m, RBE_TEXT(cpu, cpu)) || RBE_SET(m, RBE_TEXT(arch, u.machine)) ||
        RBE_SET(m, RBE_INT(cores, rbe_cpus_allowed())) ||
        RBE_SET(m, RBE_JSON(cpu_quota, quota > 0 ? json_real(quota) : json_null())) ||
        set_threads(m, threads) ||
        RBE_SET(m, RBE_WORD(affinity, rbe_affinity_string(affinity, sizeof affinity))) ||
        RBE_SET(m, RBE_WORD(isa, rbe_isa_string(rbe_cpu_isa(), isa, sizeof isa))) ||
        RBE_SET(m, RBE_WORD(activations, rbe_act_bits_string(activations,
                                                           sizeof activations))) ||
        RBE_SET(m, RBE_INT(memory_bytes, strtoll(value, NULL, 10) * 1024)) ||
        RBE_SET(m, RBE_JSON(topology, topology())) || RBE_SET(m, RBE_TEXT(kernel, u.release)) ||
        RBE_SET(m, RBE_TEXT(emulator, emulator && *emulator ? emulator : NULL)) ||
        RBE_SET(m, RBE_TEXT(device, device && *device ? device : NULL))) {
        json_decref(m);
        return NULL;
    }
    return m;
}

/* Whether a shell takes the word as it stands. */
static bool is_plain(const char *word)
{
    return *word && !word[strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                       "0123456789_@%+=:,./-")];
}

/* This process's command line as a shell would take it, the program's folder left out. */
static json_t *command_line(void)
{
    FILE *f = fopen("/proc/self/cmdline", "r");
    char *text = NULL, *word = NULL;
    size_t size = 0, room = 0;
    FILE *to = f ? open_memstream(&text, &size) : NULL;

    for (bool first = true; to && getdelim(&word, &room, 0, f) > 0; first = false) {
        const char *slash = first ? strrchr(word, '/') : NULL, *s = slash ? slash + 1 : word;
        if (!first)
            putc(' ', to);
        if (is_plain(s)) {
            fputs(s, to);
            continue;
        }
        putc('\'', to);
        for (; *s; s++)
            fputs(*s == '\'' ? "'\\''" : (char[]){*s, 0}, to);
        putc('\'', to);
    }
    if (to)
        fclose(to);
    if (f)
        fclose(f);
    json_t *j = rbe_result_string(text ? text : "");
    free(word);
    free(text);
    return j;
}

/* --- the program -------------------------------------------------------------------------- */

static const char *built_from = "";

void rbe_result_built_from(const char *commit)
{
    built_from = commit;
}

/* The first word; a program that was not told knows what its environment says. */
static json_t *commit(void)
{
    const char *env = getenv("RBE_COMMIT");
    const size_t n = strcspn(built_from, " ");

    if (n)
        return json_stringn(built_from, n);
    return rbe_result_string(env && *env ? env : NULL);
}

static json_t *dirty(void)
{
    const char *state = strchr(built_from, ' ');
    const bool changed = state && !strcmp(state, " changed");

    return changed || (state && !strcmp(state, " clean")) ? json_boolean(changed) : json_null();
}

/* --- records ------------------------------------------------------------------------------ */

json_t *rbe_result_real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *rbe_result_string(const char *bytes)
{
    char *text = bytes ? rbe_utf8_text(bytes) : NULL;
    json_t *j = !bytes ? json_null() : text ? json_string(text) : NULL;

    free(text);
    return j;
}

json_t *rbe_result_text(const char *text)
{
    json_t *j = json_string(text);

    return j ? j : rbe_result_string(text);
}

json_t *rbe_result_new(const char *kind, unsigned threads)
{
    const time_t now = time(NULL);
    struct tm tm;
    char utc[32];
    json_t *r = json_object();

    strftime(utc, sizeof utc, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    if (RBE_SET(r, RBE_WORD(schema, RBE_RESULT_SCHEMA)) || RBE_SET(r, RBE_WORD(kind, kind)) ||
        RBE_SET(r, RBE_WORD(time_utc, utc)) || RBE_SET(r, RBE_JSON(command, command_line())) ||
        RBE_SET(r, RBE_JSON(commit, commit())) || RBE_SET(r, RBE_JSON(dirty, dirty())) ||
        RBE_SET(r, RBE_JSON(machine, machine(threads)))) {
        json_decref(r);
        return NULL;
    }
    return r;
}

int rbe_result_set_model(json_t *record, const char *key, const struct rbe_result_model *m)
{
    const char *base = strrchr(m->path, '/');
    json_t *o = json_object();
    const double bits = m->params ? 8.0 * (double)m->bytes / (double)m->params : NAN;

    if (RBE_SET(o, RBE_TEXT(name, m->name)) ||
        RBE_SET(o, RBE_TEXT(path, base ? base + 1 : m->path)) ||
        RBE_SET(o, RBE_JSON(sha256, m->sha256 ? json_string(m->sha256) : json_null())) ||
        RBE_SET(o, RBE_INT(bytes, m->bytes)) || RBE_SET(o, RBE_INT(parameters, m->params)) ||
        RBE_SET(o, RBE_FLAG(rbe, m->rbe)) ||
        RBE_SET(o, RBE_JSON(label, m->label ? json_string(m->label) : json_null())) ||
        RBE_SET(o, RBE_REAL(bits_per_weight, bits)) ||
        (m->kv_cache && RBE_SET(o, RBE_WORD(kv_cache, m->kv_cache)))) {
        json_decref(o);
        return -1;
    }
    return json_object_set_new(record, key, o);
}

int rbe_result_set_text(json_t *record, const char *name, const char *sha256, uint64_t bytes)
{
    return RBE_SET(record,
                   RBE_JSON(text, RBE_OBJECT(RBE_TEXT(name, name), RBE_WORD(sha256, sha256),
                                             RBE_INT(bytes, bytes))));
}

/* --- files -------------------------------------------------------------------------------- */

/* Folders of path, when it names any. */
static enum rbe_status make_parent(char **made, const char *path, struct rbe_diag *d)
{
    char *copy = strdup(path);
    enum rbe_status err = RBE_OK;

    *made = NULL;
    if (!copy)
        return RBE_ERR_NOMEM;
    char *slash = strrchr(copy, '/');
    if (slash && slash != copy) {
        *slash = 0;
        err = rbe_make_new_dirs(made, copy, d);
    }
    free(copy);
    return err;
}

/* Whether the file is empty or begins like one of ours; cuts an unfinished last line. */
static enum rbe_status check_existing(int fd, const char *path, struct rbe_diag *d)
{
    static const char begin[] = "{\"schema\":\"" RBE_RESULT_SCHEMA "\"";
    char buf[4096];
    const off_t size = lseek(fd, 0, SEEK_END);

    if (size <= 0)
        return size ? rbe_fail_errno(d, "%s", path) : RBE_OK;
    const ssize_t n = pread(fd, buf, sizeof begin - 1, 0);
    if (n < 0)
        return rbe_fail_errno(d, "%s", path);
    if (memcmp(buf, begin, (size_t)n))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: exists and is not a result file (schema %s)",
                        path, RBE_RESULT_SCHEMA);
    off_t end = size;
    while (end > 0) {
        const off_t from = end > (off_t)sizeof buf ? end - (off_t)sizeof buf : 0;
        const ssize_t got = pread(fd, buf, (size_t)(end - from), from);
        if (got != end - from)
            return rbe_fail_errno(d, "%s", path);
        ssize_t whole = got;
        while (whole > 0 && buf[whole - 1] != '\n')
            whole--;
        end = from + whole;
        if (whole)
            break;
    }
    if (end < size && ftruncate(fd, end))
        return rbe_fail_errno(d, "%s", path);
    return RBE_OK;
}

enum rbe_status rbe_result_open(struct rbe_result_file **out, const char *path,
                                struct rbe_diag *d)
{
    struct rbe_result_file *f = calloc(1, sizeof *f);
    enum rbe_status err = RBE_OK;

    *out = NULL;
    if (!f)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    f->fd = -1;
    rbe_json_watch();
    f->shortages = rbe_shortages();
    if (path) {
        if ((err = make_parent(&f->made, path, d)))
            goto out;
        err = RBE_ERR_NOMEM;
        if (!(f->path = strdup(path)))
            goto out;
        f->fresh = access(path, F_OK) != 0;
        f->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
        if (f->fd < 0) {
            err = rbe_fail_errno(d, "%s", path);
            goto out;
        }
        struct stat st;
        err = f->fresh && !fstat(f->fd, &st) && (st.st_mode & 0600) != 0600 &&
                      fchmod(f->fd, rbe_file_mode(0666))
                  ? rbe_fail_errno(d, "%s", path)
                  : check_existing(f->fd, path, d);
    }
out:
    if (err)
        rbe_result_close(&f);
    *out = f;
    return err;
}

void rbe_result_close(struct rbe_result_file **f)
{
    if (!*f)
        return;
    struct stat st;
    if ((*f)->fresh && (*f)->fd >= 0 && !fstat((*f)->fd, &st) && S_ISREG(st.st_mode) &&
        !st.st_size)
        unlink((*f)->path);
    if ((*f)->fd >= 0)
        close((*f)->fd);
    char *slash = (*f)->path ? strrchr((*f)->path, '/') : NULL;
    if (slash) {
        *slash = 0;
        rbe_unmake_dirs(&(*f)->made, (*f)->path);
    }
    free((*f)->made);
    free((*f)->path);
    free(*f);
    *f = NULL;
}

/* Removes the part of a line that was written last, unless another program wrote behind it. */
static bool take_back(int fd, ssize_t bytes)
{
    const off_t end = lseek(fd, 0, SEEK_CUR);
    struct stat st;

    return end >= bytes && !fstat(fd, &st) && st.st_size == end && !ftruncate(fd, end - bytes);
}

enum rbe_status rbe_result_append(struct rbe_result_file *f, json_t *record,
                                  struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char *text = record ? json_dumps(record, JSON_COMPACT) : NULL;

    json_decref(record);
    /* A field that could not be made or computed must not be missing without a word. */
    if (!text || rbe_shortages() != f->shortages) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a result line");
    } else if (f->fd >= 0) {
        const size_t n = strlen(text);
        text[n] = '\n';         /* over the NUL: the length is known */
        const ssize_t put = write(f->fd, text, n + 1);
        if (put < 0)
            err = rbe_fail_errno(d, "%s", f->path);
        else if ((size_t)put != n + 1)
            err = rbe_fail(d, RBE_ERR_IO, "%s: wrote %zd of %zu bytes (disk full?)%s", f->path,
                           put, n + 1, take_back(f->fd, put) ? "" : ", which are left there");
    }
    free(text);
    return err;
}

enum rbe_status rbe_result_read(json_t **out, const char *path, unsigned *unfinished,
                                struct rbe_diag *d)
{
    char *text;
    size_t size;
    enum rbe_status err = rbe_read_text(&text, &size, NULL, path, d);

    *out = NULL;
    if (err)
        return err;
    err = rbe_result_parse(out, text, size, path, unfinished, d);
    free(text);
    return err;
}

enum rbe_status rbe_result_parse(json_t **out, const char *text, size_t size, const char *path,
                                 unsigned *unfinished, struct rbe_diag *d)
{
    json_t *all = json_array();
    enum rbe_status err = RBE_OK;
    unsigned lines = 0, torn = 0;

    *out = NULL;
    for (size_t at = 0; at < size;) {
        const char *nl = memchr(text + at, '\n', size - at);
        const size_t n = nl ? (size_t)(nl - (text + at)) : size - at;
        json_error_t e;
        lines++;
        if (!nl) {
            torn++;
            break;
        }
        json_t *r;
        err = rbe_json_load(&r, text + at, n, JSON_REJECT_DUPLICATES, &e, path, d);
        at += n + 1;
        if (err) {
            if (err != RBE_ERR_NOMEM)
                err = rbe_fail(d, err, "%s: line %u: %s", path, lines, e.text);
            goto out;
        }
        const char *schema = json_string_value(RBE_VALUE_AT(r, schema));
        const char *kind = json_string_value(RBE_VALUE_AT(r, kind));
        if (!schema || strcmp(schema, RBE_RESULT_SCHEMA) || !kind) {
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: line %u: schema '%s', kind '%s': not %s",
                           path, lines, schema ? schema : "", kind ? kind : "",
                           RBE_RESULT_SCHEMA);
            json_decref(r);
            goto out;
        }
        if (json_array_append_new(all, r)) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
            goto out;
        }
    }
    if (unfinished)
        *unfinished = torn;
out:
    if (err) {
        json_decref(all);
        all = NULL;
    }
    *out = all;
    return err;
}
