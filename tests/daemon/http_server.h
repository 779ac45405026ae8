/* SPDX-License-Identifier: BSD-3-Clause */
/* A web server for the tests of questions about clients: it says what it is told to say, when it is
 * told to, and remembers what it was asked. On a TCP port of 127.0.0.1 or a unix socket. */
#ifndef TESTS_DAEMON_HTTP_SERVER_H
#define TESTS_DAEMON_HTTP_SERVER_H

#include <pthread.h>
#include <stdbool.h>

#include <microhttpd.h>

/* What it does with a request. */
enum http_manner {
    HTTP_ANSWERS,
    HTTP_HANGS_UP, /* closes without a word */
    HTTP_BREAKS,   /* sends the head and a piece of the body, then waits for the gate */
};

struct http_server {
    struct MHD_Daemon *daemon;
    char url[128];    /* with the path /verify; TCP alone */
    char socket[108]; /* path of the unix socket, or "" */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    enum http_manner manner;
    unsigned status;
    const char *body;
    bool closed; /* the gate: answers wait for it */
    unsigned requests, at_once, most_at_once;
    char method[16], path[256], host[128], type[64], request[512]; /* of the last one */
};

/* socket: make it a unix socket. It answers 200 with the body. */
void http_server_start(struct http_server *server, bool socket, const char *body);
void http_server_stop(struct http_server *server);

void http_server_say(struct http_server *server, unsigned status, const char *body);
void http_server_behave(struct http_server *server, enum http_manner manner);
void http_server_gate(struct http_server *server, bool closed);

/* Waits until so many requests have come in all, or are there at once; fails the test after some
 * seconds. */
void http_server_wait_requests(struct http_server *server, unsigned count);
void http_server_wait_at_once(struct http_server *server, unsigned count);
unsigned http_server_requests(struct http_server *server);

#endif
