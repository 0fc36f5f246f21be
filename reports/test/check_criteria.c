/*
 * check_criteria.c - each criterion on made-up rows: met, missed, and not measured.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "kernels/test/check.h"
#include "rbe/file.h"
#include "reports/criteria.h"

#define HEAD "{\"schema\":\"rbe-result-1\",\"time_utc\":\"2025-01-31T12:00:00Z\","
#define BASE "{\"name\":\"mini\",\"sha256\":\"aa\",\"bytes\":23426000," \
             "\"parameters\":11705856,"  \
             "\"rbe\":false,\"label\":null,\"bits_per_weight\":16.0}"
#define MODEL(bytes) "{\"name\":\"m\",\"sha256\":\"bb\",\"bytes\":" #bytes ",\"parameters\":" \
                     "11705856,\"rbe\":true,\"label\":null,\"bits_per_weight\":2.89}"
#define SMALL "{\"name\":\"gpt2\",\"sha256\":\"cc\",\"bytes\":497759232,\"parameters\":" \
              "124439808,\"rbe\":false,\"label\":null,\"bits_per_weight\":32}"
#define SMALL_RBE(bytes) "{\"name\":\"g45\",\"sha256\":\"dd\",\"bytes\":" #bytes \
                         ",\"parameters\":124439808,\"rbe\":true,\"label\":null," \
                         "\"bits_per_weight\":2.89}"
#define TEXT "{\"name\":\"wiki.test.raw\",\"sha256\":\"ee\"}"

static char folder[] = "/tmp/check_criteria.XXXXXX";

static void put(const char *name, const char *text)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void drop(const char *name)
{
    char path[128];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

/* The verdict of criterion id over the rows, "?" when the folder is refused. */
static const char *verdict(const char *id, const char *rows)
{
    struct rbe_results *r = NULL;
    struct rbe_criteria c = {0};
    struct rbe_diag d = {""};
    const char *v = "?";

    put("r.jsonl", rows);
    if (!rbe_results_open(&r, folder, &d) && !rbe_criteria_judge(&c, r, NULL, &d))
        for (size_t i = 0; i < c.count; i++)
            if (!strcmp(c.rows[i].id, id) && !c.rows[i].other)
                v = rbe_verdict_name(c.rows[i].verdict);
    rbe_criteria_free(&c);
    rbe_results_close(&r);
    return v;
}

#define IS(id, want, rows) CHECK(!strcmp(verdict(id, rows), want))
#define PASSES(id, rows) IS(id, "PASS", rows)
#define FAILS(id, rows) IS(id, "FAIL", rows)
#define UNMEASURED(id, rows) IS(id, "NOT MEASURED", rows)

/* A row that only says that the pair exists. */
#define PAIR(bytes) HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(bytes) \
    ",\"text\":" TEXT ",\"protocol\":\"P2\",\"windows\":1,\"percent_change\":1}\n"

static void check_size(void)
{
    /* 11,705,856 parameters: 46,823,424 bytes as f32; a tenth is 4,682,342.4. */
    PASSES("C1", PAIR(4682342));
    FAILS("C1", PAIR(4682343));
    /* 12M of 117,210,240 is 10.238 %: 1,198,431 words of 4 bytes. */
    PASSES("C10", PAIR(4793000));
    FAILS("C10", PAIR(4794000));
    UNMEASURED("C1", HEAD "\"kind\":\"perplexity\",\"model\":" BASE ",\"protocol\":\"P1\","
               "\"perplexity\":50,\"scored\":10}\n");
    /* On GPT-2 small 45 MB count, too. */
#define SMALL_PAIR(bytes) HEAD "\"kind\":\"paired\",\"base\":" SMALL ",\"model\":" \
    SMALL_RBE(bytes) ",\"text\":" TEXT ",\"protocol\":\"P1\",\"windows\":9,\"complete\":true," \
    "\"percent_change\":4.9,\"base_perplexity\":29.4,\"perplexity\":30.84}\n"
    PASSES("C1", SMALL_PAIR(45000000));
    FAILS("C1", SMALL_PAIR(45000001));
    PASSES("C3b", SMALL_PAIR(45000000));
}

#define SPEED(field) HEAD "\"kind\":\"inference\",\"group\":\"g\",\"mode\":\"latency\"," \
    "\"machine\":{\"threads\":2}," field "}\n"

