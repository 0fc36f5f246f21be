/*
 * topology.h - sockets, cores, caches and memory nodes, as the kernel tells them.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_TOPOLOGY_H
#define RBE_BASE_TOPOLOGY_H

#include <jansson.h>

/*
 * {sockets, cores, cpus, threads_per_core, numa_nodes, caches: [{level, type, bytes, count}]}
 * of the CPUs that are on, from the files under root ("/sys/devices/system"); what they do not
 * tell is null.  NULL when out of memory.
 */
json_t *rbe_topology(const char *root);

#endif
