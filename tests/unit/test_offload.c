/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay that leaves the records of TLS to the kernel. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay_fixture.h"
#include "tls/ktls.h"

static struct ktls_support support;
static int probed; /* what ktls_probe() says */
static char log_text[4096];

static void keep_log(void *user, hyperderp_log_level level, const char *line)
{
    size_t at = strlen(log_text);

    (void)user;
    (void)level;
    snprintf(log_text + at, sizeof(log_text) - at, "%s\n", line);
}

/* With the kernel's TLS or without: the one works, the other is told with what to do. */
static void listener_needs_the_kernel(void **state)
{
    (void)state;
    hyperderp_relay_options options = fixture_options(HYPERDERP_ENGINE_EPOLL, 1);
    hyperderp_listener_options listener;
    hyperderp_relay *relay;

    options.log = keep_log;
    options.log_level = HYPERDERP_LOG_INFO;
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.offload = HYPERDERP_OFFLOAD_KERNEL;
    assert_int_equal(hyperderp_relay_add_listener(relay, &listener), -EINVAL); /* without TLS */
    listener.certificate = fixture_certificate();
    log_text[0] = '\0';
    int result = hyperderp_relay_add_listener(relay, &listener);
    if (probed == 0) {
        assert_int_equal(result, 0);
        assert_non_null(strstr(log_text, "TLS 1.3 by the kernel"));
    } else {
        assert_int_equal(result, -EOPNOTSUPP);
        assert_non_null(strstr(log_text, ktls_advice(probed)));
        assert_non_null(strstr(log_text, "or choose the offload user"));
    }
    listener.offload = HYPERDERP_OFFLOAD_AUTO;
    assert_true(hyperderp_relay_add_listener(relay, &listener) >= 0);
    hyperderp_relay_free(relay);
}

/* A figure of the kernel's, of all TLS sockets so far. */
static unsigned long kernel_figure(const char *wanted)
{
    FILE *file = fopen("/proc/net/tls_stat", "r");
    char name[64];
    unsigned long value;

    assert_non_null(file);
    while (fscanf(file, "%63s %lu", name, &value) == 2) {
        if (strcmp(name, wanted) == 0) {
            fclose(file);
            return value;
        }
    }
    fail_msg("/proc/net/tls_stat does not tell %s", wanted);
    return 0;
}

/* Starts the case's relay. */
static void start(struct fixture *fixture, void **state, unsigned workers)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), workers);

    if (probed != 0) {
        print_message("no TLS in this kernel: %s\n", ktls_advice(probed));
        skip();
    }
    fixture_offload = HYPERDERP_OFFLOAD_KERNEL;
    fixture_start(fixture, &options, 0);
}

static void kernel_makes_and_opens_the_records(void **state)
{
    struct fixture fixture;

    start(&fixture, state, 2);
    unsigned long sending = kernel_figure("TlsTxSw"), receiving = kernel_figure("TlsRxSw");
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    fixture_pass(a, b, "one");
    fixture_pass(b, a, "another");
    assert_int_equal(kernel_figure("TlsTxSw"), sending + 2);
    assert_int_equal(kernel_figure("TlsRxSw"), receiving + 2);
    hyperderp_counters counters = fixture_counters(&fixture);
    assert_int_equal(counters.tls_records_sealed, 0);
    assert_int_equal(counters.tls_connections, 2);
    assert_int_equal(counters.tls_kernel_connections, 2);
    client_socket_close(a);
    client_socket_close(b);
    fixture_stop(&fixture);
}

/* Frames of all sizes, in both directions at once. */
static void large_and_small_packets(void **state)
{
    static const size_t sizes[] = {1, 1300, 16384, 40000, 65536};
    static uint8_t packet[65536];
    struct fixture fixture;

    start(&fixture, state, 2);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (size_t i = 0; i < sizeof(packet); i++)
        packet[i] = (uint8_t)(i * 7 + (i >> 8));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        assert_int_equal(
            client_socket_send(a, client_socket_key(b), packet, sizes[i], FIXTURE_PATIENCE_MS), 0);
        assert_int_equal(
            client_socket_send(b, client_socket_key(a), packet, sizes[i], FIXTURE_PATIENCE_MS), 0);
        for (unsigned side = 0; side < 2; side++) {
            struct client_message message = fixture_expect(side ? a : b, CLIENT_MESSAGE_PACKET);
            assert_int_equal(message.len, sizes[i]);
            assert_memory_equal(message.payload, packet, sizes[i]);
        }
    }
    client_socket_close(a);
    client_socket_close(b);
    fixture_stop(&fixture);
}

/* Waits for the end of what the relay sends, which must be this alert. */
static void expect_alert(struct client_socket *client, const char *alert)
{
    struct client_message message;
    int error;

    do
        error = client_socket_recv(client, &message, FIXTURE_PATIENCE_MS);
    while (error == 0);
    assert_int_equal(error, strcmp(alert, "close_notify") == 0 ? -EPIPE : -ECONNABORTED);
    assert_non_null(client_socket_alert(client));
    assert_string_equal(client_socket_alert(client), alert);
    client_socket_close(client);
}

static void alerts_of_the_client(void **state)
{
    struct fixture fixture;

    start(&fixture, state, 1);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    /* One that ends nothing. */
    assert_int_equal(client_socket_send_alert(a, TLS_ALERT_USER_CANCELED, FIXTURE_PATIENCE_MS), 0);
    fixture_pass(a, b, "still there");
    assert_int_equal(client_socket_send_alert(a, TLS_ALERT_CLOSE_NOTIFY, FIXTURE_PATIENCE_MS), 0);
    expect_alert(a, "close_notify");
    assert_int_equal(fixture_counters(&fixture).tls_alerts_received, 0);
    assert_int_equal(client_socket_send_alert(b, TLS_ALERT_INTERNAL_ERROR, FIXTURE_PATIENCE_MS), 0);
    expect_alert(b, "close_notify");
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).tls_alerts_received, 1);
    fixture_stop(&fixture);
}

