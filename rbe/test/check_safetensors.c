/*
 * check_safetensors.c - the reader against hostile files, and the writer against the reader.
 *
 * SPDX-License-Identifier: MIT
 *
 * Run it under CONFIG=asan too: whatever the file says, nothing may be read outside it.
 */
#include <fcntl.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/f16.h"
#include "kernels/test/check.h"
#include "rbe/safetensors.h"

static char dir[] = "/tmp/rbe-check-st-XXXXXX";
static char file[64];
static unsigned touched;

static void put(const void *bytes, size_t size)
{
    const int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* A file of this header text and `data` zero bytes. */
static void put_header(const char *json, size_t data)
{
    const size_t n = strlen(json);
    char *b = calloc(1, 8 + n + data);

    for (int i = 0; i < 8; i++)
        b[i] = (char)(n >> 8 * i);
    memcpy(b + 8, json, n);
    put(b, 8 + n + data);
    free(b);
}

/* Touches everything a file offers, so that a sanitizer sees a bad pointer. */
static void touch(const struct rbe_safetensors *s)
{
    unsigned sum = 0;

    for (size_t i = 0; i < rbe_safetensors_count(s); i++) {
        const struct rbe_tensor *t = rbe_safetensors_at(s, i);
        if (t->bytes)
            sum += ((const uint8_t *)t->data)[0] + ((const uint8_t *)t->data)[t->bytes - 1];
        CHECK(rbe_safetensors_find(s, t->name) == t);
    }
    touched += sum;
}

/* Opening must fail with RBE_ERR_FORMAT and a one-line reason that names the file. */
static void refuse(const char *what, int line)
{
    struct rbe_safetensors *s = NULL;
    struct rbe_diag d = {""};
    const enum rbe_status err = rbe_safetensors_open(&s, file, &d);

    if (!check_that(err == RBE_ERR_FORMAT && !s && strstr(d.text, file) &&
                    !strchr(d.text, '\n'), __FILE__, line, "is refused with a reason"))
        printf("     %.100s: status %d, '%s'\n", what, err, d.text);
    rbe_safetensors_close(&s);
}

static void refuse_header(const char *json, size_t data, int line)
{
    put_header(json, data);
    refuse(json, line);
}

#define REFUSE(json, data) refuse_header((json), (data), __LINE__)

static void check_hostile(void)
{
    REFUSE("", 0);
    REFUSE("[]", 0);
    REFUSE("{", 0);
    REFUSE("{}", 4);                                            /* bytes nobody claims */
    REFUSE("{\"a\":3}", 0);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F3\\n1\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,3]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":"
           "[9223372036854775804,9223372036854775807]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999],"
           "\"data_offsets\":[0,4]}}", 4);
    /* 2^32 * 2^32 wraps to 0, 2^62 * 4 bytes too. */
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],"
           "\"data_offsets\":[0,0]}}", 0);
    REFUSE("{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],"
           "\"data_offsets\":[0,0]}}", 0);
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],"
           "\"data_offsets\":[0,1]}}",
           1);
    /* Overlap, hole before, hole between, same range twice, duplicate name. */
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6);
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6);
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]}}", 6);
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
           "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    REFUSE("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
           "\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]}}", 4);
    REFUSE("{\"\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    REFUSE("{\"a\\nb\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    REFUSE("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2);
    REFUSE("{\"__metadata__\":[]}", 0);
    REFUSE("{\"__metadata__\":{\"k\":1}}", 0);
    REFUSE("{\"\xff\":1}", 0);

    /* Nesting deep enough to overrun a stack, were it followed. */
    enum { DEEP = 1000000 };
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    deep[DEEP] = 0;
    REFUSE(deep, 0);
    for (int i = 0; i + 5 <= DEEP; i += 5)
        memcpy(deep + i, "{\"a\":", 5);
    REFUSE(deep, 0);
    free(deep);

    /* Header lengths. */
    static const uint64_t lengths[] = {0, 1, 3, 100, UINT32_MAX, INT64_MAX, UINT64_MAX,
                                       UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        char b[10] = "........{}";
        for (int k = 0; k < 8; k++)
            b[k] = (char)(lengths[i] >> 8 * k);
        put(b, sizeof b);
        refuse("header length", __LINE__);
    }
    put("", 0);
    refuse("empty", __LINE__);

    struct rbe_safetensors *s;
    struct rbe_diag d;
    CHECK(rbe_safetensors_open(&s, dir, &d) == RBE_ERR_IO && !s);
    CHECK(rbe_safetensors_open(&s, "/nonexistent/x", &d) == RBE_ERR_IO && !s);
}

