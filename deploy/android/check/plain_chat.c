/*
 * plain_chat.c - the same answers through C alone.
 *
 * SPDX-License-Identifier: MIT
 *
 * Java calls once for an answer, and hears nothing of its pieces.
 */
#include <jni.h>
#include <rbe/chat.h>
#include <string.h>

struct heard {
    char text[65536];
    size_t size, pieces;
};

static bool hear(void *arg, const char *text, size_t size)
{
    struct heard *h = arg;

    if (h->size + size >= sizeof h->text)
        return false;
    memcpy(h->text + h->size, text, size);
    h->text[h->size += size] = 0;
    h->pieces++;
    return true;
}

/* 0: it does not open. */
JNIEXPORT jlong JNICALL Java_rbe_chat_Plain_open(JNIEnv *env, jclass self, jstring model,
                                                 jstring tokenizer, jint threads, jint context,
                                                 jint tokens)
{
    const struct rbe_edge_config how = {.threads = (uint32_t)threads,
                                        .context = (uint32_t)context,
                                        .max_tokens = (uint32_t)tokens};
    const char *m = (*env)->GetStringUTFChars(env, model, NULL);
    const char *t = m ? (*env)->GetStringUTFChars(env, tokenizer, NULL) : NULL;
    struct rbe_chat *c = NULL;

    (void)self;
    if (!t || rbe_init(NULL) || rbe_chat_open(&c, m, t, &how, NULL))
        c = NULL;
    if (t)
        (*env)->ReleaseStringUTFChars(env, tokenizer, t);
    if (m)
        (*env)->ReleaseStringUTFChars(env, model, m);
    return (jlong)(intptr_t)c;
}

JNIEXPORT jstring JNICALL Java_rbe_chat_Plain_say(JNIEnv *env, jclass self, jlong handle,
                                                  jstring question)
{
    struct rbe_chat *c = (struct rbe_chat *)(intptr_t)handle;
    const char *words = (*env)->GetStringUTFChars(env, question, NULL);
    struct heard h = {.size = 0};

    (void)self;
    if (!words)
        return NULL;
    const enum rbe_status err = rbe_chat_say(c, words, hear, &h, NULL);
    (*env)->ReleaseStringUTFChars(env, question, words);
    return err ? NULL : (*env)->NewStringUTF(env, h.text);
}
