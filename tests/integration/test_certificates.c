/* SPDX-License-Identifier: BSD-3-Clause */
/* The daemon's certificates as clients see them: kept over a restart, changed by SIGHUP and by a
 * rename, told to operators. */
#include <jansson.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service.h"
#include "traffic.h"

#define CONFIG 78
#define PIN    (sizeof("sha256-raw:") + 64)

/* ---- A client ---- */

struct tls_client {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
};

/* Any certificate will do: the test looks at it afterwards. */
static void tls_connect(struct tls_client *client, struct process *daemon)
{
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};

    client->fd = tcp_connect(process_address(daemon));
    setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    client->context = SSL_CTX_new(TLS_client_method());
    client->ssl = SSL_new(client->context);
    assert_non_null(client->ssl);
    SSL_set_fd(client->ssl, client->fd);
    /* A ring that this program had for a moment may end a system call early, as a signal does. */
    int done = SSL_connect(client->ssl), error = SSL_get_error(client->ssl, done);
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        done = SSL_connect(client->ssl);
    assert_int_equal(done, 1);
}

static void tls_close(struct tls_client *client)
{
    SSL_free(client->ssl);
    SSL_CTX_free(client->context);
    close(client->fd);
}

/* A request over it has its answer. */
static void tls_request(struct tls_client *client)
{
    static const char request[] = "GET /derp/probe HTTP/1.0\r\n\r\n";
    char answer[512];

    assert_int_equal(SSL_write(client->ssl, request, sizeof(request) - 1), sizeof(request) - 1);
    int n = SSL_read(client->ssl, answer, sizeof(answer) - 1);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_contains(answer, "HTTP/1.1 200 ");
}

static void pin_of(const uint8_t hash[32], char pin[PIN])
{
    int at = sprintf(pin, "sha256-raw:");

    for (size_t i = 0; i < 32; i++)
        at += sprintf(pin + at, "%02x", hash[i]);
}

/* The hash of the server's own certificate. */
static void seen_pin(const struct tls_client *client, char pin[PIN])
{
    X509 *leaf = SSL_get1_peer_certificate(client->ssl);
    uint8_t hash[32];
    unsigned len = sizeof(hash);

    assert_non_null(leaf);
    assert_int_equal(X509_digest(leaf, EVP_sha256(), hash, &len), 1);
    pin_of(hash, pin);
    X509_free(leaf);
}

/* A new connection gets this certificate, and works. */
static void expect_pin(struct process *daemon, const char *pin)
{
    struct tls_client client;
    char seen[PIN];

    tls_connect(&client, daemon);
    seen_pin(&client, seen);
    assert_string_equal(seen, pin);
    tls_request(&client);
    tls_close(&client);
}

static void await_metric(struct process *daemon, const char *name, double value)
{
    int64_t end = now_us() + PATIENCE_MS * INT64_C(1000);

    while (service_metric(daemon, name) != value)
        assert_true(now_us() < end);
}

/* ---- Files ---- */

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

/* Makes a certificate for a host, and puts chain.pem and key.pem in the place of what was there. */
static hyperderp_certificate *install(const char *host, char pin[PIN])
{
    uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE];
    hyperderp_certificate *certificate;
    char *chain, *key;

    assert_int_equal(hyperderp_certificate_make(&certificate, host, 90), 0);
    assert_int_equal(hyperderp_certificate_write(certificate, &chain, &key), 0);
    assert_int_equal(hyperderp_certificate_hash(certificate, hash), 0);
    pin_of(hash, pin);
    write_text(service_path("fresh"), chain);
    assert_int_equal(rename(service_path("fresh"), service_path("chain.pem")), 0);
    write_text(service_path("fresh"), key);
    assert_int_equal(rename(service_path("fresh"), service_path("key.pem")), 0);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    return certificate;
}

/* One TLS listener; tls is what stands in [tls]. */
static void write_config(const struct cell *cell, const char *tls)
{
    char text[512];

    snprintf(text, sizeof(text), "[[listener]]\naddress = \"127.0.0.1:0\"\n[tls]\n%s", tls);
    service_write_text(cell, text);
}

static void write_config_with_files(const struct cell *cell)
{
    char tls[400];

    snprintf(tls, sizeof(tls), "hostname = \"a.example\"\ncert = \"%s\"\nkey = \"%s\"\n",
             service_path("chain.pem"), service_path("key.pem"));
    write_config(cell, tls);
}

