/*
 * check_criteria.c - each criterion on made-up rows: met, missed, and not measured.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "kernels/test/check.h"
#include "reports/criteria.h"

#define HEAD "{\"schema\":\"rbe-result-1\",\"time_utc\":\"2025-01-31T12:00:00Z\","
#define SCORED ",\"scored\":9,\"context\":128"
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
#define SHA "173c87a53759e0201f33e0ccf978e510c2042d7f2cb78229d9a50d79b9e7dd08"
#define TEXT "{\"name\":\"wiki.test.raw\",\"sha256\":\"" SHA "\"}"

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

/* Of the criterion that verdict() looked for last. */
static char how[512], projection[512], source[256], margin[256], rbe_says[256];
static char note[512];          /* the first of that folder */

/* The verdict of criterion id over the rows, "?" when the folder is refused. */
static const char *verdict(const char *id, const char *rows)
{
    struct rbe_results *r = NULL;
    struct rbe_criteria c = {0};
    struct rbe_diag d = {""};
    const char *v = "?";

    put("r.jsonl", rows);
    *note = 0;
    if (!rbe_results_open(&r, folder, &d) && r->note_count)
        snprintf(note, sizeof note, "%s", r->notes[0]);
    if (r && !rbe_criteria_judge(&c, r, NULL, &d))
        for (size_t i = 0; i < c.count; i++)
            if (!strcmp(c.rows[i].id, id) && !c.rows[i].other) {
                v = rbe_verdict_name(c.rows[i].verdict);
                snprintf(how, sizeof how, "%s", c.rows[i].how);
                snprintf(projection, sizeof projection, "%s", c.rows[i].projection);
                snprintf(source, sizeof source, "%s", c.rows[i].source);
                snprintf(margin, sizeof margin, "%s", c.rows[i].margin);
                snprintf(rbe_says, sizeof rbe_says, "%s", c.rows[i].rbe);
            }
    rbe_criteria_free(&c);
    rbe_results_close(&r);
    return v;
}

#define IS(id, want, rows) CHECK(!strcmp(verdict(id, rows), want))
#define PASSES(id, rows) IS(id, "PASS", rows)
#define FAILS(id, rows) IS(id, "FAIL", rows)
#define WITHIN(id, rows) IS(id, "WITHIN ERROR", rows)
#define UNMEASURED(id, rows) IS(id, "NOT MEASURED", rows)

/* A row that only says that the pair exists. */
#define PAIR(bytes) HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(bytes) \
    SCORED ",\"text\":" TEXT ",\"protocol\":\"P2\",\"windows\":1,\"percent_change\":1," \
    "\"base_perplexity\":50,\"perplexity\":50.5}\n"

