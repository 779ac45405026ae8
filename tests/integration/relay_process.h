/* SPDX-License-Identifier: BSD-3-Clause */
/* The built daemon as a child process: its log, its counters, its memory and files. Functions fail
 * the running test themselves; what is still running when a test ends is killed and its log shown.
 */
#ifndef TESTS_RELAY_PROCESS_H
#define TESTS_RELAY_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

#include "matrix.h"

struct process;

#define DAEMON "HYPER_DERP"
#define BENCH  "HYPER_DERP_BENCH"

/* Starts the program that an environment variable (DAEMON, BENCH) names with these arguments, ended
 * by NULL. core is the one core it may use, or -1. */
struct process *process_spawn(const char *variable, const char *const *arguments, int core);

/* Starts a daemon in a cell, listening on a port of 127.0.0.1 (0: of the kernel's choice), and
 * returns once it listens. */
struct process *process_start(const struct cell *cell, unsigned port, int core);

/* The same for a daemon that speaks TLS, with lines of its own at the top of its configuration. */
struct process *process_start_tls(const struct cell *cell, int core, const char *lines);

/* The same for one that speaks what the cell's clients do. */
struct process *process_start_with(const struct cell *cell, int core, const char *lines);

/* Keeps the first core that this program may use for a daemon, itself off it, and returns it; -1
 * where there is but one. */
int process_reserve_core(void);

/* Waits until the daemon says where it listens. */
void process_await_ready(struct process *process);

/* "127.0.0.1:PORT", and PORT. */
const char *process_address(const struct process *process);
unsigned process_port(const struct process *process);
pid_t process_pid(const struct process *process);

/* Waits for the end: the exit status, or 256 and the number of the signal that killed it. Fails and
 * kills it when it takes longer. */
int process_wait(struct process *process, int timeout_ms);

/* Kills it and waits for its end. */
void process_kill(struct process *process);

/* Waits until text is in the log, which is what the daemon wrote on standard error. */
void process_await_log(struct process *process, const char *text);

/* What it has written so far; valid until the next call for the same process. */
const char *process_log(struct process *process);
const char *process_output(struct process *process);

/* Forgets a process that has ended. Fails when a sanitizer has complained. */
void process_free(struct process *process);

/* Ends the daemon by SIGTERM, within 10 s and with status 0, and checks what must hold at rest:
 * each packet received was delivered or dropped for a reason, and no connection, peer or byte is
 * left. The counters can be read until process_free(). */
void process_stop(struct process *process);

/* A counter of the daemon's closing lines. */
uint64_t process_counter(struct process *process, const char *name);

/* Resident memory in KiB, now and at most so far, and the number of open files. */
long process_rss_kib(const struct process *process);
long process_peak_kib(const struct process *process);
unsigned process_files(const struct process *process);

/* Microseconds that its threads could have run, but had no core; 0 where the kernel does not tell.
 */
int64_t process_waited_us(const struct process *process);

/* Waits until no more files are open than that; fails with a list of them. */
void process_await_files(struct process *process, unsigned most);

/* Kills what is left, and shows its log. */
void process_clean_up(void);

#endif
