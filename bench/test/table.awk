# table.awk - made-up rows for the plots, below a header line of rbe-bench's own
#
# SPDX-License-Identifier: MIT
#
# usage: awk -f table.awk [-v threads=N] TSV; its head says the formats and ISAs.
BEGIN {
    FS = OFS = "\t"
    if (!threads)
        threads = 8
    split("32 16 8.1 4.5 2.94 2.94 2.9 2", bits, " ")
    split("1 4 11 16 22 20", speeds, " ")
}
/^# formats / {
    split(substr($0, 11), formats, " ")
}
/^# usual_blocks / {
    split(substr($0, 16), blocks, " ")
}
/^# isas / {
    split(substr($0, 8), isas, " ")
}
/^#/ {
    print
}
$1 == "name" {
    print
    columns = NF
    for (i = 1; i <= NF; i++)
        at[$i] = i
    for (f = 1; f <= 8; f++) {
        last = formats[f] ~ /seed/ ? 6 : 4
        for (i = 1; i <= last; i++) {
            product(f, i, blocks[f], bits[f])
            for (b = 16; last == 6 && b <= 4096; b *= 2)
                product(f, i, b, 128 / b + 0.05)
        }
        for (i = last == 6 ? 2 : 4; i <= last; i++)
            for (t = 1; t <= threads; t *= 2)
                model(f, i, t)
    }
    for (t = 1; t <= threads; t *= 2)
        for (b = 2 ^ 14; b <= 2 ^ 29; b *= 2)
            probe(b, t)
    exit
}
function set(name, value) {
    if (!(name in at)) {
        print "no column " name > "/dev/stderr"
        exit 1
    }
    cell[at[name]] = value
}
function put(  i, line) {
    line = cell[1]
    for (i = 2; i <= columns; i++)
        line = line OFS (i in cell ? cell[i] : "-")
    print line
    split("", cell)
}
function kind(name, what, op, format, isa) {
    set("name", name)
    set("kind", what)
    set("op", op)
    set("format", format)
    set("isa", isa)
    set("cache", what == "probe" ? "hot" : "cold")
}
# Median, MAD, and what follows from them; every third row is stable.
function timed(ns, bytes, weights, t) {
    set("samples", 7)
    set("ns_median", ns)
    set("ns_mad", ns * (0.01 + 0.05 * (++n % 3)))
    set("unstable", n % 3 > 0)
    set("threads", t)
    set("bytes", bytes)
    set("weights", weights)
    set("bytes_per_second", bytes / ns * 1e9)
    set("weights_per_second", weights / ns * 1e9)
    set("multiply_adds_per_second", weights / ns * 1e9)
    set("read_roof", 12e9 * (t < 3 ? t : 2.5))
    put()
}
function product(f, i, block, size,  w) {
    w = 3072 * 768
    kind("gemv_" formats[f] "_" isas[i] "/3072x768/B:" block "/cold/t:1", "product", "gemv",
         formats[f], isas[i])
    set("rows", 3072)
    set("cols", 768)
    set("block", block)
    set("bits_per_weight", size)
    set("peak", speeds[i] * 8e9)
    timed(w / speeds[i] / 0.5 + w * size / 8 / 12, w * size / 8, w, 1)
}
# The runtime takes the fourth ISA, of seeds the fifth.
function model(f, i, t) {
    kind("model_gemv_" formats[f] "_" isas[i] "/124M/B:" blocks[f] "/cold/t:" t, "model", "gemv",
         formats[f], isas[i])
    set("block", blocks[f])
    set("used", i == (formats[f] ~ /seed/ ? 5 : 4))
    timed((8e7 + 2.4e6 * bits[f] ^ 2) / speeds[i] / t ^ (0.5 + f / 20), 15e6 * bits[f], 123e6, t)
}
function probe(b, t) {
    kind("probe_read_avx2/bytes:" b "/t:" t, "probe", "read", "none", "avx2")
    timed(b / (b > 2 ^ 25 ? 12 : b > 2 ^ 20 ? 40 : 90) / t ^ (b > 2 ^ 25 ? 0.4 : 1), b, 0, t)
}
