/*
 * check_tokens.c - training text: documents, limits, bad files, and the order of windows.
 *
 * SPDX-License-Identifier: MIT
 */
#include "kernels/test/check.h"
#include "train/tokens.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "model/data.h"

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");

    if (!CHECK(f != NULL))
        exit(1);
    fwrite(text, 1, strlen(text), f);
    fclose(f);
}

static bool fails(const struct rbe_tokenizer *t, const char *path, const char *reason)
{
    struct rbe_tokens x;
    struct rbe_diag d = {""};
    const bool failed = rbe_tokens_open(&x, &path, 1, 0, RBE_LAYOUT_PLAIN, t, &d) != RBE_OK;

    rbe_tokens_close(&x);
    if (!failed || !strstr(d.text, reason) || !strstr(d.text, path))
        printf("     got '%s'\n", d.text);
    return failed && strstr(d.text, reason) && strstr(d.text, path);
}

static void check_reading(const struct rbe_tokenizer *t, const char *dir)
{
    char *jsonl = rbe_path_join(dir, "a.jsonl"), *txt = rbe_path_join(dir, "b.txt");
    const char *const both[] = {jsonl, txt};
    struct rbe_tokens x;
    uint32_t *ids;
    size_t n;

    write_file(jsonl, "{\"title\": \"T\", \"text\": \"One two.\"}\n\n{\"text\": \"Three\"}\n");
    write_file(txt, "Four five");
    if (!CHECK(rbe_tokens_open(&x, both, 2, 0, RBE_LAYOUT_PLAIN, t, NULL) == RBE_OK))
        exit(1);
    CHECK(x.documents == 3);
    CHECK(rbe_tokenizer_encode(t, "T\n\nOne two.", 11, false, &ids, &n, NULL) == RBE_OK);
    CHECK(n < x.count && !memcmp(x.ids, ids, n * sizeof *ids));
    CHECK(x.ids[n] == rbe_tokenizer_eos(t));
    CHECK(x.ids[x.count - 1] == rbe_tokenizer_eos(t));
    CHECK(x.bytes == 11 + 5 + 9);
    free(ids);
    rbe_tokens_close(&x);
    /* The first document is enough for one token. */
    CHECK(rbe_tokens_open(&x, both, 2, 1, RBE_LAYOUT_PLAIN, t, NULL) == RBE_OK);
    CHECK(x.documents == 1);
    rbe_tokens_close(&x);

    /* What is not reached is looked for: not there, a folder, empty, compressed. */
    static const struct {
        const char *name, *reason;
    } unread[] = {{"none.txt", "No such file"},
                  {"", "a folder"},
                  {"empty.txt", "no text in it"},
                  {"c.jsonl.zst", "compressed"}};
    char *empty = rbe_path_join(dir, "empty.txt");
    write_file(empty, "");
    for (size_t i = 0; i < sizeof unread / sizeof *unread; i++) {
        struct rbe_diag d = {""};
        char *path = rbe_path_join(dir, unread[i].name);
        const char *const two[] = {jsonl, path};
        CHECK(rbe_tokens_open(&x, two, 2, 1, RBE_LAYOUT_PLAIN, t, &d) != RBE_OK && !x.ids);
        if (!CHECK(strstr(d.text, unread[i].reason) && strstr(d.text, path)))
            printf("     got '%s'\n", d.text);
        free(path);
    }
    unlink(empty);
    free(empty);

    /* From another system: a mark in front, CR LF, blank lines. */
    write_file(jsonl, "\xEF\xBB\xBF{\"text\": \"One\"}\r\n\r\n \r\n{\"text\": \"Three\"}\r\n");
    write_file(txt, "\xEF\xBB\xBFOne\r\ntwo\r\n");
    CHECK(rbe_tokens_open(&x, both, 2, 0, RBE_LAYOUT_PLAIN, t, NULL) == RBE_OK);
    CHECK(rbe_tokenizer_encode(t, "One\ntwo\n", 8, false, &ids, &n, NULL) == RBE_OK);
    CHECK(x.documents == 3 && x.bytes == 3 + 5 + 8 && x.count > n &&
          !memcmp(x.ids + x.count - n - 1, ids, n * sizeof *ids));
    free(ids);
    rbe_tokens_close(&x);
    write_file(txt, "One\n\xC2\xA0\ntwo");
    CHECK(rbe_tokens_open(&x, both + 1, 1, 0, RBE_LAYOUT_ROWS, t, NULL) == RBE_OK);
    CHECK(x.bytes == strlen("One\n\n\n\n\ntwo"));
    rbe_tokens_close(&x);

    /* As rows: what P1 makes of the same article in WikiText's form. */
    const char *const rows = "\n\n = T ( a ) = \n\n\n\n\n One \n\n\n two . \n";
    write_file(jsonl, "{\"title\": \"T (a)\", \"text\": \"One\\n\\ntwo.\"}\n");
    CHECK(rbe_tokens_open(&x, both, 1, 0, RBE_LAYOUT_ROWS, t, NULL) == RBE_OK);
    CHECK(rbe_tokenizer_encode(t, rows, strlen(rows), false, &ids, &n, NULL) == RBE_OK);
    CHECK(n + 1 == x.count && !memcmp(x.ids, ids, n * sizeof *ids));
    free(ids);
    rbe_tokens_close(&x);
    write_file(txt, " \n = T ( a ) = \n \n One \n two . \n");
    CHECK(rbe_tokens_open(&x, both + 1, 1, 0, RBE_LAYOUT_ROWS, t, NULL) == RBE_OK);
    CHECK(n + 1 == x.count);
    rbe_tokens_close(&x);

    /* Punctuation as WikiText has it, in JSON's documents alone. */
    static const char *const spelled[][2] = {
        {"A 1,000.5-day well-known (so-called) \\\"end\\\"; it's U.S. No. 5, e.g. this: "
         "yes!",
         " A 1 @,@ 000 @.@ 5 @-@ day well @-@ known ( so @-@ called ) \" end \" ; it 's U.S. "
         "No . 5 , e.g. this : yes ! "},
        {"H. americanus grew (much). It was 5%, or \\\"more.\\\" That is all.",
         " H. americanus grew ( much ) . It was 5 % , or \" more . \" That is all . "},
        {"version 1. of it ... and - so on, etc.",
         " version 1. of it ... and - so on , etc . "},
        {"a.b , c", " a.b , c "}, {".", " . "}, {"", NULL}};
    for (size_t i = 0; spelled[i][1]; i++) {
        char text[256];
        snprintf(text, sizeof text, "{\"text\": \"%s\"}\n", spelled[i][0]);
        write_file(jsonl, text);
        snprintf(text, sizeof text, "\n\n%s\n", spelled[i][1]);
        CHECK(rbe_tokens_open(&x, both, 1, 0, RBE_LAYOUT_ROWS, t, NULL) == RBE_OK);
        CHECK(rbe_tokenizer_encode(t, text, strlen(text), false, &ids, &n, NULL) == RBE_OK);
        if (!CHECK(n + 1 == x.count && !memcmp(x.ids, ids, n * sizeof *ids)))
            printf("     '%s'\n", spelled[i][0]);
        free(ids);
        rbe_tokens_close(&x);
    }

    write_file(jsonl, "{\"text\": \"fine\"}\n{\"txt\": 1}\n");
    CHECK(fails(t, jsonl, "line 2: no string"));
    write_file(jsonl, "{\"text\": ");
    CHECK(fails(t, jsonl, "line 1"));
    write_file(jsonl, "\n");
    CHECK(fails(t, jsonl, "no text"));
    write_file(txt, "");
    CHECK(fails(t, txt, "no text"));
    write_file(txt, "bad \xFF byte");
    CHECK(fails(t, txt, "4"));
    CHECK(fails(t, "text.jsonl.xz", "compressed"));
    unlink(jsonl);
    unlink(txt);
    free(jsonl);
    free(txt);
}

