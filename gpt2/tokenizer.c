/*
 * tokenizer.c - GPT-2's byte-level BPE.
 *
 * SPDX-License-Identifier: MIT
 *
 * PCRE2 cuts the text into words by GPT-2's pattern; a word's bytes are merged pair by pair,
 * lowest rank first, through a heap, so that a word of n bytes costs n log n.  Words repeat:
 * a table remembers where in the output each was last written, and copies from there.
 */
#include "gpt2/tokenizer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <jansson.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "rbe/file.h"
#include "rbe/json.h"

/*
 * GPT-2's pattern.  Its \s is Unicode's White_Space, which PCRE2's is not quite (that also
 * takes U+180E), so the set is spelled out.
 */
#define SPACE "\\x09-\\x0D\\x20\\x85\\xA0\\x{1680}\\x{2000}-\\x{200A}\\x{2028}\\x{2029}"       \
              "\\x{202F}\\x{205F}\\x{3000}"
static const char pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^" SPACE "\\p{L}\\p{N}]+|"
    "[" SPACE "]+(?![^" SPACE "])|[" SPACE "]+";

static const char special_text[] = "<|endoftext|>";
enum { SPECIAL_SIZE = sizeof special_text - 1, NO_ID = -1 };

/* Two neighbouring tokens that become one. */
struct merge {
    uint32_t left, right;
    uint32_t rank;              /* line of merges.txt, from 1; 0: slot is free */
    uint32_t id;
};

struct rbe_tokenizer {
    uint32_t vocab, eos;
    uint32_t byte_id[256];
    char *bytes;                /* of all tokens, one after the other */
    size_t *start;              /* [vocab + 1] into bytes */
    struct merge *merges;       /* open addressing, mask + 1 slots */
    size_t mask;
    pcre2_code *words;
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

/* The first of two names that exists in the folder; fresh. */
static char *pick(const char *folder, const char *a, const char *b)
{
    char *path = rbe_path_join(folder, a);
    FILE *f = path ? fopen(path, "rb") : NULL;

    if (f) {
        fclose(f);
        return path;
    }
    free(path);
    return rbe_path_join(folder, b);
}

static enum rbe_status load_tokens(struct rbe_tokenizer *t, const json_t *vocab,
                                   const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    int16_t byte_of[512];
    uint16_t code_of[256];
    const char *token, **by_id = NULL;
    size_t total = 0, at = 0, n;
    json_t *id;

    memset(byte_of, NO_ID, sizeof byte_of);
    byte_chars(code_of);
    for (int b = 0; b < 256; b++)
        byte_of[code_of[b]] = (int16_t)b;

    const size_t count = json_object_size(vocab);
    if (count < 257 || count > 1 << 24)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu tokens; a byte-level vocabulary has 257 or "
                        "more", path, count);
    t->vocab = (uint32_t)count;
    by_id = calloc(count, sizeof *by_id);
    t->start = calloc(count + 1, sizeof *t->start);
    if (!by_id || !t->start) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    json_object_foreach((json_t *)(uintptr_t)vocab, token, id) {
        const json_int_t i = json_integer_value(id);
        if (!json_is_integer(id) || i < 0 || (size_t)i >= count || by_id[i]) {
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: ids are not 0 to %zu, each once", path,
                           count - 1);
            goto out;
        }
        by_id[i] = token;
        total += strlen(token);
    }
    t->bytes = malloc(total + 1);
    if (!t->bytes) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    memset(t->byte_id, 0xFF, sizeof t->byte_id);
    t->eos = UINT32_MAX;
    for (uint32_t i = 0; i < t->vocab; i++) {
        if (!token_bytes(by_id[i], byte_of, t->bytes + at, &n)) {
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: token %u is not in byte-level form", path,
                           i);
            goto out;
        }
        if (n == 1)
            t->byte_id[(unsigned char)t->bytes[at]] = i;
        if (!strcmp(by_id[i], special_text))
            t->eos = i;
        t->start[i] = at;
        at += n;
    }
    t->start[t->vocab] = at;
    for (int b = 0; !err && b < 256; b++)
        if (t->byte_id[b] == UINT32_MAX)
            err = rbe_fail(d, RBE_ERR_FORMAT, "%s: byte 0x%02X has no token", path, b);
    if (!err && t->eos == UINT32_MAX)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is not in it", path, special_text);
out:
    free(by_id);
    return err;
}

static size_t merge_slot(const struct rbe_tokenizer *t, uint32_t left, uint32_t right)
{
    const uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15ULL;
    size_t i = (size_t)(key >> 24) & t->mask;

    while (t->merges[i].rank && (t->merges[i].left != left || t->merges[i].right != right))
        i = (i + 1) & t->mask;
    return i;
}

static enum rbe_status add_merge(struct rbe_tokenizer *t, const json_t *vocab, char *line,
                                 size_t size, uint32_t rank, const char *path, size_t number,
                                 struct rbe_diag *d)
{
    char *space = memchr(line, ' ', size);

