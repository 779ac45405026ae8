/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp: a DERP relay as a daemon, on the public API of libhyperderp alone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <hyperderp/hyperderp.h>

#include "commands.h"
#include "derpmap.h"
#include "flags.h"
#include "log.h"
#include "notify.h"
#include "privilege.h"
#include "reload.h"
#include "renewal.h"
#include "report.h"
#include "sandbox.h"
#include "sockets.h"
#include "startup.h"
#include "status.h"
#include "takeover.h"
#include "trim.h"
#include "watchdog.h"
#include "web.h"
#include "wiped_memory.h"

/* How often a draining daemon looks whether it shall stop at once. */
#define DRAIN_STEP_MS 50

/* How long clients that were sent away may take to close, beyond takeover.spread. */
#define LEAVE_GRACE_MS 2000

/* How often the service manager is told what is going on. */
#define STATUS_INTERVAL 5

struct daemon {
    struct flags flags;
    struct config config;
    struct status status;
    struct web *web; /* or NULL */
    struct sockets sockets;
    struct takeover takeover;
    struct renewal renewal;
    struct watchdog watchdog;
    struct trim trim;
    uint64_t watchdog_usec;
    sigset_t signals;
    int64_t due_ms;              /* of the next tick */
    unsigned ticks;              /* seconds */
    hyperderp_counters reported; /* when the status was last told */
};

/* Each connection needs a file; the hard limit is what the operator allows. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void block_signals(sigset_t *handled)
{
    sigemptyset(handled);
    sigaddset(handled, SIGINT);
    sigaddset(handled, SIGTERM);
    sigaddset(handled, SIGHUP);
    sigaddset(handled, SIGUSR1);
    sigaddset(handled, TAKEOVER_SIGNAL);
    /* Before any thread exists, so that all of them inherit it. */
    sigprocmask(SIG_BLOCK, handled, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What a client must be told, so that it can be taken from the log. The whole map is what
 * `hyper-derp derpmap` prints. */
static void tell_node(const struct daemon *daemon)
{
    const struct config *config = &daemon->config;
    const hyperderp_certificate *certificate = daemon->renewal.certificate;
    struct derpmap_node node;
    char address[128] = "";
    int tls = 0;

    if (!certificate || !*config->tls.hostname ||
        derpmap_node_init(&node, config, certificate) != 0)
        return;
    while (!config->listeners[tls].tls)
        tls++;
    (void)hyperderp_relay_listener_address(daemon->status.relay, tls, address, sizeof(address));
    node.port = derpmap_port(address); /* the kernel may have chosen it */
    char *text = derpmap_node_json(&node);
    if (text)
        log_print(HYPERDERP_LOG_INFO, "the node for a DERPMap: %s", text);
    free(text);
}

static void say_hello(const struct daemon *daemon)
{
    const hyperderp_relay *relay = daemon->status.relay;
    char text[HYPERDERP_KEY_TEXT_SIZE], address[128] = "", web[64] = "";
    hyperderp_key key;

    hyperderp_relay_public_key(relay, &key);
    hyperderp_key_format(&key, text);
    log_print(HYPERDERP_LOG_INFO, "hyper-derp %s, public key %s", hyperderp_version(), text);
    tell_node(daemon);
    if (!daemon->flags.dev)
        return;
    (void)hyperderp_relay_listener_address(relay, 0, address, sizeof(address));
    printf("\nhyper-derp is ready: a DERP relay without TLS, for trying out, at http://%s/derp\n",
           address);
    if (daemon->web) {
        web_address(daemon->web, web, sizeof(web));
        printf("Watch it at http://%s/\n", web);
    }
    printf("Send traffic through it from another terminal:\n"
           "    build/hyper-derp-bench --relay %s\n"
           "Stop it with Ctrl-C.\n\n",
           address);
    fflush(stdout);
}

/* ---- Running ---- */

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

/* ---- Beginning and end ---- */

static int start_web(struct daemon *daemon)
{
    if (!*daemon->config.metrics.address)
        return STATUS_OK;
    int error = web_start(&daemon->web, &daemon->config.metrics, &daemon->status,
                          sockets_take(&daemon->sockets.metrics));
    if (error == 0) {
        (void)sockets_keep(&daemon->sockets, web_fd(daemon->web)); /* else it is bound anew */
        return STATUS_OK;
    }
    daemon->web = NULL;
    if (daemon->flags.dev) {
        log_print(HYPERDERP_LOG_WARN, "going on without metrics");
        return STATUS_OK;
    }
    return error == -EINVAL ? STATUS_CONFIG : STATUS_SYSTEM;
}

/* Who may join, before there is anybody who could. */
static int start_access(struct daemon *daemon)
{
    struct access_change *change = NULL;
    struct problems problems;

    problems_init(&problems);
    daemon->status.access = access_new();
    int error = daemon->status.access ? access_prepare(daemon->status.access, &change,
                                                       &daemon->config.access, &problems)
                                      : -ENOMEM;
    problems_log(&problems);
    problems_free(&problems);
    if (error == -EINVAL)
        return STATUS_CONFIG;
    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "access: cannot start: %s", strerror(-error));
        return STATUS_SYSTEM;
    }
    access_commit(daemon->status.access, change);
    return STATUS_OK;
}

/* Gives up what is not needed before anything of a stranger's, or a file, is looked at. */
static int confine(const struct daemon *daemon, bool keep)
{
    const struct config *config = &daemon->config;
    bool wanted = *config->user || config->sandbox != SANDBOX_OFF;
    int error = wanted ? privilege_drop(config->user) : 0;

    if (error && !*config->user && config->sandbox == SANDBOX_AUTO) {
        log_print(HYPERDERP_LOG_WARN, "going on with all capabilities that there are");
        error = 0;
    }
    if (error == -ENOENT || error == -EPERM)
        return STATUS_CONFIG;
    if (error == 0)
        error = sandbox_enter(config, daemon->flags.config_file, keep);
    return error == 0 ? STATUS_OK : STATUS_SYSTEM;
}

