/*
 * tokenizer.c - byte-level BPE, as GPT-2's.
 *
 * SPDX-License-Identifier: MIT
 *
 * Added tokens are found first; what lies between them is cut into words (model/words.h).  A
 * word's bytes are merged pair by pair, lowest rank first, through a heap, so that a word of n
 * bytes costs n log n.  Words repeat: a table remembers where in the output each was last
 * written, and copies from there.
 */
#include "model/tokenizer.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/utf8.h"
#include "model/normal.h"
#include "model/tokenizer_files.h"
#include "model/unicode.h"
#include "model/words.h"

/* The end of a text, where the files do not say which token it is; the first that is there. */
static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>"};
enum { NO_ID = -1, END_COUNT = sizeof ends / sizeof ends[0] };
#define NO_TOKEN UINT32_MAX

/* Rows of an embedding beyond the tokenizer's: sizes are padded to multiples of 64 to 1024. */
enum { MAX_PADDING = 1024 };

/* Two neighbouring tokens that become one. */
struct merge {
    uint32_t left, right, id;
};

/* An added token.  Those of pass 1 are looked for in what is left between those of pass 0. */
struct mark {
    uint32_t id;
    uint8_t pass;
    bool special;
};
enum { PASSES = 2 };

struct rbe_tokenizer {
    const struct rbe_pattern *pattern;
    bool nfc;                   /* texts are brought to that form first (model/normal.h) */
    uint32_t vocab, eos, bos;   /* bos: NO_TOKEN when none belongs before a text */
    bool parse;                 /* special tokens, whatever the caller of encode says */
    uint32_t byte_id[256];      /* NO_TOKEN: left out of every word */
    char *bytes;                /* of all tokens, one after the other */
    uint32_t *start;            /* [vocab + 1] into bytes */
    struct merge *merges;       /* the lowest rank first: rank 1 is merges[0] */
    size_t merge_count;
    uint32_t *ranks;            /* open addressing, mask + 1 slots; 0: free */
    size_t mask;
    uint32_t *whole;            /* words that are tokens, whole_mask + 1 slots; or NULL */
    size_t whole_mask;
    struct mark *marks;         /* by their first byte, the longest first */
    size_t mark_count;
    uint32_t mark_at[257];      /* of each first byte, the first in marks */
};

/* --- the printable stand-ins for bytes ---------------------------------------------------- */

/* GPT-2 writes bytes that print as themselves, the others as U+0100 + n in order. */
static void byte_chars(uint16_t code_of[256])
{
    unsigned next = 0x100;

    for (unsigned b = 0; b < 256; b++) {
        const bool prints = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        code_of[b] = (uint16_t)(prints ? b : next++);
    }
}

/* Byte values of a token's stand-ins into out; false when one is no stand-in.  The text is
 * valid UTF-8 (jansson saw to it); all stand-ins are below U+0800. */
static bool token_bytes(const char *s, const int16_t byte_of[512], char *out, size_t *n)
{
    *n = 0;
    while (*s) {
        unsigned c = (unsigned char)*s++;
        if (c >= 0xE0)
            return false;
        if (c >= 0x80)
            c = (c & 0x1F) << 6 | ((unsigned char)*s++ & 0x3F);
        if (c >= 512 || byte_of[c] < 0)
            return false;
        out[(*n)++] = (char)byte_of[c];
    }
    return true;
}

/* --- loading ------------------------------------------------------------------------------ */

/* Tokens by id: text in the vocabulary's form, or as it stands. */
struct by_id {
    const char *text;
    bool literal;
};

static enum rbe_status place_tokens(struct by_id *by_id, size_t count,
                                    const struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    const char *token;
    json_t *id;

    json_object_foreach((json_t *)(uintptr_t)f->vocab, token, id) {
        const json_int_t i = json_integer_value(id);
        if (!json_is_integer(id) || i < 0 || (size_t)i >= count || by_id[i].text)
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: ids are not 0 to %zu, each once", f->path,
                            count - 1);
        by_id[i].text = token;
    }
    for (size_t k = 0; k < f->added_count; k++) {
        const struct rbe_added *a = &f->added[k];
        const json_t *known = json_object_get(f->vocab, a->content);
        if (known && json_integer_value(known) != a->id)
            return rbe_fail(d, RBE_ERR_MISMATCH, "%s: the added token '%s' has id %lld, in the "
                            "vocabulary %lld", f->added_path, a->content, (long long)a->id,
                            (long long)json_integer_value(known));
        if (a->id < 0 || (size_t)a->id >= count || (!known && by_id[a->id].text))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: the id %lld of the added token '%s' is "
                            "another token's, or not the next free one", f->added_path,
                            (long long)a->id, a->content);
        by_id[a->id] = (struct by_id){a->content, true};
    }
    return RBE_OK;
}

