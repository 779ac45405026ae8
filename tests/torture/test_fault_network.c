/* SPDX-License-Identifier: BSD-3-Clause */
/* Faults of the network between the relay and its clients: packets lost, late, twice, damaged and
 * out of order, a path that swallows large ones, a link that is down for a while, clients that are
 * gone without a word. Beside all of it a pair on the relay's own side must notice nothing. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow.h"
#include "network.h"
#include "service.h"

#define RATE 200
#define SIZE 600

static const struct impairment good;

struct place {
    struct process *daemon;
    char here[64], there[64]; /* its address on the relay's side, and on the clients' */
    unsigned files;
};

static void start_in_folder(struct place *place, const struct cell *cell, const char *limits)
{
    char text[512];

    network_impair(&good);
    (void)network_figures();
    snprintf(text, sizeof(text),
             "[[listener]]\naddress = \"0.0.0.0:0\"\ntls = %s\n[tls]\nhostname = \"127.0.0.1\"\n"
             "[limits]\n%s\n",
             matrix_is_tls() ? "true" : "false", limits);
    service_write_text(cell, text);
    place->daemon = service_start();
    snprintf(place->here, sizeof(place->here), "127.0.0.1:%u", process_port(place->daemon));
    snprintf(place->there, sizeof(place->there), NETWORK_RELAY ":%u", process_port(place->daemon));
    place->files = process_files(place->daemon);
}

static void start(struct place *place, const struct cell *cell, const char *limits)
{
    service_make_folder();
    start_in_folder(place, cell, limits);
}

/* All clients are gone; what they had at the relay is too. */
static void finish_in_folder(struct place *place)
{
    process_await_files(place->daemon, place->files);
    print_message("resident at most %ld KiB\n", process_peak_kib(place->daemon));
    process_stop(place->daemon);
    process_free(place->daemon);
}

static void finish(struct place *place)
{
    finish_in_folder(place);
    service_remove_folder();
}

static struct client_socket *join_there(const struct place *place)
{
    network_enter_clients(true);
    struct client_socket *client = client_join(place->there, NULL);
    network_enter_clients(false);
    return client;
}

/* A new pair passes a packet, within a second where that is nearby. */
static void join_here(const struct place *place, const char *when)
{
    int64_t began = now_us();
    struct client_socket *a = client_join(place->here, NULL), *b = client_join(place->here, NULL);

    client_send(a, b, "new", 3);
    client_expect_packet(b, a, "new", 3);
    int64_t took = now_us() - began;
    print_message("a new pair %s: %.1f ms\n", when, (double)took / 1000);
    assert_true(took < A_SECOND_US);
    client_socket_close(a);
    client_socket_close(b);
}

static void wait_ms(int ms)
{
    (void)poll(NULL, 0, ms); /* how long the fault lasts */
}

static void test_bad_way(void **state)
{
    const struct impairment bad = {.lost_permille = 20,
                                   .twice_permille = 5,
                                   .flipped_permille = 5,
                                   .delay_us = 10000,
                                   .jitter_us = 15000};
    struct place place;

    start(&place, *state, "");
    struct pair *pair = pair_start(place.here, 200, 600);
    struct flow *there = flow_between(join_there(&place), join_there(&place), RATE, SIZE);
    struct flow *to = flow_between(client_join(place.here, NULL), join_there(&place), RATE, SIZE);
    struct flow *from = flow_between(join_there(&place), client_join(place.here, NULL), RATE, SIZE);
    network_impair(&bad);
    int64_t began = now_us();
    client_socket_close(join_there(&place));
    print_message("a client joined over the bad way in %.1f ms\n",
                  (double)(now_us() - began) / 1000);
    assert_true(now_us() - began < 10 * A_SECOND_US);
    join_here(&place, "meanwhile");
    wait_ms(4000);
    struct network_figures seen = network_figures();
    network_impair(&good);
    print_message("%" PRIu64 " packets of IP passed, %" PRIu64 " lost, %" PRIu64 " twice, %" PRIu64
                  " with a flipped bit, %" PRIu64 " overtaken\n",
                  seen.passed, seen.lost, seen.twice, seen.flipped, seen.overtaken);
    assert_true(seen.lost > 0 && seen.twice > 0 && seen.flipped > 0 && seen.overtaken > 0);
    struct flow_figures figures[] = {flow_stop(there, "both ends far"),
                                     flow_stop(to, "the receiver far"),
                                     flow_stop(from, "the sender far")};
    for (unsigned i = 0; i < 3; i++) {
        assert_false(figures[i].sender_ended || figures[i].receiver_ended);
        assert_true(figures[i].received > figures[i].sent * 9 / 10);
        assert_true(figures[i].recovered_us < 5 * A_SECOND_US);
    }
    pair_stop(pair, "a bad way", A_SECOND_US);
    finish(&place);
}

