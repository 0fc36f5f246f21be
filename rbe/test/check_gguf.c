/*
 * check_gguf.c - the reader against hostile files, each block format against codes packed by
 * hand and against reference values, and the writer against the reader.
 *
 * SPDX-License-Identifier: MIT
 *
 * Run it under CONFIG=asan too: whatever the file says, nothing may be read outside it.  The
 * reference values of ../shared/data/gguf come from other software.
 */
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "kernels/f16.h"
#include "kernels/test/check.h"
#include "rbe/gguf.h"

static char dir[] = "/tmp/rbe-check-gguf-XXXXXX";
static char path[64];
static double touched;

/* --- a file made by hand ------------------------------------------------------------------ */

static uint8_t bytes[1 << 16];
static size_t size;

static void put(uint64_t x, int n)
{
    for (int i = 0; i < n; i++)
        bytes[size++] = (uint8_t)(i < 8 ? x >> 8 * i : 0);
}

static void put_text(const char *s, size_t n)
{
    put(n, 8);
    memcpy(bytes + size, s, n);
    size += n;
}

static void put_key(const char *key, uint32_t kind)
{
    put_text(key, strlen(key));
    put(kind, 4);
}

static void put_u32(const char *key, uint32_t x)
{
    put_key(key, RBE_GV_U32);
    put(x, 4);
}

static void put_start(uint32_t version, uint64_t tensors, uint64_t values)
{
    size = 0;
    put(0x46554747, 4);         /* "GGUF" */
    put(version, 4);
    put(tensors, 8);
    put(values, 8);
}

static void put_tensor(const char *name, uint32_t type, uint64_t cols, uint64_t rows,
                       uint64_t offset)
{
    put_text(name, strlen(name));
    put(rows ? 2 : 1, 4);
    put(cols, 8);
    if (rows)
        put(rows, 8);
    put(type, 4);
    put(offset, 8);
}

/* The data section: zeros from the next multiple of the alignment on. */
static void put_data(size_t n, size_t alignment)
{
    while (size % alignment)
        put(0, 1);
    memset(bytes + size, 0, n);
    size += n;
}