static enum rbe_status store_tokens(struct rbe_tokenizer *t, const struct by_id *by_id,
                                    const struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    int16_t byte_of[512];
    uint16_t code_of[256];
    size_t total = 0, at = 0, n;

    memset(byte_of, NO_ID, sizeof byte_of);
    byte_chars(code_of);
    for (int b = 0; b < 256; b++)
        byte_of[code_of[b]] = (int16_t)b;
    for (uint32_t i = 0; i < t->vocab; i++)
        total += strlen(by_id[i].text);
    if (total > UINT32_MAX)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: its tokens have %zu bytes", f->path, total);
    t->bytes = malloc(total + 1);
    t->start = calloc((size_t)t->vocab + 1, sizeof *t->start);
    if (!t->bytes || !t->start)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", f->path);
    memset(t->byte_id, 0xFF, sizeof t->byte_id);
    for (uint32_t i = 0; i < t->vocab; i++) {
        const char *text = by_id[i].text;
        if (by_id[i].literal) {
            n = strlen(text);
            memcpy(t->bytes + at, text, n);
        } else if (!token_bytes(text, byte_of, t->bytes + at, &n)) {
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: token %u is not in byte-level form",
                            f->path, i);
        } else if (n == 1) {
            t->byte_id[(unsigned char)t->bytes[at]] = i;
        }
        t->start[i] = (uint32_t)at;
        at += n;
    }
    t->start[t->vocab] = (uint32_t)at;
    for (int b = 0; b < 256; b++)
        if (t->byte_id[b] == NO_TOKEN && (!f->drops || b == '\n' || (b >= ' ' && b <= '~')))
            return rbe_fail(d, RBE_ERR_FORMAT, "%s: byte 0x%02X has no token", f->path, b);
    return RBE_OK;
}

static uint32_t id_of(const struct rbe_tokenizer *t, const struct by_id *by_id,
                      const char *text)
{
    for (uint32_t i = 0; i < t->vocab; i++)
        if (!strcmp(by_id[i].text, text))
            return i;
    return NO_TOKEN;
}

static enum rbe_status find_ends(struct rbe_tokenizer *t, const struct by_id *by_id,
                                 const struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    const char *end = f->eos_text ? f->eos_text : ends[0];

    t->bos = f->bos < 0 ? NO_TOKEN : (uint32_t)f->bos;
    if (f->bos >= (json_int_t)t->vocab)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %lld, the token before a text, is not in it",
                        f->path, (long long)f->bos);
    t->eos = f->eos < 0 ? id_of(t, by_id, end) : (uint32_t)f->eos;
    for (size_t i = 1; !f->eos_text && t->eos == NO_TOKEN && i < END_COUNT; i++)
        t->eos = id_of(t, by_id, ends[i]);
    if (t->eos == NO_TOKEN)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is not in it", f->path, end);
    return RBE_OK;
}

static size_t mark_size(const struct rbe_tokenizer *t, const struct mark *m)
{
    return t->start[m->id + 1] - t->start[m->id];
}

static const char *mark_text(const struct rbe_tokenizer *t, const struct mark *m)
{
    return t->bytes + t->start[m->id];
}

/* Whose marks qsort() sorts: not every libc has qsort_r(). */
static _Thread_local const struct rbe_tokenizer *sorted;

/* Then the longest first. */
static int by_first_byte(const void *x, const void *y)
{
    const struct rbe_tokenizer *t = sorted;
    const struct mark *a = x, *b = y;
    const int p = (unsigned char)*mark_text(t, a), q = (unsigned char)*mark_text(t, b);
    const size_t m = mark_size(t, a), n = mark_size(t, b);

    return p != q ? p - q : (m < n) - (m > n);
}

