/*
 * check_json.c - JSON while memory runs out: said so, nothing lost, nothing kept.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/test/check.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"

static unsigned long calls, fail_at;
static bool and_after;
static long held;

static void *take(size_t size)
{
    calls++;
    if (calls == fail_at || (and_after && fail_at && calls > fail_at))
        return NULL;
    void *p = malloc(size);
    held += p != NULL;
    return p;
}

static void give(void *p)
{
    held -= p != NULL;
    free(p);
}

/* Long tokens: the parser's buffer grows within them. */
static const char text[] =
    "{\"a\": [1, -2.5e3, true, null, {\"b\": {}}], \"number\": 1.2345678901234567890123456789, "
    "\"a rather long key, longer than the buffer is at first\": \"and a string that is longer "
    "still, so that the buffer has to grow in the midst of it, more than once, \\u00e9\"}";

static void check_failures(const json_t *want)
{
    const long before = held;
    unsigned refused = 0;

    for (int mode = 0; mode < 2; mode++) {
        bool failed = true;
        and_after = mode;
        for (unsigned long n = 1; failed; n++) {
            struct rbe_diag d = {""};
            json_error_t e;
            json_t *v;
            const unsigned noted = rbe_shortages();
            calls = 0;
            fail_at = n;
            const enum rbe_status err =
                rbe_json_load(&v, text, sizeof text - 1, JSON_REJECT_DUPLICATES, &e, "it", &d);
            failed = calls >= n;
            fail_at = 0;
            if (failed) {
                CHECK(err == RBE_ERR_NOMEM && !v && !strcmp(d.text, "it: out of memory"));
                CHECK(rbe_shortages() > noted);
                refused++;
            } else {
                CHECK(!err && json_equal(v, want));
            }
            json_decref(v);
            CHECK(held == before);
        }
    }
    CHECK(refused > 20);
}

/* What is built has no status for each field: the count tells. */
static void check_building(void)
{
    const unsigned noted = rbe_shortages();
    json_t *o = json_object();

    and_after = false;
    calls = 0;
    fail_at = 1;
    json_object_set_new(o, "x", json_integer(1));
    fail_at = 0;
    CHECK(json_object_size(o) == 0 && rbe_shortages() == noted + 1);
    json_decref(o);
}

static void check_damage(void)
{
    struct rbe_diag d = {""};
    json_error_t e;
    json_t *v;

    CHECK(rbe_json_load(&v, "{\"a\":\n1,}", 9, 0, &e, "it", &d) == RBE_ERR_FORMAT && !v);
    CHECK(!strncmp(d.text, "it: not JSON at line 2: ", 24) && e.line == 2);
    CHECK(rbe_json_load(&v, "", 0, 0, NULL, "it", &d) == RBE_ERR_FORMAT && !v);
}

int main(void)
{
    struct rbe_diag d = {""};
    json_t *want;

    json_set_alloc_funcs(take, give);
    CHECK(!rbe_json_load(&want, text, sizeof text - 1, 0, NULL, "it", &d));
    check_failures(want);
    check_building();
    check_damage();
    json_decref(want);
    CHECK(held == 0);
    return check_done();
}
