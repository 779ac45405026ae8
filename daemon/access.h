/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Who may join: allow_keys_file, the local tailscaled, verify_client_url. All that are configured
 * must agree. Mesh partners have shown the region's key, and nobody is asked about them.
 */
#ifndef DAEMON_ACCESS_H
#define DAEMON_ACCESS_H

#include <stdint.h>

#include <hyperderp/relay.h>

#include "config.h"
#include "problems.h"
#include "verify.h"

/* Why a client was refused. */
enum access_reason {
    ACCESS_ALLOW_KEYS,        /* it is not in the file */
    ACCESS_TAILSCALED,        /* tailscaled does not know it */
    ACCESS_TAILSCALED_FAILED, /* tailscaled could not be asked */
    ACCESS_VERIFY_URL,        /* the URL said no */
    ACCESS_VERIFY_URL_FAILED, /* the URL could not be asked, or its answer could not be read */
    ACCESS_TIMEOUT,           /* nobody said anything in time */
    ACCESS_OVERLOAD,          /* too many questions at once */
    ACCESS_STOPPING,          /* the daemon ended */
    ACCESS_REASONS
};

struct access_figures {
    uint64_t refused[ACCESS_REASONS];
    uint64_t closed[ACCESS_REASONS]; /* clients, as access was taken away */
    uint64_t unasked;                /* let in while the URL did not answer */
    uint64_t listed;                 /* keys in the file */
    struct verify_figures verify;
};

struct access;
struct access_change;

/* Makes one that lets everyone in. NULL without memory. */
struct access *access_new(void);

/* Ends all questions, those whose clients wait with a no, and frees it: after the relay has been
 * stopped, and before it is freed. NULL is allowed. */
void access_free(struct access *access);

/* Reads what a configuration asks for, and changes nothing yet. 0 with *out, for access_commit() or
 * access_drop(); -EINVAL with problems added; -ENOMEM; -EAGAIN without a thread. */
int access_prepare(const struct access *access, struct access_change **out,
                   const struct config_access *config, struct problems *problems);

/* Goes over to it, and frees it. Clients that may not be here any more are closed: those not in the
 * list at once, the others as the answers come. The main thread. */
void access_commit(struct access *access, struct access_change *change);

/* NULL is allowed. */
void access_drop(struct access_change *change);

/* Adds what is wrong with the files that a configuration names. 0, -EINVAL, -ENOMEM. */
int access_check(const struct config_access *config, struct problems *problems);

/* The admit callback of a relay, access being its user. */
hyperderp_verdict access_admit(void *access, const hyperderp_client_info *client,
                               hyperderp_admission *ticket);

/* The relay whose clients may have to go; from then on the main thread calls access_tick(), once a
 * second. */
void access_watch(struct access *access, hyperderp_relay *relay);
void access_tick(struct access *access);

/* Any thread. For NULL all figures are 0. */
void access_read(struct access *access, struct access_figures *out);

/* "allow_keys" for example. */
const char *access_reason_name(enum access_reason reason);

#endif
