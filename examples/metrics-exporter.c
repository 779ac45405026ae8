/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay whose counters and peers Prometheus can scrape, from a program that has an event loop of
 * its own. The names are those of the daemon (docs/metrics.md), so its dashboard and its alerts
 * fit; the figures of each peer are of this example alone, as a series for each node key that ever
 * came is more than Prometheus likes, unless the keys are few. metrics-exporter RELAY_ADDRESS
 * METRICS_PORT    for example: metrics-exporter :3340 9091 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
}

/* ---- The page ---- */

static void head(FILE *page, const char *name, const char *type, const char *help)
{
    fprintf(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(FILE *page, const char *name, const char *type, const char *help, uint64_t value)
{
    head(page, name, type, help);
    fprintf(page, "%s %" PRIu64 "\n", name, value);
}

static void write_counters(FILE *page, const hyperderp_relay *relay)
{
    static const char *const kinds[HYPERDERP_PACKET_KINDS] = {"data", "disco"};
    hyperderp_counters now = {.size = sizeof(now)};

    hyperderp_relay_counters(relay, &now);
    single(page, "hyper_derp_recv_bytes_total", "counter", "Bytes read from clients.",
           now.recv_bytes);
    single(page, "hyper_derp_send_bytes_total", "counter", "Bytes sent to clients.",
           now.send_bytes);
    single(page, "hyper_derp_packets_received_total", "counter", "Packets that clients sent.",
           now.packets_received);
    single(page, "hyper_derp_packets_delivered_total", "counter",
           "Packets that the kernel took whole for their receiver.", now.packets_delivered);
    single(page, "hyper_derp_peers_active", "gauge", "Keys with at least one connection.",
           now.peers_active);
    single(page, "hyper_derp_queued_bytes", "gauge",
           "Bytes of frames that wait or are half received.", now.queued_bytes);

    head(page, "hyper_derp_handshakes_total", "counter",
         "Handshakes of clients, by how they ended.");
    fprintf(page,
            "hyper_derp_handshakes_total{outcome=\"ok\"} %" PRIu64 "\n"
            "hyper_derp_handshakes_total{outcome=\"denied\"} %" PRIu64 "\n"
            "hyper_derp_handshakes_total{outcome=\"failed\"} %" PRIu64 "\n"
            "hyper_derp_handshakes_total{outcome=\"timed_out\"} %" PRIu64 "\n",
            now.handshakes_ok, now.handshakes_denied, now.handshakes_failed,
            now.handshakes_timed_out);

    /* A reason that a newer library knows has no place in an older program's struct. */
    head(page, "hyper_derp_drops_total", "counter", "Packets dropped.");
    for (int reason = 0; reason < HYPERDERP_DROP_REASONS; reason++)
        for (int kind = 0; kind < HYPERDERP_PACKET_KINDS; kind++)
            fprintf(page, "hyper_derp_drops_total{reason=\"%s\",kind=\"%s\"} %" PRIu64 "\n",
                    hyperderp_drop_reason_name((hyperderp_drop_reason)reason), kinds[kind],
                    now.drops[reason][kind]);
}

/* A sample for each connection that receives; others of the same key, which do not, have none. */
static void write_peers(FILE *page, const hyperderp_relay *relay)
{
    static const struct {
        const char *name, *type, *help;
        size_t offset;
    } figures[] = {
        {"hyper_derp_peer_packets_received_total", "counter", "Packets that the peer sent.",
         offsetof(hyperderp_peer_info, packets_received)},
        {"hyper_derp_peer_packets_delivered_total", "counter",
         "Packets that the kernel took whole for the peer.",
         offsetof(hyperderp_peer_info, packets_delivered)},
        {"hyper_derp_peer_drops_total", "counter", "Packets for the peer that were dropped.",
         offsetof(hyperderp_peer_info, drops)},
        {"hyper_derp_peer_queued_bytes", "gauge", "Bytes that wait for the peer.",
         offsetof(hyperderp_peer_info, queued_bytes)},
    };
    hyperderp_peer_info *peers;
    size_t count;
    char key[HYPERDERP_KEY_TEXT_SIZE];

    if (hyperderp_relay_peers(relay, &peers, &count) != 0)
        return; /* no memory: then without */
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        head(page, figures[f].name, figures[f].type, figures[f].help);
        for (size_t i = 0; i < count; i++) {
            uint64_t value;
            if (!peers[i].active)
                continue;
            memcpy(&value, (const char *)&peers[i] + figures[f].offset, sizeof(value));
            hyperderp_key_format(&peers[i].key, key);
            fprintf(page, "%s{peer=\"%s\"} %" PRIu64 "\n", figures[f].name, key, value);
        }
    }
    hyperderp_peers_free(peers);
}

/* ---- HTTP, as little as a scrape needs ---- */

static void send_all(int client, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(client, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        len -= (size_t)sent;
    }
}

static void answer(int client, const hyperderp_relay *relay)
{
    char *page = NULL, *reply = NULL;
    size_t page_len = 0, reply_len = 0;
    FILE *out = open_memstream(&page, &page_len);

    if (out) {
        write_counters(out, relay);
        write_peers(out, relay);
        fclose(out);
        out = open_memstream(&reply, &reply_len);
    }
    if (out) {
        fprintf(out,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n"
                "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                page_len, page);
        fclose(out);
        send_all(client, reply, reply_len);
    }
    free(page);
    free(reply);
}

/* One at a time, and the relay's threads go on meanwhile: who dawdles holds up other scrapes for
 * some seconds. */
static void serve(int server, const hyperderp_relay *relay)
{
    const struct timeval a_second = {.tv_sec = 1};
    char request[2048] = "";
    size_t len = 0;
    int client = accept4(server, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0)
        return;
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &a_second, sizeof(a_second));
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &a_second, sizeof(a_second));
    for (int reads = 0; reads < 8 && !strstr(request, "\r\n\r\n"); reads++) {
        ssize_t got = recv(client, request + len, sizeof(request) - 1 - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
        request[len] = '\0';
    }
    if (strstr(request, "\r\n\r\n")) {
        static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n"
                                      "Connection: close\r\n\r\n";
        if (strncmp(request, "GET /metrics ", strlen("GET /metrics ")) == 0)
            answer(client, relay);
        else
            send_all(client, missing, strlen(missing));
    }
    close(client);
}

static int listen_for_scrapes(const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)atoi(port))};
    socklen_t len = sizeof(address);
    const int on = 1;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (server < 0 || setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(server, (struct sockaddr *)&address, len) != 0 || listen(server, 16) != 0 ||
        getsockname(server, (struct sockaddr *)&address, &len) != 0)
        check(-errno, "the port of the metrics");
    printf("metrics on http://127.0.0.1:%u/metrics\n", ntohs(address.sin_port));
    return server;
}

