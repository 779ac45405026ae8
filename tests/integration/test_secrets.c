/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the daemon's secrets are, and where not: its memory, as another process sees it, and all
 * that it says. */
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "service.h"
#include "traffic.h"

#define CONFIG 78
#define TOKEN  "t0ken-of-the-verify-url"

/* ---- Looking through the memory of a process ---- */

struct found {
    unsigned kept;   /* copies in memory that is kept out of core dumps */
    unsigned dumped; /* others */
};

static unsigned count_in(const uint8_t *bytes, size_t len, const void *needle, size_t needle_len)
{
    const uint8_t *at = bytes;
    unsigned count = 0;

    while ((at = memmem(at, len - (size_t)(at - bytes), needle, needle_len)) != NULL) {
        count++;
        at++;
    }
    return count;
}

static unsigned count_in_mapping(int memory, unsigned long from, unsigned long to,
                                 const void *needle, size_t len)
{
    size_t size = to - from, got = 0;
    uint8_t *bytes = malloc(size);
    ssize_t n = 1;

    assert_non_null(bytes);
    while (got < size && n > 0) {
        n = pread(memory, bytes + got, size - got, (off_t)(from + got));
        got += n > 0 ? (size_t)n : 0;
    }
    unsigned count = got >= len ? count_in(bytes, got, needle, len) : 0;
    free(bytes);
    return count;
}

/* Whether the flags that smaps tells of a mapping have "dd", do not dump. */
static bool is_kept_out_of_dumps(const char *flags)
{
    return strstr(flags, " dd ") != NULL;
}

/* The process stands still meanwhile. */
static struct found find(const struct process *daemon, const void *needle, size_t len)
{
    char name[64], line[512];
    unsigned long from = 0, to = 0;
    struct found found = {0};
    bool writable = false;

    assert_int_equal(kill(process_pid(daemon), SIGSTOP), 0);
    snprintf(name, sizeof(name), "/proc/%d/smaps", (int)process_pid(daemon));
    FILE *maps = fopen(name, "r");
    snprintf(name, sizeof(name), "/proc/%d/mem", (int)process_pid(daemon));
    int memory = open(name, O_RDONLY | O_CLOEXEC);
    assert_non_null(maps);
    assert_true(memory >= 0);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long begin, limit;
        char access[8];
        if (sscanf(line, "%lx-%lx %7s", &begin, &limit, access) == 3) {
            from = begin;
            to = limit;
            writable = access[0] == 'r' && access[1] == 'w';
        }
        if (!writable || strncmp(line, "VmFlags:", 8) != 0)
            continue;
        unsigned count = count_in_mapping(memory, from, to, needle, len);
        if (is_kept_out_of_dumps(line))
            found.kept += count;
        else
            found.dumped += count;
    }
    fclose(maps);
    close(memory);
    assert_int_equal(kill(process_pid(daemon), SIGCONT), 0);
    return found;
}

static void expect(const char *what, const struct process *daemon, const void *needle, size_t len,
                   unsigned kept)
{
    struct found found = find(daemon, needle, len);

    if (found.kept != kept || found.dumped != 0)
        fail_msg(
            "%s: %u copies in memory that is kept out of core dumps instead of %u, %u in other "
            "memory instead of none",
            what, found.kept, kept, found.dumped);
}

/* A sanitizer maps terabytes for itself, and keeps freed memory back. */
static void needs_plain_memory(void)
{
    if (SANITIZED) {
        print_message("the memory of a build with sanitizers cannot be looked through\n");
        skip();
    }
}

/* ---- The secrets ---- */

struct secrets {
    hyperderp_private_key key;
    char key_text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE];
    uint8_t mesh_key[HYPERDERP_MESH_KEY_SIZE];
    char mesh_text[2 * HYPERDERP_MESH_KEY_SIZE + 1];
};

static void write_text(const char *path, const char *format, const char *text, mode_t mode)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fprintf(out, format, text);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(path, mode), 0);
}

