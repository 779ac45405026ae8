/* SPDX-License-Identifier: BSD-3-Clause */
/* hyperderp_connection: a session on a socket that does not block, and waiting around it. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <hyperderp/client.h>

#include "client/channel_socket.h"
#include "client/dial.h"
#include "client/session.h"
#include "memory/memory.h"
#include "wire/utf8.h"

/* What an address has for connecting at least: with less, one that is only far away would count as
 * silent. As long TCP waits before it sends its SYN again (RFC 6298, section 2). */
#define ADDRESS_LEAST_MS 1000

struct hyperderp_connection {
    hyperderp_client *client;
    int fd;                      /* -1: none */
    struct addrinfo *addresses;  /* that the name has; until one is connected */
    struct addrinfo *connecting; /* to this one of them; NULL: that is over */
    bool held;                   /* a message that is to be told by the next receiving */
    bool looked;                 /* the socket was read since receiving has last found nothing */
    int error;                   /* how connecting has failed; 0 */
    char *address;
    char fault[HYPERDERP_FAULT_SIZE];
    char told[HYPERDERP_FAULT_SIZE]; /* what the relay says before it lets the client in: why not */
};

/* ---- Connecting ---- */

static int fail(hyperderp_connection *c, int error)
{
    const char *why = error == -ENOENT ? "no such host or port" : strerror(-error);

    if (error == -EINVAL)
        why = "HOST:PORT or [IPV6]:PORT is expected";
    snprintf(c->fault, sizeof(c->fault), "connecting to %.160s: %s", c->address, why);
    c->error = error;
    return error;
}

/* Begins with an address, or with the first one behind it that can be begun with. */
static int try_addresses(hyperderp_connection *c, struct addrinfo *at)
{
    int err = -ENOENT;

    for (c->connecting = NULL; at != NULL; at = at->ai_next) {
        c->fd = dial_begin(at);
        if (c->fd >= 0) {
            dial_watch(c->fd);
            c->connecting = at;
            return 0;
        }
        err = c->fd;
    }
    c->fd = -1;
    return fail(c, err);
}

static void forget_addresses(hyperderp_connection *c)
{
    if (c->addresses != NULL)
        freeaddrinfo(c->addresses);
    c->addresses = c->connecting = NULL;
}

/* Goes on with the address behind the one that has failed. */
static int leave_address(hyperderp_connection *c, int error)
{
    struct addrinfo *next = c->connecting->ai_next;
    int failed = c->fd;

    c->fd = -1;
    c->connecting = NULL;
    /* The new socket first: with the number of the old one nobody would see that it is another. */
    int err = next != NULL ? try_addresses(c, next) : fail(c, error);
    close(failed);
    return err;
}

/* Looks what has come of connecting. */
static int go_on_connecting(hyperderp_connection *c)
{
    int err;

    if (dial_wait(c->fd, POLLOUT, dial_deadline(0)) == -ETIMEDOUT)
        return 0;
    err = dial_finish(c->fd);
    if (err == 0) {
        forget_addresses(c);
        return 0;
    }
    return leave_address(c, err);
}

/* ---- Driving it ---- */

static void receive(hyperderp_connection *c)
{
    int err = channel_read_some(&c->client->channel, c->fd);

    /* Of what has come, an error of this kind takes nothing away: it can be read before that. */
    if (err == -EPIPE || err == -ECONNRESET || err == -ETIMEDOUT || err == -EHOSTUNREACH)
        session_end_input(c->client, err);
    else if (err != -EAGAIN && err != -ENOBUFS)
        (void)session_received(c->client, err);
}

static int send_waiting(hyperderp_connection *c)
{
    int err =
        c->fd < 0 || c->connecting != NULL ? 0 : channel_write_some(&c->client->channel, c->fd);

    return err == -EAGAIN ? 0 : err;
}

int hyperderp_connection_process(hyperderp_connection *c)
{
    int err = 0;

    if (c == NULL)
        return -EINVAL;
    c->looked = true;
    if (c->error == 0 && c->connecting != NULL)
        err = go_on_connecting(c);
    if (err < 0 || c->error < 0 || c->connecting != NULL)
        return c->error;
    /* What cannot be sent any more is no reason not to hear why: receiving will tell. */
    (void)send_waiting(c);
    if (c->client->error == 0 && c->client->input_end == 0)
        receive(c);
    (void)send_waiting(c);
    return c->client->error;
}

int hyperderp_connection_events(const hyperderp_connection *c)
{
    const struct channel *channel;
    int events = 0;

    if (c == NULL || c->fd < 0)
        return 0;
    if (c->connecting != NULL)
        return POLLOUT;
    channel = &c->client->channel;
    if (channel_waiting(channel) > 0)
        events |= POLLOUT;
    if (c->client->error == 0 && c->client->input_end == 0 && channel_has_room(channel))
        events |= POLLIN;
    return events;
}

