/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A relay inside the test program, and clients for it: whole ones, and sockets for raw bytes. A
 * case that runs on TLS too needs nothing of its own for that: fixture_start() makes a TLS
 * listener, and all that joins or connects speaks it.
 */
#ifndef TESTS_UNIT_RELAY_FIXTURE_H
#define TESTS_UNIT_RELAY_FIXTURE_H

#include <hyperderp/client.h>
#include <hyperderp/counters.h>

#include "client/client_socket.h"

/* How long anything may take before a test fails; nothing waits that long when all is well. Under
 * valgrind, of which the environment's VALGRIND tells, all takes longer. */
#define FIXTURE_PATIENCE_MS fixture_patience_ms()
uint16_t fixture_patience_ms(void);

struct fixture {
    hyperderp_relay *relay;
    hyperderp_key key;
    char address[128];
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

/* The same with a listener as these options have it, but for TLS, which is the case's. */
void fixture_start_listener(struct fixture *fixture, const hyperderp_relay_options *options,
                            const hyperderp_listener_options *listener);

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
struct client_socket *fixture_join_with(const struct fixture *fixture,
                                        const hyperderp_private_key *private_key,
                                        const struct client_info *info);

/* The same over a connected socket that has said what comes first; it takes that over. info may be
 * NULL. */
struct client_socket *fixture_join_over(const struct fixture *fixture, int fd,
                                        const struct client_info *info);

/* For a public client (hyperderp/client.h) of this relay, which knows it by its certificate's hash.
 */
hyperderp_client_options fixture_client_options(const struct fixture *fixture);

/* A connected blocking socket that has sent nothing, but what TLS needs. Closed by
 * fixture_hang_up(). */
int fixture_connect(const struct fixture *fixture);
void fixture_hang_up(int fd);

/* The same, and TLS needs to be none. */
int fixture_connect_bare(const struct fixture *fixture);

/* A bare connection from another address of the loopback, over IPv4. */
int fixture_connect_from(const struct fixture *fixture, const char *source);

/* A request with Derp-Fast-Start and the ClientInfo behind it, ready to be sent. */
size_t fixture_fast_request(const struct fixture *fixture, struct client *client, uint8_t *out,
                            size_t room);

/* Writes a SendPacket frame; returns its size. */
size_t fixture_packet(uint8_t *out, const hyperderp_key *to, const void *packet, size_t len);

/* The next message, which must come and be of this type. */
struct client_message fixture_expect(struct client_socket *client, enum client_message_type type);

/* Receives exactly so many bytes. */
void fixture_receive(int fd, void *out, size_t len);

/* Reads until the relay closes: 0 for an orderly end, else the errno. Fails when it does not. */
int fixture_read_end(int fd);

int64_t fixture_now_ms(void);

/* A place in the matrix. */
struct fixture_cell {
    hyperderp_engine engine;
    bool tls;
};
extern struct fixture_cell fixture_uring, fixture_epoll, fixture_uring_tls, fixture_epoll_tls;

/* clang-format off */
/* Entries for the list of tests: a case on each engine, which it learns by fixture_engine(); in the
 * clear, over TLS, or both. */
#define FIXTURE_ON_BOTH(function)                                                                  \
    {#function " [io_uring]", function, NULL, NULL, &fixture_uring},                               \
    {#function " [epoll]", function, NULL, NULL, &fixture_epoll}
#define FIXTURE_ON_TLS(function)                                                                   \
    {#function " [io_uring, TLS]", function, NULL, NULL, &fixture_uring_tls},                      \
    {#function " [epoll, TLS]", function, NULL, NULL, &fixture_epoll_tls}
#define FIXTURE_ON_ALL(function) FIXTURE_ON_BOTH(function), FIXTURE_ON_TLS(function)
/* clang-format on */

/* The engine of the case; skips it where that does not work. From now on what the fixture makes
 * speaks TLS or not, as the case wants. */
hyperderp_engine fixture_engine(void **state);

/* Who makes the records of TLS listeners; a test may set it. */
extern hyperderp_offload fixture_offload;

/* Whether the case is one over TLS. */
bool fixture_is_tls(void);

/* The certificate of the fixture's TLS listeners, one for the whole program. */
hyperderp_certificate *fixture_certificate(void);

/* A request that a client without fast start sends. */
#define FIXTURE_REQUEST                                                                            \
    "GET /derp HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: DERP\r\n\r\n"

void fixture_send(int fd, const void *bytes, size_t len);
void fixture_send_text(int fd, const char *text);
#define FIXTURE_SEND_LITERAL(fd, text)                                                             \
    fixture_send(fd, text, sizeof(text) - 1) /* with NULs in it */

/* Fills a buffer with a packet that counts as disco. */
uint8_t *fixture_disco(uint8_t out[100]);

/* Sends a text from one to the other, who must receive it next. */
void fixture_pass(struct client_socket *from, struct client_socket *to, const char *text);

/* Nothing comes for as long as it takes the relay to answer a Ping. */
void fixture_expect_nothing(struct client_socket *client);

/* Reads frames from a raw socket, byte by byte, until one of this type; they must be well formed.
 */
void fixture_read_until(int fd, struct client *client, enum client_message_type type);

#endif