/* key_format: of our form, or derper's. */
static void make_secrets(struct secrets *secrets, const char *key_format)
{
    service_make_folder();
    assert_int_equal(mkdir(service_path("certs"), 0700), 0);
    assert_int_equal(hyperderp_private_key_generate(&secrets->key), 0);
    hyperderp_private_key_format(&secrets->key, secrets->key_text);
    write_text(service_key, key_format, secrets->key_text, 0600);
    randombytes_buf(secrets->mesh_key, sizeof(secrets->mesh_key));
    sodium_bin2hex(secrets->mesh_text, sizeof(secrets->mesh_text), secrets->mesh_key,
                   sizeof(secrets->mesh_key));
    write_text(service_path("mesh.key"), "%s\n", secrets->mesh_text, 0600);
}

/* Of the relay's key and the region's there is one copy each, in the vault. The bytes at the ends
 * of a private key are changed where it is used, so those between are looked for. */
static void expect_in_vault_alone(const struct process *daemon, const struct secrets *secrets,
                                  unsigned keys)
{
    const char *digits = strchr(secrets->key_text, ':') + 1;

    expect("private key", daemon, secrets->key.bytes + 1, sizeof(secrets->key) - 2, keys);
    expect("private key as text", daemon, digits + 2, 60, 0);
    expect("mesh key", daemon, secrets->mesh_key, sizeof(secrets->mesh_key), 1);
    expect("mesh key as text", daemon, secrets->mesh_text, 64, 0);
}

/* ---- Two nodes of a region ---- */

/* The other node has a key of its own, which does not matter here. */
static struct process *start_other(const struct cell *cell)
{
    FILE *out = fopen(service_path("other.toml"), "w");

    assert_non_null(out);
    fprintf(out,
            "workers = %u\nkey_file = \"%s\"\nlog_level = \"debug\"\n"
            "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
            "[mesh]\nkey_file = \"%s\"\n"
            "[metrics]\naddress = \"\"\n[stun]\naddress = \"\"\n[io]\nengine = \"%s\"\n",
            cell->workers, service_path("other.key"), service_path("mesh.key"),
            hyperderp_engine_name(cell->engine));
    assert_int_equal(fclose(out), 0);
    struct process *other =
        process_spawn(DAEMON, (const char *[]){"-c", service_path("other.toml"), NULL}, -1);
    process_await_ready(other);
    return other;
}

static void write_config(const struct cell *cell, const struct process *other, const char *timeout)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "log_level = \"debug\"\n"
             "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
             "[[listener]]\naddress = \"127.0.0.1:0\"\n"
             "[tls]\nhostname = \"127.0.0.1\"\n"
             "[mesh]\nkey_file = \"%s\"\nwith = [\"http://%s\"]\n"
             "[access]\nverify_client_url = \"http://127.0.0.1:1/%s?key=%s\"\n"
             "verify_timeout = \"%s\"\n",
             service_path("mesh.key"), process_address(other), TOKEN, TOKEN, timeout);
    service_write_text(cell, text);
}

static struct process *start_node(const struct cell *cell, const struct process *other)
{
    write_config(cell, other, "5s");
    struct process *daemon = service_start();
    process_await_log(daemon, "connected"); /* with the other node */
    return daemon;
}

static void pass_a_packet(const struct process *daemon)
{
    struct client_socket *a = client_join(process_address(daemon), NULL);
    struct client_socket *b = client_join(process_address(daemon), NULL);

    client_send(a, b, "a packet of some length", 23);
    client_expect_packet(b, a, "a packet of some length", 23);
    client_socket_close(a);
    client_socket_close(b);
}

static void end(struct process *daemon, struct process *other)
{
    process_stop(daemon);
    process_stop(other);
    process_free(daemon);
    process_free(other);
    service_remove_folder();
}

static void test_keys_in_memory(void **state)
{
    static const char *const formats[] = {"%s\n", "{\"PrivateKey\": \"%s\"}"};

    needs_plain_memory();
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct secrets secrets;
        make_secrets(&secrets, formats[i]);
        struct process *other = start_other(*state), *daemon = start_node(*state, other);
        pass_a_packet(daemon);
        expect_in_vault_alone(daemon, &secrets, 1);
        expect_in_vault_alone(other, &secrets, 0);
        end(daemon, other);
    }
}

/* ---- The certificate's key ---- */