static void save(void)
{
    FILE *f = fopen(path, "wb");
    CHECK(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

/* Touches everything a file offers, so that a sanitizer sees a bad pointer. */
static void touch_value(const struct rbe_gguf_value *v)
{
    struct rbe_gguf_value item = {0};

    for (uint64_t i = 0; v->kind == RBE_GV_ARRAY && i < v->count; i++) {
        rbe_gguf_next(&item, v);
        touch_value(&item);
    }
    for (size_t i = 0; i < v->bytes; i++)
        touched += v->data[i];
}

static void touch(const struct rbe_gguf *g)
{
    for (size_t i = 0; i < rbe_gguf_value_count(g); i++) {
        touch_value(rbe_gguf_value_at(g, i));
        CHECK(rbe_gguf_value(g, rbe_gguf_value_at(g, i)->key) == rbe_gguf_value_at(g, i));
    }
    for (size_t i = 0; i < rbe_gguf_count(g); i++) {
        const struct rbe_gguf_tensor *t = rbe_gguf_at(g, i);
        float *x = malloc(t->rows * t->cols * sizeof *x);
        CHECK(rbe_gguf_find(g, t->name) == t);
        touched += rbe_gguf_decode(x, t, 0, t->rows, NULL) ? 0 : x[t->rows * t->cols - 1];
        free(x);
    }
}

/* Opening must fail with RBE_ERR_FORMAT and one line that names the file and says `reason`. */
static void refuse(const char *reason, int line)
{
    struct rbe_gguf *g = NULL;
    struct rbe_diag d = {""};

    save();
    const enum rbe_status err = rbe_gguf_open(&g, path, &d);
    if (!check_that(err == RBE_ERR_FORMAT && !g && strstr(d.text, path) &&
                    strstr(d.text, reason) && !strchr(d.text, '\n'), __FILE__, line,
                    "is refused with the right reason"))
        printf("     status %d, '%s', want '%s'\n", err, d.text, reason);
    rbe_gguf_close(&g);
}

static struct rbe_gguf *open_good(int line)
{
    struct rbe_gguf *g = NULL;
    struct rbe_diag d = {""};

    save();
    if (!check_that(!rbe_gguf_open(&g, path, &d), __FILE__, line, "is read")) {
        printf("     '%s'\n", d.text);
        exit(check_done());
    }
    return g;
}

#define REFUSE(reason) refuse((reason), __LINE__)
#define GOOD() open_good(__LINE__)

/* --- hostile files ------------------------------------------------------------------------ */

static void check_start(void)
{
    static const uint32_t versions[] = {0, 1, 4, 0x01000000, 0x03000000};
    static const char *const reasons[] = {"version 0", "version 1,", "version 4",
                                          "big-endian", "big-endian"};

    for (uint32_t v = 2; v <= 3; v++) {
        put_start(v, 0, 0);
        struct rbe_gguf *g = GOOD();
        CHECK(rbe_gguf_version(g) == v && rbe_gguf_alignment(g) == 32 && !rbe_gguf_count(g) &&
              !rbe_gguf_value_count(g) && rbe_gguf_file_bytes(g) == 24 &&
              !rbe_gguf_find(g, "x") && !rbe_gguf_value(g, "x") && !rbe_gguf_at(g, 0) &&
              !rbe_gguf_value_at(g, 0));
        rbe_gguf_close(&g);
    }
    for (int i = 0; i < 5; i++) {
        put_start(versions[i], 0, 0);
        REFUSE(reasons[i]);
    }
    for (size_t n = 0; n < 24; n++) {
        put_start(3, 0, 0);
        size = n;
        REFUSE(n ? n < 4 ? "is no GGUF file" : "ends within" : "is empty");
    }
    size = 0;
    put_text("hello", 5);
    REFUSE("is no GGUF file");
    memcpy(bytes, "version https://git-lfs.github.com/spec/v1\n", size = 43);
    REFUSE("LFS pointer");
    put_start(3, UINT64_MAX, 0);
    REFUSE("do not fit into the file");
    put_start(3, 0, UINT64_MAX);
    REFUSE("do not fit into the file");
    put_start(3, 1ULL << 40, 1ULL << 40);
    put(0, 8);
    REFUSE("do not fit into the file");

    struct rbe_gguf *g;
    struct rbe_diag d;
    CHECK(rbe_gguf_open(&g, dir, &d) == RBE_ERR_IO && !g);
    CHECK(rbe_gguf_open(&g, "/nonexistent/x", &d) == RBE_ERR_IO && !g);
    CHECK(!rbe_gguf_is(dir) && !rbe_gguf_is("/nonexistent/x.gguf"));
    put_start(3, 0, 0);
    save();
    CHECK(rbe_gguf_is(path));
    memcpy(bytes, "JSON", 4);
    save();
    CHECK(!rbe_gguf_is(path));
}

/* A value of that kind, its bytes those of `x`, in a file of its own. */
static void put_value(uint32_t kind, const void *x, size_t n)
{
    put_start(3, 0, 1);
    put_key("k", kind);
    memcpy(bytes + size, x, n);
    size += n;
}

/* An array's type, count and the first bytes of its elements. */
static void put_array(uint32_t element, uint64_t count, size_t elements)
{
    put_start(3, 0, 1);
    put_key("k", RBE_GV_ARRAY);
    put(element, 4);
    put(count, 8);
    memset(bytes + size, 0, elements);
    size += elements;
}

static void check_bad_values(void)
{
    static const int sizes[RBE_GV_COUNT] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    static const uint64_t counts[] = {1, 1ULL << 32, 1ULL << 61, UINT64_MAX / 8 + 2,
                                      UINT64_MAX};
    static const char *const keys[] = {"", "a\nb", "\xff", "\xc2\x9b", "a\0b"};
    static const size_t lengths[] = {0, 3, 1, 2, 3};

    put_value(RBE_GV_COUNT, "aaaaaaaa", 8);
    REFUSE("metadata 'k' is of an unknown type, 13");
    put_value(UINT32_MAX, "aaaaaaaa", 8);
    REFUSE("unknown type");
    put_value(RBE_GV_BOOL, "\2", 1);
    REFUSE("neither true nor false");
    for (uint32_t kind = 0; kind < RBE_GV_COUNT; kind++) {
        put_value(kind, "\0\0\0\0\0\0\0", sizes[kind] ? (size_t)sizes[kind] - 1 : 7);
        REFUSE(sizes[kind] == 1 ? "do not fit" : "longer than the file");
        for (int i = 0; i < 5; i++) {
            put_array(kind, counts[i], i ? 40 : 0);
            REFUSE("longer than the file");
        }
    }
    put_array(RBE_GV_COUNT, 0, 0);
    REFUSE("array of an unknown type");
    put_array(RBE_GV_BOOL, 3, 3);
    bytes[size - 1] = 7;
    REFUSE("neither true nor false");
    /* Texts that end past the file, the first or the second. */
    put_array(RBE_GV_STRING, 2, 16);
    bytes[size - 8] = 1;
    REFUSE("longer than the file");
    put_array(RBE_GV_STRING, 2, 16);
    memset(bytes + size - 16, 255, 8);
    REFUSE("longer than the file");
    put_value(RBE_GV_STRING, "\xff\xff\xff\xff\xff\xff\xff\xff" "aaa", 11);
    REFUSE("longer than the file");

    for (int i = 0; i < 5; i++) {
        put_start(3, 0, 1);
        put_text(keys[i], lengths[i]);
        put(RBE_GV_U64, 4);
        put(1, 8);
        REFUSE("key is empty, too long or not printable");
    }
    put_start(3, 0, 1);
    put(1ULL << 63, 8);
    put(0, 8);
    REFUSE("ends within the key");
    put_start(3, 0, 1);
    put(RBE_GGUF_MAX_KEY + 1, 8);
    memset(bytes + size, 'k', RBE_GGUF_MAX_KEY - 200);
    size += RBE_GGUF_MAX_KEY - 200;
    REFUSE("ends within the key");
    put_start(3, 0, 2);
    put_u32("a.b", 1);
    put_u32("a.b", 1);
    REFUSE("metadata 'a.b' is there twice");

    /* Arrays in arrays: eight are read, nine not, a million do not overrun the stack. */
    for (int deep = 8; deep <= 9; deep++) {
        put_array(RBE_GV_ARRAY, 1, 0);
        for (int i = 2; i < deep; i++) {
            put(RBE_GV_ARRAY, 4);
            put(1, 8);
        }
        put(RBE_GV_U8, 4);
        put(2, 8);
        put(0x1234, 2);
        if (deep == 8) {
            struct rbe_gguf *g = GOOD();
            touch(g);
            rbe_gguf_close(&g);
        } else {
            REFUSE("too many arrays in each other");
        }
    }
    put_array(RBE_GV_ARRAY, 1, 0);
    for (int i = 0; i < 5000; i++) {
        put(RBE_GV_ARRAY, 4);
        put(1, 8);
    }
    REFUSE("too many arrays in each other");

    static const uint32_t alignments[] = {0, 3, 24, 33, UINT32_MAX};
    for (int i = 0; i < 5; i++) {
        put_start(3, 0, 1);
        put_u32("general.alignment", alignments[i]);
        REFUSE("no power of two");
    }
    put_start(3, 0, 1);
    put_key("general.alignment", RBE_GV_STRING);
    put_text("32", 2);
    REFUSE("'general.alignment' (string) is not a whole number");
    put_start(3, 0, 1);
    put_key("split.count", RBE_GV_U16);
    put(3, 2);
    REFUSE("one of 3 files");
    put_start(3, 0, 1);
    put_key("split.count", RBE_GV_U16);
    put(1, 2);
    struct rbe_gguf *g = GOOD();
    rbe_gguf_close(&g);
}

/* One tensor "w" and so many bytes of data. */
static void put_one(uint32_t type, uint64_t cols, uint64_t rows, uint64_t offset, size_t data)
{
    put_start(3, 1, 0);
    put_tensor("w", type, cols, rows, offset);
    put_data(data, 32);
}

static void check_bad_tensors(void)
{
    static const char *const names[] = {"", "a\nb", "\xc3(", "a\0b"};
    static const size_t lengths[] = {0, 3, 2, 3};
    struct rbe_gguf *g;

    put_one(16, 256, 1, 0, 66);
    REFUSE("tensor 'w' is of type IQ2_XXS, which is not read");
    put_one(39, 32, 1, 0, 17);
    REFUSE("MXFP4");
    put_one(4711, 32, 1, 0, 64);
    REFUSE("unknown type, 4711");
    put_one(UINT32_MAX, 32, 1, 0, 64);
    REFUSE("unknown type");
    put_one(RBE_GT_Q4_0, 48, 1, 0, 64);
    REFUSE("rows of 48 are not whole blocks of 32, as Q4_0");
    put_one(RBE_GT_Q6_K, 576, 1, 0, 640);
    REFUSE("rows of 576 are not whole blocks of 256, as Q6_K");
    put_one(RBE_GT_F32, 0, 0, 0, 64);
    REFUSE("impossible dimensions");
    put_start(3, 1, 0);
    put_text("w", 1);
    put(2, 4);
    put(0, 8);
    put(8, 8);
    put(0, 12);
    REFUSE("impossible dimensions");
    /* 2^32 * 2^32 wraps to 0, 4 * 2^62 too. */
    put_one(RBE_GT_F32, 1ULL << 32, 1ULL << 32, 0, 64);
    REFUSE("impossible dimensions");
    put_one(RBE_GT_F32, 1ULL << 62, 0, 0, 64);
    REFUSE("impossible dimensions");
    put_one(RBE_GT_Q8_0, UINT64_MAX / 32 * 32, 0, 0, 64);
    REFUSE("impossible dimensions");
    put_start(3, 1, 0);
    put_text("w", 1);
    put(4, 4);
    for (int i = 0; i < 4; i++)
        put(1 << 16, 8);
    put(0, 12);
    REFUSE("impossible dimensions");
    /* The number of rows alone wraps to 0. */
    put_start(3, 1, 0);
    put_text("w", 1);
    put(3, 4);
    put(8, 8);
    put(1ULL << 32, 8);
    put(1ULL << 32, 8);
    put(0, 12);
    REFUSE("impossible dimensions");
    for (int dims = 0; dims <= 5; dims += 5) {
        put_start(3, 1, 0);
        put_text("w", 1);
        put((uint64_t)dims, 4);
        for (int i = 0; i < 5; i++)
            put(1, 8);
        put(0, 12);
        put_data(64, 32);
        REFUSE(dims ? "has 5 dimensions" : "has 0 dimensions");
    }
    for (int i = 0; i < 4; i++) {
        put_start(3, 1, 0);
        put_text(names[i], lengths[i]);
        put(1, 4);
        put(8, 8);
        put(0, 12);
        put_data(32, 32);
        REFUSE("a tensor's name is empty");
    }
    for (int n = RBE_GGUF_MAX_NAME; n <= RBE_GGUF_MAX_NAME + 1; n++) {
        char name[RBE_GGUF_MAX_NAME + 2] = "";
        memset(name, 'w', (size_t)n);
        put_start(3, 1, 0);
        put_tensor(name, RBE_GT_F32, 8, 0, 0);
        put_data(32, 32);
        if (n > RBE_GGUF_MAX_NAME) {
            REFUSE("longer than 64 bytes");
        } else {
            g = GOOD();
            rbe_gguf_close(&g);
        }
    }

    /* Offsets: past the end, by one byte, not aligned, over the header, wrapping. */
    put_one(RBE_GT_F32, 8, 0, 0, 31);
    REFUSE("ends past the");
    put_one(RBE_GT_F32, 8, 0, 64, 32);
    REFUSE("ends past the");
    put_one(RBE_GT_F32, 8, 0, UINT64_MAX - 31, 64);
    REFUSE("ends past the");
    put_one(RBE_GT_F32, 8, 0, 16, 64);
    REFUSE("not aligned to 32 bytes");
    put_one(RBE_GT_F32, 1ULL << 40, 0, 0, 64);
    REFUSE("ends past the");
    put_one(RBE_GT_F32, 8, 0, 32, 64);
    REFUSE("leaves a hole before it");
    put_one(RBE_GT_F32, 8, 0, 0, 33);
    REFUSE("1 bytes after the last tensor");
    /* A header that ends within a word, and no data at all. */
    put_start(3, 1, 0);
    put_tensor("w", RBE_GT_F32, 8, 0, 0);
    REFUSE("ends past the");

    /* Two tensors: [0, 40) and what follows at 64. */
    static const struct {
        uint64_t a, b;
        const char *reason;
    } pairs[] = {{0, 64, NULL},           {64, 0, NULL},
                 {0, 32, "overlaps"},     {0, 0, "overlaps"},
                 {0, 96, "hole"},         {64, 64, "hole"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        put_start(3, 2, 0);
        put_tensor("a", RBE_GT_F32, 10, 0, pairs[i].a);
        put_tensor("b", RBE_GT_F32, 5, 2, pairs[i].b);
        put_data(pairs[i].b > 64 || pairs[i].a == pairs[i].b ? 140 : 104, 32);
        if (pairs[i].reason) {
            REFUSE(pairs[i].reason);
            continue;
        }
        g = GOOD();
        touch(g);
        CHECK(!strcmp(rbe_gguf_at(g, 1)->name, "b") && rbe_gguf_at(g, 1)->rows == 2 &&
              rbe_gguf_at(g, 1)->cols == 5 && rbe_gguf_at(g, 1)->bytes == 40 &&
              rbe_gguf_find(g, "b")->offset == rbe_gguf_file_bytes(g) - (i ? 104 : 40));
        rbe_gguf_close(&g);
    }
    put_start(3, 2, 0);
    put_tensor("a", RBE_GT_F32, 8, 0, 0);
    put_tensor("a", RBE_GT_F32, 8, 0, 32);
    put_data(64, 32);
    REFUSE("tensor 'a' is there twice");

    /* Another alignment. */
    for (uint64_t alignment = 1; alignment <= 4096; alignment *= 64) {
        const uint64_t second = (3 + alignment - 1) / alignment * alignment;
        put_start(2, 2, 1);
        put_u32("general.alignment", (uint32_t)alignment);
        put_tensor("a", RBE_GT_F16, 1, 0, 0);
        put_tensor("b", RBE_GT_F16, 1, 0, second == 3 ? 2 : second);
        put_data(0, alignment);
        const size_t data = size;
        put_data((second == 3 ? 2 : second) + 2, 1);
        g = GOOD();
        touch(g);
        CHECK(rbe_gguf_alignment(g) == alignment && rbe_gguf_at(g, 0)->offset == data);
        rbe_gguf_close(&g);
    }
}

/* Of a whole file every beginning is refused, and no changed byte leads astray. */
static void check_damage(void)
{
    struct rbe_gguf *g;
    struct rbe_diag d;

    put_start(3, 3, 4);
    put_key("general.architecture", RBE_GV_STRING);
    put_text("llama", 5);
    put_u32("llama.block_count", 2);
    put_key("tokens", RBE_GV_ARRAY);
    put(RBE_GV_STRING, 4);
    put(3, 8);
    put_text("a", 1);
    put_text("", 0);
    put_text("bc", 2);
    put_key("nested", RBE_GV_ARRAY);
    put(RBE_GV_ARRAY, 4);
    put(2, 8);
    put(RBE_GV_BOOL, 4);
    put(2, 8);
    put(0x0100, 2);
    put(RBE_GV_F32, 4);
    put(1, 8);
    put(0x3F800000, 4);
    put_tensor("b.weight", RBE_GT_Q4_0, 32, 2, 0);
    put_tensor("a.weight", RBE_GT_F16, 3, 2, 64);
    put_tensor("c", RBE_GT_F32, 2, 0, 96);
    put_data(104, 32);
    const size_t whole = size;
    uint8_t good[1024];
    CHECK(whole <= sizeof good);
    memcpy(good, bytes, whole);
    g = GOOD();
    touch(g);
    rbe_gguf_close(&g);
    for (size = 0; size < whole; size++)
        REFUSE("");
    size = whole;
    for (size_t i = 0; i < whole; i++)
        for (int bit = 0; bit < 8; bit++) {
            memcpy(bytes, good, whole);
            bytes[i] ^= (uint8_t)(1 << bit);
            d.text[0] = 0;
            /* Memory that ends where the file does. */
            uint8_t *exact = malloc(whole);
            memcpy(exact, bytes, whole);
            if (!rbe_gguf_open_header(&g, exact, whole, whole, "x", &d)) {
                for (size_t k = 0; k < rbe_gguf_value_count(g); k++)
                    touch_value(rbe_gguf_value_at(g, k));
            } else if (!d.text[0] || strchr(d.text, '\n')) {
                CHECK(!"a reason of one line");
            }
            rbe_gguf_close(&g);
            free(exact);
        }
    CHECK(touched > 0);
}

/* --- metadata ----------------------------------------------------------------------------- */

static void check_values(void)
{
    static const struct {
        const char *key;
        uint32_t kind;
        uint64_t bits;
        int n;
    } numbers[] = {{"u8", RBE_GV_U8, 200, 1},       {"i8", RBE_GV_I8, 0xFF, 1},
                   {"u16", RBE_GV_U16, 65535, 2},   {"i16", RBE_GV_I16, 0x8000, 2},
                   {"u32", RBE_GV_U32, 4e9, 4},     {"i32", RBE_GV_I32, 0xFFFFFFFE, 4},
                   {"u64", RBE_GV_U64, UINT64_MAX, 8},
                   {"i64", RBE_GV_I64, UINT64_MAX - 4, 8},
                   {"f32", RBE_GV_F32, 0x3FC00000, 4},
                   {"f64", RBE_GV_F64, 0x3FF8000000000000, 8},
                   {"huge", RBE_GV_F64, 0x7FE0000000000000, 8},
                   {"nan", RBE_GV_F32, 0x7FC00000, 4},
                   {"yes", RBE_GV_BOOL, 1, 1},      {"no", RBE_GV_BOOL, 0, 1}};
    enum { NUMBERS = sizeof numbers / sizeof *numbers };

    put_start(3, 0, NUMBERS + 6);
    for (int i = 0; i < NUMBERS; i++) {
        put_key(numbers[i].key, numbers[i].kind);
        put(numbers[i].bits, numbers[i].n);
    }
    put_key("text", RBE_GV_STRING);
    put_text("na\xc3\xafve", 6);
    put_key("nul", RBE_GV_STRING);
    put_text("a\0b", 3);
    put_key("texts", RBE_GV_ARRAY);
    put(RBE_GV_STRING, 4);
    put(3, 8);
    put_text("one", 3);
    put_text("", 0);
    put_text("\0\xff", 2);
    put_key("bytes", RBE_GV_ARRAY);
    put(RBE_GV_I8, 4);
    put(3, 8);
    put(0x80FF01, 3);
    put_key("longs", RBE_GV_ARRAY);
    put(RBE_GV_U64, 4);
    put(2, 8);
    put(7, 8);
    put(1ULL << 31, 8);
    put_key("none", RBE_GV_ARRAY);
    put(RBE_GV_F64, 4);
    put(0, 8);
    struct rbe_gguf *g = GOOD();
    struct rbe_diag d = {""};
    uint32_t u;
    uint64_t w = 0;
    int64_t i = 0;
    double x = 0;
    bool b = false;
    char *s;

#define IS_U32(key, want) CHECK(!rbe_gguf_u32(&u, g, key, &d) && u == (want))
#define IS_I64(key, want) CHECK(rbe_gguf_as_i64(&i, rbe_gguf_value(g, key)) && i == (want))
#define IS_REAL(key, want) CHECK(rbe_gguf_as_real(&x, rbe_gguf_value(g, key)) && x == (want))
#define NOT(call, reason)                                                                      \
    CHECK((call) == RBE_ERR_FORMAT && strstr(d.text, path) && strstr(d.text, reason))
    IS_U32("u8", 200);
    IS_U32("u16", 65535);
    IS_U32("u32", 4000000000);
    NOT(rbe_gguf_u32(&u, g, "u64", &d), "'u64' (u64) is not a whole number from 0 to");
    NOT(rbe_gguf_u32(&u, g, "i8", &d), "whole number");
    NOT(rbe_gguf_u32(&u, g, "f32", &d), "whole number");
    NOT(rbe_gguf_u32(&u, g, "yes", &d), "whole number");
    NOT(rbe_gguf_u32(&u, g, "texts", &d), "'texts' (array of string) is not");
    NOT(rbe_gguf_u32(&u, g, "gone", &d), "metadata 'gone' is missing");
    CHECK(rbe_gguf_as_u64(&w, rbe_gguf_value(g, "u64")) && w == UINT64_MAX);
    CHECK(!rbe_gguf_as_u64(&w, rbe_gguf_value(g, "i64")));
    IS_I64("u8", 200);
    IS_I64("i8", -1);
    IS_I64("i16", -32768);
    IS_I64("i32", -2);
    IS_I64("i64", -5);
    CHECK(!rbe_gguf_as_i64(&i, rbe_gguf_value(g, "u64")));
    IS_REAL("f32", 1.5);
    IS_REAL("f64", 1.5);
    IS_REAL("i8", -1);
    IS_REAL("u64", 0x1p64);
    CHECK(!rbe_gguf_as_real(&x, rbe_gguf_value(g, "text")));
    CHECK(!rbe_gguf_bool(&b, g, "yes", &d) && b && !rbe_gguf_bool(&b, g, "no", &d) && !b);
    NOT(rbe_gguf_bool(&b, g, "u8", &d), "true or false");
    CHECK(!rbe_gguf_string(&s, g, "text", &d) && !strcmp(s, "na\xc3\xafve"));
    free(s);
    NOT(rbe_gguf_string(&s, g, "nul", &d), "a text without NUL");
    CHECK(!s);
    NOT(rbe_gguf_string(&s, g, "f32", &d), "a text without NUL");

    struct rbe_gguf_text *texts;
    int32_t *ints;
    size_t n = 0;
    CHECK(!rbe_gguf_strings(&texts, &n, g, "texts", &d) && n == 3 && texts[0].n == 3 &&
          !memcmp(texts[0].s, "one", 3) && !texts[1].n && texts[2].n == 2 &&
          !memcmp(texts[2].s, "\0\xff", 2));
    free(texts);
    NOT(rbe_gguf_strings(&texts, &n, g, "bytes", &d), "'bytes' (array of i8) is not an array");
    NOT(rbe_gguf_strings(&texts, &n, g, "text", &d), "an array of texts");
    CHECK(!texts);
    CHECK(!rbe_gguf_i32s(&ints, &n, g, "bytes", &d) && n == 3 && ints[0] == 1 &&
          ints[1] == -1 && ints[2] == -128);
    free(ints);
    NOT(rbe_gguf_i32s(&ints, &n, g, "longs", &d), "that i32 holds");
    CHECK(!ints);
    NOT(rbe_gguf_i32s(&ints, &n, g, "gone", &d), "missing");
    CHECK(!rbe_gguf_i32s(&ints, &n, g, "none", &d) && !n && ints);
    free(ints);
    NOT(rbe_gguf_i32s(&ints, &n, g, "texts", &d), "that i32 holds");
    CHECK(!strcmp(rbe_gguf_value_at(g, 0)->key, "u8") &&
          !strcmp(rbe_gguf_kind_name(rbe_gguf_value(g, "f64")->kind), "f64"));
    rbe_gguf_close(&g);
}

/* --- block formats ------------------------------------------------------------------------ */

/* One block, as its bytes, and what it means. */
struct block {
    uint8_t bytes[256];
    double weights[256];
};

static uint16_t random_half(struct check_rng *rng)
{
    /* Of either sign, tiny ones too, finite. */
    const uint32_t u = check_below(rng, 1 << 16);
    return (uint16_t)((u & 0x7C00) == 0x7C00 ? u ^ 0x4000 : u);
}

static double put_half(uint8_t *p, struct check_rng *rng)
{
    const uint16_t h = random_half(rng);
    p[0] = (uint8_t)h;
    p[1] = (uint8_t)(h >> 8);
    return rbe_f16_to_f32(h);
}

/* Plain types: one weight from random bits. */
static void make_f32(struct block *b, struct check_rng *rng)
{
    const float f = ldexpf((float)check_below(rng, 1 << 24) - 0x1p23F, -20);
    memcpy(b->bytes, &f, 4);
    b->weights[0] = f;
}

static void make_f16(struct block *b, struct check_rng *rng)
{
    b->weights[0] = put_half(b->bytes, rng);
}

static void make_bf16(struct block *b, struct check_rng *rng)
{
    const uint32_t u = check_below(rng, 0x7F80);
    b->bytes[0] = (uint8_t)u;
    b->bytes[1] = (uint8_t)(u >> 8);
    b->weights[0] = ldexp(u >> 7 ? 128 + (u & 127) : 2 * (u & 127), (int)(u >> 7) - 134);
}

/* Codes of `bits` for 32 weights: nibbles at `low`, fifth bits at `high` (NULL: none). */
static void codes32(int *q, uint8_t *low, uint8_t *high, struct check_rng *rng)
{
    memset(low, 0, 16);
    if (high)
        memset(high, 0, 4);
    for (int i = 0; i < 32; i++)
        q[i] = (int)check_below(rng, high ? 32 : 16);
    for (int j = 0; j < 16; j++)
        low[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
    for (int i = 0; high && i < 32; i++)
        high[i / 8] |= (uint8_t)((q[i] >> 4) << i % 8);
}

static void make_q4_0(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng);
    int q[32];
    codes32(q, b->bytes + 2, NULL, rng);
    for (int i = 0; i < 32; i++)
        b->weights[i] = d * (q[i] - 8);
}

static void make_q4_1(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng), m = put_half(b->bytes + 2, rng);
    int q[32];
    codes32(q, b->bytes + 4, NULL, rng);
    for (int i = 0; i < 32; i++)
        b->weights[i] = d * q[i] + m;
}

static void make_q5_0(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng);
    int q[32];
    codes32(q, b->bytes + 6, b->bytes + 2, rng);
    for (int i = 0; i < 32; i++)
        b->weights[i] = d * (q[i] - 16);
}

static void make_q5_1(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng), m = put_half(b->bytes + 2, rng);
    int q[32];
    codes32(q, b->bytes + 8, b->bytes + 4, rng);
    for (int i = 0; i < 32; i++)
        b->weights[i] = d * q[i] + m;
}

