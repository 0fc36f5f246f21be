/*
 * core.c - requests from all sides: accepted, kept, answered once.
 *
 * SPDX-License-Identifier: MIT
 *
 * Records of the journal, JSON objects: 'Q' a request, accepted: id, request, seed, to; 'A' its
 * answer: id, hash (of the request), answer, to; 'D' id: delivered.  An entry holds what is
 * known of an id; a job is a request that waits or runs, with an entry or without.
 *
 * Locks: `lock` guards entries, queue and journal; `deliver`, which may be taken within it, the
 * sinks of jobs while they are called.
 */
#include "deploy/serve/core.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <xxhash.h>

#include "base/json.h"
#include "base/progress.h"
#include "base/result.h"

enum { BUCKETS = 4096, FRONTS = 4, SLACK_BYTES = 1 << 20 };

struct entry {
    char *id;
    uint64_t hash;
    char *record;               /* the text of 'Q', or of 'A' once there is an answer */
    json_t *to;                 /* or NULL */
    json_t *others;             /* where it was asked from again, before there was an answer */
    bool answered, delivered;
    bool redelivered;           /* by this process */
    struct rbe_job *job;        /* while it is not answered */
    struct entry *next;         /* of the bucket */
    struct entry *older, *newer;        /* of those answered, or of those not */
};

struct rbe_job {
    struct rbe_request *r;
    struct entry *e;            /* or NULL */
    struct rbe_sink *sinks;
    uint64_t client;
    atomic_bool stop;
    struct rbe_job *next;
};

struct list {
    struct entry *oldest, *newest;
    uint32_t count;
};

struct rbe_core {
    struct rbe_engine *engine;
    struct rbe_core_options o;
    struct rbe_journal *journal;        /* or NULL */
    pthread_mutex_t lock, deliver;
    pthread_cond_t change;
    pthread_t thread;
    bool started, stopping;
    struct entry *buckets[BUCKETS];
    struct list pending, answered;
    uint64_t live;              /* bytes of the entries' records */
    struct rbe_job *first, **last, *running;
    uint64_t client;            /* served last */
    struct {
        const struct rbe_front_calls *calls;
        void *arg;
    } fronts[FRONTS];
    size_t front_count;
    struct rbe_core_counts counts;
};

/* --- entries ------------------------------------------------------------------------------ */

static struct entry **place(struct rbe_core *c, const char *id)
{
    struct entry **at = &c->buckets[XXH3_64bits(id, strlen(id)) % BUCKETS];

    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

static void list_add(struct list *l, struct entry *e)
{
    e->newer = NULL;
    e->older = l->newest;
    *(l->newest ? &l->newest->newer : &l->oldest) = e;
    l->newest = e;
    l->count++;
}

static void list_remove(struct list *l, struct entry *e)
{
    *(e->older ? &e->older->newer : &l->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &l->newest) = e->older;
    l->count--;
}

static void entry_free(struct entry *e)
{
    free(e->id);
    free(e->record);
    json_decref(e->to);
    json_decref(e->others);
    free(e);
}

/* Takes record. */
static struct entry *entry_new(const char *id, uint64_t hash, char *record, const json_t *to)
{
    struct entry *e = record ? calloc(1, sizeof *e) : NULL;

