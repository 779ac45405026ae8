/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay inside a program of yours. It lets the node keys in that the command line names, or
 * everyone when it names none, and runs until SIGINT or SIGTERM.
 *     embed ADDRESS [NODEKEY...]        for example: embed 127.0.0.1:3340 */
#define _POSIX_C_SOURCE 200809L /* sigwait() */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hyperderp/hyperderp.h>

/* Fixed before the start, so that callbacks may read it without a lock. */
struct guests {
    hyperderp_key keys[16];
    int count;
};

/* Runs on the relay's threads, once for each client that has proved that it holds its key. */
static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    const struct guests *guests = user;
    (void)ticket; /* for an answer that comes later */
    for (int i = 0; i < guests->count; i++)
        if (hyperderp_key_equal(&guests->keys[i], &client->key))
            return HYPERDERP_ALLOW;
    return guests->count == 0 ? HYPERDERP_ALLOW : HYPERDERP_DENY;
}

/* Functions of the library return 0 or more, or a negative errno. */
static void check(int result, const char *what)
{
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", what, strerror(-result));
        exit(1);
    }
}

int main(int argc, char **argv)
{
    struct guests guests = {.count = argc - 2};
    hyperderp_relay *relay;
    hyperderp_relay_options options;
    hyperderp_listener_options listener;
    hyperderp_counters counters = {.size = sizeof(counters)};
    char address[128];
    sigset_t stop;
    int number;

    if (argc < 2 || argc > 2 + 16) {
        fprintf(stderr, "usage: embed ADDRESS [NODEKEY...]\n");
        return 64;
    }
    for (int i = 0; i < guests.count; i++)
        check(hyperderp_key_parse(&guests.keys[i], argv[2 + i]), argv[2 + i]);

    hyperderp_relay_options_init(&options);
    options.admit = admit;
    options.user = &guests;
    check(hyperderp_relay_new(&relay, &options), "making a relay");
    hyperderp_listener_options_init(&listener);
    listener.address = argv[1];
    check(hyperderp_relay_add_listener(relay, &listener), argv[1]);
    check(hyperderp_relay_listener_address(relay, 0, address, sizeof(address)), argv[1]);

    /* The library leaves signals to the program: this one waits for them. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    check(hyperderp_relay_start(relay), "starting the relay");
    printf("listening on %s\n", address);
    fflush(stdout);
    sigwait(&stop, &number);

    check(hyperderp_relay_drain(relay, 5000), "draining");
    hyperderp_relay_counters(relay, &counters);
    printf("%" PRIu64 " clients joined, %" PRIu64 " were denied, %" PRIu64 " of %" PRIu64
           " packets delivered\n",
           counters.handshakes_ok, counters.handshakes_denied, counters.packets_delivered,
           counters.packets_received);
    hyperderp_relay_free(relay);
    return 0;
}