static void make_q8_0(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng);
    for (int i = 0; i < 32; i++) {
        const int q = (int)check_below(rng, 256) - 128;
        b->bytes[2 + i] = (uint8_t)q;
        b->weights[i] = d * q;
    }
}

static void make_iq4_nl(struct block *b, struct check_rng *rng)
{
    static const double level[] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                   1, 13, 25, 38, 53, 69, 89, 113};
    const double d = put_half(b->bytes, rng);
    int q[32];
    codes32(q, b->bytes + 2, NULL, rng);
    for (int i = 0; i < 32; i++)
        b->weights[i] = d * level[q[i]];
}

/*
 * 256 codes of `bits`, a field after the other as an encoder walks: `fields` of `width` bits to
 * a byte, runs of `run` bytes; shift drops low bits that are stored elsewhere.
 */
static void pack(uint8_t *to, const int *q, int run, int width, int fields, int shift)
{
    memset(to, 0, (size_t)(256 / fields));
    for (int at = 0; at < 256; to += run)
        for (int f = 0; f < fields; f++)
            for (int j = 0; j < run; j++)
                to[j] |= (uint8_t)((q[at++] >> shift & ((1 << width) - 1)) << f * width);
}

static void codes256(int *q, int below, struct check_rng *rng)
{
    for (int i = 0; i < 256; i++)
        q[i] = (int)check_below(rng, (uint32_t)below);
}

