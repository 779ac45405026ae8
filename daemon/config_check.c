/* SPDX-License-Identifier: BSD-3-Clause */
/* What the whole configuration asks for and cannot have. */
#include <errno.h>
#include <string.h>

#include "config.h"

#define NOWHERE ((struct document_place){0, 0})

/* What systemd hands over is known when it has: the library looks at that. */
static void check_proxies(const struct config_listener *listener, const char *file,
                          struct problems *problems)
{
    bool is_ip = strncmp(listener->address, "unix:", 5) != 0 &&
                 strncmp(listener->address, "systemd:", 8) != 0;

    if (!listener->proxy_protocol && listener->trusted_proxies.count > 0)
        problems_add(problems, file, listener->place,
                     "listener %s: trusted_proxies are given, and proxy_protocol is not true: set "
                     "it, or leave them out",
                     listener->address);
    if (listener->proxy_protocol && listener->trusted_proxies.count == 0 && is_ip)
        problems_add(problems, file, listener->place,
                     "listener %s: proxy_protocol needs trusted_proxies, the networks that its "
                     "headers may come from",
                     listener->address);
}

static bool listens_twice(const struct config *config, size_t at)
{
    const char *address = config->listeners[at].address, *colon = strrchr(address, ':');

    if (colon && strcmp(colon, ":0") == 0)
        return false; /* each gets a port of its own */
    for (size_t i = 0; i < at; i++)
        if (strcmp(config->listeners[i].address, address) == 0)
            return true;
    return false;
}

bool config_has_tls(const struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].tls)
            return true;
    return false;
}

int config_check(const struct config *config, const char *file, struct problems *problems)
{
    size_t before = problems->total;

    for (size_t i = 0; i < config->listener_count; i++) {
        check_proxies(&config->listeners[i], config->listeners[i].place.line ? file : NULL,
                      problems);
        if (listens_twice(config, i))
            problems_add(problems, config->listeners[i].place.line ? file : NULL,
                         config->listeners[i].place, "listener %s: given twice",
                         config->listeners[i].address);
    }
    if (!*config->tls.cert != !*config->tls.key)
        problems_add(problems, file, NOWHERE, "tls.cert and tls.key: give both or neither");
    if (config->mesh.with.count > 0 && !*config->mesh.key_file)
        problems_add(problems, file, NOWHERE,
                     "mesh.with needs mesh.key_file, the secret that the nodes share");
    if ((*config->access.tailscaled_socket || *config->access.verify_client_url) &&
        config->access.verify_timeout_ms >= config->limits.handshake_timeout_ms)
        problems_add(problems, file, NOWHERE,
                     "access.verify_timeout must be shorter than limits.handshake_timeout: clients "
                     "would be closed before the answer comes");
    if (!*config->metrics.tls_cert != !*config->metrics.tls_key)
        problems_add(problems, file, NOWHERE,
                     "metrics.tls_cert and metrics.tls_key: give both or neither");
    return problems->total > before ? -EINVAL : 0;
}