    if (!e || !(e->id = strdup(id)) || (to && !(e->to = json_deep_copy(to)))) {
        free(record);
        if (e)
            free(e->id);
        free(e);
        return NULL;
    }
    e->hash = hash;
    e->record = record;
    return e;
}

static void entry_add(struct rbe_core *c, struct entry *e)
{
    *place(c, e->id) = e;
    c->live += strlen(e->record);
    list_add(&c->pending, e);
}

static void entry_forget(struct rbe_core *c, struct entry *e)
{
    struct entry **at = place(c, e->id);

    *at = e->next;
    list_remove(e->answered ? &c->answered : &c->pending, e);
    c->live -= strlen(e->record);
    entry_free(e);
}

/* Takes record, the text of 'A'. */
static void entry_answer(struct rbe_core *c, struct entry *e, char *record)
{
    c->live += strlen(record);
    c->live -= strlen(e->record);
    free(e->record);
    e->record = record;
    e->answered = true;
    e->delivered = !e->to;
    list_remove(&c->pending, e);
    list_add(&c->answered, e);
}

/* Those that are answered and delivered, beyond what is to be remembered. */
static void forget_old(struct rbe_core *c)
{
    struct entry *e = c->answered.oldest, *newer;

    for (; e && (c->answered.count > c->o.remember || c->live > c->o.remember_bytes);
         e = newer) {
        newer = e->newer;
        if (e->delivered)
            entry_forget(c, e);
    }
}

/* --- the journal -------------------------------------------------------------------------- */

static char *dump(json_t *o)
{
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;

    json_decref(o);
    return text;
}

/* The text of 'A'; NULL when out of memory. */
static char *answer_record(const struct entry *e, const json_t *answer)
{
    char hash[17];

    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)e->hash);
    json_t *o = json_pack("{s:s, s:s, s:O}", "id", e->id, "hash", hash, "answer", answer);
    if (o && e->to)
        json_object_set(o, "to", e->to);
    return dump(o);
}

/* The same; an answer that cannot be kept becomes one that says so. */
static char *final_record(const struct rbe_core *c, const struct entry *e, json_t **answer)
{
    char *record = answer_record(e, *answer);

    if (!record || strlen(record) <= c->o.remember_bytes)
        return record;
    free(record);
    json_decref(*answer);
    *answer = json_pack("{s:s}", "error", "the answer is longer than what is kept of one");
    return *answer ? answer_record(e, *answer) : NULL;
}

struct walk {
    const struct entry *e;
    bool in_pending, said;      /* `said`: its answer; whether it was delivered comes next */
    struct rbe_core *c;
};

static bool next_record(void *arg, char *type, const char **text, size_t *size)
{
    struct walk *w = arg;

    if (!w->e && w->in_pending)
        return false;
    if (!w->e) {
        w->in_pending = true;
        if (!(w->e = w->c->pending.oldest))
            return false;
    }
    *type = w->in_pending ? 'Q' : w->said ? 'D' : 'A';
    *text = w->said ? w->e->id : w->e->record;
    *size = strlen(*text);
    if (*type == 'A' && w->e->to && w->e->delivered) {
        w->said = true;
    } else {
        w->said = false;
        w->e = w->e->newer;
    }
    return true;
}

/* Leaves out what was forgotten, once that is most of the file. */
static void shorten(struct rbe_core *c)
{
    struct walk w = {.e = c->answered.oldest, .c = c};

    if (c->journal && rbe_journal_bytes(c->journal) > SLACK_BYTES + 3 * c->live)
        rbe_journal_rewrite(c->journal, next_record, &w, NULL);
}

static enum rbe_status keep(struct rbe_core *c, char type, const char *text, bool sync,
                            struct rbe_diag *d)
{
    if (!c->journal)
        return RBE_OK;
    const enum rbe_status err = rbe_journal_append(c->journal, type, text, strlen(text), sync,
                                                   d);
    c->counts.healthy = !err;
    return err;
}

static enum rbe_status replay_one(struct rbe_core *c, char type, const json_t *o,
                                  const char *text, struct rbe_diag *d)
{
    const char *id = type == 'D' ? text : json_string_value(json_object_get(o, "id"));
    const json_t *to = json_object_get(o, "to");
    struct entry *e = id ? *place(c, id) : NULL;

    if (!id)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: a record without an id", c->o.state);
    if (type == 'D') {
        if (e)
            e->delivered = true;
        return RBE_OK;
    }
    char *record = strdup(text);
    if (!e) {
        e = entry_new(id, 0, record, to);
        if (e)
            entry_add(c, e);
        record = NULL;
        if (e && type == 'A')
            record = strdup(text);
    }
    if (!e || (type == 'A' && !record)) {
        free(record);
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", c->o.state);
    }
    if (type == 'A' && !e->answered) {
        const char *hash = json_string_value(json_object_get(o, "hash"));
        e->hash = hash ? strtoull(hash, NULL, 16) : 0;
        entry_answer(c, e, record);
        record = NULL;
    }
    free(record);
    return RBE_OK;
}