static void make_q2_k(struct block *b, struct check_rng *rng)
{
    int q[256];
    codes256(q, 4, rng);
    pack(b->bytes + 16, q, 32, 2, 4, 0);
    const double d = put_half(b->bytes + 80, rng), dmin = put_half(b->bytes + 82, rng);
    for (int s = 0; s < 16; s++) {
        const int scale = (int)check_below(rng, 16), least = (int)check_below(rng, 16);
        b->bytes[s] = (uint8_t)(scale + 16 * least);
        for (int i = 16 * s; i < 16 * s + 16; i++)
            b->weights[i] = d * scale * q[i] - dmin * least;
    }
}

static void make_q3_k(struct block *b, struct check_rng *rng)
{
    int q[256];
    codes256(q, 8, rng);
    pack(b->bytes + 32, q, 32, 2, 4, 0);
    pack(b->bytes, q, 32, 1, 8, 2);
    const double d = put_half(b->bytes + 108, rng);
    uint8_t *p = b->bytes + 96;
    memset(p, 0, 12);
    for (int s = 0; s < 16; s++) {
        const int scale = (int)check_below(rng, 64);
        if (s < 8)
            p[s] |= (uint8_t)(scale % 16);
        else
            p[s - 8] |= (uint8_t)(scale % 16 * 16);
        p[8 + s % 4] |= (uint8_t)(scale / 16 << 2 * (s / 4));
        for (int i = 16 * s; i < 16 * s + 16; i++)
            b->weights[i] = d * (scale - 32) * (q[i] - 4);
    }
}

