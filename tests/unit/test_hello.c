/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ServerKey, ClientInfo, ServerInfo. The constants were made with the Go module tailscale.com
 * 1.102.5 (types/key, derp), so that these tests hold both directions against other people's code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "wire/hello.h"
#include "wire/key.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BOX_OVERHEAD  (24 + 16)

#define SERVER_PRIVATE "10181f262d343b424950575e656c737a81888f969da4abb2b9c0c7ced5dce36a"
#define SERVER_PUBLIC  "e52b940ad182cfed595624daaaa892f68f14d52c49ae9016b6ab870e080e8300"
#define CLIENT_PRIVATE "5861686f767d848b9299a0a7aeb5bcc3cad1d8dfe6edf4fb020910171e252c73"
#define CLIENT_PUBLIC  "b709001cacee90feada1ae3d7f491db6e06dc0f02c37cf76319a6dfdcfa6bc0f"
#define MESH_HEX       "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* NodePrivate.SealTo() of JSON that Go made of derp.ClientInfo, behind the client's key. */
static const char plain_client[] = /* Version 2, CanAckPings */
    CLIENT_PUBLIC
    "b84c2cf05c03e577b6cdb7bb043c052405ccf93d8e1658096659ee9a6054ffc7f2fe4c8f582f40e92793"
    "5e52b8198eed2d4001123caf2aa5b2f5056c2e413464a003e387eeadeb86";
static const char mesh_client[] = /* MeshKey, Version 2, CanAckPings, IsProber, AppName */
    CLIENT_PUBLIC
    "b8b84d7694251c453ebad0bff69b1705ed67fa1404e059719d21d0f10009a6d24c4544122bc1df81dcad"
    "7ed86c4a01b35bb118db4ebdc5a7f0f7082017707cfbc39e7c5654fe0e5f0ee5514435dfb1e9ed2ca55e"
    "f38e6fc8af14a39515669eb835ddcfe9da256f9612d1aaef241e512a97b358e5bf6c2c02c66cf8068ee8"
    "703120a77a22906ae890517d00f9ca41c3d5588e6f28702b7ef01498cce9fd9f563386ab347af05ba982"
    "f8ba6630b1c49f65d8f6f70a7b695dee1061e6a6fb992c8325856720ad31078905";
static const char bare_client[] = /* nothing */
    CLIENT_PUBLIC
    "886eb97360dabd8daed6ac4da34952bd5aae52c08e5f3683e3cddab856d46506b7ef2ad6272d497652c1"
    "ad264d1a31a46c01bb5ba993569c69c5b55822";
static const char real_client[] = /* written to the wire by derp.NewClient() */
    CLIENT_PUBLIC
    "7bea4a12b2187840434de43b3c6c7b73ebd612074b200b6a2ec88ef7eacb34765f41ab664fe85197a3af"
    "897c2c18911e7174414842ecf833176d7c7ea2206f50176fa4dc31965585";

/* The same of derp.ServerInfo. */
static const char plain_server[] = /* Version 2 */
    "444603aca1ad7ed1279237d240e38f1e42762e6f6b1a41e561608d23dd2a15a99cbd12b0fc84825f85e0e0db7bf772"
    "a9"
    "da4f2235b6";
static const char paced_server[] = /* and 1,000,000 bytes per second, burst of 65,536 */
    "82de72373ed0f42f15912177d4d78871ae9dc75313786cb410711add5f36f93df64c5887b229b471e5c0793e9cfb27"
    "a8"
    "ad5091d0e0a768da413ac86c07be5db65ff0273bbadce17af67845c9a575f8147ffca76053ad60d6a8c556ed2396fa"
    "ae"
    "cffb794e3557f652b3688bc484099ef0781a811e1047c5";

/* Decodes a constant into memory of its own size, which the caller frees. */
static uint8_t *unhex(const char *hex, size_t *len)
{
    size_t size = strlen(hex) / 2;
    uint8_t *bytes = malloc(size);

    assert_non_null(bytes);
    assert_int_equal(sodium_hex2bin(bytes, size, hex, strlen(hex), NULL, len, NULL), 0);
    assert_int_equal(*len, size);
    return bytes;
}

