/*
 * tokens.c - reads training text and shuffles its windows.
 *
 * SPDX-License-Identifier: MIT
 *
 * The order is a permutation computed, not stored: a Feistel network of four rounds over the
 * smallest power of four that holds the windows, walked along its cycle until the value is one
 * of them.
 */
#include "train/tokens.h"

#include <ctype.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/stats.h"
#include "base/text.h"

/* --- reading ---------------------------------------------------------------------------- */

static const char *const layouts[RBE_LAYOUT_COUNT] = {
    [RBE_LAYOUT_PLAIN] = "plain", [RBE_LAYOUT_ROWS] = "rows", [RBE_LAYOUT_BOTH] = "both"};

const char *rbe_layout_name(enum rbe_layout l)
{
    return (unsigned)l < RBE_LAYOUT_COUNT ? layouts[l] : NULL;
}

struct reader {
    struct rbe_tokens *t;
    const struct rbe_tokenizer *tokenizer;
    size_t room, limit;
    enum rbe_layout layout;
    const char *path;
    struct rbe_diag *d;
};

static bool full(const struct reader *r)
{
    return r->limit && r->t->count >= r->limit;
}

static bool as_rows(const struct reader *r)
{
    return r->layout == RBE_LAYOUT_ROWS ||
           (r->layout == RBE_LAYOUT_BOTH && r->t->documents % 2);
}

/* Lines joined by two newlines, each with the newline it ends with; those of white space are
 * empty rows. */
static char *join_rows(const char *text, size_t size, size_t *out_size)
{
    char *out = malloc(3 * size + 1), *to = out;

    for (size_t at = 0; out && at < size;) {
        const char *nl = memchr(text + at, '\n', size - at);
        const size_t n = nl ? (size_t)(nl - (text + at)) + 1 : size - at;
        if (at) {
            memcpy(to, "\n\n", 2);
            to += 2;
        }
        if (rbe_strip_right(text + at, n)) {
            memcpy(to, text + at, n);
            to += n;
        }
        at += n;
    }
    *out_size = out ? (size_t)(to - out) : 0;
    return out;
}

