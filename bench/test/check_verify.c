/*
 * check_verify.c - a wrong kernel is never timed and fails the run; a right one is timed.
 *
 * SPDX-License-Identifier: MIT
 *
 * Google Benchmark runs once in a process, so one run holds all cases.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "base/progress.h"
#include "bench/gbench.h"
#include "bench/plan.h"
#include "bench/suite.h"
#include "kernels/cpu.h"
#include "kernels/list.h"
#include "kernels/test/check.h"

static unsigned wrong_calls, nan_calls, silent_calls;

/* One weight of the middle row is dropped. */
static void drops_one(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                      size_t row0, size_t row1)
{
    wrong_calls++;
    rbe_gemv_f32_scalar(w, a, y, ldy, row0, row1);
    const size_t r = w->rows / 2;
    if (r >= row0 && r < row1)
        y[r] -= ((const float *)w->codes)[r * w->cols + 5] * a->x[5];
}

static void gives_nan(const struct rbe_matrix *w, const struct rbe_act *a, float *y, size_t ldy,
                      size_t row0, size_t row1)
{
    nan_calls++;
    rbe_gemv_f32_scalar(w, a, y, ldy, row0, row1);
    y[row0] = NAN;
}

static void writes_nothing(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                           size_t ldy, size_t row0, size_t row1)
{
    (void)w, (void)a, (void)y, (void)ldy, (void)row0, (void)row1;
    silent_calls++;
}

/* Within every bound of rounding, and yet not what sums in integers give. */
static void off_by_a_bit(const struct rbe_matrix *w, const struct rbe_act *a, float *y,
                         size_t ldy, size_t row0, size_t row1)
{
    rbe_gemv_seed_scalar(w, a, y, ldy, row0, row1);
    if (row1 == w->rows)
        y[row1 - 1] = nextafterf(y[row1 - 1], INFINITY);
}

static const struct rbe_kernel planted[] = {
    {"gemv_f32_dropsone", RBE_GEMV, RBE_F32, 0, drops_one, "scalar", 16, false},
    {"gemv_f32_givesnan", RBE_GEMV, RBE_F32, 0, gives_nan, "scalar", 16, false},
    {"gemv_f32_silent", RBE_GEMV, RBE_F32, 0, writes_nothing, "scalar", 16, false},
    {"gemv_seed_offbyabit", RBE_GEMV, RBE_SEED, 0, off_by_a_bit, "scalar", 16, false},
    {"gemv_f32_right", RBE_GEMV, RBE_F32, 0, rbe_gemv_f32_scalar, "scalar", 16, false},
};

static const json_t *row_of(const json_t *list, const char *prefix)
{
    const json_t *b;
    size_t i;

    json_array_foreach(list, i, b) if (!strncmp(json_string_value(json_object_get(b, "name")),
                                                prefix, strlen(prefix))) return b;
    return NULL;
}

int main(void)
{
    char path[] = "/tmp/rbe-check-verify.XXXXXX", flag[64];
    struct rbe_teams teams = {{NULL}, {NULL}};
    struct rbe_cpulist cpus;
    struct rbe_machine *machine;
    struct rbe_data *data;
    struct rbe_suite *suite;
    struct rbe_diag d;
    const struct rbe_suite_options o = {.min_seconds = 0.001, .foreign_limit = 1};

    rbe_cpu_init();
    rbe_progress_silence();
    const int fd = mkstemp(path);
    if (!CHECK(fd >= 0))
        return check_done();
    close(fd);
    snprintf(flag, sizeof flag, "--benchmark_out=%s", path);
    char *argv[] = {"check_verify", flag, "--benchmark_repetitions=2",
                    "--benchmark_min_time=0.001", NULL};
    int argc = 4;
    CHECK(!rbe_gbench_init(&argc, argv));

    CHECK(rbe_machine_open(&machine, &d) == RBE_OK);
    rbe_machine_one_per_core(machine, &cpus);
    CHECK(rbe_team_open(&teams.of[1], 1, &cpus, &d) == RBE_OK);
    CHECK(rbe_data_open(&data, 1 << 22, &d) == RBE_OK);
    CHECK(rbe_suite_open(&suite, data, &teams, NULL, &o, &d) == RBE_OK);
    for (size_t i = 0; i < sizeof planted / sizeof planted[0]; i++) {
        const struct rbe_product_case c = {
            .kernel = &planted[i],
            .rows = 96,
            .cols = 64,
            .block = rbe_format_facts(planted[i].format)->usual_block,
            .threads = 1,
            .cold = true};
        CHECK(rbe_suite_product(suite, &c, &d) == RBE_OK);
    }
    rbe_suite_register(suite);
    CHECK(rbe_gbench_run(true, true) == 5);

    const struct rbe_suite_result r = rbe_suite_result(suite);
    CHECK(r.failed == 4);
    CHECK(r.verified == 1);
    CHECK(strstr(r.first_failure, "gemv_") != NULL);
    /* Called once, to be verified; timing would call again. */
    CHECK(wrong_calls == 1);
    CHECK(nan_calls == 1);
    CHECK(silent_calls == 1);

    json_error_t e;
    json_t *result = json_load_file(path, 0, &e);
    if (CHECK(result != NULL)) {
        const json_t *list = json_object_get(result, "benchmarks");
        for (int i = 0; i < 4; i++) {
            const json_t *b = row_of(list, planted[i].name);
            if (!CHECK(b != NULL))
                continue;
            CHECK(json_is_true(json_object_get(b, "error_occurred")));
            CHECK(json_number_value(json_object_get(b, "real_time")) == 0);
            CHECK(json_integer_value(json_object_get(b, "iterations")) == 0);
        }
        const json_t *right = row_of(list, "gemv_f32_right");
        CHECK(right && json_number_value(json_object_get(right, "real_time")) > 0);
        CHECK(right && json_number_value(json_object_get(right, "items_per_second")) > 0);
        json_decref(result);
    }
    unlink(path);
    rbe_suite_close(&suite);
    rbe_data_close(&data);
    rbe_team_close(&teams.of[1]);
    rbe_machine_close(&machine);
    return check_done();
}