static void faults_of_the_client(void **state)
{
    static const uint8_t forged[100] = {TLS_CONTENT_DATA, 3, 3, 0, 95}, zeros[40];
    static const uint8_t long_one[TLS_HEADER_SIZE] = {TLS_CONTENT_DATA, 3, 3, 0xff, 0xff};
    struct fixture fixture;

    start(&fixture, state, 1);
    struct client_socket *client = fixture_join(&fixture, 0);
    assert_int_equal(
        client_socket_send_unsealed(client, forged, sizeof(forged), FIXTURE_PATIENCE_MS), 0);
    expect_alert(client, "bad_record_mac");
    client = fixture_join(&fixture, 0);
    assert_int_equal(
        client_socket_send_unsealed(client, long_one, sizeof(long_one), FIXTURE_PATIENCE_MS), 0);
    expect_alert(client, "record_overflow");
    client = fixture_join(&fixture, 0);
    assert_int_equal(client_socket_send_record(client, (enum tls_content)99, zeros, sizeof(zeros),
                                               0, FIXTURE_PATIENCE_MS),
                     0);
    expect_alert(client, "unexpected_message");
    fixture_wait(&fixture, counters_connections_are, 0);
    assert_int_equal(fixture_counters(&fixture).tls_alerts_sent, 3);
    assert_int_equal(fixture_counters(&fixture).protocol_errors, 3);
    fixture_stop(&fixture);
}

/* Control records without end bring nothing, and are no way to keep a worker busy. */
static void idle_records_are_bounded(void **state)
{
    struct fixture fixture;

    start(&fixture, state, 1);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < TLS_MAX_IDLE_RECORDS; i++)
            assert_int_equal(
                client_socket_send_alert(a, TLS_ALERT_USER_CANCELED, FIXTURE_PATIENCE_MS), 0);
        fixture_pass(a, b, "with data between them");
    }
    for (unsigned i = 0; i <= TLS_MAX_IDLE_RECORDS; i++)
        (void)client_socket_send_alert(a, TLS_ALERT_USER_CANCELED, FIXTURE_PATIENCE_MS);
    expect_alert(a, "unexpected_message");
    client_socket_close(b);
    fixture_stop(&fixture);
}

/* Where the kernel can change keys all goes on; elsewhere that is the end, and is said. */
static void client_changes_its_key(void **state)
{
    struct fixture fixture;

    start(&fixture, state, 1);
    struct client_socket *a = fixture_join(&fixture, 0), *b = fixture_join(&fixture, 0);
    fixture_pass(a, b, "old");
    assert_int_equal(client_socket_send_key_update(a, true, FIXTURE_PATIENCE_MS), 0);
    if (support.updates) {
        fixture_pass(a, b, "new");
        fixture_pass(b, a, "and back");
        assert_int_equal(fixture_counters(&fixture).tls_key_updates, 2);
        client_socket_close(a);
    } else {
        expect_alert(a, "internal_error");
        assert_int_equal(fixture_counters(&fixture).protocol_errors, 0);
    }
    client_socket_close(b);
    fixture_stop(&fixture);
}

/* A receiver that begins to read late gets all, and close_notify last: what the kernel still has in
 * its records when the end comes is not lost, however little TCP has room for. */
static void drain_behind_a_full_socket(void **state)
{
    enum { PACKETS = 600, SEND_BUFFER = 20000 };
    static uint8_t packet[1400];
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct fixture fixture;
    struct client_message message;
    unsigned packets = 0, restarting = 0;
    int error;

    fixture_offload = HYPERDERP_OFFLOAD_KERNEL;
    fixture_start(&fixture, &options, SEND_BUFFER);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 4096);
    for (unsigned i = 0; i < PACKETS; i++)
        assert_int_equal(client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                            FIXTURE_PATIENCE_MS),
                         0);
    fixture_wait(&fixture, counters_received_are, PACKETS);
    int wide = 1 << 20;
    assert_int_equal(setsockopt(client_socket_fd(to), SOL_SOCKET, SO_RCVBUF, &wide, sizeof(wide)),
                     0);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    while ((error = client_socket_recv(to, &message, FIXTURE_PATIENCE_MS)) == 0) {
        packets += message.type == CLIENT_MESSAGE_PACKET;
        restarting += message.type == CLIENT_MESSAGE_RESTARTING;
    }
    assert_int_equal(error, -EPIPE);
    assert_int_equal(packets, PACKETS);
    assert_int_equal(restarting, 1);
    assert_non_null(client_socket_alert(to));
    assert_string_equal(client_socket_alert(to), "close_notify");
    client_socket_close(to);
    expect_alert(from, "close_notify");
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    fixture_stop(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener_needs_the_kernel),
        FIXTURE_ON_TLS(kernel_makes_and_opens_the_records),
        FIXTURE_ON_TLS(large_and_small_packets),
        FIXTURE_ON_TLS(alerts_of_the_client),
        FIXTURE_ON_TLS(faults_of_the_client),
        FIXTURE_ON_TLS(idle_records_are_bounded),
        FIXTURE_ON_TLS(client_changes_its_key),
        FIXTURE_ON_TLS(drain_behind_a_full_socket),
    };

    probed = ktls_probe(&support);
    /* Without the kernel's TLS one says so for all. */
    return _cmocka_run_group_tests("offload", tests,
                                   probed == 0 ? sizeof(tests) / sizeof(tests[0]) : 2, NULL, NULL);
}