static hyperderp_private_key private_key(const char *hex)
{
    hyperderp_private_key key;

    assert_int_equal(hyperderp_private_key_parse(&key, hex), 0);
    return key;
}

static hyperderp_key public_key(const char *hex)
{
    hyperderp_key key;

    assert_int_equal(hyperderp_key_parse(&key, hex), 0);
    return key;
}

static struct hello_secret shared_secret(void)
{
    hyperderp_private_key own = private_key(CLIENT_PRIVATE);
    hyperderp_key other = public_key(SERVER_PUBLIC);
    struct hello_secret secret;

    assert_int_equal(hello_secret_derive(&secret, &own, &other), 0);
    return secret;
}

/* Opens a ClientInfo as the relay does; on error the secret must be gone, and nothing else set. */
static int open_client(const uint8_t *payload, size_t len, hyperderp_key *client,
                       struct client_info *info)
{
    static const uint8_t zero[32];
    hyperderp_private_key server = private_key(SERVER_PRIVATE);
    struct hello_secret secret;
    struct hello_secret want = shared_secret();
    hyperderp_key key_before;
    struct client_info info_before;

    memset(&secret, 0, sizeof(secret));
    memset(client, 0x5c, sizeof(*client));
    memset(info, 0x5c, sizeof(*info));
    key_before = *client;
    info_before = *info;
    int err = hello_client_info_open(&server, payload, len, client, info, &secret);
    if (err < 0) {
        assert_memory_equal(&secret, zero, sizeof(secret));
        assert_memory_equal(client, &key_before, sizeof(key_before));
        assert_memory_equal(info, &info_before, sizeof(info_before));
    } else {
        assert_memory_equal(&secret, &want, sizeof(secret));
    }
    return err;
}

static void test_secret_is_the_same_on_both_sides(void **state)
{
    (void)state;
    hyperderp_private_key server = private_key(SERVER_PRIVATE);
    hyperderp_key client = public_key(CLIENT_PUBLIC);
    struct hello_secret at_client = shared_secret();
    struct hello_secret at_server;
    const struct hello_secret zero = {{0}};

    assert_int_equal(hello_secret_derive(&at_server, &server, &client), 0);
    assert_memory_equal(&at_server, &at_client, sizeof(at_client));
    hello_secret_wipe(&at_server);
    assert_memory_equal(&at_server, &zero, sizeof(zero));
}

static void test_weak_points_are_refused(void **state)
{
    (void)state;
    /* The encodings of the points of small order; RFC 7748, section 6.1 tells why. */
    static const char *const weak[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    };
    const struct hello_secret zero = {{0}};
    hyperderp_private_key own = private_key(SERVER_PRIVATE);
    size_t len;
    uint8_t *payload = unhex(plain_client, &len);

    for (size_t i = 0; i < ARRAY_SIZE(weak); i++) {
        hyperderp_key other = public_key(weak[i]);
        struct hello_secret secret;
        hyperderp_key client;
        struct client_info info;

        memset(&secret, 0x5c, sizeof(secret));
        assert_int_equal(hello_secret_derive(&secret, &own, &other), -EBADMSG);
        assert_memory_equal(&secret, &zero, sizeof(zero));
        memcpy(payload, other.bytes, sizeof(other.bytes));
        memset(&secret, 0x5c, sizeof(secret));
        assert_int_equal(hello_client_info_open(&own, payload, len, &client, &info, &secret),
                         -EBADMSG);
        assert_memory_equal(&secret, &zero, sizeof(zero));
    }
    free(payload);
}

