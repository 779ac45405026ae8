/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel's record layer against ours: one side of a TCP connection each. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls/ktls.h"

#define PATIENCE_MS 8000

static struct tls_ciphers ciphers;
static struct ktls_support support;
static int probed; /* what ktls_probe() says */

static const uint16_t suites[] = {TLS_AES_128_GCM, TLS_AES_256_GCM, TLS_CHACHA20_POLY1305};
#define SUITES (sizeof(suites) / sizeof(suites[0]))

/* Two sockets; the kernel is to do the records of one, we do those of the other. */
struct pair {
    int kernel, user;
    struct tls_tx kernel_tx, user_tx;
    struct tls_rx kernel_rx, user_rx;
    uint8_t record[TLS_MAX_RECORD];
};

static void connect_sockets(struct pair *pair)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    pair->user = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(pair->user, (struct sockaddr *)&address, size), 0);
    pair->kernel = accept(listener, NULL, NULL);
    assert_true(pair->kernel >= 0);
    close(listener);
    assert_int_equal(fcntl(pair->kernel, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(fcntl(pair->user, F_SETFL, O_NONBLOCK), 0);
}

/* Both sides have their keys, the kernel not yet. */
static struct pair *new_pair(uint16_t id)
{
    static const uint8_t up[TLS_MAX_SECRET] = {1, 2, 3}, down[TLS_MAX_SECRET] = {4, 5, 6};
    const struct tls_suite *suite = tls_suite_find(id);
    struct pair *pair = calloc(1, sizeof(*pair));

    assert_non_null(pair);
    connect_sockets(pair);
    assert_int_equal(tls_tx_init(&pair->kernel_tx, suite, down), 0);
    assert_int_equal(tls_rx_init(&pair->user_rx, suite, down), 0);
    assert_int_equal(tls_tx_init(&pair->user_tx, suite, up), 0);
    assert_int_equal(tls_rx_init(&pair->kernel_rx, suite, up), 0);
    return pair;
}

static void hand_over(struct pair *pair)
{
    assert_int_equal(ktls_attach(pair->kernel), 0);
    assert_int_equal(ktls_set_tx(pair->kernel, &pair->kernel_tx), 0);
    assert_int_equal(ktls_set_rx(pair->kernel, &pair->kernel_rx), 0);
}

static void free_pair(struct pair *pair)
{
    close(pair->kernel);
    close(pair->user);
    free(pair);
}

static bool has_suite(uint16_t id)
{
    const struct tls_suite *suite = tls_suite_find(id);

    if (!support.suites[suite->index])
        print_message("this kernel lacks %s\n", suite->name);
    return support.suites[suite->index];
}

/* ---- Steps ---- */

static void await(int fd, short events)
{
    struct pollfd poller = {.fd = fd, .events = events};

    assert_int_equal(poll(&poller, 1, PATIENCE_MS), 1);
}

static void fill(uint8_t *bytes, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

static void write_all(int fd, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n < 0) {
            assert_int_equal(errno, EAGAIN);
            await(fd, POLLOUT);
            continue;
        }
        bytes += n;
        len -= (size_t)n;
    }
}

/* As much as was asked for, which must come. */
static void read_all(int fd, uint8_t *bytes, size_t len)
{
    while (len > 0) {
        await(fd, POLLIN);
        ssize_t n = recv(fd, bytes, len, 0);
        assert_true(n > 0);
        bytes += n;
        len -= (size_t)n;
    }
}

static size_t seal(struct pair *pair, int type, const void *bytes, size_t len)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    ssize_t size =
        tls_seal(&ciphers, &pair->user_tx, (enum tls_content)type, &piece, 1, pair->record);

    assert_int_equal(size, len + TLS_OVERHEAD);
    return (size_t)size;
}

static void user_sends(struct pair *pair, int type, const void *bytes, size_t len)
{
    write_all(pair->user, pair->record, seal(pair, type, bytes, len));
}

/* The next record that comes to our side. */
static enum tls_event user_receives(struct pair *pair, uint8_t **content, size_t *len)
{
    read_all(pair->user, pair->record, TLS_HEADER_SIZE);
    int size = tls_record_size(pair->record, TLS_HEADER_SIZE);
    assert_true(size > 0);
    read_all(pair->user, pair->record + TLS_HEADER_SIZE, (size_t)size - TLS_HEADER_SIZE);
    return tls_open(&ciphers, &pair->user_rx, pair->record, (size_t)size, content, len);
}

static void kernel_expects(struct pair *pair, const char *text)
{
    uint8_t got[64] = {0};

    assert_true(strlen(text) < sizeof(got));
    read_all(pair->kernel, got, strlen(text));
    assert_string_equal((char *)got, text);
}

