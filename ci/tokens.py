#!/usr/bin/env python3
# tokens.py WORKER FOLDER [COUNT [SEED [GGUF]]] - token ids of random texts against Hugging Face's.
#
# SPDX-License-Identifier: MIT
#
# FOLDER has vocab.json and merges.txt.  The same vocabulary is read by the package
# `tokenizers`, which writes its tokenizer.json, with two more tokens, into a temporary folder,
# once for each way of cutting texts that the program knows: the program must give equal ids
# from the two files and from those.  With a GGUF file (of SmolLM's kind) the same with the
# vocabulary in it, and from the file itself.
import json
import os
import random
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from texts import ask_ids, every, newer_digits, newer_marks, random_texts

worker, folder = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
print("seed %d, %d texts" % (seed, count))
rng = random.Random(seed)

eos = "<|endoftext|>"
# As published with Llama 3 and Qwen 2.
words_regex = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
level = pre_tokenizers.ByteLevel(add_prefix_space=False)
plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def split(digits):
    return pre_tokenizers.Split(Regex(words_regex % digits), "isolated")


kinds_of_cutting = {
    "gpt-2": level,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level]),
    "llama-bpe": pre_tokenizers.Sequence([split("{1,3}"), plain]),
    "qwen2": pre_tokenizers.Sequence([split(""), plain]),
}


def make(vocab, merges, kind):
    reference = Tokenizer(models.BPE(vocab=vocab, merges=merges,
                                     ignore_merges=kind == "llama-bpe"))
    reference.pre_tokenizer = kinds_of_cutting[kind]
    if kind == "qwen2":
        reference.normalizer = normalizers.NFC()
    reference.decoder = decoders.ByteLevel()
    reference.add_special_tokens([AddedToken(eos, normalized=False), AddedToken("<|pad|>")])
    reference.add_tokens([AddedToken("foo bar", normalized=True)])
    return reference


def read_folder(folder):
    with open(os.path.join(folder, "vocab.json"), encoding="utf-8") as f:
        vocab = json.load(f)
    with open(os.path.join(folder, "merges.txt"), encoding="utf-8") as f:
        lines = [x.rstrip("\n") for x in f if not x.startswith("#version")]
    return vocab, [tuple(x.split(" ")) for x in lines if x]


def read_gguf(path):
    import gguf
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    special = [t for t, k in zip(tokens, types) if k == 3]
    return {t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges], special


marks = [eos, "<|pad|>", "foo bar", "<|endof", "text|>", "foo", " bar", "<|pad"]
texts = random_texts(rng, count, marks)
# Every character alone, after a letter, a number, and before each kind.
alone = []
if count >= 100000:
    alone = ["a%sb1%s1 %s  %s!%s's" % ((chr(c),) * 5) for c in every]

newer = newer_digits()
left_out = {"smollm": newer, "qwen2": newer_marks()}
bad = 0


def compare(name, where, how, reference, more=(), without=()):
    """Ids of the texts, but for those with one of `without`, from what the program reads there."""
    global bad
    chosen = [t for t in texts + list(more) if not any(w in t for w in without)]
    answers = ask_ids(worker, where, how, chosen)
    reference.encode_special_tokens = how == "text"
    differ = 0
    for at in range(0, len(chosen), 20000):
        for text, line, want in zip(chosen[at:at + 20000], answers[at:at + 20000],
                                    reference.encode_batch(chosen[at:at + 20000])):
            if line != " ".join(map(str, want.ids)):
                differ += 1
                if bad + differ <= 10:
                    print("FAIL %s %s: %s: %s, want %s" % (name, how, ascii(text), line, want.ids))
    print("%s, special tokens as %s: %d texts compared, %d differ"
          % (name, how, len(chosen), differ), flush=True)
    bad += differ


def compare_kinds(source, vocab, merges, more=()):
    for kind in kinds_of_cutting:
        with tempfile.TemporaryDirectory() as new:
            reference = make(vocab, merges, kind)
            reference.save(os.path.join(new, "tokenizer.json"))
            name = "%s, tokenizer.json of %s" % (source, kind)
            without = left_out.get(kind, ())
            compare(name, new, "parse", reference, without=without)
            compare(name, new, "text", reference, more, without)


vocab, merges = read_folder(folder)
compare_kinds("vocabulary that ships", vocab, merges, alone)
compare("vocab.json", folder, "text", make(vocab, merges, "gpt-2"), alone, ["foo bar"])
if len(sys.argv) > 5:
    vocab, merges, special = read_gguf(sys.argv[5])
    compare_kinds("vocabulary of the GGUF file", vocab, merges)
    reference = make(vocab, merges, "smollm")
    reference.add_special_tokens([AddedToken(t, normalized=False) for t in special])
    for how in "parse", "text":
        compare("GGUF file", sys.argv[5], how, reference, without=["foo bar", "<|pad|>"] + newer)
print("%d differ" % bad)
sys.exit(bad != 0)