/* A letter or a digit; bytes of other scripts count as letters. */
static bool is_word(char c)
{
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Is the full stop at s[i] the end of a sentence, not of an initial or inside a word? */
static bool ends_sentence(const char *s, size_t i, size_t n)
{
    size_t next = i + 1;

    if (i < 2 || !is_word(s[i - 1]) || !is_word(s[i - 2]))
        return i && strchr(")\"", s[i - 1]);
    while (next < n && strchr("\")", s[next]))
        next++;
    if (next < n && s[next] != ' ')
        return false;
    while (next < n && s[next] == ' ')
        next++;
    return next == n || !islower((unsigned char)s[next]);
}

static char *put_apart(char *to, const char *s, size_t n)
{
    if (to[-1] != ' ')
        *to++ = ' ';
    memcpy(to, s, n);
    to[n] = ' ';
    return to + n + 1;
}

/* Punctuation apart from words, hyphens, points and commas inside them marked by '@', as
 * WikiText spells them.  At most five bytes for one; to[-1] is there. */
static char *put_line(char *to, const char *s, size_t n)
{
    char mark[] = "@.@";

    for (size_t i = 0; i < n; i++) {
        const char before = i ? s[i - 1] : ' ', after = i + 1 < n ? s[i + 1] : ' ';

        mark[1] = s[i];
        if ((s[i] == ',' || s[i] == '.') && is_digit(before) && is_digit(after))
            to = put_apart(to, mark, 3);
        else if (s[i] == '-' && is_word(before) && is_word(after))
            to = put_apart(to, mark, 3);
        else if (strchr(",;:?!()[]\"%", s[i]) || (s[i] == '.' && ends_sentence(s, i, n)))
            to = put_apart(to, s + i, 1);
        else if (s[i] == '\'' && is_word(before) && is_word(after))
            to = put_apart(to, s + i, 1) - 1;
        else if (s[i] != ' ' || to[-1] != ' ')
            *to++ = s[i];
    }
    if (to[-1] != ' ')
        *to++ = ' ';
    return to;
}

/* A document of JSON as WikiText has its articles: a heading, a blank around each line. */
static char *as_article(const char *title, const char *text, size_t *out_size)
{
    const size_t size = strlen(text), head = title ? strlen(title) : 0;
    char *out = malloc(8 * (size + head) + 32), *to = out;

    if (!out)
        return NULL;
    to += sprintf(to, " \n");
    if (title) {
        to = put_line(to + sprintf(to, " = "), title, head);
        to += sprintf(to, "= \n \n");
    }
    for (const char *s = text; *s;) {
        const size_t n = strcspn(s, "\n");
        if (n) {
            *to++ = ' ';
            to = put_line(to, s, n);
            *to++ = '\n';
        }
        s += n + (s[n] == '\n');
    }
    *out_size = (size_t)(to - out);
    return out;
}

static enum rbe_status add_laid_out(struct reader *r, const char *text, size_t size);

static enum rbe_status add_document(struct reader *r, const char *text, size_t size)
{
    enum rbe_status err;
    size_t n;

    if (!as_rows(r))
        return add_laid_out(r, text, size);
    char *rows = join_rows(text, size, &n);
    if (!rows)
        return rbe_fail(r->d, RBE_ERR_NOMEM, "%s: out of memory", r->path);
    err = add_laid_out(r, rows, n);
    free(rows);
    return err;
}

static enum rbe_status add_laid_out(struct reader *r, const char *text, size_t size)
{
    struct rbe_tokens *t = r->t;
    struct rbe_diag why = {""};
    enum rbe_status err;
    uint32_t *ids;
    size_t n;

    err = rbe_tokenizer_encode(r->tokenizer, text, size, false, &ids, &n, &why);
    if (err)
        return rbe_fail(r->d, err, "%s: %s", r->path, why.text);
    if (t->count + n + 1 > r->room) {
        const size_t room = 2 * r->room + n + 1;
        uint32_t *grown = realloc(t->ids, room * sizeof *grown);
        if (!grown) {
            free(ids);
            return rbe_fail(r->d, RBE_ERR_NOMEM, "%s: out of memory", r->path);
        }
        t->ids = grown;
        r->room = room;
    }
    memcpy(t->ids + t->count, ids, n * sizeof *ids);
    t->count += n;
    t->ids[t->count++] = rbe_tokenizer_eos(r->tokenizer);
    t->documents++;
    t->bytes += size;
    free(ids);
    return RBE_OK;
}

/* One line of JSON; a blank one is nothing. */
static enum rbe_status add_line(struct reader *r, const char *line, size_t size,
                                unsigned number)
{
    char *joined = NULL;
    json_error_t e;
    json_t *o;

    if (!rbe_strip_right(line, size))
        return RBE_OK;
    enum rbe_status err = rbe_json_load(&o, line, size, 0, &e, r->path, r->d);
    if (err == RBE_ERR_NOMEM)
        return err;
    const json_t *text = json_object_get(o, "text"), *title = json_object_get(o, "title");
    if (!json_is_string(text)) {
        err = rbe_fail(r->d, RBE_ERR_FORMAT, "%s: line %u: %s", r->path, number,
                       o ? "no string \"text\"" : e.text);
        goto out;
    }
    if (as_rows(r)) {
        size_t n = 0;
        joined = as_article(json_string_value(title), json_string_value(text), &n);
        err = joined ? add_document(r, joined, n)
                     : rbe_fail(r->d, RBE_ERR_NOMEM, "%s: out of memory", r->path);
        goto out;
    }
    const size_t head = json_is_string(title) ? json_string_length(title) + 2 : 0;
    const size_t body = json_string_length(text);
    if (!(joined = malloc(head + body + 1))) {
        err = rbe_fail(r->d, RBE_ERR_NOMEM, "%s: out of memory", r->path);
        goto out;
    }
    if (head) {
        memcpy(joined, json_string_value(title), head - 2);
        memcpy(joined + head - 2, "\n\n", 2);
    }
    memcpy(joined + head, json_string_value(text), body);
    if (body)
        err = add_document(r, joined, head + body);
out:
    free(joined);
    json_decref(o);
    return err;
}

static bool ends_in(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);

    return n >= m && !strcmp(s + n - m, end);
}

/* Lines of JSON, mapped: there may be far more of them than are wanted. */
static enum rbe_status add_lines(struct reader *r)
{
    struct rbe_map map = {0};
    enum rbe_status err = rbe_map_open(&map, r->path, r->d);
    const char *const s = (const char *)map.bytes;
    unsigned line = 0;