/* What swallows large packets says nothing to anybody: the relay can only see that a client takes
 * nothing. */
static void test_black_hole(void **state)
{
    const struct impairment hole = {.largest = 1200};
    struct place place;

    start(&place, *state, "write_timeout = \"2s\"");
    struct pair *pair = pair_start(place.here, 200, 600);
    struct flow *small = flow_between(client_join(place.here, NULL), join_there(&place), 50, 100);
    network_impair(&hole);
    struct flow *large = flow_between(client_join(place.here, NULL), join_there(&place), 50, 1400);
    int64_t began = now_us(), until = began + 10 * INT64_C(1000000);
    while (service_metric(place.daemon, "hyper_derp_peers_active") > 5 && now_us() < until)
        wait_ms(10);
    print_message("closed after %.1f s\n", (double)(now_us() - began) / 1e6);
    assert_true(now_us() < until);
    join_here(&place, "meanwhile");
    assert_true(network_figures().too_large > 0);
    struct flow_figures figures = flow_stop(small, "small packets");
    assert_false(figures.sender_ended || figures.receiver_ended);
    assert_true(figures.at_most_us < A_SECOND_US);
    /* Only now can the client hear of it. */
    network_impair(&good);
    assert_true(flow_stop(large, "large packets").receiver_ended);
    large = flow_between(client_join(place.here, NULL), join_there(&place), 50, 1400);
    assert_true(flow_stop(large, "large packets again").recovered_us < A_SECOND_US);
    pair_stop(pair, "a black hole", A_SECOND_US);
    finish(&place);
}

static void set_probing(const char *value)
{
    FILE *out = fopen("/proc/sys/net/ipv4/tcp_mtu_probing", "w");

    assert_non_null(out);
    fputs(value, out);
    assert_int_equal(fclose(out), 0);
}

/* With the setting of dist/sysctl.d the kernel finds out what passes. */
static void test_black_hole_probed(void **state)
{
    const struct impairment hole = {.largest = 1200};
    struct place place;

    set_probing("1"); /* of this namespace */
    start(&place, *state, "");
    network_impair(&hole);
    struct flow *large = flow_between(client_join(place.here, NULL), join_there(&place), 50, 1400);
    int64_t began = now_us(), until = began + 12 * INT64_C(1000000);
    while (flow_received(large) == 0 && !flow_has_ended(large) && now_us() < until)
        wait_ms(10);
    print_message("passing after %.1f s\n", (double)(now_us() - began) / 1e6);
    struct flow_figures figures = flow_stop(large, "large packets, probed");
    assert_int_equal(figures.sender_ended || figures.receiver_ended, false);
    assert_true(figures.recovered_us < 5 * A_SECOND_US);
    set_probing("0");
    finish(&place);
}

static void test_link(void **state)
{
    struct place place;

    start(&place, *state, "");
    struct pair *pair = pair_start(place.here, 200, 600);
    struct flow *there = flow_between(join_there(&place), join_there(&place), RATE, SIZE);
    struct flow *to = flow_between(client_join(place.here, NULL), join_there(&place), RATE, SIZE);
    for (unsigned i = 0; i < 5; i++) {
        network_link(false);
        wait_ms(100);
        network_link(true);
        wait_ms(200);
    }
    network_link(false);
    wait_ms(3000);
    join_here(&place, "while the link is down");
    network_link(true);
    struct flow_figures figures[] = {flow_stop(there, "both ends far"),
                                     flow_stop(to, "the receiver far")};
    for (unsigned i = 0; i < 2; i++) {
        assert_false(figures[i].sender_ended || figures[i].receiver_ended);
        /* The kernel's own timer has doubled to some 3 s by then. */
        assert_true(figures[i].recovered_us < 8 * A_SECOND_US);
    }
    pair_stop(pair, "a link that is down", A_SECOND_US);
    finish(&place);
}

/* Waits for PeerGone of one of these; the time since. */
static void await_gone(struct client_socket *watcher, const struct client_socket *gone,
                       const char *what, int64_t since, int64_t within_us)
{
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;
    struct client_message message;

    do { /* keep-alives come all the time */
        assert_true(now_us() < until);
        int error = client_socket_recv(watcher, &message, PATIENCE_MS);
        if (error)
            fail_msg("waiting for PeerGone: %s", strerror(-error));
    } while (message.type != CLIENT_MESSAGE_PEER_GONE);
    assert_true(hyperderp_key_equal(&message.peer, client_socket_key(gone)));
    print_message("%s: gone after %.1f s\n", what, (double)(now_us() - since) / 1e6);
    assert_true(now_us() - since < within_us);
}

