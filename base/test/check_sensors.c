/*
 * check_sensors.c - temperature, frequency and energy out of a folder that looks like sysfs.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/sensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/test/check.h"

static char root[64];

static void put(const char *path, const char *text)
{
    char command[512];

    snprintf(command, sizeof command,
             "cd %s && mkdir -p \"$(dirname '%s')\" && printf -- '%s' > '%s'", root, path, text,
             path);
    CHECK(!system(command));
}

int main(void)
{
    snprintf(root, sizeof root, "/tmp/check_sensors.XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    CHECK(isnan(rbe_temperature(root)) && isnan(rbe_frequency(root)));
    put("class/thermal/thermal_zone0/temp", "41500\\n");
    put("class/thermal/thermal_zone11/temp", "63000\\n");
    put("class/thermal/thermal_zone2/temp", "none\\n");
    put("class/thermal/cooling_device0/temp", "99000\\n");
    CHECK(rbe_temperature(root) == 63);
    put("devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "1500000\\n");
    put("devices/system/cpu/cpu1/cpufreq/scaling_cur_freq", "600000\\n");
    put("devices/system/cpu/cpu2/online", "0\\n");
    put("devices/system/cpu/cpufreq/scaling_cur_freq", "9\\n");
    CHECK(rbe_frequency(root) == 1050);
    /* Below freezing is a temperature too. */
    put("class/thermal/thermal_zone0/temp", "-5000\\n");
    put("class/thermal/thermal_zone11/temp", "\\n");
    CHECK(rbe_temperature(root) == -5);
    /* Two packages; a part of the first is in it already. */
    CHECK(isnan(rbe_energy(root)));
    put("class/powercap/intel-rapl/enabled", "1\\n");
    put("class/powercap/intel-rapl:0/energy_uj", "2500000\\n");
    put("class/powercap/intel-rapl:0:0/energy_uj", "700000\\n");
    put("class/powercap/intel-rapl:1/energy_uj", "500000\\n");
    CHECK(rbe_energy(root) == 3);
    unsetenv("RBE_SYSFS");
    CHECK(!strcmp(rbe_sysfs(), "/sys"));
    setenv("RBE_SYSFS", root, 1);
    CHECK(!strcmp(rbe_sysfs(), root));
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    CHECK(!system(command));
    return check_done();
}
