/*
 * text.c - texts that people write: reading them, their line ends, their white space.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"

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

bool rbe_word_again(struct rbe_words_seen *s, const char *word)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->word[i], word))
            return true;
    if (s->count < sizeof s->word / sizeof *s->word)
        s->word[s->count++] = word;
    return false;
}

char *rbe_text_name(const char *path)
{
    const char *base = strrchr(path, '/');
    struct stat st;

    if (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return strdup("pipe");
    return strdup(base && base[1] ? base + 1 : path);
}
