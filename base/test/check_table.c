/*
 * check_table.c - rows as Markdown, CSV, JSON and SQL.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdlib.h>
#include <string.h>

#include "base/table.h"
#include "kernels/test/check.h"

static char *printed(enum rbe_output how, const json_t *rows, const char *table)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);

    CHECK(!rbe_output_rows(f, how, rows, table, NULL));
    fclose(f);
    return text;
}

static void prints(enum rbe_output how, const json_t *rows, const char *table, const char *want)
{
    char *text = printed(how, rows, table);

    if (!CHECK(!strcmp(text, want)))
        printf("%s", text);
    free(text);
}

static json_t *rows_of(const char *text)
{
    json_t *rows = json_loads(text, 0, NULL);

    CHECK(rows != NULL);
    return rows;
}

/* A name of a column or in a cell is one line, and changes nothing else on a terminal. */
static void check_controls(void)
{
    json_t *rows = rows_of("[{\"kind\":\"k\","
                           "\"g\":{\"a\\u001b[2J|\\n\":\"\\u009b\\u00e9\\u007f\"}}]");

    prints(RBE_OUTPUT_MD, rows, NULL,
           "| kind | g.a?[2J\\|  |\n|---|---|\n| k | ?\xC3\xA9? |\n");
    json_decref(rows);
}

static void check_forms(void)
{
    json_t *rows = rows_of(
        "[{\"schema\":\"s\",\"kind\":\"ppl\",\"machine\":{\"cpu\":\"x\"},"
        "\"model\":{\"name\":\"a,\\\"b\\\"\"},\"ppl\":1.5,\"ci95\":[1,2.5],"
        "\"samples\":[1,2,3]},"
        "{\"schema\":\"s\",\"kind\":\"ppl\",\"model\":{\"name\":\"o'c|d\"},\"ppl\":null,"
        "\"ok\":true,\"n\":7}]");

    prints(RBE_OUTPUT_CSV, rows, NULL,
           "schema,kind,machine.cpu,model.name,ppl,ci95.low,ci95.high,ok,n\n"
           "s,ppl,x,\"a,\"\"b\"\"\",1.5,1,2.5,,\n"
           "s,ppl,,o'c|d,,,,1,7\n");
    prints(RBE_OUTPUT_MD, rows, NULL,
           "| kind | model.name | ppl | ci95.low | ci95.high | ok | n |\n"
           "|---|---|---:|---:|---:|---|---:|\n"
           "| ppl | a,\"b\" | 1.5 | 1 | 2.5 |  |  |\n"
           "| ppl | o'c\\|d |  |  |  | 1 | 7 |\n");
    prints(RBE_OUTPUT_SQL, rows, NULL,
           "BEGIN;\n"
           "CREATE TABLE IF NOT EXISTS \"rbe_ppl\" (\"schema\" TEXT, \"kind\" TEXT, "
           "\"machine.cpu\" TEXT, \"model.name\" TEXT, \"ppl\" REAL, \"ci95.low\" INTEGER, "
           "\"ci95.high\" REAL, \"ok\" INTEGER, \"n\" INTEGER);\n"
           "INSERT INTO \"rbe_ppl\" (\"schema\", \"kind\", \"machine.cpu\", \"model.name\", "
           "\"ppl\", \"ci95.low\", \"ci95.high\", \"ok\", \"n\") VALUES ('s', 'ppl', 'x', "
           "'a,\"b\"', 1.5, 1, 2.5, NULL, NULL);\n"
           "INSERT INTO \"rbe_ppl\" (\"schema\", \"kind\", \"machine.cpu\", \"model.name\", "
           "\"ppl\", \"ci95.low\", \"ci95.high\", \"ok\", \"n\") VALUES ('s', 'ppl', NULL, "
           "'o''c|d', NULL, NULL, NULL, 1, 7);\n"
           "COMMIT;\n");
    for (int how = RBE_OUTPUT_JSON; how <= RBE_OUTPUT_JSONL; how++) {
        char *text = printed((enum rbe_output)how, rows, NULL), *save = NULL;
        json_t *back = how == RBE_OUTPUT_JSON ? json_loads(text, 0, NULL) : json_array();
        for (char *line = how == RBE_OUTPUT_JSONL ? strtok_r(text, "\n", &save) : NULL; line;
             line = strtok_r(NULL, "\n", &save))
            json_array_append_new(back, json_loads(line, 0, NULL));
        CHECK(json_equal(back, rows));
        json_decref(back);
        free(text);
    }
    json_decref(rows);
}

static void check_kinds(void)
{
    json_t *rows = rows_of("[{\"kind\":\"gate-round\",\"a\":1},{\"kind\":\"b\",\"c\":2},"
                           "{\"kind\":\"gate-round\",\"a\":3}]");
    char *text = printed(RBE_OUTPUT_SQL, rows, NULL), *one;

    CHECK(strstr(text, "\"rbe_gate_round\" (\"kind\" TEXT, \"a\" INTEGER)") != NULL);
    CHECK(strstr(text, "\"rbe_b\" (\"kind\" TEXT, \"c\" INTEGER)") != NULL);
    one = printed(RBE_OUTPUT_SQL, rows, "t");
    CHECK(strstr(one, "\"t\" (\"kind\" TEXT, \"a\" INTEGER, \"c\" INTEGER)") != NULL);
    CHECK(!strstr(one, "rbe_"));
    free(one);
    free(text);
    json_decref(rows);
    rows = json_array();
    prints(RBE_OUTPUT_JSON, rows, NULL, "[]\n");
    json_decref(rows);
}

static void check_names(void)
{
    struct rbe_diag d;
    enum rbe_output how;

    CHECK(!rbe_output_parse(&how, NULL, &d) && how == RBE_OUTPUT_USUAL);
    CHECK(!rbe_output_parse(&how, "jsonl", &d) && how == RBE_OUTPUT_JSONL);
    CHECK(!rbe_output_refuse_file(NULL, &d) && !rbe_output_refuse_file("./md", &d) &&
          !rbe_output_refuse_file("md.jsonl", &d));
    CHECK(rbe_output_refuse_file("md", &d) == RBE_ERR_ARG && strstr(d.text, "--output md"));
    CHECK(rbe_output_parse(&how, "cvs", &d) == RBE_ERR_ARG && strstr(d.text, "'csv'"));
}

int main(void)
{
    check_forms();
    check_controls();
    check_kinds();
    check_names();
    return check_done();
}
