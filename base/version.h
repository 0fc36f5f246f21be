/*
 * version.h - the release; the Makefile reads it here too.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_VERSION_H
#define RBE_BASE_VERSION_H

#define RBE_VERSION "0.1.0"
#define RBE_VERSION_DATE "2026-11-24"

#endif
