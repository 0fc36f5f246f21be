/*
 * mqtt.h - requests and replies as messages of MQTT 5, by libmosquitto, which is loaded when it
 * is asked for.
 *
 * SPDX-License-Identifier: MIT
 *
 * Requests, of quality of service 1, come at TOPIC/request and are acknowledged once they are
 * in the journal; replies (reply.h) go to the request's response topic with its correlation
 * data, parts with quality 0, the others with 1.  TOPIC/status is retained: online or offline,
 * the latter also as the last will.  The session outlives the connection.  While the queue is
 * full nothing is read, and the broker keeps what comes.
 */
#ifndef RBE_DEPLOY_SERVE_MQTT_H
#define RBE_DEPLOY_SERVE_MQTT_H

#include "deploy/serve/core.h"

struct rbe_mqtt;

struct rbe_mqtt_options {
    const char *broker;         /* "HOST", "HOST:PORT", or the path of a UNIX socket */
    const char *topic, *id;
    const char *user, *password;        /* or NULL */
    size_t body;                /* bytes of a request */
    uint32_t seconds;           /* of a request: so long nothing may be read */
    /* What happens to the connection, one line; a fault is said once until it is mended. */
    void (*say)(void *arg, bool fault, const char *what);
    void *arg;
};

/* Before rbe_core_start(). */
enum rbe_status rbe_mqtt_open(struct rbe_mqtt **out, struct rbe_core *c,
                              const struct rbe_mqtt_options *o, struct rbe_diag *d);
/* From here on it connects, again and again. */
enum rbe_status rbe_mqtt_start(struct rbe_mqtt *m, struct rbe_diag *d);
/* After rbe_core_stop(). */
void rbe_mqtt_close(struct rbe_mqtt **m);

#endif
