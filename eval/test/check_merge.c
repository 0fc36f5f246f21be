/*
 * check_merge.c - sequences summed up by hand, and what cannot be joined.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "eval/merge.h"
#include "eval/perplexity.h"
#include "eval/sequences.h"
#include "kernels/test/check.h"

/* Two sequences of four tokens, two of them the prompt. */
static json_t *sequences(const char *model, int first, int count)
{
    double one[2] = {1, 3}, two[2] = {2, 2};
    const struct rbe_times t[2] = {
        {.ms = one, .count = 2, .weight = 1, .foreign = 0.1, .steal = 0, .cpus = 1},
        {.ms = two, .count = 2, .weight = 3, .foreign = 0.9, .steal = 0.3, .cpus = 6,
         .tainted = 1}};
    json_t *samples = rbe_sequences_samples();
    struct rbe_diag d = {""};

    for (int i = first; i < first + count; i++)
        CHECK(!rbe_sequences_add(samples, 10 + 10 * i, 11 + 11 * i, 7, &t[i]));
    json_t *r = json_pack("{s:s, s:{s:s, s:i}, s:{s:s, s:s}, s:s, s:i, s:i, s:i, s:i, s:i, "
                          "s:o}",
                          "kind", "inference", "machine", "cpu", "x", "threads", 1, "model",
                          "name", model, "sha256", model, "mode", "sequences",
                          "sequences_total", 2, "first_sequence", first, "length", 4,
                          "prompt_tokens", 2, "peak_bytes", 100 + first, "samples", samples);
    CHECK(!rbe_sequences_summarise(r, &d));
    return r;
}

static void check_sequences(void)
{
    json_t *r = sequences("a", 0, 2);
    const json_t *prefill = json_object_get(r, "prefill");
    const json_t *validity = json_object_get(r, "validity");
    struct rbe_diag d = {""};

    /* 10 + 20 of prefill, 1 + 3 + 2 + 2 of decoding: 38 ms over eight tokens. */
    CHECK_NEAR(rbe_number_at(r, "ms_per_token"), 4.75, 1e-12);
    CHECK_NEAR(rbe_number_at(r, "decode_median_ms"), 2, 1e-12);
    CHECK_NEAR(rbe_number_at(r, "first_token_ms"), 16.5, 1e-12);
    CHECK_NEAR(rbe_number_at(prefill, "mean_ms"), 15, 1e-12);
    CHECK_NEAR(rbe_number_at(prefill, "mean_ms_se"), 5, 1e-12);   /* 50 / 2, its root */
    CHECK_NEAR(rbe_number_at(prefill, "tokens_per_s"), 2000.0 / 15, 1e-9);
    /* One second with a tenth of foreign use, three with three tenths. */
    CHECK_NEAR(rbe_number_at(validity, "foreign_cpu"), 0.25, 1e-12);
    CHECK_NEAR(rbe_number_at(validity, "steal"), 0.075, 1e-12);
    CHECK_NEAR(rbe_number_at(r, "cpu_utilisation"), 1.75, 1e-12);
    CHECK(rbe_number_at(validity, "tainted") == 1);
    CHECK(json_is_true(json_object_get(r, "complete")));
    json_object_del(json_object_get(r, "samples"), "steal");
    CHECK(rbe_sequences_summarise(r, &d) == RBE_ERR_FORMAT);
    json_decref(r);
}

/* Joins a file for each record; takes the references. */
static enum rbe_status join(json_t **out, json_t *const *records, size_t n, struct rbe_diag *d)
{
    static const char *const names[] = {"one", "two", "three"};
    json_t *files[3] = {NULL};

    for (size_t i = 0; i < n; i++)
        files[i] = json_pack("[o]", records[i]);
    const enum rbe_status err = rbe_merge(out, files, names, n, d);
    for (size_t i = 0; i < n; i++)
        json_decref(files[i]);
    return err;
}