    if (!space || space == line || space == line + size - 1 ||
        memchr(space + 1, ' ', size - (size_t)(space + 1 - line)))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: line %zu is not two tokens", path, number);
    const size_t a = (size_t)(space - line), b = size - a - 1;
    const json_t *left = json_object_getn(vocab, line, a);
    const json_t *right = json_object_getn(vocab, space + 1, b);
    memmove(space, space + 1, b);
    const json_t *both = json_object_getn(vocab, line, a + b);
    if (!left || !right || !both)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: line %zu makes a token that is not in the "
                        "vocabulary", path, number);
    const uint32_t l = (uint32_t)json_integer_value(left);
    const uint32_t r = (uint32_t)json_integer_value(right);
    struct merge *m = &t->merges[merge_slot(t, l, r)];
    if (m->rank)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: line %zu repeats a merge", path, number);
    *m = (struct merge){l, r, rank, (uint32_t)json_integer_value(both)};
    return RBE_OK;
}

static enum rbe_status load_merges(struct rbe_tokenizer *t, const json_t *vocab,
                                   const char *path, struct rbe_diag *d)
{
    enum rbe_status err;
    size_t size, lines = 0, slots = 64;
    char *text;

    if ((err = rbe_read_file(&text, &size, path, d)))
        return err;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    if (lines > 1 << 24) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %zu lines are too many", path, lines);
        goto out;
    }
    while (slots < 2 * (lines + 2))
        slots *= 2;
    t->mask = slots - 1;
    t->merges = calloc(slots, sizeof *t->merges);
    if (!t->merges) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    uint32_t rank = 0;
    size_t number = 0;
    for (char *p = text, *end = text + size; !err && p < end;) {
        char *eol = memchr(p, '\n', (size_t)(end - p));
        char *next = eol ? eol + 1 : end;
        size_t n = (size_t)((eol ? eol : end) - p);
        number++;
        if (n && p[n - 1] == '\r')
            n--;
        if (n && !(number == 1 && n >= 8 && !memcmp(p, "#version", 8)))
            err = add_merge(t, vocab, p, n, ++rank, path, number, d);
        p = next;
    }
    if (!err && !rank)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: no merges", path);
out:
    free(text);
    return err;
}

enum rbe_status rbe_tokenizer_open(struct rbe_tokenizer **out, const char *folder,
                                   struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char *vocab_path = pick(folder, "vocab.json", "encoder.json"), *text = NULL;
    char *merges_path = pick(folder, "merges.txt", "vocab.bpe");
    json_t *vocab = NULL;
    json_error_t je;
    size_t size;
    int code;
    PCRE2_SIZE where;

    *out = NULL;
    struct rbe_tokenizer *t = calloc(1, sizeof *t);
    if (!t || !vocab_path || !merges_path) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
        goto out;
    }
    if ((err = rbe_read_file(&text, &size, vocab_path, d)))
        goto out;
    if ((err = rbe_json_load(&vocab, text, size, JSON_REJECT_DUPLICATES, &je, vocab_path,
                             d))) {
        if (err != RBE_ERR_NOMEM)
            err = rbe_fail(d, err, "%s: not valid JSON at byte %d", vocab_path,
                           je.position < 0 ? 0 : je.position);
        goto out;
    }
    if ((err = load_tokens(t, vocab, vocab_path, d)) ||
        (err = load_merges(t, vocab, merges_path, d)))
        goto out;
    t->words = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
                             &code, &where, NULL);
    if (!t->words) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "the word pattern does not compile: PCRE2 error %d",
                       code);
        goto out;
    }
    /* Without a JIT for this machine the interpreter does the same, slower. */
    pcre2_jit_compile(t->words, PCRE2_JIT_COMPLETE);
out:
    json_decref(vocab);
    free(text);
    free(vocab_path);
    free(merges_path);
    if (err)
        rbe_tokenizer_close(&t);
    *out = t;
    return err;
}

void rbe_tokenizer_close(struct rbe_tokenizer **pp)
{
    struct rbe_tokenizer *t = *pp;

    if (!t)
        return;
    pcre2_code_free(t->words);
    free(t->merges);
    free(t->start);
    free(t->bytes);
    free(t);
    *pp = NULL;
}

uint32_t rbe_tokenizer_vocab(const struct rbe_tokenizer *t)
{
    return t->vocab;
}

uint32_t rbe_tokenizer_eos(const struct rbe_tokenizer *t)
{
    return t->eos;
}

enum rbe_status rbe_tokenizer_fits(const struct rbe_tokenizer *t, const char *folder,
                                   uint32_t vocab, uint32_t eos, struct rbe_diag *d)
{
    if (t->vocab != vocab)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: a vocabulary of %u tokens does not fit a "
                        "model of %u", folder, t->vocab, vocab);
    if (t->eos != eos)
        return rbe_fail(d, RBE_ERR_MISMATCH, "%s: %s is token %u, the model ends with %u",
                        folder, special_text, t->eos, eos);
    return RBE_OK;
}

