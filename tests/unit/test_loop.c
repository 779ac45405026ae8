/* SPDX-License-Identifier: BSD-3-Clause */
/* The completion interface, each case on both engines: every event once, no byte and no chunk lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io/loop.h"

#define CHUNKS     8
#define MAX_EVENTS 128
#define PATIENCE   5000000000ll /* ns; nothing waits that long when all is well */
#define MOMENT     30000000ll   /* ns in which something that should not happen would */

static struct io_loop *loop;

/* On what a case runs. */
struct mode {
    enum io_engine engine;
    bool sqpoll;
};

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int open_loop(void **state)
{
    const struct mode *mode = *state;
    enum io_engine engine = mode->engine;
    int error = io_loop_new(&loop, engine, CHUNKS, mode->sqpoll);

    if (error == 0)
        error = io_loop_attach(loop);
    if (error == 0)
        return 0;
    if (engine == IO_ENGINE_EPOLL)
        return -1;
    io_loop_free(loop);
    loop = NULL;
    return 0;
}

/* Every chunk has been given back, whatever the case did. */
static int close_loop(void **state)
{
    unsigned free_chunks = loop ? io_free_chunks(loop) : CHUNKS;

    (void)state;
    io_loop_free(loop);
    loop = NULL;
    return free_chunks == CHUNKS ? 0 : -1;
}

