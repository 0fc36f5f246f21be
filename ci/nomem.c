/*
 * nomem.c - a library to preload: one allocation of a program fails, or all from one on.
 *
 * SPDX-License-Identifier: MIT
 *
 * NOMEM_AT=N      the Nth allocation since main() fails
 * NOMEM_FROM=N    so do all after it
 * NOMEM_SKIP=A:B  those that code of these libraries asks for are neither counted nor failed
 * NOMEM_SAID=FILE says there which failed first, "malloc from LIBRARY"; at the end, without
 *                 one that failed, how many there were
 *
 * Allocations are malloc and its relatives, mmap (not those of the C library), and threads.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* What glibc's own allocator is called besides: no dlsym() is needed, which would allocate. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

enum { RANGES = 32 };

static struct range {
    uintptr_t begin, end;
} skip[RANGES];
static int skips;
static long at, from;
static atomic_long count;
static atomic_bool counting, said;
static char said_path[512];

static void say(const char *text)
{
    const int fd = open(said_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);

    if (fd < 0)
        return;
    if (write(fd, text, strlen(text)) < 0)
        _exit(3);
    close(fd);
}

/* True when this one is to fail. */
static bool fails(const char *what, const void *caller)
{
    char text[256];
    Dl_info info;

    if (!atomic_load(&counting))
        return false;
    for (int i = 0; i < skips; i++)
        if ((uintptr_t)caller >= skip[i].begin && (uintptr_t)caller < skip[i].end)
            return false;
    const long n = atomic_fetch_add(&count, 1) + 1;
    if (n != at && !(from && n >= from))
        return false;
    errno = ENOMEM;
    if (said_path[0] && !atomic_exchange(&said, true)) {
        const char *name = dladdr(caller, &info) && info.dli_fname ? info.dli_fname : "?";
        const char *slash = strrchr(name, '/');
        snprintf(text, sizeof text, "%s from %s\n", what, slash ? slash + 1 : name);
        say(text);
        errno = ENOMEM;
    }
    return true;
}

void *malloc(size_t size)
{
    return fails("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails("calloc", __builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
    return fails("realloc", __builtin_return_address(0)) ? NULL : __libc_realloc(p, size);
}

void *reallocarray(void *p, size_t n, size_t size)
{
    size_t all;

    if (__builtin_mul_overflow(n, size, &all)) {
        errno = ENOMEM;
        return NULL;
    }
    return fails("reallocarray", __builtin_return_address(0)) ? NULL
                                                               : __libc_realloc(p, all);
}

void *memalign(size_t alignment, size_t size)
{
    return fails("memalign", __builtin_return_address(0)) ? NULL
                                                           : __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails("aligned_alloc", __builtin_return_address(0))
           ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *p = fails("posix_memalign", __builtin_return_address(0))
              ? NULL : __libc_memalign(alignment, size);

    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

void *mmap(void *where, size_t size, int protection, int flags, int fd, off_t offset)
{
    static void *(*real)(void *, size_t, int, int, int, off_t);

    if (fails("mmap", __builtin_return_address(0)))
        return MAP_FAILED;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "mmap");
    return real(where, size, protection, flags, fd, offset);
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);

    if (fails("pthread_create", __builtin_return_address(0)))
        return EAGAIN;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(t, a, fn, arg);
}

/* --- the start ---------------------------------------------------------------------------- */

static int add_ranges(struct dl_phdr_info *info, size_t size, void *list)
{
    const char *slash = strrchr(info->dlpi_name, '/'), *name = slash ? slash + 1 : "";
    char names[512];

    (void)size;
    snprintf(names, sizeof names, "%s", (const char *)list);
    for (char *save, *s = strtok_r(names, ":", &save); s; s = strtok_r(NULL, ":", &save)) {
        if (strncmp(name, s, strlen(s)) != 0)
            continue;
        for (int i = 0; i < info->dlpi_phnum && skips < RANGES; i++)
            if (info->dlpi_phdr[i].p_type == PT_LOAD) {
                skip[skips].begin = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                skip[skips].end = skip[skips].begin + info->dlpi_phdr[i].p_memsz;
                skips++;
            }
    }
    return 0;
}

static long number(const char *name)
{
    const char *s = getenv(name);

    return s ? atol(s) : 0;
}

static int (*program)(int, char **, char **);

static int counted(int argc, char **argv, char **envp)
{
    const char *list = getenv("NOMEM_SKIP"), *path = getenv("NOMEM_SAID");
    char text[32];

    at = number("NOMEM_AT");
    from = number("NOMEM_FROM");
    snprintf(said_path, sizeof said_path, "%s", path ? path : "");
    if (list)
        dl_iterate_phdr(add_ranges, (void *)(uintptr_t)list);
    /* What the program runs is not meant. */
    unsetenv("LD_PRELOAD");
    /* Looked up now, since that may allocate. */
    dlsym(RTLD_NEXT, "mmap");
    atomic_store(&counting, true);
    const int code = program(argc, argv, envp);
    atomic_store(&counting, false);
    if (said_path[0] && !atomic_load(&said)) {
        snprintf(text, sizeof text, "%ld\n", atomic_load(&count));
        say(text);
    }
    return code;
}

int __libc_start_main(int (*main_fn)(int, char **, char **), int argc, char **argv,
                      void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                      void *stack_end);
int __libc_start_main(int (*main_fn)(int, char **, char **), int argc, char **argv,
                      void (*init)(void), void (*fini)(void), void (*rtld_fini)(void),
                      void *stack_end)
{
    int (*real)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void),
                void (*)(void), void *);

    *(void **)&real = dlsym(RTLD_NEXT, "__libc_start_main");
    program = main_fn;
    return real(counted, argc, argv, init, fini, rtld_fini, stack_end);
}
