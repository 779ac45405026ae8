/* SPDX-License-Identifier: BSD-3-Clause */
/* wslay gets payloads by reference and gives them back by its callback, behind their header: what
 * it says is noted, not copied. */
#include "relay/websocket_batch.h"

#include <string.h>
#include <sys/types.h>
#include <wslay/wslay.h>

#include "memory/memory.h"
#include "relay/worker.h"

struct websocket_writer {
    struct wslay_frame_context *frames;
    struct iovec *next; /* where the next slice is noted */
    uint8_t *header;    /* where the header goes, which comes first; then NULL */
    size_t header_len;
};

/* wslay writes a header at once, and gives a payload that it does not mask as it got it. */
static ssize_t note(const uint8_t *bytes, size_t len, int flags, void *user)
{
    struct websocket_writer *writer = user;

    (void)flags;
    if (writer->header) {
        memcpy(writer->header, bytes, len);
        bytes = writer->header;
        writer->header = NULL;
        writer->header_len = len;
    }
    *writer->next++ = (struct iovec){.iov_base = (uint8_t *)(uintptr_t)bytes, .iov_len = len};
    return (ssize_t)len;
}

static struct websocket_writer *writer_of(struct worker *worker)
{
    static const struct wslay_frame_callbacks callbacks = {.send_callback = note};
    struct websocket_writer *writer = worker->writer;

    if (writer)
        return writer;
    writer = memory_calloc(1, sizeof(*writer));
    if (!writer || wslay_frame_context_init(&writer->frames, &callbacks, writer) != 0) {
        memory_free(writer);
        return NULL;
    }
    worker->writer = writer;
    return writer;
}

void websocket_writer_free(struct websocket_writer *writer)
{
    if (!writer)
        return;
    wslay_frame_context_free(writer->frames);
    memory_free(writer);
}

/* Writes len bytes of a frame. False when wslay will not, which cannot be. */
static bool write_part(struct websocket_writer *writer, struct wslay_frame_iocb *frame,
                       const uint8_t *bytes, size_t len)
{
    frame->data = bytes;
    frame->data_length = len;
    return wslay_frame_send(writer->frames, frame) == (ssize_t)len;
}

/* ---- Messages ---- */

/* How far the batch is wrapped. */
struct place {
    unsigned piece;
    size_t offset; /* in it */
    size_t at;     /* in the batch */
};

static bool is_bare(const struct drainer_piece *piece)
{
    return piece->frame && piece->frame->bare;
}

/* The bytes that may be in messages from a piece on. */
static size_t run_from(const struct drainer *drainer, unsigned piece)
{
    size_t bytes = 0;

    for (; piece < drainer->pieces && !is_bare(&drainer->piece[piece]); piece++)
        bytes += drainer->iov[piece].iov_len;
    return bytes;
}

/* Writes a message of the next bytes. */
static bool write_message(struct websocket_writer *writer, const struct drainer *drainer,
                          struct place *place, size_t bytes, struct websocket_batch *out)
{
    struct websocket_header *header = &out->header[out->headers++];
    struct wslay_frame_iocb frame = {
        .fin = 1, .opcode = WSLAY_BINARY_FRAME, .payload_length = bytes};

    writer->header = header->bytes;
    writer->next = out->iov + out->slices;
    while (bytes > 0) {
        const struct iovec *piece = &drainer->iov[place->piece];
        size_t rest = piece->iov_len - place->offset, part = rest < bytes ? rest : bytes;
        if (!write_part(writer, &frame, (const uint8_t *)piece->iov_base + place->offset, part))
            return false;
        bytes -= part;
        place->offset += part;
        if (place->offset == piece->iov_len)
            *place = (struct place){.piece = place->piece + 1, .at = place->at};
    }
    header->at = place->at;
    header->size = writer->header_len;
    place->at += frame.payload_length;
    out->slices = (unsigned)(writer->next - out->iov);
    out->bytes += header->size;
    return true;
}

/* Writes messages up to what goes out bare, or the end. */
static bool write_run(struct websocket_writer *writer, const struct drainer *drainer,
                      struct place *place, struct websocket_batch *out)
{
    size_t bytes = run_from(drainer, place->piece);

    while (bytes > 0) {
        size_t message = bytes < WEBSOCKET_MESSAGE ? bytes : WEBSOCKET_MESSAGE;
        if (!write_message(writer, drainer, place, message, out))
            return false;
        bytes -= message;
    }
    return true;
}

bool websocket_wrap(const struct drainer *drainer, struct websocket_batch *out)
{
    struct websocket_writer *writer = writer_of(drainer->worker);
    struct place place = {0};

    if (!writer)
        return false;
    out->slices = out->headers = 0;
    out->bytes = drainer->bytes;
    while (place.piece < drainer->pieces) {
        if (is_bare(&drainer->piece[place.piece])) {
            const struct iovec *piece = &drainer->iov[place.piece++];
            out->iov[out->slices++] = *piece;
            place.at += piece->iov_len;
        } else if (!write_run(writer, drainer, &place, out)) {
            return false;
        }
    }
    return true;
}

/* ---- Control frames ---- */

static size_t write_control(struct worker *worker, uint8_t opcode, const uint8_t *payload,
                            size_t len, uint8_t *out)
{
    struct websocket_writer *writer = writer_of(worker);
    struct wslay_frame_iocb frame = {.fin = 1, .opcode = opcode, .payload_length = len};
    struct iovec slices[2];

    if (!writer || len > WEBSOCKET_MAX_CONTROL)
        return 0;
    writer->header = out;
    writer->next = slices;
    if (!write_part(writer, &frame, payload, len))
        return 0;
    if (len > 0)
        memcpy(out + writer->header_len, payload, len);
    return writer->header_len + len;
}

size_t websocket_close(struct worker *worker, uint16_t code, uint8_t out[WEBSOCKET_CLOSE_SIZE])
{
    const uint8_t payload[] = {(uint8_t)(code >> 8), (uint8_t)code};

    return write_control(worker, WSLAY_CONNECTION_CLOSE, payload, sizeof(payload), out);
}

size_t websocket_pong(struct worker *worker, const uint8_t *payload, size_t len,
                      uint8_t out[WEBSOCKET_PONG_SIZE])
{
    return write_control(worker, WSLAY_PONG, payload, len, out);
}

struct frame *websocket_close_frame(struct worker *worker, uint16_t code)
{
    struct frame *frame =
        frame_alloc(&worker->frames, WEBSOCKET_CLOSE_SIZE, FRAME_USE_CONTROL, worker->index);

    if (!frame)
        return NULL;
    frame->bare = true;
    if (websocket_close(worker, code, frame->data) == WEBSOCKET_CLOSE_SIZE)
        return frame;
    frame_free(&worker->frames, frame);
    return NULL;
}
