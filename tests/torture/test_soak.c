/* SPDX-License-Identifier: BSD-3-Clause */
/* A day of a relay in minutes: thousands of clients that come and go, send, stall and break, over
 * plain TCP, TLS and WebSocket, with reloads and other certificates in between. Nothing may grow.
 * SOAK_SECONDS is how long, SOAK_SEED what happens, SOAK_CLIENTS how many are there at once,
 * SOAK_WORKERS how many workers the relay has. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "member.h"
#include "service.h"
#include "storm.h"

#define SECONDS       (SANITIZED ? 40 : 120)
#define CLIENTS       (SANITIZED ? 200 : 2000)
#define TICK_US       10000
#define CHURN         10 /* percent of the clients that leave in a second */
#define PACKETS       40 /* in a tick, of CLIENTS that are 2,000 */
#define MAX_SIZE      1400
#define BURST         400 /* packets to one that does not read */
#define SMALL_BUFFER  4096
#define WRITE_TIMEOUT 3 /* seconds */
#define MAX_SAMPLES   7200

/* What a client may have been told to do. */
enum mood {
    READS,    /* whatever comes, at once */
    STALLS,   /* reads nothing for a while, and may be closed for it */
    WAKES,    /* reads again; that it was closed may be on its way, behind much else */
    OFFENDED, /* has broken the protocol: the relay closes it */
};

struct soaker {
    struct member member;
    enum mood mood;
    uint32_t generation; /* of clients in this place */
    uint32_t number;     /* of its next packet */
    int64_t until_us;    /* it stalls */
    /* For who has to find out why it was closed. */
    int64_t joined_us, got_us;
    int buffer;
};

/* What a receiver has seen of a sender last. */
struct seen {
    uint32_t generation, number;
};

struct soak {
    struct process *daemon;
    char plain[64], tls[64];
    struct soaker *soakers;
    struct seen *seen; /* [receiver][sender] */
    unsigned count;
    int epoll;
    uint64_t random;
    unsigned reloads, certificates;
    /* When this program itself had no core for a while, it read nothing either. */
    int64_t read_us, excused_until_us, longest_us;
    unsigned lapses;
    uint64_t joined[3], sent, received, stalled, closed_stalled, offended, reset, strangers;
    long rss_kib[MAX_SAMPLES];
    unsigned samples, most_files;
};

static uint32_t draw(struct soak *soak, uint32_t below)
{
    soak->random ^= soak->random << 13;
    soak->random ^= soak->random >> 7;
    soak->random ^= soak->random << 17;
    return (uint32_t)(soak->random >> 32) % below;
}

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

/* ---- The daemon ---- */

static const char *in_folder(const char *name)
{
    static char paths[2][160];
    static unsigned at;
    char *path = paths[at++ % 2];

    snprintf(path, sizeof(paths[0]), "%s/%s", service_folder, name);
    return path;
}

static void put(const char *name, const char *text)
{
    FILE *out = fopen(in_folder("fresh"), "w");

    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fchmod(fileno(out), 0600), 0);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(rename(in_folder("fresh"), in_folder(name)), 0);
}

static void put_certificate(void)
{
    hyperderp_certificate *certificate;
    char *chain, *key;

    assert_int_equal(hyperderp_certificate_make(&certificate, "127.0.0.1", 90), 0);
    assert_int_equal(hyperderp_certificate_write(certificate, &chain, &key), 0);
    put("chain.pem", chain);
    put("key.pem", key);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    hyperderp_certificate_free(certificate);
}

/* Each reload brings another configuration. */
static void put_config(const struct cell *cell, unsigned number)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n"
             "[[listener]]\naddress = \"127.0.0.1:0\"\n"
             "[tls]\nhostname = \"127.0.0.1\"\ncert = \"%s\"\nkey = \"%s\"\n"
             "[limits]\nwrite_timeout = \"%ds\"\nkeepalive = \"%us\"\nqueue_frames = %u\n",
             in_folder("chain.pem"), in_folder("key.pem"), WRITE_TIMEOUT, 5 + number % 7,
             512 + 64 * (number % 9));
    service_write_text(cell, text);
}

