/*
 * check_words.c - cutting into words, and kinds of characters, against what others say.
 *
 * SPDX-License-Identifier: MIT
 *
 * Words and ids below are those of Hugging Face's tokenizers 0.23.3 with the vocabulary that
 * ships.  ci/jobs/tokens.sh compares 100,000 texts and every character.
 */
#include <string.h>

#include "base/utf8.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/tokenizer.h"
#include "model/unicode.h"
#include "model/words.h"

enum { MAX_IDS = 24 };

/* Letters that are new in Unicode 13, 14, 15 and 16, then one of 17, which is none here. */
static const struct vector {
    const char *text;
    const char *words;          /* with '|' between */
    size_t count;
    uint32_t ids[MAX_IDS];
} vectors[] = {
    {"\360\261\267\275's",
     "\360\261\267\275|'s",
     5, {172, 109, 115, 121, 338}},
    {"\360\260\200\200's",
     "\360\260\200\200|'s",
     5, {172, 108, 222, 222, 338}},
    {"\360\220\272\200 a",
     "\360\220\272\200| a",
     5, {172, 238, 118, 222, 257}},
    {"\360\222\276\220\360\235\274\200's",
     "\360\222\276\220\360\235\274\200|'s",
     9, {172, 240, 122, 238, 172, 251, 120, 222, 338}},
    {"\360\221\274\204b's",
     "\360\221\274\204b|'s",
     6, {172, 239, 120, 226, 65, 338}},
    {"\360\261\215\220 \360\262\216\257",
     "\360\261\215\220| \360\262\216\257",
     9, {172, 109, 235, 238, 220, 172, 110, 236, 107}},
    {"\360\220\227\200's \360\220\265\220",
     "\360\220\227\200|'s| \360\220\265\220",
     10, {172, 238, 245, 222, 338, 220, 172, 238, 113, 238}},
    {"\341\262\211\341\262\212's",
     "\341\262\211\341\262\212|'s",
     7, {157, 110, 231, 157, 110, 232, 338}},
    {"\360\220\265\200\360\220\265\201 12",
     "\360\220\265\200\360\220\265\201| 12",
     9, {172, 238, 113, 222, 172, 238, 113, 223, 1105}},
    {"\360\220\245\200's",
     "\360\220\245\200'|s",
     6, {172, 238, 98, 222, 6, 82}},
    {"a\314\200's",
     "a|\314\200'|s",
     5, {64, 136, 222, 6, 82}},
    {"a\341\240\216b \341\240\216c",
     "a|\341\240\216|b| \341\240\216|c",
     10, {64, 157, 254, 236, 65, 220, 157, 254, 236, 66}},
    {"a\302\205\302\205b",
     "a|\302\205|\302\205|b",
     6, {64, 126, 227, 126, 227, 65}},
    {"a\342\200\213b",
     "a|\342\200\213|b",
     4, {64, 447, 233, 65}},
    {"x\342\200\250\342\200\251y",
     "x|\342\200\250|\342\200\251|y",
     6, {87, 447, 101, 447, 102, 88}},
    {"\343\200\200\343\200\200the",
     "\343\200\200|\343\200\200|the",
     5, {5099, 222, 5099, 222, 1169}},
    {"\302\240the \302\240 the",
     "\302\240|the| \302\240| the",
     4, {1849, 1169, 5624, 262}},
    {"don't we'll I'd you're 've 'S it''s",
     "don|'t| we|'ll| I|'d| you|'re| '|ve| '|S| it|''|s",
     16, {67, 261, 470, 356, 1183, 314, 1549, 345, 821, 705, 303, 705, 50, 340, 7061, 82}},
    {"\331\242\331\243 \342\205\247\302\275\302\262",
     "\331\242\331\243| \342\205\247\302\275\302\262",
     11, {149, 95, 149, 96, 2343, 227, 100, 126, 121, 126, 110}},
    {"\352\237\213\352\237\232's",
     "\352\237\213\352\237\232|'s",
     7, {166, 253, 233, 166, 253, 248, 338}},
    {"end  \012\012  of\011text   ",
     "end|  \012\012 | of|\011|text|   ",
     11, {437, 220, 220, 628, 220, 286, 197, 5239, 220, 220, 220}},
    {"<|endoftext|>!'s",
     "<||endoftext||>!'|s",
     10, {27, 91, 437, 1659, 5239, 91, 29, 0, 6, 82}},
    {" \344\270\255\346\226\207 \321\200\321\203\321\201\321\201\320\272\320\270\320\271's",
     " \344\270\255\346\226\207|"
     " \321\200\321\203\321\201\321\201\320\272\320\270\320\271|'s",
     23, {220, 160, 116, 255, 162, 244, 229, 220, 141, 222, 141, 225, 141, 223, 141, 223,
          140, 118, 140, 116, 140, 117, 338}},
};

