/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The io_uring engine: receives into a provided-buffer ring, one submission per
 * turn. Needs Linux 6.1 (IORING_SETUP_DEFER_TASKRUN); liburing 2.3 suffices.
 */
#include "io/engine.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memory/memory.h"

#define SQ_ENTRIES   1024
#define CQ_ENTRIES   8192
#define BUFFER_GROUP 0

/* How long the kernel's thread polls in vain before it sleeps, with sqpoll. */
#define SQ_IDLE_MS 200

#define TOKEN_WAKE    ((uint64_t)IO_OP_INTERNAL << 56 | 1)
#define TOKEN_CANCEL  ((uint64_t)IO_OP_INTERNAL << 56 | 2)
#define TOKEN_ACCEPTS ((uint64_t)IO_OP_INTERNAL << 56 | 3)

struct uring_loop {
    struct io_loop base;
    struct io_uring ring;
    struct io_uring_buf_ring *buffers; /* shared with the kernel, which takes from its head */
    size_t buffers_size;
    bool wake_armed;
    bool accepts_armed;
    bool abandoned; /* the ring is gone */
    int signal_fd;  /* of a loop that is driven, eventfd; or -1 */
};

static struct uring_loop *uring(struct io_loop *loop)
{
    return (struct uring_loop *)loop;
}

static void uring_give_back(struct io_chunk_pool *pool, struct io_chunk *chunk)
{
    struct uring_loop *u = (struct uring_loop *)((char *)pool - offsetof(struct io_loop, pool));
    int mask = io_uring_buf_ring_mask(pool->count);

    io_uring_buf_ring_add(u->buffers, chunk->data, IO_CHUNK_SIZE, chunk->id, mask, 0);
    io_uring_buf_ring_advance(u->buffers, 1);
}

/* NULL when the submission queue is full and the kernel takes nothing from it at this moment. */
static struct io_uring_sqe *uring_sqe(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (sqe)
        return sqe;
    io_uring_submit(&u->ring);
    return io_uring_get_sqe(&u->ring);
}

static int uring_buffers_init(struct uring_loop *u)
{
    unsigned count = u->base.pool.count;

    u->buffers_size = count * sizeof(struct io_uring_buf);
    u->buffers =
        mmap(NULL, u->buffers_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (u->buffers == MAP_FAILED) {
        u->buffers = NULL;
        return -ENOMEM;
    }
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)u->buffers, .ring_entries = count, .bgid = BUFFER_GROUP};
    int error = io_uring_register_buf_ring(&u->ring, &reg, 0);
    if (error)
        return error;
    io_uring_buf_ring_init(u->buffers);
    for (unsigned i = 0; i < count; i++)
        io_uring_buf_ring_add(u->buffers, u->base.pool.chunks[i].data, IO_CHUNK_SIZE,
                              (unsigned short)i, io_uring_buf_ring_mask(count), (int)i);
    io_uring_buf_ring_advance(u->buffers, (int)count);
    return 0;
}

/* liburing 2.3 declares functions for these, but does not export them. */
static int register_ring(struct uring_loop *u, unsigned what, const void *items, unsigned count)
{
    long result = syscall(__NR_io_uring_register, u->ring.ring_fd, what, items, count);

    return result < 0 ? -errno : 0;
}

/* What the ring can be used for from the moment it is enabled: what is here, and nothing else. A
 * filter of system calls (seccomp) does not see what is asked for by a ring, so that whoever takes
 * over the process could open files or connect by it. */
static int restrict_ring(struct uring_loop *u)
{
    static const uint8_t operations[] = {IORING_OP_POLL_ADD, IORING_OP_RECV, IORING_OP_SEND,
                                         IORING_OP_SENDMSG, IORING_OP_ASYNC_CANCEL};
    struct io_uring_restriction allowed[sizeof(operations) + 1] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = IOSQE_BUFFER_SELECT},
    };

    for (size_t i = 0; i < sizeof(operations); i++)
        allowed[i + 1] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
                                                       .sqe_op = operations[i]};
    return register_ring(u, IORING_REGISTER_RESTRICTIONS, allowed,
                         sizeof(allowed) / sizeof(allowed[0]));
}

