/* SPDX-License-Identifier: BSD-3-Clause */
/* The web server: which path gives what. */
#include "web.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "history.h"
#include "log.h"
#include "metrics.h"
#include "microhttpd_library.h"
#include "private_file.h"
#include "status_json.h"
#include "status_page.h"
#include "web_socket.h"

#define MAX_CONNECTIONS   128
#define CONNECTION_MEMORY 16384 /* holds the request's head */
#define IDLE_SECONDS      30
#define MAX_PEM           1048576

struct web {
    /* Fixed while it runs. */
    struct MHD_Daemon *server;
    int fd;         /* the server's, where it listens */
    int stop_event; /* the thread's, an eventfd; -1 when there is no thread */
    pthread_t thread;
    const struct status *status;
    char address[64];
    char *cert, *key; /* PEM, or NULL */

    atomic_bool debug; /* relaxed */
    struct history history;
};

/* ---- Answers ---- */

struct answer {
    unsigned status;
    const char *type;
    char *body; /* malloc'ed, or the page */
    size_t size;
    bool is_page;
};

static struct answer text_answer(unsigned status, const char *text)
{
    char *copy = strdup(text);
    return (struct answer){status, "text/plain; charset=utf-8", copy, copy ? strlen(copy) : 0,
                           false};
}

static struct answer json_answer(unsigned status, json_t *json)
{
    char *text =
        json ? json_dumps(json, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6)) : NULL;
    json_decref(json);
    return (struct answer){status, "application/json", text, text ? strlen(text) : 0, false};
}

static struct answer metrics_answer(const struct web *web)
{
    struct answer answer = {200, "text/plain; version=0.0.4; charset=utf-8", NULL, 0, false};
    FILE *out = open_memstream(&answer.body, &answer.size);

    if (out) {
        metrics_write(web->status, out);
        fclose(out);
    }
    return answer;
}

static struct answer page_answer(void)
{
    return (struct answer){200, "text/html; charset=utf-8", (char *)(uintptr_t)status_page,
                           status_page_size(), true};
}

static struct answer debug_answer(const struct web *web, const char *what)
{
    if (!atomic_load_explicit(&web->debug, memory_order_relaxed))
        return text_answer(404, "not found; metrics.debug_endpoints = true turns /debug/ on\n");
    if (strcmp(what, "peers") == 0)
        return json_answer(200, status_json_peers(web->status));
    if (strcmp(what, "workers") == 0)
        return json_answer(200, status_json_workers(web->status));
    if (strcmp(what, "mesh") == 0)
        return json_answer(200, status_json_mesh(web->status));
    return text_answer(404, "not found\n");
}

static struct answer find_answer(struct web *web, const char *path)
{
    static const char debug[] = "/debug/";

    if (strcmp(path, "/metrics") == 0)
        return metrics_answer(web);
    if (strcmp(path, "/health") == 0)
        return json_answer(status_is_healthy(web->status) ? 200 : 503,
                           status_json_health(web->status));
    if (strcmp(path, "/") == 0)
        return page_answer();
    if (strcmp(path, "/status.json") == 0)
        return json_answer(200, status_json_page(web->status, &web->history));
    if (strncmp(path, debug, sizeof(debug) - 1) == 0)
        return debug_answer(web, path + sizeof(debug) - 1);
    return text_answer(404, "not found; there are /, /metrics, /health and /status.json\n");
}

