/* SPDX-License-Identifier: BSD-3-Clause */
/* What the main thread does while the relay runs: signals, what is due once a second, the end. */
#include "daemon.h"

#include <time.h>

#include "log.h"
#include "notify.h"
#include "reload.h"
#include "report.h"

/* How often a draining daemon looks whether it shall stop at once. */
#define DRAIN_STEP_MS 50

/* How long clients that were sent away may take to close, beyond takeover.spread. */
#define LEAVE_GRACE_MS 2000

/* How often the service manager is told what is going on. */
#define STATUS_INTERVAL 5

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "12 peers, 3400 packets/s, 38.1 Mbit/s": of the last seconds. */
static void tell_status(struct daemon *daemon, unsigned seconds)
{
    hyperderp_counters now = {.size = sizeof(now)};
    char text[128];

    hyperderp_relay_counters(daemon->status.relay, &now);
    uint64_t packets = now.packets_delivered - daemon->reported.packets_delivered;
    double bits = 8.0 * (double)(now.send_bytes - daemon->reported.send_bytes);
    snprintf(text, sizeof(text), "%llu peers, %llu packets/s, %.1f Mbit/s%s",
             (unsigned long long)now.peers_active, (unsigned long long)(packets / seconds),
             bits / seconds / 1e6, daemon->status.stuck_workers ? ", a worker is stuck" : "");
    notify_status(text);
    daemon->reported = now;
}

/* What is done once a second. */
static void tick(struct daemon *daemon)
{
    daemon->ticks++;
    daemon->status.stuck_workers = watchdog_look(&daemon->watchdog, now_ms());
    if (daemon->watchdog_usec && daemon->status.stuck_workers == 0)
        notify_watchdog();
    if (daemon->web)
        web_tick(daemon->web);
    access_tick(daemon->status.access);
    renewal_tick(&daemon->renewal, now_ms(), &daemon->status);
    trim_tick(&daemon->trim, daemon->status.relay);
    if (daemon->ticks % STATUS_INTERVAL == 0)
        tell_status(daemon, STATUS_INTERVAL);
}

/* Waits for a signal until the next tick is due, or for as long as that. 0 when time has passed. */
static int next_signal(struct daemon *daemon, int64_t most_ms)
{
    int64_t left = daemon->due_ms - now_ms();

    if (left > 0) {
        left = left < most_ms ? left : most_ms;
        const struct timespec wait = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        int signal_number = sigtimedwait(&daemon->signals, NULL, &wait);
        if (signal_number > 0)
            return signal_number;
        if (now_ms() < daemon->due_ms)
            return 0;
    }
    daemon->due_ms += 1000;
    if (daemon->due_ms < now_ms()) /* the process was stopped for a while */
        daemon->due_ms = now_ms() + 1000;
    tick(daemon);
    return 0;
}

static bool ends(int signal_number)
{
    if (signal_number != SIGTERM && signal_number != SIGINT)
        return false;
    log_print(HYPERDERP_LOG_INFO, "%s: draining; once more to stop at once",
              signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
    return true;
}

/* Goes on until the signal that ends the daemon, or until another process has taken over: then
 * true. */
static bool serve(struct daemon *daemon)
{
    daemon->due_ms = now_ms() + 1000;
    for (;;) {
        int signal_number = next_signal(daemon, 1000);
        if (ends(signal_number))
            return false;
        /* Also when no signal tells: another process may have got them. */
        if ((signal_number == 0 || signal_number == TAKEOVER_SIGNAL) &&
            takeover_look(&daemon->takeover, &daemon->sockets))
            return true;
        if (signal_number == SIGHUP)
            reload(&daemon->config, &daemon->flags, &daemon->status, daemon->web, &daemon->renewal);
    }
}

/* Those of clients: the links to other nodes stay until the drain. */
static uint64_t connections(const struct daemon *daemon)
{
    hyperderp_counters now = {.size = sizeof(now)};

    hyperderp_relay_counters(daemon->status.relay, &now);
    return now.connections > now.mesh_links ? now.connections - now.mesh_links : 0;
}

/* Another process accepts on the same sockets. Sends the clients away by and by; SIGTERM and SIGINT
 * end the patience. */
static void leave(struct daemon *daemon)
{
    unsigned spread = (unsigned)daemon->config.takeover.spread_ms;
    int64_t until = now_ms() + spread + LEAVE_GRACE_MS;

    log_print(HYPERDERP_LOG_INFO, "another process has taken over: sending away %llu connections",
              (unsigned long long)connections(daemon));
    takeover_close(&daemon->takeover, NULL);
    sockets_drop_copies(&daemon->sockets); /* should the other one die, nobody waits for us */
    web_stop(daemon->web);                 /* the other one answers now */
    daemon->web = NULL;
    (void)hyperderp_relay_hand_over(daemon->status.relay, spread);
    while (now_ms() < until && connections(daemon) > 0)
        if (ends(next_signal(daemon, DRAIN_STEP_MS)))
            return;
}

static bool second_signal(const sigset_t *handled)
{
    const struct timespec now = {0};
    int signal_number = sigtimedwait(handled, NULL, &now);
    return signal_number == SIGTERM || signal_number == SIGINT;
}

static void drain(struct daemon *daemon)
{
    hyperderp_relay *relay = daemon->status.relay;
    uint64_t timeout = daemon->config.limits.drain_timeout_ms;
    int64_t until = now_ms() + (int64_t)timeout;

    daemon->status.draining = true;
    /* Who prepares to take over has got these sockets: their files are its own. */
    bool theirs = daemon->takeover.peer >= 0;
    if (theirs)
        (void)hyperderp_relay_hand_over(relay, 1);
    takeover_close(&daemon->takeover, theirs ? NULL : daemon->config.takeover.socket);
    sockets_drop_copies(&daemon->sockets); /* who connects now is not to wait for nobody */
    notify_stopping();
    while (now_ms() < until) {
        if (hyperderp_relay_drain(relay, DRAIN_STEP_MS) == 0)
            return;
        if (second_signal(&daemon->signals)) {
            log_print(HYPERDERP_LOG_WARN, "stopping at once");
            return;
        }
    }
    log_print(HYPERDERP_LOG_WARN, "some clients did not go within %llu ms: closing them",
              (unsigned long long)timeout);
}

void daemon_serve(struct daemon *daemon)
{
    if (serve(daemon))
        leave(daemon);
    drain(daemon);
    hyperderp_relay_stop(daemon->status.relay);
    report_counters(daemon->status.relay);
    report_access(daemon->status.access);
}
