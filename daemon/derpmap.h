/* SPDX-License-Identifier: BSD-3-Clause */
/* This relay as clients are told of it: a region of a DERPMap with one node. */
#ifndef DAEMON_DERPMAP_H
#define DAEMON_DERPMAP_H

#include <stdio.h>

#include "certificate.h"
#include "config.h"

/* Of the numbers that Tailscale leaves to operators, 900 to 999, the first. */
#define DERPMAP_REGION 900

struct derpmap_node {
    const char *host;               /* name or IP address */
    unsigned port;                  /* of TLS; 0: not known */
    int stun_port;                  /* -1: none */
    char pin[CERTIFICATE_PIN_SIZE]; /* CertName, or "": the authorities vouch for it */
};

/* Fills in what the configuration says; certificate may be NULL. 0, or -EIO for the hash. */
int derpmap_node_init(struct derpmap_node *node, const struct config *config,
                      const hyperderp_certificate *certificate);

/* The port of "HOST:PORT"; 0 for an address without one. */
unsigned derpmap_port(const char *address);

/* The node alone as JSON on one line, for free(). NULL without memory. */
char *derpmap_node_json(const struct derpmap_node *node);

/* {"derpMap": {"Regions": ...}}, which goes into a tailnet policy. 0, -ENOMEM or -EIO. */
int derpmap_print_policy(const struct derpmap_node *node, FILE *out);

/* The same as a file that Headscale names in derp.paths: YAML, with its spelling of the keys. 0 or
 * -EIO. */
int derpmap_print_headscale(const struct derpmap_node *node, FILE *out);

#endif
