#!/usr/bin/env bash
# check_serve.sh - rbe-serve by lines of standard input; its options
#
# SPDX-License-Identifier: MIT
# In memory where that can be: a busy disk's syncs take long.
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=${RBE_BIN:?folder of the programs}
cd "$work" || exit 1
"$bin/rbe" synth tiny --shape 1,32,2,128,8192 > /dev/null || exit 1
serve=("$bin/rbe-serve" -m tiny -t 1 -q)

# serve FILE OPTION...: its lines are answered into out.
serve() {
    local in=$1
    shift
    "${serve[@]}" "$@" < "$in" > out 2> err
}
# said ID STATUS [FIELD]: of the reply in out.
said() { jq -r --arg i "$1" --arg s "$2" "select(.id == \$i and .status == \$s) | .${3:-id}" out; }

# --- standard input -----------------------------------------------------------------------
cat > in << 'END'
{"id":"a","prompt":"The city","max_tokens":8,"temperature":0}
{"id":"b","prompt":"The city","max_tokens":8,"stream":true}
{"id":"c","prompt":["One","Two"],"max_tokens":3,"temperature":0}
{"id":"a","prompt":"The city","max_tokens":8,"temperature":0}
{"id":"a","prompt":"another","max_tokens":8,"temperature":0}
{"id":"nobody"}
no json
{"prompt":"x"}
{"id":"d","prompt":"x","frequency_penalty":1}
END
check 'it ends with its input' serve in --state st
check 'no word beside' test ! -s err
# The second may come before the answer, or after it.
check 'accepted and answered' test "$( (said a accepted; said a "done") | wc -l)" = 3
check 'with one text' test "$(said a "done" 'text | @json' | sort -u | wc -l)" = 1
# As JSON: a sampled text may have line ends of its own.
check 'parts are the answer' test "$(said b part 'text | @json' | jq -s add)" = \
    "$(said b "done" 'text | @json')"
check 'two prompts' test "$(said c "done" 'choices | length')" = 2
check 'an id is of one request' test "$(said a error error)" = "the id 'a' is of another request"
check 'an id is not known' test "$(said nobody error error)" = "the id 'nobody' is not known"
check 'what is no JSON' grep -q '^{"status":"error","error":"not JSON: ' out
check 'no id' grep -qF '{"status":"error","error":"want an \"id\""}' out
check 'what is not known' grep -q '"d","status":"error","error":"."frequency_penalty' out
said b "done" text > text
check 'again' serve in --state st
check 'the same text' test "$(said b "done" text)" = "$(cat text)"
check 'which it says' test "$(said b "done" again)" = true
check 'nothing is made anew' test -z "$(said b part)"
head -c 3000 /dev/zero | tr '\0' x > long
echo >> long
head -n 1 in >> long
check 'a long line' serve long --body 1024
check 'is refused' grep -q 'a line of more than 1024 bytes' out
check 'and the next is taken' test -n "$(said a "done" text)"
printf '%s' '{"id":"e","prompt":"x","max_tokens":2}' > unended
check 'a last line without its end' serve unended
check 'is one' test -n "$(said e "done" text)"
printf '\r\n \n{"id":"e","prompt":"x","max_tokens":2}\r\n' > crlf
check 'carriage returns' serve crlf
check 'are none of its' test "$(wc -l < out)" = 2
for i in $(seq 30); do echo '{"id":"q'"$i"'","prompt":"x","max_tokens":2}'; done > many
check 'a queue of one' serve many --queue 1
check 'takes them all in turn' test "$(grep -c '"done"' out)" = 30
check 'nobody reads' refuses 1 'rbe-serve: standard output: ' bash -c \
    '"$0" "$@" < many > /dev/full' "${serve[@]}"

