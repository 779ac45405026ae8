/* SPDX-License-Identifier: BSD-3-Clause */
/* The folder, the file, and what the metrics say. */
#include "service.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "traffic.h"

char service_folder[64], service_file[96], service_key[96];

void service_make_folder(void)
{
    snprintf(service_folder, sizeof(service_folder), "/tmp/hyper-derp-service.XXXXXX");
    assert_non_null(mkdtemp(service_folder));
    snprintf(service_file, sizeof(service_file), "%s/config.toml", service_folder);
    snprintf(service_key, sizeof(service_key), "%s/certs/derp.key", service_folder);
}

void service_remove_folder(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf '%s'", service_folder);
    assert_int_equal(system(command), 0);
}

const char *service_path(const char *name)
{
    static char paths[4][160];
    static unsigned at;
    char *path = paths[at++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", service_folder, name);
    return path;
}

void service_write_text(const struct cell *cell, const char *text)
{
    FILE *out = fopen(service_file, "w");

    assert_non_null(out);
    fprintf(out,
            "workers = %u\nkey_file = \"%s\"\n"
            "%s"
            "[metrics]\naddress = \"127.0.0.1:0\"\ndebug_endpoints = true\n"
            "[stun]\naddress = \"127.0.0.1:0\"\n"
            "[io]\nengine = \"%s\"\n",
            cell->workers, service_key, text, hyperderp_engine_name(cell->engine));
    fclose(out);
}

void service_write_config(const struct cell *cell, const char *limits)
{
    service_write_text(cell, "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = false\n");
    FILE *out = fopen(service_file, "a");
    assert_non_null(out);
    fprintf(out, "[limits]\n%s\n", limits);
    fclose(out);
}

struct process *service_start(void)
{
    struct process *daemon = process_spawn(DAEMON, (const char *[]){"-c", service_file, NULL}, -1);

    process_await_ready(daemon);
    process_await_log(daemon, "public key");
    return daemon;
}

struct process *service_refuses(int status)
{
    struct process *daemon = process_spawn(DAEMON, (const char *[]){"-c", service_file, NULL}, -1);

    assert_int_equal(process_wait(daemon, PATIENCE_MS), status);
    return daemon;
}

/* The answer of the metrics address; valid until the next call. */
const char *service_fetch(struct process *daemon, const char *path)
{
    static char answer[1 << 17];
    char address[64] = "", request[128];
    const char *at = strstr(process_log(daemon), "metrics on http://");
    size_t len = 0;

    assert_non_null(at);
    sscanf(at, "metrics on http://%63[^/]", address);
    snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
             path);
    int fd = tcp_connect(address);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    for (ssize_t got = 1; got > 0; len += (size_t)got) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&item, 1, PATIENCE_MS), 1);
        got = recv(fd, answer + len, sizeof(answer) - 1 - len, 0);
        assert_true(got >= 0);
    }
    answer[len] = '\0';
    close(fd);
    return answer;
}

double service_metric(struct process *daemon, const char *name)
{
    char line[128];

    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = strstr(service_fetch(daemon, "/metrics"), line);
    if (!at)
        fail_msg("no metric %s", name);
    return strtod(at + strlen(line), NULL);
}

void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in:\n%s", part, text);
}