/* ---- The program ---- */

/* The library leaves signals to the program: here they are one more thing to poll. */
static int open_signals(void)
{
    sigset_t stop;

    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    int signals = signalfd(-1, &stop, SFD_CLOEXEC);
    check(signals < 0 ? -errno : 0, "signalfd");
    return signals;
}

static hyperderp_relay *start_relay(const char *address)
{
    hyperderp_relay *relay;
    hyperderp_listener_options listener;
    char text[128];

    check(hyperderp_relay_new(&relay, NULL), "making a relay");
    hyperderp_listener_options_init(&listener);
    listener.address = address;
    check(hyperderp_relay_add_listener(relay, &listener), address);
    check(hyperderp_relay_listener_address(relay, 0, text, sizeof(text)), address);
    check(hyperderp_relay_start(relay), "starting the relay");
    printf("listening on %s\n", text);
    return relay;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: metrics-exporter RELAY_ADDRESS METRICS_PORT\n");
        return 64;
    }
    int signals = open_signals();
    int server = listen_for_scrapes(argv[2]);
    hyperderp_relay *relay = start_relay(argv[1]);
    fflush(stdout);

    struct pollfd waits[] = {{.fd = signals, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    while (!(waits[0].revents & POLLIN)) {
        if (waits[1].revents & POLLIN)
            serve(server, relay);
        check(poll(waits, 2, -1) < 0 ? -errno : 0, "poll");
    }

    check(hyperderp_relay_drain(relay, 5000), "draining");
    hyperderp_relay_free(relay);
    close(server);
    close(signals);
    return 0;
}
