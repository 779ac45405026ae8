/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay inside the test program, and clients for it: whole ones, and sockets for raw bytes. */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include <hyperderp/relay.h>

#include "client/client_socket.h"

/* How long anything may take before a test fails; nothing waits that long when all is well. */
#define FIXTURE_PATIENCE_MS 8000

struct fixture {
    hyperderp_relay *relay;
    hyperderp_key key;
    char address[64];
    unsigned files; /* open in this process before the relay was made */
};

/* Defaults for a test: the engine, and this many workers. */
hyperderp_relay_options fixture_options(hyperderp_engine engine, unsigned workers);

/* Whether an engine works here; prints why not. */
bool fixture_has(hyperderp_engine engine);

/* Makes and starts a relay on 127.0.0.1. send_buffer is the SO_SNDBUF of accepted sockets, 0: the
 * kernel's. */
void fixture_start(struct fixture *fixture, const hyperderp_relay_options *options,
                   int send_buffer);

/* Stops it; checks that every packet is accounted for, that nothing is left queued, no connection
 * open, and no file leaked. Clients must be closed before. */
void fixture_stop(struct fixture *fixture);

hyperderp_counters fixture_counters(const struct fixture *fixture);
uint64_t fixture_dropped(const hyperderp_counters *counters);

/* Waits until a condition on the counters holds; fails the test when it never does. */
void fixture_wait(const struct fixture *fixture,
                  bool (*holds)(const hyperderp_counters *, uint64_t), uint64_t value);

/* Conditions for fixture_wait(). */
bool counters_connections_are(const hyperderp_counters *counters, uint64_t value);
bool counters_peers_are(const hyperderp_counters *counters, uint64_t value);
bool counters_received_are(const hyperderp_counters *counters, uint64_t value);
bool counters_at_rest(const hyperderp_counters *counters,
                      uint64_t value); /* received, all settled */

/* A client that has joined. receive_buffer is its SO_RCVBUF, 0: the kernel's. Joined means that the
 * relay finds it by its key, too. */
struct client_socket *fixture_join(const struct fixture *fixture, int receive_buffer);
struct client_socket *fixture_join_as(const struct fixture *fixture,
                                      const hyperderp_private_key *private_key);

/* A connected blocking socket that has sent nothing. */
int fixture_connect(const struct fixture *fixture);

/* A request with Derp-Fast-Start and the ClientInfo behind it, ready to be sent. */
size_t fixture_fast_request(const struct fixture *fixture, struct client *client, uint8_t *out,
                            size_t room);

/* Writes a SendPacket frame; returns its size. */
size_t fixture_packet(uint8_t *out, const hyperderp_key *to, const void *packet, size_t len);

/* The next message, which must come and be of this type. */
struct client_message fixture_expect(struct client_socket *client, enum client_message_type type);

/* Reads until the relay closes: 0 for an orderly end, else the errno. Fails when it does not. */
int fixture_read_end(int fd);

int64_t fixture_now_ms(void);

#endif
