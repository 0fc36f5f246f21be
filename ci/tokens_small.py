#!/usr/bin/env python3
# tokens_small.py > model/test/tokenizers.json - a small tokenizer of each kind, and ids by it.
#
# SPDX-License-Identifier: MIT
#
# Made with the package tokenizers 0.23.3.  All kinds have one vocabulary, the 256 bytes and some
# merges: `tokenizer` is the file of GPT-2's kind, `kinds` what the others have in its place, with
# texts and their ids, special tokens parsed.
import json

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors

marks = [b for b in range(256) if chr(b) in map(chr, range(33, 127)) or 161 <= b <= 172 or b >= 174]
form = {b: chr(b) for b in marks}
form.update((b, chr(256 + i)) for i, b in enumerate(b for b in range(256) if b not in form))
pairs = [("t", "h"), ("th", "e"), ("\u0120", "the"), ("i", "n"), ("in", "g"), ("'", "s"), ("1", "2"),
         ("12", "3"), ("\u0120", "\u0120"), ("\u010a", "\u010a"), ("!", "\u010a"), ("'", "S"),
         ("(", "the"), ("3", "4"), ("\u0120", "1"), ("r", "e"), ("'", "re")]
vocab = {form[b]: b for b in range(256)}
for a, b in pairs:
    vocab[a + b] = len(vocab)
vocab["thing"] = len(vocab)          # no merge makes it
words = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
level = pre_tokenizers.ByteLevel(add_prefix_space=False)
plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
kinds = {
    "gpt-2": (level, None),
    "smollm": (pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level]), None),
    "llama-bpe": (pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words % "{1,3}"), "isolated"), plain]),
        processors.TemplateProcessing(single="<|im_start|> $A",
                                      special_tokens=[("<|im_start|>", len(vocab) + 1)])),
    "qwen2": (pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words % ""), "isolated"), plain]), None),
}
texts = ["", "the thing", " the  the ", "123 1234 12345", "x12y 3", "  1", "a  \n\n  b\n", "!\n\n the\r\n",
         "it's IT'S we'RE 'Re", "(the)[the]", "\u017f'\u017f", "\u0661\u0662\u0663\u0664 \u00bd\u2167",
         "\u00a0the\u3000the", "e\u0301a \u0915\u094d", "\U0001F600!the", "\t\tthe\t1", "''s", "\r\nx \r\n y",
         "<|im_start|>user\nthe<|im_end|>\n", "<|im_end|><|endoftext|>the", " \u2028\n the", "\x01\x7f12"]
out = {"kinds": {}}
for kind, (cut, post) in kinds.items():
    t = Tokenizer(models.BPE(vocab=vocab, merges=pairs, ignore_merges=kind == "llama-bpe"))
    t.pre_tokenizer = cut
    t.decoder = decoders.ByteLevel()
    t.add_special_tokens([AddedToken(x, normalized=False)
                          for x in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    if post:
        t.post_processor = post
    whole = json.loads(t.to_str())
    if kind == "gpt-2":
        out["tokenizer"] = whole
    out["kinds"][kind] = {
        "pre_tokenizer": whole["pre_tokenizer"], "post_processor": whole["post_processor"],
        "ignore_merges": whole["model"]["ignore_merges"],
        "vectors": [[x, t.encode(x).ids] for x in texts]}
print('{"kinds": {')
print(",\n".join('"%s": {"pre_tokenizer": %s, "post_processor": %s, "ignore_merges": %s,\n"vectors": [\n%s]}'
                 % (k, json.dumps(v["pre_tokenizer"]), json.dumps(v["post_processor"]),
                    json.dumps(v["ignore_merges"]), ",\n".join(map(json.dumps, v["vectors"])))
                 for k, v in out["kinds"].items()))
print('},\n"tokenizer": %s}' % json.dumps(out["tokenizer"], separators=(",", ":")))
