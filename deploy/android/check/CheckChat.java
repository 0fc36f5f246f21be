// CheckChat.java - the binding with models: states, bad input, threads, 10^4 answers.
//
// SPDX-License-Identifier: MIT
//
// Arguments: a model, another one, a small one for many answers, the tokenizer's folder, an empty
// folder, and how many answers.
package rbe.chat;

import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.CountDownLatch;

final class CheckChat {
    private static final String WHERE = "Where does the river rise?";
    private static String tokenizer;

    private CheckChat() {
    }

    private static ChatConfig config() {
        final ChatConfig how = new ChatConfig();

        how.threads = 1;
        how.context = 200;
        how.maxTokens = 20;
        how.tokenizer = tokenizer;
        return how;
    }

    private static Chat open(String model) throws ChatException {
        final Chat c = new Chat();

        c.initialize(model, config());
        return c;
    }

    private static void states(String model) throws Exception {
        final Chat c = new Chat();

        Check.that(c.state() == Chat.State.NEW, "new");
        Check.fails(IllegalStateException.class, "chat before initialize", () -> c.chat("Who?"));
        Check.fails(IllegalStateException.class, "stats before initialize", c::stats);
        c.cancel();
        Check.fails(ChatException.Status.IO, "no such model", () -> c.initialize("missing.rbe", null));
        Check.that(c.state() == Chat.State.NEW, "new after a failure");
        c.initialize(model, config());
        Check.that(c.state() == Chat.State.READY, "ready");
        Check.fails(IllegalStateException.class, "initialize twice", () -> c.initialize(model, null));
        final String first = c.chat(WHERE);
        Check.that(!first.isEmpty(), "an answer");
        c.reset();
        final StringBuilder heard = new StringBuilder();
        final String[] stats = {null};
        final Chat.State[] inside = {null};
        final String again = c.chat(WHERE, new ChatListener() {
            @Override
            public boolean onText(String piece) {
                heard.append(piece);
                inside[0] = c.state();
                return true;
            }

            @Override
            public void onStats(String json) {
                stats[0] = json;
            }
        });
        Check.that(again.equals(first) && heard.toString().equals(first), "the same answer, in pieces");
        Check.that(inside[0] == Chat.State.ANSWERING, "answering");
        Check.that(stats[0] != null && Check.number(stats[0], "turns") == 2, "stats: " + stats[0]);
        Check.that(c.stats().equals(stats[0]), "the same when asked for");
        Check.fails(IllegalStateException.class, "chat inside of chat", () -> c.chat("Who?", piece -> {
            try {
                c.chat("And who?");
            } catch (ChatException e) {
                return true;
            }
            return true;
        }));
        // Closed by its own listener: when the answer has ended.
        Check.fails(ChatException.Status.CANCELLED, "closed by its listener", () -> c.chat(WHERE, piece -> {
            c.close();
            return true;
        }));
        Check.that(c.state() == Chat.State.CLOSED, "closed");
        c.close();
        c.cancel();
        Check.fails(IllegalStateException.class, "chat after close", () -> c.chat("Who?"));
        Check.fails(IllegalStateException.class, "submit after close", () -> c.submit("Who?", piece -> true));
        Check.fails(IllegalStateException.class, "initialize after close", () -> c.initialize(model, null));
    }