static enum rbe_status replay(void *arg, char type, const char *text, size_t size,
                              struct rbe_diag *d)
{
    struct rbe_core *c = arg;
    json_t *o = NULL;
    enum rbe_status err = RBE_OK;

    if (type != 'Q' && type != 'A' && type != 'D')
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: an unknown record", c->o.state);
    if (type != 'D')
        err = rbe_json_load(&o, text, size, 0, NULL, c->o.state, d);
    if (!err)
        err = replay_one(c, type, o, text, d);
    json_decref(o);
    return err;
}

/* The front that `to` names, or NULL. */
static const struct rbe_front_calls *front_of(struct rbe_core *c, const json_t *to, void **arg)
{
    const char *name = json_string_value(json_object_get(to, "front"));

    for (size_t i = 0; i < c->front_count && name; i++)
        if (!strcmp(name, c->fronts[i].calls->name)) {
            *arg = c->fronts[i].arg;
            return c->fronts[i].calls;
        }
    return NULL;
}

/* --- jobs --------------------------------------------------------------------------------- */

static void job_add(struct rbe_core *c, struct rbe_job *job)
{
    job->next = NULL;
    *c->last = job;
    c->last = &job->next;
    c->counts.waiting++;
    pthread_cond_broadcast(&c->change);
}

static void job_free(struct rbe_job *job)
{
    rbe_request_free(&job->r);
    free(job);
}

/* Takes out the job at *at. */
static struct rbe_job *job_take(struct rbe_core *c, struct rbe_job **at)
{
    struct rbe_job *job = *at;

    *at = job->next;
    if (c->last == &job->next)
        c->last = at;
    c->counts.waiting--;
    return job;
}

/* The next one: the oldest, but of another client than the last where there is one. */
static struct rbe_job *job_next(struct rbe_core *c)
{
    struct rbe_job **at = &c->first;

    while (*at && (*at)->client == c->client)
        at = &(*at)->next;
    if (!*at)
        at = &c->first;
    c->client = (*at)->client;
    return job_take(c, at);
}

/* As rbe_request_read() had it. */
static uint64_t hash_of(const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT | JSON_SORT_KEYS);
    const uint64_t hash = text ? XXH3_64bits(text, strlen(text)) : 0;

    free(text);
    return hash;
}

/* What an earlier process accepted and did not answer. */
static enum rbe_status queue_pending(struct rbe_core *c, struct rbe_diag *d)
{
    struct entry *newer;

    for (struct entry *e = c->pending.oldest; e; e = newer) {
        struct rbe_diag why = {""};
        struct rbe_request *r = NULL;
        json_t *o;
        newer = e->newer;
        enum rbe_status err = rbe_json_load(&o, e->record, strlen(e->record), 0, NULL,
                                            c->o.state, d);
        if (err)
            return err;
        e->hash = hash_of(json_object_get(o, "request"));
        err = rbe_request_read(&r, json_object_get(o, "request"),
                               rbe_engine_limits(c->engine), &why);
        if (!err) {
            struct rbe_job *job = calloc(1, sizeof *job);
            r->sampling.seed = (uint64_t)json_integer_value(json_object_get(o, "seed"));
            if (job) {
                *job = (struct rbe_job){.r = r, .e = e};
                e->job = job;
                c->counts.recovered++;
                job_add(c, job);
                r = NULL;
            } else {
                err = RBE_ERR_NOMEM;
            }
        } else if (err != RBE_ERR_NOMEM) {      /* another model than before, say */
            json_t *answer = json_pack("{s:o}", "error", rbe_result_string(why.text));
            char *record = answer ? answer_record(e, answer) : NULL;
            json_decref(answer);
            err = record ? keep(c, 'A', record, true, d) : RBE_ERR_NOMEM;
            if (!err)
                entry_answer(c, e, record);
            else
                free(record);
        }
        rbe_request_free(&r);
        json_decref(o);
        if (err)
            return err == RBE_ERR_NOMEM ? rbe_fail(d, err, "%s: out of memory", c->o.state)
                                        : err;
    }
    return RBE_OK;
}

/* --- opening ------------------------------------------------------------------------------ */

