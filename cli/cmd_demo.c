/*
 * cmd_demo.c - `rbe demo`: both shipped models write on, side by side.
 *
 * SPDX-License-Identifier: MIT
 *
 * They take turns, token by token, so that whatever else the machine does meets both.
 */
#include <jansson.h>
#include <rbe/sampler.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/result.h"
#include "base/utf8.h"
#include "cli/arguments.h"
#include "cli/paint.h"
#include "eval/runner.h"
#include "model/data.h"

enum { SIDES = 2, GAP = 3, NARROWEST = 24, WIDEST = 56 };

struct side {
    const char *name, *title;
    char *path;
    struct rbe_model *model;
    struct rbe_session *session;
    struct rbe_sampler *sampler;
    uint32_t *ids;              /* the prompt, then what is written */
    size_t count, fed;
    float *logits;
    double first_s, later_s;    /* reading the prompt and the first token; all others */
    char *text;
    bool over;                  /* an end of text */
};

struct demo {
    const struct rbe_demo_args *a;
    struct side sides[SIDES];
    struct rbe_tokenizer *tokenizer;
    struct rbe_pool *pool;
    size_t prompt_count;
};

static enum rbe_status open_side(struct demo *g, struct side *s, struct rbe_diag *d)
{
    enum rbe_status err;

    if ((err = rbe_model_find(&s->path, s->name, d)) ||
        (err = rbe_model_open(&s->model, s->path, d)))
        return err;
    const struct rbe_model_config *c = rbe_model_config(s->model);
    /* One tokenizer serves both: the model was made from the original. */
    if (!g->tokenizer && (err = rbe_find_tokenizer(&g->tokenizer, NULL, s->path, c, d)))
        return err;
    if ((err = rbe_tokenizer_encode(g->tokenizer, g->a->prompt, strlen(g->a->prompt), false,
                                    &s->ids, &g->prompt_count, d)))
        return err;
    if (!g->prompt_count)
        return rbe_fail(d, RBE_ERR_ARG, "--prompt: no text to continue");
    const size_t room = g->prompt_count + (size_t)g->a->tokens;
    if (room > c->n_ctx)
        return rbe_fail(d, RBE_ERR_ARG, "%zu tokens of prompt and %d to write: the context is "
                        "%u", g->prompt_count, g->a->tokens, c->n_ctx);
    uint32_t *ids = realloc(s->ids, room * sizeof *ids);
    if (ids)
        s->ids = ids;
    s->count = g->prompt_count;
    s->logits = malloc(c->vocab * sizeof *s->logits);
    s->sampler = rbe_sampler_open(rbe_tokenizer_vocab(g->tokenizer), g->a->how);
    if (!ids || !s->logits || !s->sampler)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    const struct rbe_session_limits l = {.max_tokens = (uint32_t)room};
    err = rbe_session_open(&s->session, s->model, l, g->pool, d);
    if (!err)
        rbe_session_stop_early(s->session, true);
    return err;
}

static enum rbe_status step(struct side *s, size_t prompt_count, struct rbe_diag *d)
{
    const double t0 = rbe_now();
    enum rbe_status err;

    if (s->over)
        return RBE_OK;
    if ((err = rbe_forward(s->session, s->ids + s->fed, s->count - s->fed, d)) ||
        (err = rbe_logits(s->session, RBE_LAST, 1, s->logits, d)))
        return err;
    s->fed = s->count;
    const uint32_t id = rbe_sample(s->sampler, s->logits);
    *(s->count == prompt_count ? &s->first_s : &s->later_s) += rbe_now() - t0;
    s->over = id == rbe_model_config(s->model)->eos;
    if (!s->over)
        s->ids[s->count++] = id;
    return RBE_OK;
}

static enum rbe_status write_texts(struct demo *g, struct rbe_diag *d)
{
    struct rbe_progress p = {0};
    enum rbe_status err = RBE_OK;

