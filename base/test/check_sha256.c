/*
 * check_sha256.c - the digest of devices against libcrypto's, and known ones.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/sha256.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "kernels/test/check.h"

static const char *plain(const void *bytes, size_t size)
{
    static char hex[65];
    unsigned char md[32];

    rbe_sha256_plain(md, bytes, size);
    for (int i = 0; i < 32; i++)
        sprintf(hex + 2 * i, "%02x", md[i]);
    return hex;
}

int main(void)
{
    enum { MOST = 1 << 20 };
    unsigned char *bytes = malloc(MOST);
    char hex[65];
    uint32_t x = 1;

    if (!CHECK(bytes != NULL))
        return check_done();
    CHECK(!strcmp(plain("", 0),
                  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
    CHECK(!strcmp(plain("abc", 3),
                  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (unsigned char)((x = x * 1664525 + 1013904223) >> 24);
    /* Every length around one and two blocks, and a long one. */
    for (size_t n = 0; n <= 200; n++)
        CHECK(!rbe_sha256(hex, bytes, n) && !strcmp(hex, plain(bytes, n)));
    CHECK(!rbe_sha256(hex, bytes, MOST) && !strcmp(hex, plain(bytes, MOST)));
    free(bytes);
    return check_done();
}