static void find_addresses(struct soak *soak)
{
    const char *log = process_log(soak->daemon), *at = log;
    unsigned found = 0;

    for (; (at = strstr(at, "listening on ")) != NULL; found++) {
        at += strlen("listening on ");
        assert_true(found < 2);
        assert_int_equal(sscanf(at, "%63s", found == 0 ? soak->plain : soak->tls), 1);
    }
    assert_int_equal(found, 2);
}

/* ---- Clients ---- */

static void watch(struct soak *soak, struct soaker *soaker, int operation)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = soaker};

    assert_int_equal(epoll_ctl(soak->epoll, operation, soaker->member.fd, &event), 0);
}

static void join(struct soak *soak, struct soaker *soaker)
{
    static const enum member_kind kinds[10] = {
        MEMBER_PLAIN, MEMBER_PLAIN, MEMBER_PLAIN, MEMBER_PLAIN,     MEMBER_TLS,
        MEMBER_TLS,   MEMBER_TLS,   MEMBER_TLS,   MEMBER_WEBSOCKET, MEMBER_PLAIN};
    enum member_kind kind = kinds[draw(soak, 10)];
    size_t place = (size_t)(soaker - soak->soakers);

    /* One of five comes again as the same node. */
    if (soaker->generation == 0 || draw(soak, 5) != 0)
        assert_int_equal(hyperderp_private_key_generate(&soaker->member.private_key), 0);
    soaker->buffer = draw(soak, 4) == 0 ? SMALL_BUFFER : 0;
    member_join(&soaker->member, kind, kind == MEMBER_TLS ? soak->tls : soak->plain,
                soaker->buffer);
    soaker->joined_us = soaker->got_us = now_us();
    soaker->generation++;
    soaker->number = 0;
    soaker->mood = READS;
    memset(&soak->seen[place * soak->count], 0, soak->count * sizeof(*soak->seen));
    watch(soak, soaker, EPOLL_CTL_ADD);
    soak->joined[kind]++;
}

static void leave(struct soak *soak, struct soaker *soaker)
{
    bool reset = draw(soak, 3) == 0;

    soak->reset += reset;
    member_leave(&soaker->member, reset); /* epoll forgets it by itself */
}

static void send_to(struct soak *soak, struct soaker *from, const struct soaker *to, unsigned count)
{
    uint8_t packet[MAX_SIZE];

    for (unsigned i = 0; i < count; i++) {
        size_t len = PACKET_MIN + draw(soak, MAX_SIZE - PACKET_MIN);
        uint32_t place = (uint32_t)(from - soak->soakers);
        packet_fill(packet, len, place << 20 | (from->generation & 0xfffff), from->number++);
        int error = member_send(&from->member, &to->member.key, packet, len);
        /* It will be seen by who reads it. */
        if (error == -EPIPE || error == -ECONNRESET)
            return;
        if (error)
            fail_msg("sending: %s", strerror(-error));
        soak->sent++;
    }
}

/* Damage is found by packet_number(). Those of a client that was there before may come late. */
static void check_packet(struct soak *soak, const struct soaker *to,
                         const struct client_message *message)
{
    uint32_t stream;

    assert_true(message->len >= PACKET_MIN);
    memcpy(&stream, message->payload, sizeof(stream));
    uint32_t place = stream >> 20, generation = stream & 0xfffff;
    uint32_t number = packet_number(message->payload, message->len, stream);
    assert_true(place < soak->count);
    struct seen *seen = &soak->seen[(size_t)(to - soak->soakers) * soak->count + place];
    if (seen->generation == generation && number <= seen->number)
        fail_msg("packet %" PRIu32 " of a sender came behind %" PRIu32, number, seen->number);
    if (generation >= seen->generation)
        *seen = (struct seen){generation, number};
    soak->received++;
}

