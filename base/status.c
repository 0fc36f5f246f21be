/*
 * status.c - status texts.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* Two paths as long as the system takes, and a sentence. */
enum { LONGEST = 2 * 4096 + 1024 };

static const char *const texts[] = {
    [RBE_OK] = "ok",
    [-RBE_ERR_NOMEM] = "out of memory",
    [-RBE_ERR_IO] = "input/output error",
    [-RBE_ERR_FORMAT] = "malformed file",
    [-RBE_ERR_MISMATCH] = "inputs do not fit together",
    [-RBE_ERR_ARG] = "impossible request",
    [-RBE_ERR_LIMIT] = "limit exceeded",
    [-RBE_ERR_INTERRUPTED] = "interrupted",
    [-RBE_ERR_NUMERIC] = "not a finite number",
};

const char *rbe_strerror(enum rbe_status s)
{
    const size_t i = (size_t)-s;
    return i < sizeof texts / sizeof texts[0] && texts[i] ? texts[i] : "unknown status";
}

void rbe_one_line(char *text)
{
    char *to = text;

    for (size_t n; *text; text += n ? n : 1) {
        n = rbe_utf8_control(text);
        *to++ = n ? '?' : *text;
    }
    *to = 0;
}

/* Keeps both ends of what is too long: a path may be, and the reason stands behind it. */
static void squeeze(struct rbe_diag *d, const char *text)
{
    const size_t n = strlen(text), size = sizeof d->text;
    const size_t head = n < size ? n : size / 2;

    memcpy(d->text, text, head);
    d->text[head] = 0;
    if (n >= size)
        snprintf(d->text + head, size - head, "...%s", text + n - (size - head - 4));
    /* One line, whatever the names in it are. */
    rbe_one_line(d->text);
}

enum rbe_status rbe_fail(struct rbe_diag *d, enum rbe_status s, const char *fmt, ...)
{
    if (d) {
        char text[LONGEST];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        squeeze(d, text);
    }
    return s;
}

enum rbe_status rbe_fail_errno(struct rbe_diag *d, const char *fmt, ...)
{
    const int e = errno;

    if (d) {
        char text[LONGEST];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        const size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, ": %s", strerror(e));
        squeeze(d, text);
    }
    return e == ENOMEM ? RBE_ERR_NOMEM : RBE_ERR_IO;
}

enum rbe_status rbe_fail_null(struct rbe_diag *d)
{
    return rbe_fail(d, RBE_ERR_ARG, "NULL in place of a handle or a pointer");
}

static atomic_uint shortages;

void rbe_shortage_note(void)
{
    atomic_fetch_add(&shortages, 1);
}

unsigned rbe_shortages(void)
{
    return atomic_load(&shortages);
}

int rbe_exit_code(enum rbe_status s)
{
    return s == RBE_OK ? 0 : s == RBE_ERR_ARG ? 2 : 1;
}
