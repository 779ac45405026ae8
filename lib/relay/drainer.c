/* SPDX-License-Identifier: BSD-3-Clause */
/* Sending: batches, short writes, waiting for room, failure. */
#include "relay/drainer.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "io/loop.h"
#include "memory/memory.h"
#include "relay/offload.h"
#include "relay/seal_batch.h"
#include "relay/sink.h"
#include "relay/websocket_batch.h"
#include "relay/worker.h"
#include "wire/frame.h"

/* Batches that one drainer sends before others get their turn. */
#define BATCHES_PER_TURN 4

/* How often a drainer that waits looks whether the receiver takes anything. */
#define LOOKS_PER_TIMEOUT 4

/* Idle drainers whose memory a worker keeps. */
#define MAX_SPARE 64

static void drainer_stalled(struct timer *timer);

/* Notes a drainer for the end of this turn, or of the next one. */
static void schedule(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    drainer->next = NULL;
    if (worker->flush_head)
        worker->flush_tail->next = drainer;
    else
        worker->flush_head = drainer;
    worker->flush_tail = drainer;
}

/* A spare one or a new one, NULL when memory is out. */
static struct drainer *take(struct worker *worker)
{
    struct drainer *drainer = worker->spare_drainers;

    if (drainer) {
        worker->spare_drainers = drainer->next;
        worker->spare_drainer_count--;
        return drainer;
    }
    drainer = memory_calloc(1, sizeof(*drainer));
    if (!drainer)
        return NULL;
    counters_add(worker->counters, COUNTER_packet_allocations, 1);
    drainer->worker = worker;
    drainer->stall.fire = drainer_stalled;
    return drainer;
}

struct drainer *drainer_new(struct worker *worker, struct sink *sink)
{
    const uint32_t slots = worker->drainers.count;
    struct drainer *drainer = take(worker);

    if (!drainer)
        return NULL;
    if (slab_add(&worker->drainers, drainer, &drainer->slot, &drainer->generation) != 0) {
        memory_free(drainer);
        return NULL;
    }
    counters_add(worker->counters, COUNTER_packet_allocations, worker->drainers.count != slots);
    worker->drainer_count++;
    sink_ref(sink);
    drainer->sink = sink;
    drainer->phase = DRAINER_STAGING;
    drainer->narrow = false;
    schedule(drainer);
    return drainer;
}

static void drainer_release(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;

    timer_stop(&worker->timers, &drainer->stall);
    slab_remove(&worker->drainers, drainer->slot);
    worker->drainer_count--;
    sink_unref(drainer->sink);
    drainer->sink = NULL;
    if (worker->spare_drainer_count >= MAX_SPARE) {
        memory_free(drainer);
        return;
    }
    drainer->next = worker->spare_drainers;
    worker->spare_drainers = drainer;
    worker->spare_drainer_count++;
}

void drainers_destroy(struct worker *worker)
{
    while (worker->spare_drainers) {
        struct drainer *drainer = worker->spare_drainers;
        worker->spare_drainers = drainer->next;
        memory_free(drainer);
    }
}

static bool batch_full(const struct drainer *drainer)
{
    return drainer->pieces == DRAINER_PIECES || drainer->bytes >= DRAINER_BYTES;
}

static void add_piece(struct drainer *drainer, uint8_t *bytes, size_t size, struct io_chunk *chunk,
                      struct frame *frame)
{
    drainer->iov[drainer->pieces] = (struct iovec){.iov_base = bytes, .iov_len = size};
    drainer->piece[drainer->pieces] = (struct drainer_piece){.chunk = chunk, .frame = frame};
    drainer->pieces++;
    drainer->bytes += size;
}

void drainer_load_frame(struct drainer *drainer, struct frame *frame)
{
    add_piece(drainer, frame->data + frame->sent, frame->size - frame->sent, NULL, frame);
    drainer->packets += frame_packets(frame);
}

bool drainer_add_frame(struct drainer *drainer, struct frame *frame)
{
    if (batch_full(drainer))
        return false;
    drainer_load_frame(drainer, frame);
    return true;
}

bool drainer_add_chunk(struct drainer *drainer, struct io_chunk *chunk, uint8_t *bytes, size_t size)
{
    if (drainer->bytes >= DRAINER_BYTES)
        return false;
    if (drainer->pieces > 0) {
        struct iovec *last = &drainer->iov[drainer->pieces - 1];
        /* Neighbours go out as one piece. */
        if (drainer->piece[drainer->pieces - 1].chunk == chunk &&
            (uint8_t *)last->iov_base + last->iov_len == bytes) {
            last->iov_len += size;
            drainer->bytes += size;
            drainer->packets++;
            return true;
        }
        if (drainer->pieces == DRAINER_PIECES)
            return false;
    }
    io_chunk_ref(chunk);
    add_piece(drainer, bytes, size, chunk, NULL);
    drainer->packets++;
    return true;
}

