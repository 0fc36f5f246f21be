/*
 * timed_chat.c - rbe_chat_say() for the binding, and what of an answer is the model's time.
 *
 * SPDX-License-Identifier: MIT
 *
 * Both are compiled with -Drbe_chat_say=timed_chat_say.  Each piece crosses to Java
 * between two tokens, as it does in an app, and its time there is taken from the answer's; what
 * the clock itself costs is left to the binding.
 */
#undef rbe_chat_say             /* which is this file's name for it in chat_jni.c */
#include <jni.h>
#include <rbe/chat.h>
#include <time.h>

enum rbe_status timed_chat_say(struct rbe_chat *c, const char *question, rbe_chat_text_fn *fn,
                               void *arg, struct rbe_diag *d);

struct timed {
    rbe_chat_text_fn *fn;
    void *arg;
    int64_t heard;              /* ns of this thread in fn */
};

static int64_t model_ns, planted_ns;

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static bool timed_text(void *arg, const char *text, size_t size)
{
    struct timed *t = arg;
    const int64_t begun = now();
    const bool on = t->fn(t->arg, text, size);

    if (planted_ns) {
        const int64_t heard = now();
        while (now() - heard < planted_ns)
            ;
    }
    t->heard += now() - begun;
    return on;
}

enum rbe_status timed_chat_say(struct rbe_chat *c, const char *question, rbe_chat_text_fn *fn,
                               void *arg, struct rbe_diag *d)
{
    struct timed t = {.fn = fn, .arg = arg};
    const int64_t begun = now();
    const enum rbe_status err = rbe_chat_say(c, question, fn ? timed_text : NULL, &t, d);

    model_ns = now() - begun - t.heard;
    return err;
}

/* Of the last answer, without the binding. */
JNIEXPORT jlong JNICALL Java_rbe_chat_Timed_model(JNIEnv *env, jclass self)
{
    (void)env, (void)self;
    return (jlong)model_ns;
}

/* From now on a piece takes that much longer: a binding that is too slow. */
JNIEXPORT void JNICALL Java_rbe_chat_Timed_plant(JNIEnv *env, jclass self, jlong ns)
{
    (void)env, (void)self;
    planted_ns = ns;
}
