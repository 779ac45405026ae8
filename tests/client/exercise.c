/* SPDX-License-Identifier: BSD-3-Clause */
/* The public client against whatever relay: all that it can ask for, and what must come of it. The
 * tests in tests/interop start it, against derper too.
 *     exercise [-p] [-k NODEKEY] [-h sha256-raw:HEX] [-f] [-m MESHKEY] ADDRESS
 *                                  does everything once
 *     exercise [...] -e ADDRESS    prints its key, and sends each packet back, until input ends
 * -p: without TLS; -k: the key that the relay must have; -f: fast start. Exit status 0, or 1 with a
 * line that says what failed. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hyperderp/client.h>

#define PATIENCE_MS 10000

static char fault[HYPERDERP_FAULT_SIZE];

static _Noreturn void give_up(const char *what, const char *why)
{
    printf("%s: %s\n", what, why);
    exit(1);
}

static void check(int error, hyperderp_connection *connection, const char *what)
{
    const char *why = hyperderp_connection_fault(connection);

    if (error < 0)
        give_up(what, *why ? why : strerror(-error));
}

static hyperderp_connection *open_one(const char *address, const hyperderp_client_options *options)
{
    hyperderp_connection *connection;
    const hyperderp_message *message;

    if (hyperderp_connection_open(&connection, address, options, PATIENCE_MS) < 0)
        give_up("opening", fault);
    check(hyperderp_connection_recv(connection, &message, PATIENCE_MS), connection, "ServerInfo");
    if (message->type != HYPERDERP_MESSAGE_SERVER_INFO)
        give_up("opening", "the first message is no ServerInfo");
    return connection;
}

static hyperderp_key key_of(hyperderp_connection *connection)
{
    hyperderp_key key;

    hyperderp_client_key(hyperderp_connection_client(connection), &key);
    return key;
}

/* The next message of this type; what comes of itself, such as KeepAlive, is passed over. */
static const hyperderp_message *expect(hyperderp_connection *connection,
                                       hyperderp_message_type type, const char *what)
{
    const hyperderp_message *message;

    do {
        check(hyperderp_connection_recv(connection, &message, PATIENCE_MS), connection, what);
        if (message->type == HYPERDERP_MESSAGE_PING)
            check(hyperderp_client_pong(hyperderp_connection_client(connection), message->payload),
                  connection, "answering a Ping");
    } while (message->type != type);
    return message;
}

static void ping(hyperderp_connection *connection)
{
    static const uint8_t data[HYPERDERP_PING_SIZE] = "a ping.";

    check(hyperderp_client_ping(hyperderp_connection_client(connection), data), connection, "Ping");
    const hyperderp_message *message = expect(connection, HYPERDERP_MESSAGE_PONG, "Pong");
    if (memcmp(message->payload, data, sizeof(data)) != 0)
        give_up("Pong", "it brings other bytes than the Ping");
}

static void pass_packets(hyperderp_connection *from, hyperderp_connection *to)
{
    static const size_t sizes[] = {1, 100, 1400, 16384, 16385, 40000, HYPERDERP_MAX_PACKET};
    static uint8_t packet[HYPERDERP_MAX_PACKET];
    hyperderp_key sender = key_of(from), receiver = key_of(to);

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t k = 0; k < sizes[i]; k++)
            packet[k] = (uint8_t)(k * 31 + k / 251 + i);
        check(hyperderp_connection_send(from, &receiver, packet, sizes[i], PATIENCE_MS), from,
              "a packet");
        const hyperderp_message *message = expect(to, HYPERDERP_MESSAGE_PACKET, "a packet");
        if (message->len != sizes[i] || memcmp(message->payload, packet, sizes[i]) != 0)
            give_up("a packet", "it arrives as another one");
        if (!hyperderp_key_equal(&message->peer, &sender))
            give_up("a packet", "it comes from somebody else");
    }
}

/* A packet of path discovery, which a relay answers when nobody has the key. */
static void send_to_nobody(hyperderp_connection *connection)
{
    static const uint8_t disco[100] = {0x54, 0x53, 0xf0, 0x9f, 0x92, 0xac, 1};
    static const hyperderp_key nobody = {{9, 8, 7}};

    check(hyperderp_connection_send(connection, &nobody, disco, sizeof(disco), PATIENCE_MS),
          connection, "a packet to nobody");
    const hyperderp_message *message =
        expect(connection, HYPERDERP_MESSAGE_PEER_GONE, "PeerGone of nobody");
    if (!hyperderp_key_equal(&message->peer, &nobody) || message->reason != HYPERDERP_GONE_NOT_HERE)
        give_up("PeerGone of nobody", "it has another key or reason");
}