static void user_expects(struct pair *pair, const char *text)
{
    uint8_t *content;
    size_t len;

    assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_DATA);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(content, text, len);
}

static void user_sends_text(struct pair *pair, const char *text)
{
    user_sends(pair, TLS_CONTENT_DATA, text, strlen(text));
}

static void kernel_sends_text(struct pair *pair, const char *text)
{
    write_all(pair->kernel, (const uint8_t *)text, strlen(text));
}

static int kernel_error(struct pair *pair)
{
    uint8_t byte;

    await(pair->kernel, POLLIN);
    assert_int_equal(recv(pair->kernel, &byte, 1, 0), -1);
    return -errno;
}

/* A record that is not data: told by plain receiving, then fetched and judged. */
static enum tls_event kernel_takes_control(struct pair *pair, uint8_t type)
{
    uint8_t got_type, content[KTLS_CONTROL_SIZE];

    assert_int_equal(kernel_error(pair), -EIO);
    ssize_t n = ktls_recv_record(pair->kernel, &got_type, content, sizeof(content));
    assert_true(n >= 0);
    assert_int_equal(got_type, type);
    return tls_take(&pair->kernel_rx, got_type, content, (size_t)n);
}

/* ---- Probing ---- */

static int probe_as_nobody(void)
{
    struct ktls_support nothing;

    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0)
        return 0;
    return -ktls_probe(&nothing);
}

/* An unprivileged process cannot make the kernel load the module, and learns that. Comes first, as
 * the module stays. */
static void without_the_module(void **state)
{
    (void)state;
    int status;

    if (geteuid() != 0) {
        print_message("only root can become somebody else\n");
        skip();
    }
    if (access("/sys/module/tls/initstate", F_OK) == 0) {
        print_message("the module is loaded already\n");
        skip();
    }
    pid_t child = fork();
    if (child == 0)
        _exit(probe_as_nobody());
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ENOENT);
    assert_non_null(strstr(ktls_advice(-ENOENT), "modprobe tls"));
}

static void probe_finds_the_kernel(void **state)
{
    (void)state;
    if (probed != 0) {
        print_message("no TLS in this kernel: %s\n", ktls_advice(probed));
        skip();
    }
    assert_true(support.suites[tls_suite_find(TLS_AES_128_GCM)->index]);
    for (size_t s = 0; s < SUITES; s++)
        assert_true(has_suite(suites[s]) || suites[s] != TLS_AES_128_GCM);
    print_message("keys can%s be changed\n", support.updates ? "" : "not");
}

static void errors_are_told(void **state)
{
    (void)state;
    struct pair *pair = new_pair(TLS_AES_128_GCM);

    /* No keys before the socket is ready, and not when it is not connected. */
    assert_int_equal(ktls_set_tx(pair->kernel, &pair->kernel_tx), -ENOPROTOOPT);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(ktls_attach(fd), -ENOTCONN);
    close(fd);
    assert_int_equal(ktls_attach(pair->kernel), 0);
    assert_int_equal(ktls_attach(pair->kernel), -EEXIST);
    /* Ready, it is still a plain one. */
    write_all(pair->kernel, (const uint8_t *)"plain", 5);
    uint8_t got[5];
    read_all(pair->user, got, 5);
    assert_memory_equal(got, "plain", 5);
    write_all(pair->user, (const uint8_t *)"clear", 5);
    read_all(pair->kernel, got, 5);
    assert_memory_equal(got, "clear", 5);
    free_pair(pair);
}

/* ---- Data ---- */

static void kernel_opens_what_we_seal(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 16, 1437, 16383, 16384};
    uint8_t *sent = malloc(TLS_MAX_PLAINTEXT), *got = malloc(TLS_MAX_PLAINTEXT);

    for (size_t s = 0; s < SUITES; s++) {
        if (!has_suite(suites[s]))
            continue;
        struct pair *pair = new_pair(suites[s]);
        hand_over(pair);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            fill(sent, sizes[i], (unsigned)i);
            user_sends(pair, TLS_CONTENT_DATA, sent, sizes[i]);
            read_all(pair->kernel, got, sizes[i]);
            assert_memory_equal(got, sent, sizes[i]);
        }
        free_pair(pair);
    }
    free(sent);
    free(got);
}

