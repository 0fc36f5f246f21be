/*
 * text.c - the texts that are evaluated: checked, counted, cut as each protocol wants.
 *
 * SPDX-License-Identifier: MIT
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "eval/text.h"

#include <pcre2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"

/* --- white space -------------------------------------------------------------------- */

/* Words, and whether white space stands at either end. */
static size_t words(const char *s, size_t size, bool *starts, bool *ends)
{
    size_t count = 0, i = 0;
    bool space = true;

    *starts = *ends = false;
    while (i < size) {
        uint32_t c = 0;
        const size_t n = rbe_utf8_char(s + i, size - i, &c);
        const bool sp = n && rbe_is_space(c);
        if (i == 0)
            *starts = sp;
        count += space && !sp;
        space = sp;
        i += n ? n : 1;
    }
    *ends = size && space;
    return count;
}

size_t rbe_count_words(const char *s, size_t size)
{
    bool starts, ends;

    return words(s, size, &starts, &ends);
}

size_t rbe_count_fields(const char *s, size_t size)
{
    bool starts, ends;
    const size_t n = words(s, size, &starts, &ends);

    /* Nothing but white space splits into two empty fields, nothing at all into one. */
    if (!n)
        return size ? 2 : 1;
    return n + starts + ends;
}

/* --- files ------------------------------------------------------------------------------- */

static enum rbe_status check_text(const char *s, size_t size, const char *path,
                                  struct rbe_diag *d)
{
    const size_t bad = rbe_utf8_valid(s, size);

    if (!size)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: empty", path);
    if (bad < size)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: not text: %s at byte %zu", path,
                        s[bad] ? "invalid UTF-8" : "NUL", bad);
    return RBE_OK;
}

/* The "text" members of JSON lines, a newline after each, in place of *s. */
static enum rbe_status from_jsonl(char **s, size_t *size, const char *path, struct rbe_diag *d)
{
    char *out = malloc(*size + 1);
    size_t at = 0, used = 0;
    unsigned line = 0;

    if (!out)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    while (at < *size) {
        const char *nl = memchr(*s + at, '\n', *size - at);
        const size_t n = nl ? (size_t)(nl - (*s + at)) : *size - at;
        json_error_t e;
        line++;
        if (rbe_count_words(*s + at, n)) {
            json_t *o;
            const enum rbe_status err = rbe_json_load(&o, *s + at, n, JSON_ALLOW_NUL, &e, path,
                                                      d);
            const json_t *t = json_object_get(o, "text");
            if (!json_is_string(t)) {
                json_decref(o);
                free(out);
                return err == RBE_ERR_NOMEM ? err
                       : rbe_fail(d, RBE_ERR_FORMAT, "%s: line %u: %s", path, line,
                                  o ? "no string \"text\"" : e.text);
            }
            /* A JSON string is never shorter than what it stands for. */
            memcpy(out + used, json_string_value(t), json_string_length(t));
            used += json_string_length(t);
            out[used++] = '\n';
            json_decref(o);
        }
        at += n + 1;
    }
    out[used] = 0;
    free(*s);
    *s = out;
    *size = used;
    return RBE_OK;
}

enum rbe_status rbe_text_open(struct rbe_text *t, const char *path, struct rbe_diag *d)
{
    const size_t n = strlen(path);
    enum rbe_status err;

    memset(t, 0, sizeof *t);
    if ((err = rbe_read_file(&t->bytes, &t->size, path, d)))
        return err;
    t->file_bytes = t->size;
    if ((err = rbe_sha256(t->sha256, t->bytes, t->size)))
        goto out;
    if (!(t->name = rbe_text_name(path))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if ((err = rbe_text_utf16(t->bytes, t->size, path, d)) ||
        (err = check_text(t->bytes, t->size, path, d)))
        goto out;
    const bool lines = n > 6 && !strcmp(path + n - 6, ".jsonl");
    if (!lines && (memchr(t->bytes, '\r', t->size) || !strncmp(t->bytes, "\xEF\xBB\xBF", 3))) {
        if (!(t->raw = malloc(t->size + 1))) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
            goto out;
        }
        memcpy(t->raw, t->bytes, t->size + 1);
        t->raw_size = t->size;
    }
    t->size = rbe_text_plain(t->bytes, t->size, t->raw ? &t->marks : NULL);
    if (lines && (err = from_jsonl(&t->bytes, &t->size, path, d)))
        goto out;
    err = check_text(t->bytes, t->size, path, d);
out:
    if (err)
        rbe_text_close(t);
    return err;
}

