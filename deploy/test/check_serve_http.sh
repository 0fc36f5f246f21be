#!/usr/bin/env bash
# check_serve_http.sh - rbe-serve over HTTP: OpenAI's calls, limits, bad requests, bad clients
#
# SPDX-License-Identifier: MIT
# REQUESTS=N sends so many under load (300).
[ ! -w /dev/shm ] || export TMPDIR=/dev/shm
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=${RBE_BIN:?folder of the programs}
cd "$work" || exit 1
"$bin/rbe" synth tiny --shape 1,32,2,128,8192 > /dev/null || exit 1

server='' held=()
trap '' PIPE
trap '[ -z "$server" ] || kill -9 $server; chmod -R u+w "$work"; rm -rf "$work"' EXIT
# start OPTION...: its address is in $at.
start() {
    "$bin/rbe-serve" -m tiny -t 1 --http 0 "$@" 2> served &
    server=$!
    for _ in $(seq 500); do
        at=$(sed -n 's/.*, at \(http:.*\)/\1/p' served)
        [ -n "$at" ] && return
        sleep 0.02
    done
    echo 'FAIL it does not start'
    exit 1
}
stop() {
    kill $server
    wait $server 2> null
    local rc=$?
    server=''
    return $rc
}
# post PATH JSON OPTION...: the answer in out, its status in $code.
post() {
    code=$(curl -s -m 30 -o out -w '%{http_code}' "${@:3}" -H 'Content-Type: application/json' \
        --data-binary "$2" "$at/v1/$1" 2> err)
}
# answers CODE PATH JSON OPTION...
answers() {
    local want=$1
    shift
    post "$@"
    [ "$code" = "$want" ]
}
field() { jq -r "$1" out; }
get() { curl -s -m 30 -o out -w '%{http_code}' "$at/$1"; }

# What a machine's sensors say.
sys=$work/sys
mkdir -p "$sys/class/thermal/thermal_zone0" "$sys/class/powercap/intel-rapl:0" "$sys/devices/system/cpu/cpu0/cpufreq"
echo 52500 > "$sys/class/thermal/thermal_zone0/temp"
echo 7500000 > "$sys/class/powercap/intel-rapl:0/energy_uj"
echo 1800000 > "$sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq"
export RBE_SYSFS=$sys
start --clients 8 --body 4096 --patience 2 --state st
# --- completions --------------------------------------------------------------------------
check 'a completion' answers 200 completions '{"model":"x","prompt":"The city","max_tokens":8,"temperature":0}'
check 'has a text' test -n "$(field '.choices[0].text')"
text=$(field '.choices[0].text')
check 'and its counts' test "$(field .usage.completion_tokens)" = 8
check 'as a stream' answers 200 completions \
    '{"prompt":"The city","max_tokens":8,"temperature":0,"stream":true}'
check 'the same text' test "$(sed -n 's/^data: {/{/p' out | jq -j '.choices[0].text')" = "$text"
check 'with an end' test "$(grep -v '^.$' out | grep . | tail -n 1)" = 'data: [DONE]'
check 'log-probabilities' answers 200 completions \
    '{"prompt":[[5,6,7,8],[9,10,11]],"max_tokens":1,"temperature":0,"echo":true,"logprobs":1,"seed":1234}'
check 'of every token' test "$(field '[.choices[].logprobs.token_logprobs | length] | @csv')" = 5,4
check 'but the first' test "$(field '.choices[1].logprobs.token_logprobs[0]')" = null
check 'with the likeliest' test "$(field '.choices[0].logprobs.top_logprobs[4] | length')" = 1
check 'a chat' answers 200 chat/completions \
    '{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"Where?"}],"max_tokens":6,"temperature":0}'
check 'has a message' test "$(field '.choices[0].message.role')" = assistant
text=$(field '.choices[0].message.content')
check 'as a stream' answers 200 chat/completions \
    '{"messages":[{"role":"system","content":"Be short."},{"role":"user","content":"Where?"}],"max_tokens":6,"temperature":0,"stream":true}'
