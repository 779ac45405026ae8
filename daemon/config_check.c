/* SPDX-License-Identifier: BSD-3-Clause */
/* What the whole configuration asks for and cannot have. */
#include <errno.h>
#include <string.h>

#include "config.h"

#define NOWHERE ((struct document_place){0, 0})

static void check_listener(const struct config_listener *listener, const char *file,
                           struct problems *problems)
{
    const char *from = listener->place.line ? file : NULL;

    if (strncmp(listener->address, "unix:", 5) == 0)
        problems_add(problems, from, listener->place,
                     "listener %s: unix sockets are not in this build yet", listener->address);
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
        check_listener(&config->listeners[i], file, problems);
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
    if (!*config->metrics.tls_cert != !*config->metrics.tls_key)
        problems_add(problems, file, NOWHERE,
                     "metrics.tls_cert and metrics.tls_key: give both or neither");
    return problems->total > before ? -EINVAL : 0;
}
