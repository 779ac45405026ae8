/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file relay.h
 * A DERP relay inside your program.
 *
 * Life of a relay: hyperderp_relay_new(), hyperderp_relay_add_listener() for each address,
 * hyperderp_relay_start(), later hyperderp_relay_drain() and hyperderp_relay_free(). A program that
 * has an event loop may run the workers in it: hyperderp_relay_start_driven().
 *
 * @par Threads
 * Functions are safe to call from any thread unless their comment says otherwise; making one relay,
 * adding listeners to it, starting and freeing it must not overlap anything else that is done with
 * it, except that a relay inside hyperderp_relay_run() is drained or stopped by other threads. The
 * library installs no signal handlers, prints nothing, and creates only the threads that
 * hyperderp_relay_start() announces. What holds for all of it, errors and misuse, sizes of structs,
 * fork(), is in hyperderp.h.
 *
 * Callbacks run on the worker threads, whose stack has 256 KiB, or inside
 * hyperderp_relay_dispatch(), and must not block: a worker that waits serves nobody. They may call
 * what takes no lock: hyperderp_admission_answer(), hyperderp_admission_deny(),
 * hyperderp_local_peer_send() (but in peer_changed() and peer_event()), hyperderp_relay_wake(),
 * hyperderp_relay_set_log_level(), hyperderp_relay_drain() with a timeout of 0, the functions of
 * key.h, and what counters.h and this header tell of a relay, but for hyperderp_relay_peers() and
 * hyperderp_relay_peer(). Everything else that is called with their own relay answers -EBUSY, or
 * does nothing and logs an error. That holds for each callback, also where the log's is called by a
 * thread of yours.
 */
#ifndef HYPERDERP_RELAY_H
#define HYPERDERP_RELAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hyperderp/key.h>
#include <hyperderp/tls.h>
#include <hyperderp/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A relay: its listeners, workers, peers and counters. Opaque. */
typedef struct hyperderp_relay hyperderp_relay;

/** A question to admit() that has not been answered yet. Opaque; see hyperderp_admission_answer()
 * and hyperderp_admission_deny(). */
typedef struct hyperderp_admission hyperderp_admission;

/** Bytes that are left of the reason given to hyperderp_admission_deny(), without a NUL. */
#define HYPERDERP_MAX_DENY_REASON 200

/** How a relay talks to the kernel. */
typedef enum hyperderp_engine {
    HYPERDERP_ENGINE_AUTO = 0, /**< io_uring where it works, else epoll; the log says which */
    /** io_uring (Linux 6.1 or newer), or an error: many container runtimes forbid it */
    HYPERDERP_ENGINE_IO_URING = 1,
    HYPERDERP_ENGINE_EPOLL = 2 /**< epoll, on any Linux */
} hyperderp_engine;

/** Who seals and opens the records of TLS. */
typedef enum hyperderp_offload {
    HYPERDERP_OFFLOAD_AUTO = 0,  /**< what is faster here, which is USER for now; never an error */
    HYPERDERP_OFFLOAD_USER = 1,  /**< the relay's workers */
    HYPERDERP_OFFLOAD_KERNEL = 2 /**< the kernel (kTLS, the module "tls"), or an error */
} hyperderp_offload;

/** How much a log line matters, most first. */
typedef enum hyperderp_log_level {
    HYPERDERP_LOG_ERROR = 0, /**< something failed that an operator must see to */
    HYPERDERP_LOG_WARN = 1,  /**< the relay goes on, with less than was asked for */
    HYPERDERP_LOG_INFO = 2,  /**< start, stop, and what was chosen */
    HYPERDERP_LOG_DEBUG = 3  /**< each connection that comes and goes */
} hyperderp_log_level;

/**
 * An answer to the question whether a client may join. Any unknown value denies.
 *
 * Nothing is read from a client while its answer is awaited, so that one that leaves is noticed
 * only then, and the time of the handshake (`handshake_timeout_ms`) goes on: a client whose answer
 * comes too late is closed, and counted in `handshakes_timed_out`.
 *
 * @par Example
 * An admission that asks a database on a thread of its own:
 * @code
 * static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
 *                                hyperderp_admission *ticket)
 * {
 *     if (!queue_push(user, &client->key, ticket)) // copies the key
 *         return HYPERDERP_DENY;
 *     return HYPERDERP_LATER;
 * }
 *
 * // On the other thread.
 * while (queue_pop(queue, &key, &ticket))
 *     hyperderp_admission_answer(ticket, database_has(&key) ? HYPERDERP_ALLOW : HYPERDERP_DENY);
 * @endcode
 */
typedef enum hyperderp_verdict {
    /** close its connection; the 0 that a callback gives which fails in another language */
    HYPERDERP_DENY = 0,
    HYPERDERP_ALLOW = 1, /**< let the client in */
    /** hyperderp_admission_answer() or hyperderp_admission_deny() will tell, from any thread, or
     * has told already */
    HYPERDERP_LATER = 2
} hyperderp_verdict;

/** A client that has proved that it holds its key. Valid during the callback it is given to. */
typedef struct hyperderp_client_info {
    size_t size;         /**< bytes of this struct in the running library */
    hyperderp_key key;   /**< its node key */
    const char *address; /**< "192.0.2.1:4242" or "[2001:db8::1]:4242", as the kernel, or a
                            trusted proxy, gave it; "unix" over a socket of the file system;
                            "unknown" when the connection has broken already */
    /** what it calls itself, "" when it does not: its own word, with question marks for control
     * characters */
    const char *app_name;
    bool can_ack_pings; /**< it answers Ping frames of the relay */
    bool is_prober;     /**< it is a monitoring client */
} hyperderp_client_info;