static void we_open_what_the_kernel_seals(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 16, 1437, 16384, 40000};
    uint8_t *sent = malloc(40000), *got = malloc(40000), *content;

    for (size_t s = 0; s < SUITES; s++) {
        if (!has_suite(suites[s]))
            continue;
        struct pair *pair = new_pair(suites[s]);
        hand_over(pair);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            fill(sent, sizes[i], (unsigned)i);
            write_all(pair->kernel, sent, sizes[i]);
            for (size_t at = 0, len; at < sizes[i]; at += len) {
                assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_DATA);
                assert_true(len > 0 && at + len <= sizes[i]);
                memcpy(got + at, content, len);
            }
            assert_memory_equal(got, sent, sizes[i]);
        }
        free_pair(pair);
    }
    free(sent);
    free(got);
}

/* What a send says that it took is what arrives, also when the socket was full: a drainer relies on
 * that for what it sends next. */
static void full_socket(void **state)
{
    (void)state;
    static uint8_t piece[50000];
    struct pair *pair = new_pair(TLS_AES_128_GCM);
    size_t taken = 0, arrived = 0, len;
    int small = 20000;
    uint8_t *content;
    ssize_t n;

    assert_int_equal(setsockopt(pair->kernel, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    hand_over(pair);
    for (int round = 0; round < 20; round++) {
        for (;;) {
            for (size_t i = 0; i < sizeof(piece); i++)
                piece[i] = (uint8_t)((taken + i) % 251);
            n = send(pair->kernel, piece, sizeof(piece), MSG_DONTWAIT);
            if (n < 0)
                break;
            taken += (size_t)n;
        }
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(ktls_send_alert(pair->kernel, TLS_ALERT_USER_CANCELED), -EAGAIN);
        while (arrived < taken) {
            assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_DATA);
            for (size_t i = 0; i < len; i++)
                assert_int_equal(content[i], (arrived + i) % 251);
            arrived += len;
        }
        assert_int_equal(arrived, taken);
    }
    assert_true(taken > 20u * 16384);
    assert_int_equal(ktls_send_alert(pair->kernel, TLS_ALERT_CLOSE_NOTIFY), 0);
    assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_CLOSE);
    free_pair(pair);
}

/* The kernel takes over after some records, with the next ones in its socket already, one of them
 * in part. */
static void middle_of_the_stream(void **state)
{
    (void)state;
    for (size_t s = 0; s < SUITES; s++) {
        if (!has_suite(suites[s]))
            continue;
        struct pair *pair = new_pair(suites[s]);
        uint8_t record[64], *content;
        size_t len;
        for (unsigned i = 0; i < 3; i++) {
            size_t size = seal(pair, TLS_CONTENT_DATA, "before", 6);
            memcpy(record, pair->record, size);
            assert_int_equal(tls_open(&ciphers, &pair->kernel_rx, record, size, &content, &len),
                             TLS_EVENT_DATA);
            const struct iovec piece = {.iov_base = record, .iov_len = 1};
            ssize_t sealed =
                tls_seal(&ciphers, &pair->kernel_tx, TLS_CONTENT_DATA, &piece, 1, pair->record);
            assert_int_equal(
                tls_open(&ciphers, &pair->user_rx, pair->record, (size_t)sealed, &content, &len),
                TLS_EVENT_DATA);
        }
        user_sends_text(pair, "whole ");
        size_t size = seal(pair, TLS_CONTENT_DATA, "half", 4);
        write_all(pair->user, pair->record, size / 2);
        await(pair->kernel, POLLIN);
        hand_over(pair);
        kernel_expects(pair, "whole ");
        write_all(pair->user, pair->record + size / 2, size - size / 2);
        kernel_expects(pair, "half");
        kernel_sends_text(pair, "behind");
        user_expects(pair, "behind");
        free_pair(pair);
    }
}

/* ---- Records that are not data ---- */

static void close_notify_and_alerts(void **state)
{
    (void)state;
    static const uint8_t close_notify[] = {1, TLS_ALERT_CLOSE_NOTIFY};
    static const uint8_t fatal[] = {2, TLS_ALERT_INTERNAL_ERROR};
    struct pair *pair = new_pair(TLS_AES_128_GCM);
    uint8_t *content, type, byte;
    size_t len;

    hand_over(pair);
    user_sends_text(pair, "last");
    user_sends(pair, TLS_CONTENT_ALERT, close_notify, sizeof(close_notify));
    kernel_expects(pair, "last");
    assert_int_equal(kernel_takes_control(pair, TLS_CONTENT_ALERT), TLS_EVENT_CLOSE);
    assert_int_equal(ktls_recv_record(pair->kernel, &type, &byte, 1), -EAGAIN);
    assert_int_equal(shutdown(pair->user, SHUT_WR), 0);
    await(pair->kernel, POLLIN);
    assert_int_equal(ktls_recv_record(pair->kernel, &type, &byte, 1), 0);
    assert_int_equal(type, 0);
    kernel_sends_text(pair, "too");
    assert_int_equal(ktls_send_alert(pair->kernel, TLS_ALERT_CLOSE_NOTIFY), 0);
    user_expects(pair, "too");
    assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_CLOSE);
    free_pair(pair);

    pair = new_pair(TLS_AES_256_GCM);
    hand_over(pair);
    user_sends(pair, TLS_CONTENT_ALERT, fatal, sizeof(fatal));
    assert_int_equal(kernel_takes_control(pair, TLS_CONTENT_ALERT), TLS_EVENT_ALERT);
    assert_int_equal(pair->kernel_rx.alert, TLS_ALERT_INTERNAL_ERROR);
    assert_int_equal(ktls_send_alert(pair->kernel, TLS_ALERT_RECORD_OVERFLOW), 0);
    assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_ALERT);
    assert_int_equal(pair->user_rx.alert, TLS_ALERT_RECORD_OVERFLOW);
    free_pair(pair);
}