/* What is allowed: no tensors, empty tensors, scalars, blanks after the JSON. */
static void check_lenient(void)
{
    static const char *const good[] = {
        "{}", "{}   ",
        "{\"__metadata__\":{}}",
        "{\"e\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}",
        "{\"e\":{\"dtype\":\"F32\",\"shape\":[3,0,9],\"data_offsets\":[0,0]}}",
        "{\"e\":{\"dtype\":\"F8_E4M3\",\"shape\":[0],\"data_offsets\":[0,0]}}"};
    struct rbe_safetensors *s;
    struct rbe_diag d;

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        put_header(good[i], 0);
        CHECK(rbe_safetensors_open(&s, file, &d) == RBE_OK);
        rbe_safetensors_close(&s);
        CHECK(!s);
    }
    put_header("{\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
               "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 4);
    if (CHECK(rbe_safetensors_open(&s, file, &d) == RBE_OK)) {
        const struct rbe_tensor *t = rbe_safetensors_find(s, "s");
        CHECK(t && t->dims == 0 && t->count == 1 && t->bytes == 4);
        CHECK(!strcmp(rbe_safetensors_at(s, 0)->name, "e"));
        CHECK(!rbe_safetensors_at(s, 2) && !rbe_safetensors_find(s, "t"));
    }
    rbe_safetensors_close(&s);
}

static const float floats[6] = {0, 1, -2.5F, 65504, 0x1p-24F, -0.1F};
static uint16_t halves[6], brains[6];
static const uint8_t octets[5] = {1, 2, 3, 4, 255};

static void write_sample(void)
{
    const struct rbe_tensor_out t[] = {
        {"h.0.attn.c_attn.weight", RBE_DT_F32, 2, {2, 3}, floats},
        {"half", RBE_DT_F16, 1, {6}, halves},
        {"brain", RBE_DT_BF16, 3, {1, 6, 1}, brains},
        {"empty", RBE_DT_F32, 2, {0, 7}, NULL},
        {"octets \xc3\xa9", RBE_DT_U8, 1, {5}, octets},
    };
    static const char *const meta[] = {"format", "pt", "quote", "a \"b\" \\ \n", NULL};
    struct rbe_diag d = {""};

    for (int i = 0; i < 6; i++) {
        halves[i] = rbe_f16_from_f32(floats[i]);
        brains[i] = (uint16_t)(rbe_bits_from_f32(floats[i]) >> 16);
    }
    if (!CHECK(rbe_safetensors_write(file, t, 5, meta, &d) == RBE_OK))
        printf("     %s\n", d.text);
}

static void check_round_trip(void)
{
    struct rbe_safetensors *s;
    struct rbe_diag d = {""};
    float v[6];

    write_sample();
    if (!CHECK(rbe_safetensors_open(&s, file, &d) == RBE_OK)) {
        printf("     %s\n", d.text);
        return;
    }
    CHECK(rbe_safetensors_count(s) == 5);
    CHECK(!strcmp(rbe_safetensors_meta(s, "quote"), "a \"b\" \\ \n"));
    CHECK(!rbe_safetensors_meta(s, "absent"));
    CHECK(!strcmp(rbe_safetensors_path(s), file));
    struct stat st;
    CHECK(!stat(file, &st) && (size_t)st.st_size == rbe_safetensors_file_bytes(s));

    const struct rbe_tensor *t = rbe_safetensors_at(s, 0);
    CHECK(!strcmp(t->name, "h.0.attn.c_attn.weight") && t->dims == 2 && t->shape[0] == 2 &&
          t->shape[1] == 3 && t->count == 6 && t->bytes == 24 && t->dtype == RBE_DT_F32);
    CHECK((uintptr_t)t->data % 64 == 0);
    CHECK(!rbe_tensor_to_f32(t, v, &d) && !memcmp(v, floats, sizeof v));
    t = rbe_safetensors_find(s, "half");
    CHECK(t && !rbe_tensor_to_f32(t, v, &d) && v[3] == 65504 && v[4] == 0x1p-24F);
    CHECK_NEAR(v[5], -0.1, 1e-4);
    t = rbe_safetensors_find(s, "brain");
    CHECK(t && t->dims == 3 && !rbe_tensor_to_f32(t, v, &d) && v[2] == -2.5F);
    CHECK_NEAR(v[5], -0.1, 1e-3);
    t = rbe_safetensors_find(s, "octets \xc3\xa9");
    CHECK(t && !memcmp(t->data, octets, 5));
    CHECK(rbe_tensor_to_f32(t, v, &d) == RBE_ERR_FORMAT && strstr(d.text, "octets"));
    rbe_safetensors_close(&s);
}

