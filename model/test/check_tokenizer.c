/*
 * check_tokenizer.c - exact ids against the published ones, a slow twin, and bad files.
 *
 * SPDX-License-Identifier: MIT
 *
 * The shipped vocabulary is always checked: the ids of its reference prompts, its token
 * counts of WikiText, decoding back, and a twin that merges as GPT-2's own code does, one
 * rank at a time.  The full vocabulary is checked where ../shared has it.
 */
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/utf8.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/tokenizer.h"
#include "model/words.h"
#include "rbe/gguf.h"

static char dir[] = "/tmp/rbe-check-tok-XXXXXX";

/* Encodes, checks that decoding gives the text back, returns the number of ids. */
static size_t encode(const struct rbe_tokenizer *t, const char *text, size_t size,
                     bool special, uint32_t **ids)
{
    struct rbe_diag d = {""};
    size_t count, at = 0, n;
    bool same = true;

    if (!CHECK(rbe_tokenizer_encode(t, text, size, special, ids, &count, &d) == RBE_OK)) {
        printf("     %s\n", d.text);
        return 0;
    }
    for (size_t i = 0; same && i < count; i++) {
        const char *b = rbe_tokenizer_bytes(t, (*ids)[i], &n);
        same = b && n && at + n <= size && !memcmp(b, text + at, n);
        at += n;
    }
    CHECK(same && at == size);
    char *back = rbe_tokenizer_text(t, *ids, count, &n);
    CHECK(back && n == size && !memcmp(back, text, size));
    free(back);
    return count;
}

static void expect(const struct rbe_tokenizer *t, const char *text, size_t size, bool special,
                   const json_t *want)
{
    uint32_t *ids;
    const size_t n = encode(t, text, size, special, &ids);
    bool same = n == json_array_size(want);

    for (size_t i = 0; same && i < n; i++)
        same = ids[i] == (uint32_t)json_integer_value(json_array_get(want, i));
    if (!CHECK(same))
        printf("     '%s'\n", text);
    free(ids);
}

/* As data sets of rows have it: blank lines become empty rows, rows keep their newline and
 * are joined by two more (evaluation.md 2, P1). */
static char *join_rows(const char *raw, size_t size, size_t *out_size)
{
    char *out = malloc(3 * size + 1);
    size_t n = 0;

    for (const char *p = raw, *end = raw + size; p < end;) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        const char *next = eol ? eol + 1 : end;
        if (p != raw) {
            out[n++] = '\n';
            out[n++] = '\n';
        }
        if (strspn(p, " \n") < (size_t)(next - p)) {
            memcpy(out + n, p, (size_t)(next - p));
            n += (size_t)(next - p);
        }
        p = next;
    }
    *out_size = n;
    return out;
}

static void check_counts(const struct rbe_tokenizer *t, const char *path, size_t joined,
                         size_t raw, const char *label)
{
    struct rbe_diag d = {""};
    uint32_t *ids = NULL;
    size_t size, n;
    char *text;

    if (!CHECK(!rbe_read_file(&text, &size, path, &d)))
        return;
    char *rows = join_rows(text, size, &n);
    const double t0 = rbe_now();
    size_t got = encode(t, rows, n, false, &ids);
    if (!CHECK(got == joined))
        printf("     %s: %zu tokens, want %zu\n", label, got, joined);
    free(ids);
    if (raw) {          /* without the last newline */
        got = encode(t, text, size - 1, false, &ids);
        if (!CHECK(got == raw))
            printf("     %s raw: %zu tokens, want %zu\n", label, got, raw);
        free(ids);
    }
    printf("%s: %zu tokens, %.3f s\n", label, joined, rbe_now() - t0);
    free(rows);
    free(text);
}

/* --- a twin that knows nothing of heaps or caches ----------------------------------------- */

/* Ranks by text: the twin reads merges.txt on its own and works on strings. */
struct twin {
    json_t *rank;               /* "A B" -> line */
};

static size_t twin_merge(const struct twin *w, char parts[][16], size_t n)
{
    char key[1100];

    for (;;) {
        json_int_t best = INT32_MAX;
        size_t at = 0, k = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            snprintf(key, sizeof key, "%s %s", parts[i], parts[i + 1]);
            const json_t *r = json_object_get(w->rank, key);
            if (r && json_integer_value(r) < best) {
                best = json_integer_value(r);
                at = i;
            }
        }
        if (best == INT32_MAX)
            return n;
        char a[16], b[16];
        strcpy(a, parts[at]);
        strcpy(b, parts[at + 1]);
        for (size_t i = 0; i < n; i++, k++) {
            const bool both = i + 1 < n && !strcmp(parts[i], a) && !strcmp(parts[i + 1], b);
            if (k != i)
                strcpy(parts[k], parts[i]);
            if (both) {
                strcat(parts[k], b);
                i++;
            }
        }
        n = k;
    }
}

/* Random words of few letters, which merge a lot, against the twin. */
static void check_twin(const struct rbe_tokenizer *t, const char *folder,
                       struct check_rng *rng)
{
    struct twin w = {json_object()};
    char *path = rbe_path_join(folder, "merges.txt"), line[256];
    FILE *f = fopen(path, "r");
    json_int_t number = 0;

    if (!CHECK(f != NULL))
        return;
    while (fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "#version", 8))
            json_object_set_new(w.rank, line, json_integer(++number));
    }
    fclose(f);
    free(path);
    static const char letters[] = "etaonisrh";
    for (int i = 0; i < 500; i++) {
        char word[32], parts[32][16];
        uint32_t *ids;
        const size_t n = 1 + check_below(rng, 12);
        for (size_t k = 0; k < n; k++) {
            word[k] = letters[check_below(rng, sizeof letters - 1)];
            parts[k][0] = word[k];
            parts[k][1] = 0;
        }
        const size_t want = twin_merge(&w, parts, n), got = encode(t, word, n, false, &ids);
        bool same = want == got;
        for (size_t k = 0; same && k < got; k++) {
            size_t len;
            const char *b = rbe_tokenizer_bytes(t, ids[k], &len);
            same = len == strlen(parts[k]) && !memcmp(b, parts[k], len);
        }
        if (!CHECK(same))
            printf("     %.*s\n", (int)n, word);
        free(ids);
    }
    json_decref(w.rank);
}

/* --- texts nobody would write ------------------------------------------------------------- */