    rbe_progress_start(&p, "writing", "tokens", g->a->tokens);
    for (int i = 0; i < g->a->tokens && !err; i++) {
        if (rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted");
        /* Who begins changes, too. */
        for (int k = 0; k < SIDES && !err; k++)
            err = step(&g->sides[(i + k) % SIDES], g->prompt_count, d);
        rbe_progress_update(&p, i + 1, NULL);
    }
    rbe_progress_end(&p);
    rbe_progress_clear();
    for (int k = 0; k < SIDES && !err; k++) {
        struct side *s = &g->sides[k];
        s->text = rbe_tokenizer_text(g->tokenizer, s->ids, s->count, NULL);
        if (!s->text)
            err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    return err;
}

static double ms_of(const struct side *s, size_t prompt_count)
{
    const size_t later = s->count - prompt_count + s->over;

    return later > 1 ? 1e3 * s->later_s / (double)(later - 1) : 1e3 * s->first_s;
}

/* --- two columns -------------------------------------------------------------------------- */

/* Characters, as far as a terminal shows each in one column. */
static unsigned width_of(const char *s, size_t size)
{
    unsigned n = 0;

    for (size_t i = 0; i < size; i++)
        n += ((unsigned char)s[i] & 0xC0) != 0x80;
    return n;
}

/* Prints the next line of *text, whole words of at most `wide` columns, and fills it up to them
 * where it is not the last of its row; moves *text on. */
static void print_line(const char **text, unsigned wide, bool fill)
{
    const char *s = *text + strspn(*text, " \n");
    unsigned used = 0;

    while (*s) {
        const size_t blanks = strspn(s, " \n"), size = strcspn(s + blanks, " \n");
        unsigned n = width_of(s + blanks, size);
        if (!size || (used && used + 1 + n > wide))
            break;
        used += (unsigned)printf("%s", used ? " " : "");
        /* Control characters have nothing to do on a terminal. */
        for (size_t i = 0; i < size; i++)
            putchar((unsigned char)s[blanks + i] < ' ' ? '?' : s[blanks + i]);
        used += n;
        s += blanks + size;
    }
    *text = s + strspn(s, " \n");
    if (fill)
        printf("%*s", used < wide + GAP ? (int)(wide + GAP - used) : GAP, "");
}

static void print_row(unsigned wide, enum rbe_paint paint, const char *left, const char *right)
{
    const char *text[SIDES] = {left, right};

    fputs(rbe_paint(stdout, paint), stdout);
    while (*text[0] || *text[1]) {
        print_line(&text[0], wide, true);
        print_line(&text[1], wide, false);
        putchar('\n');
    }
    fputs(rbe_paint(stdout, RBE_PLAIN), stdout);
}

static void print(const struct demo *g)
{
    const unsigned columns = rbe_columns(stdout);
    unsigned wide = columns > GAP ? (columns - GAP) / SIDES : NARROWEST;
    char line[SIDES][2][120];

    wide = wide < NARROWEST ? NARROWEST : wide > WIDEST ? WIDEST : wide;
    for (int k = 0; k < SIDES; k++) {
        const struct side *s = &g->sides[k], *o = &g->sides[0];
        const double mb = (double)rbe_model_file_bytes(s->model) / 1e6;
        const double first = (double)rbe_model_file_bytes(o->model) / 1e6;
        const double ms = ms_of(s, g->prompt_count), base = ms_of(o, g->prompt_count);
        char much[48] = "", fast[48] = "";
        if (k) {
            snprintf(much, sizeof much, ": %.1f times smaller", first / mb);
            snprintf(fast, sizeof fast, ": %.2f of the time", ms / base);
        }
        snprintf(line[k][0], sizeof line[k][0], "%.2f MB%s", mb, much);
        snprintf(line[k][1], sizeof line[k][1], "%.2f ms a token%s", ms, fast);
    }
    print_row(wide, RBE_BOLD, g->sides[0].title, g->sides[1].title);
    for (int i = 0; i < 2; i++)
        print_row(wide, RBE_GREEN, line[0][i], line[1][i]);
    putchar('\n');
    print_row(wide, RBE_PLAIN, g->sides[0].text, g->sides[1].text);
    printf("\n%s%u thread%s, the models in turns.  Next: rbe chat, or rbe --help%s\n",
           rbe_paint(stdout, RBE_DIM), rbe_pool_threads(g->pool),
           rbe_pool_threads(g->pool) > 1 ? "s" : "", rbe_paint(stdout, RBE_PLAIN));
}

static enum rbe_status print_json(const struct demo *g, struct rbe_diag *d)
{
    json_t *list = json_array();

    for (int k = 0; k < SIDES; k++) {
        const struct side *s = &g->sides[k];
        json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:f, s:i, s:i, s:s}", "model",
            s->name, "bytes", (json_int_t)rbe_model_file_bytes(s->model), "ms_per_token",
            ms_of(s, g->prompt_count), "first_token_ms", 1e3 * s->first_s, "tokens",
            (int)(s->count - g->prompt_count), "threads", (int)rbe_pool_threads(g->pool),
            "text", s->text));
    }
    if (json_array_size(list) != SIDES) {
        json_decref(list);
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    json_dumpf(list, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    putchar('\n');
    json_decref(list);
    return RBE_OK;
}

static void close_demo(struct demo *g)
{
    for (int k = 0; k < SIDES; k++) {
        struct side *s = &g->sides[k];
        rbe_sampler_close(&s->sampler);
        rbe_session_close(&s->session);
        rbe_model_close(&s->model);
        free(s->path);
        free(s->ids);
        free(s->logits);
        free(s->text);
    }
    rbe_tokenizer_close(&g->tokenizer);
    rbe_pool_close(&g->pool);
}

enum rbe_status rbe_cmd_demo(struct rbe_demo_args *a, struct rbe_diag *d)
{
    struct demo g = {.a = a, .sides = {{.name = "rbe-mini", .title = "original: rbe-mini, f16"},
                                       {.name = RBE_USUAL_MODEL,
                                        .title = "RBE: " RBE_USUAL_MODEL}}};
    enum rbe_status err;

    const size_t n = strlen(a->prompt), bad = rbe_utf8_valid(a->prompt, n);
    if (bad < n)
        return rbe_fail(d, RBE_ERR_ARG, "--prompt: not UTF-8 at byte %zu", bad);
    rbe_catch_interrupt();
    if (!(err = rbe_pool_open(&g.pool, (unsigned)a->threads, d)))
        rbe_warn_threads(a->call.name, rbe_pool_threads(g.pool));
    for (int k = 0; k < SIDES && !err; k++)
        err = open_side(&g, &g.sides[k], d);
    if (!err && !(err = write_texts(&g, d))) {
        if (a->json)
            err = print_json(&g, d);
        else
            print(&g);
    }
    close_demo(&g);
    return err;
}
