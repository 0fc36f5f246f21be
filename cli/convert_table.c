/*
 * convert_table.c - the tables of rbe convert.
 *
 * SPDX-License-Identifier: MIT
 */
#include "cli/convert_table.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/progress.h"

/* "44", "36-52" of parts that differ, "64 k9" of codecs with K, "-" of those without blocks. */
static void block_text(char *buf, size_t size, const struct rbe_convert_entry *r)
{
    const struct rbe_encode_options *o = &r->options;
    uint32_t low = o->block, high = o->block;

    for (size_t i = 0; i < o->part_count; i++) {
        const uint32_t b = o->parts[i].block;
        low = i && low < b ? low : b;
        high = i && high > b ? high : b;
    }
    if (!high)
        snprintf(buf, size, "-");
    else if (!o->part_count && rbe_format_facts(o->format)->rate == RBE_RATE_K)
        snprintf(buf, size, "%u k%u", low, rbe_aux_k(o->aux));
    else if (low == high)
        snprintf(buf, size, "%u", low);
    else
        snprintf(buf, size, "%u-%u", low, high);
}

void rbe_convert_print_head(void)
{
    printf("%-24s %11s %-9s %8s %9s %7s %8s %7s %7s %7s %6s %-14s %6s\n", "tensor",
           "shape", "codec", "B", "bytes", "bits/w", "ratio", "relRMSE", "bound", "outErr",
           "PSNR", "quality", "s");
}

void rbe_convert_print_line(const struct rbe_convert_entry *r)
{
    const struct rbe_quality *q = &r->quality;
    char shape[24], codec[32], block[24], level[32] = "", output[16] = "-";

    snprintf(shape, sizeof shape, "%ux%u", r->tensor->rows, r->tensor->cols);
    codec_names(codec, sizeof codec, r);
    block_text(block, sizeof block, r);
    if (r->settings.level != RBE_LEVEL_NONE)
        snprintf(level, sizeof level, "%s %s", rbe_level_name(r->settings.level),
                 q->psnr_db >= rbe_level_psnr_db(r->settings.level) ? "met" : "missed");
    if (r->output_error > 0)
        snprintf(output, sizeof output, "%.4f", sqrt(r->output_error));
    rbe_progress_clear();
    printf("%-24s %11s %-9s %8s %9zu %7.4g %7.4g%c %7.4f %7.4f %7s %6.2f %-14s %6.1f%s\n",
           r->tensor->name, shape, codec, block, q->bytes, q->bits, q->ratio,
           r->rate_met ? ' ' : '!', q->relative_rmse, q->bound, output, q->psnr_db, level,
           r->seconds, r->reused ? " (kept)" : "");
    /* Tiles mix rows, and may be zeros for other reasons. */
    if (q->lost_rows && !rbe_format_facts(r->options.format)->tiles)
        printf("%s: %zu rows are too small for an f16 scale and become zeros\n",
               r->tensor->name, q->lost_rows);
    if (q->noisy_rows)
        printf("%s: %zu rows of zeros do not stay zeros: the codec mixes the rows of a block\n",
               r->tensor->name, q->noisy_rows);
    fflush(stdout);
}

void rbe_convert_print_plan(const struct rbe_convert *c)
{
    printf("%-24s %11s %-9s %8s %11s %7s %11s\n", "tensor", "shape", "codec", "B", "bytes",
           "bits/w", "probe KL");
    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];
        char shape[24], codec[32], block[24];

        if (!r->encoded)
            continue;
        const size_t bytes = rbe_encode_bytes(r->tensor->rows, r->tensor->cols, &r->options);
        snprintf(shape, sizeof shape, "%ux%u", r->tensor->rows, r->tensor->cols);
        codec_names(codec, sizeof codec, r);
        block_text(block, sizeof block, r);
        printf("%-24s %11s %-9s %8s %11zu %7.4g", r->tensor->name, shape, codec, block, bytes,
               8 * (double)bytes / ((double)r->tensor->rows * r->tensor->cols));
        if (r->sensitivity > 0)
            printf(" %11.3g", r->sensitivity);
        printf("\n");
        for (size_t k = 0, row = 0; k < r->options.part_count; k++) {
            const struct rbe_encode_part *p = &r->options.parts[k];

            snprintf(shape, sizeof shape, "%zu..%zu", row, row + p->rows - 1);
            printf("  rows %-17s %11s %-9s %8u %11s %7.4g\n", shape, "",
                   rbe_format_name(p->format), p->block, "",
                   (double)rbe_format_facts(p->format)->strip_bits / p->block);
            row += p->rows;
        }
    }
    printf("planned file: %" PRIu64 " bytes, %.4f bits a parameter\n", c->file_bytes,
           8 * (double)c->file_bytes / (double)c->params);
}

void rbe_convert_print_totals(const struct rbe_convert *c, double peak_bytes)
{
    uint64_t weights = 0, bytes = 0, unmet = 0, missed = 0;
    double w2 = 0, e2 = 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];
        const struct rbe_quality *q = &r->quality;
        const double n = (double)q->weights;

        if (!r->encoded)
            continue;
        weights += q->weights;
        bytes += q->bytes;
        w2 += n * q->rms * q->rms;
        e2 += n * q->rmse * q->rmse;
        unmet += !r->rate_met;
        missed += r->settings.level != RBE_LEVEL_NONE &&
                  !(q->psnr_db >= rbe_level_psnr_db(r->settings.level));
    }
    printf("matrices: %" PRIu64 " weights in %" PRIu64 " bytes, %.4f bits a weight, %.4g:1 of "
           "f32, relative RMSE %.4f\n", weights, bytes,
           8 * (double)bytes / (double)weights, 4 * (double)weights / (double)bytes,
           w2 > 0 ? sqrt(e2 / w2) : 0);
    printf("file: %" PRIu64 " bytes for %" PRIu64 " parameters (tied output layer counted "
           "once): %.4f bits a parameter\n      (8 * file bytes / parameters; norms, biases, "
           "positions and the header included), %.4g:1 of f32\n", c->file_bytes, c->params,
           8 * (double)c->file_bytes / (double)c->params,
           4 * (double)c->params / (double)c->file_bytes);
    printf("compressed parameters: %" PRIu64 " (%s)\n", rbe_convert_compressed(c),
           RBE_COMPRESSED_DEFINITION);
    if (c->o.low_rank > 0)
        printf("as low-rank factors: %" PRIu64 " bytes, %.4f bits a parameter\n",
               rbe_convert_low_rank_bytes(c),
               8 * (double)rbe_convert_low_rank_bytes(c) / (double)c->params);
    printf("%.0f s of encoding; ", c->seconds);
    if (c->compensating > 0)
        printf("%.0f s of targets before it; ", c->compensating);
    printf("peak memory %.0f MB\n", peak_bytes / 1e6);
    if (unmet)
        printf("! %" PRIu64 " matrices: the codec cannot have the rate the profile asks for at "
               "that block; its smallest is used\n", unmet);
    if (missed)
        printf("quality: %" PRIu64 " matrices miss their level (PSNR = 20 log10(largest |w| / "
               "RMSE); Ultra 50, High 40, Medium 30, Low 20 dB)\n", missed);
}
