/* SPDX-License-Identifier: BSD-3-Clause */
/* Key, relay, listeners. */
#include "startup.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fd_store.h"
#include "key_file.h"
#include "log.h"
#include "mesh.h"
#include "mesh_key.h"
#include "reload.h"

/* Of reading a secret. Trying again does not help where the file has to be changed. */
static int status_of(int error)
{
    if (error == 0)
        return STATUS_OK;
    return error == -EINVAL || error == -EKEYREJECTED ? STATUS_CONFIG : STATUS_IO;
}

/* Without a file there is nowhere to keep a key: it stays zero, and the relay makes itself one. */
static int load_key(hyperderp_private_key *key, const struct config *config,
                    const struct flags *flags)
{
    char fault[KEY_FILE_FAULT];

    *key = (hyperderp_private_key){{0}};
    if (!flags->config_file || flags->dev)
        return STATUS_OK;
    int error = key_file_read(config->key_file, key, fault);
    if (error == -ENOENT) {
        error = key_file_make(config->key_file, key, fault);
        if (error == 0)
            log_print(HYPERDERP_LOG_INFO, "made the key file %s", config->key_file);
        /* Another one was a moment faster. */
        if (error == -EEXIST)
            error = key_file_read(config->key_file, key, fault);
    }
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "%s", fault);
    return status_of(error);
}

static int load_mesh_key(uint8_t *key, const struct config *config)
{
    char fault[MESH_KEY_FAULT];

    if (!*config->mesh.key_file)
        return STATUS_OK;
    int error = mesh_key_read(config->mesh.key_file, key, fault);
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "%s", fault);
    return status_of(error);
}

static void set_options(hyperderp_relay_options *options, const struct config *config)
{
    const hyperderp_limits limits = configuration_limits(config);

    hyperderp_relay_options_init(options);
    options->workers = (unsigned)config->workers;
    options->engine = config->io.engine;
    options->sqpoll = config->io.sqpoll;
    options->socket_buffer = (unsigned)config->io.socket_buffer;
    options->pin_workers = config->pin_workers;
    options->pin_cores = config->pin_cores.items;
    options->pin_core_count = (unsigned)config->pin_cores.count;
    options->max_connections = limits.max_connections;
    options->queue_frames = limits.queue_frames;
    options->queue_bytes = limits.queue_bytes;
    options->memory_bytes = limits.memory_bytes;
    options->handshake_timeout_ms = limits.handshake_timeout_ms;
    options->keepalive_ms = limits.keepalive_ms;
    options->write_timeout_ms = limits.write_timeout_ms;
    options->accept_rate = limits.accept_rate;
    options->accept_burst = limits.accept_burst;
    options->connections_per_ip = limits.connections_per_ip;
    options->client_rate = limits.client_rate;
    options->client_burst = limits.client_burst;
    options->queue_time_ms = limits.queue_time_ms;
    options->home = config->http_home;
    options->log = log_from_relay;
    options->log_level = config->log_level;
}

static int add_listener(hyperderp_relay *relay, const struct config_listener *from,
                        struct sockets *sockets, int *kept, const hyperderp_listener_options *tls)
{
    static const char systemd[] = "systemd:", unix[] = "unix:";
    hyperderp_listener_options options;

    hyperderp_listener_options_init(&options);
    if (from->tls)
        options = *tls;
    options.proxy_protocol = from->proxy_protocol;
    options.trusted_proxies = (const char *const *)from->trusted_proxies.items;
    options.trusted_proxy_count = (unsigned)from->trusted_proxies.count;
    if (strncmp(from->address, systemd, sizeof(systemd) - 1) == 0) {
        options.fd = handed_sockets_find(&sockets->handed, from->address + sizeof(systemd) - 1);
        if (options.fd < 0)
            return options.fd;
    } else {
        options.fd = sockets_take(kept);
        options.keep_file = fd_store_is_there();
        if (options.fd < 0 || strncmp(from->address, unix, sizeof(unix) - 1) == 0)
            options.address = from->address;
    }
    int listener = hyperderp_relay_add_listener(relay, &options);
    if (listener < 0 && options.fd >= 0)
        close(options.fd);
    return listener < 0 ? listener : 0; /* the relay has logged why */
}

static int add_listeners(hyperderp_relay *relay, const struct config *config,
                         struct sockets *sockets, hyperderp_certificate *certificate)
{
    hyperderp_listener_options tls;
    int error = 0;

    hyperderp_listener_options_init(&tls);
    tls.certificate = certificate;
    tls.offload = config->tls.offload;

    for (size_t i = 0; i < config->listener_count && error == 0; i++)
        error = add_listener(relay, &config->listeners[i], sockets, &sockets->listeners[i], &tls);
    return error;
}

static int add_stun(hyperderp_relay *relay, const char *address, struct sockets *sockets)
{
    if (!*address)
        return 0;
    int fd = sockets_take(&sockets->stun);
    int stun =
        fd >= 0 ? hyperderp_relay_add_stun_fd(relay, fd) : hyperderp_relay_add_stun(relay, address);
    if (stun < 0 && fd >= 0)
        close(fd);
    return stun < 0 ? stun : 0; /* the relay has logged why */
}

/* Before the start, as later they are the workers'. */
static int keep_sockets(hyperderp_relay *relay, const struct config *config,
                        struct sockets *sockets)
{
    int error = sockets_keep_relay(sockets, relay, config);
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "copies of the sockets: %s", strerror(-error));
    return error;
}

int startup_relay(hyperderp_relay **out, const struct config *config, const struct flags *flags,
                  struct sockets *sockets, hyperderp_certificate *certificate,
                  struct access *access)
{
    hyperderp_relay_options options;

    *out = NULL;
    set_options(&options, config);
    options.admit = access_admit;
    options.user = access;
    int status = load_key(&options.private_key, config, flags);
    if (status == STATUS_OK)
        status = load_mesh_key(options.mesh_key, config);
    int error = status == STATUS_OK ? hyperderp_relay_new(out, &options) : 0;
    hyperderp_private_key_wipe(&options.private_key);
    explicit_bzero(options.mesh_key, sizeof(options.mesh_key));
    if (status != STATUS_OK)
        return status;
    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "cannot make the relay: %s", strerror(-error));
        return error == -EINVAL ? STATUS_CONFIG : STATUS_SYSTEM;
    }
    error = add_listeners(*out, config, sockets, certificate);
    if (error == 0)
        error = add_stun(*out, config->stun_address, sockets);
    if (error == 0)
        error = keep_sockets(*out, config, sockets);
    if (error == 0)
        error = mesh_begin(*out, &config->mesh);
    if (error)
        return error == -EINVAL || error == -ENOENT || error == -EEXIST ? STATUS_CONFIG
                                                                        : STATUS_SYSTEM;
    error = hyperderp_relay_start(*out);
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "cannot start the relay: %s", strerror(-error));
    return error ? STATUS_SYSTEM : STATUS_OK;
}
