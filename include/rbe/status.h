/*
 * <rbe/status.h> - the first call, and how every call that can fail answers.
 *
 * SPDX-License-Identifier: MIT
 *
 * The library never prints, exits or aborts: a call returns a status and, where the caller gave
 * a place for it, says why in one line.
 *
 * NULL in place of a handle, or of another pointer that a call needs, is RBE_ERR_ARG.  Calls
 * that return no status do nothing then, and return 0, false or NULL, where nothing else is
 * said; to close NULL, or a pointer to NULL, does nothing.  An array of no elements may be
 * NULL.  Where a call that opens fails, *out is NULL.
 */
#ifndef RBE_INCLUDE_STATUS_H
#define RBE_INCLUDE_STATUS_H

enum rbe_status {
    RBE_OK = 0,
    RBE_ERR_NOMEM = -1,         /* out of memory */
    RBE_ERR_IO = -2,            /* errno said why */
    RBE_ERR_FORMAT = -3,        /* the file is not what it claims to be */
    RBE_ERR_MISMATCH = -4,      /* two inputs do not fit together */
    RBE_ERR_ARG = -5,           /* an impossible request */
    RBE_ERR_LIMIT = -6,         /* a stated limit would be passed (memory, budget) */
    RBE_ERR_INTERRUPTED = -7,   /* the user asked to stop */
    RBE_ERR_NUMERIC = -8,       /* NaN, infinity, or divergence */
};

/* Why a call failed: one line, no newline, naming file and reason.  Starts as {""}. */
struct rbe_diag {
    char text[4096];            /* a list of all kernels is 2,400 long */
};

/* "out of memory", ... */
const char *rbe_strerror(enum rbe_status s);

/*
 * Finds out what this CPU can run, less what $RBE_DISABLE_ISA names ("avx512,avx2"; "all":
 * scalar code only), and how many bits activations have, by $RBE_ACTIVATIONS ("8", "16").
 * Once, before the other calls and before threads; without it everything runs, by scalar code.
 * RBE_ERR_ARG: an unknown name.  d may be NULL, here and everywhere.
 */
enum rbe_status rbe_init(struct rbe_diag *d);

/* "0.1.0". */
const char *rbe_version(void);

#endif
