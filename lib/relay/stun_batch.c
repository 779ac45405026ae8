/* SPDX-License-Identifier: BSD-3-Clause */
/* From datagrams to answers. */
#include "relay/stun_batch.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void stun_batch_prepare(int fd)
{
    const int on = 1;
    int family = AF_UNSPEC;
    socklen_t size = sizeof(family);

    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
    /* For IPv4 on a socket of IPv6 the latter tells mapped addresses. */
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    else
        (void)setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

static int receive(struct stun_batch *batch, int fd)
{
    for (unsigned i = 0; i < STUN_BATCH; i++) {
        struct stun_datagram *datagram = &batch->datagrams[i];

        datagram->piece = (struct iovec){datagram->request, sizeof(datagram->request)};
        batch->in[i].msg_hdr = (struct msghdr){.msg_name = &datagram->from,
                                               .msg_namelen = sizeof(datagram->from),
                                               .msg_iov = &datagram->piece,
                                               .msg_iovlen = 1,
                                               .msg_control = datagram->to,
                                               .msg_controllen = sizeof(datagram->to)};
    }
    return recvmmsg(fd, batch->in, STUN_BATCH, MSG_DONTWAIT, NULL);
}

/* Whence a datagram came; false for a port that nobody can be reached at. */
static bool read_address(struct stun_address *out, const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;
        memcpy(out->bytes, &in->sin_addr, 4);
        out->size = 4;
        out->port = ntohs(in->sin_port);
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;
        memcpy(out->bytes, &in6->sin6_addr, 16);
        out->size = 16;
        out->port = ntohs(in6->sin6_port);
    }
    return out->port != 0;
}

/* Makes of where a datagram came to where its answer comes from. The interface is left to the
 * routes, but for addresses that have a meaning on one link only. */
static void turn_around(struct msghdr *message)
{
    struct cmsghdr *header = CMSG_FIRSTHDR(message);

    if (header && header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo *info = (struct in_pktinfo *)(void *)CMSG_DATA(header);
        info->ipi_ifindex = 0; /* ipi_spec_dst is the address of ours */
        message->msg_controllen = CMSG_SPACE(sizeof(*info));
    } else if (header && header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo *info = (struct in6_pktinfo *)(void *)CMSG_DATA(header);
        if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
            info->ipi6_ifindex = 0;
        message->msg_controllen = CMSG_SPACE(sizeof(*info));
    } else {
        message->msg_control = NULL;
        message->msg_controllen = 0;
    }
}

/* The answer to a datagram, or nothing. True if there is one. */
static bool reply(struct stun_datagram *datagram, const struct mmsghdr *in, struct mmsghdr *out,
                  struct stun_reply *into, struct counters *counters)
{
    struct stun_request request;
    struct stun_address address;
    int error = -EBADMSG;

    if (!(in->msg_hdr.msg_flags & MSG_TRUNC))
        error = stun_request_parse(&request, datagram->request, in->msg_len);
    if (error == 0 && !read_address(&address, &datagram->from))
        error = -EBADMSG;
    if (error) {
        counters_add(counters,
                     error == -EBADMSG ? COUNTER_stun_malformed : COUNTER_stun_unsupported, 1);
        return false;
    }
    size_t size = stun_answer(into->bytes, &request, &address);
    into->piece = (struct iovec){into->bytes, size};
    out->msg_hdr = in->msg_hdr;
    out->msg_hdr.msg_iov = &into->piece;
    out->msg_hdr.msg_flags = 0;
    turn_around(&out->msg_hdr);
    return true;
}

/* Of IPv6 are the longest. */
static void count_answer(const struct mmsghdr *out, struct counters *counters)
{
    bool is_ipv6 = out->msg_hdr.msg_iov->iov_len == STUN_MAX_ANSWER;
    counters_add(counters, is_ipv6 ? COUNTER_stun_answers_ipv6 : COUNTER_stun_answers_ipv4, 1);
}

/* Sends without waiting: an answer for which there is no room now would come too late anyway, and
 * one that cannot be sent does not keep the others. */
static void send_all(struct stun_batch *batch, int fd, unsigned count, struct counters *counters)
{
    unsigned at = 0;

    while (at < count) {
        int sent = sendmmsg(fd, batch->out + at, count - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        for (int i = 0; i < sent; i++)
            count_answer(&batch->out[at++], counters);
        if (sent <= 0) {
            counters_add(counters, COUNTER_stun_send_errors, 1);
            at++;
        }
    }
}

void stun_batch_serve(struct stun_batch *batch, int fd, struct counters *counters)
{
    unsigned replies = 0;
    int count = receive(batch, fd);

    for (int i = 0; i < count; i++)
        replies += reply(&batch->datagrams[i], &batch->in[i], &batch->out[replies],
                         &batch->replies[replies], counters);
    send_all(batch, fd, replies, counters);
}