static void check_odd_texts(const struct rbe_tokenizer *t, struct check_rng *rng)
{
    struct rbe_diag d;
    uint32_t *ids;
    size_t n;

    CHECK(!rbe_tokenizer_encode(t, "", 0, false, &ids, &n, &d) && n == 0);
    free(ids);
    static const struct {
        const char *text;
        size_t size;
        const char *where;
    } bad[] = {
        {"abc\xff", 4, "byte 3"},          {"\xc3", 1, "byte 0"},
        {"a\xc3(", 3, "byte 1"},           {"ab\xed\xa0\x80", 5, "byte 2"},
        {"\xf4\x90\x80\x80", 4, "byte 0"}, {"x\xc0\x80", 3, "byte 1"},
        {"12345\xe2\x82", 7, "byte 5"},
        {"<|endoftext|>\x97" "abc", 17, "byte 13"},
        {"a<|endoftext|>\xbf", 15, "byte 14"},
        {"a\xc3<|endoftext|>b", 16, "byte 1"},
        {"<|endoftext|><|endoftext|> \xe2\x80", 29, "byte 27"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        for (int special = 0; special < 2; special++) {
            CHECK(rbe_tokenizer_encode(t, bad[i].text, bad[i].size, special, &ids, &n, &d) ==
                  RBE_ERR_FORMAT);
            CHECK(!ids && strstr(d.text, bad[i].where));
        }

    /* NUL bytes are text. */
    n = encode(t, "a\0b\0", 4, false, &ids);
    CHECK(n == 4);
    free(ids);

    /* One long word must not take quadratic time: of 16 times the text the processor's time,
     * which other programs' load hardly changes, is 16 times as long, or 16 * 16.  Half of that
     * second factor is let through: logarithms and caches take up to 2.5 (Zen 4). */
    enum { SHORT = 1 << 14, TIMES = 16 };
    char *text = malloc(SHORT * TIMES);
    for (int kind = 0; kind < 3; kind++) {
        double s[2];
        for (size_t i = 0; i < SHORT * TIMES; i++)
            text[i] = kind == 0 ? 'a' : kind == 1 ? ' ' : (char)('a' + check_below(rng, 26));
        for (int k = 0; k < 2; k++) {
            const clock_t begun = clock();
            encode(t, text, k ? SHORT * TIMES : SHORT, false, &ids);
            s[k] = (double)(clock() - begun) / CLOCKS_PER_SEC;
            free(ids);
        }
        if (!CHECK(s[1] <= TIMES / 2 * TIMES * s[0]))
            printf("     '%c...': %.6f s, %d times as long %.6f s\n", text[0], s[0],
                   (int)TIMES, s[1]);
    }

    /* Random characters of every length decode back. */
    for (int i = 0; i < 200; i++) {
        size_t size = 0;
        while (size < 300) {
            uint32_t c = check_below(rng, 4) ? check_below(rng, 0x80)
                                             : check_below(rng, 0x110000);
            if (c >= 0xD800 && c < 0xE000)
                c = ' ';
            if (c < 0x80) {
                text[size++] = (char)c;
            } else if (c < 0x800) {
                text[size++] = (char)(0xC0 | c >> 6);
                text[size++] = (char)(0x80 | (c & 63));
            } else if (c < 0x10000) {
                text[size++] = (char)(0xE0 | c >> 12);
                text[size++] = (char)(0x80 | (c >> 6 & 63));
                text[size++] = (char)(0x80 | (c & 63));
            } else {
                text[size++] = (char)(0xF0 | c >> 18);
                text[size++] = (char)(0x80 | (c >> 12 & 63));
                text[size++] = (char)(0x80 | (c >> 6 & 63));
                text[size++] = (char)(0x80 | (c & 63));
            }
        }
        encode(t, text, size, i & 1, &ids);
        free(ids);
    }
    free(text);
}

static void check_special(const struct rbe_tokenizer *t)
{
    static const char text[] = "a<|endoftext|> b<|endoftext|><|endoftext|>";
    const uint32_t eos = rbe_tokenizer_eos(t);
    uint32_t *ids;

    size_t n = encode(t, text, sizeof text - 1, true, &ids);
    CHECK(n == 5 && ids[1] == eos && ids[3] == eos && ids[4] == eos && ids[0] != eos);
    CHECK(!rbe_tokenizer_text(t, (const uint32_t[]){8192}, 1, NULL));
    free(ids);
    n = encode(t, text, sizeof text - 1, false, &ids);
    /* Half a character is replaced. */
    uint32_t *half;
    CHECK(encode(t, "\xF0\x9F\x98\x80", 4, false, &half) > 1);
    char *cut = rbe_tokenizer_text(t, half, 1, NULL);
    CHECK(cut && strstr(cut, "\xEF\xBF\xBD") == cut);
    free(cut);
    free(half);
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= ids[i] == eos;
    CHECK(n > 5 && !any);
    free(ids);
}

/* --- folders that are not what they claim ------------------------------------------------- */

static void put(const char *name, const char *bytes, size_t size)
{
    char *path = rbe_path_join(dir, name);
    FILE *f = fopen(path, "wb");

    if (f) {
        fwrite(bytes, 1, size, f);
        fclose(f);
    }
    free(path);
}

static void refuse(const char *vocab, size_t vocab_size, const char *merges,
                   size_t merges_size, const char *reason, int line)
{
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};

    put("vocab.json", vocab, vocab_size);
    put("merges.txt", merges, merges_size);
    const enum rbe_status err = rbe_tokenizer_open(&t, dir, &d);
    if (!check_that(err && !t && strstr(d.text, dir) && strstr(d.text, reason), __FILE__, line,
                    "is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    rbe_tokenizer_close(&t);
}

static void check_bad_files(const char *folder, struct check_rng *rng)
{
    char *vocab, *merges, *path = rbe_path_join(folder, "vocab.json");
    size_t vn, mn;
    struct rbe_diag d;

    CHECK(!rbe_read_file(&vocab, &vn, path, &d));
    free(path);
    path = rbe_path_join(folder, "merges.txt");
    CHECK(!rbe_read_file(&merges, &mn, path, &d));
    free(path);

    refuse("", 0, merges, mn, "JSON", __LINE__);
    refuse("[]", 2, merges, mn, "tokens", __LINE__);
    refuse("{\"a\":0}", 7, merges, mn, "tokens", __LINE__);
    refuse(vocab, vn - 2, merges, mn, "JSON", __LINE__);
    refuse(vocab, vn, "", 0, "no merges", __LINE__);
    refuse(vocab, vn, "#version: 0.2\n", 14, "no merges", __LINE__);
    refuse(vocab, vn, "a\n", 2, "line 1 is not two", __LINE__);
    refuse(vocab, vn, "i n\na \n", 7, "line 2 is not two", __LINE__);
    refuse(vocab, vn, "a b c\n", 6, "line 1 is not two", __LINE__);
    refuse(vocab, vn, "i n\nq zzzz\n", 11, "line 2 makes a token", __LINE__);
    refuse(vocab, vn, "i n\ni n\n", 8, "line 2 repeats", __LINE__);

    /* An id twice, one too large, a lost byte, a lost end of text. */
    char *v = strdup(vocab);
    char *at = strstr(v, "\"#\": 2");
    at[5] = '1';
    refuse(v, vn, merges, mn, "each once", __LINE__);
    memcpy(v, vocab, vn);
    memcpy(strstr(v, ": 8191"), ": 9191", 6);
    refuse(v, vn, merges, mn, "each once", __LINE__);
    memcpy(v, vocab, vn);
    strstr(v, "<|endoftext|>")[2] = 'E';
    refuse(v, vn, merges, mn, "is not in it", __LINE__);
    memcpy(v, vocab, vn);
    memcpy(strstr(v, "\"#\": 2"), "\"\t\": 2", 6);
    refuse(v, vn, merges, mn, "JSON", __LINE__);
    free(v);

    /* Any damage must leave either a tokenizer or a reason. */
    struct rbe_tokenizer *t;
    put("vocab.json", vocab, vn);
    for (int i = 0; i < 60; i++) {
        char *m = malloc(mn + 1);
        memcpy(m, merges, mn + 1);
        for (int k = 0; k < 3; k++)
            m[check_below(rng, (uint32_t)mn)] = (char)check_next(rng);
        put("merges.txt", m, i % 3 ? mn : check_below(rng, (uint32_t)mn));
        free(m);
        const enum rbe_status err = rbe_tokenizer_open(&t, dir, &d);
        CHECK(err ? !t && strstr(d.text, dir) != NULL : t != NULL);
        rbe_tokenizer_close(&t);
    }
    CHECK(rbe_tokenizer_open(&t, "/nonexistent", &d) == RBE_ERR_IO && !t);
    CHECK(strstr(d.text, "/nonexistent"));
    free(vocab);
    free(merges);
    const char *const names[] = {"vocab.json", "merges.txt"};
    for (int i = 0; i < 2; i++) {
        path = rbe_path_join(dir, names[i]);
        unlink(path);
        free(path);
    }
}

/* --- tokenizer.json and added tokens ------------------------------------------------------ */

static void remove_file(const char *name)
{
    char *path = rbe_path_join(dir, name);

    unlink(path);
    free(path);
}

static void put_json(const char *name, const json_t *j)
{
    char *text = json_dumps(j, JSON_COMPACT);

    put(name, text, strlen(text));
    free(text);
}

/* The folder's vocab.json and merges.txt as a tokenizer.json; merges as strings or as pairs. */
static json_t *fast_form(const char *folder, bool pairs)
{
    char *path = rbe_path_join(folder, "vocab.json"), line[256], a[128], b[128];
    json_t *vocab = json_load_file(path, 0, NULL), *merges = json_array();

    free(path);
    path = rbe_path_join(folder, "merges.txt");
    FILE *f = fopen(path, "r");
    free(path);
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "#version", 8) && sscanf(line, "%127s %127s", a, b) == 2)
            json_array_append_new(merges, pairs ? json_pack("[s, s]", a, b)
                                                : json_sprintf("%s %s", a, b));
    if (f)
        fclose(f);
    return json_pack(
        "{s:s, s:n, s:[{s:i, s:s, s:b, s:b, s:b, s:b, s:b}], s:n, s:{s:s, s:b, s:b},"
        " s:{s:s, s:[{s:{s:s, s:i}}]}, s:{s:s}, s:{s:s, s:n, s:s, s:b, s:o, s:o}}",
        "version", "1.0", "truncation", "added_tokens", "id", 8191, "content", "<|endoftext|>",
        "single_word", 0, "lstrip", 0, "rstrip", 0, "normalized", 0, "special", 1, "normalizer",
        "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1,
        "post_processor", "type", "TemplateProcessing", "single", "Sequence", "id", "A",
        "type_id", 0, "decoder", "type", "ByteLevel", "model", "type", "BPE", "dropout",
        "end_of_word_suffix", "", "ignore_merges", 0, "vocab", vocab, "merges", merges);
}

static void add_token(json_t *fast, int id, const char *content, int special, int normalized)
{
    json_array_append_new(json_object_get(fast, "added_tokens"),
                          json_pack("{s:i, s:s, s:b, s:b}", "id", id, "content", content,
                                    "special", special, "normalized", normalized));
}

/* The ids of both are the same for a piece of the text that ships. */
static void same_ids(const struct rbe_tokenizer *a, const struct rbe_tokenizer *b)
{
    enum { PIECE = 20000 };
    char *path = rbe_data_path("wiki.test.raw"), *text;
    struct rbe_diag d;
    uint32_t *x, *y;
    size_t size, n, m;

    if (!CHECK(path && !rbe_read_file(&text, &size, path, &d) && size > PIECE))
        return;
    free(path);
    for (size = PIECE; text[size - 1] != '\n';)
        size--;
    n = encode(a, text, size, false, &x);
    m = encode(b, text, size, false, &y);
    CHECK(n > PIECE / 8 && n == m && !memcmp(x, y, n * sizeof *x));
    free(x);
    free(y);
    free(text);
}

static struct rbe_tokenizer *open_dir(void)
{
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};

    if (!CHECK(!rbe_tokenizer_open(&t, dir, &d)))
        printf("     %s\n", d.text);
    return t;
}