static void test_server_key(void **state)
{
    (void)state;
    static const uint8_t begin[] = {0x01, 0, 0, 0, 40, 'D', 'E', 'R', 'P', 0xf0, 0x9f, 0x94, 0x91};
    hyperderp_key server = public_key(SERVER_PUBLIC);
    hyperderp_key read;
    uint8_t *frame = malloc(HELLO_SERVER_KEY_SIZE);

    assert_non_null(frame);
    assert_int_equal(HELLO_SERVER_KEY_SIZE, 45);
    assert_int_equal(hello_server_key_encode(frame, &server), 45);
    assert_memory_equal(frame, begin, sizeof(begin));
    assert_memory_equal(frame + sizeof(begin), server.bytes, 32);

    assert_int_equal(hello_server_key_decode(&read, frame + 5, 40), 0);
    assert_true(hyperderp_key_equal(&read, &server));
    for (size_t i = 0; i < 8; i++) {
        frame[5 + i] ^= 1;
        assert_int_equal(hello_server_key_decode(&read, frame + 5, 40), -EBADMSG);
        frame[5 + i] ^= 1;
    }
    for (size_t n = 0; n < 40; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, frame + 5, n);
        assert_int_equal(hello_server_key_decode(&read, copy, n), -EBADMSG);
        free(copy);
    }
    /* The protocol keeps room behind the key. */
    uint8_t longer[41] = {0};
    memcpy(longer, frame + 5, 40);
    memset(&read, 0, sizeof(read));
    assert_int_equal(hello_server_key_decode(&read, longer, sizeof(longer)), 0);
    assert_true(hyperderp_key_equal(&read, &server));
    free(frame);
}

static void test_client_info_of_tailscale(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        int version;
        bool can_ack_pings;
        bool is_prober;
        bool has_mesh_key;
        const char *app_name;
    } cases[] = {
        {plain_client, 2, true, false, false, ""},
        {real_client, 2, true, false, false, ""},
        {bare_client, 0, false, false, false, ""},
        {mesh_client, 2, true, true, true, "prober \xc3\xa9 <1>"},
    };
    hyperderp_key want = public_key(CLIENT_PUBLIC);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t len;
        uint8_t *payload = unhex(cases[i].payload, &len);
        hyperderp_key client;
        struct client_info info;

        assert_int_equal(open_client(payload, len, &client, &info), 0);
        assert_true(hyperderp_key_equal(&client, &want));
        assert_int_equal(info.version, cases[i].version);
        assert_int_equal(info.can_ack_pings, cases[i].can_ack_pings);
        assert_int_equal(info.is_prober, cases[i].is_prober);
        assert_int_equal(info.has_mesh_key, cases[i].has_mesh_key);
        assert_string_equal(info.app_name, cases[i].app_name);
        if (info.has_mesh_key) {
            hyperderp_key mesh = public_key(MESH_HEX);
            assert_memory_equal(info.mesh_key, mesh.bytes, 32);
        }
        free(payload);
    }
}

static void test_every_spoiled_client_info_is_refused(void **state)
{
    (void)state;
    size_t len;
    uint8_t *payload = unhex(plain_client, &len);
    hyperderp_key client;
    struct client_info info;

    for (size_t i = 0; i < len; i++) {
        payload[i] ^= 1;
        assert_int_equal(open_client(payload, len, &client, &info), -EBADMSG);
        payload[i] ^= 1;
    }
    for (size_t n = 0; n < len; n++) {
        uint8_t *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, payload, n);
        assert_int_equal(open_client(copy, n, &client, &info), -EBADMSG);
        free(copy);
    }

    /* Meant for another relay. */
    hyperderp_private_key other = private_key(CLIENT_PRIVATE);
    struct hello_secret secret;
    assert_int_equal(hello_client_info_open(&other, payload, len, &client, &info, &secret),
                     -EBADMSG);
    free(payload);
}

/* A payload with this text in its box, sealed by a client. */
static uint8_t *seal_text(const void *text, size_t text_len, size_t *len)
{
    struct hello_secret secret = shared_secret();
    hyperderp_key client = public_key(CLIENT_PUBLIC);
    uint8_t *payload = calloc(1, 32 + BOX_OVERHEAD + text_len);

    assert_non_null(payload);
    memcpy(payload, client.bytes, 32);
    memset(payload + 32, 0x11, 24);
    assert_int_equal(
        crypto_box_easy_afternm(payload + 32 + 24, text, text_len, payload + 32, secret.bytes), 0);
    *len = 32 + BOX_OVERHEAD + text_len;
    return payload;
}

