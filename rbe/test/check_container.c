/*
 * check_container.c - RBE model files: round trip, damage at every place, hostile fields.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/container.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/format/seed.h"
#include "kernels/test/check.h"
#include "rbe/encode.h"

enum { ROWS = 100, COLS = 64 };

static char path[] = "/tmp/rbe-check-container-XXXXXX", other[sizeof path + 8];
static struct check_rng rng;

static void fill_random(struct rbe_weight *w)
{
    for (size_t i = 0; i < w->part_count; i++) {
        const struct rbe_matrix *m = &w->parts[i].m;
        uint8_t *codes = (uint8_t *)(uintptr_t)m->codes;
        uint16_t *scale = (uint16_t *)(uintptr_t)m->scale;
        uint16_t *col = (uint16_t *)(uintptr_t)m->col_scale;

        /* f32 codes stay zero: any bytes would make NaN. */
        for (size_t k = 0; m->format != RBE_F32 && k < m->code_bytes; k++)
            codes[k] = (uint8_t)check_next(&rng);
        for (size_t k = 0; scale && k < m->rows; k++)
            scale[k] = (uint16_t)(0x3000 + check_below(&rng, 0x400));
        for (size_t k = 0; col && k < m->cols; k++)
            col[k] = (uint16_t)(0x3C00 + check_below(&rng, 0x400));
    }
}

/* Two weights and two plain tensors at `path`. */
static void write_model(struct rbe_weight w[2])
{
    static const float bias[7] = {1, 2, 3, 4, 5, 6, 7};
    static const uint16_t norm[3] = {0x3C00, 0x4000, 0};
    const struct rbe_encode_part parts[2][3] = {
        {{64, RBE_SEED, 32, 0}, {30, RBE_F32, 0, 0}, {6, RBE_SEED4, 44, 0}},
        {{ROWS, RBE_SEED, 44, 0}}};
    const uint64_t shape[1] = {7}, short_shape[1] = {3};
    struct rbe_container_builder *b;
    struct rbe_diag d = {""};

    for (int i = 0; i < 2; i++) {
        CHECK(rbe_weight_alloc(&w[i], ROWS, COLS, parts[i], i ? 1 : 3,
                               i ? RBE_SCALES_ROW : RBE_SCALES_ROW_COL, &d) == RBE_OK);
        snprintf(w[i].name, sizeof w[i].name, i ? "wte.weight" : "h.0.mlp.c_fc.weight");
        fill_random(&w[i]);
    }
    w[1].hadamard = 32;
    w[1].sign_seed = 0xFEDCBA9876543210ULL;
    CHECK(rbe_container_begin(&b, &d) == RBE_OK);
    CHECK(rbe_container_add_tensor(b, "h.0.mlp.c_fc.bias", RBE_DT_F32, 1, shape, bias, &d) ==
          RBE_OK);
    CHECK(rbe_container_add_tensor(b, "ln_f.weight", RBE_DT_F16, 1, short_shape, norm, &d) ==
          RBE_OK);
    CHECK(rbe_container_add_weight(b, &w[0], &d) == RBE_OK);
    CHECK(rbe_container_add_weight(b, &w[1], &d) == RBE_OK);
    CHECK(rbe_container_add_meta(b, "rbe.config", "{\"n_embd\":64}", &d) == RBE_OK);
    CHECK(rbe_container_add_meta(b, "rbe.config", "{}", &d) == RBE_ERR_ARG);
    CHECK(rbe_container_add_tensor(b, "ln_f.weight", RBE_DT_F16, 1, short_shape, norm, &d) ==
          RBE_ERR_ARG);
    CHECK(rbe_container_write(b, path, &d) == RBE_OK);
    struct rbe_map map;
    CHECK(rbe_map_open(&map, path, &d) == RBE_OK &&
          map.size == rbe_container_file_bytes(b));
    rbe_map_close(&map);
    /* Writing again gives the same file. */
    CHECK(rbe_container_write(b, other, &d) == RBE_OK);
    char sha[2][65];
    CHECK(!rbe_sha256_file(sha[0], path, &d) && !rbe_sha256_file(sha[1], other, &d) &&
          !strcmp(sha[0], sha[1]));
    rbe_container_end(&b);
}

