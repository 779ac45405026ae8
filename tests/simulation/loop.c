/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A third engine, in place of lib/io/loop.c and the two below it. A request waits in a list until
 * the network can do it and its time has come; which of those that can be done come first is
 * chance. It behaves as one of the two engines does: with completions, everything is told by an
 * event, and a request that is cancelled still gives its last one; without, a send is done at once,
 * and a receive that is cancelled is gone.
 */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "choice.h"
#include "io/loop.h"
#include "network.h"
#include "report.h"
#include "sabotage.h"
#include "schedule.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* What a chunk holds that nobody has. */
#define FREE_CHUNK_BYTE 0xcc

#define MAX_REQUESTS 4096
#define MAX_LOOPS    8

struct request {
    io_token token;
    int fd;
    bool stream, cancelled;
    bool submitted; /* the kernel has seen it */
    int64_t after;  /* not before */
    const struct msghdr *message;
};

struct io_loop {
    struct io_chunk_pool pool;
    uint16_t *free_ids;
    unsigned index;
    bool woken;
    int64_t until; /* io_poll() waits */
    struct request requests[MAX_REQUESTS];
    unsigned count;
};

static struct loop_settings settings;
static struct io_loop *loops[MAX_LOOPS];

static void look_for_requests(int fd)
{
    for (unsigned i = 0; i < MAX_LOOPS; i++)
        for (unsigned j = 0; loops[i] && j < loops[i]->count; j++)
            if (loops[i]->requests[j].fd == fd)
                report_failure("closes socket %d, which a request of op %d names",
                               fd - NETWORK_FIRST_FD,
                               (int)io_token_op(loops[i]->requests[j].token));
}

void loop_begin(const struct loop_settings *given)
{
    settings = *given;
    network_closing = look_for_requests;
}

static uint8_t *memory_of(const struct io_chunk *chunk)
{
    return chunk->data - IO_CHUNK_HEADROOM;
}

static void give_back(struct io_chunk_pool *pool, struct io_chunk *chunk)
{
    struct io_loop *loop = (struct io_loop *)(void *)pool;

    if (sabotage_now(SABOTAGE_KEEP_CHUNK)) {
        pool->free--;
        return;
    }
    /* What a packet begins with: whoever still reads it finds no frame. */
    memset(chunk->data, FREE_CHUNK_BYTE, 512);
    ASAN_POISON_MEMORY_REGION(memory_of(chunk), IO_CHUNK_HEADROOM + IO_CHUNK_SIZE);
    loop->free_ids[pool->free - 1] = chunk->id;
}

static struct io_chunk *take_chunk(struct io_loop *loop)
{
    struct io_chunk_pool *pool = &loop->pool;

    if (pool->free == 0 || chance_one_in(settings.no_chunk_one_in))
        return NULL;
    /* Not always the last one. */
    unsigned at = chance_below(pool->free);
    uint16_t id = loop->free_ids[at];
    loop->free_ids[at] = loop->free_ids[--pool->free];
    struct io_chunk *chunk = &pool->chunks[id];
    ASAN_UNPOISON_MEMORY_REGION(memory_of(chunk), IO_CHUNK_HEADROOM + IO_CHUNK_SIZE);
    chunk->refs = 1;
    return chunk;
}

int io_loop_new(struct io_loop **out, enum io_engine engine, unsigned chunks, bool sqpoll)
{
    struct io_loop *loop = calloc(1, sizeof(*loop));
    unsigned index = 0;

    (void)engine;
    (void)sqpoll;
    chunks = settings.chunks < chunks ? settings.chunks : chunks;
    if (!loop)
        return -ENOMEM;
    if (io_chunk_pool_init(&loop->pool, chunks, give_back) != 0) {
        free(loop);
        return -ENOMEM;
    }
    while (loops[index])
        index++;
    loops[index] = loop;
    loop->index = index;
    loop->free_ids = world_alloc(chunks * sizeof(*loop->free_ids));
    for (unsigned i = 0; i < chunks; i++) {
        loop->free_ids[i] = (uint16_t)i;
        ASAN_POISON_MEMORY_REGION(memory_of(&loop->pool.chunks[i]),
                                  IO_CHUNK_HEADROOM + IO_CHUNK_SIZE);
    }
    *out = loop;
    return 0;
}

