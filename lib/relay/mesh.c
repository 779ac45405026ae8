/* SPDX-License-Identifier: BSD-3-Clause */
/* The public functions for the nodes of a region, and when links begin and end. */
#include "relay/mesh.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "memory/memory.h"
#include "memory/sized.h"
#include "relay/relay.h"
#include "relay/sink.h"
#include "relay/within.h"
#include "relay/worker.h"

void mesh_init(struct mesh *mesh)
{
    *mesh = (struct mesh){0};
    pthread_mutex_init(&mesh->lock, NULL);
}

void mesh_destroy(struct mesh *mesh)
{
    while (mesh->links) {
        struct link *link = mesh->links;
        mesh->links = link->next;
        link_free(link);
    }
    pthread_mutex_destroy(&mesh->lock);
}

static void begin(struct worker *worker, struct message *message)
{
    (void)worker;
    link_begin((struct link *)((char *)message - offsetof(struct link, begin)));
}

void mesh_start(struct worker *worker)
{
    struct mesh *mesh = &worker->relay->mesh;

    pthread_mutex_lock(&mesh->lock);
    worker->links_begin = true;
    for (struct link *link = mesh->links; link; link = link->next) {
        if (link->worker != worker)
            continue;
        link->begun = worker_post(worker, &link->begin);
    }
    pthread_mutex_unlock(&mesh->lock);
}

void mesh_stop(struct worker *worker)
{
    struct link **at = &worker->links;

    while (*at) {
        struct link *link = *at;
        bool removed = link->ending;
        link_stop(link);
        if (removed) {
            *at = link->next_of_worker;
            link_free(link);
        } else {
            at = &link->next_of_worker;
        }
    }
}

/* A worker that ends has no time left for the sweep: it has stopped its links already. */
static void end(struct worker *worker, struct message *message)
{
    link_end((struct link *)((char *)message - offsetof(struct link, end)));
    if (worker->phase >= RELAY_DRAINING)
        mesh_stop(worker);
}

/* ---- Public ---- */

/* Needs the mesh's lock. The place of a link in the list, or the list's end. */
static struct link **find(struct mesh *mesh, const char *address)
{
    struct link **at = &mesh->links;

    while (*at && strcmp((*at)->text, address) != 0)
        at = &(*at)->next;
    return at;
}

/* Needs the mesh's lock. */
static int add(hyperderp_relay *relay, struct link *link)
{
    struct mesh *mesh = &relay->mesh;
    struct link **at = find(mesh, link->text);

    if (*at)
        return -EEXIST;
    if (mesh->count == MESH_MAX_LINKS)
        return -ENOSPC;
    /* A worker that has not come so far begins with all that are in the list by then. */
    if (link->worker->links_begin) {
        link->begun = worker_post(link->worker, &link->begin);
        if (!link->begun)
            return -EBUSY;
    }
    *at = link;
    mesh->count++;
    mesh->added++;
    return 0;
}

int hyperderp_relay_add_mesh_peer(hyperderp_relay *relay, const hyperderp_mesh_peer_options *given)
{
    hyperderp_mesh_peer_options options = {0};
    char fault[HYPERDERP_FAULT_SIZE] = "";
    struct link *link;

    int error = relay ? sized_read(&options, sizeof(options), given) : -EINVAL;
    if (error)
        return error;
    if (!options.address)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    if (!relay->has_mesh_key)
        return -ENOKEY;
    if (relay_phase(relay) >= RELAY_DRAINING)
        return -EBUSY;
    struct mesh *mesh = &relay->mesh;
    pthread_mutex_lock(&mesh->lock);
    struct worker *worker = relay->workers[mesh->added % relay->worker_count];
    pthread_mutex_unlock(&mesh->lock);
    error = link_new(&link, worker, &options, fault);
    if (error == -EINVAL)
        log_line(&relay->log, HYPERDERP_LOG_ERROR, "mesh with %s: %s", options.address, fault);
    if (error)
        return error;
    link->begin.deliver = begin;
    link->end.deliver = end;
    pthread_mutex_lock(&mesh->lock);
    error = add(relay, link);
    pthread_mutex_unlock(&mesh->lock);
    if (error)
        link_free(link);
    return error;
}

