/*
 * check_machine.c - CPU lists, pinning that is read back, the meter, and the drawing.
 *
 * SPDX-License-Identifier: MIT
 *
 * Runs alone: it judges times.
 */
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/progress.h"
#include "bench/machine.h"
#include "kernels/test/check.h"

static void burn(void *arg, unsigned i, unsigned n)
{
    const double end = rbe_now() + *(double *)arg;

    (void)i, (void)n;
    while (rbe_now() < end)
        ;
}

static void lists(const struct rbe_cpulist *all)
{
    struct rbe_cpulist l;
    struct rbe_diag d;
    char text[64], back[512];

    snprintf(text, sizeof text, "%u", all->cpu[0]);
    CHECK(rbe_cpulist_parse(&l, text, &d) == RBE_OK && l.count == 1 && l.cpu[0] == all->cpu[0]);
    static const char *const bad[] = {
        "", ",", "x", "-1", "1-", "0,", "100000", "2-1", "99999999999999999999", "0 1", "0,0"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d.text[0] = 0;
        CHECK(rbe_cpulist_parse(&l, bad[i], &d) == RBE_ERR_ARG);
        CHECK(strstr(d.text, "valid:") != NULL && !strchr(d.text, '\n'));
    }
    const struct rbe_cpulist some = {.count = 5, .cpu = {0, 1, 2, 7, 9}};
    CHECK(!strcmp(rbe_cpulist_string(&some, back, sizeof back), "0-2,7,9"));
}

static void pinning(const struct rbe_cpulist *all)
{
    struct rbe_team *t;
    struct rbe_meter m;
    struct rbe_diag d;
    double seconds = 0.05;

    CHECK(rbe_team_open(&t, all->count + 1, all, &d) == RBE_ERR_ARG && !t);
    if (!CHECK(rbe_team_open(&t, all->count, all, &d) == RBE_OK))
        return;
    for (unsigned i = 0; i < all->count; i++) {
        CHECK(t->pinned.cpu[i] == all->cpu[i]);
        CHECK(t->tid[i] > 0);
    }
    rbe_meter_start(&m);
    rbe_pool_run(t->pool, burn, &seconds);
    const struct rbe_validity busy = rbe_meter_stop(&m, all->count);
    CHECK(busy.lost >= 0 && busy.lost <= 1 && busy.foreign <= 1);
    /* Threads that sleep lose all of their time. */
    rbe_meter_start(&m);
    usleep(50000);
    const struct rbe_validity idle = rbe_meter_stop(&m, all->count);
    CHECK(idle.lost > 0.5);
    CHECK(!rbe_valid(&idle, 0.03));
    const struct rbe_validity fine = {.lost = 0.01, .foreign = 0.02, .steal = 0, .grain = 0.01};
    const struct rbe_validity bad = {.lost = 0.01, .foreign = 0.05, .steal = 0, .grain = 0.01};
    CHECK(rbe_valid(&fine, 0.03));
    CHECK(!rbe_valid(&bad, 0.03));
    rbe_team_close(&t);
}

int main(void)
{
    char path[] = "/tmp/rbe-check-machine.XXXXXX";
    struct rbe_machine *m;
    struct rbe_cpulist all;
    struct rbe_diag d;
    json_t *facts, *warnings;

    if (!CHECK(rbe_machine_open(&m, &d) == RBE_OK))
        return check_done();
    rbe_machine_one_per_core(m, &all);
    CHECK(all.count >= 1);
    lists(&all);

    json_t *j = rbe_machine_json(m);
    CHECK(json_integer_value(json_object_get(j, "threads")) >= 1);
    CHECK(json_string_value(json_object_get(j, "summary")) != NULL);
    const unsigned nodes = (unsigned)json_integer_value(json_object_get(j, "numa_nodes"));
    json_decref(j);
    rbe_machine_conditions(m, &facts, &warnings);
    CHECK(json_integer_value(json_object_get(facts, "page_bytes")) >= 4096);
    CHECK(json_is_array(warnings));
    json_decref(facts);
    json_decref(warnings);

    const int fd = mkstemp(path);
    if (CHECK(fd >= 0)) {
        char *text = NULL;
        size_t size;
        close(fd);
        CHECK(rbe_machine_svg(m, &all, path, &d) == RBE_OK);
        CHECK(rbe_read_file(&text, &size, path, &d) == RBE_OK);
        if (text) {
            unsigned marks = 0;
            for (const char *s = text; (s = strstr(s, "class='pinned'")); s++)
                marks++;
            CHECK(marks == all.count);
            CHECK(strstr(text, "</svg>") != NULL);
            marks = 0;
            for (const char *s = text; (s = strstr(s, ">NUMA ")); s++)
                marks++;
            CHECK(marks == nodes && nodes >= 1);
        }
        free(text);
        unlink(path);
    }
    pinning(&all);
    rbe_machine_close(&m);
    return check_done();
}
