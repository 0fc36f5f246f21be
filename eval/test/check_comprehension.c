/*
 * check_comprehension.c - items of every task, judging and repetition, worked out by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "eval/casing.h"
#include "eval/comprehension.h"
#include "model/conversation.h"
#include "eval/generation.h"
#include "eval/quality.h"
#include "eval/softmax.h"
#include "kernels/cpu.h"
#include "kernels/test/check.h"
#include "model/data.h"

static struct rbe_tokenizer *tokenizer;
static char folder[] = "/tmp/rbe-check-items-XXXXXX";

static enum rbe_status load_into(struct rbe_items *x, enum rbe_task task, const char *content,
                                 uint32_t n_ctx, size_t limit, struct rbe_diag *d)
{
    char path[64];

    snprintf(path, sizeof path, "%s/items", folder);
    FILE *f = fopen(path, "w");
    if (!CHECK(f && fputs(content, f) >= 0))
        return RBE_ERR_IO;
    fclose(f);
    const enum rbe_status err = rbe_items_load(x, task, path, tokenizer, n_ctx, limit, d);
    unlink(path);
    return err;
}

static enum rbe_status load(struct rbe_items *x, enum rbe_task task, const char *content,
                            size_t limit, struct rbe_diag *d)
{
    return load_into(x, task, content, 512, limit, d);
}

/* Whether a choice's context and continuation are these texts. */
static bool reads(const struct rbe_choice *c, const char *context, const char *continuation)
{
    const uint32_t from = c->tokens[0] == rbe_tokenizer_eos(tokenizer);
    char *a = rbe_detokenise(tokenizer, c->tokens + from, c->first - from);
    char *b = rbe_detokenise(tokenizer, c->tokens + c->first, c->count - c->first);
    const bool ok = a && b && !strcmp(a, context) && !strcmp(b, continuation);

    if (!ok)
        printf("     got '%s' | '%s'\n", a ? a : "", b ? b : "");
    free(a);
    free(b);
    return ok;
}

static void check_lambada(void)
{
    struct rbe_items x;
    struct rbe_diag d = {""};

    CHECK(!load(&x, RBE_LAMBADA, "{\"text\": \"He sat by the river\"}\n{\"text\": "
                "\"a b\"}\n", 0, &d));
    CHECK(x.count == 2 && x.item[0].choices == 1 && !x.limit);
    CHECK(reads(&x.item[0].choice[0], "He sat by the", " river"));
    CHECK(x.item[0].choice[0].characters == 5);
    rbe_items_free(&x);
    CHECK(!load(&x, RBE_LAMBADA, "{\"text\": \"a b\"}\n{\"text\": \"c d\"}\n", 1, &d));
    CHECK(x.count == 1 && x.limit == 1);
    rbe_items_free(&x);
    /* One word stands after <|endoftext|>; a last space is itself what is scored. */
    CHECK(!load(&x, RBE_LAMBADA, "{\"text\": \"a b\"}\n{\"text\": \"word\"}\n{\"text\": \"a b "
                                 "\"}"
                "\n", 0, &d));
    CHECK(x.count == 3 && !x.refused && !x.cut);
    CHECK(x.item[1].choice[0].tokens[0] == rbe_tokenizer_eos(tokenizer));
    CHECK(reads(&x.item[1].choice[0], "", " word") && x.item[1].choice[0].characters == 4);
    CHECK(reads(&x.item[2].choice[0], "a b", " ") && x.item[2].choice[0].characters == 0);
    rbe_items_free(&x);
    CHECK(load(&x, RBE_LAMBADA, "{\"text\": \"a b\"}\n\n{\"text\": 5}\n", 0, &d) ==
              RBE_ERR_FORMAT && strstr(d.text, "line 3"));
    CHECK(load(&x, RBE_LAMBADA, "", 0, &d) == RBE_ERR_FORMAT);
}

static void check_winogrande(void)
{
    struct rbe_items x;
    struct rbe_diag d = {""};

    CHECK(!load(&x, RBE_WINOGRANDE, "{\"sentence\": \"The cup fell as the _ was wet.\", "
                "\"option1\": \"table\", \"option2\": \"hand\", \"answer\": \"2\"}\n", 0, &d));
    CHECK(x.count == 1 && x.item[0].choices == 2 && x.item[0].answer == 1);
    CHECK(reads(&x.item[0].choice[0], "The cup fell as the table", " was wet."));
    CHECK(reads(&x.item[0].choice[1], "The cup fell as the hand", " was wet."));
    rbe_items_free(&x);
    CHECK(load(&x, RBE_WINOGRANDE, "{\"sentence\": \"no blank\", \"option1\": \"a\", "
               "\"option2\": \"b\", \"answer\": \"1\"}\n", 0, &d) == RBE_ERR_FORMAT);
    CHECK(strstr(d.text, "line 1") != NULL);
    /* What stands at the end is the blank: a space is scored, not the option. */
    CHECK(!load(&x, RBE_WINOGRANDE, "{\"sentence\": \"Who won? It was _\", \"option1\": \""
                                    "Ann\", "
                "\"option2\": \"Bea\", \"answer\": \"1\"}\n", 0, &d));
    CHECK(reads(&x.item[0].choice[0], "Who won? It was Ann", " "));
    CHECK(reads(&x.item[0].choice[1], "Who won? It was Bea", " "));
    rbe_items_free(&x);
    /* White space of Unicode around it: U+00A0, U+3000, U+2003, U+0085. */
    CHECK(!load(&x, RBE_WINOGRANDE, "{\"sentence\": \"It was _\xC2\xA0\xE3\x80\x80late"
                "\xE2\x80\x83\xC2\x85\", \"option1\": \"Ann\xC2\xA0\", \"option2\": \"b\", "
                "\"answer\": \"1\"}\n", 0, &d));
    CHECK(reads(&x.item[0].choice[0], "It was Ann", "\xC2\xA0 late"));
    CHECK(reads(&x.item[0].choice[1], "It was b", " late"));
    rbe_items_free(&x);
    CHECK(load(&x, RBE_WINOGRANDE, "{\"sentence\": \"a _ b\", \"option1\": \"a\", \"option2\": "
               "\"b\", \"answer\": \"\"}\n", 0, &d) == RBE_ERR_FORMAT);
    CHECK(strstr(d.text, "line 1") && strstr(d.text, "unlabelled test split"));
}

