/*
 * library.h - shared libraries that are loaded at their first use.
 *
 * SPDX-License-Identifier: MIT
 *
 * Most commands need neither dense products nor a network.  What only some of them need is
 * no dependency of the program: it is looked for when one of them asks, so that generating
 * text costs no memory and no start-up time for the others.
 */
#ifndef RBE_BASE_LIBRARY_H
#define RBE_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The functions that are called, as a list of one's own, CALLS(CALL) = CALL(memory_create) ...,
 * of names without the library's prefix:
 *
 *     struct library { CALLS(RBE_LIBRARY_CALL) };      with the type in the library's header
 *
 * RBE_LIBRARY_PREFIX(name) gives the whole name and is defined before the struct.
 */
#define RBE_LIBRARY_CALL(name)  __typeof__(&RBE_LIBRARY_PREFIX(name)) name;
#define RBE_LIBRARY_TEXT_(name) #name,
#define RBE_LIBRARY_TEXT(name)  RBE_LIBRARY_TEXT_(name)
#define RBE_LIBRARY_NAME(name)  RBE_LIBRARY_TEXT(RBE_LIBRARY_PREFIX(name))

/* "libdnnl.so." and a number that the library's header defines. */
#define RBE_LIBRARY_FILE_(name, version) name "." #version
#define RBE_LIBRARY_FILE(name, version)  RBE_LIBRARY_FILE_(name, version)

/*
 * Loads the library and its functions into calls [count], in the order of their names; false:
 * it is not there, lacks one of them, memory has run out, or the program is linked statically.
 * It stays loaded.
 */
bool rbe_library_open(void *calls, const char *file, const char *const *names, size_t count);

#endif
