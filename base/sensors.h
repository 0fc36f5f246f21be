/*
 * sensors.h - how warm the machine is, how fast its CPUs run, what they use, as Linux says it.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_SENSORS_H
#define RBE_BASE_SENSORS_H

/* "/sys", or what $RBE_SYSFS names instead. */
const char *rbe_sysfs(void);

/* The warmest of ROOT/class/thermal/thermal_zone*, in degrees Celsius; NaN: none that can be
 * read. */
double rbe_temperature(const char *root);

/* The mean frequency of the CPUs (ROOT/devices/system/cpu/cpu*), in MHz; NaN: none that can be
 * read. */
double rbe_frequency(const char *root);

/* Joules that all packages have used since some moment, by RAPL
 * (ROOT/class/powercap/intel-rapl:N); NaN: none that can be read.  A counter begins anew at 0
 * now and then. */
double rbe_energy(const char *root);

#endif