static void test_certificate_key_in_memory(void **state)
{
    uint8_t bytes[32], reversed[32];
    char line[80] = "", text[4096] = "";
    struct secrets secrets;
    BIGNUM *scalar = NULL;

    needs_plain_memory();
    make_secrets(&secrets, "%s\n");
    struct process *other = start_other(*state), *daemon = start_node(*state, other);
    FILE *in = fopen(service_path("certs/self-signed.key"), "r");
    assert_non_null(in);
    EVP_PKEY *key = PEM_read_PrivateKey(in, NULL, NULL, NULL);
    assert_non_null(key);
    rewind(in);
    /* The second line: the first one behind the header is much the same for all keys. */
    for (int i = 0; i < 3; i++)
        assert_non_null(fgets(line, sizeof(line), in));
    fclose(in);
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &scalar), 1);
    assert_int_equal(BN_bn2binpad(scalar, bytes, 32), 32);
    for (int i = 0; i < 32; i++)
        reversed[i] = bytes[31 - i];
    /* As a number of OpenSSL's it is there once, as long as the relay needs it. What it was read
     * from is not. */
    pass_a_packet(daemon);
    struct found found = find(daemon, reversed, sizeof(reversed));
    assert_int_equal(found.kept + found.dumped, 1);
    expect("certificate's key", daemon, bytes, sizeof(bytes), 0);
    snprintf(text, sizeof(text), "%.60s", line);
    expect("certificate's key as text", daemon, text, 60, 0);
    BN_clear_free(scalar);
    EVP_PKEY_free(key);
    end(daemon, other);
}

/* ---- The keys of a connection ---- */

static char key_log[4096];

static void log_key(const SSL *ssl, const char *line)
{
    (void)ssl;
    size_t len = strlen(key_log);
    snprintf(key_log + len, sizeof(key_log) - len, "%s\n", line);
}

/* A secret of the connection, by its label in the key log. Its length. */
static size_t secret_of(const char *label, uint8_t secret[64])
{
    const char *at = strstr(key_log, label);
    size_t len = 0;

    assert_non_null(at);
    at = strchr(strchr(at, ' ') + 1, ' ') + 1; /* behind the client's random bytes */
    assert_int_equal(sodium_hex2bin(secret, 64, at, strcspn(at, "\n"), NULL, &len, NULL), 0);
    return len;
}

static void test_traffic_secrets_in_memory(void **state)
{
    static const char *const handshake[] = {"CLIENT_HANDSHAKE_TRAFFIC_SECRET",
                                            "SERVER_HANDSHAKE_TRAFFIC_SECRET", "EXPORTER_SECRET"};
    static const char *const traffic[] = {"CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0"};
    static const char request[] = "GET /derp/probe HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[1024], address[64];
    struct secrets secrets;
    uint8_t secret[64];

    needs_plain_memory();
    make_secrets(&secrets, "%s\n");
    struct process *other = start_other(*state), *daemon = start_node(*state, other);
    const char *at = strstr(process_log(daemon), "(DERP, plain TCP");
    assert_non_null(at = strstr(at, "listening on "));
    assert_int_equal(sscanf(at, "listening on %63s", address), 1);
    key_log[0] = '\0';
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_keylog_callback(context, log_key);
    SSL *ssl = SSL_new(context);
    int fd = tcp_connect(address);
    SSL_set_fd(ssl, fd);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, request, sizeof(request) - 1), sizeof(request) - 1);
    assert_true(SSL_read(ssl, answer, sizeof(answer)) > 0);
    for (size_t i = 0; i < sizeof(handshake) / sizeof(handshake[0]); i++)
        expect(handshake[i], daemon, secret, secret_of(handshake[i], secret), 0);
    for (size_t i = 0; i < sizeof(traffic) / sizeof(traffic[0]); i++)
        expect(traffic[i], daemon, secret, secret_of(traffic[i], secret), 1);
    SSL_shutdown(ssl);
    SSL_free(ssl);
    SSL_CTX_free(context);
    assert_true(tcp_await_end(fd, PATIENCE_MS));
    close(fd);
    pass_a_packet(daemon); /* the connection has been freed by then */
    for (size_t i = 0; i < sizeof(traffic) / sizeof(traffic[0]); i++)
        expect(traffic[i], daemon, secret, secret_of(traffic[i], secret), 0);
    end(daemon, other);
}

/* ---- What is said ---- */

