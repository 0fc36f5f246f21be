/*
 * recipe.c - reads recipes of recovery trainings.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/recipe.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/text.h"
#include "grad/loss.h"

static const char *const mechanisms[RBE_MECHANISM_COUNT] = {
    [RBE_MATRICES_CODED] = "coded",
    [RBE_MATRICES_PROGRESSIVE] = "progressive",
    [RBE_MATRICES_LATENT] = "latent",
};
static const char *const orders[RBE_ORDER_COUNT] = {
    [RBE_ORDER_FORWARD] = "forward",
    [RBE_ORDER_BACKWARD] = "backward",
    [RBE_ORDER_EMBEDDING_FIRST] = "embedding-first",
};

const char *rbe_mechanism_name(enum rbe_mechanism m)
{
    return (unsigned)m < RBE_MECHANISM_COUNT ? mechanisms[m] : NULL;
}

/* --- reading ------------------------------------------------------------------------------ */

struct reader {
    const char *where;
    int line;
    struct rbe_words_seen headers;
    struct rbe_diag *d;
};

static bool get_number(const char *s, double low, double high, double *out)
{
    char *end;

    *out = strtod(s, &end);
    return *s && !*end && *out >= low && *out <= high;
}

/* Index of s among names, or count. */
static int find_name(const char *s, const char *const *names, int count)
{
    int i = 0;

    while (i < count && strcmp(names[i], s) != 0)
        i++;
    return i;
}

static bool set_key(struct rbe_stage *s, const char *key, const char *v)
{
    const struct {
        const char *key;
        double *to, low, high;
    } numbers[] = {{"epochs", &s->epochs, 1e-6, 1e9}, {"scales", &s->scales, 0, 1e3},
                   {"plain", &s->plain, 0, 1e3},        {"latents", &s->latents, 0, 1e3},
                   {"decay", &s->decay, 0, 100},       {"text", &s->text, 0, 100},
                   {"average", &s->average, 0, 1},     {"share", &s->share, 0, 1}};
    double x;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(key, numbers[i].key))
            return get_number(v, numbers[i].low, numbers[i].high, numbers[i].to);
    if (!strcmp(key, "matrices"))
        return (s->matrices = (enum rbe_mechanism)find_name(v, mechanisms,
                                                            RBE_MECHANISM_COUNT)) !=
               RBE_MECHANISM_COUNT;
    if (!strcmp(key, "order"))
        return (s->order = (enum rbe_encode_order)find_name(v, orders, RBE_ORDER_COUNT)) !=
               RBE_ORDER_COUNT;
    if (!strcmp(key, "search"))
        return (s->search = rbe_search_by_name(v)) != RBE_SEARCH_COUNT;
    if (!strcmp(key, "encode-every") && get_number(v, 0, 1e9, &x)) {
        s->encode_every = (uint64_t)x;
        return x == floor(x);
    }
    return false;
}

static enum rbe_status read_stage(struct rbe_recipe *r, const struct reader *from, char *line)
{
    char *save, *word = strtok_r(line, " \t", &save);
    struct rbe_stage *s = &r->stages[r->count];
    const char *const where = from->where;
    const int number = from->line;
    struct rbe_diag *const d = from->d;
    struct rbe_words_seen keys = {.count = 0};

