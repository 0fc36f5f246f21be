/*
 * check_result.c - result files: whole lines, crash tails, foreign files, common fields.
 *
 * SPDX-License-Identifier: MIT
 */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/file.h"
#include "base/result.h"
#include "kernels/test/check.h"

static char folder[] = "/tmp/rbe-check-result-XXXXXX";

static void append_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "a");

    CHECK(f && fputs(text, f) >= 0);
    if (f)
        fclose(f);
}

static enum rbe_status append_one(const char *path, double x, struct rbe_diag *d)
{
    struct rbe_result_file *f;
    enum rbe_status err = rbe_result_open(&f, path, d);

    if (err)
        return err;
    json_t *r = rbe_result_new("perplexity", 2);
    const struct rbe_result_model m = {.name = "a", .path = "x/y/a.rbe", .sha256 = "00",
                                       .bytes = 1000, .params = 2000, .rbe = true};
    CHECK(!rbe_result_set_model(r, "model", &m));
    CHECK(!rbe_result_set_text(r, "t", "11", 5));
    CHECK(!json_object_set_new(r, "nll_mean", rbe_result_real(x)));
    err = rbe_result_append(f, r, d);
    rbe_result_close(&f);
    return err;
}

/* \xHH back to its byte. */
static void decode(char *s)
{
    char *to = s;
    unsigned byte;

    while (*s) {
        if (s[0] == '\\' && s[1] == 'x' && isxdigit(s[2]) && isxdigit(s[3]) &&
            sscanf(s + 2, "%2X", &byte) == 1) {
            *to++ = (char)byte;
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

/* Bytes that are no text stand in a record so that they can be had back. */
static void check_strings(void)
{
    static const char *const cases[][2] = {
        {"plain", "plain"}, {"caf\xC3\xA9", "caf\xC3\xA9"}, {"caf\xE9", "caf\\xE9"},
        {"\xE2\x82", "\\xE2\\x82"}, {"\xC0\x80", "\\xC0\\x80"},
        {"\xED\xA0\x80", "\\xED\\xA0\\x80"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xF4\x90\x80\x80", "\\xF4\\x90\\x80\\x80"}, {"a\\x41", "a\\x5Cx41"},
        {"a\\\\x41", "a\\\\x5Cx41"}, {"\\xZZ \\n", "\\xZZ \\n"}, {"\\x4\xFF", "\\x4\\xFF"},
        {"", ""}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *j = rbe_result_string(cases[i][0]);
        char back[64];
        if (!CHECK(j && !strcmp(json_string_value(j), cases[i][1])))
            continue;
        snprintf(back, sizeof back, "%s", json_string_value(j));
        decode(back);
        CHECK(!strcmp(back, cases[i][0]));
        json_decref(j);
    }
    json_t *j = rbe_result_string(NULL);
    CHECK(json_is_null(j));
    json_decref(j);
    j = rbe_result_text("a\\x41");
    CHECK(!strcmp(json_string_value(j), "a\\x41"));
    json_decref(j);
    /* A row whose every name is odd. */
    json_t *r = rbe_result_new("perplexity", 1);
    const struct rbe_result_model m = {.name = "\xFF", .path = "\xFE/\xFD", .sha256 = "00"};
    CHECK(!rbe_result_set_model(r, "model", &m) && !rbe_result_set_text(r, "\xFC", "11", 5));
    char *text = json_dumps(r, JSON_COMPACT);
    CHECK(text && strstr(text, "\\\\xFF") && strstr(text, "\\\\xFD") &&
          strstr(text, "\\\\xFC"));
    free(text);
    json_decref(r);
}

/* The commit is the one built in; what the environment says counts without one only. */
static void check_commit(void)
{
    static const struct {
        const char *built, *commit;
        json_type dirty;
    } cases[] = {{"", "from-outside", JSON_NULL}, {"0123abc clean", "0123abc", JSON_FALSE},
                 {"0123abc changed", "0123abc", JSON_TRUE},
                 {"0123abc unknown", "0123abc", JSON_NULL}};

    setenv("RBE_COMMIT", "from-outside", 1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rbe_result_built_from(cases[i].built);
        json_t *r = rbe_result_new("perplexity", 1);
        CHECK(!strcmp(json_string_value(json_object_get(r, "commit")), cases[i].commit));
        CHECK(json_typeof(json_object_get(r, "dirty")) == cases[i].dirty);
        json_decref(r);
    }
    unsetenv("RBE_COMMIT");
    rbe_result_built_from("");
    json_t *r = rbe_result_new("perplexity", 1);
    CHECK(json_is_null(json_object_get(r, "commit")));
    json_decref(r);
}

int main(void)
{
    struct rbe_diag d = {""};
    json_t *all;
    unsigned torn = 0;

    CHECK(mkdtemp(folder) != NULL);
    char *path = rbe_path_join(folder, "new/results.jsonl");
    char *foreign = rbe_path_join(folder, "notes.txt");
    const double x = 0.1 + 0.2;
    CHECK(append_one(path, x, &d) == RBE_OK);
    CHECK(append_one(path, NAN, &d) == RBE_OK);
    CHECK(rbe_result_read(&all, path, &torn, &d) == RBE_OK && torn == 0);
    CHECK(json_array_size(all) == 2);
    json_t *r = json_array_get(all, 0), *m = json_object_get(r, "model");
    CHECK(json_real_value(json_object_get(r, "nll_mean")) == x);
    CHECK(json_is_null(json_object_get(json_array_get(all, 1), "nll_mean")));
    CHECK(!strcmp(json_string_value(json_object_get(m, "path")), "a.rbe"));
    CHECK(json_real_value(json_object_get(m, "bits_per_weight")) == 4.0);
    json_t *machine = json_object_get(r, "machine");
    CHECK(json_integer_value(json_object_get(machine, "threads")) == 2);
    CHECK(json_integer_value(json_object_get(machine, "cores")) >= 1);
    CHECK(json_object_get(machine, "cpu_quota") != NULL);
    CHECK(json_is_true(json_object_get(machine, "oversubscribed")) == rbe_oversubscribed(2));
    CHECK(!rbe_result_set_threads(r, 100000));
    CHECK(json_integer_value(json_object_get(machine, "threads")) == 100000);
    CHECK(json_is_true(json_object_get(machine, "oversubscribed")));
    CHECK(json_integer_value(json_object_get(machine, "memory_bytes")) > 0);
    CHECK(json_is_null(json_object_get(machine, "emulator")));
    CHECK(json_is_array(json_object_get(json_object_get(machine, "topology"), "caches")));
    CHECK(strlen(json_string_value(json_object_get(r, "time_utc"))) == 20);
    json_decref(all);

    /* A crash tail is left out by readers and cut by the next writer. */
    append_text(path, "{\"schema\":\"rbe-result-1\",\"kind\":\"pair");
    CHECK(rbe_result_read(&all, path, &torn, &d) == RBE_OK && torn == 1);
    CHECK(json_array_size(all) == 2);
    json_decref(all);
    CHECK(append_one(path, 3, &d) == RBE_OK);
    CHECK(rbe_result_read(&all, path, &torn, &d) == RBE_OK && torn == 0);
    CHECK(json_array_size(all) == 3);
    json_decref(all);

    /* A damaged line is named. */
    append_text(path, "nonsense\n");
    CHECK(rbe_result_read(&all, path, NULL, &d) == RBE_ERR_FORMAT && !all);
    CHECK(strstr(d.text, "line 4") != NULL);

    /* A file of another kind is refused and stays as it was. */
    append_text(foreign, "dear diary");
    CHECK(append_one(foreign, 1, &d) == RBE_ERR_FORMAT);
    char *text;
    size_t size;
    CHECK(rbe_read_file(&text, &size, foreign, &d) == RBE_OK && !strcmp(text, "dear diary"));
    free(text);

    check_strings();
    check_commit();

    const struct rbe_usage u = rbe_usage_now();
    CHECK(u.resident_bytes > 0 && u.peak_bytes >= u.resident_bytes && u.cpu_s >= 0);
    unlink(path);
    unlink(foreign);
    *strrchr(path, '/') = 0;
    rmdir(path);
    rmdir(folder);
    free(path);
    free(foreign);
    return check_done();
}