static void round_trip(void)
{
    struct rbe_weight w[2];
    struct rbe_container *c = NULL;
    struct rbe_diag d = {""};
    float got[COLS], want[COLS];

    write_model(w);
    if (!CHECK(rbe_container_open(&c, path, true, &d) == RBE_OK)) {
        printf("%s\n", d.text);
        return;
    }
    CHECK(rbe_container_is(rbe_container_file(c)));
    CHECK(rbe_container_weight_count(c) == 2 && !rbe_container_weight_at(c, 2));
    CHECK(!rbe_container_weight(c, "h.0.mlp.c_fc.weight.1"));
    for (int i = 0; i < 2; i++) {
        const struct rbe_weight *r = rbe_container_weight(c, w[i].name);
        if (!CHECK(r != NULL))
            continue;
        CHECK(r->rows == ROWS && r->cols == COLS && r->part_count == w[i].part_count);
        CHECK(r->hadamard == w[i].hadamard && r->sign_seed == w[i].sign_seed);
        CHECK(r->bytes == w[i].bytes);
        for (size_t k = 0; k < r->part_count; k++) {
            const struct rbe_matrix *m = &r->parts[k].m;
            CHECK(!m->col_scale == !w[i].parts[k].m.col_scale);
            CHECK((uintptr_t)m->codes % (m->code_bytes % 64 ? 1 : 64) == 0);
        }
        for (size_t row = 0; row < ROWS; row++) {
            rbe_weight_decode_row(r, row, got);
            rbe_weight_decode_row(&w[i], row, want);
            CHECK(memcmp(got, want, sizeof got) == 0);
        }
    }
    CHECK(!strcmp(rbe_safetensors_meta(rbe_container_file(c), "rbe.config"),
                  "{\"n_embd\":64}"));
    const struct rbe_tensor *t = rbe_safetensors_find(rbe_container_file(c),
                                                      "h.0.mlp.c_fc.bias");
    CHECK(t && t->count == 7);
    rbe_container_close(&c);
    CHECK(!c);
    rbe_weight_free(&w[0]);
    rbe_weight_free(&w[1]);
}

static void put_file(const char *to, const void *bytes, size_t size)
{
    FILE *f = fopen(to, "wb");

    CHECK(f && fwrite(bytes, 1, size, f) == size);
    if (f)
        fclose(f);
}

/* Opening `other` fails with one line, and leaves nothing behind. */
static bool refused(bool verify, const char *why)
{
    struct rbe_container *c = NULL;
    struct rbe_diag d = {""};
    const enum rbe_status s = rbe_container_open(&c, other, verify, &d);
    const bool ok = s != RBE_OK && !c && d.text[0] && !strchr(d.text, '\n') &&
                    strstr(d.text, other) && (!why || strstr(d.text, why));

    if (!ok)
        printf("status %d, '%s', wanted '%s'\n", s, d.text, why ? why : "");
    rbe_container_close(&c);
    return ok;
}

static void damage(void)
{
    struct rbe_diag d = {""};
    size_t size, header = 0;
    char *bytes;

    if (!CHECK(rbe_read_file(&bytes, &size, path, &d) == RBE_OK))
        return;
    for (int i = 0; i < 8; i++)
        header |= (size_t)(uint8_t)bytes[i] << 8 * i;
    header += 8;

    for (size_t n = 0; n < size; n += n < header + 64 ? 1 : 97) {
        put_file(other, bytes, n);
        CHECK(refused(false, NULL));
    }
    put_file(other, bytes, size);
    CHECK(truncate(other, (off_t)size + 1) == 0);
    CHECK(refused(false, NULL));

    for (size_t n = 0; n < header; n++) {
        const char old = bytes[n];
        bytes[n] ^= (char)(1 << check_below(&rng, 8));
        put_file(other, bytes, size);
        if (!CHECK(refused(true, NULL)))
            printf("byte %zu of the header, '%c' -> '%c'\n", n, old, bytes[n]);
        bytes[n] = old;
    }
    /* Any bit of the data, with the codes' checksums verified; and opening must not crash
     * without. */
    for (size_t n = header; n < size; n += 41) {
        struct rbe_container *c = NULL;
        const char old = bytes[n];
        bytes[n] ^= (char)(1 << check_below(&rng, 8));
        put_file(other, bytes, size);
        CHECK(refused(true, NULL));
        if (!rbe_container_open(&c, other, false, &d))
            rbe_container_close(&c);
        bytes[n] = old;
    }
    free(bytes);
}

/* A file with one weight "w" of 32 x 32 in `seed`, but for what the caller changes. */
static void hostile(const char *json, size_t codes, size_t scale, const char *version,
                    const char *why)
{
    static const uint8_t zero[1 << 16];
    static uint16_t scales[1 << 12];
    const char *const meta[] = {"rbe.version", version, "w", json, "rbe.keys", "rbe.version",
                                NULL};
    struct rbe_tensor_out t[4] = {
        {"w.codes", RBE_DT_U8, 1, {codes}, zero},
        {"w.scale", RBE_DT_F16, 1, {scale}, scales},
        {"rbe.checksums", RBE_DT_U8, 1, {16}, zero}};
    struct rbe_diag d = {""};

    CHECK(rbe_safetensors_write(other, t, 3, meta, &d) == RBE_OK);
    CHECK(refused(true, why));
}