    if (r->count == RBE_RECIPE_STAGES)
        return rbe_fail(d, RBE_ERR_ARG, "%s:%d: more than %d stages", where, number,
                        RBE_RECIPE_STAGES);
    if (!(word = strtok_r(NULL, " \t", &save)) || strchr(word, '='))
        return rbe_fail(d, RBE_ERR_ARG, "%s:%d: a stage needs a name", where, number);
    *s = (struct rbe_stage){.search = RBE_SEARCH_DEFAULT};
    snprintf(s->name, sizeof s->name, "%s", word);
    while ((word = strtok_r(NULL, " \t", &save))) {
        char *value = strchr(word, '=');
        if (value)
            *value++ = 0;
        if (!value || !set_key(s, word, value))
            return rbe_fail(d, RBE_ERR_ARG, "%s:%d: '%.40s' is no key, or '%.40s' no value for "
                            "it", where, number, word, value ? value : "");
        if (rbe_word_again(&keys, word))
            return rbe_fail(d, RBE_ERR_ARG, "%s:%d: '%s' is given twice", where, number, word);
    }
    if (!(s->epochs > 0))
        return rbe_fail(d, RBE_ERR_ARG, "%s:%d: stage '%s' has no epochs", where, number,
                        s->name);
    if (s->average > 0 && s->matrices != RBE_MATRICES_CODED)
        return rbe_fail(d, RBE_ERR_ARG, "%s:%d: stage '%s': average is for matrices=coded",
                        where, number, s->name);
    if (s->share > 0 && s->matrices != RBE_MATRICES_LATENT)
        return rbe_fail(d, RBE_ERR_ARG, "%s:%d: stage '%s': share is for matrices=latent",
                        where, number, s->name);
    r->epochs += s->epochs;
    r->count++;
    return RBE_OK;
}

static bool set_header(struct rbe_recipe *r, const char *key, const char *v)
{
    const struct {
        const char *key;
        double *to, low, high;
    } numbers[] = {{"warmup", &r->warmup, 0, 1}, {"floor", &r->floor, 0, 1},
                   {"clip", &r->clip, 0, 1e9}};
    struct rbe_loss loss;
    double x;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(key, numbers[i].key))
            return get_number(v, numbers[i].low, numbers[i].high, numbers[i].to);
    if (!strcmp(key, "name")) {
        snprintf(r->name, sizeof r->name, "%s", v);
    } else if (!strcmp(key, "about")) {
        snprintf(r->about, sizeof r->about, "%s", v);
    } else if (!strcmp(key, "loss")) {
        snprintf(r->loss, sizeof r->loss, "%s", v);
        return rbe_loss_named(&loss, v, NULL) == RBE_OK;
    } else if (!strcmp(key, "schedule")) {
        return (r->schedule = rbe_schedule_by_name(v)) != RBE_SCHEDULE_COUNT;
    } else if (!strcmp(key, "optimizer")) {
        return rbe_optimizer_named(&r->optimizer, v, NULL) == RBE_OK;
    } else if (!strcmp(key, "batch") && get_number(v, 1, 1e7, &x)) {
        r->batch = (uint32_t)x;
        return x == floor(x);
    } else {
        return false;
    }
    return true;
}

static enum rbe_status read_line(struct rbe_recipe *r, struct reader *from, char *line)
{
    char *hash = strchr(line, '#');

    if (hash)
        *hash = 0;
    line += strspn(line, " \t");
    size_t n = strlen(line);
    while (n && strchr(" \t\r", line[n - 1]))
        line[--n] = 0;
    if (!n)
        return RBE_OK;
    if (!strncmp(line, "stage", 5) && (line[5] == ' ' || line[5] == '\t'))
        return read_stage(r, from, line);
    char *colon = strchr(line, ':');
    if (!colon)
        return rbe_fail(from->d, RBE_ERR_ARG, "%s:%d: neither a stage nor KEY: VALUE",
                        from->where, from->line);
    *colon++ = 0;
    colon += strspn(colon, " \t");
    if (!set_header(r, line, colon))
        return rbe_fail(from->d, RBE_ERR_ARG, "%s:%d: '%.40s' is no header, or '%.40s' no "
                        "value for it", from->where, from->line, line, colon);
    if (rbe_word_again(&from->headers, line))
        return rbe_fail(from->d, RBE_ERR_ARG, "%s:%d: '%s:' is given twice", from->where,
                        from->line, line);
    return RBE_OK;
}

enum rbe_status rbe_recipe_parse(struct rbe_recipe *r, const char *text, const char *where,
                                 struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char *copy = strdup(text), *line = copy;
    struct reader from = {.where = where, .d = d};

    *r = (struct rbe_recipe){.loss = "kl", .warmup = 0.05, .clip = 1, .batch = 4096};
    snprintf(r->name, sizeof r->name, "%s", where);
    if (!copy || !(r->text = strdup(text))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", where);
        goto out;
    }
    while (line && !err) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        from.line++;
        err = read_line(r, &from, line);
        line = next;
    }
    if (!err && !r->count)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: not one stage in it", where);
