#!/usr/bin/env bash
# check_completion.sh - rbe completion: loaded by a shell, it offers commands, options of the
# command before the cursor, their words, and files; every option of --help is offered
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
bin=${RBE_BIN:?folder with the program rbe}
cd "$work" || exit 1
touch notes.txt 'two words.txt'

check 'of bash' gives 0 "$bin/rbe" completion bash
cp out rbe.bash
check 'of zsh' gives 0 "$bin/rbe" completion zsh
cp out _rbe
check 'of no other shell' gives 2 "$bin/rbe" completion fish
check 'a shell is named' gives 2 "$bin/rbe" completion

# offered WORD...: what a new bash offers for the last word, a line each.
offered() {
    bash --norc --noprofile -c '. ./rbe.bash || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _rbe "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf "%s\n" "${COMPREPLY[@]}"' bash "$@"
}
offers() {
    local want=$1
    shift
    [ "$(offered "$@" | tr '\n' ' ')" = "$want " ]
}
check 'a command' offers 'convert' rbe conv
check 'commands' offers 'convert codecs compare completion' rbe co
check 'an evaluation' offers 'perplexity' rbe eval per
check 'a task of an evaluation' offers 'lambada' rbe eval comprehension lam
check 'an option' offers '--max-tokens' rbe chat --max
check 'an option of an evaluation' offers '--resamples' rbe eval perplexity --resa
check 'none of another command' offers '' rbe merge --max
check 'words behind an option' offers 'parse text' rbe chat --special ''
check 'the same behind =' offers 'parse' rbe chat --special = pa
check 'codecs' offers 'seed seed4 seedg' rbe convert --codec seed
check 'files' offers 'notes.txt' rbe convert not
check 'models behind -m' offers 'mini-2.89' rbe chat -m mi
check 'models, or files' grep -qx 'mini-2.89' <(offered rbe info '')
check 'the originals of a conversion' offers 'gpt2' rbe convert gp
check 'a file with a blank' offers 'two words.txt' rbe eval perplexity --text two
check 'nothing behind a number' offers '' rbe chat --seed ''
check 'the other program' offers '--kernels' rbe-bench --ker

# Every option that --help shows, in both scripts.
for c in chat demo models convert codecs export merge fetch report compare gate trend generate info synth tune \
    'eval perplexity' 'eval inference' 'eval divergence' 'eval edge' 'eval sustained' 'eval comprehension' \
    'eval choices' 'eval conversation' 'eval generation'; do
    # shellcheck disable=SC2086 # a command and its subcommand
    "$bin/rbe" $c --help | sed -n 's/^  \(-.,\)\{0,1\} *\(--[a-z0-9-]*\).*/\2/p' | sort > help
    # shellcheck disable=SC2086
    offered rbe $c -- | sort > bash
    check "all options of $c" cmp -s help bash
    sed -n "/^    'rbe $c')/,/;;/p" _rbe | sed -n "s/^ *'\**\(--[a-z0-9-]*\).*/\1/p" |
        sort > zsh
    check "the same for zsh: $c" cmp -s help zsh
done

# Bash's own idea of the script, and zsh's where there is one.
check 'bash reads it' bash -n rbe.bash
if command -v zsh > /dev/null; then
    check 'zsh reads it' zsh -fn _rbe
    check 'zsh loads it' zsh -fc 'fpath=($PWD $fpath); autoload -Uz compinit &&
        compinit -D -u && [[ $_comps[rbe] = _rbe && $_comps[rbe-bench] = _rbe ]]'
else
    check 'zsh is there in CI' test -z "${CI:-}"
    echo 'SKIP zsh reads it: no zsh'
fi
finish
