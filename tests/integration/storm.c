/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients by the thousand in one loop. */
#include "storm.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/client.h"
#include "client/client_tls.h"
#include "traffic.h"

/* Files that the test and the relay have besides. */
#define OTHER_FILES 200

/* What a relay says before ServerInfo and with it is a fraction of this. */
#define ROOM 4096

struct caller {
    int fd;
    struct client_tls tls;
    struct client client;
    bool joined;
    /* What came behind the handshake: content that is not read yet, the beginning of a record. */
    uint8_t *bytes;
    size_t content, rest;
};

struct storm {
    struct caller *callers;
    size_t count, joined, sent_away;
    int epoll;
    const char *address;
    struct tls_client *client;
    struct tls_ciphers ciphers;
};

size_t storm_size(size_t wanted)
{
    struct rlimit files;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    assert_true(files.rlim_max > 2 * OTHER_FILES);
    size_t most = files.rlim_max - OTHER_FILES;
    return most < wanted ? most : wanted;
}

static void fail_caller(const struct storm *storm, const struct caller *caller, const char *what,
                        int error)
{
    fail_msg("client %zu of %zu (%zu have joined): %s: %s %s",
             (size_t)(caller - storm->callers) + 1, storm->count, storm->joined, what,
             strerror(error < 0 ? -error : error), caller->tls.fault);
}

/* These few bytes always fit into an empty socket. That the relay has closed it is seen when its
 * answer is read. */
static void send_all(const struct storm *storm, struct caller *caller, const uint8_t *bytes,
                     size_t len)
{
    ssize_t n = send(caller->fd, bytes, len, MSG_NOSIGNAL);
    if (n != (ssize_t)len && errno != EPIPE && errno != ECONNRESET)
        fail_caller(storm, caller, "send", n < 0 ? errno : EAGAIN);
}

static void send_output(const struct storm *storm, struct caller *caller)
{
    const uint8_t *bytes;
    size_t len = client_tls_output(&caller->tls, &bytes);

    if (len > 0)
        send_all(storm, caller, bytes, len);
}

static void prepare(struct storm *storm, struct caller *caller)
{
    caller->bytes = malloc(ROOM);
    assert_non_null(caller->bytes);
    assert_int_equal(client_tls_begin(&caller->tls, storm->client, "127.0.0.1"), 0);
}

/* The request and ClientInfo at once, as Tailscale's clients do over TLS. */
static void request(struct storm *storm, struct caller *caller)
{
    struct client_options options = {.host = "storm",
                                     .info = {.version = DERP_PROTOCOL_VERSION},
                                     .fast_start = true,
                                     .server_key = caller->tls.relay_key};
    uint8_t text[CLIENT_MAX_REQUEST + 16], sealed[sizeof(text) + 256];

    assert_true(caller->tls.has_relay_key);
    assert_int_equal(hyperderp_private_key_generate(&options.private_key), 0);
    assert_int_equal(client_init(&caller->client, &options), 0);
    ssize_t len = client_request(&caller->client, text, sizeof(text));
    assert_true(len > 0);
    const struct iovec piece = {.iov_base = text, .iov_len = (size_t)len};
    assert_true(client_tls_sealed_size((size_t)len) <= sizeof(sealed));
    len = client_tls_seal(&caller->tls, &storm->ciphers, &piece, 1, sealed);
    assert_true(len > 0);
    send_all(storm, caller, sealed, (size_t)len);
}

static void shake_hands(struct storm *storm, struct caller *caller, const uint8_t *bytes,
                        size_t len)
{
    int done = client_tls_input(&caller->tls, bytes, len);

    if (done < 0)
        fail_caller(storm, caller, "handshake", done);
    send_output(storm, caller);
    if (done == 0)
        return;
    ssize_t rest = client_tls_take_over(&caller->tls, caller->bytes, ROOM);
    assert_int_equal(rest, 0); /* the relay speaks when it is spoken to */
    request(storm, caller);
}

static void read_messages(struct storm *storm, struct caller *caller)
{
    struct client_message message;
    ssize_t used;

    while ((used = client_read(&caller->client, caller->bytes, caller->content, &message)) > 0) {
        caller->content -= (size_t)used;
        memmove(caller->bytes, caller->bytes + used, caller->content + caller->rest);
        if (message.type != CLIENT_MESSAGE_SERVER_INFO)
            continue;
        caller->joined = true;
        storm->joined++;
    }
    if (used < 0)
        fail_caller(storm, caller, "DERP", (int)used);
}

static void dial(struct storm *storm, struct caller *caller);

/* The relay holds a bounded number of answered handshakes, and who has not finished his within a
 * second makes way for others: a client comes again, as it does after every failure. */
