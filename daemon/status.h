/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the daemon knows of itself and shows on the metrics address. Written by the main thread,
 * read by the thread of the web server; each field stands for itself, so relaxed atomics do.
 */
#ifndef DAEMON_STATUS_H
#define DAEMON_STATUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/hyperderp.h>

struct access;

struct status {
    /* Fixed before the web server starts; the relay and access outlive it. */
    hyperderp_relay *relay;
    struct access *access; /* or NULL */
    int64_t started;       /* seconds since the epoch */
    bool has_file;         /* there is a configuration file, which can be reloaded */

    /* atomic_load_explicit(..., memory_order_relaxed) */
    atomic_bool draining;
    atomic_uint stuck_workers;       /* that made no turn when asked to for too long */
    _Atomic uint64_t config_reloads; /* tried */
    _Atomic uint64_t config_reload_errors;
    _Atomic int64_t config_last_success;  /* seconds since the epoch; the start counts */
    _Atomic int64_t certificate_expires;  /* seconds since the epoch; 0: no listener has TLS */
    _Atomic uint64_t certificate_reloads; /* that brought another one into use */
    _Atomic uint64_t certificate_reload_errors;
};

#endif