/** What has become of a key. More may follow: ignore what you do not know. */
typedef enum hyperderp_peer_event_type {
    HYPERDERP_PEER_UP = 0,    /**< its first connection has joined; the event describes that one */
    HYPERDERP_PEER_DOWN = 1,  /**< its last connection has left; the event describes that one */
    HYPERDERP_PEER_MOVED = 2, /**< packets for it go to another connection of it from now on, as its
                                 client has roamed for one; the event describes that one */
    /** none of its connections gets packets any more, as several clients use the key and take turns
     * in sending; the event describes one of them. MOVED follows when one gets them again. */
    HYPERDERP_PEER_MUTED = 3
} hyperderp_peer_event_type;
/** Number of event types in this header. */
#define HYPERDERP_PEER_EVENTS 4

/** Something has become of a key, and what is known of one of its connections. Valid during the
 * callback it is given to. */
typedef struct hyperderp_peer_event {
    size_t size;                    /**< bytes of this struct in the running library */
    hyperderp_peer_event_type type; /**< what */
    hyperderp_key key;              /**< the node key */
    const char *address;            /**< as in hyperderp_client_info */
    const char *app_name;           /**< as in hyperderp_client_info */
    bool can_ack_pings;             /**< it answers Ping frames of the relay */
    bool is_prober;                 /**< it is a monitoring client */
    bool mesh;                      /**< it is a mesh partner: it has shown the region's mesh key */
    bool websocket;                 /**< it speaks DERP in WebSocket messages */
    unsigned worker;                /**< the worker that owns the connection */

    /**
     * @name Figures
     * With DOWN, of all connections that the key has had since UP; 0 with the others. What a local
     * peer has sent and is still on its way is not among them. What was
     * received is final; packets that the kernel takes at this very moment, or that are dropped as
     * they waited when their connection left, are in the counters of the relay alone.
     */
    /**@{*/
    uint64_t connected_ms;      /**< since UP, in milliseconds */
    uint64_t packets_received;  /**< that it sent to others */
    uint64_t bytes_received;    /**< bytes of those packets' frames, as in hyperderp_peer_info */
    uint64_t packets_delivered; /**< that the kernel took whole for it */
    uint64_t bytes_delivered;   /**< bytes that the kernel took for it, as in hyperderp_peer_info */
    uint64_t drops;             /**< packets for it that were dropped */
    /**@}*/
} hyperderp_peer_event;