static void come_again(struct storm *storm, struct caller *caller)
{
    storm->sent_away++;
    close(caller->fd);
    client_tls_wipe(&caller->tls);
    client_wipe(&caller->client);
    caller->content = caller->rest = 0;
    assert_int_equal(client_tls_begin(&caller->tls, storm->client, "127.0.0.1"), 0);
    dial(storm, caller);
}

static void take_bytes(struct storm *storm, struct caller *caller)
{
    uint8_t shared[16384], *to = shared;
    size_t room = sizeof(shared), held = caller->content + caller->rest, content;

    if (caller->tls.done) {
        to = caller->bytes + held;
        room = ROOM - held;
    }
    ssize_t n = recv(caller->fd, to, room, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 && !caller->joined) {
        come_again(storm, caller);
        return;
    }
    if (n <= 0)
        fail_caller(storm, caller, "the relay has ended it", n < 0 ? errno : 0);
    if (!caller->tls.done) {
        shake_hands(storm, caller, shared, (size_t)n);
        return;
    }
    client_tls_open(&caller->tls, &storm->ciphers, caller->bytes + caller->content,
                    caller->rest + (size_t)n, &content, &caller->rest);
    if (caller->tls.error)
        fail_caller(storm, caller, "TLS", caller->tls.error);
    caller->content += content;
    read_messages(storm, caller);
}

static void await(struct storm *storm, struct caller *caller, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = caller};

    assert_int_equal(epoll_ctl(storm->epoll, operation, caller->fd, &event), 0);
}

static void dial(struct storm *storm, struct caller *caller)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    to.sin_port = htons((uint16_t)strtoul(strrchr(storm->address, ':') + 1, NULL, 10));
    caller->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(caller->fd >= 0);
    if (connect(caller->fd, (struct sockaddr *)&to, sizeof(to)) != 0 && errno != EINPROGRESS)
        fail_caller(storm, caller, "connect", errno);
    await(storm, caller, EPOLL_CTL_ADD, EPOLLOUT);
}

/* Waits for events until what is counted reaches the number of clients. After its ClientHello a
 * client looks at nothing until all have sent theirs. */
static void run_until_all(struct storm *storm, const size_t *counted, size_t *greeted)
{
    struct epoll_event events[64];

    while (*counted < storm->count) {
        int n = epoll_wait(storm->epoll, events, 64, 4 * PATIENCE_MS);
        if (n == 0)
            fail_msg("of %zu clients %zu have connected and %zu joined, and no more do",
                     storm->count, *greeted, storm->joined);
        for (int i = 0; i < n; i++) {
            struct caller *caller = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) {
                send_output(storm, caller);
                ++*greeted;
                await(storm, caller, EPOLL_CTL_MOD, counted == greeted ? 0 : EPOLLIN);
            } else if (events[i].events) {
                take_bytes(storm, caller);
            }
        }
    }
}

struct storm *storm_run(const char *address, size_t count)
{
    static const struct tls_client_options anybody = {.verification = TLS_VERIFY_NOTHING};
    struct storm *storm = calloc(1, sizeof(*storm));
    char fault[HYPERDERP_FAULT_SIZE];
    size_t greeted = 0;

    assert_non_null(storm);
    storm->callers = calloc(count, sizeof(*storm->callers));
    assert_non_null(storm->callers);
    storm->count = count;
    storm->address = address;
    storm->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(storm->epoll >= 0);
    assert_int_equal(tls_client_new(&storm->client, &anybody, fault), 0);
    for (size_t i = 0; i < count; i++)
        prepare(storm, &storm->callers[i]);
    int64_t began = now_us();
    for (size_t i = 0; i < count; i++)
        dial(storm, &storm->callers[i]);
    run_until_all(storm, &greeted, &greeted);
    int64_t connected = now_us();
    for (size_t i = 0; i < count; i++)
        await(storm, &storm->callers[i], EPOLL_CTL_MOD, EPOLLIN);
    run_until_all(storm, &storm->joined, &greeted);
    print_message("%zu clients: all ClientHellos sent after %.0f ms, all joined after %.0f ms, "
                  "%zu of them not at the first try\n",
                  count, (double)(connected - began) / 1000, (double)(now_us() - began) / 1000,
                  storm->sent_away);
    return storm;
}

void storm_free(struct storm *storm)
{
    for (size_t i = 0; i < storm->count; i++) {
        close(storm->callers[i].fd);
        client_tls_wipe(&storm->callers[i].tls);
        client_wipe(&storm->callers[i].client);
        free(storm->callers[i].bytes);
    }
    close(storm->epoll);
    tls_ciphers_wipe(&storm->ciphers);
    tls_client_free(storm->client);
    free(storm->callers);
    free(storm);
}