/* Packets that the kernel has taken whole. */
static void count_delivered(struct drainer *drainer, unsigned packets)
{
    counters_add(drainer->worker->counters, COUNTER_packets_delivered, packets);
    counter_bump(&drainer->sink->packets_delivered, packets);
}

static void clear_batch(struct drainer *drainer)
{
    drainer->pieces = 0;
    drainer->packets = 0;
    drainer->bytes = 0;
    drainer->sealed = false;
}

void drainer_release_batch(struct drainer *drainer)
{
    for (unsigned i = 0; i < drainer->pieces; i++) {
        if (drainer->piece[i].chunk)
            io_chunk_unref(drainer->piece[i].chunk);
        else
            frame_free(&drainer->worker->frames, drainer->piece[i].frame);
    }
    clear_batch(drainer);
}

/* All of the batch is with the kernel. */
static void batch_done(struct drainer *drainer)
{
    count_delivered(drainer, drainer->packets);
    drainer_release_batch(drainer);
}

size_t drainer_frame_size(const uint8_t *bytes)
{
    struct frame_header header;
    (void)frame_header_decode(bytes, FRAME_HEADER_SIZE, &header);
    return FRAME_HEADER_SIZE + (size_t)header.length;
}

enum frame_kind drainer_frame_kind(const uint8_t *bytes, size_t size)
{
    return packet_is_disco(bytes + FRAME_PACKET_OVERHEAD, size - FRAME_PACKET_OVERHEAD)
               ? FRAME_KIND_DISCO
               : FRAME_KIND_DATA;
}

/*
 * Copies the frames of a piece that the kernel has not taken, so that the chunk is free again: a
 * slow receiver never holds receive buffers. sent is what it has taken of the piece. Returns false
 * when there is no memory for a frame that is half sent: then the stream cannot go on.
 */
static bool keep_chunk_rest(struct drainer *drainer, unsigned i, size_t sent,
                            struct frame_list *rest)
{
    struct worker *worker = drainer->worker;
    uint8_t *at = drainer->iov[i].iov_base;
    uint8_t *end = at + drainer->iov[i].iov_len;
    bool intact = true;

    while (at < end) {
        size_t size = drainer_frame_size(at);
        if (sent >= size) {
            sent -= size;
            at += size;
            count_delivered(drainer, 1);
            continue;
        }
        enum frame_kind kind = drainer_frame_kind(at, size);
        /* Half a frame on its way is worth more than memory for others: without it, the stream
         * ends. */
        enum frame_use use = sent > 0 ? FRAME_USE_CONTROL : FRAME_USE_WAITING;
        struct frame *frame = frame_alloc(&worker->frames, size, use, worker->index);
        if (frame) {
            frame->kind = (uint8_t)kind;
            memcpy(frame->data, at, size);
            frame->sent = (uint32_t)sent;
            frame->queued_at = worker_ms(worker);
            frame_list_push(rest, frame);
        } else {
            sink_count_drop(worker, drainer->sink, worker->index, kind, HYPERDERP_DROP_MEMORY);
            intact = intact && sent == 0;
        }
        sent = 0;
        at += size;
    }
    io_chunk_unref(drainer->piece[i].chunk);
    return intact;
}

/* The same for a frame. A record that has to wait is counted from now on; where the bound forbids
 * that, the stream cannot go on, as later records would not be understood without it. */
static bool keep_frame_rest(struct drainer *drainer, struct frame *frame, size_t sent,
                            struct frame_list *rest)
{
    struct worker *worker = drainer->worker;

    frame->sent += (uint32_t)sent;
    if (frame->sent < frame->size) {
        frame_list_push(rest, frame);
        return frame_count(&worker->frames, frame);
    }
    count_delivered(drainer, frame_packets(frame));
    frame_free(&worker->frames, frame);
    return true;
}

/* Takes the batch apart after a short send: what is whole with the kernel is done, the rest goes
 * into a list, in order. Returns false when the stream cannot go on. */
