/*
 * check_serve.c - the service below its fronts: the journal under kills and full disks,
 * requests, duplicates, the queue, log-probabilities, caches used again.
 *
 * SPDX-License-Identifier: MIT
 *
 * KILLS=N kills a writer N times (300).
 */
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "deploy/serve/core.h"
#include "deploy/serve/journal.h"
#include "kernels/test/check.h"
#include "model/data.h"
#include "model/model.h"

#define MODEL "datasets/embedded/mini-2.89-tuned.rbe"

static struct rbe_diag d;
static char folder[] = "/dev/shm/rbe-serve-XXXXXX", journal[64];

/* --- the journal -------------------------------------------------------------------------- */

struct seen {
    size_t count;
    uint32_t last;
    bool in_order;
};

static enum rbe_status see(void *arg, char type, const char *text, size_t size,
                           struct rbe_diag *why)
{
    struct seen *s = arg;
    const uint32_t n = (uint32_t)strtoul(text, NULL, 10);

    (void)why;
    s->in_order = s->in_order && type == 'Q' && strlen(text) == size && n == s->count;
    s->count++;
    s->last = n;
    return RBE_OK;
}

/* Numbers with a tail whose length differs. */
static enum rbe_status add(struct rbe_journal *j, uint32_t n, bool sync)
{
    char text[128];

    const int k = snprintf(text, sizeof text, "%u%*s", n, (int)(n % 64), "");
    return rbe_journal_append(j, 'Q', text, (size_t)k, sync, &d);
}

static struct seen reopen(enum rbe_status want)
{
    struct seen s = {.in_order = true};
    struct rbe_journal *j;

    CHECK(rbe_journal_open(&j, folder, see, &s, &d) == want && !j == (want != RBE_OK));
    rbe_journal_close(&j);
    return s;
}

static void empty(void)
{
    unlink(journal);
    CHECK(reopen(RBE_OK).count == 0);
}

static void put_file(const char *bytes, size_t size)
{
    FILE *f = fopen(journal, "wb");

    CHECK(f && fwrite(bytes, 1, size, f) == size && !fclose(f));
}

static void check_torn(void)
{
    struct seen s = {.in_order = true};
    struct rbe_journal *j, *other;
    size_t size, ends[7] = {0};
    char *bytes;

    empty();
    CHECK(!rbe_journal_open(&j, folder, see, &s, &d));
    CHECK(rbe_journal_open(&other, folder, see, &s, &d) == RBE_ERR_MISMATCH && !other);
    for (uint32_t i = 0; i < 7; i++) {
        CHECK(!add(j, i, true));
        ends[i] = (size_t)rbe_journal_bytes(j);
    }
    rbe_journal_close(&j);
    CHECK(!rbe_read_file(&bytes, &size, journal, &d) && size == ends[6]);
    /* Cut at any byte: what is whole is there, and the rest does not come back. */
    for (size_t cut = 0; cut < size; cut++) {
        size_t whole = 0;
        while (whole < 7 && ends[whole] <= cut)
            whole++;
        put_file(bytes, cut);
        s = reopen(RBE_OK);
        CHECK(s.count == whole && s.in_order);
        CHECK(reopen(RBE_OK).count == whole);
    }
    /* Changed at any byte: the last record may be torn, in an earlier one it is damage. */
    for (size_t at = 0; at < size; at += 3) {
        char *other_bytes = malloc(size);
        memcpy(other_bytes, bytes, size);
        other_bytes[at] ^= 0x20;
        put_file(other_bytes, size);
        s = reopen(at < ends[5] ? RBE_ERR_FORMAT : RBE_OK);
        CHECK(at < ends[5] || s.count == 6);
        CHECK(at >= ends[5] || at < 8 || strstr(d.text, "damaged at byte") != NULL);
        free(other_bytes);
    }
    free(bytes);
    unlink(journal);
}

