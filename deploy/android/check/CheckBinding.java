// CheckBinding.java - the binding over null_chat.c: whole characters, exceptions, leaks, cost.
//
// SPDX-License-Identifier: MIT
//
// Arguments: calls of the leak check; "time" prints what a piece and a call cost.
package rbe.chat;

final class CheckBinding {
    private CheckBinding() {
    }

    private static double nanoseconds(Chat c, String pieces, int calls) throws Exception {
        double best = Double.MAX_VALUE;

        for (int round = 0; round < 7; round++) {
            final long start = System.nanoTime();
            for (int i = 0; i < calls; i++)
                c.chat(pieces, piece -> true);
            best = Math.min(best, (double) (System.nanoTime() - start) / calls);
        }
        return best;
    }

    public static void main(String[] args) throws Exception {
        final Chat c = new Chat();
        final StringBuilder heard = new StringBuilder();

        c.initialize("none", null);
        if (args[0].equals("time")) {
            nanoseconds(c, "64", 20000);
            final double none = nanoseconds(c, "0", 20000), many = nanoseconds(c, "64", 20000);
            System.out.printf("PIECE_NS %.0f\nCALL_NS %.0f\n", (many - none) / 64, none);
            return;
        }
        Check.that(c.chat("6", piece -> heard.append(piece) != null).equals("whole"), "an answer");
        Check.that(heard.toString().equals("a\u00e4\u20ac\ud83c\udf0aa\u00e4"), "its pieces: " + heard);
        Check.fails(ChatException.Status.ARGUMENT, "a refusal", () -> c.chat("-1"));
        // What the listener throws comes back as it was, and the next answer is whole.
        final RuntimeException mine = new RuntimeException("mine");
        try {
            c.chat("5", piece -> {
                throw mine;
            });
            Check.that(false, "the listener's exception");
        } catch (RuntimeException e) {
            Check.that(e == mine, "the listener's own exception");
        }
        Check.that(c.state() == Chat.State.READY, "ready after it");
        Check.fails(ChatException.Status.CANCELLED, "cancelled by its listener", () -> c.chat("5", piece -> {
            c.cancel();
            return true;
        }));
        final int calls = Integer.parseInt(args[0]);
        final int[] i = {0};
        Check.growth("answers", calls, 1024, () -> {
            try {
                switch (i[0]++ % 4) {
                case 0: c.chat("-7"); break;
                case 1: c.chat("3", piece -> {
                    throw mine;
                });
                    break;
                default: c.chat("40", piece -> true);
                }
            } catch (ChatException | RuntimeException e) {
                Check.that(e == mine || e instanceof ChatException, "what a call throws");
            }
            c.stats();
        });
        Check.growth("conversations", calls / 10, 1024, () -> {
            try (Chat one = new Chat()) {
                one.initialize("none", null);
                one.chat("2");
            }
        });
        c.close();
        Check.done();
    }
}
