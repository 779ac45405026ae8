/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Watchers: mesh partners that asked by WatchConns to be told which keys are connected here.
 *
 * Whoever changes a key only notes the key, for each watcher, in a bounded list. The worker that
 * owns the watcher's connection takes keys from the list, looks up what is true of each at that
 * moment, and sends that: so what a watcher is told last of a key is right, whatever the order in
 * which several workers changed it. A new watcher's list begins with all keys, one stripe of the
 * route table at a time. Nothing is sent while much waits for the watcher already; one whose list
 * is full loses its connection, as it could not know any more what it was not told.
 */
#ifndef RELAY_WATCH_H
#define RELAY_WATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <hyperderp/key.h>

#include "relay/mailbox.h"

/* Keys that may wait to be told to one watcher. */
#define WATCH_MAX_KEYS 65536

struct conn;
struct watcher;
struct worker;

/* The relay's. */
struct watch_list {
    pthread_mutex_t lock; /* guards what follows, and each watcher's list of keys; a leaf */
    struct watcher *watchers;

    /* Their number; written under the lock. Read without: who has changed a key held its stripe's
     * lock before, and so did a new watcher's walk after it was counted; one sees the other. */
    atomic_uint count;
};

/* A worker's. */
struct watch_post {
    struct message message; /* in the mailbox while posted is set */

    /* Release by the worker, which is done with the message; acquire by who posts it again. */
    atomic_bool posted;

    struct watcher *watchers; /* those of its connections; owned by the worker */
};

void watch_init(struct watch_list *list);
void watch_destroy(struct watch_list *list);

/* The client has sent WatchConns: tells it of all keys, and of changes from now on. Closes the
 * connection without memory for it. */
void watch_begin(struct conn *conn);

/* The connection ends. Nothing to do for one that does not watch. */
void watch_end(struct conn *conn);

/* A connection of this key has come, or its last one has gone: tells the watchers. After the route
 * table has been changed, with no lock held. */
void watch_note(struct worker *worker, const hyperderp_key *key);

#endif