static void check_not_finite(void)
{
    struct rbe_safetensors *s;
    struct rbe_diag d;
    float v[3];
    const float nan32[3] = {1, 2, NAN}, inf32[3] = {1, -INFINITY, 2};
    const uint16_t nan16[3] = {0x3C00, 0x7E01, 0}, inf16[3] = {0, 0, 0x7C00};
    const uint16_t nanbf[3] = {0x7FC0, 0, 0};
    const struct rbe_tensor_out t[] = {
        {"nan32", RBE_DT_F32, 1, {3}, nan32}, {"inf32", RBE_DT_F32, 1, {3}, inf32},
        {"nan16", RBE_DT_F16, 1, {3}, nan16}, {"inf16", RBE_DT_F16, 1, {3}, inf16},
        {"nanbf", RBE_DT_BF16, 1, {3}, nanbf}};
    static const char *const where[] = {"element 2 is NaN", "element 1 is inf",
                                        "element 1 is NaN", "element 2 is inf",
                                        "element 0 is NaN"};

    CHECK(!rbe_safetensors_write(file, t, 5, NULL, &d));
    if (!CHECK(!rbe_safetensors_open(&s, file, &d)))
        return;
    for (size_t i = 0; i < 5; i++) {
        CHECK(rbe_tensor_to_f32(rbe_safetensors_find(s, t[i].name), v, &d) == RBE_ERR_NUMERIC);
        CHECK(strstr(d.text, t[i].name) && strstr(d.text, where[i]));
    }
    rbe_safetensors_close(&s);
}

/* Cut at every byte, and every bit of the header flipped: refused or harmless. */
static void check_damage(void)
{
    struct rbe_safetensors *s;
    struct rbe_diag d;
    char *bytes;
    size_t size;

    write_sample();
    if (!CHECK(!rbe_read_file(&bytes, &size, file, &d)))
        return;
    for (size_t n = 0; n < size; n++) {
        put(bytes, n);
        refuse("cut", __LINE__);
    }
    put(bytes, size);
    const size_t header = 8 + ((uint8_t)bytes[0] | (size_t)(uint8_t)bytes[1] << 8);
    unsigned opened = 0;
    for (size_t i = 0; i < header; i++)
        for (int b = 0; b < 8; b++) {
            bytes[i] = (char)(bytes[i] ^ 1 << b);
            put(bytes, size);
            bytes[i] = (char)(bytes[i] ^ 1 << b);
            if (!rbe_safetensors_open(&s, file, &d)) {
                opened++;
                touch(s);
            } else {
                CHECK(!s && strstr(d.text, file));
            }
            rbe_safetensors_close(&s);
        }
    /* A flipped letter of a name is still a name. */
    CHECK(opened > 0 && touched > 0);
    free(bytes);
}

/* A tensor of a dtype that nobody knows is no fault until its values are asked for. */
static void check_other_dtypes(void)
{
    struct rbe_safetensors *s;
    struct rbe_diag d = {""};
    float v[4];

    put_header("{\"mask\":{\"dtype\":\"F4\",\"shape\":[4],\"data_offsets\":[0,2]},"
               "\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", 6);
    if (!CHECK(!rbe_safetensors_open(&s, file, &d)))
        return;
    const struct rbe_tensor *t = rbe_safetensors_find(s, "mask");
    CHECK(t && t->dtype == RBE_DT_OTHER && !strcmp(t->dtype_name, "F4") && t->bytes == 2 &&
          !rbe_tensor_is_float(t));
    CHECK(rbe_tensor_to_f32(t, v, &d) == RBE_ERR_FORMAT && strstr(d.text, "'mask': F4"));
    CHECK(!rbe_tensor_to_f32(rbe_safetensors_find(s, "w"), v, &d));
    rbe_safetensors_close(&s);
}

