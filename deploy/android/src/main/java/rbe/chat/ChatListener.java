// ChatListener.java - hears an answer while it is made.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

public interface ChatListener {
    /** A piece of the answer, whole characters; false ends the answer there, without an error. */
    boolean onText(String piece);

    /** After the last piece: rbe_chat_stats() of rbe/chat.h, a JSON object. */
    default void onStats(String json) {
    }

    /** Of Chat.submit() alone, in the place of onStats(): why there is no whole answer.
     *  An Error comes as the cause of an ExecutionException. */
    default void onError(Exception why) {
    }
}
