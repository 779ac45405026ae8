/* SPDX-License-Identifier: BSD-3-Clause */
/* Life of a link: tries, the connection, its end. */
#include "relay/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "memory/memory.h"
#include "relay/conn.h"
#include "relay/link_keys.h"
#include "relay/sink.h"
#include "relay/worker.h"
#include "tls/client_handshake.h"

#define NS_PER_MS 1000000

/* The first tries follow within a second, then one every five, as derper's: each a random part less
 * than that, so that nodes that start together do not stay in step. */
#define QUICK_TRIES   3
#define QUICK_WAIT_MS 1000
#define WAIT_MS       5000

/* A connection that lasted so long was a good one: the next tries are quick again. */
#define GOOD_NS 5000000000

/* This relay's own address may come to mean another node, some day. */
#define SELF_WAIT_MS 60000

/* Restarting may ask for no longer wait. */
#define MAX_ASKED_WAIT_MS 30000

/* A node is asked for a sign of life this often, and given up when nothing has come since the third
 * question: packets for its clients would otherwise vanish there. Questions are counted and not
 * seconds, so that a relay that stood still itself blames nobody. */
#define ASK_NS         5000000000
#define MAX_UNANSWERED 3

/* A message of a node that does not lie whole in what has come waits here. */
#define MAX_WAITING (FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET + IO_CHUNK_SIZE)

#define SMALL_FRAME 1024 /* room for what the link itself sends */

int link_new(struct link **out, struct worker *worker, const hyperderp_mesh_peer_options *options,
             char *fault)
{
    struct tls_client_options tls = {.verification = TLS_VERIFY_CHAIN,
                                     .ca_file = options->ca_file,
                                     .ca_pem = options->ca_pem,
                                     .with_system_roots = true};
    struct link *link = memory_calloc(1, sizeof(*link));
    int error = 0;

    *out = NULL;
    if (!link)
        return -ENOMEM;
    link->worker = worker;
    link->text = memory_strdup(options->address);
    if (!link->text) {
        error = -ENOMEM;
    } else if (link_address_parse(&link->address, options->address) != 0) {
        snprintf(fault, HYPERDERP_FAULT_SIZE, "expected HOST, HOST:PORT, HOST/DIALHOST or a URL");
        error = -EINVAL;
    } else if (link->address.tls) {
        error = tls_client_new(&link->tls, &tls, fault);
    }
    if (error) {
        link_free(link);
        return error;
    }
    atomic_init(&link->key_count, 0);
    *out = link;
    return 0;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    tls_client_free(link->tls);
    memory_free(link->input);
    memory_free(link->text);
    memory_free(link);
}

/* ---- What others see of it ---- */

static struct mesh *mesh_of(const struct link *link)
{
    return &link->worker->relay->mesh;
}

static void set_state(struct link *link, hyperderp_mesh_state state)
{
    pthread_mutex_lock(&mesh_of(link)->lock);
    link->state = state;
    link->since = link->worker->now;
    pthread_mutex_unlock(&mesh_of(link)->lock);
}

void link_note_fault(struct link *link, const char *fault)
{
    if (link->error[0])
        return;
    pthread_mutex_lock(&mesh_of(link)->lock);
    snprintf(link->error, sizeof(link->error), "%s", fault);
    pthread_mutex_unlock(&mesh_of(link)->lock);
}

static void forget_fault(struct link *link)
{
    pthread_mutex_lock(&mesh_of(link)->lock);
    link->error[0] = '\0';
    pthread_mutex_unlock(&mesh_of(link)->lock);
}

/* The same fault again and again is told once. */
static void log_fault(struct link *link)
{
    const struct log *log = &link->worker->relay->log;

    if (strcmp(link->logged, link->error) == 0)
        return;
    memcpy(link->logged, link->error, sizeof(link->logged));
    log_line(log, link->is_self ? HYPERDERP_LOG_INFO : HYPERDERP_LOG_WARN, "mesh with %s: %s%s",
             link->text, link->error, link->is_self ? "; it is let be" : "; it is tried again");
}

/* ---- Tries ---- */

static unsigned wait_ms(struct link *link)
{
    unsigned longest = link->tries <= QUICK_TRIES ? QUICK_WAIT_MS : WAIT_MS;
    unsigned part = longest / 2;
    unsigned wait = longest - (unsigned)(worker_random(link->worker) % part);

    if (link->is_self)
        return SELF_WAIT_MS;
    return wait < link->asked_to_wait_ms ? link->asked_to_wait_ms : wait;
}

