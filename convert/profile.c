/*
 * profile.c - reads profiles, and answers what a tensor gets.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/profile.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/rows.h"
#include "base/text.h"

enum {
    MAX_LAYER = 9999,
};

/* The keys of a rule, in the order of `set`'s bits. */
enum key { KEY_CODEC, KEY_BLOCK, KEY_BITS, KEY_RATIO, KEY_K, KEY_ENERGY, KEY_LAYOUT,
           KEY_QUALITY, KEY_SEARCH, KEY_WINDOW, KEY_SEARCH_SCALE, KEY_SCALES,
           KEY_SCALE_SEARCH, KEY_HADAMARD, KEY_CENTER, KEY_FEEDBACK, KEY_COST, KEY_LAYERS,
           KEY_COUNT };

static const char *const key_names[KEY_COUNT] = {
    [KEY_CODEC] = "codec",       [KEY_BLOCK] = "block",
    [KEY_BITS] = "bits",         [KEY_RATIO] = "ratio",
    [KEY_K] = "k",               [KEY_ENERGY] = "energy",
    [KEY_LAYOUT] = "layout",     [KEY_QUALITY] = "quality",
    [KEY_SEARCH] = "search",     [KEY_WINDOW] = "window",
    [KEY_SEARCH_SCALE] = "search-scale",
    [KEY_SCALES] = "scales",     [KEY_SCALE_SEARCH] = "scale-search",
    [KEY_HADAMARD] = "hadamard", [KEY_CENTER] = "center",
    [KEY_FEEDBACK] = "feedback", [KEY_COST] = "cost",
    [KEY_LAYERS] = "layers",
};

struct rule {
    unsigned classes;           /* bits of enum rbe_class */
    int layer0, layer1;
    int line;                   /* of the text, from 1 on */
    unsigned set;               /* bits of enum key that the line gives */
    struct rbe_settings c;
};

struct rbe_profile {
    char *name, *about;
    double budget_bits;
    uint64_t budget_bytes;
    const char *series;
    bool measured;
    enum rbe_metric metric;
    size_t tokens, probes, compensate;  /* 0: not given */
    double compensate_share;
    struct rule *rules;
    size_t count;
};

static const char *const metric_names[RBE_METRIC_COUNT] = {
    [RBE_METRIC_INPUTS] = "inputs", [RBE_METRIC_FISHER] = "fisher",
    [RBE_METRIC_TWO_SIDED] = "two-sided"};

const char *rbe_metric_name(enum rbe_metric m)
{
    return (unsigned)m < RBE_METRIC_COUNT ? metric_names[m] : NULL;
}

enum rbe_metric rbe_metric_by_name(const char *name)
{
    int m = 0;

    while (m < RBE_METRIC_COUNT && strcmp(metric_names[m], name) != 0)
        m++;
    return (enum rbe_metric)m;
}

/* Bits of the classes that are matrices, or that layers have. */
static unsigned classes_with(bool (*has)(enum rbe_class))
{
    unsigned bits = 0;

    for (int c = 0; c < RBE_CLASS_COUNT; c++)
        bits |= has((enum rbe_class)c) ? 1U << c : 0;
    return bits;
}

/* --- reading ---------------------------------------------------------------------------- */

struct reader {
    const char *where;
    int line;
    struct rbe_words_seen headers;
    struct rbe_diag *d;
};