static bool keep_rest(struct drainer *drainer, size_t sent, struct frame_list *rest)
{
    bool intact = true;

    for (unsigned i = 0; i < drainer->pieces; i++) {
        size_t len = drainer->iov[i].iov_len;
        size_t of_piece = sent < len ? sent : len;
        if (drainer->piece[i].chunk)
            intact = keep_chunk_rest(drainer, i, of_piece, rest) && intact;
        else
            intact = keep_frame_rest(drainer, drainer->piece[i].frame, of_piece, rest) && intact;
        sent -= of_piece;
    }
    clear_batch(drainer);
    return intact;
}

/* Needs the sink's lock. The queue is empty: the memory for sorting goes to a list of frames that
 * are to be freed. It is none that is counted. */
static void unsort(struct sink *sink, struct frame_list *left)
{
    struct frame *memory = outq_unsort(&sink->queue);

    if (memory)
        frame_list_push(left, memory);
}

/* Needs the sink's lock. Ends draining and gives the frames that are left to the caller. */
static void let_go(struct drainer *drainer, struct frame_list *left)
{
    struct sink *sink = drainer->sink;

    frame_list_prepend(left, &sink->pending);
    outq_purge(&sink->queue, left);
    unsort(sink, left);
    sink->drainer = NULL;
    atomic_store_explicit(&sink->draining, 0, memory_order_relaxed);
    if (sink->released)
        close(sink->fd);
}

static void fail(struct drainer *drainer, struct frame_list *rest)
{
    struct worker *worker = drainer->worker;
    struct sink *sink = drainer->sink;

    pthread_mutex_lock(&sink->lock);
    /* A client that has said goodbye need not wait for what else we had to say. */
    bool goodbye = sink->tls || sink->websocket;
    bool closed = sink->closed, counted = sink->broken || (goodbye && sink->finish);
    sink->broken = true;
    if (!closed)
        shutdown(sink->fd, SHUT_RDWR); /* the conn sees the end of its stream, and closes */
    let_go(drainer, rest);
    pthread_mutex_unlock(&sink->lock);
    counters_add(worker->counters, COUNTER_send_errors, !closed && !counted);
    sink_drop(worker, sink, rest, closed ? HYPERDERP_DROP_GONE : HYPERDERP_DROP_WRITE_ERROR);
    drainer_release(drainer);
}

/* Looks again in a part of the write timeout: the socket tells that it has room only when there is
 * much of it, but a slow receiver that takes something is not a stalled one. */
static void look_again(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    timer_set(&worker->timers, &drainer->stall,
              worker->now + limits_write(&worker->relay->limits) / LOOKS_PER_TIMEOUT);
}

static void await_room(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    io_token token = io_token_make(IO_OP_WRITABLE, drainer->slot, drainer->generation);

    drainer->narrow = true;
    if (io_await_writable(worker->loop, drainer->sink->fd, token) == 0) {
        drainer->phase = DRAINER_WAITING;
    } else {
        drainer->phase = DRAINER_UNARMED;
        schedule(drainer);
    }
    if (timer_is_set(&drainer->stall))
        return;
    drainer->unacknowledged = sink_unacknowledged(drainer->sink);
    drainer->taken_at = worker->now;
    look_again(drainer);
}

/* Is called while there is no room. When nothing has been taken for the whole of the write timeout,
 * shutting down ends the wait, and drainer_writable() sees the rest. */
static void drainer_stalled(struct timer *timer)
{
    struct drainer *drainer = (struct drainer *)((char *)timer - offsetof(struct drainer, stall));
    struct worker *worker = drainer->worker;
    struct sink *sink = drainer->sink;
    int unacknowledged = sink_unacknowledged(sink);

    if (unacknowledged < drainer->unacknowledged)
        drainer->taken_at = worker->now;
    drainer->unacknowledged = unacknowledged;
    sink_expire(worker, sink); /* also where nothing comes any more that could find it */
    if (worker->now - drainer->taken_at < limits_write(&worker->relay->limits)) {
        look_again(drainer);
        return;
    }
    counters_add(drainer->worker->counters, COUNTER_send_errors, 1);
    pthread_mutex_lock(&sink->lock);
    sink->broken = true;
    shutdown(sink->fd, SHUT_RDWR);
    pthread_mutex_unlock(&sink->lock);
}

/* Loads the next batch, of less than DRAINER_PIECES frames: what is pending first, then from the
 * queue. */
static void load(struct drainer *drainer, struct frame_list *batch)
{
    struct sink *sink = drainer->sink;
    struct frame *frame;

    while ((frame = frame_list_pop(&sink->pending))) {
        drainer->sealed = frame->sealed;
        drainer_load_frame(drainer, frame);
    }
    while ((frame = frame_list_pop(batch)))
        drainer_load_frame(drainer, frame);
    drainer->phase = DRAINER_LOADED;
}

