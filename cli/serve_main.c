/*
 * serve_main.c - the program rbe-serve: options, and the service from its start to its end.
 *
 * SPDX-License-Identifier: MIT
 */
#include <errno.h>
#include <popt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/commit.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/version.h"
#include "cli/arguments.h"
#include "base/file.h"
#include "deploy/serve/core.h"
#include "deploy/serve/http.h"
#include "deploy/serve/lines.h"
#include "deploy/serve/mqtt.h"
#include "deploy/serve/power.h"
#include "model/data.h"
#include "model/model.h"

static const char program[] = "rbe-serve";

/* The exit status, or -1: go on and serve. */
static int parse(const struct rbe_serve_args *a, const struct rbe_command *c, int argc,
                 const char **argv)
{
    const struct poptOption *table = rbe_option_table(c);
    poptContext popt = poptGetContext(program, argc, argv, table, 0);
    int rc = -1;

    if (!popt) {
        fprintf(stderr, "%s: out of memory\n", program);
        return 1;
    }
    if (!rbe_read_options(popt, c)) {
        rc = 2;
    } else if (poptPeekArg(popt)) {
        fprintf(stderr, "%s: %s: unexpected argument (see --help)\n", program,
                poptPeekArg(popt));
        rc = 2;
    } else if (a->man || a->help) {
        if (a->man)
            rbe_help_as_man();
        rc = rbe_print_help(c, table, "rbe(1), rbe-run(1)") ? 0 : 1;
    } else if (a->version) {
        puts("rbe-bench " RBE_VERSION);
        rc = 0;
    }
    poptFreeContext(popt);
    return rc;
}

struct service {
    const struct rbe_serve_args *a;
    struct rbe_engine *engine;
    struct rbe_core *core;
    struct rbe_lines *lines;
    struct rbe_http *http;
    struct rbe_mqtt *mqtt;
    char *token, *password;
};

static bool is_named(const struct rbe_serve_args *a)
{
    return a->socket || a->http || a->mqtt;
}

/* The first line of a file, which is there to be secret. */
static enum rbe_status read_secret(char **out, const char *path, struct rbe_diag *d)
{
    size_t size;
    enum rbe_status err = path ? rbe_read_file(out, &size, path, d) : RBE_OK;

    if (!path || err)
        return err;
    (*out)[strcspn(*out, "\r\n")] = 0;
    return **out ? RBE_OK : rbe_fail(d, RBE_ERR_FORMAT, "%s: its first line is empty", path);
}

static enum rbe_status open_http(struct service *s, struct rbe_diag *d)
{
    const struct rbe_serve_args *a = s->a;
    enum rbe_status err = read_secret(&s->token, a->token_file, d);
    const struct rbe_http_options o = {
        .address = a->http, .token = s->token, .clients = (uint32_t)a->clients,
        .patience = (uint32_t)a->patience, .body = (size_t)a->body};

    return err ? err : rbe_http_open(&s->http, s->core, &o, d);
}

static void say(void *arg, bool fault, const char *what)
{
    const struct rbe_serve_args *a = arg;

    if (fault || !a->quiet)
        fprintf(stderr, "%s: --mqtt %s\n", program, what);
}

static enum rbe_status open_mqtt(struct service *s, struct rbe_diag *d)
{
    const struct rbe_serve_args *a = s->a;
    enum rbe_status err = read_secret(&s->password, a->mqtt_password_file, d);
    const struct rbe_mqtt_options o = {
        .broker = a->mqtt, .topic = a->mqtt_topic, .id = a->mqtt_id, .user = a->mqtt_user,
        .password = s->password, .body = (size_t)a->body, .seconds = (uint32_t)a->seconds,
        .say = say, .arg = (void *)(uintptr_t)a};

    if (!err && !a->state)
        err = rbe_fail(d, RBE_ERR_ARG, "--mqtt: a request is acknowledged once it is kept: "
                       "want --state");
    if (!err && a->mqtt_password_file && !a->mqtt_user)
        err = rbe_fail(d, RBE_ERR_ARG, "--mqtt-password-file: want --mqtt-user");
    return err ? err : rbe_mqtt_open(&s->mqtt, s->core, &o, d);
}

static enum rbe_status open_service(struct service *s, const char *model, struct rbe_diag *d)
{
    const struct rbe_serve_args *a = s->a;
    struct rbe_engine_options e = {
        .model = model, .tokenizer = a->tokenizer, .threads = (uint32_t)a->threads,
        .sessions = (uint32_t)a->sessions, .context = (uint32_t)a->context,
        .max_tokens = (uint32_t)a->max_tokens, .seconds = (uint32_t)a->seconds,
        .plain = a->plain, .lookup = a->lookup};
    const struct rbe_core_options c = {.state = a->state, .queue = (uint32_t)a->queue,
                                       .remember = (uint32_t)a->remember,
                                       .remember_bytes = RBE_JOURNAL_RECORD_MAX,
                                       .idle = (uint32_t)a->idle};
    const struct rbe_lines_options l = {.standard = a->lines || !is_named(a),
                                        .socket = a->socket, .clients = (uint32_t)a->clients,
                                        .line = (size_t)a->body};
    enum rbe_status err;