static void check_size(void)
{
    /* 11,705,856 parameters: 46,823,424 bytes as f32; a tenth is 4,682,342.4. */
    PASSES("C1", PAIR(4682342));
    FAILS("C1", PAIR(4682343));
    /* 12M of 117,210,240 is 10.238 %: 1,198,431 words of 4 bytes. */
    PASSES("C10", PAIR(4793000));
    FAILS("C10", PAIR(4794000));
    CHECK(!strcmp(source, "r.jsonl:1"));
    /* Counted as the conversion did; after training, as that of the model it was made from. */
#define CONVERT(sha, words) HEAD "\"kind\":\"convert\",\"base\":" BASE ",\"model\":{\"name\":" \
    "\"v\",\"sha256\":\"" sha "\",\"path\":\"v.rbe\",\"bytes\":7},\"profile\":\"p\"," \
    "\"tensors\":[],\"totals\":{\"compressed_parameters\":" words "," \
    "\"compressed_definition\":\"words\"}}\n"
#define TRAINED HEAD "\"kind\":\"recovery\",\"base\":" BASE ",\"before\":{\"name\":\"v\"," \
    "\"sha256\":\"b0\",\"path\":\"v.rbe\",\"bytes\":7},\"model\":" MODEL(4793000) \
    ",\"points\":[]}\n"
    PASSES("C10", PAIR(4793000) CONVERT("bb", "9"));
    CHECK(!strcmp(source, "r.jsonl:2"));
    FAILS("C10", PAIR(4793000) TRAINED CONVERT("b0", "2000000"));
    CHECK(!strcmp(source, "r.jsonl:3") && strstr(how, "words, from the conversion"));
    FAILS("C10", PAIR(4793000) TRAINED CONVERT("b1", "2000000"));
#define CONTENTS(words) HEAD "\"kind\":\"contents\",\"model\":" MODEL(4793000) \
    ",\"tensors\":[],\"totals\":{\"compressed_parameters\":" words "," \
    "\"compressed_definition\":\"words\"}}\n"
    FAILS("C10", PAIR(4793000) TRAINED CONTENTS("2000000") CONVERT("b0", "9"));
    CHECK(!strcmp(source, "r.jsonl:3") && !strstr(how, "converted"));
    PASSES("C1", PAIR(4682342));
    CHECK(!strcmp(source, "r.jsonl:1"));
    UNMEASURED("C1", HEAD "\"kind\":\"perplexity\",\"model\":" BASE ",\"protocol\":\"P1\","
               "\"perplexity\":50,\"scored\":10}\n");
    /* On GPT-2 small 45 MB count, too. */
#define SMALL_PAIR(bytes) SMALL_CHANGE(bytes, "4.5", "5.3")
#define SMALL_CHANGE(bytes, low, high) HEAD "\"kind\":\"paired\",\"base\":" SMALL \
    ",\"model\":" SMALL_RBE(bytes) SCORED ",\"text\":" TEXT ",\"protocol\":\"P1\"," \
    "\"windows\":9," \
    "\"complete\":true,\"percent_change\":4.9,\"percent_change_ci95\":[" low "," high "]," \
    "\"base_perplexity\":29.4,\"perplexity\":30.84}\n"
    PASSES("C1", SMALL_PAIR(45000000));
    FAILS("C1", SMALL_PAIR(45000001));
    PASSES("C3b", SMALL_PAIR(45000000));
    /* 29.4 and 6 % are more than 31. */
    WITHIN("C3b", SMALL_CHANGE(45000000, "4.5", "6"));
    UNMEASURED("C3b", SMALL_CHANGE(45000000, "null", "null"));
}

#define SPEED(field) HEAD "\"kind\":\"inference\",\"group\":\"g\",\"mode\":\"latency\"," \
    "\"prompt_tokens\":128,\"machine\":{\"threads\":2}," field "}\n"

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
    /* The whole interval must be on one side of the limit; on it is met. */
#define SPEEDUP(x, low, high) TIMES("60", x ",\"speedup_ci95\":[" low "," high "]")
    PASSES("C2b", SPEEDUP("2.1", "2", "2.2"));
    WITHIN("C2b", SPEEDUP("2.1", "1.99", "2.2"));
    WITHIN("C2b", SPEEDUP("1.9", "1.8", "2"));
    FAILS("C2b", SPEEDUP("1.9", "1.8", "1.99"));
    PASSES("C2b", SPEEDUP("2.1", "null", "null"));
    /* More threads than CPUs, by affinity or by quota: times are not judged. */
#define CROWDED(machine, field) HEAD "\"kind\":\"inference\",\"mode\":\"latency\"," \
    "\"prompt_tokens\":128,\"machine\":{" machine "},\"model\":" MODEL(1) "," field "}\n"
#define TIMED "\"decode_median_ms\":9,\"speedup\":3,\"hundred\":{\"tokens\":100,\"wall_s\":1}"
    PASSES("C2", CROWDED("\"threads\":4,\"cores\":4", TIMED));
    UNMEASURED("C2", CROWDED("\"threads\":5,\"cores\":4", TIMED));
    CHECK(strstr(how, "5 threads on 4 CPUs") && !strcmp(source, "r.jsonl:1"));
    UNMEASURED("C2", CROWDED("\"threads\":4,\"cores\":8,\"cpu_quota\":1.5", TIMED));
    CHECK(strstr(how, "4 threads on 1.5 CPUs"));
    PASSES("C2b", CROWDED("\"threads\":4,\"cores\":8,\"cpu_quota\":4", TIMED));
    UNMEASURED("C2b", CROWDED("\"threads\":5,\"cores\":4", TIMED));
    PASSES("C4", CROWDED("\"threads\":4,\"cores\":4", TIMED));
    UNMEASURED("C4", CROWDED("\"threads\":5,\"cores\":4", TIMED));
    UNMEASURED("C2", PAIR(1));
    /* After another prompt, or over whole sequences: another question. */
