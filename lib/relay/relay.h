/* SPDX-License-Identifier: BSD-3-Clause */
/* The relay: what its workers share. Behind the opaque type of the public hyperderp/relay.h. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include <hyperderp/relay.h>

#include "io/loop.h"
#include "relay/addresses.h"
#include "relay/frame_pool.h"
#include "relay/limits.h"
#include "relay/listener.h"
#include "relay/local.h"
#include "relay/log.h"
#include "relay/mesh.h"
#include "relay/route.h"
#include "relay/stun.h"
#include "relay/watch.h"
#include "tls/ktls.h"
#include "tls/vault.h"
#include "wire/info.h"

#define RELAY_MAX_LISTENERS 64
#define RELAY_MAX_WORKERS   128
#define RELAY_MAX_STUNS     8

struct worker;

enum relay_phase {
    RELAY_NEW,
    RELAY_RUNNING,
    RELAY_LEAVING,  /* accepts nobody; each client is sent away at a moment of its own */
    RELAY_DRAINING, /* accepts nobody, lets those that are here finish */
    RELAY_STOPPING, /* closes everything at once */
};

/* What would let others pass for this relay, or for a node of its region. */
struct relay_secrets {
    hyperderp_private_key private_key;
    uint8_t mesh_key[INFO_MESH_KEY_SIZE];
};

_Static_assert(sizeof(struct relay_secrets) <= VAULT_OBJECT, "they have one object of the vault");

struct hyperderp_relay {
    /* Fixed after creation. */
    struct log log;
    enum io_engine engine;
    struct relay_secrets *secrets; /* in the vault */
    hyperderp_key public_key;
    hyperderp_verdict (*admit)(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket);
    void (*drained)(void *user);
    void *user;
    unsigned worker_count;
    struct worker **workers;
    bool pin_workers, sqpoll;
    unsigned *pin_cores; /* pin_core_count of them; worker n on the nth, over again */
    unsigned pin_core_count;
    unsigned socket_buffer;
    bool has_mesh_key;
    char *home; /* the page at /, as http_answer.h has it */

    /* Fixed after the start. */
    struct listener listeners[RELAY_MAX_LISTENERS];
    unsigned listener_count;
    struct stun_socket stuns[RELAY_MAX_STUNS];
    unsigned stun_count;
    bool is_driven;           /* its workers have no threads (driven.h) */
    struct ktls_support ktls; /* of zeros while no listener leaves its TLS to the kernel */

    /* Shared, atomics. */
    struct limits limits;

    /* Shared, with locks of their own. */
    struct route_table routes;
    struct addresses addresses; /* of connections */
    struct frame_depot frames;
    struct vault vault; /* the keys of TLS connections */
    struct watch_list watch;
    struct mesh mesh;
    struct local_peers locals;

    /* Relaxed: a bound; it orders nothing. */
    atomic_uint connections;

    /* When the burst of new connections is all there again, in ns; relaxed, see acceptor.c. */
    _Atomic int64_t accept_full_at;

    /* Workers that may still accept. Relaxed: what each has done before is done by the system call
     * that closes a socket. */
    atomic_uint accepting;

    /* Its listeners go on elsewhere; relaxed, as the phase is what tells of it. */
    atomic_bool handed_over;

    /* By when a relay that leaves has sent away all clients, in ns; written once, before that
     * phase. */
    int64_t leave_by;

    /* enum relay_phase; only grows. Release by who changes it, acquire by the workers, who are
     * woken. */
    atomic_int phase;

    /* Held while threads are created or joined, so that a stop waits for a start to be done. Before
     * lock. */
    pthread_mutex_t life;

    pthread_mutex_t lock;    /* guards what follows; a leaf */
    pthread_cond_t changed;  /* signalled when one of them changes */
    unsigned running;        /* workers that have not ended */
    unsigned working;        /* those of them that have not done their last turn yet */
    unsigned attached;       /* workers whose loop is bound to their thread */
    int attach_error;        /* of one that could not be bound, or whose thread could not be made */
    hyperderp_limits in_use; /* the limits as they were set; `limits` is what of them is read */
};

static inline enum relay_phase relay_phase(const struct hyperderp_relay *relay)
{
    return (enum relay_phase)atomic_load_explicit(&relay->phase, memory_order_acquire);
}

/* From new to running, once: 0 or -EBUSY. Needs the life lock. */
int relay_begin(struct hyperderp_relay *relay);

/* A worker has taken its last turn: nothing may be done with it, or the relay, behind this. */
void relay_worker_ended(struct worker *worker);

/* Moves on to a later phase and tells the workers. Returns false when it is not running, or that
 * far already. Any thread. */
bool relay_advance(struct hyperderp_relay *relay, enum relay_phase phase);

/* Gives the listeners, and so the connections to come, the time that TCP may wait for
 * acknowledgements, by the write timeout. Any thread. */
void relay_set_user_timeout(struct hyperderp_relay *relay);

#endif