static void check_speed(void)
{
#define TIMES(ms, ratio) \
    SPEED("\"model\":" BASE ",\"decode_median_ms\":90,\"peak_bytes\":100") \
    SPEED("\"model\":" MODEL(1) ",\"decode_median_ms\":" ms ",\"speedup\":" ratio \
          ",\"peak_bytes\":10")
    PASSES("C2", TIMES("49.9", "1.9"));
    FAILS("C2", TIMES("50", "1.9"));
    PASSES("C2b", TIMES("60", "2"));
    FAILS("C2b", TIMES("60", "1.999"));
    UNMEASURED("C2b", TIMES("60", "null"));
    UNMEASURED("C2", PAIR(1));
    PASSES("C1b", TIMES("60", "2"));
    FAILS("C1b", SPEED("\"model\":" BASE ",\"peak_bytes\":100")
          SPEED("\"model\":" MODEL(1) ",\"peak_bytes\":11"));
    UNMEASURED("C1b", SPEED("\"model\":" MODEL(1) ",\"peak_bytes\":11"));
#define HUNDRED(n, s) SPEED("\"model\":" MODEL(1) ",\"hundred\":{\"tokens\":" n \
                            ",\"load_s\":0.1,\"wall_s\":" s "}")
    PASSES("C4", HUNDRED("100", "10"));
    FAILS("C4", HUNDRED("100", "10.01"));
    UNMEASURED("C4", HUNDRED("99", "1"));
}

#define PPL(change, complete) HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(1) \
    ",\"text\":" TEXT ",\"protocol\":\"P1\",\"windows\":9,\"complete\":" complete \
    ",\"percent_change\":" change ",\"base_perplexity\":50,\"perplexity\":52}\n"

static void check_quality(void)
{
    PASSES("C3", PPL("5", "true"));
    FAILS("C3", PPL("5.01", "true"));
    UNMEASURED("C3", PPL("1", "false"));
    UNMEASURED("C3", PAIR(1));
    UNMEASURED("C3b", PPL("1", "true"));
    /* The later of two rows about the same counts. */
    FAILS("C3", PPL("1", "true") PPL("6", "true"));
#define KEPT(c, f, r) HEAD "\"kind\":\"generation\",\"base\":" BASE ",\"model\":" MODEL(1) \
    ",\"prompts\":5,\"tokens\":9,\"coherence\":{\"retained\":" c "}," \
    "\"fluency\":{\"retained\":" f "},\"relevance\":{\"retained\":" r "}}\n"
    PASSES("C6", KEPT("0.95", "0.5", "0.5"));
    FAILS("C6", KEPT("0.949", "0.99", "0.99"));
    PASSES("C6b", KEPT("0.5", "0.98", "0.5"));
    FAILS("C6b", KEPT("0.99", "0.979", "0.99"));
    PASSES("C6c", KEPT("0.5", "0.5", "0.93"));
    FAILS("C6c", KEPT("0.99", "0.99", "0.929"));
    UNMEASURED("C6c", KEPT("0.99", "0.99", "null"));
    UNMEASURED("C6", PAIR(1));
}

/* A conversation of n turns; the last has the times given. */
static const char *talk(int n, double first, double p95)
{
    static char text[16384];
    size_t used = (size_t)sprintf(text, HEAD "\"kind\":\"conversation\",\"model\":" MODEL(1)
                                  ",\"summary\":{},\"turns\":[");
    for (int i = 0; i < n; i++)
        used += (size_t)sprintf(text + used, "%s{\"first_token_ms\":%g,\"p95_ms\":%g}",
                                i ? "," : "", i + 1 < n ? 5 : first, i + 1 < n ? 2 : p95);
    strcpy(text + used, "]}\n");
    return text;
}

static void check_conversation(void)
{
    PASSES("C5", talk(50, 999, 50));
    FAILS("C5", talk(50, 1000, 50));
    FAILS("C5", talk(50, 5, 50.1));
    UNMEASURED("C5", talk(49, 5, 5));
    UNMEASURED("C5", PAIR(1));
}

static void check_platforms(void)
{
#define ARM(scope, equal) HEAD "\"kind\":\"platform\",\"arch\":\"aarch64\",\"emulator\":" \
    "\"qemu\",\"scope\":\"" scope "\",\"model\":" MODEL(1) ",\"compared\":9," \
    "\"equal\":" equal "}\n"
    PASSES("C7", ARM("model", "9"));
    FAILS("C7", ARM("model", "8"));
    UNMEASURED("C7", PAIR(1) ARM("kernels", "9"));
    UNMEASURED("C7", PAIR(1));
#define SUM(arch, sum) HEAD "\"kind\":\"perplexity\",\"machine\":{\"arch\":\"" arch "\"}," \
    "\"model\":" MODEL(1) ",\"protocol\":\"P1\",\"windows\":2,\"scored\":9,\"perplexity\":5," \
    "\"nll_sum\":" sum "}\n"
    PASSES("C7", SUM("x86_64", "12.25") SUM("aarch64", "12.25"));
    FAILS("C7", SUM("x86_64", "12.25") SUM("aarch64", "12.250001"));
#define EDGE(limit, tokens, passed) HEAD "\"kind\":\"edge\",\"model\":" MODEL(1) \
    ",\"limit_bytes\":" limit ",\"tokens\":" tokens ",\"passed\":" passed "}\n"
    PASSES("C8", EDGE("268435456", "256", "true"));
    FAILS("C8", EDGE("268435456", "256", "false"));
    UNMEASURED("C8", EDGE("268435457", "256", "true"));
    UNMEASURED("C8", EDGE("268435456", "255", "true"));
    UNMEASURED("C8", PAIR(1));
}