/* A batch that was not synced may reach the disk in any order: that is no damage. */
static void check_batch(void)
{
    struct seen s = {.in_order = true};
    struct rbe_journal *j;
    size_t size;
    char *bytes;

    empty();
    CHECK(!rbe_journal_open(&j, folder, see, &s, &d) && !add(j, 0, true));
    const size_t synced = (size_t)rbe_journal_bytes(j);
    CHECK(!add(j, 1, false) && !add(j, 2, false) && !add(j, 3, true));
    rbe_journal_close(&j);
    CHECK(!rbe_read_file(&bytes, &size, journal, &d));
    bytes[synced + 4] ^= 1;
    put_file(bytes, size);
    s = reopen(RBE_OK);
    CHECK(s.count == 1 && s.in_order);
    free(bytes);
    put_file("RBEJRNL2and more", 16);
    reopen(RBE_ERR_FORMAT);
    unlink(journal);
}

static void check_full(void)
{
    struct seen s = {.in_order = true};
    struct rlimit before, tight;
    struct rbe_journal *j;
    uint32_t n = 0;

    empty();
    signal(SIGXFSZ, SIG_IGN);
    CHECK(!rbe_journal_open(&j, folder, see, &s, &d) && !getrlimit(RLIMIT_FSIZE, &before));
    tight = (struct rlimit){.rlim_cur = 1000, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    while (n < 100 && !add(j, n, true))
        n++;
    CHECK(n > 3 && n < 100 && strstr(d.text, journal));
    CHECK(add(j, 63, true) == RBE_ERR_IO && rbe_journal_bytes(j) <= 1000);
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(!add(j, n, true));
    rbe_journal_close(&j);
    s = reopen(RBE_OK);
    CHECK(s.count == n + 1 && s.in_order);
    unlink(journal);
}

static bool next_few(void *arg, char *type, const char **text, size_t *size)
{
    static const char *const texts[] = {"0", "1", "2"};
    size_t *at = arg;

    if (*at == 3)
        return false;
    *type = 'Q';
    *text = texts[(*at)++];
    *size = 1;
    return true;
}

static void check_rewrite(void)
{
    struct seen s = {.in_order = true};
    struct rbe_journal *j;
    size_t at = 0;

    empty();
    CHECK(!rbe_journal_open(&j, folder, see, &s, &d));
    for (uint32_t i = 0; i < 50; i++)
        CHECK(!add(j, 9, true));
    CHECK(!rbe_journal_rewrite(j, next_few, &at, &d) && !add(j, 3, true));
    CHECK(!add(j, 4, false));
    rbe_journal_close(&j);
    s = reopen(RBE_OK);
    CHECK(s.count == 5 && s.in_order);
    unlink(journal);
}

/* Writes from where the journal ends, and tells each number once it is synced. */
static void write_on(int out)
{
    struct seen s = {.in_order = true};
    struct rbe_journal *j;

    if (rbe_journal_open(&j, folder, see, &s, NULL) || !s.in_order)
        _exit(1);
    for (uint32_t n = (uint32_t)s.count;; n++)
        if (add(j, n, n % 3 != 0) || (n % 3 != 0 && write(out, &n, sizeof n) != sizeof n))
            _exit(1);
}

static void check_kills(struct check_rng *r, unsigned kills)
{
    unsigned lost = 0, odd = 0;

    empty();
    for (unsigned i = 0; i < kills; i++) {
        uint32_t n, told = 0;
        int fd[2], status;
        bool any = false;
        if (!CHECK(!pipe(fd)))
            return;
        const pid_t child = fork();
        if (!child)
            write_on(fd[1]);
        close(fd[1]);
        usleep(check_below(r, 3000));
        kill(child, SIGKILL);
        waitpid(child, &status, 0);
        odd += !WIFSIGNALED(status);
        while (read(fd[0], &n, sizeof n) == sizeof n)
            told = n, any = true;
        close(fd[0]);
        const struct seen s = reopen(RBE_OK);
        odd += !s.in_order;
        lost += any && s.count <= told;
        if (i % 50 == 49)       /* short files are read fast */
            unlink(journal);
    }
    printf("%u kills: %u lost\n", kills, lost);
    CHECK(!lost && !odd);
}

/* --- the core ----------------------------------------------------------------------------- */

struct waiter {
    struct rbe_sink sink;
    atomic_int accepted, done;
    bool again;
    char text[4096], parts[4096];
    json_t *answer;
};

static void on_accepted(void *arg)
{
    struct waiter *w = arg;

    atomic_fetch_add(&w->accepted, 1);
}

static bool on_part(void *arg, size_t index, const char *text, size_t size)
{
    struct waiter *w = arg;

    (void)index;
    strncat(w->parts, text, size);
    return true;
}

static void on_done(void *arg, const json_t *answer, bool again)
{
    struct waiter *w = arg;
    const json_t *choice = json_array_get(json_object_get(answer, "choices"), 0);
    const char *text = json_string_value(json_object_get(choice, "text"));

    if (!text)
        text = json_string_value(json_object_get(answer, "error"));
    snprintf(w->text, sizeof w->text, "%s", text ? text : "?");
    w->again = again;
    json_decref(w->answer);
    w->answer = json_deep_copy(answer);
    atomic_fetch_add(&w->done, 1);
}

static const struct rbe_sink_calls calls = {on_accepted, on_part, on_done};

static struct rbe_engine *engine;

static enum rbe_status submit(struct rbe_core *c, struct waiter *w, const char *text)
{
    struct rbe_request *r;

    json_decref(w->answer);
    *w = (struct waiter){.sink = {.calls = &calls, .arg = w}};
    enum rbe_status err = rbe_request_parse(&r, text, strlen(text), rbe_engine_limits(engine),
                                            &d);
    if (!err)
        err = rbe_core_submit(c, &r, &w->sink, NULL, 1, &d);
    rbe_request_free(&r);
    return err;
}

static void await(struct waiter *w)
{
    for (int i = 0; i < 10000 && !atomic_load(&w->done); i++)
        usleep(1000);
    CHECK(atomic_load(&w->done) == 1);
}

static struct rbe_core *open_bounded(uint32_t queue, uint32_t remember, size_t bytes)
{
    const struct rbe_core_options o = {.state = folder, .queue = queue, .remember = remember,
                                       .remember_bytes = bytes};
    struct rbe_core *c;

    CHECK(!rbe_core_open(&c, engine, &o, &d));
    return c;
}

static struct rbe_core *open_core(uint32_t queue)
{
    return open_bounded(queue, 3, RBE_JOURNAL_RECORD_MAX);
}

#define ASK(id, more) "{\"id\":\"" id "\",\"prompt\":\"The river\",\"max_tokens\":6," more "}"

static void check_core(void)
{
    struct rbe_core *c = open_core(2);
    struct waiter a = {0}, b = {0}, x = {0};
    char first[sizeof a.text];

    /* The queue is full before anything is answered. */
    CHECK(!submit(c, &a, ASK("a", "\"temperature\":1")) && a.accepted == 1);
    CHECK(!submit(c, &b, ASK("b", "\"temperature\":0")));
    CHECK(submit(c, &x, ASK("c", "\"temperature\":0")) == RBE_ERR_LIMIT);
    CHECK(submit(c, &x, ASK("a", "\"temperature\":2")) == RBE_ERR_MISMATCH);
    CHECK(!submit(c, &x, ASK("a", "\"temperature\":1")) && x.accepted == 1);
    CHECK(!rbe_core_start(c, &d));
    await(&a);
    await(&b);
    await(&x);
    CHECK(!strcmp(a.text, x.text) && !strcmp(a.text, a.parts) && *a.text && !a.again);
    snprintf(first, sizeof first, "%s", a.text);
    CHECK(!submit(c, &x, ASK("a", "\"temperature\":1")) && x.done == 1 && x.again);
    CHECK(!strcmp(x.text, first));
    /* The same with another seed is another answer: chance was kept with the id. */
    rbe_core_close(&c);
    /* Accepted, not answered: the next process does it, and gives the text of the first. */
    c = open_core(4);
    CHECK(!submit(c, &x, ASK("a", "\"temperature\":1")) && x.again && !strcmp(x.text, first));
    CHECK(!submit(c, &b, ASK("later", "\"temperature\":1,\"seed\":5")) && b.accepted == 1);
    rbe_core_stop(c);
    CHECK(b.done == 1 && strstr(b.text, "the service ends"));
    rbe_core_close(&c);
    c = open_core(4);
    CHECK(rbe_core_counts(c).recovered == 1);
    CHECK(!rbe_core_start(c, &d));
    CHECK(!rbe_core_ask(c, "later", &b.sink, &d));
    b.done = 0;
    await(&b);
    CHECK(!submit(c, &x, ASK("later2", "\"temperature\":1,\"seed\":5")));
    await(&x);
    CHECK(!strcmp(b.text, x.text));
    CHECK(rbe_core_ask(c, "nobody", &x.sink, &d) == RBE_ERR_ARG);
    /* Three are remembered. */
    CHECK(rbe_core_counts(c).remembered == 3);
    CHECK(rbe_core_ask(c, "a", &x.sink, &d) == RBE_ERR_ARG);
    /* Who leaves is not called; without an id the request ends with him. */
    CHECK(!submit(c, &x, "{\"prompt\":\"A\",\"max_tokens\":100,\"temperature\":0}"));
    CHECK(!submit(c, &a, "{\"prompt\":\"B\",\"max_tokens\":4,\"temperature\":0}"));
    rbe_core_leave(c, &x.sink);
    await(&a);
    CHECK(!x.done && rbe_core_counts(c).left == 1);
    rbe_core_close(&c);
    json_decref(a.answer);
    json_decref(b.answer);
    json_decref(x.answer);
    unlink(journal);
}

/* Cut at any byte of its last record: what was accepted before is answered, by the same text,
 * and what the record was to say can be said again. */
static void check_torn_core(void)
{
    struct waiter a = {0}, b = {0};
    size_t size[3] = {0};
    char first[sizeof a.text], *bytes = NULL;

    for (int i = 0; i < 3; i++) {      /* a request; its answer; another request */
        struct rbe_core *c = open_core(4);
        if (i == 1) {
            CHECK(!submit(c, &a, ASK("torn", "\"temperature\":2")) && !rbe_core_start(c, &d));
            await(&a);
        } else {
            CHECK(!submit(c, i ? &b : &a, i ? ASK("next", "\"seed\":1")
                                            : ASK("torn", "\"temperature\":2")));
        }
        rbe_core_close(&c);
        free(bytes);
        CHECK(!rbe_read_file(&bytes, &size[i], journal, &d) && (!i || size[i] > size[i - 1]));
    }
    snprintf(first, sizeof first, "%s", a.text);
    for (int i = 1; i < 3; i++)
        for (size_t cut = size[i - 1]; cut < size[i]; cut++) {
            put_file(bytes, cut);
            struct rbe_core *c = open_core(4);
            CHECK(rbe_core_counts(c).recovered == (i == 1));
            CHECK(!submit(c, &a, ASK("torn", "\"temperature\":2")));
            CHECK(!submit(c, &b, ASK("next", "\"seed\":1")) && b.accepted == 1);
            CHECK(!rbe_core_start(c, &d));
            await(&a);
            await(&b);
            CHECK(a.again == (i == 2) && !strcmp(a.text, first));
            rbe_core_close(&c);
        }
    free(bytes);
    json_decref(a.answer);
    json_decref(b.answer);
    unlink(journal);
}

/* Answered by another process, and by a third that knows nothing of that. */
static void check_chance(void)
{
    struct waiter a = {0}, b = {0};
    struct rbe_core *c = open_core(4);
    char *bytes;
    size_t size;

    CHECK(!submit(c, &a, ASK("chance", "\"temperature\":2")));
    rbe_core_close(&c);
    CHECK(!rbe_read_file(&bytes, &size, journal, &d));
    for (int i = 0; i < 2; i++) {
        struct waiter *w = i ? &b : &a;
        put_file(bytes, size);
        c = open_core(4);
        CHECK(!submit(c, w, ASK("chance", "\"temperature\":2")) && w->accepted == 1);
        CHECK(!rbe_core_start(c, &d));
        await(w);
        rbe_core_close(&c);
    }
    CHECK(!strcmp(a.text, b.text));
    /* Another request of the same words has another chance. */
    unlink(journal);
    c = open_core(4);
    CHECK(!submit(c, &b, ASK("other", "\"temperature\":2")) && !rbe_core_start(c, &d));
    await(&b);
    CHECK(strcmp(a.text, b.text) != 0);
    rbe_core_close(&c);
    free(bytes);
    json_decref(a.answer);
    json_decref(b.answer);
    unlink(journal);
}

/* Answers do not fill the memory; one that is too long by itself says so. */
static void check_bytes(void)
{
    enum { MOST = 2000, COUNT = 20 };
    struct waiter w = {0};
    struct rbe_core *c = open_bounded(4, 1000, MOST);
    char text[256], id[8];

    CHECK(!rbe_core_start(c, &d));
    for (int i = 0; i < COUNT; i++) {
        snprintf(text, sizeof text, ASK("n%d", "\"temperature\":0"), i);
        CHECK(!submit(c, &w, text));
        await(&w);
    }
    const uint32_t kept = rbe_core_counts(c).remembered;
    CHECK(kept > 2 && kept < COUNT - 2);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(id, sizeof id, "n%u", i);
        CHECK((rbe_core_ask(c, id, &w.sink, &d) == RBE_OK) == (i >= COUNT - kept));
    }
    CHECK(!submit(c, &w, "{\"id\":\"long\",\"prompt\":\"The old bridge over the river was "
                  "built by the king\",\"max_tokens\":40,\"logprobs\":5,\"temperature\":0}"));
    await(&w);
    CHECK(strstr(w.text, "longer than what is kept") != NULL);
    CHECK(!rbe_core_ask(c, "long", &w.sink, &d) && strstr(w.text, "longer than"));
    rbe_core_close(&c);
    json_decref(w.answer);
    unlink(journal);
}

