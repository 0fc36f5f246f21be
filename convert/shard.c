/*
 * shard.c - a conversion in parts: who encodes what, the part of a shard, and parts joined.
 *
 * SPDX-License-Identifier: MIT
 *
 * A part is a container with the metadata of the whole file and two entries more: what it is a
 * part of, and the conversion's result row.  Every matrix is encoded by itself, from the
 * source, the calibration and the plan, so it has the same bytes in any part; joining only puts
 * them in the order of the file.
 */
#include "convert/convert_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/result.h"
#include "base/rows.h"
#include "model/companion.h"
#include "rbe/container.h"

#define ROW_KEY "rbe.shard_row"
#define VERSION_KEY "rbe.version"

/* More tensors, and more shards, than any model has. */
enum { MOST = 1 << 20 };

/* --- dealing ------------------------------------------------------------------------------ */

/* Of the rows that are not dealt, matrices first, the largest; c->count: none is left. */
static size_t largest(const struct rbe_convert *c, const bool *dealt)
{
    size_t best = c->count;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_entry *r = &c->entries[i], *b = &c->entries[best];
        const double size = (double)r->tensor->rows * r->tensor->cols;
        if (dealt[i])
            continue;
        if (best == c->count || (r->encoded && !b->encoded) ||
            (r->encoded == b->encoded && size > (double)b->tensor->rows * b->tensor->cols))
            best = i;
    }
    return best;
}

/* The largest first, each to the shard that has the least so far. */
enum rbe_status rbe_shard_deal(struct rbe_convert *c, struct rbe_diag *d)
{
    const unsigned shards = c->o.shard_count;
    enum rbe_status err = RBE_OK;
    size_t matrices = 0, next;

    if (shards < 2)
        return RBE_OK;
    for (size_t i = 0; i < c->count; i++)
        matrices += c->entries[i].encoded;
    if (shards > matrices)
        return rbe_fail(d, RBE_ERR_ARG, "shard %u/%u: only %zu matrices to share",
                        c->o.shard_index + 1, shards, matrices);
    double *load = calloc(shards, sizeof *load);
    bool *dealt = calloc(c->count, sizeof *dealt);
    if (!load || !dealt)
        err = no_memory(d);
    while (!err && (next = largest(c, dealt)) < c->count) {
        struct rbe_convert_entry *r = &c->entries[next];
        unsigned to = 0;
        for (unsigned k = 1; k < shards; k++)
            to = load[k] < load[to] ? k : to;
        load[to] += (double)r->tensor->rows * r->tensor->cols;
        r->elsewhere = to != c->o.shard_index;
        dealt[next] = true;
    }
    free(load);
    free(dealt);
    return err;
}

/* --- a part ------------------------------------------------------------------------------- */

/* Of all that decides bytes besides source and calibration, and of what the allocation took it
 * from. */
static enum rbe_status plan_digest(char hex[65], const struct rbe_convert *c)
{
    char text[400], code[65];
    int n = snprintf(text, sizeof text, "%d %a", c->o.no_feedback, c->o.low_rank);
    enum rbe_status err = rbe_sha256(hex, text, (size_t)n);

    for (size_t i = 0; i < c->count && !err; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];
        if ((err = rbe_encode_key(code, NULL, r->tensor->rows, r->tensor->cols, &r->options)))
            break;
        n = snprintf(text, sizeof text, "%s %s %d %d %d %d %d %a", hex, r->tensor->name,
                     r->encoded, r->encoded ? 0 : (int)r->settings.format, r->settings.center,
                     r->settings.feedback, (int)r->settings.level, r->sensitivity);
        err = rbe_sha256(hex, text, (size_t)n);
        if (!err && r->encoded) {
            n = snprintf(text, sizeof text, "%s %s", hex, code);
            err = rbe_sha256(hex, text, (size_t)n);
        }
    }
    return err;
}

/* What the part is a part of, as JSON; NULL when out of memory. */
static char *describe(const struct rbe_convert *c)
{
    char plan[65], calibration[17] = "-";

    if (plan_digest(plan, c))
        return NULL;
    if (c->o.calibration)
        rbe_calibration_digest(calibration, c->o.calibration);
    json_t *tensors = json_array();
    for (size_t i = 0; i < c->count; i++)
        if (!c->entries[i].elsewhere)
            json_array_append_new(tensors, json_pack("[I, s]", (json_int_t)i,
                                                     c->entries[i].tensor->name));
    json_t *j = json_pack("{s:I, s:I, s:I, s:s, s:s, s:o}", "shard",
                          (json_int_t)c->o.shard_index + 1, "of",
                          (json_int_t)c->o.shard_count, "count", (json_int_t)c->count, "plan",
                          plan, "calibration", calibration, "tensors", tensors);
    char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    return text;
}