/* Types that may not come, and content that says nothing, through the kernel. */
static void odd_records(void **state)
{
    (void)state;
    static const uint8_t zeros[100];
    struct pair *pair = new_pair(TLS_AES_128_GCM);

    hand_over(pair);
    user_sends(pair, 99, zeros, 100);
    assert_int_equal(kernel_takes_control(pair, 99), TLS_EVENT_FAULT);
    free_pair(pair);

    pair = new_pair(TLS_AES_128_GCM);
    hand_over(pair);
    user_sends(pair, TLS_CONTENT_HANDSHAKE, zeros, 0);
    assert_int_equal(kernel_takes_control(pair, TLS_CONTENT_HANDSHAKE), TLS_EVENT_FAULT);
    free_pair(pair);
}

/* What the kernel says of a record that is none, and the alert that we can still send then. */
static void faults(void **state)
{
    (void)state;
    static const struct {
        size_t at; /* of the byte that is changed */
        uint8_t to;
        int error, alert;
    } cases[] = {
        {TLS_HEADER_SIZE + 50, 0xff, -EBADMSG, TLS_ALERT_BAD_RECORD_MAC},
        {100 + TLS_OVERHEAD - 1, 0xff, -EBADMSG, TLS_ALERT_BAD_RECORD_MAC},
        {3, 0xff, -EMSGSIZE, TLS_ALERT_RECORD_OVERFLOW},
        {4, 16, -EBADMSG, TLS_ALERT_BAD_RECORD_MAC},
        {1, 2, -EINVAL, TLS_ALERT_DECODE_ERROR},
    };
    static const uint8_t zeros[100];

    for (size_t s = 0; s < SUITES; s++) {
        if (!has_suite(suites[s]))
            continue;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            struct pair *pair = new_pair(suites[s]);
            uint8_t *content;
            size_t len, size = seal(pair, TLS_CONTENT_DATA, zeros, sizeof(zeros));
            hand_over(pair);
            pair->record[cases[i].at] =
                cases[i].to == 0xff ? pair->record[cases[i].at] ^ 0x80 : cases[i].to;
            write_all(pair->user, pair->record, size);
            int error = kernel_error(pair);
            assert_int_equal(error, cases[i].error);
            int alert = ktls_fault(pair->kernel, error);
            assert_int_equal(alert, cases[i].alert);
            assert_int_equal(ktls_send_alert(pair->kernel, (enum tls_alert)alert), 0);
            assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_ALERT);
            assert_int_equal(pair->user_rx.alert, alert);
            free_pair(pair);
        }
    }
    assert_int_equal(ktls_fault(-1, -ECONNRESET), -1);
    assert_int_equal(ktls_fault(-1, -EIO), -1);
}

/* The client changes its key: the kernel must be given the next one, and old ones cannot take it.
 */
static void client_updates_its_key(void **state)
{
    (void)state;
    struct pair *pair = new_pair(TLS_AES_256_GCM);

    hand_over(pair);
    user_sends_text(pair, "old");
    ssize_t size = tls_seal_key_update(&ciphers, &pair->user_tx, true, pair->record);
    assert_true(size > 0);
    write_all(pair->user, pair->record, (size_t)size);
    user_sends_text(pair, "new");
    kernel_expects(pair, "old");
    assert_int_equal(kernel_takes_control(pair, TLS_CONTENT_HANDSHAKE), TLS_EVENT_UPDATE_REQUEST);
    if (support.updates) {
        assert_int_equal(ktls_set_rx(pair->kernel, &pair->kernel_rx), 0);
        kernel_expects(pair, "new");
    } else {
        assert_int_equal(ktls_set_rx(pair->kernel, &pair->kernel_rx), -EBUSY);
        assert_int_equal(kernel_error(pair), -EBADMSG);
    }
    free_pair(pair);
}