const char *rbe_tokenizer_bytes(const struct rbe_tokenizer *t, uint32_t id, size_t *size)
{
    *size = 0;
    if (id >= t->vocab)
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
    size_t text, size;          /* the word */
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
    const struct merge *m = &e->t->merges[merge_slot(e->t, left, right)];
    if (m->rank)
        heap_push(e, (struct candidate){m->rank, (uint32_t)at, left, right, m->id});
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

    if (!grow_word(e, size) || !grow_ids(e, size))
        return false;
    s = e->symbols;
    for (size_t i = 0; i < size; i++)
        s[i] = (struct symbol){e->t->byte_id[(unsigned char)word[i]], (int32_t)i - 1,
                               i + 1 < size ? (int32_t)i + 1 : NO_ID};
    e->heap_size = 0;
    for (size_t i = 0; i + 1 < size; i++)
        consider(e, (int32_t)i);
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

static bool add_word(struct encoder *e, const char *text, size_t at, size_t size)
{
    struct seen *w = &e->seen[XXH3_64bits(text + at, size) & e->seen_mask];

    if (w->size == size && !memcmp(text + w->text, text + at, size)) {
        if (!grow_ids(e, w->count))
            return false;
        memcpy(e->ids + e->count, e->ids + w->ids, w->count * sizeof *e->ids);
        e->count += w->count;
        return true;
    }
    const size_t first = e->count;
    if (!merge_word(e, text + at, size))
        return false;
    *w = (struct seen){at, size, first, e->count - first};
    return true;
}

/* Cuts text[at, end) into words.  A look-ahead sees no further than `end`. */
static enum rbe_status add_words(struct encoder *e, pcre2_match_data *md, const char *text,
                                 size_t at, size_t end, struct rbe_diag *d)
{
    uint32_t flags = 0;         /* the first match checks the UTF-8 to the end */

    while (at < end) {
        const int rc = pcre2_match(e->t->words, (PCRE2_SPTR)text, end, at, flags, md, NULL);
        /* What follows a special token must begin with a character. */
        if (rc == PCRE2_ERROR_BADUTFOFFSET)
            return rbe_fail(d, RBE_ERR_FORMAT, "not valid UTF-8 at byte %zu", at);
        if (rc < 0 && rc >= PCRE2_ERROR_UTF8_ERR21 && rc <= PCRE2_ERROR_UTF8_ERR1)
            return rbe_fail(d, RBE_ERR_FORMAT, "not valid UTF-8 at byte %zu",
                            (size_t)pcre2_get_startchar(md));
        if (rc < 0)
            return rbe_fail(d, RBE_ERR_NOMEM, "PCRE2 error %d at byte %zu", rc, at);
        const size_t stop = pcre2_get_ovector_pointer(md)[1];
        if (!add_word(e, text, at, stop - at))
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        at = stop;
        flags = PCRE2_NO_UTF_CHECK;
    }
    return RBE_OK;
}

enum rbe_status rbe_tokenizer_encode(const struct rbe_tokenizer *t, const char *text,
                                     size_t size, bool special, uint32_t **ids, size_t *count,
                                     struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    struct encoder e = {.t = t};
    size_t slots = 64;

    *ids = NULL;
    *count = 0;
    if (size > INT32_MAX)       /* symbols are indexed by int32_t */
        return rbe_fail(d, RBE_ERR_LIMIT, "a text of %zu bytes is too long", size);
    while (slots < size / 8 && slots < 1 << 16)
        slots *= 2;
    e.seen = calloc(slots, sizeof *e.seen);
    e.seen_mask = slots - 1;
    pcre2_match_data *md = pcre2_match_data_create(1, NULL);
    if (!e.seen || !md || !grow_ids(&e, size / 4 + 16)) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        goto out;
    }
    for (size_t at = 0; !err && at < size;) {
        const char *mark = special ? memmem(text + at, size - at, special_text, SPECIAL_SIZE)
                                   : NULL;
        const size_t end = mark ? (size_t)(mark - text) : size;
        err = add_words(&e, md, text, at, end, d);
        at = end;
        if (!err && mark) {
            if (!grow_ids(&e, 1)) {
                err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
                break;
            }
            e.ids[e.count++] = t->eos;
            at += SPECIAL_SIZE;
        }
    }
out:
    pcre2_match_data_free(md);
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

/* Bytes of the well-formed UTF-8 character at s (Unicode's table 3-7), or 0. */
static size_t character(const unsigned char *s, size_t left)
{
    const unsigned c = s[0];
    const size_t n = c < 0x80   ? 1
                     : c < 0xC2 ? 0
                     : c < 0xE0 ? 2
                     : c < 0xF0 ? 3
                     : c < 0xF5 ? 4
                                : 0;

    if (n < 2)
        return n;
    const unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    const unsigned high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (left < n || s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xC0) != 0x80)
            return 0;
    return n;
}

char *rbe_tokenizer_text(const struct rbe_tokenizer *t, const uint32_t *ids, size_t count,
                         size_t *size)
{
    size_t total = 0, at = 0, n, to = 0;

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
        n = character((const unsigned char *)raw + i, total - i);
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