    private static void badInput(String model) throws Exception {
        final Chat c = open(model);
        final StringBuilder longest = new StringBuilder();

        for (int i = 0; i < 400; i++)
            longest.append(" x9 Qz#!");
        final String before = c.chat("Who?");
        Check.fails(IllegalArgumentException.class, "null", () -> c.chat(null));
        Check.fails(ChatException.Status.ARGUMENT, "empty", () -> c.chat(""));
        Check.fails(ChatException.Status.ARGUMENT, "blank", () -> c.chat(" \n\t"));
        Check.fails(ChatException.Status.FORMAT, "a NUL", () -> c.chat("Who\0?"));
        Check.fails(ChatException.Status.FORMAT, "half a character", () -> c.chat("Who\ud83c?"));
        Check.fails(ChatException.Status.LIMIT, "too long", () -> c.chat(longest.toString()));
        Check.that(!c.chat("\u00dcber \ud83c\udf0a \u20ac?").isEmpty(), "characters of all widths");
        c.reset();
        Check.that(c.chat("Who?").equals(before), "nothing of it remembered");
        c.close();

        final Chat none = new Chat();
        Check.fails(IllegalArgumentException.class, "no model", () -> none.initialize(null, null));
        Check.fails(IllegalArgumentException.class, "no listener", () -> none.submit("Who?", null));
        final ChatConfig[] bad = new ChatConfig[8];
        for (int i = 0; i < bad.length; i++)
            bad[i] = config();
        bad[0].threads = -1;
        bad[1].memoryLimit = -1;
        bad[2].threads = 1025;
        bad[3].context = 513;
        bad[4].batch = 201;
        bad[5].maxTokens = 200;
        bad[6].temperature = Float.NaN;
        bad[7].topP = 2;
        for (int i = 0; i < bad.length; i++) {
            final ChatConfig how = bad[i];
            if (i < 2)
                Check.fails(IllegalArgumentException.class, "config " + i, () -> none.initialize(model, how));
            else
                Check.fails(ChatException.Status.ARGUMENT, "config " + i, () -> none.initialize(model, how));
        }
        final ChatConfig tight = config();
        tight.memoryLimit = 4 << 20;
        Check.fails(ChatException.Status.LIMIT, "a memory limit", () -> none.initialize(model, tight));
        final ChatConfig lost = config();
        lost.tokenizer = "missing";
        Check.fails(ChatException.class, "no tokenizer", () -> none.initialize(model, lost));
        Check.fails(ChatException.Status.FORMAT, "no model at all",
                    () -> none.initialize(tokenizer + "/merges.txt", config()));
        none.initialize(model, config());
        none.close();
        final ChatConfig board = ChatConfig.board();
        Check.that(board.memoryLimit == 256 << 20 && board.threads == 4 && board.context == 256, "board");
    }

    private static void cancelling(String model) throws Exception {
        final Chat c = open(model);

        c.cancel();
        Check.that(!c.chat("Who?").isEmpty(), "a cancel before has no effect");
        for (int i = 0; i < 12; i++) {
            final int wait = i;
            final CountDownLatch begun = new CountDownLatch(1);
            final Thread other = new Thread(() -> {
                try {
                    begun.await();
                    Thread.sleep(wait % 4);
                } catch (InterruptedException e) {
                    return;
                }
                c.cancel();
            });
            other.start();
            Check.fails(ChatException.Status.CANCELLED, "cancelled from another thread", () -> c.chat(WHERE, piece -> {
                begun.countDown();
                try {
                    Thread.sleep(1);
                } catch (InterruptedException e) {
                    return false;
                }
                return true;
            }));
            other.join();
        }
        c.reset();
        // Another thread closes while an answer is made: it waits, and the answer ends.
        final Thread closer = new Thread(c::close);
        Check.fails(ChatException.Status.CANCELLED, "closed from another thread", () -> c.chat(WHERE, piece -> {
            if (!closer.isAlive() && closer.getState() == Thread.State.NEW)
                closer.start();
            try {
                Thread.sleep(5);
            } catch (InterruptedException e) {
                return false;
            }
            return true;
        }));
        closer.join();
        Check.that(c.state() == Chat.State.CLOSED, "closed by another thread");
    }

    private static void submitting(String model) throws Exception {
        final Chat c = open(model);
        final int count = 4;
        final CountDownLatch ended = new CountDownLatch(count);
        final StringBuffer said = new StringBuffer();

        for (int i = 0; i < count; i++) {
            final String question = i == 2 ? " " : "Who?";
            c.submit(question, new ChatListener() {
                @Override
                public boolean onText(String piece) {
                    return true;
                }

                @Override
                public void onStats(String json) {
                    said.append('s');
                    ended.countDown();
                }

                @Override
                public void onError(Exception why) {
                    said.append('e');
                    ended.countDown();
                }
            });
        }
        ended.await();
        Check.that(said.toString().equals("sses"), "questions one after the other: " + said);
        c.close();
    }

    private static void twoAtOnce(String one, String two) throws Exception {
        final String[] models = {one, two}, questions = {WHERE, "Who was the king?"};
        final String[][] alone = new String[2][4], together = new String[2][4];
        final Thread[] threads = new Thread[2];

        for (int pass = 0; pass < 2; pass++) {
            final String[][] into = pass == 0 ? alone : together;
            for (int m = 0; m < 2; m++) {
                final int which = m;
                final Chat c = open(models[m]);
                threads[m] = new Thread(() -> {
                    try {
                        for (int i = 0; i < 4; i++)
                            into[which][i] = c.chat(questions[i % 2]);
                    } catch (ChatException e) {
                        Check.that(false, "two at once: " + e);
                    }
                    c.close();
                });
                threads[m].start();
                if (pass == 0)
                    threads[m].join();
            }
            for (final Thread t : threads)
                t.join();
        }
        for (int m = 0; m < 2; m++)
            for (int i = 0; i < 4; i++)
                Check.that(alone[m][i] != null && alone[m][i].equals(together[m][i]),
                           "model " + m + " beside another: answer " + i);
        Check.that(!java.util.Arrays.equals(alone[0], alone[1]), "the two models differ");
    }