/* Scales and minima of Q4_K and Q5_K in 12 bytes, and the weights that follow from them. */
static void scales_k(struct block *b, uint8_t *p, const int *q, double d, double dmin,
                     struct check_rng *rng)
{
    memset(p, 0, 12);
    for (int s = 0; s < 8; s++) {
        const int scale = (int)check_below(rng, 64), least = (int)check_below(rng, 64);
        if (s < 4) {
            p[s] |= (uint8_t)scale;
            p[s + 4] |= (uint8_t)least;
        } else {
            p[s + 4] |= (uint8_t)(scale % 16 + least % 16 * 16);
            p[s - 4] |= (uint8_t)(scale / 16 * 64);
            p[s] |= (uint8_t)(least / 16 * 64);
        }
        for (int i = 32 * s; i < 32 * s + 32; i++)
            b->weights[i] = d * scale * q[i] - dmin * least;
    }
}

static void make_q4_k(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng), dmin = put_half(b->bytes + 2, rng);
    int q[256];
    codes256(q, 16, rng);
    pack(b->bytes + 16, q, 32, 4, 2, 0);
    scales_k(b, b->bytes + 4, q, d, dmin, rng);
}

static void make_q5_k(struct block *b, struct check_rng *rng)
{
    const double d = put_half(b->bytes, rng), dmin = put_half(b->bytes + 2, rng);
    int q[256];
    codes256(q, 32, rng);
    pack(b->bytes + 16, q, 32, 1, 8, 4);
    pack(b->bytes + 48, q, 32, 4, 2, 0);
    scales_k(b, b->bytes + 4, q, d, dmin, rng);
}

