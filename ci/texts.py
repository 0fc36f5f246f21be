# texts.py - random texts that try tokenizers, for tokens.py and twin.py.
#
# SPDX-License-Identifier: MIT
#
# Any assigned or unassigned character, letters, numbers, marks and white space of all scripts by
# turns, text that merges, apostrophes, newlines, and what the caller adds, special tokens say.
import subprocess

from tokenizers import normalizers, pre_tokenizers
import unicodedata2 as unicode

every = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
kinds = {}
for code in every:
    kinds.setdefault(unicode.category(chr(code))[0], []).append(chr(code))
spaces = [chr(c) for c in [9, 10, 11, 12, 13, 0x1C, 0x1F, 0x20, 0x85, 0xA0, 0x180E, 0x1680, 0x2000,
                           0x2003, 0x200A, 0x200B, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000, 0xFEFF]]
endings = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'", "\u2019s", "'Ll", "'lL", "'RE",
           "'\u017f", "'D", "'vE", "''", "'r", "'l"]
lines = ["\n", "\r\n", "\n\n", " \n", "\n ", "\t\n\t", "!\n", ".\r\n\r\n  "]
words = ["the", " the", " river", "ing", "er", "on", " an", "ation", "1984", " 42"]
emoji = ["\U0001F600", "\U0001F468\u200d\U0001F469\u200d\U0001F467", "\U0001F1E9\U0001F1EA",
         "\u2764\ufe0f", "e\u0301", "\uac00\u11a8", "\u0915\u094d\u0937"]


def piece(rng, marks):
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


def random_texts(rng, count, marks):
    return ["".join(piece(rng, marks) for _ in range(rng.randrange(1, 25)))
            for _ in range(count)]


def newer_digits():
    """Digits are those of the library's compiler, which may have a later Unicode: characters
    that are unassigned in ours, and digits there.  Texts with them are left out where digits
    are cut out."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    newer = [chr(c) for c in every if unicode.category(chr(c)) == "Cn"
             and len(digits.pre_tokenize_str("a" + chr(c))) > 1]
    print("explained: digits of a Unicode after %s: %s" % (unicode.unidata_version, ascii(newer)))
    return newer


def newer_marks():
    """The library's form NFC is of an earlier Unicode: it neither orders marks that it does not
    know nor puts letters together that it does not know.  Texts with them are left out where it
    makes NFC."""
    form = normalizers.NFC()

    def differs(text):
        return form.normalize_str(text) != unicode.normalize("NFC", text)

    newer = set()
    for c in map(chr, every):
        apart = unicode.normalize("NFD", c)
        # After a mark of the class that most have, 230, and before one of a lower class.
        if unicode.combining(c) and (differs("q\u0301" + c) or differs("q" + c + "\u0327")):
            newer.add(c)
        if differs(apart):
            newer.add(apart[0])
    print("explained: marks and letters after the Unicode of the library's form NFC: %s"
          % ascii(sorted(newer)))
    return sorted(newer)


def ask_ids(worker, where, how, texts):
    """The program's ids of each text, as lines."""
    stream = b"".join(b"%d\n%s" % (len(t), t) for t in (s.encode() for s in texts))
    ids = subprocess.run([worker, where, how], input=stream, stdout=subprocess.PIPE, check=True)
    lines = ids.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(texts), "%d answers" % len(lines)
    return lines
