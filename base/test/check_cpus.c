/*
 * check_cpus.c - quotas of control groups, of both versions, and what follows from them.
 *
 * SPDX-License-Identifier: MIT
 */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/threads.h"
#include "kernels/test/check.h"

static char root[] = "/tmp/rbe-check-cpus-XXXXXX";

static void put(const char *name, const char *text)
{
    char *path = rbe_path_join(root, name);
    char *slash = strrchr(path, '/');

    *slash = 0;
    CHECK(!rbe_make_dirs(path, NULL));
    *slash = '/';
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && !fclose(f));
    free(path);
}

static double quota(const char *groups)
{
    put("cgroup", groups);
    char *path = rbe_path_join(root, "cgroup");
    const double q = rbe_cpu_quota_of(path, root);
    free(path);
    return q;
}

static void check_quota(void)
{
    /* Version 2: the least on the way up. */
    CHECK(quota("0::/a/b\n") == 0);
    put("a/b/cpu.max", "max 100000\n");
    CHECK(quota("0::/a/b\n") == 0);
    put("a/cpu.max", "150000 100000\n");
    CHECK(quota("0::/a/b\n") == 1.5 && quota("0::/a/b/unseen/c\n") == 1.5);
    put("a/b/cpu.max", "400000 100000\n");
    CHECK(quota("0::/a/b\n") == 1.5);
    put("a/b/cpu.max", "50000 100000\n");
    CHECK(quota("0::/a/b\n") == 0.5 && quota("0::/a\n") == 1.5 && quota("0::/\n") == 0);
    put("cpu.max", "25000 100000\n");
    CHECK(quota("0::/\n") == 0.25 && quota("0::/a/b\n") == 0.25);
    /* Version 1: the controller cpu, alone or with others; cpuset is another. */
    put("cpu/x/cpu.cfs_quota_us", "300000\n");
    put("cpu/x/cpu.cfs_period_us", "100000\n");
    CHECK(quota("4:cpu,cpuacct:/x\n") == 3 && quota("4:cpuacct,cpu:/x\n") == 3);
    CHECK(quota("4:cpuset:/x\n3:cpuacct:/x\n") == 0);
    put("cpu/x/cpu.cfs_quota_us", "-1\n");
    CHECK(quota("1:cpu:/x\n") == 0);
    CHECK(quota("garbage\n\n:\n") == 0 && rbe_cpu_quota_of("/nonexistent", root) == 0);
}

static double memory(const char *groups)
{
    put("cgroup", groups);
    char *path = rbe_path_join(root, "cgroup");
    const double q = rbe_memory_quota_of(path, root);
    free(path);
    return q;
}

static void check_memory(void)
{
    CHECK(memory("0::/m/n\n") == 0);
    put("m/n/memory.max", "max\n");
    CHECK(memory("0::/m/n\n") == 0);
    put("m/memory.max", "268435456\n");
    CHECK(memory("0::/m/n\n") == 268435456 && memory("0::/m/n/unseen\n") == 268435456);
    put("m/n/memory.max", "1048576\n");
    CHECK(memory("0::/m/n\n") == 1048576 && memory("0::/m\n") == 268435456);
    put("memory/y/memory.limit_in_bytes", "9223372036854771712\n");
    CHECK(memory("4:memory:/y\n") == 0);
    put("memory/y/memory.limit_in_bytes", "4096\n");
    CHECK(memory("4:memory:/y\n") == 4096 && memory("4:cpu:/y\n") == 0);
    /* What a process is told of its own group. */
    setenv("RBE_SYSFS", root, 1);
    put("fs/cgroup/memory.max", "2000000\n");
    put("fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
    struct rbe_diag d = {""};
    CHECK(rbe_memory_quota() == 2000000);
    CHECK(!rbe_memory_check_quota("it", 2000000, &d));
    CHECK(rbe_memory_check_quota("it", 2000001, &d) == RBE_ERR_LIMIT);
    CHECK(strstr(d.text, "2.0 MB") != NULL);
    unsetenv("RBE_SYSFS");
}

/* One CPU allowed: that many threads when none are asked for. */
static void check_affinity(void)
{
    cpu_set_t had, one;
    struct rbe_pool *p;
    int first = 0;

    if (!CHECK(!sched_getaffinity(0, sizeof had, &had)))
        return;
    CHECK(rbe_cpus_allowed() == (unsigned)CPU_COUNT(&had));
    CHECK(rbe_cpus_usable() >= 1 && rbe_cpus_usable() <= rbe_cpus_allowed());
    CHECK(rbe_oversubscribed(rbe_cpus_allowed() + 1));
    CHECK(rbe_cpu_quota() > 0 || !rbe_oversubscribed(rbe_cpus_allowed()));
    while (!CPU_ISSET(first, &had))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    CHECK(!sched_setaffinity(0, sizeof one, &one));
    CHECK(rbe_cpus_allowed() == 1 && rbe_cpus_usable() == 1 && rbe_oversubscribed(2));
    CHECK(!rbe_pool_open(&p, 0, NULL) && rbe_pool_threads(p) == 1);
    rbe_pool_close(&p);
    CHECK(!sched_setaffinity(0, sizeof had, &had));
}

int main(void)
{
    char command[64];

    if (!CHECK(mkdtemp(root) != NULL))
        return check_done();
    check_quota();
    check_memory();
    check_affinity();
    snprintf(command, sizeof command, "rm -rf %s", root);
    CHECK(!system(command));
    return check_done();
}