    private static void assets(String model, File folder) throws Exception {
        final byte[] bytes = "some model".getBytes("US-ASCII");
        final String sum = new String(new char[64]).replace('\0', '0');
        final int[] opened = {0};
        final Assets.Source memory = name -> {
            opened[0]++;
            return new ByteArrayInputStream(bytes);
        };
        final File to = new File(folder, "models");
        String right = null;

        try {
            Assets.copy(memory, "in/some.rbe", to, sum);
        } catch (IOException e) {
            right = e.getMessage().replaceAll(".*sha256 is ([0-9a-f]*).*", "$1");
        }
        Check.that(right != null && right.length() == 64, "a wrong sum");
        Check.that(to.list().length == 0, "nothing is left of it");
        final String good = right;
        final File file = Assets.copy(memory, "in/some.rbe", to, good);
        Check.that(file.getName().equals("some.rbe") && file.length() == bytes.length, "copied");
        Assets.copy(memory, "in/some.rbe", to, good);
        Check.that(opened[0] == 2, "not copied when it is there");
        try (FileOutputStream out = new FileOutputStream(file)) {
            out.write(bytes, 0, 4);
        }
        Assets.copy(memory, "in/some.rbe", to, good);
        Check.that(opened[0] == 3 && file.length() == bytes.length, "copied anew when it is damaged");
        Check.fails(IOException.class, "a source that breaks off", () -> Assets.copy(name -> new InputStream() {
            private int left = 3;

            @Override
            public int read() throws IOException {
                // Again and again: InputStream.read(byte[]) keeps the first one to itself.
                if (left-- <= 0)
                    throw new IOException("broken off");
                return 'x';
            }
        }, "other.rbe", to, good));
        Check.fails(IOException.class, "no such asset", () -> Assets.copy(name -> {
            throw new IOException(name + ": not there");
        }, "other.rbe", to, good));
        Check.fails(IOException.class, "a name that is none", () -> Assets.copy(memory, "in/..", to, good));
        final File full = new File("/dev/full");
        if (full.exists())
            Check.fails(IOException.class, "a folder that is none", () -> Assets.copy(memory, "a.rbe", full, good));
        Check.that(to.list().length == 1, "nothing half-written");
        // A real model, out of a stream, runs.
        final String[] real = {null};
        try {
            Assets.copy(name -> new FileInputStream(model), "m.rbe", to, sum);
        } catch (IOException e) {
            real[0] = e.getMessage().replaceAll(".*sha256 is ([0-9a-f]*).*", "$1");
        }
        final Chat c = open(Assets.copy(name -> new FileInputStream(model), "m.rbe", to, real[0]).getPath());
        Check.that(!c.chat("Who?").isEmpty(), "a copied model answers");
        c.close();
    }

    private static void many(String small, int calls) throws Exception {
        final ChatConfig how = config();
        how.context = 64;
        how.maxTokens = 2;
        final Chat c = new Chat();
        c.initialize(small, how);
        Check.startCounting();
        final int[] i = {0};
        Check.growth("answers of a model", calls, () -> {
            try {
                c.chat(i[0]++ % 5 == 0 ? "" : "Who?", piece -> true);
            } catch (ChatException e) {
                if (e.status() != ChatException.Status.ARGUMENT)
                    throw e;
            }
        });
        c.close();
        Check.growth("conversations with a model", calls / 20, () -> {
            final Chat one = new Chat();
            one.initialize(small, how);
            one.chat("Who?");
            one.close();
        });
    }

    public static void main(String[] args) throws Exception {
        tokenizer = args[3];
        states(args[0]);
        badInput(args[0]);
        cancelling(args[0]);
        submitting(args[0]);
        twoAtOnce(args[0], args[1]);
        assets(args[0], new File(args[4]));
        many(args[2], Integer.parseInt(args[5]));
        Check.done();
    }
}
