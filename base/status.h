/*
 * status.h - how every fallible function answers.
 *
 * SPDX-License-Identifier: MIT
 *
 * Library code never prints, exits or aborts: it returns a status and, where the caller gave
 * a place for it, says why in one line.  main prints "rbe: <text>".
 */
#ifndef RBE_BASE_STATUS_H
#define RBE_BASE_STATUS_H

enum rbe_status {
    RBE_OK = 0,
    RBE_ERR_NOMEM = -1,         /* out of memory */
    RBE_ERR_IO = -2,            /* errno said why */
    RBE_ERR_FORMAT = -3,        /* the file is not what it claims to be */
    RBE_ERR_MISMATCH = -4,      /* two inputs do not fit together */
    RBE_ERR_ARG = -5,           /* an impossible request: exit 2 */
    RBE_ERR_LIMIT = -6,         /* a stated limit would be passed (memory, budget) */
    RBE_ERR_INTERRUPTED = -7,   /* the user asked to stop */
    RBE_ERR_NUMERIC = -8,       /* NaN, infinity, or divergence */
};

const char *rbe_strerror(enum rbe_status s);

/* Why a call failed: one line, no newline, naming file and reason. */
struct rbe_diag {
    char text[2048];            /* a list of all kernels is 1,400 long */
};

/* Writes the reason (d may be NULL) and returns s:  return rbe_fail(d, RBE_ERR_FORMAT, ...)
 * It is one line: control characters become question marks. */
enum rbe_status rbe_fail(struct rbe_diag *d, enum rbe_status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": strerror(errno)" appended; returns RBE_ERR_IO, or NOMEM for ENOMEM. */
enum rbe_status rbe_fail_errno(struct rbe_diag *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * For what has no status to say that memory ran out, as a median that became NaN or a field of
 * a result: it is counted, and who gives results away compares the count with that of before.
 */
void rbe_shortage_note(void);
unsigned rbe_shortages(void);

/* Exit status of a command that ended with s: 0, 1, or 2 for RBE_ERR_ARG. */
int rbe_exit_code(enum rbe_status s);

#endif
