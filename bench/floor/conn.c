/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection to the floor: TLS, request, ClientInfo, packets. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"
#include "relay/http_answer.h"
#include "wire/hello.h"
#include "wire/http.h"

/* Who does not read for that long has gone. */
#define PATIENCE_MS 5000

/* By key: open addressing, nothing is ever taken out. Keys are as good as random. */
#define TABLE_SIZE (1u << 18)
static struct conn *table[TABLE_SIZE];
static unsigned table_count;

static struct conn **find(const uint8_t *key)
{
    uint32_t at;

    memcpy(&at, key, sizeof(at));
    for (at %= TABLE_SIZE; table[at] != NULL; at = (at + 1) % TABLE_SIZE)
        if (memcmp(table[at]->key.bytes, key, HYPERDERP_KEY_SIZE) == 0)
            break;
    return &table[at];
}

void floor_push(void ***array, size_t *count, size_t *room, void *item)
{
    if (*count == *room) {
        *room = *room > 0 ? 2 * *room : 256;
        *array = realloc(*array, *room * sizeof(**array));
        if (*array == NULL)
            err(1, "memory");
    }
    (*array)[(*count)++] = item;
}

static void spend(struct floor *floor, void *memory)
{
    floor_push(&floor->spent, &floor->spent_count, &floor->spent_room, memory);
}

struct conn *conn_new(struct floor *floor, int fd)
{
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL)
        err(1, "memory");
    conn->fd = fd;
    if (floor->tls != NULL) {
        conn->handshake = tls_handshake_new(floor->tls);
        if (conn->handshake == NULL)
            errx(1, "memory");
    }
    return conn;
}

void conn_end(struct conn *conn)
{
    close(conn->fd);
    conn->fd = -1;
    conn->count = 0;
    free(conn->frame.bytes);
    free(conn->record.bytes);
    tls_handshake_free(conn->handshake);
    conn->frame = conn->record = (struct kept){0};
    conn->handshake = NULL;
}

/* ---- Sending ---- */

/* All of it, however long that takes the receiver. */
static bool send_all(int fd, const uint8_t *bytes, size_t len)
{
    struct pollfd writable = {.fd = fd, .events = POLLOUT};

    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN && poll(&writable, 1, PATIENCE_MS) == 1)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

void conn_send_rest(struct conn *conn, size_t sent)
{
    bool whole = true;

    for (unsigned i = 0; i < conn->count && whole; i++) {
        size_t len = conn->pieces[i].iov_len, skipped = sent < len ? sent : len;
        sent -= skipped;
        whole = send_all(conn->fd, (uint8_t *)conn->pieces[i].iov_base + skipped, len - skipped);
    }
    conn->count = 0;
    /* A frame that was cut ends the stream; reading then finds that. */
    if (!whole)
        shutdown(conn->fd, SHUT_RDWR);
}

/* Seals as many pieces as a record holds, from *piece on; a long one over several. */
static ssize_t seal_one(struct floor *floor, struct conn *conn, unsigned *piece, uint8_t *out)
{
    struct iovec parts[FLOOR_PIECES];
    size_t room = TLS_MAX_PLAINTEXT;
    unsigned count = 0;

    for (; *piece < conn->count && room > 0; (*piece)++) {
        struct iovec *from = &conn->pieces[*piece];
        size_t len = from->iov_len < room ? from->iov_len : room;
        parts[count++] = (struct iovec){.iov_base = from->iov_base, .iov_len = len};
        room -= len;
        if (len < from->iov_len) {
            from->iov_base = (uint8_t *)from->iov_base + len;
            from->iov_len -= len;
            break;
        }
    }
    return tls_seal(&floor->ciphers, &conn->tx, TLS_CONTENT_DATA, parts, count, out);
}

bool conn_gather(struct floor *floor, struct conn *conn)
{
    uint8_t *out = floor->arena + floor->arena_used;
    size_t need = 0, size = 0;

    if (conn->count == 0)
        return false;
    if (!conn->sealed)
        return true;
    for (unsigned i = 0; i < conn->count; i++)
        need += conn->pieces[i].iov_len;
    need += (need / TLS_MAX_PLAINTEXT + 1) * TLS_OVERHEAD;
    if (need > floor->arena_size - floor->arena_used)
        errx(1, "more in one turn than there is room for");
    for (unsigned piece = 0; piece < conn->count;) {
        ssize_t n = seal_one(floor, conn, &piece, out + size);
        if (n < 0)
            errx(1, "sealing: %s", strerror((int)-n));
        size += (size_t)n;
    }
    floor->arena_used += size;
    conn->pieces[0] = (struct iovec){.iov_base = out, .iov_len = size};
    conn->count = 1;
    return true;
}

