/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions: making a relay, its listeners, its figures, its end. */
#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sodium.h>
#include <string.h>
#include <time.h>

#include "memory/memory.h"
#include "relay/counters.h"
#include "relay/driven.h"
#include "relay/http_answer.h"
#include "relay/listener_tls.h"
#include "relay/options.h"
#include "relay/within.h"
#include "relay/worker.h"

#define NS_PER_MS 1000000

/* The least that TCP waits for acknowledgements before it gives a connection up. */
#define MIN_USER_TIMEOUT_MS 30000

static int make_private_key(hyperderp_private_key *out, const hyperderp_private_key *given)
{
    if (sodium_is_zero(given->bytes, sizeof(given->bytes)))
        return hyperderp_private_key_generate(out);
    memcpy(out, given, sizeof(*out));
    return 0;
}

static int set_secrets(hyperderp_relay *relay, const hyperderp_relay_options *options)
{
    struct relay_secrets *secrets = vault_take(&relay->vault);
    int error = -ENOMEM;

    relay->secrets = secrets;
    if (secrets) {
        memcpy(secrets->mesh_key, options->mesh_key, sizeof(secrets->mesh_key));
        relay->has_mesh_key = !sodium_is_zero(secrets->mesh_key, sizeof(secrets->mesh_key));
        error = make_private_key(&secrets->private_key, &options->private_key);
    }
    if (error == 0)
        hyperderp_private_key_public(&secrets->private_key, &relay->public_key);
    return error;
}

static void set_options(hyperderp_relay *relay, const hyperderp_relay_options *options)
{
    relay->log.write = options->log;
    relay->log.user = options->user;
    atomic_init(&relay->log.level, options->log_level);
    hyperderp_limits limits = options_limits(options);
    limits_set(&relay->limits, &limits);
    relay->in_use = limits;
    relay->sqpoll = options->sqpoll;
    relay->socket_buffer = options->socket_buffer;
    relay->admit = options->admit;
    relay->drained = options->drained;
    relay->user = options->user;
    relay->worker_count = options->workers;
}

/* Copies the cores to pin workers to, or finds the usable ones. */
static int set_cores(hyperderp_relay *relay, const hyperderp_relay_options *options)
{
    cpu_set_t usable;
    unsigned count = options->pin_core_count;

    if (!options->pin_workers)
        return 0;
    CPU_ZERO(&usable);
    if (sched_getaffinity(0, sizeof(usable), &usable) != 0)
        return -errno;
    relay->pin_cores = memory_calloc(count ? count : CPU_SETSIZE, sizeof(unsigned));
    if (!relay->pin_cores)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        unsigned core = options->pin_cores[i];
        if (core >= CPU_SETSIZE || !CPU_ISSET(core, &usable)) {
            log_line(&relay->log, HYPERDERP_LOG_ERROR,
                     "workers cannot be kept on core %u: this process may not use it", core);
            return -EINVAL;
        }
        relay->pin_cores[i] = core;
    }
    for (unsigned core = 0; count == 0 && core < CPU_SETSIZE; core++)
        if (CPU_ISSET(core, &usable))
            relay->pin_cores[relay->pin_core_count++] = core;
    if (count > 0)
        relay->pin_core_count = count;
    relay->pin_workers = true;
    return 0;
}

static void free_workers(hyperderp_relay *relay)
{
    for (unsigned i = 0; relay->workers && i < relay->worker_count; i++)
        worker_free(relay->workers[i]);
    memory_free(relay->workers);
    relay->workers = NULL;
}

static int make_workers(hyperderp_relay *relay, enum io_engine engine)
{
    int error = 0;

    relay->engine = engine;
    relay->workers = memory_calloc(relay->worker_count, sizeof(struct worker *));
    if (!relay->workers)
        return -ENOMEM;
    for (unsigned i = 0; i < relay->worker_count && error == 0; i++)
        error = worker_new(&relay->workers[i], relay, i);
    if (error)
        free_workers(relay);
    return error;
}