static void we_update_our_key(void **state)
{
    (void)state;
    struct pair *pair = new_pair(TLS_AES_128_GCM);
    uint8_t *content;
    size_t len;

    hand_over(pair);
    kernel_sends_text(pair, "old");
    int error = ktls_update_tx(pair->kernel, &pair->kernel_tx, false);
    assert_int_equal(error, support.updates ? 0 : -EBUSY);
    user_expects(pair, "old");
    assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_KEY_UPDATE);
    kernel_sends_text(pair, "new");
    if (support.updates) {
        user_expects(pair, "new");
    } else { /* under the old key, which the other side has given up: why it must be closed */
        assert_int_equal(user_receives(pair, &content, &len), TLS_EVENT_FAULT);
        assert_int_equal(pair->user_rx.alert, TLS_ALERT_BAD_RECORD_MAC);
    }
    free_pair(pair);
}

/* ---- Judging, without a kernel ---- */

static void records_are_judged(void **state)
{
    (void)state;
    static const uint8_t update[] = {24, 0, 0, 1, 0}, close_notify[] = {1, 0};
    static const uint8_t secret[TLS_MAX_SECRET] = {7};
    struct tls_half before;
    struct tls_rx rx;

    assert_int_equal(tls_rx_init(&rx, tls_suite_find(TLS_AES_128_GCM), secret), 0);
    rx.half.sequence = 9;
    before = rx.half;
    /* In two parts, between which no data may come. */
    assert_int_equal(tls_take(&rx, TLS_CONTENT_HANDSHAKE, update, 2), TLS_EVENT_DATA);
    assert_int_equal(tls_take(&rx, TLS_CONTENT_HANDSHAKE, update + 2, 3), TLS_EVENT_KEY_UPDATE);
    assert_int_equal(rx.half.sequence, 0);
    assert_memory_not_equal(rx.half.key, before.key, 16);
    for (unsigned i = 1; i < TLS_MAX_IDLE_RECORDS - 1; i++)
        assert_int_equal(tls_take(&rx, TLS_CONTENT_DATA, NULL, 0), TLS_EVENT_DATA);
    assert_int_equal(tls_take(&rx, TLS_CONTENT_DATA, secret, 1), TLS_EVENT_DATA);
    assert_int_equal(rx.idle_records, 0);
    assert_int_equal(tls_take(&rx, TLS_CONTENT_HANDSHAKE, update, 2), TLS_EVENT_DATA);
    assert_int_equal(tls_take(&rx, TLS_CONTENT_DATA, secret, 1), TLS_EVENT_FAULT);
    assert_int_equal(rx.alert, TLS_ALERT_UNEXPECTED_MESSAGE);
    /* Then it is over. */
    assert_int_equal(tls_take(&rx, TLS_CONTENT_ALERT, close_notify, 2), TLS_EVENT_FAULT);

    assert_int_equal(tls_rx_init(&rx, tls_suite_find(TLS_AES_128_GCM), secret), 0);
    assert_int_equal(tls_take(&rx, TLS_CONTENT_ALERT, close_notify, 2), TLS_EVENT_CLOSE);
    assert_int_equal(tls_take(&rx, TLS_CONTENT_DATA, secret, 1), TLS_EVENT_FAULT);
}

int main(void)
{
    const struct CMUnitTest always[] = {
        cmocka_unit_test(without_the_module),
        cmocka_unit_test(records_are_judged),
    };
    const struct CMUnitTest with_kernel[] = {
        cmocka_unit_test(probe_finds_the_kernel),
        cmocka_unit_test(errors_are_told),
        cmocka_unit_test(kernel_opens_what_we_seal),
        cmocka_unit_test(we_open_what_the_kernel_seals),
        cmocka_unit_test(full_socket),
        cmocka_unit_test(middle_of_the_stream),
        cmocka_unit_test(close_notify_and_alerts),
        cmocka_unit_test(odd_records),
        cmocka_unit_test(faults),
        cmocka_unit_test(client_updates_its_key),
        cmocka_unit_test(we_update_our_key),
    };

    int failed = cmocka_run_group_tests(always, NULL, NULL);
    probed = ktls_probe(&support);
    /* Without it the first says so, once for all. */
    failed += _cmocka_run_group_tests(
        "with_kernel", with_kernel, probed == 0 ? sizeof(with_kernel) / sizeof(with_kernel[0]) : 1,
        NULL, NULL);
    tls_ciphers_wipe(&ciphers);
    return failed;
}
