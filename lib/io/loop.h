/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One completion interface over two engines, io_uring and epoll. Operations are started with a
 * token; io_poll() later hands out events that carry it. Knows sockets and bytes, nothing of DERP.
 *
 * Threads: a loop belongs to the thread that called io_loop_attach(); only io_wake() may be called
 * from others, and what says so.
 *
 * Sends never wait: they take what the socket has room for at once. Who gets less than it gave
 * calls io_await_writable() and sends again. So no buffer is ever held by the kernel for a slow
 * receiver.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "io/chunk.h"

enum io_engine { IO_ENGINE_URING = 1, IO_ENGINE_EPOLL = 2 };

enum io_op {
    IO_OP_ACCEPT = 1,
    IO_OP_RECV,
    IO_OP_SEND,
    IO_OP_WRITABLE,
    IO_OP_READABLE,
    IO_OP_INTERNAL, /* the engines' own; never handed out */
};

/*
 * Names an operation and whom it is for: op, slot of the object, generation of the slot. A
 * completion that comes after its slot has gone to somebody else is told by its generation.
 */
typedef uint64_t io_token;

#define IO_TOKEN_GENERATIONS (1u << 24)

static inline io_token io_token_make(enum io_op op, uint32_t slot, uint32_t generation)
{
    return (uint64_t)op << 56 | (uint64_t)(generation % IO_TOKEN_GENERATIONS) << 32 | slot;
}

static inline enum io_op io_token_op(io_token token)
{
    return (enum io_op)(token >> 56);
}

static inline uint32_t io_token_generation(io_token token)
{
    return (uint32_t)(token >> 32) % IO_TOKEN_GENERATIONS;
}

static inline uint32_t io_token_slot(io_token token)
{
    return (uint32_t)token;
}

struct io_event {
    io_token token;
    int result; /* ACCEPT: the new socket; RECV, SEND: bytes; WRITABLE, READABLE: 0; or -errno */
    bool more;  /* the operation goes on and will give further events */
    struct io_chunk
        *chunk; /* RECV with result > 0: holds the bytes; the taker owns one reference */
};

struct io_loop;

/* Makes a loop with chunks receive chunks, at most 32,768 (a power of two); sqpoll lets a thread of
 * the kernel take io_uring's requests. 0, -ENOMEM, -EMFILE, or
 * -ENOSYS and the like when the kernel lacks or forbids what the engine needs. */
int io_loop_new(struct io_loop **out, enum io_engine engine, unsigned chunks, bool sqpoll);
void io_loop_free(struct io_loop *loop);

/* Binds the loop to the calling thread. Once, before anything else but io_wake(). 0 or -errno. */
int io_loop_attach(struct io_loop *loop);

/* Accepts connections from a listening socket, which becomes non-blocking, until an event says
 * more = false. 0, or -EAGAIN without memory for it. io_cancel() always ends it at once. */
int io_accept(struct io_loop *loop, int fd, io_token token);

/* Gives a READABLE event in each turn in which a socket that becomes non-blocking has something to
 * be read, which the caller reads itself: for datagrams, of which many are taken at once. 0, or
 * -EAGAIN without memory for it. io_cancel() always ends it at once. */
int io_await_readable(struct io_loop *loop, int fd, io_token token);

enum io_recv_flags {
    IO_RECV_STREAM = 1,  /* the engine may go on after an event, which then says more = true */
    IO_RECV_DRAINED = 2, /* the last read found less than a chunk: there is nothing to read yet */
};

/*
 * Reads what is there, one chunk at most, or waits until there is something. Without IO_RECV_STREAM
 * it gives one event. After more = false (end of stream, an error, -ENOBUFS when no chunk was free,
 * or simply one event) it must be called again to read on. No connection gets more than one chunk a
 * turn: so the relay never reads faster than it sends, and a sender that floods waits for its turn
 * like all others. 0 or -EAGAIN.
 */
int io_recv(struct io_loop *loop, int fd, io_token token, unsigned flags);

/* Ends an io_recv(), io_accept() or io_await_readable(). Returns 0 when no further event will come,
 * -EINPROGRESS when one with more = false still will, -EAGAIN when the engine is full: then the
 * operation goes on, until it is cancelled again or the socket is shut down. Events already fetched
 * may carry the token in any case. The socket must stay open until no event is to come: a request
 * that the kernel has not seen yet names it by its number. */
int io_cancel(struct io_loop *loop, int fd, io_token token);

/*
 * Sends what the socket has room for. Returns the bytes taken, -errno, -EINPROGRESS when a SEND
 * event will tell (the message and its buffers must stay until then), or -EBUSY when the engine is
 * full: try again in the next turn. An event or a return of -EAGAIN means that there was no room.
 */
int io_send(struct io_loop *loop, int fd, const struct msghdr *message, io_token token);

/* Gives one WRITABLE event when the socket has room again, or is broken. 0 or -EAGAIN. */
int io_await_writable(struct io_loop *loop, int fd, io_token token);

/* Waits until there is an event, io_wake() was called or timeout_ns have passed (negative: no
 * limit), and fetches up to max events. Returns their number, or -errno when the loop itself is
 * broken. */
int io_poll(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns);

/* Makes io_poll() return soon. Any thread. */
void io_wake(struct io_loop *loop);

/*
 * A loop may be driven by another one, which waits for a file descriptor and calls io_poll() with a
 * timeout of 0: that costs system calls, and a loop that waits by itself nothing.
 */

/* Makes the file descriptor. Before io_loop_attach(), by any thread. 0, -ENOMEM, -EMFILE and the
 * like: then there is none. */
int io_driven_begin(struct io_loop *loop);

/* Takes it back: the loop will wait by itself. Before io_loop_attach() as well, and also where
 * there is none. */
void io_driven_end(struct io_loop *loop);

/* The file descriptor: readable, for as long as that is so, when the loop wants to be polled.
 * io_loop_free() closes it. */
int io_driven_fd(const struct io_loop *loop);

/* Takes notice of io_wake(). To be called before the io_poll() for which the file descriptor was
 * readable. */
void io_driven_enter(struct io_loop *loop);

/* Hands the kernel what was started since the last io_poll(). Returns whether there are events
 * already, or more to be handed. Without it what was started since then may never happen. */
bool io_driven_submit(struct io_loop *loop);

/* The loop is left until timeout_ns after now have passed (negative: no limit), or something
 * happens. Call it after io_driven_submit(), with 0 where that returned true. */
void io_driven_leave(struct io_loop *loop, int64_t now, int64_t timeout_ns);

/* Takes the loop away from the thread that it belongs to, which does not use it any more: a thread
 * that frees what it served. Where the kernel does not let it be used by another thread nothing is
 * received or sent any more, and no event will come, also of what was started before. */
void io_driven_abandon(struct io_loop *loop);

/* Chunks that can be read into at this moment. */
unsigned io_free_chunks(const struct io_loop *loop);

#endif