static void add_headers(struct MHD_Response *response, const struct answer *answer)
{
    mhd.add_response_header(response, "Content-Type", answer->type);
    mhd.add_response_header(response, "Cache-Control", "no-store");
    mhd.add_response_header(response, "X-Content-Type-Options", "nosniff");
    mhd.add_response_header(response, "Referrer-Policy", "no-referrer");
    if (answer->is_page)
        mhd.add_response_header(response, "Content-Security-Policy",
                                "default-src 'none'; style-src 'unsafe-inline'; script-src "
                                "'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; "
                                "base-uri 'none'; form-action 'none'");
    if (answer->status == 405)
        mhd.add_response_header(response, "Allow", "GET, HEAD");
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer answer)
{
    if (!answer.body)
        return MHD_NO; /* without memory the connection is closed */
    struct MHD_Response *response = mhd.create_response_from_buffer(
        answer.size, answer.body, answer.is_page ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
    if (!response) {
        if (!answer.is_page)
            free(answer.body);
        return MHD_NO;
    }
    add_headers(response, &answer);
    enum MHD_Result result = mhd.queue_response(connection, answer.status, response);
    mhd.destroy_response(response);
    return result;
}

/* libmicrohttpd calls it with the head, with each part of a body, and at the end. */
static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *body,
                              size_t *body_size, void **state)
{
    static char head_seen;
    struct web *web = user;

    (void)version, (void)body;
    if (*state == NULL) {
        *state = &head_seen;
        return MHD_YES;
    }
    if (*body_size > 0) { /* nobody wants it */
        *body_size = 0;
        return MHD_YES;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return send_answer(connection, text_answer(405, "only GET and HEAD\n"));
    return send_answer(connection, find_answer(web, path));
}

/* ---- Life ---- */

__attribute__((format(printf, 2, 0))) static void log_fault(void *user, const char *format,
                                                            va_list args)
{
    char text[256];

    (void)user;
    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    log_print(HYPERDERP_LOG_DEBUG, "metrics: %s", text);
}

static void wipe(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

static ssize_t read_bytes(const char *file, char *text, size_t room)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t len = fd < 0 ? -1 : 0, n = 1;

    while (len >= 0 && n > 0 && (size_t)len < room) {
        n = read(fd, text + len, room - (size_t)len);
        len = n < 0 ? -1 : len + n;
    }
    if (fd >= 0)
        close(fd);
    return len;
}

/* Reads a whole file, without stdio, which would keep a copy. NULL with the reason logged. */
static char *read_pem(const char *file)
{
    char *text = calloc(1, MAX_PEM + 1);
    ssize_t len = text ? read_bytes(file, text, MAX_PEM) : -1;

    if (len >= 0 && strlen(text) == (size_t)len)
        return text;
    log_print(HYPERDERP_LOG_ERROR, "metrics: %s: %s", file,
              len < 0 ? strerror(errno) : "it is no PEM");
    if (text)
        explicit_bzero(text, MAX_PEM);
    free(text);
    return NULL;
}

static char *read_key(const char *file)
{
    char why[PRIVATE_FILE_WHY];

    if (private_file_check(file, true, why) == 0)
        return read_pem(file);
    log_print(HYPERDERP_LOG_ERROR, "metrics: the private key %s: %s", file, why);
    return NULL;
}

static int read_certificate(struct web *web, const struct config_metrics *options)
{
    if (!*options->tls_cert)
        return 0;
    if (mhd.is_feature_supported(MHD_FEATURE_TLS) != MHD_YES) {
        log_print(HYPERDERP_LOG_ERROR, "metrics: the system's libmicrohttpd has no TLS");
        return -EINVAL;
    }
    web->cert = read_pem(options->tls_cert);
    web->key = web->cert ? read_key(options->tls_key) : NULL;
    return web->cert && web->key ? 0 : -EINVAL;
}

static struct MHD_Daemon *start_server(struct web *web, int fd)
{
    const unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG | (web->cert ? MHD_USE_TLS : 0u);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, web->cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, web->key},
        {MHD_OPTION_END, 0, NULL},
    };

    if (!web->cert)
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return mhd.start_daemon(
        flags, 0, NULL, NULL, handle, web, MHD_OPTION_EXTERNAL_LOGGER, log_fault, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_MEMORY, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
}

/* What the server waits for at most, in ms, or -1. */
static int time_to_wait(const struct web *web)
{
    MHD_UNSIGNED_LONG_LONG ms;

    if (mhd.get_timeout(web->server, &ms) != MHD_YES)
        return -1;
    return ms < IDLE_SECONDS * 1000 ? (int)ms : IDLE_SECONDS * 1000;
}

/* The thread: until stop_event says that it is enough. libmicrohttpd can run a thread of its own,
 * but one that refuses a request while it is stopped reads a response at NULL (0.9.75). */