/* ---- Tests ---- */

/* Runs `hyper-derp derpmap` and returns the CertName in its JSON. */
static void pin_of_derpmap(char pin[PIN])
{
    const char *arguments[] = {"derpmap", "-c", service_file, NULL};
    struct process *process = process_spawn(DAEMON, arguments, -1);

    assert_int_equal(process_wait(process, PATIENCE_MS), 0);
    json_t *policy = json_loads(process_output(process), 0, NULL);
    assert_non_null(policy);
    json_t *region =
        json_object_get(json_object_get(json_object_get(policy, "derpMap"), "Regions"), "900");
    json_t *node = json_array_get(json_object_get(region, "Nodes"), 0);
    assert_string_equal(json_string_value(json_object_get(node, "HostName")), "203.0.113.5");
    assert_string_equal(json_string_value(json_object_get(node, "IPv4")), "203.0.113.5");
    assert_null(json_object_get(node, "InsecureForTests"));
    snprintf(pin, PIN, "%s", json_string_value(json_object_get(node, "CertName")));
    json_decref(policy);
    process_free(process);
}

/* The node that the daemon says at its start has the port that the kernel chose. */
static void expect_node_in_log(struct process *daemon, const char *pin)
{
    char end[PIN + 2];

    snprintf(end, sizeof(end), "%s\"}", pin);
    process_await_log(daemon, end);
    const char *at = strstr(process_log(daemon), "the node for a DERPMap: ");
    assert_non_null(at);
    json_t *node = json_loads(strchr(at, '{'), JSON_DISABLE_EOF_CHECK, NULL);
    assert_non_null(node);
    assert_string_equal(json_string_value(json_object_get(node, "CertName")), pin);
    assert_int_equal(json_integer_value(json_object_get(node, "DERPPort")), process_port(daemon));
    json_decref(node);
}

static void test_self_signed_is_kept(void **state)
{
    char pin[PIN], again[PIN];

    service_make_folder();
    write_config(*state, "hostname = \"203.0.113.5\"\n");
    pin_of_derpmap(pin); /* before the first start: it makes the certificate */
    for (unsigned i = 0; i < 2; i++) {
        struct process *daemon = service_start();
        assert_null(strstr(process_log(daemon), "made a self-signed"));
        expect_node_in_log(daemon, pin);
        expect_pin(daemon, pin);
        assert_true(service_metric(daemon, "hyper_derp_tls_handshakes_total{outcome=\"ok\"}") == 1);
        pin_of_derpmap(again);
        assert_string_equal(again, pin);
        process_stop(daemon);
        process_free(daemon);
    }
    service_remove_folder();
}

