/*
 * gbench.cc - the C wrapper around Google Benchmark; no C++ outside this file.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/gbench.h"

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "base/stats.h"
}

struct rbe_gbench_state {
    benchmark::State &state;
};

namespace
{

double mad(const std::vector<double> &v)
{
    std::vector<double> sorted(v), scratch(v.size());
    rbe_sort(sorted.data(), sorted.size());
    return rbe_mad(sorted.data(), sorted.size(), scratch.data());
}

/* Google's JSON writer prints NaN and Infinity, which no JSON reader takes: such counters
 * (the coefficient of variation of a column of zeros is one) are left out. */
class FiniteJson : public benchmark::JSONReporter
{
  public:
    void ReportRuns(const std::vector<Run> &runs) override
    {
        std::vector<Run> copy(runs);
        for (Run &r : copy)
            for (auto it = r.counters.begin(); it != r.counters.end();)
                it = std::isfinite(it->second.value) ? std::next(it) : r.counters.erase(it);
        benchmark::JSONReporter::ReportRuns(copy);
    }
};

class Silent : public benchmark::BenchmarkReporter
{
  public:
    bool ReportContext(const Context &) override
    {
        return true;
    }
    void ReportRuns(const std::vector<Run> &) override
    {
    }
};

bool value_of(const char *arg, const char *flag, std::string *value)
{
    const size_t n = std::strlen(flag);
    if (std::strncmp(arg, flag, n) || arg[n] != '=')
        return false;
    *value = arg + n + 1;
    return true;
}

} // namespace

bool rbe_gbench_next(struct rbe_gbench_state *s, uint64_t *iterations)
{
    *iterations = static_cast<uint64_t>(s->state.max_iterations);
    return s->state.KeepRunningBatch(s->state.max_iterations);
}

void rbe_gbench_seconds(struct rbe_gbench_state *s, double total)
{
    s->state.SetIterationTime(total);
}

void rbe_gbench_counter(struct rbe_gbench_state *s, const char *name, double value)
{
    if (std::isfinite(value))
        s->state.counters[name] = value;
}

void rbe_gbench_label(struct rbe_gbench_state *s, const char *text)
{
    s->state.SetLabel(text);
}

void rbe_gbench_fail(struct rbe_gbench_state *s, const char *why)
{
    s->state.SkipWithError(why);
}

void rbe_gbench_add(const char *name, rbe_gbench_fn *fn, void *arg)
{
    benchmark::RegisterBenchmark(name,
                                 [fn, arg](benchmark::State &state) {
                                     rbe_gbench_state s{state};
                                     fn(&s, arg);
                                 })
        ->UseManualTime()
        ->ComputeStatistics("mad", mad);
}

void rbe_gbench_context(const char *key, const char *value)
{
    benchmark::AddCustomContext(key, value);
}

const char *rbe_gbench_init(int *argc, char **argv)
{
    std::string v;

    /* On these Google Benchmark prints its usage and exits 0; a wrong flag is an error. */
    for (int i = 1; i < *argc; i++)
        for (const char *flag : {"--benchmark_format", "--benchmark_out_format"})
            if (value_of(argv[i], flag, &v) && v != "console" && v != "json" && v != "csv")
                return argv[i];
    benchmark::Initialize(argc, argv);
    return *argc > 1 ? argv[1] : nullptr;
}

size_t rbe_gbench_run(bool silent, bool file)
{
    Silent quiet;
    FiniteJson json;

    return benchmark::RunSpecifiedBenchmarks(silent ? &quiet : nullptr, file ? &json : nullptr);
}
