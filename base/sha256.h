/*
 * sha256.h - SHA-256 where there is no libcrypto: on devices.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_SHA256_H
#define RBE_BASE_SHA256_H

#include <stddef.h>

void rbe_sha256_plain(unsigned char digest[32], const void *bytes, size_t size);

#endif