enum rbe_status rbe_convert_write_part(struct rbe_convert *c, const char *path,
                                       const json_t *row, struct rbe_diag *d)
{
    struct rbe_container_builder *b = NULL;
    void **plain = calloc(c->count, sizeof *plain);
    char *what = describe(c), *text = row ? json_dumps(row, JSON_COMPACT) : NULL;
    enum rbe_status err;

    if (!plain || !what || !text || rbe_shortages() != c->shortages) {
        err = no_memory(d);
        goto out;
    }
    if (!(err = rbe_container_begin(&b, d)) &&
        !(err = rbe_convert_add_contents(b, c, plain, d)) &&
        !(err = rbe_container_add_meta(b, RBE_SHARD_KEY, what, d)) &&
        !(err = rbe_container_add_meta(b, ROW_KEY, text, d)) &&
        !(err = rbe_companion_write(b, path, c->source->gguf, d)))
        rbe_partial_remove(c);
out:
    rbe_container_end(&b);
    rbe_convert_free_plain(plain, c);
    free(what);
    free(text);
    return err;
}

/* --- parts joined ------------------------------------------------------------------------- */

struct part {
    const char *path;
    struct rbe_container *file;
    json_t *what, *row;
    json_int_t shard;
};

struct join {
    struct part *parts;         /* [count] */
    size_t count;
    json_int_t tensors;         /* of the file */
    const char **names;         /* [tensors] */
    size_t *from;               /* [tensors] the part that has it */
};

bool rbe_convert_is_part(const char *path)
{
    /* The length of the header, of which 48 bits are plenty, and its brace. */
    uint8_t head[9];
    struct stat st;
    FILE *f = !stat(path, &st) && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    const bool is = f && fread(head, 1, sizeof head, f) == sizeof head && !head[6] &&
                    !head[7] && head[8] == '{';

    if (f)
        fclose(f);
    return is;
}

static json_int_t integer_of(const json_t *j, const char *key)
{
    const json_t *x = json_object_get(j, key);

    return json_is_integer(x) ? json_integer_value(x) : -1;
}

static const char *meta_of(const struct part *p, const char *key)
{
    return rbe_safetensors_meta(rbe_container_file(p->file), key);
}

static enum rbe_status bad_part(const struct part *p, const char *what, struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: not a part of a conversion: %s", p->path, what);
}

static enum rbe_status open_part(struct part *p, struct rbe_diag *d)
{
    const char *what, *row;
    enum rbe_status err;

    if ((err = rbe_container_open(&p->file, p->path, true, d)))
        return err;
    if (!(what = meta_of(p, RBE_SHARD_KEY)) || !(row = meta_of(p, ROW_KEY)))
        return bad_part(p, "it is a file of another kind", d);
    if ((err = rbe_json_load(&p->what, what, strlen(what), 0, NULL, p->path, d)) ||
        (err = rbe_json_load(&p->row, row, strlen(row), 0, NULL, p->path, d)))
        return err;
    const json_int_t of = integer_of(p->what, "of"), count = integer_of(p->what, "count");
    p->shard = integer_of(p->what, "shard");
    if (of < 2 || of > MOST || p->shard < 1 || p->shard > of || count < of || count > MOST ||
        !json_is_array(json_object_get(p->what, "tensors")) ||
        !json_is_string(json_object_get(p->what, "plan")) ||
        !json_is_string(json_object_get(p->what, "calibration")))
        return bad_part(p, "it does not say what it is a part of", d);
    if (strcmp(rbe_string_at(p->row, RBE_KEY(kind)) ? rbe_string_at(p->row, RBE_KEY(kind)) : "",
               RBE_KIND(convert)) != 0 ||
        !json_is_array(RBE_VALUE_AT(p->row, tensors)) ||
        !json_is_object(RBE_VALUE_AT(p->row, totals)) ||
        integer_of(RBE_VALUE_AT(p->row, totals), RBE_KEY(parameters)) < 1)
        return bad_part(p, "its row is none of a conversion", d);
    return RBE_OK;
}

static enum rbe_status differs(const struct part *p, const struct part *first, const char *what,
                               struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_MISMATCH, "%s: is of another %s than %s", p->path, what,
                    first->path);
}

/* Metadata that says of what the file is, and what to call it. */
static const struct {
    const char *key, *name;
} same_meta[] = {
    {"rbe.source_sha256", "model"}, {"rbe.config", "model"}, {"rbe.profile", "profile"},
    {"rbe.encoder", "encoder"}, {"rbe.low_rank", "rank"}, {"rbe.keys", "version"},
};

