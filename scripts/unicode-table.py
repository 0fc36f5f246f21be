#!/usr/bin/env python3
# unicode-table.py > model/unicode.def - letters, numbers and white space of Unicode 16.0.
#
# SPDX-License-Identifier: MIT
#
# From Python's unicodedata where it has that version (Python 3.14), else from the package
# unicodedata2 (pip install unicodedata2==16.0.0).  Another version is refused: it would
# change token ids.
import importlib
import sys

VERSION = "16.0.0"
for name in "unicodedata", "unicodedata2":
    try:
        data = importlib.import_module(name)
    except ImportError:
        continue
    if data.unidata_version == VERSION:
        break
else:
    sys.exit("unicode-table.py: no Unicode %s here: pip install unicodedata2==%s"
             % (VERSION, VERSION))


def kind(c):
    # The property White_Space is all of Z, and these of the control characters.
    category = data.category(chr(c))[0]
    if category == "Z" or 9 <= c <= 13 or c == 0x85:
        return "S"
    return category if category in "LN" else "O"


print("""/* unicode.def - the first of each run of characters of a kind: L(etter), N(umber), S(pace),
 * O(ther).
 *
 * SPDX-License-Identifier: MIT
 *
 * Unicode %s, made by scripts/unicode-table.py.  Letters are the categories L*, numbers N*,
 * white space has the property White_Space.
 */""" % VERSION)
last = None
line = ""
for c in range(0x110000):
    if kind(c) != last:
        last = kind(c)
        item = "%s(%X)" % (last, c)
        if len(line) + len(item) > 94:
            print(line)
            line = ""
        line += (" " if line else "") + item
print(line)
