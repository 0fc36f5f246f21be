/*
 * document.c - the blocks of a report, and their writers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/document.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

enum block_kind { HEADING, PARAGRAPH, VERDICT, VERBATIM, FOLD, UNFOLD, PLOT, TABLE, RAW,
                  FILE_LINK, ITEM, TILES, TILE, CONTENTS };

enum { APART = 1, GRID = 2 };

struct block {
    enum block_kind kind;
    int level;                  /* of a heading; of a plot its shape; of a table see above */
    char *text;                 /* of a plot: its caption; of a table: its column titles */
    char *svg, *png;
    size_t marked;              /* 1 + the column that stands out, or 0 */
    size_t columns, cells;
    char **cell;
    size_t *link;               /* of each cell: 1 + what it links to, or 0 */
    size_t number;              /* of evidence, whose text stands in svg; NULL: too long */
};

struct rbe_document {
    struct block *blocks;
    size_t count;
    bool failed;
};

enum rbe_status rbe_document_open(struct rbe_document **out, struct rbe_diag *d)
{
    *out = calloc(1, sizeof **out);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

void rbe_document_close(struct rbe_document **doc)
{
    struct rbe_document *p = *doc;

    *doc = NULL;
    if (!p)
        return;
    for (size_t i = 0; i < p->count; i++) {
        struct block *b = &p->blocks[i];
        for (size_t k = 0; k < b->cells; k++)
            free(b->cell[k]);
        free(b->cell);
        free(b->link);
        free(b->text);
        free(b->svg);
        free(b->png);
    }
    free(p->blocks);
    free(p);
}

static struct block *add_block(struct rbe_document *doc, enum block_kind kind)
{
    struct block *p = realloc(doc->blocks, (doc->count + 1) * sizeof *p);

