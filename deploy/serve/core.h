/*
 * core.h - requests from all sides: accepted, kept, answered once, the answer given again.
 *
 * SPDX-License-Identifier: MIT
 *
 * A request with an id is in the journal, on the disk, before it is accepted; its answer is
 * there before anybody gets it.  So what was accepted is answered after a crash too, and who
 * sends an id again gets the same text.  A request without an id lives as long as its client.
 *
 * Threads: every call from any thread.  Callbacks come from the thread that answers, or from
 * within the call; they must not call the core, nor wait for who does.
 */
#ifndef RBE_DEPLOY_SERVE_CORE_H
#define RBE_DEPLOY_SERVE_CORE_H

#include "deploy/serve/engine.h"
#include "deploy/serve/journal.h"
#include "deploy/serve/request.h"

struct rbe_core;
struct rbe_job;

struct rbe_core_options {
    const char *state;          /* the journal's folder; NULL: ids are remembered in memory */
    uint32_t queue;             /* requests that wait or run, at most */
    uint32_t remember;          /* answers that are kept for who sends an id again */
    /* Of these, RBE_JOURNAL_RECORD_MAX at most; a longer one is an error instead. */
    size_t remember_bytes;
    uint32_t idle;              /* seconds without work until the engine rests; 0: never */
};

/* Who waits for an answer; lives in its owner's memory until done() was called, or
 * rbe_core_leave() has returned. */
struct rbe_sink {
    const struct rbe_sink_calls *calls;
    void *arg;
    struct rbe_job *job;        /* the core's, as what follows */
    struct rbe_sink *next;
    bool first;
};

/*
 * The answer of done() is rbe_engine_answer()'s, or {"error": text}; it is the core's.
 * `again`: it was made before.  part() may be NULL, and is called only where the request came
 * with this sink: who asks again gets the whole; false: it is no longer read.
 */
struct rbe_sink_calls {
    void (*accepted)(void *arg);        /* may be NULL */
    bool (*part)(void *arg, size_t index, const char *text, size_t size);
    void (*done)(void *arg, const json_t *answer, bool again);
};

/*
 * Who can be reached after a crash too: a request's `to`, kept with it, is a JSON object whose
 * member "front" names these calls.  Answers go to done() until rbe_core_delivered() was
 * called; those of an earlier process once more, at rbe_core_redeliver().
 */
struct rbe_front_calls {
    const char *name;
    void (*accepted)(void *arg, const json_t *to, const char *id);
    void (*part)(void *arg, const json_t *to, const char *id, size_t index, const char *text,
                 size_t size);  /* may be NULL */
    void (*done)(void *arg, const json_t *to, const char *id, const json_t *answer, bool again);
};

/* Reads the journal.  What it has unanswered is answered from rbe_core_start() on. */
enum rbe_status rbe_core_open(struct rbe_core **out, struct rbe_engine *e,
                              const struct rbe_core_options *o, struct rbe_diag *d);
/* Before rbe_core_start(). */
void rbe_core_front(struct rbe_core *c, const struct rbe_front_calls *calls, void *arg);
enum rbe_status rbe_core_start(struct rbe_core *c, struct rbe_diag *d);
/* Breaks off what runs; accepted requests with ids are answered by the next process. */
void rbe_core_stop(struct rbe_core *c);
void rbe_core_close(struct rbe_core **c);

/*
 * Takes *r in any case when it returns RBE_OK.  sink or to may be NULL; `client` tells clients
 * apart, who take turns.  RBE_ERR_LIMIT: the queue is full, try again later; RBE_ERR_MISMATCH:
 * the id is of another request; RBE_ERR_IO: it cannot be kept.  Nothing was accepted then.
 */
enum rbe_status rbe_core_submit(struct rbe_core *c, struct rbe_request **r,
                                struct rbe_sink *sink, const json_t *to, uint64_t client,
                                struct rbe_diag *d);
/* What became of an id: accepted() and in time done(), or done() at once.  RBE_ERR_ARG: it is
 * not known. */
enum rbe_status rbe_core_ask(struct rbe_core *c, const char *id, struct rbe_sink *sink,
                             struct rbe_diag *d);
/* The sink hears nothing any more; a request without an id ends with the last of its sinks. */
void rbe_core_leave(struct rbe_core *c, struct rbe_sink *sink);

void rbe_core_delivered(struct rbe_core *c, const char *id);
void rbe_core_redeliver(struct rbe_core *c, const char *front);

struct rbe_core_counts {
    uint64_t accepted, answered, failed, full, repeated, recovered, left;
    uint32_t waiting, running, queue, remembered;
    uint32_t rests, resting;
    double since;               /* rbe_now() when what runs was begun */
    uint64_t journal_bytes;
    bool healthy;               /* the journal can be written */
};
struct rbe_core_counts rbe_core_counts(struct rbe_core *c);
/* The same of now: a journal that could not be written is written anew. */
bool rbe_core_healthy(struct rbe_core *c);
const struct rbe_engine *rbe_core_engine(const struct rbe_core *c);

#endif