static enum rbe_status __attribute__((format(printf, 2, 3)))
fault(const struct reader *r, const char *fmt, ...)
{
    char text[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return rbe_fail(r->d, RBE_ERR_ARG, "%s:%d: %s", r->where, r->line, text);
}

static bool get_number(const char *s, double low, double high, double *out)
{
    char *end;

    *out = strtod(s, &end);
    return *s && !*end && *out >= low && *out <= high;
}

static bool get_whole(const char *s, long low, long high, long *out)
{
    char *end;

    if (!*s || strspn(s, "0123456789") != strlen(s) || strlen(s) > 10)
        return false;
    *out = strtol(s, &end, 10);
    return *out >= low && *out <= high;
}

static bool get_switch(const char *s, bool *out)
{
    *out = !strcmp(s, "on");
    return *out || !strcmp(s, "off");
}

static bool get_layers(const char *s, struct rule *u)
{
    char first[12];
    const char *dash = strchr(s, '-');
    long a, b;

    snprintf(first, sizeof first, "%.*s", dash ? (int)(dash - s) : 11, s);
    if ((dash && dash - s > 10) || !get_whole(first, 0, MAX_LAYER, &a))
        return false;
    b = a;
    if (dash && !get_whole(dash + 1, a, MAX_LAYER, &b))
        return false;
    u->layer0 = (int)a;
    u->layer1 = (int)b;
    return true;
}

static bool set_codec(struct rule *u, const char *v)
{
    u->c.format = rbe_format_by_name(v);
    return u->c.format != RBE_FORMAT_COUNT;
}

/* One KEY=VALUE into the rule; false when the value is none for that key. */
static bool set_key(struct rule *u, enum key k, const char *v)
{
    struct rbe_settings *c = &u->c;
    double x = 0;
    long n = 0;
    bool ok;

    switch (k) {
    case KEY_CODEC:
        return set_codec(u, v);
    case KEY_BLOCK:
        ok = get_whole(v, 1, 65536, &n);
        c->block = (uint32_t)n;
        return ok;
    case KEY_BITS:
        ok = get_number(v, 1e-6, 32, &x);
        c->bits = x;
        return ok;
    case KEY_RATIO:
        ok = get_number(v, 1, 1e6, &x);
        c->bits = 32 / x;
        return ok;
    case KEY_K:
        ok = get_whole(v, 0, 65536, &n);
        c->k = n;
        return ok;
    case KEY_ENERGY:
        return get_number(v, 1e-12, 1, &c->energy);
    case KEY_LAYOUT:
        c->published = !strcmp(v, "published");
        return c->published || !strcmp(v, "packed");
    case KEY_QUALITY:
        c->level = rbe_level_by_name(v);
        return c->level != RBE_LEVEL_COUNT;
    case KEY_SEARCH:
        c->search = rbe_search_by_name(v);
        return c->search != RBE_SEARCH_COUNT;
    case KEY_WINDOW:
        ok = get_whole(v, 8, 16, &n);
        c->window = (unsigned)n;
        return ok;
    case KEY_SEARCH_SCALE:
        ok = get_number(v, 0.1, 10, &x);
        c->search_scale = (float)x;
        return ok;
    case KEY_SCALES:
        c->scales = !strcmp(v, "row") ? RBE_SCALES_ROW : RBE_SCALES_ROW_COL;
        return c->scales == RBE_SCALES_ROW || !strcmp(v, "row-col");
    case KEY_SCALE_SEARCH:
        return get_switch(v, &c->scale_search);
    case KEY_HADAMARD:
        if (!strcmp(v, "max")) {
            c->hadamard = RBE_HADAMARD_MAX;
            return true;
        }
        ok = get_whole(v, 0, 65536, &n) && !(n & (n - 1));
        c->hadamard = (uint32_t)n;
        return ok;
    case KEY_CENTER:
        return get_switch(v, &c->center);
    case KEY_FEEDBACK:
        return get_switch(v, &c->feedback);
    case KEY_COST:
        return get_number(v, 1e-3, 1e3, &c->cost);
    case KEY_LAYERS:
        return get_layers(v, u);
    case KEY_COUNT:
        break;
    }
    return false;
}

/* "a, b, c" into buf. */
static const char *join(char *buf, size_t size, const char *const *names, size_t count)
{
    size_t at = 0;

    buf[0] = 0;
    for (size_t i = 0; i < count && at < size; i++)
        at += (size_t)snprintf(buf + at, size - at, "%s%s", i ? ", " : "", names[i]);
    return buf;
}

static enum rbe_rate rate_of(enum rbe_format f)
{
    return rbe_format_facts(f)->rate;
}

static bool is_float(const struct rbe_format_facts *f)
{
    return f->float_bytes > 0;
}

static bool has_k(const struct rbe_format_facts *f)
{
    return f->rate == RBE_RATE_K;
}

static enum rbe_status check_rule(const struct reader *r, const struct rule *u)
{
    const unsigned plain = 1 << RBE_CLASS_OTHER;
    const bool codec = u->set & 1 << KEY_CODEC;
    const unsigned rate = u->set & (1 << KEY_BITS | 1 << KEY_RATIO | 1 << KEY_K |
                                    1 << KEY_ENERGY);
    const struct rbe_format_facts *facts = rbe_format_facts(u->c.format);
    char names[128];

    if (u->classes & plain && codec && !is_float(facts))
        return fault(r, "norms and biases stay plain: codec %s",
                     rbe_format_names(names, sizeof names, " or ", is_float));
    if (u->set & 1 << KEY_LAYERS && !(u->classes & classes_with(rbe_class_in_layers)))
        return fault(r, "there are no layers of this class");
    if (codec && facts->rate == RBE_RATE_NONE && (rate || u->set & 1 << KEY_BLOCK))
        return fault(r, "%s has no block and no rate to choose", facts->name);
    if (rate & (rate - 1))
        return fault(r, "more than one of bits, ratio, k and energy");
    if (codec && ((!has_k(facts) && u->set & (1 << KEY_K | 1 << KEY_ENERGY)) ||
                  (!facts->published && u->set & 1 << KEY_LAYOUT)))
        return fault(r, "k, energy and layout belong to codec=%s",
                     rbe_format_names(names, sizeof names, " or ", has_k));
    if (codec && !has_k(facts) && u->set & 1 << KEY_BLOCK && rate)
        return fault(r, "block and rate are the same choice for %s: give one", facts->name);
    return RBE_OK;
}

static enum rbe_status read_rule(struct rbe_profile *p, const struct reader *r, char *line)
{
    struct rule u = {.layer0 = 0, .layer1 = MAX_LAYER, .line = r->line,
                     .c = {.k = -1, .feedback = true, .cost = 1}};
    const char *class_names[RBE_CLASS_COUNT];
    char names[256], *save, *word = strtok_r(line, " \t", &save);
    int c, k;

    for (c = 0; c < RBE_CLASS_COUNT; c++)
        class_names[c] = rbe_class_name((enum rbe_class)c);

    if (!strcmp(word, "all")) {
        u.classes = classes_with(rbe_class_is_matrix);
    } else {
        for (c = 0; c < RBE_CLASS_COUNT && strcmp(class_names[c], word) != 0; c++)
            ;
        if (c == RBE_CLASS_COUNT)
            return fault(r, "unknown class '%.40s'; valid: all, %s", word,
                         join(names, sizeof names, class_names, RBE_CLASS_COUNT));
        u.classes = 1U << c;
    }
    while ((word = strtok_r(NULL, " \t", &save))) {
        char *value = strchr(word, '=');
        if (!value)
            return fault(r, "'%.40s' is not KEY=VALUE", word);
        *value++ = 0;
        for (k = 0; k < KEY_COUNT && strcmp(key_names[k], word) != 0; k++)
            ;
        if (k == KEY_COUNT)
            return fault(r, "unknown key '%.40s'; valid: %s", word,
                         join(names, sizeof names, key_names, KEY_COUNT));
        if (u.set & 1U << k)
            return fault(r, "'%s' is given twice", word);
        u.set |= 1U << k;
        if (!set_key(&u, (enum key)k, value)) {
            if (k == KEY_CODEC)
                return fault(r, "unknown codec '%.40s'%s; valid: %s", value,
                             rbe_nearest_in(value, rbe_format_names(names, sizeof names, ", ",
                                                                    NULL)).text, names);
            return fault(r, "'%.40s' is no value for '%s'", value, word);
        }
    }
    if (!u.set)
        return fault(r, "the line says nothing about its class");
    const enum rbe_status err = check_rule(r, &u);
    if (err)
        return err;
    struct rule *grown = realloc(p->rules, (p->count + 1) * sizeof *grown);
    if (!grown)
        return rbe_fail(r->d, RBE_ERR_NOMEM, "out of memory");
    p->rules = grown;
    p->rules[p->count++] = u;
    return RBE_OK;
}

static enum rbe_status read_header(struct rbe_profile *p, struct reader *r, char *line,
                                   char *colon)
{
    char *value = colon + 1 + strspn(colon + 1, " \t");
    double x;
    long n;

    *colon = 0;
    if (rbe_word_again(&r->headers, line))
        return fault(r, "'%.40s:' is given twice", line);
    if (!strcmp(line, "name") || !strcmp(line, "about")) {
        char **to = *line == 'n' ? &p->name : &p->about;
        free(*to);
        *to = strdup(value);
        return *to ? RBE_OK : rbe_fail(r->d, RBE_ERR_NOMEM, "out of memory");
    }
    if (!strcmp(line, "budget-bits") && get_number(value, 1e-3, 32, &x)) {
        p->budget_bits = x;
        return RBE_OK;
    }
    if (!strcmp(line, "budget-bytes") && get_number(value, 1, 1e15, &x)) {
        p->budget_bytes = (uint64_t)x;
        return RBE_OK;
    }
    if (!strcmp(line, "allocation")) {
        p->measured = !strcmp(value, "measured");
        return p->measured || !strcmp(value, "even")
                   ? RBE_OK : fault(r, "allocation is measured or even, not '%.40s'", value);
    }
    if (!strcmp(line, "series")) {
        static const char *const words[] = {RBE_SERIES_PARTS, RBE_SERIES_SCHEDULE};
        for (size_t i = 0; i < sizeof words / sizeof *words; i++)
            if (!strcmp(value, words[i]))
                p->series = words[i];
        return p->series ? RBE_OK
                         : fault(r, "series is " RBE_SERIES_PARTS " or " RBE_SERIES_SCHEDULE
                                 ", not '%.40s'", value);
    }
    if (!strcmp(line, "metric")) {
        p->metric = rbe_metric_by_name(value);
        return p->metric != RBE_METRIC_COUNT
                   ? RBE_OK
                   : fault(r, "metric is inputs, fisher or two-sided, not '%.40s'", value);
    }
    if (!strcmp(line, "tokens") && get_whole(value, 1, 1 << 30, &n)) {
        p->tokens = (size_t)n;
        return RBE_OK;
    }
    if (!strcmp(line, "probes") && get_whole(value, 1, 1 << 20, &n)) {
        p->probes = (size_t)n;
        return RBE_OK;
    }
    if (!strcmp(line, "compensate") && get_whole(value, 1, 1 << 30, &n)) {
        p->compensate = (size_t)n;
        return RBE_OK;
    }
    if (!strcmp(line, "compensate-share")) {
        if (!get_number(value, 0, 1, &x))
            return fault(r, "compensate-share is between 0 and 1, not '%.40s'", value);
        p->compensate_share = x;
        return RBE_OK;
    }
    if (!strcmp(line, "tokens") || !strcmp(line, "probes") || !strcmp(line, "compensate"))
        return fault(r, "'%.40s' is no number of tokens", value);
    if (!strncmp(line, "budget-b", 8))
        return fault(r, "'%.40s' is no budget", value);
    return fault(r, "unknown header '%.40s:'; valid: name, about, budget-bits, budget-bytes, "
                 "allocation, metric, tokens, probes, compensate, compensate-share, "
                 "series", line);
}

static enum rbe_status read_line(struct rbe_profile *p, struct reader *r, char *line)
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
    /* A header's first word ends in a colon; no class or key holds one. */
    char *end = line + strcspn(line, " \t:");
    return *end == ':' ? read_header(p, r, line, end) : read_rule(p, r, line);
}

