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

check 'of rbe-run' gives 0 "$bin/rbe-run" completion bash
cp out rbe-run.bash
check 'of rbe-run, for zsh' gives 0 "$bin/rbe-run" completion zsh
cp out _rbe-run

# offered WORD...: what a new bash offers for the last word, a line each.
offered() {
    bash --norc --noprofile -c '. ./rbe.bash && . ./rbe-run.bash || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) function=$(complete -p "$1") || exit 1
        function=${function#complete -F }
        "${function% "$1"}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
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
check 'types of the cache' offers 'f32 f16' rbe eval edge --kv-cache f
check 'types of an export' offers 'f16 f32' rbe export --dtype ''
check 'profiles of a conversion' offers 'mini-3.25 mini-3.25-train' rbe convert --profile mini-3
check 'or files' offers 'notes.txt' rbe convert -p not
check 'profiles of a training' offers 'latent linear' rbe tune --profile l
check 'the other program' offers '--kernels' rbe-bench --ker
check 'the service' offers '--mqtt --mqtt-topic --mqtt-id --mqtt-user --mqtt-password-file' rbe-serve --mqtt
check 'its models' offers 'mini-2.89' rbe-serve -m mi
check 'commands of rbe-run' offers 'chat completion' rbe-run c
check 'its evaluations' offers 'perplexity edge sustained' rbe-run eval ''
check 'their options' offers '--limit' rbe-run eval edge --lim
check 'none that it has not' offers '' rbe-run conv

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
for c in rbe-serve rbe-bench; do
    "$bin/$c" --help | sed -n 's/^  \(-.,\)\{0,1\} *\(--[a-z0-9-]*\).*/\2/p' | sort > help
    check "all options of $c" cmp -s help <(offered $c -- | sort)
done

# Bash's own idea of the script, and zsh's where there is one.
check 'bash reads it' bash -n rbe.bash
check 'bash reads that of rbe-run' bash -n rbe-run.bash
if command -v zsh > /dev/null; then
    check 'zsh reads it' zsh -fn _rbe
    check 'zsh reads that of rbe-run' zsh -fn _rbe-run
    check 'zsh loads them' zsh -fc 'fpath=($PWD $fpath); autoload -Uz compinit &&
        compinit -D -u && [[ $_comps[rbe] = _rbe && $_comps[rbe-bench] = _rbe &&
            $_comps[rbe-serve] = _rbe && $_comps[rbe-run] = _rbe-run ]]'
else
    check 'zsh is there in CI' test -z "${CI:-}"
    echo 'SKIP zsh reads it: no zsh'
fi
finish
