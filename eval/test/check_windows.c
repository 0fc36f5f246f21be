/*
 * check_windows.c - texts and windows of the protocols, against cuts made by hand.
 *
 * SPDX-License-Identifier: MIT
 *
 * The token counts of WikiText-103 test with the embedded vocabulary are those that stand in
 * reference.json beside the model.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "eval/perplexity.h"
#include "eval/text.h"
#include "eval/windows.h"
#include "kernels/test/check.h"
#include "model/conversation.h"
#include "model/data.h"
#include "rbe/gguf.h"

static bool is(const char *got, const char *want)
{
    const bool ok = got && !strcmp(got, want);

    if (!ok)
        printf("     got  '%s'\n     want '%s'\n", got ? got : "(null)", want);
    return ok;
}

static void check_counts(void)
{
    CHECK(rbe_count_words(" a b\n c ", 8) == 3);
    CHECK(rbe_count_fields(" a b\n c ", 8) == 5);
    CHECK(rbe_count_fields("a b", 3) == 2);
    CHECK(rbe_count_fields(" ", 1) == 2 && rbe_count_fields("", 0) == 1);
    /* U+00A0 and U+2003 are white space; U+200B is not. */
    CHECK(rbe_count_words("a\xC2\xA0" "b\xE2\x80\x83" "c\xE2\x80\x8B" "d", 12) == 3);
    CHECK(rbe_utf8_valid("ab\xC3\xA9", 4) == 4);
    CHECK(rbe_utf8_valid("ab\xC3", 3) == 2);
    CHECK(rbe_utf8_valid("a\xED\xA0\x80", 4) == 1);         /* a surrogate */
    CHECK(rbe_utf8_valid("\xC0\x80", 2) == 0);              /* overlong */
    CHECK(rbe_utf8_valid("a\0b", 3) == 1);
    CHECK(rbe_utf8_valid("\xF4\x90\x80\x80", 4) == 0);      /* past U+10FFFF */
}