enum rbe_status rbe_profile_parse(struct rbe_profile **out, const char *text, const char *where,
                                  struct rbe_diag *d)
{
    struct reader r = {.where = where, .d = d};
    enum rbe_status err = RBE_OK;
    char *copy = strdup(text), *line = copy;

    *out = NULL;
    struct rbe_profile *p = calloc(1, sizeof *p);
    if (!copy || !p) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", where);
        goto out;
    }
    p->compensate_share = 1;
    while (line && !err) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        r.line++;
        err = read_line(p, &r, line);
        line = next;
    }
    if (!err && !p->count)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: not one rule in it", where);
    if (!err && p->budget_bits > 0 && p->budget_bytes)
        err = rbe_fail(d, RBE_ERR_ARG, "%s: two budgets", where);
    if (!err && !p->name && !(p->name = strdup(where)))
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", where);
out:
    free(copy);
    if (err)
        rbe_profile_close(&p);
    *out = p;
    return err;
}

void rbe_profile_close(struct rbe_profile **pp)
{
    struct rbe_profile *p = *pp;

    if (!p)
        return;
    free(p->name);
    free(p->about);
    free(p->rules);
    free(p);
    *pp = NULL;
}

/* --- finding ---------------------------------------------------------------------------- */

static const char *const folders[] = {"convert/profiles", "share/rbe-bench/profiles"};