static int connect_there(const struct place *place, const char *said)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)process_port(place->daemon))};

    assert_int_equal(inet_pton(AF_INET, NETWORK_RELAY, &to.sin_addr), 1);
    network_enter_clients(true);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    network_enter_clients(false);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, said, strlen(said), MSG_NOSIGNAL), strlen(said));
    return fd;
}

/* In the middle of packets, or of a handshake. */
static void test_vanish(void **state)
{
    const struct impairment cut = {.cut = true};
    struct place place;
    uint8_t packet[SIZE];

    start(&place, *state, "write_timeout = \"2s\"\nhandshake_timeout = \"3s\"");
    struct pair *pair = pair_start(place.here, 200, 600);
    struct client_socket *watcher = client_join(place.here, NULL), *busy = join_there(&place);
    int halves[] = {connect_there(&place, ""), connect_there(&place, "GET /derp HTTP/1.1\r\n"),
                    connect_there(&place, "\x16\x03\x01")};
    client_send(busy, watcher, "here", 4);
    client_expect_packet(watcher, busy, "here", 4);
    network_impair(&cut);
    int64_t since = now_us();
    for (uint32_t i = 0; i < 500; i++) {
        packet_fill(packet, sizeof(packet), 1, i);
        client_send(watcher, busy, packet, sizeof(packet));
    }
    join_here(&place, "meanwhile");
    await_gone(watcher, busy, "a client that is sent to", since, 4 * INT64_C(1000000));
    process_await_files(place.daemon, place.files + 3); /* the pair and the watcher */
    print_message("all files back after %.1f s\n", (double)(now_us() - since) / 1e6);
    assert_true(now_us() - since < 10 * INT64_C(1000000));
    network_impair(&good);
    struct client_socket *again = join_there(&place);
    client_send(again, watcher, "again", 5);
    client_expect_packet(watcher, again, "again", 5);
    for (unsigned i = 0; i < 3; i++)
        close(halves[i]);
    client_socket_close(again);
    client_socket_close(busy);
    client_socket_close(watcher);
    pair_stop(pair, "clients that vanish", A_SECOND_US);
    finish(&place);
}

/* An idle client is missed when the kernel gives up on a keep-alive (TCP_USER_TIMEOUT: twice the
 * write timeout, at least 30 s). Both engines wait for it at once. */
static void test_vanish_idle(void **state)
{
    const struct impairment cut = {.cut = true};
    const struct cell *first = *state;
    const struct cell cells[] = {{first->engine, 1, false}, {HYPERDERP_ENGINE_EPOLL, 1, false}};
    unsigned count = first->engine == HYPERDERP_ENGINE_EPOLL ? 1 : 2;
    struct client_socket *watchers[2], *idle[2];
    struct place places[2];

    service_make_folder();
    for (unsigned i = 0; i < count; i++) {
        start_in_folder(&places[i], &cells[i], "keepalive = \"1s\"");
        watchers[i] = client_join(places[i].here, NULL);
        idle[i] = join_there(&places[i]);
        client_send(idle[i], watchers[i], "here", 4);
        client_expect_packet(watchers[i], idle[i], "here", 4);
    }
    network_impair(&cut);
    int64_t since = now_us();
    wait_ms(28000); /* nobody is missed before his time */
    for (unsigned i = 0; i < count; i++) {
        await_gone(watchers[i], idle[i], hyperderp_engine_name(cells[i].engine), since,
                   40 * INT64_C(1000000));
        client_socket_close(watchers[i]);
        client_socket_close(idle[i]);
        finish_in_folder(&places[i]);
    }
    service_remove_folder();
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"bad_way", test_bad_way, CELLS_ENGINES | CELLS_TLS},
        {"black_hole", test_black_hole, CELLS_ENGINES | CELLS_TLS},
        {"black_hole_probed", test_black_hole_probed, CELLS_ENGINES},
        {"link", test_link, CELLS_ENGINES | CELLS_TLS},
        {"vanish", test_vanish, CELLS_ENGINES | CELLS_TLS},
        {"vanish_idle", test_vanish_idle, CELLS_ONE},
    };

    if (!network_make())
        return 77;
    return matrix_run("fault_network", tests, sizeof(tests) / sizeof(tests[0]));
}
