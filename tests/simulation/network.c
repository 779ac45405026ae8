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

#define LISTENER NETWORK_FIRST_FD

void (*network_closing)(int fd);

static struct network_settings settings;
static struct wire *wires;
static struct wire *open_wires[NETWORK_MAX_FDS]; /* by number; that of the listener has none */
static struct wire *backlog[NETWORK_MAX_FDS];
static unsigned waiting;
static bool listening;
static uint16_t next_port;

void network_begin(const struct network_settings *given)
{
    settings = *given;
    listening = false;
    waiting = 0;
    next_port = 1024;
}

void network_end(void)
{
    if (listening)
        report_failure("the listener is still open");
    for (unsigned i = 0; i < NETWORK_MAX_FDS; i++)
        if (open_wires[i])
            report_failure("socket %u is still open", i);
    while (wires) {
        struct wire *wire = wires;
        wires = wire->next;
        bytes_clear(&wire->in);
        bytes_clear(&wire->out);
        world_free(wire);
    }
}

int network_listen(void)
{
    listening = true;
    return LISTENER;
}

void network_forget_listener(void)
{
    listening = false;
}

/* ---- The client's end ------------------------------------------------------------------------ */

struct wire *wire_connect(uint32_t address)
{
    if (!listening || waiting == NETWORK_MAX_FDS)
        return NULL;
    struct wire *wire = world_alloc(sizeof(*wire));
    wire->fd = -1;
    wire->address = address;
    wire->port = next_port++;
    wire->next = wires;
    wires = wire;
    backlog[waiting++] = wire;
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

static struct wire *wire_of(int fd)
{
    if (!is_ours(fd) || !open_wires[fd - NETWORK_FIRST_FD])
        report_failure("uses socket %d, which is not open", fd - NETWORK_FIRST_FD);
    return open_wires[fd - NETWORK_FIRST_FD];
}

bool network_can_accept(int listener)
{
    if (listener != LISTENER || !listening)
        report_failure("accepts from a socket that does not listen");
    return waiting > 0;
}

/* The smallest number that is free, as the kernel gives them: so they are used again soon. */
static int free_number(void)
{
    for (int i = 1; i < NETWORK_MAX_FDS; i++)
        if (!open_wires[i])
            return i;
    return -EMFILE;
}

int network_accept(int listener)
{
    static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};

    if (!network_can_accept(listener))
        return -EAGAIN;
    if (chance_one_in(settings.accept_fails_one_in)) {
        report_fault(FAULT_ACCEPT);
        return -errors[chance_below(4)];
    }
    int number = free_number();
    if (number < 0)
        return number;
    struct wire *wire = backlog[0];
    memmove(backlog, backlog + 1, --waiting * sizeof(struct wire *));
    open_wires[number] = wire;
    wire->fd = NETWORK_FIRST_FD + number;
    wire->accepted = true;
    trace("accept: socket %d", number);
    return wire->fd;
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

bool network_can_read(int fd)
{
    const struct wire *wire = wire_of(fd);
    return bytes_count(&wire->in) > 0 || wire->in_ended || wire->reset || wire->shut_read;
}

int network_read(int fd, uint8_t *out, size_t room)
{
    struct wire *wire = wire_of(fd);

    maybe_reset(wire);
    if (chance_one_in(settings.interrupt_one_in)) {
        report_fault(FAULT_INTERRUPT);
        return chance_one_in(2) ? -EINTR : -EAGAIN;
    }
    size_t len = bytes_count(&wire->in);
    if (len == 0 || wire->shut_read)
        return wire->shut_read ? 0 : wire->reset ? -ECONNRESET : wire->in_ended ? 0 : -EAGAIN;
    len = len < room ? len : room;
    if (len > 1 && chance_one_in(settings.short_read_one_in)) {
        report_fault(FAULT_SHORT_READ);
        len = chance_size((uint32_t)len);
    }
    memcpy(out, bytes_data(&wire->in), len);
    bytes_take(&wire->in, len);
    return (int)len;
}

static size_t room_of(const struct wire *wire)
{
    size_t held = bytes_count(&wire->out);
    return held < settings.out_room ? settings.out_room - held : 0;
}

bool network_can_write(int fd)
{
    const struct wire *wire = wire_of(fd);
    return room_of(wire) > 0 || wire->reset || wire->shut_write || wire->client_gone;
}

static size_t size_of(const struct msghdr *message)
{
    size_t size = 0;

    for (size_t i = 0; i < message->msg_iovlen; i++)
        size += message->msg_iov[i].iov_len;
    return size;
}

static void deliver(struct wire *wire, const uint8_t *bytes, size_t len)
{
    uint8_t flipped;

    if (sabotage_now(SABOTAGE_LOSE_BYTE))
        len--;
    if (sabotage_now(SABOTAGE_SEND_TWICE))
        deliver(wire, bytes, len);
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

int network_write(int fd, const struct msghdr *message)
{
    struct wire *wire = wire_of(fd);
    size_t size = size_of(message), room = room_of(wire);

    maybe_reset(wire);
    if (wire->shut_write)
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
    size_t left = size;
    for (size_t i = 0; left > 0; i++) {
        size_t len = message->msg_iov[i].iov_len < left ? message->msg_iov[i].iov_len : left;
        deliver(wire, message->msg_iov[i].iov_base, len);
        left -= len;
    }
    /* Who has closed answers with a reset. */
    if (wire->client_gone)
        wire->reset = true;
    return (int)size;
}

static void close_listener(void)
{
    listening = false;
    for (unsigned i = 0; i < waiting; i++)
        backlog[i]->reset = backlog[i]->relay_closed = true;
    waiting = 0;
}

/* ---- What the library calls ------------------------------------------------------------------ */

int __wrap_close(int fd);
int __real_close(int fd);
int __wrap_shutdown(int fd, int how);
int __real_shutdown(int fd, int how);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
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

int __wrap_close(int fd)
{
    if (!is_ours(fd))
        return __real_close(fd);
    if (network_closing)
        network_closing(fd);
    if (fd == LISTENER) {
        if (!listening)
            report_failure("closes the listener twice");
        close_listener();
        return 0;
    }
    struct wire *wire = wire_of(fd);
    trace("close: socket %d", fd - NETWORK_FIRST_FD);
    if (sabotage_now(SABOTAGE_LEAVE_OPEN))
        return 0;
    open_wires[fd - NETWORK_FIRST_FD] = NULL;
    wire->fd = -1;
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
    struct wire *wire = wire_of(fd);
    if (sabotage_now(SABOTAGE_CLOSE_EARLY))
        return __wrap_close(fd);
    wire->shut_write = wire->shut_write || how != SHUT_RD;
    wire->shut_read = wire->shut_read || how != SHUT_WR;
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
    struct wire *wire = wire_of(fd);

    /* A connection that was reset has none any more. */
    if (wire->reset)
        return failed(ENOTCONN);
    return give_address(wire->address, wire->port, address, size);
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *size)
{
    return fd == LISTENER ? give_address(INADDR_LOOPBACK, 3340, address, size) : failed(EBADF);
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
        answer = fd == LISTENER;
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
    va_start(arguments, request);
    *va_arg(arguments, int *) = (int)wire_readable(wire_of(fd));
    va_end(arguments);
    return 0;
}
