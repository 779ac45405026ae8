/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file client.h
 * A client of DERP relays, in two layers.
 *
 * hyperderp_client has no socket: bytes of the relay go in, messages and bytes for the relay come
 * out, TLS included. Any event loop can drive it. hyperderp_connection is a socket around one, for
 * programs that poll() or that just wait.
 *
 * Neither connects again by itself: when a connection ends, an error and its words tell why, and
 * the program decides whether and when to begin another. A relay that restarts says so beforehand,
 * with times (HYPERDERP_MESSAGE_RESTARTING). Relays send HYPERDERP_MESSAGE_KEEP_ALIVE about once a
 * minute: when for two minutes there is no message, the path is dead. The socket of a
 * hyperderp_connection is told by the system sooner: when what was sent is not acknowledged for 30
 * seconds, or nothing came for 60 and then three probes were not answered.
 *
 * Threads: one client or connection is used by one thread at a time; different ones have nothing in
 * common. No thread is created.
 */
#ifndef HYPERDERP_CLIENT_H
#define HYPERDERP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/key.h>
#include <hyperderp/packet.h>
#include <hyperderp/tls.h>
#include <hyperderp/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A client without a socket. Opaque. */
typedef struct hyperderp_client hyperderp_client;

/** A client with its socket. Opaque. */
typedef struct hyperderp_connection hyperderp_connection;

/** Bytes that a Ping and its Pong carry. */
#define HYPERDERP_PING_SIZE 8

/** The most that hyperderp_client_input() takes at once. */
#define HYPERDERP_CLIENT_MAX_INPUT 65536

/** By what a client knows its relay. */
typedef enum hyperderp_client_security {
    HYPERDERP_CLIENT_TLS = 0,     /**< TLS; a certificate of trusted issuers, for the right name */
    HYPERDERP_CLIENT_TLS_PIN = 1, /**< TLS; the certificate with this hash, for the right name */
    HYPERDERP_CLIENT_PLAIN = 2    /**< nothing: no TLS */
} hyperderp_client_security;

/** Settings of a client. Set up by hyperderp_client_options_init(), then changed where needed. All
 * that pointers lead to is copied, but for `fault`. */
typedef struct hyperderp_client_options {
    size_t
        size; /**< bytes of this struct in the header you compiled with; set by the initialiser */

    hyperderp_private_key private_key; /**< who the client is; all zero: a new key is made */

    /** The relay's host for the HTTP request, with the port if it is not the usual one:
     * "derp.example.com". NULL with a connection: its address. */
    const char *host;

    hyperderp_client_security security; /**< HYPERDERP_CLIENT_TLS by default */
    /** The name or IP address that the certificate must be for; NULL: that of `host`. */
    const char *server_name;
    /** Issuers to trust, PEM text, instead of the system's; NULL: the system's. */
    const char *ca_pem;
    /** For HYPERDERP_CLIENT_TLS_PIN: "sha256-raw:" and the SHA-256 of the relay's certificate in
     * hexadecimal, as a DERPMap has it in CertName. */
    const char *pin;

    /** The relay's own key: another relay is refused. All zero: any. */
    hyperderp_key server_key;

    /**
     * Saves a round trip: the client introduces itself before the relay has answered. To that end
     * it must know the relay's key, by `server_key` or, over TLS, by the relay's certificates.
     */
    bool fast_start;

    /** The secret of the relay's region, which makes this client a mesh partner
     * (hyperderp_client_watch()). All zero: none. With HYPERDERP_CLIENT_PLAIN it needs
     * `server_key`, or whoever answers would be told the secret. */
    uint8_t mesh_key[HYPERDERP_MESH_KEY_SIZE];

    const char
        *app_name; /**< what the client calls itself, at most 64 bytes count; NULL: nothing */
    /** The client answers each HYPERDERP_MESSAGE_PING by hyperderp_client_pong(). */
    bool can_ack_pings;
    bool is_prober; /**< the client is a monitoring tool */

    /** Bytes that may wait to be sent, from 131,072 to 1 GiB; 0: 262,144. */
    size_t max_output;

    /** Receives why making a client, or opening a connection, failed, in words, "" when it did not
     * or when there is nothing to say but what the error says: HYPERDERP_FAULT_SIZE bytes. Options
     * whose `size` is wrong leave it alone. NULL: not wanted. */
    char *fault;
} hyperderp_client_options;