#define NEEDS_LOOP()                                                                               \
    do {                                                                                           \
        (void)state;                                                                               \
        if (!loop) {                                                                               \
            printf("io_uring does not work here\n");                                               \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

static io_token token_of(enum io_op op, uint32_t slot)
{
    return io_token_make(op, slot, 5);
}

/* One turn. */
static int turn(struct io_event *events, int max, int64_t timeout)
{
    int count = io_poll(loop, events, max, timeout);

    assert_true(count >= 0 && count <= max);
    return count;
}

/* Waits for the next event; there must be one. */
static struct io_event next_event(void)
{
    int64_t until = now() + PATIENCE;
    struct io_event event;

    while (turn(&event, 1, until - now() > 0 ? until - now() : 0) == 0)
        assert_true(now() < until);
    return event;
}

static void no_event(void)
{
    int64_t until = now() + MOMENT;
    struct io_event event;

    while (now() < until)
        assert_int_equal(turn(&event, 1, until - now() > 0 ? until - now() : 0), 0);
}

static void release(const struct io_event *event)
{
    if (event->chunk)
        io_chunk_unref(event->chunk);
}

static void make_pair(int fd[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
}

static void close_pair(const int fd[2])
{
    close(fd[0]);
    close(fd[1]);
}

static void put(int fd, const void *bytes, size_t len)
{
    assert_int_equal(write(fd, bytes, len), (ssize_t)len);
}

static int listening(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(listen(fd, 256), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static int connected(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
    return fd;
}

/* Sends; the bytes taken or -errno, however the engine tells. */
static int send_some(int fd, struct iovec *pieces, size_t count)
{
    struct msghdr message = {.msg_iov = pieces, .msg_iovlen = count};
    int result = io_send(loop, fd, &message, token_of(IO_OP_SEND, 77));

    if (result != -EINPROGRESS)
        return result;
    struct io_event event = next_event();
    assert_int_equal(event.token, token_of(IO_OP_SEND, 77));
    assert_false(event.more);
    return event.result;
}

/* ---- Accepting ------------------------------------------------------------------------------- */

static void accepts_all(void **state)
{
    enum { CLIENTS = 50 };
    struct sockaddr_in address;
    int client[CLIENTS], server[CLIENTS];

    NEEDS_LOOP();
    int fd = listening(&address);
    assert_int_equal(io_accept(loop, fd, token_of(IO_OP_ACCEPT, 3)), 0);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < CLIENTS; i++)
            client[i] = connected(&address);
        for (unsigned count = 0; count < CLIENTS;) {
            struct io_event events[3]; /* fewer than there are: none may be lost */
            int got = turn(events, 3, PATIENCE);

            for (int i = 0; i < got; i++) {
                assert_int_equal(events[i].token, token_of(IO_OP_ACCEPT, 3));
                assert_true(events[i].result >= 0);
                assert_true(events[i].more);
                assert_true(fcntl(events[i].result, F_GETFD) & FD_CLOEXEC);
                for (unsigned j = 0; j < count; j++)
                    assert_int_not_equal(server[j], events[i].result);
                server[count++] = events[i].result;
            }
        }
        no_event();
        for (unsigned i = 0; i < CLIENTS; i++) {
            close(client[i]);
            close(server[i]);
        }
    }
    close(fd);
}

static void accept_cancelled(void **state)
{
    struct sockaddr_in address;

    NEEDS_LOOP();
    int fd = listening(&address);
    assert_int_equal(io_accept(loop, fd, token_of(IO_OP_ACCEPT, 3)), 0);
    no_event();
    int result = io_cancel(loop, fd, token_of(IO_OP_ACCEPT, 3));
    if (result == -EINPROGRESS) {
        struct io_event event = next_event();
        assert_int_equal(event.token, token_of(IO_OP_ACCEPT, 3));
        assert_false(event.more);
        assert_true(event.result < 0);
    } else {
        assert_int_equal(result, 0);
    }
    int client = connected(&address);
    no_event();
    assert_int_equal(io_accept(loop, fd, token_of(IO_OP_ACCEPT, 4)), 0);
    struct io_event event = next_event();
    assert_int_equal(event.token, token_of(IO_OP_ACCEPT, 4));
    assert_true(event.result >= 0);
    close(event.result);
    close(client);
    close(fd);
}

/* Out of file descriptors: told once, and accepting goes on when it is asked for again. */
static void accept_without_files(void **state)
{
    struct sockaddr_in address;
    struct rlimit before, low;
    int client[3];

    NEEDS_LOOP();
    int fd = listening(&address);
    assert_int_equal(io_accept(loop, fd, token_of(IO_OP_ACCEPT, 3)), 0);
    for (unsigned i = 0; i < 3; i++)
        client[i] = connected(&address);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 4;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct io_event event = next_event();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(event.result, -EMFILE);
    assert_int_equal(event.token, token_of(IO_OP_ACCEPT, 3));
    assert_false(event.more);
    no_event();
    assert_int_equal(io_accept(loop, fd, token_of(IO_OP_ACCEPT, 3)), 0);
    for (unsigned i = 0; i < 3; i++) {
        event = next_event();
        /* The kernel may have given up the one that it had no descriptor for. */
        assert_true(event.result >= 0);
        close(event.result);
        if (i == 1)
            break;
    }
    for (unsigned i = 0; i < 3; i++)
        close(client[i]);
    for (struct io_event rest; turn(&rest, 1, MOMENT) > 0;)
        if (rest.result >= 0)
            close(rest.result);
    close(fd);
}

/* ---- Datagrams ------------------------------------------------------------------------------- */

static int datagram_socket(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

/* Told in each turn until all is read, beside a listener whose connections come too. */
static void datagrams_are_told(void **state)
{
    struct sockaddr_in address, listener_address;
    char byte;

    NEEDS_LOOP();
    int fd = datagram_socket(&address), listener = listening(&listener_address);
    int sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(io_await_readable(loop, fd, token_of(IO_OP_READABLE, 6)), 0);
    assert_int_equal(io_accept(loop, listener, token_of(IO_OP_ACCEPT, 3)), 0);
    no_event();
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(
                sendto(sender, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), 1);
        for (unsigned i = 0; i < 2; i++) {
            struct io_event event = next_event();
            assert_int_equal(event.token, token_of(IO_OP_READABLE, 6));
            assert_int_equal(event.result, 0);
            assert_true(event.more);
            assert_null(event.chunk);
            assert_int_equal(recv(fd, &byte, 1, 0), 1);
        }
        assert_int_equal(recv(fd, &byte, 1, 0), -1); /* it does not wait any more */
        no_event();
    }
    int client = connected(&listener_address);
    struct io_event event = next_event();
    assert_int_equal(event.token, token_of(IO_OP_ACCEPT, 3));
    close(event.result);

    assert_int_equal(sendto(sender, "x", 1, 0, (struct sockaddr *)&address, sizeof(address)), 1);
    assert_int_equal(io_cancel(loop, fd, token_of(IO_OP_READABLE, 6)), 0);
    no_event();
    close(client);
    close(listener);
    close(sender);
    close(fd);
}

/* ---- Receiving ------------------------------------------------------------------------------- */

static void receives_once(void **state)
{
    int fd[2];

    NEEDS_LOOP();
    make_pair(fd);
    assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), 0), 0);
    no_event();
    put(fd[1], "hello", 5);
    struct io_event event = next_event();
    assert_int_equal(event.token, token_of(IO_OP_RECV, 1));
    assert_int_equal(event.result, 5);
    assert_false(event.more);
    assert_memory_equal(event.chunk->data, "hello", 5);
    assert_int_equal(event.chunk->refs, 1);
    assert_int_equal(io_free_chunks(loop), CHUNKS - 1);
    release(&event);
    assert_int_equal(io_free_chunks(loop), CHUNKS);
    put(fd[1], "world", 5);
    no_event();
    assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 2), 0), 0);
    event = next_event();
    assert_int_equal(event.token, token_of(IO_OP_RECV, 2));
    assert_memory_equal(event.chunk->data, "world", 5);
    release(&event);
    close_pair(fd);
}

