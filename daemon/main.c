/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp: a DERP relay as a daemon, on the public API of libhyperderp alone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <hyperderp/hyperderp.h>

#include "flags.h"
#include "log.h"
#include "report.h"

/* How long a clean stop may take. */
#define DRAIN_TIMEOUT_S 10

/* How often a draining daemon looks whether it shall stop at once. */
#define DRAIN_STEP_MS 50

/* Each connection needs a file; the hard limit is what the operator allows. */
static void raise_file_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static void block_signals(sigset_t *handled)
{
    sigemptyset(handled);
    sigaddset(handled, SIGINT);
    sigaddset(handled, SIGTERM);
    sigaddset(handled, SIGHUP);
    sigaddset(handled, SIGUSR1);
    /* Before any thread exists, so that all of them inherit it. */
    sigprocmask(SIG_BLOCK, handled, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int make_relay(hyperderp_relay **relay, const struct flags *flags)
{
    hyperderp_relay_options options;

    hyperderp_relay_options_init(&options);
    options.workers = flags->workers;
    options.engine = flags->engine;
    options.log = log_from_relay;
    options.log_level = flags->log_level;
    int error = hyperderp_relay_new(relay, &options);
    if (error) {
        log_print(HYPERDERP_LOG_ERROR, "cannot make the relay: %s", strerror(-error));
        return error;
    }
    for (unsigned i = 0; i < flags->listen_count; i++) {
        hyperderp_listener_options listener;
        hyperderp_listener_options_init(&listener);
        listener.address = flags->listen[i];
        error = hyperderp_relay_add_listener(*relay, &listener);
        if (error < 0)
            return error; /* the relay has logged why */
    }
    return 0;
}

static void say_hello(const hyperderp_relay *relay, const struct flags *flags)
{
    char text[HYPERDERP_KEY_TEXT_SIZE], address[64] = "";
    hyperderp_key key;

    hyperderp_relay_public_key(relay, &key);
    hyperderp_key_format(&key, text);
    log_print(HYPERDERP_LOG_INFO, "hyper-derp %s, public key %s", hyperderp_version(), text);
    if (!flags->dev)
        return;
    (void)hyperderp_relay_listener_address(relay, 0, address, sizeof(address));
    printf("\nhyper-derp is ready: a DERP relay without TLS, for trying out, at http://%s/derp\n"
           "Send traffic through it from another terminal:\n"
           "    build/hyper-derp-bench --relay %s\n"
           "Stop it with Ctrl-C.\n\n",
           address, address);
    fflush(stdout);
}

/* Waits for the signal that ends the daemon. */
static void wait_for_end(const sigset_t *handled)
{
    for (;;) {
        int signal_number;
        if (sigwait(handled, &signal_number) != 0)
            continue;
        if (signal_number == SIGTERM || signal_number == SIGINT) {
            log_print(HYPERDERP_LOG_INFO, "%s: draining; once more to stop at once",
                      signal_number == SIGTERM ? "SIGTERM" : "SIGINT");
            return;
        }
        if (signal_number == SIGHUP)
            log_print(HYPERDERP_LOG_INFO, "SIGHUP: there is no configuration file to reload");
    }
}

static bool second_signal(const sigset_t *handled)
{
    const struct timespec now = {0};
    int signal_number = sigtimedwait(handled, NULL, &now);
    return signal_number == SIGTERM || signal_number == SIGINT;
}

static void drain(hyperderp_relay *relay, const sigset_t *handled)
{
    for (unsigned waited = 0; waited < DRAIN_TIMEOUT_S * 1000; waited += DRAIN_STEP_MS) {
        if (hyperderp_relay_drain(relay, DRAIN_STEP_MS) == 0)
            return;
        if (second_signal(handled)) {
            log_print(HYPERDERP_LOG_WARN, "stopping at once");
            return;
        }
    }
    log_print(HYPERDERP_LOG_WARN, "some clients did not go within %d s: closing them",
              DRAIN_TIMEOUT_S);
}

int main(int argc, char **argv)
{
    struct flags flags;
    hyperderp_relay *relay;
    sigset_t handled;

    int status = flags_parse(&flags, argc, argv);
    if (status >= 0)
        return status;
    log_set_level(flags.log_level);
    block_signals(&handled);
    raise_file_limit();
    int error = make_relay(&relay, &flags);
    if (error == 0) {
        error = hyperderp_relay_start(relay);
        if (error)
            log_print(HYPERDERP_LOG_ERROR, "cannot start the relay: %s", strerror(-error));
    }
    if (error) {
        hyperderp_relay_free(relay);
        return error == -EINVAL ? STATUS_USAGE : STATUS_SYSTEM;
    }
    say_hello(relay, &flags);
    wait_for_end(&handled);
    drain(relay, &handled);
    hyperderp_relay_stop(relay);
    report_counters(relay);
    hyperderp_relay_free(relay);
    log_print(HYPERDERP_LOG_INFO, "stopped");
    return STATUS_OK;
}