/* FOLDER/NAME.profile when it can be read; with name NULL, FOLDER itself. */
static char *try_folder(const char *dir, const char *folder, const char *name)
{
    char *at = rbe_path_join(dir, folder), *path = NULL;

    if (at && name) {
        path = malloc(strlen(at) + strlen(name) + 10);
        if (path)
            sprintf(path, "%s/%s.profile", at, name);
        free(at);
    } else {
        path = at;
    }
    if (path && access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

/* Like shipped data: $RBE_PROFILES, then upward from the program, then from here. */
static char *find_shipped(const char *name)
{
    const char *env = getenv("RBE_PROFILES");
    char dir[PATH_MAX], *found = NULL;

    if (env)
        return try_folder(env, ".", name);
    for (int pass = 0; pass < 2 && !found; pass++) {
        if (pass) {
            if (!getcwd(dir, sizeof dir))
                break;
        } else {
            const ssize_t n = readlink("/proc/self/exe", dir, sizeof dir - 1);
            if (n <= 0)
                continue;
            dir[n] = 0;
        }
        for (char *slash = dir; slash && !found;) {
            for (size_t i = 0; i < sizeof folders / sizeof *folders && !found; i++)
                found = try_folder(dir, folders[i], name);
            if ((slash = strrchr(dir, '/')))
                *slash = 0;
        }
    }
    return found;
}

void rbe_profile_names(char *out, size_t size, const char *between)
{
    char *folder = find_shipped(NULL);

    rbe_folder_names(out, size, folder, ".profile", between);
    free(folder);
}

/* CODEC or CODEC-bN as a profile's text; false when the name is neither. */
static bool synthesise(char *text, size_t size, const char *name)
{
    const char *dash = strstr(name, "-b");
    char codec[16];
    long block = 0;

    snprintf(codec, sizeof codec, "%.*s", dash ? (int)(dash - name) : 15, name);
    const enum rbe_format f = rbe_format_by_name(codec);
    if (f == RBE_FORMAT_COUNT)
        return false;
    if (dash && (rate_of(f) == RBE_RATE_NONE || !get_whole(dash + 2, 1, 65536, &block)))
        return false;
    const char *rest = rbe_format_name(is_float(rbe_format_facts(f)) ? f : RBE_F16);
    int n = snprintf(text, size, "name: %s\nabout: %s for every matrix, the rest %s\n", name,
                     codec, rest);
    for (int c = 0; c < RBE_CLASS_COUNT; c++)
        if (!rbe_class_is_matrix((enum rbe_class)c))
            n += snprintf(text + n, size - (size_t)n, "%s codec=%s\n",
                          rbe_class_name((enum rbe_class)c), rest);
    n += snprintf(text + n, size - (size_t)n, "all codec=%s", codec);
    if (dash)
        snprintf(text + n, size - (size_t)n, " block=%ld", block);
    return true;
}

enum rbe_status rbe_profile_open(struct rbe_profile **out, const char *name_or_path,
                                 struct rbe_diag *d)
{
    const size_t len = strlen(name_or_path);
    const bool is_path = strchr(name_or_path, '/') ||
                         (len > 8 && !strcmp(name_or_path + len - 8, ".profile"));
    char *path = is_path ? strdup(name_or_path) : find_shipped(name_or_path);
    char text[1024], *file = NULL;
    enum rbe_status err;
    size_t size;

    *out = NULL;
    if (!path) {
        /* A shipped profile of such a name says more than the name: without the folder,
         * seed-b44 would be another model. */
        char *folder = find_shipped(NULL);
        const bool found = folder;
        free(folder);
        if ((found || !strstr(name_or_path, "-b")) &&
            synthesise(text, sizeof text, name_or_path))
            return rbe_profile_parse(out, text, name_or_path, d);
        if (!found)
            return rbe_fail(d, RBE_ERR_IO, "'%.60s': the shipped profiles are not found; set "
                            "RBE_PROFILES to their folder", name_or_path);
        const char *dash = strstr(name_or_path, "-b");
        snprintf(text, sizeof text, "%.*s", dash ? (int)(dash - name_or_path) : 0,
                 name_or_path);
        const enum rbe_format f = rbe_format_by_name(text);
        if (f != RBE_FORMAT_COUNT && rate_of(f) == RBE_RATE_NONE)
            return rbe_fail(d, RBE_ERR_ARG, "'%.60s': %s takes no block (--block)",
                            name_or_path, text);
        rbe_profile_names(text, sizeof text, ", ");
        return rbe_fail(d, RBE_ERR_ARG, "unknown profile '%.60s'%s; valid: %s, CODEC-bN, or a "
                        "file NAME.profile", name_or_path,
                        rbe_nearest_in(name_or_path, text).text, text);
    }
    if ((err = rbe_read_text(&file, &size, NULL, path, d)))
        goto out;
    if (strlen(file) != size) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: not a text file", path);
        goto out;
    }
    err = rbe_profile_parse(out, file, path, d);
out:
    free(file);
    free(path);
    return err;
}

/* --- answering -------------------------------------------------------------------------- */

const char *rbe_profile_name(const struct rbe_profile *p)
{
    return p->name;
}

const char *rbe_profile_about(const struct rbe_profile *p)
{
    return p->about ? p->about : "";
}

double rbe_profile_budget_bits(const struct rbe_profile *p)
{
    return p->budget_bits;
}

uint64_t rbe_profile_budget_bytes(const struct rbe_profile *p)
{
    return p->budget_bytes;
}

const char *rbe_profile_series(const struct rbe_profile *p)
{
    return p->series;
}

bool rbe_profile_measured(const struct rbe_profile *p)
{
    return p->measured;
}

enum rbe_metric rbe_profile_metric(const struct rbe_profile *p)
{
    return p->metric;
}

size_t rbe_profile_tokens(const struct rbe_profile *p)
{
    return p->tokens;
}

size_t rbe_profile_probes(const struct rbe_profile *p)
{
    return p->probes;
}

size_t rbe_profile_compensate(const struct rbe_profile *p)
{
    return p->compensate;
}

double rbe_profile_compensate_share(const struct rbe_profile *p)
{
    return p->compensate_share;
}

int rbe_profile_beyond(const struct rbe_profile *p, int layers, int after)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->rules[i].layer0 >= layers && p->rules[i].line > after)
            return p->rules[i].line;
    return 0;
}

