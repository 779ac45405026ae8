/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of a batch. All memory is there before the first of them is sealed: a record that has got
 * its number must be sent. */
#include "relay/seal_batch.h"

#include <errno.h>
#include <string.h>

#include "relay/sink.h"
#include "relay/worker.h"
#include "wire/frame.h"

/* A batch, its last frame, and a KeyUpdate. */
#define MAX_RECORDS                                                                                \
    ((DRAINER_BYTES + FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET) / TLS_MAX_PLAINTEXT + 2)

struct records {
    struct frame *frame[MAX_RECORDS];
    unsigned count;
};

/* Where the next record of a batch begins. */
struct cursor {
    const struct drainer *drainer;
    unsigned piece;
    size_t offset; /* in it */
};

static struct frame *new_record(struct worker *worker, size_t content)
{
    struct frame *record =
        frame_alloc(&worker->frames, content + TLS_OVERHEAD, FRAME_USE_PASSING, worker->index);

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
        struct frame *record = new_record(worker, update ? TLS_KEY_UPDATE_SIZE : content);
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

/* Notes a packet in the record in which it ends. */
static void note_packet(struct frame *const *data, size_t end, enum frame_kind kind, bool crosses)
{
    data[(end - 1) / TLS_MAX_PLAINTEXT]->packets[kind][crosses]++;
}

static void note_packets(const struct drainer *drainer, struct frame *const *data)
{
    const uint16_t here = drainer->worker->index, owner = drainer->sink->worker;
    size_t end = 0;

    for (unsigned i = 0; i < drainer->pieces; i++) {
        const struct frame *frame = drainer->piece[i].frame;
        const uint8_t *at = drainer->iov[i].iov_base, *piece_end = at + drainer->iov[i].iov_len;
        if (frame) {
            end += drainer->iov[i].iov_len;
            if (frame->kind != FRAME_KIND_CONTROL)
                note_packet(data, end, frame->kind, frame->from_worker != owner);
            continue;
        }
        while (at < piece_end) {
            size_t size = drainer_frame_size(at);
            end += size;
            note_packet(data, end, drainer_frame_kind(at, size), here != owner);
            at += size;
        }
    }
}

/* Points slices at the next len bytes of the batch. Returns their number. */
static unsigned next_slices(struct cursor *at, size_t len, struct iovec slices[DRAINER_PIECES])
{
    unsigned count = 0;

    while (len > 0) {
        const struct iovec *piece = &at->drainer->iov[at->piece];
        size_t rest = piece->iov_len - at->offset, part = rest < len ? rest : len;
        slices[count++] =
            (struct iovec){.iov_base = (uint8_t *)piece->iov_base + at->offset, .iov_len = part};
        at->offset += part;
        len -= part;
        if (at->offset == piece->iov_len) {
            at->piece++;
            at->offset = 0;
        }
    }
    return count;
}

/* Seals the whole batch into the frames. */
static bool seal(struct drainer *drainer, struct records *records, bool update)
{
    struct tls_ciphers *ciphers = worker_ciphers(drainer->worker);
    struct tls_tx *tx = &drainer->sink->tls->tx;
    struct cursor at = {.drainer = drainer};
    struct iovec slices[DRAINER_PIECES];

    for (unsigned i = 0; i < records->count; i++) {
        struct frame *record = records->frame[i];
        ssize_t size;
        if (update && i == 0) {
            size = tls_seal_key_update(ciphers, tx, false, record->data);
        } else {
            unsigned count = next_slices(&at, record->size - TLS_OVERHEAD, slices);
            size = tls_seal(ciphers, tx, TLS_CONTENT_DATA, slices, count, record->data);
        }
        if (size != (ssize_t)record->size)
            return false;
    }
    return true;
}

int seal_batch(struct drainer *drainer)
{
    struct worker *worker = drainer->worker;
    struct sink_tls *tls = drainer->sink->tls;
    struct records records;

    bool update = atomic_load_explicit(&tls->update_asked, memory_order_relaxed) ||
                  tls_tx_wants_update(&tls->tx);
    if (!allocate(worker, &records, update, drainer->bytes))
        return -ENOMEM;
    if (update) {
        atomic_store_explicit(&tls->update_asked, false, memory_order_relaxed);
        counters_add(worker->counters, COUNTER_tls_key_updates, 1);
    }
    note_packets(drainer, records.frame + update);
    if (!seal(drainer, &records, update)) {
        drop(worker, &records);
        return -EIO;
    }
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
    struct frame *record = new_record(worker, 2);

    tls->ended = true;
    if (record && tls_seal_alert(worker_ciphers(worker), &tls->tx, (enum tls_alert)alert,
                                 record->data) == (ssize_t)record->size)
        return record;
    if (record)
        frame_free(&worker->frames, record);
    return NULL;
}
