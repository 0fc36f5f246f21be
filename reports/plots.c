/*
 * plots.c - writes the TSV of a plot and has gnuplot draw it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/plots.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"

/* Runs a program, what it says appended to `log`; its exit status, or 127. */
static int run(char *const argv[], const char *log)
{
    extern char **environ;
    posix_spawn_file_actions_t act;
    int status = 0;
    pid_t pid;

    if (posix_spawn_file_actions_init(&act))
        return 127;
    posix_spawn_file_actions_addopen(&act, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&act, 1, log, O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&act, 1, 2);
    const int rc = posix_spawnp(&pid, argv[0], &act, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&act);
    if (rc)
        return 127;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 126;
}

/* The nearest reports/plots above the program or the current folder, or the installed one. */
static char *find_scripts(void)
{
    static const char *const below[] = {"reports/plots", "share/rbe-bench/plots"};
    char start[2][4096];
    const ssize_t n = readlink("/proc/self/exe", start[0], sizeof start[0] - 1);

    start[0][n < 0 ? 0 : n] = 0;
    if (!getcwd(start[1], sizeof start[1]))
        start[1][0] = 0;
    for (int i = 0; i < 2; i++)
        for (char *dir = start[i], *slash; (slash = strrchr(dir, '/')); *slash = 0)
            for (int j = 0; j < 2; j++) {
                char *p = rbe_path_join(dir, below[j]);
                char *probe = p ? rbe_path_join(p, "common.gp") : NULL;
                const bool found = probe && access(probe, R_OK) == 0;
                free(probe);
                if (found)
                    return p;
                free(p);
            }
    return NULL;
}

enum rbe_status rbe_plotter_open(struct rbe_plotter *p, const char *folder, struct rbe_diag *d)
{
    char *const probe[] = {"gnuplot", "--version", NULL};
    enum rbe_status err;

    *p = (struct rbe_plotter){.folder = strdup(folder)};
    char *plots = rbe_path_join(folder, "plots");
    if (!p->folder || !plots)
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    else
        err = rbe_make_new_dirs(&p->made, plots, d);
    free(plots);
    if (err) {
        rbe_plotter_close(p);
        return err;
    }
    p->scripts = find_scripts();
    p->gnuplot = p->scripts && run(probe, "/dev/null") == 0;
    return RBE_OK;
}

void rbe_plotter_close(struct rbe_plotter *p)
{
    char *plots = p->made ? rbe_path_join(p->folder, "plots") : NULL;

    if (plots)                  /* empty ones, where nothing was written */
        rbe_unmake_dirs(&p->made, plots);
    free(plots);
    free(p->made);
    free(p->folder);
    free(p->scripts);
    *p = (struct rbe_plotter){0};
}

bool rbe_plot_begin(struct rbe_plot_data *p)
{
    *p = (struct rbe_plot_data){0};
    p->tsv = open_memstream(&p->text, &p->size);
    return p->tsv != NULL;
}

void rbe_plot_series(struct rbe_plot_data *p, char out[64], const char *name)
{
    char padded[66];

    snprintf(out, 64, "%s", name && *name ? name : "?");
    for (char *s = out; *s; s++)
        if ((unsigned char)*s <= ' ' || strchr("'\"\\`@", *s))
            *s = '-';
    snprintf(padded, sizeof padded, "%s ", out);
    /* Names of one length each: a blank stands before and after. */
    for (const char *s = p->series; (s = strstr(s, padded)); s++)
        if (s == p->series || s[-1] == ' ')
            return;
    const size_t used = strlen(p->series);
    if (used + strlen(padded) < sizeof p->series)
        strcpy(p->series + used, padded);
}

/* A gnuplot string: quotes doubled, control characters taken out. */
static void quote(FILE *f, const char *s)
{
    putc('\'', f);
    for (; *s; s++) {
        if (*s == '\'')
            putc('\'', f);
        if ((unsigned char)*s >= ' ')
            putc(*s, f);
    }
    putc('\'', f);
}

static void assign(FILE *f, const char *name, const char *value)
{
    fprintf(f, "%s=", name);
    quote(f, value);
    fputs("; ", f);
}