#define OTHER(mode, prompt) HEAD "\"kind\":\"inference\",\"mode\":\"" mode "\",\"machine\":" \
    "{\"threads\":2},\"prompt_tokens\":" prompt ",\"model\":" MODEL(1) \
    ",\"decode_median_ms\":9,\"speedup\":3}\n"
    PASSES("C2", OTHER("latency", "128"));
    UNMEASURED("C2", OTHER("latency", "8"));
    UNMEASURED("C2b", OTHER("latency", "129"));
    UNMEASURED("C2", OTHER("sequences", "128"));
    FAILS("C2", TIMES("60", "2") OTHER("latency", "8"));
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

#define CHANGED(change, low, high, complete) HEAD "\"kind\":\"paired\",\"base\":" BASE \
    ",\"model\":" MODEL(1) \
    SCORED ",\"text\":" TEXT ",\"protocol\":\"P1\",\"windows\":9,\"complete\":" complete \
    ",\"percent_change\":" change ",\"percent_change_ci95\":[" low "," high "]" \
    ",\"base_perplexity\":50,\"perplexity\":52}\n"
#define PPL(change, complete) CHANGED(change, change, change, complete)

static void check_quality(void)
{
    PASSES("C3", PPL("5", "true"));
    FAILS("C3", PPL("5.01", "true"));
    UNMEASURED("C3", PPL("1", "false"));
#define CHANGE(x, low, high) CHANGED(x, low, high, "true")
    /* A value alone says nothing. */
    UNMEASURED("C3", CHANGE("1", "null", "null"));
    CHECK(strstr(how, "no 95 % interval"));
    PASSES("C3", CHANGE("4", "3", "5"));
    WITHIN("C3", CHANGE("4", "3", "5.1"));
    WITHIN("C3", CHANGE("6", "5", "7"));
    FAILS("C3", CHANGE("6", "5.1", "7"));
    UNMEASURED("C3", PAIR(1));
    UNMEASURED("C3b", PPL("1", "true"));
    /* Another text, whatever its name: wikitext-2-valid, or one that was changed. */
#define OF_TEXT(name, sha) HEAD "\"kind\":\"paired\",\"base\":" BASE ",\"model\":" MODEL(1) \
    SCORED ",\"text\":{\"name\":\"" name "\",\"sha256\":\"" sha "\"},\"protocol\":\"P1\"," \
    "\"windows\":9,\"complete\":true,\"percent_change\":1," \
    "\"percent_change_ci95\":[1,1],\"base_perplexity\":50," \
    "\"perplexity\":51}\n"
    PASSES("C3", OF_TEXT("any", SHA));
    UNMEASURED("C3", OF_TEXT("wikitext-2.txt", "f0"));
    UNMEASURED("C3", OF_TEXT("wiki.test.raw", "f0"));
    /* The later of two rows about the same counts. */
    FAILS("C3", PPL("1", "true") PPL("6", "true"));
#define MEASURED(c, f, r) HEAD "\"kind\":\"generation\",\"base\":" BASE ",\"model\":" MODEL(1) \
    ",\"prompts\":15,\"candidates\":8,\"candidates_apart\":96,\"tokens\":9,\"coherence\":{" c \
    "},\"fluency\":{" f "},\"relevance\":{" r "}}\n"
#define IN(x, low, high) "\"retained\":" x ",\"retained_ci95\":[" low "," high "]"
#define KEPT(c, f, r) MEASURED(IN(c, c, c), IN(f, f, f), IN(r, r, r))
    PASSES("C6", KEPT("0.95", "0.5", "0.5"));
    FAILS("C6", KEPT("0.949", "0.99", "0.99"));
    PASSES("C6b", KEPT("0.5", "0.98", "0.5"));
    FAILS("C6b", KEPT("0.99", "0.979", "0.99"));
    PASSES("C6c", KEPT("0.5", "0.5", "0.93"));
    FAILS("C6c", KEPT("0.99", "0.99", "0.929"));
    UNMEASURED("C6c", MEASURED(IN("1", "1", "1"), IN("1", "1", "1"), IN("null", "1", "1")));
    /* The interval decides, and without one nothing does. */
#define SPREAD(x, low, high) MEASURED(IN(x, low, high), IN(x, low, high), IN(x, low, high))
    WITHIN("C6", SPREAD("0.959", "0.892", "1"));
    PASSES("C6", SPREAD("0.97", "0.95", "1"));
    FAILS("C6", SPREAD("0.9", "0.8", "0.949"));
    WITHIN("C6b", SPREAD("0.99", "0.979", "1"));
    PASSES("C6b", SPREAD("0.99", "0.98", "1"));
    FAILS("C6b", SPREAD("0.9", "0.8", "0.979"));
    WITHIN("C6c", SPREAD("0.92", "0.8", "0.94"));
    UNMEASURED("C6", SPREAD("0.97", "null", "null"));
    UNMEASURED("C6b", SPREAD("0.99", "null", "null"));
    /* Fluency by its worst part, in that part's unit. */
    PASSES("C6b", MEASURED(IN("1", "1", "1"), IN("1", "1", "1")
                           ",\"worst\":\"rep4\",\"original\":0.052,\"model\":0.289",
                           IN("1", "1", "1")));
    CHECK(strstr(rbe_says, "28.90 % of 4-grams repeated"));
    /* Measured again: the later row counts. */
    FAILS("C6", KEPT("0.99", "0.99", "0.99") KEPT("0.9", "0.9", "0.9"));
    PASSES("C6", KEPT("0.9", "0.9", "0.9") KEPT("0.99", "0.99", "0.99"));
    UNMEASURED("C6", PAIR(1));
    UNMEASURED("C6", HEAD "\"kind\":\"generation\",\"base\":" BASE ",\"model\":" MODEL(1)
               ",\"prompts\":7,\"candidates\":7,\"tokens\":9,\"coherence\":{\"retained\":1},"
               "\"fluency\":{\"retained\":1},\"relevance\":{\"retained\":1}}\n");
    /* A row of the older measures. */
    UNMEASURED("C6c", HEAD "\"kind\":\"generation\",\"base\":" BASE ",\"model\":" MODEL(1)
               ",\"prompts\":9,\"candidates\":8,\"tokens\":9,\"coherence\":{},\"fluency\":{},"
               "\"relevance\":{" IN("1", "1", "1") "}}\n");
    CHECK(strstr(how, "older than this measure"));
}

