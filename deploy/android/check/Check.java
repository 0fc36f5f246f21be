// Check.java - what the checks of the binding share: counting, expected exceptions, what is held.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

import java.io.IOException;

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

    // --- count_blocks.c ----------------------------------------------------------------------

    /** From here on what librbe_jni.so allocates is counted; false: the library is not there. */
    private static native boolean watch();

    private static native long blocks();

    private static native long bytes();

    /** Once the binding's library is loaded. */
    static void startCounting() {
        System.load(System.getenv("LD_PRELOAD"));
        that(watch(), "the library's allocations are counted");
    }

    private static long entries(String folder) throws IOException {
        final String[] names = new java.io.File(folder).list();
        return names == null ? 0 : names.length;
    }

    /** What is held: blocks and bytes of native memory, bytes of Java's heap, files, threads. */
    private static long[] held() throws IOException {
        final Runtime r = Runtime.getRuntime();

        System.gc();
        System.gc();
        return new long[] {blocks(), bytes(), r.totalMemory() - r.freeMemory(), entries("/proc/self/fd"),
                           entries("/proc/self/task")};
    }

    /** Fails when the second half of the calls keeps something in one call of twenty. */
    static void growth(String what, int calls, Call call) throws Exception {
        final String[] names = {"native blocks", "native bytes", "bytes of Java's heap", "open files",
                                "threads"};
        final long few = calls / 40, heap = Math.max(96 << 10, 2 * calls);
        final long[] most = {few, 64 * few, heap, few, few};
        final StringBuilder said = new StringBuilder();
        long[] half = null;

        for (int i = 0; i < calls; i++) {
            if (i == calls / 2)
                half = held();
            call.run();
        }
        final long[] end = held();
        for (int i = 0; i < end.length; i++) {
            final long grown = end[i] - half[i];
            said.append(", ").append(grown).append(' ').append(names[i]);
            that(grown <= most[i], what + ": " + grown + " more " + names[i] + " after " + calls / 2
                                           + " calls, " + most[i] + " may be");
        }
        System.out.println(what + ": " + calls + " calls; in the second half grew" + said.substring(1)
                           + " (of " + end[0] + " blocks)");
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
