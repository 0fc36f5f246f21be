/*
 * machine_private.h - what machine.c and topology.c share.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_MACHINE_PRIVATE_H
#define RBE_BENCH_MACHINE_PRIVATE_H

#include <hwloc.h>

#include "bench/machine.h"

struct rbe_machine {
    hwloc_topology_t topology;
    struct rbe_cpulist allowed; /* when the program started */
};

#endif
