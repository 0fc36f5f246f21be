// CheckBinding.java - the binding over null_chat.c: whole characters, exceptions, leaks.
//
// SPDX-License-Identifier: MIT
//
// Argument: calls of the leak check.
package rbe.chat;

final class CheckBinding {
    private CheckBinding() {
    }

    public static void main(String[] args) throws Exception {
        final Chat c = new Chat();
        final StringBuilder heard = new StringBuilder();

        c.initialize("none", null);
        Check.startCounting();
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
        Check.growth("answers", calls, () -> {
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
        Check.growth("conversations", calls / 10, () -> {
            try (Chat one = new Chat()) {
                one.initialize("none", null);
                one.chat("2");
            }
        });
        c.close();
        Check.done();
    }
}