static void check_hellaswag(void)
{
    struct rbe_items x;
    struct rbe_diag d = {""};

    CHECK(!load(&x, RBE_HELLASWAG,
                "Cooking: A man stands. he\n2\nsings.\nruns  off.\n cooks [step] it.\nsleeps.\n"
                "Home: How to sew [title] Begin [substeps] here.\n0\na\nb\nc\nd\n", 0, &d));
    CHECK(x.count == 2 && x.item[0].choices == 4 && x.item[0].answer == 2);
    CHECK(reads(&x.item[0].choice[0], "Cooking: A man stands. He", " sings."));
    CHECK(reads(&x.item[0].choice[1], "Cooking: A man stands. He", " runs off."));
    CHECK(reads(&x.item[0].choice[2], "Cooking: A man stands. He", " cooks it."));
    CHECK(x.item[0].choice[2].characters == 9);
    CHECK(reads(&x.item[1].choice[3], "Home: How to sew. Begin here.", " d"));
    rbe_items_free(&x);
    /* The text file's guess lowers the rest of ctx_b, as str.capitalize() does. */
    CHECK(!load(&x, RBE_HELLASWAG, "A: One. the USA\n0\na\nb\nc\nd\n", 0, &d));
    CHECK(!strcmp(x.variant, "text-file") && reads(&x.item[0].choice[0], "A: One. The usa",
                                                   " a"));
    rbe_items_free(&x);
    /* The original's fields; label as number and as string; ctx_b empty. */
    CHECK(!load(&x, RBE_HELLASWAG,
                "{\"activity_label\": \"Cooking\", \"ctx_a\": \"A man. Stands\", \"ctx_b\": "
                "\"in the USA\", \"endings\": [\"a\", \"[x] b  b\", \"c\", \"d\"], \"label\": "
                "2}\n"
                "{\"activity_label\": \"Home\", \"ctx_a\": \"How [title] to [step] do.\", "
                "\"ctx_b\": \"\", \"endings\": [\"a\", \"b\", \"c\", \"d\"], \"label\": "
                "\"1\"}\n",
                0, &d));
    CHECK(!strcmp(x.variant, "lm-eval") && x.count == 2 && x.item[0].answer == 2 &&
          x.item[1].answer == 1);
    CHECK(reads(&x.item[0].choice[0], "Cooking: A man. Stands In the usa", " a"));
    CHECK(reads(&x.item[0].choice[1], "Cooking: A man. Stands In the usa", "  b b"));
    CHECK(x.item[0].choice[1].characters == 4);
    CHECK(reads(&x.item[1].choice[3], "Home: How. to do.", " d"));
    rbe_items_free(&x);
    CHECK(load(&x, RBE_HELLASWAG, "{\"ctx_a\": \"a\"}\n", 0, &d) == RBE_ERR_FORMAT &&
          strstr(d.text, "line 1") != NULL);
    CHECK(load(&x, RBE_HELLASWAG, "A: b\n4\na\nb\nc\nd\n", 0, &d) == RBE_ERR_FORMAT);
    CHECK(strstr(d.text, "line 2") != NULL);
    CHECK(load(&x, RBE_HELLASWAG, "A: b\n1\na\nb\n", 0, &d) == RBE_ERR_FORMAT);
    CHECK(load(&x, RBE_HELLASWAG, "{\"activity_label\": \"A\", \"ctx_a\": \"b\", \"ctx_b\": \""
                                  "\", "
               "\"endings\": [\"a\", \"b\", \"c\", \"d\"], \"label\": \"\"}\n", 0, &d) ==
              RBE_ERR_FORMAT && strstr(d.text, "unlabelled test split"));
    /* Letters beyond Latin-1 and white space beyond ASCII, as Python has them. */
    CHECK(!load(&x, RBE_HELLASWAG, "{\"activity_label\": \"\xE3\x80\x80Home\", \"ctx_a\": \""
                                   "One.\", "
                "\"ctx_b\": \"\xD0\xB6\xD0\x95 \xC4\x8C\", \"endings\": [\"\xE2\x80\x83""a"
                "\xC2\xA0\", \"b\", \"c\", \"d\"], \"label\": 0}\n", 0, &d));
    CHECK(reads(&x.item[0].choice[0], "Home: One. \xD0\x96\xD0\xB5 \xC4\x8D", " a"));
    CHECK(x.item[0].choice[0].characters == 1);
    rbe_items_free(&x);
    CHECK(!load(&x, RBE_HELLASWAG, "A: One. \xC4\x8D" "AP\n0\na\nb\nc\nd\n", 0, &d));
    CHECK(reads(&x.item[0].choice[0], "A: One. \xC4\x8C" "ap", " a"));
    rbe_items_free(&x);
    /* Lines from elsewhere: a mark in front, CR LF, blank lines at the end. */
    CHECK(!load(&x, RBE_HELLASWAG, "\xEF\xBB\xBF\r\nA: b.\r\n1\r\na\r\nb\r\nc\r\nd\r\n \r\n\r"
                                   "\n",
                0, &d));
    CHECK(x.count == 1 && x.item[0].answer == 1 && reads(&x.item[0].choice[3], "A: b.", " d"));
    rbe_items_free(&x);
    CHECK(!load(&x, RBE_LAMBADA, "\xEF\xBB\xBF{\"text\": \"a b\"}\r\n\r\n  \r\n{\"text\": \"c "
                                 "d\"}",
                0, &d));
    CHECK(x.count == 2 && reads(&x.item[1].choice[0], "c", " d"));
    rbe_items_free(&x);
    CHECK(load(&x, RBE_LAMBADA, "\xFF\xFEx", 0, &d) == RBE_ERR_FORMAT &&
          strstr(d.text, "UTF-16"));
}