static void fail_innocent(struct soak *soak, const struct soaker *soaker, int error)
{
    int64_t now = now_us();

    print_message("write errors %.0f, protocol errors %.0f, queued %.0f bytes\n",
                  service_metric(soak->daemon,
                                 "hyper_derp_drops_total{reason=\"write_error\",kind=\"data\"}"),
                  service_metric(soak->daemon, "hyper_derp_protocol_errors_total"),
                  service_metric(soak->daemon, "hyper_derp_queued_bytes"));
    fail_msg("a client that did nothing wrong was closed: %s; kind %d, receive buffer %d, joined "
             "%.3f s ago, got a packet %.3f s ago, sent %" PRIu32 " packets; nothing was read for "
             "at most %.1f s",
             strerror(-error), (int)soaker->member.kind, soaker->buffer,
             (double)(now - soaker->joined_us) / 1e6, (double)(now - soaker->got_us) / 1e6,
             soaker->number, (double)soak->longest_us / 1e6);
}

/* Reads what is there. A client that the relay closes must have deserved it; another takes its
 * place. */
static void read_all(struct soak *soak, struct soaker *soaker)
{
    struct client_message message;
    int error;

    while ((error = member_recv(&soaker->member, &message)) == 0) {
        if (message.type == CLIENT_MESSAGE_PACKET)
            check_packet(soak, soaker, &message);
        soaker->got_us = now_us();
    }
    if (error == -ETIMEDOUT)
        return;
    if (soaker->mood == READS && now_us() > soak->excused_until_us)
        fail_innocent(soak, soaker, error);
    soak->closed_stalled += soaker->mood == WAKES;
    leave(soak, soaker);
    join(soak, soaker);
}

static void stall(struct soak *soak, struct soaker *soaker)
{
    if (soaker->mood != READS)
        return;
    watch(soak, soaker, EPOLL_CTL_DEL);
    soaker->mood = STALLS;
    soaker->until_us = now_us() + 200000 + draw(soak, 5000000);
    soak->stalled++;
}

/* Those that have stalled long enough read again, and what they find was sent to them before. */
static void wake_stalled(struct soak *soak)
{
    int64_t now = now_us();

    for (unsigned i = 0; i < soak->count; i++) {
        struct soaker *soaker = &soak->soakers[i];
        if (now < soaker->until_us)
            continue;
        if (soaker->mood == STALLS) {
            watch(soak, soaker, EPOLL_CTL_ADD);
            soaker->mood = WAKES;
        }
    }
}

/* Breaks off in a frame, or sends one that nobody may: the relay does not wait for more. */
static void offend(struct soak *soak, struct soaker *soaker)
{
    uint8_t bytes[FRAME_PACKET_OVERHEAD + 100] = {0};

    if (soaker->mood != READS)
        return;
    soaker->mood = OFFENDED;
    soak->offended++;
    if (draw(soak, 2) == 0) {
        frame_header_encode(bytes, FRAME_SEND_PACKET, FRAME_MAX_PACKET * 2);
        (void)member_send_raw(&soaker->member, bytes, sizeof(bytes));
        return;
    }
    client_packet_header(bytes, &soaker->member.key, MAX_SIZE);
    (void)member_send_raw(&soaker->member, bytes, sizeof(bytes));
    leave(soak, soaker);
    join(soak, soaker);
}

/* Who comes and never joins. */
static void send_stranger(struct soak *soak)
{
    static const char *const words[] = {"", "GET /derp HTTP/1.1\r\nHost:", "\x16\x03\x01\x02",
                                        "SSH-2.0-x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"};
    const char *said = words[draw(soak, sizeof(words) / sizeof(words[0]))];
    int fd = member_dial(draw(soak, 2) ? soak->tls : soak->plain, 0);

    (void)!send(fd, said, strlen(said), MSG_NOSIGNAL);
    close(fd);
    soak->strangers++;
}

