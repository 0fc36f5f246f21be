#!/usr/bin/env bash
# check_arm.sh - the job `arm` without its tools: a failure where $CI is set, else skipped
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
here=$(cd "$(dirname "$0")/../.." && pwd)

mkdir "$work/bin"
ln -s "$(type -P bash)" "$(type -P dirname)" "$work/bin/"
job() {     # TOOL...: which there are
    rm -f "$work/bin/"*aarch64*
    local t
    for t in "$@"; do ln -s "$(type -P true)" "$work/bin/$t"; done
    PATH=$work/bin bash "$here/ci/jobs/arm.sh" > "$work/out" 2>&1
}

CI='' job
check 'without a compiler it is skipped' test $? = 77
CI=true job
check 'and fails in continuous integration' test $? = 1
check 'which says what to install' grep -q '^FAIL no .*Debian: gcc-aarch64-linux-gnu' "$work/out"
CI='' job aarch64-linux-gnu-gcc
check 'without an emulator it is skipped' test $? = 77
CI=true job aarch64-linux-gnu-gcc
check 'and fails in continuous integration' test $? = 1
check 'which says what to install' grep -q '^FAIL no .*qemu-user' "$work/out"
finish