void rbe_text_close(struct rbe_text *t)
{
    free(t->name);
    free(t->bytes);
    free(t->raw);
    memset(t, 0, sizeof *t);
}

int rbe_text_record(json_t *record, const struct rbe_text *t, bool raw)
{
    if (rbe_result_set_text(record, t->name, t->sha256, t->file_bytes))
        return -1;
    if (!t->raw)
        return 0;
    json_t *text = RBE_VALUE_AT(record, text);
    return RBE_SET(text, RBE_FLAG(bom, t->marks.bom)) ||
           RBE_SET(text, RBE_INT(crs, t->marks.crs)) ||
           RBE_SET(text, RBE_WORD(read_as, raw ? "bytes" : "lines"));
}

/* --- rows and pages ---------------------------------------------------------------------- */

enum rbe_status rbe_text_join_rows(const char *s, size_t size, char **out, size_t *out_size,
                                   struct rbe_diag *d)
{
    /* Every row is followed by at most two newlines more than it has. */
    char *o = malloc(3 * size + 3);
    size_t used = 0, at = 0;

    *out = NULL;
    *out_size = 0;
    if (!o)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu bytes of text", 3 * size);
    while (at < size) {
        const char *nl = memchr(s + at, '\n', size - at);
        const size_t n = nl ? (size_t)(nl - (s + at)) + 1 : size - at;
        if (at) {
            memcpy(o + used, "\n\n", 2);
            used += 2;
        }
        if (rbe_count_words(s + at, n)) {
            memcpy(o + used, s + at, n);
            used += n;
        }
        at += n;
    }
    o[used] = 0;
    *out = o;
    *out_size = used;
    return RBE_OK;
}

/* Whether a line, white space at its ends taken off, is `= Title =` and not `= = ...`. */
static bool is_heading(const char *s, size_t n)
{
    n = rbe_strip(&s, n);
    return n >= 4 && !memcmp(s, "= ", 2) && !memcmp(s + n - 2, " =", 2) && s[2] != '=' &&
           s[n - 3] != '=';
}

enum rbe_status rbe_text_pages(const char *s, size_t size, struct rbe_text_page **out,
                               size_t *count, struct rbe_diag *d)
{
    struct rbe_text_page *pages = NULL;
    size_t n = 0, room = 0, at = 0, begin = 0;

    *out = NULL;
    *count = 0;
    for (;;) {
        const char *nl = at < size ? memchr(s + at, '\n', size - at) : NULL;
        const size_t len = nl ? (size_t)(nl - (s + at)) : size - at;
        if (at >= size || is_heading(s + at, len)) {
            /* The newline before a heading parts two pages and belongs to neither. */
            const size_t end = at >= size ? size : at ? at - 1 : 0;
            if (end > begin && rbe_count_words(s + begin, end - begin)) {
                if (n == room) {
                    struct rbe_text_page *more = realloc(pages, (room += 64) * sizeof *pages);
                    if (!more) {
                        free(pages);
                        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for pages");
                    }
                    pages = more;
                }
                pages[n++] = (struct rbe_text_page){begin, end};
            }
            begin = at;
        }
        if (at >= size)
            break;
        at += len + 1;
    }
    *out = pages;
    *count = n;
    return RBE_OK;
}

/* --- lm-eval's detokeniser --------------------------------------------------------------- */

/* What Python's \s matches; that of PCRE2 depends on its version. */
#define WS "[\\t-\\r\\x1C-\\x20\\x{85}\\x{A0}\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}" \
           "\\x{202F}\\x{205F}\\x{3000}]"