/* A token that is looked for in texts of the form NFC is of that form, or never found. */
static enum rbe_status check_form(const struct rbe_tokenizer_files *f,
                                  const struct rbe_added *a, struct rbe_diag *d)
{
    const size_t size = strlen(a->content);
    size_t n;
    char *form;
    const enum rbe_status err = rbe_normal_form(&form, &n, a->content, size, d);
    const bool other = form && (n != size || memcmp(form, a->content, n));

    free(form);
    return other ? rbe_fail(d, RBE_ERR_FORMAT, "%s: added token %" JSON_INTEGER_FORMAT
                            " is not of the form NFC", f->path, a->id) : err;
}

/* The end of the text is a special token, whether the files say so or not. */
static enum rbe_status load_marks(struct rbe_tokenizer *t, const struct rbe_tokenizer_files *f,
                                  struct rbe_diag *d)
{
    enum rbe_status err;
    bool eos = false;

    t->marks = calloc(f->added_count + 1, sizeof *t->marks);
    if (!t->marks)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", f->path);
    for (size_t i = 0; i < f->added_count; i++) {
        const struct rbe_added *a = &f->added[i];
        const bool is_eos = a->id == t->eos;
        if (a->idle && !is_eos)
            continue;
        if (f->nfc && a->late && (err = check_form(f, a, d)))
            return err;
        t->marks[t->mark_count++] =
            (struct mark){(uint32_t)a->id, a->late, a->special || is_eos};
        eos |= is_eos;
    }
    if (!eos)
        t->marks[t->mark_count++] = (struct mark){t->eos, 0, true};
    sorted = t;
    qsort(t->marks, t->mark_count, sizeof *t->marks, by_first_byte);
    for (size_t i = 0; i < t->mark_count; i++)
        t->mark_at[(unsigned char)*mark_text(t, &t->marks[i]) + 1]++;
    for (size_t b = 0; b < 256; b++)
        t->mark_at[b + 1] += t->mark_at[b];
    return RBE_OK;
}

/* Where the bytes stand in t->whole, or the free slot for them. */
static size_t whole_slot(const struct rbe_tokenizer *t, const char *bytes, size_t size)
{
    size_t i = XXH3_64bits(bytes, size) & t->whole_mask, n;

    for (; t->whole[i] != NO_TOKEN; i = (i + 1) & t->whole_mask) {
        const char *b = rbe_tokenizer_bytes(t, t->whole[i], &n);
        if (n == size && !memcmp(b, bytes, n))
            break;
    }
    return i;
}

static enum rbe_status load_whole(struct rbe_tokenizer *t, const struct by_id *by_id,
                                  const struct rbe_tokenizer_files *f, struct rbe_diag *d)
{
    size_t slots = 512, n;

    while (slots < 2 * (size_t)t->vocab)
        slots *= 2;
    if (!(t->whole = malloc(slots * sizeof *t->whole)))
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", f->path);
    memset(t->whole, 0xFF, slots * sizeof *t->whole);
    t->whole_mask = slots - 1;
    for (uint32_t i = 0; i < t->vocab; i++)
        if (!by_id[i].literal) {
            const char *b = rbe_tokenizer_bytes(t, i, &n);
            t->whole[whole_slot(t, b, n)] = i;
        }
    return RBE_OK;
}

static enum rbe_status load_tokens(struct rbe_tokenizer *t, const struct rbe_tokenizer_files *f,
                                   struct rbe_diag *d)
{
    size_t count = json_object_size(f->vocab);
    enum rbe_status err;

    for (size_t i = 0; i < f->added_count; i++)
        count += !json_object_get(f->vocab, f->added[i].content);
    if (count < 257 || count > 1 << 24)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu tokens; a byte-level vocabulary has 257 or "
                        "more", f->path, count);
    t->vocab = (uint32_t)count;
    struct by_id *by_id = calloc(count, sizeof *by_id);
    if (!by_id)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", f->path);
    t->pattern = f->pattern;
    t->nfc = f->nfc;
    if (!(err = place_tokens(by_id, count, f, d)) && !(err = store_tokens(t, by_id, f, d)) &&
        !(err = find_ends(t, by_id, f, d)) && !(err = load_marks(t, f, d)) && f->ignore_merges)
        err = load_whole(t, by_id, f, d);
    free(by_id);
    return err;
}

