#!/usr/bin/env bash
# style.sh - blanks, ASCII, width, SPDX lines, shellcheck, who includes whom, and the pages (ci/pages.sh)
#
# SPDX-License-Identifier: MIT
set -u
cd "$(dirname "$0")/../.." || exit 2
bad=0

# complain WHAT LINES...: LINES are the places; none is good.
complain() {
    if [ -n "$2" ]; then
        printf 'FAIL %s:\n%s\n' "$1" "$2"
        bad=1
    fi
}

if git rev-parse --is-inside-work-tree > /dev/null 2>&1; then
    mapfile -t files < <(git ls-files -co --exclude-standard | sort -u)
else
    mapfile -t files < <(find . -type f -not -path './.git/*' -not -path './build/*' \
        -not -path './results/*' -not -path './data/*' | sed 's#^\./##' | sort)
fi
code=() shell=() text=() c=() def=()
for f in "${files[@]}"; do
    [ -f "$f" ] || continue
    case $f in
    datasets/embedded/*) ;;
    *.c | *.h | *.cc) c+=("$f") code+=("$f") ;;
    *.def) code+=("$f") def+=("$f") ;;
    *.gp | Makefile) code+=("$f") ;;
    *.sh | .ci/run) code+=("$f") shell+=("$f") ;;
    *.md | *.txt | datasets/MANIFEST | convert/profiles/*) text+=("$f") ;;
    esac
done
[ ${#c[@]} -gt 0 ] || { echo 'FAIL no source found'; exit 1; }

tab=$(printf '\t')
notabs=()
for f in "${code[@]}"; do [ "$f" = Makefile ] || notabs+=("$f"); done
complain 'tabs' "$(grep -nH "$tab" "${notabs[@]}" | cut -c 1-90)"
complain 'trailing blanks' \
    "$(grep -nHE '[[:blank:]]+$' "${code[@]}" "${text[@]}" | cut -c 1-90)"
complain 'not ASCII' "$(LC_ALL=C grep -nHP '[^\x00-\x7F]' "${code[@]}" | cut -c 1-90)"
complain 'wider than 96 columns' \
    "$(grep -nHE '^.{97,}' "${c[@]}" Makefile "${def[@]}" | cut -c 1-90)"
complain 'wider than 160 columns' "$(grep -nHE '^.{161,}' "${code[@]}" | cut -c 1-90)"
complain 'marks of a merge' "$(grep -nHE '^(<<<<<<<|>>>>>>>) ' "${code[@]}" "${text[@]}")"
complain 'carriage returns' "$(grep -lP '\r$' "${code[@]}" "${text[@]}")"
for f in "${code[@]}" "${text[@]}"; do
    [ -z "$(tail -c 1 "$f")" ] || complain 'no final newline' "$f"
done
for f in "${c[@]}" "${shell[@]}"; do
    head -n 12 "$f" | grep -q 'SPDX-License-Identifier: MIT' || complain 'no SPDX line' "$f"
done

# The dependency direction of docs/ARCHITECTURE.md: what a room may include.
allowed() {
    local low='kernels base rbe model'
    case $1 in
    kernels) echo 'kernels' ;;
    base) echo 'kernels base' ;;
    rbe) echo 'kernels base rbe' ;;
    model) echo "$low" ;;
    grad) echo "$low grad" ;;
    convert) echo "$low grad convert" ;;
    train) echo "$low grad convert train" ;;
    eval | bench | deploy) echo "$low $1" ;;
    gate | datasets) echo "base $1" ;;
    reports) echo 'kernels base reports' ;;
    cli | fuzz) echo "$low grad convert train eval deploy bench gate reports datasets cli ci" ;;
    ci) echo "$low eval" ;;
    *) echo "$1" ;;
    esac
}
for f in "${c[@]}"; do
    room=${f%%/*}
    [[ $f != ci/fuzz/* ]] || room=fuzz
    while IFS= read -r line; do
        path=${line#*\"}
        path=${path%%\"*}
        case " $(allowed "$room") " in
        *" ${path%%/*} "*) [ -f "$path" ] || complain 'included file not found' "$f: $path" ;;
        *)
            # Every test may use the one test header, and the base library.
            case $f,$path in
            *,kernels/test/check.h | */test/*,base/*) ;;
            *) complain 'a room includes what it must not' "$f: $path" ;;
            esac
            ;;
        esac
    done < <(grep -E '^ *# *include *"' "$f")
done
picture=$(scripts/rooms.sh | cmp - docs/rooms.svg 2>&1)
complain 'docs/rooms.svg is not what scripts/rooms.sh draws now' "$picture"
# Only the programs take options and talk on standard output.
mapfile -t below < <(printf '%s\n' "${c[@]}" | grep -v -e '^cli/' -e '^ci/' -e /test/)
complain 'options or standard output outside cli/' "$(grep -nHE \
    '^ *# *include *<popt|(^|[^a-z_])(printf|puts|putchar)\(' "${below[@]}" | cut -c 1-90)"
# jansson takes running out of memory for a damaged text: base/json.h.
mapfile -t readers < <(printf '%s\n' "${c[@]}" | grep '\.c$' | grep -v -e /test/ -e '^base/json.c$')
complain 'JSON is read without rbe_json_load()' \
    "$(grep -nHE '\bjson_load(s|b|f|_file|_callback)?\(' "${readers[@]}" | cut -c 1-90)"
# Fields of result rows are named by what base/rows.def lists, so that the compiler knows them.
mapfile -t rows < <(printf '%s\n' "${c[@]}" | grep -E '^(reports|gate|eval)/[^/]*\.c$|^cli/eval_|^base/table.c$|^bench/summary.c$' |
    grep -v '^eval/recording.c$')
complain 'a field of a row as a text, not RBE_KEY()' "$(grep -nHE \
    '\<(rbe_[a-z]+_at|json_object_set(_new)?|rbe_result_set_real)\([^"]*, "|(^|[^_a-z])text_or\([^",]*, "|header_line\([^"(]*, "|json_pack\("\{' "${rows[@]}" |
    cut -c 1-90)"
# Nothing but the list names a tensor of an architecture; the classes' words are everybody's.
stems=$(sed -n 's/^RBE_TENSOR([A-Z_]*, "\([^"]*\)".*/\1/p' model/arch.def |
    sed -E 's/^[a-z]+\.%u\.//; s/\.(weight|bias)$//; /[._]/!d; s/\./\\./g' | sort -u | paste -sd '|')
