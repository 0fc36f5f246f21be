/*
 * check_logits.c - files of predictions as llama.cpp lays them out, against sums in double.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gate/logits.h"
#include "kernels/test/check.h"

enum { CONTEXT = 8, VOCABULARY = 7, CHUNKS = 3, SCORED = CONTEXT - 1 - CONTEXT / 2 };

struct side {
    double log_p[CHUNKS * SCORED][VOCABULARY];      /* as they are in the file */
};

static void put(FILE *f, uint32_t v, int bytes)
{
    for (int i = 0; i < bytes; i++, v >>= 8)
        putc((int)(v & 255), f);
}

static void put_float(FILE *f, float x)
{
    uint32_t v;

    memcpy(&v, &x, sizeof v);
    put(f, v, 4);
}

/* One token's predictions out of logits. */
static void put_token(FILE *f, const double *logit, double *log_p)
{
    double most = logit[0], least = logit[0], sum = 0;

    for (int i = 1; i < VOCABULARY; i++) {
        most = fmax(most, logit[i]);
        least = fmin(least, logit[i]);
    }
    least = fmax(least, most - 16);
    for (int i = 0; i < VOCABULARY; i++)
        sum += exp(logit[i] - most);
    const float step = (float)((most - least) / 65535), low = (float)(least - most - log(sum));
    put_float(f, step);
    put_float(f, low);
    for (int i = 0; i < VOCABULARY; i++) {
        const uint32_t q = logit[i] > least ? (uint32_t)lround((logit[i] - least) / step) : 0;
        put(f, q, 2);
        log_p[i] = (double)step * q + low;
    }
    put(f, 0, 2 * (VOCABULARY % 2));
}

static uint32_t token_at(int i)
{
    return (uint32_t)(i * 5 % VOCABULARY);
}

static void write_file(const char *path, struct side *s, double noise, uint32_t seed)
{
    struct check_rng rng = {seed}, same = {99};
    FILE *f = fopen(path, "wb");

    fwrite("_logits_", 1, 8, f);
    put(f, CONTEXT, 4);
    put(f, VOCABULARY, 4);
    put(f, CHUNKS, 4);
    for (int i = 0; i < CHUNKS * CONTEXT; i++)
        put(f, token_at(i), 4);
    for (int t = 0; t < CHUNKS * SCORED; t++) {
        double logit[VOCABULARY];
        for (int i = 0; i < VOCABULARY; i++)
            logit[i] = 6 * check_below(&same, 1000) / 1e3 +
                       noise * check_below(&rng, 1000) / 1e3;
        put_token(f, logit, s->log_p[t]);
    }
    fclose(f);
}

static void check_values(const char *a, const char *b)
{
    static struct side x, y;
    struct rbe_logits_result r;
    struct rbe_diag d;
    double kl = 0, nll[2] = {0, 0}, change = 0;
    int same = 0;

    write_file(a, &x, 0, 1);
    write_file(b, &y, 3, 2);
    CHECK(rbe_logits_is(a) && !rbe_logits_is("/dev/null") && !rbe_logits_is("nothing"));
    CHECK(!rbe_logits_compare(&r, a, b, &d));
    for (int t = 0; t < CHUNKS * SCORED; t++) {
        const int chunk = t / SCORED, at = CONTEXT / 2 + t % SCORED + 1;
        const uint32_t token = token_at(chunk * CONTEXT + at);
        int best[2] = {0, 0};
        for (int i = 0; i < VOCABULARY; i++) {
            kl += exp(x.log_p[t][i]) * (x.log_p[t][i] - y.log_p[t][i]);
            best[0] = x.log_p[t][i] > x.log_p[t][best[0]] ? i : best[0];
            best[1] = y.log_p[t][i] > y.log_p[t][best[1]] ? i : best[1];
        }
        same += best[0] == best[1];
        nll[0] -= x.log_p[t][token];
        nll[1] -= y.log_p[t][token];
        change += exp(y.log_p[t][token]) - exp(x.log_p[t][token]);
    }
    const double n = CHUNKS * SCORED;
    CHECK(r.scored == CHUNKS * SCORED && r.vocabulary == VOCABULARY && r.chunks == CHUNKS);
    CHECK_NEAR(r.kl.value, kl / n, 1e-5);
    CHECK(r.kl.value > 0.05 && r.kl.se > 0 && r.kl_max > r.kl.value);
    CHECK_NEAR(r.base_perplexity, exp(nll[0] / n), 1e-4 * r.base_perplexity);
    CHECK_NEAR(r.perplexity, exp(nll[1] / n), 1e-4 * r.perplexity);
    CHECK_NEAR(r.top1, same / n, 1e-12);
    CHECK_NEAR(r.p_change.value, change / n, 1e-5);
    CHECK(!rbe_logits_compare(&r, a, a, &d));
    CHECK(r.kl.value == 0 && r.top1 == 1 && r.perplexity == r.base_perplexity);
}

/* The file with one byte written over, or shorter. */
static enum rbe_status damaged(const char *a, const char *b, long at, int byte, long size)
{
    static struct side s;
    struct rbe_logits_result r;
    struct rbe_diag d = {""};

    write_file(b, &s, 0, 1);
    FILE *f = fopen(b, "r+b");
    if (at >= 0) {
        fseek(f, at, SEEK_SET);
        putc(byte, f);
    }
    fclose(f);
    if (size && truncate(b, size))
        return RBE_ERR_IO;
    const enum rbe_status err = rbe_logits_compare(&r, a, b, &d);
    CHECK(!err == !*d.text);
    return err;
}

static void check_damaged(const char *a, const char *b)
{
    const long predictions = 20 + 4 * CHUNKS * CONTEXT;

    CHECK(damaged(a, b, -1, 0, 0) == RBE_OK);
    CHECK(damaged(a, b, 0, 'x', 0) == RBE_ERR_FORMAT);
    CHECK(damaged(a, b, -1, 0, 12) == RBE_ERR_FORMAT);
    CHECK(damaged(a, b, -1, 0, predictions + 30) == RBE_ERR_FORMAT);
    CHECK(damaged(a, b, 8, 0, 0) == RBE_ERR_FORMAT);            /* no context */
    CHECK(damaged(a, b, 15, 0x7F, 0) == RBE_ERR_FORMAT);        /* a huge vocabulary */
    CHECK(damaged(a, b, 19, 0xFF, 0) == RBE_ERR_FORMAT);        /* billions of chunks */
    CHECK(damaged(a, b, 20, 6, 0) == RBE_ERR_MISMATCH);         /* another text */
    CHECK(damaged(a, b, predictions + 7, 0x7F, 0) == RBE_ERR_FORMAT);   /* no number, nearly */
}

int main(void)
{
    char a[] = "/tmp/check_logits_a.XXXXXX", b[] = "/tmp/check_logits_b.XXXXXX";
    const int fa = mkstemp(a), fb = mkstemp(b);

    if (fa >= 0 && fb >= 0) {
        check_values(a, b);
        check_damaged(a, b);
    }
    close(fa);
    close(fb);
    remove(a);
    remove(b);
    return check_done();
}