int hyperderp_relay_remove_mesh_peer(hyperderp_relay *relay, const char *address)
{
    if (!relay || !address)
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    struct mesh *mesh = &relay->mesh;
    pthread_mutex_lock(&mesh->lock);
    struct link **at = find(mesh, address);
    struct link *link = *at;
    if (link) {
        *at = link->next;
        mesh->count--;
    }
    bool passed = link && link->begun && worker_post(link->worker, &link->end);
    pthread_mutex_unlock(&mesh->lock);
    if (link && !passed)
        link_free(link); /* it has not begun, or its worker has ended */
    return link ? 0 : -ENOENT;
}

/* Needs the mesh's lock. */
static void describe_sink(hyperderp_mesh_peer_info *info, struct sink *sink)
{
    info->packets_forwarded = atomic_load_explicit(&sink->packets_delivered, memory_order_relaxed);
    info->drops = atomic_load_explicit(&sink->drops, memory_order_relaxed);
    pthread_mutex_lock(&sink->lock);
    for (unsigned kind = 0; kind < FRAME_KINDS; kind++) {
        info->queued_frames += sink->queue.frames[kind];
        info->queued_bytes += sink->queue.bytes[kind];
    }
    pthread_mutex_unlock(&sink->lock);
}

/* Needs the mesh's lock. */
static void describe(hyperderp_mesh_peer_info *info, const struct link *link, int64_t now)
{
    *info = (hyperderp_mesh_peer_info){
        .key = link->key,
        .state = link->state,
        .worker = link->worker->index,
        .state_ms = link->since && now > link->since ? (uint64_t)(now - link->since) / 1000000 : 0,
        .keys = atomic_load_explicit(&link->key_count, memory_order_relaxed),
        .connects = link->connects,
        .failures = link->failures};
    snprintf(info->address, sizeof(info->address), "%s", link->text);
    memcpy(info->remote, link->remote, sizeof(info->remote));
    memcpy(info->error, link->error, sizeof(info->error));
    if (link->sink)
        describe_sink(info, link->sink);
}

int hyperderp_relay_mesh_peers_sized(const hyperderp_relay *relay, hyperderp_mesh_peer_info **out,
                                     size_t *count, size_t size)
{
    if (!relay || !out || !count || size == 0)
        return -EINVAL;
    *out = NULL;
    *count = 0;
    if (size > SIZED_MOST)
        return -E2BIG;
    if (within_relay(&relay->log))
        return -EBUSY;
    /* The lock is no part of what the relay is: taking it changes nothing. */
    struct mesh *mesh = (struct mesh *)(uintptr_t)&relay->mesh;
    char *entries = memory_calloc(MESH_MAX_LINKS, size);
    if (!entries)
        return -ENOMEM;
    int64_t now = worker_clock();
    pthread_mutex_lock(&mesh->lock);
    for (const struct link *link = mesh->links; link; link = link->next) {
        hyperderp_mesh_peer_info info;
        describe(&info, link, now);
        memcpy(entries + (*count)++ * size, &info, size < sizeof(info) ? size : sizeof(info));
    }
    pthread_mutex_unlock(&mesh->lock);
    if (*count == 0) {
        memory_free(entries);
        return 0;
    }
    *out = (hyperderp_mesh_peer_info *)(void *)entries;
    return 0;
}

void hyperderp_mesh_peers_free(hyperderp_mesh_peer_info *peers)
{
    memory_free(peers);
}

const char *hyperderp_mesh_state_name(hyperderp_mesh_state state)
{
    static const char *const names[] = {
        [HYPERDERP_MESH_WAITING] = "waiting",
        [HYPERDERP_MESH_RESOLVING] = "resolving",
        [HYPERDERP_MESH_CONNECTING] = "connecting",
        [HYPERDERP_MESH_CONNECTED] = "connected",
        [HYPERDERP_MESH_SELF] = "self",
    };

    return (unsigned)state < HYPERDERP_MESH_STATES ? names[state] : "unknown";
}