/** Settings of a relay. Set up by hyperderp_relay_options_init(), then changed where needed. */
typedef struct hyperderp_relay_options {
    size_t
        size; /**< bytes of this struct in the header you compiled with; set by the initialiser */

    /** The relay's identity; all zero: a new one is made. The relay wipes its copy when it is
     * freed; the caller's is the caller's to wipe. */
    hyperderp_private_key private_key;
    /** Threads that move packets, at most 128; 0: one for each core that the calling thread may
     * use. Of a relay that is driven: how many there are to be dispatched. */
    unsigned workers;
    hyperderp_engine engine; /**< HYPERDERP_ENGINE_AUTO by default */

    /**
     * @name Limits
     * Zero means the default, which is given behind each. Times are at most a day (86,400,000 ms).
     */
    /**@{*/
    /** Connections at once; those beyond are closed as soon as they are accepted. As many as the
     * limit of open files leaves room for: the soft limit less 32 and 4 for each worker, or that
     * sum itself where the limit is not more than twice as high. */
    unsigned max_connections;
    /** Packets of data waiting for one destination: when there is one more, a sender that has at
     * least its share of them loses its oldest; 1024. */
    unsigned queue_frames;
    /** Bytes waiting for one destination, at least 131,072 and below 2 GiB; 2 MiB, room for the
     * 32 packets of 64 KiB that derper keeps. Disco packets go first, and get at most an eighth of
     * it. */
    size_t queue_bytes;
    /** Bytes of all frames that wait or are half received, at least 131,072; 256 MiB. */
    size_t memory_bytes;
    /** From accept to the end of the handshake, the time that admit() takes included; 10,000 ms. */
    unsigned handshake_timeout_ms;
    /** Between two KeepAlive frames, up to a tenth more at random; 60,000 ms. */
    unsigned keepalive_ms;
    /** A destination that takes nothing for so long is closed, and so is a client that has not sent
     * the rest of a frame within twice this time; 15,000 ms. */
    unsigned write_timeout_ms;
    /**@}*/

    /** Passed to each callback as it is. */
    void *user;

    /**
     * Decides whether a client may join; NULL lets everyone in. `ticket` is needed only for the
     * answer HYPERDERP_LATER: it then belongs to the callee until hyperderp_admission_answer() or
     * hyperderp_admission_deny(). Both may be called before this returns, by this thread too: to
     * deny with a reason is to call hyperderp_admission_deny() here and to return HYPERDERP_LATER.
     */
    hyperderp_verdict (*admit)(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket);

    /**
     * A key has its first connection (up), or lost its last one (not up). The calls for one key
     * come in this order, also when its connections belong to several workers: to that end other
     * look-ups of keys may wait until the callback returns, which therefore must not send for a
     * local peer. For one of these it is called by the thread that adds or removes it. May be NULL.
     * See peer_event.
     */
    void (*peer_changed)(void *user, const hyperderp_key *peer, bool up);

    /**
     * Takes a line of the log: printable text of less than 512 bytes without a line feed, valid
     * during the call. May be NULL. Called by the workers, several of them at the same moment, and
     * by the thread that is inside another function of this library.
     *
     * @code
     * static void log_line(void *user, hyperderp_log_level level, const char *line)
     * {
     *     static const int priority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};
     *     (void)user;
     *     syslog(priority[level], "%s", line);
     * }
     * @endcode
     */
    void (*log)(void *user, hyperderp_log_level level, const char *line);

    /** Lines above this level are not made at all; HYPERDERP_LOG_INFO by default. See
     * hyperderp_relay_set_log_level(). */
    hyperderp_log_level log_level;

    /**
     * Keeps each worker that hyperderp_relay_start() starts on one core: worker n on the nth of
     * `pin_cores`, over again when there are fewer, or, with pin_core_count 0, on the nth of the
     * cores that the process may use.
     */
    bool pin_workers;
    const unsigned *pin_cores; /**< the cores; copied */
    unsigned pin_core_count;   /**< entries of pin_cores */

    /** With io_uring, a kernel thread for each worker polls for its requests (IORING_SETUP_SQPOLL):
     * it saves system calls and takes a core. Other engines ignore it. */
    bool sqpoll;

    /** Bytes of each accepted socket's kernel buffers, each way (SO_SNDBUF, SO_RCVBUF), at most
     * 1 GiB; 0: as the kernel sizes them. */
    unsigned socket_buffer;

    /**
     * @name Limits on clients
     * Zero means that there is no limit.
     */
    /**@{*/
    /** New connections per second, at most 1,000,000; those beyond are closed at once. */
    unsigned accept_rate;
    /** New connections that may come at once before accept_rate counts, at most 1,000,000; as many
     * as a second's. */
    unsigned accept_burst;
    /** Connections at once from one IPv4 address, or from one IPv6 network of 64 bits; those beyond
     * are closed at once. Connections without an IP address are not counted. */
    unsigned connections_per_ip;
    /** Bytes per second that a client may send, from 1024 to 100 GiB: of the DERP stream, with the
     * heads of its frames, without what TLS adds. Who sends faster is read more slowly; nothing is
     * dropped for it. Clients are told when they join; those of Tailscale then drop by themselves
     * what they would send beyond. */
    uint64_t client_rate;
    /** Bytes that a client may send at once before client_rate counts, at most 100 GiB; as many as
     * a second's. It is never less than the largest frame (65,573 bytes), nor than an eighth of a
     * second's. */
    uint64_t client_burst;
    /**@}*/

    /**
     * The secret that the nodes of a region share (derper's mesh key). A client that brings it is a
     * mesh partner: it may watch who is connected, close peers and forward packets, and admit() is
     * not asked about it. A client that does one of these without having shown it is closed. All
     * zero: nobody may. The relay wipes its copy when it is freed.
     */
    uint8_t mesh_key[HYPERDERP_MESH_KEY_SIZE];

    /** The page that a browser gets at /: "default" or NULL, a short text; "blank"; or a URL,
     * http:// or https://, to send it to, of at most 2048 bytes. Copied. */
    const char *home;

    /** A packet that has waited for so long for its destination is dropped, at most a day; 0: no
     * limit. The initialiser sets 2,000 ms: what is older has been sent anew, or is of no use. */
    unsigned queue_time_ms;

    /**
     * Something has become of a key: peer_changed with more to say, and called behind it where both
     * are set. What comes for one key comes in order, one after the other, also when its
     * connections belong to several workers: UP, then MOVED and MUTED as they happen, then DOWN;
     * every UP is followed by a DOWN, at the latest when the relay stops, or is freed where the
     * key is a local peer's: these are told of by the thread that adds or removes them. Calls for
     * different keys may come at the same moment. While it runs other look-ups of keys may wait, so
     * that it should do little: put what it is told into a queue of yours. May be NULL.
     */
    void (*peer_event)(void *user, const hyperderp_peer_event *event);

    /**
     * The relay has ended, by a drain or a stop: every connection is closed, the counters are
     * exact, and no other callback is called any more but log, and what the removal of local
     * peers calls. Called once for each relay that has
     * started, as the last act of the worker that ends last, on its thread, which is the caller's
     * own inside hyperderp_relay_run() and hyperderp_relay_dispatch(). hyperderp_relay_run(),
     * hyperderp_relay_drain() and hyperderp_relay_stop() return only when it has returned, but for
     * a stop of a relay that is driven, which does not wait for other threads' workers: so it
     * must not wait for them, nor free the relay, but tell somebody who does. It may call
     * hyperderp_relay_counters(), hyperderp_relay_worker() and what every callback may. Not called
     * when a start has failed. May be NULL.
     */
    void (*drained)(void *user);
} hyperderp_relay_options;

/** What may be changed while the relay runs: the fields of hyperderp_relay_options with the same
 * names, 0 again meaning the default, or no limit. Set `size` before the call. */
