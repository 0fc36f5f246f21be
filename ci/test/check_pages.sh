#!/usr/bin/env bash
# check_pages.sh - ci/pages.sh: each fault of a page is named
#
# SPDX-License-Identifier: MIT
set -u
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
root=$(cd "$(dirname "$0")/../.." && pwd)

# A small tree that is right.
tree=$work/tree
good() {
    rm -rf "$tree"
    mkdir -p "$tree"/docs/log "$tree"/cli "$tree"/base "$tree"/reports
    cd "$tree" || exit 1
    printf '# A\n\n[The pages](docs/README.md#tasks-how-to)\n' > README.md
    printf '# Contributing\n' > CONTRIBUTING.md
    cat > docs/README.md << 'END'
# The pages

## Tasks: how to

[A](A.md) [glossary](GLOSSARY.md)

## Reference

[GLOSSARY](GLOSSARY.md)

## Logs

[log](log/L.md)
END
    printf '# A\n\n**Task.** Do it. [Words](GLOSSARY.md#one-word).\n' > docs/A.md
    printf '# Glossary\n\n**Reference.** Words.\n\n## One `word`\n' > docs/GLOSSARY.md
    printf '# L\n\n**Log.** Measured. [A](../A.md)\n' > docs/log/L.md
    printf 'SWITCH(quiet, 0, "no progress")   /* anew */\n' > cli/commands.def
}
# pages PATTERN: it fails with such a line and no other.
pages() {
    "$root/ci/pages.sh" "$tree" > "$work/out" && return 1
    [ "$(wc -l < "$work/out")" = 1 ] && grep -qE "$1" "$work/out"
}

good
check 'a tree without faults' eval '"$root/ci/pages.sh" "$tree" > "$work/out"'
check 'this tree' "$root/ci/pages.sh"
seq 120 >> README.md
check 'a long README' pages 'README.md has 123 lines'
good
sed -i '3s/.*/Do it. [Words](GLOSSARY.md)./' docs/A.md
check 'a page without a kind' pages 'docs/A.md: line 3'
good
sed -i '3s/Task/Explanation/' docs/A.md
check 'a page under another kind' pages 'does not list A.md under its kind, Explanation'
good
sed -i '3s/Log/Task/' docs/log/L.md
sed -i 's/^\[A\](A.md)/& [L](log\/L.md)/' docs/README.md
check 'a log that is a task' pages 'logs, and nothing else'
good
sed -i 's/\[Words\].*//' docs/A.md
check 'a page without the glossary' pages 'docs/A.md does not link to the glossary'
good
sed -i 's/#one-word/#two-words/' docs/A.md
check 'a link to no heading' pages 'docs/A.md links to GLOSSARY.md#two-words: no such heading'
good
echo '[B](B.md)' >> docs/A.md
check 'a link to no page' pages 'docs/A.md links to B.md: not there'
good
printf 'No gain\nto be had.\n' >> docs/A.md
check 'a refused phrase in a page' pages "docs/A.md: 'No gain to be had'; write: "
good
printf '%s\n' 'TEXT(a, 0, "made "' '     "anew")' >> cli/commands.def
check 'a refused phrase in a text of a command' pages "cli/commands.def: 'anew'; write: again"
finish
