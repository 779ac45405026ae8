/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates of listeners, and their change. */
#include "relay/listener_tls.h"

#include <errno.h>

#include <openssl/x509.h>

#include "relay/within.h"

/* Makes what handshakes with a certificate need: each carries the relay's key, too. */
static int make_server(struct tls_server **out, hyperderp_relay *relay, const char *name,
                       const hyperderp_certificate *certificate, tls_choose_fn *choose)
{
    char fault[HYPERDERP_FAULT_SIZE];
    X509 *derpkey = certificate_make_derpkey(&relay->public_key);

    if (!derpkey)
        return -ENOMEM;
    int error = tls_server_new(out, certificate, derpkey, choose, relay->user, fault);
    X509_free(derpkey);
    if (error == -EINVAL)
        log_line(&relay->log, HYPERDERP_LOG_ERROR, "listener %s: %s", name, fault);
    return error;
}

int listener_tls_make(struct tls_server **out, hyperderp_relay *relay,
                      const hyperderp_listener_options *options)
{
    const char *name = options->address ? options->address : "on a socket of the program's";

    *out = NULL;
    if (options->offload < HYPERDERP_OFFLOAD_AUTO || options->offload > HYPERDERP_OFFLOAD_KERNEL)
        return -EINVAL;
    if (!options->certificate)
        return options->choose_certificate || options->offload == HYPERDERP_OFFLOAD_KERNEL ? -EINVAL
                                                                                           : 0;
    int error = options->offload == HYPERDERP_OFFLOAD_KERNEL ? ktls_probe(&relay->ktls) : 0;
    if (error) {
        log_line(&relay->log, HYPERDERP_LOG_ERROR,
                 "listener %s: TLS cannot be left to the kernel: %s; or choose the offload user",
                 name, ktls_advice(error));
        return -EOPNOTSUPP;
    }
    return make_server(out, relay, name, options->certificate, options->choose_certificate);
}

static bool has_tls(struct listener *listener)
{
    struct tls_server *server = listener_tls_server(listener);

    tls_server_unref(server);
    return server != NULL;
}

/* The listeners that a number means: one, or all that have TLS. */
static bool is_meant(hyperderp_relay *relay, unsigned i, int wanted)
{
    return wanted == (int)i || (wanted == -1 && has_tls(&relay->listeners[i]));
}

int hyperderp_relay_set_certificate(hyperderp_relay *relay, int wanted,
                                    hyperderp_certificate *certificate)
{
    struct tls_server *servers[RELAY_MAX_LISTENERS] = {0};
    int error = 0;

    if (!relay || !certificate || wanted < -1 || wanted >= (int)relay->listener_count ||
        (wanted >= 0 && !has_tls(&relay->listeners[wanted])))
        return -EINVAL;
    if (within_relay(&relay->log))
        return -EBUSY;
    /* All or none: what may fail comes first. */
    for (unsigned i = 0; i < relay->listener_count && error == 0; i++)
        if (is_meant(relay, i, wanted))
            error = make_server(&servers[i], relay, relay->listeners[i].address, certificate,
                                relay->listeners[i].choose);
    for (unsigned i = 0; i < relay->listener_count; i++) {
        if (error == 0 && servers[i])
            listener_set_tls_server(&relay->listeners[i], servers[i]);
        else
            tls_server_unref(servers[i]);
    }
    return error;
}