enum rbe_status rbe_core_open(struct rbe_core **out, struct rbe_engine *e,
                              const struct rbe_core_options *o, struct rbe_diag *d)
{
    struct rbe_core *c = calloc(1, sizeof *c);
    enum rbe_status err = RBE_OK;

    *out = NULL;
    if (!c)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    c->engine = e;
    c->o = *o;
    c->last = &c->first;
    c->counts.queue = o->queue;
    c->counts.healthy = true;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->deliver, NULL);
    pthread_cond_init(&c->change, NULL);
    if (o->state && !(err = rbe_journal_open(&c->journal, o->state, replay, c, d)))
        err = queue_pending(c, d);
    if (err)
        rbe_core_close(&c);
    else
        forget_old(c);
    *out = c;
    return err;
}

void rbe_core_close(struct rbe_core **pp)
{
    struct rbe_core *c = *pp;

    if (!c)
        return;
    rbe_core_stop(c);
    while (c->first)
        job_free(job_take(c, &c->first));
    while (c->pending.oldest)
        entry_forget(c, c->pending.oldest);
    while (c->answered.oldest)
        entry_forget(c, c->answered.oldest);
    rbe_journal_close(&c->journal);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->deliver);
    pthread_cond_destroy(&c->change);
    free(c);
    *pp = NULL;
}

void rbe_core_front(struct rbe_core *c, const struct rbe_front_calls *calls, void *arg)
{
    if (c->front_count == FRONTS)
        return;
    c->fronts[c->front_count].calls = calls;
    c->fronts[c->front_count++].arg = arg;
}

const struct rbe_engine *rbe_core_engine(const struct rbe_core *c)
{
    return c->engine;
}

struct rbe_core_counts rbe_core_counts(struct rbe_core *c)
{
    pthread_mutex_lock(&c->lock);
    struct rbe_core_counts n = c->counts;
    n.running = c->running != NULL;
    n.remembered = c->answered.count;
    n.journal_bytes = c->journal ? rbe_journal_bytes(c->journal) : 0;
    pthread_mutex_unlock(&c->lock);
    return n;
}

bool rbe_core_healthy(struct rbe_core *c)
{
    struct walk w = {.c = c};

    pthread_mutex_lock(&c->lock);
    w.e = c->answered.oldest;
    if (!c->counts.healthy)
        c->counts.healthy = !rbe_journal_rewrite(c->journal, next_record, &w, NULL);
    const bool healthy = c->counts.healthy;
    pthread_mutex_unlock(&c->lock);
    return healthy;
}

/* --- giving away -------------------------------------------------------------------------- */

struct running {
    struct rbe_core *c;
    struct rbe_job *job;
};

static bool give_part(void *arg, size_t index, const char *text, size_t size)
{
    struct running *r = arg;
    struct rbe_core *c = r->c;
    const struct entry *e = r->job->e;
    void *front_arg = NULL;
    bool read = e != NULL;

    pthread_mutex_lock(&c->deliver);
    for (struct rbe_sink *s = r->job->sinks; s; s = s->next)
        read |= !s->calls->part || !s->first || s->calls->part(s->arg, index, text, size);
    pthread_mutex_unlock(&c->deliver);
    const struct rbe_front_calls *f = e && e->to ? front_of(c, e->to, &front_arg) : NULL;
    if (f && f->part)
        f->part(front_arg, e->to, e->id, index, text, size);
    return read;
}

static void give_front(struct rbe_core *c, const json_t *to, const char *id,
                       const json_t *answer)
{
    void *arg = NULL;
    const struct rbe_front_calls *f = to ? front_of(c, to, &arg) : NULL;

    if (f)
        f->done(arg, to, id, answer, false);
}

/* To all who wait for it. */
static void give_answer(struct rbe_core *c, struct rbe_job *job, const json_t *to,
                        const char *id, const json_t *answer)
{
    pthread_mutex_lock(&c->deliver);
    for (struct rbe_sink *s = job->sinks, *next; s; s = next) {
        next = s->next;
        s->job = NULL;
        s->calls->done(s->arg, answer, false);
    }
    job->sinks = NULL;
    pthread_mutex_unlock(&c->deliver);
    give_front(c, to, id, answer);
}