static void expect_ids(const struct rbe_tokenizer *t, const char *text, bool special,
                       const uint32_t *want, size_t count)
{
    uint32_t *ids;
    const size_t n = encode(t, text, strlen(text), special, &ids);

    if (!CHECK(n == count && (!n || !memcmp(ids, want, n * sizeof *ids)))) {
        printf("     '%s':", text);
        for (size_t i = 0; i < n; i++)
            printf(" %u", ids[i]);
        putchar('\n');
    }
    free(ids);
}

/* Texts whose ids are those of another one. */
static size_t plain_ids(const struct rbe_tokenizer *t, const char *text, bool special,
                        uint32_t **ids)
{
    struct rbe_diag d;
    size_t n;

    if (!CHECK(!rbe_tokenizer_encode(t, text, strlen(text), special, ids, &n, &d)))
        return 0;
    return n;
}

/* The ids of `text` are those of `form`, which is in the form NFC. */
static void same_form(const struct rbe_tokenizer *t, const char *text, const char *form)
{
    uint32_t *ids, *want;
    const size_t n = plain_ids(t, text, false, &ids), m = plain_ids(t, form, false, &want);

    CHECK(n > 0 && strcmp(text, form) && n == m && !memcmp(ids, want, n * sizeof *ids));
    free(ids);
    free(want);
}

/* Canonical equivalents (Unicode Standard Annex 15), in a tokenizer with the normalizer. */
static void check_normal(const struct rbe_tokenizer *t, uint32_t eos)
{
    static const char stroked[] = "<|endoftext|>\xCC\xB8";       /* > and U+0338 compose */
    uint32_t *ids, *stroke;
    struct rbe_diag d = {""};

    same_form(t, "cafe\xCC\x81s", "caf\xC3\xA9s");
    same_form(t, "\xE2\x84\xAB", "\xC3\x85");                     /* the angstrom sign */
    same_form(t, "a\xCC\x82\xCC\xA3 b", "\xE1\xBA\xAD b");        /* marks in another order */
    same_form(t, "\xE1\x84\x92\xE1\x85\xA1\xE1\x86\xAB", "\xED\x95\x9C");       /* Hangul */
    same_form(t, stroked, "<|endoftext|\xE2\x89\xAF");
    /* A special token is found first, and ends what is composed. */
    const size_t n = plain_ids(t, stroked, true, &ids);
    const size_t m = plain_ids(t, stroked + 13, true, &stroke);
    CHECK(n == m + 1 && ids[0] == eos && !memcmp(ids + 1, stroke, m * sizeof *ids));
    free(ids);
    free(stroke);
    CHECK(rbe_tokenizer_encode(t, "e\xCC\x81\xFF", 4, false, &ids, (size_t[]){0}, &d) ==
              RBE_ERR_FORMAT && strstr(d.text, "not valid UTF-8 at byte 3"));
}