/* The hash of what becomes of the text, after that of what was before. */
static uint64_t hash_capital(uint64_t hash, const char *text)
{
    char *s = rbe_capitalise(text);

    for (const char *p = s ? s : ""; *p; p++)
        hash = (hash ^ (unsigned char)*p) * 0x100000001B3;
    free(s);
    return hash;
}

/* Every letter before and behind a sigma, against the hash of what Python 3.11 makes of it. */
static void check_sigma(void)
{
    uint64_t hash = 0xCBF29CE484222325;

    for (uint32_t c = 1; c < 0x110000; c++) {
        static const char *const around[][2] = {{"-", "\xCE\xA3"}, {"a", "\xCE\xA3"},
                                                {"a\xCE\xA3", "b"}};
        char letter[5], text[12];
        if (c >= 0xD800 && c < 0xE000)
            continue;
        letter[rbe_utf8_put(letter, c)] = 0;
        for (size_t i = 0; i < sizeof around / sizeof around[0]; i++) {
            snprintf(text, sizeof text, "%s%s%s", around[i][0], letter, around[i][1]);
            hash = hash_capital(hash, text);
        }
    }
    CHECK(hash == 0x943E25921BBB94BD);
}

/* Every letter alone and behind another, against the hash of what Python 3.11 makes of them. */
static void check_capitals(void)
{
    static const struct {
        const char *from, *to;
    } cases[] = {
        {"\xC3\xA9T\xC3\x89", "\xC3\x89t\xC3\xA9"},
        {"\xC3\x9F" "A", "Ssa"}, {"\xC7\x86\xC7\x84", "\xC7\x85\xC7\x86"},
        {"\xCE\xBF\xCE\x94\xCE\x9F\xCE\xA3 \xCE\xA3",
         "\xCE\x9F\xCE\xB4\xCE\xBF\xCF\x82 \xCF\x83"},
        /* Sigma before and behind an apostrophe, an accent, a soft hyphen, a digit. */
        {"\xCE\x91\xCE\xA3'", "\xCE\x91\xCF\x82'"},
        {"\xCE\x91\xCE\xA3'\xCE\x91", "\xCE\x91\xCF\x83'\xCE\xB1"},
        {"\xCE\x91\xCC\x81\xCE\xA3", "\xCE\x91\xCC\x81\xCF\x82"},
        {"\xCE\x91\xCE\xA3\xC2\xAD\xCE\x92", "\xCE\x91\xCF\x83\xC2\xAD\xCE\xB2"},
        {"'\xCE\xA3", "'\xCF\x83"}, {"1\xCE\xA3", "1\xCF\x83"},
        {"\xCE\x91\xCE\xA3" "1", "\xCE\x91\xCF\x82" "1"},
        /* Behind a letter that has no other case, but is small, and one of no case. */
        {"\xC2\xAA\xCE\xA3", "\xC2\xAA\xCF\x82"},
        {"\xE6\x96\x87\xCE\xA3", "\xE6\x96\x87\xCF\x83"},
        {"\xC4\xB0\xC4\xB0", "\xC4\xB0i\xCC\x87"}, {"", ""}, {" AB", " ab"}};
    uint64_t hash = 0xCBF29CE484222325;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *s = rbe_capitalise(cases[i].from);
        CHECK(s && !strcmp(s, cases[i].to));
        free(s);
    }
    for (uint32_t c = 1; c < 0x110000; c++) {
        char text[6] = "x";
        if (c >= 0xD800 && c < 0xE000)
            continue;
        text[1 + rbe_utf8_put(text + 1, c)] = 0;
        char *behind = rbe_capitalise(text), *alone = rbe_capitalise(text + 1);
        for (const char *s = behind ? behind + 1 : ""; *s; s++)
            hash = (hash ^ (unsigned char)*s) * 0x100000001B3;
        for (const char *s = alone ? alone : ""; *s; s++)
            hash = (hash ^ (unsigned char)*s) * 0x100000001B3;
        free(behind);
        free(alone);
    }
    CHECK(hash == 0x5C775547DB36B68F);
    CHECK(rbe_is_small('a') && rbe_is_small(0x10D) && !rbe_is_small('A') && !rbe_is_small('1'));
}

static double metric(const json_t *r, const char *table, const char *name, const char *key)
{
    return rbe_number_at(json_object_get(json_object_get(r, table), name), key);
}