/* Key by key, those the later line sets. */
static void override(struct rbe_settings *c, const struct rule *u)
{
    const unsigned set = u->set;

#define TAKE(key, field)                                                                       \
    if (set & 1U << (key))                                                                     \
        c->field = u->c.field
    if (set & 1U << KEY_CODEC) {
        c->format = u->c.format;
        c->block = 0;
        c->bits = c->energy = 0;
        c->k = -1;
        c->published = false;
    }
    if (set & (1U << KEY_BITS | 1U << KEY_RATIO | 1U << KEY_K | 1U << KEY_ENERGY)) {
        c->bits = u->c.bits;
        c->k = u->c.k;
        c->energy = u->c.energy;
        if (rate_of(c->format) != RBE_RATE_K)
            c->block = 0;
    }
    TAKE(KEY_BLOCK, block);
    /* Block and rate are one choice but where K follows: the later one stands. */
    if (set & 1U << KEY_BLOCK && rate_of(c->format) != RBE_RATE_K)
        c->bits = 0;
    TAKE(KEY_LAYOUT, published);
    TAKE(KEY_QUALITY, level);
    TAKE(KEY_SEARCH, search);
    TAKE(KEY_WINDOW, window);
    TAKE(KEY_SEARCH_SCALE, search_scale);
    TAKE(KEY_SCALES, scales);
    TAKE(KEY_SCALE_SEARCH, scale_search);
    TAKE(KEY_HADAMARD, hadamard);
    TAKE(KEY_CENTER, center);
    TAKE(KEY_FEEDBACK, feedback);
    TAKE(KEY_COST, cost);
#undef TAKE
}