static void make_q6_k(struct block *b, struct check_rng *rng)
{
    int q[256];
    codes256(q, 64, rng);
    pack(b->bytes, q, 64, 4, 2, 0);
    pack(b->bytes + 128, q, 32, 2, 4, 4);
    const double d = put_half(b->bytes + 208, rng);
    for (int s = 0; s < 16; s++) {
        const int scale = (int)check_below(rng, 256) - 128;
        b->bytes[192 + s] = (uint8_t)scale;
        for (int i = 16 * s; i < 16 * s + 16; i++)
            b->weights[i] = d * scale * (q[i] - 32);
    }
}

/* Packed blocks, two rows of two, decoded as a whole and the second row alone: to the bit. */
static void check_type(const char *name, uint32_t type, size_t weights, size_t block_bytes,
                       void (*make)(struct block *, struct check_rng *), struct check_rng *rng)
{
    float x[4 * 256], row[2 * 256];
    double want[4 * 256];
    struct rbe_diag d = {""};
    unsigned wrong = 0;

    for (int trial = 0; trial < 100; trial++) {
        put_one(type, 2 * weights, 2, 0, 4 * block_bytes);
        for (size_t i = 0; i < 4; i++) {
            struct block b;
            make(&b, rng);
            memcpy(bytes + size - (4 - i) * block_bytes, b.bytes, block_bytes);
            memcpy(want + i * weights, b.weights, weights * sizeof *want);
        }
        struct rbe_gguf *g = GOOD();
        const struct rbe_gguf_tensor *t = rbe_gguf_find(g, "w");
        CHECK(t->bytes == 4 * block_bytes && t->cols == 2 * weights && t->rows == 2 &&
              rbe_gguf_row_bytes(type, t->cols) == 2 * block_bytes);
        CHECK(!rbe_gguf_decode(x, t, 0, 2, &d) && !rbe_gguf_decode(row, t, 1, 1, &d));
        for (size_t i = 0; i < 4 * weights; i++)
            wrong += x[i] != (float)want[i] ||
                     (i >= 2 * weights && x[i] != row[i - 2 * weights]);
        CHECK(rbe_gguf_decode(x, t, 1, 2, &d) == RBE_ERR_ARG &&
              rbe_gguf_decode(x, t, 3, UINT64_MAX, &d) == RBE_ERR_ARG);
        rbe_gguf_close(&g);
    }
    if (!CHECK(!wrong && !strcmp(rbe_gguf_type_name(type), name)))
        printf("     %s: %u weights are wrong\n", name, wrong);
}

/* The same formats once more in figures, so that maker and reader cannot be wrong alike. */
static void check_figures(void)
{
    static const struct {
        uint32_t type;
        uint8_t at[8][2];       /* byte, value; of a block that is 0 elsewhere */
        struct {
            int i;
            float x;
        } want[6];
    } cases[] = {
        /* Scale 1.0 is 0x3C00, 0.5 0x3800. */
        {RBE_GT_Q4_0, {{1, 0x3C}, {2, 0x9F}}, {{0, 7}, {16, 1}, {1, -8}, {17, -8}}},
        {RBE_GT_Q4_1, {{1, 0x3C}, {3, 0x38}, {5, 0x2F}}, {{1, 15.5F}, {17, 2.5F}, {0, 0.5F}}},
        {RBE_GT_Q5_0, {{1, 0x3C}, {2, 1}, {4, 2}, {6, 3}, {7, 0x40}},
         {{0, 3}, {16, -16}, {1, -16}, {17, 4}}},
        {RBE_GT_Q5_1, {{1, 0x3C}, {3, 0x38}, {7, 0x80}, {23, 0x1F}},
         {{15, 15.5F}, {31, 17.5F}, {0, 0.5F}}},
        {RBE_GT_Q8_0, {{1, 0x3C}, {2, 0x80}, {33, 0x7F}}, {{0, -128}, {31, 127}, {1, 0}}},
        {RBE_GT_IQ4_NL, {{1, 0x3C}, {2, 0xF0}, {3, 0x87}},
         {{0, -127}, {16, 113}, {1, -10}, {17, 1}, {2, -127}}},
        /* The last of 16 scales: 3, and minimum 2; byte 31 of the second run: 0b11000001. */
        {RBE_GT_Q2_K, {{15, 0x23}, {79, 0xC1}, {81, 0x3C}, {83, 0x38}},
         {{255, 8}, {254, -1}, {159, 0}}},
        /* All scales -32 but number 9, 0b110001 - 32; codes of weights 144 and 145: 3, -4. */
        {RBE_GT_Q3_K, {{97, 0x10}, {105, 0x30}, {80, 3}, {16, 0x10}, {109, 0x3C}},
         {{144, 17.0F * 3}, {145, 17.0F * -4}, {0, -32.0F * -4}}},
        /* Scale 5: low bits 2, high 1, so 18; its minimum: low 1, high 2, so 33; weight 160. */
        {RBE_GT_Q4_K, {{1, 0x3C}, {3, 0x38}, {5, 0x40}, {9, 0x80}, {13, 0x12}, {80, 0x70}},
         {{160, 126 - 16.5F}, {161, -16.5F}, {128, 0}, {32, 0}}},
        /* The same scale with the fifth bit of weight 160, bit 5 of byte 0. */
        {RBE_GT_Q5_K, {{1, 0x3C}, {5, 0x40}, {13, 0x02}, {16, 0x20}, {112, 0x70}},
         {{160, 18.0F * 23}, {161, 0}, {0, 0}}},
        /* Scale 12 is -2; weight 192 lies high in byte 64, its high bits at 4 of byte 160. */
        {RBE_GT_Q6_K, {{204, 0xFE}, {64, 0x50}, {160, 0x30}, {209, 0x3C}},
         {{192, -2.0F * (0x35 - 32)}, {193, 64}, {128, 0}}},
        {RBE_GT_F32, {{2, 0x20}, {3, 0xC0}}, {{0, -2.5F}}},
        {RBE_GT_F16, {{0, 0}, {1, 0xC1}}, {{0, -2.5F}}},
        {RBE_GT_BF16, {{0, 0x20}, {1, 0xC0}}, {{0, -2.5F}}}};
    struct rbe_diag d = {""};
    float x[256];
    unsigned count = 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t type = cases[i].type;
        size_t weights = 0;
#define RBE_GGUF_TYPE(NAME, name, id, w, b) weights += type == (id) ? (w) : 0;
#define RBE_GGUF_OTHER(NAME, id)
#include "rbe/gguf_types.def"
#undef RBE_GGUF_TYPE
#undef RBE_GGUF_OTHER
        const size_t n = rbe_gguf_row_bytes(type, weights);
        put_one(type, weights, 0, 0, n);
        for (int k = 0; k < 8; k++)
            bytes[size - n + cases[i].at[k][0]] |= cases[i].at[k][1];
        struct rbe_gguf *g = GOOD();
        CHECK(!rbe_gguf_decode(x, rbe_gguf_at(g, 0), 0, 1, &d));
        for (int k = 0; k < 6; k++)
            if ((k == 0 || cases[i].want[k].i) &&
                !CHECK(x[cases[i].want[k].i] == cases[i].want[k].x))
                printf("     %s, weight %d: %g, want %g\n", rbe_gguf_type_name(type),
                       cases[i].want[k].i, (double)x[cases[i].want[k].i],
                       (double)cases[i].want[k].x);
        rbe_gguf_close(&g);
        count++;
    }
    unsigned types = 0;