static const char *machine_of_talk = "";

/* A conversation of n turns; the last has the times given, p95 as it stands in the row. */
static const char *talk(int n, double first, const char *p95)
{
    static char text[16384];
    size_t used = (size_t)sprintf(text, HEAD "%s\"kind\":\"conversation\",\"model\":" MODEL(1)
                                  ",\"summary\":{},\"turns\":[", machine_of_talk);
    for (int i = 0; i < n; i++)
        used += (size_t)sprintf(text + used, "%s{\"first_token_ms\":%g,\"p95_ms\":%s}",
                                i ? "," : "", i + 1 < n ? 5 : first, i + 1 < n ? "2" : p95);
    strcpy(text + used, "]}\n");
    return text;
}

static void check_conversation(void)
{
    PASSES("C5", talk(50, 999, "50"));
    FAILS("C5", talk(50, 1000, "50"));
    FAILS("C5", talk(50, 5, "50.1"));
    UNMEASURED("C5", talk(49, 5, "5"));
    UNMEASURED("C5", talk(50, 5, "null"));
    FAILS("C5", talk(50, 1001, "null"));
    /* Too few tokens for a percentile: all of them must be in time. */
    PASSES("C5", talk(50, 5, "null,\"token_ms\":[3,50,2]"));
    FAILS("C5", talk(50, 5, "null,\"token_ms\":[3,51,2]"));
    UNMEASURED("C5", talk(50, 5, "null,\"token_ms\":[]"));
    machine_of_talk = "\"machine\":{\"threads\":3,\"cores\":2},";
    UNMEASURED("C5", talk(50, 5, "2"));
    CHECK(strstr(how, "3 threads on 2 CPUs"));
    machine_of_talk = "";
    UNMEASURED("C5", PAIR(1));
}

