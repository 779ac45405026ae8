/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay inside a program of yours: it admits the node keys named on the command line, or everyone
 * when none is named, and runs until SIGINT or SIGTERM.
 *     embed ADDRESS [NODEKEY...]        for example: embed 127.0.0.1:3340 */
#define _POSIX_C_SOURCE 200809L /* sigwait() */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hyperderp/hyperderp.h>

struct guests {
    int count;
    char **texts; /* as typed, and fixed from the start on: callbacks read it without a lock */
};

/* Runs on the relay's threads, once for each client that has proved its key. */
static hyperderp_verdict admit(void *user, const hyperderp_client_info *client,
                               hyperderp_admission *ticket)
{
    const struct guests *guests = user;
    hyperderp_key key;
    (void)ticket; /* for an answer that comes later */
    for (int i = 0; i < guests->count; i++)
        if (hyperderp_key_parse(&key, guests->texts[i]) == 0 &&
            hyperderp_key_equal(&key, &client->key))
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
    struct guests guests = {argc - 2, argv + 2};
    hyperderp_relay_options options;
    hyperderp_listener_options listener;
    hyperderp_counters counters = {.size = sizeof(counters)};
    hyperderp_relay *relay;
    hyperderp_key key;
    sigset_t stop;
    char address[64];
    int signal_number;

    if (argc < 2) {
        fprintf(stderr, "usage: embed ADDRESS [NODEKEY...]\n");
        return 64;
    }
    for (int i = 0; i < guests.count; i++)
        check(hyperderp_key_parse(&key, guests.texts[i]), guests.texts[i]);

    /* Blocked before the threads start, so that sigwait() below is the one place that takes them.
     */
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);

    hyperderp_relay_options_init(&options);
    options.user = &guests;
    options.admit = admit;
    check(hyperderp_relay_new(&relay, &options), "making a relay");
    hyperderp_listener_options_init(&listener);
    listener.address = argv[1];
    check(hyperderp_relay_add_listener(relay, &listener), argv[1]);
    check(hyperderp_relay_listener_address(relay, 0, address, sizeof(address)), argv[1]);
    check(hyperderp_relay_start(relay), "starting the relay");
    printf("listening on %s\n", address);
    fflush(stdout);

    sigwait(&stop, &signal_number);
    check(hyperderp_relay_drain(relay, 5000), "draining");
    hyperderp_relay_counters(relay, &counters);
    printf("%llu clients joined, %llu were denied, %llu of %llu packets delivered\n",
           (unsigned long long)counters.handshakes_ok,
           (unsigned long long)counters.handshakes_denied,
           (unsigned long long)counters.packets_delivered,
           (unsigned long long)counters.packets_received);
    hyperderp_relay_free(relay);
    return 0;
}