/* Which sockets there are already. */
static int start_sockets(struct daemon *daemon)
{
    const char *path = daemon->config.takeover.socket;
    struct sockets *sockets = &daemon->sockets;

    if (daemon->flags.takeover && !*path) {
        log_print(HYPERDERP_LOG_ERROR, "--takeover: takeover.socket is not set in %s",
                  daemon->flags.config_file);
        return STATUS_CONFIG;
    }
    int error = handed_sockets_take(&sockets->handed);
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "sockets of systemd: %s", strerror(-error));
    if (error == 0 && daemon->flags.takeover)
        error = takeover_ask(&daemon->takeover, path, &sockets->handed);
    if (error == 0)
        error = sockets_match(sockets, &daemon->config);
    if (error == 0 && *path)
        error = takeover_listen(&daemon->takeover, path, sockets);
    handed_sockets_drop(&sockets->handed); /* before others are bound */
    return error ? STATUS_SYSTEM : STATUS_OK;
}

static int start(struct daemon *daemon)
{
    const bool keep = daemon->flags.config_file && !daemon->flags.dev;
    int status = confine(daemon, keep);

    if (status == STATUS_OK)
        status = renewal_start(&daemon->renewal, &daemon->config, keep, &daemon->status);

    if (status == STATUS_OK)
        status = start_access(daemon);
    if (status == STATUS_OK)
        status = start_sockets(daemon);
    if (status == STATUS_OK)
        status =
            startup_relay(&daemon->status.relay, &daemon->config, &daemon->flags, &daemon->sockets,
                          daemon->renewal.certificate, daemon->status.access);
    if (status == STATUS_OK)
        access_watch(daemon->status.access, daemon->status.relay);
    if (status == STATUS_OK)
        status = start_web(daemon);
    if (status == STATUS_OK && sandbox_seal(&daemon->config) != 0)
        status = STATUS_SYSTEM;
    if (status != STATUS_OK)
        return status;
    daemon->watchdog_usec = notify_watchdog_usec();
    if (watchdog_init(&daemon->watchdog, daemon->status.relay, daemon->watchdog_usec) != 0) {
        log_print(HYPERDERP_LOG_ERROR, "no memory for the watchdog");
        return STATUS_SYSTEM;
    }
    return STATUS_OK;
}

static void finish(struct daemon *daemon)
{
    drain(daemon);
    hyperderp_relay_stop(daemon->status.relay);
    report_counters(daemon->status.relay);
    report_access(daemon->status.access);
}

static int run(struct daemon *daemon)
{
    daemon->status.started = time(NULL);
    daemon->status.config_last_success = daemon->status.started;
    daemon->status.has_file = daemon->flags.config_file != NULL;
    log_set_level(daemon->config.log_level);
    log_set_format(daemon->config.log_format);
    block_signals(&daemon->signals);
    raise_file_limit();
    takeover_init(&daemon->takeover);
    int status = start(daemon);
    if (status == STATUS_OK) {
        say_hello(daemon);
        notify_ready();
        takeover_finish(&daemon->takeover);
        if (serve(daemon))
            leave(daemon);
        finish(daemon);
    } else if (daemon->takeover.peer >= 0 && daemon->status.relay) {
        /* The process that was to be taken over goes on with its sockets, and their files. */
        (void)hyperderp_relay_hand_over(daemon->status.relay, 0);
    }
    web_stop(daemon->web); /* before the relay that it shows */
    /* Whoever still waits for an answer gets one before the relay that asked is freed. */
    if (daemon->status.relay)
        hyperderp_relay_stop(daemon->status.relay);
    access_free(daemon->status.access);
    hyperderp_relay_free(daemon->status.relay);
    takeover_close(&daemon->takeover, NULL);
    sockets_free(&daemon->sockets);
    renewal_free(&daemon->renewal);
    watchdog_free(&daemon->watchdog);
    if (status == STATUS_OK)
        log_print(HYPERDERP_LOG_INFO, "stopped");
    return status;
}

static int load_and_run(struct daemon *daemon)
{
    if (daemon->flags.has_log_level)
        log_set_level(daemon->flags.log_level);
    int error = configuration_load(&daemon->config, &daemon->flags);
    int status = error == 0 ? run(daemon) : error == -ENOMEM ? STATUS_SYSTEM : STATUS_CONFIG;
    config_free(&daemon->config);
    return status;
}

/* What is printed is often meant for a file, a key for one: when it is lost, the status says so. */
static int printed(int status)
{
    if (status != STATUS_OK || (fflush(stdout) == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "hyper-derp: standard output: %s\n", strerror(errno));
    return STATUS_IO;
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    int status = flags_parse(&daemon.flags, argc, argv);

    if (status >= 0)
        return printed(status);
    log_init();
    wiped_memory_use();
    switch (daemon.flags.command) {
    case COMMAND_CHECK_CONFIG:
        return printed(command_check_config(&daemon.flags));
    case COMMAND_PRINT_CONFIG:
        return printed(command_print_config(&daemon.flags));
    case COMMAND_KEYGEN:
        return printed(command_keygen(&daemon.flags));
    case COMMAND_DERPMAP:
        return printed(command_derpmap(&daemon.flags));
    case COMMAND_RUN:
        break;
    }
    return load_and_run(&daemon);
}
