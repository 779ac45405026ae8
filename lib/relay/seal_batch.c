/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of a batch. All memory is there before the first of them is sealed: a record that has got
 * its number must be sent, and so must the rest of a message that has begun. */
#include "relay/seal_batch.h"

#include <errno.h>
#include <string.h>

#include "relay/sink.h"
#include "relay/websocket_batch.h"
#include "relay/worker.h"
#include "wire/frame.h"

/* A batch, headers of messages, and a KeyUpdate. */
#define MAX_RECORDS                                                                                \
    ((DRAINER_MAX + WEBSOCKET_MESSAGES * WEBSOCKET_MAX_HEADER) / TLS_MAX_PLAINTEXT + 2)

/* Without TLS they are parts of the content as it is: "record" stands for both. */
struct records {
    struct frame *frame[MAX_RECORDS];
    unsigned count;
    size_t overhead; /* bytes of each besides its content */
};

/* What is to be sealed. */
struct content {
    const struct iovec *iov;
    size_t bytes;
    const struct websocket_header *header; /* that are between the bytes of the batch */
    unsigned headers;
};

/* Where the next record begins. */
struct cursor {
    const struct iovec *slice;
    size_t offset; /* in it */
};

/* Where the packets of the batch end in the content. */
struct tally {
    struct frame *const *data; /* the records, without the KeyUpdate */
    const struct content *content;
    unsigned passed; /* headers that are in front of */
    size_t at;       /* this byte of the batch */
    size_t head;     /* their bytes */
};

static struct frame *new_record(struct worker *worker, size_t size)
{
    struct frame *record = frame_alloc(&worker->frames, size, FRAME_USE_PASSING, worker->index);

    if (!record)
        return NULL;
    record->sealed = true;
    memset(record->packets, 0, sizeof(record->packets));
    return record;
}

static void drop(struct worker *worker, struct records *records)
{
    for (unsigned i = 0; i < records->count; i++)
        frame_free(&worker->frames, records->frame[i]);
}

/* Makes frames for a KeyUpdate, if it is due, and for so many bytes. */
static bool allocate(struct worker *worker, struct records *records, bool update, size_t bytes)
{
    records->count = 0;
    while (update || bytes > 0) {
        size_t content = bytes < TLS_MAX_PLAINTEXT ? bytes : TLS_MAX_PLAINTEXT;
        struct frame *record =
            new_record(worker, records->overhead + (update ? TLS_KEY_UPDATE_SIZE : content));
        if (!record) {
            drop(worker, records);
            return false;
        }
        records->frame[records->count++] = record;
        bytes -= update ? 0 : content;
        update = false;
    }
    return true;
}

/* Goes on to the end of a frame. */
static void pass(struct tally *tally, size_t size)
{
    const struct content *content = tally->content;

    tally->at += size;
    while (tally->passed < content->headers && content->header[tally->passed].at < tally->at)
        tally->head += content->header[tally->passed++].size;
}

/* Notes a packet in the record in which it ends, and that is here. */
static void note_packet(const struct tally *tally, enum frame_kind kind, bool crosses)
{
    size_t last = tally->at + tally->head - 1;

    tally->data[last / TLS_MAX_PLAINTEXT]->packets[kind][crosses]++;
}

static void note_packets(const struct drainer *drainer, const struct content *content,
                         struct frame *const *data)
{
    const uint16_t here = drainer->worker->index, owner = drainer->sink->worker;
    struct tally tally = {.data = data, .content = content};

    for (unsigned i = 0; i < drainer->pieces; i++) {
        const struct frame *frame = drainer->piece[i].frame;
        const uint8_t *at = drainer->iov[i].iov_base, *piece_end = at + drainer->iov[i].iov_len;
        if (frame) {
            pass(&tally, drainer->iov[i].iov_len);
            if (frame->kind != FRAME_KIND_CONTROL)
                note_packet(&tally, frame->kind, frame->from_worker != owner);
            continue;
        }
        while (at < piece_end) {
            size_t size = drainer_frame_size(at);
            pass(&tally, size);
            note_packet(&tally, drainer_frame_kind(at, size), here != owner);
            at += size;
        }
    }
}