    if ((err = rbe_kv_cache_parse(&e.kv_cache, a->kv_cache, d)) ||
        (err = rbe_engine_open(&s->engine, &e, d)) ||
        (err = rbe_core_open(&s->core, s->engine, &c, d)))
        return err;
    if (l.standard || l.socket)
        err = rbe_lines_open(&s->lines, s->core, &l, d);
    if (!err && a->http)
        err = open_http(s, d);
    if (!err && a->mqtt)
        err = open_mqtt(s, d);
    return err;
}

static enum rbe_status start_service(struct service *s, struct rbe_diag *d)
{
    enum rbe_status err = rbe_core_start(s->core, d);

    if (!err && s->lines)
        err = rbe_lines_start(s->lines, d);
    if (!err && s->mqtt)
        err = rbe_mqtt_start(s->mqtt, d);
    return err;
}

static void say_awake(const char *why)
{
    fprintf(stderr, "%s: --inhibit-sleep: %s: the machine may sleep\n", program, why);
}

/* Until it is told to end, or standard input, where that is all there is, has ended. */
static void wait_for_end(struct service *s)
{
    const bool ends = !is_named(s->a);
    const struct timespec pause = {.tv_nsec = ends ? 20000000 : 200000000};
    struct rbe_power power = {.inhibit = s->a->inhibit_sleep, .say = say_awake};
    struct rbe_core_counts n;
    uint64_t seen = 0;
    bool healthy = true;

    rbe_notify("READY=1");
    while (!rbe_interrupted()) {
        n = rbe_core_counts(s->core);
        rbe_power_inhibit(&power, n.waiting || n.running || n.accepted != seen);
        seen = n.accepted;
        if (healthy && !n.healthy) {        /* said once: small records may still fit */
            fprintf(stderr, "%s: %s: cannot be written: answers wait\n", program, s->a->state);
            healthy = false;
        }
        /* No request takes longer than that, unless it hangs. */
        rbe_power_watch(&power, !n.running || rbe_now() - n.since < s->a->seconds + 30);
        /* An answer that no disk takes waits, but not against a signal. */
        if (ends && s->lines && rbe_lines_ended(s->lines)) {
            n = rbe_core_counts(s->core);
            if (!n.waiting && !n.running && rbe_lines_ended(s->lines))
                break;
        }
        nanosleep(&pause, NULL);
    }
    rbe_notify("STOPPING=1");
    rbe_power_inhibit(&power, false);
}

static void close_service(struct service *s)
{
    if (s->core)
        rbe_core_stop(s->core);
    rbe_mqtt_close(&s->mqtt);
    rbe_http_close(&s->http);
    rbe_lines_close(&s->lines);
    free(s->token);
    free(s->password);
    rbe_core_close(&s->core);
    rbe_engine_close(&s->engine);
}

static enum rbe_status serve(const struct rbe_serve_args *a, struct rbe_diag *d)
{
    struct service s = {.a = a};
    char *model;
    enum rbe_status err = rbe_model_find(&model, a->model ? a->model : "rbe-mini", d);

    if (err)
        return err;
    /* A disk quota is a status, a client that went away too. */
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    rbe_catch_interrupt();
    /* Before there are threads, each of which has a priority of its own. */
    errno = 0;
    if (nice(a->nice) == -1 && errno)
        errno = 0;              /* it goes on as it is */
    if (!(err = open_service(&s, model, d)) && !(err = start_service(&s, d))) {
        if (!a->quiet)
            fprintf(stderr, "%s: ready, with %s%s%s\n", program, rbe_engine_name(s.engine),
                    s.http ? ", at http://" : "", s.http ? rbe_http_address(s.http) : "");
        wait_for_end(&s);
        rbe_core_stop(s.core);
        if (s.lines)
            err = rbe_lines_stop(s.lines, d);
    }
    close_service(&s);
    free(model);
    return err;
}

int main(int argc, char **argv)
{
    const struct rbe_command *c = rbe_command_find(program);
    struct rbe_serve_args *a = (void *)c->values;
    struct rbe_diag d = {""};
    int code = rbe_start(program, rbe_commit);

    if (code)
        return code;
    rbe_json_watch();
    code = parse(a, c, argc, (const char **)argv);
    if (code == -1)
        code = rbe_report_failure(program, serve(a, &d), &d);
    return rbe_finish(program, code, "what was written is not whole");
}
