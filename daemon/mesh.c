/* SPDX-License-Identifier: BSD-3-Clause */
/* Adding and removing nodes. */
#include "mesh.h"

#include <errno.h>
#include <string.h>

#include "log.h"

static int add(hyperderp_relay *relay, const struct config_mesh *mesh, size_t i)
{
    hyperderp_mesh_peer_options options = {.size = sizeof(options),
                                           .address = mesh->with.items[i],
                                           .ca_file = *mesh->ca_file ? mesh->ca_file : NULL};
    int error = hyperderp_relay_add_mesh_peer(relay, &options);

    if (error == -EEXIST)
        return 0; /* it stands there twice */
    if (error == -ENOKEY)
        log_print(HYPERDERP_LOG_ERROR, "mesh.with: the relay was started without mesh.key_file");
    else if (error && error != -EINVAL) /* of which the relay has said what is wrong */
        log_print(HYPERDERP_LOG_ERROR, "mesh with %s: %s", options.address, strerror(-error));
    return error;
}

static bool has(const struct config_strings *nodes, const char *node)
{
    for (size_t i = 0; i < nodes->count; i++)
        if (strcmp(nodes->items[i], node) == 0)
            return true;
    return false;
}

int mesh_begin(hyperderp_relay *relay, const struct config_mesh *mesh)
{
    int error = 0;

    for (size_t i = 0; i < mesh->with.count && error == 0; i++)
        error = add(relay, mesh, i);
    return error;
}

/* Removes those among the first count nodes that are not among the ones to keep, if any are. */
static void remove_others(hyperderp_relay *relay, const struct config_strings *nodes, size_t count,
                          const struct config_strings *keep)
{
    for (size_t i = 0; i < count; i++)
        if (!keep || !has(keep, nodes->items[i]))
            (void)hyperderp_relay_remove_mesh_peer(relay, nodes->items[i]);
}

int mesh_change(hyperderp_relay *relay, const struct config_mesh *before,
                const struct config_mesh *after)
{
    size_t i = 0;
    int error = 0;

    /* Other authorities are for links to come: all are made anew. */
    if (strcmp(before->ca_file, after->ca_file) != 0) {
        remove_others(relay, &before->with, before->with.count, NULL);
        error = mesh_begin(relay, after);
        if (error) {
            remove_others(relay, &after->with, after->with.count, NULL);
            (void)mesh_begin(relay, before);
        }
        return error;
    }
    for (; i < after->with.count && error == 0; i++)
        if (!has(&before->with, after->with.items[i]))
            error = add(relay, after, i);
    if (error)
        remove_others(relay, &after->with, i, &before->with);
    else
        remove_others(relay, &before->with, before->with.count, &after->with);
    return error;
}