/* Waits for what there is to wait for. */
static int await(hyperderp_connection *c, int events, int64_t deadline)
{
    return dial_wait(c->fd, (short)events, deadline);
}

/* The next message of those that have come. */
static int take(hyperderp_connection *c, const hyperderp_message **message)
{
    int err = c->error < 0 ? c->error : hyperderp_client_next(c->client, message);

    (void)send_waiting(c); /* of the handshake */
    return err;
}

/* The same without waiting. The socket is read at most once between two times that nothing is
 * found: a relay that sends as fast as the program reads must not keep that from all else. */
static int next_at_once(hyperderp_connection *c, const hyperderp_message **message)
{
    int err = take(c, message);

    if (err == -EAGAIN && !c->looked) {
        (void)hyperderp_connection_process(c); /* its error is told by take() */
        err = take(c, message);
    }
    if (err == -EAGAIN)
        c->looked = false;
    return err;
}

/* The same until the deadline. */
static int next(hyperderp_connection *c, const hyperderp_message **message, int64_t deadline)
{
    bool processed = false;
    int err;

    for (;;) {
        err = take(c, message);
        c->looked = false;
        if (err != -EAGAIN)
            return err;
        /* A relay that sends a frame without end must not keep us here. */
        if (processed && dial_time_left(deadline) == 0)
            return -ETIMEDOUT;
        if (processed)
            err = await(c, hyperderp_connection_events(c), deadline);
        if (processed && err < 0)
            return err;
        (void)hyperderp_connection_process(c); /* its error is told by take() */
        processed = true;
    }
}

int hyperderp_connection_recv(hyperderp_connection *c, const hyperderp_message **message,
                              int timeout_ms)
{
    if (message != NULL)
        *message = NULL;
    if (c == NULL || message == NULL)
        return -EINVAL;
    if (c->held) {
        c->held = false;
        *message = &c->client->message;
        return 0;
    }
    return timeout_ms == 0 ? next_at_once(c, message) : next(c, message, dial_deadline(timeout_ms));
}

/* Waits until all that waits is sent, or the time is over. */
static int send_until(hyperderp_connection *c, int64_t deadline)
{
    int err = send_waiting(c);

    while (err == 0 && channel_waiting(&c->client->channel) > 0) {
        if (await(c, POLLOUT, deadline) < 0)
            return 0;
        err = send_waiting(c);
    }
    return err;
}

int hyperderp_connection_send(hyperderp_connection *c, const hyperderp_key *to, const void *packet,
                              size_t len, int timeout_ms)
{
    int64_t deadline = dial_deadline(timeout_ms);
    int err;

    if (c == NULL)
        return -EINVAL;
    if (c->error < 0)
        return c->error;
    /* Fast start may have introduced the client, but there is nobody yet; and no room comes up. */
    if (c->connecting != NULL)
        return -EAGAIN;
    while ((err = hyperderp_client_send(c->client, to, packet, len)) == -ENOBUFS) {
        size_t waited = channel_waiting(&c->client->channel);

        err = send_waiting(c);
        if (err < 0)
            return err;
        if (channel_waiting(&c->client->channel) < waited)
            continue;
        if (timeout_ms == 0)
            return -ENOBUFS;
        err = await(c, POLLOUT, deadline);
        if (err < 0)
            return err;
    }
    if (err < 0)
        return err;
    return timeout_ms == 0 ? send_waiting(c) : send_until(c, deadline);
}

/* ---- Beginning and end ---- */

static int begin(hyperderp_connection *c, const char *address,
                 const hyperderp_client_options *options)
{
    int err;

    c->address = memory_strdup(address);
    if (c->address == NULL)
        return -ENOMEM;
    err = dial_look_up(address, &c->addresses);
    if (err == -EINVAL)
        return fail(c, err);
    /* What is wrong with the options comes before what is wrong with the network. */
    int wrong = session_new_public(&c->client, options, c->fault);
    if (wrong < 0)
        return wrong;
    return err < 0 ? fail(c, err) : try_addresses(c, c->addresses);
}

static void tell_fault(char *fault, const hyperderp_connection *c, int error)
{
    const char *words = hyperderp_connection_fault(c);

    if (error == -ETIMEDOUT && *words == '\0')
        words = "the relay has not let the client in in time";
    if (*words == '\0')
        words = strerror(-error);
    if (fault != NULL && c != NULL && c->told[0] != '\0')
        snprintf(fault, HYPERDERP_FAULT_SIZE, "%.80s; it says: %.160s", words, c->told);
    else if (fault != NULL)
        snprintf(fault, HYPERDERP_FAULT_SIZE, "%s", words);
}

