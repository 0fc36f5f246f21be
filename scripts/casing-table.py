#!/usr/bin/env python3
# casing-table.py - prints eval/casing_table.h: what Python's str makes of letters in the other case
#
# SPDX-License-Identifier: MIT
#
# The table is that of the Unicode version of the Python that runs this (3.11: 14.0).
import unicodedata

LETTERS = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def put(name, what, pairs):
    """Runs of letters one or two apart that move by the same distance."""
    items = sorted(pairs.items())
    at = 0
    cells = []
    while at < len(items):
        first, to = items[at]
        best = (1, at)
        for step in (1, 2):
            end = at
            while (end + 1 < len(items) and items[end + 1][0] == items[end][0] + step
                   and items[end + 1][1] - items[end + 1][0] == to - first):
                end += 1
            if end > best[1]:
                best = (step, end)
        step, end = best
        cells.append("{0x%04X, 0x%04X, %d, %d}," % (first, items[end][0], step, to - first))
        at = end + 1
    print("\n/* %s */\nstatic const struct run %s[] = {" % (what, name))
    fill(cells)


def fill(cells):
    line = "   "
    for cell in cells:
        if len(line) + 1 + len(cell) > 96:
            print(line)
            line = "   "
        line += " " + cell
    print(line)
    print("};")


def ranges(name, what, letters):
    """First and last of the letters that follow on each other."""
    cells = []
    for s in letters:
        if cells and ord(s) == cells[-1][1] + 1:
            cells[-1][1] += 1
        else:
            cells.append([ord(s), ord(s)])
    print("\n/* %s */\nstatic const struct range %s[] = {" % (what, name))
    fill(["{0x%04X, 0x%04X}," % (a, b) for a, b in cells])


def final(before):
    """Is a capital sigma behind these letters the final one?"""
    return (before + "\u03A3").lower()[-1] == "\u03C2"


def code(text):
    return '"' + "".join("\\x%02X" % b for b in text.encode()) + '"'


lower = {ord(s): s.lower() for s in LETTERS if s.lower() != s}
title = {ord(s): s.capitalize() for s in LETTERS if s.capitalize() != s}
print("""/*
 * casing_table.h - letters in the other case, of Unicode %s.
 *
 * SPDX-License-Identifier: MIT
 *
 * Written by scripts/casing-table.py from what Python's str makes of each letter.
 */
#ifndef RBE_EVAL_CASING_TABLE_H
#define RBE_EVAL_CASING_TABLE_H""" % unicodedata.unidata_version)
put("lower", "First and last letter, step, distance to the small letter.",
    {c: ord(s) for c, s in lower.items() if len(s) == 1})
put("title", "The same to the letter at the beginning of a word.",
    {c: ord(s) for c, s in title.items() if len(s) == 1})
print("\n/* Letters that become several. */\nstatic const struct many lower_many[] = {")
fill(["{0x%04X, %s}," % (c, code(s)) for c, s in sorted(lower.items()) if len(s) > 1])
print("\nstatic const struct many title_many[] = {")
fill(["{0x%04X, %s}," % (c, code(s)) for c, s in sorted(title.items()) if len(s) > 1])
ranges("cased", "Letters of either case: a capital sigma after one may be the final one.",
       [s for s in LETTERS if final(s)])
ranges("ignored", "Marks, apostrophes and the like, which stand between such letters.",
       [s for s in LETTERS if not final(s) and final("a" + s)])
print("\n#endif")