static struct soaker *anyone(struct soak *soak)
{
    return &soak->soakers[draw(soak, soak->count)];
}

/* ---- The schedule ---- */

static void act(struct soak *soak)
{
    for (unsigned i = 0; i < 1 + PACKETS * soak->count / CLIENTS; i++)
        send_to(soak, anyone(soak), anyone(soak), 1 + draw(soak, 8));
    for (unsigned i = 0; i == 0 || i < soak->count * CHURN * TICK_US / 100000000; i++) {
        struct soaker *soaker = anyone(soak);
        leave(soak, soaker);
        join(soak, soaker);
    }
    switch (draw(soak, 8)) {
    case 0:
        stall(soak, anyone(soak));
        break;
    case 1: {
        struct soaker *to = anyone(soak);
        stall(soak, to);
        send_to(soak, anyone(soak), to, BURST);
        break;
    }
    case 2:
        offend(soak, anyone(soak));
        break;
    case 3:
        send_stranger(soak);
        break;
    default:
        break;
    }
    wake_stalled(soak);
}

static void note_turn(struct soak *soak)
{
    int64_t now = now_us(), since = soak->read_us ? now - soak->read_us : 0;

    soak->read_us = now;
    if (since > soak->longest_us)
        soak->longest_us = since;
    if (since < WRITE_TIMEOUT * 1000000 / 4)
        return;
    soak->lapses++;
    soak->excused_until_us = now + WRITE_TIMEOUT * 2000000;
}

static void read_for_a_tick(struct soak *soak, int64_t until)
{
    struct epoll_event events[256];
    int64_t left;

    note_turn(soak);

    do {
        left = (until - now_us()) / 1000;
        int n = epoll_wait(soak->epoll, events, 256, left > 0 ? (int)left : 0);
        for (int i = 0; i < n; i++)
            read_all(soak, events[i].data.ptr);
    } while (left > 0);
}

/* Once a second. */
static void look(struct soak *soak, const struct cell *cell, unsigned second)
{
    unsigned files = process_files(soak->daemon);

    if (soak->samples < MAX_SAMPLES)
        soak->rss_kib[soak->samples++] = process_rss_kib(soak->daemon);
    if (files > soak->most_files)
        soak->most_files = files;
    if (second % 3 == 2) {
        put_config(cell, ++soak->reloads);
        kill(process_pid(soak->daemon), SIGHUP);
    }
    /* In other seconds: a reload between the two files would find a pair that is none. */
    if (second % 6 == 4) {
        put_certificate();
        soak->certificates++;
    }
    (void)service_metric(soak->daemon, "hyper_derp_peers_active");
}

static double mean(const long *values, unsigned count)
{
    double sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += (double)values[i];
    return count ? sum / count : 0;
}

