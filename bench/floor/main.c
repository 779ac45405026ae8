/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp-floor: the ring, its turns, and the command line. See floor.h for what this is. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "floor.h"

#define SQ_ENTRIES 4096
#define CQ_ENTRIES 16384

/* Few enough for the cache: the kernel takes them in turn. */
#define CHUNK_SIZE 16384
#define CHUNKS     128

/* Records of one turn: those of the smallest frames are twice as long as what came. */
#define ARENA_SIZE (3 * (size_t)CHUNK_SIZE * CHUNKS)

/* What a completion is of: the connection's address, whose lowest bits are free, and one of these.
 */
enum op { OP_RECV = 0, OP_SEND = 1, OP_ACCEPT = 2 };
#define OP_MASK ((uint64_t)3)

struct ring {
    struct io_uring io;
    struct io_uring_buf_ring *buffers;
    uint8_t *chunks;
    int listener;
};

static void *map(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        err(1, "memory");
    return memory;
}

static uint8_t *chunk(const struct ring *ring, unsigned id)
{
    return ring->chunks + (size_t)id * CHUNK_SIZE;
}

static void give_back(struct ring *ring, unsigned id, int offset)
{
    io_uring_buf_ring_add(ring->buffers, chunk(ring, id), CHUNK_SIZE, (unsigned short)id,
                          io_uring_buf_ring_mask(CHUNKS), offset);
}

static void ring_init(struct ring *ring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    };
    int error = io_uring_queue_init_params(SQ_ENTRIES, &ring->io, &params);
    if (error)
        errx(1, "io_uring: %s", strerror(-error));
    ring->buffers = map(CHUNKS * sizeof(struct io_uring_buf));
    ring->chunks = map((size_t)CHUNKS * CHUNK_SIZE);
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)ring->buffers,
                                   .ring_entries = CHUNKS};
    error = io_uring_register_buf_ring(&ring->io, &reg, 0);
    if (error)
        errx(1, "io_uring: buffers: %s", strerror(-error));
    io_uring_buf_ring_init(ring->buffers);
    for (unsigned i = 0; i < CHUNKS; i++)
        give_back(ring, i, (int)i);
    io_uring_buf_ring_advance(ring->buffers, CHUNKS);
}

static struct io_uring_sqe *next_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->io);

    if (sqe == NULL) {
        io_uring_submit(&ring->io);
        sqe = io_uring_get_sqe(&ring->io);
    }
    if (sqe == NULL)
        errx(1, "io_uring takes nothing");
    return sqe;
}

static void arm_accept(struct ring *ring)
{
    struct io_uring_sqe *sqe = next_sqe(ring);

    io_uring_prep_multishot_accept(sqe, ring->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, OP_ACCEPT);
}

static void arm_recv(struct ring *ring, struct conn *conn, bool drained)
{
    struct io_uring_sqe *sqe = next_sqe(ring);

    io_uring_prep_recv(sqe, conn->fd, NULL, 0, 0);
    if (drained)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)conn | OP_RECV);
}

/* It is sent while it is submitted, or not at all, and only a send that falls short says so: that
 * is the least that can be asked of the ring. */
static void send_pieces(struct ring *ring, struct conn *conn)
{
    const int flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
    struct io_uring_sqe *sqe = next_sqe(ring);

    if (conn->count == 1) {
        io_uring_prep_send(sqe, conn->fd, conn->pieces[0].iov_base, conn->pieces[0].iov_len, flags);
    } else {
        conn->message = (struct msghdr){.msg_iov = conn->pieces, .msg_iovlen = conn->count};
        io_uring_prep_sendmsg(sqe, conn->fd, &conn->message, flags);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, (uint64_t)(uintptr_t)conn | OP_SEND);
}

static struct conn *conn_of(const struct io_uring_cqe *cqe)
{
    return (struct conn *)(uintptr_t)(cqe->user_data & ~OP_MASK);
}

/* A send that fell short is finished here and now, and everybody waits for it. */
static void finish_sends(struct ring *ring, struct floor *floor)
{
    struct io_uring_cqe *cqe;
    unsigned head;

    io_uring_for_each_cqe(&ring->io, head, cqe)
    {
        struct conn *conn = conn_of(cqe);
        if ((cqe->user_data & OP_MASK) != OP_SEND || conn->fd < 0)
            continue;
        if (cqe->res < 0 && cqe->res != -EAGAIN)
            shutdown(conn->fd, SHUT_RDWR);
        else
            conn_send_rest(conn, cqe->res > 0 ? (size_t)cqe->res : 0);
    }
    for (size_t i = 0; i < floor->dirty_count; i++) {
        floor->dirty[i]->dirty = false;
        floor->dirty[i]->count = 0;
    }
    for (size_t i = 0; i < floor->spent_count; i++)
        free(floor->spent[i]);
    floor->dirty_count = floor->spent_count = floor->arena_used = 0;
}