/* --- the thread that answers -------------------------------------------------------------- */

static struct timespec in_seconds(double s)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += (time_t)s;
    t.tv_nsec += (long)(1e9 * (s - (double)(time_t)s));
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

/* The answer must be on the disk before anybody has it: a full disk is waited for.  Called with
 * the lock; false: the process ends first. */
static bool keep_answer(struct rbe_core *c, char *record)
{
    while (keep(c, 'A', record, true, NULL)) {
        if (c->stopping)
            return false;
        const struct timespec t = in_seconds(1);
        pthread_cond_timedwait(&c->change, &c->lock, &t);
    }
    return true;
}

/* Called with the lock, which it gives up while it works. */
static void answer_one(struct rbe_core *c, struct rbe_job *job)
{
    struct running r = {c, job};
    struct rbe_diag why = {""};
    json_t *answer = NULL, *to = NULL, *others = NULL, *other;
    char *record = NULL, *id = NULL;
    size_t i;

    pthread_mutex_unlock(&c->lock);
    const enum rbe_status err = rbe_engine_answer(c->engine, job->r, &job->stop, give_part, &r,
                                                  &answer, &why);
    if (err)
        answer = json_pack("{s:o}", "error",
                           err == RBE_ERR_INTERRUPTED ? json_string("the service ends")
                                                      : rbe_result_string(why.text));
    pthread_mutex_lock(&c->lock);
    struct entry *e = job->e;
    /* Broken off, or no memory to say more: the next process answers it. */
    bool final = answer && (err != RBE_ERR_INTERRUPTED);
    if (e && final && (!(record = final_record(c, e, &answer)) || !(id = strdup(e->id))))
        final = false;
    if (e && final)
        final = keep_answer(c, record);
    if (e && final) {
        to = json_incref(e->to);
        others = e->others;
        e->others = NULL;
        entry_answer(c, e, record);
        record = NULL;
        forget_old(c);
        shorten(c);
    }
    if (e)
        e->job = NULL;
    job->e = NULL;
    *(err == RBE_ERR_INTERRUPTED ? &c->counts.left : err ? &c->counts.failed
                                                         : &c->counts.answered) += 1;
    pthread_mutex_unlock(&c->lock);
    if (!final && !answer)
        answer = json_pack("{s:s}", "error", "out of memory");
    give_answer(c, job, to, id, answer);
    json_array_foreach(others, i, other)
        give_front(c, other, id, answer);
    json_decref(others);
    json_decref(to);
    json_decref(answer);
    free(record);
    free(id);
    pthread_mutex_lock(&c->lock);
    c->running = NULL;
    job_free(job);
    pthread_cond_broadcast(&c->change);
}

/* With the lock: until something changes; the engine rests once it is nothing for long. */
static void wait_or_rest(struct rbe_core *c)
{
    const struct timespec until = in_seconds(c->o.idle);

    if (!c->o.idle || c->counts.resting) {
        pthread_cond_wait(&c->change, &c->lock);
    } else if (pthread_cond_timedwait(&c->change, &c->lock, &until) == ETIMEDOUT && !c->first) {
        rbe_engine_rest(c->engine);
        c->counts.resting = 1;
        c->counts.rests++;
    }
}

