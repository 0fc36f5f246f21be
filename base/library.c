/*
 * library.c - dlopen() and dlsym() for a list of functions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/library.h"

#include <dlfcn.h>
#include <string.h>

bool rbe_library_open(void *calls, const char *file, const char *const *names, size_t count)
{
#ifdef RBE_STATIC
    /* What is static has no linker at run time. */
    void *library = NULL;
    (void)file;
#else
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
#endif

    for (size_t i = 0; library && i < count; i++) {
        /* Pointers to functions have the size of others (POSIX, dlsym). */
        void *f = dlsym(library, names[i]);
        if (!f)
            return false;
        memcpy((char *)calls + i * sizeof f, &f, sizeof f);
    }
    return library != NULL;
}