/** What a relay says. Other values may be added. */
typedef enum hyperderp_message_type {
    HYPERDERP_MESSAGE_SERVER_INFO = 0,  /**< the relay has let the client in: rate, burst */
    HYPERDERP_MESSAGE_PACKET = 1,       /**< a packet: peer is the sender; payload */
    HYPERDERP_MESSAGE_PEER_GONE = 2,    /**< peer is not at this relay: reason */
    HYPERDERP_MESSAGE_PEER_PRESENT = 3, /**< to who watches: peer, ip, port, flags */
    HYPERDERP_MESSAGE_PING = 4,         /**< payload is to be sent back as a Pong */
    HYPERDERP_MESSAGE_PONG = 5,         /**< payload is that of a Ping of ours */
    HYPERDERP_MESSAGE_KEEP_ALIVE = 6,   /**< the relay is still there */
    HYPERDERP_MESSAGE_HEALTH = 7,     /**< payload is a text about a problem of this connection, not
                                         terminated and not to be trusted; empty: it is over */
    HYPERDERP_MESSAGE_RESTARTING = 8, /**< the relay will close: reconnect_in_ms, try_for_ms */
    HYPERDERP_MESSAGE_OTHER = 9       /**< a frame that this version does not know: frame_type */
} hyperderp_message_type;

/** A message of the relay. It belongs to the client, and is valid until the next call for that
 * client or connection. Fields that its type does not name are zero. */
typedef struct hyperderp_message {
    size_t size;                 /**< bytes of this struct in the running library */
    hyperderp_message_type type; /**< which of the fields below have a meaning */
    uint8_t frame_type;          /**< the type that the frame has in the protocol */
    uint8_t flags;          /**< of a peer: 1 regular, 2 mesh, 4 prober, 8 prefers another relay */
    uint16_t port;          /**< of a peer's address */
    uint8_t ip[16];         /**< of a peer's address; IPv4 as ::ffff:a.b.c.d */
    hyperderp_key peer;     /**< whom it is about */
    const uint8_t *payload; /**< `len` bytes */
    size_t len;             /**< bytes of the payload */
    unsigned reason;        /**< hyperderp_gone_reason, or another number */
    uint32_t reconnect_in_ms; /**< wait so long before the first try */
    uint32_t try_for_ms;      /**< and expect the relay back within so long */
    uint64_t rate;  /**< bytes a second that the relay asks the client to keep to; 0: no limit */
    uint64_t burst; /**< bytes that may be sent at once before that counts */
} hyperderp_message;

/**
 * Fills options with the defaults. Call it through the macro hyperderp_client_options_init().
 *
 * @param options  the struct.
 * @param size     its size as the caller was compiled.
 */
HYPERDERP_API void hyperderp_client_options_init_sized(hyperderp_client_options *options,
                                                       size_t size);
/** Fills client options with the defaults. */
#define hyperderp_client_options_init(options)                                                     \
    hyperderp_client_options_init_sized((options), sizeof(hyperderp_client_options))

/**
 * Makes a client, whose first bytes for the relay are then ready (hyperderp_client_output()).
 *
 * @param out      receives the client, which the caller frees; NULL on error.
 * @param options  settings, copied.
 * @return 0; -EINVAL for NULL, or options that cannot be, options->fault tells which; -E2BIG for
 *         options that this library does not know; -ENOMEM; -EIO
 *         without random bytes.
 */
HYPERDERP_API int hyperderp_client_new(hyperderp_client **out,
                                       const hyperderp_client_options *options);

