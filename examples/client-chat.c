/* SPDX-License-Identifier: BSD-3-Clause */
/* Two terminals that talk through a relay: lines of the one come out at the other. The first one
 * says what key it has; the second one is started with that, and the first answers who wrote last.
 * The relay sees what is said, as nothing here encrypts it for the peer alone.
 *     client-chat [--plain | --pin sha256-raw:HEX] HOST:PORT [NODEKEY]
 * One thread waits for both the terminal and the relay, with poll(). */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#define JOIN_TIMEOUT_MS 10000

struct chat {
    hyperderp_connection *connection;
    hyperderp_key peer; /* zeros: nobody has written yet */
    bool joined;
    char line[4096]; /* that is being typed */
    size_t len;
};

/* A peer may send anything: only what is printable goes to the terminal, for which bytes from 0x80
 * on may be controls, too. */
static void print_line(const hyperderp_key *from, const uint8_t *text, size_t len)
{
    char name[HYPERDERP_KEY_TEXT_SIZE];

    hyperderp_key_format(from, name);
    printf("%.16s> ", name);
    for (size_t i = 0; i < len; i++)
        putchar(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
    putchar('\n');
    fflush(stdout);
}

static void handle(struct chat *chat, const hyperderp_message *message)
{
    hyperderp_client *client = hyperderp_connection_client(chat->connection);

    switch (message->type) {
    case HYPERDERP_MESSAGE_SERVER_INFO:
        chat->joined = true;
        printf("connected\n");
        fflush(stdout);
        break;
    case HYPERDERP_MESSAGE_PACKET:
        chat->peer = message->peer;
        print_line(&message->peer, message->payload, message->len);
        break;
    case HYPERDERP_MESSAGE_PEER_GONE:
        printf("the other one is not at this relay\n");
        fflush(stdout);
        break;
    case HYPERDERP_MESSAGE_PING: /* it was promised to answer (can_ack_pings) */
        (void)hyperderp_client_pong(client, message->payload);
        break;
    default:
        break;
    }
}

static void send_line(struct chat *chat)
{
    int error;

    if (hyperderp_key_is_zero(&chat->peer)) {
        printf("nobody has written yet\n");
        fflush(stdout);
        return;
    }
    error = hyperderp_connection_send(chat->connection, &chat->peer, chat->line, chat->len, 0);
    if (error == -ENOBUFS)
        fprintf(stderr, "the relay is too slow: a line is lost\n");
}

/* Returns 0 at the end of what is typed. */
static int read_terminal(struct chat *chat)
{
    char typed[1024];
    ssize_t got = read(STDIN_FILENO, typed, sizeof(typed));

    for (ssize_t i = 0; i < got; i++) {
        if (typed[i] != '\n' && chat->len < sizeof(chat->line))
            chat->line[chat->len++] = typed[i];
        if (typed[i] != '\n')
            continue;
        send_line(chat);
        chat->len = 0;
    }
    if (got == 0 && chat->len > 0) { /* a last line need not have an end */
        send_line(chat);
        chat->len = 0;
    }
    return got > 0 || (got < 0 && errno == EINTR);
}

static long long now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* 0 when what is typed has ended, or why the connection has. */
static int run(struct chat *chat)
{
    long long until = now_ms() + JOIN_TIMEOUT_MS;
    const hyperderp_message *message;
    int error, typing = 1;

    /* What was typed last has to leave before all ends. */
    while (typing || (hyperderp_connection_events(chat->connection) & POLLOUT)) {
        struct pollfd wanted[2] = {
            {.fd = hyperderp_connection_fd(chat->connection),
             .events = (short)hyperderp_connection_events(chat->connection)},
            {.fd = chat->joined && typing ? STDIN_FILENO : -1, .events = POLLIN},
        };
        long long left = chat->joined ? -1 : until - now_ms();

        if (!chat->joined && left <= 0)
            return -ETIMEDOUT;
        if (poll(wanted, 2, (int)left) < 0 && errno != EINTR)
            return -errno;
        (void)hyperderp_connection_process(chat->connection); /* what came of it, recv tells */
        while ((error = hyperderp_connection_recv(chat->connection, &message, 0)) == 0)
            handle(chat, message);
        if (error != -EAGAIN)
            return error;
        if (wanted[1].revents)
            typing = read_terminal(chat);
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: client-chat [--plain | --pin sha256-raw:HEX] HOST:PORT [NODEKEY]\n");
    return 64;
}

/* Reads the command line. 0, or an exit status. */
static int read_arguments(int argc, char **argv, hyperderp_client_options *options,
                          const char **address, hyperderp_key *peer)
{
    int at = 1;

    if (at < argc && strcmp(argv[at], "--plain") == 0) {
        options->security = HYPERDERP_CLIENT_PLAIN;
        at++;
    } else if (at + 1 < argc && strcmp(argv[at], "--pin") == 0) {
        options->security = HYPERDERP_CLIENT_TLS_PIN;
        options->pin = argv[at + 1];
        at += 2;
    }
    if (at >= argc || argc > at + 2 || argv[at][0] == '-')
        return usage();
    *address = argv[at];
    return at + 1 < argc && hyperderp_key_parse(peer, argv[at + 1]) < 0 ? usage() : 0;
}

int main(int argc, char **argv)
{
    char fault[HYPERDERP_FAULT_SIZE] = "", text[HYPERDERP_KEY_TEXT_SIZE];
    struct chat chat = {.len = 0};
    hyperderp_client_options options;
    hyperderp_key own;
    const char *address, *why;
    int error;

    hyperderp_client_options_init(&options);
    options.app_name = "client-chat";
    options.can_ack_pings = true;
    options.fault = fault;
    error = read_arguments(argc, argv, &options, &address, &chat.peer);
    if (error)
        return error;
    error = hyperderp_connection_begin(&chat.connection, address, &options);
    if (error) {
        fprintf(stderr, "client-chat: %s\n", *fault ? fault : strerror(-error));
        return 1;
    }
    hyperderp_client_key(hyperderp_connection_client(chat.connection), &own);
    hyperderp_key_format(&own, text);
    printf("this is %s\n", text);
    fflush(stdout);

    error = run(&chat);
    why = hyperderp_connection_fault(chat.connection);
    if (error)
        fprintf(stderr, "client-chat: %s\n", *why ? why : strerror(-error));
    hyperderp_connection_close(chat.connection);
    return error ? 1 : 0;
}