/* Where the answer cannot be kept it is held back, and given once it can be. */
static void check_full_disk(void)
{
    struct rlimit before, tight;
    struct waiter a = {0}, b = {0};
    struct stat st;
    struct rbe_core *c = open_core(4);

    CHECK(!submit(c, &a, ASK("f", "\"temperature\":0")) && !stat(journal, &st));
    getrlimit(RLIMIT_FSIZE, &before);
    tight = (struct rlimit){.rlim_cur = (rlim_t)st.st_size + 40, .rlim_max = before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &tight);
    CHECK(submit(c, &b, ASK("g", "\"temperature\":0")) == RBE_ERR_IO && !b.accepted);
    /* Who asks whether it works is told so as soon as it does. */
    tight.rlim_cur = 10;
    setrlimit(RLIMIT_FSIZE, &tight);
    CHECK(!rbe_core_counts(c).healthy && !rbe_core_healthy(c));
    setrlimit(RLIMIT_FSIZE, &before);
    CHECK(!rbe_core_counts(c).healthy && rbe_core_healthy(c) && rbe_core_counts(c).healthy);
    tight.rlim_cur = (rlim_t)st.st_size + 40;
    setrlimit(RLIMIT_FSIZE, &tight);
    CHECK(!rbe_core_start(c, &d));
    usleep(300000);
    CHECK(!a.done && !rbe_core_counts(c).healthy);
    setrlimit(RLIMIT_FSIZE, &before);
    await(&a);
    CHECK(rbe_core_counts(c).healthy && !submit(c, &b, ASK("g", "\"temperature\":0")));
    await(&b);
    CHECK(!strcmp(a.text, b.text));
    rbe_core_close(&c);
    json_decref(a.answer);
    json_decref(b.answer);
    unlink(journal);
}

