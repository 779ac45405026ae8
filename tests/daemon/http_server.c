/* SPDX-License-Identifier: BSD-3-Clause */
/* A thread for each connection, so that a handler may wait for the gate. */
#include "http_server.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_S 8

/* One request. */
struct call {
    char body[512];
    size_t len;
};

/* Needs the lock. */
static void wait_for_gate(struct http_server *server)
{
    while (server->closed)
        pthread_cond_wait(&server->changed, &server->lock);
}

static ssize_t give_piece(void *user, uint64_t at, char *out, size_t room)
{
    struct http_server *server = user;

    if (at == 0 && room > 0) {
        *out = '{';
        return 1;
    }
    pthread_mutex_lock(&server->lock);
    wait_for_gate(server);
    pthread_mutex_unlock(&server->lock);
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static void copy(char *out, size_t room, const char *text)
{
    snprintf(out, room, "%s", text ? text : "");
}

/* Needs the lock. */
static void note(struct http_server *server, struct MHD_Connection *connection, const char *method,
                 const char *path, const struct call *call)
{
    const char *addr = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "addr");

    copy(server->method, sizeof(server->method), method);
    snprintf(server->path, sizeof(server->path), "%s%s%s", path, addr ? "?addr=" : "",
             addr ? addr : "");
    copy(server->host, sizeof(server->host),
         MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Host"));
    copy(server->type, sizeof(server->type),
         MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Type"));
    copy(server->request, sizeof(server->request), call->body);
    server->requests++;
    server->at_once++;
    if (server->at_once > server->most_at_once)
        server->most_at_once = server->at_once;
    pthread_cond_broadcast(&server->changed);
}

static enum MHD_Result respond(struct http_server *server, struct MHD_Connection *connection,
                               const char *method, const char *path, const struct call *call)
{
    struct MHD_Response *response = NULL;

    pthread_mutex_lock(&server->lock);
    note(server, connection, method, path, call);
    if (server->manner != HTTP_BREAKS)
        wait_for_gate(server);
    unsigned status = server->status;
    if (server->manner == HTTP_ANSWERS)
        response = MHD_create_response_from_buffer(
            strlen(server->body), (void *)(uintptr_t)server->body, MHD_RESPMEM_MUST_COPY);
    else if (server->manner == HTTP_BREAKS)
        response =
            MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 64, give_piece, server, NULL);
    server->at_once--;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *size, void **state)
{
    struct call *call = *state;

    (void)version;
    if (!call) {
        *state = calloc(1, sizeof(*call));
        return *state ? MHD_YES : MHD_NO;
    }
    if (*size > 0) {
        size_t room = sizeof(call->body) - 1 - call->len;
        size_t len = *size < room ? *size : room;
        memcpy(call->body + call->len, upload, len);
        call->len += len;
        *size = 0;
        return MHD_YES;
    }
    return respond(user, connection, method, path, call);
}

static void completed(void *user, struct MHD_Connection *connection, void **state,
                      enum MHD_RequestTerminationCode code)
{
    (void)user;
    (void)connection;
    (void)code;
    free(*state);
    *state = NULL;
}

static int listen_tcp(struct http_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u/verify",
             ntohs(address.sin_port));
    return fd;
}

static int listen_unix(struct http_server *server)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    static unsigned number;

    snprintf(server->socket, sizeof(server->socket), "/tmp/hyper-derp-test.%d.%u", (int)getpid(),
             number++);
    memcpy(address.sun_path, server->socket, sizeof(server->socket));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void http_server_start(struct http_server *server, bool socket, const char *body)
{
    *server = (struct http_server){.status = 200, .body = body};
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    int fd = socket ? listen_unix(server) : listen_tcp(server);
    assert_int_equal(listen(fd, 256), 0);
    server->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION, 0, NULL, NULL, handle,
        server, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
        MHD_OPTION_CONNECTION_LIMIT, 512u, MHD_OPTION_END);
    assert_non_null(server->daemon);
}

void http_server_stop(struct http_server *server)
{
    http_server_gate(server, false);
    MHD_stop_daemon(server->daemon);
    if (*server->socket)
        unlink(server->socket);
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
}

void http_server_say(struct http_server *server, unsigned status, const char *body)
{
    pthread_mutex_lock(&server->lock);
    server->status = status;
    server->body = body;
    server->manner = HTTP_ANSWERS;
    pthread_mutex_unlock(&server->lock);
}

void http_server_behave(struct http_server *server, enum http_manner manner)
{
    pthread_mutex_lock(&server->lock);
    server->manner = manner;
    pthread_mutex_unlock(&server->lock);
}

void http_server_gate(struct http_server *server, bool closed)
{
    pthread_mutex_lock(&server->lock);
    server->closed = closed;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static void wait_for(struct http_server *server, const unsigned *figure, unsigned count)
{
    struct timespec until;
    int error = 0;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&server->lock);
    while (*figure < count && error == 0)
        error = pthread_cond_timedwait(&server->changed, &server->lock, &until);
    pthread_mutex_unlock(&server->lock);
    assert_int_equal(error, 0);
}

void http_server_wait_requests(struct http_server *server, unsigned count)
{
    wait_for(server, &server->requests, count);
}

void http_server_wait_at_once(struct http_server *server, unsigned count)
{
    wait_for(server, &server->at_once, count);
}

unsigned http_server_requests(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    unsigned requests = server->requests;
    pthread_mutex_unlock(&server->lock);
    return requests;
}