/* What the metrics said at rest, and what the closing lines say. */
static const struct both {
    const char *metric, *counter;
} both[] = {
    {"hyper_derp_packets_received_total", "packets_received"},
    {"hyper_derp_packets_delivered_total", "packets_delivered"},
    {"hyper_derp_drops_total{reason=\"unknown_peer\",kind=\"data\"}", "drop_unknown_peer_data"},
    {"hyper_derp_drops_total{reason=\"queue_full\",kind=\"data\"}", "drop_queue_full_data"},
    {"hyper_derp_drops_total{reason=\"gone\",kind=\"data\"}", "drop_gone_data"},
    {"hyper_derp_drops_total{reason=\"write_error\",kind=\"data\"}", "drop_write_error_data"},
    {"hyper_derp_drops_total{reason=\"memory\",kind=\"data\"}", "drop_memory_data"},
    {"hyper_derp_drops_total{reason=\"duplicate_key\",kind=\"data\"}", "drop_duplicate_key_data"},
    {"hyper_derp_drops_total{reason=\"expired\",kind=\"data\"}", "drop_expired_data"},
    {"hyper_derp_recv_bytes_total", "recv_bytes"},
    {"hyper_derp_send_bytes_total", "send_bytes"},
    {"hyper_derp_send_drops_total", "send_drops"},
    {"hyper_derp_xfer_drops_total", "xfer_drops"},
    {"hyper_derp_accepts_total", "accepts"},
    {"hyper_derp_handshakes_total{outcome=\"ok\"}", "handshakes_ok"},
    {"hyper_derp_handshakes_total{outcome=\"failed\"}", "handshakes_failed"},
    {"hyper_derp_protocol_errors_total", "protocol_errors"},
    {"hyper_derp_tls_handshakes_total{outcome=\"ok\"}", "tls_ok"},
    {"hyper_derp_tls_records_total{direction=\"sealed\"}", "tls_records_sealed"},
    {"hyper_derp_websocket_upgrades_total", "websocket_upgrades"},
};
#define BOTH (sizeof(both) / sizeof(both[0]))

/* All have left. Asks the metrics, stops the daemon, and compares. */
static void settle(struct soak *soak, unsigned files)
{
    double at_rest[BOTH];
    uint64_t joined = soak->joined[0] + soak->joined[1] + soak->joined[2];
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;

    process_await_files(soak->daemon, files);
    while (service_metric(soak->daemon, "hyper_derp_peers_active") != 0 ||
           service_metric(soak->daemon, "hyper_derp_queued_bytes") != 0)
        assert_true(now_us() < until);
    /* The metrics address is its own connection, whose file is gone a moment later. */
    for (size_t i = 0; i < BOTH; i++)
        at_rest[i] = service_metric(soak->daemon, both[i].metric);
    assert_true(service_metric(soak->daemon, "hyper_derp_config_reload_errors_total") == 0);
    assert_true(service_metric(soak->daemon,
                               "hyper_derp_tls_certificate_reloads_total{outcome=\"ok\"}") > 0);
    long rss = process_rss_kib(soak->daemon);
    process_stop(soak->daemon);
    for (size_t i = 0; i < BOTH; i++) {
        uint64_t closing = process_counter(soak->daemon, both[i].counter);
        if ((double)closing != at_rest[i])
            fail_msg("%s was %.0f, and %s is %" PRIu64, both[i].metric, at_rest[i], both[i].counter,
                     closing);
    }
    print_message("at rest %ld KiB; received %" PRIu64 ", delivered %" PRIu64 ", alerts %" PRIu64
                  ", protocol errors %" PRIu64 "\n",
                  rss, process_counter(soak->daemon, "packets_received"),
                  process_counter(soak->daemon, "packets_delivered"),
                  process_counter(soak->daemon, "tls_alerts_sent"),
                  process_counter(soak->daemon, "protocol_errors"));
    assert_int_equal(process_counter(soak->daemon, "handshakes_ok"), joined + 2); /* and the pair */
    assert_int_equal(process_counter(soak->daemon, "websocket_upgrades"),
                     soak->joined[MEMBER_WEBSOCKET]);
    assert_int_equal(process_counter(soak->daemon, "slab_exhausts"), 0);
    process_free(soak->daemon);
}

/* Memory in the last third of the time is what it was in the second, but for packets that wait: a
 * receiver that has stalled may hold 2 MiB. */
static void check_memory(const struct soak *soak)
{
    unsigned third = soak->samples / 3;
    double before = mean(soak->rss_kib + third, third);
    double after = mean(soak->rss_kib + 2 * third, soak->samples - 2 * third);

    print_message("resident %.1f MiB in the second third, %.1f MiB in the last; at most %u files\n",
                  before / 1024, after / 1024, soak->most_files);
    print_message("resident in eighths of the time, MiB:");
    for (unsigned i = 0; i < 8 && soak->samples >= 8; i++)
        print_message(" %.1f",
                      mean(soak->rss_kib + i * (soak->samples / 8), soak->samples / 8) / 1024);
    print_message("\n");
    assert_true(after < before * 1.05 + 3072);
}

