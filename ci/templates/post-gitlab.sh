#!/usr/bin/env bash
# post-gitlab.sh FILE - the text of FILE as a note of the merge request that a GitLab job runs for
#
# SPDX-License-Identifier: MIT
#
# The variables are GitLab's, and GATE_TOKEN, an access token with the scope `api`.  An older note
# of the gate is replaced.  Without a merge request or a token it posts nothing, with exit status 0.
set -eu
file=${1:?usage: post-gitlab.sh FILE}
if [ -z "${CI_MERGE_REQUEST_IID:-}" ] || [ -z "${GATE_TOKEN:-}" ]; then
    echo 'post-gitlab.sh: no merge request, or no GATE_TOKEN: nothing is posted'
    exit 0
fi
notes=$CI_API_V4_URL/projects/$CI_PROJECT_ID/merge_requests/$CI_MERGE_REQUEST_IID/notes
# The token goes by a file, which no list of processes shows.
head=$(mktemp)
trap 'rm -f "$head"' EXIT
printf 'PRIVATE-TOKEN: %s\n' "$GATE_TOKEN" > "$head"
call() { curl --silent --show-error --fail --header "@$head" "$@"; }
old=$(call "$notes?per_page=100&sort=desc" |
    jq -r 'map(select(.body | startswith("### Gate:"))) | .[0].id // empty')
call --request "$([ -n "$old" ] && echo PUT || echo POST)" --data-urlencode "body@$file" \
    "$notes${old:+/$old}" > /dev/null