/* A stream of numbered bytes comes in order, whatever is written when; then its end, once. */
static void receives_a_stream(void **state)
{
    uint8_t bytes[40000];
    size_t written = 0, read_ = 0;
    bool more = true;
    int fd[2];

    NEEDS_LOOP();
    make_pair(fd);
    srandom(1);
    assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), IO_RECV_STREAM), 0);
    for (unsigned i = 0; i < 300; i++) {
        size_t size = (size_t)random() % (i % 10 == 0 ? sizeof(bytes) : 100);

        for (size_t at = 0; at < size; at++)
            bytes[at] = (uint8_t)((written + at) % 251);
        put(fd[1], bytes, size);
        written += size;
        while (read_ < written) {
            struct io_event event = next_event();

            assert_int_equal(event.token, token_of(IO_OP_RECV, 1));
            assert_true(event.result > 0);
            for (int at = 0; at < event.result; at++)
                assert_int_equal(event.chunk->data[at], (read_ + (size_t)at) % 251);
            read_ += (size_t)event.result;
            release(&event);
            more = event.more;
            if (!more)
                assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), IO_RECV_STREAM), 0);
        }
    }
    close(fd[1]);
    struct io_event event = next_event();
    assert_int_equal(event.result, 0);
    assert_false(event.more);
    assert_null(event.chunk);
    no_event();
    close(fd[0]);
}

/* The hint that there is nothing to read costs no byte where it is wrong. */
static void receives_what_was_there_already(void **state)
{
    static const unsigned flags[] = {IO_RECV_DRAINED, IO_RECV_DRAINED | IO_RECV_STREAM};
    int fd[2];

    NEEDS_LOOP();
    for (unsigned i = 0; i < 2; i++) {
        make_pair(fd);
        put(fd[1], "there", 5);
        assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), flags[i]), 0);
        struct io_event event = next_event();
        assert_int_equal(event.result, 5);
        release(&event);
        if (!event.more)
            assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), flags[i]), 0);
        no_event();
        put(fd[1], "later", 5);
        event = next_event();
        assert_int_equal(event.result, 5);
        release(&event);
        close(fd[1]);
        if (!event.more)
            assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), flags[i]), 0);
        event = next_event();
        assert_int_equal(event.result, 0);
        assert_false(event.more);
        close(fd[0]);
    }
}

/* All chunks are held: -ENOBUFS says so and ends the receive; given back, everything still comes.
 */