/* Makes the workers on the engine that was asked for; "auto" falls back, and says so. */
static int choose_engine(hyperderp_relay *relay, hyperderp_engine wanted)
{
    if (wanted == HYPERDERP_ENGINE_EPOLL)
        return make_workers(relay, IO_ENGINE_EPOLL);
    int error = make_workers(relay, IO_ENGINE_URING);
    if (error == 0 || error == -ENOMEM || error == -EMFILE)
        return error;
    if (wanted == HYPERDERP_ENGINE_IO_URING) {
        log_line(&relay->log, HYPERDERP_LOG_ERROR,
                 "io_uring is not available here (%s); it needs Linux 6.1 and permission for "
                 "io_uring_setup, or choose the engine epoll",
                 strerror(-error));
        return -ENOSYS;
    }
    log_line(&relay->log, HYPERDERP_LOG_WARN, "io_uring is not available here (%s); using epoll",
             strerror(-error));
    return make_workers(relay, IO_ENGINE_EPOLL);
}

static int make_relay(hyperderp_relay **out, const hyperderp_relay_options *options)
{
    if (sodium_init() < 0)
        return -EIO;
    /* The stripes of its route table keep to cache lines of their own. */
    hyperderp_relay *relay = memory_aligned_alloc(_Alignof(hyperderp_relay), sizeof(*relay));
    if (!relay)
        return -ENOMEM;
    memset(relay, 0, sizeof(*relay));
    set_options(relay, options);
    route_init(&relay->routes, &(struct peer_callbacks){.log = &relay->log,
                                                        .user = options->user,
                                                        .peer_changed = options->peer_changed,
                                                        .peer_event = options->peer_event});
    addresses_init(&relay->addresses);
    watch_init(&relay->watch);
    mesh_init(&relay->mesh);
    local_init(&relay->locals);
    frame_depot_init(&relay->frames, options->memory_bytes);
    vault_init(&relay->vault);
    atomic_init(&relay->connections, 0);
    atomic_init(&relay->accept_full_at, 0);
    atomic_init(&relay->accepting, options->workers);
    atomic_init(&relay->handed_over, false);
    atomic_init(&relay->phase, RELAY_NEW);
    pthread_mutex_init(&relay->life, NULL);
    pthread_mutex_init(&relay->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&relay->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    int error = set_secrets(relay, options);
    if (error == 0)
        error = set_cores(relay, options);
    if (error == 0)
        error = http_answer_home(&relay->home, options->home);
    if (error == 0)
        error = choose_engine(relay, options->engine);
    if (error) {
        hyperderp_relay_free(relay);
        return error;
    }
    *out = relay;
    return 0;
}

int hyperderp_relay_new(hyperderp_relay **out, const hyperderp_relay_options *given)
{
    hyperderp_relay_options options;

    if (!out)
        return -EINVAL;
    *out = NULL;
    int error = options_read(&options, given);
    if (error == 0)
        error = make_relay(out, &options);
    /* The copy, on which all of this works, had the secrets as well. */
    sodium_memzero(&options, sizeof(options));
    return error;
}

static unsigned user_timeout_ms(const hyperderp_relay *relay)
{
    int64_t timeout = 2 * limits_write(&relay->limits) / NS_PER_MS;
    return timeout < MIN_USER_TIMEOUT_MS ? MIN_USER_TIMEOUT_MS : (unsigned)timeout;
}

void relay_set_user_timeout(hyperderp_relay *relay)
{
    for (unsigned i = 0; i < relay->listener_count; i++)
        listener_set_user_timeout(&relay->listeners[i], user_timeout_ms(relay));
}

int hyperderp_relay_add_listener(hyperderp_relay *relay, const hyperderp_listener_options *given)
{
    hyperderp_listener_options options;

    int error = relay ? options_read_listener(&options, given) : -EINVAL;
    if (error)
        return error;
    if (relay_phase(relay) != RELAY_NEW || within_relay(&relay->log))
        return -EBUSY;
    if (relay->listener_count == RELAY_MAX_LISTENERS)
        return -ENOSPC;
    struct listener *listener = &relay->listeners[relay->listener_count];
    struct tls_server *server;
    error = listener_tls_make(&server, relay, &options);
    if (error)
        return error;
    error = listener_open(listener, &options, relay->socket_buffer, &relay->log);
    if (error) {
        tls_server_unref(server);
        return error;
    }
    listener->choose = options.choose_certificate;
    listener->offload = options.offload == HYPERDERP_OFFLOAD_KERNEL;
    listener_set_tls_server(listener, server);
    listener_set_user_timeout(listener, user_timeout_ms(relay));
    log_line(&relay->log, HYPERDERP_LOG_INFO, "listening on %s (DERP, %s%s)", listener->address,
             !options.certificate ? listener->trusts_all ? "in the clear" : "plain TCP"
             : listener->offload  ? "TLS 1.3 by the kernel"
                                  : "TLS 1.3",
             listener->proxied ? ", behind the PROXY protocol" : "");
    return (int)relay->listener_count++;
}

int hyperderp_relay_listener_address(const hyperderp_relay *relay, int listener, char *text,
                                     size_t room)
{
    if (!relay || listener < 0 || (unsigned)listener >= relay->listener_count || !text)
        return -EINVAL;
    const char *address = relay->listeners[listener].address;
    if (strlen(address) >= room)
        return -ENOSPC;
    memcpy(text, address, strlen(address) + 1);
    return 0;
}

int hyperderp_relay_listener_fd(const hyperderp_relay *relay, int listener)
{
    if (!relay || listener < 0 || (unsigned)listener >= relay->listener_count)
        return -EINVAL;
    if (relay_phase(relay) != RELAY_NEW)
        return -EBUSY;
    int fd = fcntl(relay->listeners[listener].fd, F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

/* Some workers may never have run, when others of the same start could not. */
static void refuse_messages(hyperderp_relay *relay)
{
    struct within here;

    within_enter(&here, &relay->log, WITHIN_WORKER);
    for (unsigned i = 0; relay->workers && i < relay->worker_count; i++)
        worker_refuse(relay->workers[i]);
    within_leave(&here);
}

void hyperderp_relay_free(hyperderp_relay *relay)
{
    if (!relay || within_refuses(&relay->log, "hyperderp_relay_free"))
        return;
    if (relay->is_driven)
        driven_end(relay);
    else
        hyperderp_relay_stop(relay);
    refuse_messages(relay);
    local_destroy(relay);
    mesh_destroy(&relay->mesh);
    free_workers(relay);
    for (unsigned i = 0; i < relay->listener_count; i++) {
        listener_close(&relay->listeners[i],
                       atomic_load_explicit(&relay->handed_over, memory_order_relaxed));
        listener_destroy(&relay->listeners[i]);
    }
    for (unsigned i = 0; i < relay->stun_count; i++) {
        stun_close(&relay->stuns[i]);
        stun_destroy(&relay->stuns[i]);
    }
    memory_free(relay->pin_cores);
    memory_free(relay->home);
    route_destroy(&relay->routes);
    addresses_destroy(&relay->addresses);
    watch_destroy(&relay->watch);
    frame_depot_destroy(&relay->frames);
    vault_give(&relay->vault, relay->secrets);
    vault_destroy(&relay->vault);
    pthread_cond_destroy(&relay->changed);
    pthread_mutex_destroy(&relay->lock);
    pthread_mutex_destroy(&relay->life);
    memory_aligned_free(relay);
}

void hyperderp_relay_public_key(const hyperderp_relay *relay, hyperderp_key *out)
{
    if (out)
        *out = relay ? relay->public_key : (hyperderp_key){0};
}

hyperderp_engine hyperderp_relay_engine(const hyperderp_relay *relay)
{
    if (!relay)
        return HYPERDERP_ENGINE_AUTO;
    return relay->engine == IO_ENGINE_URING ? HYPERDERP_ENGINE_IO_URING : HYPERDERP_ENGINE_EPOLL;
}

const char *hyperderp_engine_name(hyperderp_engine engine)
{
    switch (engine) {
    case HYPERDERP_ENGINE_AUTO:
        return "auto";
    case HYPERDERP_ENGINE_IO_URING:
        return "io_uring";
    case HYPERDERP_ENGINE_EPOLL:
        return "epoll";
    }
    return "unknown";
}

void hyperderp_relay_counters(const hyperderp_relay *relay, hyperderp_counters *out)
{
    hyperderp_counters sum = {0};

    if (!relay || !out || out->size < sizeof(out->size))
        return;
    for (unsigned i = 0; i < relay->worker_count; i++)
        counters_sum(&sum, relay->workers[i]->counters);
    sum.queued_bytes = atomic_load_explicit(&relay->frames.used, memory_order_relaxed);
    sum.local_peers = atomic_load_explicit(&relay->locals.count, memory_order_relaxed);
    sum.local_refused = atomic_load_explicit(&relay->locals.refused, memory_order_relaxed);
    sum.workers = relay->worker_count;
    sum.size = out->size;
    memcpy(out, &sum, out->size < sizeof(sum) ? out->size : sizeof(sum));
}
