// Plain.java - plain_chat.c.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

final class Plain {
    static {
        System.loadLibrary("rbe_plain");
    }

    private Plain() {
    }

    static native long open(String model, String tokenizer, int threads, int context, int tokens);

    static native String say(long handle, String question);
}
