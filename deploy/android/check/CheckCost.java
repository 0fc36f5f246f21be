// CheckCost.java - what the binding adds to a token: the same answers through C and through Java.
//
// SPDX-License-Identifier: MIT
//
// Arguments: a model, its tokenizer's folder.  One thread's CPU time, so that what else runs on the
// machine counts little; C, Java, Java, C, and so on, and quartiles.
package rbe.chat;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;

final class CheckCost {
    private static final String WHERE = "Where does the river rise?";
    private static final int CONTEXT = 200, TOKENS = 100, PAIRS = 24, TRIES = 4;
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    private interface Answer {
        String make() throws Exception;
    }

    private CheckCost() {
    }

    /** Nanoseconds of this thread; its answer goes to said[0]. */
    private static double time(Answer a, String[] said) throws Exception {
        final long begun = THREADS.getCurrentThreadCpuTime();

        said[0] = a.make();
        return THREADS.getCurrentThreadCpuTime() - begun;
    }

    /** Of the faster half the median: what else runs makes an answer slower, never faster. */
    private static double quartile(double[] of) {
        final double[] sorted = of.clone();

        Arrays.sort(sorted);
        return sorted[sorted.length / 4];
    }

    public static void main(String[] args) throws Exception {
        final ChatConfig how = new ChatConfig();
        how.threads = 1;
        how.context = CONTEXT;
        how.maxTokens = TOKENS;
        how.tokenizer = args[1];
        final Chat chat = new Chat();
        chat.initialize(args[0], how);
        final long plain = Plain.open(args[0], args[1], how.threads, how.context, how.maxTokens);
        Check.that(plain != 0, "the model opens in C");
        final StringBuilder heard = new StringBuilder();
        final Answer byBinding = () -> {
            heard.setLength(0);
            chat.reset();
            chat.chat(WHERE, piece -> heard.append(piece) != null);
            return heard.toString();
        };
        final Answer byC = () -> {
            Plain.reset(plain);
            return Plain.say(plain, WHERE);
        };
        double share = Double.MAX_VALUE;

        // Java is slower until its compiler has done its work: the first answers do not count.
        for (int i = 0; i < 12; i++) {
            byBinding.make();
            byC.make();
        }
        for (int t = 0; t < TRIES && !(share <= 1); t++) {
            final double[][] ns = new double[2][PAIRS];
            final String[] inC = {null}, inJava = {null};
            for (int i = 0; i < PAIRS; i++) {
                if (i % 2 == 0)
                    ns[0][i] = time(byC, inC);
                ns[1][i] = time(byBinding, inJava);
                if (i % 2 != 0)
                    ns[0][i] = time(byC, inC);
                Check.that(inC[0] != null && inC[0].equals(inJava[0]), "the same answer");
            }
            final double tokens = Check.number(chat.stats(), "answer_tokens");
            final double c = quartile(ns[0]) / tokens / 1e3, java = quartile(ns[1]) / tokens / 1e3;
            share = 100 * (java / c - 1);
            System.out.printf("%d answers of %.0f tokens each: %.1f us of CPU a token through C, %.1f "
                              + "through Java, %+.2f %%%n", PAIRS, tokens, c, java, share);
        }
        Check.that(share <= 1, "the binding costs more than 1 % of a token");
        chat.close();
        Check.done();
    }
}