/* --- requests and the engine -------------------------------------------------------------- */

static json_t *answer(const char *text)
{
    struct rbe_request *r;
    json_t *out = NULL;

    CHECK(!rbe_request_parse(&r, text, strlen(text), rbe_engine_limits(engine), &d));
    if (r)
        CHECK(!rbe_engine_answer(engine, r, NULL, NULL, NULL, &out, &d));
    rbe_request_free(&r);
    return out;
}

static char *text_of(const char *request)
{
    json_t *o = answer(request), *c = json_array_get(json_object_get(o, "choices"), 0);
    char *text = strdup(json_string_value(json_object_get(c, "text")));

    json_decref(o);
    return text;
}

static void check_requests(void)
{
    static const char *const bad[] = {
        "", "[]", "3", "{}", "{\"prompt\":\"\"}", "{\"prompt\":[]}", "{\"prompt\":[[]]}",
        "{\"prompt\":[8192]}", "{\"prompt\":[-1]}", "{\"prompt\":[1,\"a\"]}",
        "{\"prompt\":\"a\",\"messages\":[]}",
        "{\"messages\":[{\"role\":\"x\",\"content\":\"\"}]}",
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"}]}",
        "{\"prompt\":\"a\",\"max_tokens\":-1}", "{\"prompt\":\"a\",\"max_tokens\":1.5}",
        "{\"prompt\":\"a\",\"max_tokens\":101}", "{\"prompt\":\"a\",\"temperature\":-1}",
        "{\"prompt\":\"a\",\"temperature\":\"0\"}", "{\"prompt\":\"a\",\"top_p\":0}",
        "{\"prompt\":\"a\",\"n\":2}", "{\"prompt\":\"a\",\"logit_bias\":{\"1\":1}}",
        "{\"prompt\":\"a\",\"stop\":[\"\"]}", "{\"prompt\":\"a\",\"stop\":7}",
        "{\"prompt\":\"a\",\"stop\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}",
        "{\"prompt\":\"a\",\"stream\":1}", "{\"prompt\":\"a\",\"stream\":true,\"echo\":true}",
        "{\"prompt\":\"a\",\"logprobs\":6}", "{\"id\":\"\",\"prompt\":\"a\"}",
        "{\"id\":\"a b\",\"prompt\":\"a\"}", "{\"id\":7,\"prompt\":\"a\"}",
        "{\"prompt\":\"a\",\"prompt\":\"b\"}", "{\"prompt\":\"\xFF\"}", "{\"prompt\":\"a\"",
        "{\"prompt\":\"a\\u0000b\"}"};
    struct rbe_request *r;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        d.text[0] = 0;
        if (!CHECK(rbe_request_parse(&r, bad[i], strlen(bad[i]), rbe_engine_limits(engine),
                                     &d) == RBE_ERR_ARG && *d.text))
            printf("     %s: %s\n", bad[i], d.text);
        CHECK(!r || (r->id && !r->prompts));
        rbe_request_free(&r);
    }
    /* Deep nests are no stack's end. */
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    CHECK(rbe_request_parse(&r, deep, 200000, rbe_engine_limits(engine), &d) == RBE_ERR_ARG);
    free(deep);
}