/* Every pass takes each window of its cut once; passes and seeds differ, and cuts unless they
 * are wanted alike. */
static void check_order(size_t count, size_t length, bool alike)
{
    const size_t windows = count / length - 1;
    const size_t cut = rbe_tokens_window(count, length, 7, 0, alike) % length;
    size_t cuts = 0;
    unsigned char *seen = calloc(count, 1);
    size_t moved = 0;

    for (uint64_t pass = 0; pass < 3; pass++) {
        size_t offset = rbe_tokens_window(count, length, 7, pass * windows, alike) %
                        length;
        cuts += offset != cut;
        bool ok = true;
        memset(seen, 0, count);
        for (size_t i = 0; i < windows; i++) {
            const size_t at = rbe_tokens_window(count, length, 7, pass * windows + i,
                                                alike);
            ok = ok && at % length == offset && at + length <= count && !seen[at]++;
            moved += at != offset + i * length;
        }
        CHECK(ok);
    }
    CHECK(windows < 4 || moved > windows);
    CHECK(alike ? !cuts : windows < 4 || cuts);
    CHECK(windows < 4 || rbe_tokens_window(count, length, 7, 0, alike) !=
                             rbe_tokens_window(count, length, 8, 0, alike) ||
          rbe_tokens_window(count, length, 7, 1, alike) !=
              rbe_tokens_window(count, length, 8, 1, alike));
    free(seen);
}

int main(void)
{
    char dir[] = "/tmp/rbe-tokens-XXXXXX", *folder = rbe_data_path("rbe-mini");
    struct rbe_tokenizer *t = NULL;

    if (!CHECK(mkdtemp(dir) && folder &&
               rbe_tokenizer_open(&t, folder, NULL) == RBE_OK))
        return check_done();
    check_reading(t, dir);
    for (int alike = 0; alike < 2; alike++) {
        check_order(20, 10, alike);
        check_order(1000, 10, alike);
        check_order(4109, 64, alike);
    }
    rbe_tokenizer_close(&t);
    free(folder);
    rmdir(dir);
    return check_done();
}