/* Points slices at the next len bytes of the content. Returns their number. */
static unsigned next_slices(struct cursor *at, size_t len, struct iovec slices[WEBSOCKET_SLICES])
{
    unsigned count = 0;

    while (len > 0) {
        const struct iovec *slice = at->slice;
        size_t rest = slice->iov_len - at->offset, part = rest < len ? rest : len;
        slices[count++] =
            (struct iovec){.iov_base = (uint8_t *)slice->iov_base + at->offset, .iov_len = part};
        at->offset += part;
        len -= part;
        if (at->offset == slice->iov_len) {
            at->slice++;
            at->offset = 0;
        }
    }
    return count;
}

/* Without TLS. */
static ssize_t copy(const struct iovec *slices, unsigned count, uint8_t *out)
{
    size_t size = 0;

    for (unsigned i = 0; i < count; i++) {
        memcpy(out + size, slices[i].iov_base, slices[i].iov_len);
        size += slices[i].iov_len;
    }
    return (ssize_t)size;
}

static ssize_t seal_record(struct drainer *drainer, const struct iovec *slices, unsigned count,
                           uint8_t *out)
{
    struct sink *sink = drainer->sink;

    if (!sink_seals(sink))
        return copy(slices, count, out);
    return tls_seal(worker_ciphers(drainer->worker), &sink->tls->tx, TLS_CONTENT_DATA, slices,
                    count, out);
}

/* Seals all of the content into the frames. */
static bool seal(struct drainer *drainer, const struct content *content, struct records *records,
                 bool update)
{
    struct cursor at = {.slice = content->iov};
    struct iovec slices[WEBSOCKET_SLICES];

    for (unsigned i = 0; i < records->count; i++) {
        struct frame *record = records->frame[i];
        ssize_t size;
        if (update && i == 0) {
            size = tls_seal_key_update(worker_ciphers(drainer->worker), &drainer->sink->tls->tx,
                                       false, record->data);
        } else {
            unsigned count = next_slices(&at, record->size - records->overhead, slices);
            size = seal_record(drainer, slices, count, record->data);
        }
        if (size != (ssize_t)record->size)
            return false;
    }
    return true;
}

/* Whether a KeyUpdate goes in front. */
static bool wants_update(const struct sink *sink)
{
    return sink_seals(sink) &&
           (atomic_load_explicit(&sink->tls->update_asked, memory_order_relaxed) ||
            tls_tx_wants_update(&sink->tls->tx));
}

int seal_batch(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    struct sink *sink = drainer->sink;
    struct content content = {.iov = drainer->iov, .bytes = drainer->bytes};
    struct websocket_batch messages;
    struct records records = {.overhead = sink_seals(sink) ? TLS_OVERHEAD : 0};

    if (sink->websocket) {
        if (!websocket_wrap(drainer, &messages))
            return -ENOMEM;
        content = (struct content){messages.iov, messages.bytes, messages.header, messages.headers};
    }
    bool update = wants_update(sink);
    if (!allocate(worker, &records, update, content.bytes))
        return -ENOMEM;
    if (update) {
        atomic_store_explicit(&sink->tls->update_asked, false, memory_order_relaxed);
        counters_add(worker->counters, COUNTER_tls_key_updates, 1);
    }
    note_packets(drainer, &content, records.frame + update);
    if (!seal(drainer, &content, &records, update)) {
        drop(worker, &records);
        return -EIO;
    }
    if (sink_seals(sink))
        counters_add(worker->counters, COUNTER_tls_records_sealed, records.count);
    drainer_release_batch(drainer);
    for (unsigned i = 0; i < records.count; i++)
        drainer_load_frame(drainer, records.frame[i]);
    drainer->sealed = true;
    return 0;
}

struct frame *seal_alert(struct drainer *drainer, uint8_t alert)
{
    struct worker *worker = drainer->worker;
    struct sink_tls *tls = drainer->sink->tls;
    struct frame *record = new_record(worker, 2 + TLS_OVERHEAD);

    tls->ended = true;
    if (record && tls_seal_alert(worker_ciphers(worker), &tls->tx, (enum tls_alert)alert,
                                 record->data) == (ssize_t)record->size)
        return record;
    if (record)
        frame_free(&worker->frames, record);
    return NULL;
}
