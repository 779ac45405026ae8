/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A link to another node of the region: a client of that node, on a connection of a worker's like
 * any other, which watches who is connected there and takes what clients here send to those. When
 * it ends it is made again.
 *
 * How it comes about: a thread asks the resolver (resolve.h); the socket connects while its first
 * bytes wait in its sink; conn.h, secure.h do TLS and reading; client.h speaks DERP.
 */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <stdatomic.h>

#include <hyperderp/mesh.h>

#include "client/client.h"
#include "io/timer.h"
#include "relay/link_address.h"
#include "relay/mailbox.h"
#include "relay/resolve.h"

struct conn;
struct forwarder;
struct tls_client;
struct worker;

struct link {
    /* Fixed. */
    char *text; /* the address as it was given */
    struct link_address address;
    struct tls_client *tls; /* NULL: in the clear */
    struct worker *worker;  /* that owns it once it has begun */

    struct message begin, end; /* in the worker's mailbox while begin or end is on its way */

    /* Owned by the worker. */
    struct link *next_of_worker;
    bool stopped;       /* nothing is tried any more */
    bool ending;        /* it has been removed: freed when its keys are gone */
    struct timer timer; /* to the next try; while it is connected, to the next look at it */
    unsigned tries;     /* that have failed in a row */
    struct resolution *resolution; /* under way; or NULL */
    struct resolve_answer found;
    unsigned next_address; /* of those found, to be tried */
    struct conn *conn;     /* NULL: none */
    struct client client;  /* speaks on conn */
    uint8_t *input;        /* room bytes; filled of them are the beginning of a message */
    size_t filled, room;
    int64_t opened;            /* when it was connected */
    unsigned unanswered;       /* questions since something came */
    bool is_self;              /* the other end has this relay's key */
    uint32_t asked_to_wait_ms; /* by Restarting */
    char logged[sizeof(((hyperderp_mesh_peer_info *)0)->error)]; /* the fault told last */
    struct forwarder *keys;                                      /* that are at the other node */
    struct forwarder *leaving; /* of connections that have ended */
    struct timer sweep;        /* takes those out, some at a time */

    /* Written by the worker; relaxed, a figure. */
    _Atomic uint64_t key_count;

    /* Guarded by the lock of the relay's mesh. Written by the worker alone, which reads them
     * without it. */
    hyperderp_mesh_state state;
    int64_t since; /* ns */
    char remote[64];
    char error[sizeof(((hyperderp_mesh_peer_info *)0)->error)];
    hyperderp_key key;
    uint64_t connects, failures;
    struct sink *sink; /* a reference while it is connected */

    /* Guarded by that lock, too. */
    bool begun;
    struct link *next;
};

/* Makes a link that has not begun. 0; -EINVAL with the reason in fault, HYPERDERP_FAULT_SIZE bytes;
 * -ENOMEM. */
int link_new(struct link **out, struct worker *worker, const hyperderp_mesh_peer_options *options,
             char *fault);

/* Frees one that has not begun, or whose worker has ended. NULL is allowed. */
void link_free(struct link *link);

/* Begins to connect; ends, and frees it. On its worker. */
void link_begin(struct link *link);
void link_end(struct link *link);

/* The worker stops: lets go of everything at once, but frees nothing. May be called again. */
void link_stop(struct link *link);

/* ---- What its connection tells it ---- */

/* The connection can carry DERP now: asks for it. */
void link_speak(struct conn *conn);

/* Takes bytes of the other node, in whatever state. */
void link_input(struct conn *conn, const uint8_t *bytes, size_t len);

/* Notes why a connection will end; what was said first counts. */
void link_note_fault(struct link *link, const char *fault);

/* The connection has ended. */
void link_lost(struct conn *conn);

#endif
