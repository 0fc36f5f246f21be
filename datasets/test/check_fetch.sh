#!/usr/bin/env bash
# check_fetch.sh - rbe fetch from a local mirror: resume, checksums, and what it says.
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
rbe=${RBE_BIN:?folder with the program rbe}/rbe
top=$(cd "$(dirname "$0")/../.." && pwd)

run() {
    "$rbe" fetch --manifest "$work/MANIFEST" --to "${to:-$work/to}" "$@" \
        > "$work/out" 2> "$work/err"
}
fails() { local want=$1; shift; run "$@"; [ $? = "$want" ]; }
row() { printf '%s %s %s MIT - %s\n' "$1" "$2" "$3" "$4" >> "$work/MANIFEST"; }
sha() { sha256sum < "$1" | cut -c1-64; }

mkdir -p "$work/mirror/set"
head -c 300000 /dev/urandom > "$work/mirror/set/a b.bin"
mv "$work/mirror/set/a b.bin" "$work/mirror/set/a+b%.bin"
head -c 1000 /dev/urandom > "$work/mirror/set/c.bin"
(cd "$work/mirror" && mkdir in && cp set/c.bin in/m.bin)
row 'set/a+b%.bin' 300000 "$(sha "$work/mirror/set/a+b%.bin")" mirror
row set/c.bin 1000 - mirror
row lone.bin 5 "$(printf '%064d' 0)" project
a=$work/to/set/a+b%.bin

check 'fetches a folder of names' run --from "$work/mirror" set
check 'the file is whole' cmp -s "$work/mirror/set/a+b%.bin" "$a"
check 'says when no checksum is known' grep -q 'set/c.bin.*no checksum' "$work/out"
check 'nothing is left over' test -z "$(find "$work/to" -name '*.part')"
to=$work/none check 'no such mirror' fails 1 --from "$work/nonexistent" set
check 'is said once' test "$(wc -l < "$work/err")" = 1
check 'and leaves no folder' test ! -e "$work/none"
rm -rf "$work/empty" && mkdir "$work/empty"
to=$work/none/deep check 'nor does a file that is not there' fails 1 --from "$work/empty" set
check 'nothing of it' test ! -e "$work/none"
to=$work/none/deep
(ulimit -f 0; "$rbe" fetch --manifest "$work/MANIFEST" --to "$to" --from "$work/mirror" \
    set/c.bin > /dev/null 2> /dev/null)
check 'a file that may not grow fails' [ $? = 1 ]
check 'and leaves nothing' test ! -e "$work/none"
unset to
to=$work/none check 'a mirror that is a file' fails 1 --from "$work/MANIFEST" set
check 'is said once too' grep -q 'MANIFEST: not a folder' "$work/err"
check 'a second run keeps what is there' run --from /nonexistent set
check 'and says so' grep -q 'a+b%.bin *present' "$work/out"

cp "$work/MANIFEST" "$work/plain"
{ printf '\357\273\277'; sed 's/$/\r/' "$work/plain"; } > "$work/MANIFEST"
check 'a list with a byte-order mark and CR LF' run --from /nonexistent set
mv "$work/plain" "$work/MANIFEST"

# As README has it.  The program is there; make must not think of building it.
bin=$(cd "$RBE_BIN" && pwd)
bin=${bin#"$top/"}
made() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$top" -o "$bin/rbe" B="${bin%/bin}" \
        FROM="$work/mirror" FETCH="--manifest '$work/MANIFEST' --to '$work/made' set" fetch \
        > "$work/out" 2> "$work/err"
}
check 'make fetch FROM=mirror' made
check 'has the file' cmp -s "$work/mirror/set/a+b%.bin" "$work/made/set/a+b%.bin"

rm "$a"
head -c 100000 "$work/mirror/set/a+b%.bin" > "$a.part"
check 'resumes behind the bytes it has' run --from "file://$work/mirror" set/a+b%.bin
check 'and the result is whole' cmp -s "$work/mirror/set/a+b%.bin" "$a"

rm "$a"
head -c 100000 /dev/zero > "$a.part"
check 'starts again when the old bytes were wrong' run --from "$work/mirror" set
check 'and is whole again' cmp -s "$work/mirror/set/a+b%.bin" "$a"

rm "$a"
head -c 400000 /dev/zero > "$a.part"
check 'starts again when the old bytes are too many' run --from "$work/mirror" set
check 'and is whole too' cmp -s "$work/mirror/set/a+b%.bin" "$a"

cp "$work/mirror/set/a+b%.bin" "$work/good"
printf x | dd of="$work/mirror/set/a+b%.bin" bs=1 seek=7 conv=notrunc status=none
rm "$a"
check 'a wrong checksum fails' fails 1 --from "$work/mirror" set/a+b%.bin
check 'in one line naming file and reason' one_line 'a+b%.bin: wrong sha256'
check 'and leaves nothing' test ! -e "$a" -a ! -e "$a.part"
head -c 299999 "$work/good" > "$work/mirror/set/a+b%.bin"
check 'a short file fails' fails 1 --from "$work/mirror" set/a+b%.bin
check 'naming the size' one_line '299999 bytes'
cat "$work/good" "$work/good" > "$work/mirror/set/a+b%.bin"
check 'a long file fails' fails 1 --from "$work/mirror" set/a+b%.bin
check 'and leaves nothing either' test ! -e "$a" -a ! -e "$a.part"

