/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay inside the test program, made through the public API. */
#include "relay_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Of the case that runs. */
static bool over_tls;

hyperderp_offload fixture_offload;

/* Where the kernel can do TLS, the same cases are run once more with it: FIXTURE_OFFLOAD=kernel,
 * and a pattern in FIXTURE_ONLY names the cases. */
__attribute__((constructor)) static void read_environment(void)
{
    const char *offload = getenv("FIXTURE_OFFLOAD"), *only = getenv("FIXTURE_ONLY");

    if (offload && strcmp(offload, "kernel") == 0)
        fixture_offload = HYPERDERP_OFFLOAD_KERNEL;
    if (only)
        cmocka_set_test_filter(only);
}

/* The TLS of sockets that tests use by their number. */
#define MAX_STREAMS 1024
static struct client_stream *streams[MAX_STREAMS];

bool fixture_is_tls(void)
{
    return over_tls;
}

hyperderp_certificate *fixture_certificate(void)
{
    static hyperderp_certificate *certificate;

    if (!certificate)
        assert_int_equal(hyperderp_certificate_make(&certificate, "127.0.0.1", 10), 0);
    return certificate;
}

/* What the clients trust: nothing but the hash of that certificate. */
static struct tls_client *trust(void)
{
    static struct tls_client *client;
    struct tls_client_options options = {.verification = TLS_VERIFY_PIN};
    char fault[HYPERDERP_FAULT_SIZE];

    assert_int_equal(hyperderp_certificate_hash(fixture_certificate(), options.pin), 0);
    if (!client)
        assert_int_equal(tls_client_new(&client, &options, fault), 0);
    return client;
}

int64_t fixture_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* What goes wrong in the relay belongs to what is said of a test that fails. */
static void print_line(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    (void)level;
    printf("relay: %s\n", line);
}

hyperderp_relay_options fixture_options(hyperderp_engine engine, unsigned workers)
{
    hyperderp_relay_options options;

    hyperderp_relay_options_init(&options);
    options.log = print_line;
    options.log_level = HYPERDERP_LOG_ERROR;
    options.engine = engine;
    options.workers = workers;
    return options;
}

bool fixture_has(hyperderp_engine engine)
{
    hyperderp_relay_options options = fixture_options(engine, 1);
    hyperderp_relay *relay;
    int error = hyperderp_relay_new(&relay, &options);

    hyperderp_relay_free(relay);
    if (error)
        printf("%s does not work here: %s\n", hyperderp_engine_name(engine), strerror(-error));
    return error == 0;
}

static int listening_socket(int send_buffer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    const int segment = 1400;

    assert_true(fd >= 0);
    if (send_buffer) {
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer)),
                         0);
        /* The loopback's segments of 64 KiB do not fit into small windows: TCP would wait for its
         * timers. */
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof(segment)), 0);
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 1024), 0);
    return fd;
}

uint16_t fixture_patience_ms(void)
{
    return getenv("VALGRIND") ? 60000 : 8000;
}

void fixture_start_listener(struct fixture *fixture, const hyperderp_relay_options *options,
                            const hyperderp_listener_options *wanted)
{
    hyperderp_listener_options listener = *wanted;

    *fixture = (struct fixture){.files = open_files() - (wanted->fd >= 0)};
    assert_int_equal(hyperderp_relay_new(&fixture->relay, options), 0);
    listener.certificate = over_tls ? fixture_certificate() : NULL;
    if (over_tls)
        listener.offload = fixture_offload;
    assert_int_equal(hyperderp_relay_add_listener(fixture->relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture->relay, 0, fixture->address,
                                                      sizeof(fixture->address)),
                     0);
    hyperderp_relay_public_key(fixture->relay, &fixture->key);
    assert_int_equal(hyperderp_relay_start(fixture->relay), 0);
}

void fixture_start(struct fixture *fixture, const hyperderp_relay_options *options, int send_buffer)
{
    hyperderp_listener_options listener;

    hyperderp_listener_options_init(&listener);
    listener.fd = listening_socket(send_buffer);
    fixture_start_listener(fixture, options, &listener);
}

hyperderp_counters fixture_counters(const struct fixture *fixture)
{
    hyperderp_counters counters = {.size = sizeof(counters)};

    hyperderp_relay_counters(fixture->relay, &counters);
    return counters;
}

