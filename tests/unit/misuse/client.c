/* SPDX-License-Identifier: BSD-3-Clause */
/* Of client.h. What a client says in each moment of its life is in test_client_session. */
#include "misuse.h"

static const hyperderp_key nobody = {{1}};
static const uint8_t data[HYPERDERP_PING_SIZE];

static void set_options(hyperderp_client_options *options)
{
    hyperderp_client_options_init(options);
    options->host = "relay.example";
    options->security = HYPERDERP_CLIENT_PLAIN;
}

/* One whose relay has said nothing yet. */
static hyperderp_client *new_client(void)
{
    hyperderp_client_options options;
    hyperderp_client *client;

    set_options(&options);
    assert_int_equal(hyperderp_client_new(&client, &options), 0);
    return client;
}

MISUSE(hyperderp_client_options_init_sized)
{
    hyperderp_client_options options = {.max_output = 77};

    hyperderp_client_options_init_sized(NULL, sizeof(options));
    hyperderp_client_options_init_sized(&options, 0);
    hyperderp_client_options_init_sized(&options, sizeof(size_t) - 1);
    assert_int_equal(options.max_output, 77);
}

MISUSE(hyperderp_client_new)
{
    struct {
        hyperderp_client_options known;
        uint64_t newer;
    } later;
    hyperderp_client_options options;
    hyperderp_client *client;

    set_options(&options);
    assert_int_equal(hyperderp_client_new(NULL, &options), -EINVAL);
    assert_int_equal(hyperderp_client_new(&client, NULL), -EINVAL);
    assert_null(client);
    options.size = 0;
    assert_int_equal(hyperderp_client_new(&client, &options), -EINVAL);
    options.size = SIZE_MAX;
    assert_int_equal(hyperderp_client_new(&client, &options), -E2BIG);
    set_options(&options);
    options.security = MISUSE_ENUM(hyperderp_client_security);
    assert_int_equal(hyperderp_client_new(&client, &options), -EINVAL);
    set_options(&options);
    options.max_output = SIZE_MAX;
    assert_int_equal(hyperderp_client_new(&client, &options), -EINVAL);
    hyperderp_client_options_init_sized(&later.known, sizeof(later));
    set_options(&options);
    later.known = options;
    later.known.size = sizeof(later);
    later.newer = 0;
    assert_int_equal(hyperderp_client_new(&client, &later.known), 0);
    hyperderp_client_free(client);
    later.newer = 1;
    assert_int_equal(hyperderp_client_new(&client, &later.known), -E2BIG);
    assert_null(client);
}

MISUSE(hyperderp_client_free)
{
    hyperderp_client_free(NULL);
}

MISUSE(hyperderp_client_input)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_input(NULL, "x", 1), -EINVAL);
    assert_int_equal(hyperderp_client_input(client, NULL, 1), -EINVAL);
    assert_int_equal(hyperderp_client_input(client, "x", SIZE_MAX), -EINVAL);
    assert_int_equal(hyperderp_client_input(client, "x", HYPERDERP_CLIENT_MAX_INPUT + 1), -EINVAL);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_next)
{
    hyperderp_client *client = new_client();
    const hyperderp_message *message;

    assert_int_equal(hyperderp_client_next(NULL, &message), -EINVAL);
    assert_int_equal(hyperderp_client_next(client, NULL), -EINVAL);
    assert_int_equal(hyperderp_client_next(client, &message), -EAGAIN);
    assert_null(message);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_output)
{
    hyperderp_client *client = new_client();
    const void *bytes;
    size_t len;

    assert_int_equal(hyperderp_client_output(NULL, &bytes, &len), -EINVAL);
    assert_int_equal(hyperderp_client_output(client, NULL, &len), -EINVAL);
    assert_int_equal(hyperderp_client_output(client, &bytes, NULL), -EINVAL);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_consumed)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_consumed(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_client_consumed(client, SIZE_MAX), -EINVAL);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_send)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_send(NULL, &nobody, "x", 1), -EINVAL);
    assert_int_equal(hyperderp_client_send(client, NULL, "x", 1), -EINVAL);
    assert_int_equal(hyperderp_client_send(client, &nobody, NULL, 1), -EINVAL);
    assert_int_equal(hyperderp_client_send(client, &nobody, "x", SIZE_MAX), -EMSGSIZE);
    assert_int_equal(hyperderp_client_send(client, &nobody, "x", 1), -EAGAIN);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_ping)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_ping(NULL, data), -EINVAL);
    assert_int_equal(hyperderp_client_ping(client, NULL), -EINVAL);
    assert_int_equal(hyperderp_client_ping(client, data), -EAGAIN);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_pong)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_pong(NULL, data), -EINVAL);
    assert_int_equal(hyperderp_client_pong(client, NULL), -EINVAL);
    assert_int_equal(hyperderp_client_pong(client, data), -EAGAIN);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_watch)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_watch(NULL), -EINVAL);
    assert_int_equal(hyperderp_client_watch(client), -EPERM);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_note_preferred)
{
    hyperderp_client *client = new_client();

    assert_int_equal(hyperderp_client_note_preferred(NULL, true), -EINVAL);
    assert_int_equal(hyperderp_client_note_preferred(client, true), -EAGAIN);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_finish)
{
    assert_int_equal(hyperderp_client_finish(NULL), -EINVAL);
}