static void check_engine(void)
{
    struct rbe_session_limits l = {.max_logits = 16};
    struct rbe_tokenizer *t = NULL;
    struct rbe_session *s = NULL;
    struct rbe_model *m = NULL;
    uint32_t *ids = NULL;
    size_t n = 0;

    /* Log-probabilities are those of the model. */
    if (!CHECK(!rbe_model_open(&m, MODEL, &d) && !rbe_session_open(&s, m, l, NULL, &d) &&
               !rbe_find_tokenizer(&t, NULL, MODEL, rbe_model_config(m), &d)))
        return;
    const char text[] = "The city of the river is old";
    CHECK(!rbe_tokenizer_encode(t, text, strlen(text), false, &ids, &n, &d) && n < 16);
    const uint32_t vocab = rbe_model_vocab(m);
    float *logits = malloc(16 * vocab * sizeof *logits);
    CHECK(!rbe_forward(s, ids, n, &d) && !rbe_logits(s, 0, n, logits, &d));
    json_t *o = answer("{\"prompt\":\"The city of the river is old\",\"max_tokens\":1,"
                       "\"temperature\":0,\"echo\":true,\"logprobs\":2}");
    json_t *c = json_array_get(json_object_get(o, "choices"), 0);
    json_t *lp = json_object_get(c, "logprobs"), *got = json_object_get(lp, "token_logprobs");
    CHECK(json_array_size(got) == n + 1 && json_is_null(json_array_get(got, 0)));
    CHECK(!strncmp(json_string_value(json_object_get(c, "text")), text, strlen(text)));
    for (size_t i = 1; i < n; i++) {
        const float *row = logits + (i - 1) * vocab;
        double sum = 0, best = -INFINITY, top = -INFINITY;
        for (uint32_t k = 0; k < vocab; k++) {
            sum += exp((double)row[k]);
            best = fmax(best, (double)row[k]);
        }
        CHECK_NEAR(json_real_value(json_array_get(got, i)), (double)row[ids[i]] - log(sum),
                   1e-9);
        const char *key;
        json_t *v;
        json_object_foreach(json_array_get(json_object_get(lp, "top_logprobs"), i), key, v)
            top = fmax(top, json_real_value(v));
        CHECK_NEAR(top, best - log(sum), 1e-9);
    }
    json_decref(o);
    free(ids);
    free(logits);
    rbe_session_close(&s);
    rbe_tokenizer_close(&t);
    rbe_model_close(&m);

    /* A beginning that is in a cache changes nothing but the time. */
    const unsigned long long cached = rbe_engine_counts(engine)->cached_tokens;
    char *a = text_of("{\"prompt\":\"The old bridge over the river was\",\"max_tokens\":12,"
                      "\"temperature\":0}");
    char *b = text_of("{\"prompt\":\"The old bridge over the river was\",\"max_tokens\":12,"
                      "\"temperature\":0}");
    CHECK(rbe_engine_counts(engine)->cached_tokens >= cached + 5 && !strcmp(a, b));
    /* A stop ends the answer before it, wherever tokens end. */
    CHECK(strlen(a) > 10);
    for (size_t i = 0; i + 5 < strlen(a); i++) {
        char request[256], stop[6], *cut;
        snprintf(stop, sizeof stop, "%s", a + i);
        if (strspn(stop, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ") < 5)
            continue;
        snprintf(request, sizeof request, "{\"prompt\":\"The old bridge over the river was\","
                 "\"max_tokens\":12,\"temperature\":0,\"stop\":[\"%s\",\"zzz\"]}", stop);
        cut = text_of(request);
        CHECK(strlen(cut) == (size_t)(strstr(a, stop) - a) && !strncmp(cut, a, strlen(cut)));
        free(cut);
    }
    free(a);
    free(b);
    /* Nor does what another's prompt of the same length left there: log-probabilities are made
     * without a cache. */
    a = text_of("{\"prompt\":[90,91,92,93,94,95,96],\"max_tokens\":9,\"temperature\":0}");
    b = text_of("{\"prompt\":[80,81,82,83,84,85,96],\"max_tokens\":9,\"temperature\":0}");
    char *c2 = text_of("{\"prompt\":[80,81,82,83,84,85,96],\"max_tokens\":9,\"temperature\":0,"
                       "\"echo\":true,\"logprobs\":0}");
    CHECK(strcmp(a, b) && strlen(c2) > strlen(b) && !strcmp(c2 + strlen(c2) - strlen(b), b));
    free(c2);
    free(a);
    free(b);
    /* An answer in a chat has no newline; several prompts have an answer each. */
    a = text_of("{\"messages\":[{\"role\":\"system\",\"content\":\"Be short.\"},"
                "{\"role\":\"user\",\"content\":\"Where?\"}],\"temperature\":0,"
                "\"max_tokens\":40}");
    CHECK(!strchr(a, '\n') && a[0] != ' ');
    free(a);
    o = answer("{\"prompt\":[\"One\",\"Two\",[5,6]],\"temperature\":0,\"max_tokens\":3}");
    CHECK(json_array_size(json_object_get(o, "choices")) == 3);
    json_decref(o);
}

/* In memory where that can be: a busy disk's syncs take long. */
/* Guessed tokens change no word of an answer, nor what the next one finds in the cache. */
static void check_lookup(const struct rbe_engine_options *plain)
{
    static const char *const requests[] = {
        "{\"prompt\":\"The river. The river. The river.\",\"max_tokens\":80,\"temperature\":0}",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"Who?\"}],\"max_tokens\":60,"
        "\"temperature\":0.7,\"seed\":3}",
        "{\"prompt\":\"The river. The river. The river. It\",\"max_tokens\":80,"
        "\"temperature\":0,\"stop\":\"ing\",\"logprobs\":1}"};
    struct rbe_engine *const guesses_not = engine;
    struct rbe_engine_options o = *plain;
    struct rbe_engine *guesses = NULL;

    o.lookup = true;
    if (!CHECK(!rbe_engine_open(&guesses, &o, &d)))
        return;
    for (int i = 0; i < 9; i++) {
        engine = guesses;
        json_t *got = answer(requests[i % 3]);
        engine = guesses_not;
        json_t *want = answer(requests[i % 3]);
        CHECK(got && json_equal(got, want));
        json_decref(got);
        json_decref(want);
    }
    CHECK(rbe_engine_counts(guesses)->guessed_right > 0);
    CHECK(rbe_engine_counts(guesses_not)->guessed_tokens == 0);
    rbe_engine_close(&guesses);
}

static bool make_folder(void)
{
    if (access("/dev/shm", W_OK))
        strcpy(folder, "/tmp/rbe-serve-XXXXXX");
    return mkdtemp(folder) != NULL;
}

int main(int argc, char **argv)
{
    struct check_rng r = check_seed(argc, argv);
    const char *kills = getenv("KILLS");
    const struct rbe_engine_options o = {.model = MODEL, .threads = 1, .sessions = 2,
                                         .context = 128, .max_tokens = 100, .seconds = 60};

    if (!CHECK(!rbe_init(&d)) || !CHECK(make_folder()))
        return check_done();
    snprintf(journal, sizeof journal, "%s/journal", folder);
    check_torn();
    check_batch();
    check_full();
    check_rewrite();
    check_kills(&r, kills ? (unsigned)strtoul(kills, NULL, 10) : 300);
    unlink(journal);
    if (CHECK(!rbe_engine_open(&engine, &o, &d))) {
        check_requests();
        check_engine();
        check_lookup(&o);
        check_core();
        check_torn_core();
        check_chance();
        check_bytes();
        check_full_disk();
    }
    rbe_engine_close(&engine);
    char *lock = rbe_path_join(folder, "lock");
    unlink(lock);
    free(lock);
    rmdir(folder);
    return check_done();
}