/**
 * Wipes and frees a client. NULL is allowed.
 *
 * @param client  the client, which must not be that of a connection.
 */
HYPERDERP_API void hyperderp_client_free(hyperderp_client *client);

/**
 * Takes bytes that the relay has sent. Then hyperderp_client_next() until it has no more messages,
 * and then send what hyperderp_client_output() has: answers of the handshake, for example.
 *
 * @param client  the client.
 * @param bytes   what came, as it came; copied.
 * @param len     its length, at most HYPERDERP_CLIENT_MAX_INPUT; 0: the relay has closed the
 *                connection, and `bytes` may be NULL.
 * @return 0; -ENOBUFS when messages must be taken first, then nothing was taken: never after
 *         hyperderp_client_next() has returned -EAGAIN; -EINVAL for NULL or a longer len; -ENOMEM;
 *         or as hyperderp_client_next() when the connection has ended.
 */
HYPERDERP_API int hyperderp_client_input(hyperderp_client *client, const void *bytes, size_t len);

/**
 * The next message.
 *
 * @param client   the client.
 * @param message  receives it; NULL when there is none.
 * @return 0; -EAGAIN when more bytes of the relay are needed; -EINVAL for NULL; -ENOMEM. Or the
 *         connection has ended, which all further calls tell as well, and hyperderp_client_fault()
 *         says why: -EPIPE, the relay has closed it; -ECONNREFUSED, it has answered the request
 * with an error; -ECONNABORTED, it has sent an alert of TLS; -EPROTO, TLS failed (the certificate
 *         is not accepted, for example) or the relay broke the protocol; -ENOKEY, its certificates
 *         do not tell its key, which fast start needs; -EIO.
 */
HYPERDERP_API int hyperderp_client_next(hyperderp_client *client,
                                        const hyperderp_message **message);

/**
 * The bytes that are to be sent to the relay. There may be some, an alert, even when the connection
 * has ended.
 *
 * @param client  the client.
 * @param bytes   receives them, valid until the next call for this client.
 * @param len     receives their number, 0 when there are none.
 * @return 0; -EINVAL for NULL.
 */
HYPERDERP_API int hyperderp_client_output(hyperderp_client *client, const void **bytes,
                                          size_t *len);

/**
 * Says that the first bytes of hyperderp_client_output() have been sent.
 *
 * @param client  the client.
 * @param len     how many.
 * @return 0; -EINVAL for NULL or more than there are.
 */
HYPERDERP_API int hyperderp_client_consumed(hyperderp_client *client, size_t len);

/**
 * Sends a packet.
 *
 * @param client  the client.
 * @param to      the peer.
 * @param packet  the packet; copied.
 * @param len     its length, at most HYPERDERP_MAX_PACKET.
 * @return 0; -EAGAIN as long as the client has not introduced itself, which it has at the latest
 *         when HYPERDERP_MESSAGE_SERVER_INFO comes; -ENOBUFS when options.max_output bytes wait to
 *         be sent; -EMSGSIZE for a longer packet; -EINVAL for NULL; -ENOMEM; -EPIPE behind
 *         hyperderp_client_finish(); or as hyperderp_client_next() when the connection has ended.
 *         With any of these nothing was sent.
 */
HYPERDERP_API int hyperderp_client_send(hyperderp_client *client, const hyperderp_key *to,
                                        const void *packet, size_t len);

/**
 * Sends a Ping, which the relay answers by HYPERDERP_MESSAGE_PONG with the same bytes.
 *
 * @param client  the client.
 * @param data    HYPERDERP_PING_SIZE bytes.
 * @return as hyperderp_client_send().
 */
HYPERDERP_API int hyperderp_client_ping(hyperderp_client *client,
                                        const uint8_t data[HYPERDERP_PING_SIZE]);

/**
 * Answers a HYPERDERP_MESSAGE_PING.
 *
 * @param client  the client.
 * @param data    the message's payload, HYPERDERP_PING_SIZE bytes.
 * @return as hyperderp_client_send().
 */