void io_loop_free(struct io_loop *loop)
{
    if (!loop)
        return;
    if (loop->pool.free != loop->pool.count)
        report_failure("%u receive chunks were not given back", loop->pool.count - loop->pool.free);
    for (unsigned i = 0; i < loop->pool.count; i++)
        ASAN_UNPOISON_MEMORY_REGION(memory_of(&loop->pool.chunks[i]),
                                    IO_CHUNK_HEADROOM + IO_CHUNK_SIZE);
    loops[loop->index] = NULL;
    io_chunk_pool_destroy(&loop->pool);
    world_free(loop->free_ids);
    free(loop);
}

int io_loop_attach(struct io_loop *loop)
{
    (void)loop;
    return 0;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static bool is_full(void)
{
    if (!chance_one_in(settings.full_one_in))
        return false;
    report_fault(FAULT_ENGINE_FULL);
    return true;
}

static struct request *find(struct io_loop *loop, int fd, enum io_op op)
{
    for (unsigned i = 0; i < loop->count; i++)
        if (loop->requests[i].fd == fd && io_token_op(loop->requests[i].token) == op)
            return &loop->requests[i];
    return NULL;
}

static void remove_request(struct io_loop *loop, struct request *request)
{
    *request = loop->requests[--loop->count];
}

static int64_t some_time_later(void)
{
    if (!chance_one_in(settings.delay_one_in))
        return schedule_now();
    report_fault(FAULT_DELAY);
    return schedule_now() + chance_size(settings.delay_ns);
}

static struct request *add(struct io_loop *loop, int fd, io_token token)
{
    if (loop->count == MAX_REQUESTS)
        report_failure("more requests than an engine has room for");
    struct request *request = &loop->requests[loop->count++];
    *request = (struct request){.token = token, .fd = fd, .after = some_time_later()};
    return request;
}

int io_accept(struct io_loop *loop, int fd, io_token token)
{
    if (is_full())
        return -EAGAIN;
    add(loop, fd, token)->stream = true;
    return 0;
}

int io_await_readable(struct io_loop *loop, int fd, io_token token)
{
    return io_accept(loop, fd, token);
}

int io_recv(struct io_loop *loop, int fd, io_token token, unsigned flags)
{
    (void)network_can_read(fd); /* it is open */
    if (find(loop, fd, IO_OP_RECV))
        report_failure("a second receive of socket %d", fd - NETWORK_FIRST_FD);
    if (is_full())
        return -EAGAIN;
    add(loop, fd, token)->stream = flags & IO_RECV_STREAM && !settings.completions;
    return 0;
}

int io_cancel(struct io_loop *loop, int fd, io_token token)
{
    struct request *request = find(loop, fd, io_token_op(token));
    bool told = settings.completions && io_token_op(token) == IO_OP_RECV;

    if (told && is_full())
        return -EAGAIN;
    if (!request || request->token != token)
        return told ? -EINPROGRESS : 0; /* its event has been fetched already */
    if (told)
        request->cancelled = true;
    else
        remove_request(loop, request);
    return told ? -EINPROGRESS : 0;
}

int io_send(struct io_loop *loop, int fd, const struct msghdr *message, io_token token)
{
    (void)network_can_write(fd);
    if (!settings.completions)
        return network_write(fd, message);
    if (is_full())
        return -EBUSY;
    add(loop, fd, token)->message = message;
    return -EINPROGRESS;
}

int io_await_writable(struct io_loop *loop, int fd, io_token token)
{
    (void)network_can_write(fd);
    if (is_full())
        return -EAGAIN;
    add(loop, fd, token);
    return 0;
}

/* ---- Events ---------------------------------------------------------------------------------- */

static bool can_be_done(const struct request *request)
{
    if (request->cancelled)
        return true;
    switch (io_token_op(request->token)) {
    case IO_OP_ACCEPT:
        return network_can_accept(request->fd);
    case IO_OP_RECV:
        return network_can_read(request->fd);
    case IO_OP_WRITABLE:
        return network_can_write(request->fd);
    default:
        return true;
    }
}

static int64_t next_event(void *of)
{
    const struct io_loop *loop = of;
    int64_t first = SCHEDULE_NEVER;

    if (loop->woken)
        return schedule_now();
    for (unsigned i = 0; i < loop->count; i++)
        if (loop->requests[i].after < first && can_be_done(&loop->requests[i]))
            first = loop->requests[i].after;
    return first;
}

static bool has_event(void *of)
{
    return next_event(of) <= schedule_now();
}

/* Each of these turns a request into an event. False when there is none after all. */
static bool do_accept(struct request *request, struct io_event *event)
{
    int result = network_accept(request->fd);

    *event = (struct io_event){.token = request->token, .result = result, .more = result >= 0};
    return result != -EAGAIN;
}

static bool do_recv(struct io_loop *loop, struct request *request, struct io_event *event)
{
    *event = (struct io_event){.token = request->token, .result = -ECANCELED};
    if (request->cancelled && (!network_can_read(request->fd) || chance_one_in(2)))
        return true;
    if (request->cancelled)
        report_fault(FAULT_STALE);
    struct io_chunk *chunk = take_chunk(loop);
    if (!chunk) {
        report_fault(FAULT_NO_CHUNK);
        event->result = -ENOBUFS;
        return true;
    }
    event->result = network_read(request->fd, chunk->data, IO_CHUNK_SIZE);
    event->more = event->result > 0 && request->stream;
    if (event->result > 0)
        event->chunk = chunk;
    else
        io_chunk_unref(chunk);
    return settings.completions || (event->result != -EAGAIN && event->result != -EINTR);
}

static bool do_request(struct io_loop *loop, struct request *request, struct io_event *event)
{
    enum io_op op = io_token_op(request->token);

    if (op == IO_OP_ACCEPT)
        return do_accept(request, event);
    if (op == IO_OP_RECV)
        return do_recv(loop, request, event);
    *event = (struct io_event){.token = request->token};
    if (op == IO_OP_SEND)
        event->result = network_write(request->fd, request->message);
    return true;
}

static const char *op_name(io_token token)
{
    static const char *const names[] = {
        [IO_OP_ACCEPT] = "accept", [IO_OP_RECV] = "recv",         [IO_OP_SEND] = "send",
        [IO_OP_WRITABLE] = "room", [IO_OP_READABLE] = "readable",
    };
    return names[io_token_op(token)];
}

/* Takes some request that can be done; false when there is none. */
static bool take_event(struct io_loop *loop, unsigned *left, struct io_event *event, bool *given)
{
    unsigned begin = chance_below(*left);

    for (unsigned i = 0; i < *left; i++) {
        unsigned at = (begin + i) % *left;
        struct request request = loop->requests[at];
        if (request.after > schedule_now() || !can_be_done(&request))
            continue;
        *given = do_request(loop, &request, event);
        trace("%s of socket %d: %d%s%s", op_name(request.token), request.fd - NETWORK_FIRST_FD,
              event->result, event->more ? ", more" : "", *given ? "" : ", nothing");
        /* Each of them once a turn: it goes to those that have had theirs. */
        --*left;
        loop->requests[at] = loop->requests[*left];
        loop->requests[*left] = request;
        loop->requests[*left].after = some_time_later();
        if (*given && !event->more)
            loop->requests[*left] = loop->requests[--loop->count];
        if (*given && io_token_op(request.token) == IO_OP_SEND &&
            sabotage_now(SABOTAGE_LOSE_COMPLETION))
            *given = false;
        return true;
    }
    return false;
}

int io_poll(struct io_loop *loop, struct io_event *events, int max, int64_t timeout_ns)
{
    int count = 0;

    max = max < settings.max_events ? max : settings.max_events;
    /* Others get their turn in any case. */
    schedule_wait(has_event, next_event, loop,
                  timeout_ns < 0 ? SCHEDULE_NEVER : schedule_now() + timeout_ns);
    report.turns++;
    loop->woken = false;
    unsigned left = loop->count;
    bool given;
    while (left > 0 && count < max && take_event(loop, &left, &events[count], &given))
        count += given;
    return count;
}

void io_wake(struct io_loop *loop)
{
    loop->woken = loop->woken || !sabotage_now(SABOTAGE_LOSE_WAKE);
}

/* ---- Nobody drives it ------------------------------------------------------------------------ */

int io_driven_begin(struct io_loop *loop)
{
    (void)loop;
    return -ENOSYS;
}

void io_driven_end(struct io_loop *loop)
{
    (void)loop;
}

static void never_driven(void)
{
    report_failure("a loop that is not driven was used as one that is");
}

int io_driven_fd(const struct io_loop *loop)
{
    (void)loop;
    never_driven();
    return -1;
}

void io_driven_enter(struct io_loop *loop)
{
    (void)loop;
    never_driven();
}

bool io_driven_submit(struct io_loop *loop)
{
    (void)loop;
    never_driven();
    return false;
}

void io_driven_leave(struct io_loop *loop, int64_t now, int64_t timeout_ns)
{
    (void)loop;
    (void)now;
    (void)timeout_ns;
    never_driven();
}

void io_driven_abandon(struct io_loop *loop)
{
    (void)loop;
    never_driven();
}

unsigned io_free_chunks(const struct io_loop *loop)
{
    return loop->pool.free;
}
