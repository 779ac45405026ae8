/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A relay inside the event loop of a program of yours, which has one thread and keeps it:
 *     control-plane ADDRESS KEYS
 * KEYS is a file with a node key in each line: those may join; a line "*" lets everyone in. On
 * SIGHUP it is read again, and who may not join any more is sent away. What happens is told on
 * standard output, a JSON object in each line. SIGTERM and SIGINT drain the relay; a second one, or
 * five seconds, end it at once.
 */
#define _GNU_SOURCE /* getline(), signalfd() with SFD_CLOEXEC */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#define DRAIN_SECONDS 5

/* The loop and the relay's callbacks run on one thread, so that nothing here needs a lock. */
struct plane {
    const char *keys_path;
    hyperderp_key *keys;
    size_t key_count;
    bool everyone;

    hyperderp_relay *relay;
    int loop;    /* epoll */
    int worker;  /* tells that the relay's worker wants a turn */
    int signals; /* signalfd */
    int timer;   /* timerfd: a drain has taken long enough */
    bool is_draining;
};

/* Functions of the library return 0 or more, or a negative errno. */
static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
}

/* The same for those of the system. */
static int check_errno(int result, const char *what)
{
    check(result < 0 ? -errno : 0, what);
    return result;
}

/* ---- Who may join ---------------------------------------------------------------------------- */

static bool may_join(const struct plane *plane, const hyperderp_key *key)
{
    for (size_t i = 0; i < plane->key_count; i++)
        if (hyperderp_key_equal(&plane->keys[i], key))
            return true;
    return plane->everyone;
}

/* Takes a line of the file over. False when it is none of a key. */
static bool add_line(struct plane *plane, char *line)
{
    line[strcspn(line, "\r\n")] = '\0';
    if (line[0] == '\0' || line[0] == '#')
        return true;
    if (strcmp(line, "*") == 0) {
        plane->everyone = true;
        return true;
    }
    void *keys = realloc(plane->keys, (plane->key_count + 1) * sizeof(*plane->keys));
    if (!keys)
        return false;
    plane->keys = keys;
    return hyperderp_key_parse(&plane->keys[plane->key_count++], line) == 0;
}

/* False when there is no such file, or something else in it: then nothing has changed. */
static bool read_keys(struct plane *plane)
{
    struct plane read = {0};
    FILE *file = fopen(plane->keys_path, "re");
    char *line = NULL;
    size_t size = 0;
    bool good = file != NULL;

    while (good && getline(&line, &size, file) >= 0)
        good = add_line(&read, line);
    if (!good)
        fprintf(stderr, "%s: %s\n", plane->keys_path, file ? line : strerror(errno));
    free(line);
    if (file)
        fclose(file);
    free(good ? plane->keys : read.keys);
    if (good) {
        plane->keys = read.keys;
        plane->key_count = read.key_count;
        plane->everyone = read.everyone;
    }
    return good;
}

static void send_away(const struct plane *plane)
{
    hyperderp_peer_info *peers;
    size_t count;

    if (hyperderp_relay_peers(plane->relay, &peers, &count) < 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (!may_join(plane, &peers[i].key))
            hyperderp_relay_close_peer(plane->relay, &peers[i].key);
    hyperderp_peers_free(peers);
}

/* ---- What the relay calls, inside hyperderp_relay_dispatch() --------------------------------- */

/* All that is told is written without a quotation mark in it: names, keys, addresses. */
static void tell_peer(const char *event, const hyperderp_key *key, const char *address)
{
    char text[HYPERDERP_KEY_TEXT_SIZE];

    hyperderp_key_format(key, text);
    printf("{\"event\":\"%s\",\"key\":\"%s\",\"address\":\"%s\"", event, text, address);
}

static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    const struct plane *plane = user;
    (void)ticket; /* for an answer that comes later, as from a data base */

    if (may_join(plane, &client->key))
        return HYPERDERP_ALLOW;
    tell_peer("denied", &client->key, client->address);
    printf("}\n");
    return HYPERDERP_DENY;
}

