/* SPDX-License-Identifier: BSD-3-Clause */
/* Pushing to a connection, and its end. */
#include "relay/sink.h"

#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "memory/memory.h"
#include "relay/drainer.h"
#include "relay/offload.h"
#include "relay/websocket_batch.h"
#include "relay/worker.h"

void sink_init(struct sink *sink, enum sink_kind kind, uint16_t worker, uint64_t serial)
{
    sink->fd = -1;
    sink->kind = (uint8_t)kind;
    sink->worker = worker;
    sink->serial = serial;
    atomic_init(&sink->refs, 1);
    atomic_init(&sink->draining, 0);
    pthread_mutex_init(&sink->lock, NULL);
}

struct sink *sink_new(struct worker *worker, int fd)
{
    struct sink *sink = memory_calloc(1, sizeof(*sink));
    if (!sink)
        return NULL;
    sink_init(sink, SINK_CLIENT, worker->index,
              (uint64_t)(worker->index + 1) << 48 | ++worker->last_serial);
    sink->fd = fd;
    return sink;
}

void sink_unref(struct sink *sink)
{
    /* Release, then acquire by the last: it sees what the others did before they let go. */
    if (!sink || atomic_fetch_sub_explicit(&sink->refs, 1, memory_order_acq_rel) > 1)
        return;
    pthread_mutex_destroy(&sink->lock);
    if (sink->tls)
        vault_give(sink->tls->vault, sink->tls);
    memory_free(sink->app_name);
    memory_free(sink);
}

/* Counts packets of one kind that will not be sent. */
static void count_drops(struct worker *worker, struct sink *sink, hyperderp_packet_kind kind,
                        bool crosses, hyperderp_drop_reason reason, unsigned packets)
{
    if (packets == 0)
        return;
    atomic_fetch_add_explicit(&sink->drops, packets, memory_order_relaxed);
    counters_drop(worker->counters, reason, kind, packets);
    counters_add(worker->counters, crosses ? COUNTER_xfer_drops : COUNTER_send_drops, packets);
}

void sink_count_drop(struct worker *worker, struct sink *sink, uint16_t from_worker,
                     enum frame_kind kind, hyperderp_drop_reason reason)
{
    if (kind != FRAME_KIND_CONTROL)
        count_drops(worker, sink, (hyperderp_packet_kind)kind, from_worker != sink->worker, reason,
                    1);
    else if (reason == HYPERDERP_DROP_QUEUE_FULL || reason == HYPERDERP_DROP_MEMORY)
        counters_add(worker->counters, COUNTER_control_drops, 1);
}

static void drop_one(struct worker *worker, struct sink *sink, struct frame *frame,
                     hyperderp_drop_reason reason)
{
    if (!frame->sealed)
        sink_count_drop(worker, sink, frame->from_worker, frame->kind, reason);
    for (unsigned kind = 0; frame->sealed && kind < HYPERDERP_PACKET_KINDS; kind++)
        for (unsigned crosses = 0; crosses < 2; crosses++)
            count_drops(worker, sink, (hyperderp_packet_kind)kind, crosses, reason,
                        frame->packets[kind][crosses]);
    frame_free(&worker->frames, frame);
}

void sink_drop(struct worker *worker, struct sink *sink, struct frame_list *frames,
               hyperderp_drop_reason reason)
{
    struct frame *frame;
    while ((frame = frame_list_pop(frames)))
        drop_one(worker, sink, frame, reason);
}

/* The drainer, when it is the calling worker's and still collects; otherwise NULL. */
static struct drainer *own_drainer(const struct worker *worker, const struct sink *sink)
{
    if (atomic_load_explicit(&sink->draining, memory_order_relaxed) != worker_identity(worker))
        return NULL;
    return sink->drainer->phase == DRAINER_STAGING ? sink->drainer : NULL;
}

/* Needs the sink's lock. */
static bool takes_frames(const struct sink *sink)
{
    return !sink->closed && !sink->broken && !sink->finish;
}

/* Needs the sink's lock, and the sink to be idle. NULL when memory is out: then it stays idle. */
static struct drainer *become_drainer(struct worker *worker, struct sink *sink)
{
    struct drainer *drainer = drainer_new(worker, sink);
    if (!drainer)
        return NULL;
    sink->drainer = drainer;
    atomic_store_explicit(&sink->draining, worker_identity(worker), memory_order_relaxed);
    return drainer;
}

void sink_expire(struct worker *worker, struct sink *sink)
{
    const struct outq_limits limits = limits_queue(&worker->relay->limits);
    struct frame_list expired = {0};

    pthread_mutex_lock(&sink->lock);
    outq_expire(&sink->queue, &limits, worker_ms(worker), &expired);
    pthread_mutex_unlock(&sink->lock);
    sink_drop(worker, sink, &expired, HYPERDERP_DROP_EXPIRED);
}