    if (!p) {
        doc->failed = true;
        return NULL;
    }
    doc->blocks = p;
    p[doc->count] = (struct block){.kind = kind};
    return &p[doc->count++];
}

static void add_text(struct rbe_document *doc, enum block_kind kind, int level,
                     const char *fmt, va_list ap)
{
    struct block *b = add_block(doc, kind);

    if (b) {
        b->level = level;
        if (vasprintf(&b->text, fmt, ap) < 0) {
            b->text = NULL;
            doc->failed = true;
        }
    }
}

#define TEXT_BLOCK(name, kind)                                                              \
    void rbe_document_##name(struct rbe_document *doc, const char *fmt, ...)                \
    {                                                                                       \
        va_list ap;                                                                         \
        va_start(ap, fmt);                                                                  \
        add_text(doc, kind, 0, fmt, ap);                                                    \
        va_end(ap);                                                                         \
    }
TEXT_BLOCK(paragraph, PARAGRAPH)
TEXT_BLOCK(verdict, VERDICT)
TEXT_BLOCK(item, ITEM)
TEXT_BLOCK(verbatim, VERBATIM)
TEXT_BLOCK(fold, FOLD)
TEXT_BLOCK(tiles, TILES)

void rbe_document_heading(struct rbe_document *doc, int level, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    add_text(doc, HEADING, level, fmt, ap);
    va_end(ap);
}

void rbe_document_unfold(struct rbe_document *doc)
{
    add_block(doc, UNFOLD);
}

void rbe_document_contents(struct rbe_document *doc)
{
    add_block(doc, CONTENTS);
}

void rbe_document_plot(struct rbe_document *doc, const char *svg, const char *png,
                       const char *caption, enum rbe_plot_shape shape)
{
    struct block *b = add_block(doc, PLOT);

    if (b) {
        b->level = (int)shape;
        b->svg = strdup(svg);
        b->png = strdup(png);
        b->text = strdup(caption);
        doc->failed |= !b->svg || !b->png || !b->text;
    }
}

void rbe_document_table(struct rbe_document *doc, const char *columns)
{
    struct block *b = add_block(doc, TABLE);

    if (b) {
        b->text = strdup(columns);
        doc->failed |= !b->text;
        b->columns = 1;
        for (const char *s = columns; (s = strchr(s, '|')); s++)
            b->columns++;
    }
}

size_t rbe_document_tables(const struct rbe_document *doc)
{
    size_t n = 0;

    for (size_t i = 0; i < doc->count; i++)
        n += doc->blocks[i].kind == TABLE;
    return n;
}

void rbe_document_apart(struct rbe_document *doc, const char *fmt, ...)
{
    const struct block *b = doc->count ? &doc->blocks[doc->count - 1] : NULL;
    char *columns = b && b->kind == TABLE ? strdup(b->text) : NULL;
    va_list ap;

    if (!columns) {
        doc->failed = true;
        return;
    }
    va_start(ap, fmt);
    add_text(doc, PARAGRAPH, 0, fmt, ap);
    va_end(ap);
    rbe_document_table(doc, columns);
    free(columns);
    if (doc->count)
        doc->blocks[doc->count - 1].level = APART;
}

void rbe_document_grid(struct rbe_document *doc, const char *columns)
{
    rbe_document_table(doc, columns);
    if (doc->count)
        doc->blocks[doc->count - 1].level = GRID;
}

bool rbe_document_is_apart(const struct rbe_document *doc)
{
    return doc->count && doc->blocks[doc->count - 1].kind == TABLE &&
           doc->blocks[doc->count - 1].level == APART;
}

/* Takes the text over, which may be NULL. */
static void add_cell(struct rbe_document *doc, struct block *b, char *text)
{
    if (!text) {
        doc->failed = true;
        return;
    }
    char **p = realloc(b->cell, (b->cells + 1) * sizeof *p);
    if (p)
        b->cell = p;
    size_t *link = realloc(b->link, (b->cells + 1) * sizeof *link);
    if (link)
        b->link = link;
    if (!p || !link) {
        free(text);
        doc->failed = true;
        return;
    }
    link[b->cells] = 0;
    b->cell[b->cells++] = text;
}

void rbe_document_cell(struct rbe_document *doc, const char *fmt, ...)
{
    struct block *b = doc->count ? &doc->blocks[doc->count - 1] : NULL;
    char *text = NULL;
    va_list ap;

    if (!b || b->kind != TABLE) {
        doc->failed = true;
        return;
    }
    va_start(ap, fmt);
    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    va_end(ap);
    add_cell(doc, b, text);
}

void rbe_document_tile(struct rbe_document *doc, const char *name, const char *verdict,
                       const char *value, const char *note)
{
    const char *const texts[] = {name, verdict, value, note};
    struct block *b = add_block(doc, TILE);

    for (size_t i = 0; b && i < sizeof texts / sizeof *texts; i++)
        add_cell(doc, b, strdup(texts[i]));
}

void rbe_document_mark(struct rbe_document *doc)
{
    struct block *b = doc->count ? &doc->blocks[doc->count - 1] : NULL;

    if (b && b->kind == TABLE && b->cells)
        b->marked = 1 + (b->cells - 1) % b->columns;
}

void rbe_document_link(struct rbe_document *doc, size_t number)
{
    struct block *b = doc->count ? &doc->blocks[doc->count - 1] : NULL;

    if (b && b->kind == TABLE && b->cells)
        b->link[b->cells - 1] = number + 1;
}

void rbe_document_raw(struct rbe_document *doc, size_t number, const char *text,
                      const char *title, ...)
{
    struct block *b;
    va_list ap;

    va_start(ap, title);
    add_text(doc, RAW, 0, title, ap);
    va_end(ap);
    if (doc->count && (b = &doc->blocks[doc->count - 1])->kind == RAW) {
        b->number = number;
        b->svg = text ? strdup(text) : NULL;
        doc->failed |= text && !b->svg;
    }
}

void rbe_document_file(struct rbe_document *doc, const char *file, const char *fmt, ...)
{
    struct block *b;
    va_list ap;

    va_start(ap, fmt);
    add_text(doc, FILE_LINK, 0, fmt, ap);
    va_end(ap);
    if (doc->count && (b = &doc->blocks[doc->count - 1])->kind == FILE_LINK) {
        b->svg = strdup(file);
        doc->failed |= !b->svg;
    }
}

/* Column `i` of the titles, as a length in *n; a leading '>' is taken off. */
static const char *column(const struct block *b, size_t i, size_t *n, bool *right)
{
    const char *s = b->text;

    while (i-- > 0)
        s = strchr(s, '|') + 1;
    *right = *s == '>';
    s += *right;
    *n = strcspn(s, "|");
    return s;
}

/* --- HTML --------------------------------------------------------------------------- */

/* The character at *i, which is left at its last byte; a byte that is none, or a piece of a
 * text that was cut, and what controls a terminal or ends a line elsewhere, as \xHH. */
static void put_bytes(FILE *f, const char *s, size_t n, size_t *i)
{
    uint32_t code;
    const size_t size = rbe_utf8_char(s + *i, n - *i, &code);

    if (!size || ((unsigned char)s[*i] < ' ' && s[*i] != '\n' && s[*i] != '\t')) {
        fprintf(f, "\\x%02X", (unsigned char)s[*i]);
        return;
    }
    fwrite(s + *i, 1, size, f);
    *i += size - 1;
}

static void put_html(FILE *f, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        switch (s[i]) {
        case '&': fputs("&amp;", f); break;
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '"': fputs("&quot;", f); break;
        default: put_bytes(f, s, n, &i);
        }
}

static void html_text(FILE *f, const char *tag, const char *attributes, const char *s)
{
    fprintf(f, "<%s%s>", tag, attributes);
    put_html(f, s, strlen(s));
    fprintf(f, "</%s>\n", tag);
}

/* A state cell is coloured by its word. */
static const char *state_class(const char *s)
{
    return !strcmp(s, "PASS") || !strcmp(s, "MET") ? " class=\"pass\""
           : !strcmp(s, "FAIL") || !strcmp(s, "MISSED") ? " class=\"fail\""
           : !strcmp(s, "NOT MEASURED") || !strcmp(s, "WITHIN ERROR") ? " class=\"none\"" : "";
}

/* On a narrow screen each row is a card, a line for each cell with its column's title; a table
 * of many columns turns into cards earlier. */
static void html_table(FILE *f, const struct block *b)
{
    bool right;
    size_t n;

    if (!b->cells)
        return;
    fprintf(f, "<div class=\"scroll\" tabindex=\"0\"><table class=\"%s\">\n<thead><tr>",
            b->level == GRID && b->columns < 9 ? "grid" : b->columns > 9 ? "many"
            : b->columns > 5 ? "some" : "few");
    for (size_t i = 0; i < b->columns; i++) {
        const char *s = column(b, i, &n, &right);
        fprintf(f, "<th scope=\"col\"%s>", right ? " class=\"r\"" : "");
        put_html(f, s, n);
        fputs("</th>", f);
    }
    fputs("</tr></thead>\n<tbody>\n", f);
    for (size_t i = 0; i < b->cells; i++) {
        const char *s = b->cell[i], *state = state_class(s);
        const char *title = column(b, i % b->columns, &n, &right);
        if (i % b->columns == 0)
            fputs("<tr>", f);
        fprintf(f, "<td%s data-t=\"", *state ? state
                : b->marked == 1 + i % b->columns ? " class=\"r n marked\""
                : right ? strlen(s) < 12 ? " class=\"r n\"" : " class=\"r\""
                : strlen(s) > 48 ? " class=\"w\"" : strlen(s) < 18 ? " class=\"n\"" : "");
        put_html(f, title, n);
        fputs("\">", f);
        if (b->link[i])
            fprintf(f, "<a href=\"#row-%zu\">", b->link[i] - 1);
        if (*state)
            fputs("<b>", f);
        put_html(f, s, strlen(s));
        fprintf(f, "%s%s</td>", *state ? "</b>" : "", b->link[i] ? "</a>" : "");
        if ((i + 1) % b->columns == 0)
            fputs("</tr>\n", f);
    }
    fputs("</tbody></table></div>\n", f);
}

static void html_tile(FILE *f, const struct block *b)
{
    fputs("<div class=\"tile\"><h3>", f);
    put_html(f, b->cell[0], strlen(b->cell[0]));
    fputs("</h3>", f);
    if (*b->cell[1]) {
        fprintf(f, "<span%s><b>", state_class(b->cell[1]));
        put_html(f, b->cell[1], strlen(b->cell[1]));
        fputs("</b></span>", f);
    }
    html_text(f, "p", " class=\"value\"", b->cell[2]);
    html_text(f, "p", "", b->cell[3]);
    fputs("</div>\n", f);
}

/* Headings of level 2 are numbered by their blocks. */
static void html_contents(FILE *f, const struct rbe_document *doc, size_t from)
{
    fputs("<nav><h2>Contents</h2><ol>\n", f);
    for (size_t i = from; i < doc->count; i++)
        if (doc->blocks[i].kind == HEADING && doc->blocks[i].level == 2) {
            fprintf(f, "<li><a href=\"#part-%zu\">", i);
            put_html(f, doc->blocks[i].text, strlen(doc->blocks[i].text));
            fputs("</a></li>\n", f);
        }
    fputs("</ol></nav>\n", f);
}

static void html_plot(FILE *f, const struct block *b)
{
    static const char *const figure[] = {"", " class=\"wide\"", " class=\"phone\""};

    fprintf(f, "<figure%s><div>\n%s\n</div>", figure[b->level], b->svg);
    if (b->level != RBE_PLOT_PHONE)     /* that of the next one is shown for both */
        html_text(f, "figcaption", "", b->text);
    fputs("</figure>\n", f);
}

static const char style[] =
    ":root{color-scheme:light dark;--fg:#1d2229;--bg:#fff;--soft:#5a6472;--line:#d5dae1;"
    "--card:#f5f7f9;--pass:#116329;--passbg:#dcf5e3;--fail:#a40e26;--failbg:#ffe3e4;"
    "--none:#5c4400;--nonebg:#fbeecb;--link:#0b57b0}\n"
    "@media(prefers-color-scheme:dark){:root{--fg:#e4e8ed;--bg:#14171b;--soft:#a3adba;"
    "--line:#363d47;--card:#1d2127;--pass:#7ee2a0;--passbg:#123420;--fail:#ff9ba1;"
    "--failbg:#43161b;--none:#f0cf7a;--nonebg:#3a2f10;--link:#8ab8ff}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:80rem;padding:.6rem 1rem 4rem;color:var(--fg);"
    "background:var(--bg);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,"
    "'DejaVu Sans',sans-serif;overflow-wrap:break-word}\n"
    "h1{font-size:1.6rem;line-height:1.2;margin:.3rem 0}\n"
    "h2{font-size:1.25rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);"
    "padding-bottom:.2rem}\n"
    "h3{font-size:1.05rem;margin:1.4rem 0 .4rem}\n"
    "p{margin:.5rem 0;max-width:52rem}\n"
    ".tiles{margin:.5rem 0}\n"
    ".tiles>p{margin:.3rem 0;font-weight:600;max-width:none}\n"
    ".tiles>div{display:grid;grid-template-columns:repeat(4,1fr);gap:.6rem}\n"
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:.4rem;"
    "padding:.5rem .7rem;font-size:.85rem;line-height:1.35;min-width:0}\n"
    ".tile h3{display:inline;font-size:.85rem;margin:0 .5rem 0 0;color:var(--soft)}\n"
    ".tile p{margin:.15rem 0 0}\n"
    ".tile .value{font-size:1.35rem;line-height:1.2;font-weight:700;margin:.2rem 0}\n"
    ".verdict{font-size:1.1rem;font-weight:600;background:var(--card);border-left:.3rem solid "
    "var(--soft);padding:.6rem .8rem;max-width:none}\n"
    "nav ol{columns:3;padding-left:1.4rem;margin:.4rem 0}\n"
    ".item{margin:.2rem 0;padding-left:1.1rem;text-indent:-.9rem}\n"
    ".item::before{content:'\\2022\\00a0\\00a0'}\n"
    ".scroll{overflow-x:auto;margin:.8rem 0;border:1px solid var(--line);border-radius:.3rem}\n"
    "table{border-collapse:collapse;width:100%;font-size:.85rem;line-height:1.4;"
    "font-variant-numeric:tabular-nums}\n"
    "th,td{padding:.3rem .45rem;text-align:left;vertical-align:top;border-bottom:1px solid "
    "var(--line);overflow-wrap:anywhere}\n"
    /* Numbers and verdicts are not broken, words of titles are not either. */
    "th,td.n,td.r{overflow-wrap:normal}\n"
    "tbody tr:last-child td{border-bottom:0}\n"
    "th{background:var(--card);vertical-align:bottom;line-height:1.25}\n"
    "th.r,td.r{text-align:right}\n"
    "td.w{min-width:13rem}\n"
    "td.n{white-space:nowrap}\n"
    "td.marked{background:var(--card);font-weight:700}\n"
    ".pass b,.fail b,.none b{padding:.1rem .4rem;border-radius:.25rem;font-size:.8rem;"
    "white-space:nowrap}\n"
    ".pass b{color:var(--pass);background:var(--passbg)}\n"
    ".fail b{color:var(--fail);background:var(--failbg)}\n"
    ".none b{color:var(--none);background:var(--nonebg)}\n"
    "figure{margin:1rem 0;padding:0}\n"
    "figure div{overflow-x:auto}\n"
    "svg{display:block;width:100%;max-width:40rem;height:auto;color:var(--fg)}\n"
    ".wide svg{max-width:none}\n"
    ".phone{display:none}\n"
    /* Ink is currentColor, and gnuplot sets color to black around it. */
    "svg g[color=black]{color:var(--fg)}\n"
    "figcaption{color:var(--soft);font-size:.9rem;max-width:52rem}\n"
    "pre{overflow-x:auto;background:var(--card);border:1px solid var(--line);padding:.6rem;"
    "font-size:.85rem;border-radius:.3rem;white-space:pre-wrap;overflow-wrap:anywhere}\n"
    "summary{cursor:pointer;margin:.6rem 0;color:var(--soft)}\n"
    "p.raw,.raw summary{margin:.1rem 0;font-size:.9rem}\n"
    ".raw pre{max-height:24rem;overflow:auto}\n"
    ".raw pre:target{outline:2px solid var(--link);outline-offset:.2rem}\n"
    "a{color:var(--link)}\n"
#define CARDS(table)                                                                           \
    table "," table " tbody," table " tr," table " td{display:block}\n" table                  \
          " thead{display:none}\n" table " td{display:grid;grid-template-columns:9rem 1fr;"    \
          "gap:.5rem;text-align:left;min-width:0;border:0;padding:.12rem .5rem;"               \
          "white-space:normal;overflow-wrap:anywhere}\n" table                                \
          " td::before{content:attr(data-t);"                                                  \
          "color:var(--soft);font-weight:400}\n" table                                         \
          " tr{border-bottom:1px solid var(--line);padding:.4rem 0}\n" table                   \
          " td.pass b," table " td.fail b," table " td.none b{justify-self:start}\n"
    "@media(min-width:64rem){figure:not(.wide):not(.phone){display:inline-block;width:49%;"
    "vertical-align:top}}\n"
    "@media(max-width:72rem){" CARDS(".many") "}\n"
    "@media(max-width:56rem){" CARDS(".some") "nav ol{columns:2}"
    ".tiles>div{grid-template-columns:repeat(2,1fr)}}\n"
    "@media(max-width:40rem){" CARDS(".few") "nav ol{columns:1}"
    "body{padding:.3rem .6rem 3rem}h1{font-size:1.25rem}.verdict{font-size:1rem}"
    ".grid{font-size:.72rem}.grid th,.grid td,.grid td.n{padding:.2rem .25rem;"
    "white-space:normal}.grid tr:first-child td{overflow-wrap:anywhere}"
    ".tile{padding:.4rem .5rem;font-size:.8rem}.tile .value{font-size:1.15rem}"
    ".wide div{display:none}.phone{display:block}}\n";
#undef CARDS

enum rbe_status rbe_document_html(const struct rbe_document *doc, const char *title, FILE *f)
{
    /* Blocks may have no text then. */
    if (doc->failed || rbe_shortages())
        return RBE_ERR_NOMEM;
    fputs("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
          "<meta name=\"color-scheme\" content=\"light dark\">\n", f);
    html_text(f, "title", "", title);
    fprintf(f, "<style>\n%s</style>\n</head>\n<body>\n", style);
    for (size_t i = 0; i < doc->count; i++) {
        const struct block *b = &doc->blocks[i];
        char tag[3] = "h1", id[40];
        switch (b->kind) {
        case HEADING:
            tag[1] = (char)('0' + b->level);
            snprintf(id, sizeof id, " id=\"part-%zu\"", i);
            html_text(f, tag, b->level == 2 ? id : "", b->text);
            break;
        case TILES:
            fputs("<section class=\"tiles\">", f);
            html_text(f, "p", "", b->text);
            fputs("<div>\n", f);
            break;
        case TILE:
            html_tile(f, b);
            if (i + 1 == doc->count || doc->blocks[i + 1].kind != TILE)
                fputs("</div></section>\n", f);
            break;
        case CONTENTS: html_contents(f, doc, i); break;
        case PARAGRAPH: html_text(f, "p", "", b->text); break;
        case VERDICT: html_text(f, "p", " class=\"verdict\"", b->text); break;
        case ITEM: html_text(f, "p", " class=\"item\"", b->text); break;
        case VERBATIM: html_text(f, "pre", "", b->text); break;
        case FOLD:
            fputs("<details>", f);
            html_text(f, "summary", "", b->text);
            break;
        case UNFOLD: fputs("</details>\n", f); break;
        case PLOT: html_plot(f, b); break;
        case TABLE: html_table(f, b); break;
        case FILE_LINK:
            fprintf(f, "<p><a href=\"%s\">", b->svg);
            put_html(f, b->text, strlen(b->text));
            fputs("</a></p>\n", f);
            break;
        case RAW:
            if (!b->svg) {
                fprintf(f, "<p class=\"raw\" id=\"row-%zu\"><a href=\"" RBE_DOCUMENT_RAW
                        "#L%zu\">", b->number, b->number);
                put_html(f, b->text, strlen(b->text));
                fprintf(f, "</a>: too long for the page, line %zu of " RBE_DOCUMENT_RAW
                        "</p>\n", b->number);
                break;
            }
            fputs("<details class=\"raw\">", f);
            html_text(f, "summary", "", b->text);
            /* A browser that follows a link into folded text opens it. */
            fprintf(f, "<pre id=\"row-%zu\">", b->number);
            put_html(f, b->svg, strlen(b->svg));
            fputs("</pre>\n", f);
            fputs("</details>\n", f);
            break;
        }
    }
    fputs("</body>\n</html>\n", f);
    return RBE_OK;
}

/* --- Markdown ----------------------------------------------------------------------- */

/* Escapes what Markdown would take for its own. */
static void put_markdown(FILE *f, const char *s, size_t n, bool cell)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr("\\`*_<>[]#", s[i]) || (cell && s[i] == '|'))
            putc('\\', f);
        if (s[i] == '\n' && cell)
            putc(' ', f);
        else
            put_bytes(f, s, n, &i);
    }
}