uint64_t fixture_dropped(const hyperderp_counters *counters)
{
    uint64_t sum = 0;

    for (unsigned reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (unsigned kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            sum += counters->drops[reason][kind];
    return sum;
}

void fixture_stop(struct fixture *fixture)
{
    hyperderp_relay_stop(fixture->relay);
    hyperderp_counters counters = fixture_counters(fixture);
    assert_int_equal(counters.packets_received,
                     counters.packets_delivered + fixture_dropped(&counters));
    assert_int_equal(counters.queued_bytes, 0);
    assert_int_equal(counters.connections, 0);
    assert_int_equal(counters.peers_active, 0);
    assert_int_equal(counters.home_clients, 0);
    assert_int_equal(counters.tls_connections, 0);
    assert_int_equal(counters.tls_kernel_connections, 0);
    assert_int_equal(counters.tls_handshakes_active, 0);
    assert_int_equal(counters.websocket_connections, 0);
    hyperderp_relay_free(fixture->relay);
    fixture->relay = NULL;
    /* The kernel tears a ring down behind the program's back, but its file is gone at once; a
     * thread that asks the resolver for a link may be left behind for a moment: by this relay, or
     * by one before, whose file was counted at the start. */
    for (int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
         open_files() > fixture->files && fixture_now_ms() < until;)
        usleep(1000);
    assert_true(open_files() <= fixture->files);
}

void fixture_wait(const struct fixture *fixture,
                  bool (*holds)(const hyperderp_counters *, uint64_t), uint64_t value)
{
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    hyperderp_counters counters = fixture_counters(fixture);

    while (!holds(&counters, value)) {
        if (fixture_now_ms() > until)
            fail_msg("waited in vain for %llu: received %llu, delivered %llu, dropped %llu, "
                     "connections %llu, peers %llu, queued bytes %llu",
                     (unsigned long long)value, (unsigned long long)counters.packets_received,
                     (unsigned long long)counters.packets_delivered,
                     (unsigned long long)fixture_dropped(&counters),
                     (unsigned long long)counters.connections,
                     (unsigned long long)counters.peers_active,
                     (unsigned long long)counters.queued_bytes);
        usleep(1000);
        counters = fixture_counters(fixture);
    }
}

bool counters_connections_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->connections == value;
}

bool counters_peers_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->peers_active == value;
}

bool counters_received_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->packets_received == value;
}

bool counters_at_rest(const hyperderp_counters *counters, uint64_t value)
{
    return counters->packets_received == value &&
           counters->packets_delivered + fixture_dropped(counters) == value;
}

static bool handshakes_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_ok >= value;
}

static const struct client_info plain_info = {.version = DERP_PROTOCOL_VERSION};

/* fd -1: dials. */
static struct client_socket *join(const struct fixture *fixture, int fd,
                                  const hyperderp_private_key *private_key,
                                  const struct client_info *info)
{
    struct client_options options = {.private_key = *private_key, .info = *info};
    struct client_socket *client;
    uint64_t joined = fixture_counters(fixture).handshakes_ok;
    const struct client_tls_options tls = {.client = trust()}, *used = over_tls ? &tls : NULL;
    int error = fd < 0 ? client_socket_connect_tls(&client, fixture->address, &options, used,
                                                   FIXTURE_PATIENCE_MS)
                       : client_socket_connect_over(&client, fd, "127.0.0.1:0", &options, used,
                                                    FIXTURE_PATIENCE_MS);

    assert_int_equal(error, 0);
    fixture_wait(fixture, handshakes_are, joined + 1);
    return client;
}

struct client_socket *fixture_join_as(const struct fixture *fixture,
                                      const hyperderp_private_key *private_key)
{
    return join(fixture, -1, private_key, &plain_info);
}

struct client_socket *fixture_join_with(const struct fixture *fixture,
                                        const hyperderp_private_key *private_key,
                                        const struct client_info *info)
{
    return join(fixture, -1, private_key, info);
}

struct client_socket *fixture_join_over(const struct fixture *fixture, int fd,
                                        const struct client_info *info)
{
    hyperderp_private_key private_key;

    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    return join(fixture, fd, &private_key, info ? info : &plain_info);
}

struct client_socket *fixture_join(const struct fixture *fixture, int receive_buffer)
{
    hyperderp_private_key private_key;

