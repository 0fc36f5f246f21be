/*
 * sensors.c - numbers out of sysfs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/sensors.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *rbe_sysfs(void)
{
    const char *root = getenv("RBE_SYSFS");

    return root && *root ? root : "/sys";
}

/* The number in ROOT/FOLDER/NAME/FILE, or NaN. */
static double number_in(const char *root, const char *folder, const char *name,
                        const char *file)
{
    char path[4096];
    double x = NAN;

    if (snprintf(path, sizeof path, "%s/%s/%s/%s", root, folder, name, file) >=
        (int)sizeof path)
        return NAN;
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%lf", &x) != 1)
        x = NAN;
    if (f)
        fclose(f);
    return x;
}

/* Of all ROOT/FOLDER/STEM<number>/FILE that hold one: how many, their sum and the largest. */
struct numbers {
    unsigned count;
    double sum, most;
};

static struct numbers numbers_in(const char *root, const char *folder, const char *stem,
                                 const char *file)
{
    struct numbers all = {0, 0, -INFINITY};
    char path[4096];
    struct dirent *e;

    snprintf(path, sizeof path, "%s/%s", root, folder);
    DIR *dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        const size_t n = strlen(stem);
        if (strncmp(e->d_name, stem, n) || !e->d_name[n] ||
            e->d_name[n + strspn(e->d_name + n, "0123456789")])
            continue;
        const double x = number_in(root, folder, e->d_name, file);
        if (!isfinite(x))
            continue;
        all.count++;
        all.sum += x;
        all.most = fmax(all.most, x);
    }
    if (dir)
        closedir(dir);
    return all;
}

double rbe_temperature(const char *root)
{
    const struct numbers n = numbers_in(root, "class/thermal", "thermal_zone", "temp");

    return n.count ? n.most / 1e3 : NAN;
}

double rbe_frequency(const char *root)
{
    const struct numbers n =
        numbers_in(root, "devices/system/cpu", "cpu", "cpufreq/scaling_cur_freq");

    return n.count ? n.sum / n.count / 1e3 : NAN;
}

double rbe_energy(const char *root)
{
    /* intel-rapl:0:1 is a part of intel-rapl:0. */
    const struct numbers n = numbers_in(root, "class/powercap", "intel-rapl:", "energy_uj");

    return n.count ? n.sum / 1e6 : NAN;
}