/* Five items of two phenomena, two models. */
static void check_phenomena(void)
{
    struct rbe_item items[5] = {{.group = 0}, {.group = 1}, {.group = 0}, {.group = 0},
                                {.group = 1}};
    char *names[2] = {"anaphor", "binding"}, *all[1] = {"agreement"};
    const struct rbe_items x = {.task = RBE_BLIMP, .variant = "lm-eval", .item = items,
                                .count = 5, .groups = {names, 2}, .paradigms = {all, 1}};
    const struct rbe_answer a[5] = {{1, 0, 0, 2}, {1, 0, 0, 2}, {1, 0, 0, 2}, {0, 0, 0, -2},
                                    {1, 0, 0, 1}};
    const struct rbe_answer b[5] = {{1, 0, 0, 1}, {1, 0, 0, 2}, {0, 0, 0, -1}, {0, 0, 0, -2},
                                    {0, 0, 0, -5}};
    json_t *p = json_pack("{s:{s:s}}", "model", "name", "base"), *q = json_object();

    CHECK(!rbe_comprehension_summarise(p, &x, a, 0, 5, NULL));
    CHECK(!rbe_comprehension_summarise(q, &x, b, 0, 5, p));
    /* 1 1 0: mean 2/3, variance 1/3, error 1/3; 1 1: no error. */
    CHECK_NEAR(metric(p, "groups", "anaphor", "acc"), 2.0 / 3, 1e-15);
    CHECK_NEAR(metric(p, "groups", "anaphor", "acc_se"), 1.0 / 3, 1e-15);
    CHECK(metric(p, "groups", "anaphor", "items") == 3);
    CHECK(metric(p, "groups", "binding", "acc") == 1);
    CHECK(metric(p, "groups", "binding", "acc_se") == 0);
    CHECK(isnan(metric(p, "groups", "binding", "change")));
    /* Changes 0 -1 0 and 0 -1: -1/3 with error 1/3, -1/2 with error 1/2. */
    CHECK_NEAR(metric(q, "groups", "anaphor", "change"), -1.0 / 3, 1e-15);
    CHECK_NEAR(metric(q, "groups", "anaphor", "change_se"), 1.0 / 3, 1e-15);
    CHECK_NEAR(metric(q, "groups", "binding", "change"), -0.5, 1e-15);
    CHECK_NEAR(metric(q, "groups", "binding", "change_se"), 0.5, 1e-15);
    /* All are of one paradigm: 2 of 5, changes 0 0 -1 0 -1. */
    CHECK_NEAR(metric(q, "paradigms", "agreement", "acc"), 0.4, 1e-15);
    CHECK_NEAR(metric(q, "paradigms", "agreement", "change"), -0.4, 1e-15);
    CHECK_NEAR(metric(q, "paradigms", "agreement", "change_se"), sqrt(1.2 / 4 / 5), 1e-15);
    /* Odds 2 2 2 -2 1: mean 1; changes -1 0 -3 0 -6: mean -2, squares 26 around it. */
    CHECK_NEAR(metric(p, "metrics", "log_odds", "value"), 1, 1e-15);
    CHECK_NEAR(metric(q, "paired", "log_odds", "change"), -2, 1e-15);
    CHECK_NEAR(metric(q, "paired", "log_odds", "change_se"), sqrt(26.0 / 4 / 5), 1e-15);
    /* Samples of all items go back into answers. */
    struct rbe_answer again[5];
    CHECK(rbe_comprehension_restore(q, again, 5) == 5 && again[1].acc == 1 && !again[4].acc);
    CHECK(again[4].log_odds == -5);
    json_object_del(json_object_get(q, "samples"), "log_odds");
    CHECK(rbe_comprehension_restore(q, again, 5) == 0);
    json_decref(q);
    q = json_object();
    CHECK(!rbe_comprehension_summarise(q, &x, b, 0, 5, p));
    CHECK(rbe_comprehension_restore(q, again, 3) == 3);
    json_decref(p);
    json_decref(q);
}

static void check_blimp(void)
{
    struct rbe_items x;
    struct rbe_diag d = {""};

    CHECK(!load(&x, RBE_BLIMP,
                "{\"sentence_good\": \"She sees herself.\", \"sentence_bad\": \"She sees "
                "himself.\", \"linguistics_term\": \"anaphor\", \"UID\": \"one\"}\n"
                "{\"sentence_good\": \"A\", \"sentence_bad\": \"B\", \"linguistics_term\": "
                "\"binding\"}\n", 0, &d));
    CHECK(x.count == 2 && x.groups.count == 2 && x.item[1].group == 1);
    CHECK(x.paradigms.count == 2 && x.item[1].paradigm == 1);
    CHECK(!strcmp(x.paradigms.name[0], "one") && !strcmp(x.item[0].choice[0].context, "") &&
          !strcmp(x.item[0].choice[1].continuation, " She sees himself."));
    CHECK(x.item[0].choice[0].tokens[0] == rbe_tokenizer_eos(tokenizer));
    CHECK(reads(&x.item[0].choice[1], "", " She sees himself."));
    rbe_items_free(&x);
    check_phenomena();
}

/* Contexts and choices as they stand; what is not so is refused with its line. */
static void check_choices(void)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"{\"context\": \"a\", \"choices\": [\" b\"], \"answer\": 0}", "2 to 64"},
        {"{\"context\": \"a\", \"choices\": \" b\", \"answer\": 0}", "2 to 64"},
        {"{\"context\": \"a\", \"choices\": [\" b\", 1], \"answer\": 0}", "2 to 64"},
        {"{\"choices\": [\" b\", \" c\"], \"answer\": 0}", "\"context\""},
        {"{\"context\": [\"a\"], \"choices\": [\" b\", \" c\"], \"answer\": 0}", "\"context\""},
        {"{\"context\": \"a\", \"choices\": [\" b\", \" c\"]}", "no answer"},
        {"{\"context\": \"a\", \"choices\": [\" b\", \" c\"], \"answer\": 2}", "0 to 1"},
        {"{\"context\": \"a\", \"choices\": [\" b\", \" c\"], \"answer\": \"0\"}", "0 to 1"},
        {"{\"context\": \"a\", \"choices\": [\" b\", \" c\"], \"answer\": 0, \"group\": 1}",
         "\"group\""},
        {"{\"context\": \"a\", \"choices\"", ""}, {"[]", "\"choices\""}};
    static const char good[] = "{\"context\": \"The cup\", \"choices\": [\" fell.\", "
                               "\", too.\", \" sang.\"], \"answer\": 2, \"group\": \"cups\"}\n"
                               "{\"context\": [\"It is hot\", \"\"], \"choices\": [\" now.\", "
                               "\" now.\"], \"answer\": 1}\n";
    struct rbe_items x;
    struct rbe_diag d = {""};
    char text[400];

    CHECK(!load(&x, RBE_CHOICES, good, 0, &d));
    CHECK(x.count == 2 && x.item[0].choices == 3 && x.item[0].answer == 2 && !x.refused);
    CHECK(reads(&x.item[0].choice[1], "The cup", ", too."));
    CHECK(reads(&x.item[1].choice[0], "It is hot", " now."));
    CHECK(reads(&x.item[1].choice[1], "", " now.") && x.item[1].line == 2);
    CHECK(x.groups.count == 2 && !strcmp(x.groups.name[0], "cups") && x.item[1].group == 1);
    rbe_items_free(&x);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(text, sizeof text, "%.*s%s\n", (int)(strchr(good, '\n') + 1 - good), good,
                 bad[i].line);
        CHECK(load(&x, RBE_CHOICES, text, 0, &d) == RBE_ERR_FORMAT);
        CHECK(strstr(d.text, "line 2") && strstr(d.text, bad[i].says));
    }
    /* A choice without a token is an item that cannot be scored. */
    CHECK(!load(&x, RBE_CHOICES,
                "{\"context\": \"a\", \"choices\": [\" b\", \"\"], \"answer\": 0}\n"
                "{\"context\": \"a\", \"choices\": [\" b\", \" c\"], \"answer\": 0}\n", 0, &d));
    CHECK(x.count == 1 && x.refused == 1 && strstr(x.first_refused, "line 1"));
    rbe_items_free(&x);
}