/* By default there is one, and nobody has to have made it before. */
static void test_first_start_makes_one(void **state)
{
    struct stat info;
    char pin[PIN];

    service_make_folder();
    write_config(*state, "hostname = \"203.0.113.5\"\n");
    struct process *daemon = service_start();
    assert_contains(process_log(daemon), "made a self-signed certificate for 203.0.113.5");
    assert_int_equal(stat(service_path("certs/self-signed.key"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    pin_of_derpmap(pin);
    expect_pin(daemon, pin);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

/* What was connected before stays; what comes after has the other certificate. */
static void test_reload_changes_it(void **state)
{
    char first[PIN], second[PIN];
    struct tls_client before;

    service_make_folder();
    write_config(*state, "hostname = \"203.0.113.5\"\n");
    struct process *daemon = service_start();
    tls_connect(&before, daemon);
    seen_pin(&before, first);

    hyperderp_certificate *certificate = install("a.example", second);
    write_config_with_files(*state);
    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "tls.hostname \"203.0.113.5\" -> \"a.example\"");
    expect_pin(daemon, second);
    tls_request(&before);
    tls_close(&before);
    assert_true(service_metric(daemon, "hyper_derp_tls_certificate_expiry_seconds") ==
                (double)hyperderp_certificate_expires(certificate));
    assert_true(
        service_metric(daemon, "hyper_derp_tls_certificate_reloads_total{outcome=\"ok\"}") == 1);
    hyperderp_certificate_free(certificate);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void test_rename_changes_it(void **state)
{
    char first[PIN], second[PIN];

    service_make_folder();
    hyperderp_certificate_free(install("a.example", first));
    write_config_with_files(*state);
    struct process *daemon = service_start();
    expect_pin(daemon, first);
    hyperderp_certificate_free(install("a.example", second));
    process_await_log(daemon, "another certificate is in use");
    expect_pin(daemon, second);
    assert_null(strstr(process_log(daemon), "error"));
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void test_bad_pair_keeps_the_old_one(void **state)
{
    char first[PIN], second[PIN];

    service_make_folder();
    hyperderp_certificate_free(install("a.example", first));
    write_config_with_files(*state);
    struct process *daemon = service_start();
    write_text(service_path("chain.pem"), "this is no certificate\n");
    process_await_log(daemon, "the certificate that was read before stays in use");
    assert_contains(process_log(daemon), "no certificate in the chain file");
    expect_pin(daemon, first);
    assert_true(service_metric(
                    daemon, "hyper_derp_tls_certificate_reloads_total{outcome=\"failed\"}") == 1);

    kill(process_pid(daemon), SIGHUP);
    process_await_log(daemon, "was not reloaded: everything stays as it was");
    expect_pin(daemon, first);

    hyperderp_certificate_free(install("a.example", second));
    process_await_log(daemon, "another certificate is in use");
    expect_pin(daemon, second);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

static void test_mistakes_are_told(void **state)
{
    char pin[PIN];

    service_make_folder();
    write_config_with_files(*state);
    struct process *daemon = service_refuses(CONFIG);
    assert_contains(process_log(daemon), "chain.pem: No such file or directory");
    process_free(daemon);

    hyperderp_certificate_free(install("a.example", pin));
    write_text(service_path("key.pem"), "no key\n");
    daemon = service_refuses(CONFIG);
    assert_contains(process_log(daemon), "no private key without a passphrase in the key file");
    process_free(daemon);

    /* The map needs a name; --check-config looks into the files. */
    const char *derpmap[] = {"derpmap", "-c", service_file, NULL};
    const char *check[] = {"-c", service_file, "--check-config", NULL};
    daemon = process_spawn(DAEMON, check, -1);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), CONFIG);
    assert_contains(process_log(daemon), "no private key");
    process_free(daemon);
    write_config(*state, "");
    daemon = process_spawn(DAEMON, derpmap, -1);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), CONFIG);
    assert_contains(process_log(daemon), "tls.hostname is not set");
    assert_string_equal(process_output(daemon), "");
    process_free(daemon);
    service_remove_folder();
}

/* Not only TLS comes to the port: it is counted, and harms nobody. */
static void test_other_things_on_the_port(void **state)
{
    static const char plain[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    service_make_folder();
    write_config(*state, "hostname = \"203.0.113.5\"\n");
    struct process *daemon = service_start();
    int fd = tcp_connect(process_address(daemon));
    assert_int_equal(send(fd, plain, sizeof(plain) - 1, MSG_NOSIGNAL), sizeof(plain) - 1);
    assert_true(tcp_await_end(fd, PATIENCE_MS));
    close(fd);
    assert_true(service_metric(daemon, "hyper_derp_tls_handshakes_total{outcome=\"not_tls\"}") ==
                1);
    assert_true(service_metric(daemon, "hyper_derp_tls_handshakes_total{outcome=\"ok\"}") == 0);
    struct tls_client client;
    tls_connect(&client, daemon);
    await_metric(daemon, "hyper_derp_tls_connections", 1); /* its last message is on the way yet */
    tls_request(&client);
    tls_close(&client);
    process_stop(daemon);
    process_free(daemon);
    service_remove_folder();
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"self_signed_is_kept", test_self_signed_is_kept, CELLS_ONE},
        {"first_start_makes_one", test_first_start_makes_one, CELLS_ONE},
        {"reload_changes_it", test_reload_changes_it, CELLS_ALL},
        {"rename_changes_it", test_rename_changes_it, CELLS_ENGINES},
        {"bad_pair_keeps_the_old_one", test_bad_pair_keeps_the_old_one, CELLS_ONE},
        {"mistakes_are_told", test_mistakes_are_told, CELLS_ONE},
        {"other_things_on_the_port", test_other_things_on_the_port, CELLS_ENGINES},
    };

    umask(077); /* private keys are among what is written */
    return matrix_run("certificates", tests, sizeof(tests) / sizeof(tests[0]));
}
