/* SPDX-License-Identifier: BSD-3-Clause */
/* STUN flat out, and what is no STUN, beside a pair of clients: packets keep their pace, whoever
 * asks is still answered, and never with more than was asked for. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service.h"
#include "traffic.h"
#include "wire/stun.h"

#define FLOOD_MS 3000

struct flood {
    char address[64];
    atomic_bool stop;
    uint64_t requests, others, asked_bytes, answers, answered_bytes;
    pthread_t thread;
};

static int udp_connect(const char *address)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    unsigned port;
    char host[32];

    assert_int_equal(sscanf(address, "%31[^:]:%u", host, &port), 2);
    to.sin_port = htons((uint16_t)port);
    assert_int_equal(inet_pton(AF_INET, host, &to.sin_addr), 1);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void make_request(uint8_t out[STUN_HEADER_SIZE], uint32_t number)
{
    static const uint8_t head[8] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};

    memset(out, 0, STUN_HEADER_SIZE);
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), &number, sizeof(number));
}

static void take_answers(struct flood *flood, int fd)
{
    uint8_t answer[1500];
    ssize_t len;

    while ((len = recv(fd, answer, sizeof(answer), MSG_DONTWAIT)) > 0) {
        flood->answers++;
        flood->answered_bytes += (uint64_t)len;
    }
}

/* Every fourth datagram is none of STUN. */
static void *run_flood(void *arg)
{
    struct flood *flood = arg;
    uint8_t request[STUN_HEADER_SIZE], noise[1200];
    int fd = udp_connect(flood->address);

    memset(noise, 0xa5, sizeof(noise));
    for (uint32_t i = 0; !atomic_load(&flood->stop); i++) {
        bool is_noise = i % 4 == 3;
        make_request(request, i);
        ssize_t sent =
            is_noise ? send(fd, noise, sizeof(noise), 0) : send(fd, request, sizeof(request), 0);
        if (sent > 0) {
            flood->others += is_noise;
            flood->requests += !is_noise;
            flood->asked_bytes += is_noise ? 0 : (uint64_t)sent;
        }
        take_answers(flood, fd);
    }
    struct pollfd item = {.fd = fd, .events = POLLIN};
    while (poll(&item, 1, 200) == 1)
        take_answers(flood, fd);
    close(fd);
    return NULL;
}

/* One who asks again and again, as clients do, is answered soon. */
static void ask_until_answered(const char *address)
{
    uint8_t request[STUN_HEADER_SIZE], answer[1500];
    int fd = udp_connect(address);
    struct pollfd item = {.fd = fd, .events = POLLIN};
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;

    make_request(request, 0xffffffff);
    do {
        assert_true(now_us() < until);
        assert_int_equal(send(fd, request, sizeof(request), 0), sizeof(request));
    } while (poll(&item, 1, 100) == 0);
    assert_true(recv(fd, answer, sizeof(answer), 0) > STUN_HEADER_SIZE);
    assert_memory_equal(answer + 4, request + 4, STUN_HEADER_SIZE - 4);
    close(fd);
}

static void test_flood(void **state)
{
    struct flood flood = {.requests = 0};

    service_make_folder();
    service_write_config(*state, "");
    struct process *daemon = service_start();
    const char *at = strstr(process_log(daemon), "answering STUN on ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "answering STUN on %63s", flood.address), 1);
    struct pair *pair = pair_start(process_address(daemon), 500, 400);
    assert_int_equal(pthread_create(&flood.thread, NULL, run_flood, &flood), 0);
    int64_t until = now_us() + (int64_t)FLOOD_MS * 1000;
    while (now_us() < until)
        ask_until_answered(flood.address);
    atomic_store(&flood.stop, true);
    pthread_join(flood.thread, NULL);
    pair_stop(pair, "a flood of STUN", A_SECOND_US);

    print_message("%llu requests and %llu others sent, %llu answered\n",
                  (unsigned long long)flood.requests, (unsigned long long)flood.others,
                  (unsigned long long)flood.answers);
    assert_true(flood.answers > 0);
    assert_true(flood.answers <= flood.requests);
    /* An answer has 12 bytes more than the least request: the address. */
    assert_true(flood.answered_bytes <= flood.answers * (STUN_HEADER_SIZE + 12));
    assert_true(service_metric(daemon, "hyper_derp_stun_ignored_total{reason=\"malformed\"}") > 0);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"flood", test_flood, CELLS_ALL},
    };
    return matrix_run("stun flood", tests, sizeof(tests) / sizeof(tests[0]));
}
