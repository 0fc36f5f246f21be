// ChatConfig.java - struct rbe_edge_config of rbe/chat.h: 0 stands for what it stands for there.
//
// SPDX-License-Identifier: MIT
package rbe.chat;

public final class ChatConfig {
    /** Bytes of model file, cache and buffers; 0: no limit. */
    public long memoryLimit;
    /** 0: as many as the process may use. */
    public int threads;
    /** Tokens of a question read at once. */
    public int batch;
    /** Tokens that are remembered; 0: all that the model can. */
    public int context;
    /** Tokens of an answer; 0: a quarter of the context. */
    public int maxTokens;
    /** "Question:" and "Answer:", also where ChatML is known. */
    public boolean plain;
    /** 0: always the likeliest token. */
    public float temperature;
    /** 0: all. */
    public int topK;
    /** 0 or 1: all. */
    public float topP;
    public long seed;
    /** Folder of the vocabulary, or a GGUF file; null: beside the model. */
    public String tokenizer;

    /** 256 MiB, 4 threads, 256 tokens: a board of the Raspberry Pi's class. */
    public static ChatConfig board() {
        final long[] values = Chat.board();
        final ChatConfig c = new ChatConfig();

        c.memoryLimit = values[0];
        c.threads = (int) values[1];
        c.batch = (int) values[2];
        c.context = (int) values[3];
        return c;
    }

    void check() {
        if (memoryLimit < 0 || threads < 0 || batch < 0 || context < 0 || maxTokens < 0 || topK < 0)
            throw new IllegalArgumentException("a number of the configuration is below 0");
    }
}
