/* SPDX-License-Identifier: BSD-3-Clause */
/* The web server, with a relay of the test's own: paths, methods, figures, hostile requests. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <jansson.h>

#include "curl_library.h"
#include "history.h"
#include "metrics.h"
#include "web.h"

#define STOPS     100
#define STRANGERS 64

struct fixture {
    struct status status;
    struct web *web;
    char address[64];
};

static struct fixture fixture;

static int set_up(void **state)
{
    hyperderp_relay_options options;
    hyperderp_listener_options listener;
    struct config_metrics metrics = {
        .address = "127.0.0.1:0", .debug_endpoints = true, .tls_cert = "", .tls_key = ""};

    (void)state;
    memset(&fixture, 0, sizeof(fixture));
    hyperderp_relay_options_init(&options);
    hyperderp_listener_options_init(&listener);
    options.workers = 2;
    options.engine = HYPERDERP_ENGINE_EPOLL;
    listener.address = "127.0.0.1:0";
    if (hyperderp_relay_new(&fixture.status.relay, &options) != 0 ||
        hyperderp_relay_add_listener(fixture.status.relay, &listener) != 0 ||
        hyperderp_relay_start(fixture.status.relay) != 0 ||
        web_start(&fixture.web, &metrics, &fixture.status, -1) != 0)
        return -1;
    web_address(fixture.web, fixture.address, sizeof(fixture.address));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    web_stop(fixture.web);
    hyperderp_relay_free(fixture.status.relay);
    return 0;
}

static int connect_to_web(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_port = htons((uint16_t)atoi(strrchr(fixture.address, ':') + 1));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends a request and reads until the server closes, or nothing comes for some seconds. */
static char *talk(const char *request)
{
    static char answer[1 << 20];
    size_t len = 0;
    int fd = connect_to_web();

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&item, 1, 8000), 1);
        ssize_t n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    answer[len] = '\0';
    close(fd);
    return answer;
}

static char *ask(const char *method, const char *path)
{
    char request[512];

    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             method, path);
    return talk(request);
}

static const char *body_of(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static void expect_status(const char *answer, int status)
{
    int got = 0;

    assert_int_equal(sscanf(answer, "HTTP/1.1 %d", &got), 1);
    assert_int_equal(got, status);
}

static void each_path_has_its_answer(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path;
        int status;
        const char *has;
    } cases[] = {
        {"GET", "/", 200, "<title>hyper-derp</title>"},
        {"GET", "/metrics", 200, "\nhyper_derp_workers 2\n"},
        {"GET", "/metrics?x=1", 200, "\nhyper_derp_workers 2\n"},
        {"GET", "/health", 200, "\"status\":\"ok\""},
        {"GET", "/status.json", 200, "\"history\":{"},
        {"GET", "/debug/peers", 200, "{\"count\":0,\"peers\":[]}"},
        {"GET", "/debug/workers", 200, "\"loop_turns\":"},
        {"GET", "/debug/mesh", 200, "{\"links\":[],\"watchers\":0}"},
        {"GET", "/debug/other", 404, "not found"},
        {"GET", "/nothing", 404, "not found"},
        {"GET", "//", 404, "not found"},
        {"POST", "/metrics", 405, "only GET and HEAD"},
        {"DELETE", "/", 405, "only GET and HEAD"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *answer = ask(cases[i].method, cases[i].path);
        expect_status(answer, cases[i].status);
        if (!strstr(answer, cases[i].has))
            fail_msg("%s %s: %.300s", cases[i].method, cases[i].path, answer);
        assert_non_null(strstr(answer, "X-Content-Type-Options: nosniff\r\n"));
    }
    const char *head = ask("HEAD", "/metrics");
    expect_status(head, 200);
    assert_string_equal(body_of(head), "");
    assert_non_null(strstr(ask("GET", "/"), "Content-Security-Policy: default-src 'none'"));
    web_set_debug(fixture.web, false);
    expect_status(ask("GET", "/debug/peers"), 404);
}

static void health_follows_the_state(void **state)
{
    (void)state;
    fixture.status.stuck_workers = 1;
    const char *answer = ask("GET", "/health");
    expect_status(answer, 503);
    assert_non_null(strstr(answer, "\"status\":\"stuck\""));
    fixture.status.stuck_workers = 0;
    fixture.status.draining = true;
    answer = ask("GET", "/health");
    expect_status(answer, 503);
    assert_non_null(strstr(answer, "\"status\":\"draining\""));
    assert_non_null(strstr(ask("GET", "/metrics"), "\nhyper_derp_draining 1\n"));
}

/* The names that dashboards rely on. */
static void the_fixed_names_are_there(void **state)
{
    (void)state;
    static const char *const names[] = {"hyper_derp_recv_bytes_total counter",
                                        "hyper_derp_send_bytes_total counter",
                                        "hyper_derp_send_drops_total counter",
                                        "hyper_derp_xfer_drops_total counter",
                                        "hyper_derp_slab_exhausts_total counter",
                                        "hyper_derp_send_errors_total counter",
                                        "hyper_derp_recv_enobufs_total counter",
                                        "hyper_derp_frame_pool_hits_total counter",
                                        "hyper_derp_frame_pool_misses_total counter",
                                        "hyper_derp_packet_allocations_total counter",
                                        "hyper_derp_peers_active gauge",
                                        "hyper_derp_workers gauge"};
    const char *answer = ask("GET", "/metrics");
    char line[128];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(line, sizeof(line), "\n# TYPE %s\n", names[i]);
        if (!strstr(answer, line))
            fail_msg("no %s", names[i]);
    }
    assert_non_null(strstr(answer, "hyper_derp_connections{state=\"open\"} 0\n"));
    assert_non_null(
        strstr(answer, "hyper_derp_drops_total{reason=\"queue_full\",kind=\"disco\"} 0\n"));
    assert_non_null(strstr(answer, "hyper_derp_worker_loop_turns_total{worker=\"1\"} "));
    assert_non_null(strstr(answer, "\nprocess_resident_memory_bytes "));
}

