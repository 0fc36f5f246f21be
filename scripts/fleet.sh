#!/usr/bin/env bash
# fleet.sh [OPTION...] GRID RESULTS - models x profiles x evaluations, on Slurm or by GNU parallel.
#
# SPDX-License-Identifier: MIT
set -u

usage() {
    cat << 'END'
usage: scripts/fleet.sh [OPTION...] GRID RESULTS

Converts every model of GRID by every profile, measures every evaluation of the original and the
converted model, and writes all rows to RESULTS.  What is finished is kept in the folder WORK: the
same command again does what is missing, and says what that is.  Exit status: 0 all is there,
1 something is missing, 2 usage.

  --slurm          submit arrays of jobs to Slurm (default: GNU parallel; $SSHLOGIN names hosts)
  --wait           with --slurm: wait until all have ended, submit again what was lost
  --status         do nothing, say what is missing
  --work WORK      folder that all machines see (default: RESULTS.fleet)
  --threads N      of a task (default 2)
  --jobs N         tasks at a time (default: GNU parallel as many as CPUs / threads, Slurm any)
  --memory MB      of a task: --mem of sbatch, --memory of rbe convert (default: theirs)
  --retries N      how often a task that failed is tried again (default 2)
  --sbatch OPTION  one more option of sbatch, such as --sbatch --partition=long; repeat it
  --help           this text

Lines of GRID; words are separated by blanks, # begins a comment:
  model NAME PATH                     a checkpoint, as rbe convert takes it
  profile NAME[:PARTS] [OPTION...]    of rbe convert (default --profile NAME); in PARTS parts
  eval NAME[:PARTS] WHAT [OPTION...]  rbe eval WHAT OPTION...; in PARTS parts
rbe must be on the PATH, the same program on all machines.
END
}

die() { # STATUS TEXT
    echo "fleet.sh: $2" >&2
    exit "$1"
}

# number OPTION TEXT: a whole number from 0 on.
number() { [[ $2 =~ ^[0-9]{1,9}$ ]] || die 2 "$1 '$2': wants a number"; }

# --- the grid -------------------------------------------------------------------------------

models=() profiles=() evals=()
declare -A model_path parts_of options_of