#define PART(rows, codec, rest) "[{\"rows\":" rows ",\"codec\":\"" codec "\"" rest "}]"
#define WEIGHT(rows, cols, rest, parts)                                                        \
    "{\"rows\":" rows ",\"cols\":" cols rest ",\"parts\":" parts "}"

static void hostile_fields(void)
{
    const size_t n = 2 * 512;       /* two strips of 16 rows, one group of columns */
    static const struct {
        const char *json, *why;
    } cases[] = {
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":16")), "header's checksum"},
        {"", "malformed"},
        {"[]", "malformed"},
        {"{", "malformed"},
        {WEIGHT("0", "32", "", PART("32", "seed", ",\"block\":16")), "malformed"},
        {WEIGHT("-1", "32", "", PART("32", "seed", ",\"block\":16")), "malformed"},
        {WEIGHT("32.0", "32", "", PART("32", "seed", ",\"block\":16")), "malformed"},
        {WEIGHT("4294967296", "32", "", PART("32", "seed", ",\"block\":16")), "malformed"},
        {WEIGHT("4294967295", "4294967295", "", PART("32", "seed", ",\"block\":16")),
         "malformed"},
        {WEIGHT("32", "32", ",\"hadamard\":3", PART("32", "seed", ",\"block\":16")),
         "rotation"},
        {WEIGHT("32", "32", ",\"hadamard\":64", PART("32", "seed", ",\"block\":16")),
         "rotation"},
        {WEIGHT("32", "32", ",\"hadamard\":-8", PART("32", "seed", ",\"block\":16")),
         "rotation"},
        {WEIGHT("32", "32", ",\"sign_seed\":\"-1\"", PART("32", "seed", ",\"block\":16")),
         "rotation"},
        {WEIGHT("32", "32", ",\"sign_seed\":7", PART("32", "seed", ",\"block\":16")),
         "rotation"},
        {WEIGHT("32", "32", ",\"sign_seed\":\"99999999999999999999\"",
                PART("32", "seed", ",\"block\":16")), "rotation"},
        {WEIGHT("32", "32", "", "[]"), "list of parts"},
        {WEIGHT("32", "32", "", "7"), "list of parts"},
        {WEIGHT("32", "32", "", "[7]"), "malformed part"},
        {WEIGHT("33", "32", "", PART("32", "seed", ",\"block\":16")), "cover"},
        {WEIGHT("32", "32", "", PART("33", "seed", ",\"block\":16")), "more rows"},
        {WEIGHT("32", "32", "", PART("4294967295", "seed", ",\"block\":16")), "more rows"},
        {WEIGHT("32", "32", "", PART("0", "seed", ",\"block\":16")), "impossible"},
        {WEIGHT("32", "32", "", PART("32", "magic", ",\"block\":16")), "unknown codec"},
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":0")), "impossible"},
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":15")), "impossible"},
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":4097")), "impossible"},
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":1e9")), "malformed part"},
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":17,\"block\":16")),
         "malformed"},
        {WEIGHT("32", "32", "", PART("32", "seed", ",\"block\":32")), "wrong type or size"},
        {WEIGHT("32", "64", "", PART("32", "seed", ",\"block\":16")), "wrong type or size"},
        {WEIGHT("32", "32", "", PART("32", "f32", "")), "wrong type or size"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        hostile(cases[i].json, n, 32, "2", cases[i].why);
    const char *good = cases[0].json;
    hostile(good, n, 31, "2", "wrong type, size");
    hostile(good, n - 1, 32, "2", "wrong type or size");
    hostile(good, n, 32, "1", "version '1' is not known");
    hostile(good, n, 32, "3", "version '3' is not known");
    hostile(good, n, 32, "", "version ''");
}

int main(int argc, char **argv)
{
    struct rbe_diag d = {""};

    rng = check_seed(argc, argv);
    const int fd = mkstemp(path);
    if (!CHECK(fd >= 0))
        return check_done();
    close(fd);
    snprintf(other, sizeof other, "%s-2", path);
    round_trip();
    damage();
    hostile_fields();
    struct rbe_container *c;
    CHECK(rbe_container_open(&c, "/nonexistent/file", false, &d) == RBE_ERR_IO && !c);
    unlink(path);
    unlink(other);
    return check_done();
}