static void check_judging(void)
{
    struct rbe_choice three[3] = {{.tokens = NULL}};
    struct rbe_item it = {.choice = three, .choices = 3, .answer = 1};
    const double log_p[3] = {-6, -8, -9};

    for (int k = 0; k < 3; k++)
        it.choice[k].characters = (uint32_t)(5 + 5 * k);        /* 5, 10, 15 */
    /* By log p the first; per character -1.2, -0.8, -0.6: the last. */
    struct rbe_answer a = rbe_judge(&it, RBE_HELLASWAG, log_p, false);
    CHECK(a.acc == 0 && a.acc_norm == 0 && a.log_p == -8);
    CHECK_NEAR(a.log_odds, -8 - log(exp(-6) + exp(-9)), 1e-12);
    it.answer = 2;
    CHECK(rbe_judge(&it, RBE_HELLASWAG, log_p, false).acc_norm == 1);
    it.answer = 0;
    CHECK(rbe_judge(&it, RBE_HELLASWAG, log_p, false).acc == 1);
    CHECK(rbe_judge(&it, RBE_LAMBADA, log_p, true).acc == 1);
    CHECK(rbe_judge(&it, RBE_LAMBADA, log_p, false).acc == 0);

    /* Two models on four items: log p -1 -2 -3 -2 and half a nat less each. */
    struct rbe_item items[4] = {{.choices = 0}};
    const struct rbe_items x = {.task = RBE_LAMBADA, .variant = "lm-eval",
                                .item = items, .count = 4};
    struct rbe_answer base[4], other[4];
    for (int i = 0; i < 4; i++) {
        base[i] = (struct rbe_answer){i < 2, 0, -(double[]){1, 2, 3, 2}[i], 0};
        other[i] = (struct rbe_answer){i < 1, 0, base[i].log_p - 0.5, 0};
    }
    json_t *p = json_pack("{s:{s:s}}", "model", "name", "base"), *q = json_object();
    CHECK(!rbe_comprehension_summarise(p, &x, base, 0, 4, NULL));
    CHECK(!rbe_comprehension_summarise(q, &x, other, 0, 4, p));
    CHECK_NEAR(metric(p, "metrics", "acc", "value"), 0.5, 1e-15);
    /* Variance of 1 1 0 0: 1/3; standard error sqrt(1/12). */
    CHECK_NEAR(metric(p, "metrics", "acc", "se"), sqrt(1.0 / 12), 1e-15);
    CHECK_NEAR(metric(p, "metrics", "perplexity", "value"), exp(2), 1e-12);
    /* Variance of the log p 2/3: error of the mean sqrt(1/6), of its exponential e^2 times. */
    CHECK_NEAR(metric(p, "metrics", "perplexity", "se"), exp(2) * sqrt(1.0 / 6), 1e-12);
    CHECK_NEAR(metric(q, "paired", "log_p", "change"), -0.5, 1e-15);
    CHECK_NEAR(metric(q, "paired", "log_p", "change_se"), 0, 1e-15);
    CHECK_NEAR(metric(q, "paired", "acc", "change"), -0.25, 1e-15);
    CHECK_NEAR(metric(q, "paired", "acc", "change_se"), 0.25, 1e-15);   /* 0 -1 0 0 */
    CHECK(json_is_true(json_object_get(q, "complete")));
    json_decref(p);
    json_decref(q);
}

static void check_repetition(void)
{
    /* 1 2 1 2 1 2 1: bigrams 12 21 12 21 12 21, 2 distinct of 6; 4-grams 1212 2121 1212
     * 2121, 2 of 4. */
    const uint32_t a[] = {1, 2, 1, 2, 1, 2, 1}, b[] = {3, 4, 5, 6}, c[] = {1, 2};
    const uint32_t *const texts[] = {a, b, c};
    const size_t n[] = {7, 4, 2};

    CHECK_NEAR(rbe_repetition(a, 7, 4), 0.5, 1e-15);
    CHECK_NEAR(rbe_repetition(b, 4, 4), 0, 1e-15);
    CHECK_NEAR(rbe_repetition(c, 2, 4), 0, 1e-15);
    CHECK_NEAR(rbe_distinct(texts, n, 1, 2), 2.0 / 6, 1e-15);
    /* Together: 12 21 34 45 56 distinct of 6 + 3 + 1. */
    CHECK_NEAR(rbe_distinct(texts, n, 3, 2), 5.0 / 10, 1e-15);
    CHECK_NEAR(rbe_distinct(texts, n, 3, 1), 6.0 / 13, 1e-15);
    CHECK(isnan(rbe_distinct(texts + 2, n + 2, 1, 4)));
}

static double at(const json_t *r, const char *key, const char *name)
{
    return rbe_number_at(json_object_get(r, key), name);
}

