/* SPDX-License-Identifier: BSD-3-Clause */
/* A TUN device in each namespace, and a thread between the two. */
#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define MAX_PACKET  1600
#define MAX_WAITING 4096

struct packet {
    int64_t due_us;
    uint64_t number; /* in the order of arrival: among those due at once, the first goes first */
    int to;
    unsigned len;
    uint8_t bytes[MAX_PACKET];
};

static struct {
    int devices[2], namespaces[2]; /* the relay's, the clients' */

    pthread_mutex_t lock; /* guards what follows */
    struct impairment impairment;
    struct network_figures figures;

    /* The thread's own. */
    struct packet *waiting[MAX_WAITING];
    unsigned count;
    uint64_t number, random;
} network = {.lock = PTHREAD_MUTEX_INITIALIZER, .random = 0x9e3779b97f4a7c15};

static unsigned draw(unsigned below)
{
    network.random ^= network.random << 13;
    network.random ^= network.random >> 7;
    network.random ^= network.random << 17;
    return below ? (unsigned)(network.random >> 32) % below : 0;
}

/* ---- The thread ---- */

static void hold(const uint8_t *bytes, unsigned len, int to, int64_t due)
{
    struct packet *packet = network.count < MAX_WAITING ? malloc(sizeof(*packet)) : NULL;

    if (!packet)
        return; /* a full queue loses packets, as everywhere */
    packet->due_us = due;
    packet->number = network.number++;
    packet->to = to;
    packet->len = len;
    memcpy(packet->bytes, bytes, len);
    network.waiting[network.count++] = packet;
}

/* Needs the lock. */
static void receive(uint8_t *bytes, unsigned len, int to)
{
    const struct impairment *bad = &network.impairment;
    struct network_figures *figures = &network.figures;
    int64_t due = now_us() + bad->delay_us + draw(bad->jitter_us);

    if (bad->cut) {
        figures->cut++;
    } else if (bad->largest > 0 && len > bad->largest) {
        figures->too_large++;
    } else if (draw(1000) < bad->lost_permille) {
        figures->lost++;
    } else {
        if (len > 20 && draw(1000) < bad->flipped_permille) {
            bytes[20 + draw(len - 20)] ^= (uint8_t)(1u << draw(8));
            figures->flipped++;
        }
        hold(bytes, len, to, due);
        if (draw(1000) < bad->twice_permille) {
            hold(bytes, len, to, due + draw(bad->jitter_us));
            figures->twice++;
        }
    }
}

static bool goes_before(const struct packet *a, const struct packet *b)
{
    return a->due_us < b->due_us || (a->due_us == b->due_us && a->number < b->number);
}

/* Sends what is due, the earliest first; returns microseconds until the next one, or -1. Needs the
 * lock. */
static int64_t send_due(void)
{
    static uint64_t last[2];

    for (;;) {
        unsigned first = 0;
        if (network.count == 0)
            return -1;
        for (unsigned i = 1; i < network.count; i++)
            if (goes_before(network.waiting[i], network.waiting[first]))
                first = i;
        struct packet *packet = network.waiting[first];
        int64_t left = packet->due_us - now_us();
        if (left > 0)
            return left;
        network.waiting[first] = network.waiting[--network.count];
        /* A link that is down takes nothing. */
        if (write(network.devices[packet->to], packet->bytes, packet->len) < 0)
            network.figures.cut++;
        else
            network.figures.passed++;
        network.figures.overtaken += packet->number < last[packet->to];
        if (packet->number > last[packet->to])
            last[packet->to] = packet->number;
        free(packet);
    }
}

static void *carry(void *arg)
{
    int64_t left = -1;

    for (;;) {
        struct pollfd items[2] = {{.fd = network.devices[0], .events = POLLIN},
                                  {.fd = network.devices[1], .events = POLLIN}};
        struct timespec wait = {.tv_sec = left / 1000000, .tv_nsec = left % 1000000 * 1000};
        uint8_t bytes[MAX_PACKET];

        (void)ppoll(items, 2, left < 0 ? NULL : &wait, NULL);
        pthread_mutex_lock(&network.lock);
        for (int from = 0; from < 2; from++) {
            for (int i = 0; i < 64; i++) {
                ssize_t n = read(network.devices[from], bytes, sizeof(bytes));
                if (n <= 0)
                    break;
                receive(bytes, (unsigned)n, !from);
            }
        }
        left = send_due();
        pthread_mutex_unlock(&network.lock);
    }
    return arg;
}

/* ---- Making it ---- */

/* Runs ip(8) in the namespace of the calling thread. */
static bool ip(const char *arguments)
{
    char command[160];

    snprintf(command, sizeof(command), "ip %s", arguments);
    return system(command) == 0;
}

/* A namespace for the calling thread, with a device in it. */
static bool make_end(int end, const char *what)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    char command[128];

    if (unshare(CLONE_NEWNET) != 0) {
        print_message("no network namespaces here: %s\n", strerror(errno));
        return false;
    }
    network.namespaces[end] = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    network.devices[end] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(request.ifr_name, sizeof(request.ifr_name), "way%d", end);
    if (network.devices[end] < 0 || ioctl(network.devices[end], TUNSETIFF, &request) != 0) {
        print_message("no TUN device for %s here: %s\n", what, strerror(errno));
        return false;
    }
    snprintf(command, sizeof(command), "addr add 10.99.0.%d/24 dev way%d", 1 + end, end);
    if (!ip("link set lo up") || !ip(command)) {
        print_message("ip(8) cannot set up a link here\n");
        return false;
    }
    snprintf(command, sizeof(command), "link set way%d up", end);
    return ip(command);
}

bool network_make(void)
{
    pthread_t thread;

    if (!make_end(1, "clients") || !make_end(0, "the relay"))
        return false;
    if (pthread_create(&thread, NULL, carry, NULL) != 0)
        return false;
    pthread_detach(thread);
    return true;
}

void network_impair(const struct impairment *impairment)
{
    pthread_mutex_lock(&network.lock);
    network.impairment = *impairment;
    pthread_mutex_unlock(&network.lock);
}

struct network_figures network_figures(void)
{
    pthread_mutex_lock(&network.lock);
    struct network_figures figures = network.figures;
    network.figures = (struct network_figures){0};
    pthread_mutex_unlock(&network.lock);
    return figures;
}

void network_link(bool up)
{
    if (!ip(up ? "link set way0 up" : "link set way0 down"))
        fail_msg("the link does not go %s", up ? "up" : "down");
}

void network_enter_clients(bool among)
{
    assert_int_equal(setns(network.namespaces[among], CLONE_NEWNET), 0);
}