#define RBE_GGUF_TYPE(NAME, name, id, w, b) types++;
#define RBE_GGUF_OTHER(NAME, id)
#include "rbe/gguf_types.def"
#undef RBE_GGUF_TYPE
#undef RBE_GGUF_OTHER
    CHECK(count == types);

    /* What is not finite is said. */
    put_one(RBE_GT_Q8_0, 32, 2, 0, 68);
    bytes[size - 33] = 0x7C;
    bytes[size - 34 + 2 + 5] = 1;
    struct rbe_gguf *g = GOOD();
    CHECK(rbe_gguf_decode(x, rbe_gguf_at(g, 0), 0, 2, &d) == RBE_ERR_NUMERIC &&
          strstr(d.text, "tensor 'w': element 32 is NaN"));
    CHECK(rbe_gguf_decode(x, rbe_gguf_at(g, 0), 1, 1, &d) == RBE_ERR_NUMERIC &&
          strstr(d.text, "element 32 is NaN"));
    CHECK(!rbe_gguf_decode(x, rbe_gguf_at(g, 0), 0, 1, &d));
    CHECK(!rbe_gguf_decode(x, rbe_gguf_at(g, 0), 2, 0, &d));
    rbe_gguf_close(&g);
    put_one(RBE_GT_F32, 2, 0, 0, 8);
    memcpy(bytes + size - 4, "\0\0\x80\xFF", 4);
    g = GOOD();
    CHECK(rbe_gguf_decode(x, rbe_gguf_at(g, 0), 0, 1, &d) == RBE_ERR_NUMERIC &&
          strstr(d.text, "element 1 is infinite"));
    rbe_gguf_close(&g);
}

/* --- reference values --------------------------------------------------------------------- */