# --- options ------------------------------------------------------------------------------
check 'a missing model' refuses 1 '^rbe-serve: missing' "$bin/rbe-serve" -m missing
check 'an argument' refuses 2 'rbe-serve: x: unexpected argument' "$bin/rbe-serve" x
check 'too much context' refuses 2 'tiny has 128' "${serve[@]}" --context 129
check 'a state that is a file' refuses 1 'in' "${serve[@]}" --state in
if ldconfig -p 2> null | grep -q libmosquitto.so.1; then
    # A broker that is away is told of once, also by -q, and waited for.
    "${serve[@]}" --mqtt 127.0.0.1:1 --state away > out 2> err &
    pid=$!
    for _ in $(seq 500); do grep -q 'away: ' err && break; sleep 0.02; done
    sleep 0.5
    check 'a broker that is away' one_line '--mqtt 127.0.0.1:1: away: Connection refused$'
    kill $pid
    wait $pid
    check 'its end is no fault' test $? = 0
    "$bin/rbe-serve" -m tiny -t 1 --mqtt '[::1]:1' --state away > out 2> err &
    pid=$!
    for _ in $(seq 500); do grep -q 'away: ' err && break; sleep 0.02; done
    # Machines differ in what they say of a port where nobody listens, or say nothing where they
    # have half of IPv6; but the address was understood: no host was looked for.
    if timeout 2 bash -c ': < /dev/tcp/::1/1' 2> null || [ $? != 124 ]; then
        check 'a broker at an address of IPv6' grep -qF 'mqtt [::1]:1: away: ' err
    fi
    check 'is no name' test -z "$(grep -iE 'lookup|not known|resolution|unknown host' err)"
    kill $pid
    wait $pid
    check 'no state' refuses 2 'want --state' "${serve[@]}" --mqtt 127.0.0.1:1
    check 'no user' refuses 2 'want --mqtt-user' "${serve[@]}" --mqtt 127.0.0.1:1 --state away \
        --mqtt-password-file in
    for b in : x: x:0 x:65536 x:1y ::1 fe80::1:1883 '[' '[]' '[]:1' '[::1' '[::1]x' '[::1]:' '[::1]1883' '[::1]:0' \
        '[localhost]' '[localhost]:1883' '[127.0.0.1]:1883' '[fe80::1%]'; do
        check "no broker: '$b'" refuses 2 "--mqtt .*: want HOST, HOST:PORT, .IPv6., .*, or a path" \
            timeout 30 "${serve[@]}" --mqtt "$b" --state away
    done
fi
# Without the lock it goes on, and says so once.
mkdir refused missing
printf '#!/bin/sh\necho no >&2\nexit 1\n' > refused/systemd-inhibit
chmod +x refused/systemd-inhibit
for i in $(seq 40); do echo '{"id":"s'"$i"'","prompt":"x","max_tokens":90,"temperature":0}'; done > some
for place in refused missing; do
    PATH=$PWD/$place serve <(/bin/cat some; /bin/sleep 1) --inhibit-sleep
    check "no lock ($place)" test "$(grep -c '"done"' out)" = 40
    check 'one line' one_line '--inhibit-sleep: .*systemd-inhibit.*: the machine may sleep'
done
# What no disk takes waits, but not against a signal.
(ulimit -f 8 && exec timeout -k 5 5 "${serve[@]}" --state full < some > out 2> err)
check 'a full disk' test $? = 124
check 'is told of' one_line '^rbe-serve: full: cannot be written: answers wait$'
check 'with more room' serve some --state full
check 'all are answered' test "$(jq -r 'select(.status == "done") | .id' out | sort -u | wc -l)" = 40
# Begun on a full disk: without a journal one line, with one it answers when there is room.
if unshare -rm true 2> null; then
    # FOLDER LINES: of a file system that is full, with what lies in before/; then, into room, again.
    begin() {
        unshare -rm bash -c 'mkdir -p small && mount -t tmpfs -o size=64k none small && cp -r before/. small &&
            { head -c 100000 /dev/zero > small/fill; true; } 2> null
            timeout -k 5 2 "${@:3}" --state "small/$1" < "$2"
            rc=$?
            rm small/fill && "${@:3}" --state "small/$1" < "$2" > room
            exit $rc' begin "$1" "$2" "${serve[@]}" > out 2> err
    }
    mkdir before
    begin new in
    check 'a new journal on a full disk' test $? = 1
    check 'is one line' one_line '^rbe-serve: small/new.*: No space left on device$'
    cp -r full before/old
    head -c 20 full/journal >> before/old/journal       # torn besides
    head -n 1 some > first
    begin old first
    check 'an old one is opened' test $? != 1
    check 'what it has is answered' test "$(said s1 "done" again)" = true
    check 'without a word' test ! -s err
    begin old many
    # A page that was begun has room for some.
    check 'not all that is new is accepted' test "$(grep -c '"accepted"' out)" -lt 30
    # What had been accepted may be told of more than once.
    check 'until there is room' test "$(jq -r 'select(.status == "done") | .id' room | sort -u | wc -l)" = 30
    check 'for what had been accepted, the same answer' test -z "$(jq -r 'select(.status == "done") |
        .id + .text' out | grep -vxF -f <(jq -r 'select(.status == "done") | .id + .text' room))"
else
    echo 'SKIP a full disk at the start: no name space of its own'
fi
mkdir foreign
echo something else > foreign/journal
check 'a journal that is none' refuses 1 'foreign/journal: not a journal' "${serve[@]}" --state foreign
check 'a path that is too long' refuses 2 "longer than" "${serve[@]}" --socket "$(head -c 200 long | tr -d '\n')"

finish
