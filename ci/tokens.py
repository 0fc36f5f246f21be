#!/usr/bin/env python3
# tokens.py WORKER FOLDER [COUNT [SEED]] - token ids of random texts against Hugging Face's.
#
# SPDX-License-Identifier: MIT
#
# FOLDER has vocab.json and merges.txt.  The same vocabulary is read by the package
# `tokenizers`, which writes its tokenizer.json, with two more tokens, into a temporary folder:
# the program must give equal ids from the two files and from that one.
import os
import random
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from texts import ask_ids, every, random_texts

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

texts = random_texts(rng, count, [eos, "<|pad|>", "foo bar", "<|endof", "text|>", "foo", " bar",
                                  "<|pad"])
# Every character alone, after a letter, a number, and before each kind.
if count >= 100000:
    texts += ["a%sb1%s1 %s  %s!%s's" % ((chr(c),) * 5) for c in every]

with tempfile.TemporaryDirectory() as new:
    reference.save(os.path.join(new, "tokenizer.json"))
    bad = 0
    for where, how in (new, "parse"), (new, "text"), (folder, "text"):
        reference.encode_special_tokens = how == "text"
        lines = ask_ids(worker, where, how, texts)
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