typedef struct hyperderp_limits {
    size_t size;                   /**< bytes of this struct in the header you compiled with */
    unsigned max_connections;      /**< as in hyperderp_relay_options */
    unsigned queue_frames;         /**< as in hyperderp_relay_options */
    size_t queue_bytes;            /**< as in hyperderp_relay_options */
    size_t memory_bytes;           /**< as in hyperderp_relay_options */
    unsigned handshake_timeout_ms; /**< as in hyperderp_relay_options */
    unsigned keepalive_ms;         /**< as in hyperderp_relay_options */
    unsigned write_timeout_ms;     /**< as in hyperderp_relay_options */
    unsigned accept_rate;          /**< as in hyperderp_relay_options */
    unsigned accept_burst;         /**< as in hyperderp_relay_options */
    unsigned connections_per_ip;   /**< as in hyperderp_relay_options */
    uint64_t client_rate;          /**< as in hyperderp_relay_options */
    uint64_t client_burst;         /**< as in hyperderp_relay_options */
    unsigned queue_time_ms;        /**< as in hyperderp_relay_options */
} hyperderp_limits;

/** Settings of a listener. Set up by hyperderp_listener_options_init(). */
typedef struct hyperderp_listener_options {
    size_t
        size; /**< bytes of this struct in the header you compiled with; set by the initialiser */

    /**
     * Where to listen: "HOST:PORT", "[IPV6]:PORT", ":PORT" for every IPv6 and IPv4 address, or
     * "unix:PATH". HOST is a numeric address or a name that resolves to one. Port 0 lets the kernel
     * choose; see hyperderp_relay_listener_address(). PATH is absolute, of at most 107 bytes; its
     * file is made with the mode 0660, whatever the umask, and removed when the relay stops
     * accepting; a socket that nobody listens on any more is replaced, anything else is left alone.
     * NULL when `fd` is given, or the "unix:PATH" of that socket, whose file is
     * then removed in the same way.
     */
    const char *address;

    /**
     * A listening stream socket of yours instead of `address`, or -1. Owned by the relay once
     * hyperderp_relay_add_listener() has succeeded, which sets O_NONBLOCK, FD_CLOEXEC,
     * and TCP_NODELAY, TCP_NOTSENT_LOWAT and TCP_USER_TIMEOUT, which accepted sockets inherit.
     */
    int fd;

    /** Connections the kernel holds until they are accepted, within net.core.somaxconn; 0: 4096. Of
     * no meaning for `fd`. */
    int backlog;

    /**
     * The certificate by which clients that speak TLS 1.3 know the relay; NULL: clients speak in
     * the clear. The relay takes a reference of its own. See hyperderp_relay_set_certificate().
     */
    hyperderp_certificate *certificate;

    /**
     * Chooses another certificate by the name that a client asks for (SNI), or returns NULL for
     * `certificate`, which must stand in any case. The callee gives a reference away
     * (hyperderp_certificate_ref()). Called on a worker thread with options.user of the relay, and
     * may besides what callbacks may call the functions of tls.h. NULL: nothing is chosen.
     */
    hyperderp_certificate *(*choose_certificate)(void *user, const char *name);

    hyperderp_offload offload; /**< HYPERDERP_OFFLOAD_AUTO by default */

    /**
     * Each connection begins with a header of the PROXY protocol, version 1 or 2, in front of TLS
     * and all else: by it a load balancer tells the client's address, which from then on is the
     * connection's own. Connections from elsewhere than trusted_proxies are closed at once, and so
     * is one of theirs without a good header.
     */
    bool proxy_protocol;

    /**
     * The networks that such headers may come from: "10.0.0.0/8", "2001:db8::/32", or an address;
     * the array and its texts are copied. At least one with proxy_protocol, none without. Over a
     * socket of the file system there may be none: whoever can connect is trusted.
     */
    const char *const *trusted_proxies;
    unsigned trusted_proxy_count; /**< entries of trusted_proxies */

    /** The file of a "unix:PATH" stays when the relay stops accepting: for a socket that is kept
     * elsewhere and listens on. */
    bool keep_file;
} hyperderp_listener_options;

/**
 * Fills options with the defaults. Call it through the macro hyperderp_relay_options_init().
 *
 * @param options  the struct.
 * @param size     its size as the caller was compiled.
 */
HYPERDERP_API void hyperderp_relay_options_init_sized(hyperderp_relay_options *options,
                                                      size_t size);
/** Fills relay options with the defaults. */
#define hyperderp_relay_options_init(options)                                                      \
    hyperderp_relay_options_init_sized((options), sizeof(hyperderp_relay_options))

/**
 * Fills listener options with the defaults. Call it through the macro
 * hyperderp_listener_options_init().
 *
 * @param options  the struct.
 * @param size     its size as the caller was compiled.
 */
HYPERDERP_API void hyperderp_listener_options_init_sized(hyperderp_listener_options *options,
                                                         size_t size);
/** Fills listener options with the defaults. */
#define hyperderp_listener_options_init(options)                                                   \
    hyperderp_listener_options_init_sized((options), sizeof(hyperderp_listener_options))

/**
 * Makes a relay. It opens no socket and starts no thread yet, but takes memory and up to three file
 * descriptors for each worker.
 *
 * @param out      receives the relay, which the caller frees; NULL on error.
 * @param options  settings, copied; NULL for the defaults.
 * @return 0; -EINVAL for a value out of range; -E2BIG for options that this library does not know;
 *         -ENOMEM; -EMFILE or -ENFILE when there are no file descriptors for the workers' engines;
 * -EIO without random bytes; -ENOSYS when options ask for io_uring and the kernel lacks or forbids
 * it (options->log got the reason).
 */
HYPERDERP_API int hyperderp_relay_new(hyperderp_relay **out,
                                      const hyperderp_relay_options *options);