/* Wants the reason, the file and no tokenizer. */
static void refuse_fast(json_t *fast, const char *reason, int line)
{
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};

    put_json("tokenizer.json", fast);
    const enum rbe_status err = rbe_tokenizer_open(&t, dir, &d);
    if (!check_that(err && !t && strstr(d.text, "tokenizer.json: ") && strstr(d.text, reason),
                    __FILE__, line, "is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    rbe_tokenizer_close(&t);
    json_decref(fast);
}

/* A good one with one member changed; `in` is where, or NULL for the top. */
static json_t *changed(const json_t *good, const char *in, const char *key, json_t *value)
{
    json_t *fast = json_deep_copy(good);

    json_object_set_new(in ? json_object_get(fast, in) : fast, key, value);
    return fast;
}

static void check_bad_fast(const json_t *good)
{
    static const char *const flags[] = {"single_word", "lstrip", "rstrip"};
    json_t *j;

    put("tokenizer.json", "{", 1);
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    CHECK(rbe_tokenizer_open(&t, dir, &d) == RBE_ERR_FORMAT && strstr(d.text, "JSON"));
    refuse_fast(json_array(), "not a JSON object", __LINE__);
    refuse_fast(json_object(), "model is not an object", __LINE__);
    refuse_fast(changed(good, NULL, "normalizer", json_pack("{s:s}", "type", "NFKC")),
                "normalizer NFKC is not supported; only NFC is", __LINE__);
    refuse_fast(changed(good, NULL, "pre_tokenizer", json_null()), "no pre_tokenizer",
                __LINE__);
    refuse_fast(changed(good, NULL, "pre_tokenizer", json_pack("{s:s}", "type", "Digits")),
                "pre_tokenizer Digits", __LINE__);
    refuse_fast(changed(good, NULL, "pre_tokenizer", json_string("ByteLevel")),
                "without a type", __LINE__);
    refuse_fast(changed(good, "pre_tokenizer", "add_prefix_space", json_true()),
                "add_prefix_space", __LINE__);
    refuse_fast(changed(good, "pre_tokenizer", "use_regex", json_false()), "use_regex",
                __LINE__);
    refuse_fast(changed(good, "post_processor", "single",
                        json_pack("[{s:{s:s}}]", "SpecialToken", "id", "<s>")),
                "post_processor TemplateProcessing", __LINE__);
    refuse_fast(changed(good, "post_processor", "type", json_string("BertProcessing")),
                "post_processor BertProcessing", __LINE__);
    refuse_fast(changed(good, "decoder", "type", json_string("WordPiece")),
                "decoder WordPiece", __LINE__);
    refuse_fast(changed(good, "model", "type", json_string("Unigram")), "model Unigram",
                __LINE__);
    refuse_fast(changed(good, "model", "dropout", json_real(0.1)), "dropout", __LINE__);
    refuse_fast(changed(good, "model", "byte_fallback", json_true()), "byte_fallback",
                __LINE__);
    refuse_fast(changed(good, "model", "ignore_merges", json_integer(1)), "ignore_merges",
                __LINE__);
    refuse_fast(changed(good, "model", "end_of_word_suffix", json_string("</w>")),
                "end_of_word_suffix", __LINE__);
    refuse_fast(changed(good, "model", "continuing_subword_prefix", json_string("##")),
                "continuing_subword_prefix", __LINE__);
    refuse_fast(changed(good, "model", "vocab", json_integer(3)), "not an object of tokens",
                __LINE__);
    refuse_fast(changed(good, "model", "vocab", json_object()), "1 tokens", __LINE__);
    refuse_fast(changed(good, "model", "merges", json_object()), "merges is not an array",
                __LINE__);
    refuse_fast(changed(good, "model", "merges", json_array()), "no merges", __LINE__);
    refuse_fast(changed(good, "model", "merges", json_pack("[s, i]", "i n", 3)),
                "merge 2 is not two", __LINE__);
    refuse_fast(changed(good, "model", "merges", json_pack("[[s, s, s]]", "i", "n", "g")),
                "merge 1 is not two", __LINE__);
    refuse_fast(changed(good, "model", "merges", json_pack("[[s, s], s]", "i", "n", "i n")),
                "merge 2 repeats", __LINE__);
    refuse_fast(changed(good, "model", "merges", json_pack("[[s, s]]", "i", "zzzz")),
                "merge 1 makes a token", __LINE__);
    refuse_fast(changed(good, NULL, "added_tokens", json_string("x")),
                "added_tokens is not an array", __LINE__);
    for (size_t i = 0; i < 3; i++) {
        j = json_deep_copy(good);
        add_token(j, 8192, "<|pad|>", 1, 0);
        json_object_set_new(json_array_get(json_object_get(j, "added_tokens"), 1), flags[i],
                            json_true());
        refuse_fast(j, flags[i], __LINE__);
    }
    static const struct {
        int id;
        const char *content, *reason;
    } tokens[] = {{8193, "<|pad|>", "next free"}, {5, "<|pad|>", "another token's"},
                  {-1, "<|pad|>", "next free"},   {8192, "", "no content"},
                  {8192, "the", "in the vocabulary"}};
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        j = json_deep_copy(good);
        add_token(j, tokens[i].id, tokens[i].content, 1, 0);
        refuse_fast(j, tokens[i].reason, __LINE__);
    }
    j = json_deep_copy(good);
    json_array_append_new(json_object_get(j, "added_tokens"),
                          json_pack("{s:s, s:s}", "id", "8192", "content", "<|pad|>"));
    refuse_fast(j, "not an integer", __LINE__);
    j = changed(good, NULL, "normalizer", json_pack("{s:s}", "type", "NFC"));
    add_token(j, 8192, "e\xCC\x81", 0, 1);
    refuse_fast(j, "added token 8192 is not of the form NFC", __LINE__);
    remove_file("tokenizer.json");
}