static void tls_is_shown_where_there_is_tls(void **state)
{
    (void)state;
    const char *answer = ask("GET", "/metrics");
    assert_non_null(strstr(answer, "\n# TYPE hyper_derp_tls_certificate_expiry_seconds gauge\n"));
    assert_null(strstr(answer, "\nhyper_derp_tls_certificate_expiry_seconds "));
    assert_non_null(strstr(ask("GET", "/status.json"), "\"tls\":null"));

    fixture.status.certificate_expires = 2000000000;
    fixture.status.certificate_reloads = 3;
    fixture.status.certificate_reload_errors = 2;
    static const char *const samples[] = {
        "hyper_derp_tls_certificate_expiry_seconds 2000000000",
        "hyper_derp_tls_certificate_reloads_total{outcome=\"ok\"} 3",
        "hyper_derp_tls_certificate_reloads_total{outcome=\"failed\"} 2",
        "hyper_derp_tls_handshakes_total{outcome=\"ok\"} 0",
        "hyper_derp_tls_handshakes_total{outcome=\"not_tls\"} 0",
        "hyper_derp_tls_handshakes_total{outcome=\"gave_way\"} 0",
        "hyper_derp_tls_alerts_total{direction=\"sent\"} 0",
        "hyper_derp_tls_records_total{direction=\"opened\"} 0",
        "hyper_derp_tls_connections 0",
        "hyper_derp_connections{state=\"tls\"} 0",
    };
    answer = ask("GET", "/metrics");
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "\n%s\n", samples[i]);
        if (!strstr(answer, line))
            fail_msg("no %s", samples[i]);
    }
    answer = ask("GET", "/status.json");
    assert_non_null(strstr(answer, "\"tls\":{\"certificate_expires\":2000000000,"));
    assert_non_null(strstr(answer, "\"handshakes\":{\"ok\":0,\"not_tls\":0,"));
}

static void hostile_requests_do_no_harm(void **state)
{
    (void)state;
    static char big[40000];
    int idle[8];

    /* Clients that say nothing, or half a request, hold nobody up. */
    for (size_t i = 0; i < 8; i++) {
        idle[i] = connect_to_web();
        assert_true(send(idle[i], "GET / HT", i, MSG_NOSIGNAL) == (ssize_t)i);
    }
    memset(big, 'a', sizeof(big) - 1);
    memcpy(big, "GET /", 5);
    int fd = connect_to_web();
    (void)send(fd, big, sizeof(big) - 1, MSG_NOSIGNAL);
    close(fd);
    fd = connect_to_web();
    (void)send(fd, "\0\xff\r\n\r\n", 6, MSG_NOSIGNAL);
    close(fd);
    const char *answer = talk("POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                              "Content-Length: 5\r\n\r\nhello");
    expect_status(answer, 405);
    expect_status(ask("GET", "/health"), 200);
    for (size_t i = 0; i < 8; i++)
        close(idle[i]);
}

/* libmicrohttpd 0.9.75 reads a response at NULL when it refuses a request while it is stopped. */
static void a_stop_amid_refused_requests_is_clean(void **state)
{
    (void)state;
    struct config_metrics metrics = {.address = "127.0.0.1:0", .tls_cert = "", .tls_key = ""};
    static const char request[] = "GET / HTTP/1.1\r\nHost x\r\n\r\n";
    int strangers[STRANGERS];

    for (unsigned round = 0; round < STOPS; round++) {
        for (size_t i = 0; i < STRANGERS; i++)
            strangers[i] = connect_to_web();
        for (size_t i = 0; i < STRANGERS; i++)
            (void)send(strangers[i], request, sizeof(request) - 1, MSG_NOSIGNAL);
        web_stop(fixture.web);
        for (size_t i = 0; i < STRANGERS; i++)
            close(strangers[i]);
        assert_int_equal(web_start(&fixture.web, &metrics, &fixture.status, -1), 0);
        web_address(fixture.web, fixture.address, sizeof(fixture.address));
    }
}

static void put(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");

    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fchmod(fileno(out), 0600), 0);
    assert_int_equal(fclose(out), 0);
}

