/* SPDX-License-Identifier: BSD-3-Clause */
/* From the options of a program to a client: defaults, checks, whom it trusts. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "client/session.h"
#include "memory/memory.h"
#include "memory/sized.h"

#define DEFAULT_OUTPUT 262144
/* The largest packet must fit, with the records that it takes. */
#define MIN_OUTPUT 131072
#define MAX_OUTPUT ((size_t)1 << 30)

void hyperderp_client_options_init_sized(hyperderp_client_options *options, size_t size)
{
    hyperderp_client_options defaults = {.size = size, .security = HYPERDERP_CLIENT_TLS};

    if (!options || size < sizeof(options->size))
        return;
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof(defaults) ? size : sizeof(defaults));
}

void session_options_clear_fault(const hyperderp_client_options *options)
{
    const size_t end = offsetof(hyperderp_client_options, fault) + sizeof(options->fault);

    /* One with an absurd size was never set up, nor was its pointer. */
    if (options && options->size >= end && options->size <= SIZED_MOST && options->fault)
        options->fault[0] = '\0';
}

int session_options_copy(hyperderp_client_options *out, const hyperderp_client_options *options)
{
    hyperderp_client_options_init(out);
    return sized_read(out, sizeof(*out), options);
}

void session_options_wipe(hyperderp_client_options *options)
{
    sodium_memzero(options, sizeof(*options));
}

static int say(char *fault, const char *what)
{
    snprintf(fault, HYPERDERP_FAULT_SIZE, "%s", what);
    return -EINVAL;
}

static int check(const hyperderp_client_options *options, char *fault)
{
    bool plain = options->security == HYPERDERP_CLIENT_PLAIN;

    if (!options->host || !*options->host)
        return say(fault, "options.host is missing");
    if ((unsigned)options->security > HYPERDERP_CLIENT_PLAIN)
        return say(fault, "options.security is none of the known values");
    if ((options->security == HYPERDERP_CLIENT_TLS_PIN) != (options->pin != NULL))
        return say(fault, "options.pin goes with HYPERDERP_CLIENT_TLS_PIN, and only with that");
    if (options->ca_pem && options->security != HYPERDERP_CLIENT_TLS)
        return say(fault, "options.ca_pem goes with HYPERDERP_CLIENT_TLS alone");
    if (options->server_name && plain)
        return say(fault, "options.server_name is of no use without TLS");
    if (options->fast_start && plain && hyperderp_key_is_zero(&options->server_key))
        return say(fault, "options.fast_start without TLS needs options.server_key");
    /* In the clear whoever answers would be told the secret of the region. */
    if (plain && !sodium_is_zero(options->mesh_key, sizeof(options->mesh_key)) &&
        hyperderp_key_is_zero(&options->server_key))
        return say(fault, "options.mesh_key without TLS needs options.server_key");
    if (options->max_output &&
        (options->max_output < MIN_OUTPUT || options->max_output > MAX_OUTPUT))
        return say(fault, "options.max_output is from 131,072 to 1 GiB");
    return 0;
}

/* The host without port and brackets: for the caller to free; NULL without memory. */
static char *name_of(const char *host)
{
    const char *end = strrchr(host, ']'), *colon = strchr(host, ':');

    if (*host == '[' && end)
        return memory_strndup(host + 1, (size_t)(end - host) - 1);
    /* One with several colons is an IPv6 address alone. */
    if (colon && !strchr(colon + 1, ':'))
        return memory_strndup(host, (size_t)(colon - host));
    return memory_strdup(host);
}

static int make_trust(struct tls_client **out, const hyperderp_client_options *options, char *fault)
{
    struct tls_client_options tls = {.verification = TLS_VERIFY_CHAIN, .ca_pem = options->ca_pem};

    *out = NULL;
    if (options->security == HYPERDERP_CLIENT_PLAIN)
        return 0;
    if (options->security == HYPERDERP_CLIENT_TLS_PIN) {
        tls.verification = TLS_VERIFY_PIN;
        if (tls_pin_parse(options->pin, tls.pin) < 0)
            return say(fault, "options.pin is not \"sha256-raw:\" and 64 hexadecimal digits");
    }
    return tls_client_new(out, &tls, fault);
}

static void fill_in_info(struct client_info *info, const hyperderp_client_options *options)
{
    *info = (struct client_info){.version = DERP_PROTOCOL_VERSION,
                                 .can_ack_pings = options->can_ack_pings,
                                 .is_prober = options->is_prober};
    memcpy(info->mesh_key, options->mesh_key, sizeof(info->mesh_key));
    info->has_mesh_key = !sodium_is_zero(info->mesh_key, sizeof(info->mesh_key));
    if (options->app_name)
        strncpy(info->app_name, options->app_name, INFO_MAX_APP_NAME);
}

static int make(hyperderp_client **out, const hyperderp_client_options *options,
                struct session_options *session, char *fault)
{
    struct tls_client *trust = NULL;
    char *name = NULL;
    int err = 0;

    if (sodium_is_zero(session->client.private_key.bytes, HYPERDERP_KEY_SIZE))
        err = hyperderp_private_key_generate(&session->client.private_key);
    if (err == 0)
        err = make_trust(&trust, options, fault);
    if (err < 0)
        return err;
    name = options->server_name ? memory_strdup(options->server_name) : name_of(options->host);
    session->tls = trust;
    session->name = name;
    err = name ? session_new(out, session, fault) : -ENOMEM;
    memory_free(name);
    if (err < 0)
        tls_client_free(trust);
    else
        (*out)->trust = trust;
    return err;
}

int session_new_public(hyperderp_client **out, const hyperderp_client_options *options, char *fault)
{
    struct session_options session = {.client = {.private_key = options->private_key,
                                                 .host = options->host,
                                                 .fast_start = options->fast_start,
                                                 .server_key = options->server_key},
                                      .max_output = options->max_output ? options->max_output
                                                                        : DEFAULT_OUTPUT};
    int err;

    *out = NULL;
    fault[0] = '\0';
    err = check(options, fault);
    if (err == 0) {
        fill_in_info(&session.client.info, options);
        err = make(out, options, &session, fault);
    }
    sodium_memzero(&session, sizeof(session));
    return err;
}