/* Has the queue sort data by its senders. Without memory it stays as it is. */
static void sort_queue(struct worker *worker, struct sink *sink)
{
    struct frame *memory =
        frame_alloc(&worker->frames, OUTQ_SENDERS_SIZE, FRAME_USE_WAITING, worker->index);

    if (!memory)
        return;
    pthread_mutex_lock(&sink->lock);
    memory = outq_sort(&sink->queue, memory, worker_random(worker));
    pthread_mutex_unlock(&sink->lock);
    if (memory)
        frame_free(&worker->frames, memory);
}

/* Needs the sink's lock, which it gives back, and somebody who drains the sink. */
static bool enqueue(struct worker *worker, struct sink *sink, struct frame *frame)
{
    const struct outq_limits limits = limits_queue(&worker->relay->limits);
    struct frame_list expired = {0}, dropped = {0};

    outq_expire(&sink->queue, &limits, frame->queued_at, &expired);
    outq_push(&sink->queue, &limits, frame, &dropped);
    bool sort = outq_wants_sorting(&sink->queue);
    pthread_mutex_unlock(&sink->lock);
    /* Of the relay's own frames the new one gives way, of packets an older one. */
    bool kept = dropped.head != frame;
    sink_drop(worker, sink, &expired, HYPERDERP_DROP_EXPIRED);
    sink_drop(worker, sink, &dropped, HYPERDERP_DROP_QUEUE_FULL);
    if (sort)
        sort_queue(worker, sink);
    return kept;
}

bool sink_push(struct worker *worker, struct sink *sink, struct frame *frame)
{
    struct drainer *drainer = own_drainer(worker, sink);

    frame->queued_at = worker_ms(worker);
    if (drainer && drainer_add_frame(drainer, frame))
        return true;
    pthread_mutex_lock(&sink->lock);
    if (!takes_frames(sink)) {
        pthread_mutex_unlock(&sink->lock);
        drop_one(worker, sink, frame, HYPERDERP_DROP_GONE);
        return false;
    }
    if (atomic_load_explicit(&sink->draining, memory_order_relaxed) != 0)
        return enqueue(worker, sink, frame);
    drainer = become_drainer(worker, sink);
    pthread_mutex_unlock(&sink->lock);
    /* An empty drainer has room. */
    if (drainer && drainer_add_frame(drainer, frame))
        return true;
    drop_one(worker, sink, frame, HYPERDERP_DROP_MEMORY);
    return false;
}

/* Becomes the drainer of an idle sink; NULL when it is not idle, or not open, or memory is out. */
static struct drainer *claim(struct worker *worker, struct sink *sink)
{
    struct drainer *drainer = NULL;

    if (atomic_load_explicit(&sink->draining, memory_order_relaxed) != 0)
        return NULL;
    pthread_mutex_lock(&sink->lock);
    if (takes_frames(sink) && atomic_load_explicit(&sink->draining, memory_order_relaxed) == 0)
        drainer = become_drainer(worker, sink);
    pthread_mutex_unlock(&sink->lock);
    return drainer;
}

void sink_push_chunk(struct worker *worker, struct sink *sink, struct io_chunk *chunk,
                     uint8_t *bytes, size_t size, enum frame_kind kind)
{
    struct drainer *drainer = own_drainer(worker, sink);

    if (!drainer)
        drainer = claim(worker, sink);
    if (drainer && drainer_add_chunk(drainer, chunk, bytes, size))
        return;
    struct frame *frame = frame_alloc(&worker->frames, size, FRAME_USE_WAITING, worker->index);
    if (!frame) {
        sink_count_drop(worker, sink, worker->index, kind, HYPERDERP_DROP_MEMORY);
        return;
    }
    frame->kind = (uint8_t)kind;
    memcpy(frame->data, bytes, size);
    (void)sink_push(worker, sink, frame);
}

_Static_assert(sizeof(struct sink_tls) <= VAULT_OBJECT, "keys are in the vault");

/* Only the conn's worker can drain a sink that no client has joined with: it stays idle. */
static bool is_idle(const struct sink *sink)
{
    return atomic_load_explicit(&sink->draining, memory_order_relaxed) == 0;
}

bool sink_secure(struct worker *worker, struct sink *sink, const struct tls_tx *tx, bool offload)
{
    struct vault *vault = &worker->relay->vault;
    struct sink_tls *tls = vault_take(vault);

    if (!tls)
        return false;
    tls->vault = vault;
    tls->tx = *tx;
    tls->last_alert = TLS_ALERT_CLOSE_NOTIFY;
    atomic_init(&tls->update_asked, false);
    bool idle = is_idle(sink);
    tls->by_kernel = idle && offload && offload_begin(sink->fd, tx);
    pthread_mutex_lock(&sink->lock);
    if (idle)
        sink->tls = tls;
    pthread_mutex_unlock(&sink->lock);
    if (idle)
        return true;
    vault_give(vault, tls);
    return false;
}