/* Two prompts worked out by hand: the same row from both, and of the second alone. */
static void check_generation(void)
{
    const uint32_t said[8] = {7, 7, 9, 0, 1, 2, 0, 0}, copy[8] = {7, 7, 7, 7, 1, 1, 0, 0};
    size_t three_two[2] = {3, 2}, four_two[2] = {4, 2};
    double alone[2] = {-6, -4}, after[2] = {-3, -2}, worse[2] = {-8, -10}, less[2] = {-6, -8};
    double both[2] = {1, 1}, one[2] = {0.25, 1};
    const struct rbe_judged a = {three_two, alone, after, both, NULL};
    const struct rbe_judged b = {four_two, worse, less, one, NULL};
    struct rbe_diag d = {""};

    for (size_t first = 0; first < 2; first++) {
        const size_t n = 2 - first;
        json_t *r = json_pack("{s:i, s:{s:o, s:o}}", "prompts_total", 2, "per_prompt",
                              "original", rbe_generation_samples(said, 4, &a, first, n),
                              "model", rbe_generation_samples(copy, 4, &b, first, n));
        CHECK(!rbe_generation_summarise(r, &d));
        CHECK(json_integer_value(json_object_get(r, "prompts")) == (json_int_t)n);
        CHECK(json_is_true(json_object_get(r, "complete")) == !first);
        /* 10 nats over 5 tokens against 18 over 6; the second alone: 4 over 2, 10 over 2. */
        CHECK_NEAR(at(r, "text_perplexity", "original"), exp(2), 1e-12);
        CHECK_NEAR(at(r, "text_perplexity", "model"), exp(first ? 5 : 3), 1e-10);
        CHECK_NEAR(at(r, "text_perplexity", "retained"), exp(first ? -3 : -1), 1e-12);
        /* The worst of its three parts; nothing is repeated, pairs: 1 of 1, or 2 of 4. */
        const json_t *worst = json_object_get(json_object_get(r, "fluency"), "worst");
        CHECK(!strcmp(json_string_value(worst), "text_perplexity"));
        CHECK_NEAR(at(r, "fluency", "retained"), exp(first ? -3 : -1), 1e-12);
        CHECK_NEAR(at(r, "fluency", "model"), exp(first ? 5 : 3), 1e-10);
        CHECK_NEAR(at(r, "distinct2", "retained"), first ? 1 : 0.5, 1e-12);
        CHECK_NEAR(at(r, "rep4", "retained"), 1, 1e-12);
        /* Nats a token gained: 1 and 1 against 1/2 and 1. */
        CHECK_NEAR(at(r, "coherence", "retained"), first ? 1 : 0.75, 1e-12);
        CHECK_NEAR(at(r, "relevance", "retained"), first ? 1 : 0.625, 1e-12);
        /* 7 7 9, 1 2: four of five; 7 7 7 7, 1 1: two of six. */
        CHECK_NEAR(at(r, "distinct1", "original"), first ? 1 : 0.8, 1e-12);
        CHECK_NEAR(at(r, "distinct1", "model"), first ? 0.5 : 1.0 / 3, 1e-12);
        CHECK_NEAR(at(r, "distinct2", "model"), first ? 1 : 0.5, 1e-12);
        CHECK(at(r, "rep4", "model") == 0);
        /* A text that lost its judgement. */
        json_array_remove(json_object_get(json_object_get(json_object_get(r, "per_prompt"),
                                                          "model"), "after"), 0);
        CHECK(rbe_generation_summarise(r, &d) == RBE_ERR_FORMAT);
        json_decref(r);
    }
}

/* Two prompts, all texts of one nat a token: which part of fluency is the worst. */
static void check_worst(const uint32_t *original, const uint32_t *model, size_t length,
                        size_t model_length, const char *worst, double retained)
{
    size_t n[2] = {length, length}, m[2] = {model_length, model_length};
    double alone[2] = {-(double)length, -(double)length}, one[2] = {1, 1};
    double model_alone[2] = {-(double)model_length, -(double)model_length};
    double after[2] = {-1, -1};
    const struct rbe_judged a = {n, alone, after, one, NULL};
    const struct rbe_judged b = {m, model_alone, after, one, NULL};
    struct rbe_diag d = {""};
    json_t *r = json_pack("{s:i, s:{s:o, s:o}}", "prompts_total", 2, "per_prompt", "original",
                          rbe_generation_samples(original, 8, &a, 0, 2), "model",
                          rbe_generation_samples(model, 8, &b, 0, 2));

    CHECK(!rbe_generation_summarise(r, &d));
    const json_t *fluency = json_object_get(r, "fluency");
    CHECK(!strcmp(json_string_value(json_object_get(fluency, "worst")), worst));
    CHECK_NEAR(at(r, "text_perplexity", "retained"), 1, 1e-12);
    CHECK_NEAR(at(r, "fluency", "retained"), retained, 1e-12);
    CHECK_NEAR(at(r, "fluency", "original"), at(r, worst, "original"), 1e-12);
    CHECK_NEAR(at(r, "fluency", "model"), at(r, worst, "model"), 1e-12);
    /* Both prompts alike, so that no interval is wider than a point. */
    const json_t *ci = json_object_get(fluency, "retained_ci95");
    CHECK_NEAR(json_number_value(json_array_get(ci, 0)), retained, 1e-12);
    CHECK_NEAR(json_number_value(json_array_get(ci, 1)), retained, 1e-12);
    json_decref(r);
}

/* Of fluency counts what is repeated, too, within a text and in all texts together: by the
 * perplexity alone all of these would be as good as the original. */
static void check_fluency(void)
{
    /* Different pairs: 4 of 4 against 2 of 4; groups of four: none, for the texts are short. */
    static const uint32_t apart[16] = {1, 2, 3, 0, 0, 0, 0, 0, 4, 5, 6};
    static const uint32_t alike[16] = {1, 2, 3, 0, 0, 0, 0, 0, 1, 2, 3};
    /* Pairs: 4 of 8 against 4 of 12, two thirds; groups of four that are new: all against 2 of
     * 4, half. */
    static const uint32_t same[16] = {1, 2, 3, 4, 5, 0, 0, 0, 1, 2, 3, 4, 5};
    static const uint32_t turns[16] = {1, 2, 1, 2, 1, 2, 1, 0, 3, 4, 3, 4, 3, 4, 3};

    check_worst(apart, apart, 3, 3, "text_perplexity", 1);
    check_worst(apart, alike, 3, 3, "distinct2", 0.5);
    check_worst(alike, apart, 3, 3, "distinct2", 0.5);
    check_worst(same, turns, 5, 7, "rep4", 0.5);
    check_worst(turns, same, 7, 5, "rep4", 0.5);
}