static void chunks_run_out(void **state)
{
    struct io_event held[CHUNKS];
    int fd[2];

    NEEDS_LOOP();
    make_pair(fd);
    for (unsigned stream = 0; stream < 2; stream++) {
        for (unsigned i = 0; i < CHUNKS; i++) {
            uint8_t byte = (uint8_t)i;

            if (i == 0 || !stream || !held[i - 1].more)
                assert_int_equal(
                    io_recv(loop, fd[0], token_of(IO_OP_RECV, i), stream ? IO_RECV_STREAM : 0), 0);
            put(fd[1], &byte, 1);
            held[i] = next_event();
            assert_int_equal(held[i].result, 1);
            assert_int_equal(held[i].chunk->data[0], i);
        }
        assert_int_equal(io_free_chunks(loop), 0);
        if (!held[CHUNKS - 1].more)
            assert_int_equal(
                io_recv(loop, fd[0], token_of(IO_OP_RECV, 50), stream ? IO_RECV_STREAM : 0), 0);
        put(fd[1], "late", 4);
        struct io_event event = next_event();
        assert_int_equal(event.result, -ENOBUFS);
        assert_false(event.more);
        assert_null(event.chunk);
        no_event();
        for (unsigned i = 0; i < CHUNKS; i++)
            io_chunk_ref(held[i].chunk);
        for (unsigned i = 0; i < CHUNKS; i++)
            release(&held[i]);
        assert_int_equal(io_free_chunks(loop), 0);
        for (unsigned i = 0; i < CHUNKS; i++)
            release(&held[i]);
        assert_int_equal(io_free_chunks(loop), CHUNKS);
        assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 51), 0), 0);
        event = next_event();
        assert_int_equal(event.token, token_of(IO_OP_RECV, 51));
        assert_int_equal(event.result, 4);
        assert_memory_equal(event.chunk->data, "late", 4);
        release(&event);
    }
    close_pair(fd);
}

static void reset_is_told(void **state)
{
    struct linger hard = {.l_onoff = 1};
    struct sockaddr_in address;

    NEEDS_LOOP();
    for (unsigned stream = 0; stream < 2; stream++) {
        int listener = listening(&address), client = connected(&address);
        int server = accept(listener, NULL, NULL);

        assert_int_equal(
            io_recv(loop, server, token_of(IO_OP_RECV, 9), stream ? IO_RECV_STREAM : 0), 0);
        no_event();
        assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
        close(client);
        struct io_event event = next_event();
        assert_int_equal(event.result, -ECONNRESET);
        assert_false(event.more);
        assert_null(event.chunk);
        no_event();
        close(server);
        close(listener);
    }
}

static void receive_cancelled(void **state)
{
    int fd[2];

    NEEDS_LOOP();
    make_pair(fd);
    for (unsigned stream = 0; stream < 2; stream++) {
        assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), stream ? IO_RECV_STREAM : 0),
                         0);
        no_event();
        int result = io_cancel(loop, fd[0], token_of(IO_OP_RECV, 1));
        if (result == -EINPROGRESS) {
            struct io_event event = next_event();
            assert_int_equal(event.token, token_of(IO_OP_RECV, 1));
            assert_false(event.more);
            assert_true(event.result < 0);
            assert_null(event.chunk);
        } else {
            assert_int_equal(result, 0);
        }
        put(fd[1], "for the next", 12);
        no_event();
        assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 2), 0), 0);
        struct io_event event = next_event();
        assert_int_equal(event.token, token_of(IO_OP_RECV, 2));
        assert_int_equal(event.result, 12);
        release(&event);
    }
    close_pair(fd);
}

/* Asked for and cancelled in one turn: once the last event has come the socket may be closed, and
 * the next one of its number, whoever opened it, keeps its bytes. */
