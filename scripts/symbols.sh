#!/usr/bin/env bash
# symbols.sh NODE ARCHIVE HEADER... - the linker's version script of the shared library
#
# SPDX-License-Identifier: MIT
#
# Exported are the functions and variables of the archive that an installed header names, all
# of them beginning with rbe_; everything else stays inside.
set -euo pipefail
node=$1 archive=$2
shift 2
names=$(nm -g --defined-only "$archive" 2> /dev/null | awk 'NF == 3 { print $3 }' |
    grep '^rbe_' | sort -u)
words=$(cat "$@" | grep -oE '\brbe_[a-z0-9_]+' | sort -u)
exported=$(comm -12 <(echo "$names") <(echo "$words"))
[ -n "$exported" ]
printf '%s {\nglobal:\n' "$node"
while IFS= read -r name; do
    printf '    %s;\n' "$name"
done <<< "$exported"
printf 'local:\n    *;\n};\n'