/**
 * Opens a listener. Its clients speak HTTP and DERP over TLS 1.3, or without a certificate in the
 * clear. The kernel takes connections into the backlog from now on; they are accepted when the
 * relay starts. Looking a name up may take as long as the system's resolver does.
 *
 * @param relay    a relay that has not been started.
 * @param options  the address or the socket; copied.
 * @return the listener's number, 0 for the first; -EINVAL for an address or socket of the wrong
 *         form, for both or none of them, or for trusted proxies that are none; -E2BIG for options
 * that this library does not know; -EBUSY after the start, and from a callback; -ENOSPC when there
 * are 64 already; -ENOENT for a name that does not resolve; -EOPNOTSUPP when the kernel shall seal
 * records and cannot; -EEXIST for a path where something else than a socket is; -ENOMEM; or the
 * -errno of socket(), bind() or listen(), such as -EADDRINUSE, -EACCES. The log gets a line that
 * says what failed and on what address.
 *
 * @par Example
 * A listener on a port of the kernel's choice:
 * @code
 * hyperderp_listener_options options;
 * char address[64];
 *
 * hyperderp_listener_options_init(&options);
 * options.address = "127.0.0.1:0";
 * int listener = hyperderp_relay_add_listener(relay, &options);
 * if (listener < 0)
 *     return listener;
 * hyperderp_relay_listener_address(relay, listener, address, sizeof(address));
 * @endcode
 */
HYPERDERP_API int hyperderp_relay_add_listener(hyperderp_relay *relay,
                                               const hyperderp_listener_options *options);

/**
 * Changes the certificate of a listener, or of all that have one. Connections that are there stay
 * as they are; handshakes that have begun end with the old one.
 *
 * @param relay        the relay, at any time of its life.
 * @param listener     the number that hyperderp_relay_add_listener() returned; -1: every listener
 *                     with a certificate.
 * @param certificate  the new one; the relay takes a reference of its own.
 * @return 0; -EINVAL for a number that is not a listener's, a listener without TLS, or a
 *         certificate that OpenSSL does not take (the log has the reason); -EBUSY from a
 *         callback; -ENOMEM. On error
 * nothing has changed.
 */
HYPERDERP_API int hyperderp_relay_set_certificate(hyperderp_relay *relay, int listener,
                                                  hyperderp_certificate *certificate);

/**
 * Tells the address a listener is bound to, with the port that the kernel chose.
 *
 * @param relay     the relay.
 * @param listener  the number that hyperderp_relay_add_listener() returned.
 * @param text      receives "192.0.2.1:3340", "[::]:443" or "unix:/run/x.sock", with a NUL;
 * "unknown" for a socket of yours that is of another kind.
 * @param room      bytes there; 128 are always enough, 64 for addresses of IP.
 * @return 0; -EINVAL for a number that is not a listener's; -ENOSPC when the text does not fit.
 */
HYPERDERP_API int hyperderp_relay_listener_address(const hyperderp_relay *relay, int listener,
                                                   char *text, size_t room);

/**
 * @name STUN beside a relay
 * Clients learn by STUN how the world sees their own address, and how far the relay is; 3478 is the
 * port where they look for it.
 */
/**@{*/

/**
 * Answers STUN (RFC 8489) on a UDP address: binding requests, by which clients learn their own
 * address and how far the relay is. Whatever else comes is ignored and counted. While the relay
 * does not run, nobody is answered; a drain closes the socket.
 *
 * A request may carry a FINGERPRINT, which then must be right, and any attribute of RFC 8489; none
 * but XOR-MAPPED-ADDRESS is in an answer, which has 32 bytes for IPv4 and 44 for IPv6. A request
 * with an attribute that must be understood and is not is ignored. A worker answers some dozens in
 * a turn of its loop, without waiting; what comes faster the kernel drops.
 *
 * @param relay    a relay that has not been started.
 * @param address  "HOST:PORT", "[IPV6]:PORT", or ":PORT" for every IPv6 and IPv4 address; port 0
 *                 lets the kernel choose. An answer leaves from the address that was asked.
 * @return the number of the socket, 0 for the first; -EINVAL for an address of the wrong form;
 *         -EBUSY after the start; -ENOSPC when there are 8 already; -ENOENT for a name that does
 *         not resolve; -ENOMEM; or the -errno of socket() or bind(), such as -EADDRINUSE. The log
 *         gets a line that says what failed and on what address.
 */
HYPERDERP_API int hyperderp_relay_add_stun(hyperderp_relay *relay, const char *address);

/**
 * Tells the address that STUN is answered on, with the port that the kernel chose.
 *
 * @param relay  the relay.
 * @param stun   the number that hyperderp_relay_add_stun() returned.
 * @param text   receives "192.0.2.1:3478" or "[::]:3478", with a NUL.
 * @param room   bytes there; 64 are always enough.
 * @return 0; -EINVAL for a number that is not a socket's; -ENOSPC when the text does not fit.
 */
HYPERDERP_API int hyperderp_relay_stun_address(const hyperderp_relay *relay, int stun, char *text,
                                               size_t room);

/**
 * Answers STUN on a UDP socket of yours, which is bound already; otherwise as
 * hyperderp_relay_add_stun().
 *
 * @param relay  a relay that has not been started.
 * @param fd     the socket; the relay's once this has succeeded, which sets FD_CLOEXEC.
 * @return the number of the socket; -EINVAL for what is no UDP socket; and as
 *         hyperderp_relay_add_stun().
 */