HYPERDERP_API int hyperderp_client_pong(hyperderp_client *client,
                                        const uint8_t data[HYPERDERP_PING_SIZE]);

/**
 * Asks to be told which peers are connected to the relay, now (HYPERDERP_MESSAGE_PEER_PRESENT for
 * each) and from now on. Needs options.mesh_key to be the relay's, which otherwise closes.
 *
 * @param client  the client.
 * @return as hyperderp_client_send(); -EPERM without options.mesh_key.
 */
HYPERDERP_API int hyperderp_client_watch(hyperderp_client *client);

/**
 * Tells the relay whether it is this client's home, the one where others look for it first.
 *
 * @param client     the client.
 * @param preferred  it is.
 * @return as hyperderp_client_send().
 */
HYPERDERP_API int hyperderp_client_note_preferred(hyperderp_client *client, bool preferred);

/**
 * Says the last words of TLS (close_notify): behind them nothing can be sent. Without TLS there are
 * none.
 *
 * @param client  the client.
 * @return as hyperderp_client_send().
 */
HYPERDERP_API int hyperderp_client_finish(hyperderp_client *client);

/**
 * The key that the client goes by, such as others send to.
 *
 * @param client  the client.
 * @param key     receives it.
 * @return 0; -EINVAL for NULL.
 */
HYPERDERP_API int hyperderp_client_key(const hyperderp_client *client, hyperderp_key *key);

/**
 * The relay's key.
 *
 * @param client  the client.
 * @param key     receives it.
 * @return 0; -EAGAIN when the relay has not told it yet; -EINVAL for NULL.
 */
HYPERDERP_API int hyperderp_client_relay_key(const hyperderp_client *client, hyperderp_key *key);

/**
 * Why the connection has ended, in words for people.
 *
 * @param client  the client.
 * @return the words, valid until the client is freed; "" when it has not ended, or for NULL.
 */
HYPERDERP_API const char *hyperderp_client_fault(const hyperderp_client *client);

/**
 * Connects to a relay, and returns when that has let the client in.
 *
 * @param out         receives the connection, for hyperderp_connection_close(); NULL on error.
 * @param address     "HOST:PORT" or "[IPV6]:PORT".
 * @param options     settings, copied.
 * @param timeout_ms  bounds the whole call, but for the look-up of a name, which the system's
 *                    resolver bounds; negative: no bound. Of a name with several addresses
 *                    each has an equal part of what is left for connecting, but at least a second
 *                    of it.
 * @return 0; -EINVAL for NULL, for an address of another form, or for options that cannot be;
 *         -ENOENT for a name that does not resolve; -ETIMEDOUT; -ENOMEM; what socket() or connect()
 *         said, such as -ECONNREFUSED; or as hyperderp_client_next(). options->fault tells more.
 */
HYPERDERP_API int hyperderp_connection_open(hyperderp_connection **out, const char *address,
                                            const hyperderp_client_options *options,
                                            int timeout_ms);

/**
 * Begins to connect to a relay, without waiting but for the look-up of a name, which is the system
 * resolver's; an IP address needs none. Then, in turn: poll() for hyperderp_connection_events() of
 * hyperderp_connection_fd(), hyperderp_connection_process(), and hyperderp_connection_recv() with
 * timeout 0 until it returns -EAGAIN. The first message is HYPERDERP_MESSAGE_SERVER_INFO. How long
 * that may take is for the caller to bound.
 *
 * @param out      receives the connection, for hyperderp_connection_close(); NULL on error.
 * @param address  as for hyperderp_connection_open().
 * @param options  settings, copied.
 * @return as hyperderp_connection_open(), as far as the beginning goes.
 */
HYPERDERP_API int hyperderp_connection_begin(hyperderp_connection **out, const char *address,
                                             const hyperderp_client_options *options);

