# table.awk - made-up rows for the plots, below a header line of rbe-bench's own
#
# SPDX-License-Identifier: MIT
#
# usage: awk -f table.awk [-v threads=N] TSV; the line of it that begins 'name' is the header.
BEGIN { FS = OFS = "\t"; if (!threads) threads = 8 }
$1 == "name" {
    print
    columns = NF
    for (i = 1; i <= NF; i++) at[$i] = i
    rows()
}
function set(name, value) {
    if (!(name in at)) { print "no column " name > "/dev/stderr"; exit 1 }
    cell[at[name]] = value
}
function put(i, line) {
    line = cell[1]
    for (i = 2; i <= columns; i++) line = line OFS (i in cell ? cell[i] : "-")
    print line
    split("", cell)
}
# Median, MAD, and what follows from them.
function timed(ns, bytes, weights, threads) {
    set("samples", 7); set("ns_median", ns); set("ns_mad", ns * (0.01 + 0.05 * (++n % 3)))
    set("unstable", n % 3 > 0); set("threads", threads); set("bytes", bytes); set("weights", weights)
    set("bytes_per_second", bytes / ns * 1e9); set("weights_per_second", weights / ns * 1e9)
    set("multiply_adds_per_second", weights / ns * 1e9)
    set("read_roof", 12e9 * (threads < 3 ? threads : 2.5))
}
function rows(f, i, b, t, formats, isas, bits, speed, w, c, name, sizes) {
    split("f32 f16 int8 int4 seed seed4 hybrid packed128", formats, " ")
    split("32 16 8.1 4.5 2.94 2.94 2.9 2", bits, " ")
    split("scalar sse41 avx2 avx512 avx512vnni avx512vbmi2", isas, " ")
    split("1 4 11 16 22 20", speed, " ")
    w = 3072 * 768
    for (f = 1; f <= 8; f++)
        for (i = 1; i <= (formats[f] ~ /seed/ ? 6 : 4); i++) {
            c = formats[f] ~ /seed/ ? 44 : formats[f] == "hybrid" ? 64 : formats[f] == "packed128" ? 16 : 0
            for (b = 16; b <= 4096; b *= 2) {
                if (b > 16 && c != 44) break
                row_of_product(formats[f], isas[i], b == 32 && c == 44 ? 44 : c == 44 ? b : c, w,
                    bits[f] * (c == 44 ? 44 / (b == 32 ? 44 : b) : 1), speed[i])
            }
        }
    for (f = 1; f <= 8; f++)
        for (i = formats[f] ~ /seed/ ? 2 : 4; i <= (formats[f] ~ /seed/ ? 6 : 4); i++)
            for (t = 1; t <= threads; t *= 2) {
                c = formats[f] ~ /seed/ ? 44 : formats[f] == "hybrid" ? 64 : formats[f] == "packed128" ? 16 : 0
                set("name", "model_gemv_" formats[f] "_" isas[i] "/124M/B:" c "/cold/t:" t)
                set("kind", "model"); set("op", "gemv"); set("format", formats[f]); set("isa", isas[i])
                set("cache", "cold"); set("block", c); set("used", i == 4 && formats[f] !~ /seed/ || i == 5)
                timed((20e6 + 6e5 * bits[f] * bits[f]) / speed[i] * 4 / t ^ (0.5 + f / 20), 123.5e6 * bits[f] / 8, 123.5e6, t)
                put()
            }
    for (t = 1; t <= threads; t *= 2)
        for (b = 2 ^ 14; b <= 2 ^ 29; b *= 2) {
            set("name", "probe_read_avx2/bytes:" b "/t:" t); set("kind", "probe"); set("op", "read")
            set("format", "none"); set("isa", "avx2"); set("cache", "hot")
            timed(b / (b > 2 ^ 25 ? 12 : b > 2 ^ 20 ? 40 : 90) / t ^ (b > 2 ^ 25 ? 0.4 : 1), b, 0, t)
            put()
        }
}
function row_of_product(format, isa, block, w, bits, speed) {
    set("name", "gemv_" format "_" isa "/3072x768/B:" block "/cold/t:1")
    set("kind", "product"); set("op", "gemv"); set("format", format); set("isa", isa)
    set("cache", "cold"); set("rows", 3072); set("cols", 768); set("block", block)
    set("bits_per_weight", bits); set("peak", speed * 8e9); set("used", isa == "avx512vnni")
    timed(w / speed / 0.5 + w * bits / 8 / 12, w * bits / 8, w, 1)
    put()
}
