/*
 * recording.c - the original's predictions in a file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/recording.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/json.h"
#include "eval/softmax.h"
#include "kernels/f16.h"

static const char schema[] = "rbe-logits-2";

/* A fuzzer cannot make checksums match: its build takes any, and reaches what stands behind. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define CHECKSUMS_COUNT 0
#else
#define CHECKSUMS_COUNT 1
#endif

/* What a file must say to be of these: compared as a whole, but for the windows. */
static json_t *describe(struct rbe_runner *base, const struct rbe_text *text,
                        const struct rbe_windows *w, size_t windows)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:I}", "schema", schema, "dtype",
                     "F16", "model_sha256", rbe_model_sha256(base->model), "text_sha256",
                     text->sha256, "protocol", rbe_protocol_name(w->protocol), "context",
                     (int)w->context, "vocab", (int)base->vocab, "windows",
                     (json_int_t)windows);
}

static size_t scored_tokens(const struct rbe_windows *w, size_t windows)
{
    size_t n = 0;

    for (size_t i = 0; i < windows; i++)
        n += w->w[i].length - w->w[i].first;
    return n;
}

/* Of the row in r->row; its place counts, so that rows cannot change theirs. */
static uint64_t checksum(const struct rbe_recording *r)
{
    return XXH3_64bits_withSeed(r->row, r->vocab * sizeof *r->row, r->rows);
}

static size_t row_bytes(const struct rbe_recording *r)
{
    return r->vocab * sizeof *r->row + sizeof(uint64_t);
}

static struct rbe_recording *make(const char *path, size_t vocab)
{
    struct rbe_recording *r = calloc(1, sizeof *r);

    if (r && (!(r->path = strdup(path)) || !(r->row = calloc(vocab, sizeof *r->row)))) {
        free(r->path);
        free(r);
        r = NULL;
    }
    if (r)
        r->vocab = vocab;
    return r;
}

void rbe_recording_close(struct rbe_recording **pr)
{
    struct rbe_recording *r = *pr;

    if (!r)
        return;
    if (r->writing)
        rbe_outfile_discard(&r->out);
    if (r->in)
        fclose(r->in);
    free(r->path);
    free(r->row);
    free(r);
    *pr = NULL;
}

/* Only what begins as a recording may be replaced by one. */
static enum rbe_status check_existing(const char *path, struct rbe_diag *d)
{
    static const char begin[] = "{\"schema\":\"rbe-logits-";
    char buf[sizeof begin] = "";
    FILE *f = fopen(path, "rb");

    if (!f)
        return errno == ENOENT ? RBE_OK : rbe_fail_errno(d, "%s", path);
    const size_t n = fread(buf, 1, sizeof begin - 1, f);
    fclose(f);
    return memcmp(buf, begin, n) ? rbe_fail(d, RBE_ERR_FORMAT, "%s: exists and is not a "
                                            "recording", path) : RBE_OK;
}

enum rbe_status rbe_recording_create(struct rbe_recording **out, const char *path,
                                     struct rbe_runner *base, const struct rbe_text *text,
                                     const struct rbe_windows *w, size_t windows,
                                     struct rbe_diag *d)
{
    char head[RBE_RECORDING_HEAD];
    struct rbe_recording *r = make(path, base->vocab);
    json_t *o = describe(base, text, w, windows);
    const size_t n = o ? json_dumpb(o, head, sizeof head, JSON_COMPACT) : 0;
    enum rbe_status err = r && n && n < sizeof head ? RBE_OK : RBE_ERR_NOMEM;

    json_decref(o);
    if (!err && !(err = check_existing(path, d)) &&
        !(err = rbe_outfile_open(&r->out, path, d))) {
        r->writing = true;
        memset(head + n, ' ', sizeof head - n);
        head[sizeof head - 1] = '\n';
        if (fwrite(head, sizeof head, 1, r->out.f) != 1)
            err = rbe_fail_errno(d, "%s", path);
    }
    if (err)
        rbe_recording_close(&r);
    *out = r;
    return err;
}

enum rbe_status rbe_recording_commit(struct rbe_recording *r, struct rbe_diag *d)
{
    if (!r->writing)
        return RBE_OK;
    r->writing = false;
    return rbe_outfile_commit(&r->out, d);
}