static void *answer_all(void *arg)
{
    struct rbe_core *c = arg;

    pthread_mutex_lock(&c->lock);
    while (!c->stopping) {
        if (!c->first) {
            wait_or_rest(c);
            continue;
        }
        c->counts.resting = 0;
        c->counts.since = rbe_now();
        c->running = job_next(c);
        answer_one(c, c->running);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

enum rbe_status rbe_core_start(struct rbe_core *c, struct rbe_diag *d)
{
    if (pthread_create(&c->thread, NULL, answer_all, c))
        return rbe_fail(d, RBE_ERR_NOMEM, "no thread to answer with");
    c->started = true;
    return RBE_OK;
}

void rbe_core_stop(struct rbe_core *c)
{
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    if (c->running)
        atomic_store(&c->running->stop, true);
    pthread_cond_broadcast(&c->change);
    pthread_mutex_unlock(&c->lock);
    if (c->started)
        pthread_join(c->thread, NULL);
    c->started = false;
    /* Who still waits is told so. */
    json_t *answer = json_pack("{s:s}", "error", "the service ends");
    pthread_mutex_lock(&c->lock);
    for (struct rbe_job *job = c->first; job && answer; job = job->next)
        give_answer(c, job, NULL, NULL, answer);
    pthread_mutex_unlock(&c->lock);
    json_decref(answer);
}

/* --- requests ----------------------------------------------------------------------------- */

/* Called with the lock. */
static void attach(struct rbe_core *c, struct rbe_job *job, struct rbe_sink *sink, bool first)
{
    if (!sink)
        return;
    pthread_mutex_lock(&c->deliver);
    sink->job = job;
    sink->first = first;
    sink->next = job->sinks;
    job->sinks = sink;
    if (sink->calls->accepted)
        sink->calls->accepted(sink->arg);
    pthread_mutex_unlock(&c->deliver);
}

/* The answer that a record holds, fresh. */
static json_t *answer_of(const char *record)
{
    json_t *o, *answer = NULL;

    if (!rbe_json_load(&o, record, strlen(record), 0, NULL, "answer", NULL))
        answer = json_incref(json_object_get(o, "answer"));
    json_decref(o);
    return answer ? answer : json_pack("{s:s}", "error", "out of memory");
}

/* An id that is known.  Called with the lock, which it gives up. */
static void again(struct rbe_core *c, struct entry *e, struct rbe_sink *sink, const json_t *to)
{
    json_t *answer = NULL;
    char *id = strdup(e->id);
    void *arg = NULL;
    const struct rbe_front_calls *f = to && id ? front_of(c, to, &arg) : NULL;

    c->counts.repeated++;
    if (e->job) {
        attach(c, e->job, sink, false);
        if (f && !(e->to && json_equal(e->to, to)) && (e->others || (e->others = json_array())))
            json_array_append_new(e->others, json_deep_copy(to));
        if (f)
            f->accepted(arg, to, id);
    } else {
        answer = answer_of(e->record);
    }
    pthread_mutex_unlock(&c->lock);
    if (answer && sink)
        sink->calls->done(sink->arg, answer, true);
    if (answer && f)
        f->done(arg, to, id, answer, true);
    json_decref(answer);
    free(id);
}

/* The text of 'Q'. */
static char *request_record(const struct rbe_request *r, const json_t *to)
{
    json_t *request = NULL, *o = NULL;

    if (!rbe_json_load(&request, r->text, strlen(r->text), 0, NULL, "request", NULL))
        o = json_pack("{s:s, s:I, s:o}", "id", r->id, "seed", (json_int_t)r->sampling.seed,
                      "request", request);
    if (o && to)
        json_object_set(o, "to", (json_t *)(uintptr_t)to);
    return dump(o);
}

static enum rbe_status accept(struct rbe_core *c, struct rbe_job *job, const json_t *to,
                              struct rbe_diag *d)
{
    struct rbe_request *r = job->r;

    if (!r->id)
        return RBE_OK;
    char *record = request_record(r, to);
    struct entry *e = record ? entry_new(r->id, r->hash, record, to) : NULL;
    if (!e)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a request");
    const enum rbe_status err = keep(c, 'Q', e->record, true, d);
    if (err) {
        entry_free(e);
        return err;
    }
    e->job = job;
    job->e = e;
    entry_add(c, e);
    return RBE_OK;
}

enum rbe_status rbe_core_submit(struct rbe_core *c, struct rbe_request **pp,
                                struct rbe_sink *sink, const json_t *to, uint64_t client,
                                struct rbe_diag *d)
{
    struct rbe_request *r = *pp;
    enum rbe_status err;
    uint64_t seed;
    void *arg = NULL;

    if (sink)
        sink->job = NULL;
    pthread_mutex_lock(&c->lock);
    struct entry *e = r->id ? *place(c, r->id) : NULL;
    if (e && e->hash != r->hash) {
        pthread_mutex_unlock(&c->lock);
        return rbe_fail(d, RBE_ERR_MISMATCH, "the id '%s' is of another request", r->id);
    }
    if (e && (e->job || e->answered)) {
        again(c, e, sink, to);
        rbe_request_free(pp);
        return RBE_OK;
    }
    struct rbe_job *job = NULL;
    if (e) {                    /* no memory was left for its answer */
        err = rbe_fail(d, RBE_ERR_IO, "'%s' is answered at the next start", r->id);
    } else if (c->stopping) {
        err = rbe_fail(d, RBE_ERR_LIMIT, "the service ends");
    } else if (c->counts.waiting + (c->running != NULL) >= c->o.queue) {
        c->counts.full++;
        err = rbe_fail(d, RBE_ERR_LIMIT, "%u requests wait already", c->counts.waiting);
    } else if (!(job = calloc(1, sizeof *job))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory for a request");
    } else {
        /* Kept with the request, so that it is answered alike after a crash. */
        if (!r->seeded && getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
            r->sampling.seed = seed >> 1;
        *job = (struct rbe_job){.r = r, .client = client};
        err = accept(c, job, to, d);
    }
    if (!err) {
        *pp = NULL;
        c->counts.accepted++;
        attach(c, job, sink, true);
        const struct rbe_front_calls *f = to && r->id ? front_of(c, to, &arg) : NULL;
        if (f)
            f->accepted(arg, to, r->id);
        job_add(c, job);
    } else {
        free(job);
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

enum rbe_status rbe_core_ask(struct rbe_core *c, const char *id, struct rbe_sink *sink,
                             struct rbe_diag *d)
{
    sink->job = NULL;
    pthread_mutex_lock(&c->lock);
    struct entry *e = *place(c, id);
    if (!e || (!e->job && !e->answered)) {
        pthread_mutex_unlock(&c->lock);
        return rbe_fail(d, RBE_ERR_ARG, "the id '%s' is not known", id);
    }
    again(c, e, sink, NULL);
    return RBE_OK;
}

void rbe_core_leave(struct rbe_core *c, struct rbe_sink *sink)
{
    struct rbe_job *gone = NULL;

    pthread_mutex_lock(&c->lock);
    pthread_mutex_lock(&c->deliver);
    struct rbe_job *job = sink->job;
    if (job) {
        struct rbe_sink **at = &job->sinks;
        while (*at != sink)
            at = &(*at)->next;
        *at = sink->next;
        sink->job = NULL;
        if (!job->sinks && !job->e)
            gone = job;
    }
    pthread_mutex_unlock(&c->deliver);
    if (gone && gone == c->running) {
        atomic_store(&gone->stop, true);
    } else if (gone) {
        struct rbe_job **at = &c->first;
        while (*at && *at != gone)
            at = &(*at)->next;
        if (*at) {
            job_free(job_take(c, at));
            c->counts.left++;
        }
    }
    pthread_mutex_unlock(&c->lock);
}

void rbe_core_delivered(struct rbe_core *c, const char *id)
{
    pthread_mutex_lock(&c->lock);
    struct entry *e = *place(c, id);
    if (e && e->answered && !e->delivered) {
        e->delivered = true;
        /* Lost in a crash, it is delivered once more. */
        keep(c, 'D', id, false, NULL);
        forget_old(c);
    }
    pthread_mutex_unlock(&c->lock);
}

void rbe_core_redeliver(struct rbe_core *c, const char *front)
{
    for (;;) {
        char *id = NULL;
        json_t *answer = NULL, *to = NULL;
        void *arg = NULL;
        pthread_mutex_lock(&c->lock);
        for (struct entry *e = c->answered.oldest; e && !id; e = e->newer) {
            const char *name = json_string_value(json_object_get(e->to, "front"));
            if (!e->delivered && !e->redelivered && name && !strcmp(name, front)) {
                e->redelivered = true;
                id = strdup(e->id);
                to = json_incref(e->to);
                answer = answer_of(e->record);
            }
        }
        pthread_mutex_unlock(&c->lock);
        const struct rbe_front_calls *f = id ? front_of(c, to, &arg) : NULL;
        if (f)
            f->done(arg, to, id, answer, true);
        json_decref(to);
        json_decref(answer);
        free(id);
        if (!f)
            return;
    }
}
