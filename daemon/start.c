/* SPDX-License-Identifier: BSD-3-Clause */
/* From a configuration to a relay that runs: privileges, certificate, access, sockets, relay,
 * pages. */
#include "daemon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "derpmap.h"
#include "log.h"
#include "notify.h"
#include "privilege.h"
#include "sandbox.h"
#include "startup.h"

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

int daemon_start(struct daemon *daemon)
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

void daemon_say_hello(const struct daemon *daemon)
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
