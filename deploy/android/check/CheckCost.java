// CheckCost.java - what the binding adds to a token.
//
// SPDX-License-Identifier: MIT
//
// Arguments: a model, its tokenizer's folder, a small model with the same tokens.  What an answer
// takes of this thread's CPU time beyond the model's own (timed_chat.c) is the binding's: of a
// small model, where it is most of the time and can be measured.  It is divided by the time of a
// token of the other model, which is measured in turns with it.  The median of many such shares
// has an upper bound by ranks, of 97.5 % confidence: at most 1 %; with 2 % of a token
// planted in each piece, the lower bound must be above that.
//
// Between the tokens of the larger model the same code finds the caches cold, and takes longer the
// more others use them; that share is printed too, and nothing is concluded from it.
package rbe.chat;

import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.Arrays;

final class CheckCost {
    private static final String WHERE = "Where does the river rise?";
    private static final int TOKENS = 40, ROUNDS = 31, ANSWERS = 9;
    private static final double MOST = 1, PLANTED = 2; // % of a token
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();
    private static final StringBuilder heard = new StringBuilder();

    private CheckCost() {
    }

    private static Chat open(String model, String tokenizer) throws Exception {
        final ChatConfig how = new ChatConfig();
        final Chat c = new Chat();

        how.threads = 1;
        how.context = 64;
        how.maxTokens = TOKENS;
        how.tokenizer = tokenizer;
        c.initialize(model, how);
        return c;
    }

    /** {the binding's, the model's} nanoseconds of an answer, for each of its pieces. */
    private static double[] answer(Chat c) throws Exception {
        final int[] pieces = {0};

        heard.setLength(0);
        c.reset();
        final long begun = THREADS.getCurrentThreadCpuTime();
        c.chat(WHERE, piece -> {
            pieces[0]++;
            return heard.append(piece) != null;
        });
        final double all = THREADS.getCurrentThreadCpuTime() - begun, model = Timed.model();
        return new double[] {(all - model) / pieces[0], model / pieces[0]};
    }

    private static double median(double[] of) {
        Arrays.sort(of);
        return of[of.length / 2];
    }

    /** Sorted shares in percent, one of each round; of a token, and of one with cold caches. */
    private static double[] shares(Chat model, Chat small, double[] token, double[] cold)
            throws Exception {
        final double[] share = new double[ROUNDS], of = new double[ANSWERS];

        for (int i = 0; i < ROUNDS; i++) {
            final double[] large = answer(model);
            for (int k = 0; k < ANSWERS; k++)
                of[k] = answer(small)[0];
            token[i] = large[1];
            cold[i] = 100 * large[0] / large[1];
            share[i] = 100 * median(of) / large[1];
        }
        Arrays.sort(share);
        return share;
    }

    public static void main(String[] args) throws Exception {
        final Chat model = open(args[0], args[1]), small = open(args[2], args[1]);
        final double[] token = new double[ROUNDS], cold = new double[ROUNDS];
        // Of 31 the 21st, and the 11th from the other side.
        final int rank = (int) Math.ceil(ROUNDS / 2.0 + 1.96 * Math.sqrt(ROUNDS) / 2) - 1;

        // Java is slow until its compiler has seen each method often, and has had time for it.
        for (int i = 0; i < 800; i++) {
            answer(small);
            if (i % 200 == 199)
                Thread.sleep(100);
        }
        final double[] share = shares(model, small, token, cold);
        final double us = median(token) / 1e3;
        System.out.printf("a token takes %.1f us of CPU in the model; the binding adds %.2f %%, at most "
                          + "%.2f %% (caches cold: %.2f %%)%n", us, share[ROUNDS / 2], share[rank],
                          median(cold));
        Check.that(share[rank] <= MOST, "the binding costs more than " + MOST + " % of a token");
        Timed.plant(Math.round(PLANTED / 100 * us * 1e3));
        final double[] slow = shares(model, small, token, cold);
        System.out.printf("with %.1f us more in each piece: %.2f %%, at least %.2f %%%n",
                          PLANTED / 100 * us, slow[ROUNDS / 2], slow[ROUNDS - 1 - rank]);
        Check.that(slow[ROUNDS - 1 - rank] > MOST, "a binding that is too slow is not found");
        Timed.plant(0);
        answer(model);
        final long plain = Plain.open(args[0], args[1], 1, 64, TOKENS);
        Check.that(plain != 0 && heard.toString().equals(Plain.say(plain, WHERE)), "the same answer in C");
        model.close();
        small.close();
        Check.done();
    }
}
