/*
 * sha256.c - SHA-256 as FIPS 180-4 defines it.
 *
 * SPDX-License-Identifier: MIT
 *
 * Its constants are the first 32 bits of the fractional parts of roots of the first primes:
 * worked out here, in whole numbers, rather than listed.
 */
#include "base/sha256.h"

#include <pthread.h>
#include <stdint.h>
#include <string.h>

static uint32_t start[8], rounds[64];

/* floor(2^32 * p^(1/2)) and floor(2^32 * p^(1/3)), without their whole parts. */
static uint32_t root_bits(uint32_t p, int cube)
{
    unsigned __int128 low = 0, high = (unsigned __int128)1 << 37;
    const unsigned __int128 square = (unsigned __int128)p << 64;

    while (high - low > 1) {
        const unsigned __int128 x = (low + high) / 2;
        /* x^3 <= p 2^96 as x^2 <= p 2^96 / x: no product has more than 128 bits. */
        if (cube ? x * x <= ((unsigned __int128)p << 96) / x : x * x <= square)
            low = x;
        else
            high = x;
    }
    return (uint32_t)low;
}

static void make_constants(void)
{
    uint32_t p = 2;

    for (int n = 0; n < 64; p++) {
        uint32_t q = 2;
        while (q * q <= p && p % q)
            q++;
        if (q * q <= p)
            continue;
        if (n < 8)
            start[n] = root_bits(p, 0);
        rounds[n++] = root_bits(p, 1);
    }
}

static uint32_t turn(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void take_block(uint32_t h[8], const unsigned char *p)
{
    uint32_t w[64], s[8];

    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] +
               (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        const uint32_t e = s[4], a = s[0];
        const uint32_t x = s[7] + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) +
                           ((e & s[5]) ^ (~e & s[6])) + rounds[i] + w[i];
        const uint32_t y = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) +
                           ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += x;
        s[0] = x + y;
    }
    for (int i = 0; i < 8; i++)
        h[i] += s[i];
}

void rbe_sha256_plain(unsigned char digest[32], const void *bytes, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const unsigned char *p = bytes;
    unsigned char last[128] = {0};
    const size_t left = size % 64, blocks = left < 56 ? 1 : 2;
    uint32_t h[8];

    pthread_once(&once, make_constants);
    memcpy(h, start, sizeof h);
    for (size_t i = 0; i < size / 64; i++)
        take_block(h, p + 64 * i);
    if (left)
        memcpy(last, p + size - left, left);
    last[left] = 0x80;
    for (size_t i = 0; i < 8; i++)
        last[64 * blocks - 1 - i] = (unsigned char)((uint64_t)size * 8 >> (8 * i));
    for (size_t i = 0; i < blocks; i++)
        take_block(h, last + 64 * i);
    for (int i = 0; i < 32; i++)
        digest[i] = (unsigned char)(h[i / 4] >> (24 - 8 * (i % 4)));
}
