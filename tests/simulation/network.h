/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The kernel's part: connections as pairs of byte queues. The relay knows its end by a number,
 * whose use after its close is a failure; clients hold a struct wire.
 */
#ifndef SIMULATION_NETWORK_H
#define SIMULATION_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "bytes.h"

/* Numbers from here on are the network's; so many sockets at once. The first are those of relays
 * that listen. */
#define NETWORK_FIRST_FD  0x40000000
#define NETWORK_MAX_FDS   1024
#define NETWORK_LISTENERS 2

/* A relay can be called at NETWORK_HOST, and this port and its number. */
#define NETWORK_HOST "10.9.0.1"
#define NETWORK_PORT 3340

struct network_settings {
    size_t in_room, out_room;   /* most bytes that wait in a direction */
    uint32_t short_read_one_in; /* reads that give less than there is */
    uint32_t short_write_one_in;
    uint32_t no_room_one_in;      /* writes that say EAGAIN without a reason */
    uint32_t send_memory_one_in;  /* writes that say ENOBUFS or ENOMEM */
    uint32_t reset_one_in;        /* reads and writes that find the connection reset */
    uint32_t interrupt_one_in;    /* reads that say EINTR or EAGAIN */
    uint32_t accept_fails_one_in; /* EMFILE and the like */
};

struct wire {
    /* The relay's end. */
    bool relay_closed, shut_read, shut_write;

    struct bytes in, out; /* to the relay, and from it */
    bool in_ended;        /* the client sends nothing more */
    bool reset;           /* the connection is dead, for both */
    bool client_gone;     /* nobody reads what the relay sends */
    bool client_deaf;     /* another relay, as a client, that reads no more */
    uint32_t address;     /* of the client */
    uint16_t port;

    /* Gets what comes when the client has gone, or has been reset: for the ledger. */
    void (*afterwards)(void *user, const uint8_t *bytes, size_t len);
    void *user;
    struct wire *next; /* all of them */
};

void network_begin(const struct network_settings *settings);

/* The relay has closed everything; otherwise a failure. Frees all wires. */
void network_end(void);

/* The number of a socket that listens, of each relay its own. */
int network_listen(unsigned relay);

/* It is not wanted any more, and was nobody else's. */
void network_forget_listener(unsigned relay);

/* ---- The client's end ------------------------------------------------------------------------ */

/* NULL when nobody listens any more. Freed by network_end(). */
struct wire *wire_connect(unsigned relay, uint32_t address);

/* Gives as much as there is room for; returns how much that was. */
size_t wire_write(struct wire *wire, const void *bytes, size_t len);

/* What has come; wire_read() takes it. Nothing comes any more when wire_is_over(). */
size_t wire_readable(const struct wire *wire);
size_t wire_read(struct wire *wire, void *out, size_t max);
bool wire_is_over(const struct wire *wire);

/* An orderly end of what the client sends; an orderly end; and a reset. */
void wire_shut(struct wire *wire);
void wire_close(struct wire *wire);
void wire_reset(struct wire *wire);

/* ---- The relay's end ------------------------------------------------------------------------- */

/* Whether a connection waits; the number of the next one, or -errno. */
bool network_can_accept(int listener);
int network_accept(int listener);

/* As the system calls, with -errno. */
bool network_can_read(int fd);
int network_read(int fd, uint8_t *out, size_t room);
bool network_can_write(int fd);
int network_write(int fd, const struct msghdr *message);

/* Calls this before a number is closed, to see that no request names it. */
extern void (*network_closing)(int fd);

#endif