static void test_bounds_of_client_info(void **state)
{
    (void)state;
    const size_t most = FRAME_MAX_CLIENT_INFO - 32 - BOX_OVERHEAD;
    char *text = malloc(most + 1);
    hyperderp_key client;
    struct client_info info;
    size_t len;

    assert_non_null(text);
    memset(text, ' ', most + 1);
    memcpy(text, "{\"version\":2}", 13);
    for (size_t more = 0; more < 2; more++) {
        uint8_t *payload = seal_text(text, most + more, &len);
        assert_int_equal(open_client(payload, len, &client, &info), more ? -EBADMSG : 0);
        free(payload);
    }
    static const char *const bad[] = {"", "[]", "{\"version\":\"2\"}", "{} {}"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        uint8_t *payload = seal_text(bad[i], strlen(bad[i]), &len);
        assert_int_equal(open_client(payload, len, &client, &info), -EBADMSG);
        free(payload);
    }
    free(text);
}

/* Sealing what Go sealed, with its nonce, gives the very bytes that Go wrote. */
static void test_client_info_seal(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        struct client_info info;
    } cases[] = {
        {plain_client, {.version = 2, .can_ack_pings = true}},
        {real_client, {.version = 2, .can_ack_pings = true}},
        {bare_client, {0}},
    };
    struct hello_secret secret = shared_secret();
    hyperderp_key client = public_key(CLIENT_PUBLIC);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t len;
        uint8_t *payload = unhex(cases[i].payload, &len);
        struct frame_header header;

        for (size_t room = 0; room <= len + 6; room++) {
            uint8_t *out = malloc(room ? room : 1);
            assert_non_null(out);
            ssize_t size =
                hello_client_info_seal(&secret, &client, payload + 32, &cases[i].info, out, room);
            if (room < len + 5) {
                assert_int_equal(size, -ENOSPC);
            } else {
                assert_int_equal(size, len + 5);
                assert_int_equal(frame_header_decode(out, room, &header), 5);
                assert_int_equal(header.type, FRAME_CLIENT_INFO);
                assert_int_equal(header.length, len);
                assert_memory_equal(out + 5, payload, len);
            }
            free(out);
        }
        free(payload);
    }
}

static void test_largest_client_info_fits(void **state)
{
    (void)state;
    struct hello_secret secret = shared_secret();
    hyperderp_key client = public_key(CLIENT_PUBLIC);
    struct client_info info = {.version = -2147483647 - 1, .is_prober = true, .has_mesh_key = true};
    uint8_t nonce[HELLO_NONCE_SIZE] = {1};
    uint8_t out[HELLO_MAX_CLIENT_INFO];
    struct client_info read;
    hyperderp_key named;

    memset(info.mesh_key, 0xff, sizeof(info.mesh_key));
    memset(info.app_name, '"', INFO_MAX_APP_NAME);
    ssize_t size = hello_client_info_seal(&secret, &client, nonce, &info, out, sizeof(out));
    assert_true(size > 0);
    assert_int_equal(open_client(out + 5, (size_t)size - 5, &named, &read), 0);
    assert_true(hyperderp_key_equal(&named, &client));
    assert_int_equal(read.version, info.version);
    assert_int_equal(read.is_prober, true);
    assert_int_equal(read.can_ack_pings, false);
    assert_memory_equal(read.mesh_key, info.mesh_key, 32);
    assert_string_equal(read.app_name, info.app_name);
}

