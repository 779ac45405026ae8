/* SPDX-License-Identifier: BSD-3-Clause */
/* Connections, and the library's own calls of the kernel. */
#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "choice.h"
#include "report.h"
#include "sabotage.h"
#include "schedule.h"

/* What a number stands for. */
struct end {
    bool used;
    bool caller;       /* the client's side of a wire, which a relay has made */
    struct wire *wire; /* NULL: it is not connected yet */
};

struct listener {
    bool open;
    struct wire *backlog[NETWORK_MAX_FDS];
    unsigned waiting;
};

void (*network_closing)(int fd);

static struct network_settings settings;
static struct wire *wires;
static struct end ends[NETWORK_MAX_FDS]; /* by number */
static struct listener listeners[NETWORK_LISTENERS];
static uint16_t next_port;

void network_begin(const struct network_settings *given)
{
    settings = *given;
    memset(listeners, 0, sizeof(listeners));
    next_port = 1024;
}

void network_end(void)
{
    for (unsigned i = 0; i < NETWORK_LISTENERS; i++)
        if (listeners[i].open)
            report_failure("listener %u is still open", i);
    for (unsigned i = 0; i < NETWORK_MAX_FDS; i++)
        if (ends[i].used)
            report_failure("socket %u is still open", i);
    while (wires) {
        struct wire *wire = wires;
        wires = wire->next;
        bytes_clear(&wire->in);
        bytes_clear(&wire->out);
        world_free(wire);
    }
}

int network_listen(unsigned relay)
{
    listeners[relay].open = true;
    return NETWORK_FIRST_FD + (int)relay;
}

void network_forget_listener(unsigned relay)
{
    listeners[relay].open = false;
}

/* ---- The client's end ------------------------------------------------------------------------ */

struct wire *wire_connect(unsigned relay, uint32_t address)
{
    struct listener *listener = &listeners[relay];

    if (!listener->open || listener->waiting == NETWORK_MAX_FDS)
        return NULL;
    struct wire *wire = world_alloc(sizeof(*wire));
    wire->address = address;
    wire->port = next_port++;
    wire->next = wires;
    wires = wire;
    listener->backlog[listener->waiting++] = wire;
    return wire;
}

size_t wire_write(struct wire *wire, const void *bytes, size_t len)
{
    size_t held = bytes_count(&wire->in);
    size_t room = held < settings.in_room ? settings.in_room - held : 0;

    if (wire->reset || wire->in_ended || wire->relay_closed)
        return 0;
    if (wire->shut_read)
        return len; /* taken, and thrown away */
    len = len < room ? len : room;
    bytes_add(&wire->in, bytes, len);
    return len;
}

size_t wire_readable(const struct wire *wire)
{
    return bytes_count(&wire->out);
}

size_t wire_read(struct wire *wire, void *out, size_t max)
{
    size_t len = bytes_count(&wire->out);

    len = len < max ? len : max;
    if (len > 0)
        memcpy(out, bytes_data(&wire->out), len);
    bytes_take(&wire->out, len);
    return len;
}

bool wire_is_over(const struct wire *wire)
{
    return bytes_count(&wire->out) == 0 && (wire->reset || wire->shut_write || wire->relay_closed);
}

void wire_shut(struct wire *wire)
{
    wire->in_ended = true;
}

/* What has come and nobody reads: the ledger sees it all the same. */
static void forget_output(struct wire *wire)
{
    if (wire->afterwards && wire_readable(wire) > 0)
        wire->afterwards(wire->user, bytes_data(&wire->out), wire_readable(wire));
    bytes_take(&wire->out, wire_readable(wire));
}

void wire_close(struct wire *wire)
{
    /* Who closes with something unread resets. */
    bool unread = wire_readable(wire) > 0;

    wire->in_ended = true;
    wire->client_gone = true;
    forget_output(wire);
    if (unread)
        wire->reset = true;
}

void wire_reset(struct wire *wire)
{
    wire->client_gone = true;
    wire->reset = true;
    forget_output(wire);
    if (chance_one_in(2))
        bytes_take(&wire->in, bytes_count(&wire->in));
}

/* ---- The relay's end ------------------------------------------------------------------------- */