struct rbe_settings rbe_profile_settings(const struct rbe_profile *p, enum rbe_class c,
                                         int layer)
{
    struct rbe_settings out = {.format = RBE_F16, .k = -1, .feedback = true, .cost = 1};

    for (size_t i = 0; i < p->count; i++) {
        const struct rule *u = &p->rules[i];
        const bool everywhere = !(u->set & 1U << KEY_LAYERS);

        if (u->classes & 1U << c && (everywhere || (layer >= u->layer0 && layer <= u->layer1)))
            override(&out, u);
    }
    return out;
}

bool rbe_settings_are_open(const struct rbe_settings *c)
{
    return rbe_format_facts(c->format)->strip_bits && !c->block && !(c->bits > 0);
}

static double bits_of(enum rbe_format f, uint32_t rows, uint32_t cols, uint32_t block,
                      uint32_t aux, enum rbe_scales scales)
{
    const struct rbe_encode_options o = {.format = f, .block = block, .aux = aux,
                                         .scales = scales};
    const size_t bytes = rbe_encode_bytes(rows, cols, &o);

    return bytes ? 8 * (double)bytes / ((double)rows * cols) : INFINITY;
}

/* The smallest block of the format (RBE_RATE_BLOCK) that brings a matrix to at most `bits` a
 * weight, or that of the smallest rate there is with *met false. */
