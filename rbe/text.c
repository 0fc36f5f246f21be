/*
 * text.c - texts that people write: reading them, their line ends, their white space.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "rbe/file.h"

size_t rbe_utf8_char(const char *text, size_t left, uint32_t *code)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text;
    size_t n;

    if (!left)
        return 0;
    if (s[0] < 0x80) {
        *code = s[0];
        return 1;
    }
    if (s[0] >= 0xC2 && s[0] < 0xE0)
        n = 2;
    else if (s[0] >= 0xE0 && s[0] < 0xF0)
        n = 3;
    else if (s[0] >= 0xF0 && s[0] < 0xF5)
        n = 4;
    else
        return 0;
    if (left < n)
        return 0;
    uint32_t c = s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (s[i] & 0x3F);
    }
    if (c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    *code = c;
    return n;
}

size_t rbe_utf8_put(char out[4], uint32_t code)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF00 >> n) | code);
    return n;
}

bool rbe_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t rbe_strip_right(const char *s, size_t size)
{
    while (size) {
        size_t at = size - 1;
        uint32_t c;

        while (at && size - at < 4 && (s[at] & 0xC0) == 0x80)
            at--;
        if (rbe_utf8_char(s + at, size - at, &c) != size - at || !rbe_is_space(c))
            break;
        size = at;
    }
    return size;
}

size_t rbe_strip(const char **s, size_t size)
{
    uint32_t c;
    size_t n;

    while ((n = rbe_utf8_char(*s, size, &c)) && rbe_is_space(c)) {
        *s += n;
        size -= n;
    }
    return rbe_strip_right(*s, size);
}

size_t rbe_text_plain(char *s, size_t size, struct rbe_text_marks *marks)
{
    const bool bom = size >= 3 && !memcmp(s, "\xEF\xBB\xBF", 3);
    size_t out = 0, crs = 0;

    for (size_t in = bom ? 3 : 0; in < size; in++) {
        if (s[in] != '\r') {
            s[out++] = s[in];
            continue;
        }
        crs++;
        if (in + 1 == size || s[in + 1] != '\n')
            s[out++] = '\n';
    }
    s[out] = 0;
    if (marks)
        *marks = (struct rbe_text_marks){bom, crs};
    return out;
}

enum rbe_status rbe_text_utf16(const char *s, size_t size, const char *path, struct rbe_diag *d)
{
    if (size >= 2 && (!memcmp(s, "\xFF\xFE", 2) || !memcmp(s, "\xFE\xFF", 2)))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: UTF-16, not UTF-8: convert it first (iconv -f "
                        "UTF-16 -t UTF-8)", path);
    return RBE_OK;
}

enum rbe_status rbe_read_text(char **out, size_t *size, char sha256[65], const char *path,
                              struct rbe_diag *d)
{
    enum rbe_status err = rbe_read_file(out, size, path, d);

    if (err)
        return err;
    if ((err = rbe_text_utf16(*out, *size, path, d))) {
        free(*out);
        *out = NULL;
        *size = 0;
        return err;
    }
    if (sha256 && (err = rbe_sha256(sha256, *out, *size))) {
        free(*out);
        *out = NULL;
        *size = 0;
        return rbe_fail(d, err, "%s: out of memory", path);
    }
    *size = rbe_text_plain(*out, *size, NULL);
    return RBE_OK;
}

char *rbe_text_name(const char *path)
{
    const char *base = strrchr(path, '/');
    struct stat st;

    if (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return strdup("pipe");
    return strdup(base && base[1] ? base + 1 : path);
}
