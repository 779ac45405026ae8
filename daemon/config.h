/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The configuration: every key that an operator may set, as the schema (daemon/schema.h) reads it
 * from a TOML or YAML file. docs/configuration.md, made from the schema, says what each key means.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <hyperderp/relay.h>

#include "document.h"
#include "log.h"
#include "problems.h"

enum sandbox_mode { SANDBOX_AUTO, SANDBOX_ON, SANDBOX_OFF };

struct config_strings {
    char **items;
    size_t count;
};

struct config_cores {
    unsigned *items;
    size_t count;
};

struct config_listener {
    char *address; /* "HOST:PORT", ":PORT", "[::1]:PORT", "unix:/run/x.sock", "systemd:NAME" */
    bool tls;
    bool proxy_protocol;
    struct config_strings trusted_proxies;
    struct document_place place; /* where it stands in the file; line 0: nowhere */
};

struct config_tls {
    char *cert, *key, *hostname;
    hyperderp_offload offload;
};

struct config_metrics {
    char *address; /* "": off */
    bool debug_endpoints;
    char *tls_cert, *tls_key;
};

struct config_mesh {
    char *key_file;
    struct config_strings with;
    char *ca_file;
};

struct config_access {
    char *allow_keys_file, *tailscaled_socket, *verify_client_url;
    bool verify_client_url_fail_open;
    uint64_t verify_timeout_ms;
};

/* 0 means the default or no limit, as docs/configuration.md says of each. */
struct config_limits {
    uint64_t max_connections;
    uint64_t accept_rate, accept_burst, connections_per_ip; /* connections/s, connections */
    uint64_t client_rate, client_burst;                     /* bytes/s, bytes */
    uint64_t queue_frames, queue_bytes, queue_time_ms, memory;
    uint64_t handshake_timeout_ms, keepalive_ms, write_timeout_ms, drain_timeout_ms;
};

struct config_takeover {
    char *socket; /* "": nobody can take over */
    uint64_t spread_ms;
};

struct config_io {
    hyperderp_engine engine;
    bool sqpoll;
    uint64_t socket_buffer; /* bytes, 0: as the kernel has it */
};

struct config {
    uint64_t workers;
    bool pin_workers;              /* worker n to the nth of pin_cores, or of the usable ones */
    struct config_cores pin_cores; /* empty: the usable ones */
    char *key_file;
    char *user; /* "": as whom it was started */
    enum sandbox_mode sandbox;
    hyperderp_log_level log_level;
    enum log_format log_format;
    struct config_listener *listeners;
    size_t listener_count;
    struct config_tls tls;
    char *stun_address; /* "": off */
    struct config_metrics metrics;
    char *http_home;
    struct config_mesh mesh;
    struct config_access access;
    struct config_limits limits;
    struct config_takeover takeover;
    struct config_io io;
};

/* Fills in the defaults. 0 or -ENOMEM. */
int config_init(struct config *config);
/* Frees what the configuration holds. One that was zeroed or freed before is allowed. */
void config_free(struct config *config);

/* Adds a listener with the defaults; NULL without memory. */
struct config_listener *config_add_listener(struct config *config);
void config_clear_listeners(struct config *config);

/*
 * Reads a file, TOML or YAML by its ending (.toml, .yaml, .yml), over the defaults. Every fault
 * found is added to problems: then, and when the file cannot be read, -EINVAL. -ENOMEM. The config
 * must be freed in each case.
 */
int config_read(struct config *config, const char *file, struct problems *problems);

/* The same from memory; file tells the language and the name. */
int config_read_bytes(struct config *config, const char *bytes, size_t len, const char *file,
                      struct problems *problems);

/*
 * Adds a problem for each thing that the whole configuration asks for and cannot have: a listener
 * that stands twice, a certificate without its key, ... Called after the command line has had its
 * say. 0 or -EINVAL.
 */
int config_check(const struct config *config, const char *file, struct problems *problems);

/* Whether a listener has TLS. */
bool config_has_tls(const struct config *config);

/* Writes the configuration as TOML that reads back to the same; or for people to see, without what
 * is secret in it: then of the URL that may have a password or a token its host is shown. 0 or
 * -EIO. */
int config_print(const struct config *config, bool secrets, FILE *out);

#endif