static void cancelled_in_the_same_turn(void **state)
{
    char bytes[8];
    int fd[2], next[2];

    NEEDS_LOOP();
    for (unsigned stream = 0; stream < 2; stream++) {
        make_pair(fd);
        make_pair(next);
        put(next[1], "not ours", 8);
        assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), stream ? IO_RECV_STREAM : 0),
                         0);
        int result = io_cancel(loop, fd[0], token_of(IO_OP_RECV, 1));
        if (result == -EINPROGRESS)
            assert_false(next_event().more);
        else
            assert_int_equal(result, 0);
        assert_int_equal(dup2(next[0], fd[0]), fd[0]); /* closes it */
        no_event();
        assert_int_equal(recv(next[0], bytes, sizeof(bytes), MSG_DONTWAIT), 8);
        close_pair(fd);
        close_pair(next);
    }
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void sends_pieces_in_order(void **state)
{
    struct iovec pieces[] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
    char got[13];
    int fd[2];

    NEEDS_LOOP();
    make_pair(fd);
    assert_int_equal(send_some(fd[0], pieces, 3), 13);
    assert_int_equal(recv(fd[1], got, sizeof(got), 0), 13);
    assert_memory_equal(got, "one two three", 13);
    assert_int_equal(send_some(fd[0], pieces, 1), 4);
    assert_int_equal(recv(fd[1], got, sizeof(got), 0), 4);
    close_pair(fd);
}

/* A socket that is full: a part is taken, then nothing; room is told once, when there is some. */
static void sends_what_there_is_room_for(void **state)
{
    enum { SIZE = 4 << 20 };
    size_t sent = 0, read_ = 0;
    int fd[2];

    NEEDS_LOOP();
    uint8_t *bytes = malloc(SIZE), *got = malloc(SIZE);
    assert_true(bytes && got);
    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)(i * 31 / 7);
    make_pair(fd);
    while (sent < SIZE) {
        struct iovec pieces[2] = {
            {bytes + sent, (SIZE - sent) / 2},
            {bytes + sent + (SIZE - sent) / 2, SIZE - sent - (SIZE - sent) / 2}};
        int result = send_some(fd[0], pieces, 2);

        if (result == -EAGAIN) {
            assert_int_equal(io_await_writable(loop, fd[0], token_of(IO_OP_WRITABLE, 5)), 0);
            no_event();
            while (read_ < sent)
                read_ += (size_t)recv(fd[1], got + read_, SIZE - read_, 0);
            struct io_event event = next_event();
            assert_int_equal(event.token, token_of(IO_OP_WRITABLE, 5));
            assert_int_equal(event.result, 0);
            assert_false(event.more);
            no_event();
            continue;
        }
        assert_true(result > 0);
        assert_true(sent > 0 || result < SIZE);
        sent += (size_t)result;
    }
    while (read_ < sent)
        read_ += (size_t)recv(fd[1], got + read_, SIZE - read_, 0);
    assert_memory_equal(got, bytes, SIZE);
    close_pair(fd);
    free(bytes);
    free(got);
}

static void fill(int fd)
{
    static uint8_t bytes[65536];

    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
}

/* A wait for room ends when the socket breaks, or is shut down by whoever closes it. */
static void waits_for_room_end(void **state)
{
    struct iovec piece = {"x", 1};
    int fd[2];

    NEEDS_LOOP();
    for (unsigned i = 0; i < 2; i++) {
        make_pair(fd);
        fill(fd[0]);
        assert_int_equal(io_await_writable(loop, fd[0], token_of(IO_OP_WRITABLE, 5)), 0);
        no_event();
        if (i == 0)
            close(fd[1]);
        else
            shutdown(fd[0], SHUT_RDWR);
        struct io_event event = next_event();
        assert_int_equal(event.token, token_of(IO_OP_WRITABLE, 5));
        assert_false(event.more);
        assert_int_equal(send_some(fd[0], &piece, 1), -EPIPE); /* and no SIGPIPE */
        no_event();
        close(fd[0]);
        if (i == 1)
            close(fd[1]);
    }
}