/* Two texts of 2 and 4 tokens: log p alone -4 and -8, after the prompt -3 and -4. */
static void check_retained(void)
{
    size_t length[2] = {2, 4};
    double alone[2] = {-4, -8}, after[2] = {-3, -4}, both[2] = {1, 1};
    double worse[2] = {-5, -13}, less[2] = {-4.5, -12}, one[2] = {1, 0};
    double rep[2] = {0, 0.5}, more[2] = {0.5, 0.75};
    const struct rbe_judged a = {length, alone, after, both, rep};
    const struct rbe_judged b = {length, worse, less, one, more};
    const uint32_t all[2] = {0, 1}, twice[2] = {1, 1};

    CHECK_NEAR(rbe_fluency(&a, all, 2), exp(2), 1e-12);         /* 12 nats, 6 tokens */
    CHECK_NEAR(rbe_fluency(&b, all, 2), exp(3), 1e-12);
    CHECK_NEAR(rbe_coherence(&a, all, 2), 0.75, 1e-15);         /* (1/2 + 4/4) / 2 */
    CHECK_NEAR(rbe_coherence(&b, all, 2), 0.25, 1e-15);         /* (0.5/2 + 1/4) / 2 */
    CHECK_NEAR(rbe_relevance(&a, all, 2), 1, 1e-15);
    CHECK_NEAR(rbe_relevance(&b, all, 2), 0.5, 1e-15);
    CHECK_NEAR(rbe_coherence(&a, twice, 2), 1, 1e-15);
    struct rbe_two_judged t = {&a, &b, rbe_fluency, true};
    CHECK_NEAR(rbe_retained(&t, all, 2), exp(-1), 1e-12);
    t.measure = rbe_coherence;
    t.smaller_is_better = false;
    CHECK_NEAR(rbe_retained(&t, all, 2), 1.0 / 3, 1e-12);
    t.measure = rbe_relevance;
    CHECK_NEAR(rbe_retained(&t, all, 2), 0.5, 1e-15);
    t.measure = rbe_novelty;                                    /* 3/8 over 3/4 */
    CHECK_NEAR(rbe_retained(&t, all, 2), 0.5, 1e-15);
    /* e^-1 against e^-1, e^-2 and e^-2: half of all are the others. */
    CHECK_NEAR(rbe_posterior((double[]){-901, -901, -902, -902}, 4), 0.5 / (1 + exp(-1)),
               1e-12);
    CHECK_NEAR(rbe_posterior(alone, 1), 1, 1e-15);
}

/* Less and more than the original alike. */
static void check_two_sided(void)
{
    const struct rbe_interval below = rbe_two_sided_interval((struct rbe_interval){0.5, 0.8});
    const struct rbe_interval above = rbe_two_sided_interval((struct rbe_interval){1.25, 2});
    const struct rbe_interval over = rbe_two_sided_interval((struct rbe_interval){0.8, 2});
    const struct rbe_interval none = rbe_two_sided_interval((struct rbe_interval){NAN, NAN});

    CHECK_NEAR(rbe_two_sided(0.8), 0.8, 1e-15);
    CHECK_NEAR(rbe_two_sided(1.25), 0.8, 1e-15);
    CHECK(isnan(rbe_two_sided(NAN)) && isnan(none.low) && isnan(none.high));
    CHECK_NEAR(below.low, 0.5, 1e-15);
    CHECK_NEAR(below.high, 0.8, 1e-15);
    CHECK_NEAR(above.low, 0.5, 1e-15);
    CHECK_NEAR(above.high, 0.8, 1e-15);
    CHECK_NEAR(over.low, 0.5, 1e-15);
    CHECK(over.high == 1);
}

/* Pairs 12 21 12 | 12 24 | (none): 3 of 5; without the first 2 of 2, the second 2 of 3. */
static void check_jackknife(void)
{
    const uint32_t a[] = {1, 2, 1, 2}, b[] = {1, 2, 4}, c[] = {7};
    const uint32_t *const texts[] = {a, b, c};
    const size_t n[] = {4, 3, 1};
    double without[3];

    CHECK_NEAR(rbe_distinct(texts, n, 3, 2), 0.6, 1e-15);
    CHECK(!rbe_distinct_without(without, texts, n, 3, 2));
    CHECK_NEAR(without[0], 1, 1e-15);
    CHECK_NEAR(without[1], 2.0 / 3, 1e-15);
    CHECK_NEAR(without[2], 0.6, 1e-15);
    /* Logarithms 0 and ln 4 around ln 2: error sqrt(1/2 * 2 ln(2)^2). */
    const double ones[2] = {1, 1}, four[2] = {1, 4};
    const struct rbe_interval ci = rbe_jackknife_ratio(2, ones, four, 2);
    CHECK_NEAR(ci.low, 2 * exp(-1.96 * log(2)), 1e-12);
    CHECK_NEAR(ci.high, 2 * exp(1.96 * log(2)), 1e-12);
    CHECK(isnan(rbe_jackknife_ratio(2, ones, four, 1).low));
    /* Logarithms 0, 1 and 3 times ln 2 around 4/3 of it: squares 16/9, 1/9 and 25/9; their sum
     * times 2/3 is 28/9. */
    const double three[3] = {2, 1, 4}, more[3] = {2, 2, 32}, error = sqrt(28) / 3 * log(2);
    const struct rbe_interval of_three = rbe_jackknife_ratio(0.5, three, more, 3);
    CHECK_NEAR(of_three.low, 0.5 * exp(-1.96 * error), 1e-12);
    CHECK_NEAR(of_three.high, 0.5 * exp(1.96 * error), 1e-12);
}