static void check_words(const struct vector *v)
{
    char words[512];
    size_t to = 0, hint = 0;
    const size_t size = strlen(v->text);
    const struct rbe_pattern *gpt2 = rbe_pattern_at(RBE_PATTERN_GPT2);

    for (size_t at = 0; at < size;) {
        const size_t n = rbe_next_word(gpt2, v->text + at, size - at, &hint);
        if (!CHECK(n > 0 && n <= size - at))
            return;
        if (at)
            words[to++] = '|';
        memcpy(words + to, v->text + at, n);
        to += n;
        at += n;
    }
    words[to] = 0;
    if (!CHECK(!strcmp(words, v->words)))
        printf("     '%s', want '%s'\n", words, v->words);
}

static void check_ids(const struct rbe_tokenizer *t, const struct vector *v)
{
    struct rbe_diag d = {""};
    uint32_t *ids = NULL;
    size_t n = 0;

    CHECK(!rbe_tokenizer_encode(t, v->text, strlen(v->text), false, &ids, &n, &d));
    if (!CHECK(n == v->count && !memcmp(ids, v->ids, n * sizeof *ids)))
        printf("     '%s': %zu ids, want %zu\n", v->text, n, v->count);
    free(ids);
}

/* How many characters of each kind Unicode 16.0 has. */
static void check_kinds(struct check_rng *rng)
{
    size_t letters = 0, numbers = 0, spaces = 0, others = 0, hint = 0;

    for (uint32_t c = 0; c < 0x110000; c++)
        switch (rbe_unicode_kind(c, &hint)) {
        case RBE_LETTER: letters++; break;
        case RBE_NUMBER: numbers++; break;
        case RBE_SPACE: spaces++; break;
        case RBE_OTHER: others++; break;
        }
    CHECK(letters == 141028 && numbers == 1911 && spaces == 25 && others == 971148);
    /* The hint is only one. */
    for (int i = 0; i < 2000; i++) {
        const uint32_t c = check_below(rng, 0x110000);
        size_t fresh = 0;
        CHECK(rbe_unicode_kind(c, &hint) == rbe_unicode_kind(c, &fresh));
    }
}

/* What the words say of ASCII is what the table says. */
static void check_ascii(void)
{
    static const struct {
        char before;
        unsigned kind;
    } runs[] = {{'a', RBE_LETTER}, {'1', RBE_NUMBER}, {'!', RBE_OTHER}, {'\n', RBE_SPACE}};
    size_t hint = 0;

    for (unsigned c = 0; c < 128; c++)
        for (size_t i = 0; i < 4; i++) {
            const char text[] = {runs[i].before, (char)c};
            const size_t n = rbe_next_word(rbe_pattern_at(RBE_PATTERN_GPT2), text, 2,
                                           &hint);
            if (!CHECK(n == (rbe_unicode_kind(c, &hint) == runs[i].kind ? 2 : 1)))
                printf("     0x%02X after '%c'\n", c, runs[i].before);
        }
}

/* Every code point's UTF-8, and what is none. */
static void check_utf8(void)
{
    static const char *const bad[] = {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(",
                                      "\xE0\x80\x80", "\xE2\x82", "\xED\xA0\x80",
                                      "\xF0\x80\x80\x80", "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80", "\xFE", "\xFF"};
    unsigned wrong = 0;
    uint32_t code;
    size_t hint = 0;

    for (uint32_t c = 0; c < 0x110000; c++) {
        unsigned char s[4] = {(unsigned char)c};
        size_t n = 1;
        if (c >= 0x80) {
            n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
            for (size_t i = 0; i < n; i++)
                s[i] = (unsigned char)(0x80 | (c >> 6 * (n - 1 - i) & 0x3F));
            s[0] = (unsigned char)(0xF00 >> n | c >> 6 * (n - 1));
        }
        const bool surrogate = c >= 0xD800 && c < 0xE000;
        const size_t got = rbe_utf8_char((const char *)s, n, &code);
        wrong += surrogate ? got != 0 : got != n || code != c;
        wrong += n > 1 && rbe_utf8_char((const char *)s, n - 1, &code) != 0;
    }
    CHECK(wrong == 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!rbe_utf8_char(bad[i], strlen(bad[i]), &code));
        CHECK(!rbe_next_word(rbe_pattern_at(RBE_PATTERN_GPT2), bad[i], strlen(bad[i]), &hint));
    }
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    char *folder = rbe_data_path("rbe-mini");
    struct rbe_tokenizer *t = NULL;
    struct rbe_diag d = {""};

    if (!CHECK(folder && !rbe_tokenizer_open(&t, folder, &d)))
        printf("     %s\n", d.text);
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        check_words(&vectors[i]);
        if (t)
            check_ids(t, &vectors[i]);
    }
    check_kinds(&rng);
    check_ascii();
    check_utf8();
    rbe_tokenizer_close(&t);
    free(folder);
    return check_done();
}