check 'the same message' test "$(sed -n 's/^data: {/{/p' out | jq -j '.choices[0].delta.content // ""')" = "$text"
check 'the role once' test "$(grep -c '"role"' out)" = 1
check 'an id' answers 200 completions '{"prompt":"x","max_tokens":9}' -H 'Idempotency-Key: k1'
text=$(field '.choices[0].text')
check 'again' answers 200 completions '{"prompt":"x","max_tokens":9}' -H 'Idempotency-Key: k1'
check 'the same' test "$(field '.choices[0].text')" = "$text"
check 'also as a stream' answers 200 completions '{"prompt":"x","max_tokens":9,"stream":true}' -H 'Idempotency-Key: k1'
check 'of the same' test "$(sed -n 's/^data: {/{/p' out | jq -j '.choices[0].text')" = "$text"
check 'another request' answers 409 completions '{"prompt":"y"}' -H 'Idempotency-Key: k1'

# --- what is refused ----------------------------------------------------------------------
check 'no JSON' answers 400 completions '{"prompt":'
check 'says why' grep -q '"message":"not JSON' out
check 'no prompt' answers 400 completions '{}'
check 'messages' answers 400 completions '{"messages":[{"role":"user","content":"x"}]}'
check 'what is not known' answers 400 completions '{"prompt":"x","tools":[]}'
check 'no UTF-8' answers 400 completions "$(printf '{"prompt":"\377"}')"
check 'a longer body' answers 413 completions "{\"prompt\":\"$(head -c 5000 /dev/zero | tr '\0' x)\"}"
check 'in chunks' answers 413 completions "{\"prompt\":\"$(head -c 9000 /dev/zero | tr '\0' x)\"}" \
    -H 'Transfer-Encoding: chunked'
check 'a longer prompt' answers 400 completions "{\"prompt\":\"$(head -c 3000 /dev/zero | tr '\0' '1')\"}"
check 'another type' answers 415 completions '{"prompt":"x"}' -H 'Content-Type: text/plain'
check 'another method' test "$(get v1/completions)" = 405
check 'another place' test "$(get v1/nothing)" = 404
check 'another name of this machine' answers 403 completions '{"prompt":"x"}' -H 'Host: example.org'
check 'heads without end' test "$(curl -s -m 10 -o out -w '%{http_code}' \
    -H "X: $(head -c 60000 /dev/zero | tr '\0' x)" "$at/health")" != 200
check 'health' test "$(get health)" = 200
check 'models' test "$(get v1/models) $(field '.data[0].id')" = '200 tiny'

# --- bad clients --------------------------------------------------------------------------
port=${at##*:}
# Some that send nothing, one that ends within its heads, one within its body.
for _ in 1 2 3; do exec {fd}<> "/dev/tcp/127.0.0.1/$port" && held+=("$fd"); done
exec {fd}<> "/dev/tcp/127.0.0.1/$port"
printf 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nX-Long' >&"$fd"
exec {fd}>&-
exec {fd}<> "/dev/tcp/127.0.0.1/$port"
printf 'POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{' >&"$fd"
held+=("$fd")
exec {fd}<> "/dev/tcp/127.0.0.1/$port"
printf '\001\002\003 nothing of HTTP\r\n\r\n' >&"$fd"
exec {fd}>&-
check 'others are served meanwhile' answers 200 completions '{"prompt":"x","max_tokens":2}'
# A drop now and then does not keep a connection.
slow() {
    exec {fd}<> "/dev/tcp/127.0.0.1/$port"
    for _ in $(seq 12); do
        sleep 0.4
        printf 'X' >&"$fd" || return 0
    done
    return 1
}
check 'a trickle is cut off' slow 2> null
# One that does not wait for its answer, which takes a while.
all=$(seq 64 | sed 's/.*/"x"/' | paste -sd ,)
long='{"prompt":"x","max_tokens":120,"temperature":0}'
for _ in 1 2 3; do
    curl -s -m 0.05 -o null -H 'Content-Type: application/json' \
        -d "{\"prompt\":[$all],\"max_tokens\":120}" "$at/v1/completions"
done
check 'vanished clients leave nothing' answers 200 completions '{"prompt":"x","max_tokens":2}'
for fd in "${held[@]}"; do exec {fd}>&-; done

# --- under load ---------------------------------------------------------------------------
requests=${REQUESTS:-300}
# A config for curl: one process, kept connections, many at once.
batch=$((requests < 2000 ? requests : 2000))
awk -v n="$batch" -v at="$at" 'BEGIN {
    for (i = 0; i < n; i++) {
        if (i) print "next"
        print "url = \"" at "/v1/completions\"\nheader = \"Content-Type: application/json\""
        print "data = \"{\\\"prompt\\\":\\\"The city " i % 7 "\\\",\\\"max_tokens\\\":" 1 + i % 4 ",\\\"temperature\\\":0}\""
        print "output = \"/dev/null\"\nwrite-out = \"%{http_code}\\n\"\nsilent\nmax-time = 60"
    }
}' > many
memory() { awk '/^VmRSS/ { print $2 }' "/proc/$server/status"; }
before=0
for ((sent = 0; sent < requests; sent += batch)); do
    curl -Z --parallel-max 8 -K many 2> err
    [ $before != 0 ] || before=$(memory)
