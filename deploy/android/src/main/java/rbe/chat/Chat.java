// Chat.java - a conversation with a model.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * <pre>
 * NEW -- initialize --> LOADING --> READY -- chat --> ANSWERING --> READY
 * any state -- close --> CLOSED
 * </pre>
 * A load that fails leaves NEW.  A call that its state does not allow throws
 * IllegalStateException.  All methods may be called from any thread; only one answer is made at a
 * time, and chat() does not wait for another's.  Objects do not know of each other.
 */
public final class Chat implements AutoCloseable {
    public enum State { NEW, LOADING, READY, ANSWERING, CLOSED }

    static {
        System.loadLibrary("rbe_jni");
    }

    private final Object lock = new Object();
    private State state = State.NEW;
    private long handle;
    private boolean closing;
    private volatile boolean cancelled;
    private Thread answering;
    private ChatListener listener;
    private ExecutorService worker;

    public State state() {
        synchronized (lock) {
            return state;
        }
    }

    /** Opens a model: a folder, checkpoint, RBE or GGUF file; how null: all defaults. */
    public void initialize(String model, ChatConfig how) throws ChatException {
        final ChatConfig c = how == null ? new ChatConfig() : how;
        final byte[] path = utf8("the model's path", model);
        final byte[] words = c.tokenizer == null ? null : utf8("the tokenizer's path", c.tokenizer);
        long opened = 0;

        c.check();
        enter(State.NEW, State.LOADING);
        try {
            opened = open(path, words, c.memoryLimit, c.threads, c.batch, c.context, c.maxTokens,
                          c.plain, c.temperature, c.topK, c.topP, c.seed);
        } finally {
            synchronized (lock) {
                handle = opened;
                leave(opened == 0 ? State.NEW : State.READY);
            }
        }
    }

    /** The answer to one question; both are remembered. */
    public String chat(String question) throws ChatException {
        return chat(question, null);
    }

    /**
     * The same, given to `to` (may be null) as it is made, on this thread.  What it throws ends
     * the answer and is thrown on.
     */
    public String chat(String question, ChatListener to) throws ChatException {
        final byte[] words = utf8("the question", question);

        enter(State.READY, State.ANSWERING);
        try {
            listener = to;
            final String answer = string(say(handle, words));
            if (to != null)
                to.onStats(string(stats(handle)));
            return answer;
        } finally {
            listener = null;
            synchronized (lock) {
                leave(State.READY);
            }
        }
    }

    /**
     * The same on a thread of this object's own, one question after the other: for threads that
     * must not wait.  How it ended is told to `to`, by onStats() or onError().
     */
    public void submit(String question, ChatListener to) {
        if (question == null || to == null)
            throw new IllegalArgumentException("no question, or no listener");
        synchronized (lock) {
            if (state == State.CLOSED || closing)
                throw new IllegalStateException("the conversation is closed");
            if (worker == null)
                worker = Executors.newSingleThreadExecutor(r -> {
                    final Thread t = new Thread(r, "rbe-chat");
                    t.setDaemon(true);
                    return t;
                });
            worker.execute(() -> {
                try {
                    chat(question, to);
                } catch (Exception e) {
                    to.onError(e);
                } catch (Error e) {
                    to.onError(new ExecutionException(e));
                }
            });
        }
    }

    /** Ends the answer under way, whose chat() throws with CANCELLED; else does nothing. */
    public void cancel() {
        synchronized (lock) {
            if (state == State.ANSWERING) {
                cancelled = true;
                cancel(handle);
            }
        }
    }

    /** Forgets everything said. */
    public void reset() {
        synchronized (lock) {
            need(State.READY);
            reset(handle);
        }
    }

    /** rbe_chat_stats() of rbe/chat.h: a JSON object. */
    public String stats() throws ChatException {
        synchronized (lock) {
            need(State.READY);
            return string(stats(handle));
        }
    }

    /**
     * Frees the model.  An answer under way is cancelled and waited for; called by its own
     * listener, it is closed when the answer has ended.
     */
    @Override
    public void close() {
        boolean interrupted = false;

        synchronized (lock) {
            if (worker != null)
                worker.shutdown();
            closing = true;
            if (state == State.NEW || state == State.READY)
                leave(state);
            cancel();
            while (state != State.CLOSED && answering != Thread.currentThread()) {
                try {
                    lock.wait();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted)
            Thread.currentThread().interrupt();
    }

    // --- states ------------------------------------------------------------------------------

    private void need(State wanted) {
        if (state != wanted || closing)
            throw new IllegalStateException("the conversation is " + state + ", not " + wanted);
    }

    private void enter(State from, State to) {
        synchronized (lock) {
            need(from);
            state = to;
            cancelled = false;
            answering = Thread.currentThread();
        }
    }

    /** Under the lock: the end of what enter() began, and of all when somebody closes. */
    private void leave(State to) {
        answering = null;
        state = to;
        if (closing) {
            if (handle != 0)
                close(handle);
            handle = 0;
            state = State.CLOSED;
            lock.notifyAll();
        }
    }

    // --- text --------------------------------------------------------------------------------

    private static byte[] utf8(String what, String text) throws ChatException {
        if (text == null)
            throw new IllegalArgumentException(what + " is null");
        if (text.indexOf('\0') >= 0)
            throw new ChatException(ChatException.Status.FORMAT, what + " has a character U+0000");
        try {
            final ByteBuffer b = StandardCharsets.UTF_8.newEncoder().encode(CharBuffer.wrap(text));
            final byte[] bytes = new byte[b.remaining()];
            b.get(bytes);
            return bytes;
        } catch (CharacterCodingException e) {
            throw new ChatException(ChatException.Status.FORMAT,
                                    what + " has half a character: a lone surrogate");
        }
    }

    private static String string(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** Called by the native side, on the thread of chat(). */
    private boolean piece(byte[] text) {
        // A request that came before the native side began to listen.
        if (cancelled)
            cancel(handle);
        return listener == null || listener.onText(string(text));
    }

    // --- chat_jni.c --------------------------------------------------------------------------

    private static native long open(byte[] model, byte[] tokenizer, long memoryLimit, int threads,
                                    int batch, int context, int maxTokens, boolean plain,
                                    float temperature, int topK, float topP, long seed)
            throws ChatException;

    private static native void close(long handle);

    private native byte[] say(long handle, byte[] question) throws ChatException;

    private static native void cancel(long handle);

    private static native void reset(long handle);

    private static native byte[] stats(long handle) throws ChatException;

    static native long[] board();
}
