/*
 * fuzz.h - harnesses for the parsers, run by libFuzzer and over their corpora.
 *
 * SPDX-License-Identifier: MIT
 *
 * A harness takes any bytes, lets a parser read them, and uses all that came of it.  Whatever
 * the parser maps is a copy of exactly the file's size: a read past its end is caught.
 */
#ifndef RBE_CI_FUZZ_FUZZ_H
#define RBE_CI_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* True when the parser took the input. */
typedef bool rbe_fuzz_fn(const uint8_t *data, size_t size);

#define RBE_PARSER(name, what) bool rbe_fuzz_##name(const uint8_t *data, size_t size);
#include "ci/fuzz/parsers.def"
#undef RBE_PARSER

/* The harness of that name, or NULL. */
rbe_fuzz_fn *rbe_fuzz_find(const char *name);

/* A folder in memory that is removed at the end of the process. */
const char *rbe_fuzz_folder(void);
/* FOLDER/name, in a buffer that the eighth next call takes again. */
const char *rbe_fuzz_path(const char *name);
/* Writes the file FOLDER/name; its path, as above. */
const char *rbe_fuzz_put(const char *name, const void *data, size_t size);

/*
 * An input of several files: a line "=== NAME" before each.  Those whose name is in the list
 * (ended by NULL) are written, the others of the list are removed.
 */
void rbe_fuzz_put_files(const char *const *names, const uint8_t *data, size_t size);

/* What a failed call must leave: a reason in one line, which is cleared for the next one.  Ends
 * the process where there is none; true when err is RBE_OK. */
bool rbe_fuzz_said(enum rbe_status err, struct rbe_diag *d);

/* Ends the process, which libFuzzer takes for a finding, unless the condition holds. */
#define FUZZ_NEED(cond) rbe_fuzz_need(!!(cond), __FILE__, __LINE__, #cond)
void rbe_fuzz_need(bool ok, const char *file, int line, const char *what);

/* A tiny checkpoint, made at the first call, and RBE models of it that together have every kind
 * of codec. */
enum { RBE_FUZZ_MODELS = 2 };
struct rbe_fuzz_world {
    char folder[256], model[RBE_FUZZ_MODELS][300];
};
const struct rbe_fuzz_world *rbe_fuzz_world(void);

/* A checkpoint of a training of the first one, its matrices coded or latent. */
void rbe_fuzz_write_checkpoint(const char *path, bool latent);

/* The tokenizer of rbe-mini. */
const struct rbe_tokenizer *rbe_fuzz_vocabulary(void);

#endif
