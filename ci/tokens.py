#!/usr/bin/env python3
# tokens.py WORKER FOLDER [COUNT [SEED]] - token ids of random texts against Hugging Face's.
#
# SPDX-License-Identifier: MIT
#
# FOLDER has vocab.json and merges.txt.  The same vocabulary is read by the package
# `tokenizers`, which writes its tokenizer.json, with two more tokens, into a temporary folder:
# the program must give equal ids from the two files and from that one.  Texts: any assigned or
# unassigned character, letters, numbers, marks and white space of all scripts by turns, text
# that merges, apostrophes, and the special tokens.
import os
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
import unicodedata2 as unicode

worker, folder = sys.argv[1:3]
count = int(sys.argv[3]) if len(sys.argv) > 3 else 100000
seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
print("seed %d, %d texts" % (seed, count))
rng = random.Random(seed)

bpe = models.BPE.from_file(os.path.join(folder, "vocab.json"), os.path.join(folder, "merges.txt"))
reference = Tokenizer(bpe)
reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
reference.decoder = decoders.ByteLevel()
eos = "<|endoftext|>"
reference.add_special_tokens([AddedToken(eos, normalized=False), AddedToken("<|pad|>")])
reference.add_tokens([AddedToken("foo bar", normalized=True)])

every = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
kinds = {}
for c in every:
    kinds.setdefault(unicode.category(chr(c))[0], []).append(chr(c))
spaces = [chr(c) for c in [9, 10, 11, 12, 13, 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x180E, 0x1680, 0x2000,
                           0x2003, 0x200A, 0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]]
endings = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "\u2019s"]
words = ["the", " the", " river", "ing", "er", "on", " an", "ation", "1984", " 42"]
marks = [eos, "<|pad|>", "foo bar", "<|endof", "text|>", "foo", " bar", "<|pad"]


def piece():
    k = rng.random()
    if k < 0.15:
        return rng.choice(spaces) * rng.choice([1, 1, 1, 2, 3])
    if k < 0.25:
        return rng.choice(endings)
    if k < 0.40:
        return rng.choice(words)
    if k < 0.45:
        return rng.choice(marks)
    if k < 0.60:
        return chr(rng.randrange(0x80))
    if k < 0.75:
        return chr(rng.choice(every))
    return rng.choice(kinds[rng.choice("LLNNMPS")])


texts = ["".join(piece() for _ in range(rng.randrange(1, 25))) for _ in range(count)]
# Every character alone, after a letter, a number, and before each kind.
if count >= 100000:
    texts += ["a%sb1%s1 %s  %s!%s's" % ((chr(c),) * 5) for c in every]

with tempfile.TemporaryDirectory() as new:
    reference.save(os.path.join(new, "tokenizer.json"))
    stream = b"".join(b"%d\n%s" % (len(t), t) for t in (s.encode() for s in texts))
    bad = 0
    for where, how in (new, "parse"), (new, "text"), (folder, "text"):
        reference.encode_special_tokens = how == "text"
        ids = subprocess.run([worker, where, how], input=stream, stdout=subprocess.PIPE, check=True)
        lines = ids.stdout.decode().split("\n")[:-1]
        assert len(lines) == len(texts), "%d answers" % len(lines)
        compared = 0
        for text, line in zip(texts, lines):
            if where == folder and "foo bar" in text:
                continue
            compared += 1
            want = reference.encode(text).ids
            if line != " ".join(map(str, want)):
                bad += 1
                if bad <= 10:
                    print("FAIL %s %s: %s: %s, want %s" % (where, how, ascii(text), line, want))
        print("%s, special tokens as %s: %d texts compared"
              % ("tokenizer.json" if where == new else "vocab.json", how, compared))
print("%d differ" % bad)
sys.exit(bad != 0)