    assert_int_equal(hyperderp_private_key_generate(&private_key), 0);
    struct client_socket *client = fixture_join_as(fixture, &private_key);
    if (receive_buffer)
        assert_int_equal(setsockopt(client_socket_fd(client), SOL_SOCKET, SO_RCVBUF,
                                    &receive_buffer, sizeof(receive_buffer)),
                         0);
    return client;
}

/* As a DERPMap has it. */
static const char *certificate_pin(void)
{
    static char pin[sizeof("sha256-raw:") + 2 * HYPERDERP_CERTIFICATE_HASH_SIZE] = "sha256-raw:";
    uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE];
    char *at = strchr(pin, ':') + 1;

    assert_int_equal(hyperderp_certificate_hash(fixture_certificate(), hash), 0);
    for (size_t i = 0; i < sizeof(hash); i++, at += 2)
        snprintf(at, 3, "%02x", hash[i]);
    return pin;
}

hyperderp_client_options fixture_client_options(const struct fixture *fixture)
{
    hyperderp_client_options options;

    hyperderp_client_options_init(&options);
    options.host = fixture->address;
    options.security = HYPERDERP_CLIENT_PLAIN;
    if (over_tls) {
        options.security = HYPERDERP_CLIENT_TLS_PIN;
        options.pin = certificate_pin();
    }
    return options;
}

static int connect_tls(const struct fixture *fixture)
{
    const struct client_tls_options tls = {.client = trust()};
    struct client_stream *stream = calloc(1, sizeof(*stream));

    assert_non_null(stream);
    stream->fd = -1;
    assert_int_equal(client_stream_connect(stream, fixture->address, &tls,
                                           fixture_now_ms() + FIXTURE_PATIENCE_MS),
                     0);
    assert_in_range(stream->fd, 0, MAX_STREAMS - 1);
    streams[stream->fd] = stream;
    return stream->fd;
}

/* The TLS of a socket, or NULL. */
static struct client_stream *stream_of(int fd)
{
    return fd >= 0 && fd < MAX_STREAMS ? streams[fd] : NULL;
}

void fixture_hang_up(int fd)
{
    struct client_stream *stream = stream_of(fd);

    if (!stream) {
        close(fd);
        return;
    }
    streams[fd] = NULL;
    client_stream_close(stream);
    free(stream);
}

/* Receives up to len bytes, at least one: their number, 0 at the end, or -errno. */
static ssize_t receive_some(int fd, void *out, size_t len)
{
    struct client_stream *stream = stream_of(fd);
    int error = 0;

    if (!stream) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&item, 1, FIXTURE_PATIENCE_MS), 1);
        ssize_t got = recv(fd, out, len, MSG_DONTWAIT);
        return got >= 0 ? got : -errno;
    }
    while (stream->channel.start == stream->channel.end && error == 0)
        error = client_stream_fill(stream, fixture_now_ms() + FIXTURE_PATIENCE_MS);
    assert_int_not_equal(error, -ETIMEDOUT);
    if (error)
        return error == -EPIPE ? 0 : error;
    if (len > stream->channel.end - stream->channel.start)
        len = stream->channel.end - stream->channel.start;
    memcpy(out, stream->channel.in + stream->channel.start, len);
    stream->channel.start += len;
    return (ssize_t)len;
}

void fixture_receive(int fd, void *out, size_t len)
{
    while (len > 0) {
        ssize_t got = receive_some(fd, out, len);
        assert_true(got > 0);
        out = (uint8_t *)out + got;
        len -= (size_t)got;
    }
}

int fixture_connect(const struct fixture *fixture)
{
    return over_tls ? connect_tls(fixture) : fixture_connect_bare(fixture);
}

int fixture_connect_from(const struct fixture *fixture, const char *source)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(inet_pton(AF_INET, source, &from.sin_addr), 1);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(strrchr(fixture->address, ':') + 1));
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

int fixture_connect_bare(const struct fixture *fixture)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((uint16_t)atoi(strrchr(fixture->address, ':') + 1));
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

size_t fixture_fast_request(const struct fixture *fixture, struct client *client, uint8_t *out,
                            size_t room)
{
    struct client_options options = {.host = "relay.example",
                                     .info = {.version = DERP_PROTOCOL_VERSION},
                                     .fast_start = true,
                                     .server_key = fixture->key};

    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(client_init(client, &options), 0);
    ssize_t size = client_request(client, out, room);
    assert_true(size > 0);
    return (size_t)size;
}