HYPERDERP_API int hyperderp_relay_add_stun_fd(hyperderp_relay *relay, int fd);

/**@}*/

/**
 * @name Another descriptor of a relay's sockets
 * A relay can be exchanged for another one, of another process as well, without a connection being
 * refused: the sockets on which it listens are given to that one, by `fd` of its listeners and
 * hyperderp_relay_add_stun_fd(). It should have the same private key. hyperderp_relay_hand_over()
 * comes next.
 */
/**@{*/

/**
 * Gives another file descriptor of a listener's socket. By it the socket outlives the relay: who
 * holds it can give it to another relay, in another process perhaps, and connections that come in
 * between wait in it.
 *
 * @param relay     a relay that has not been started.
 * @param listener  the number that hyperderp_relay_add_listener() returned.
 * @return the file descriptor, which the caller closes; -EINVAL for another number; -EBUSY after
 *         the start; -EMFILE.
 */
HYPERDERP_API int hyperderp_relay_listener_fd(const hyperderp_relay *relay, int listener);

/**
 * Gives another file descriptor of a socket of STUN.
 *
 * @param relay  a relay that has not been started.
 * @param stun   the number that hyperderp_relay_add_stun() returned.
 * @return as hyperderp_relay_listener_fd().
 */
HYPERDERP_API int hyperderp_relay_stun_fd(const hyperderp_relay *relay, int stun);

/**@}*/

/**
 * Starts the workers, each a thread of its own with all signals blocked, and returns. From now on
 * the listeners accept. The signal mask of the caller stays as it is. When starting has failed, but
 * for -EINVAL and -EBUSY, the relay can only be freed.
 *
 * @return 0; -EINVAL without a listener; -EBUSY when the relay was started before, and from a
 * callback; -ENOMEM or -EAGAIN when a thread or its memory cannot be had; or the -errno that the
 * engine said to a worker. When starting has failed, but for -EINVAL and -EBUSY, no worker is left
 * running, and the relay can only be freed.
 */
HYPERDERP_API int hyperderp_relay_start(hyperderp_relay *relay);

/**
 * Runs a relay: starts all workers but one, runs that one on the calling thread, whose signal mask
 * and stack are left alone, and returns when the relay has been drained or stopped by another
 * thread. That thread must know that the relay has been started: hyperderp_relay_stop() does
 * nothing before that, and this would then not return; hyperderp_relay_drain(), which fails with
 * -EINVAL before that, can be called until it does not.
 *
 * @return as hyperderp_relay_start(); 0 after a drain or a stop by another thread.
 *
 * @par Example
 * Ending a relay in order, but within five seconds, by another thread:
 * @code
 * if (hyperderp_relay_drain(relay, 5000) == -ETIMEDOUT)
 *     hyperderp_relay_stop(relay);
 * @endcode
 */
HYPERDERP_API int hyperderp_relay_run(hyperderp_relay *relay);

/**
 * Starts the relay without any thread: its workers run on threads of the caller, in event loops of
 * his. For each worker the caller waits, by poll(), epoll or the like, until
 * hyperderp_relay_worker_fd() is readable, and then calls hyperderp_relay_dispatch():
 *
 * @code
 * hyperderp_relay_start_driven(relay);
 * struct pollfd worker = {.fd = hyperderp_relay_worker_fd(relay, 0), .events = POLLIN};
 * do
 *     poll(&worker, 1, -1);
 * while (hyperderp_relay_dispatch(relay, 0) > 0);
 * @endcode
 *
 * The thread that dispatches a worker first is its thread from then on: io_uring asks for that.
 * Several workers may share one thread, or each have its own. All must be dispatched: they accept
 * for each other, and what one of them does not do, as to end, keeps the others waiting. A callback
 * runs inside hyperderp_relay_dispatch(), with the stack and the signal mask of that thread. A
 * thread of its own is made only to resolve the name of another node (mesh.h). What
 * hyperderp_worker_info tells as CPU time is that of the worker's whole thread, and pin_workers is
 * ignored.
 *
 * hyperderp_relay_drain(), hyperderp_relay_stop() and hyperderp_relay_free() say what they do with
 * such a relay; everything else is as ever.
 *
 * @param relay  a relay with a listener that has not been started.
 * @return 0; -EINVAL for NULL or without a listener; -EBUSY when the relay was started before, in
 *         whatever way, and from a callback; -EMFILE, -ENFILE or -ENOMEM when the file descriptors
 * of a worker, three or four, cannot be had: then the relay has not been started, and may be yet.
 */
HYPERDERP_API int hyperderp_relay_start_driven(hyperderp_relay *relay);

/**
 * Tells the file descriptor of a worker of a relay that is driven. It is readable, for as long as
 * that is so (level-triggered), when the worker wants to be dispatched: sockets have something for
 * it, a deadline has come, another thread gave it something to do, or there is more left of what it
 * did. At first it is readable, and for ever once the worker has ended. It may be waited for in
 * more than one place, but nothing else may be done with it: not to be read, not to be closed. It
 * is the relay's, until hyperderp_relay_free(); who has a duplicate of it in an epoll set takes
 * that out himself.
 *
 * @param relay   a relay that was started by hyperderp_relay_start_driven().
 * @param worker  which one: from 0, below the number of workers (hyperderp_counters.workers).
 * @return the file descriptor; -EINVAL when there is no such worker, or the relay is not driven.
 */