static void check_platforms(void)
{
#define SUM_OF(arch, isa, text, context, sum) HEAD "\"kind\":\"perplexity\",\"machine\":" \
    "{\"arch\":\"" arch "\",\"isa\":\"" isa "\"},\"model\":" MODEL(1) ",\"text\":" text \
    ",\"protocol\":\"P1\",\"windows\":2,\"context\":" context ",\"scored\":9," \
    "\"perplexity\":5,\"nll_sum\":" sum "}\n"
#define SUM(arch, sum) SUM_OF(arch, "scalar", TEXT, "128", sum)
    PASSES("C7", SUM("x86_64", "12.25") SUM("aarch64", "12.25"));
    FAILS("C7", SUM("x86_64", "12.25") SUM("aarch64", "12.250001"));
    UNMEASURED("C7", SUM("aarch64", "12.25"));
    UNMEASURED("C7", PAIR(1));
    /* Of another text or in other windows nothing follows; nor from a difference to a sum that
     * the dense library took in its own order. */
    UNMEASURED("C7", SUM("x86_64", "12.25")
               SUM_OF("aarch64", "neon", "{\"name\":\"t\",\"sha256\":\"f0\"}", "128", "12.25"));
    UNMEASURED("C7", SUM("x86_64", "12.25") SUM_OF("aarch64", "neon", TEXT, "64", "12.25"));
    UNMEASURED("C7", SUM_OF("x86_64", "sse41+avx2", TEXT, "128", "12.25")
               SUM("aarch64", "12.250001"));
    PASSES("C7", SUM_OF("x86_64", "sse41+avx2", TEXT, "128", "12.25") SUM("aarch64", "12.25"));
    CHECK(!strstr(how, "emulator") && strstr(how, "sse41+avx2"));
#define ARM_MACHINE(emulator) HEAD "\"kind\":\"perplexity\",\"machine\":{\"arch\":" \
    "\"aarch64\",\"emulator\":" emulator "},\"model\":" MODEL(1) ",\"text\":" TEXT \
    ",\"protocol\":\"P1\",\"windows\":2,\"context\":128,\"scored\":9,\"perplexity\":5," \
    "\"nll_sum\":12.25}\n"
    PASSES("C7", SUM("x86_64", "12.25") ARM_MACHINE("\"qemu 9\""));
    CHECK(strstr(how, "under the emulator qemu 9") && strstr(how, "not measured"));
    PASSES("C7", SUM("x86_64", "12.25") ARM_MACHINE("null"));
    CHECK(strstr(how, "on an ARM machine") && !strstr(how, "not measured"));
#define EDGE_OF(limit, threads, batch, tokens, passed) HEAD "\"kind\":\"edge\",\"model\":" \
    MODEL(1) ",\"limit_bytes\":" limit ",\"threads\":" threads ",\"batch\":" batch \
    ",\"tokens\":" tokens ",\"passed\":" passed "}\n"
#define EDGE(limit, tokens, passed) EDGE_OF(limit, "4", "1", tokens, passed)
    PASSES("C8", EDGE("268435456", "256", "true"));
    FAILS("C8", EDGE("268435456", "256", "false"));
    UNMEASURED("C8", EDGE("268435457", "256", "true"));
    UNMEASURED("C8", EDGE("268435456", "255", "true"));
    UNMEASURED("C8", EDGE("100000000", "256", "false"));
    UNMEASURED("C8", EDGE_OF("268435456", "2", "1", "256", "true"));
    UNMEASURED("C8", EDGE_OF("268435456", "4", "2", "256", "true"));
    UNMEASURED("C8", PAIR(1));
    /* That it fits is so with any number of CPUs; its pace is not. */
#define EDGE_ON(cores) HEAD "\"kind\":\"edge\",\"model\":" MODEL(1) \
    ",\"limit_bytes\":268435456,\"threads\":4,\"batch\":1,\"tokens\":256,\"passed\":true," \
    "\"peak_virtual_bytes\":168435456," \
    "\"median_ms\":14.9,\"machine\":{\"threads\":4,\"cores\":" cores "}}\n"
    PASSES("C8", EDGE_ON("4"));
    CHECK(!strcmp(margin, "100.0 MB left") && !strstr(how, "too few CPUs"));
    PASSES("C8", EDGE_ON("2"));
    CHECK(!strcmp(margin, "100.0 MB left; 4 threads on 2 CPUs") && strstr(how, "too few CPUs"));
}