/* Parts of one conversion, by one program. */
static enum rbe_status check_same(const struct part *p, const struct part *first,
                                  struct rbe_diag *d)
{
    for (size_t i = 0; i < sizeof same_meta / sizeof same_meta[0]; i++) {
        const char *a = meta_of(first, same_meta[i].key), *b = meta_of(p, same_meta[i].key);
        if (strcmp(a ? a : "", b ? b : "") != 0)
            return differs(p, first, same_meta[i].name, d);
    }
    if (!json_equal(RBE_VALUE_AT(p->row, commit), RBE_VALUE_AT(first->row, commit)) ||
        !json_equal(RBE_VALUE_AT(p->row, dirty), RBE_VALUE_AT(first->row, dirty)))
        return differs(p, first, "commit of this program", d);
    if (integer_of(p->what, "of") != integer_of(first->what, "of"))
        return differs(p, first, "number of shards", d);
    if (!json_equal(json_object_get(p->what, "calibration"),
                    json_object_get(first->what, "calibration")))
        return differs(p, first, "calibration (shards need one --shared folder, and --f32 "
                       "where not all CPUs have bf16)", d);
    if (integer_of(p->what, "count") != integer_of(first->what, "count") ||
        !json_equal(json_object_get(p->what, "plan"), json_object_get(first->what, "plan")))
        return differs(p, first, "plan: other options, or another allocation", d);
    return RBE_OK;
}

/* Every shard once. */
static enum rbe_status check_shards(const struct join *j, struct rbe_diag *d)
{
    const json_int_t of = integer_of(j->parts[0].what, "of");

    for (json_int_t s = 1; s <= of; s++) {
        const struct part *has = NULL;
        for (size_t i = 0; i < j->count; i++) {
            if (j->parts[i].shard != s)
                continue;
            if (has)
                return rbe_fail(d, RBE_ERR_MISMATCH, "%s: shard %lld/%lld is there twice, also "
                                "in %s", j->parts[i].path, (long long)s, (long long)of,
                                has->path);
            has = &j->parts[i];
        }
        if (!has)
            return rbe_fail(d, RBE_ERR_MISMATCH, "shard %lld/%lld is missing: %s is one of "
                            "%lld parts, %zu were named", (long long)s, (long long)of,
                            j->parts[0].path, (long long)of, j->count);
    }
    return RBE_OK;
}

/* Which part has which tensor: all there are, each once. */
static enum rbe_status find_tensors(struct join *j, struct rbe_diag *d)
{
    for (size_t i = 0; i < j->count; i++) {
        const struct part *p = &j->parts[i];
        const struct rbe_safetensors *f = rbe_container_file(p->file);
        const json_t *x;
        size_t k;

        json_array_foreach(json_object_get(p->what, "tensors"), k, x) {
            const json_int_t at = json_is_integer(json_array_get(x, 0))
                                      ? json_integer_value(json_array_get(x, 0)) : -1;
            const char *name = json_string_value(json_array_get(x, 1));
            if (at < 0 || at >= j->tensors || !name || j->names[at])
                return bad_part(p, "its list of tensors is not of this conversion", d);
            const struct rbe_tensor *t = rbe_safetensors_find(f, name);
            if (!rbe_container_weight(p->file, name) &&
                (!t || rbe_container_owns(p->file, t)))
                return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor '%.60s' is missing", p->path,
                                name);
            j->names[at] = name;
            j->from[at] = i;
        }
    }
    for (json_int_t at = 0; at < j->tensors; at++)
        if (!j->names[at])
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: tensor %lld of %lld is in no part",
                            j->parts[0].path, (long long)at + 1, (long long)j->tensors);
    return RBE_OK;
}

/* The metadata that the whole file has, in its order. */
static enum rbe_status add_metadata(struct rbe_container_builder *b, const struct part *p,
                                    struct rbe_diag *d)
{
    char *list = strdup(meta_of(p, "rbe.keys")), *save = NULL;
    enum rbe_status err = list ? RBE_OK : no_memory(d);

    for (char *key = list ? strtok_r(list, " ", &save) : NULL; key && !err;
         key = strtok_r(NULL, " ", &save)) {
        const char *value = meta_of(p, key);
        if (!strcmp(key, RBE_SHARD_KEY) || !strcmp(key, ROW_KEY) || !strcmp(key, VERSION_KEY))
            continue;
        err = rbe_container_add_meta(b, key, value ? value : "", d);
    }
    free(list);
    return err;
}

static enum rbe_status add_tensors(struct rbe_container_builder *b, const struct join *j,
                                   struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    for (json_int_t at = 0; at < j->tensors && !err; at++) {
        const struct rbe_container *c = j->parts[j->from[at]].file;
        const struct rbe_weight *w = rbe_container_weight(c, j->names[at]);
        const struct rbe_tensor *t = rbe_safetensors_find(rbe_container_file(c), j->names[at]);
        err = w ? rbe_container_add_weight(b, w, d)
                : rbe_container_add_tensor(b, t->name, t->dtype, t->dims, t->shape, t->data, d);
    }
    return err;
}

