/* SPDX-License-Identifier: BSD-3-Clause */
/* hyper-derp: a DERP relay as a daemon, on the public API of libhyperderp alone. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "access.h"
#include "commands.h"
#include "daemon.h"
#include "log.h"
#include "notify.h"
#include "reload.h"
#include "wiped_memory.h"

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
    sigaddset(handled, TAKEOVER_SIGNAL);
    /* Before any thread exists, so that all of them inherit it. */
    sigprocmask(SIG_BLOCK, handled, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(struct daemon *daemon)
{
    daemon->status.started = time(NULL);
    daemon->status.config_last_success = daemon->status.started;
    daemon->status.has_file = daemon->flags.config_file != NULL;
    log_set_level(daemon->config.log_level);
    log_set_format(daemon->config.log_format);
    block_signals(&daemon->signals);
    raise_file_limit();
    takeover_init(&daemon->takeover);
    int status = daemon_start(daemon);
    if (status == STATUS_OK) {
        daemon_say_hello(daemon);
        notify_ready();
        takeover_finish(&daemon->takeover);
        daemon_serve(daemon);
    } else if (daemon->takeover.peer >= 0 && daemon->status.relay) {
        /* The process that was to be taken over goes on with its sockets, and their files. */
        (void)hyperderp_relay_hand_over(daemon->status.relay, 0);
    }
    web_stop(daemon->web); /* before the relay that it shows */
    /* Whoever still waits for an answer gets one before the relay that asked is freed. */
    if (daemon->status.relay)
        hyperderp_relay_stop(daemon->status.relay);
    access_free(daemon->status.access);
    hyperderp_relay_free(daemon->status.relay);
    takeover_close(&daemon->takeover, NULL);
    sockets_free(&daemon->sockets);
    renewal_free(&daemon->renewal);
    watchdog_free(&daemon->watchdog);
    if (status == STATUS_OK)
        log_print(HYPERDERP_LOG_INFO, "stopped");
    return status;
}

static int load_and_run(struct daemon *daemon)
{
    if (daemon->flags.has_log_level)
        log_set_level(daemon->flags.log_level);
    int error = configuration_load(&daemon->config, &daemon->flags);
    int status = error == 0 ? run(daemon) : error == -ENOMEM ? STATUS_SYSTEM : STATUS_CONFIG;
    config_free(&daemon->config);
    return status;
}

/* What is printed is often meant for a file, a key for one: when it is lost, the status says so. */
static int printed(int status)
{
    if (status != STATUS_OK || (fflush(stdout) == 0 && !ferror(stdout)))
        return status;
    fprintf(stderr, "hyper-derp: standard output: %s\n", strerror(errno));
    return STATUS_IO;
}

int main(int argc, char **argv)
{
    static struct daemon daemon;
    int status = flags_parse(&daemon.flags, argc, argv);

    if (status >= 0)
        return printed(status);
    log_init();
    wiped_memory_use();
    switch (daemon.flags.command) {
    case COMMAND_CHECK_CONFIG:
        return printed(command_check_config(&daemon.flags));
    case COMMAND_PRINT_CONFIG:
        return printed(command_print_config(&daemon.flags));
    case COMMAND_KEYGEN:
        return printed(command_keygen(&daemon.flags));
    case COMMAND_DERPMAP:
        return printed(command_derpmap(&daemon.flags));
    case COMMAND_RUN:
        break;
    }
    return load_and_run(&daemon);
}
