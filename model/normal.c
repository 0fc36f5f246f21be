/*
 * normal.c - the form NFC by libutf8proc.
 *
 * SPDX-License-Identifier: MIT
 */
#include "model/normal.h"

#include <pthread.h>
#include <stdint.h>

#include "base/library.h"

/* Of utf8proc.h, 2.0 and newer; the header itself would be a dependency of the programs that
 * are built for apps, which have no such library. */
enum { STABLE = 1 << 1, COMPOSE = 1 << 3, OUT_OF_MEMORY = -1, INVALID_UTF8 = -3 };

static struct {
    ptrdiff_t (*map)(const uint8_t *text, ptrdiff_t size, uint8_t **out, int options);
} library;
static bool loaded;

static void load(void)
{
    /* The same functions under each number: one was raised for an enum that grew. */
    static const char *const files[] = {"libutf8proc.so.3", "libutf8proc.so.2"};
    static const char *const names[] = {"utf8proc_map"};

    for (size_t i = 0; !loaded && i < sizeof files / sizeof files[0]; i++)
        loaded = rbe_library_open(&library, files[i], names, 1);
}

enum rbe_status rbe_normal_form(char **out, size_t *out_size, const char *text, size_t size,
                                struct rbe_diag *d)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint8_t *form = NULL;
    size_t i = 0;

    *out = NULL;
    /* 0xCC is the first byte of U+0300, and no later byte of a character is as large. */
    while (i < size && (unsigned char)text[i] < 0xCC)
        i++;
    if (i == size)
        return RBE_OK;
    pthread_once(&once, load);
    if (!loaded)
        return rbe_fail(d, RBE_ERR_IO, "libutf8proc, which the normalizer NFC needs "
                        "for this text, does not load");
    const ptrdiff_t n = library.map((const uint8_t *)text, (ptrdiff_t)size, &form,
                                    STABLE | COMPOSE);
    if (n == INVALID_UTF8)
        return RBE_OK;
    if (n < 0)
        return n == OUT_OF_MEMORY ? rbe_fail(d, RBE_ERR_NOMEM, "out of memory")
            : rbe_fail(d, RBE_ERR_FORMAT, "libutf8proc: error %td", n);
    *out = (char *)form;
    *out_size = (size_t)n;
    return RBE_OK;
}