static void check_fast(const struct rbe_tokenizer *plain, const char *folder)
{
    struct rbe_tokenizer *t;
    json_t *good = NULL, *j;

    for (int pairs = 0; pairs < 2; pairs++) {
        json_decref(good);
        good = fast_form(folder, pairs);
        put_json("tokenizer.json", good);
        t = open_dir();
        if (t) {
            CHECK(rbe_tokenizer_vocab(t) == 8192 && rbe_tokenizer_eos(t) == 8191);
            same_ids(plain, t);
            CHECK(!rbe_tokenizer_alike(plain, t, true, NULL));
        }
        rbe_tokenizer_close(&t);
    }
    check_bad_fast(good);
    j = changed(good, NULL, "normalizer", json_pack("{s:s}", "type", "NFC"));
    add_token(j, 8192, "x\xC3\xA9", 0, 1);
    put_json("tokenizer.json", j);
    json_decref(j);
    if ((t = open_dir())) {
        check_normal(t, 8191);
        same_form(t, "xe\xCC\x81", "x\xC3\xA9");
        expect_ids(t, "x\xC3\xA9", false, (const uint32_t[]){8192}, 1);
    }
    rbe_tokenizer_close(&t);

    /* Added tokens: the longest that begins first, special ones only when asked for, and
     * "normalized" ones between the others. */
    add_token(good, 8192, "<|pad|>", 1, 0);
    add_token(good, 8193, "<|pad|>x", 1, 0);
    add_token(good, 8194, "the pad|>", 0, 1);
    add_token(good, 8195, "\xE4\xB8\xAD", 0, 0);
    put_json("tokenizer.json", good);
    json_decref(good);
    if ((t = open_dir())) {
        const uint32_t *no = NULL;
        size_t n;
        CHECK(rbe_tokenizer_vocab(t) == 8196 && rbe_tokenizer_eos(t) == 8191);
        const char *bytes = rbe_tokenizer_bytes(t, 8195, &n);
        CHECK(n == 3 && !memcmp(bytes, "\xE4\xB8\xAD", 3));
        expect_ids(t, "", true, no, 0);
        expect_ids(t, "<|pad|><|pad|>x<|pad|><|endoftext|>", true,
                   (const uint32_t[]){8192, 8193, 8192, 8191}, 4);
        expect_ids(t, "the pad|>", false, (const uint32_t[]){8194}, 1);
        expect_ids(t, "\xE4\xB8\xADthe pad|>", true, (const uint32_t[]){8195, 8194}, 2);
        expect_ids(t, "the pad|>\xE4\xB8\xAD", false, (const uint32_t[]){8194, 8195}, 2);
        expect_ids(t, "<|pad|>", false, (const uint32_t[]){27, 91, 79, 324, 91, 29}, 6);
        rbe_tokenizer_parse_special(t);
        expect_ids(t, "<|pad|>", false, (const uint32_t[]){8192}, 1);
    }
    rbe_tokenizer_close(&t);
    remove_file("tokenizer.json");
}

