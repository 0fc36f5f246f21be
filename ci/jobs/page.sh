#!/usr/bin/env bash
# page.sh - the report's page in a browser: phone and desktop, light and dark
#
# SPDX-License-Identifier: MIT
#
# Of $RESULTS when that is a folder of results, else of a few small measurements.  At 360, 768 and
# 1280 pixels nothing may be wider than the screen, nor a table or plot wider than its place, with
# everything folded open; a phone must show the tiles before all else; the ink of the plots must
# stand out from the background, every link must have its target, in the page or beside it.  The
# pictures stay in $BUILDROOT/page for people to look at.
set -u
cd "$(dirname "$0")/../.." || exit 2
chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
    { echo 'SKIP no chromium'; exit 77; }
root=$(mkdir -p "${BUILDROOT:-build}" && cd "${BUILDROOT:-build}" && pwd)
export BUILDROOT=${BUILDROOT:-build}
make -s programs || exit 1
arch=$(${CC:-gcc} -dumpmachine | cut -d- -f1)
export PATH=$root/$arch-release/bin:$PATH
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
out=$root/page
rm -rf "$out"
mkdir -p "$out"

results=${RESULTS:-}
if [ -z "$results" ]; then
    results=$work/r mini=datasets/embedded/rbe-mini
    mkdir "$results"
    for codec in f16 int8 int4; do
        rbe convert $mini "$work/$codec.rbe" --codec $codec -q --json "$results/convert.jsonl" \
            > /dev/null || exit 1
    done
    models=(--model "$mini" --model "$work/f16.rbe" --model "$work/int8.rbe"
        --model "$work/int4.rbe" --quiet)
    for what in 'perplexity --windows 2' 'divergence --windows 1' edge \
        'inference --tokens 8 --retries 0' 'conversation --turns 2'; do
        # shellcheck disable=SC2086
        rbe eval $what "${models[@]}" --out "$results/${what%% *}.jsonl" > /dev/null || exit 1
    done
    cp -r reports/recorded "$results"
fi
rbe report "$results" --out "$out" > /dev/null || exit 1

bad=0
# look NAME WIDTH SCHEME(0 dark, 1 light)
look() {
    local title frame=$(($2 < 500 ? 500 : $2))
    cat > "$work/frame.html" << END
<body style="margin:0"><iframe src="file://$out/index.html" style="border:0;width:$2px;height:2400px"
onload="check(this)"></iframe><script>
function light(c) { var m = c.match(/[\\d.]+/g).map(Number);
    return (0.299 * m[0] + 0.587 * m[1] + 0.114 * m[2]) / 255; }
function check(f) {
    var d = f.contentDocument, w = f.contentWindow, bad = [], e = d.documentElement;
    d.querySelectorAll('details').forEach(function (t) { t.open = true; });
    if (e.scrollWidth > e.clientWidth) bad.push('wider than the screen: ' + e.scrollWidth);
    d.querySelectorAll('table,svg').forEach(function (t) {
        var p = t.parentElement;
        if (p.scrollWidth > p.clientWidth + 1)
            bad.push(t.tagName + ' wider than its place by ' + (p.scrollWidth - p.clientWidth) +
                ': ' + t.textContent.trim().slice(0, 60)); });
    d.querySelectorAll('details').forEach(function (t) { t.open = false; });
    var tiles = d.querySelectorAll('.tile'), last = tiles[tiles.length - 1];
    if (tiles.length < 4) bad.push('only ' + tiles.length + ' tiles');
    d.querySelectorAll('table,svg,.verdict').forEach(function (t) {
        if (last && (last.compareDocumentPosition(t) & 2)) bad.push('before the tiles: ' + t.tagName); });
    if (tiles.length > 3 && tiles[0].getBoundingClientRect().top > 150)
        bad.push('the first tile is at ' + tiles[0].getBoundingClientRect().top);
    if (tiles.length > 3 && tiles[3].getBoundingClientRect().bottom > 640)
        bad.push('the fourth tile is below the first screen: ' + tiles[3].getBoundingClientRect().bottom);
    if (d.querySelectorAll('.wide svg').length) {
        var phone = d.querySelector('.phone').clientWidth, wide = d.querySelector('.wide svg');
        if ((phone > 0) != ($2 < 500) || (wide.clientWidth > 0 || wide.getBoundingClientRect().width > 0) == ($2 < 500))
            bad.push('the first plot is not the one for this width');
        if ($2 > 500 && wide.getBoundingClientRect().width < 0.9 * e.clientWidth)
            bad.push('the first plot is not as wide as the page');
    }
    var paper = light(w.getComputedStyle(d.body).backgroundColor);
    if ((paper < 0.5) != ($3 == 0)) bad.push('the scheme is not followed');
    d.querySelectorAll('svg').forEach(function (s) {
        var texts = s.querySelectorAll('text'), weak = 0;
        texts.forEach(function (t) { var c = w.getComputedStyle(t);
            if (t.textContent.trim() && Math.abs(light(c.fill) - paper) < 0.4) weak++; });
        if (texts.length < 3) bad.push('a plot without labels');
        if (weak) bad.push(weak + ' labels of a plot are hard to read'); });
    d.querySelectorAll('a[href^="#"]').forEach(function (a) {
        if (!d.getElementById(a.hash.slice(1))) bad.push('no target: ' + a.hash); });
    document.title = 'RESULT ' + d.querySelectorAll('table').length + ' tables, ' +
        d.querySelectorAll('svg').length + ' plots, ' +
        d.querySelectorAll('a[href^="#"]').length + ' links' + bad.map(x => '; BAD ' + x).join('');
}
</script>
END
    local flags=(--headless=new --no-sandbox --disable-gpu --allow-file-access-from-files
                 --hide-scrollbars --blink-settings=preferredColorScheme="$3"
                 --user-data-dir="$work/profile" --window-size="$frame,2400"
                 --virtual-time-budget=4000)
    timeout 60 "$chromium" "${flags[@]}" --screenshot="$out/$1.png" "file://$work/frame.html" \
        > /dev/null 2>&1
    title=$(timeout 60 "$chromium" "${flags[@]}" --dump-dom "file://$work/frame.html" 2> /dev/null |
        grep -o '<title>RESULT[^<]*')
    case $title in
    '' | *BAD*) echo "FAIL $1: ${title:-the browser did not say}"; bad=1 ;;
    *) echo "ok   $1: ${title#*RESULT }" ;;
    esac
    [ -s "$out/$1.png" ] || { echo "FAIL $1: no picture"; bad=1; }
}
look phone-light 360 1
look phone-dark 360 0
look tablet-light 768 1
look desktop-light 1280 1
look desktop-dark 1280 0
while IFS= read -r file; do
    [ -s "$out/${file%%#*}" ] || { echo "FAIL a link to $file: not there"; bad=1; }
done < <(grep -o 'href="[^#"][^"]*"' "$out/index.html" | sed 's/^href="//; s/"$//' | sort -u)
echo "pictures of the page, $(wc -c < "$out/index.html") bytes: $out"
exit $bad
