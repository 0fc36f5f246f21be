// Check.java - what the checks of the binding share: counting, expected exceptions, memory.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Paths;

final class Check {
    interface Call {
        void run() throws Exception;
    }

    private static int passed, failed;

    private Check() {
    }

    static synchronized void that(boolean ok, String what) {
        if (ok) {
            passed++;
        } else {
            failed++;
            System.out.println("FAIL " + what);
        }
    }

    static void fails(Class<? extends Exception> with, String what, Call call) {
        Exception got = null;

        try {
            call.run();
        } catch (Exception e) {
            got = e;
        }
        that(got != null && with.isInstance(got) && got.getMessage() != null
                     && !got.getMessage().isEmpty(), what + ": " + got);
    }

    static void fails(ChatException.Status with, String what, Call call) {
        ChatException.Status got = null;

        try {
            call.run();
        } catch (ChatException e) {
            got = e.status();
            that(!e.getMessage().isEmpty() && e.getMessage().indexOf('\n') < 0, what + ": one line");
        } catch (Exception e) {
            that(false, what + ": " + e);
        }
        that(got == with, what + ": " + got + ", not " + with);
    }

    /** KiB that this process holds, after the collector has run. */
    static long resident() throws IOException {
        System.gc();
        System.gc();
        for (final String line : Files.readAllLines(Paths.get("/proc/self/status")))
            if (line.startsWith("VmRSS:"))
                return Long.parseLong(line.replaceAll("[^0-9]", ""));
        return 0;
    }

    /** Fails when the second half of the calls keeps more than `most` KiB. */
    static void growth(String what, int calls, long most, Call call) throws Exception {
        long half = 0;

        for (int i = 0; i < calls; i++) {
            if (i == calls / 2)
                half = resident();
            call.run();
        }
        final long grown = resident() - half;
        System.out.println(what + ": " + calls + " calls, " + grown + " KiB grown in the second half");
        that(grown <= most, what + ": " + grown + " KiB more than after half of the calls");
    }

    static double number(String json, String key) {
        final int at = json.indexOf("\"" + key + "\":");
        return Double.parseDouble(json.substring(at + key.length() + 3).split("[,}]")[0]);
    }

    static void done() {
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }
}
