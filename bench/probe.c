/* SPDX-License-Identifier: BSD-3-Clause */
/* The first connection of a run. */
#include "probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "client/client_socket.h"
#include "client/dial.h"
#include "command_line.h"
#include "process.h"

#define PROBE_TIMEOUT_MS 5000

static int unavailable(const struct load_options *options, int err, const char *fault)
{
    const char *relay = options->relay;

    if (err == -EINVAL) {
        fprintf(stderr, PROGRAM ": --relay %s: HOST:PORT is expected\nTry '" PROGRAM " --help'.\n",
                relay);
        return EX_USAGE;
    }
    if (fault[0] != '\0')
        fprintf(stderr, PROGRAM ": no TLS with %s: %s\n", relay, fault);
    else if (err == -EPROTO)
        fprintf(stderr, PROGRAM ": what answers at %s is not a DERP relay over %s\n", relay,
                options->over_tls ? "TLS" : "plain TCP (if it speaks TLS: --tls)");
    else if (err == -ENOENT)
        fprintf(stderr, PROGRAM ": %s: no such host or port\n", relay);
    else
        fprintf(stderr,
                PROGRAM ": no DERP relay answers at %s (%s)\n"
                        "Start one with 'make run' in another terminal, or name one with "
                        "--relay HOST:PORT%s.\n",
                relay, strerror(-err), options->over_tls ? "" : "; if it speaks TLS, add --tls");
    return EX_UNAVAILABLE;
}

/* Tells whether both ends of a connection have one address: then the relay is on this machine. */
static bool is_local(int fd, const struct sockaddr_storage *peer)
{
    struct sockaddr_storage own = {0};
    socklen_t len = sizeof(own);

    if (getsockname(fd, (struct sockaddr *)&own, &len) < 0 || own.ss_family != peer->ss_family)
        return false;
    if (own.ss_family == AF_INET)
        return ((struct sockaddr_in *)&own)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)peer)->sin_addr.s_addr;
    return own.ss_family == AF_INET6 &&
           memcmp(&((struct sockaddr_in6 *)&own)->sin6_addr,
                  &((const struct sockaddr_in6 *)peer)->sin6_addr, sizeof(struct in6_addr)) == 0;
}

/* Makes what all connections share of TLS. 0 or an exit status. */
static int prepare_tls(struct load_options *options)
{
    char fault[HYPERDERP_FAULT_SIZE];
    static char name[256]; /* one relay a run */
    char *host, *port;
    int err;

    if (!options->over_tls)
        return 0;
    err = tls_client_new(&options->tls, &options->tls_options, fault);
    if (err < 0) {
        fprintf(stderr, PROGRAM ": %s\n", fault[0] != '\0' ? fault : strerror(-err));
        return err == -ENOMEM ? EX_OSERR : EX_USAGE;
    }
    err = dial_split(options->relay, &host, &port);
    if (err < 0)
        return unavailable(options, err, "");
    snprintf(name, sizeof(name), "%s", host);
    free(host);
    free(port);
    if (options->server_name == NULL)
        options->server_name = name;
    return 0;
}

int probe_relay(struct load_options *options, struct sockaddr_storage *address, socklen_t *len)
{
    struct client_options client = {.info = {.version = DERP_PROTOCOL_VERSION}};
    struct client_tls_options tls = {0};
    struct client_socket *socket;
    struct process_sample sample;
    char fault[HYPERDERP_FAULT_SIZE] = "";
    int err;

    if (options->relay_pid != 0 && process_sample_cpu(options->relay_pid, &sample) < 0) {
        fprintf(stderr, PROGRAM ": --relay-pid %ld: there is no such process\n",
                (long)options->relay_pid);
        return EX_USAGE;
    }
    err = prepare_tls(options);
    if (err != 0)
        return err;
    err = hyperderp_private_key_generate(&client.private_key);
    if (err < 0) {
        fprintf(stderr, PROGRAM ": no random bytes: %s\n", strerror(-err));
        return EX_OSERR;
    }
    tls = (struct client_tls_options){
        .client = options->tls, .name = options->server_name, .fault = fault};
    err = client_socket_connect_tls(&socket, options->relay, &client,
                                    options->over_tls ? &tls : NULL, PROBE_TIMEOUT_MS);
    hyperderp_private_key_wipe(&client.private_key);
    if (err < 0)
        return unavailable(options, err, fault);
    *len = sizeof(*address);
    err = getpeername(client_socket_fd(socket), (struct sockaddr *)address, len) < 0 ? -errno : 0;
    if (err == 0 && options->relay_pid == 0 && is_local(client_socket_fd(socket), address) &&
        process_find_listener((struct sockaddr *)address, &options->relay_pid) < 0)
        options->relay_pid = 0;
    client_socket_close(socket);
    return err < 0 ? unavailable(options, err, "") : 0;
}