static bool is_ours(int fd)
{
    return fd >= NETWORK_FIRST_FD && fd < NETWORK_FIRST_FD + NETWORK_MAX_FDS;
}

static struct end *end_of(int fd)
{
    if (!is_ours(fd) || !ends[fd - NETWORK_FIRST_FD].used)
        report_failure("uses socket %d, which is not open", fd - NETWORK_FIRST_FD);
    return &ends[fd - NETWORK_FIRST_FD];
}

/* NULL when it is not one that listens. */
static struct listener *listener_of(int fd)
{
    int number = fd - NETWORK_FIRST_FD;
    return is_ours(fd) && number < NETWORK_LISTENERS ? &listeners[number] : NULL;
}

bool network_can_accept(int fd)
{
    const struct listener *listener = listener_of(fd);

    if (!listener || !listener->open)
        report_failure("accepts from a socket that does not listen");
    return listener->waiting > 0;
}

/* The smallest number that is free, as the kernel gives them: so they are used again soon. */
static int take_number(struct wire *wire, bool caller)
{
    for (int i = NETWORK_LISTENERS; i < NETWORK_MAX_FDS; i++) {
        if (ends[i].used)
            continue;
        ends[i] = (struct end){.used = true, .caller = caller, .wire = wire};
        return i;
    }
    return -EMFILE;
}

int network_accept(int fd)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
    struct listener *listener = listener_of(fd);

    if (!network_can_accept(fd))
        return -EAGAIN;
    if (chance_one_in(settings.accept_fails_one_in)) {
        report_fault(FAULT_ACCEPT);
        return -errors[chance_below(4)];
    }
    int number = take_number(listener->backlog[0], false);
    if (number < 0)
        return number;
    memmove(listener->backlog, listener->backlog + 1, --listener->waiting * sizeof(struct wire *));
    trace("accept: socket %d", number);
    return NETWORK_FIRST_FD + number;
}

/* A connection may be reset at any moment, by whoever is between. */
static void maybe_reset(struct wire *wire)
{
    if (wire->reset || !chance_one_in(settings.reset_one_in))
        return;
    report_fault(FAULT_RESET);
    wire->reset = true;
    if (chance_one_in(2))
        bytes_take(&wire->in, bytes_count(&wire->in));
}

/* Whether nothing comes any more behind what is there; and whether the reader wants nothing. */
static bool has_ended(const struct end *end)
{
    const struct wire *wire = end->wire;
    return end->caller ? wire->shut_write || wire->relay_closed : wire->in_ended;
}

static bool is_deaf(const struct end *end)
{
    return end->caller ? end->wire->client_deaf : end->wire->shut_read;
}

static struct bytes *input_of(const struct end *end)
{
    return end->caller ? &end->wire->out : &end->wire->in;
}

bool network_can_read(int fd)
{
    const struct end *end = end_of(fd);
    return bytes_count(input_of(end)) > 0 || has_ended(end) || end->wire->reset || is_deaf(end);
}

int network_read(int fd, uint8_t *out, size_t room)
{
    const struct end *end = end_of(fd);
    struct bytes *input = input_of(end);

    maybe_reset(end->wire);
    if (chance_one_in(settings.interrupt_one_in)) {
        report_fault(FAULT_INTERRUPT);
        return chance_one_in(2) ? -EINTR : -EAGAIN;
    }
    size_t len = bytes_count(input);
    if (len == 0 || is_deaf(end))
        return is_deaf(end) ? 0 : end->wire->reset ? -ECONNRESET : has_ended(end) ? 0 : -EAGAIN;
    len = len < room ? len : room;
    if (len > 1 && chance_one_in(settings.short_read_one_in)) {
        report_fault(FAULT_SHORT_READ);
        len = chance_size((uint32_t)len);
    }
    memcpy(out, bytes_data(input), len);
    bytes_take(input, len);
    return (int)len;
}

static size_t room_of(const struct end *end)
{
    size_t held = bytes_count(end->caller ? &end->wire->in : &end->wire->out);
    size_t room = end->caller ? settings.in_room : settings.out_room;
    return held < room ? room - held : 0;
}

/* Whether the writer has said that it is done; and whether nobody is there to read. */
static bool is_shut(const struct end *end)
{
    return end->caller ? end->wire->in_ended : end->wire->shut_write;
}

