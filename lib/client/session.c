/* SPDX-License-Identifier: BSD-3-Clause */
/* A client's life: TLS, the request, the hello, messages, and how it ended. */
#include "client/session.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <sodium.h>

#include "memory/memory.h"

/* ---- How it ends ---- */

/* What was said first counts. Returns the error. */
__attribute__((format(printf, 3, 4))) static int fail(hyperderp_client *s, int error,
                                                      const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(s->fault, sizeof(s->fault), format, arguments);
    va_end(arguments);
    s->error = error;
    return error;
}

static int fail_in_protocol(hyperderp_client *s, int error)
{
    if (error == -ECONNREFUSED)
        return fail(s, error, "the relay answers the request for DERP with HTTP status %u",
                    s->client.http_status);
    if (s->client.fault != NULL)
        return fail(s, error, "the relay %s", s->client.fault);
    return fail(s, error, "%s", strerror(-error));
}

/* The stream has ended behind all that was read. */
static int end_of_stream(hyperderp_client *s, int error)
{
    if (error != -EPIPE)
        return fail(s, error, "the connection has failed: %s", strerror(-error));
    if (s->restarting)
        return fail(s, error, "the relay restarts, and has closed the connection");
    if (s->client.state != CLIENT_OPEN)
        return fail(s, error, "the relay has closed the connection before it let the client in");
    return fail(s, error, "the relay has closed the connection");
}

/* Nothing that came is a message: because more must come, or because nothing will. */
static int nothing_more(hyperderp_client *s)
{
    const struct client_tls *tls = s->channel.tls;

    if (tls != NULL && tls->error == -ECONNABORTED)
        return fail(s, tls->error, "the relay has ended TLS: %s", tls_alert_name(tls->rx.alert));
    if (tls != NULL && tls->error == -EPROTO)
        return fail(s, tls->error, "the relay breaks TLS: %s", tls_alert_name(tls->rx.alert));
    if (tls != NULL && tls->error < 0)
        return end_of_stream(s, tls->error);
    return s->input_end < 0 ? end_of_stream(s, s->input_end) : -EAGAIN;
}

void session_end_input(hyperderp_client *s, int error)
{
    if (s->input_end == 0)
        s->input_end = error;
}

int session_received(hyperderp_client *s, int result)
{
    if (result == 0 || s->error < 0)
        return s->error;
    /* recv() may say the same of a socket, with TLS or without. */
    if (result == -EPROTO && s->channel.tls != NULL && s->channel.tls->fault[0] != '\0')
        return fail(s, result, "TLS: %s", s->channel.tls->fault);
    return fail(s, result, "%s", strerror(-result));
}

/* Behind hyperderp_client_finish() the handshake cannot go on: it would have to send. */
static int fail_as_finished(hyperderp_client *s)
{
    return fail(s, -EPIPE, "the client has ended the connection before the relay let it in");
}

/* ---- The beginning ---- */

static int send_all(hyperderp_client *s, const uint8_t *bytes, ssize_t size)
{
    const struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = (size_t)size};

    return size < 0 ? (int)size : channel_send(&s->channel, &piece, 1, SIZE_MAX);
}

/* Any relay, or the one that the options name. */
static bool is_expected(const hyperderp_client *s, const hyperderp_key *key)
{
    return hyperderp_key_is_zero(&s->expected) || hyperderp_key_equal(&s->expected, key);
}

static int fail_as_unexpected(hyperderp_client *s)
{
    return fail(s, -EPROTO, "the relay has another key than was expected");
}

static int send_request(hyperderp_client *s)
{
    size_t room = CLIENT_MAX_REQUEST + strlen(s->host);
    uint8_t *out = memory_alloc(room);
    int err;

    if (out == NULL)
        return -ENOMEM;
    err = send_all(s, out, client_request(&s->client, out, room));
    memory_free(out);
    return err;
}

