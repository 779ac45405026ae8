/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is behind hyperderp_client: a channel, and the client's side of DERP upon it. The functions
 * here are for who drives its channel by a socket.
 */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include <hyperderp/client.h>

#include "client/channel.h"
#include "client/client.h"

struct session_options {
    struct client_options client; /* its server_key, of any but zeros, must be the relay's */
    struct tls_client *tls;       /* NULL: plain; must outlive the handshake */
    const char *name;             /* that the certificate must be for */
    size_t max_output;
};

struct hyperderp_client {
    struct channel channel;
    struct client client;
    struct client_options options; /* until DERP begins, which over TLS is later */
    bool begun;                    /* DERP has */
    bool introduced;               /* ClientInfo is on its way: packets may follow */
    bool finished;                 /* close_notify is: nothing may */
    bool restarting;               /* the relay has said so */
    bool has_mesh_key;
    size_t max_output;
    hyperderp_key expected;    /* the relay's key; zeros: any */
    char *host;                /* of options */
    struct tls_client *trust;  /* its own, or NULL */
    struct client_message got; /* what `message` was made of */
    hyperderp_message message;

    int input_end; /* how the connection has ended behind what came: -EPIPE or what recv() said; 0
                    */
    int error;     /* how all has ended; 0 */
    char fault[HYPERDERP_FAULT_SIZE];
};

/* Copies the options; the caller wipes its own. 0; -EINVAL with the reason in fault,
 * HYPERDERP_FAULT_SIZE bytes; -ENOMEM, -EIO. */
int session_new(hyperderp_client **out, const struct session_options *options, char *fault)
    __attribute__((warn_unused_result));

/* The same from public options, which are whole (see session_options.c). */
int session_new_public(hyperderp_client **out, const hyperderp_client_options *options, char *fault)
    __attribute__((warn_unused_result));

/* Copies options of a program that may be older or newer; NULL without a host is filled in. 0 or
 * -EINVAL. The copy is to be wiped by session_options_wipe(). */
int session_options_copy(hyperderp_client_options *out, const hyperderp_client_options *options)
    __attribute__((warn_unused_result));
/* Makes the caller's fault "", as far as the options have one, before anything can fail. */
void session_options_clear_fault(const hyperderp_client_options *options);
void session_options_wipe(hyperderp_client_options *options);

/* Goes on after what came. 0 with a message; -EAGAIN; how it has ended. */
int session_next(hyperderp_client *session, struct client_message *message)
    __attribute__((warn_unused_result));

/* What channel_received() has returned for what came: ends the session when it is an error. */
int session_received(hyperderp_client *session, int result);

/* The connection gives nothing more: -EPIPE, or what recv() said. */
void session_end_input(hyperderp_client *session, int error);

#endif