static bool is_deserted(const struct end *end)
{
    return end->caller ? end->wire->relay_closed : end->wire->client_gone;
}

bool network_can_write(int fd)
{
    const struct end *end = end_of(fd);
    return room_of(end) > 0 || end->wire->reset || is_shut(end) || is_deserted(end);
}

static size_t size_of(const struct msghdr *message)
{
    size_t size = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    return size;
}

static void to_client(struct wire *wire, const uint8_t *bytes, size_t len)
{
    uint8_t flipped;

    if (sabotage_now(SABOTAGE_LOSE_BYTE))
        len--;
    if (sabotage_now(SABOTAGE_SEND_TWICE))
        to_client(wire, bytes, len);
    if (len > 0 && sabotage_now(SABOTAGE_FLIP_BIT)) {
        flipped = bytes[0] ^ (uint8_t)(1 << chance_below(8));
        bytes_add(&wire->out, &flipped, 1);
        bytes++;
        len--;
    }
    if (!wire->client_gone)
        bytes_add(&wire->out, bytes, len);
    else if (wire->afterwards)
        wire->afterwards(wire->user, bytes, len);
}

static void deliver(const struct end *end, const struct msghdr *message, size_t left)
{
    for (size_t i = 0; left > 0; i++) {
        const struct iovec *piece = &message->msg_iov[i];
        size_t len = piece->iov_len < left ? piece->iov_len : left;
        left -= len;
        if (!end->caller)
            to_client(end->wire, piece->iov_base, len);
        else if (!end->wire->shut_read && !end->wire->relay_closed)
            bytes_add(&end->wire->in, piece->iov_base, len);
    }
}

int network_write(int fd, const struct msghdr *message)
{
    const struct end *end = end_of(fd);
    struct wire *wire = end->wire;
    size_t size = size_of(message), room = room_of(end);

    maybe_reset(wire);
    if (is_shut(end))
        return -EPIPE;
    if (wire->reset)
        return chance_one_in(2) ? -ECONNRESET : -EPIPE;
    if (chance_one_in(settings.send_memory_one_in)) {
        report_fault(FAULT_SEND_MEMORY);
        return chance_one_in(2) ? -ENOBUFS : -ENOMEM;
    }
    if (room == 0 || chance_one_in(settings.no_room_one_in)) {
        report_fault(FAULT_NO_ROOM);
        return -EAGAIN;
    }
    size = size < room ? size : room;
    if (size > 1 && chance_one_in(settings.short_write_one_in))
        size = chance_size((uint32_t)size);
    if (size < size_of(message))
        report_fault(FAULT_SHORT_WRITE);
    deliver(end, message, size);
    /* Who has closed answers with a reset. */
    if (is_deserted(end))
        wire->reset = true;
    return (int)size;
}

static void close_listener(struct listener *listener)
{
    if (!listener->open)
        report_failure("closes the listener twice");
    listener->open = false;
    for (unsigned i = 0; i < listener->waiting; i++)
        listener->backlog[i]->reset = listener->backlog[i]->relay_closed = true;
    listener->waiting = 0;
}

/* ---- What the library calls ------------------------------------------------------------------ */

int __wrap_socket(int domain, int type, int protocol);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_shutdown(int fd, int how);
int __real_shutdown(int fd, int how);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *out, size_t room, int flags);
int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_ioctl(int fd, unsigned long request, ...);

static int failed(int error)
{
    errno = error;
    return -1;
}

int __wrap_socket(int domain, int type, int protocol)
{
    (void)domain;
    (void)type;
    (void)protocol;
    if (chance_one_in(settings.accept_fails_one_in))
        return failed(EMFILE);
    int number = take_number(NULL, true);
    return number < 0 ? failed(EMFILE) : NETWORK_FIRST_FD + number;
}

/* One relay calls another one, or itself. */
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size)
{
    struct sockaddr_in in;

    if (size < sizeof(in))
        return failed(EINVAL);
    memcpy(&in, address, sizeof(in));
    unsigned relay = ntohs(in.sin_port) - (unsigned)NETWORK_PORT;
    struct wire *wire =
        relay < NETWORK_LISTENERS ? wire_connect(relay, ntohl(in.sin_addr.s_addr)) : NULL;
    end_of(fd)->wire = wire;
    trace("connect: socket %d to relay %u: %s", fd - NETWORK_FIRST_FD, relay,
          wire ? "begun" : "refused");
    return failed(wire ? EINPROGRESS : ECONNREFUSED);
}

