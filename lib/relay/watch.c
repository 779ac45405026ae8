/* SPDX-License-Identifier: BSD-3-Clause */
/* Telling mesh partners who is here. */
#include "relay/watch.h"

#include <string.h>

#include "memory/memory.h"
#include "relay/conn.h"
#include "relay/route.h"
#include "relay/sink.h"
#include "relay/worker.h"

/* PeerPresent and PeerGone frames are sent by so many bytes at a time, which is one frame of the
 * pool: at most so many of those in a turn, and none while as many still wait. */
#define BATCH_SIZE      16384
#define BATCHES_AT_ONCE 8

#define FIRST_KEYS 64

struct key_list {
    hyperderp_key *keys;
    size_t count, room;
};

struct watcher {
    /* Owned by the connection's worker. */
    struct conn *conn;
    struct watcher *next_of_worker;
    struct key_list telling; /* the next to be told is the one at `told` */
    size_t told;
    unsigned stripe; /* of the route table, the next to be walked; ROUTE_STRIPES: none */
    struct timer timer;

    /* Guarded by the lock of the relay's list. */
    struct watcher *next;
    struct key_list changed;
    bool overflowed; /* a key could not be noted */
};

void watch_init(struct watch_list *list)
{
    *list = (struct watch_list){0};
    pthread_mutex_init(&list->lock, NULL);
    atomic_init(&list->count, 0);
}

void watch_destroy(struct watch_list *list)
{
    pthread_mutex_destroy(&list->lock);
}

/* ---- What is told -------------------------------------------------------------------------- */

/* Writes the frame that says what is true of a key now. */
static size_t encode(struct worker *worker, const hyperderp_key *key, uint8_t *out)
{
    struct sink *sink = route_find_local(&worker->relay->routes, key);

    if (!sink)
        return frame_encode_peer_gone(out, key, PEER_GONE_DISCONNECTED);
    struct peer_present present = {
        .key = *key, .flags = sink->present_flags, .name = sink->app_name};
    memcpy(present.ip, sink->from.ip, sizeof(present.ip));
    present.port = sink->from.port;
    sink_unref(sink);
    return frame_encode_peer_present(out, &present);
}

/* ---- Which keys are to be told --------------------------------------------------------------- */

static void take_changed(struct watcher *watcher)
{
    struct watch_list *list = &watcher->conn->worker->relay->watch;
    struct key_list empty = watcher->telling;

    empty.count = 0;
    watcher->told = 0;
    pthread_mutex_lock(&list->lock);
    watcher->telling = watcher->changed;
    watcher->changed = empty;
    pthread_mutex_unlock(&list->lock);
}

/* Takes the keys of the next stripes that have any. False without memory: then it is tried
 * again. */
static bool take_stripe(struct watcher *watcher)
{
    struct route_table *routes = &watcher->conn->worker->relay->routes;
    hyperderp_key *keys = NULL;
    size_t count = 0;

    while (count == 0 && watcher->stripe < ROUTE_STRIPES) {
        if (!route_list_local(routes, watcher->stripe, &keys, &count))
            return false;
        watcher->stripe++;
    }
    memory_free(watcher->telling.keys);
    watcher->telling = (struct key_list){.keys = keys, .count = count, .room = count};
    watcher->told = 0;
    return true;
}

/* The next key to be told, or NULL when there is none for now. */
static const hyperderp_key *next_key(struct watcher *watcher)
{
    if (watcher->told == watcher->telling.count && watcher->stripe < ROUTE_STRIPES &&
        !take_stripe(watcher))
        return NULL;
    if (watcher->told == watcher->telling.count)
        take_changed(watcher);
    if (watcher->told == watcher->telling.count)
        return NULL;
    return &watcher->telling.keys[watcher->told++];
}

static bool has_more(struct watcher *watcher)
{
    struct watch_list *list = &watcher->conn->worker->relay->watch;

    pthread_mutex_lock(&list->lock);
    bool more = watcher->changed.count > 0;
    pthread_mutex_unlock(&list->lock);
    return more || watcher->told < watcher->telling.count || watcher->stripe < ROUTE_STRIPES;
}

/* ---- Sending --------------------------------------------------------------------------------- */

static bool is_busy(struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    bool busy = sink->queue.frames[FRAME_KIND_CONTROL] >= BATCHES_AT_ONCE;
    pthread_mutex_unlock(&sink->lock);
    return busy;
}

enum sent {
    SENT_BATCH,
    SENT_NOTHING, /* there is nothing to send, or no memory for now */
    SENT_LOST,    /* what had to be told cannot be */
};

static enum sent send_batch(struct watcher *watcher)
{
    struct worker *worker = watcher->conn->worker;
    struct frame *frame =
        frame_alloc(&worker->frames, BATCH_SIZE, FRAME_USE_CONTROL, worker->index);
    const hyperderp_key *key;
    size_t size = 0;

    if (!frame)
        return SENT_NOTHING;
    while (size + FRAME_MAX_PEER_PRESENT <= BATCH_SIZE && (key = next_key(watcher)))
        size += encode(worker, key, frame->data + size);
    frame->size = (uint32_t)size;
    if (size == 0) {
        frame_free(&worker->frames, frame);
        return SENT_NOTHING;
    }
    return sink_push(worker, watcher->conn->sink, frame) ? SENT_BATCH : SENT_LOST;
}