done > codes
check "$sent requests, eight at once" test "$(grep -cx 200 codes)" = "$sent"
after=$(memory)
check "memory $before kB, then $after" [ "$after" -lt $((before + 4000)) ]
check 'metrics' test "$(get metrics)" = 200
check 'count them' test "$(awk '/^rbe_requests_answered_total/ { print ($2 >= '"$requests"') }' out)" = 1
check 'use the cache' test "$(awk '/^rbe_cached_tokens_total/ { print ($2 > 0) }' out)" = 1
check 'temperature' grep -qx 'rbe_temperature_celsius 52.5' out
check 'frequency' grep -qx 'rbe_cpu_megahertz 1800' out
check 'energy' grep -qx 'rbe_cpu_joules_total 7.5' out
check 'vanished clients were seen' grep -qE '^rbe_requests_left_total [1-9]' out
check 'nothing waits' grep -qx 'rbe_requests_waiting 0' out
if command -v promtool > /dev/null; then check 'as Prometheus wants' promtool check metrics < out; fi
stop
check 'its end is no fault' test $? = 0

# --- tokens, addresses, a queue -----------------------------------------------------------
check 'beyond this machine' refuses 2 'only with --token-file' "$bin/rbe-serve" -m tiny --http 0.0.0.0:0
check 'an odd address' refuses 2 'want PORT, HOST:PORT' "$bin/rbe-serve" -m tiny --http example.org:80
check 'an odd port' refuses 2 'want PORT, HOST:PORT' "$bin/rbe-serve" -m tiny --http 99999
: > empty
check 'an empty token' refuses 1 'empty: its first line is empty' "$bin/rbe-serve" -m tiny --http 0 --token-file empty
echo secret > token
rm -r "$sys/class"
start --token-file token --http 0.0.0.0:0 --queue 1 --max-tokens 120
at=http://127.0.0.1:${at##*:}
check 'no token' answers 401 completions '{"prompt":"x","max_tokens":1}'
check 'another token' answers 401 completions '{"prompt":"x","max_tokens":1}' -H 'Authorization: Bearer secre'
check 'its beginning' answers 401 completions '{"prompt":"x","max_tokens":1}' -H 'Authorization: Bearer secretsecret'
check 'the token' answers 200 completions '{"prompt":"x","max_tokens":1}' -H 'Authorization: Bearer secret'
check 'metrics want it' test "$(get metrics)" = 401
check 'a sensor that is not there' test "$(curl -s -H 'Authorization: Bearer secret' "$at/metrics" |
    grep -cE 'celsius|joules')" = 0
check 'health does not' test "$(get health)" = 200
check 'the port is taken' refuses 1 'Address already in use' "$bin/rbe-serve" -m tiny --http "${at##*:}"
# More at once than the queue takes: some are told to come again, none waits for ever.
for _ in $(seq 12); do
    curl -s -m 30 -o null -w '%{http_code}\n' -H 'Authorization: Bearer secret' -H 'Content-Type: application/json' \
        -d "$long" "$at/v1/completions" &
done > codes
for job in $(jobs -p); do [ "$job" = "$server" ] || wait "$job"; done
check 'answered or told to wait' test "$(grep -cxE '200|503' codes)" = 12
check 'some were answered' grep -qx 200 codes
# Told to end while it works.
curl -s -m 30 -o null -H 'Authorization: Bearer secret' -H 'Content-Type: application/json' -d "$long" "$at/v1/completions" &
stop
check 'it ends at once' test $? = 0
wait
finish