/* The status of an answer over TLS, from a server whose certificate is trusted. */
static long fetch_by_tls(const char *path, const char *trusted)
{
    char url[128];
    long status = 0;
    int running = 1;
    CURL *easy = curl.easy_init();
    CURLM *multi = curl.multi_init();

    snprintf(url, sizeof(url), "https://%s%s", fixture.address, path);
    assert_true(easy && multi);
    curl.easy_setopt(easy, CURLOPT_URL, url);
    curl.easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl.easy_setopt(easy, CURLOPT_NOBODY, 1L);
    curl.easy_setopt(easy, CURLOPT_CAINFO, trusted);
    curl.multi_add_handle(multi, easy);
    while (running > 0 && curl.multi_perform(multi, &running) == CURLM_OK)
        curl.multi_poll(multi, NULL, 0, 1000, NULL);
    curl.easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl.multi_remove_handle(multi, easy);
    curl.easy_cleanup(easy);
    curl.multi_cleanup(multi);
    return status;
}

static void it_speaks_tls(void **state)
{
    (void)state;
    char folder[] = "/tmp/hyper-derp-web-XXXXXX", chain[64], key[64], other[64];
    char *chain_pem, *key_pem;
    struct config_metrics metrics = {.address = "127.0.0.1:0", .tls_cert = chain, .tls_key = key};

    assert_non_null(mkdtemp(folder));
    snprintf(chain, sizeof(chain), "%s/chain.pem", folder);
    snprintf(key, sizeof(key), "%s/key.pem", folder);
    snprintf(other, sizeof(other), "%s/other.pem", folder);
    for (int i = 0; i < 2; i++) {
        hyperderp_certificate *certificate;
        assert_int_equal(hyperderp_certificate_make(&certificate, "127.0.0.1", 90), 0);
        assert_int_equal(hyperderp_certificate_write(certificate, &chain_pem, &key_pem), 0);
        put(i == 0 ? other : chain, chain_pem);
        put(key, key_pem);
        hyperderp_pem_free(chain_pem);
        hyperderp_pem_free(key_pem);
        hyperderp_certificate_free(certificate);
    }
    assert_int_equal(curl_library_load(), 0);
    assert_int_equal(curl.global_init(CURL_GLOBAL_ALL), 0);
    web_stop(fixture.web);
    assert_int_equal(web_start(&fixture.web, &metrics, &fixture.status, -1), 0);
    web_address(fixture.web, fixture.address, sizeof(fixture.address));
    assert_int_equal(fetch_by_tls("/metrics", chain), 200);
    assert_int_equal(fetch_by_tls("/nowhere", chain), 404);
    assert_int_equal(fetch_by_tls("/metrics", other), 0);
    curl.global_cleanup();
    assert_int_equal(unlink(chain) | unlink(key) | unlink(other) | rmdir(folder), 0);
}

static void a_second_becomes_a_sample(void **state)
{
    (void)state;
    static struct history history;

    history_init(&history);
    for (int i = 0; i < HISTORY_SECONDS + 5; i++)
        history_add(&history, fixture.status.relay, 1000 * (i + 1));
    json_t *json = history_json(&history);
    assert_int_equal(json_array_size(json_object_get(json, "peers")), HISTORY_SECONDS);
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "drops"), "queue_full")),
                     HISTORY_SECONDS);
    json_decref(json);
    history_destroy(&history);
}

static void an_address_in_use_is_told(void **state)
{
    (void)state;
    struct config_metrics metrics = {.address = fixture.address, .tls_cert = "", .tls_key = ""};
    struct web *second;

    assert_int_equal(web_start(&second, &metrics, &fixture.status, -1), -EADDRINUSE);
    metrics.address = "127.0.0.1:0";
    metrics.tls_cert = metrics.tls_key = "/nonexistent.pem";
    assert_int_equal(web_start(&second, &metrics, &fixture.status, -1), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_path_has_its_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(health_follows_the_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_fixed_names_are_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tls_is_shown_where_there_is_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_requests_do_no_harm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stop_amid_refused_requests_is_clean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_speaks_tls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_second_becomes_a_sample, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_address_in_use_is_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
