/*
 * lock.h - one process at a time, also of several machines.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_LOCK_H
#define RBE_BASE_LOCK_H

/*
 * Locks the file `path`, which is made where it is missing and stays; while another process has
 * it, says on stderr once that `what` is waited for.  A process that ends leaves its locks.  -1
 * where the file system has no locks, and at an interrupt (rbe_interrupted()): who calls must
 * be right without one, and only slower.
 */
int rbe_lock_take(const char *path, const char *what);
/* Gives *lock back and makes it -1; harmless on -1. */
void rbe_lock_drop(int *lock);

#endif
