#!/usr/bin/env python3
# tokens.py WORKER FOLDER [COUNT [SEED [GGUF]]] - token ids of random texts against Hugging Face's.
#
# SPDX-License-Identifier: MIT
#
# FOLDER has vocab.json and merges.txt.  The same vocabulary is read by the package
# `tokenizers`, which writes its tokenizer.json, with two more tokens, into a temporary folder,
# once for each way of cutting texts that the program knows: the program must give equal ids
# from the two files and from those.  With a GGUF file (of SmolLM's kind) the same with the
# vocabulary in it, and from the file itself.  Texts: any assigned or unassigned character,
# letters, numbers, marks and white space of all scripts by turns, text that merges, apostrophes,
# newlines, and the special tokens.
import json
import os
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
import unicodedata2 as unicode

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


every = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
kinds = {}
for c in every:
    kinds.setdefault(unicode.category(chr(c))[0], []).append(chr(c))
spaces = [chr(c) for c in [9, 10, 11, 12, 13, 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x180E, 0x1680, 0x2000,
                           0x2003, 0x200A, 0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]]
endings = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "\u2019s", "'Ll", "'lL", "'RE",
           "'\u017f", "'D", "'vE", "''", "'r", "'l"]
lines = ["\n", "\r\n", "\n\n", " \n", "\n ", "\t\n\t", "!\n", ".\r\n\r\n  "]
words = ["the", " the", " river", "ing", "er", "on", " an", "ation", "1984", " 42"]
emoji = ["\U0001F600", "\U0001F468\u200d\U0001F469\u200d\U0001F467", "\U0001F1E9\U0001F1EA",
         "\u2764\ufe0f", "e\u0301", "\uac00\u11a8", "\u0915\u094d\u0937"]
marks = [eos, "<|pad|>", "foo bar", "<|endof", "text|>", "foo", " bar", "<|pad"]


def piece():
    k = rng.random()
    if k < 0.15:
        return rng.choice(spaces) * rng.choice([1, 1, 1, 2, 3])
    if k < 0.25:
        return rng.choice(endings)
    if k < 0.40:
        return rng.choice(words)
    if k < 0.44:
        return rng.choice(marks)
    if k < 0.48:
        return rng.choice(lines)
    if k < 0.51:
        return rng.choice(emoji)
    if k < 0.53:
        return str(rng.randrange(10 ** rng.randrange(1, 12)))
    if k < 0.60:
        return chr(rng.randrange(0x80))
    if k < 0.75:
        return chr(rng.choice(every))
    return rng.choice(kinds[rng.choice("LLNNMPS")])


texts = ["".join(piece() for _ in range(rng.randrange(1, 25))) for _ in range(count)]
# Every character alone, after a letter, a number, and before each kind.
alone = []
if count >= 100000:
    alone = ["a%sb1%s1 %s  %s!%s's" % ((chr(c),) * 5) for c in every]

# Digits are those of the library's compiler, which may have a later Unicode: texts with
# characters that are unassigned in ours, and digits there, are left out where digits are cut out.
digits = pre_tokenizers.Digits(individual_digits=True)
newer = [chr(c) for c in every if unicode.category(chr(c)) == "Cn"
         and len(digits.pre_tokenize_str("a" + chr(c))) > 1]
print("explained: digits of a Unicode after %s: %s" % (unicode.unidata_version, ascii(newer)))
bad = 0


def compare(name, where, how, reference, more=(), without=()):
    """Ids of the texts, but for those with one of `without`, from what the program reads there."""
    global bad
    chosen = [t for t in texts + list(more) if not any(w in t for w in without)]
    stream = b"".join(b"%d\n%s" % (len(t), t) for t in (s.encode() for s in chosen))
    ids = subprocess.run([worker, where, how], input=stream, stdout=subprocess.PIPE, check=True)
    answers = ids.stdout.decode().split("\n")[:-1]
    assert len(answers) == len(chosen), "%d answers" % len(answers)
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
            without = newer if kind == "smollm" else ()
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
