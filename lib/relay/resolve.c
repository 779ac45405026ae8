/* SPDX-License-Identifier: BSD-3-Clause */
/* Asking the resolver from a thread. */
#include "relay/resolve.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "memory/memory.h"
#include "relay/worker.h"

struct resolution {
    struct message message; /* first: the answer travels as this */

    /* Fixed. */
    char *host;
    char port[6];

    /* Of the asking worker. */
    resolve_done_fn *done;
    void *user;

    /* One for who asks, one for the thread, which passes to the message. */
    atomic_uint refs;

    pthread_mutex_t lock;  /* a leaf but for the worker's mailbox */
    struct worker *worker; /* guarded by lock; NULL: cancelled */

    /* Written by the thread before the message. */
    struct resolve_answer answer;
};

static void unref(struct resolution *resolution, unsigned count)
{
    if (atomic_fetch_sub_explicit(&resolution->refs, count, memory_order_acq_rel) > count)
        return;
    pthread_mutex_destroy(&resolution->lock);
    memory_free(resolution->host);
    memory_free(resolution);
}

static void look_up(struct resolution *resolution)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct resolve_answer *answer = &resolution->answer;
    struct addrinfo *list = NULL;
    int error = getaddrinfo(resolution->host, resolution->port, &hints, &list);

    for (const struct addrinfo *at = list; at && answer->count < RESOLVE_MAX_ADDRESSES;
         at = at->ai_next)
        if (at->ai_addrlen <= sizeof(answer->addresses[0]))
            memcpy(&answer->addresses[answer->count++], at->ai_addr, at->ai_addrlen);
    if (list)
        freeaddrinfo(list);
    if (error || answer->count == 0)
        answer->error = error ? gai_strerror(error) : "no address";
}

static void answered(struct worker *worker, struct message *message)
{
    struct resolution *resolution = (struct resolution *)message;

    (void)worker;
    /* Only this worker cancels, so nobody does meanwhile. */
    pthread_mutex_lock(&resolution->lock);
    bool wanted = resolution->worker != NULL;
    pthread_mutex_unlock(&resolution->lock);
    if (wanted)
        resolution->done(resolution->user, &resolution->answer);
    unref(resolution, wanted ? 2 : 1);
}

static void *run(void *arg)
{
    struct resolution *resolution = arg;

    look_up(resolution);
    /* The lock keeps the worker: it does not end before it has cancelled. */
    pthread_mutex_lock(&resolution->lock);
    bool passed = resolution->worker && worker_post(resolution->worker, &resolution->message);
    pthread_mutex_unlock(&resolution->lock);
    if (!passed)
        unref(resolution, 1);
    return NULL;
}

static int start_thread(struct resolution *resolution)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    pthread_t thread;

    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, &attributes, run, resolution);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

struct resolution *resolve(struct worker *worker, const char *host, uint16_t port,
                           resolve_done_fn *done, void *user)
{
    struct resolution *resolution = memory_calloc(1, sizeof(*resolution));

    if (!resolution)
        return NULL;
    resolution->message.deliver = answered;
    resolution->worker = worker;
    resolution->done = done;
    resolution->user = user;
    resolution->host = memory_strdup(host);
    snprintf(resolution->port, sizeof(resolution->port), "%u", port);
    atomic_init(&resolution->refs, 2);
    pthread_mutex_init(&resolution->lock, NULL);
    if (resolution->host && start_thread(resolution) == 0)
        return resolution;
    pthread_mutex_destroy(&resolution->lock);
    memory_free(resolution->host);
    memory_free(resolution);
    return NULL;
}

void resolve_cancel(struct resolution *resolution)
{
    pthread_mutex_lock(&resolution->lock);
    resolution->worker = NULL;
    pthread_mutex_unlock(&resolution->lock);
    unref(resolution, 1);
}