/* What belongs to the handshake: at once. */
static bool send_content(struct floor *floor, struct conn *conn, const uint8_t *bytes, size_t len)
{
    uint8_t record[1024 + TLS_OVERHEAD];
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    if (!conn->sealed)
        return send_all(conn->fd, bytes, len);
    if (len > 1024)
        return false;
    ssize_t n = tls_seal(&floor->ciphers, &conn->tx, TLS_CONTENT_DATA, &piece, 1, record);
    return n > 0 && send_all(conn->fd, record, (size_t)n);
}

/* ---- Request, ClientInfo ---- */

/* How much of the bytes was a whole one; 0: not yet. Below 0: the connection ends. */
typedef ssize_t take_fn(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len);

static ssize_t take_request(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len)
{
    uint8_t answer[HTTP_ANSWER_UPGRADE_SIZE + HELLO_SERVER_KEY_SIZE];
    struct http_request request;
    size_t scanned = 0, size = 0;

    int head = http_request_parse(&request, (const char *)bytes, len, &scanned);
    if (head <= 0)
        return head;
    if (!http_answer_is_upgrade(&request))
        return -EPROTO;
    if (!request.fast_start)
        size = http_answer_upgrade(answer, &floor->public_key);
    size += hello_server_key_encode(answer + size, &floor->public_key);
    conn->stage = STAGE_HELLO;
    return send_content(floor, conn, answer, size) ? head : -EPIPE;
}

static ssize_t take_client_info(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len)
{
    const struct server_info server = {.version = DERP_PROTOCOL_VERSION};
    uint8_t nonce[HELLO_NONCE_SIZE], answer[HELLO_MAX_SERVER_INFO];
    struct hello_secret secret;
    struct client_info info;
    struct frame_header header;

    if (frame_header_decode(bytes, len, &header) == 0 || len < FRAME_HEADER_SIZE + header.length)
        return 0;
    if (header.type != FRAME_CLIENT_INFO || header.length > FRAME_MAX_CLIENT_INFO ||
        hello_client_info_open(&floor->private_key, bytes + FRAME_HEADER_SIZE, header.length,
                               &conn->key, &info, &secret) != 0)
        return -EPROTO;
    randombytes_buf(nonce, sizeof(nonce));
    ssize_t size = hello_server_info_seal(&secret, nonce, &server, answer, sizeof(answer));
    struct conn **place = find(conn->key.bytes);
    if (*place == NULL && ++table_count > TABLE_SIZE / 2)
        errx(1, "too many clients for a floor");
    *place = conn;
    conn->stage = STAGE_OPEN;
    if (size < 0 || !send_content(floor, conn, answer, (size_t)size))
        return -EPIPE;
    return (ssize_t)(FRAME_HEADER_SIZE + header.length);
}

/* ---- Packets ---- */

/* A packet that lies behind the one before it, for the same receiver, makes that piece longer. */
static void forward(struct floor *floor, struct conn *to, uint8_t *frame, size_t size)
{
    struct iovec *last = to->count > 0 ? &to->pieces[to->count - 1] : NULL;

    if (last != NULL && (uint8_t *)last->iov_base + last->iov_len == frame) {
        last->iov_len += size;
        return;
    }
    if (!to->dirty)
        floor_push((void ***)&floor->dirty, &floor->dirty_count, &floor->dirty_room, to);
    to->dirty = true;
    if (to->count == FLOOR_PIECES && conn_gather(floor, to))
        conn_send_rest(to, 0);
    to->pieces[to->count++] = (struct iovec){.iov_base = frame, .iov_len = size};
}

static ssize_t take_frame(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len)
{
    uint8_t *key = bytes + FRAME_HEADER_SIZE;
    struct frame_header header;

    if (frame_header_decode(bytes, len, &header) == 0 || len < FRAME_HEADER_SIZE + header.length)
        return 0;
    size_t size = FRAME_HEADER_SIZE + header.length;
    if (header.type != FRAME_SEND_PACKET || size < FRAME_PACKET_OVERHEAD)
        return (ssize_t)size;
    if (conn->last == NULL || memcmp(conn->last->key.bytes, key, HYPERDERP_KEY_SIZE) != 0)
        conn->last = *find(key);
    if (conn->last == NULL || conn->last->fd < 0)
        return (ssize_t)size;
    bytes[0] = FRAME_RECV_PACKET;
    memcpy(key, conn->key.bytes, HYPERDERP_KEY_SIZE);
    forward(floor, conn->last, bytes, size);
    return (ssize_t)size;
}

