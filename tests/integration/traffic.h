/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients that check what they get: numbered packets of a known pattern, and a pair that exchanges
 * them beside whatever else a test does. */
#ifndef TESTS_TRAFFIC_H
#define TESTS_TRAFFIC_H

#include "client/client_socket.h"
#include "matrix.h"

#define PACKET_MIN 16

/* Fills a packet of at least PACKET_MIN bytes; each byte depends on stream, number and length. */
void packet_fill(uint8_t *packet, size_t len, uint32_t stream, uint32_t number);

/* The number of a packet. Fails when a byte of it is wrong or it is of another stream. */
uint32_t packet_number(const uint8_t *packet, size_t len, uint32_t stream);

/* Joins a relay with a key, NULL for a new one. Fails the test when that does not succeed. */
struct client_socket *client_join(const char *address, const hyperderp_private_key *key);

/* From now on, clients without a key of their own have one of these, in turn; count 0: a new one.
 */
void client_invite(const hyperderp_private_key *keys, unsigned count);

/* Joins with a new key and a receive buffer of so many bytes (SO_RCVBUF). */
struct client_socket *client_join_small(const char *address, int receive_buffer);

/* As client_join(), for any thread once a client has joined, unless keys are invited: 0, or what
 * client_socket_connect_tls() says. */
int client_try(struct client_socket **out, const char *address, const hyperderp_private_key *key);

/* How the clients of the running test speak TLS; NULL: not at all. */
const struct client_tls_options *client_trust(void);

void client_send(struct client_socket *from, const struct client_socket *to, const void *packet,
                 size_t len);

/* The next message, which must be of this type. */
struct client_message client_expect(struct client_socket *client, enum client_message_type type);

/* The next packet, which must be this one, from there. */
void client_expect_packet(struct client_socket *client, const struct client_socket *from,
                          const void *packet, size_t len);

/* Sends a Ping and waits for its Pong: the relay has then dealt with all that was sent before. */
void client_settle(struct client_socket *client);

/* Opens a TCP connection to "127.0.0.1:PORT". */
int tcp_connect(const char *address);

/* Waits until the other side closes a socket, discarding what it sends. False after timeout_ms. */
bool tcp_await_end(int fd, int timeout_ms);

/* A pair of clients, of which one sends rate packets a second to the other, in a thread. */
struct pair;
struct pair *pair_start(const char *address, unsigned rate, size_t len);

/* Ends it, prints what it saw, and fails unless every packet has arrived, whole, in order, and
 * within that time of being sent. */
void pair_stop(struct pair *pair, const char *beside_what, int64_t within_us);

/* The same, and 99 of 100 packets must have arrived within p99_us. */
void pair_stop_within(struct pair *pair, const char *beside_what, int64_t within_us,
                      int64_t p99_us);

/* What a pair saw; the rate is that of what it could send. */
struct pair_figures {
    double rate;
    int64_t p50_us, p99_us, max_us;
    uint32_t lost;
};

/* Ends it, prints what it saw, and fails unless what has arrived is whole and in order; the rest is
 * for the caller to judge. */
void pair_finish(struct pair *pair, const char *beside_what, struct pair_figures *figures);

#endif