/* Where in t->ranks the merge of the two stands, or would. */
static size_t merge_slot(const struct rbe_tokenizer *t, uint32_t left, uint32_t right)
{
    const uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15ULL;
    size_t i = (size_t)(key >> 24) & t->mask;

    for (uint32_t rank; (rank = t->ranks[i]); i = (i + 1) & t->mask)
        if (t->merges[rank - 1].left == left && t->merges[rank - 1].right == right)
            break;
    return i;
}

/* Where merges come from, for messages: line N of a file, or merge N of tokenizer.json. */
struct merges {
    const struct rbe_tokenizer_files *f;
    const char *unit;
    size_t number;
    uint32_t rank;              /* of the last one added */
    char *both;                 /* [room] a merge's two tokens in one */
    size_t room;
};

static enum rbe_status add_merge(struct rbe_tokenizer *t, struct merges *m, const char *left,
                                 size_t a, const char *right, size_t b, struct rbe_diag *d)
{
    const json_t *vocab = m->f->vocab;

    if (a + b > m->room) {
        free(m->both);
        m->room = 2 * (a + b);
        if (!(m->both = malloc(m->room))) {
            m->room = 0;
            return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", m->f->merges_path);
        }
    }
    memcpy(m->both, left, a);
    memcpy(m->both + a, right, b);
    const json_t *l = json_object_getn(vocab, left, a);
    const json_t *r = json_object_getn(vocab, right, b);
    const json_t *both = json_object_getn(vocab, m->both, a + b);
    if (!l || !r || !both)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %s %zu makes a token that is not in the "
                        "vocabulary", m->f->merges_path, m->unit, m->number);
    const uint32_t x = (uint32_t)json_integer_value(l), y = (uint32_t)json_integer_value(r);
    uint32_t *rank = &t->ranks[merge_slot(t, x, y)];
    if (*rank)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s %zu repeats a merge", m->f->merges_path,
                        m->unit, m->number);
    t->merges[m->rank] = (struct merge){x, y, (uint32_t)json_integer_value(both)};
    *rank = ++m->rank;
    return RBE_OK;
}

/* "LEFT RIGHT" */
static enum rbe_status add_line(struct rbe_tokenizer *t, struct merges *m, const char *line,
                                size_t size, struct rbe_diag *d)
{
    const char *space = size ? memchr(line, ' ', size) : NULL;

    if (!space || space == line || space == line + size - 1 ||
        memchr(space + 1, ' ', size - (size_t)(space + 1 - line)))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %s %zu is not two tokens", m->f->merges_path,
                        m->unit, m->number);
    const size_t a = (size_t)(space - line);
    return add_merge(t, m, line, a, space + 1, size - a - 1, d);
}

static enum rbe_status add_lines(struct rbe_tokenizer *t, struct merges *m, struct rbe_diag *d)
{
    const char *p = m->f->lines, *end = p + m->f->lines_size;
    enum rbe_status err = RBE_OK;

    while (!err && p < end) {
        const char *eol = memchr(p, '\n', (size_t)(end - p));
        const char *next = eol ? eol + 1 : end;
        size_t n = (size_t)((eol ? eol : end) - p);
        m->number++;
        if (n && p[n - 1] == '\r')
            n--;
        if (m->f->listed || (n && !(m->number == 1 && n >= 8 && !memcmp(p, "#version", 8))))
            err = add_line(t, m, p, n, d);
        p = next;
    }
    return err;
}

/* Strings "LEFT RIGHT", or pairs of strings. */
static enum rbe_status add_list(struct rbe_tokenizer *t, struct merges *m, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    const json_t *v;
    size_t i;

    json_array_foreach(m->f->merges, i, v) {
        const json_t *l = json_array_get(v, 0), *r = json_array_get(v, 1);
        m->number = i + 1;
        if (json_is_string(v))
            err = add_line(t, m, json_string_value(v), json_string_length(v), d);
        else if (json_is_string(l) && json_is_string(r) && json_array_size(v) == 2)
            err = add_merge(t, m, json_string_value(l), json_string_length(l),
                            json_string_value(r), json_string_length(r), d);
        else
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %s %zu is not two tokens",
                           m->f->merges_path, m->unit, m->number);
        if (err)
            break;
    }
    return err;
}