static void expect_none_in(const char *where, const char *text, const struct secrets *secrets)
{
    const char *const needles[] = {strchr(secrets->key_text, ':') + 1, secrets->mesh_text, TOKEN,
                                   "PRIVATE KEY-----"};

    for (size_t i = 0; i < sizeof(needles) / sizeof(needles[0]); i++)
        if (strcasestr(text, needles[i]))
            fail_msg("a secret (%zu) is in %s:\n%s", i, where, text);
}

static void run_command(const char *const *arguments, int status, const struct secrets *secrets)
{
    struct process *command = process_spawn(DAEMON, arguments, -1);

    assert_int_equal(process_wait(command, PATIENCE_MS), status);
    expect_none_in("what a command prints", process_output(command), secrets);
    expect_none_in("what a command says", process_log(command), secrets);
    process_free(command);
}

static void test_nothing_is_said(void **state)
{
    static const char *const pages[] = {"/",           "/metrics",       "/health",
                                        "/debug/mesh", "/debug/workers", "/debug/peers"};
    struct secrets secrets;

    make_secrets(&secrets, "%s\n");
    struct process *other = start_other(*state), *daemon = start_node(*state, other);
    pass_a_packet(daemon);
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        expect_none_in(pages[i], service_fetch(daemon, pages[i]), &secrets);

    run_command((const char *[]){"-c", service_file, "--print-config", NULL}, 0, &secrets);
    run_command((const char *[]){"-c", service_file, "--check-config", NULL}, 0, &secrets);
    run_command((const char *[]){"derpmap", "-c", service_file, NULL}, 0, &secrets);
    run_command((const char *[]){"keygen", "--pub", service_key, NULL}, 0, &secrets);

    /* A reload that changes something, one that changes the URL, one that fails. */
    write_config(*state, other, "4s");
    assert_int_equal(kill(process_pid(daemon), SIGHUP), 0);
    process_await_log(daemon, "verify_timeout");
    FILE *out = fopen(service_file, "a");
    assert_non_null(out);
    fputs("[limits]\nmax_connections = \"" TOKEN, out);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(kill(process_pid(daemon), SIGHUP), 0);
    process_await_log(daemon, "was not reloaded");
    process_stop(daemon);
    process_stop(other);
    /* What was wrong is quoted, but not where the token belongs. */
    char *log = strdup(process_log(daemon)), *quoted;
    assert_non_null(log);
    assert_non_null(strstr(log, "verify_url"));
    while ((quoted = strstr(log, "max_connections")) != NULL)
        memset(quoted, '-', strcspn(quoted, "\n"));
    expect_none_in("the log", log, &secrets);
    free(log);
    expect_none_in("the other's log", process_log(other), &secrets);
    process_free(daemon);
    process_free(other);
    service_remove_folder();
}

/* ---- Files that are open to others ---- */

static void test_open_files_are_refused(void **state)
{
    const char *const files[] = {service_key, NULL, NULL};
    struct secrets secrets;
    char line[256];

    make_secrets(&secrets, "%s\n");
    struct process *other = start_other(*state), *daemon = start_node(*state, other);
    process_stop(daemon);
    process_free(daemon);
    for (int i = 0; i < 3; i++) {
        const char *file = i == 0   ? files[0]
                           : i == 1 ? service_path("mesh.key")
                                    : service_path("certs/self-signed.key");
        assert_int_equal(chmod(file, 0644), 0);
        daemon = service_refuses(CONFIG);
        snprintf(line, sizeof(line), "%s: others can read or change it (mode 0644): chmod ", file);
        assert_contains(process_log(daemon), line);
        expect_none_in("the log", process_log(daemon), &secrets);
        process_free(daemon);
        assert_int_equal(chmod(file, 0600), 0);
    }
    daemon = service_start();
    end(daemon, other);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"keys_in_memory", test_keys_in_memory, CELLS_ENGINES},
        {"certificate_key_in_memory", test_certificate_key_in_memory, CELLS_ONE},
        {"traffic_secrets_in_memory", test_traffic_secrets_in_memory, CELLS_ENGINES},
        {"nothing_is_said", test_nothing_is_said, CELLS_ONE},
        {"open_files_are_refused", test_open_files_are_refused, CELLS_ONE},
    };

    return matrix_run("secrets", tests, sizeof(tests) / sizeof(tests[0]));
}