static void check_tensor(const struct rbe_gguf *g, const char *name, const json_t *want)
{
    const struct rbe_gguf_tensor *t = rbe_gguf_find(g, name);
    struct rbe_diag d = {""};
    double sum = 0, squares = 0;
    size_t i, n;
    json_t *v;

    if (!CHECK(t != NULL))
        return;
    n = t->rows * t->cols;
    float *x = malloc(n * sizeof *x);
    CHECK(!rbe_gguf_decode(x, t, 0, t->rows, &d));
    for (i = 0; i < n; i++) {
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    /* Ours are rounded to f32 once: n errors of 2^-25 each, of random sign. */
    CHECK_NEAR(sum, rbe_number_at(want, "sum"), 0x1p-22 * sqrt((double)n));
    CHECK_NEAR(squares, rbe_number_at(want, "sum_of_squares"), 0x1p-22 * sqrt((double)n));
    CHECK(json_array_size(rbe_value_at(want, "first")) > 2 &&
          json_array_size(rbe_value_at(want, "last")) > 2);
    json_array_foreach(rbe_value_at(want, "first"), i, v)
        CHECK(x[i] == (float)json_number_value(v));
    json_array_foreach(rbe_value_at(want, "last"), i, v)
        CHECK(x[n - json_array_size(rbe_value_at(want, "last")) + i] ==
              (float)json_number_value(v));
    free(x);
}

static void check_shared(const char *shared)
{
    struct rbe_diag d = {""};
    char file[600], hex[65], *text;
    const char *name, *tensor;
    json_t *root, *want, *values;
    size_t n;

    snprintf(file, sizeof file, "%s/data/gguf/reference.json", shared);
    if (access(file, R_OK)) {
        printf("SKIP reference values: no %s\n", file);
        return;
    }
    if (!CHECK(!rbe_read_file(&text, &n, file, &d)) ||
        !CHECK(!rbe_json_load(&root, text, n, 0, NULL, file, &d)))
        return;
    CHECK(json_object_size(root) == 14);
    json_object_foreach(root, name, want) {
        struct rbe_gguf *g;
        snprintf(file, sizeof file, "%s/data/gguf/%s", shared, name);
        if (!CHECK(!rbe_gguf_open(&g, file, &d))) {
            printf("     %s\n", d.text);
            continue;
        }
        CHECK(!rbe_gguf_sha256(hex, g) && !strcmp(hex, rbe_string_at(want, "sha256")));
        json_object_foreach(rbe_value_at(want, "tensors"), tensor, values)
            check_tensor(g, tensor, values);
        rbe_gguf_close(&g);
    }
    json_decref(root);
    free(text);
}

/* --- writing ------------------------------------------------------------------------------ */

/* A matrix of three rows whose weights are known by their place. */
static unsigned asked;
static enum rbe_status read_rows(float *out, const struct rbe_gguf_tensor_out *t, uint64_t row0,
                                 uint64_t rows, struct rbe_diag *d)
{
    const float *unit = t->user;

    for (uint64_t i = 0; i < rows * t->ne[0]; i++)
        out[i] = *unit * (float)(row0 * t->ne[0] + i);
    asked++;
    return *unit < 0 ? rbe_fail(d, RBE_ERR_MISMATCH, "the source fails") : RBE_OK;
}

static bool same_file(const char *a, const void *want, size_t n)
{
    struct rbe_map m;

    if (rbe_map_open(&m, a, NULL))
        return false;
    const bool same = m.size == n && !memcmp(m.bytes, want, n);
    rbe_map_close(&m);
    return same;
}

static void check_writer(void)
{
    static const float x[5] = {1, -2.5F, 65504, 0x1p-24F, 0.1F}, unit = 0.25F, bad = -1;
    static const int32_t ints[] = {-1, 7};
    static const struct rbe_gguf_text texts[] = {{"a", 1}, {"\0", 1}};
    struct rbe_gguf_tensor_out f16 = {"f16", RBE_GT_F16, 1, {5}, NULL, x},
                               rows = {"rows", RBE_GT_F32, 3, {2, 3, 1}, read_rows, &unit};
    struct rbe_gguf_out *o;
    struct rbe_diag d = {""};
    struct rbe_gguf *g;
    char out[80];

    snprintf(out, sizeof out, "%s/out.gguf", dir);
    CHECK(!rbe_gguf_begin(&o, &d));
    rbe_gguf_add_string(o, "general.architecture", "llama");
    rbe_gguf_add_tensor(o, &f16);
    rbe_gguf_add_u32(o, "u", 4000000000);
    rbe_gguf_add_f32(o, "f", 1.5F);
    rbe_gguf_add_bool(o, "b", true);
    rbe_gguf_add_strings(o, "s", texts, 2);
    rbe_gguf_add_tensor(o, &rows);
    rbe_gguf_add_i32s(o, "i", ints, 2);
    if (!CHECK(!rbe_gguf_write(o, out, &d)))
        printf("     %s\n", d.text);
    rbe_gguf_end(&o);

    /* Byte for byte what the format says. */
    put_start(3, 2, 6);
    put_key("general.architecture", RBE_GV_STRING);
    put_text("llama", 5);
    put_u32("u", 4000000000);
    put_key("f", RBE_GV_F32);
    put(0x3FC00000, 4);
    put_key("b", RBE_GV_BOOL);
    put(1, 1);
    put_key("s", RBE_GV_ARRAY);
    put(RBE_GV_STRING, 4);
    put(2, 8);
    put_text("a", 1);
    put_text("\0", 1);
    put_key("i", RBE_GV_ARRAY);
    put(RBE_GV_I32, 4);
    put(2, 8);
    put(0x7FFFFFFFF, 8);
    put_tensor("f16", RBE_GT_F16, 5, 0, 0);
    put_text("rows", 4);
    put(3, 4);
    put(2, 8);
    put(3, 8);
    put(1, 8);
    put(RBE_GT_F32, 4);
    put(32, 8);
    put_data(0, 32);
    for (int i = 0; i < 5; i++)
        put(rbe_f16_from_f32(x[i]), 2);
    put_data(0, 32);
    for (int i = 0; i < 6; i++)
        put(rbe_bits_from_f32(0.25F * (float)i), 4);
    put_data(0, 32);
    CHECK(same_file(out, bytes, size) && asked == 1);

    /* Read and written again: the same bytes, whatever the kinds. */
    CHECK(!rbe_gguf_open(&g, out, &d));
    CHECK(!rbe_gguf_begin(&o, &d));
    for (size_t i = 0; i < rbe_gguf_value_count(g); i++)
        rbe_gguf_add_value(o, rbe_gguf_value_at(g, i));
    float *copies[2];
    for (size_t i = 0; i < 2; i++) {
        const struct rbe_gguf_tensor *t = rbe_gguf_at(g, i);
        copies[i] = malloc(t->rows * t->cols * sizeof(float));
        CHECK(!rbe_gguf_decode(copies[i], t, 0, t->rows, &d));
        rbe_gguf_add_tensor(o, &(struct rbe_gguf_tensor_out){
            t->name, t->type, t->dims, {t->ne[0], t->ne[1], t->ne[2]}, NULL, copies[i]});
    }
    rbe_gguf_close(&g);
    unlink(out);
    CHECK(!rbe_gguf_write(o, out, &d) && same_file(out, bytes, size));
    free(copies[0]);
    free(copies[1]);
    /* What fails leaves the old file as it is, and nothing beside it. */
    rbe_gguf_add_u32(o, "u", 1);
    CHECK(rbe_gguf_write(o, out, &d) == RBE_ERR_ARG && strstr(d.text, out) &&
          strstr(d.text, "'u' is there twice") && same_file(out, bytes, size));
    rbe_gguf_end(&o);

    static const float inf = INFINITY, big = 65520;
    const struct {
        struct rbe_gguf_tensor_out t;
        enum rbe_status want;
        const char *reason;
    } cases[] = {
        {{"q", RBE_GT_Q4_0, 1, {32}, NULL, x}, RBE_ERR_ARG, "type or dimensions"},
        {{"b", RBE_GT_BF16, 1, {5}, NULL, x}, RBE_ERR_ARG, "type or dimensions"},
        {{"d", RBE_GT_F32, 5, {1, 1, 1, 1}, NULL, x}, RBE_ERR_ARG, "type or dimensions"},
        {{"d", RBE_GT_F32, 0, {1}, NULL, x}, RBE_ERR_ARG, "type or dimensions"},
        {{"d", RBE_GT_F32, 2, {1ULL << 32, 1ULL << 32}, NULL, x}, RBE_ERR_ARG, "dimensions"},
        {{"d", RBE_GT_F32, 2, {4, 0}, NULL, x}, RBE_ERR_ARG, "impossible dimensions"},
        {{"a\nb", RBE_GT_F32, 1, {4}, NULL, x}, RBE_ERR_ARG, "not printable"},
        {{"n", RBE_GT_F32, 1, {1}, NULL, &inf}, RBE_ERR_NUMERIC, "'n': element 0 is infinite"},
        {{"n", RBE_GT_F16, 1, {1}, NULL, &big}, RBE_ERR_NUMERIC, "too large for F16"},
        {{"r", RBE_GT_F16, 2, {2, 3}, read_rows, &bad}, RBE_ERR_MISMATCH, "the source fails"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK(!rbe_gguf_begin(&o, &d));
        rbe_gguf_add_tensor(o, &cases[i].t);
        const enum rbe_status err = rbe_gguf_write(o, out, &d);
        if (!CHECK(err == cases[i].want && strstr(d.text, out) &&
                   strstr(d.text, cases[i].reason) && same_file(out, bytes, size)))
            printf("     status %d, '%s', want '%s'\n", err, d.text, cases[i].reason);
        rbe_gguf_end(&o);
    }
    CHECK(!rbe_gguf_begin(&o, &d));
    rbe_gguf_add_u32(o, "general.alignment", 64);
    CHECK(rbe_gguf_write(o, out, &d) == RBE_ERR_ARG && strstr(d.text, "alignment 64"));
    CHECK(rbe_gguf_write(o, "/nonexistent/x", &d) == RBE_ERR_ARG);
    rbe_gguf_end(&o);
    CHECK(!rbe_gguf_begin(&o, &d));
    CHECK(rbe_gguf_write(o, "/nonexistent/x", &d) == RBE_ERR_IO);
    /* Rows are asked for a few at a time, and every one once. */
    asked = 0;
    rows.ne[0] = 300;
    rows.ne[1] = 500;
    rbe_gguf_add_tensor(o, &rows);
    CHECK(!rbe_gguf_write(o, out, &d) && asked == 3);
    rbe_gguf_end(&o);
    float row[300];
    CHECK(!rbe_gguf_open(&g, out, &d) &&
          !rbe_gguf_decode(row, rbe_gguf_at(g, 0), 499, 1, &d) && row[299] == 37499.75F);
    rbe_gguf_close(&g);
    static const float one = 1;
    rows.type = RBE_GT_F16;
    rows.user = &one;
    CHECK(!rbe_gguf_begin(&o, &d));
    rbe_gguf_add_tensor(o, &rows);
    CHECK(rbe_gguf_write(o, out, &d) == RBE_ERR_NUMERIC &&
          strstr(d.text, "element 65520, 65520, is too large for F16"));
    rbe_gguf_end(&o);
    unlink(out);
}

int main(int argc, char **argv)
{
    struct check_rng rng = check_seed(argc, argv);
    const char *shared = getenv("RBE_SHARED");

    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    snprintf(path, sizeof path, "%s/x", dir);
    check_start();
    check_bad_values();
    check_bad_tensors();
    check_damage();
    check_values();
#define RBE_GGUF_TYPE(NAME, name, id, weights, block)                                          \
    check_type(#NAME, id, weights, block, make_##name, &rng);
#define RBE_GGUF_OTHER(NAME, id) CHECK(!rbe_gguf_row_bytes(id, 256));
#include "rbe/gguf_types.def"
#undef RBE_GGUF_TYPE
#undef RBE_GGUF_OTHER
    check_figures();
    check_shared(shared ? shared : "../shared");
    check_writer();
    unlink(path);
    CHECK(!rmdir(dir));         /* no temporary is left */
    return check_done();
}
