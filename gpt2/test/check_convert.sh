#!/bin/bash
# check_convert.sh - rbe convert: sizes, resuming, and failures that leave nothing behind.
#
# SPDX-License-Identifier: MIT
set -u
rbe=${RBE_BIN:?}/rbe
root=$(cd "$(dirname "$0")/../.." && pwd)
mini=$root/datasets/embedded/rbe-mini
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0

check() { # WHAT COMMAND...
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $what"
        sed 's/^/     /' "$dir/err" 2>/dev/null
    fi
}

run() { "$rbe" convert -q "$@" >"$dir/out" 2>"$dir/err"; }

fails() { # CODE TEXT ARGUMENT...: that exit status, one line on stderr that holds TEXT
    local code=$1 text=$2 got
    shift 2
    run "$@"
    got=$?
    [ "$got" = "$code" ] && [ "$(wc -l <"$dir/err")" = 1 ] && grep -qF -- "$text" "$dir/err"
}

size() { stat -c %s "$1"; }
same() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }
empty() { [ -z "$(ls -A "$1")" ]; }

# A conversion, its totals, its plan and its result line.
check 'int4 converts' run "$mini" "$dir/a.rbe" --profile int4 --json "$dir/r.jsonl"
bytes=$(size "$dir/a.rbe")
check 'the total is the size of the file' grep -q "^file: $bytes bytes" "$dir/out"
check 'a row for each matrix' [ "$(grep -c '^h\.\|^wte' "$dir/out")" = 49 ]
check 'int4 has 4.5 bits a weight' grep -q 'bytes, 4.5000 bits a weight' "$dir/out"
check 'the result line has the same size' grep -q "\"totals\":{\"bytes\":$bytes," "$dir/r.jsonl"
check 'no partial folder stays' [ ! -e "$dir/a.rbe.partial" ]
check 'the plan runs' run "$mini" --plan --profile int4
check 'the plan knows the size' grep -q "^planned file: $bytes bytes" "$dir/out"
run "$mini" "$dir/b.rbe" --profile int4 --threads 1
check 'the same bytes again' cmp "$dir/a.rbe" "$dir/b.rbe"
check 'the shipped model by name' run rbe-mini "$dir/b.rbe" --codec int8
check 'int8 is larger' [ "$(size "$dir/b.rbe")" -gt "$bytes" ]

# Interrupted, then finished: the same file as without.
printf 'all codec=int4\nall layers=1-5 scale-search=on\n' >"$dir/slow.profile"
run "$mini" "$dir/whole.rbe" -p "$dir/slow.profile"
"$rbe" convert -q "$mini" "$dir/cut.rbe" -p "$dir/slow.profile" >"$dir/out" 2>"$dir/err" &
pid=$!
for _ in $(seq 2000); do
    [ "$(find "$dir/cut.rbe.partial" -name '*.weight.rbe' 2>/dev/null | wc -l)" -ge 3 ] && break
    sleep 0.01
done
kill -INT $pid
wait $pid
check 'an interrupt is a failure' [ $? = 1 ]
check 'it says how to go on' grep -q 'interrupted.*goes on' "$dir/err"
check 'no file yet' [ ! -e "$dir/cut.rbe" ]
check 'going on' run "$mini" "$dir/cut.rbe" -p "$dir/slow.profile"
check 'finished matrices are kept' [ "$(grep -c '(kept)' "$dir/out")" -ge 3 ]
check 'the same file as uninterrupted' cmp "$dir/cut.rbe" "$dir/whole.rbe"
check 'nothing else stays' [ ! -e "$dir/cut.rbe.partial" ]

# Damaged or foreign leftovers are not taken over.
mkdir "$dir/a2.rbe.partial"
echo rubbish >"$dir/a2.rbe.partial/wte.weight.rbe"
check 'rubbish is replaced' run "$mini" "$dir/a2.rbe" --profile int4
check 'with the right bytes' cmp "$dir/a.rbe" "$dir/a2.rbe"

# A full disk, at the first matrix and at the whole file; an existing output stays.
full() { # BLOCKS ARGUMENT...
    local limit=$1
    shift
    (
        trap '' XFSZ
        ulimit -f "$limit"
        fails 1 'cannot write' "$@"
    )
}
mkdir "$dir/full"
check 'a full disk at once' full 100 "$mini" "$dir/full/x.rbe" --profile int8
check 'leaves nothing' empty "$dir/full"
echo old >"$dir/full/x.rbe"
check 'a full disk at the end' full 5000 "$mini" "$dir/full/x.rbe" --profile int8
check 'leaves the old file' same "$dir/full/x.rbe" old
check 'and no temporary' [ -z "$(find "$dir/full" -maxdepth 1 -name '*.tmp*')" ]

# Weights that are no numbers: f16 NaN in the middle of the data.
mkdir "$dir/nan"
cp "$mini/config.json" "$mini/model.safetensors" "$dir/nan"
printf '\x00\x7e' | dd of="$dir/nan/model.safetensors" bs=1 seek=4000000 conv=notrunc status=none
check 'NaN is named by tensor' fails 1 "tensor '" "$dir/nan" "$dir/x.rbe" --profile int8
check 'as NaN' grep -q NaN "$dir/err"
check 'and leaves no file' [ ! -e "$dir/x.rbe" ]
rm -rf "$dir/x.rbe.partial"
truncate -s 3000000 "$dir/nan/model.safetensors"
check 'a truncated checkpoint' fails 1 truncated "$dir/nan" "$dir/x.rbe"
sed 's/"n_embd": 256/"n_embd": 128/' "$mini/config.json" >"$dir/nan/config.json"
cp "$mini/model.safetensors" "$dir/nan"
check 'a configuration of another model' fails 1 'shape' "$dir/nan" "$dir/x.rbe"

# K of hybrid from the energy to leave: a relative RMSE of sqrt(0.25).
printf 'all codec=int4\nattn.proj codec=hybrid block=32 energy=0.25\n' >"$dir/energy.profile"
check 'hybrid by energy' run "$mini" "$dir/e.rbe" -p "$dir/energy.profile"
check 'leaves that energy' [ "$(grep -c 'attn.c_proj.* 0\.\(49\|50\)[0-9]* .*' "$dir/out")" = 12 ]

# Requests that cannot be met.
check 'a budget too small' fails 1 'the smallest possible' "$mini" "$dir/x.rbe" --bytes 300000
check 'two budgets' fails 2 exclude "$mini" "$dir/x.rbe" --bytes 300000 --bits 3
check 'no profile' fails 2 'valid: chapter-8.3.1' "$mini" "$dir/x.rbe" --profile nothing
printf 'all codec=int4\nwte codec=int4 colour=red\n' >"$dir/bad.profile"
check 'a bad profile' fails 2 "bad.profile:2: unknown key 'colour'" "$mini" "$dir/x.rbe" \
    --profile "$dir/bad.profile"
check 'an unknown codec' fails 2 magic "$mini" "$dir/x.rbe" --codec magic
check 'an impossible block' fails 2 'block 5' "$mini" "$dir/x.rbe" --codec seed --block 5
check 'no model' fails 1 'No such file' "$dir/nothing" "$dir/x.rbe"
check 'an RBE model' fails 2 'already' "$dir/a.rbe" "$dir/x.rbe"
check 'no folder for the output' fails 1 'cannot write' "$mini" "$dir/no/x.rbe" -p int8
mkdir "$dir/folder"
check 'a folder as output' fails 1 'not a file' "$mini" "$dir/folder" -p int8
check 'no arguments' fails 2 'want MODEL'
check 'nothing was written' [ ! -e "$dir/x.rbe" ]

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