/* The rows of the parts as that of the conversion: matrices in their order, times added up, the
 * largest memory; `out` is yet to be written. */
static enum rbe_status join_rows(json_t **out, const struct join *j, struct rbe_diag *d)
{
    json_t *row = json_deep_copy(j->parts[0].row), *tensors = json_array();
    double seconds = 0, peak = 0;
    enum rbe_status err = row && tensors ? RBE_OK : no_memory(d);

    for (size_t i = 0; i < j->count; i++) {
        const double own = RBE_NUMBER_AT(j->parts[i].row, peak_bytes);
        seconds += RBE_NUMBER_AT(j->parts[i].row, seconds);
        peak = own > peak ? own : peak;
    }
    for (json_int_t at = 0; at < j->tensors && !err; at++) {
        const struct part *p = &j->parts[j->from[at]];
        json_t *x = rbe_object_named(RBE_VALUE_AT(p->row, tensors), j->names[at]);
        if (!x && rbe_container_weight(p->file, j->names[at]))
            err = bad_part(p, "its row lacks a matrix", d);
        else if (x && json_array_append(tensors, x))
            err = no_memory(d);
    }
    if (!err && (RBE_SET(row, RBE_REAL(seconds, seconds)) ||
                 RBE_SET(row, RBE_REAL(peak_bytes, peak)) ||
                 RBE_SET(row, RBE_SHARED(tensors, tensors)) ||
                 RBE_SET(row, RBE_INT(shards, j->count))))
        err = no_memory(d);
    json_decref(tensors);
    if (err) {
        json_decref(row);
        row = NULL;
    }
    *out = row;
    return err;
}

/* What the row says of the file, which is there now. */
static enum rbe_status describe_file(json_t *row, const char *path, struct rbe_diag *d)
{
    json_t *totals = RBE_VALUE_AT(row, totals);
    const uint64_t params = (uint64_t)integer_of(totals, RBE_KEY(parameters));
    enum rbe_status err;
    struct stat st;
    char sha[65];

    if (stat(path, &st) < 0)
        return rbe_fail_errno(d, "%s", path);
    if ((err = rbe_sha256_file(sha, path, d)))
        return err;
    const struct rbe_result_model model = {
        .name = rbe_base_name(path), .path = path, .sha256 = sha,
        .label = RBE_STRING_AT(row, base, label), .bytes = (uint64_t)st.st_size,
        .params = params, .rbe = true};
    return rbe_result_set_model(row, RBE_KEY(model), &model) ||
                   RBE_SET(totals, RBE_INT(bytes, st.st_size),
                           RBE_REAL(bits_per_weight, 8 * (double)st.st_size / (double)params))
               ? no_memory(d)
               : RBE_OK;
}

enum rbe_status rbe_convert_join(json_t **row, const char *out, const char *const *parts,
                                 size_t count, struct rbe_diag *d)
{
    struct join j = {.count = count};
    struct rbe_container_builder *b = NULL;
    struct rbe_gguf *gguf = NULL;
    char *companion = NULL;
    enum rbe_status err = RBE_OK;

    *row = NULL;
    if (!(j.parts = calloc(count, sizeof *j.parts)))
        return no_memory(d);
    for (size_t i = 0; i < count && !err; i++) {
        j.parts[i].path = parts[i];
        if (!(err = open_part(&j.parts[i], d)) && i)
            err = check_same(&j.parts[i], &j.parts[0], d);
    }
    if (err || (err = check_shards(&j, d)))
        goto out;
    j.tensors = integer_of(j.parts[0].what, "count");
    j.names = calloc((size_t)j.tensors, sizeof *j.names);
    j.from = calloc((size_t)j.tensors, sizeof *j.from);
    if (!j.names || !j.from) {
        err = no_memory(d);
        goto out;
    }
    if ((err = find_tensors(&j, d)) || (err = join_rows(row, &j, d)) ||
        (err = rbe_companion_find(&companion, parts[0], d)) ||
        (companion && (err = rbe_gguf_open(&gguf, companion, d))))
        goto out;
    if (!(err = rbe_container_begin(&b, d)) && !(err = add_metadata(b, &j.parts[0], d)) &&
        !(err = add_tensors(b, &j, d)) && !(err = rbe_companion_write(b, out, gguf, d)))
        err = describe_file(*row, out, d);
out:
    rbe_container_end(&b);
    rbe_gguf_close(&gguf);
    free(companion);
    for (size_t i = 0; i < count; i++) {
        rbe_container_close(&j.parts[i].file);
        json_decref(j.parts[i].what);
        json_decref(j.parts[i].row);
    }
    free(j.parts);
    free(j.names);
    free(j.from);
    if (err) {
        json_decref(*row);
        *row = NULL;
    }
    return err;
}