static void check_join(void)
{
    json_t *joined, *whole = sequences("a", 0, 2);
    struct rbe_diag d = {""};

    CHECK(!join(&joined, (json_t *[]){sequences("a", 1, 1), sequences("a", 0, 1)}, 2, &d));
    json_t *r = json_array_get(joined, 0);
    CHECK(json_array_size(joined) == 1 && rbe_number_at(r, "shards") == 2);
    CHECK(rbe_number_at(r, "peak_bytes") == 101);     /* the larger of the two */
    json_object_del(r, "shards");
    json_object_set(r, "peak_bytes", json_object_get(whole, "peak_bytes"));
    CHECK(json_equal(r, whole));
    json_decref(joined);
    json_decref(whole);
    /* Of another model, from another machine, of another kind. */
    CHECK(join(&joined, (json_t *[]){sequences("a", 0, 1), sequences("b", 1, 1)}, 2, &d) ==
          RBE_ERR_MISMATCH && strstr(d.text, "missing"));
    json_t *other = sequences("a", 1, 1);
    json_object_set_new(json_object_get(other, "machine"), "threads", json_integer(2));
    CHECK(join(&joined, (json_t *[]){sequences("a", 0, 1), other}, 2, &d) == RBE_ERR_MISMATCH);
    json_t *latency = sequences("a", 0, 1);
    json_object_del(latency, "sequences_total");
    CHECK(join(&joined, (json_t *[]){latency}, 1, &d) == RBE_ERR_ARG);
    json_t *edge = json_pack("{s:s}", "kind", "edge");
    CHECK(join(&joined, (json_t *[]){edge}, 1, &d) == RBE_ERR_ARG);
    /* Still one line. */
    json_t *lines = json_pack("{s:s}", "kind", "two\nlines\x1b");
    CHECK(join(&joined, (json_t *[]){lines}, 1, &d) == RBE_ERR_ARG &&
          strstr(d.text, "'two?lines?'"));
}

static json_t *window(const char *model, enum rbe_protocol p, size_t first, unsigned resamples)
{
    const struct rbe_windows w = {.protocol = p, .context = 8, .stride = 8, .count = 2,
                                  .text_tokens = 10, .words = 5, .space_words = 5, .bytes = 40};
    const double nll[1] = {10.0 + (double)first}, n[1] = {5};
    json_t *r = json_pack("{s:s, s:{s:s, s:s}, s:{s:s, s:s}}", "kind", "perplexity", "model",
                          "name", model, "sha256", model, "text", "name", "t", "sha256", "t");

    CHECK(!rbe_perplexity_describe(r, &w));
    CHECK(!rbe_perplexity_summarise(r, nll, n, 1, first, 1, resamples));
    return r;
}

/* A record of LAMBADA's items [first, first + 2) of four. */
static json_t *answers(int first)
{
    return json_pack("{s:s, s:s, s:{s:s, s:s}, s:{s:s}, s:i, s:i, s:i, s:[], s:{s:[i,i], "
                     "s:[f,f]}}", "kind", "comprehension", "task", "lambada", "model", "name",
                     "m", "sha256", "m", "text", "sha256", "t", "items_total", 4, "items", 2,
                     "first_item", first, "group_names", "samples", "acc", 0, 1, "log_p", -1.0,
                     -2.0);
}

/* The first of two parts has another value at outer.key, or at key: joining fails so. */
static void refuses(json_t *first, json_t *second, const char *outer, const char *key,
                    json_t *value, const char *why)
{
    json_t *joined, *at = outer ? json_object_get(first, outer) : first;
    struct rbe_diag d = {""};

    if (value)
        CHECK(!json_object_set_new(at, key, value));
    else
        CHECK(!json_object_del(at, key));
    CHECK(join(&joined, (json_t *[]){first, second}, 2, &d) == RBE_ERR_FORMAT);
    CHECK(!joined && strstr(d.text, why) && !strncmp(d.text, "one: ", 5));
}