static void check_devices(void)
{
#define SUSTAINED(machine, minutes, ms) HEAD "\"kind\":\"sustained\",\"machine\":{" machine \
    "},\"model\":" MODEL(1) ",\"minutes\":" minutes ",\"intervals\":[],\"last_median_ms\":" \
    ms "}\n"
#define ON(device, minutes, ms) SUSTAINED("\"device\":\"" device "\"", minutes, ms)
    PASSES("C11", ON("phone", "10", "200"));
    FAILS("C11", ON("phone", "10", "200.1"));
    PASSES("C11b", ON("pi", "30", "800"));
    FAILS("C11b", ON("pi", "30", "801"));
    PASSES("C11c", ON("desktop", "30", "50"));
    FAILS("C11c", ON("desktop", "30", "51"));
    /* One device says nothing of another; who says nothing of itself is none. */
    UNMEASURED("C11", ON("pi", "30", "1"));
    CHECK(strstr(how, "RBE_DEVICE=phone rbe-run eval sustained") != NULL);
    UNMEASURED("C11c", SUSTAINED("\"device\":null", "30", "1"));
    UNMEASURED("C11b", PAIR(1));
    /* Not long enough to become warm; and each device has a row of its own. */
    UNMEASURED("C11", ON("phone", "9.9", "1"));
    CHECK(strstr(how, "9.9 minutes, not 10") != NULL);
    FAILS("C11", ON("phone", "10", "300") ON("pi", "10", "100"));
    UNMEASURED("C11b", SUSTAINED("\"device\":\"pi\",\"emulator\":\"qemu 9\"", "30", "1"));
    UNMEASURED("C11b", SUSTAINED("\"device\":\"pi\",\"threads\":5,\"cores\":4", "30", "1"));
}