static void check_cutting_text(void)
{
    static const char raw[] = " \n = A = \n \n one @-@ two . \n = = B = = \n \n = C D = \n x";
    struct rbe_diag d = {""};
    struct rbe_text_page *pages;
    char *out;
    size_t n;

    CHECK(!rbe_text_join_rows(raw, 18, &out, &n, &d));
    CHECK(is(out, "\n\n = A = \n\n\n\n\n one @"));
    CHECK(n == strlen(out));
    free(out);
    CHECK(!rbe_text_pages(raw, sizeof raw - 1, &pages, &n, &d));
    CHECK(n == 2);
    if (n == 2) {
        CHECK(!strncmp(raw + pages[0].begin, " = A = \n", 8));
        CHECK(raw[pages[0].end] == '\n' && !strncmp(raw + pages[0].end + 1, " = C D", 6));
        CHECK(pages[1].begin == pages[0].end + 1 && pages[1].end == sizeof raw - 1);
    }
    free(pages);
    /* Headings stand between white space of any kind. */
    static const char odd[] = "x\n\xC2\xA0= A =\xE3\x80\x80\nb\n=  =\nc";
    CHECK(!rbe_text_pages(odd, sizeof odd - 1, &pages, &n, &d) && n == 3);
    free(pages);
    static const struct {
        const char *from, *to;
    } cases[] = {
        {" = A = \n \n one @-@ two , three @,@ 000 . \n", " = A =\n\none-two, three,000.\n"},
        /* The rule for quotations takes the two apostrophes for a pair, there as here. */
        {"the boys ' ball , it 's ( so ) \" quoted text \"", "the boys'ball, it's (so) "
         "\"quoted text\""},
        {"3 @.@ 5 \xC2\xB0 C ; yes : no ! why ? [ x ] { y }", "3.5\xC2\xB0" "C; yes: no! why? "
         "[x] {y}"},
        {" = = = = Deep = = = = \n N N x", " ==== Deep ====\nN 1 x"},
        {"' single ' and ( two\n lines )", "'single' and (two\nlines)"},
        /* White space of Python's: U+00A0, U+3000, U+001C; not U+180E. */
        {"(\xC2\xA0 x\xE3\x80\x80) [\x1Cy\xE1\xA0\x8E]", "(x) [y\xE1\xA0\x8E]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        CHECK(!rbe_text_detokenise(cases[i].from, strlen(cases[i].from), &out, &n, &d));
        CHECK(is(out, cases[i].to) && n == strlen(out));
        free(out);
    }
}

/* Cuts n tokens and checks "start:length:first ..." */
static void check_cut(enum rbe_protocol p, uint32_t context, uint32_t stride, size_t n,
                      const char *want)
{
    struct rbe_windows w = {.protocol = p, .context = context, .stride = stride};
    struct rbe_diag d = {""};
    char got[512] = "";
    size_t at = 0;

    CHECK(!rbe_windows_cut(&w, 0, n, &d));
    for (size_t i = 0; i < w.count; i++)
        at += (size_t)snprintf(got + at, sizeof got - at, "%s%zu:%u:%u", at ? " " : "",
                               w.w[i].start, w.w[i].length, w.w[i].first);
    CHECK(is(got, want));
    rbe_windows_free(&w);
}

static void check_cuts(void)
{
    check_cut(RBE_P1, 4, 4, 10, "0:4:1 4:4:1 8:2:1");
    check_cut(RBE_P1, 4, 4, 9, "0:4:1 4:4:1");
    check_cut(RBE_P2, 4, 2, 9, "0:4:1 2:4:2 4:4:2 6:3:2");
    check_cut(RBE_P2, 4, 2, 4, "0:4:1");
    /* Positions 257 .. 511 of 512: 255 targets. */
    check_cut(RBE_P3, 512, 512, 1300, "0:512:257 512:512:257");
    /* A page of 34 tokens and 10 inputs a window: the windows of lm-eval's own test. */
    check_cut(RBE_P4, 10, 10, 34, "0:11:1 10:11:1 20:11:1 24:11:7");
    check_cut(RBE_P4, 10, 10, 6, "0:7:1");
    check_cut(RBE_P4, 10, 10, 10, "0:11:1");
}

static void check_wikitext(void)
{
    char *path = rbe_data_path("wiki.test.raw"), *folder = rbe_data_path("rbe-mini");
    struct rbe_diag d = {""};
    struct rbe_tokenizer *t;
    struct rbe_windows w;
    struct rbe_text text;

    if (!CHECK(path && folder) || !CHECK(!rbe_text_open(&text, path, &d)) ||
        !CHECK(!rbe_tokenizer_open(&t, folder, &d)))
        return;
    CHECK(text.size == 1290590 && rbe_count_words(text.bytes, text.size) == 241211);
    CHECK(!strcmp(text.sha256,
                  "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"));
    CHECK(!rbe_windows_make(&w, RBE_P1, &text, t, 512, 0, &d));
    size_t scored = 0;
    for (size_t i = 0; i < w.count; i++)
        scored += w.w[i].length - w.w[i].first;
    CHECK(w.token_count == 353855 && w.count == 692 && scored == 353163);
    rbe_windows_free(&w);
    /* The first window scores 511 tokens, each half of one later 256, the last the rest. */
    CHECK(!rbe_windows_make(&w, RBE_P2, &text, t, 512, 0, &d));
    scored = 0;
    for (size_t i = 0; i < w.count; i++)
        scored += w.w[i].length - w.w[i].first;
    CHECK(w.stride == 256 && w.count == 1 + (353855 - 512 + 255) / 256 && scored == 353854);
    rbe_windows_free(&w);
    CHECK(!rbe_windows_make(&w, RBE_P3, &text, t, 512, 0, &d));
    CHECK(w.token_count == 352431 && w.count * 255 == 175440);
    rbe_windows_free(&w);
    CHECK(!rbe_windows_make(&w, RBE_P4, &text, t, 512, 0, &d));
    scored = 0;
    for (size_t i = 0; i < w.count; i++)
        scored += w.w[i].length - w.w[i].first;
    CHECK(w.pages == 62 && scored == w.text_tokens && w.space_words == 241211);
    CHECK(w.words == 241211 + 2 * 62);
    rbe_windows_free(&w);
    CHECK(rbe_windows_make(&w, RBE_P1, &text, t, 512, 513, &d) == RBE_ERR_ARG);
    CHECK(rbe_windows_make(&w, RBE_P1, &text, t, 512, 3, &d) == RBE_ERR_ARG);
    text.size = 300;
    CHECK(rbe_windows_make(&w, RBE_P1, &text, t, 512, 0, &d) == RBE_ERR_FORMAT);
    CHECK(strstr(d.text, "shorter than one window") != NULL);
    rbe_text_close(&text);
    rbe_tokenizer_close(&t);
    free(path);
    free(folder);
}

static void check_file(const char *name, const char *content, size_t n, const char *why)
{
    char path[64] = "/tmp/rbe-check-text-XXXXXX";
    char full[96];
    struct rbe_diag d = {""};
    struct rbe_text t;

    if (!CHECK(mkdtemp(path) != NULL))
        return;
    snprintf(full, sizeof full, "%s/%s", path, name);
    FILE *f = fopen(full, "wb");
    CHECK(f && fwrite(content, 1, n, f) == n);
    if (f)
        fclose(f);
    const enum rbe_status err = rbe_text_open(&t, full, &d);
    if (why) {
        CHECK(err == RBE_ERR_FORMAT && strstr(d.text, why));
    } else if (CHECK(!err)) {
        CHECK(is(t.bytes, "one\ntwo \xC3\xA9\n"));
        rbe_text_close(&t);
    }
    unlink(full);
    rmdir(path);
}

/* P1 and P4 read lines, P3 bytes; the row says so. */
static void check_bytes(void)
{
    char *folder = rbe_data_path("rbe-mini"), path[] = "/tmp/rbe-check-crlf-XXXXXX";
    const int fd = mkstemp(path);
    struct rbe_diag d = {""};
    struct rbe_tokenizer *t;
    struct rbe_windows lines, bytes;
    struct rbe_text text;

    if (!CHECK(folder && fd >= 0) || !CHECK(!rbe_tokenizer_open(&t, folder, &d)))
        return;
    for (int i = 0; i < 40; i++)
        CHECK(write(fd, "a line of text\r\n", 16) == 16);
    CHECK(!rbe_text_open(&text, path, &d) && text.marks.crs == 40 && !text.marks.bom);
    CHECK(text.size == 40 * 15 && text.raw_size == 40 * 16 && text.file_bytes == 40 * 16);
    CHECK(!rbe_windows_make(&lines, RBE_P1, &text, t, 512, 16, &d) && lines.bytes == 40 * 15);
    CHECK(!rbe_windows_make(&bytes, RBE_P3, &text, t, 512, 16, &d) && bytes.bytes == 40 * 16);
    char *p1 = rbe_detokenise(t, lines.tokens, (uint32_t)lines.token_count);
    char *p3 = rbe_detokenise(t, bytes.tokens, (uint32_t)bytes.token_count);
    CHECK(p1 && !strchr(p1, '\r') && p3 && strlen(p3) == 40 * 16 - 1 && strchr(p3, '\r'));
    json_t *r = json_object();
    CHECK(!rbe_text_record(r, &text, true));
    CHECK(!strcmp(json_string_value(json_object_get(json_object_get(r, "text"), "read_as")),
                  "bytes"));
    json_decref(r);
    free(p1);
    free(p3);
    rbe_windows_free(&lines);
    rbe_windows_free(&bytes);
    rbe_text_close(&text);
    rbe_tokenizer_close(&t);
    close(fd);
    unlink(path);
    free(folder);
}

/* A tokenizer of bytes, 256 of which stand as themselves or from U+0100 on; `begin` puts token
 * 256 before a text. */
static bool write_bytes(const char *path, bool begin)
{
    enum { VOCAB = 259 };
    static char texts[VOCAB][4];
    struct rbe_gguf_text tokens[VOCAB];
    const struct rbe_gguf_text merge = {"z q", 3};
    int32_t types[VOCAB];
    struct rbe_gguf_out *o;
    unsigned rest = 256;

    for (unsigned b = 0; b < 256; b++) {
        const bool own = (b > 32 && b < 127) || (b > 160 && b != 173);
        const unsigned u = own ? b : rest++;
        snprintf(texts[b], sizeof texts[b], u < 128 ? "%c" : "%c%c",
                 u < 128 ? (int)u : (int)(0xC0 | u >> 6), (int)(0x80 | (u & 63)));
        types[b] = 1;
    }
    strcpy(texts[256], "<s>");
    strcpy(texts[257], "<e>");
    strcpy(texts[258], "zq");
    types[256] = types[257] = 3;
    types[258] = 1;
    for (int i = 0; i < VOCAB; i++)
        tokens[i] = (struct rbe_gguf_text){texts[i], strlen(texts[i])};
    if (rbe_gguf_begin(&o, NULL))
        return false;
    rbe_gguf_add_string(o, "general.architecture", "llama");
    rbe_gguf_add_string(o, "tokenizer.ggml.model", "gpt2");
    rbe_gguf_add_string(o, "tokenizer.ggml.pre", "gpt-2");
    rbe_gguf_add_strings(o, "tokenizer.ggml.tokens", tokens, VOCAB);
    rbe_gguf_add_i32s(o, "tokenizer.ggml.token_type", types, VOCAB);
    rbe_gguf_add_strings(o, "tokenizer.ggml.merges", &merge, 1);
    rbe_gguf_add_u32(o, "tokenizer.ggml.eos_token_id", 257);
    rbe_gguf_add_u32(o, "tokenizer.ggml.bos_token_id", 256);
    rbe_gguf_add_bool(o, "tokenizer.ggml.add_bos_token", begin);
    const bool done = !rbe_gguf_write(o, path, NULL);
    rbe_gguf_end(&o);
    return done;
}

/* Where each protocol has the token that stands before a text. */
static void check_begin(void)
{
    static const char bytes[] = " = Page = \n abcdefghijklmnopqrstuvw\n";
    char path[] = "/tmp/rbe-check-begin-XXXXXX";
    const struct rbe_text text = {.bytes = (char *)(uintptr_t)bytes, .size = sizeof bytes - 1,
                                  .name = (char *)(uintptr_t)"t"};
    struct rbe_diag d = {""};
    const int fd = mkstemp(path);

    for (int begin = 0; begin < 2; begin++) {
        struct rbe_tokenizer *t;
        if (!CHECK(fd >= 0 && write_bytes(path, begin) && !rbe_tokenizer_open(&t, path, &d))) {
            printf("     %s\n", d.text);
            break;
        }
        for (int p = RBE_P1; p <= RBE_P4; p++) {
            struct rbe_windows w;
            size_t begun = 0, ended = 0;
            if (!CHECK(!rbe_windows_make(&w, (enum rbe_protocol)p, &text, t, 64, 8, &d)))
                continue;
            CHECK(w.begins == begin && w.w[0].start == 0 && w.count > 3);
            for (size_t i = 0; i < w.token_count; i++) {
                begun += w.tokens[i] == 256;
                ended += w.tokens[i] == 257;
            }
            for (size_t i = 0; i < w.count && p == RBE_P3; i++)
                CHECK((w.tokens[w.w[i].start] == 256) == begin);
            CHECK(begun == (!begin ? 0 : p == RBE_P3 ? w.count : 1));
            CHECK(ended == (!begin && p == RBE_P4));
            CHECK(w.token_count == w.text_tokens + (begin || p == RBE_P4));
            if (p == RBE_P3 && begin)   /* what is scored is the text's */
                CHECK(w.tokens[w.w[1].start + 1] == (uint32_t)bytes[w.w[1].start]);
            json_t *r = json_object();
            CHECK(!rbe_perplexity_describe(r, &w));
            CHECK(json_integer_value(json_object_get(r, "begin_token")) == (begin ? 256 : 0));
            json_decref(r);
            rbe_windows_free(&w);
        }
        rbe_tokenizer_close(&t);
    }
    close(fd);
    unlink(path);
}

static void check_files(void)
{
    static const char jsonl[] = "{\"text\": \"one\"}\n\n{\"a\": 1, \"text\": \"two \\u00e9\"}";

    check_file("a.txt", "", 0, "empty");
    check_file("a.txt", "ab\xFF", 3, "invalid UTF-8 at byte 2");
    check_file("a.txt", "ab\0c", 4, "NUL at byte 2");
    check_file("a.jsonl", jsonl, sizeof jsonl - 1, NULL);
    check_file("a.jsonl", "{\"text\": \"x\"}\n{\"text\": 5}\n", 26, "line 2");
    check_file("a.jsonl", "{\"text\": \"x\"}\n{oops\n", 20, "line 2");
    check_file("a.txt", "one\ntwo \xC3\xA9\n", 11, NULL);
    /* As from another system: the same text. */
    check_file("a.txt", "\xEF\xBB\xBFone\r\ntwo \xC3\xA9\r\n", 16, NULL);
    static const char windows[] = "\xEF\xBB\xBF{\"text\": \"one\"}\r\n\r\n \t\n"
                                  "{\"text\": \"two \xC3\xA9\"}\r\n";
    static const char third[] = "{\"text\": \"x\"}\r\n \r\n{\"text\": 5}\r\n";
    check_file("a.jsonl", windows, sizeof windows - 1, NULL);
    check_file("a.jsonl", third, sizeof third - 1, "line 3");
    check_file("a.txt", "\xFF\xFE" "a", 3, "UTF-16");
    check_file("a.txt", "\xEF\xBB\xBF", 3, "empty");
}

int main(void)
{
    check_counts();
    check_cutting_text();
    check_cuts();
    check_wikitext();
    check_bytes();
    check_begin();
    check_files();
    return check_done();
}
