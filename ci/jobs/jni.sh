#!/usr/bin/env bash
# jni.sh - the Android library's code on a JDK, with -Xcheck:jni: answers, errors, threads, leaks
#
# SPDX-License-Identifier: MIT
#
#   CALLS=1000 ci/jobs/jni.sh       fewer answers than 10^4 in the check for leaks
#
# The library is built by the CMakeLists.txt that Android's NDK takes.  What it allocates is counted
# (deploy/android/check/count_blocks.c), and the check for leaks must find leaks that are planted in
# the binding.  What the binding costs is measured between the tokens of a model: at most 1 % of one,
# and 2 % that are planted must be found.  Where there is no kotlinc, npm fetches JetBrains' package of it.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
for tool in javac java cmake; do
    command -v $tool > /dev/null || { echo "SKIP no $tool"; exit 77; }
done
JAVA_HOME=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")}
export JAVA_HOME
[ -f "$JAVA_HOME/include/jni.h" ] || { echo "SKIP no jni.h in $JAVA_HOME/include"; exit 77; }
java=$JAVA_HOME/bin/java at=deploy/android out=$PWD/$BUILDROOT/jni calls=${CALLS:-10000}
[ "${BUILDROOT#/}" = "$BUILDROOT" ] || out=$BUILDROOT/jni
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL $*"; exit 1; }

cmake -S $at/src/main/cpp -B "$out" -DRBE_PLAIN=ON > "$work/log" 2>&1 &&
    cmake --build "$out" -j"$(nproc)" >> "$work/log" 2>&1 ||
    { tail -n 20 "$work/log"; fail 'librbe_jni.so does not build'; }
! grep 'warning:' "$work/log" || fail 'warnings'
exported=$(nm -D --defined-only "$out/librbe_jni.so" | awk '{ print $3 }')
[ "$exported" = JNI_OnLoad ] || fail "exported beside JNI_OnLoad: $exported"

# shared OUT SOURCE...
shared() {
    mkdir -p "$(dirname "$1")"
    "${CC:-gcc}" -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -shared -fPIC -Iinclude -I"$JAVA_HOME/include" \
        -I"$JAVA_HOME/include/linux" -o "$@" -pthread || fail "$1 does not build"
}
binding=$at/src/main/cpp/chat_jni.c none=$at/check/null_chat.c
shared "$out/null/librbe_jni.so" $binding $none
shared "$out/libcount.so" $at/check/count_blocks.c
# Android's Java is that of JDK 8, but for what was left out.
mkdir -p "$out/classes" "$work/empty"
"$JAVA_HOME/bin/javac" --release 8 -Xlint:all,-options -Werror -d "$out/classes" \
    $at/src/main/java/rbe/chat/*.java $at/check/*.java || fail 'the classes do not compile'
arch=$(${CC:-gcc} -dumpmachine)
rbe=$BUILDROOT/${arch%%-*}-release/bin/rbe
make -s "$rbe" || exit 1
"$rbe" synth "$work/small" --shape 1,32,2,64,8192 --dtype F16 > /dev/null || fail 'no small model'
models=datasets/embedded
mini=("$models/mini-2.89-tuned.rbe" "$models/rbe-mini")

# jvm FOLDER CLASS ARGUMENTS...
jvm() {
    "$java" -Xms64m -Xmx64m -XX:+UseSerialGC -cp "$out/classes" \
        -Djava.library.path="$1" "${@:2}"
}
# run FOLDER CLASS ARGUMENTS...: what is allocated is counted.
run() {
    LD_PRELOAD=$out/libcount.so jvm "$1" -Xcheck:jni -XX:TieredStopAtLevel=1 "${@:2}" > "$work/out" 2>&1
    local rc=$?
    cat "$work/out"
    [ $rc = 0 ] || fail "$2: exit $rc"
    # What -Xcheck:jni has to say, it says on standard output.
    ! grep -qE 'WARNING|FATAL ERROR|JNI local refs' "$work/out" || fail "$2: -Xcheck:jni"
}
run "$out/null" rbe.chat.CheckBinding $((5 * calls))
run "$out" rbe.chat.CheckChat "${mini[@]}" "$work/small" "$models/rbe-mini" "$work/empty" "$calls"
passed=$(tail -n 1 "$work/out")

# planted WHAT FAULT: with this change of the binding, the check for leaks says WHAT.
planted() {
    sed "$2" $binding > "$work/planted.c"
    [ "$(diff $binding "$work/planted.c" | grep -c '^>')" = 1 ] || fail "'$2' does not change one line"
    shared "$work/planted/librbe_jni.so" "$work/planted.c" $none
    LD_PRELOAD=$out/libcount.so jvm "$work/planted" -XX:TieredStopAtLevel=1 rbe.chat.CheckBinding 4000 > "$work/out" 2>&1 &&
        fail "a planted leak is not found: $2"
    grep -q "^FAIL $1 after" "$work/out" || { cat "$work/out"; fail "'$2': not as '$1'"; }
    echo "found: $(grep -m 1 "^FAIL $1" "$work/out" | cut -c 6-)"
}
planted 'answers: [0-9]* more native blocks' '/rbe_chat_say(c, words/,/free(words)/s/^    free(words);/    (void)words;/'
planted "answers: [0-9]* more bytes of Java's heap" 's/(\*env)->DeleteLocalRef(env, piece)/(*env)->NewGlobalRef(env, piece)/'
planted 'conversations: [0-9]* more native blocks' 's/^    rbe_chat_close(&c);/    (void)c;/'

jvm "$out/timed:$out" rbe.chat.CheckCost "${mini[@]}" "$work/small" > "$work/out" || { cat "$work/out"; fail 'the cost'; }
cat "$work/out"
cost=$(sed -n 's/.*; the binding adds \(.*\)$/\1/p' "$work/out")

# --- Kotlin -------------------------------------------------------------------------------
kotlinc=$(command -v kotlinc)
if [ -z "$kotlinc" ] && command -v npm > /dev/null; then
    npm install --prefix "$out/kotlin" --ignore-scripts --no-audit --no-fund --silent \
        kotlin-compiler@1.9.24 > "$work/log" 2>&1
    kotlinc=$out/kotlin/node_modules/kotlin-compiler/bin/kotlinc
fi
if [ -f "$kotlinc" ]; then
    home=$(dirname "$(dirname "$(readlink -f "$kotlinc")")")
    bash "$kotlinc" -Werror -cp "$out/classes" -d "$out/kotlin-classes" \
        $at/src/main/kotlin/rbe/chat/*.kt $at/check/CheckKotlin.kt > "$work/log" 2>&1 ||
        { cat "$work/log"; fail 'the Kotlin face does not compile'; }
    "$java" -cp "$out/classes:$out/kotlin-classes:$home/lib/kotlin-stdlib.jar" -Xcheck:jni \
        -Djava.library.path="$out" rbe.chat.CheckKotlinKt "${mini[@]}" || fail 'the Kotlin face'
else
    echo 'SKIP kotlinc: the Kotlin face was not compiled'
fi
echo "$passed; $calls answers kept nothing; of a token the binding adds $cost"