/* added_tokens.json, byte order marks, and which file comes first. */
static void check_plain(const struct rbe_tokenizer *plain, const char *folder)
{
    static const char bom[] = "\xEF\xBB\xBF";
    static const char *const names[] = {"vocab.json", "merges.txt"};
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    char *text, *path;
    size_t size;

    for (int i = 0; i < 2; i++) {
        path = rbe_path_join(folder, names[i]);
        CHECK(!rbe_read_file(&text, &size, path, &d));
        free(path);
        char *marked = malloc(size + 3);
        memcpy(marked, bom, 3);
        memcpy(marked + 3, text, size);
        put(names[i], marked, size + 3);
        free(marked);
        free(text);
    }
    t = open_dir();
    if (t)
        same_ids(plain, t);
    rbe_tokenizer_close(&t);

    static const char added[] = "\xEF\xBB\xBF{\"<|pad|>\": 8192, \"[x]\": 8193}";
    put("added_tokens.json", added, sizeof added - 1);
    if ((t = open_dir())) {
        CHECK(rbe_tokenizer_vocab(t) == 8194);
        expect_ids(t, "<|pad|>[x]", true, (const uint32_t[]){8192, 8193}, 2);
        same_ids(plain, t);
    }
    rbe_tokenizer_close(&t);
    static const struct {
        const char *text, *reason;
    } bad[] = {{"[]", "not an object"}, {"{\"a b\": \"8192\"}", "not an integer"},
               {"{\"a b\": 8193}", "next free"}, {"{\"a b\": 3}", "another token's"},
               {"{", "JSON"}, {"{\"the\": 8192}", "in the vocabulary"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put("added_tokens.json", bad[i].text, strlen(bad[i].text));
        CHECK(rbe_tokenizer_open(&t, dir, &d) && !t);
        if (!CHECK(strstr(d.text, "added_tokens.json: ") && strstr(d.text, bad[i].reason)))
            printf("     '%s', want '%s'\n", d.text, bad[i].reason);
    }

    /* tokenizer.json comes first, and says all: the other three are not read. */
    json_t *fast = fast_form(folder, true);
    put_json("tokenizer.json", fast);
    json_decref(fast);
    t = open_dir();
    CHECK(t && rbe_tokenizer_vocab(t) == 8192);
    rbe_tokenizer_close(&t);
    remove_file("tokenizer.json");
    remove_file("added_tokens.json");
    for (int i = 0; i < 2; i++)
        remove_file(names[i]);
}

static void check_fit(const char *folder)
{
    struct rbe_model_config c = {.vocab = 8192, .eos = 8191};
    struct rbe_tokenizer *t;
    struct rbe_diag d;

    CHECK(!rbe_find_tokenizer(&t, NULL, folder, &c, &d));
    CHECK(t && rbe_tokenizer_vocab(t) == 8192 && rbe_tokenizer_eos(t) == 8191);
    rbe_tokenizer_close(&t);
    /* From a file's name, and from what ships. */
    char *file = rbe_path_join(folder, "model.safetensors");
    CHECK(!rbe_find_tokenizer(&t, NULL, file, &c, &d));
    rbe_tokenizer_close(&t);
    free(file);
    CHECK(!rbe_find_tokenizer(&t, NULL, "/nonexistent/model.rbe", &c, &d));
    rbe_tokenizer_close(&t);
    c.vocab = 50257;
    CHECK(rbe_find_tokenizer(&t, NULL, folder, &c, &d) == RBE_ERR_MISMATCH && !t);
    CHECK(strstr(d.text, "8192") && strstr(d.text, "50257"));
    CHECK(rbe_find_tokenizer(&t, folder, "x", &c, &d) == RBE_ERR_MISMATCH && !t);
    /* The end of text of a padded GPT-2 whose configuration does not name it. */
    static const struct {
        const char *vocab;
        uint32_t eos;
    } unsaid[] = {{"50304", 50256}, {"50257", 50256}, {"50256", 50255}, {"300", 299}};
    for (size_t i = 0; i < sizeof unsaid / sizeof unsaid[0]; i++) {
        struct rbe_model_config x;
        char json[200];
        snprintf(json, sizeof json, "{\"vocab_size\": %s, \"n_ctx\": 8, \"n_positions\": 8, "
                 "\"n_embd\": 8, \"n_layer\": 1, \"n_head\": 1}", unsaid[i].vocab);
        CHECK(!rbe_model_config_parse(&x, json, strlen(json), "x", &d));
        CHECK(x.eos == unsaid[i].eos);
    }
    /* Padding, up to 1024 rows; fewer rows than tokens never. */
    c.vocab = 8192 + 1024;
    CHECK(!rbe_find_tokenizer(&t, NULL, folder, &c, &d));
    CHECK(t && rbe_tokenizer_vocab(t) == 8192);
    rbe_tokenizer_close(&t);
    c.vocab++;
    CHECK(rbe_find_tokenizer(&t, NULL, folder, &c, &d) == RBE_ERR_MISMATCH && !t);
    c.vocab = 8191;
    CHECK(rbe_find_tokenizer(&t, NULL, folder, &c, &d) == RBE_ERR_MISMATCH && !t);
    c.vocab = 8192;
    c.eos = 0;
    CHECK(rbe_find_tokenizer(&t, NULL, folder, &c, &d) == RBE_ERR_MISMATCH && !t);
}

static void check_shipped(const char *folder, struct check_rng *rng)
{
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    json_error_t je;
    size_t n;

    if (!CHECK(!rbe_tokenizer_open(&t, folder, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    CHECK(!rbe_tokenizer_bytes(t, 8192, &n) && n == 0);
    char *path = rbe_path_join(folder, "reference.json");
    json_t *ref = json_load_file(path, 0, &je), *p;
    free(path);
    size_t i;
    CHECK(json_array_size(json_object_get(ref, "prompts")) == 4);
    json_array_foreach(json_object_get(ref, "prompts"), i, p) {
        const json_t *text = json_object_get(p, "text");
        expect(t, json_string_value(text), json_string_length(text), false,
               json_object_get(p, "ids"));
    }
    const json_t *p1 = json_object_get(ref, "P1");
    path = rbe_data_path("wiki.test.raw");
    if (CHECK(path != NULL))
        check_counts(t, path, (size_t)json_integer_value(json_object_get(p1, "tokens")),
                     (size_t)json_integer_value(json_object_get(ref, "raw_tokens")),
                     "rbe-mini, WikiText test");
    free(path);
    json_decref(ref);
    check_special(t);
    check_odd_texts(t, rng);
    check_twin(t, folder, rng);
    check_fast(t, folder);
    check_plain(t, folder);
    rbe_tokenizer_close(&t);
}

static void check_full(const char *shared)
{
    char path[512], line[8192];
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    unsigned vectors = 0;

    snprintf(path, sizeof path, "%s/data/tokenizer", shared);
    if (access(path, R_OK)) {
        printf("SKIP the full vocabulary: no %s\n", path);
        return;
    }
    const double t0 = rbe_now();
    if (!CHECK(!rbe_tokenizer_open(&t, path, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    printf("full vocabulary loads in %.3f s\n", rbe_now() - t0);
    CHECK(rbe_tokenizer_vocab(t) == 50257 && rbe_tokenizer_eos(t) == 50256);
    snprintf(path, sizeof path, "%s/data/tokenizer/vectors.jsonl", shared);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        json_t *v = json_loads(line, 0, NULL);
        const json_t *text = json_object_get(v, "text");
        expect(t, json_string_value(text), json_string_length(text), true,
               json_object_get(v, "ids"));
        vectors++;
        json_decref(v);
    }
    CHECK(vectors == 47);
    if (f)
        fclose(f);
    snprintf(path, sizeof path, "%s/data/wikitext/wiki.test.raw", shared);
    check_counts(t, path, 287644, 286220, "GPT-2, WikiText test");
    snprintf(path, sizeof path, "%s/data/wikitext/wiki.valid.raw", shared);
    check_counts(t, path, 251048, 0, "GPT-2, WikiText valid");
    rbe_tokenizer_close(&t);
}

static void check_bad_kinds(const json_t *good)
{
    static const struct {
        const char *member, *json, *reason;
    } bad[] = {
        {"normalizer",
         "{'type': 'Sequence', 'normalizers': [{'type': 'NFC'}, {'type': 'Prepend'}]}",
         "normalizer Prepend"},
        {"pre_tokenizer", "{'type': 'Metaspace'}", "SentencePiece"},
        {"pre_tokenizer", "{'type': 'Sequence', 'pretokenizers': []}", "no pre_tokenizer"},
        {"pre_tokenizer", "{'type': 'Sequence', 'pretokenizers': [1,1,1,1,1,1,1,1,1]}",
         "more than 8 parts"},
        {"pre_tokenizer", "{'type': 'Digits', 'individual_digits': false}",
         "individual_digits"},
        {"pre_tokenizer", "{'type': 'Digits', 'individual_digits': true}", "its last part"},
        {"pre_tokenizer", "{'type': 'Split', 'behavior': 'Removed', 'pattern': {'Regex': 'x'}}",
         "only a pattern Regex"},
        {"pre_tokenizer", "{'type': 'Sequence', 'pretokenizers': [{'type': 'Split', "
         "'behavior': 'Isolated', 'pattern': {'Regex': '[0-9]+'}}, {'type': 'ByteLevel', "
         "'add_prefix_space': false, 'use_regex': false}]}", "the pattern '[0-9]+'"},
        {"pre_tokenizer", "{'type': 'Sequence', 'pretokenizers': [{'type': 'Split', "
         "'behavior': 'Isolated', 'pattern': {'Regex': '[0-9]+'}}, {'type': 'ByteLevel', "
         "'add_prefix_space': false}]}", "use_regex is not false"},
        {"pre_tokenizer", "{'type': 'Sequence', 'pretokenizers': [{'type': 'ByteLevel', "
         "'add_prefix_space': false}, {'type': 'Punctuation'}]}", "Punctuation"},
        {"post_processor", "{'type': 'TemplateProcessing', 'single': [{'Sequence': {}}, "
         "{'SpecialToken': {'id': 'x'}}]}", "before a text"},
        {"post_processor", "{'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': "
         "'x'}}, {'Sequence': {}}], 'special_tokens': {}}", "'x' has no id"},
        {"post_processor", "{'type': 'TemplateProcessing', 'single': [{'SpecialToken': {'id': "
         "'x'}}, {'Sequence': {}}], 'special_tokens': {'x': {'ids': [99999]}}}", "99999"},
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[400];
        snprintf(text, sizeof text, "%s", bad[i].json);
        for (char *p = text; (p = strchr(p, '\''));)
            *p = '"';
        refuse_fast(changed(good, NULL, bad[i].member, json_loads(text, 0, NULL)),
                    bad[i].reason, __LINE__);
    }
    json_t *j = json_deep_copy(good);
    json_object_set_new(json_object_get(j, "model"), "byte_fallback", json_true());
    refuse_fast(j, "SentencePiece", __LINE__);
    j = json_deep_copy(good);
    /* Bytes without a token are left out, where no other token stands for them. */
    json_t *vocab = json_object_get(json_object_get(j, "model"), "vocab");
    json_object_del(vocab, "\xC3\xBF");
    json_object_set_new(vocab, "zz", json_integer(255));
    put_json("tokenizer.json", j);
    struct rbe_tokenizer *t = open_dir();
    CHECK(t != NULL);
    rbe_tokenizer_close(&t);
    json_object_set_new(json_object_get(j, "model"), "unk_token", json_string("x"));
    refuse_fast(j, "byte 0xFF has no token", __LINE__);
    remove_file("tokenizer.json");
}

/* --- GGUF files --------------------------------------------------------------------------- */

struct small_gguf {
    const char *model, *pre, *arch;     /* NULL: missing */
    int end, begin, add_begin;          /* -1: missing */
    const char *merges[3];
    size_t merge_count, type_count;
    const char *last;                   /* the last token's text */
    int32_t last_type;
};

/* 256 bytes, "in", "ing", <|endoftext|>, a token of the user's, and the last. */
static void put_gguf(const struct small_gguf *s)
{
    enum { COUNT = 261 };
    static char forms[256][4];
    struct rbe_gguf_text token[COUNT] = {{0}}, merge[3];
    int32_t type[COUNT + 1];
    unsigned next = 0x100;
    struct rbe_gguf_out *o = NULL;
    struct rbe_diag d = {""};
    char *path = rbe_path_join(dir, "small.gguf");
    const float one[32] = {0};
    const struct rbe_gguf_tensor_out tensor = {.name = "x", .type = RBE_GT_F32, .dims = 1,
                                               .ne = {32, 1, 1, 1}, .user = one};

    for (unsigned b = 0; b < 256; b++) {
        const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        token[b] = (struct rbe_gguf_text){forms[b], rbe_utf8_put(forms[b], prints ? b : next)};
        next += !prints;
    }
    static const char *const more[] = {"in", "ing", "<|endoftext|>", "foo bar"};
    for (int i = 0; i < 4; i++)
        token[256 + i] = (struct rbe_gguf_text){more[i], strlen(more[i])};
    token[260] = (struct rbe_gguf_text){s->last, strlen(s->last)};
    for (int i = 0; i < COUNT; i++)
        type[i] = i < 258 ? 1 : i == 258 ? 3 : i == 259 ? 4 : s->last_type;
    for (size_t i = 0; i < s->merge_count; i++)
        merge[i] = (struct rbe_gguf_text){s->merges[i], strlen(s->merges[i])};
    CHECK(!rbe_gguf_begin(&o, &d));
    if (s->arch)
        rbe_gguf_add_string(o, "general.architecture", s->arch);
    if (s->model)
        rbe_gguf_add_string(o, "tokenizer.ggml.model", s->model);
    if (s->pre)
        rbe_gguf_add_string(o, "tokenizer.ggml.pre", s->pre);
    if (s->end >= 0)
        rbe_gguf_add_u32(o, "tokenizer.ggml.eos_token_id", (uint32_t)s->end);
    if (s->begin >= 0)
        rbe_gguf_add_u32(o, "tokenizer.ggml.bos_token_id", (uint32_t)s->begin);
    if (s->add_begin >= 0)
        rbe_gguf_add_bool(o, "tokenizer.ggml.add_bos_token", s->add_begin);
    rbe_gguf_add_strings(o, "tokenizer.ggml.tokens", token, COUNT);
    rbe_gguf_add_i32s(o, "tokenizer.ggml.token_type", type, s->type_count);
    rbe_gguf_add_strings(o, "tokenizer.ggml.merges", merge, s->merge_count);
    rbe_gguf_add_tensor(o, &tensor);
    if (!CHECK(!rbe_gguf_write(o, path, &d)))
        printf("     %s\n", d.text);
    rbe_gguf_end(&o);
    free(path);
}

/* Qwen 2's files bring texts to the form NFC. */
static void check_normal_gguf(const struct small_gguf *other, const char *path)
{
    struct small_gguf s = *other;
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};

    s.pre = "qwen2";
    put_gguf(&s);
    if (CHECK(!rbe_tokenizer_open(&t, path, &d)))
        check_normal(t, 258);
    else
        printf("     %s\n", d.text);
    rbe_tokenizer_close(&t);
}

/* What makes two tokenizers different ones, and what does not. */
static void check_alike(const struct small_gguf *good, const char *path)
{
    static const struct small_gguf other[] = {
        {"gpt2", "llama-bpe", "llama", 258, 258, -1, {"i n", "in g"}, 2, 261, "[PAX]", 5},
        {"gpt2", "llama-bpe", "llama", 258, 258, -1, {"i n"}, 1, 261, "[PAD]", 5},
        {"gpt2", "gpt-2", "llama", 258, 258, 1, {"i n", "in g"}, 2, 261, "[PAD]", 5},
        {"gpt2", "llama-bpe", "llama", 258, 258, 0, {"i n", "in g"}, 2, 261, "[PAD]", 5},
        {"gpt2", "llama-bpe", "llama", 258, 258, -1, {"i n", "in g"}, 2, 261, "[PAD]", 4},
        /* Where special tokens are characters, it does not matter which there are. */
        {"gpt2", "llama-bpe", "llama", 258, 258, -1, {"i n", "in g"}, 2, 261, "[PAD]", 3},
        {"gpt2", "llama-bpe", "llama", 257, 258, -1, {"i n", "in g"}, 2, 261, "[PAD]", 5},
        {"gpt2", "llama-bpe", "gpt2", 258, 258, 1, {"i n", "in g"}, 2, 261, "[PAD]", 2}};
    static const struct {
        const char *text, *special;     /* NULL: they are alike */
    } want[] = {{"token 260", "token 260"}, {"merges", "merges"},
                {"cut into words", "cut into words"},
                {"before a text", "before a text"}, {"added tokens", "added tokens"},
                {NULL, "added tokens"}, {NULL, "added tokens"}, {NULL, NULL}};
    struct rbe_tokenizer *t, *u;

    put_gguf(good);
    CHECK(!rbe_tokenizer_open(&t, path, NULL));
    for (size_t i = 0; t && i < sizeof other / sizeof other[0]; i++) {
        put_gguf(&other[i]);
        CHECK(!rbe_tokenizer_open(&u, path, NULL));
        for (int k = 0; u && k < 4; k++) {
            const char *why = k & 1 ? want[i].special : want[i].text;
            struct rbe_diag d = {""};
            const enum rbe_status err = rbe_tokenizer_alike(k & 2 ? u : t, k & 2 ? t : u, k & 1,
                                                            &d);
            if (!CHECK(why ? err == RBE_ERR_MISMATCH && strstr(d.text, why) : !err))
                printf("     %zu, %d: '%s'\n", i, k, d.text);
        }
        rbe_tokenizer_close(&u);
    }
    rbe_tokenizer_close(&t);
}

static void check_gguf(void)
{
    static const struct small_gguf good = {
        "gpt2", "llama-bpe", "llama", 258, 258, -1, {"i n", "in g"}, 2, 261, "[PAD]", 5};
    char *path = rbe_path_join(dir, "small.gguf");
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    uint32_t id;
    size_t n;

    put_gguf(&good);
    if (CHECK(!rbe_tokenizer_open(&t, path, &d))) {
        CHECK(rbe_tokenizer_vocab(t) == 261 && rbe_tokenizer_eos(t) == 258);
        CHECK(rbe_tokenizer_begin(t, &id) && id == 258);
        expect_ids(t, "ing", false, (const uint32_t[]){257}, 1);
        expect_ids(t, "foo bar<|endoftext|>", true, (const uint32_t[]){259, 258}, 2);
        /* A token of no use is none of a text. */
        expect_ids(t, "[PAD]", true, (const uint32_t[]){'[', 'P', 'A', 'D', ']'}, 5);
        const char *bytes = rbe_tokenizer_bytes(t, 260, &n);
        CHECK(n == 5 && !memcmp(bytes, "[PAD]", 5));
    } else {
        printf("     %s\n", d.text);
    }
    rbe_tokenizer_close(&t);
    CHECK(rbe_has_tokenizer(path));
    check_normal_gguf(&good, path);
    check_alike(&good, path);

    struct {
        struct small_gguf s;
        const char *reason;
    } bad[15];
    n = 0;
#define BAD(why, change) (bad[n].s = good, bad[n].s.change, bad[n++].reason = (why))
    BAD("SentencePiece", model = "llama");
    BAD("'bert' is not supported", model = "bert");
    BAD("is missing", model = NULL);
    BAD("'falcon' is not supported", pre = "falcon");
    BAD("'llama-bpe llama3'", pre = "llama-bpe llama3");
    BAD("(missing) is not supported", pre = NULL);
    BAD("'default' is not supported", pre = "default");
    BAD("there are 261 tokens", end = 261);
    BAD("without tokenizer.ggml.bos_token_id", begin = -1);
    BAD("has 260 elements", type_count = 260);
    BAD("token 260 is there before", last = "ing");
    BAD("token 260 is of a type", last_type = 6);
    BAD("token 260 is empty", last = "");
    BAD("merge 2 makes a token", merges[1] = "in q");
    BAD("merge 2 is not two", merges[1] = "");
#undef BAD
    for (size_t i = 0; i < n; i++) {
        put_gguf(&bad[i].s);
        d.text[0] = 0;
        CHECK(rbe_tokenizer_open(&t, path, &d) && !t);
        if (!CHECK(strstr(d.text, "small.gguf: ") && strstr(d.text, bad[i].reason)))
            printf("     '%s', want '%s'\n", d.text, bad[i].reason);
        rbe_tokenizer_close(&t);
    }
    /* What has no name for its way of cutting is GPT-2's where the model is. */
    struct small_gguf old = good;
    old.pre = NULL;
    old.arch = "gpt2";
    put_gguf(&old);
    if (CHECK(!rbe_tokenizer_open(&t, path, &d)))
        CHECK(!rbe_tokenizer_begin(t, &id));
    rbe_tokenizer_close(&t);
    unlink(path);
    free(path);
}

/* A small vocabulary cut in each of the ways, against ids by another program
 * (ci/tokens_small.py). */
static void check_kinds(void)
{
    static const char *const members[] = {"pre_tokenizer", "post_processor"};
    json_t *all = json_load_file("model/test/tokenizers.json", 0, NULL), *kind, *vector;
    json_t *fast = json_object_get(all, "tokenizer");
    const char *name;
    struct rbe_tokenizer *t;
    size_t i, k;
    uint32_t begin;

    CHECK(json_object_size(json_object_get(all, "kinds")) == RBE_PATTERN_COUNT);
    json_object_foreach(json_object_get(all, "kinds"), name, kind) {
        for (i = 0; i < 2; i++)
            json_object_set(fast, members[i], json_object_get(kind, members[i]));
        json_object_set(json_object_get(fast, "model"), "ignore_merges",
                        json_object_get(kind, "ignore_merges"));
        put_json("tokenizer.json", fast);
        if (!(t = open_dir()))
            continue;
        const bool begins = rbe_tokenizer_begin(t, &begin);
        CHECK(begins == !strcmp(name, "llama-bpe"));
        json_array_foreach(json_object_get(kind, "vectors"), i, vector) {
            const char *text = json_string_value(json_array_get(vector, 0));
            uint32_t want[64];
            size_t n = json_array_size(json_array_get(vector, 1));
            for (k = 0; k < n; k++)
                want[k] = (uint32_t)json_integer_value(
                    json_array_get(json_array_get(vector, 1), k));
            /* The caller puts the first token there, where one belongs. */
            CHECK(!begins || want[0] == begin);
            expect_ids(t, text, true, want + begins, n - begins);
        }
        CHECK(i == 22);
        rbe_tokenizer_close(&t);
    }
    /* What the end of a text is, by tokenizer_config.json. */
    static const char *const ends[] = {"{\"eos_token\": \"<|im_end|>\"}",
                                       "{\"eos_token\": {\"content\": \"<|im_end|>\"}}",
                                       "{\"eos_token\": null}"};
    for (i = 0; i < 3; i++) {
        put("tokenizer_config.json", ends[i], strlen(ends[i]));
        if ((t = open_dir()))
            CHECK(rbe_tokenizer_eos(t) == (i < 2 ? 276 : 274));
        rbe_tokenizer_close(&t);
    }
    remove_file("tokenizer_config.json");
    check_bad_kinds(fast);
    json_decref(all);
}

/* The metadata of a GGUF file, against the ids of the model's own tokenizer. */
static void check_smollm(const char *shared)
{
    static const char model[] = "data/models/smollm2-135m-instruct/";
    char path[512];
    struct rbe_tokenizer *t;
    struct rbe_diag d = {""};
    uint32_t id;
    size_t i;
    json_t *v;

    snprintf(path, sizeof path, "%s/%sSmolLM2-135M-Instruct.Q4_1.gguf", shared, model);
    if (access(path, R_OK)) {
        printf("SKIP SmolLM2's tokenizer: no %s\n", path);
        return;
    }
    const struct rbe_model_config c = {.vocab = 49152, .eos = 2}, other = {.vocab = 49152,
                                                                           .eos = 0};
    if (!CHECK(!rbe_find_tokenizer(&t, NULL, path, &c, &d))) {
        printf("     %s\n", d.text);
        return;
    }
    CHECK(rbe_has_tokenizer(path));
    CHECK(rbe_tokenizer_vocab(t) == 49152 && rbe_tokenizer_eos(t) == 2);
    CHECK(!rbe_tokenizer_begin(t, &id));
    CHECK(rbe_tokenizer_special(t, "<|im_start|>", &id) && id == 1);
    CHECK(!rbe_tokenizer_special(t, "<|im", &id) && !rbe_tokenizer_special(t, "the", &id));
    snprintf(path, sizeof path, "%s/%sreference.json", shared, model);
    json_t *ref = json_load_file(path, JSON_ALLOW_NUL, NULL);
    json_array_foreach(json_object_get(ref, "tokenizer"), i, v) {
        const json_t *text = json_object_get(v, "text");
        expect(t, json_string_value(text), json_string_length(text), true,
               json_object_get(v, "ids"));
    }
    CHECK(i >= 34);
    json_array_foreach(json_object_get(ref, "prompts"), i, v) {
        const json_t *text = json_object_get(v, "text");
        expect(t, json_string_value(text), json_string_length(text), true,
               json_object_get(v, "ids"));
    }
    CHECK(i == 5);
    snprintf(path, sizeof path, "%s/data/wikitext/wiki.test.raw", shared);
    check_counts(t, path, (size_t)json_integer_value(json_object_get(
                              json_object_get(json_object_get(ref, "perplexity"), "P1"),
                              "tokens")), 0, "SmolLM2, WikiText test");
    json_decref(ref);
    /* The model says which special token ends a text. */
    CHECK(!rbe_tokenizer_fits(t, "x", other.vocab, other.eos, &d) && rbe_tokenizer_eos(t) == 0);
    CHECK(rbe_tokenizer_fits(t, "x", other.vocab, 500, &d) == RBE_ERR_MISMATCH);
    rbe_tokenizer_close(&t);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const char *shared = getenv("RBE_SHARED");
    char *folder = rbe_data_path("rbe-mini");

    if (!CHECK(folder != NULL) || !CHECK(mkdtemp(dir) != NULL))
        return check_done();
    check_shipped(folder, &rng);
    check_fit(folder);
    check_kinds();
    check_gguf();
    check_bad_files(folder, &rng);
    check_full(shared ? shared : "../shared");
    check_smollm(shared ? shared : "../shared");
    free(folder);
    rmdir(dir);
    return check_done();
}