/* A choice longer than the context loses its left end; the scored part stays. */
static void check_cutting(void)
{
    struct rbe_choice c;
    struct rbe_diag d = {""};
    char text[400] = "";

    for (int i = 0; i < 60; i++)
        strcat(text, " word");
    CHECK(!rbe_choice_encode(&c, text, " river", tokenizer, 16, &d));
    CHECK(c.count == 17 && c.cut == 60 + c.count - c.first - 17 &&
          reads(&c, text + strlen(text) - 5 * (c.first), " river"));
    free(c.tokens);
    /* Spaces at the end of the context are scored with the continuation. */
    CHECK(!rbe_choice_encode(&c, "the  ", "river", tokenizer, 512, &d));
    CHECK(reads(&c, "the", "  river"));
    free(c.tokens);
    CHECK(!rbe_choice_encode(&c, "the\xE3\x80\x80", " river", tokenizer, 512, &d) && !c.cut);
    CHECK(reads(&c, "the", "\xE3\x80\x80 river"));
    free(c.tokens);
    /* What cannot be scored whole is not scored at all. */
    CHECK(!rbe_choice_encode(&c, "the", text, tokenizer, 60, &d) && c.first == 1);
    free(c.tokens);
    CHECK(rbe_choice_encode(&c, "the", text, tokenizer, 59, &d) == RBE_ERR_LIMIT && !c.tokens);
    CHECK(strstr(d.text, "60 tokens, the context is 59"));
    CHECK(rbe_choice_encode(&c, "the", "", tokenizer, 59, &d) == RBE_ERR_LIMIT);
    CHECK(rbe_choice_encode(&c, " \xC2\xA0", " x", tokenizer, 59, &d) == RBE_ERR_LIMIT);

    /* Items that are refused are counted, and all others answered; so are cut contexts. */
    char lines[1024];
    struct rbe_items x;
    snprintf(lines, sizeof lines, "{\"text\": \"a b\"}\n{\"text\": \"  b\"}\n{\"text\": \""
                                  "x%s\"}\n"
             "{\"text\": \"c d\"}\n", text);
    CHECK(!load_into(&x, RBE_LAMBADA, lines, 16, 0, &d));
    CHECK(x.count == 3 && x.refused == 1 && x.cut == 1);
    CHECK(!strncmp(x.first_refused, "items line 2: ", 14));
    CHECK(reads(&x.item[2].choice[0], "c", " d"));
    json_t *r = json_object();
    CHECK(!rbe_comprehension_describe(r, &x, 0));
    CHECK(rbe_number_at(r, "items_refused") == 1 && rbe_number_at(r, "items_cut") == 1 &&
          rbe_number_at(r, "items_total") == 3);
    json_decref(r);
    rbe_items_free(&x);
    snprintf(lines, sizeof lines, "A: b\n1\na\nb\n%s\nd\nA: c\n2\na\nb\nc\nd\n", text);
    CHECK(!load_into(&x, RBE_HELLASWAG, lines, 16, 0, &d));
    CHECK(x.count == 1 && x.refused == 1 && x.item[0].answer == 2);
    rbe_items_free(&x);
    CHECK(load_into(&x, RBE_HELLASWAG, lines, 16, 1, &d) == RBE_ERR_FORMAT &&
          strstr(d.text, "no item can be scored; items line 5: a continuation of 60 tokens"));
}

/* A continuation is greedy when each of its tokens is: here the second alone. */
static void check_scoring(const char *model)
{
    uint32_t tokens[3] = {rbe_tokenizer_eos(tokenizer), 5000, 0};
    struct rbe_choice both = {.tokens = tokens, .count = 3, .first = 1}, last = both;
    struct rbe_runner r;
    struct rbe_scorer s;
    struct rbe_diag d = {""};
    double log_p[2];
    bool greedy[2];

    last.first = 2;
    if (!CHECK(!rbe_runner_open(&r, model, 2, RBE_KV_DEFAULT, NULL, &d)))
        return;
    CHECK(!rbe_runner_forward(&r, 0, tokens, 2, &d) && !rbe_runner_logits(&r, 0, 2, &d));
    const float *row = r.logits + r.vocab;
    tokens[2] = rbe_argmax(row, r.vocab);
    const double first = (double)r.logits[5000] - rbe_log_sum_exp(r.logits, r.vocab);
    const double second = (double)row[tokens[2]] - rbe_log_sum_exp(row, r.vocab);
    CHECK(rbe_argmax(r.logits, r.vocab) != 5000);
    CHECK(!rbe_scorer_open(&s, &r, &d) && !rbe_score(&s, &both, &log_p[0], &greedy[0], &d) &&
          !rbe_score(&s, &last, &log_p[1], &greedy[1], &d));
    CHECK(!greedy[0] && greedy[1]);
    CHECK_NEAR(log_p[0], first + second, 1e-4);
    CHECK_NEAR(log_p[1], second, 1e-4);
    rbe_scorer_close(&s);
    rbe_runner_close(&r);
}

int main(void)
{
    char *path = rbe_data_path("rbe-mini");
    struct rbe_diag d = {""};

    rbe_cpu_init();
    if (!CHECK(path && mkdtemp(folder)) || !CHECK(!rbe_tokenizer_open(&tokenizer, path, &d)))
        return check_done();
    check_lambada();
    check_winogrande();
    check_hellaswag();
    check_capitals();
    check_sigma();
    check_blimp();
    check_choices();
    check_judging();
    check_repetition();
    check_retained();
    check_two_sided();
    check_jackknife();
    check_generation();
    check_fluency();
    check_cutting();
    check_scoring(path);
    rbe_tokenizer_close(&tokenizer);
    rmdir(folder);
    free(path);
    return check_done();
}
