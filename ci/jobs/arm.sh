#!/usr/bin/env bash
# arm.sh - cross build for 64-bit ARM; the kernels' tests, and tokens, under an emulator.
#
# SPDX-License-Identifier: MIT
#
# The kernels need no library.  Where the arm64 packages of the libraries are installed too,
# the whole program is built and must generate from an RBE model the very tokens that the
# native one does.
set -u
cd "$(dirname "$0")/../.." || exit 2
export BUILDROOT=${BUILDROOT:-build}
cc=aarch64-linux-gnu-gcc
command -v $cc > /dev/null || { echo "SKIP no $cc (Debian: gcc-aarch64-linux-gnu)"; exit 77; }
qemu=$(command -v qemu-aarch64) || { echo "SKIP no qemu-aarch64 (Debian: qemu-user)"; exit 77; }
root=/usr/aarch64-linux-gnu
emulator="$qemu -L $root"

RBE_CHECK_EVERY=${RBE_CHECK_EVERY:-25} \
    make -s CC=$cc EMULATOR="$emulator" check-kernels || exit 1