/* Nothing more can be done for now. */
static void wait_for_next_try(struct link *link)
{
    link->tries++;
    pthread_mutex_lock(&mesh_of(link)->lock);
    link->failures += !link->is_self;
    pthread_mutex_unlock(&mesh_of(link)->lock);
    log_fault(link);
    set_state(link, link->is_self ? HYPERDERP_MESH_SELF : HYPERDERP_MESH_WAITING);
    timer_set(&link->worker->timers, &link->timer,
              link->worker->now + (int64_t)wait_ms(link) * NS_PER_MS);
    link->asked_to_wait_ms = 0;
}

/* A socket that has begun to connect, or -errno. */
static int dial(const struct sockaddr_storage *to)
{
    socklen_t size =
        to->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(to->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    listener_set_tcp_options(fd);
    if (connect(fd, (const struct sockaddr *)to, size) == 0 || errno == EINPROGRESS)
        return fd;
    int error = -errno;
    close(fd);
    return error;
}

/* Makes a connection of the socket. It counts as one, but is not refused for their number. */
static bool call(struct link *link, int fd, const struct endpoint *to)
{
    struct worker *worker = link->worker;

    atomic_fetch_add_explicit(&worker->relay->connections, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&worker->load, 1, memory_order_relaxed);
    link->conn = conn_call(worker, fd, to, link);
    if (link->conn) {
        if (!link->tls)
            link_speak(link->conn);
        return true;
    }
    atomic_fetch_sub_explicit(&worker->relay->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&worker->load, 1, memory_order_relaxed);
    close(fd);
    link_note_fault(link, strerror(ENOMEM));
    return false;
}

static void try_next_address(struct link *link)
{
    set_state(link, HYPERDERP_MESH_CONNECTING);
    while (link->next_address < link->found.count) {
        const struct sockaddr_storage *at = &link->found.addresses[link->next_address++];
        struct endpoint to = endpoint_read((const struct sockaddr *)at);
        forget_fault(link);
        int fd = dial(at);
        if (fd < 0) {
            link_note_fault(link, strerror(-fd));
        } else if (call(link, fd, &to)) {
            pthread_mutex_lock(&mesh_of(link)->lock);
            endpoint_format(&to, link->remote);
            pthread_mutex_unlock(&mesh_of(link)->lock);
            return;
        }
    }
    wait_for_next_try(link);
}

static void resolved(void *user, const struct resolve_answer *answer)
{
    struct link *link = user;

    link->resolution = NULL;
    link->found = *answer;
    link->next_address = 0;
    if (answer->error)
        link_note_fault(link, answer->error);
    try_next_address(link);
}

static void try_again(struct link *link)
{
    forget_fault(link);
    link->is_self = false;
    link->found.count = link->next_address = 0;
    set_state(link, HYPERDERP_MESH_RESOLVING);
    link->resolution =
        resolve(link->worker, link->address.dial, link->address.port, resolved, link);
    if (link->resolution)
        return;
    link_note_fault(link, strerror(EAGAIN));
    wait_for_next_try(link);
}

/* ---- Beginning and end ---- */

static void look_at_connection(struct link *link);

static void time_has_come(struct timer *timer)
{
    struct link *link = (struct link *)((char *)timer - offsetof(struct link, timer));

    if (link->conn)
        look_at_connection(link);
    else if (link->next_address < link->found.count)
        try_next_address(link);
    else
        try_again(link);
}

static void time_to_sweep(struct timer *timer)
{
    struct link *link = (struct link *)((char *)timer - offsetof(struct link, sweep));
    struct worker *worker = link->worker;

    if (link_keys_sweep(link)) {
        timer_set(&worker->timers, &link->sweep, worker->now + TIMER_TICK_NS);
        return;
    }
    if (!link->ending)
        return;
    struct link **at = &worker->links;
    while (*at != link)
        at = &(*at)->next_of_worker;
    *at = link->next_of_worker;
    link_free(link);
}

void link_begin(struct link *link)
{
    struct worker *worker = link->worker;

    link->timer.fire = time_has_come;
    link->sweep.fire = time_to_sweep;
    link->next_of_worker = worker->links;
    worker->links = link;
    if (worker->phase < RELAY_DRAINING)
        try_again(link);
}

/* Ends what is under way, and begins nothing new. */
static void let_go(struct link *link)
{
    struct worker *worker = link->worker;

    link->stopped = true;
    if (link->resolution)
        resolve_cancel(link->resolution);
    link->resolution = NULL;
    if (link->conn)
        conn_close(link->conn, CONN_END_STOPPED);
    timer_stop(&worker->timers, &link->timer);
}

void link_stop(struct link *link)
{
    struct worker *worker = link->worker;

    let_go(link);
    timer_stop(&worker->timers, &link->sweep);
    while (link_keys_sweep(link))
        ;
    set_state(link, HYPERDERP_MESH_WAITING);
}

void link_end(struct link *link)
{
    struct worker *worker = link->worker;

    let_go(link);
    link->ending = true;
    log_line(&worker->relay->log, HYPERDERP_LOG_INFO, "mesh with %s: removed", link->text);
    timer_set(&worker->timers, &link->sweep, worker->now);
}

/* ---- The connection ---- */

void link_speak(struct conn *conn)
{
    struct link *link = conn->link;
    struct hyperderp_relay *relay = conn->worker->relay;
    struct client_options options = {
        .private_key = relay->secrets->private_key,
        .host = link->address.authority,
        .info = {.version = DERP_PROTOCOL_VERSION, .can_ack_pings = true, .has_mesh_key = true}};
    uint8_t request[SMALL_FRAME];

    memcpy(options.info.mesh_key, relay->secrets->mesh_key, sizeof(options.info.mesh_key));
    int error = client_init(&link->client, &options);
    sodium_memzero(&options, sizeof(options));
    ssize_t size = error ? error : client_request(&link->client, request, sizeof(request));
    if (size < 0 || !conn_send_control(conn, request, (size_t)size))
        conn_close(conn, CONN_END_RESOURCES);
}

void link_lost(struct conn *conn)
{
    struct link *link = conn->link;
    struct worker *worker = conn->worker;

    if (link->sink) {
        counters_add(worker->counters, COUNTER_mesh_links, (uint64_t)-1);
        if (worker->now - link->opened >= GOOD_NS)
            link->tries = 0;
        link->next_address = link->found.count; /* the name is asked for anew */
    }
    pthread_mutex_lock(&mesh_of(link)->lock);
    struct sink *sink = link->sink;
    link->sink = NULL;
    link->remote[0] = '\0';
    pthread_mutex_unlock(&mesh_of(link)->lock);
    sink_unref(sink);
    client_wipe(&link->client);
    link->filled = 0;
    link_keys_leave(link);
    conn->link = NULL;
    link->conn = NULL;
    if (link->stopped)
        return;
    if (link->leaving)
        timer_set(&worker->timers, &link->sweep, worker->now);
    if (link->next_address < link->found.count && !link->is_self)
        timer_set(&worker->timers, &link->timer, worker->now);
    else
        wait_for_next_try(link);
}

/* Is called every ASK_NS while there is a connection; its handshake has a deadline of its own. */
static void look_at_connection(struct link *link)
{
    struct worker *worker = link->worker;
    uint8_t ping[FRAME_HEADER_SIZE + FRAME_PING_SIZE];
    uint64_t number = worker_random(worker);

    if (link->unanswered == MAX_UNANSWERED) {
        link_note_fault(link, "does not answer any more");
        conn_close(link->conn, CONN_END_TIMEOUT);
        return;
    }
    frame_header_encode(ping, FRAME_PING, FRAME_PING_SIZE);
    memcpy(ping + FRAME_HEADER_SIZE, &number, FRAME_PING_SIZE);
    (void)conn_send_control(link->conn, ping, sizeof(ping));
    link->unanswered++;
    timer_set(&worker->timers, &link->timer, worker->now + ASK_NS);
}

/* ---- What the other node says ---- */

static void send_info(struct conn *conn)
{
    struct link *link = conn->link;
    uint8_t frame[SMALL_FRAME];

    if (hyperderp_key_equal(&link->client.server_key, &conn->worker->relay->public_key)) {
        link->is_self = true;
        link_note_fault(link, "it is this relay itself");
        conn_close(conn, CONN_END_STOPPED);
        return;
    }
    ssize_t size = client_info_frame(&link->client, frame, sizeof(frame));
    if (size < 0 || !conn_send_control(conn, frame, (size_t)size))
        conn_close(conn, CONN_END_RESOURCES);
    else
        conn_set_state(conn, CONN_HELLO);
}

static void opened(struct conn *conn)
{
    struct link *link = conn->link;
    struct worker *worker = conn->worker;
    uint8_t watch[FRAME_HEADER_SIZE];

    frame_header_encode(watch, FRAME_WATCH_CONNS, 0);
    if (!conn_send_control(conn, watch, sizeof(watch))) {
        conn_close(conn, CONN_END_RESOURCES);
        return;
    }
    conn_set_state(conn, CONN_OPEN);
    timer_stop(&worker->timers, &conn->deadline);
    link->opened = worker->now;
    link->logged[0] = '\0';
    sink_ref(conn->sink);
    pthread_mutex_lock(&mesh_of(link)->lock);
    link->sink = conn->sink;
    link->key = link->client.server_key;
    link->connects++;
    pthread_mutex_unlock(&mesh_of(link)->lock);
    set_state(link, HYPERDERP_MESH_CONNECTED);
    counters_add(worker->counters, COUNTER_mesh_links, 1);
    timer_set(&worker->timers, &link->timer, worker->now + ASK_NS);
    log_line(&worker->relay->log, HYPERDERP_LOG_INFO, "mesh with %s: connected to %s", link->text,
             link->remote);
}

static void note_key(struct conn *conn, const hyperderp_key *key)
{
    int error = link_keys_add(conn->link, key);

    if (error == -ENOSPC)
        link_note_fault(conn->link, "tells of too many keys");
    if (error)
        conn_close(conn, error == -ENOMEM ? CONN_END_RESOURCES : CONN_END_PROTOCOL);
}

static void restarts(struct conn *conn, uint32_t reconnect_in_ms)
{
    struct link *link = conn->link;

    link->asked_to_wait_ms =
        reconnect_in_ms < MAX_ASKED_WAIT_MS ? reconnect_in_ms : MAX_ASKED_WAIT_MS;
    link_note_fault(link, "it restarts");
    conn_close(conn, CONN_END_BY_PEER);
}

static void act(struct conn *conn, const struct client_message *message)
{
    uint8_t pong[FRAME_PONG_SIZE];

    switch (message->type) {
    case CLIENT_MESSAGE_SEND_INFO:
        send_info(conn);
        break;
    case CLIENT_MESSAGE_SERVER_INFO:
        opened(conn);
        break;
    case CLIENT_MESSAGE_PEER_PRESENT:
        if (conn->state == CONN_OPEN)
            note_key(conn, &message->peer);
        break;
    case CLIENT_MESSAGE_PEER_GONE:
        link_keys_remove(conn->link, &message->peer);
        break;
    case CLIENT_MESSAGE_PING:
        (void)conn_send_control(conn, pong, frame_encode_pong(pong, message->payload));
        break;
    case CLIENT_MESSAGE_RESTARTING:
        restarts(conn, message->reconnect_in_ms);
        break;
    default:
        break; /* packets for this relay's own key among them: nobody is there to read them */
    }
}

/* Adds to what waits. */
static int append(struct link *link, const uint8_t *bytes, size_t len)
{
    size_t wanted = link->filled + len;

    if (wanted > MAX_WAITING)
        return -EMSGSIZE;
    if (wanted > link->room) {
        uint8_t *grown = memory_realloc(link->input, wanted);
        if (!grown)
            return -ENOMEM;
        link->input = grown;
        link->room = wanted;
    }
    memcpy(link->input + link->filled, bytes, len);
    link->filled = wanted;
    return 0;
}

static void fail(struct conn *conn, int error)
{
    if (error == -ECONNREFUSED)
        link_note_fault(conn->link, "answers the request for DERP with an error");
    else if (error != -ENOMEM)
        link_note_fault(conn->link, "does not keep to the protocol");
    conn_close(conn, error == -ENOMEM ? CONN_END_RESOURCES : CONN_END_PROTOCOL);
}

void link_input(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct link *link = conn->link;
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    size_t used = 0;
    ssize_t read;

    int error = append(link, bytes, len);
    if (error) {
        fail(conn, error);
        return;
    }
    link->unanswered = 0;
    do {
        read = client_read(&link->client, link->input + used, link->filled - used, &message);
        if (read < 0) {
            fail(conn, (int)read);
            return;
        }
        used += (size_t)read;
        act(conn, &message);
        if (!conn->link)
            return; /* it has ended */
    } while (read > 0);
    memmove(link->input, link->input + used, link->filled - used);
    link->filled -= used;
}
