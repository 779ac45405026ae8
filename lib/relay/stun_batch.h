/* SPDX-License-Identifier: BSD-3-Clause */
/* Datagrams taken from a socket at once, and their answers. */
#ifndef RELAY_STUN_BATCH_H
#define RELAY_STUN_BATCH_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "relay/counters.h"
#include "wire/stun.h"

/* As many take about 0.1 ms, receiving and sending included. */
#define STUN_BATCH 32

struct stun_datagram {
    struct sockaddr_storage from;
    /* To which of the machine's addresses it came: the answer goes out from the same one. */
    _Alignas(struct cmsghdr) uint8_t to[CMSG_SPACE(sizeof(struct in6_pktinfo))];
    uint8_t request[STUN_MAX_REQUEST];
    struct iovec piece;
};

struct stun_reply {
    uint8_t bytes[STUN_MAX_ANSWER];
    struct iovec piece;
};

struct stun_batch {
    struct mmsghdr in[STUN_BATCH], out[STUN_BATCH];
    struct stun_datagram datagrams[STUN_BATCH];
    struct stun_reply replies[STUN_BATCH];
};

/* Receives what waits, answers the requests among it, and counts. */
void stun_batch_serve(struct stun_batch *batch, int fd, struct counters *counters);

/* Asks the kernel to tell where each datagram came to. */
void stun_batch_prepare(int fd);

#endif