/* One socket is read for one token and awaited for another. */
static void reads_while_waiting_for_room(void **state)
{
    int fd[2];

    NEEDS_LOOP();
    make_pair(fd);
    fill(fd[0]);
    assert_int_equal(io_recv(loop, fd[0], token_of(IO_OP_RECV, 1), IO_RECV_STREAM), 0);
    assert_int_equal(io_await_writable(loop, fd[0], token_of(IO_OP_WRITABLE, 2)), 0);
    put(fd[1], "in", 2);
    struct io_event event = next_event();
    assert_int_equal(event.token, token_of(IO_OP_RECV, 1));
    release(&event);
    no_event();
    assert_int_not_equal(io_cancel(loop, fd[0], token_of(IO_OP_RECV, 1)), -EAGAIN);
    static uint8_t sink[1 << 20];
    while (recv(fd[1], sink, sizeof(sink), MSG_DONTWAIT) > 0)
        ;
    bool writable = false;
    for (int i = 0; i < 2 && !writable; i++) {
        event = next_event();
        writable = event.token == token_of(IO_OP_WRITABLE, 2);
    }
    assert_true(writable);
    close_pair(fd);
}

/* ---- The loop itself ------------------------------------------------------------------------- */

/* Far more is ready than one turn may take: each event comes once, none is lost. */
static void more_events_than_room(void **state)
{
    enum { ONCE = 100, STREAM = 100, WRITABLE = 150, ALL = ONCE + STREAM + WRITABLE };
    static int fd[ALL][2];
    unsigned seen[ALL] = {0}, count = 0;

    NEEDS_LOOP();
    for (unsigned i = ALL; i-- > 0;) { /* those that are writable are so first */
        make_pair(fd[i]);
        if (i >= ONCE + STREAM) {
            assert_int_equal(io_await_writable(loop, fd[i][0], token_of(IO_OP_WRITABLE, i)), 0);
            continue;
        }
        unsigned flags = i < STREAM ? IO_RECV_STREAM : 0;
        assert_int_equal(io_recv(loop, fd[i][0], token_of(IO_OP_RECV, i), flags), 0);
        put(fd[i][1], "x", 1);
    }
    int64_t until = now() + PATIENCE;
    while (count < ALL) {
        struct io_event events[7];
        int got = turn(events, 7, PATIENCE);

        assert_true(now() < until);
        for (int i = 0; i < got; i++) {
            unsigned slot = io_token_slot(events[i].token);

            assert_true(slot < ALL);
            assert_int_equal(io_token_op(events[i].token),
                             slot < ONCE + STREAM ? IO_OP_RECV : IO_OP_WRITABLE);
            if (events[i].result == -ENOBUFS) { /* there are fewer chunks than sockets */
                assert_false(events[i].more);
                assert_int_equal(io_recv(loop, fd[slot][0], token_of(IO_OP_RECV, slot),
                                         slot < STREAM ? IO_RECV_STREAM : 0),
                                 0);
                continue;
            }
            assert_int_equal(events[i].result, slot < ONCE + STREAM);
            assert_int_equal(seen[slot]++, 0);
            release(&events[i]);
            count++;
        }
    }
    no_event();
    for (unsigned i = 0; i < ALL; i++)
        close_pair(fd[i]);
    for (struct io_event event; turn(&event, 1, MOMENT) > 0;)
        release(&event);
}

static void timeouts(void **state)
{
    static const int64_t ms[] = {0, 1, 5, 20, 60};
    struct io_event event;

    NEEDS_LOOP();
    for (unsigned i = 0; i < sizeof(ms) / sizeof(ms[0]); i++) {
        int64_t began = now(), took = 0;
        unsigned turns = 0;

        /* A signal may end a turn early, one that sleeps not at all must not be taken for that. */
        for (; took < ms[i] * 1000000 || turns == 0; took = now() - began, turns++)
            assert_int_equal(turn(&event, 1, ms[i] * 1000000 - took), 0);
        assert_true(turns <= 3);
        assert_true(took < ms[i] * 1000000 + 500000000);
    }
}

#define WAKERS 4
#define WAKES  20000

static atomic_uint posted;

static void *wake_often(void *arg)
{
    struct io_loop *target = arg;

    for (unsigned i = 0; i < WAKES; i++) {
        atomic_fetch_add(&posted, 1);
        io_wake(target);
    }
    return NULL;
}

/* What was posted before a wake is seen after a turn, or another turn follows: the loop never
 * sleeps on it. */