static uint32_t block_for_bits(enum rbe_format f, uint32_t rows, uint32_t cols,
                               enum rbe_scales scales, double bits, bool *met)
{
    const struct rbe_format_facts *facts = rbe_format_facts(f);
    double least = INFINITY;
    uint32_t best = facts->min_block;

    /* A block above the number of rows only adds padding, so the rate does not fall for ever:
     * the first that is good enough, else the first of the smallest rate. */
    for (uint32_t b = facts->min_block; b <= facts->max_block; b++) {
        const double x = bits_of(f, rows, cols, b, 0, scales);
        if (x < least) {
            least = x;
            best = b;
        }
        if (x <= bits)
            break;
    }
    *met = least <= bits;
    return best;
}

/* The largest K within `bits` a weight. */
static uint32_t k_for_bits(enum rbe_format f, uint32_t rows, uint32_t cols, uint32_t block,
                           uint32_t layout, double bits, bool *met)
{
    uint32_t low = 0, high = block * block;

    *met = bits_of(f, rows, cols, block, layout, RBE_SCALES_ROW) <= bits;
    while (*met && low < high) {
        const uint32_t mid = low + (high - low + 1) / 2;
        if (bits_of(f, rows, cols, block, mid | layout, RBE_SCALES_ROW) <= bits)
            low = mid;
        else
            high = mid - 1;
    }
    return low;
}

enum rbe_status rbe_settings_resolve(const struct rbe_settings *c, uint32_t rows, uint32_t cols,
                                     struct rbe_encode_options *o, bool *met,
                                     struct rbe_diag *d)
{
    const struct rbe_format_facts *facts = rbe_format_facts(c->format);
    const uint32_t layout = c->published ? RBE_AUX_PUBLISHED : 0;
    char text[64];

    *met = true;
    if (facts->rate == RBE_RATE_NONE && (c->block || c->bits > 0))
        return rbe_fail(d, RBE_ERR_ARG, "%s has no block and no rate to choose", facts->name);
    if (!has_k(facts) && (c->k >= 0 || c->energy > 0))
        return rbe_fail(d, RBE_ERR_ARG, "k and energy belong to codec=%s",
                        rbe_format_names(text, sizeof text, " or ", has_k));
    *o = (struct rbe_encode_options){
        .format = c->format, .block = c->block, .search = c->search, .window = c->window,
        .search_scale = c->search_scale, .scales = c->scales,
        .scale_search = c->scale_search, .hadamard = c->hadamard};
    if (c->hadamard == RBE_HADAMARD_MAX) {
        o->hadamard = 1024;
        while (cols % o->hadamard)
            o->hadamard /= 2;
    }
    if (has_k(facts)) {
        if (!o->block)
            o->block = facts->usual_block;
        if (!rbe_format_takes_block(c->format, o->block))
            return rbe_fail(d, RBE_ERR_ARG, "%s has blocks of %s, not %u", facts->name,
                            rbe_format_blocks(text, sizeof text, c->format), o->block);
        o->aux = layout;
        if (c->k >= 0)
            o->aux |= (uint32_t)c->k;
        else if (c->bits > 0)
            o->aux |= k_for_bits(c->format, rows, cols, o->block, layout, c->bits, met);
        else if (!(c->energy > 0))
            return rbe_fail(d, RBE_ERR_ARG, "%s needs one of bits, ratio, k and energy, which "
                            "a profile has: all codec=%s block=%u bits=3", facts->name,
                            facts->name, o->block);
    } else if (facts->rate == RBE_RATE_BLOCK && !o->block && c->bits > 0) {
        o->block = block_for_bits(c->format, rows, cols, c->scales, c->bits, met);
    }
    if (!rbe_settings_are_open(c) && !rbe_encode_bytes(rows, cols, o))
        return rbe_fail(d, RBE_ERR_ARG, "%u x %u cannot be encoded as %s with block %u", rows,
                        cols, rbe_format_name(o->format), o->block);
    return RBE_OK;
}
