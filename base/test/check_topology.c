/*
 * check_topology.c - the machine's topology from a folder like /sys, made up by hand.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/topology.h"
#include "kernels/test/check.h"

static char root[] = "/tmp/rbe-check-topology-XXXXXX";

static void put(const char *path, const char *text)
{
    char full[256];
    struct rbe_diag d;

    snprintf(full, sizeof full, "%s/%s", root, path);
    char *slash = strrchr(full, '/');
    *slash = 0;
    CHECK(!rbe_make_dirs(full, &d));
    *slash = '/';
    FILE *f = fopen(full, "w");
    if (CHECK(f != NULL)) {
        fputs(text, f);
        fclose(f);
    }
}

static void put_cpu(int n, int socket, const char *siblings, const char *l3)
{
    static const char *const what[] = {"level", "type", "size", "shared_cpu_list"};
    const char *const l1d[] = {"1\n", "Data\n", "48K\n", siblings};
    const char *const last[] = {"3\n", "Unified\n", "16M\n", l3};
    char path[128], text[16];

    snprintf(path, sizeof path, "cpu/cpu%d/topology/physical_package_id", n);
    snprintf(text, sizeof text, "%d\n", socket);
    put(path, text);
    snprintf(path, sizeof path, "cpu/cpu%d/topology/thread_siblings_list", n);
    put(path, siblings);
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "cpu/cpu%d/cache/index0/%s", n, what[i]);
        put(path, l1d[i]);
        snprintf(path, sizeof path, "cpu/cpu%d/cache/index1/%s", n, what[i]);
        put(path, last[i]);
    }
}

static json_int_t in(const json_t *t, const char *key)
{
    return json_integer_value(json_object_get(t, key));
}

int main(void)
{
    char command[64];

    if (!CHECK(mkdtemp(root) != NULL))
        return check_done();
    json_t *t = rbe_topology(root);
    CHECK(json_is_null(json_object_get(t, "sockets")));
    CHECK(json_is_null(json_object_get(t, "cores")));
    CHECK(json_array_size(json_object_get(t, "caches")) == 0);
    json_decref(t);

    /* Two sockets of two cores of two threads; CPU 2 is off, so core 2-3 has lost its first:
     * the siblings that are left name CPU 3. */
    put("cpu/possible", "0-7\n");
    put("node/possible", "0-1\n");
    put("node/node0/distance", "10 21\n");
    put("node/node1/distance", "21 10\n");
    put_cpu(0, 0, "0-1\n", "0-1,3\n");
    put_cpu(1, 0, "0-1\n", "0-1,3\n");
    put_cpu(3, 0, "3\n", "0-1,3\n");
    put_cpu(4, 1, "4-5\n", "4-7\n");
    put_cpu(5, 1, "4-5\n", "4-7\n");
    put_cpu(6, 1, "6-7\n", "4-7\n");
    put_cpu(7, 1, "6-7\n", "4-7\n");
    t = rbe_topology(root);
    CHECK(in(t, "sockets") == 2 && in(t, "cores") == 4 && in(t, "cpus") == 7);
    CHECK(in(t, "numa_nodes") == 2);
    CHECK(json_real_value(json_object_get(t, "threads_per_core")) == 1.75);
    const json_t *caches = json_object_get(t, "caches");
    CHECK(json_array_size(caches) == 2);
    const json_t *first = json_array_get(caches, 0), *last = json_array_get(caches, 1);
    CHECK(in(first, "level") == 1 && in(first, "bytes") == 48 << 10 && in(first, "count") == 4);
    CHECK(in(last, "level") == 3 && in(last, "bytes") == 16 << 20 && in(last, "count") == 2);
    CHECK(!strcmp(json_string_value(json_object_get(last, "type")), "Unified"));
    json_decref(t);
    snprintf(command, sizeof command, "rm -rf %s", root);
    CHECK(!system(command));
    return check_done();
}
