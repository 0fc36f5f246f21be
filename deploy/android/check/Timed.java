// Timed.java - timed_chat.c.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

final class Timed {
    private Timed() {
    }

    /** Nanoseconds of this thread in the model, of its last answer. */
    static native long model();

    /** From now on a piece takes that many nanoseconds longer. */
    static native void plant(long ns);
}