/* Names the first thing in which a recording is not what is wanted. */
static enum rbe_status compare(const char *path, const json_t *has, const json_t *wanted,
                               struct rbe_diag *d)
{
    static const char *const keys[] = {"schema",   "dtype",   "model_sha256", "text_sha256",
                                       "protocol", "context", "vocab"};
    const char *const had = json_string_value(json_object_get(has, "schema"));

    if (had && !strncmp(had, "rbe-logits-", 11) && strcmp(had, schema) != 0)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: a recording of schema %.40s, and this "
                        "program reads %s: make it anew with --record", path, had, schema);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!json_equal(json_object_get(has, keys[i]), json_object_get(wanted, keys[i])))
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s: a recording with another %s", path,
                            keys[i]);
    const json_int_t n = json_integer_value(json_object_get(has, "windows"));
    const json_int_t need = json_integer_value(json_object_get(wanted, "windows"));
    if (n < need)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: a recording of %lld windows, %lld are wanted",
                        path, (long long)n, (long long)need);
    return RBE_OK;
}

enum rbe_status rbe_recording_open(struct rbe_recording **out, const char *path,
                                   struct rbe_runner *base, const struct rbe_text *text,
                                   const struct rbe_windows *w, size_t windows,
                                   struct rbe_diag *d)
{
    char head[RBE_RECORDING_HEAD];
    struct rbe_recording *r = make(path, base->vocab);
    json_t *wanted = describe(base, text, w, windows), *has = NULL;
    struct stat st;
    enum rbe_status err = r && wanted ? RBE_OK : RBE_ERR_NOMEM;

    if (!err && (!(r->in = fopen(path, "rb")) || fstat(fileno(r->in), &st)))
        err = rbe_fail_errno(d, "%s", path);
    else if (!err)
        err = fread(head, sizeof head, 1, r->in) == 1 && head[sizeof head - 1] == '\n'
              ? rbe_json_load(&has, head, sizeof head, 0, NULL, path, d) : RBE_ERR_FORMAT;
    if (err == RBE_ERR_FORMAT || (!err && !json_is_object(has)))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: not a recording of rbe eval divergence", path);
    if (!err)
        err = compare(path, has, wanted, d);
    const json_int_t n = err ? 0 : json_integer_value(json_object_get(has, "windows"));
    if (!err && (n > (json_int_t)w->count ||
                 (uint64_t)st.st_size != sizeof head +
                                   (uint64_t)scored_tokens(w, (size_t)n) * row_bytes(r)))
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %lld bytes are not those of %lld windows: cut "
                       "off?", path, (long long)st.st_size, (long long)n);
    json_decref(has);
    json_decref(wanted);
    if (err)
        rbe_recording_close(&r);
    *out = r;
    return err;
}

static enum rbe_status write_row(struct rbe_recording *r, const float *row, struct rbe_diag *d)
{
    const float lse = (float)rbe_log_sum_exp(row, r->vocab);

    for (size_t i = 0; i < r->vocab; i++)
        r->row[i] = rbe_f16_from_f32(row[i] - lse);
    const uint64_t sum = checksum(r);
    if (fwrite(r->row, sizeof *r->row, r->vocab, r->out.f) != r->vocab ||
        fwrite(&sum, sizeof sum, 1, r->out.f) != 1)
        return rbe_fail_errno(d, "%s", r->path);
    return RBE_OK;
}

static enum rbe_status read_row(struct rbe_recording *r, float *row, struct rbe_diag *d)
{
    uint64_t sum;

    if (fread(r->row, sizeof *r->row, r->vocab, r->in) != r->vocab ||
        fread(&sum, sizeof sum, 1, r->in) != 1)
        return ferror(r->in) ? rbe_fail_errno(d, "%s", r->path)
                             : rbe_fail(d, RBE_ERR_FORMAT, "%s: cut off", r->path);
    if (CHECKSUMS_COUNT && sum != checksum(r))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: damaged: the checksum of row %zu is another",
                        r->path, r->rows);
    for (size_t i = 0; i < r->vocab; i++)
        row[i] = rbe_f16_to_f32(r->row[i]);
    return RBE_OK;
}

enum rbe_status rbe_recording_rows(struct rbe_recording *r, float *logits, size_t count,
                                   struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (size_t t = 0; t < count && !err; t++, r->rows++) {
        float *row = logits + t * r->vocab;
        err = r->writing ? write_row(r, row, d) : read_row(r, row, d);
    }
    return err;
}