static int uring_arm_wake(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_poll_multishot(sqe, u->base.wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, TOKEN_WAKE);
    u->wake_armed = true;
    return 0;
}

/* Asked anew after each time, and answered at once while connections still wait. */
static int uring_arm_accepts(struct uring_loop *u)
{
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_poll_add(sqe, u->base.accepts.set, POLLIN);
    io_uring_sqe_set_data64(sqe, TOKEN_ACCEPTS);
    u->accepts_armed = true;
    return 0;
}

static int uring_attach(struct io_loop *loop)
{
    struct uring_loop *u = uring(loop);
    /* IORING_SETUP_SINGLE_ISSUER: who enables the ring is who may use it. */
    int error = register_ring(u, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (error || !loop->driven)
        return error ? error : uring_arm_wake(u);
    u->wake_armed = true; /* not by the ring, see uring_signal() */
    return 0;
}

static void uring_destroy(struct io_loop *loop)
{
    struct uring_loop *u = uring(loop);
    if (!u->abandoned)
        io_uring_queue_exit(&u->ring);
    if (u->signal_fd >= 0)
        close(u->signal_fd);
    if (u->buffers)
        munmap(u->buffers, u->buffers_size);
    io_loop_base_destroy(loop);
    memory_free(u);
}

/*
 * One read a request, also for a stream. A multishot receive takes up to 32 chunks of one socket in
 * a row, and the others find none: flooded by ten senders, the relay then read faster than it could
 * send and lost 37 % of the packets; with single reads it lost none and delivered a third more.
 */
static int uring_recv(struct io_loop *loop, int fd, io_token token, unsigned flags)
{
    struct io_uring_sqe *sqe = uring_sqe(uring(loop));
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_recv(sqe, fd, NULL, 0, 0);
    if (flags & IO_RECV_DRAINED)
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

static int uring_cancel(struct io_loop *loop, int fd, io_token token)
{
    struct io_uring_sqe *sqe = uring_sqe(uring(loop));
    (void)fd;
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_cancel64(sqe, token, 0);
    io_uring_sqe_set_data64(sqe, TOKEN_CANCEL);
    return -EINPROGRESS;
}

static int uring_send(struct io_loop *loop, int fd, const struct msghdr *message, io_token token)
{
    struct io_uring_sqe *sqe = uring_sqe(uring(loop));
    if (!sqe)
        return -EBUSY;
    /* MSG_DONTWAIT: completes while it is submitted, with what there is room for. */
    if (message->msg_iovlen == 1)
        io_uring_prep_send(sqe, fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
    else
        io_uring_prep_sendmsg(sqe, fd, message, MSG_DONTWAIT | MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, token);
    return -EINPROGRESS;
}

static int uring_await_writable(struct io_loop *loop, int fd, io_token token)
{
    struct io_uring_sqe *sqe = uring_sqe(uring(loop));
    if (!sqe)
        return -EAGAIN;
    io_uring_prep_poll_add(sqe, fd, POLLOUT);
    io_uring_sqe_set_data64(sqe, token);
    return 0;
}

/* Turns a completion into an event. Returns false for the engine's own. */
static bool uring_event(struct uring_loop *u, const struct io_uring_cqe *cqe,
                        struct io_event *event)
{
    struct io_chunk *chunk = NULL;

    if (cqe->user_data == TOKEN_WAKE) {
        io_loop_woken(&u->base);
        u->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        return false;
    }
    if (cqe->user_data == TOKEN_ACCEPTS)
        u->accepts_armed = false;
    if (io_token_op(cqe->user_data) == IO_OP_INTERNAL)
        return false;
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        chunk = &u->base.pool.chunks[cqe->flags >> IORING_CQE_BUFFER_SHIFT];
        chunk->refs = 1;
        u->base.pool.free--;
        if (cqe->res <= 0) {
            io_chunk_unref(chunk);
            chunk = NULL;
        }
    }
    *event = (struct io_event){.token = cqe->user_data,
                               .result = cqe->res,
                               .more = (cqe->flags & IORING_CQE_F_MORE) != 0,
                               .chunk = chunk};
    if (io_token_op(cqe->user_data) == IO_OP_WRITABLE && event->result > 0)
        event->result = 0;
    return true;
}

static int uring_enter(struct uring_loop *u, int64_t timeout_ns)
{
    unsigned ready = io_uring_cq_ready(&u->ring);
    struct io_uring_cqe *cqe;
    int result;

    if (ready > 0 && io_uring_sq_ready(&u->ring) == 0)
        return 0;
    if (ready > 0 || timeout_ns == 0) {
        result = io_uring_submit_and_get_events(&u->ring);
    } else if (timeout_ns < 0) {
        result = io_uring_submit_and_wait(&u->ring, 1);
    } else {
        struct __kernel_timespec ts = {.tv_sec = timeout_ns / 1000000000,
                                       .tv_nsec = timeout_ns % 1000000000};
        result = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, &ts, NULL);
    }
    /* ETIME: nothing happened. EINTR: a signal. EAGAIN, EBUSY, ENOMEM: the kernel is short of
     * something and has kept the submissions that it could not take; the next turn tries again. */
    if (result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
        result == -EBUSY || result == -ENOMEM)
        return 0;
    return result;
}

static int uring_poll(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns)
{
    struct uring_loop *u = uring(loop);
    struct io_uring_cqe *cqe;
    unsigned head, seen = 0;
    int count = 0;

    if (!u->wake_armed && uring_arm_wake(u) != 0)
        timeout_ns = 0;
    if (!u->accepts_armed) {
        /* Half of the turn at most: a storm of connections must not keep packets waiting. */
        count = io_accepts_take(&u->base.accepts, events, (max + 1) / 2);
        if (count > 0 || uring_arm_accepts(u) != 0)
            timeout_ns = 0;
    }
    int error = uring_enter(u, timeout_ns);
    if (error)
        return count > 0 ? count : error;
    io_uring_for_each_cqe(&u->ring, head, cqe)
    {
        if (count == max)
            break;
        count += uring_event(u, cqe, &events[count]);
        seen++;
    }
    io_uring_cq_advance(&u->ring, seen);
    return count;
}

/* ---- Driven by another loop ------------------------------------------------------------------ */

/*
 * Completions that are deferred do not wake who polls the ring (Linux 6.4 and newer): the kernel
 * only looks for them when the poll begins. An eventfd of the ring is told of the first that waits,
 * and of what completes without being deferred. It must not be told from within the writing of
 * another eventfd: the kernel puts that off for many milliseconds, and from the second time on
 * loses it (seen with Linux 6.18). So io_wake() goes past the ring.
 */
static int uring_signal(struct io_loop *loop)
{
    struct uring_loop *u = uring(loop);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    int error = io_uring_register_eventfd(&u->ring, fd);
    if (error) {
        close(fd);
        return error;
    }
    u->signal_fd = fd;
    return fd;
}

static void uring_unsignal(struct io_loop *loop)
{
    struct uring_loop *u = uring(loop);

    if (u->signal_fd < 0)
        return;
    (void)io_uring_unregister_eventfd(&u->ring);
    close(u->signal_fd);
    u->signal_fd = -1;
}

/* Completions that were not told, as others had been before them, are found by looking at the ring
 * itself. */
static bool has_completions(struct uring_loop *u)
{
    struct pollfd ring = {.fd = u->ring.ring_fd, .events = POLLIN};

    return io_uring_cq_ready(&u->ring) > 0 || poll(&ring, 1, 0) > 0;
}

static bool uring_submit(struct io_loop *loop)
{
    struct uring_loop *u = uring(loop);
    bool sq_thread = (u->ring.flags & IORING_SETUP_SQPOLL) != 0;
    /* Connections that wait are taken, and asked for anew, by the next io_poll(). */
    bool more = !u->accepts_armed;

    io_eventfd_clear(u->signal_fd);
    if (io_uring_sq_ready(&u->ring) > 0) {
        (void)io_uring_submit_and_get_events(&u->ring); /* io_poll() sees what it says, too */
        more = more || (!sq_thread && io_uring_sq_ready(&u->ring) > 0);
    }
    return more || has_completions(u);
}

static int no_recv(struct io_loop *loop, int fd, io_token token, unsigned flags)
{
    (void)loop;
    (void)fd;
    (void)token;
    (void)flags;
    return -EAGAIN;
}

static int no_send(struct io_loop *loop, int fd, const struct msghdr *message, io_token token)
{
    (void)loop;
    (void)fd;
    (void)message;
    (void)token;
    return -EPIPE;
}

/* After which no event will come. */
static int no_cancel(struct io_loop *loop, int fd, io_token token)
{
    (void)loop;
    (void)fd;
    (void)token;
    return 0;
}

static int no_await_writable(struct io_loop *loop, int fd, io_token token)
{
    return no_recv(loop, fd, token, 0);
}

static int no_events(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns)
{
    (void)loop;
    (void)events;
    (void)max;
    (void)timeout_ns;
    return 0;
}

static const struct io_engine_ops abandoned_ops = {
    .destroy = uring_destroy,
    .recv = no_recv,
    .cancel = no_cancel,
    .send = no_send,
    .await_writable = no_await_writable,
    .poll = no_events,
};

/* Only the thread that has enabled the ring may use it; closing it is everybody's, and ends all
 * requests. */
static void uring_abandon(struct io_loop *loop)
{
    struct uring_loop *u = uring(loop);

    io_uring_queue_exit(&u->ring);
    u->abandoned = true;
    loop->ops = &abandoned_ops;
}

static const struct io_engine_ops uring_ops = {
    .destroy = uring_destroy,
    .attach = uring_attach,
    .recv = uring_recv,
    .cancel = uring_cancel,
    .send = uring_send,
    .await_writable = uring_await_writable,
    .poll = uring_poll,
    .signal = uring_signal,
    .unsignal = uring_unsignal,
    .submit = uring_submit,
    .abandon = uring_abandon,
};

/* With a thread of the kernel that polls for requests, completions cannot be deferred to us. */
static struct io_uring_params ring_params(bool sqpoll)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = CQ_ENTRIES,
    };

    if (sqpoll) {
        params.flags |= IORING_SETUP_SQPOLL;
        params.sq_thread_idle = SQ_IDLE_MS;
    } else {
        params.flags |= IORING_SETUP_DEFER_TASKRUN;
    }
    return params;
}

int io_uring_loop_new(struct io_loop **out, unsigned chunks, bool sqpoll)
{
    struct uring_loop *u = memory_calloc(1, sizeof(*u));
    if (!u)
        return -ENOMEM;
    u->signal_fd = -1;
    struct io_uring_params params = ring_params(sqpoll);
    int error = io_uring_queue_init_params(SQ_ENTRIES, &u->ring, &params);
    if (error) {
        memory_free(u);
        return error;
    }
    error = io_loop_base_init(&u->base, &uring_ops, chunks, uring_give_back);
    if (error) {
        io_uring_queue_exit(&u->ring);
        memory_free(u);
        return error;
    }
    error = uring_buffers_init(u);
    if (error == 0)
        error = restrict_ring(u);
    if (error) {
        uring_destroy(&u->base);
        return error;
    }
    *out = &u->base;
    return 0;
}