/* A projection is beside the verdict, says all that it assumes, and decides nothing. */
static void check_projection(void)
{
#define PROJECTED(model, device, ipc) HEAD "\"kind\":\"projection\",\"machine\":{" \
    "\"emulator\":\"qemu 9\"},\"model\":" model ",\"device\":\"" device "\",\"core\":" \
    "\"Cortex-A72\",\"ghz\":1.5,\"instructions_per_cycle\":" ipc \
    ",\"instructions_per_token\":150e6}\n"
#define PI PROJECTED(SMALL_RBE(45000000), "pi", "[0.5,2]")
    UNMEASURED("C11b", PAIR(1) PI);
    CHECK(strstr(how, "RBE_DEVICE=pi rbe-run eval sustained") != NULL);
    static const char *const said[] = {
        "projection, not a measurement: 50 to 200 ms/token", "150 million instructions", "g45",
        "one thread", "qemu 9", "1.5 GHz", "0.5 to 2 instructions per cycle", "1 core",
        "assumed of a Cortex-A72", "r.jsonl:"};
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!CHECK(strstr(projection, said[i]) != NULL))
            printf("     not '%s' in '%s'\n", said[i], projection);
    /* Of two the last, as measurements are; each device has its own. */
    UNMEASURED("C11b", PAIR(1) PI PROJECTED(MODEL(1), "pi", "[1,2]"));
    CHECK(strstr(projection, "50 to 100 ms/token") && strstr(projection, "(m, "));
    UNMEASURED("C11", PAIR(1) PI);
    CHECK(!projection[0]);
    UNMEASURED("C11b", PAIR(1) PI PROJECTED(SMALL_RBE(45000000), "phone", "[1,2]"));
    CHECK(strstr(projection, "50 to 200 ms/token") != NULL);
    /* However fast, it passes nothing; where there is a measurement it is not shown. */
    UNMEASURED("C11b", PAIR(1) PROJECTED(MODEL(1), "pi", "[1e6,1e6]"));
    FAILS("C11b", ON("pi", "30", "801") PI);
    CHECK(!projection[0]);
    /* Nothing else is read from it, and an original is not shown as the encoded model. */
    FAILS("C1", PAIR(4682343) PROJECTED(MODEL(1), "pi", "[1,2]"));
    CHECK(!strcmp(source, "r.jsonl:1"));
    UNMEASURED("C11b", PAIR(1) PROJECTED(SMALL, "pi", "[1,2]"));
    CHECK(!projection[0] && strstr(note, "r.jsonl:2: a projection is left out: its model is"));
    /* Nothing is computed from assumptions that are none; it is said, also beside a good one,
     * which it does not replace. */
    UNMEASURED("C11b", PAIR(1) PROJECTED(MODEL(1), "pi", "[0,1]"));
    CHECK(!projection[0] && strstr(note, "instructions per cycle"));
    UNMEASURED("C11b", PAIR(1) PROJECTED(MODEL(1), "pi", "[null,null]"));
    CHECK(!projection[0] && strstr(note, "instructions per cycle"));
    UNMEASURED("C11b", PAIR(1) PI PROJECTED(SMALL_RBE(45000000), "pi", "[2,1]"));
    CHECK(strstr(projection, "50 to 200 ms/token") && strstr(note, "r.jsonl:3: a projection"));
    UNMEASURED("C11b", PAIR(1) PI PROJECTED(SMALL_RBE(45000000), "watch", "[1,2]"));
    CHECK(strstr(projection, "50 to 200 ms/token") && strstr(note, "no criterion has its"));
    UNMEASURED("C11b", PAIR(1) PI);
    CHECK(!*note);
    UNMEASURED("C11b", PAIR(1) HEAD "\"kind\":\"step\",\"step\":\"projection\",\"ok\":"
               "false,\"reason\":\"no emulator\"}\n");
    CHECK(strstr(projection, "NOT MEASURED") && strstr(projection, "no emulator"));
}