static void markdown_table(FILE *f, const struct block *b)
{
    bool right;
    size_t n;

    if (!b->cells)
        return;
    for (size_t i = 0; i < b->columns; i++) {
        const char *s = column(b, i, &n, &right);
        fputs(i ? " | " : "| ", f);
        put_markdown(f, s, n, true);
    }
    fputs(" |\n|", f);
    for (size_t i = 0; i < b->columns; i++) {
        column(b, i, &n, &right);
        fputs(right ? "---:|" : "---|", f);
    }
    putc('\n', f);
    for (size_t i = 0; i < b->cells; i++) {
        const char *s = b->cell[i], *bold = *state_class(s) ? "**" : "";
        fprintf(f, "%s%s", i % b->columns ? " | " : "| ", bold);
        if (b->link[i])
            putc('[', f);
        put_markdown(f, s, strlen(s), true);
        if (b->link[i])
            fprintf(f, "](" RBE_DOCUMENT_RAW "#L%zu)", b->link[i] - 1);
        fprintf(f, "%s%s", bold, (i + 1) % b->columns ? "" : " |\n");
    }
    putc('\n', f);
}

static void markdown_tile(FILE *f, const struct block *b)
{
    const char *bold = *state_class(b->cell[1]) ? "**" : "";

    for (size_t k = 0; k < b->cells; k++) {
        fprintf(f, "%s%s", k ? " | " : "| ", k == 1 ? bold : "");
        put_markdown(f, b->cell[k], strlen(b->cell[k]), true);
        fputs(k == 1 ? bold : "", f);
    }
    fputs(" |\n", f);
}