/* Takes what a send has left over out of the way of the queue: records cannot go back into it, as
 * they have their numbers. */
static void keep_pending(struct sink *sink, struct frame_list *rest)
{
    if (!rest->head)
        return;
    if (rest->head->sealed) {
        frame_list_prepend(&sink->pending, rest);
    } else if (rest->head->sent > 0) {
        struct frame *frame = frame_list_pop(rest);
        frame_list_push(&sink->pending, frame);
    }
}

/* What a drainer does next. */
enum next_step {
    NEXT_STOP,     /* the sink was closed or is broken */
    NEXT_WAIT,     /* for room */
    NEXT_SEND,     /* the next batch */
    NEXT_CLOSE,    /* the Close frame that ends a WebSocket stream */
    NEXT_FAREWELL, /* the alert that ends a TLS stream */
    NEXT_IDLE,     /* nothing is left */
};

/* Needs the sink's lock. */
static enum next_step next_step(const struct sink *sink, bool full)
{
    if (sink->closed || sink->broken)
        return NEXT_STOP;
    if (full)
        return NEXT_WAIT;
    if (sink->pending.head || !outq_is_empty(&sink->queue))
        return NEXT_SEND;
    if (sink->finish && sink->websocket && !sink->close_sent)
        return NEXT_CLOSE;
    return sink->finish && sink->tls && !sink->tls->ended ? NEXT_FAREWELL : NEXT_IDLE;
}

/* Needs the sink's lock. Nobody drains it from now on. */
static void become_idle(struct sink *sink, struct frame_list *left)
{
    unsort(sink, left);
    sink->drainer = NULL;
    atomic_store_explicit(&sink->draining, 0, memory_order_relaxed);
    if (sink->finish)
        sink_shut(sink);
}

/* How much is taken from the queue at a time. */
static uint32_t batch_bytes(const struct drainer *drainer)
{
    return drainer->narrow && sink_makes_sealed(drainer->sink) ? DRAINER_NARROW : DRAINER_BYTES;
}

/*
 * What comes after a send. rest is what it left over; full tells that the socket had no more room.
 * Returns true when another batch is loaded; otherwise the drainer waits or is gone.
 */
static bool go_on(struct drainer *drainer, struct frame_list *rest, bool full)
{
    struct worker *worker = drainer->worker;
    struct sink *sink = drainer->sink;
    const struct outq_limits limits = limits_queue(&worker->relay->limits);
    struct frame_list dropped = {0}, expired = {0}, batch = {0}, left = {0};

    keep_pending(sink, rest);
    pthread_mutex_lock(&sink->lock);
    outq_push_front(&sink->queue, &limits, rest, &dropped);
    outq_expire(&sink->queue, &limits, worker_ms(worker), &expired);
    enum next_step next = next_step(sink, full);
    bool broken = sink->broken;
    uint8_t alert = sink->tls ? sink->tls->last_alert : 0;
    uint16_t close_code = sink->close_code;
    if (next == NEXT_STOP)
        let_go(drainer, &left);
    else if (next == NEXT_IDLE)
        become_idle(sink, &left);
    /* One less than fits: the half-sent frame goes first. What is sealed and pending goes alone. */
    else if (next == NEXT_SEND && !(sink_makes_sealed(sink) && sink->pending.head))
        outq_pop(&sink->queue, DRAINER_PIECES - 1, batch_bytes(drainer), &batch);
    pthread_mutex_unlock(&sink->lock);
    sink_drop(worker, sink, &dropped, HYPERDERP_DROP_QUEUE_FULL);
    sink_drop(worker, sink, &expired, HYPERDERP_DROP_EXPIRED);
    sink_drop(worker, sink, &left, broken ? HYPERDERP_DROP_WRITE_ERROR : HYPERDERP_DROP_GONE);
    switch (next) {
    case NEXT_STOP:
    case NEXT_IDLE:
        drainer_release(drainer);
        return false;
    case NEXT_WAIT:
        await_room(drainer);
        return false;
    case NEXT_CLOSE: {
        struct frame *last = websocket_close_frame(worker, close_code);
        sink->close_sent = true;
        if (!last)
            return go_on(drainer, rest, false); /* without it, then */
        frame_list_push(&batch, last);
        break;
    }
    case NEXT_FAREWELL: {
        if (sink_is_offloaded(sink)) {
            if (offload_end(sink, alert))
                return go_on(drainer, rest, false);
            await_room(drainer);
            return false;
        }
        struct frame *farewell = seal_alert(drainer, alert);
        if (!farewell)
            return go_on(drainer, rest, false); /* without it, then */
        frame_list_push(&sink->pending, farewell);
        break;
    }
    case NEXT_SEND:
        break;
    }
    load(drainer, &batch);
    return true;
}