out:
    free(copy);
    if (err)
        rbe_recipe_close(r);
    return err;
}

void rbe_recipe_close(struct rbe_recipe *r)
{
    free(r->text);
    *r = (struct rbe_recipe){.text = NULL};
}

/* --- finding ------------------------------------------------------------------------------ */

static char *try_folder(const char *dir, const char *name)
{
    static const char *const folders[] = {"train/profiles", "share/rbe-bench/tune"};
    char text[PATH_MAX];

    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const int n = snprintf(text, sizeof text, "%s/%s/%s.profile", dir, folders[i], name);
        if (n > 0 && (size_t)n < sizeof text && !access(text, R_OK))
            return strdup(text);
    }
    return NULL;
}

/* Upward from the program, then from here. */
static char *find_shipped(const char *name)
{
    char dir[PATH_MAX], *found = NULL;

    for (int pass = 0; pass < 2 && !found; pass++) {
        const ssize_t n = pass ? 0 : readlink("/proc/self/exe", dir, sizeof dir - 1);
        if (pass ? !getcwd(dir, sizeof dir) : n <= 0)
            continue;
        if (!pass)
            dir[n] = 0;
        for (char *slash = dir; slash && !found;) {
            found = try_folder(dir, name);
            if ((slash = strrchr(dir, '/')))
                *slash = 0;
        }
    }
    return found;
}

void rbe_recipe_names(char *out, size_t size, const char *between)
{
    char *usual = find_shipped("default");

    if (usual)
        *strrchr(usual, '/') = 0;
    rbe_folder_names(out, size, usual, ".profile", between);
    free(usual);
}

enum rbe_status rbe_recipe_open(struct rbe_recipe *r, const char *name_or_path,
                                struct rbe_diag *d)
{
    const size_t len = strlen(name_or_path);
    const bool is_path = strchr(name_or_path, '/') ||
                         (len > 8 && !strcmp(name_or_path + len - 8, ".profile"));
    char *path = is_path ? strdup(name_or_path) : find_shipped(name_or_path), *text = NULL;
    enum rbe_status err;
    size_t size;

    *r = (struct rbe_recipe){.text = NULL};
    if (!path) {
        char names[1024];
        rbe_recipe_names(names, sizeof names, ", ");
        if (!*names)
            return rbe_fail(d, RBE_ERR_IO, "'%.60s': the shipped training profiles are not "
                            "found; give a file NAME.profile", name_or_path);
        return rbe_fail(d, RBE_ERR_ARG, "unknown training profile '%.60s'%s; valid: %s, or a "
                        "file NAME.profile", name_or_path,
                        rbe_nearest_in(name_or_path, names).text, names);
    }
    if ((err = rbe_read_text(&text, &size, NULL, path, d)))
        goto out;
    if (strlen(text) != size)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: not a text file", path);
    else
        err = rbe_recipe_parse(r, text, path, d);
out:
    free(text);
    free(path);
    return err;
}

/* --- answering ---------------------------------------------------------------------------- */

uint64_t rbe_recipe_steps(const struct rbe_recipe *r, size_t i, uint64_t tokens)
{
    const double n = (double)tokens * r->stages[i].epochs / r->epochs / r->batch;

    return n < 1 ? 1 : (uint64_t)(n + 0.5);
}

bool rbe_recipe_has_latents(const struct rbe_recipe *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->stages[i].matrices != RBE_MATRICES_CODED)
            return true;
    return false;
}

bool rbe_recipe_wants_text(const struct rbe_recipe *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->stages[i].text > 0)
            return true;
    return false;
}

bool rbe_recipe_averages(const struct rbe_recipe *r)
{
    for (size_t i = 0; i < r->count; i++)
        if (r->stages[i].average > 0)
            return true;
    return false;
}
