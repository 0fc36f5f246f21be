#!/usr/bin/env bash
# pages.sh [FOLDER] - README and docs/: length, kinds, index, glossary, links, refused phrases
#
# SPDX-License-Identifier: MIT
#
# Of this tree, or of FOLDER.  README has fewer than 120 lines.  Line 3 of each page of docs/ says
# what it is (**Task.**, **Reference.**, **Explanation.**, in docs/log **Log.**), docs/README.md
# lists it under that heading, and it links to the glossary.  Links have their page and heading.
# No phrase of ci/refused-words stands in the pages, the texts of commands, rows and criteria, or
# what the report's page says.  The job style calls this.
set -u
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:-$here/..}" || exit 2
bad=0
complain() {
    echo "FAIL $*"
    bad=1
}
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
shopt -s nullglob
docs=(docs/*.md docs/*/*.md) pages=(README.md CONTRIBUTING.md docs/*.md docs/*/*.md)

lines=$(wc -l < README.md)
[ "$lines" -lt 120 ] || complain "README.md has $lines lines; fewer than 120 are allowed"

# under HEADING: the pages that the index lists below it
under() {
    awk -v heading="## $1" 'index($0, heading) == 1 { on = 1; next } /^## / { on = 0 } on' \
        docs/README.md | grep -oE '\]\([^)#]*\.md\)' | sed 's/^](//; s/)$//'
}
for page in "${docs[@]}"; do
    name=${page#docs/}
    [ "$name" != README.md ] || continue
    kind=$(sed -nE '3s/^\*\*(Task|Reference|Explanation|Log)\.\*\* .*/\1/p' "$page")
    case $page,$kind in
    *, ) complain "$page: line 3 does not begin with **Task.**, **Reference.**, **Explanation.** or **Log.**" ;;
    docs/log/*,Log) ;;
    docs/log/* | *,Log) complain "$page: logs, and nothing else, are in docs/log" ;;
    esac
    [ -z "$kind" ] || under "$kind" | grep -qxF "$name" ||
        complain "docs/README.md does not list $name under its kind, $kind"
    case $name in
    GLOSSARY.md | log/*) ;;
    *) grep -qF '](GLOSSARY.md' "$page" || complain "$page does not link to the glossary" ;;
    esac
done

# Headings as links name them: lower case, blanks as '-', other signs left out.
for page in "${pages[@]}"; do
    awk '/^```/ { off = !off } !off && sub(/^#+ +/, "") {
            $0 = tolower($0); gsub(/[^a-z0-9 _-]/, ""); gsub(/ /, "-"); print }' "$page" \
        > "$work/$(tr / + <<< "$page").headings"
done
for page in "${pages[@]}"; do
    while IFS= read -r link; do
        to=$page
        if [ -n "${link%%#*}" ]; then to=$(realpath -m --relative-to=. "$(dirname "$page")/${link%%#*}"); fi
        if [ ! -e "$to" ]; then
            complain "$page links to $link: not there"
        elif [[ $link = *'#'* && $to = *.md ]]; then
            grep -qxF "${link#*#}" "$work/$(tr / + <<< "$to").headings" 2> /dev/null ||
                complain "$page links to $link: no such heading"
        fi
    done < <(grep -oE '\]\([^): ]+\)' "$page" | sed 's/^](//; s/)$//' | sort -u)
done

# Phrases: of a page all text, of a source its texts in quotation marks, line ends as blanks.
plain() {
    case $1 in
    *.md) tr '\n' ' ' < "$1" ;;
    *) tr '\n' ' ' < "$1" | sed -E 's#/\*([^*]|\*+[^*/])*\*+/# #g; s/" +"//g' |
        grep -oE '"([^"\\]|\\.)*"' | tr '\n' ' ' | sed 's/\\n/ /g' ;;
    esac | tr -s ' '
}
mkdir "$work/texts"
for f in "${pages[@]}" cli/commands.def cli/*.c base/rows.def base/criteria.def reports/*.c; do
    [ ! -f "$f" ] || plain "$f" > "$work/texts/$(tr / + <<< "$f")"
done
grep -vE '^(#|$)' "$here/refused-words" > "$work/words"
while IFS=: read -r f hit; do
    better=$(while IFS=$'\t' read -r phrase write; do
        grep -qiwE "$phrase" <<< "$hit" && { echo "$write"; break; }
    done < "$work/words")
    complain "$(tr + / <<< "$f"): '$hit'; write: $better"
done < <(cd "$work/texts" && grep -oiwE "$(cut -f 1 "$work/words" | paste -sd '|')" -- * | sort -u)

[ $bad = 0 ] && echo "${#pages[@]} pages, $(grep -c . "$work/words") refused phrases"
exit $bad