static enum rbe_status load_merges(struct rbe_tokenizer *t, const struct rbe_tokenizer_files *f,
                                   struct rbe_diag *d)
{
    struct merges m = {.f = f, .unit = f->merges || f->listed ? "merge" : "line"};
    enum rbe_status err;
    size_t count = json_array_size(f->merges), slots = 64;

    for (size_t i = 0; i < f->lines_size; i++)
        count += f->lines[i] == '\n';
    if (count > 1 << 24)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu merges are too many", f->merges_path,
                        count);
    while (slots < 2 * (count + 2))
        slots *= 2;
    t->mask = slots - 1;
    t->ranks = calloc(slots, sizeof *t->ranks);
    /* A last line may have no newline. */
    t->merges = calloc(count + 1, sizeof *t->merges);
    if (!t->ranks || !t->merges)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", f->merges_path);
    err = f->merges ? add_list(t, &m, d) : add_lines(t, &m, d);
    if (!err && !m.rank)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no merges", f->merges_path);
    t->merge_count = m.rank;
    free(m.both);
    return err;
}

enum rbe_status rbe_tokenizer_open(struct rbe_tokenizer **out, const char *path,
                                   struct rbe_diag *d)
{
    struct rbe_tokenizer_files f;
    enum rbe_status err;

    if (out)
        *out = NULL;
    if (!out || !path)
        return rbe_fail_null(d);
    struct rbe_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    if (!(err = rbe_tokenizer_files_read(&f, path, d)) && !(err = load_tokens(t, &f, d)))
        err = load_merges(t, &f, d);
    rbe_tokenizer_files_free(&f);
    if (err)
        rbe_tokenizer_close(&t);
    *out = t;
    return err;
}

void rbe_tokenizer_close(struct rbe_tokenizer **pp)
{
    struct rbe_tokenizer *t = pp ? *pp : NULL;

    if (!t)
        return;
    free(t->merges);
    free(t->ranks);
    free(t->whole);
    free(t->marks);
    free(t->start);
    free(t->bytes);
    free(t);
    *pp = NULL;
}

uint32_t rbe_tokenizer_vocab(const struct rbe_tokenizer *t)
{
    return t ? t->vocab : 0;
}

uint32_t rbe_tokenizer_eos(const struct rbe_tokenizer *t)
{
    return t ? t->eos : 0;
}

bool rbe_tokenizer_begin(const struct rbe_tokenizer *t, uint32_t *id)
{
    if (!t || !id)
        return false;
    *id = t->bos;
    return t->bos != NO_TOKEN;
}

void rbe_tokenizer_parse_special(struct rbe_tokenizer *t)
{
    t->parse = true;
}

bool rbe_tokenizer_special(const struct rbe_tokenizer *t, const char *text, uint32_t *id)
{
    const size_t n = strlen(text);

    for (size_t i = 0; i < t->mark_count; i++) {
        const struct mark *m = &t->marks[i];
        *id = m->id;
        if (m->special && mark_size(t, m) == n && !memcmp(mark_text(t, m), text, n))
            return true;
    }
    return false;
}

enum rbe_status rbe_tokenizer_fits(struct rbe_tokenizer *t, const char *folder,
                                   uint32_t vocab, uint32_t eos, struct rbe_diag *d)
{
    if (t->vocab > vocab || vocab - t->vocab > MAX_PADDING)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: a vocabulary of %u tokens does not fit a "
                        "model of %u", folder, t->vocab, vocab);
    for (size_t i = 0; i < t->mark_count && t->eos != eos; i++)
        if (t->marks[i].special && t->marks[i].id == eos)
            t->eos = eos;
    if (t->eos != eos)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %.*s is token %u, the model ends with %u",
                        folder, (int)(t->start[t->eos + 1] - t->start[t->eos]),
                        t->bytes + t->start[t->eos], t->eos, eos);
    return RBE_OK;
}

/* Whether b looks for every token that a looks for.  The pass is not compared: it differs by
 * the form of the files, and decides only where two of them overlap. */
static bool looks_for(const struct rbe_tokenizer *b, const struct rbe_tokenizer *a,
                      bool special)
{
    bool all = true;

    for (size_t i = 0; i < a->mark_count && all; i++) {
        const struct mark *m = &a->marks[i];
        bool found = m->special && !special;
        for (size_t k = 0; k < b->mark_count && !found; k++)
            found = b->marks[k].id == m->id && b->marks[k].special == m->special;
        all = found;
    }
    return all;
}