static int gnuplot(const struct rbe_plotter *plotter, const char *kind, const char *script,
                   const char *id, const char *tsv, const char *out, const char *series,
                   const char *title, const char *vars)
{
    char *settings = NULL, *common = rbe_path_join(plotter->scripts, "common.gp"), *file = NULL;
    char *log = rbe_path_join(plotter->folder, "plots/gnuplot.log");
    size_t size;
    int rc = 127;
    FILE *f = open_memstream(&settings, &size);

    if (f) {
        assign(f, "kind", kind);
        assign(f, "id", id);
        assign(f, "in", tsv);
        assign(f, "out", out);
        assign(f, "series", series);
        assign(f, "title", title);
        fputs(vars ? vars : "", f);
        if (fclose(f))
            rbe_shortage_note();
    } else {
        rbe_shortage_note();
    }
    char name[128];
    snprintf(name, sizeof name, "%s.gp", script);
    file = rbe_path_join(plotter->scripts, name);
    if (settings && common && file && log) {
        char *const argv[] = {"gnuplot", "-e", settings, common, file, NULL};
        rc = run(argv, log);
    }
    free(log);
    free(file);
    free(common);
    free(settings);
    return rc;
}

/* The SVG element alone, the ink in the page's colour of text. */
static char *inline_svg(const char *text)
{
    static const char *const ink[] = {"rgb(  1,   2,   3)", "rgb(1,2,3)", "#010203"};
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);
    const char *s = strstr(text, "<svg");

    if (!f)
        return NULL;
    while (s && *s) {
        size_t skip = 0;
        for (int i = 0; i < 3 && !skip; i++)
            if (!strncmp(s, ink[i], strlen(ink[i])))
                skip = strlen(ink[i]);
        if (skip) {
            fputs("currentColor", f);
            s += skip;
        } else {
            putc(*s++, f);
        }
    }
    if (fclose(f))
        rbe_shortage_note();
    return out;
}

enum rbe_status rbe_plot_draw(struct rbe_plotter *plotter, struct rbe_plot_data *p,
                              struct rbe_document *doc, const char *name, const char *id,
                              const char *title, const char *vars, const char *caption,
                              struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char file[3][160], *path[3] = {NULL}, *text = NULL, *svg = NULL;
    static const char *const ends[] = {"tsv", "svg", "png"};
    struct rbe_outfile o = {0};
    size_t size;

    if (fclose(p->tsv))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    p->tsv = NULL;
    if (err)
        goto out;
    if (!p->rows) {
        if (p->missing)
            rbe_document_paragraph(doc, "%s: NOT MEASURED: %s.", title, p->missing);
        goto out;
    }
    err = RBE_ERR_NOMEM;
    for (int i = 0; i < 3; i++) {
        snprintf(file[i], sizeof file[i], "plots/%s.%s", id, ends[i]);
        if (!(path[i] = rbe_path_join(plotter->folder, file[i])))
            goto out;
    }
    if ((err = rbe_outfile_open(&o, path[0], d)))
        goto out;
    fwrite(p->text, 1, p->size, o.f);
    if ((err = rbe_outfile_commit(&o, d)))
        goto out;
    if (!plotter->gnuplot && p->shape == RBE_PLOT_PHONE)
        goto out;
    if (!plotter->gnuplot) {
        rbe_document_paragraph(doc, "%s: not drawn, because %s is missing; the numbers are in "
                               "%s.", title, plotter->scripts ? "gnuplot" : "reports/plots",
                               file[0]);
        plotter->failed++;
        goto out;
    }
    int rc = gnuplot(plotter, "svg", name, id, path[0], path[1], p->series, title, vars);
    if (!rc && p->shape != RBE_PLOT_PHONE)
        rc = gnuplot(plotter, "png", name, id, path[0], path[2], p->series, title, vars);
    if (rc) {
        rbe_document_paragraph(doc, "%s: not drawn, because gnuplot failed (exit %d, see "
                               "plots/gnuplot.log); the numbers are in %s.", title, rc,
                               file[0]);
        plotter->failed++;
        goto out;
    }
    if ((err = rbe_read_file(&text, &size, path[1], d)))
        goto out;
    err = RBE_ERR_NOMEM;
    if (!(svg = inline_svg(text)))
        goto out;
    rbe_document_plot(doc, svg, file[2], caption, p->shape);
    plotter->drawn++;
    err = RBE_OK;
out:
    for (int i = 0; i < 3; i++)
        free(path[i]);
    free(svg);
    free(text);
    free(p->text);
    p->text = NULL;
    return err;
}