/* DERP begins. Fast start needs the relay's key by now: given, or by TLS. */
static int begin(hyperderp_client *s)
{
    const struct client_tls *tls = s->channel.tls;
    int err;

    if (tls != NULL && tls->has_relay_key && !is_expected(s, &tls->relay_key))
        return fail_as_unexpected(s);
    if (s->options.fast_start && hyperderp_key_is_zero(&s->options.server_key)) {
        if (tls == NULL || !tls->has_relay_key)
            return fail(s, -ENOKEY,
                        "the relay's certificates do not tell its key, which fast start needs");
        s->options.server_key = tls->relay_key;
    }
    err = client_init(&s->client, &s->options);
    s->introduced = s->options.fast_start;
    hyperderp_private_key_wipe(&s->options.private_key);
    sodium_memzero(s->options.info.mesh_key, sizeof(s->options.info.mesh_key));
    if (err == 0)
        err = send_request(s);
    if (err < 0)
        return fail(s, err, "%s", err == -EINVAL ? "the relay's key is none" : strerror(-err));
    s->begun = true;
    return 0;
}

static int introduce(hyperderp_client *s)
{
    uint8_t frame[HELLO_MAX_CLIENT_INFO];
    int err;

    if (!is_expected(s, &s->client.server_key))
        return fail_as_unexpected(s);
    err = send_all(s, frame, client_info_frame(&s->client, frame, sizeof(frame)));
    if (err < 0)
        return fail(s, err, "%s", strerror(-err));
    s->introduced = true;
    return 0;
}

/* What is wrong with the host shall be known before the network is. */
static int check_host(hyperderp_client *s)
{
    struct client_options options = s->options;
    int err;

    options.fast_start = false;
    err = client_init(&s->client, &options);
    sodium_memzero(&options, sizeof(options));
    return err < 0 ? fail(s, err, "\"%s\" is no host", s->host) : 0;
}

static int start(hyperderp_client *s, const struct session_options *options)
{
    int err;

    s->host = memory_strdup(options->client.host);
    if (s->host == NULL)
        return -ENOMEM;
    s->options = options->client;
    s->options.host = s->host;
    s->expected = options->client.server_key;
    s->has_mesh_key = options->client.info.has_mesh_key;
    s->max_output = options->max_output;
    err = check_host(s);
    if (err < 0 || options->tls == NULL)
        return err < 0 ? err : begin(s);
    err = channel_begin_tls(&s->channel, options->tls, options->name);
    return err == -EINVAL
               ? fail(s, err, "\"%s\" is no name that a certificate can be for", options->name)
               : err;
}

int session_new(hyperderp_client **out, const struct session_options *options, char *fault)
{
    hyperderp_client *s = memory_calloc(1, sizeof(*s));
    int err;

    *out = NULL;
    if (s == NULL)
        return -ENOMEM;
    err = start(s, options);
    if (err < 0) {
        snprintf(fault, HYPERDERP_FAULT_SIZE, "%s", s->error < 0 ? s->fault : strerror(-err));
        hyperderp_client_free(s);
        return err;
    }
    *out = s;
    return 0;
}

void hyperderp_client_free(hyperderp_client *s)
{
    if (s == NULL)
        return;
    channel_wipe(&s->channel);
    client_wipe(&s->client);
    tls_client_free(s->trust);
    memory_free(s->host);
    sodium_memzero(s, sizeof(*s));
    memory_free(s);
}

/* ---- Messages ---- */

static ssize_t read_message(hyperderp_client *s, struct client_message *message)
{
    struct channel *ch = &s->channel;
    ssize_t n;

    message->type = CLIENT_MESSAGE_NONE;
    if (ch->start == ch->end)
        return 0;
    n = client_read(&s->client, ch->in + ch->start, ch->end - ch->start, message);
    if (n > 0)
        ch->start += (size_t)n;
    return n;
}

int session_next(hyperderp_client *s, struct client_message *message)
{
    ssize_t n;

    for (;;) {
        if (s->error < 0)
            return s->error;
        if (!channel_is_ready(&s->channel))
            return nothing_more(s);
        if (!s->begun && (s->finished ? fail_as_finished(s) : begin(s)) < 0)
            return s->error;
        n = read_message(s, message);
        if (n < 0)
            return fail_in_protocol(s, (int)n);
        if (message->type == CLIENT_MESSAGE_NONE)
            return nothing_more(s);
        if (message->type == CLIENT_MESSAGE_RESTARTING)
            s->restarting = true;
        if (message->type != CLIENT_MESSAGE_SEND_INFO)
            return 0;
        if ((s->finished ? fail_as_finished(s) : introduce(s)) < 0)
            return s->error;
    }
}
