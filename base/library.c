/*
 * library.c - dlopen() and dlsym() for a list of functions.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/library.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#ifndef RBE_STATIC
/* The program itself comes first: does it ask for the dynamic linker? */
static int has_linker(struct dl_phdr_info *info, size_t size, void *found)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_INTERP)
            *(bool *)found = true;
    return 1;
}
#endif

bool rbe_library_open(void *calls, const char *file, const char *const *names, size_t count)
{
#ifdef RBE_STATIC
    /* What is static has no linker at run time. */
    void *library = NULL;
    (void)file;
#else
    bool dynamic = false;

    /* In a program that is linked statically dlopen() brings a second C library, which the
     * first one's threads are strangers to. */
    dl_iterate_phdr(has_linker, &dynamic);
    void *library = dynamic ? dlopen(file, RTLD_NOW | RTLD_LOCAL) : NULL;
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
