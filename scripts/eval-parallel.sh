#!/usr/bin/env bash
# eval-parallel.sh N OUT EVALUATION [OPTION...] - an evaluation in N shards by GNU parallel.
#
# SPDX-License-Identifier: MIT
#
#   scripts/eval-parallel.sh 4 results/p1.jsonl perplexity --model A --model B --threads 1
#
# On several machines: the same, with SSHLOGIN='host1,host2' and a shared folder; rbe must be
# on the PATH there.  The joined file has the bits of the unsharded run when every shard ran
# with the same number of threads on CPUs with the same features.
set -eu
[ $# -ge 3 ] || { echo "usage: $0 N OUT EVALUATION [OPTION...]" >&2; exit 2; }
command -v parallel > /dev/null || { echo "$0: GNU parallel is not installed" >&2; exit 1; }
n=$1 out=$2
shift 2
what=$1
shift
parts=$(mktemp -d "${TMPDIR:-/tmp}/rbe-shards-XXXXXX")
trap 'rm -rf "$parts"' EXIT
parallel --will-cite --quote --halt now,fail=1 ${SSHLOGIN:+--sshlogin "$SSHLOGIN"} --jobs "${JOBS:-100%}" \
    rbe eval "$what" "$@" --quiet --shard "{}/$n" --out "$parts/{}.jsonl" ::: $(seq "$n")
rbe merge --out "$out" "$parts"/*.jsonl