HYPERDERP_API int hyperderp_relay_worker_fd(const hyperderp_relay *relay, unsigned worker);

/**
 * Gives a worker its turn: takes what has come for it, sends what is to be sent, sees to deadlines.
 * It never waits. What it does is bounded, to some hundred events, so that whatever else the
 * caller's loop serves gets its turn as well; what is left makes the file descriptor readable
 * again. To call it while that is not readable does no harm.
 *
 * @param relay   a relay that was started by hyperderp_relay_start_driven().
 * @param worker  which one, as for hyperderp_relay_worker_fd().
 * @return 1 when the worker goes on; 0 when it has ended, as the relay has been drained or stopped,
 *         which any thread may find, and as often as it asks; -EINVAL when there is no such worker,
 *         or the relay is not driven; -EBUSY when another thread has dispatched this worker before,
 *         or when the caller is a callback; or the -errno of the kernel's interface, which has
 *         failed, and the log says how: a worker that could not begin so has ended, and the relay
 *         stops; otherwise it may be tried again, and only a stop or the end of the relay ends
 * that.
 */
HYPERDERP_API int hyperderp_relay_dispatch(hyperderp_relay *relay, unsigned worker);

/**
 * Ends a relay in order: stops accepting, tells each client with a Restarting frame that it shall
 * come back, within two seconds and each at a time of its own, sends what is queued, closes each
 * connection, and waits until that is done: once the client has acknowledged it, or after 3
 * seconds. A handshake that is under way gets a quarter of a second. May be called again after
 * -ETIMEDOUT to wait longer: the drain goes on meanwhile.
 *
 * Of a relay that is driven, it goes on as its workers are dispatched, until
 * hyperderp_relay_dispatch() has returned 0 for each. While the call waits, it dispatches the
 * workers of the calling thread itself; those of other threads are theirs. In a loop of its own the
 * caller gives 0 for the time and goes on as before, with a timer for when it has taken too long.
 *
 * @param relay       a running relay.
 * @param timeout_ms  how long to wait; 0 only begins the drain, or asks whether it is done.
 * @return 0 when no connection is left, also when the relay had ended before; -ETIMEDOUT while some
 *         are; -EINVAL before the start; -EBUSY from a callback that would wait: then nothing is
 *         begun.
 *
 * @par Example
 * Ending a relay in order, but within five seconds:
 * @code
 * if (hyperderp_relay_drain(relay, 5000) == -ETIMEDOUT)
 *     hyperderp_relay_stop(relay);
 * hyperderp_relay_counters(relay, &counters);
 * hyperderp_relay_free(relay);
 * @endcode
 */
HYPERDERP_API int hyperderp_relay_drain(hyperderp_relay *relay, unsigned timeout_ms);

/**
 * Leaves the clients to another relay that accepts on the same sockets already. Accepts nobody any
 * more, leaves files of "unix:PATH" where they are, and sends each client away at a moment of its
 * own, at random: as a drain does, but told to come back at once. Everything else goes on
 * meanwhile; clients whose handshake has begun get in. Returns at once; hyperderp_relay_drain()
 * ends it, when the counters say that no connection is left but the mesh's links, which stay until
 * then, or when it has taken long enough.
 *
 * Two clients of which one has been sent away and the other not cannot reach each other: that is
 * why few clients take little time.
 *
 * Before the start it means that the relay will not be: its listeners are others', and
 * hyperderp_relay_free() leaves their files.
 *
 * @param relay      a relay that runs, or is not started; one that has gone further is left as it
 *                   is.
 * @param spread_ms  within which all are sent away, at most 60,000; fewer clients take less, a
 *                   millisecond each.
 * @return 0; -EINVAL for a longer time; -EBUSY from a callback.
 */
HYPERDERP_API int hyperderp_relay_hand_over(hyperderp_relay *relay, unsigned spread_ms);

/**
 * Closes every connection at once, ends the workers and waits for them; hyperderp_relay_run()
 * returns. A relay that was stopped before is left as it is, and so is one that was not started:
 * a stop that comes before the start is lost. What is queued is lost, and counted. Several threads
 * may call it at once, and after a drain that takes too long. The counters can still be read
 * afterwards, and are exact. From a callback of the relay, whose worker it would wait for, it does
 * nothing and logs an error; hyperderp_relay_drain() with a timeout of 0 is what a callback may
 * begin.
 *
 * Of a relay that is driven, it runs the workers of the calling thread to their end, and those that
 * nobody has dispatched yet, but does not wait for the workers of other threads: these end within
 * the dispatches that they do next, for which their file descriptors become readable. A thread that
 * wants to wait for that calls hyperderp_relay_drain() behind it. What one of its own workers is
 * just sending to a client of theirs it does wait for: until that client takes it, their dispatch
 * has closed it, or its write timeout has passed.
 *
 * @param relay  the relay; NULL is allowed.
 */
HYPERDERP_API void hyperderp_relay_stop(hyperderp_relay *relay);

/**
 * Stops the relay if it runs and frees it with all it owns. NULL is allowed. No other thread may be
 * inside a function of this relay, and tickets of admit() must have been answered. From a callback
 * of the relay it does nothing and logs an error: the relay is still there then.
 *
 * Workers of a relay that is driven which have not ended are ended here, also those of other
 * threads, which must have left hyperderp_relay_dispatch() for good. With io_uring, whose rings
 * belong to their threads, what these had not sent yet is lost: in order it is a drain, or a stop
 * and a dispatch that returns 0, before this.
 *
 * @param relay  the relay; NULL is allowed.
 */