/* As GitHub makes a heading's anchor: small letters and digits, '-' for a blank. */
static void markdown_anchor(FILE *f, const char *s)
{
    for (; *s; s++)
        if (*s == ' ' || *s == '-')
            putc('-', f);
        else if ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9'))
            putc(*s, f);
        else if (*s >= 'A' && *s <= 'Z')
            putc(*s - 'A' + 'a', f);
}

static void markdown_contents(FILE *f, const struct rbe_document *doc, size_t from)
{
    for (size_t i = from; i < doc->count; i++)
        if (doc->blocks[i].kind == HEADING && doc->blocks[i].level == 2) {
            fputs("- [", f);
            put_markdown(f, doc->blocks[i].text, strlen(doc->blocks[i].text), false);
            fputs("](#", f);
            markdown_anchor(f, doc->blocks[i].text);
            fputs(")\n", f);
        }
    putc('\n', f);
}

enum rbe_status rbe_document_markdown(const struct rbe_document *doc, FILE *f)
{
    if (doc->failed || rbe_shortages())
        return RBE_ERR_NOMEM;
    for (size_t i = 0; i < doc->count; i++) {
        const struct block *b = &doc->blocks[i];
        switch (b->kind) {
        case HEADING:
            fprintf(f, "%.*s ", b->level, "######");
            put_markdown(f, b->text, strlen(b->text), false);
            fputs("\n\n", f);
            break;
        case PARAGRAPH:
            put_markdown(f, b->text, strlen(b->text), false);
            fputs("\n\n", f);
            break;
        case VERDICT:
            fputs("**", f);
            put_markdown(f, b->text, strlen(b->text), false);
            fputs("**\n\n", f);
            break;
        case ITEM:
            fputs("- ", f);
            put_markdown(f, b->text, strlen(b->text), false);
            /* The last of a list ends it. */
            fputs(i + 1 < doc->count && doc->blocks[i + 1].kind == ITEM ? "\n" : "\n\n", f);
            break;
        case VERBATIM:
            fputs("~~~text\n", f);
            for (size_t k = 0, n = strlen(b->text); k < n; k++)
                put_bytes(f, b->text, n, &k);
            fputs("\n~~~\n\n", f);
            break;
        case FOLD:
            fputs("<details><summary>", f);
            put_html(f, b->text, strlen(b->text));
            fputs("</summary>\n\n", f);
            break;
        case UNFOLD: fputs("</details>\n\n", f); break;
        case TILES:
            put_markdown(f, b->text, strlen(b->text), false);
            fputs("\n\n|  | verdict |  | against |\n|---|---|---|---|\n", f);
            break;
        case TILE:
            markdown_tile(f, b);
            if (i + 1 == doc->count || doc->blocks[i + 1].kind != TILE)
                putc('\n', f);
            break;
        case CONTENTS: markdown_contents(f, doc, i); break;
        case PLOT:
            if (b->level == RBE_PLOT_PHONE)
                break;
            fputs("![", f);
            put_markdown(f, b->text, strlen(b->text), false);
            fprintf(f, "](%s)\n\n", b->png);
            break;
        case TABLE: markdown_table(f, b); break;
        case RAW: break;        /* stands beside the page */
        case FILE_LINK:
            putc('[', f);
            put_markdown(f, b->text, strlen(b->text), false);
            fprintf(f, "](%s)\n\n", b->svg);
            break;
        }
    }
    return RBE_OK;
}