/* A key has come, gone, or gets its packets at another address. */
static void peer_event(void *user, const hyperderp_peer_event *event)
{
    (void)user;
    tell_peer(hyperderp_peer_event_name(event->type), &event->key, event->address);
    if (event->type == HYPERDERP_PEER_DOWN)
        printf(",\"ms\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"got\":%" PRIu64, event->connected_ms,
               event->packets_received, event->packets_delivered);
    printf("}\n");
}

static void log_line(void *user, hyperderp_log_level level, const char *line)
{
    (void)user;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void add(const struct plane *plane, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    check_errno(epoll_ctl(plane->loop, EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

/* Blocked, and read as any other input. */
static int open_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return check_errno(signalfd(-1, &signals, SFD_CLOEXEC), "signalfd");
}

static void drain(struct plane *plane)
{
    const struct itimerspec after = {.it_value.tv_sec = DRAIN_SECONDS};

    if (plane->is_draining) {
        hyperderp_relay_stop(plane->relay); /* takes the worker's last turns itself */
        return;
    }
    plane->is_draining = true;
    hyperderp_relay_drain(plane->relay, 0); /* only begins it; the turns to come do the rest */
    check_errno(timerfd_settime(plane->timer, 0, &after, NULL), "timerfd_settime");
}

static void take_signal(struct plane *plane)
{
    struct signalfd_siginfo info;

    if (read(plane->signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    if (info.ssi_signo != SIGHUP) {
        drain(plane);
        return;
    }
    bool good = read_keys(plane);
    if (good)
        send_away(plane);
    printf("{\"event\":\"keys\",\"read\":%s}\n", good ? "true" : "false");
}

/* Until the relay has ended. */
static void run(struct plane *plane)
{
    struct epoll_event events[8];
    int goes_on = 1;

    while (goes_on > 0) {
        fflush(stdout);
        int n = epoll_wait(plane->loop, events, 8, -1);
        for (int i = 0; i < n && goes_on > 0; i++) {
            if (events[i].data.fd == plane->worker)
                goes_on = hyperderp_relay_dispatch(plane->relay, 0);
            else if (events[i].data.fd == plane->signals)
                take_signal(plane);
            else
                hyperderp_relay_stop(plane->relay); /* the timer */
        }
    }
    check(goes_on, "running the relay");
}

static void start(struct plane *plane, const char *address)
{
    hyperderp_relay_options options;
    hyperderp_listener_options listener;
    char text[128];

    hyperderp_relay_options_init(&options);
    options.workers = 1;
    options.user = plane;
    options.admit = admit;
    options.peer_event = peer_event;
    options.log = log_line;
    options.log_level = HYPERDERP_LOG_WARN;
    check(hyperderp_relay_new(&plane->relay, &options), "making a relay");
    hyperderp_listener_options_init(&listener);
    listener.address = address;
    check(hyperderp_relay_add_listener(plane->relay, &listener), address);
    check(hyperderp_relay_listener_address(plane->relay, 0, text, sizeof(text)), address);
    check(hyperderp_relay_start_driven(plane->relay), "starting the relay");
    plane->worker = hyperderp_relay_worker_fd(plane->relay, 0);
    printf("{\"event\":\"listening\",\"address\":\"%s\"}\n", text);
}

int main(int argc, char **argv)
{
    hyperderp_counters counters = {.size = sizeof(counters)};
    struct plane plane = {0};

    if (argc != 3) {
        fprintf(stderr, "usage: control-plane ADDRESS KEYS\n");
        return 64;
    }
    plane.keys_path = argv[2];
    if (!read_keys(&plane))
        return 1;
    plane.signals = open_signals();
    plane.loop = check_errno(epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    plane.timer = check_errno(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), "timerfd_create");
    start(&plane, argv[1]);
    add(&plane, plane.worker);
    add(&plane, plane.signals);
    add(&plane, plane.timer);
    run(&plane);

    hyperderp_relay_counters(plane.relay, &counters);
    printf("{\"event\":\"end\",\"joined\":%" PRIu64 ",\"denied\":%" PRIu64 ",\"received\":%" PRIu64
           ",\"delivered\":%" PRIu64 "}\n",
           counters.handshakes_ok, counters.handshakes_denied, counters.packets_received,
           counters.packets_delivered);
    close(plane.loop);
    close(plane.signals);
    close(plane.timer);
    hyperderp_relay_free(plane.relay);
    free(plane.keys);
    return 0;
}