static void watch(hyperderp_connection *watcher, const hyperderp_key *peer)
{
    check(hyperderp_client_watch(hyperderp_connection_client(watcher)), watcher, "WatchConns");
    while (!hyperderp_key_equal(
        &expect(watcher, HYPERDERP_MESSAGE_PEER_PRESENT, "PeerPresent")->peer, peer))
        continue;
}

static void do_everything(const char *address, const hyperderp_client_options *options,
                          bool watches)
{
    hyperderp_client_options others = *options;

    memset(others.mesh_key, 0, sizeof(others.mesh_key));
    hyperderp_connection *a = open_one(address, options), *b = open_one(address, &others);
    hyperderp_key key = key_of(b);
    ping(a);
    ping(b);
    pass_packets(a, b);
    pass_packets(b, a);
    send_to_nobody(a);
    check(hyperderp_client_note_preferred(hyperderp_connection_client(a), true), a,
          "NotePreferred");
    ping(a);
    if (watches)
        watch(a, &key);
    hyperderp_connection_close(b);
    const hyperderp_message *message = expect(a, HYPERDERP_MESSAGE_PEER_GONE, "PeerGone");
    if (!hyperderp_key_equal(&message->peer, &key) || message->reason != HYPERDERP_GONE_LEFT)
        give_up("PeerGone", "it has another key or reason");
    hyperderp_connection_close(a);
    printf("everything is as it should be\n");
}

/* Sends what comes back to who sent it. */
static void answer(hyperderp_connection *connection)
{
    static uint8_t packet[HYPERDERP_MAX_PACKET];
    const hyperderp_message *message;
    int error;

    check(hyperderp_connection_process(connection), connection, "the connection");
    while ((error = hyperderp_connection_recv(connection, &message, 0)) == 0) {
        if (message->type != HYPERDERP_MESSAGE_PACKET)
            continue;
        hyperderp_key peer = message->peer;
        size_t len = message->len;
        memcpy(packet, message->payload, len);
        check(hyperderp_connection_send(connection, &peer, packet, len, PATIENCE_MS), connection,
              "an echo");
    }
    if (error != -EAGAIN)
        check(error, connection, "the connection");
}

static void echo(const char *address, const hyperderp_client_options *options)
{
    hyperderp_connection *connection = open_one(address, options);
    hyperderp_key key = key_of(connection);
    char text[HYPERDERP_KEY_TEXT_SIZE];

    hyperderp_key_format(&key, text);
    printf("%s\n", text);
    fflush(stdout);
    for (;;) {
        struct pollfd items[2] = {
            {.fd = hyperderp_connection_fd(connection),
             .events = (short)hyperderp_connection_events(connection)},
            {.fd = STDIN_FILENO, .events = POLLIN},
        };
        if (poll(items, 2, -1) < 0)
            give_up("poll", strerror(errno));
        if (items[1].revents != 0)
            break;
        answer(connection);
    }
    hyperderp_connection_close(connection);
}

static void read_mesh_key(const char *text, uint8_t key[HYPERDERP_MESH_KEY_SIZE])
{
    for (size_t i = 0; i < HYPERDERP_MESH_KEY_SIZE; i++)
        if (sscanf(text + 2 * i, "%2hhx", &key[i]) != 1)
            give_up("-m", "64 hexadecimal digits are expected");
}

int main(int argc, char **argv)
{
    hyperderp_client_options options;
    bool echoes = false, watches = false;
    int option;

    hyperderp_client_options_init(&options);
    options.app_name = "exercise";
    options.can_ack_pings = true;
    options.fault = fault;
    while ((option = getopt(argc, argv, "pk:h:fm:e")) != -1) {
        switch (option) {
        case 'p':
            options.security = HYPERDERP_CLIENT_PLAIN;
            break;
        case 'k':
            if (hyperderp_key_parse(&options.server_key, optarg) < 0)
                give_up("-k", "a key is expected");
            break;
        case 'h':
            options.security = HYPERDERP_CLIENT_TLS_PIN;
            options.pin = optarg;
            break;
        case 'f':
            options.fast_start = true;
            break;
        case 'm':
            read_mesh_key(optarg, options.mesh_key);
            watches = true;
            break;
        case 'e':
            echoes = true;
            break;
        default:
            return 64;
        }
    }
    if (optind != argc - 1)
        return 64;
    if (echoes)
        echo(argv[optind], &options);
    else
        do_everything(argv[optind], &options, watches);
    return 0;
}