static void test_server_info_of_tailscale(void **state)
{
    (void)state;
    static const struct {
        const char *payload;
        struct server_info info;
    } cases[] = {
        {plain_server, {2, 0, 0}},
        {paced_server, {2, 1000000, 65536}},
    };
    struct hello_secret secret = shared_secret();

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        size_t len;
        uint8_t *payload = unhex(cases[i].payload, &len);
        struct server_info info;

        assert_int_equal(hello_server_info_open(&secret, payload, len, &info), 0);
        assert_int_equal(info.version, cases[i].info.version);
        assert_int_equal(info.token_bucket_bytes_per_second,
                         cases[i].info.token_bucket_bytes_per_second);
        assert_int_equal(info.token_bucket_bytes_burst, cases[i].info.token_bucket_bytes_burst);

        for (size_t n = 0; n < len; n++) {
            uint8_t *copy = malloc(n ? n : 1);
            assert_non_null(copy);
            memcpy(copy, payload, n);
            assert_int_equal(hello_server_info_open(&secret, copy, n, &info), -EBADMSG);
            free(copy);
            payload[n] ^= 0x80;
            assert_int_equal(hello_server_info_open(&secret, payload, len, &info), -EBADMSG);
            payload[n] ^= 0x80;
        }

        for (size_t room = 0; room <= len + 6; room++) {
            uint8_t *out = malloc(room ? room : 1);
            assert_non_null(out);
            ssize_t size = hello_server_info_seal(&secret, payload, &cases[i].info, out, room);
            if (room < len + 5) {
                assert_int_equal(size, -ENOSPC);
            } else {
                assert_int_equal(size, len + 5);
                assert_int_equal(out[0], FRAME_SERVER_INFO);
                assert_int_equal(out[4], len);
                assert_memory_equal(out + 5, payload, len);
            }
            free(out);
        }
        free(payload);
    }
}

static void test_bounds_of_server_info(void **state)
{
    (void)state;
    struct hello_secret secret = shared_secret();
    char text[HELLO_MAX_SERVER_INFO];
    uint8_t payload[HELLO_MAX_SERVER_INFO + 1] = {7};
    struct server_info info = {9, 9, 9};
    uint8_t out[HELLO_MAX_SERVER_INFO];
    const size_t most = HELLO_MAX_SERVER_INFO - BOX_OVERHEAD;

    memset(text, ' ', sizeof(text));
    memcpy(text, "{\"version\":2}", 13);
    for (size_t more = 0; more < 2; more++) {
        assert_int_equal(crypto_box_easy_afternm(payload + 24, (const uint8_t *)text, most + more,
                                                 payload, secret.bytes),
                         0);
        assert_int_equal(
            hello_server_info_open(&secret, payload, HELLO_MAX_SERVER_INFO + more, &info),
            more ? -EBADMSG : 0);
        assert_int_equal(info.version, 2);
    }
    assert_int_equal(
        crypto_box_easy_afternm(payload + 24, (const uint8_t *)"[2]", 3, payload, secret.bytes), 0);
    assert_int_equal(hello_server_info_open(&secret, payload, BOX_OVERHEAD + 3, &info), -EBADMSG);

    /* The largest of ours fits its own bound. */
    struct server_info largest = {-2147483647 - 1, INT64_MAX, INT64_MAX};
    ssize_t size = hello_server_info_seal(&secret, payload, &largest, out, sizeof(out));
    assert_true(size > 0);
    assert_int_equal(hello_server_info_open(&secret, out + 5, (size_t)size - 5, &info), 0);
    assert_true(info.token_bucket_bytes_burst == INT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_secret_is_the_same_on_both_sides),
        cmocka_unit_test(test_weak_points_are_refused),
        cmocka_unit_test(test_server_key),
        cmocka_unit_test(test_client_info_of_tailscale),
        cmocka_unit_test(test_every_spoiled_client_info_is_refused),
        cmocka_unit_test(test_bounds_of_client_info),
        cmocka_unit_test(test_client_info_seal),
        cmocka_unit_test(test_largest_client_info_fits),
        cmocka_unit_test(test_server_info_of_tailscale),
        cmocka_unit_test(test_bounds_of_server_info),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