/**
 * The socket, for poll() and the like; do nothing else with it. As long as nothing has come from
 * the relay, hyperderp_connection_process(), and _recv(), may put another one, for another address
 * of the name, in its place: with another number, so that comparing it with the last one tells. The
 * one before is closed by then, and gone from an epoll set.
 *
 * @param connection  the connection.
 * @return its number; -EINVAL for NULL; -ENOTCONN when there is none any more.
 */
HYPERDERP_API int hyperderp_connection_fd(const hyperderp_connection *connection);

/**
 * What to poll() for now.
 *
 * @param connection  the connection.
 * @return POLLIN, POLLOUT, both, or 0: then hyperderp_connection_recv() has messages to be taken,
 * or tells how the connection has ended.
 */
HYPERDERP_API int hyperderp_connection_events(const hyperderp_connection *connection);

/**
 * Does what can be done without waiting: goes on connecting, sends what waits, receives once.
 *
 * @param connection  the connection.
 * @return 0, also when messages that came before the end are still to be taken; or how the
 *         connection has ended, as hyperderp_connection_recv(); -EINVAL for NULL.
 */
HYPERDERP_API int hyperderp_connection_process(hyperderp_connection *connection);

/**
 * Sends a packet.
 *
 * @param connection  the connection.
 * @param to          the peer.
 * @param packet      the packet; copied.
 * @param len         its length, at most HYPERDERP_MAX_PACKET.
 * @param timeout_ms  how long to wait until the system has taken all of it; negative: without
 * bound; 0: not at all. What the system has not taken by then goes with later calls for this
 * connection.
 * @return 0; -EAGAIN, at once, as long as the socket is not connected, which
 *         hyperderp_connection_process() and _recv() bring about, or the client has not introduced
 *         itself; -ETIMEDOUT when for so long there was no room to let the packet wait in, -ENOBUFS
 *         when there is none with timeout 0; all else as hyperderp_client_send(), or what send()
 * said. With any of these the packet is not sent, or not whole.
 */
HYPERDERP_API int hyperderp_connection_send(hyperderp_connection *connection,
                                            const hyperderp_key *to, const void *packet, size_t len,
                                            int timeout_ms);

/**
 * The next message.
 *
 * @param connection  the connection.
 * @param message     receives it; NULL when there is none.
 * @param timeout_ms  how long to wait for it; negative: without bound; 0: not at all. Then the
 *                    socket is read once, unless hyperderp_connection_process() has done so since
 *                    the last -EAGAIN: the messages until -EAGAIN come to an end however much the
 *                    relay sends, and poll() tells, by level and not by edge, that there is more.
 * @return 0; -EAGAIN when there is none with timeout 0; -ETIMEDOUT when none came; -EINVAL for
 * NULL; -ENOMEM. Or the connection has ended, hyperderp_connection_fault() says why: what connect()
 * or recv() said, such as -ECONNRESET, and as hyperderp_client_next().
 */
HYPERDERP_API int hyperderp_connection_recv(hyperderp_connection *connection,
                                            const hyperderp_message **message, int timeout_ms);

/**
 * Why the connection has ended, in words for people.
 *
 * @param connection  the connection.
 * @return the words, valid until the connection is closed; "" when it has not ended, or for NULL.
 */
HYPERDERP_API const char *hyperderp_connection_fault(const hyperderp_connection *connection);

/**
 * The client of a connection, for all that it can send besides packets and for the keys. What is
 * sent that way goes out with the next call of hyperderp_connection_process(), _send() or _recv().
 * Its input and output are the connection's affair.
 *
 * @param connection  the connection.
 * @return the client, which belongs to the connection; NULL for NULL.
 */
HYPERDERP_API hyperderp_client *hyperderp_connection_client(hyperderp_connection *connection);

/**
 * Closes a connection and frees it; of TLS with close_notify, if the socket takes that at once.
 * NULL is allowed.
 *
 * @param connection  the connection.
 */
HYPERDERP_API void hyperderp_connection_close(hyperderp_connection *connection);

#ifdef __cplusplus
}
#endif

#endif
