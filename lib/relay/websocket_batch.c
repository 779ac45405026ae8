/* SPDX-License-Identifier: BSD-3-Clause */
/* wslay gets payloads by reference and gives them back by its callback, behind their header: what
 * it says is noted, not copied. */
#include "relay/websocket_batch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <wslay/wslay.h>

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
    writer = calloc(1, sizeof(*writer));
    if (!writer || wslay_frame_context_init(&writer->frames, &callbacks, writer) != 0) {
        free(writer);
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
    free(writer);
}

/* Writes a frame of these pieces, of so many bytes together: as slices from next on, the header's
 * bytes to header. Returns the header's size; 0 when wslay will not, which cannot be. */
static size_t write_frame(struct websocket_writer *writer, uint8_t opcode,
                          const struct iovec *pieces, unsigned count, size_t bytes,
                          struct iovec *next, uint8_t *header)
{
    struct wslay_frame_iocb frame = {.fin = 1, .opcode = opcode, .payload_length = bytes};

    writer->next = next;
    writer->header = header;
    for (unsigned i = 0; i < count; i++) {
        frame.data = pieces[i].iov_base;
        frame.data_length = pieces[i].iov_len;
        if (wslay_frame_send(writer->frames, &frame) != (ssize_t)pieces[i].iov_len)
            return 0;
    }
    return writer->header_len;
}

/* ---- Messages ---- */

static bool is_bare(const struct drainer_piece *piece)
{
    return piece->frame && piece->frame->bare;
}

/* Pieces from one on that make a message, and their bytes. */
static unsigned message_at(const struct drainer *drainer, unsigned first, size_t *bytes)
{
    unsigned i = first;

    for (*bytes = 0; i < drainer->pieces && !is_bare(&drainer->piece[i]); i++)
        *bytes += drainer->iov[i].iov_len;
    return i - first;
}

bool websocket_wrap(const struct drainer *drainer, struct websocket_batch *out)
{
    struct websocket_writer *writer = writer_of(drainer->worker);

    if (!writer)
        return false;
    out->count = 0;
    out->bytes = drainer->bytes;
    memset(out->heads, 0, sizeof(out->heads));
    for (unsigned i = 0; i < drainer->pieces;) {
        size_t bytes;
        unsigned pieces = message_at(drainer, i, &bytes);
        if (pieces == 0) {
            out->iov[out->count++] = drainer->iov[i++];
            continue;
        }
        size_t head = write_frame(writer, WSLAY_BINARY_FRAME, drainer->iov + i, pieces, bytes,
                                  out->iov + out->count, out->header[i]);
        if (head == 0)
            return false;
        out->heads[i] = (uint8_t)head;
        out->bytes += head;
        out->count += pieces + 1;
        i += pieces;
    }
    return true;
}

/* ---- Control frames ---- */

static size_t write_control(struct worker *worker, uint8_t opcode, const uint8_t *payload,
                            size_t len, uint8_t *out)
{
    struct websocket_writer *writer = writer_of(worker);
    struct iovec slices[2], piece = {.iov_base = (uint8_t *)(uintptr_t)payload, .iov_len = len};

    if (!writer || len > WEBSOCKET_MAX_CONTROL)
        return 0;
    size_t head = write_frame(writer, opcode, &piece, 1, len, slices, out);
    if (head == 0)
        return 0;
    if (len > 0)
        memcpy(out + head, payload, len);
    return head + len;
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