check 'a missing file fails' fails 1 --from "$work/mirror" lone.bin
check 'in one line' one_line 'lone.bin'
check 'no home and no mirror is a usage error' fails 2 lone.bin
check 'and says what to do' one_line '--from'
row far/a.bin 5 "$(printf '%064d' 0)" project
row far/here.bin 1000 - mirror
mkdir -p "$work/to/far" && cp "$work/mirror/set/c.bin" "$work/to/far/here.bin"
check 'of a folder, what has no home is left out' run far/
check 'and told' grep -q 'far/a.bin *left out: no public home' "$work/out"
check 'what is there is kept' grep -q 'far/here.bin *present' "$work/out"
check 'with one slash or more' run far//
check 'or none' run far
rm "$work/to/far/here.bin"
check 'a folder of nothing that can be had is a usage error' fails 2 far/
check 'and says what to do, once' one_line '--from'
check 'a file is no folder' fails 2 lone.bin/
check 'nor is nothing' fails 2 ''
check 'lists a folder' run --list set/
check 'with all of it' test "$(grep -c '^set/' "$work/out")" = 2
check 'an unknown name is a usage error' fails 2 nonesuch
check 'in one line too' one_line "no data set 'nonesuch'"
check 'a missing mirror fails' fails 1 --from "$work/none" lone.bin
check 'and is named' one_line "$work/none"

: > "$work/file"
to=$work/file
check 'a target that is a file fails' \
    fails 1 --from "$work/mirror" set/c.bin
check 'with its name' one_line "$work/file"
if [ "$(id -u)" != 0 ]; then
    mkdir "$work/ro" && chmod a-w "$work/ro"
    to=$work/ro
    check 'an unwritable folder fails' fails 1 --from "$work/mirror" set/c.bin
    check 'with its name' one_line "$work/ro"
fi
to=
if [ -w /dev/full ] && (ulimit -f 100 && true); then
    cp "$work/good" "$work/mirror/set/a+b%.bin"
    (
        trap '' XFSZ
        ulimit -f 100
        "$rbe" fetch --manifest "$work/MANIFEST" --to "$work/to" --from "$work/mirror" \
            set/a+b%.bin > "$work/out" 2> "$work/err"
    )
    check 'a disk that fills up fails' test $? = 1
    check 'says so' one_line 'cannot write'
    check 'and resumes when there is room' run --from "$work/mirror" set/a+b%.bin
    check 'to the whole file' cmp -s "$work/good" "$a"
fi

# A member of an archive at a URL.
if command -v zip > /dev/null; then
    (cd "$work/mirror" && zip -q z.zip in/m.bin)
    row m.bin 1000 "$(sha "$work/mirror/in/m.bin")" "file://$work/mirror/z.zip#in/m.bin"
    check 'unpacks a member' run m.bin
    check 'whole' cmp -s "$work/mirror/in/m.bin" "$work/to/m.bin"
    row n.bin 1000 - "file://$work/mirror/z.zip#in/none"
    check 'a member that is not there fails' fails 1 n.bin
    check 'in one line again' one_line 'in/none'
else
    echo 'SKIP archives: no zip'
fi

check 'lists' run --list
check 'with sizes and states' grep -q 'lone.bin .*5 bytes .*mirror only' "$work/out"
check 'lists as JSON' run --list --json
check 'that names each' grep -q '"name": "lone.bin"' "$work/out"

# Lists that are not lists.
echo '../x 1 - MIT - mirror' > "$work/MANIFEST"
check 'a name that leaves the folder is refused' fails 1 --list
check 'with its line' one_line 'MANIFEST:1:'
echo 'x 1z - MIT - mirror' > "$work/MANIFEST"
check 'a size that is none is refused' fails 1 --list
echo 'x 1 abc MIT - mirror' > "$work/MANIFEST"
check 'a checksum that is none is refused' fails 1 --list
echo 'x 1' > "$work/MANIFEST"
check 'a short row is refused' fails 1 --list
printf 'x\0y' > "$work/MANIFEST"
check 'a binary list is refused' fails 1 --list

# The shipped list agrees with the shipped files.
"$rbe" fetch --list > "$work/out"
check 'finds the shipped list' test $? = 0
while read -r name bytes sum _ embedded _; do
    case $name in '' | '#'*) continue ;; esac
    [ "$embedded" != - ] || continue
    f=$top/datasets/$embedded
    check "$name ships as listed" test "$(stat -c %s "$f") $(sha "$f")" = "$bytes $sum"
done < "$top/datasets/MANIFEST"
shared=${RBE_SHARED:-$top/../shared}
if [ -d "$shared/data" ]; then
    check 'fetches from the shared folder' "$rbe" fetch --from "$shared/data" \
        --to "$work/to" --quiet winogrande blimp hellaswag/hellaswag_val_full.txt.xz
else
    echo 'SKIP the shared folder: no ../shared'
fi

finish