void sink_wrap(struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    sink->websocket = true;
    sink->close_code = WEBSOCKET_GOING_AWAY;
    pthread_mutex_unlock(&sink->lock);
}

void sink_set_close(struct sink *sink, uint16_t code)
{
    pthread_mutex_lock(&sink->lock);
    sink->close_code = code;
    pthread_mutex_unlock(&sink->lock);
}

void sink_ask_update(struct sink *sink)
{
    atomic_store_explicit(&sink->tls->update_asked, true, memory_order_relaxed);
}

void sink_set_alert(struct sink *sink, uint8_t alert)
{
    pthread_mutex_lock(&sink->lock);
    sink->tls->last_alert = alert;
    pthread_mutex_unlock(&sink->lock);
}

void sink_shut(struct sink *sink)
{
    if (!sink_is_offloaded(sink))
        shutdown(sink->fd, SHUT_WR);
}

void sink_finish(struct worker *worker, struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    sink->finish = true;
    if (atomic_load_explicit(&sink->draining, memory_order_relaxed) == 0 && !sink->broken) {
        /* A drainer with nothing to send goes on to the Close frame and the alert at once. */
        if ((!sink->tls && !sink->websocket) || !become_drainer(worker, sink))
            sink_shut(sink);
    }
    pthread_mutex_unlock(&sink->lock);
}

int sink_unacknowledged(const struct sink *sink)
{
    int bytes = 0;
    return ioctl(sink->fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

bool sink_is_acknowledged(struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    bool idle = atomic_load_explicit(&sink->draining, memory_order_relaxed) == 0;
    pthread_mutex_unlock(&sink->lock);
    return idle && sink_unacknowledged(sink) == 0;
}

/* The Close frame of WebSocket, if one is still to be sent: its size, or 0. */
static size_t last_frame(struct worker *worker, struct sink *sink, uint8_t *out)
{
    if (!sink->websocket || sink->close_sent)
        return 0;
    sink->close_sent = true;
    return websocket_close(worker, sink->close_code, out);
}

/* Writes the last records: of so many bytes, and the alert. Their size. */
static size_t last_records(struct worker *worker, struct sink_tls *tls, uint8_t *bytes, size_t len,
                           uint8_t *out)
{
    struct tls_ciphers *ciphers = worker_ciphers(worker);
    struct iovec content = {.iov_base = bytes, .iov_len = len};
    ssize_t size = 0, alert;

    tls->ended = true;
    if (len > 0)
        size = tls_seal(ciphers, &tls->tx, TLS_CONTENT_DATA, &content, 1, out);
    if (size < 0)
        return 0;
    alert = tls_seal_alert(ciphers, &tls->tx, (enum tls_alert)tls->last_alert, out + size);
    return (size_t)(size + (alert > 0 ? alert : 0));
}

/* Needs the sink's lock. Says the Close frame of WebSocket and close_notify (RFC 8446 section 6.1)
 * on the way out, if nobody drains and the socket has room. */
static void say_goodbye(struct worker *worker, struct sink *sink)
{
    uint8_t frame[WEBSOCKET_CLOSE_SIZE], records[2 * TLS_OVERHEAD + WEBSOCKET_CLOSE_SIZE + 2];
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;

    /* While somebody drains, the rest is not ours to look at. */
    if (sink->broken || atomic_load_explicit(&sink->draining, memory_order_relaxed) != 0 ||
        (sink->tls && sink->tls->ended))
        return;
    size_t len = last_frame(worker, sink, frame);
    if (sink_seals(sink)) {
        len = last_records(worker, sink->tls, frame, len, records);
        (void)send(sink->fd, records, len, flags);
        return;
    }
    if (len > 0)
        (void)send(sink->fd, frame, len, flags);
    if (sink->tls)
        (void)!offload_end(sink, sink->tls->last_alert);
}

void sink_close(struct worker *worker, struct sink *sink)
{
    struct frame_list dropped = {0};

    pthread_mutex_lock(&sink->lock);
    say_goodbye(worker, sink);
    sink->closed = true;
    bool broken = sink->broken;
    outq_purge(&sink->queue, &dropped);
    /* Ends a wait for room, on whatever worker, and a receive that could not be cancelled. */
    shutdown(sink->fd, SHUT_RDWR);
    pthread_mutex_unlock(&sink->lock);
    sink_drop(worker, sink, &dropped, broken ? HYPERDERP_DROP_WRITE_ERROR : HYPERDERP_DROP_GONE);
}

void sink_break(struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    if (!sink->closed && !sink->released && !sink->broken) {
        sink->broken = true;
        shutdown(sink->fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&sink->lock);
}

void sink_release_socket(struct sink *sink)
{
    pthread_mutex_lock(&sink->lock);
    sink->released = true;
    if (atomic_load_explicit(&sink->draining, memory_order_relaxed) == 0)
        close(sink->fd);
    pthread_mutex_unlock(&sink->lock);
}