/* What people find in the place of the file. */
static void check_foreign(void)
{
    static const struct {
        const char *bytes, *reason;
    } cases[] = {{"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 5\n", "LFS"},
                 {"\n <!DOCTYPE HTML>\n<html>", "HTML page"},
                 {"\xef\xbb\xbf<html lang=\"en\">", "HTML page"},
                 {"<?xml version=\"1.0\"?><Error/>", "XML page"},
                 {"PK\3\4\x14\1\1\1archive/data.pkl", "zip archive"},
                 {"\x80\2\x8a\nl\xfc\x9c\x46\xf9", "pickle"},
                 {"GGUF\3\1\1\1\1", "GGUF"},
                 {"\x1f\x8b\x08\1\1\1\1\1\1", "gzip"},
                 {"{\"error\": \"Entry not found\"}", "JSON text"},
                 {"Entry not found", "no safetensors file"}};
    struct rbe_diag d = {""};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rbe_safetensors *s;
        put(cases[i].bytes, strlen(cases[i].bytes));
        if (!CHECK(rbe_safetensors_open(&s, file, &d) == RBE_ERR_FORMAT && !s &&
                   strstr(d.text, cases[i].reason) && strstr(d.text, file) &&
                   !strchr(d.text, '\n')))
            printf("     '%s', want '%s'\n", d.text, cases[i].reason);
    }
}

static void write_shard(char *path, const char *name, const struct rbe_tensor_out *t, size_t n)
{
    struct rbe_diag d;

    snprintf(path, 96, "%s/%s.safetensors", dir, name);
    CHECK(!rbe_safetensors_write(path, t, n, n == 1 ? (const char *const[]){"k", "v", NULL}
                                                    : NULL, &d));
}

