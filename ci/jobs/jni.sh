#!/usr/bin/env bash
# jni.sh - the Android library's code on a JDK, with -Xcheck:jni: answers, errors, threads, leaks
#
# SPDX-License-Identifier: MIT
#
#   CALLS=1000 ci/jobs/jni.sh       fewer answers than 10^4 in the check for leaks
#
# The library is built by the CMakeLists.txt that Android's NDK takes.  What the binding costs is
# measured over a conversation without a model (deploy/android/check/null_chat.c), and compared
# with a token of the shipped model on this machine: at most 1 %.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
for tool in javac java cmake; do
    command -v $tool > /dev/null || { echo "SKIP no $tool"; exit 77; }
done
JAVA_HOME=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
export JAVA_HOME
[ -f "$JAVA_HOME/include/jni.h" ] || { echo "SKIP no jni.h in $JAVA_HOME/include"; exit 77; }
java=$JAVA_HOME/bin/java at=deploy/android out=$BUILDROOT/jni
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL $*"; exit 1; }

cmake -S $at/src/main/cpp -B "$out" > "$work/log" 2>&1 &&
    cmake --build "$out" -j"$(nproc)" >> "$work/log" 2>&1 ||
    { tail -n 20 "$work/log"; fail 'librbe_jni.so does not build'; }
! grep 'warning:' "$work/log" || fail 'warnings'
exported=$(nm -D --defined-only "$out/librbe_jni.so" | awk '{ print $3 }')
[ "$exported" = JNI_OnLoad ] || fail "exported beside JNI_OnLoad: $exported"
mkdir -p "$out/null" "$out/classes" "$work/empty"
"${CC:-gcc}" -std=c11 -O2 -Wall -Wextra -Werror -shared -fPIC -Iinclude -I"$JAVA_HOME/include" \
    -I"$JAVA_HOME/include/linux" -o "$out/null/librbe_jni.so" $at/src/main/cpp/chat_jni.c \
    $at/check/null_chat.c || fail 'the library without a model does not build'
# Android's Java is that of JDK 8, but for what was left out.
"$JAVA_HOME/bin/javac" --release 8 -Xlint:all,-options -Werror -d "$out/classes" \
    $at/src/main/java/rbe/chat/*.java $at/check/*.java || fail 'the classes do not compile'
if command -v kotlinc > /dev/null; then
    kotlinc -Werror -cp "$out/classes" -d "$out/kotlin" $at/src/main/kotlin/rbe/chat/*.kt ||
        fail 'the Kotlin face does not compile'
else
    echo 'SKIP kotlinc: the Kotlin face was not compiled'
fi
make -s "$BUILDROOT/$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release/bin/rbe" || exit 1
"$BUILDROOT/$(${CC:-gcc} -dumpmachine | cut -d- -f1)-release/bin/rbe" synth "$work/small" \
    --shape 1,32,2,64,8192 --dtype F16 > /dev/null || fail 'no small model'

# jvm FOLDER CLASS ARGUMENTS...: with a heap that does not grow, and one thread of the collector.
# Where memory is watched nothing is compiled meanwhile: the compiler's own memory comes and goes.
jvm() {
    local folder=$1
    shift
    "$java" "${check[@]}" -Xms64m -Xmx64m -XX:+UseSerialGC -XX:+AlwaysPreTouch -cp "$out/classes" \
        -Djava.library.path="$folder" "$@"
}
check=(-Xcheck:jni -Xint)
export MALLOC_ARENA_MAX=1
run() {
    jvm "$@" > "$work/out" 2>&1
    local rc=$?
    cat "$work/out"
    [ $rc = 0 ] || fail "$2: exit $rc"
    # What -Xcheck:jni has to say, it says on standard output.
    ! grep -qE 'WARNING|FATAL ERROR|JNI local refs' "$work/out" || fail "$2: -Xcheck:jni"
}
models=datasets/embedded
run "$out/null" rbe.chat.CheckBinding 50000
run "$out" rbe.chat.CheckChat $models/mini-2.89-tuned.rbe $models/rbe-mini "$work/small" \
    $models/rbe-mini "$work/empty" "${CALLS:-10000}"
passed=$(tail -n 1 "$work/out")
token=$(sed -n 's/^TOKEN_NS //p' "$work/out")
check=()
jvm "$out/null" rbe.chat.CheckBinding time > "$work/time" || fail 'the cost was not measured'
piece=$(sed -n 's/^PIECE_NS //p' "$work/time") call=$(sed -n 's/^CALL_NS //p' "$work/time")
awk -v p="$piece" -v c="$call" -v t="$token" 'BEGIN {
    share = 100 * p / t
    printf "the binding: %.0f ns a piece, %.0f ns a call; a token: %.0f ns; %.3f %% of it\n", p, c, t,
        share
    exit !(share <= 1 && t > 0 && p > 0)
}' || fail 'the binding costs more than 1 % of a token'
echo "$passed; ${CALLS:-10000} answers kept nothing; $piece ns a piece of $token ns"
