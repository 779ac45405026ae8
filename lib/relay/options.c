/* SPDX-License-Identifier: BSD-3-Clause */
/* Defaults and checks of options. */
#include "relay/options.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "memory/sized.h"
#include "relay/relay.h"
#include "wire/frame.h"

#define DEFAULT_QUEUE_FRAMES 1024
#define DEFAULT_QUEUE_BYTES  (2u << 20)
/* A WireGuard handshake is tried anew after five seconds, so that both of its messages may wait for
 * so long; TCP inside the tunnel has sent anew by then. */
#define DEFAULT_QUEUE_TIME_MS        2000
#define DEFAULT_MEMORY_BYTES         (256u << 20)
#define DEFAULT_HANDSHAKE_TIMEOUT_MS 10000
#define DEFAULT_KEEPALIVE_MS         60000
#define DEFAULT_WRITE_TIMEOUT_MS     15000

/* Times beyond a day are a mistake in units. */
#define MAX_TIMEOUT_MS 86400000

#define MAX_SOCKET_BUFFER (1u << 30)

#define MAX_ACCEPT_RATE 1000000
#define MIN_CLIENT_RATE 1024
#define MAX_CLIENT_RATE (100ull << 30)

/* What a client may send at once must hold the largest frame, and what may come while a timer is
 * late. */
#define MIN_CLIENT_BURST   (FRAME_PACKET_OVERHEAD + FRAME_MAX_PACKET)
#define CLIENT_BURST_PARTS 8 /* of a second */

/* A queue must hold the largest frame. */
#define MIN_QUEUE_BYTES 131072

/* File descriptors that are not connections: those of the program, and of each worker. */
#define SPARE_FILES            32
#define SPARE_FILES_PER_WORKER 4

void hyperderp_relay_options_init_sized(hyperderp_relay_options *options, size_t size)
{
    hyperderp_relay_options defaults = {
        .size = size, .queue_time_ms = DEFAULT_QUEUE_TIME_MS, .log_level = HYPERDERP_LOG_INFO};

    if (!options || size < sizeof(options->size))
        return;
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof(defaults) ? size : sizeof(defaults));
}

void hyperderp_listener_options_init_sized(hyperderp_listener_options *options, size_t size)
{
    hyperderp_listener_options defaults = {.size = size, .fd = -1};

    if (!options || size < sizeof(options->size))
        return;
    memset(options, 0, size);
    memcpy(options, &defaults, size < sizeof(defaults) ? size : sizeof(defaults));
}

static unsigned usable_cores(void)
{
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return 1;
    int count = CPU_COUNT(&cores);
    return count < RELAY_MAX_WORKERS ? (unsigned)count : RELAY_MAX_WORKERS;
}

static unsigned connections_by_files(unsigned workers)
{
    struct rlimit files;
    unsigned spare = SPARE_FILES + SPARE_FILES_PER_WORKER * workers;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur <= 2 * (rlim_t)spare)
        return spare;
    return files.rlim_cur > UINT32_MAX ? UINT32_MAX : (unsigned)(files.rlim_cur - spare);
}

static int check_timeout(unsigned *value, unsigned fallback)
{
    if (*value == 0)
        *value = fallback;
    return *value > MAX_TIMEOUT_MS ? -EINVAL : 0;
}

/* A burst without a rate means nothing, and is let go. */
static int check_rates(hyperderp_limits *limits)
{
    if (limits->accept_rate > MAX_ACCEPT_RATE || limits->accept_burst > MAX_ACCEPT_RATE ||
        limits->client_rate > MAX_CLIENT_RATE || limits->client_burst > MAX_CLIENT_RATE ||
        (limits->client_rate > 0 && limits->client_rate < MIN_CLIENT_RATE))
        return -EINVAL;
    if (limits->accept_burst == 0 || limits->accept_rate == 0)
        limits->accept_burst = limits->accept_rate;
    if (limits->client_burst == 0 || limits->client_rate == 0)
        limits->client_burst = limits->client_rate;
    if (limits->client_rate > 0 && limits->client_burst < MIN_CLIENT_BURST)
        limits->client_burst = MIN_CLIENT_BURST;
    if (limits->client_burst < limits->client_rate / CLIENT_BURST_PARTS)
        limits->client_burst = limits->client_rate / CLIENT_BURST_PARTS;
    return 0;
}