static void check_index(void)
{
    static const uint8_t bytes[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    const struct rbe_tensor_out t[] = {{"x", RBE_DT_U8, 1, {3}, bytes},
                                       {"y", RBE_DT_U8, 1, {2}, bytes + 3},
                                       {"z", RBE_DT_U8, 1, {4}, bytes + 4}};
    static const struct {
        const char *map, *reason;
    } cases[] = {
        {"\"z\":\"b.safetensors\",\"x\":\"a.safetensors\",\"y\":\"a.safetensors\"", NULL},
        {"", "weight_map"},
        {"\"x\":7", "weight_map"},
        {"\"x\":\"a.safetensors\",\"x\":\"a.safetensors\"", "key twice"},
        {"\"x\":\"../a.safetensors\"", "something other than"},
        {"\"x\":\"a.bin\"", "something other than"},
        {"\"x\":\"m.safetensors.index.json\"", "something other than"},
        {"\"x\":\"c.safetensors\"", "c.safetensors: No such file"},
        {"\"x\":\"b.safetensors\"", "tensor 'x' is not in b.safetensors"},
        {"\"w\":\"a.safetensors\"", "tensor 'w' is not in a.safetensors"},
        {"\"x\":\"a.safetensors\"", "tensor 'y' of a.safetensors is not in the index"},
        {"\"x\":\"a.safetensors\",\"y\":\"a.safetensors\",\"z\":\"b.safetensors\","
         "\"q\":\"d.safetensors\"", "tensor 'x' is in a.safetensors and in d.safetensors"}};
    char a[96], b[96], double_x[96], index[96], text[400], lines[400], sha[3][65];
    const struct rbe_tensor_out twice[] = {t[0], {"q", RBE_DT_U8, 1, {1}, bytes}};
    struct rbe_safetensors *s;
    struct rbe_diag d = {""};

    write_shard(a, "a", t, 2);
    write_shard(b, "b", t + 2, 1);
    write_shard(double_x, "d", twice, 2);
    snprintf(index, sizeof index, "%s/m.safetensors.index.json", dir);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "{\"metadata\":{\"total_size\":1},\"weight_map\":{%s}}",
                 cases[i].map);
        FILE *f = fopen(index, "w");
        CHECK(f && fputs(text, f) >= 0 && !fclose(f));
        const enum rbe_status err = rbe_safetensors_open(&s, index, &d);
        if (!CHECK(cases[i].reason ? err && !s && strstr(d.text, cases[i].reason) &&
                                         strstr(d.text, dir) && !strchr(d.text, '\n')
                                   : !err))
            printf("     '%s', want '%s'\n", d.text, cases[i].reason);
        if (err)
            continue;
        touch(s);
        CHECK(rbe_safetensors_count(s) == 3 && rbe_safetensors_shards(s) == 2);
        CHECK(!strcmp(rbe_safetensors_at(s, 2)->name, "z") &&
              !memcmp(rbe_safetensors_find(s, "y")->data, bytes + 3, 2));
        CHECK(!strcmp(rbe_safetensors_meta(s, "k"), "v") && !rbe_safetensors_meta(s, "x"));
        /* As sha256sum prints them, index first. */
        CHECK(!rbe_sha256_file(sha[0], index, &d) && !rbe_sha256_file(sha[1], a, &d) &&
              !rbe_sha256_file(sha[2], b, &d));
        const int n = snprintf(lines, sizeof lines, "%s  m.safetensors.index.json\n"
                               "%s  a.safetensors\n%s  b.safetensors\n", sha[0], sha[1],
                               sha[2]);
        CHECK(!rbe_sha256(sha[0], lines, (size_t)n) && !rbe_safetensors_sha256(sha[1], s) &&
              !strcmp(sha[0], sha[1]));
        struct stat st[3];
        CHECK(!stat(index, &st[0]) && !stat(a, &st[1]) && !stat(b, &st[2]) &&
              (size_t)(st[0].st_size + st[1].st_size + st[2].st_size) ==
                  rbe_safetensors_file_bytes(s));
        rbe_safetensors_close(&s);
    }
    unlink(a);
    unlink(b);
    unlink(double_x);
    unlink(index);
}

static void check_writer_refuses(void)
{
    const uint8_t one = 1;
    const struct rbe_tensor_out twice[] = {{"a", RBE_DT_U8, 1, {1}, &one},
                                           {"a", RBE_DT_U8, 1, {1}, &one}};
    const struct rbe_tensor_out huge = {"a", RBE_DT_F32, 2, {1ULL << 32, 1ULL << 31}, &one};
    const struct rbe_tensor_out meta = {"__metadata__", RBE_DT_U8, 1, {1}, &one};
    const struct rbe_tensor_out deep = {"a", RBE_DT_U8, RBE_ST_MAX_DIMS + 1, {1}, &one};
    const struct rbe_tensor_out latin = {"\xe9", RBE_DT_U8, 1, {1}, &one};
    struct rbe_diag d;
    char other[80];

    snprintf(other, sizeof other, "%s/other", dir);
    CHECK(rbe_safetensors_write(other, twice, 2, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_safetensors_write(other, &huge, 1, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_safetensors_write(other, &meta, 1, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_safetensors_write(other, &deep, 1, NULL, &d) == RBE_ERR_ARG);
    CHECK(rbe_safetensors_write(other, &latin, 1, NULL, &d) == RBE_ERR_ARG);
    CHECK(access(other, F_OK) < 0);
    CHECK(rbe_safetensors_write("/nonexistent/x", twice, 1, NULL, &d) == RBE_ERR_IO);
    CHECK(strstr(d.text, "/nonexistent/x"));
}

int main(int argc, char **argv)
{
    check_seed(argc, argv);
    if (!mkdtemp(dir)) {
        perror(dir);
        return 1;
    }
    snprintf(file, sizeof file, "%s/model.safetensors", dir);
    check_hostile();
    check_lenient();
    check_round_trip();
    check_not_finite();
    check_damage();
    check_other_dtypes();
    check_foreign();
    check_index();
    check_writer_refuses();
    unlink(file);
    rmdir(dir);
    return check_done();
}