enum rbe_status rbe_tokenizer_alike(const struct rbe_tokenizer *a,
                                    const struct rbe_tokenizer *b, bool special,
                                    struct rbe_diag *d)
{
    /* What one has more is padding: nothing that is compared below makes such a token. */
    const uint32_t vocab = a->vocab < b->vocab ? a->vocab : b->vocab;
    const char *what = NULL;

    for (uint32_t i = 0; i < vocab; i++) {
        size_t m, n;
        const char *x = rbe_tokenizer_bytes(a, i, &m), *y = rbe_tokenizer_bytes(b, i, &n);
        if (m != n || memcmp(x, y, n))
            return rbe_fail(d, RBE_ERR_MISMATCH, "token %u", i);
    }
    if (memcmp(a->byte_id, b->byte_id, sizeof a->byte_id) ||
        a->merge_count != b->merge_count ||
        memcmp(a->merges, b->merges, a->merge_count * sizeof *a->merges))
        what = "merges";
    else if (a->pattern != b->pattern || !a->whole != !b->whole)
        what = "how texts are cut into words";
    else if (a->nfc != b->nfc)
        what = "the Unicode form of texts";
    else if (!looks_for(a, b, special) || !looks_for(b, a, special))
        what = "added tokens";
    else if (a->bos != b->bos)
        what = "the token before a text";
    return what ? rbe_fail(d, RBE_ERR_MISMATCH, "%s", what) : RBE_OK;
}

const char *rbe_tokenizer_bytes(const struct rbe_tokenizer *t, uint32_t id, size_t *size)
{
    if (size)
        *size = 0;
    if (!t || !size || id >= t->vocab)
        return NULL;
    *size = t->start[id + 1] - t->start[id];
    return t->bytes + t->start[id];
}

/* --- encoding ----------------------------------------------------------------------------- */

/* A symbol of the word being merged, in a doubly linked list. */
struct symbol {
    uint32_t id;
    int32_t prev, next;         /* NO_ID at the ends */
};

/* A merge that may be possible: `at` with its right neighbour. */
struct candidate {
    uint32_t rank, at;
    uint32_t left, right, id;   /* stale when the symbols there are others by now */
};

struct seen {
    const char *text;           /* the word */
    size_t size;
    size_t ids, count;          /* what it became, in the output */
};

struct encoder {
    const struct rbe_tokenizer *t;
    uint32_t *ids;
    size_t count, room;
    struct symbol *symbols;
    struct candidate *heap;
    size_t heap_size, word_room;
    struct seen *seen;
    size_t seen_mask;
    char **forms;               /* texts in the form NFC, in which words of `seen` lie */
    size_t form_count;
    size_t kind;                /* hint of rbe_unicode_kind() */
    bool special;               /* special tokens are not text */
    bool looks[PASSES];         /* is there a mark to look for? */
};

static bool before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct encoder *e, struct candidate c)
{
    size_t i = e->heap_size++;

    for (; i && before(&c, &e->heap[(i - 1) / 2]); i = (i - 1) / 2)
        e->heap[i] = e->heap[(i - 1) / 2];
    e->heap[i] = c;
}

static struct candidate heap_pop(struct encoder *e)
{
    const struct candidate top = e->heap[0], last = e->heap[--e->heap_size];
    size_t i = 0;

    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= e->heap_size)
            break;
        if (child + 1 < e->heap_size && before(&e->heap[child + 1], &e->heap[child]))
            child++;
        if (!before(&e->heap[child], &last))
            break;
        e->heap[i] = e->heap[child];
        i = child;
    }
    e->heap[i] = last;
    return top;
}

static void consider(struct encoder *e, int32_t at)
{
    if (at < 0 || e->symbols[at].next < 0)
        return;
    const uint32_t left = e->symbols[at].id, right = e->symbols[e->symbols[at].next].id;
    const uint32_t rank = e->t->ranks[merge_slot(e->t, left, right)];
    if (rank)
        heap_push(e, (struct candidate){rank, (uint32_t)at, left, right,
                                        e->t->merges[rank - 1].id});
}