static ssize_t take_derp(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len)
{
    if (conn->stage == STAGE_OPEN)
        return take_frame(floor, conn, bytes, len);
    return conn->stage == STAGE_HTTP ? take_request(floor, conn, bytes, len)
                                     : take_client_info(floor, conn, bytes, len);
}

/* ---- What comes in parts ---- */

/* The size of a frame whose header is known; else one more byte than there is. */
static size_t frame_size(const struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct frame_header header;

    if (conn->stage == STAGE_HTTP || frame_header_decode(bytes, len, &header) == 0)
        return len + 1;
    return FRAME_HEADER_SIZE + header.length;
}

static size_t record_size(const struct conn *conn, const uint8_t *bytes, size_t len)
{
    int size = tls_record_size(bytes, len);

    (void)conn;
    return size > 0 ? (size_t)size : len + 1;
}

typedef size_t size_fn(const struct conn *conn, const uint8_t *bytes, size_t len);

/* Adds as much to what is kept as belongs to it. Returns how much that was. */
static size_t keep(struct conn *conn, struct kept *kept, size_fn *wanted, const uint8_t *bytes,
                   size_t len)
{
    size_t taken = 0, size = 0;

    while (taken < len &&
           (kept->len == 0 || kept->len < (size = wanted(conn, kept->bytes, kept->len)))) {
        size_t more = kept->len == 0 ? 1 : size - kept->len;
        if (more > len - taken)
            more = len - taken;
        if (kept->len + more > kept->room) {
            kept->room = size > 2048 ? size : 2048;
            kept->bytes = realloc(kept->bytes, kept->room);
            if (kept->bytes == NULL)
                err(1, "memory");
        }
        memcpy(kept->bytes + kept->len, bytes + taken, more);
        kept->len += more;
        taken += more;
    }
    return taken;
}

/* Completes what is kept, then takes what is whole where it lies, and keeps the rest. */
static bool feed(struct floor *floor, struct conn *conn, struct kept *kept, size_fn *wanted,
                 take_fn *take, uint8_t *bytes, size_t len)
{
    ssize_t n;

    while (kept->len > 0 && len > 0) {
        size_t taken = keep(conn, kept, wanted, bytes, len);
        bytes += taken;
        len -= taken;
        struct kept whole = *kept;
        n = take(floor, conn, whole.bytes, whole.len);
        if (n < 0)
            return false;
        if (n == 0)
            return true;
        spend(floor, whole.bytes);
        *kept = (struct kept){0};
    }
    for (; len > 0; bytes += n, len -= (size_t)n) {
        n = take(floor, conn, bytes, len);
        if (n < 0)
            return false;
        if (n == 0) {
            keep(conn, kept, wanted, bytes, len);
            return true;
        }
    }
    return true;
}

/* ---- TLS ---- */

static ssize_t take_record(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len)
{
    int size = tls_record_size(bytes, len);
    uint8_t *content;
    size_t content_len;

    if (size <= 0 || (size_t)size > len)
        return size < 0 ? -EPROTO : 0;
    if (tls_open(&floor->ciphers, &conn->rx, bytes, (size_t)size, &content, &content_len) !=
            TLS_EVENT_DATA ||
        !feed(floor, conn, &conn->frame, frame_size, take_derp, content, content_len))
        return -EPROTO;
    return size;
}

static bool shake(struct floor *floor, struct conn *conn, const uint8_t *bytes, size_t len)
{
    enum tls_progress progress = tls_handshake_input(conn->handshake, bytes, len);
    const uint8_t *output;
    uint8_t *rest;
    size_t size = tls_handshake_output(conn->handshake, &output);

    if (size > 0 && !send_all(conn->fd, output, size))
        return false;
    if (progress != TLS_PROGRESS_DONE)
        return progress == TLS_PROGRESS_MORE;
    if (tls_handshake_finish(conn->handshake, &conn->tx, &conn->rx, &rest, &size) != 0)
        return false;
    conn->sealed = true;
    bool good = feed(floor, conn, &conn->record, record_size, take_record, rest, size);
    tls_handshake_free(conn->handshake);
    conn->handshake = NULL;
    return good;
}

bool conn_input(struct floor *floor, struct conn *conn, uint8_t *bytes, size_t len)
{
    if (conn->handshake != NULL)
        return shake(floor, conn, bytes, len);
    if (conn->sealed)
        return feed(floor, conn, &conn->record, record_size, take_record, bytes, len);
    return feed(floor, conn, &conn->frame, frame_size, take_derp, bytes, len);
}