static void *serve(void *user)
{
    struct web *web = user;
    const union MHD_DaemonInfo *info = mhd.get_daemon_info(web->server, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[] = {{.fd = web->stop_event, .events = POLLIN},
                           {.fd = info->epoll_fd, .events = POLLIN}};

    /* The first memory that a thread asks for makes a heap of its own. Later there may be none left
     * for that, and then it is of use to be told how the relay is. */
    void *volatile first = malloc(1);
    free(first);
    pthread_setname_np(pthread_self(), "metrics");
    for (;;) {
        int n = poll(fds, 2, time_to_wait(web));
        if (fds[0].revents || (n < 0 && errno != EINTR))
            return NULL;
        mhd.run(web->server);
    }
}

/* The thread takes no signals: they are the main thread's. 0 or a negative errno. */
static int start_thread(struct web *web)
{
    sigset_t all, before;

    web->stop_event = eventfd(0, EFD_CLOEXEC);
    if (web->stop_event < 0)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = -pthread_create(&web->thread, NULL, serve, web);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        close(web->stop_event);
        web->stop_event = -1;
    }
    return error;
}

static void stop_thread(struct web *web)
{
    if (web->stop_event < 0)
        return;
    eventfd_write(web->stop_event, 1);
    pthread_join(web->thread, NULL);
    close(web->stop_event);
}

static int open_socket(struct web *web, const struct config_metrics *options, int kept)
{
    int fd = kept;

    if (fd >= 0)
        web_socket_describe(fd, web->address, sizeof(web->address));
    else
        fd = web_socket_open(options->address, web->address, sizeof(web->address));
    if (fd < 0)
        log_print(HYPERDERP_LOG_ERROR, "metrics %s: %s%s", options->address, strerror(-fd),
                  fd == -EADDRINUSE ? "; another program listens there, or choose another port"
                  : fd == -EACCES   ? "; run as root or grant CAP_NET_BIND_SERVICE"
                                    : "");
    return fd;
}

static int start(struct web *web, const struct config_metrics *options, int kept)
{
    int error = microhttpd_library_load();
    if (error == 0)
        error = read_certificate(web, options);
    if (error) {
        if (kept >= 0)
            close(kept);
        return error;
    }
    int fd = open_socket(web, options, kept);
    if (fd < 0)
        return fd;
    web->fd = fd;
    web->server = start_server(web, fd);
    if (!web->server) {
        close(fd);
        log_print(HYPERDERP_LOG_ERROR, "metrics %s: the web server does not start%s", web->address,
                  web->cert ? ": are certificate and key PEM, and do they belong together?" : "");
        return -EINVAL;
    }
    error = start_thread(web);
    if (error)
        log_print(HYPERDERP_LOG_ERROR, "metrics %s: %s", web->address, strerror(-error));
    return error;
}

int web_start(struct web **out, const struct config_metrics *options, const struct status *status,
              int fd)
{
    struct web *web = calloc(1, sizeof(*web));

    if (!web) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    web->status = status;
    web->stop_event = -1;
    atomic_init(&web->debug, options->debug_endpoints);
    history_init(&web->history);
    int error = start(web, options, fd);
    if (error) {
        web_stop(web);
        return error;
    }
    log_print(HYPERDERP_LOG_INFO, "metrics on %s://%s/", web->cert ? "https" : "http",
              web->address);
    *out = web;
    return 0;
}

void web_set_debug(struct web *web, bool on)
{
    atomic_store_explicit(&web->debug, on, memory_order_relaxed);
}

void web_address(const struct web *web, char *text, size_t room)
{
    snprintf(text, room, "%s", web->address);
}

int web_fd(const struct web *web)
{
    return web->fd;
}

void web_tick(struct web *web)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    history_add(&web->history, web->status->relay,
                (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

void web_stop(struct web *web)
{
    if (!web)
        return;
    stop_thread(web);
    if (web->server)
        mhd.stop_daemon(web->server);
    history_destroy(&web->history);
    free(web->cert);
    wipe(web->key);
    free(web);
}
