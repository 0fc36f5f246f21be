/*
 * cgroup.c - from a process to its groups' files, and up to the root.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/cgroup.h"

#include <stdio.h>
#include <string.h>

#include "base/sensors.h"

bool rbe_cgroup_line(char *buf, int size, const char *root, const char *group,
                     const char *file)
{
    char path[4096];

    if (snprintf(path, sizeof path, "%s%s/%s", root, group, file) >= (int)sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    const bool ok = f && fgets(buf, size, f);
    if (f)
        fclose(f);
    return ok;
}

/* Is the controller among the n bytes of "cpuacct,cpu"? */
static bool has(const char *list, size_t n, const char *controller)
{
    const size_t size = strlen(controller);

    for (size_t at = 0; at < n;) {
        const char *comma = memchr(list + at, ',', n - at);
        const size_t end = comma ? (size_t)(comma - list) : n;
        if (end - at == size && !memcmp(list + at, controller, size))
            return true;
        at = end + 1;
    }
    return false;
}

double rbe_cgroup_least(const char *groups, const char *root, const char *controller,
                        rbe_cgroup_fn *at)
{
    char line[4096], mount[4096];
    double least = 0;
    FILE *f = fopen(groups, "r");

    /* "HIERARCHY:CONTROLLERS:/GROUP"; version 2 names no controllers. */
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *list = strchr(line, ':'), *group = list ? strchr(++list, ':') : NULL;
        if (!group)
            continue;
        const size_t n = (size_t)(group++ - list);
        if (n && !has(list, n, controller))
            continue;
        if (snprintf(mount, sizeof mount, "%s%s%s", root, n ? "/" : "", n ? controller : "") >=
            (int)sizeof mount)
            continue;
        /* A group that is not seen from in here is limited by those above it. */
        for (;;) {
            char *slash = strrchr(group, '/');
            if (slash && !slash[1])
                *slash = 0;
            const double limit = at(mount, group);
            if (limit > 0 && (!least || limit < least))
                least = limit;
            if (!(slash = strrchr(group, '/')))
                break;
            *slash = 0;
        }
    }
    if (f)
        fclose(f);
    return least;
}

double rbe_cgroup_own(const char *controller, rbe_cgroup_fn *at)
{
    char root[4096];

    if (snprintf(root, sizeof root, "%s/fs/cgroup", rbe_sysfs()) >= (int)sizeof root)
        return 0;
    return rbe_cgroup_least("/proc/self/cgroup", root, controller, at);
}