mapfile -t nameless < <(printf '%s\n' "${c[@]}" | grep -vE '(^|/)(test|fuzz)/')
complain 'a tensor of an architecture is named outside model/arch.def' \
    "$(grep -nHE "\"[^\"]*($stems)[^\"]*\"" "${nameless[@]}" | grep -vE ':[0-9]+: */?\*' | cut -c 1-90)"
# Those of a library's own configuration are named as it wants them.
guarded='^#ifndef (RBE|JANSSON)_'
for f in "${c[@]}"; do
    case $f in
    # Bodies that a file includes once for each set of operations have no guard.
    */body/*.h | *_body.h) ;;
    *.h) grep -qE "$guarded" "$f" || complain 'header without include guard' "$f" ;;
    esac
done

# Layout: .clang-format decides, but tables, initialisers and aligned comments may stand as they
# are easier to read: up to a third of a file, and one line in twenty of all.
if command -v clang-format > /dev/null; then
    # A copy laid out anew, many files to a process, compared with the tree.
    copy=$(mktemp -d) || exit 1
    mapfile -t laid_out < <(printf '%s\n' "${c[@]}" | grep -v 'eval/casing_table\.h')
    cp --parents -t "$copy" .clang-format "${laid_out[@]}"
    (cd "$copy" && printf '%s\0' "${laid_out[@]}" | xargs -0 -n 32 -P "$(nproc)" clang-format -i) ||
        complain 'clang-format' 'failed'
    laid=$(wc -l "${laid_out[@]}" | awk -v copy="$copy/" '
        FNR == NR { if ($2 != "total") lines[$2] = $1; next }
        /^diff -r / { name = substr($0, index($0, copy) + length(copy)); sub(/ .*/, "", name) }
        /^>/ { other[name]++ }
        END { for (name in lines) print other[name] + 0, lines[name], name }
        ' - <(diff -r "$copy" .))
    rm -rf "$copy"
    complain 'laid out otherwise than .clang-format says, for more than a third' \
        "$(awk '$1 > 12 && 3 * $1 > $2' <<< "$laid")"
    complain 'laid out otherwise than .clang-format says, more than one line in twenty' \
        "$(awk '{ a += $1; n += $2 } END { if (20 * a > n) print a " of " n }' <<< "$laid")"
else
    echo 'SKIP clang-format: not installed'
fi
complain 'the pages' "$(ci/pages.sh | grep -v ' refused phrases$')"
if command -v shellcheck > /dev/null; then
    complain 'shellcheck' "$(printf '%s\0' "${shell[@]}" |
        xargs -0 -n 4 -P "$(nproc)" shellcheck -x -S warning 2>&1)"
else
    echo 'SKIP shellcheck: not installed'
fi
[ $bad = 0 ] && echo "${#code[@]} code files and ${#text[@]} text files in style"
exit $bad