MISUSE(hyperderp_client_key)
{
    hyperderp_client *client = new_client();
    hyperderp_key key;

    assert_int_equal(hyperderp_client_key(NULL, &key), -EINVAL);
    assert_int_equal(hyperderp_client_key(client, NULL), -EINVAL);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_relay_key)
{
    hyperderp_client *client = new_client();
    hyperderp_key key;

    assert_int_equal(hyperderp_client_relay_key(NULL, &key), -EINVAL);
    assert_int_equal(hyperderp_client_relay_key(client, NULL), -EINVAL);
    assert_int_equal(hyperderp_client_relay_key(client, &key), -EAGAIN);
    hyperderp_client_free(client);
}

MISUSE(hyperderp_client_fault)
{
    assert_string_equal(hyperderp_client_fault(NULL), "");
}

MISUSE(hyperderp_connection_open)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;

    set_options(&options);
    assert_int_equal(hyperderp_connection_open(NULL, "127.0.0.1:1", &options, 0), -EINVAL);
    assert_int_equal(hyperderp_connection_open(&connection, NULL, &options, 0), -EINVAL);
    assert_null(connection);
    assert_int_equal(hyperderp_connection_open(&connection, "127.0.0.1:1", NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_connection_open(&connection, "nonsense", &options, 0), -EINVAL);
    options.size = SIZE_MAX;
    assert_int_equal(hyperderp_connection_open(&connection, "127.0.0.1:1", &options, 0), -E2BIG);
}

MISUSE(hyperderp_connection_begin)
{
    hyperderp_client_options options;
    hyperderp_connection *connection;

    set_options(&options);
    assert_int_equal(hyperderp_connection_begin(NULL, "127.0.0.1:1", &options), -EINVAL);
    assert_int_equal(hyperderp_connection_begin(&connection, NULL, &options), -EINVAL);
    assert_null(connection);
    assert_int_equal(hyperderp_connection_begin(&connection, "127.0.0.1:1", NULL), -EINVAL);
    assert_int_equal(hyperderp_connection_begin(&connection, "nonsense", &options), -EINVAL);
    options.size = 0;
    assert_int_equal(hyperderp_connection_begin(&connection, "127.0.0.1:1", &options), -EINVAL);
}

MISUSE(hyperderp_connection_fd)
{
    assert_int_equal(hyperderp_connection_fd(NULL), -EINVAL);
}

MISUSE(hyperderp_connection_events)
{
    assert_int_equal(hyperderp_connection_events(NULL), 0);
}

MISUSE(hyperderp_connection_process)
{
    assert_int_equal(hyperderp_connection_process(NULL), -EINVAL);
}

MISUSE(hyperderp_connection_send)
{
    assert_int_equal(hyperderp_connection_send(NULL, &nobody, "x", 1, 0), -EINVAL);
}

MISUSE(hyperderp_connection_recv)
{
    const hyperderp_message *message;

    assert_int_equal(hyperderp_connection_recv(NULL, &message, 0), -EINVAL);
}

MISUSE(hyperderp_connection_fault)
{
    assert_string_equal(hyperderp_connection_fault(NULL), "");
}

MISUSE(hyperderp_connection_client)
{
    assert_null(hyperderp_connection_client(NULL));
}

MISUSE(hyperderp_connection_close)
{
    hyperderp_connection_close(NULL);
}