/* Deals with the result of a send. Returns as go_on(). */
static bool settle(struct drainer *drainer, int result)
{
    struct worker *worker = drainer->worker;
    struct sink *sink = drainer->sink;
    struct frame_list rest = {0};

    if (result == -EAGAIN || result == -EINTR || result == -ENOBUFS || result == -ENOMEM)
        result = 0;
    if (result < 0) {
        (void)keep_rest(drainer, 0, &rest);
        sink->error = -result;
        fail(drainer, &rest);
        return false;
    }
    counters_add(worker->counters, COUNTER_send_bytes, (uint64_t)result);
    counter_bump(&sink->bytes_delivered, (uint64_t)result);
    if (sink_is_offloaded(sink))
        offload_sent(sink->tls, (size_t)result);
    if (result > 0)
        timer_stop(&worker->timers, &drainer->stall);
    if ((size_t)result == drainer->bytes) {
        batch_done(drainer);
        return go_on(drainer, &rest, false);
    }
    if (!keep_rest(drainer, (size_t)result, &rest)) {
        fail(drainer, &rest);
        return false;
    }
    return go_on(drainer, &rest, true);
}

/* What WebSocket and TLS have to do before a batch is sent. 0 or as seal_batch() and
 * offload_renew(). */
static int secure_batch(struct drainer *drainer)
{
    int error = 0;

    if (sink_makes_sealed(drainer->sink) && !drainer->sealed)
        error = seal_batch(drainer);
    return error == 0 && sink_is_offloaded(drainer->sink) ? offload_renew(drainer) : error;
}

/* A frame of which the kernel has the beginning, which can be but the first, cannot be dropped. */
static bool is_half_sent(const struct frame_list *rest)
{
    return rest->head && rest->head->sent > 0;
}

/* Packets may be lost for want of memory, but who misses a frame of the relay's own may wait for it
 * in vain, as for one of the handshake, or not know what it missed, as a watcher. */
static bool holds_own(const struct frame_list *rest)
{
    for (const struct frame *frame = rest->head; frame; frame = frame->next)
        if (frame->kind == FRAME_KIND_CONTROL)
            return true;
    return false;
}

/* Makes a batch ready for the socket: its messages, its records. Returns as go_on(). */
static bool prepare(struct drainer *drainer)
{
    struct sink *sink = drainer->sink;

    for (;;) {
        struct frame_list rest = {0};
        if (drainer->pieces > 0) {
            int error = secure_batch(drainer);
            if (error == 0)
                return true;
            bool intact = keep_rest(drainer, 0, &rest);
            if (error == -EAGAIN && intact)
                return go_on(drainer, &rest, true);
            if (error != -ENOMEM || is_half_sent(&rest) || holds_own(&rest)) {
                fail(drainer, &rest);
                return false;
            }
            sink_drop(drainer->worker, sink, &rest, HYPERDERP_DROP_MEMORY);
            rest = (struct frame_list){0};
        }
        if (!go_on(drainer, &rest, false))
            return false;
    }
}

static void send_batches(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    io_token token = io_token_make(IO_OP_SEND, drainer->slot, drainer->generation);

    for (unsigned i = 0; i < BATCHES_PER_TURN; i++) {
        if (!prepare(drainer))
            return;
        drainer->message = (struct msghdr){.msg_iov = drainer->iov, .msg_iovlen = drainer->pieces};
        int result = io_send(worker->loop, drainer->sink->fd, &drainer->message, token);
        if (result == -EBUSY)
            break;
        drainer->phase = DRAINER_SENDING;
        if (result == -EINPROGRESS || !settle(drainer, result))
            return;
    }
    drainer->phase = DRAINER_LOADED;
    schedule(drainer);
}

void drainers_flush(struct worker *worker)
{
    struct drainer *drainer = worker->flush_head;

    worker->flush_head = NULL; /* what is scheduled from here on is for the next turn */
    while (drainer) {
        struct drainer *next = drainer->next;
        if (drainer->phase == DRAINER_UNARMED)
            drainer_writable(drainer);
        else
            send_batches(drainer);
        drainer = next;
    }
}

void drainer_sent(struct drainer *drainer, int result)
{
    if (settle(drainer, result))
        send_batches(drainer);
}

void drainer_writable(struct drainer *drainer)
{
    struct frame_list rest = {0};
    if (go_on(drainer, &rest, false))
        send_batches(drainer);
}
