#!/usr/bin/env bash
# rooms.sh - docs/rooms.svg, drawn from the includes: which room rests on which
#
# SPDX-License-Identifier: MIT
#
#   scripts/rooms.sh > docs/rooms.svg
#
# Tests, and the harnesses of ci/, are left out, and so is an arrow that follows from others.  A
# room is as wide as what rests on it; the one that nobody includes lies on top of all.  The
# style job compares.
set -u
cd "$(dirname "$0")/.." || exit 2

find . \( -path ./build -o -path ./ci -o -path ./deploy/swift -o -path ./include -o -name test -o -name '.?*' \) -prune -o \
    -name '*.[ch]' -print -o -name '*.cc' -print -o -name '*.def' -print |
    tr '\n' '\0' | xargs -0 grep -HE '^ *# *include *"[^"/]*/' |
    sed -E 's#^\./([^/]*)/[^:]*:[^"]*"([^"/]*)/.*#\1 \2#' | LC_ALL=C sort -u |
    awk '
    $1 != $2 { uses[$1, $2] = 1 }
    !($1 in known) { known[$1] = 1; name[++n] = $1 }
    function level(r, depth, i, l, m) {
        if (depth > n) {
            print "rooms.sh: a circle of rooms through " r > "/dev/stderr"
            exit 1
        }
        for (i = 1; i <= n; i++)
            if (uses[r, name[i]] && (l = level(name[i], depth + 1) + 1) > m)
                m = l
        return m + 0
    }
    # a uses b, and no c between them does.
    function rests(a, b, i) {
        if (!uses[a, b])
            return 0
        for (i = 1; i <= n; i++)
            if (uses[a, name[i]] && uses[name[i], b])
                return 0
        return 1
    }
    # Columns of r and of all that stands on it, high chains first.
    function place(r, i, k) {
        from[r] = columns
        for (k = levels; k >= 0; k--)
            for (i = 1; i <= n; i++)
                if (base_of[name[i]] == r && height(name[i]) == k)
                    place(name[i])
        if (from[r] == columns)
            columns++
        to[r] = columns
    }
    function height(r, i, h, m) {
        for (i = 1; i <= n; i++)
            if (base_of[name[i]] == r && (h = height(name[i]) + 1) > m)
                m = h
        return m + 0
    }
    function arrow(a, b, x, y) {
        x = (a == top ? (from[b] + to[b]) : (from[a] + to[a])) / 2 * W + 5
        y = (levels - lev[a]) * H + 10 + B
        printf "<path d=\"M%g %g V%g\" marker-end=\"url(#a)\"/>\n", x, y, (levels - lev[b]) * H + 8
    }
    END {
        W = 110; H = 62; B = 34
        for (i = 1; i <= n; i++) {
            lev[name[i]] = level(name[i], 0)
            if (lev[name[i]] > levels) {
                levels = lev[name[i]]
                top = name[i]
            }
        }
        for (i = 1; i <= n; i++)
            for (k = 1; k <= n; k++)
                if (name[i] != top && rests(name[i], name[k]))
                    base_of[name[i]] = name[k]
        for (i = 1; i <= n; i++)
            if (name[i] != top && !base_of[name[i]])
                place(name[i])
        from[top] = 0
        to[top] = columns
        w = columns * W + 10
        h = levels * H + B + 20
        printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\">\n", w, h, w
        print "<title>Rooms, and what they rest on</title>"
        print "<!-- made by scripts/rooms.sh -->"
        print "<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\"" \
            " markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#555\"/></marker></defs>"
        printf "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", w, h
        print "<g stroke=\"#555\" fill=\"none\">"
        for (i = 1; i <= n; i++)
            for (k = 1; k <= n; k++)
                if (rests(name[i], name[k]))
                    arrow(name[i], name[k])
        print "</g>\n<g font-family=\"sans-serif\" font-size=\"15\" text-anchor=\"middle\">"
        for (i = 1; i <= n; i++) {
            r = name[i]
            x = from[r] * W + 10
            y = (levels - lev[r]) * H + 10
            printf "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\" fill=\"#eef2f7\" stroke=\"#555\"/>\n", \
                x, y, (to[r] - from[r]) * W - 10, B
            printf "<text x=\"%g\" y=\"%d\">%s/</text>\n", x + ((to[r] - from[r]) * W - 10) / 2, y + 22, r
        }
        print "</g>\n</svg>"
    }'
