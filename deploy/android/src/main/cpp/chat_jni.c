/*
 * chat_jni.c - rbe/chat.h for Java: the native methods of rbe.chat.Chat.
 *
 * SPDX-License-Identifier: MIT
 *
 * Text crosses as bytes of UTF-8, never as JNI's own "modified" kind, and is decoded in Java.
 * What may be called when is Chat.java's business: a handle comes here only while it is open,
 * and from one thread at a time but for cancel().  Nothing here keeps a reference after it
 * returns, but for the exception's class, which lasts as long as the library.
 */
#include <jni.h>
#include <rbe/chat.h>
#include <stdlib.h>
#include <string.h>

static jclass exception_class;
static jmethodID exception_init;    /* (int status, byte[] why) */
static jmethodID chat_piece;        /* boolean Chat.piece(byte[]) */

/* NULL, an exception pending: out of memory. */
static jbyteArray bytes_of(JNIEnv *env, const char *text, size_t size)
{
    jbyteArray a = (*env)->NewByteArray(env, (jsize)size);

    if (a)
        (*env)->SetByteArrayRegion(env, a, 0, (jsize)size, (const jbyte *)text);
    return a;
}

/* A fresh, NUL-terminated copy; NULL for null, and when out of memory, an exception pending. */
static char *text_of(JNIEnv *env, jbyteArray a)
{
    const jsize n = a ? (*env)->GetArrayLength(env, a) : 0;
    char *text = a ? malloc((size_t)n + 1) : NULL;

    if (text) {
        (*env)->GetByteArrayRegion(env, a, 0, n, (jbyte *)text);
        text[n] = 0;
    } else if (a) {
        jclass c = (*env)->FindClass(env, "java/lang/OutOfMemoryError");
        if (c)
            (*env)->ThrowNew(env, c, "native memory");
    }
    return text;
}

static void throw_status(JNIEnv *env, enum rbe_status status, const char *why)
{
    if (!*why)
        why = rbe_strerror(status);
    jbyteArray text = bytes_of(env, why, strlen(why));
    jobject e = text ? (*env)->NewObject(env, exception_class, exception_init, (jint)status,
                                         text) : NULL;

    if (e)
        (*env)->Throw(env, e);
}

static struct rbe_chat *chat_of(jlong handle)
{
    return (struct rbe_chat *)(intptr_t)handle;
}

static jlong chat_open(JNIEnv *env, jclass self, jbyteArray model, jbyteArray tokenizer,
                       jlong memory_limit, jint threads, jint batch, jint context,
                       jint max_tokens, jboolean plain, jfloat temperature, jint top_k,
                       jfloat top_p, jlong seed)
{
    const struct rbe_edge_config how = {
        .memory_limit = (size_t)memory_limit, .threads = (uint32_t)threads,
        .batch = (uint32_t)batch, .context = (uint32_t)context,
        .max_tokens = (uint32_t)max_tokens, .plain = plain,
        .sampling = {.temperature = temperature, .top_k = (uint32_t)top_k, .top_p = top_p,
                     .seed = (uint64_t)seed}};
    struct rbe_diag d = {""};
    struct rbe_chat *c = NULL;
    char *path = text_of(env, model), *words = path ? text_of(env, tokenizer) : NULL;

    (void)self;
    if (!(*env)->ExceptionCheck(env)) {
        const enum rbe_status err = rbe_chat_open(&c, path, words, &how, &d);
        if (err)
            throw_status(env, err, d.text);
    }
    free(path);
    free(words);
    return (jlong)(intptr_t)c;
}

static void chat_close(JNIEnv *env, jclass self, jlong handle)
{
    struct rbe_chat *c = chat_of(handle);

    (void)env;
    (void)self;
    rbe_chat_close(&c);
}

struct sink {
    JNIEnv *env;
    jobject chat;
};