int options_check_limits(hyperderp_limits *limits, unsigned workers)
{
    if (limits->max_connections == 0)
        limits->max_connections = connections_by_files(workers);
    if (limits->queue_frames == 0)
        limits->queue_frames = DEFAULT_QUEUE_FRAMES;
    if (limits->queue_bytes == 0)
        limits->queue_bytes = DEFAULT_QUEUE_BYTES;
    if (limits->memory_bytes == 0)
        limits->memory_bytes = DEFAULT_MEMORY_BYTES;
    if (limits->queue_bytes < MIN_QUEUE_BYTES || limits->queue_bytes > UINT32_MAX / 2 ||
        limits->memory_bytes < MIN_QUEUE_BYTES || limits->queue_time_ms > MAX_TIMEOUT_MS)
        return -EINVAL;
    if (check_timeout(&limits->handshake_timeout_ms, DEFAULT_HANDSHAKE_TIMEOUT_MS) != 0 ||
        check_timeout(&limits->keepalive_ms, DEFAULT_KEEPALIVE_MS) != 0 ||
        check_timeout(&limits->write_timeout_ms, DEFAULT_WRITE_TIMEOUT_MS) != 0)
        return -EINVAL;
    return check_rates(limits);
}

hyperderp_limits options_limits(const hyperderp_relay_options *options)
{
    return (hyperderp_limits){
        .size = sizeof(hyperderp_limits),
        .max_connections = options->max_connections,
        .queue_frames = options->queue_frames,
        .queue_bytes = options->queue_bytes,
        .memory_bytes = options->memory_bytes,
        .handshake_timeout_ms = options->handshake_timeout_ms,
        .keepalive_ms = options->keepalive_ms,
        .write_timeout_ms = options->write_timeout_ms,
        .accept_rate = options->accept_rate,
        .accept_burst = options->accept_burst,
        .connections_per_ip = options->connections_per_ip,
        .client_rate = options->client_rate,
        .client_burst = options->client_burst,
        .queue_time_ms = options->queue_time_ms,
    };
}

static int check(hyperderp_relay_options *options)
{
    if (options->workers > RELAY_MAX_WORKERS || options->engine < HYPERDERP_ENGINE_AUTO ||
        options->engine > HYPERDERP_ENGINE_EPOLL || options->log_level < HYPERDERP_LOG_ERROR ||
        options->log_level > HYPERDERP_LOG_DEBUG || options->socket_buffer > MAX_SOCKET_BUFFER ||
        (options->pin_core_count > 0 && !options->pin_cores))
        return -EINVAL;
    if (options->workers == 0)
        options->workers = usable_cores();
    hyperderp_limits limits = options_limits(options);
    int error = options_check_limits(&limits, options->workers);
    if (error)
        return error;
    options->max_connections = limits.max_connections;
    options->queue_frames = limits.queue_frames;
    options->queue_bytes = limits.queue_bytes;
    options->memory_bytes = limits.memory_bytes;
    options->handshake_timeout_ms = limits.handshake_timeout_ms;
    options->keepalive_ms = limits.keepalive_ms;
    options->write_timeout_ms = limits.write_timeout_ms;
    options->accept_burst = limits.accept_burst;
    options->client_burst = limits.client_burst;
    return 0;
}

int options_read(hyperderp_relay_options *out, const hyperderp_relay_options *options)
{
    hyperderp_relay_options_init(out);
    int error = options ? sized_read(out, sizeof(*out), options) : 0;
    return error ? error : check(out);
}

int options_read_listener(hyperderp_listener_options *out,
                          const hyperderp_listener_options *options)
{
    hyperderp_listener_options_init(out);
    return sized_read(out, sizeof(*out), options);
}