static void no_wake_is_lost(void **state)
{
    pthread_t thread[WAKERS];
    struct io_event event;

    NEEDS_LOOP();
    posted = 0;
    for (unsigned i = 0; i < WAKERS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, wake_often, loop), 0);
    while (posted < WAKERS * WAKES) {
        int64_t began = now();

        assert_int_equal(turn(&event, 1, PATIENCE), 0);
        assert_true(now() - began < PATIENCE);
    }
    for (unsigned i = 0; i < WAKERS; i++)
        pthread_join(thread[i], NULL);
    int64_t began = now();
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(turn(&event, 1, MOMENT), 0);
    assert_true(now() - began >= MOMENT); /* no wake is left over for ever */
}

static atomic_uint asked, answered;

static void *wake_in_step(void *arg)
{
    for (unsigned i = 1; i <= 5000; i++) {
        atomic_store(&asked, i);
        io_wake(arg);
        while (atomic_load(&answered) < i)
            sched_yield(); /* with sqpoll the kernel's thread wants a core too */
    }
    return NULL;
}

/* One wake at a time: each must end a sleep, or the two would wait for each other. */
static void each_wake_ends_a_sleep(void **state)
{
    struct io_event event;
    pthread_t thread;

    NEEDS_LOOP();
    asked = answered = 0;
    io_wake(loop); /* before the first turn */
    assert_int_equal(turn(&event, 1, PATIENCE), 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_in_step, loop), 0);
    while (answered < 5000) {
        int64_t began = now();
        assert_int_equal(turn(&event, 1, PATIENCE), 0);
        assert_true(now() - began < PATIENCE); /* a wake that is lost takes all of it */
        atomic_store(&answered, atomic_load(&asked));
    }
    pthread_join(thread, NULL);
}

/* The first file of this process that is a ring, or -1. */
static int find_ring(void)
{
    char path[64], target[64];

    for (int fd = 0; fd < 256; fd++) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, target, sizeof(target) - 1);
        target[len > 0 ? len : 0] = '\0';
        if (strstr(target, "io_uring"))
            return fd;
    }
    return -1;
}

/* Once it runs, nothing can be added to a ring, and it takes only the requests of this engine. */
static void ring_is_restricted(void **state)
{
    struct io_uring_probe probe = {0};

    NEEDS_LOOP();
    int ring = find_ring();
    assert_true(ring >= 0);
    assert_int_equal(syscall(__NR_io_uring_register, ring, IORING_REGISTER_PROBE, &probe, 0), -1);
    assert_int_equal(errno, EACCES);
}

#define ON_ALL(function)                                                                           \
    {#function " [io_uring]", function, open_loop, close_loop, &uring},                            \
        {#function " [io_uring, sqpoll]", function, open_loop, close_loop, &sqpoll},               \
    {                                                                                              \
#function " [epoll]", function, open_loop, close_loop, &epoll                              \
    }

int main(void)
{
    static struct mode uring = {IO_ENGINE_URING, false}, sqpoll = {IO_ENGINE_URING, true};
    static struct mode epoll = {IO_ENGINE_EPOLL, false};
    const struct CMUnitTest tests[] = {
        ON_ALL(accepts_all),
        ON_ALL(accept_cancelled),
        ON_ALL(accept_without_files),
        ON_ALL(datagrams_are_told),
        ON_ALL(receives_once),
        ON_ALL(receives_a_stream),
        ON_ALL(receives_what_was_there_already),
        ON_ALL(chunks_run_out),
        ON_ALL(reset_is_told),
        ON_ALL(receive_cancelled),
        ON_ALL(cancelled_in_the_same_turn),
        ON_ALL(sends_pieces_in_order),
        ON_ALL(sends_what_there_is_room_for),
        ON_ALL(waits_for_room_end),
        ON_ALL(reads_while_waiting_for_room),
        ON_ALL(more_events_than_room),
        ON_ALL(timeouts),
        ON_ALL(no_wake_is_lost),
        ON_ALL(each_wake_ends_a_sleep),
        {"ring_is_restricted [io_uring]", ring_is_restricted, open_loop, close_loop, &uring},
        {"ring_is_restricted [io_uring, sqpoll]", ring_is_restricted, open_loop, close_loop,
         &sqpoll},
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