static void check_schedules(void)
{
#define SCHEDULE(low, high) SCHEDULE_OF(BASE, low, high)
#define SCHEDULE_OF(base, low, high) HEAD "\"kind\":\"convert\",\"base\":" base \
    ",\"model\":" MODEL(1) \
    ",\"profile\":\"chapter-8.3.1\",\"tensors\":[{\"name\":\"h.0.mlp.c_fc.weight\",\"codec\":" \
    "\"hybrid\",\"bytes\":9,\"ratio\":" low ",\"relative_rmse\":0.9,\"bound\":0.8},{\"name\":" \
    "\"h.1.mlp.c_fc.weight\",\"codec\":\"hybrid\",\"bytes\":9,\"ratio\":" high \
    ",\"relative_rmse\":0.9,\"bound\":0.8}]}\n"
    PASSES("C9", SCHEDULE("500", "1000") PPL("4", "true"));
    FAILS("C9", SCHEDULE("490", "1000") PPL("4", "true"));
    WITHIN("C9", SCHEDULE("500", "1000") CHANGE("4", "3", "6"));
    FAILS("C9", SCHEDULE("490", "1000") CHANGE("4", "3", "6"));
    FAILS("C9", SCHEDULE("500", "1000") PPL("90000", "true"));
    UNMEASURED("C9", SCHEDULE("500", "1000"));
    UNMEASURED("C9", PPL("4", "true"));
    /* The perplexity of another protocol, and a schedule of another original. */
    UNMEASURED("C9", SCHEDULE("500", "1000") PAIR(1));
    UNMEASURED("C9", SCHEDULE_OF(SMALL, "500", "1000") PPL("4", "true"));
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
    CHECK(c.pass + c.fail + c.within_error + c.not_measured == c.judged && c.judged == 19);
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

/* Each field has a type and a range; each error names file, line and field. */
static void check_types(void)
{
#define ROW(kind, fields) HEAD "\"kind\":\"" kind "\",\"base\":" BASE ",\"model\":" MODEL(1) \
    "," fields "}\n"
#define PAIRED(fields) ROW("paired", "\"base_perplexity\":50,\"percent_change\":1," \
                           "\"windows\":1,\"scored\":9,\"context\":128," fields)
#define GOOD "\"perplexity\":51,\"protocol\":\"P1\","
#define CONVERTED(tensors) ROW("convert", "\"profile\":\"p\",\"tensors\":" tensors)
    static const char *const cases[][2] = {
        {PAIRED("\"perplexity\":51,\"protocol\":1"),
         "r.jsonl:1: paired row: \"protocol\" is not a text"},
        {PAIRED("\"protocol\":\"P1\",\"perplexity\":-5"),
         "\"perplexity\" is not a number above 0"},
        {PAIRED("\"protocol\":\"P1\",\"perplexity\":0"),
         "\"perplexity\" is not a number above 0"},
        {PAIRED("\"protocol\":\"P1\",\"perplexity\":\"5\""), "\"perplexity\" is not a number"},
        {PAIRED("\"protocol\":\"P1\""), "paired row without \"perplexity\""},
        {PAIRED(GOOD "\"percent_change_ci95\":[1]"),
         "\"percent_change_ci95\" is not a pair of numbers"},
        {PAIRED(GOOD "\"complete\":1"), "\"complete\" is neither true nor false"},
        {PAIRED(GOOD "\"command\":[]"), "\"command\" is not a text"},
        {PAIRED(GOOD "\"machine\":{\"cpu\":1}"), "\"machine.cpu\" is not a text"},
        {PAIR(1) HEAD "\"kind\":\"edge\",\"model\":{\"name\":1}}\n",
         "r.jsonl:2: edge row: \"model.name\" is not a text"},
        {HEAD "\"kind\":\"edge\",\"model\":\"m\"}\n", "edge row without \"model.name\""},
        {HEAD "\"kind\":\"step\",\"step\":\"s\",\"ok\":true,\"base\":7}\n",
         "\"base\" is not an object"},
        {HEAD "\"kind\":\"step\",\"step\":\"s\",\"ok\":\"yes\"}\n",
         "\"ok\" is neither true nor false"},
        {ROW("divergence", "\"kl\":{\"mean\":0},\"top1\":{\"agreement\":1.5}"),
         "\"top1.agreement\" is not a number from 0 to 1"},
        {ROW("convert", "\"profile\":1"), "\"profile\" is not a text"},
        {CONVERTED("{}"), "\"tensors\" is not a list"},
        {CONVERTED("[{\"name\":\"a\"},{\"name\":2}]"), "\"tensors[].name\" is not a text"},
        {CONVERTED("[7]"), "\"tensors[].name\" is not an object"},
        {ROW("comprehension", "\"task\":\"t\",\"metrics\":{\"acc\":{\"value\":\"x\"}}"),
         "\"metrics{}.value\" is not a number"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuses(cases[i][0], cases[i][1]);
    put("b.json", "{\"context\":{},\"benchmarks\":[{\"run_name\":1}]}");
    refuses(PAIR(1), "b.json:1: benchmark row: \"benchmarks[].run_name\" is not a text");
    drop("b.json");
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

/* MB are 10^6 bytes, as the targets are. */
static void check_megabytes(void)
{
    static const struct {
        double bytes;
        const char *text;
    } said[] = {{4228168, "4.23 MB"}, {45e6, "45.00 MB"}, {497759232, "497.8 MB"}, {NAN, "?"}};
    char text[32];

    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        rbe_megabytes(text, sizeof text, said[i].bytes);
        CHECK(!strcmp(text, said[i].text));
    }
}

int main(void)
{
    CHECK(mkdtemp(folder) != NULL);
    check_size();
    check_speed();
    check_quality();
    check_conversation();
    check_platforms();
    check_devices();
    check_projection();
    check_schedules();
    check_blame();
    check_types();
    check_files();
    drop("r.jsonl");
    rmdir(folder);
    check_megabytes();
    return check_done();
}
