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
#include <unistd.h>

#include "gpt2/data.h"
#include "gpt2/tokenizer.h"
#include "kernels/test/check.h"
#include "rbe/file.h"
#include "rbe/progress.h"

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

    /* One long word must not take quadratic time. */
    enum { LONG = 1 << 20 };
    char *text = malloc(LONG);
    for (int kind = 0; kind < 3; kind++) {
        for (int i = 0; i < LONG; i++)
            text[i] = kind == 0 ? 'a' : kind == 1 ? ' ' : (char)('a' + check_below(rng, 26));
        const double t0 = rbe_now();
        encode(t, text, LONG, false, &ids);
        CHECK(rbe_now() - t0 < 5);
        free(ids);
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

static void check_fit(const char *folder)
{
    struct rbe_gpt2_config c = {.vocab = 8192, .eos = 8191};
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

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const char *shared = getenv("RBE_SHARED");
    char *folder = rbe_data_path("rbe-mini");

    if (!CHECK(folder != NULL) || !CHECK(mkdtemp(dir) != NULL))
        return check_done();
    check_shipped(folder, &rng);
    check_fit(folder);
    check_bad_files(folder, &rng);
    check_full(shared ? shared : "../shared");
    free(folder);
    rmdir(dir);
    return check_done();
}