static void test_soak(void **state)
{
    const struct cell *cell = &(struct cell){.engine = ((const struct cell *)*state)->engine,
                                             .workers = (unsigned)number_of("SOAK_WORKERS", 2)};
    struct soak *soak = calloc(1, sizeof(*soak));
    uint64_t seed = number_of("SOAK_SEED", (uint64_t)time(NULL) * 2654435761u | 1);
    int64_t length = (int64_t)number_of("SOAK_SECONDS", SECONDS) * 1000000 / 2;

    assert_non_null(soak);
    soak->count = (unsigned)storm_size(number_of("SOAK_CLIENTS", CLIENTS));
    assert_true(soak->count > 1 && soak->count < 4096);
    soak->soakers = calloc(soak->count, sizeof(*soak->soakers));
    soak->seen = calloc((size_t)soak->count * soak->count, sizeof(*soak->seen));
    soak->epoll = epoll_create1(EPOLL_CLOEXEC);
    assert_true(soak->soakers && soak->seen && soak->epoll >= 0);
    soak->random = seed;
    print_message("%u workers, SOAK_SEED=%" PRIu64 "\n", cell->workers, seed);

    service_make_folder();
    put_certificate();
    put_config(cell, 0);
    soak->daemon = service_start();
    find_addresses(soak);
    unsigned files = process_files(soak->daemon);
    int64_t began = now_us(), next = began;
    for (unsigned i = 0; i < soak->count; i++)
        join(soak, &soak->soakers[i]);
    print_message("%u clients have joined after %.1f s\n", soak->count,
                  (double)(now_us() - began) / 1e6);
    struct pair *pair = pair_start(soak->plain, 100, 600);
    began = now_us();
    for (unsigned second = 0; (next = now_us()) < began + length;) {
        act(soak);
        read_for_a_tick(soak, next + TICK_US);
        if (now_us() >= began + (int64_t)second * 1000000) {
            look(soak, cell, second);
            second++;
        }
    }
    /* What the relay's threads waited for a core is not its doing. */
    int64_t within = 2 * A_SECOND_US + process_waited_us(soak->daemon);
    pair_stop_within(pair, "all that", within, within);
    for (unsigned i = 0; i < soak->count; i++)
        leave(soak, &soak->soakers[i]);
    print_message("%u at once, in all %" PRIu64 " plain, %" PRIu64 " TLS, %" PRIu64
                  " WebSocket; sent %" PRIu64 ", read %" PRIu64 "; %" PRIu64 " stalled, %" PRIu64
                  " of them closed; %" PRIu64 " broke the protocol, %" PRIu64
                  " ended by RST, %" PRIu64 " strangers; %u reloads, %u certificates\n",
                  soak->count, soak->joined[MEMBER_PLAIN], soak->joined[MEMBER_TLS],
                  soak->joined[MEMBER_WEBSOCKET], soak->sent, soak->received, soak->stalled,
                  soak->closed_stalled, soak->offended, soak->reset, soak->strangers, soak->reloads,
                  soak->certificates);
    check_memory(soak);
    print_message(
        "nothing was read for at most %.2f s, and %u times for so long that the relay may "
        "close a client\n",
        (double)soak->longest_us / 1e6, soak->lapses);
    settle(soak, files);
    close(soak->epoll);
    service_remove_folder();
    free(soak->seen);
    free(soak->soakers);
    free(soak);
}

int main(void)
{
    static const struct matrix_test tests[] = {
        {"soak", test_soak, CELLS_ENGINES},
    };
    return matrix_run("soak", tests, sizeof(tests) / sizeof(tests[0]));
}