/* Types and sizes of what is read. */
static void check_types(void)
{
    json_t *joined;
    struct rbe_diag d = {""};
    const json_int_t huge = 9223372036854775807;

    CHECK(!join(&joined, (json_t *[]){answers(2), answers(0)}, 2, &d));
    json_decref(joined);
    refuses(answers(0), answers(2), "samples", "log_p", NULL, "without samples.log_p of its 2");
    refuses(answers(0), answers(2), "samples", "log_p", json_pack("[f]", -1.0),
            "without samples.log_p of its 2");
    refuses(answers(0), answers(2), "samples", "log_p", json_pack("[f,s]", -1.0, "x"),
            "samples.log_p[1] is no number");
    refuses(answers(0), answers(2), "samples", "acc", json_string("x"), "without samples.acc");
    refuses(answers(0), answers(2), NULL, "group_names", json_pack("[i]", 1), "group_names[0]");
    refuses(answers(0), answers(2), NULL, "items", json_integer(huge), "items is no count");
    refuses(answers(0), answers(2), NULL, "first_item", json_integer(-1), "first_item is no");
    refuses(answers(0), answers(2), NULL, "items_total", json_real(4.5), "items_total is no");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), NULL, "windows",
            json_integer(huge), "windows is no count");
    /* Sums that no run gives, and a part that has none, are told of by file and field. */
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), "samples", "scored",
            json_pack("[i]", 0), "samples.scored[0] is no count of tokens");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), "samples", "scored",
            json_pack("[f]", 2.5), "samples.scored[0] is no count of tokens");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), "samples", "scored",
            json_pack("[I]", huge), "samples.scored[0] is no count of tokens");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), "samples", "nll",
            json_pack("[f]", 1e301), "samples.nll[0] is 1e+301: too large");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), "samples", "nll",
            json_pack("[n]"), "samples.nll[0] is no number");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), NULL, "samples", NULL,
            "without samples.nll of its 1 windows");
    refuses(answers(0), answers(2), "samples", "log_p", json_pack("[f,f]", -1.0, -1e301),
            "samples.log_p[1] is -1e+301: too large");
    /* What goes into the joined record. */
    refuses(sequences("a", 0, 1), sequences("a", 1, 1), NULL, "prompt_tokens", NULL,
            "a record of inference without prompt_tokens");
    refuses(sequences("a", 0, 1), sequences("a", 1, 1), NULL, "model", NULL, "without model");
    refuses(answers(0), answers(2), NULL, "model", NULL, "without model");
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), NULL, "stride", NULL,
            "a record of perplexity without stride");
    /* What the record says of all of them. */
    refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), NULL, "scored",
            json_integer(4), "scored is not the sum of its samples, 5");
    static const char *const same[] = {"tokens", "words", "white_space_words", "text_bytes",
                                       "protocol_name", "stride"};
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        json_t *first = window("m", RBE_P1, 0, 10), *second = window("m", RBE_P1, 1, 10);
        CHECK(!json_object_set_new(second, same[i], json_integer(99)));
        CHECK(join(&joined, (json_t *[]){first, second}, 2, &d) == RBE_ERR_MISMATCH && !joined);
        CHECK(strstr(d.text, "of another") && strstr(d.text, same[i]));
    }
    for (int i = 0; i < 4; i++) {
        json_t *const values[] = {json_integer(4000000000), json_integer(-1),
                                  json_string("10"), json_real(10.5)};
        refuses(window("m", RBE_P1, 0, 10), window("m", RBE_P1, 1, 10), "bootstrap",
                "resamples", json_incref(values[i]), "bootstrap.resamples is no count");
        for (int k = 0; k < 4; k++)
            json_decref(values[k]);
    }
}