static void accepted(struct ring *ring, struct floor *floor, const struct io_uring_cqe *cqe)
{
    int one = 1;

    if (cqe->res >= 0) {
        setsockopt(cqe->res, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        arm_recv(ring, conn_new(floor, cqe->res), true);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        arm_accept(ring);
}

static void received(struct ring *ring, struct floor *floor, const struct io_uring_cqe *cqe)
{
    struct conn *conn = conn_of(cqe);
    uint8_t *bytes = chunk(ring, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    bool goes_on = cqe->res == -ENOBUFS || cqe->res == -EINTR;

    if (cqe->res > 0)
        goes_on = conn_input(floor, conn, bytes, (size_t)cqe->res);
    if (goes_on)
        arm_recv(ring, conn, cqe->res > 0 && cqe->res < CHUNK_SIZE);
    else
        conn_end(conn);
}

/* What came goes out with the one submission of the turn; then the chunks are free again. */
static void turn(struct ring *ring, struct floor *floor)
{
    /* No more than there is now: what is submitted on the way belongs to finish_sends(). */
    unsigned ready = io_uring_cq_ready(&ring->io), ids[CHUNKS], head, seen = 0, used = 0;
    struct io_uring_cqe *cqe;

    io_uring_for_each_cqe(&ring->io, head, cqe)
    {
        if (seen == ready)
            break;
        seen++;
        if (cqe->flags & IORING_CQE_F_BUFFER)
            ids[used++] = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if ((cqe->user_data & OP_MASK) == OP_ACCEPT)
            accepted(ring, floor, cqe);
        else if ((cqe->user_data & OP_MASK) == OP_RECV)
            received(ring, floor, cqe);
    }
    io_uring_cq_advance(&ring->io, seen);
    for (size_t i = 0; i < floor->dirty_count; i++)
        if (floor->dirty[i]->fd >= 0 && conn_gather(floor, floor->dirty[i]))
            send_pieces(ring, floor->dirty[i]);
    int error = io_uring_submit_and_wait(&ring->io, 1);
    if (error < 0 && error != -EINTR && error != -EAGAIN && error != -EBUSY)
        errx(1, "io_uring: %s", strerror(-error));
    finish_sends(ring, floor);
    for (unsigned i = 0; i < used; i++)
        give_back(ring, ids[i], (int)i);
    io_uring_buf_ring_advance(ring->buffers, (int)used);
}

/* ---- Beginning ---- */

static int listen_on(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    const char *colon = strrchr(text, ':');
    char host[INET_ADDRSTRLEN];
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        errx(2, "%s is not ADDRESS:PORT", text);
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        errx(2, "%s is no IPv4 address", host);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 4096) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        err(1, "listening on %s", text);
    printf("NOT A RELAY: it shows what the kernel and copying cost. listening on %s:%u\n", host,
           ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static struct tls_server *tls_from(const char *chain, const char *key)
{
    hyperderp_certificate *certificate;
    char fault[HYPERDERP_FAULT_SIZE];
    struct tls_server *server;

    if (hyperderp_certificate_load(&certificate, chain, key, fault) != 0 ||
        tls_server_new(&server, certificate, NULL, NULL, NULL, fault) != 0)
        errx(1, "%s", fault);
    hyperderp_certificate_free(certificate);
    return server;
}

static void usage(void)
{
    fputs("usage: hyper-derp-floor [--listen ADDRESS:PORT] [--cert FILE --key FILE]\n"
          "Not a relay: the least that relaying costs, to be measured by hyper-derp-bench.\n",
          stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"listen", required_argument, NULL, 'l'},
                                            {"cert", required_argument, NULL, 'c'},
                                            {"key", required_argument, NULL, 'k'},
                                            {0}};
    const char *address = "127.0.0.1:0", *chain = NULL, *key = NULL;
    static struct floor floor;
    static struct ring ring;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'l')
            address = optarg;
        else if (option == 'c')
            chain = optarg;
        else if (option == 'k')
            key = optarg;
        else
            usage();
    }
    if (optind < argc || (chain == NULL) != (key == NULL))
        usage();
    if (sodium_init() < 0 || hyperderp_private_key_generate(&floor.private_key) != 0)
        errx(1, "no random bytes");
    hyperderp_private_key_public(&floor.private_key, &floor.public_key);
    if (chain != NULL)
        floor.tls = tls_from(chain, key);
    floor.arena = map(ARENA_SIZE);
    floor.arena_size = ARENA_SIZE;
    ring_init(&ring);
    ring.listener = listen_on(address);
    arm_accept(&ring);
    for (;;)
        turn(&ring, &floor);
}