static void check_schedules(void)
{
#define SCHEDULE(low, high) HEAD "\"kind\":\"convert\",\"base\":" BASE ",\"model\":" MODEL(1) \
    ",\"profile\":\"chapter-8.3.1\",\"tensors\":[{\"name\":\"h.0.mlp.c_fc.weight\",\"codec\":" \
    "\"hybrid\",\"bytes\":9,\"ratio\":" low ",\"relative_rmse\":0.9,\"bound\":0.8},{\"name\":" \
    "\"h.1.mlp.c_fc.weight\",\"codec\":\"hybrid\",\"bytes\":9,\"ratio\":" high \
    ",\"relative_rmse\":0.9,\"bound\":0.8}]}\n"
    PASSES("C9", SCHEDULE("500", "1000") PPL("4", "true"));
    FAILS("C9", SCHEDULE("490", "1000") PPL("4", "true"));
    FAILS("C9", SCHEDULE("500", "1000") PPL("90000", "true"));
    UNMEASURED("C9", SCHEDULE("500", "1000"));
    UNMEASURED("C9", PPL("4", "true"));
    UNMEASURED("C9b", SCHEDULE("500", "1000") PPL("4", "true"));
}

/* A step that failed is the reason given. */
static void check_blame(void)
{
    struct rbe_results *r = NULL;
    struct rbe_criteria c = {0};
    struct rbe_diag d = {""};

    put("r.jsonl", PAIR(1) HEAD "\"kind\":\"step\",\"step\":\"talk\",\"ok\":false,\"criteria\":"
        "[\"C5\"],\"reason\":\"no such file\"}\n");
    CHECK(!rbe_results_open(&r, folder, &d) && !rbe_criteria_judge(&c, r, NULL, &d));
    for (size_t i = 0; i < c.count; i++)
        if (!strcmp(c.rows[i].id, "C5"))
            CHECK(strstr(c.rows[i].how, "'talk'") && strstr(c.rows[i].how, "no such file"));
    CHECK(c.pass + c.fail + c.not_measured == c.judged && c.judged == 16);
    rbe_criteria_free(&c);
    CHECK(rbe_criteria_judge(&c, r, "nonesuch", &d) == RBE_ERR_ARG);
    rbe_criteria_free(&c);
    rbe_results_close(&r);
}

/* What is refused, and that the reason names file and line. */
static void refuses(const char *rows, const char *why)
{
    struct rbe_results *r = NULL;
    struct rbe_diag d = {""};

    put("r.jsonl", rows);
    CHECK(rbe_results_open(&r, folder, &d) != RBE_OK && !r);
    if (!CHECK(strstr(d.text, why) != NULL))
        printf("     said: %s\n", d.text);
    CHECK(!strchr(d.text, '\n'));
}

static void check_files(void)
{
    struct rbe_results *r = NULL;
    struct rbe_diag d = {""};

    refuses("", "no result rows");
    refuses(PAIR(1) "{\"schema\":\n", "r.jsonl:2: not JSON");
    refuses("[]\n", "r.jsonl:1: not a JSON object");
    refuses("{\"kind\":\"paired\"}\n", "r.jsonl:1: no result row");
    refuses("{\"schema\":\"other-2\",\"kind\":\"x\"}\n", "schema 'other-2'");
    refuses(HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(1)
            ",\"protocol\":\"P1\",\"percent_change\":NaN}\n", "r.jsonl:1: not JSON");
    refuses(HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(1)
            ",\"protocol\":\"P1\"}\n", "without \"percent_change\"");
    refuses(HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(1)
            ",\"protocol\":\"P1\",\"percent_change\":1e999}\n", "r.jsonl:1: not JSON");
    refuses(HEAD "\"kind\":\"edge\",\"kind\":\"edge\"}\n", "r.jsonl:1: not JSON");
    put("b.json", "{\"benchmarks\":[]}");
    refuses(PAIR(1), "b.json: benchmarks without");
    drop("b.json");

    /* A line cut off is left out and told; so is a kind that is not known. */
    put("r.jsonl", PAIR(1) HEAD "\"kind\":\"other\"}\n" "{\"schema\":\"rbe-res");
    CHECK(!rbe_results_open(&r, folder, &d));
    CHECK(r && r->count == 1 && r->note_count == 2);
    rbe_results_close(&r);
    CHECK(rbe_results_open(&r, "/nonexistent", &d) == RBE_ERR_IO);
}

int main(void)
{
    CHECK(mkdtemp(folder) != NULL);
    check_size();
    check_speed();
    check_quality();
    check_conversation();
    check_platforms();
    check_schedules();
    check_blame();
    check_files();
    drop("r.jsonl");
    rmdir(folder);
    return check_done();
}
