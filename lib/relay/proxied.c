/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is trusted, and what he says. */
#include "relay/proxied.h"

#include <errno.h>
#include <string.h>

#include "memory/memory.h"
#include "relay/addresses.h"
#include "relay/listener.h"
#include "relay/sink.h"
#include "relay/worker.h"
#include "wire/proxy.h"

/* ---- Listeners ---- */

static int refuse_options(const struct log *log, const hyperderp_listener_options *options,
                          const char *what)
{
    log_line(log, HYPERDERP_LOG_ERROR, "listener %s: %s",
             options->address ? options->address : "on a socket of the program's", what);
    return -EINVAL;
}

static int read_networks(struct listener *listener, const hyperderp_listener_options *options,
                         const struct log *log)
{
    unsigned count = options->trusted_proxy_count;

    if (count == 0)
        return 0;
    listener->trusted = memory_calloc(count, sizeof(*listener->trusted));
    if (!listener->trusted)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++)
        if (!options->trusted_proxies[i] ||
            !network_parse(&listener->trusted[i], options->trusted_proxies[i])) {
            proxied_free(listener);
            return refuse_options(log, options, "a trusted proxy is no network or address");
        }
    listener->trusted_count = count;
    return 0;
}

int proxied_set_up(struct listener *listener, const hyperderp_listener_options *options,
                   bool is_unix, const struct log *log)
{
    listener->proxied = options->proxy_protocol;
    listener->trusts_all = is_unix;
    if (!options->proxy_protocol)
        return options->trusted_proxy_count == 0
                   ? 0
                   : refuse_options(log, options,
                                    "there are trusted proxies, but no PROXY protocol for them");
    if (options->trusted_proxy_count > 0 && !options->trusted_proxies)
        return -EINVAL;
    if (options->trusted_proxy_count == 0 && !is_unix)
        return refuse_options(log, options,
                              "the PROXY protocol needs the networks of the trusted proxies: who "
                              "sends such a header is believed");
    return read_networks(listener, options, log);
}

void proxied_free(struct listener *listener)
{
    memory_free(listener->trusted);
    listener->trusted = NULL;
    listener->trusted_count = 0;
}

bool proxied_trusts(const struct listener *listener, const struct endpoint *peer)
{
    if (listener->trusts_all)
        return true;
    for (unsigned i = 0; i < listener->trusted_count && peer->kind == ENDPOINT_IP; i++)
        if (network_contains(&listener->trusted[i], peer->ip))
            return true;
    return false;
}

/* ---- Connections ---- */

static void bad_header(struct conn *conn)
{
    char proxy[ENDPOINT_TEXT_SIZE];

    /* The words come first: by them a log knows lines that are alike. */
    endpoint_format(&conn->sink->from, proxy);
    log_line(&conn->worker->relay->log, HYPERDERP_LOG_WARN,
             "closed a connection without a good header of the PROXY protocol, from the trusted "
             "proxy %s",
             proxy);
    conn_close(conn, CONN_END_PROXY_HEADER);
}

/* From here on the connection is the client's. */
static void take_header(struct conn *conn, const struct proxy_header *header)
{
    struct worker *worker = conn->worker;
    struct hyperderp_relay *relay = worker->relay;
    struct endpoint *from = &conn->sink->from;

    counters_add(worker->counters,
                 header->has_source ? COUNTER_proxy_headers_ok : COUNTER_proxy_headers_local, 1);
    if (header->has_source) {
        *from = (struct endpoint){.kind = ENDPOINT_IP, .port = header->port};
        memcpy(from->ip, header->source, sizeof(from->ip));
    }
    int error =
        addresses_enter(&relay->addresses, from, limits_per_ip(&relay->limits), &conn->address);
    if (error)
        conn_close(conn, error == -EUSERS ? CONN_END_CROWDED : CONN_END_RESOURCES);
    else
        conn_set_state(conn, conn->secure ? CONN_TLS : CONN_HTTP);
}

static void drop_header(struct conn *conn)
{
    if (conn->partial)
        frame_free(&conn->worker->frames, conn->partial);
    conn->partial = NULL;
}

size_t proxied_input(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct frame_pool *frames = &conn->worker->frames;
    struct proxy_header header = {0};
    size_t before = conn->partial ? conn->partial->size : 0;
    size_t taken = len < PROXY_MAX_HEADER - before ? len : PROXY_MAX_HEADER - before;
    int parsed = before ? 0 : proxy_header_parse(&header, bytes, taken);

    if (parsed == 0) {
        if (!frame_append(frames, &conn->partial, bytes, taken, FRAME_USE_INCOMING)) {
            conn_close(conn, CONN_END_RESOURCES);
            return len;
        }
        if (before)
            parsed = proxy_header_parse(&header, conn->partial->data, before + taken);
        if (parsed == 0)
            return taken; /* all there is: a header is whole or wrong before it fills the room */
    }
    if (parsed < 0) {
        bad_header(conn);
        return len;
    }
    drop_header(conn);
    take_header(conn, &header);
    return (size_t)parsed - before;
}
