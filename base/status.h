/*
 * status.h - how a fallible function says why, for those that answer <rbe/status.h>'s codes.
 *
 * SPDX-License-Identifier: MIT
 *
 * main prints "rbe: <text>".
 */
#ifndef RBE_BASE_STATUS_H
#define RBE_BASE_STATUS_H

#include <rbe/status.h>

/* Writes the reason (d may be NULL) and returns s:  return rbe_fail(d, RBE_ERR_FORMAT, ...)
 * It is one line: control characters become question marks. */
enum rbe_status rbe_fail(struct rbe_diag *d, enum rbe_status s, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same with ": strerror(errno)" appended; returns RBE_ERR_IO, or NOMEM for ENOMEM. */
enum rbe_status rbe_fail_errno(struct rbe_diag *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* RBE_ERR_ARG, for a public call that was given NULL in place of what it needs. */
enum rbe_status rbe_fail_null(struct rbe_diag *d);

/* In place: control characters become question marks, so that the text is one line and changes
 * nothing else on a terminal. */
void rbe_one_line(char *text);

/*
 * For what has no status to say that memory ran out, as a median that became NaN or a field of
 * a result: it is counted, and who gives results away compares the count with that of before.
 */
void rbe_shortage_note(void);
unsigned rbe_shortages(void);

/* Exit status of a command that ended with s: 0, 1, or 2 for RBE_ERR_ARG. */
int rbe_exit_code(enum rbe_status s);

#endif
