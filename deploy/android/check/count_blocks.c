/*
 * count_blocks.c - counts what librbe_jni.so has allocated and not freed.
 *
 * SPDX-License-Identifier: MIT
 *
 * Loaded before all else (LD_PRELOAD), it stands in front of libc's allocator and looks where a
 * call comes from.  What the Java machine allocates for itself, which comes and goes with its
 * compiler, is not counted, and so every block that stays is the binding's or the library's.
 * Blocks of libc are: strdup() and its like are called by the library.
 */
#include <jni.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { SLOTS = 1 << 20, RANGES = 8 };

static struct { uintptr_t at; size_t size; } slots[SLOTS];
static size_t blocks, bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* Code whose calls are counted; empty until they are looked for. */
static struct { uintptr_t from, to; } ranges[RANGES];
static volatile size_t range_count;

static int note_object(struct dl_phdr_info *o, size_t size, void *arg)
{
    static const char *const names[] = {"/librbe_jni.so", "/libc.so.6", "/libjansson.so"};

    (void)size, (void)arg;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int p = 0; strstr(o->dlpi_name, names[i]) && p < o->dlpi_phnum; p++)
            if (o->dlpi_phdr[p].p_type == PT_LOAD && (o->dlpi_phdr[p].p_flags & PF_X) &&
                range_count < RANGES) {
                const uintptr_t from = o->dlpi_addr + o->dlpi_phdr[p].p_vaddr;
                ranges[range_count].from = from;
                ranges[range_count].to = from + o->dlpi_phdr[p].p_memsz;
                range_count = range_count + 1;
            }
    return 0;
}

static int is_counted(const void *caller)
{
    for (size_t i = 0; i < range_count; i++)
        if ((uintptr_t)caller >= ranges[i].from && (uintptr_t)caller < ranges[i].to)
            return 1;
    return 0;
}

static size_t home(uintptr_t at)
{
    return (size_t)((at >> 4) * 0x9E3779B97F4A7C15u >> 44) & (SLOTS - 1);
}

static void *add(void *p, size_t size, const void *caller)
{
    if (!p || !is_counted(caller))
        return p;
    pthread_mutex_lock(&lock);
    size_t i = home((uintptr_t)p);
    while (slots[i].at && slots[i].at != (uintptr_t)p)
        i = (i + 1) & (SLOTS - 1);
    if (!slots[i].at) {
        if (++blocks > SLOTS / 2)
            abort();
        slots[i].at = (uintptr_t)p;
        slots[i].size = size;
        bytes += size;
    }
    pthread_mutex_unlock(&lock);
    return p;
}

static void drop(const void *p)
{
    if (!p || !range_count)
        return;
    pthread_mutex_lock(&lock);
    size_t i = home((uintptr_t)p);
    while (slots[i].at && slots[i].at != (uintptr_t)p)
        i = (i + 1) & (SLOTS - 1);
    if (slots[i].at) {
        blocks--;
        bytes -= slots[i].size;
        /* Those behind it move up, so that they are found. */
        for (size_t k = (i + 1) & (SLOTS - 1); slots[k].at; k = (k + 1) & (SLOTS - 1)) {
            const size_t h = home(slots[k].at);
            if (((k - h) & (SLOTS - 1)) >= ((k - i) & (SLOTS - 1))) {
                slots[i] = slots[k];
                i = k;
            }
        }
        slots[i].at = 0;
    }
    pthread_mutex_unlock(&lock);
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t n)
{
    return add(__libc_malloc(n), n, CALLER);
}

void *calloc(size_t n, size_t size)
{
    return add(__libc_calloc(n, size), n * size, CALLER);
}

void *realloc(void *p, size_t n)
{
    const void *caller = CALLER;

    drop(p);
    void *grown = __libc_realloc(p, n);
    /* A block that could not grow is still there; it is no longer counted. */
    return add(grown, n, caller);
}

void *memalign(size_t to, size_t n)
{
    return add(__libc_memalign(to, n), n, CALLER);
}

void *aligned_alloc(size_t to, size_t n)
{
    return add(__libc_memalign(to, n), n, CALLER);
}

int posix_memalign(void **out, size_t to, size_t n)
{
    void *p = add(__libc_memalign(to, n), n, CALLER);

    if (p)
        *out = p;
    return p ? 0 : 12;          /* ENOMEM */
}

void free(void *p)
{
    drop(p);
    __libc_free(p);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    void *p = (void *)syscall(SYS_mmap, at, n, protection, flags, fd, offset);

    if (p != MAP_FAILED)
        add(p, n, CALLER);
    return p;
}

int munmap(void *p, size_t n)
{
    drop(p);
    return (int)syscall(SYS_munmap, p, n);
}

/* --- Check.java --------------------------------------------------------------------------- */

JNIEXPORT jboolean JNICALL Java_rbe_chat_Check_watch(JNIEnv *env, jclass self)
{
    (void)env, (void)self;
    if (!range_count)
        dl_iterate_phdr(note_object, NULL);
    return range_count >= 2;
}

JNIEXPORT jlong JNICALL Java_rbe_chat_Check_blocks(JNIEnv *env, jclass self)
{
    (void)env, (void)self;
    return (jlong)blocks;
}

JNIEXPORT jlong JNICALL Java_rbe_chat_Check_bytes(JNIEnv *env, jclass self)
{
    (void)env, (void)self;
    return (jlong)bytes;
}