    if (err)
        return err;
    const size_t bom = map.size >= 3 && !memcmp(s, "\xEF\xBB\xBF", 3) ? 3 : 0;
    for (size_t at = bom; at < map.size && !err && !full(r);) {
        const char *nl = memchr(s + at, '\n', map.size - at);
        const size_t n = nl ? (size_t)(nl - (s + at)) : map.size - at;
        err = add_line(r, s + at, n, ++line);
        at += n + 1;
    }
    rbe_map_close(&map);
    return err;
}

/* Whether a file can be text, as far as can be said without reading it: a pipe could not be
 * read again. */
static enum rbe_status check_file(const char *path, struct rbe_diag *d)
{
    struct stat st;
    FILE *f = NULL;
    bool empty;

    if (ends_in(path, ".xz") || ends_in(path, ".gz") || ends_in(path, ".zst"))
        return rbe_fail(d, RBE_ERR_ARG, "%s: compressed; unpack it first", path);
    if (stat(path, &st) || access(path, R_OK))
        return rbe_fail_errno(d, "%s", path);
    if (S_ISDIR(st.st_mode))
        return rbe_fail(d, RBE_ERR_IO, "%s: a folder", path);
    /* Some say so that are not (/proc). */
    empty = S_ISREG(st.st_mode) && !st.st_size && (f = fopen(path, "rb")) && fgetc(f) == EOF;
    if (f)
        fclose(f);
    return empty ? rbe_fail(d, RBE_ERR_FORMAT, "%s: no text in it", path) : RBE_OK;
}

static enum rbe_status add_file(struct reader *r)
{
    const size_t before = r->t->count;
    enum rbe_status err;
    char *text;
    size_t size;

    if (ends_in(r->path, ".jsonl")) {
        err = add_lines(r);
    } else if (!(err = rbe_read_text(&text, &size, NULL, r->path, r->d))) {
        if (size)
            err = add_document(r, text, size);
        free(text);
    }
    if (!err && r->t->count == before)
        err = rbe_fail(r->d, RBE_ERR_FORMAT, "%s: no text in it", r->path);
    return err;
}

enum rbe_status rbe_tokens_open(struct rbe_tokens *out, const char *const *paths, size_t count,
                                size_t limit, enum rbe_layout layout,
                                const struct rbe_tokenizer *t, struct rbe_diag *d)
{
    struct reader r = {.t = out, .tokenizer = t, .limit = limit, .layout = layout, .d = d};
    enum rbe_status err = RBE_OK;

    *out = (struct rbe_tokens){0};
    /* All of them: the last may be reached in another run only. */
    for (size_t i = 0; i < count && !err; i++)
        err = check_file(paths[i], d);
    for (size_t i = 0; i < count && !err && !full(&r); i++) {
        r.path = paths[i];
        err = add_file(&r);
    }
    if (!err)
        err = rbe_sha256(out->sha256, out->ids, out->count * sizeof *out->ids);
    if (err)
        rbe_tokens_close(out);
    return err;
}

void rbe_tokens_close(struct rbe_tokens *t)
{
    free(t->ids);
    *t = (struct rbe_tokens){0};
}

/* --- order ------------------------------------------------------------------------------ */

/* A good hash of one word. */
static uint64_t mix(uint64_t x)
{
    return rbe_random_next(&x);
}

/* A permutation of 0 .. 4^half - 1 chosen by the key. */
static uint64_t feistel(uint64_t x, unsigned half, uint64_t key)
{
    const uint64_t mask = ((uint64_t)1 << half) - 1;
    uint64_t left = x >> half, right = x & mask;

    for (unsigned round = 0; round < 4; round++) {
        const uint64_t next = left ^ (mix((key + round) ^ right << 8) & mask);
        left = right;
        right = next;
    }
    return left << half | right;
}

size_t rbe_tokens_window(size_t count, size_t length, uint64_t seed, uint64_t index,
                         bool cut_alike)
{
    /* One window less than fit, so that every offset below `length` leaves as many. */
    const uint64_t windows = count / length - 1, pass = index / windows;
    const uint64_t key = mix(seed ^ mix(pass));
    uint64_t at = index % windows;
    unsigned half = 1;

    while ((uint64_t)1 << 2 * half < windows)
        half++;
    do
        at = feistel(at, half, key);
    while (at >= windows);
    const uint64_t cut = cut_alike ? mix(seed ^ mix(0)) : key;
    return (size_t)(cut % length + at * length);
}