static bool grow_word(struct encoder *e, size_t n)
{
    if (n <= e->word_room)
        return true;
    const size_t room = 2 * n;
    free(e->symbols);
    free(e->heap);
    e->symbols = malloc(room * sizeof *e->symbols);
    /* n - 1 pairs at first, and at most two new ones for each of the n - 1 merges. */
    e->heap = malloc(3 * room * sizeof *e->heap);
    e->word_room = e->symbols && e->heap ? room : 0;
    return e->word_room;
}

static bool grow_ids(struct encoder *e, size_t n)
{
    if (e->count + n <= e->room)
        return true;
    const size_t room = 2 * e->room + n;
    uint32_t *ids = realloc(e->ids, room * sizeof *ids);
    if (!ids)
        return false;
    e->ids = ids;
    e->room = room;
    return true;
}

/* Appends a word's ids; false when out of memory. */
static bool merge_word(struct encoder *e, const char *word, size_t size)
{
    struct symbol *s;
    int32_t n = 0;

    if (!grow_word(e, size) || !grow_ids(e, size))
        return false;
    if (e->t->whole) {
        e->ids[e->count] = e->t->whole[whole_slot(e->t, word, size)];
        if (e->ids[e->count] != NO_TOKEN) {
            e->count++;
            return true;
        }
    }
    s = e->symbols;
    for (size_t i = 0; i < size; i++) {
        const uint32_t id = e->t->byte_id[(unsigned char)word[i]];
        s[n] = (struct symbol){id, n - 1, n + 1};
        n += id != NO_TOKEN;
    }
    if (!n)
        return true;
    s[n - 1].next = NO_ID;
    e->heap_size = 0;
    for (int32_t i = 0; i + 1 < n; i++)
        consider(e, i);
    while (e->heap_size) {
        const struct candidate c = heap_pop(e);
        struct symbol *a = &s[c.at];
        if (a->id != c.left || a->next < 0 || s[a->next].id != c.right)
            continue;
        s[a->next].id = UINT32_MAX;     /* gone: no candidate may match it */
        a->id = c.id;
        a->next = s[a->next].next;
        if (a->next >= 0)
            s[a->next].prev = (int32_t)c.at;
        consider(e, a->prev);
        consider(e, (int32_t)c.at);
    }
    for (int32_t i = 0; i >= 0; i = s[i].next)
        e->ids[e->count++] = s[i].id;
    return true;
}

static bool add_word(struct encoder *e, const char *word, size_t size)
{
    struct seen *w = &e->seen[XXH3_64bits(word, size) & e->seen_mask];

    if (w->size == size && !memcmp(w->text, word, size)) {
        if (!grow_ids(e, w->count))
            return false;
        memcpy(e->ids + e->count, e->ids + w->ids, w->count * sizeof *e->ids);
        e->count += w->count;
        return true;
    }
    const size_t first = e->count;
    if (!merge_word(e, word, size))
        return false;
    *w = (struct seen){word, size, first, e->count - first};
    return true;
}

/* Cuts text[at, end) into words.  A look-ahead sees no further than `end`. */
static enum rbe_status add_words(struct encoder *e, const char *text, size_t at, size_t end,
                                 struct rbe_diag *d)
{
    while (at < end) {
        const size_t n = rbe_next_word(e->t->pattern, text + at, end - at, &e->kind);
        if (!n)
            return rbe_fail(d, RBE_ERR_FORMAT, "not valid UTF-8 at byte %zu", at);
        if (!add_word(e, text + at, n))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        at += n;
    }
    return RBE_OK;
}

/* The first mark of the pass in text[*at, end), the longest that begins there; *at is where.
 * NULL when there is none. */
static const struct mark *find_mark(const struct encoder *e, const char *text, size_t *at,
                                    size_t end, unsigned pass)
{
    const struct rbe_tokenizer *t = e->t;

    for (size_t i = *at; i < end; i++) {
        const unsigned char c = (unsigned char)text[i];
        for (uint32_t k = t->mark_at[c]; k < t->mark_at[c + 1]; k++) {
            const struct mark *m = &t->marks[k];
            const size_t n = mark_size(t, m);
            if (m->pass == pass && (e->special || !m->special) && n <= end - i &&
                !memcmp(text + i, mark_text(t, m), n)) {
                *at = i;
                return m;
            }
        }
    }
    return NULL;
}

