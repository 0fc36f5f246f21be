// ChatException.java - what the library refused or could not do, and why.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

import java.nio.charset.StandardCharsets;

public final class ChatException extends Exception {
    private static final long serialVersionUID = 1;

    /** As enum rbe_status of rbe/status.h numbers them, from -1 down. */
    public enum Status {
        NO_MEMORY, IO, FORMAT, MISMATCH, ARGUMENT, LIMIT, CANCELLED, NUMERIC, UNKNOWN
    }

    private final Status status;

    ChatException(Status status, String why) {
        super(why);
        this.status = status;
    }

    /** Called by the native side. */
    ChatException(int number, byte[] why) {
        this(number < 0 && -number < Status.values().length
                     ? Status.values()[-number - 1] : Status.UNKNOWN,
             new String(why, StandardCharsets.UTF_8));
    }

    public Status status() {
        return status;
    }
}
