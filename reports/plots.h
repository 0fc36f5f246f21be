/*
 * plots.h - numbers to TSV, TSV to pictures by gnuplot and the scripts of reports/plots.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_REPORTS_PLOTS_H
#define RBE_REPORTS_PLOTS_H

#include <stdbool.h>
#include <stdio.h>

#include "reports/document.h"

/* Where plots go and what draws them. */
struct rbe_plotter {
    char *folder;               /* the report's folder; pictures in its plots/ */
    char *scripts;              /* folder of the *.gp files, or NULL: not found */
    char *made;                 /* was not there before: the first of its folders, or NULL */
    bool gnuplot;               /* is there a gnuplot? */
    unsigned drawn, failed;
};

enum rbe_status rbe_plotter_open(struct rbe_plotter *p, const char *folder, struct rbe_diag *d);
void rbe_plotter_close(struct rbe_plotter *p);

/* The data of one plot, being collected. */
struct rbe_plot_data {
    FILE *tsv;                  /* write rows here: cells separated by tabs */
    char *text;                 /* what was written, after rbe_plot_draw closes tsv */
    size_t size;
    char series[1024];          /* names added by rbe_plot_series, separated by blanks */
    size_t rows;                /* rows written: the caller counts */
    const char *missing;        /* what to say when there are none, or NULL */
    enum rbe_plot_shape shape;  /* RBE_PLOT_PHONE: nothing is said where it cannot be drawn */
};
bool rbe_plot_begin(struct rbe_plot_data *p);
/* A name fit to be a series: blanks and quotes replaced; added to p->series when new. */
void rbe_plot_series(struct rbe_plot_data *p, char out[64], const char *name);

/*
 * Draws reports/plots/NAME.gp from the data as SVG (into doc) and PNG (plots/ID.png), with the
 * TSV beside it.  `vars` are gnuplot assignments beyond in, out, kind, id, series, title.
 * Without rows doc says that this was not measured, and p->missing as the reason; without
 * gnuplot, that it was not drawn.
 */
enum rbe_status rbe_plot_draw(struct rbe_plotter *plotter, struct rbe_plot_data *p,
                              struct rbe_document *doc, const char *name, const char *id,
                              const char *title, const char *vars, const char *caption,
                              struct rbe_diag *d);

#endif