static void check_refusals(void)
{
    json_t *joined;
    struct rbe_diag d = {""};

    CHECK(!join(&joined, (json_t *[]){window("a", RBE_P1, 0, 50), window("a", RBE_P1, 1, 50)},
                2, &d));
    const json_t *r = json_array_get(joined, 0);
    CHECK_NEAR(rbe_number_at(r, "nll_mean"), 2.1, 1e-12);
    CHECK_NEAR(rbe_number_at(r, "seconds"), 2, 1e-12);        /* one for each part */
    CHECK(rbe_number_at(json_object_get(r, "bootstrap"), "resamples") == 50);
    json_decref(joined);
    CHECK(join(&joined, (json_t *[]){window("a", RBE_P1, 0, 50), window("b", RBE_P1, 1, 50)}, 2,
               &d) == RBE_ERR_MISMATCH && strstr(d.text, "missing"));
    CHECK(join(&joined, (json_t *[]){window("a", RBE_P1, 0, 50), window("a", RBE_P3, 1, 50)}, 2,
               &d) == RBE_ERR_MISMATCH && strstr(d.text, "P1"));
    json_t *other = window("a", RBE_P1, 1, 50);
    json_object_set_new(json_object_get(other, "text"), "sha256", json_string("u"));
    CHECK(join(&joined, (json_t *[]){window("a", RBE_P1, 0, 50), other}, 2, &d) ==
          RBE_ERR_MISMATCH);
    /* Intervals of other draws are not those of the whole. */
    CHECK(join(&joined, (json_t *[]){window("a", RBE_P1, 0, 50), window("a", RBE_P1, 1, 60)}, 2,
               &d) == RBE_ERR_MISMATCH);
}

/* The second part has another value of a field: what differs, and where, is told. */
static void differs(const char *key, json_t *value, const char *why)
{
    json_t *joined, *other = window("a", RBE_P1, 1, 50);
    struct rbe_diag d = {""};

    json_object_set_new(other, key, value);
    CHECK(join(&joined, (json_t *[]){window("a", RBE_P1, 0, 50), other}, 2, &d) ==
          RBE_ERR_MISMATCH);
    if (!CHECK(!joined && strstr(d.text, why)))
        printf("     %s\n", d.text);
}

static void check_differences(void)
{
    differs("special", json_string("text"), "those of two are of another 'special' than those "
                                            "of one");
    differs("bootstrap", json_pack("{s:i}", "resamples", 60), "another 'bootstrap'");
    differs("model", json_pack("{s:s, s:s}", "name", "a", "sha256", "b"), "another 'model'");
    differs("commit", json_string("0123abc"),
            "one is of commit unknown, two of commit 0123abc:");
    differs("dirty", json_true(), "two of commit unknown with changes");
}

/* A part saved on the way and again when it was done, in one file: the later row counts. */
static void check_saved_again(void)
{
    json_t *joined, *early = window("a", RBE_P1, 0, 50);
    struct rbe_diag d = {""};

    json_object_set_new(early, "seconds", json_real(7));
    json_t *files[2] = {json_pack("[o, o]", early, window("a", RBE_P1, 0, 50)),
                        json_pack("[o]", window("a", RBE_P1, 1, 50))};
    const char *const names[] = {"one", "two"};
    if (!CHECK(!rbe_merge(&joined, files, names, 2, &d)))
        printf("     %s\n", d.text);
    const json_t *r = json_array_get(joined, 0);
    CHECK(json_array_size(joined) == 1 && rbe_number_at(r, "shards") == 2);
    CHECK_NEAR(rbe_number_at(r, "seconds"), 2, 1e-12);
    json_decref(joined);
    json_decref(files[0]);
    json_decref(files[1]);
}

/* What --resume goes on from: the last row of the same part. */
static void check_find(void)
{
    json_t *old = json_pack("[o, o, o]", window("a", RBE_P1, 0, 50), window("a", RBE_P1, 1, 50),
                            window("a", RBE_P1, 0, 50));
    json_t *like = window("a", RBE_P1, 0, 50), *other = window("b", RBE_P1, 0, 50);

    CHECK(rbe_merge_find(old, like) == json_array_get(old, 2));
    CHECK(!rbe_merge_find(old, other) && !rbe_merge_find(NULL, like));
    json_decref(old);
    json_decref(like);
    json_decref(other);
}

int main(void)
{
    check_sequences();
    check_join();
    check_types();
    check_refusals();
    check_differences();
    check_saved_again();
    check_find();
    return check_done();
}