/* In order; a pattern is a regular expression when `regex` is set.  The degree sign is written
 * by its UTF-8 bytes. */
static const struct rule {
    const char *from, *to;
    bool regex;
} rules[] = {
    {"s '", "s'", false},
    {"/' [0-9]/", "/'[0-9]/", true},
    {" @-@ ", "-", false},
    {" @,@ ", ",", false},
    {" @.@ ", ".", false},
    {" : ", ": ", false},
    {" ; ", "; ", false},
    {" . ", ". ", false},
    {" ! ", "! ", false},
    {" ? ", "? ", false},
    {" , ", ", ", false},
    {"\\(" WS "*([^\\)]*?)" WS "*\\)", "($1)", true},
    {"\\[" WS "*([^\\]]*?)" WS "*\\]", "[$1]", true},
    {"{" WS "*([^}]*?)" WS "*}", "{$1}", true},
    {"\"" WS "*([^\"]*?)" WS "*\"", "\"$1\"", true},
    {"'" WS "*([^']*?)" WS "*'", "'$1'", true},
    {"= = = =", "====", false},
    {"= = =", "===", false},
    {"= =", "==", false},
    {" \xC2\xB0 ", "\xC2\xB0", false},
    {" \n", "\n", false},
    {"\n ", "\n", false},
    {" N ", " 1 ", false},
    {" 's", "'s", false},
};
enum { RULES = sizeof rules / sizeof rules[0] };

/* Replaces every occurrence, left to right.  No `to` is longer than its `from`. */
static void replace_all(char *s, size_t *size, const char *from, const char *to)
{
    const size_t nf = strlen(from), nt = strlen(to);
    size_t in = 0, out = 0;

    while (in < *size) {
        const char *hit = memmem(s + in, *size - in, from, nf);
        const size_t n = hit ? (size_t)(hit - (s + in)) : *size - in;
        memmove(s + out, s + in, n);
        in += n;
        out += n;
        if (hit) {
            memcpy(s + out, to, nt);
            in += nf;
            out += nt;
        }
    }
    s[out] = 0;
    *size = out;
}

static enum rbe_status replace_regex(char *s, size_t *size, char *scratch, const char *from,
                                     const char *to, struct rbe_diag *d)
{
    int code;
    PCRE2_SIZE at, room = *size + 1;
    pcre2_code *re = pcre2_compile((PCRE2_SPTR)from, PCRE2_ZERO_TERMINATED,
                                   PCRE2_UTF | PCRE2_UCP, &code, &at, NULL);

    if (!re)
        return rbe_fail(d, RBE_ERR_NOMEM, "cannot compile a pattern (PCRE2 error %d)", code);
    code = pcre2_substitute(re, (PCRE2_SPTR)s, *size, 0, PCRE2_SUBSTITUTE_GLOBAL, NULL, NULL,
                            (PCRE2_SPTR)to, PCRE2_ZERO_TERMINATED, (PCRE2_UCHAR *)scratch,
                            &room);
    pcre2_code_free(re);
    if (code < 0)
        return rbe_fail(d, RBE_ERR_FORMAT, "cannot detokenise the text (PCRE2 error %d)", code);
    memcpy(s, scratch, room + 1);
    *size = room;
    return RBE_OK;
}

enum rbe_status rbe_text_detokenise(const char *s, size_t size, char **out, size_t *out_size,
                                    struct rbe_diag *d)
{
    char *o = malloc(size + 1), *scratch = malloc(size + 1);
    enum rbe_status err = RBE_ERR_NOMEM;
    size_t n = size;

    *out = NULL;
    *out_size = 0;
    if (!o || !scratch)
        goto out;
    memcpy(o, s, size);
    o[size] = 0;
    err = RBE_OK;
    for (int i = 0; i < RULES && !err; i++) {
        if (rules[i].regex)
            err = replace_regex(o, &n, scratch, rules[i].from, rules[i].to, d);
        else
            replace_all(o, &n, rules[i].from, rules[i].to);
    }
    *out_size = n;
out:
    free(scratch);
    if (err) {
        free(o);
        o = NULL;
    }
    *out = o;
    return err;
}