static enum rbe_status add_text(struct encoder *e, const char *text, size_t at, size_t end,
                                unsigned pass, struct rbe_diag *d);

/* text[at, end) in the form NFC, in which later marks are looked for (Hugging Face's
 * "normalized").  What is not valid UTF-8 is said where words are cut. */
static enum rbe_status add_normal(struct encoder *e, const char *text, size_t at, size_t end,
                                  struct rbe_diag *d)
{
    size_t size;
    char *form;
    enum rbe_status err;

    if ((err = rbe_normal_form(&form, &size, text + at, end - at, d)))
        return err;
    if (!form)
        return add_text(e, text, at, end, 1, d);
    char **forms = realloc(e->forms, (e->form_count + 1) * sizeof *forms);
    if (!forms) {
        free(form);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    e->forms = forms;
    e->forms[e->form_count++] = form;
    return add_text(e, form, 0, size, 1, d);
}

/* text[at, end), in which the marks of the passes before are none. */
static enum rbe_status add_text(struct encoder *e, const char *text, size_t at, size_t end,
                                unsigned pass, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    if (pass == PASSES)
        return add_words(e, text, at, end, d);
    while (!err && at < end) {
        size_t where = at;
        const struct mark *m = e->looks[pass] ? find_mark(e, text, &where, end, pass) : NULL;
        const size_t stop = m ? where : end;
        err = pass == 0 && e->t->nfc ? add_normal(e, text, at, stop, d)
            : add_text(e, text, at, stop, pass + 1, d);
        at = end;
        if (!err && m) {
            if (!grow_ids(e, 1))
                return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
            e->ids[e->count++] = m->id;
            at = where + mark_size(e->t, m);
        }
    }
    return err;
}

enum rbe_status rbe_tokenizer_encode(const struct rbe_tokenizer *t, const char *text,
                                     size_t size, bool special, uint32_t **ids, size_t *count,
                                     struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    size_t slots = 64;

    if (ids)
        *ids = NULL;
    if (count)
        *count = 0;
    if (!t || !ids || !count || (size && !text))
        return rbe_fail_null(d);
    struct encoder e = {.t = t, .special = special || t->parse};
    if (size > INT32_MAX)       /* symbols are indexed by int32_t */
        return rbe_fail(d, RBE_ERR_LIMIT, "a text of %zu bytes is too long", size);
    while (slots < size / 8 && slots < 1 << 16)
        slots *= 2;
    e.seen = calloc(slots, sizeof *e.seen);
    e.seen_mask = slots - 1;
    if (!e.seen || !grow_ids(&e, size / 4 + 16)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t i = 0; i < t->mark_count; i++)
        e.looks[t->marks[i].pass] |= e.special || !t->marks[i].special;
    err = add_text(&e, text, 0, size, 0, d);
out:
    for (size_t i = 0; i < e.form_count; i++)
        free(e.forms[i]);
    free(e.forms);
    free(e.seen);
    free(e.symbols);
    free(e.heap);
    if (err) {
        free(e.ids);
        return err;
    }
    *ids = e.ids;
    *count = e.count;
    return RBE_OK;
}

/* --- decoding ----------------------------------------------------------------------------- */

char *rbe_tokenizer_text(const struct rbe_tokenizer *t, const uint32_t *ids, size_t count,
                         size_t *size)
{
    size_t total = 0, at = 0, n, to = 0;
    uint32_t code;

    if (!t || (count && !ids))
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (!rbe_tokenizer_bytes(t, ids[i], &n))
            return NULL;
        total += n;
    }
    char *raw = malloc(total + 1), *text = malloc(3 * total + 1);
    if (!raw || !text) {
        free(raw);
        free(text);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const char *b = rbe_tokenizer_bytes(t, ids[i], &n);
        memcpy(raw + at, b, n);
        at += n;
    }
    for (size_t i = 0; i < total;) {
        n = rbe_utf8_char(raw + i, total - i, &code);
        memcpy(text + to, n ? raw + i : "\xEF\xBF\xBD", n ? n : 3);
        to += n ? n : 3;
        i += n ? n : 1;
    }
    text[to] = 0;
    free(raw);
    if (size)
        *size = to;
    return text;
}