/* --- terminal ----------------------------------------------------------------------- */

void rbe_document_print_table(const struct rbe_document *doc, size_t table, size_t columns,
                              size_t width, FILE *f)
{
    const struct block *b = NULL;
    size_t wide[16] = {0}, n;
    bool right;

    for (size_t i = 0, seen = 0; i < doc->count && !b; i++)
        if (doc->blocks[i].kind == TABLE && seen++ == table)
            b = &doc->blocks[i];
    if (!b || doc->failed)
        return;
    if (columns > b->columns)
        columns = b->columns;
    if (columns > 16)
        columns = 16;
    for (size_t i = 0; i < columns; i++) {
        column(b, i, &wide[i], &right);
        for (size_t k = i; k < b->cells; k += b->columns)
            if (strlen(b->cell[k]) > wide[i])
                wide[i] = strlen(b->cell[k]);
        if (wide[i] > width)
            wide[i] = width;
    }
    for (size_t i = 0; i < columns; i++) {
        const char *s = column(b, i, &n, &right);
        fprintf(f, "%s%-*.*s", i ? "  " : "", (int)wide[i],
                (int)(n < wide[i] ? n : wide[i]), s);
    }
    putc('\n', f);
    for (size_t k = 0; k + b->columns <= b->cells; k += b->columns) {
        for (size_t i = 0; i < columns; i++)
            fprintf(f, "%s%-*.*s", i ? "  " : "", i + 1 < columns ? (int)wide[i] : 0,
                    (int)wide[i], b->cell[k + i]);
        putc('\n', f);
    }
}