size_t fixture_packet(uint8_t *out, const hyperderp_key *to, const void *packet, size_t len)
{
    client_packet_header(out, to, len);
    if (len > 0)
        memcpy(out + FRAME_PACKET_OVERHEAD, packet, len);
    return FRAME_PACKET_OVERHEAD + len;
}

struct client_message fixture_expect(struct client_socket *client, enum client_message_type type)
{
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};

    assert_int_equal(client_socket_recv(client, &message, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(message.type, type);
    return message;
}

int fixture_read_end(int fd)
{
    int64_t until = fixture_now_ms() + FIXTURE_PATIENCE_MS;
    uint8_t buffer[4096];

    for (;;) {
        ssize_t got = receive_some(fd, buffer, sizeof(buffer));
        if (got == 0)
            return 0;
        if (got < 0 && got != -EAGAIN && got != -EINTR)
            return (int)-got;
        assert_true(fixture_now_ms() < until);
    }
}

struct fixture_cell fixture_uring = {HYPERDERP_ENGINE_IO_URING, false};
struct fixture_cell fixture_epoll = {HYPERDERP_ENGINE_EPOLL, false};
struct fixture_cell fixture_uring_tls = {HYPERDERP_ENGINE_IO_URING, true};
struct fixture_cell fixture_epoll_tls = {HYPERDERP_ENGINE_EPOLL, true};

hyperderp_engine fixture_engine(void **state)
{
    const struct fixture_cell *cell = *state;

    if (!fixture_has(cell->engine))
        skip();
    over_tls = cell->tls;
    return cell->engine;
}

void fixture_send(int fd, const void *bytes, size_t len)
{
    struct client_stream *stream = stream_of(fd);
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};

    if (stream)
        assert_int_equal(
            client_stream_send(stream, &piece, 1, fixture_now_ms() + FIXTURE_PATIENCE_MS), 0);
    /* A ring that the kernel still tears down interrupts a thread that waits in send(). */
    for (ssize_t sent; !stream && len > 0; len -= (size_t)sent) {
        while ((sent = send(fd, bytes, len, MSG_NOSIGNAL)) < 0 && errno == EINTR)
            ;
        assert_true(sent > 0);
        bytes = (const uint8_t *)bytes + sent;
    }
}

void fixture_send_text(int fd, const char *text)
{
    fixture_send(fd, text, strlen(text));
}

uint8_t *fixture_disco(uint8_t out[100])
{
    static const uint8_t magic[6] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac};

    memset(out, 7, 100);
    memcpy(out, magic, sizeof(magic));
    return out;
}

void fixture_expect_nothing(struct client_socket *client)
{
    uint8_t ping[FRAME_HEADER_SIZE + FRAME_PING_SIZE] = {FRAME_PING, 0, 0, 0, FRAME_PING_SIZE};

    memset(ping + FRAME_HEADER_SIZE, 0x5a, FRAME_PING_SIZE);
    assert_int_equal(client_socket_send_raw(client, ping, sizeof(ping), FIXTURE_PATIENCE_MS), 0);
    struct client_message message = fixture_expect(client, CLIENT_MESSAGE_PONG);
    assert_memory_equal(message.payload, ping + FRAME_HEADER_SIZE, FRAME_PING_SIZE);
}

void fixture_pass(struct client_socket *from, struct client_socket *to, const char *text)
{
    assert_int_equal(
        client_socket_send(from, client_socket_key(to), text, strlen(text), FIXTURE_PATIENCE_MS),
        0);
    struct client_message message = fixture_expect(to, CLIENT_MESSAGE_PACKET);
    assert_true(hyperderp_key_equal(&message.peer, client_socket_key(from)));
    assert_int_equal(message.len, strlen(text));
    assert_memory_equal(message.payload, text, message.len);
}

void fixture_read_until(int fd, struct client *client, enum client_message_type type)
{
    static uint8_t buffer[CLIENT_MAX_FRAME];
    struct client_message message = {.type = CLIENT_MESSAGE_NONE};
    size_t len = 0;

    while (message.type != type) {
        ssize_t used = client_read(client, buffer, len, &message);
        assert_true(used >= 0);
        memmove(buffer, buffer + used, len - (size_t)used);
        len -= (size_t)used;
        if (used > 0 || message.type != CLIENT_MESSAGE_NONE)
            continue;
        fixture_receive(fd, buffer + len, 1);
        len++;
    }
    assert_int_equal(len, 0);
}
