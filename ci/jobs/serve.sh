#!/usr/bin/env bash
# serve.sh - rbe-serve killed 10,000 times at random, and 100,000 requests over HTTP
#
# SPDX-License-Identifier: MIT
#
# As many requests again are damaged ones.
# SERVE_KILLS=N and SERVE_REQUESTS=N are other numbers, SEED=N another chance.  Of the kills
# six tenths are of the service at a UNIX socket, the others of service or broker, mosquitto;
# a writer of the journal is killed as often again.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
kills=${SERVE_KILLS:-10000} requests=${SERVE_REQUESTS:-100000} seed=${SEED:-$(date +%s)}
command -v mosquitto /usr/sbin/mosquitto > /dev/null || { echo 'SKIP no mosquitto'; exit 77; }
arch=$(${CC:-gcc} -dumpmachine)
b=$BUILDROOT/${arch%%-*}-release
make -s -j"$(nproc)" programs "$b"/deploy/test/check_serve{,_kills,_mqtt,_hostile} || exit 1
RBE_BIN=$(cd "$b/bin" && pwd)
export RBE_BIN
passed=0 failed=0
# one KILLS COMMAND...
one() {
    echo "== $2, $1 kills, seed $seed"
    if KILLS=$1 "${@:2}"; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}
one "$kills" "$b/deploy/test/check_serve" "$seed"
one $((kills * 6 / 10)) "$b/deploy/test/check_serve_kills" "$seed"
one $((kills * 4 / 10)) "$b/deploy/test/check_serve_mqtt" "$seed"
echo "== $requests damaged requests"
if ROUNDS=$requests "$b/deploy/test/check_serve_hostile" "$seed"; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi
echo "== $requests requests over HTTP"
if REQUESTS=$requests bash deploy/test/check_serve_http.sh; then
    passed=$((passed + 1))
else
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ $failed = 0 ]
