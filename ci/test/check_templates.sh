#!/usr/bin/env bash
# check_templates.sh - the files for CI services parse and name what is there; the note on GitLab
#
# SPDX-License-Identifier: MIT
# shellcheck source=test/lib.sh
. "$(dirname "$0")/../../test/lib.sh"
cd "$(dirname "$0")/../.." || exit 1

files=(.github/workflows/gate.yml ci/templates/gitlab-ci.yml)
if [ ! -e "${files[0]}" ]; then
    echo 'SKIP the workflow of GitHub: not in this tree'
    files=("${files[1]}")
fi
for f in "${files[@]}"; do
    if python3 -c 'import yaml' 2> "$work/null"; then
        check "$f parses" python3 -c 'import sys, yaml; yaml.safe_load(open(sys.argv[1]))' "$f"
    else
        echo "SKIP $f parses: python3 has no yaml"
    fi
    check "$f runs the gate" grep -q 'ci/recipe.sh' "$f"
    for script in $(grep -oE '(ci|scripts)/[a-z/-]+\.sh' "$f" | sort -u); do
        check "$f: $script is there" test -x "$script"
    done
done

# A curl that notes what it was called with, and knows the notes of one merge request.
mkdir "$work/bin"
cat > "$work/bin/curl" << 'END'
#!/usr/bin/env bash
printf '%s\n' "$*" >> "$CALLS"
while [ $# -gt 0 ]; do
    case $1 in
    --header) cat "${2#@}" >> "$CALLS" ;;
    --data-urlencode) cat "${2#body@}" >> "$CALLS" ;;
    esac
    shift
done
echo "$NOTES"
END
chmod +x "$work/bin/curl"
echo '### Gate: pass' > "$work/gate.md"
# post NOTES: what was called stands in $work/calls.
post() {
    rm -f "$work/calls"
    env PATH="$work/bin:$PATH" CALLS="$work/calls" NOTES="$1" CI_API_V4_URL=https://x/api/v4 \
        CI_PROJECT_ID=7 CI_MERGE_REQUEST_IID=9 GATE_TOKEN="${TOKEN-secret}" \
        ci/templates/post-gitlab.sh "$work/gate.md" > "$work/out" 2> "$work/err"
}
if ! command -v jq > "$work/null"; then
    echo 'SKIP the note: no jq'
    finish
    exit
fi
check 'a first note' post '[{"id":1,"body":"hello"}]'
check 'is posted' grep -q -- '--request POST .*merge_requests/9/notes$' "$work/calls"
check 'with the text' grep -q '^### Gate: pass' "$work/calls"
check 'the token is no argument' test -z "$(grep -e '--header' "$work/calls" | grep secret)"
check 'but a header' grep -q '^PRIVATE-TOKEN: secret' "$work/calls"
check 'another' post '[{"id":5,"body":"### Gate: regression"},{"id":1,"body":"hello"}]'
check 'takes the place of the first' grep -q -- '--request PUT .*merge_requests/9/notes/5$' "$work/calls"
TOKEN='' check 'without a token' post '[]'
check 'nothing is posted' test ! -e "$work/calls"
finish