HYPERDERP_API void hyperderp_relay_free(hyperderp_relay *relay);

/**
 * Answers an admit() callback that said HYPERDERP_LATER, or is about to. Each ticket must be
 * answered exactly once, by this or by hyperderp_admission_deny(), also when its client has left
 * meanwhile, and before its relay is freed. Any thread may call it, callbacks too.
 *
 * @param ticket   the ticket; invalid after the call. NULL is ignored.
 * @param verdict  HYPERDERP_ALLOW; anything else denies, also what is no verdict, and the
 *                  connection is closed at once.
 */
HYPERDERP_API void hyperderp_admission_answer(hyperderp_admission *ticket,
                                              hyperderp_verdict verdict);

/**
 * Answers an admit() callback with a denial that says why. The reason goes into the log, at
 * HYPERDERP_LOG_INFO, and to the client, in a Health frame: Tailscale's clients show it to their
 * users, as a problem of this relay's region, until a relay of that region lets them in. Say in it
 * what its reader may know and can do.
 *
 * A client that has been told so takes the next try for its first one: it would come back within
 * some milliseconds of the connection's end, over and over. So that stays open for five seconds, in
 * the state HYPERDERP_CONNECTION_CLOSING, in which nothing of the client is read; not so in a relay
 * that drains, nor while more than half of max_connections are taken. handshakes_denied counts it
 * at once. Any thread may call this, callbacks too; otherwise as hyperderp_admission_answer().
 *
 * @param ticket  the ticket; invalid after the call. NULL is ignored.
 * @param reason  a text of UTF-8, copied. Of more than HYPERDERP_MAX_DENY_REASON bytes the rest is
 *                cut off; control characters, and bytes that are no UTF-8, become question marks.
 *                NULL or "": as hyperderp_admission_answer() with HYPERDERP_DENY.
 */
HYPERDERP_API void hyperderp_admission_deny(hyperderp_admission *ticket, const char *reason);

/**
 * Closes every connection of a key, as an access that was taken away asks for: whether the key may
 * come back is for admit() to say. The connections break at once, and their workers see to the rest
 * a moment later. A client that admit() has let in this moment may not be there yet; links to other
 * nodes of the region are no connections of a key, and neither is a local peer.
 *
 * Who takes access away therefore changes what admit() says first, then closes the clients, and
 * looks through the list of hyperderp_relay_peers() again a little later.
 *
 * @param relay  the relay.
 * @param key    the key.
 * @return 0; -ENOENT when the key has no connection here; -EINVAL for NULL; -EBUSY from a callback.
 */
HYPERDERP_API int hyperderp_relay_close_peer(hyperderp_relay *relay, const hyperderp_key *key);

/**
 * Changes the limits, all of them at once. They hold for what happens from now on: connections and
 * packets that are there already stay, a deadline that runs is kept.
 *
 * @param relay   the relay, at any time of its life.
 * @param limits  all of them at once.
 * @return 0; -EINVAL for a value out of range, -E2BIG for a limit that this library does not know,
 *         -EBUSY from a callback: then nothing is changed.
 */
HYPERDERP_API int hyperderp_relay_set_limits(hyperderp_relay *relay,
                                             const hyperderp_limits *limits);

/**
 * Tells the limits in use, defaults filled in: what hyperderp_relay_set_limits() takes, so that one
 * of them can be changed and the others left.
 *
 * @param relay   the relay, at any time of its life.
 * @param limits  its `size` is set by the caller; receives as much of the struct as that allows.
 * @return 0; -EINVAL for NULL, or a size that does not hold `size` itself.
 */
HYPERDERP_API int hyperderp_relay_limits(const hyperderp_relay *relay, hyperderp_limits *limits);

/**
 * Changes the level of the log.
 *
 * @param relay  the relay.
 * @param level  the last level that the log gets. A value out of range is ignored.
 */
HYPERDERP_API void hyperderp_relay_set_log_level(hyperderp_relay *relay, hyperderp_log_level level);

/**
 * Wakes every worker for a turn of its loop. One whose loop_turns (hyperderp_relay_worker()) has
 * not grown some time later is stuck: a watchdog's question. Costs each worker a few microseconds.
 */
HYPERDERP_API void hyperderp_relay_wake(hyperderp_relay *relay);

/**
 * Tells the relay's public key, by which clients know it; a key of zeros for a relay of NULL.
 *
 * @param relay  the relay.
 * @param out    receives the key.
 */
HYPERDERP_API void hyperderp_relay_public_key(const hyperderp_relay *relay, hyperderp_key *out);

/** Tells the engine in use: HYPERDERP_ENGINE_IO_URING or HYPERDERP_ENGINE_EPOLL, never AUTO but for
 * a relay of NULL. */
HYPERDERP_API hyperderp_engine hyperderp_relay_engine(const hyperderp_relay *relay);

/** Names an engine, "io_uring" for example; "unknown" for a value out of range. Static text. */
HYPERDERP_API const char *hyperderp_engine_name(hyperderp_engine engine);

/** Names an event of a key, "moved" for example; "unknown" for a value out of range. Static text,
 * which callbacks may ask for. */
HYPERDERP_API const char *hyperderp_peer_event_name(hyperderp_peer_event_type type);

#ifdef __cplusplus
}
#endif

#endif