/* An exception of the listener ends the answer, and goes on from there in Java. */
static bool give_piece(void *arg, const char *text, size_t size)
{
    const struct sink *s = arg;
    JNIEnv *env = s->env;
    jbyteArray piece = bytes_of(env, text, size);

    if (!piece)
        return false;
    const jboolean on = (*env)->CallBooleanMethod(env, s->chat, chat_piece, piece);
    (*env)->DeleteLocalRef(env, piece);
    return !(*env)->ExceptionCheck(env) && on;
}

static jbyteArray chat_say(JNIEnv *env, jobject self, jlong handle, jbyteArray question)
{
    struct rbe_chat *c = chat_of(handle);
    struct sink s = {.env = env, .chat = self};
    struct rbe_diag d = {""};
    char *words = text_of(env, question);

    if ((*env)->ExceptionCheck(env))
        return NULL;
    const enum rbe_status err = rbe_chat_say(c, words, give_piece, &s, &d);
    free(words);
    if ((*env)->ExceptionCheck(env))
        return NULL;
    if (err) {
        throw_status(env, err, d.text);
        return NULL;
    }
    const char *answer = rbe_chat_answer(c);
    return bytes_of(env, answer, strlen(answer));
}

static void chat_cancel(JNIEnv *env, jclass self, jlong handle)
{
    (void)env;
    (void)self;
    rbe_chat_cancel(chat_of(handle));
}

static void chat_reset(JNIEnv *env, jclass self, jlong handle)
{
    (void)env;
    (void)self;
    rbe_chat_reset(chat_of(handle));
}

static jbyteArray chat_stats(JNIEnv *env, jclass self, jlong handle)
{
    char text[1024];
    const size_t n = rbe_chat_stats(chat_of(handle), text, sizeof text);

    (void)self;
    if (!n || n >= sizeof text) {
        throw_status(env, RBE_ERR_NOMEM, "");
        return NULL;
    }
    return bytes_of(env, text, n);
}

/* memory limit, threads, batch, context. */
static jlongArray chat_board(JNIEnv *env, jclass self)
{
    const struct rbe_edge_config b = rbe_edge_config_board();
    const jlong values[] = {(jlong)b.memory_limit, b.threads, b.batch, b.context};
    jlongArray a = (*env)->NewLongArray(env, 4);

    (void)self;
    if (a)
        (*env)->SetLongArrayRegion(env, a, 0, 4, values);
    return a;
}

static jclass global_class(JNIEnv *env, const char *name)
{
    jclass local = (*env)->FindClass(env, name);
    jclass global = local ? (*env)->NewGlobalRef(env, local) : NULL;

    if (local)
        (*env)->DeleteLocalRef(env, local);
    return global;
}

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM *vm, void *unused)
{
    static const JNINativeMethod methods[] = {
        {"open", "([B[BJIIIIZFIFJ)J", (void *)chat_open},
        {"close", "(J)V", (void *)chat_close},
        {"say", "(J[B)[B", (void *)chat_say},
        {"cancel", "(J)V", (void *)chat_cancel},
        {"reset", "(J)V", (void *)chat_reset},
        {"stats", "(J)[B", (void *)chat_stats},
        {"board", "()[J", (void *)chat_board},
    };
    JNIEnv *env;

    (void)unused;
    if ((*vm)->GetEnv(vm, (void **)&env, JNI_VERSION_1_6) != JNI_OK || rbe_init(NULL))
        return JNI_ERR;
    jclass chat = (*env)->FindClass(env, "rbe/chat/Chat");
    if (!chat || !(exception_class = global_class(env, "rbe/chat/ChatException")) ||
        !(exception_init = (*env)->GetMethodID(env, exception_class, "<init>", "(I[B)V")) ||
        !(chat_piece = (*env)->GetMethodID(env, chat, "piece", "([B)Z")) ||
        (*env)->RegisterNatives(env, chat, methods, sizeof methods / sizeof methods[0]))
        return JNI_ERR;
    return JNI_VERSION_1_6;
}