static void run(struct watcher *watcher)
{
    struct conn *conn = watcher->conn;
    struct worker *worker = conn->worker;
    struct watch_list *list = &worker->relay->watch;

    pthread_mutex_lock(&list->lock);
    enum sent sent = watcher->overflowed ? SENT_LOST : SENT_BATCH;
    pthread_mutex_unlock(&list->lock);
    for (unsigned i = 0; i < BATCHES_AT_ONCE && sent == SENT_BATCH && !is_busy(conn->sink); i++)
        sent = send_batch(watcher);
    if (sent == SENT_LOST) {
        counters_add(worker->counters, COUNTER_mesh_watchers_lost, 1);
        conn_close(conn, CONN_END_TOO_SLOW);
        return;
    }
    if (has_more(watcher))
        timer_set(&worker->timers, &watcher->timer, worker->now + TIMER_TICK_NS);
}

static void time_to_go_on(struct timer *timer)
{
    run((struct watcher *)((char *)timer - offsetof(struct watcher, timer)));
}

/* ---- Noting changes -------------------------------------------------------------------------- */

static void run_all(struct worker *worker, struct message *message)
{
    (void)message;
    atomic_store_explicit(&worker->watch.posted, false, memory_order_release);
    for (struct watcher *watcher = worker->watch.watchers, *next; watcher; watcher = next) {
        next = watcher->next_of_worker;
        run(watcher);
    }
}

static void post(struct worker *to)
{
    if (atomic_exchange_explicit(&to->watch.posted, true, memory_order_acquire))
        return;
    to->watch.message.deliver = run_all;
    (void)!worker_post(to, &to->watch.message); /* a worker that has ended has no watchers */
}

/* Needs the list's lock. */
static bool append(struct key_list *list, const hyperderp_key *key)
{
    if (list->count == list->room) {
        size_t room = list->room ? list->room * 2 : FIRST_KEYS;
        hyperderp_key *grown = list->count < WATCH_MAX_KEYS
                                   ? memory_reallocarray(list->keys, room, sizeof(*grown))
                                   : NULL;
        if (!grown)
            return false;
        list->keys = grown;
        list->room = room;
    }
    list->keys[list->count++] = *key;
    return true;
}

void watch_note(struct worker *worker, const hyperderp_key *key)
{
    struct hyperderp_relay *relay = worker->relay;
    struct watch_list *list = &relay->watch;
    uint64_t wanted[RELAY_MAX_WORKERS / 64] = {0};

    if (atomic_load_explicit(&list->count, memory_order_relaxed) == 0)
        return;
    pthread_mutex_lock(&list->lock);
    for (struct watcher *watcher = list->watchers; watcher; watcher = watcher->next) {
        unsigned index = watcher->conn->worker->index;
        watcher->overflowed = watcher->overflowed || !append(&watcher->changed, key);
        wanted[index / 64] |= UINT64_C(1) << index % 64;
    }
    pthread_mutex_unlock(&list->lock);
    for (unsigned i = 0; i < relay->worker_count; i++)
        if (wanted[i / 64] >> i % 64 & 1)
            post(relay->workers[i]);
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

void watch_begin(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct watch_list *list = &worker->relay->watch;

    /* This relay's own client, at the end of a link that led back here: there is nothing to tell.
     */
    if (hyperderp_key_equal(&conn->key, &worker->relay->public_key))
        return;
    if (conn->watcher) {
        conn->watcher->stripe = 0; /* once more from the beginning */
        run(conn->watcher);
        return;
    }
    struct watcher *watcher = memory_calloc(1, sizeof(*watcher));
    if (!watcher) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    watcher->conn = conn;
    watcher->timer.fire = time_to_go_on;
    conn->watcher = watcher;
    watcher->next_of_worker = worker->watch.watchers;
    worker->watch.watchers = watcher;
    pthread_mutex_lock(&list->lock);
    watcher->next = list->watchers;
    list->watchers = watcher;
    atomic_fetch_add_explicit(&list->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&list->lock);
    counters_add(worker->counters, COUNTER_mesh_watchers, 1);
    run(watcher);
}

void watch_end(struct conn *conn)
{
    struct watcher *watcher = conn->watcher;
    struct worker *worker = conn->worker;
    struct watch_list *list = &worker->relay->watch;

    if (!watcher)
        return;
    pthread_mutex_lock(&list->lock);
    struct watcher **at = &list->watchers;
    while (*at != watcher)
        at = &(*at)->next;
    *at = watcher->next;
    atomic_fetch_sub_explicit(&list->count, 1, memory_order_relaxed);
    pthread_mutex_unlock(&list->lock);
    for (at = &worker->watch.watchers; *at != watcher;)
        at = &(*at)->next_of_worker;
    *at = watcher->next_of_worker;
    counters_add(worker->counters, COUNTER_mesh_watchers, (uint64_t)-1);
    timer_stop(&worker->timers, &watcher->timer);
    memory_free(watcher->telling.keys);
    memory_free(watcher->changed.keys);
    memory_free(watcher);
    conn->watcher = NULL;
}