# read_grid FILE: fills the lists above, or ends with what is wrong.
read_grid() {
    local file=$1 line word name parts rest at=0
    if [ ! -f "$file" ] || [ ! -r "$file" ]; then die 1 "$file: cannot read the grid"; fi
    while IFS= read -r line || [ -n "$line" ]; do
        at=$((at + 1))
        line=${line%%#*}
        read -r word name rest <<< "$line"
        [ -n "$word" ] || continue
        parts=1
        if [[ $word != model && $name == *:* ]]; then
            parts=${name##*:} name=${name%:*}
            [[ $parts =~ ^[1-9][0-9]{0,4}$ ]] || die 2 "$file:$at: '$parts' is no number of parts"
        fi
        [[ $name =~ ^[A-Za-z0-9._-]+$ ]] || die 2 "$file:$at: '$name' is no name"
        [ -z "${options_of[$word $name]+x}" ] || die 2 "$file:$at: $word $name is there twice"
        parts_of[$word $name]=$parts
        options_of[$word $name]=$rest
        case $word in
        model)
            [ -n "$rest" ] || die 2 "$file:$at: model $name: wants its path"
            models+=("$name") model_path[$name]=$rest
            ;;
        profile)
            [ -n "$rest" ] || options_of[$word $name]="--profile $name"
            profiles+=("$name")
            ;;
        eval)
            case ${rest%% *} in
            perplexity | divergence | comprehension | generation | inference) ;;
            conversation | edge | sustained)
                [ "$parts" = 1 ] || die 2 "$file:$at: ${rest%% *} has no parts"
                ;;
            *) die 2 "$file:$at: eval $name: unknown evaluation '${rest%% *}'" ;;
            esac
            evals+=("$name")
            ;;
        *) die 2 "$file:$at: '$word' is none of model, profile, eval" ;;
        esac
        case " $rest " in
        *' --shard'[\ =]* | *' --out'[\ =]* | *' -o '* | *' --json'[\ =]* | *' --model'[\ =]* | \
            *' -m '* | *' --resume '* | *' --shared'[\ =]* | *' --plan '* | *' --threads'[\ =]*)
            die 2 "$file:$at: $word $name: models, parts, threads and files are the script's to name"
            ;;
        esac
    done < "$file"
    [ ${#models[@]} -gt 0 ] || die 2 "$file: names no model"
    [ ${#profiles[@]} -gt 0 ] || die 2 "$file: names no profile"
}

# Everything that a result depends on is in its name, so that nothing stale is taken over.
short() { sha256sum | cut -c 1-12; }
declare -A key
keys() {
    local m p e path program
    program=$(rbe info --json 2> /dev/null | grep -o '"commit":[^,]*,"dirty":[^,]*')
    for m in "${models[@]}"; do
        path=${model_path[$m]}
        key[$m]=$({
            echo "$program $path"
            for f in "$path" "$path"/config.json "$path"/*.safetensors*; do
                [ ! -f "$f" ] || stat -L -c '%n %s %Y' "$f"
            done
        } | short)
        for p in "${profiles[@]}"; do
            key[$m@$p]=$(echo "${key[$m]} ${options_of[profile $p]}" | short)
            for e in "${evals[@]}"; do
                key[$m@$p@$e]=$(echo "${key[$m@$p]} ${options_of[eval $e]}" | short)
            done
        done
    done
}

model_of() { echo "$work/models/${key[$1@$2]}/$1@$2"; }     # less .rbe, .jsonl
rows_of() { echo "$work/rows/${key[$1@$2@$3]}/$1@$2@$3"; }  # less .jsonl

# --- tasks: STAGE MODEL PROFILE [EVALUATION] [PART] -----------------------------------------

stages=(prepare convert join measure merge collect)

# What a stage has to do in all, a line each.
tasks() {
    local m p e i n
    for m in "${models[@]}"; do
        for p in "${profiles[@]}"; do
            n=${parts_of[profile $p]}
            case $1 in
            prepare) [ "$n" = 1 ] || echo "prepare $m $p" ;;
            convert)
                for ((i = 1; i <= n; i++)); do echo "convert $m $p $i"; done
                ;;
            join) [ "$n" = 1 ] || echo "join $m $p" ;;
            measure | merge)
                for e in "${evals[@]}"; do
                    [ "$1" = measure ] || echo "merge $m $p $e"
                    [ "$1" = merge ] || for ((i = 1; i <= ${parts_of[eval $e]}; i++)); do
                        echo "measure $m $p $e $i"
                    done
                done
                ;;
            esac
        done
    done
    [ "$1" != collect ] || echo collect
}

is_done() {
    local out
    case $1 in
    prepare) [ -e "$(model_of "$2" "$3").ready" ] || [ -e "$(model_of "$2" "$3").rbe" ] ;;
    convert)
        out=$(model_of "$2" "$3")
        [ -e "$out.rbe" ] || { [ "${parts_of[profile $3]}" != 1 ] && [ -e "$out.parts/$4.rbe" ]; }
        ;;
    join) [ -e "$(model_of "$2" "$3").rbe" ] ;;
    measure)
        out=$(rows_of "$2" "$3" "$4")
        [ -e "$out.jsonl" ] || [ -e "$out.parts/$5.jsonl" ]
        ;;
    merge) [ -e "$(rows_of "$2" "$3" "$4").jsonl" ] ;;
    *) false ;;
    esac
}

# pending STAGE: what is not done.
pending() {
    local line words
    tasks "$1" | while read -r line; do
        read -ra words <<< "$line"
        is_done "${words[@]}" || echo "$line"
    done
}

# Every output is written beside its place, and takes it when it is whole.
run_prepare() {
    local out words
    out=$(model_of "$1" "$2")
    read -ra words <<< "${options_of[profile $2]}"
    mkdir -p "${out%/*}"
    rbe convert "${model_path[$1]}" --plan "${words[@]}" "${convert[@]}" && touch "$out.ready"
}
run_convert() {
    local out n words rc
    out=$(model_of "$1" "$2") n=${parts_of[profile $2]}
    read -ra words <<< "${options_of[profile $2]}"
    mkdir -p "${out%/*}"
    if [ "$n" != 1 ]; then
        mkdir -p "$out.parts"
        rbe convert "${model_path[$1]}" "$out.parts/$3.rbe" "${words[@]}" "${convert[@]}" \
            --shard "$3/$n"
        return
    fi
    rm -f "$out.row"
    rbe convert "${model_path[$1]}" "$out.new" "${words[@]}" "${convert[@]}" --json "$out.row"
    rc=$?
    [ $rc = 0 ] && into_place "$out"
}
run_join() {
    local out n i parts=()
    out=$(model_of "$1" "$2") n=${parts_of[profile $2]}
    for ((i = 1; i <= n; i++)); do parts+=("$out.parts/$i.rbe"); done
    rm -f "$out.row"
    rbe merge --out "$out.new" --json "$out.row" "${parts[@]}" && into_place "$out" &&
        rm -rf "$out.parts"
}
# into_place OUT: the model last, for it says that all is there.
into_place() {
    sed "s|\"$(basename "$1").new\"|\"$(basename "$1").rbe\"|g" "$1.row" > "$1.jsonl" &&
        rm "$1.row" || return
    [ ! -e "$1.new.tokenizer.gguf" ] || mv "$1.new.tokenizer.gguf" "$1.rbe.tokenizer.gguf" || return
    mv "$1.new" "$1.rbe"
}
run_measure() {
    local out n words part=() resume=() resumes='' model
    out=$(rows_of "$1" "$2" "$3") n=${parts_of[eval $3]} model=$(model_of "$1" "$2").rbe
    read -ra words <<< "${options_of[eval $3]}"
    [ -e "$model" ] || { echo "fleet.sh: $model is missing"; return 1; }
    mkdir -p "$out.parts"
    [ "$n" = 1 ] || part=(--shard "$4/$n")
    case ${words[0]} in
    perplexity | divergence | comprehension | generation)
        resumes=1
        [ ! -s "$out.parts/$4.new" ] || resume=(--resume)
        ;;
    *) rm -f "$out.parts/$4.new" ;;
    esac
    [ "${words[0]}" = edge ] || part+=(--threads "$threads" --quiet)
    rbe eval "${words[@]}" --model "${model_path[$1]}" --model "$model" "${part[@]}" \
        "${resume[@]}" --out "$out.parts/$4.new" || return
    # Rows that were saved on the way come before those of the whole; merging knows.
    if [ "$n" = 1 ] && [ -n "$resumes" ]; then
        last_rows "$out.parts/$4.new" > "$out.parts/$4.rows" &&
            mv "$out.parts/$4.rows" "$out.parts/$4.jsonl" && rm -f "$out.parts/$4.new"
    else
        mv "$out.parts/$4.new" "$out.parts/$4.jsonl"
    fi
}
run_merge() {
    local out n i parts=()
    out=$(rows_of "$1" "$2" "$3") n=${parts_of[eval $3]}
    for ((i = 1; i <= n; i++)); do parts+=("$out.parts/$i.jsonl"); done
    if [ "$n" = 1 ]; then
        cp "${parts[@]}" "$out.new" || return
    else
        rm -f "$out.new"
        rbe merge --out "$out.new" "${parts[@]}" || return
    fi
    mv "$out.new" "$out.jsonl" && rm -rf "$out.parts"
}
# What says of which result a row is, a line for each; of rows that are no original's own, which
# row of TAG.
names() { # FILE [TAG]
    jq -r --arg tag "${2:-}" '
        if $tag != "" and (.base != null or (.kind | IN("perplexity", "comprehension") | not))
        then [$tag, input_line_number]
        else [.kind, .model.sha256, .base.sha256, .text.sha256, .protocol, .context, .stride,
              .task, .variant]
        end | @json' "$1"
}
# Of tagged rows the first of each name, without it.
first_rows() { awk -F '\t' '!seen[$1]++ { print substr($0, length($1) + 2) }'; }
# last_rows FILE: of the rows of one result the last.
last_rows() { paste <(names "$1") "$1" | tac | first_rows | tac; }
run_collect() {
    local m p e f new=$work/results.new
    : > "$new"
    for m in "${models[@]}"; do
        for p in "${profiles[@]}"; do
            [ ! -e "$(model_of "$m" "$p").rbe" ] || cat "$(model_of "$m" "$p").jsonl"
        done
        for e in "${evals[@]}"; do
            # The original's own rows stand there once for all profiles.
            for p in "${profiles[@]}"; do
                f=$(rows_of "$m" "$p" "$e").jsonl
                [ ! -e "$f" ] || paste <(names "$f" "$p") "$f"
            done | first_rows
        done
    done >> "$new"
    mv "$new" "$results"
}

# run_task TASK...: once at a time wherever it was begun (a node that is thought dead may still
# be at it), again where it fails.
run_task() {
    local id=$* try rc=1
    id=${id// /-}
    exec 9> "$work/locks/$id"
    flock 9 2> /dev/null
    for ((try = 0; try <= retries; try++)); do
        if is_done "$@"; then
            rc=0
            break
        fi
        echo "fleet.sh: $* on $(uname -n), $(date -u +%FT%TZ)"
        "run_$1" "${@:2}" < /dev/null && rc=0 && break
        echo "fleet.sh: $* failed"
    done >> "$work/logs/$id.log" 2>&1
    [ $rc = 0 ] || ! is_done "$@" || rc=0
    exec 9>&-
    return $rc
}

# --- what is missing ------------------------------------------------------------------------

why() { # TASK...: the last word of its log that says something
    local id=$* log
    log=$work/logs/${id// /-}.log
    [ ! -s "$log" ] || grep -v '^fleet.sh: .* failed$' "$log" | tail -n 1
}
# Says what is missing by model, profile and evaluation; 0: nothing.
report() {
    local m p e cells=0 missing=0 left stage word
    for m in "${models[@]}"; do
        for p in "${profiles[@]}"; do
            cells=$((cells + 1))
            if [ ! -e "$(model_of "$m" "$p").rbe" ]; then
                missing=$((missing + 1))
                echo "missing: $m by $p"
                for stage in prepare convert join; do
                    left=$(pending $stage | grep -F "$stage $m $p" | grep -E "$stage $m $p( |\$)")
                    show_tasks "$left"
                done
            fi
            for e in "${evals[@]}"; do
                cells=$((cells + 1))
                [ ! -e "$(rows_of "$m" "$p" "$e").jsonl" ] || continue
                missing=$((missing + 1))
                echo "missing: $m by $p, $e"
                for stage in measure merge; do
                    left=$(pending $stage | grep -E "^$stage ${m//./\\.} ${p//./\\.} ${e//./\\.}( |\$)")
                    show_tasks "$left"
                done
            done
        done
    done
    word="$cells results"
    [ $missing = 0 ] || word="$missing of $word are missing"
    echo "$results: $word"
    [ $missing = 0 ]
}
show_tasks() { # LINES
    local line words said
    [ -n "$1" ] || return
    while read -r line; do
        read -ra words <<< "$line"
        said=$(why "${words[@]}")
        [ -z "$said" ] || echo "  $line: $said"
    done <<< "$1"
}

# --- drivers --------------------------------------------------------------------------------

by_parallel() {
    local stage n
    command -v parallel > /dev/null || die 1 'GNU parallel is not installed'
    for stage in "${stages[@]}"; do
        pending "$stage" > "$work/tasks/$stage"
        n=$(wc -l < "$work/tasks/$stage")
        [ "$n" -gt 0 ] || continue
        echo "$stage: $n"
        seq 0 $((n - 1)) | parallel --will-cite --halt never --jobs "$jobs" \
            ${SSHLOGIN:+--sshlogin "$SSHLOGIN" --retries 2} --workdir . \
            env "PATH=$PATH" "$self" --task "$work" "$stage" "$n" '{}'
    done
}

# At most so many elements of an array; each takes every such task.
most=1000
by_slurm() {
    local stage n id='' last='' width more=() command
    command -v sbatch > /dev/null || die 1 'sbatch is not installed'
    [ -z "$memory" ] || more+=("--mem=$memory")
    for stage in "${stages[@]}"; do
        pending "$stage" > "$work/tasks/$stage"
        n=$(wc -l < "$work/tasks/$stage")
        [ "$n" -gt 0 ] || continue
        width=$((n < most ? n : most))
        # shellcheck disable=SC2016 # The node's shell has it.
        command=exec$(printf ' %q' "$self" --task "$work" "$stage" "$width")' "$SLURM_ARRAY_TASK_ID"'
        id=$(sbatch --parsable --job-name="fleet-$stage" --requeue \
            --array="0-$((width - 1))${jobs:+%$jobs}" --cpus-per-task="$threads" \
            --output="$work/logs/slurm-%A_%a.log" --open-mode=append \
            ${last:+--dependency="afterany:$last"} "${more[@]}" "${sbatch[@]}" \
            --wrap "$command") || die 1 "sbatch refused the stage $stage"
        last=${id%%;*}
        echo "$stage: $n tasks, job $last"
    done
    echo "$last" > "$work/last-job"
}
wait_slurm() {
    local last
    last=$(cat "$work/last-job")
    [ -n "$last" ] || return
    while squeue --noheader --jobs="$last" 2> /dev/null | grep -q .; do sleep "${FLEET_POLL:-15}"; done
}

# --- main -----------------------------------------------------------------------------------

self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
driver=parallel waits='' status='' work='' threads=2 jobs='' memory='' retries=2 sbatch=() names=()
if [ "${1:-}" = --task ]; then
    # On a node: --task WORK STAGE WIDTH FIRST.
    # shellcheck source=/dev/null
    . "$2/settings"
    cd "$folder" || exit 1
else
    while [ $# -gt 0 ]; do
        case $1 in
        --slurm) driver=slurm ;;
        --wait) waits=1 ;;
        --status) status=1 ;;
        --help | -h) usage; exit 0 ;;
        --work | --threads | --jobs | --memory | --retries | --sbatch)
            [ $# -gt 1 ] || die 2 "$1: wants a value"
            case $1 in
            --work) work=$2 ;;
            --threads) number "$1" "$2"; threads=$2 ;;
            --jobs) number "$1" "$2"; jobs=$2 ;;
            --memory) number "$1" "$2"; memory=$2 ;;
            --retries) number "$1" "$2"; retries=$2 ;;
            --sbatch) sbatch+=("$2") ;;
            esac
            shift
            ;;
        -*) die 2 "unknown option '$1'; --help lists them" ;;
        *) names+=("$1") ;;
        esac
        shift
    done
    [ ${#names[@]} = 2 ] || die 2 'wants GRID and RESULTS; --help explains'
    [ "$threads" -gt 0 ] || die 2 '--threads: at least 1'
    [ -z "$waits" ] || [ $driver = slurm ] || die 2 '--wait: only with --slurm'
    grid=$(realpath -m "${names[0]}") results=$(realpath -m "${names[1]}") folder=$PWD
    work=$(realpath -m "${work:-$results.fleet}")
fi
command -v rbe > /dev/null || die 1 'rbe is not on the PATH'
command -v jq > /dev/null || die 1 'jq is not installed'
read_grid "$grid"
[ "$grid" != "$results" ] || die 2 "$grid: is the grid, not a place for results"
convert=(--quiet --threads "$threads" --shared "$work/shared")
[ -z "$memory" ] || convert+=(--memory "$memory")
keys
if [ "${1:-}" = --task ]; then
    rc=0 at=0
    while read -ra words; do
        [ $((at % $4)) != "$5" ] || run_task "${words[@]}" || rc=1
        at=$((at + 1))
    done < "$work/tasks/$3"
    exit $rc
fi
if [ -z "$status" ]; then
    mkdir -p "$work"/{models,rows,parts,logs,locks,tasks,shared} "$(dirname "$results")" ||
        die 1 "$work: cannot be made"
    cp "$grid" "$work/grid.new" && mv "$work/grid.new" "$work/grid" || exit 1
    {
        grid=$work/grid
        declare -p grid results folder work threads memory retries
    } > "$work/settings"
    if [ $driver = slurm ]; then
        by_slurm
        [ -n "$waits" ] || exit 0
        for ((round = 0; ; round++)); do
            wait_slurm
            if [ $round = "$retries" ] || report > /dev/null; then break; fi
            by_slurm
        done
    else
        jobs=${jobs:-$((($(nproc) + threads - 1) / threads))}
        by_parallel
    fi
fi
report