int __wrap_close(int fd)
{
    if (!is_ours(fd))
        return __real_close(fd);
    if (network_closing)
        network_closing(fd);
    if (listener_of(fd)) {
        close_listener(listener_of(fd));
        return 0;
    }
    struct end *end = end_of(fd);
    struct wire *wire = end->wire;
    trace("close: socket %d", fd - NETWORK_FIRST_FD);
    if (sabotage_now(SABOTAGE_LEAVE_OPEN))
        return 0;
    end->used = false;
    if (end->caller) {
        if (wire)
            wire_close(wire);
        return 0;
    }
    wire->relay_closed = true;
    /* As the kernel does: what has not been read by then turns the end into a reset. */
    if (bytes_count(&wire->in) > 0)
        wire->reset = true;
    return 0;
}

int __wrap_shutdown(int fd, int how)
{
    if (!is_ours(fd))
        return __real_shutdown(fd, how);
    const struct end *end = end_of(fd);
    struct wire *wire = end->wire;
    bool *write = end->caller ? &wire->in_ended : &wire->shut_write;
    bool *read = end->caller ? &wire->client_deaf : &wire->shut_read;
    if (sabotage_now(SABOTAGE_CLOSE_EARLY))
        return __wrap_close(fd);
    *write = *write || how != SHUT_RD;
    *read = *read || how != SHUT_WR;
    return 0;
}

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};

    (void)flags;
    int result = network_write(fd, &message);
    return result < 0 ? failed(-result) : result;
}

/* The relay only looks whether somebody is still there: everything else is read by the engine. */
ssize_t __wrap_recv(int fd, void *out, size_t room, int flags)
{
    const struct end *end = end_of(fd);
    struct bytes *input = input_of(end);
    size_t len = bytes_count(input);

    if (!(flags & MSG_PEEK))
        report_failure("a read that is not the engine's");
    if (is_deaf(end))
        return 0;
    if (len == 0)
        return end->wire->reset ? failed(ECONNRESET) : has_ended(end) ? 0 : failed(EAGAIN);
    len = len < room ? len : room;
    memcpy(out, bytes_data(input), len);
    return (ssize_t)len;
}

static int give_address(uint32_t ip, uint16_t port, struct sockaddr *address, socklen_t *size)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(ip), .sin_port = htons(port)};

    memcpy(address, &in, *size < sizeof(in) ? *size : sizeof(in));
    *size = sizeof(in);
    return 0;
}

int __wrap_getpeername(int fd, struct sockaddr *address, socklen_t *size)
{
    const struct wire *wire = end_of(fd)->wire;

    /* A connection that was reset has none any more. */
    if (wire->reset)
        return failed(ENOTCONN);
    return give_address(wire->address, wire->port, address, size);
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    const struct listener *listener = listener_of(fd);

    return listener ? give_address(INADDR_LOOPBACK,
                                   (uint16_t)(NETWORK_PORT + (listener - listeners)), address, size)
                    : failed(EBADF);
}

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    (void)level;
    (void)name;
    (void)value;
    (void)size;
    return is_ours(fd) ? 0 : failed(EBADF);
}

int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int answer = 0;

    if (!is_ours(fd) || level != SOL_SOCKET)
        return failed(EBADF);
    if (name == SO_ACCEPTCONN)
        answer = listener_of(fd) != NULL;
    else if (name == SO_DOMAIN)
        answer = AF_INET;
    memcpy(value, &answer, *size < sizeof(answer) ? *size : sizeof(answer));
    return 0;
}

/* What the client has not read yet stands for what its TCP has not acknowledged. */
int __wrap_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    if (!is_ours(fd) || request != SIOCOUTQ)
        return failed(EINVAL);
    const struct end *end = end_of(fd);
    va_start(arguments, request);
    *va_arg(arguments, int *) = (int)bytes_count(end->caller ? &end->wire->in : &end->wire->out);
    va_end(arguments);
    return 0;
}