/* Copies the options with what the address fills in. Begins; on an error nothing is left. */
static int begin_copy(hyperderp_connection **out, const char *address,
                      const hyperderp_client_options *options, char **fault)
{
    hyperderp_client_options own;
    hyperderp_connection *c;
    int err;

    session_options_clear_fault(options);
    if (out == NULL)
        return -EINVAL;
    *out = NULL;
    if (address == NULL)
        return -EINVAL;
    err = session_options_copy(&own, options);
    if (err < 0)
        return err;
    *fault = own.fault;
    if (own.host == NULL)
        own.host = address;
    c = memory_calloc(1, sizeof(*c));
    if (c != NULL)
        c->fd = -1;
    err = c == NULL ? -ENOMEM : begin(c, address, &own);
    session_options_wipe(&own);
    if (err == 0) {
        *out = c;
        return 0;
    }
    tell_fault(*fault, c, err);
    hyperderp_connection_close(c);
    return err;
}

int hyperderp_connection_begin(hyperderp_connection **out, const char *address,
                               const hyperderp_client_options *options)
{
    char *fault;

    return begin_copy(out, address, options, &fault);
}

/* A fair part of the time for an address, so that one that is silent leaves some to those behind.
 */
static int64_t deadline_of(const struct addrinfo *at, int64_t deadline)
{
    int left = dial_time_left(deadline), count = 0, part;

    for (const struct addrinfo *each = at; each != NULL; each = each->ai_next)
        count++;
    if (left < 0 || count < 2)
        return deadline;
    part = left / count;
    if (part < ADDRESS_LEAST_MS)
        part = ADDRESS_LEAST_MS;
    return part < left ? dial_deadline(part) : deadline;
}

/* As next(), but goes on with the next address when one has had its time. */
static int next_of_any(hyperderp_connection *c, const hyperderp_message **message, int64_t deadline)
{
    for (;;) {
        const struct addrinfo *trying = c->connecting;
        int err = next(c, message, deadline_of(trying, deadline));

        if (err != -ETIMEDOUT || trying == NULL)
            return err;
        if (c->connecting != trying)
            continue; /* it is another address now, or connected */
        if (trying->ai_next == NULL || dial_time_left(deadline) == 0)
            return err;
        err = leave_address(c, err);
        if (err < 0)
            return err;
    }
}

static int await_server_info(hyperderp_connection *c, int64_t deadline)
{
    const hyperderp_message *message;

    while (!c->held) {
        int err = next_of_any(c, &message, deadline);
        if (err < 0)
            return err;
        c->held = message->type == HYPERDERP_MESSAGE_SERVER_INFO;
        if (message->type == HYPERDERP_MESSAGE_HEALTH)
            utf8_copy_printable(c->told, sizeof(c->told) - 1, (const char *)message->payload,
                                message->len);
        /* What else comes before is dropped; one that sends nothing but that must not keep us. */
        if (!c->held && dial_time_left(deadline) == 0)
            return -ETIMEDOUT;
    }
    return 0;
}

int hyperderp_connection_open(hyperderp_connection **out, const char *address,
                              const hyperderp_client_options *options, int timeout_ms)
{
    int64_t deadline = dial_deadline(timeout_ms);
    char *fault;
    int err = begin_copy(out, address, options, &fault);

    if (err < 0)
        return err;
    err = await_server_info(*out, deadline);
    if (err < 0) {
        tell_fault(fault, *out, err);
        hyperderp_connection_close(*out);
        *out = NULL;
    }
    return err;
}

void hyperderp_connection_close(hyperderp_connection *c)
{
    if (c == NULL)
        return;
    if (c->fd >= 0 && c->connecting == NULL && c->client != NULL) {
        (void)hyperderp_client_finish(c->client);
        (void)send_waiting(c);
    }
    if (c->fd >= 0)
        close(c->fd);
    forget_addresses(c);
    hyperderp_client_free(c->client);
    memory_free(c->address);
    memory_free(c);
}

/* ---- What there is to know ---- */

int hyperderp_connection_fd(const hyperderp_connection *c)
{
    if (c == NULL)
        return -EINVAL;
    return c->fd < 0 ? -ENOTCONN : c->fd;
}

const char *hyperderp_connection_fault(const hyperderp_connection *c)
{
    if (c == NULL)
        return "";
    return c->fault[0] != '\0' || c->client == NULL ? c->fault : c->client->fault;
}

hyperderp_client *hyperderp_connection_client(hyperderp_connection *c)
{
    return c != NULL ? c->client : NULL;
}
