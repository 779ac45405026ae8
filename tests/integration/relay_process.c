/* SPDX-License-Identifier: BSD-3-Clause */
/* Starting, watching and ending the daemon. A thread per process reads what it writes, so that it
 * never waits for us. */
#include "relay_process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_PROCESSES 8
#define MAX_ARGUMENTS 48
#define MAX_TEXT      (4u << 20)
#define STOP_MS       (SANITIZED ? 40000 : 10000)

struct text {
    int fd;
    char *bytes; /* terminated */
    size_t len;
    char *seen; /* the copy that was handed out last */
};

struct process {
    pid_t pid;
    int pidfd;
    bool ended;
    int status;
    char address[64];
    unsigned port;
    pthread_t reader;
    bool has_reader;
    char folder[64]; /* of its own, removed with it; "": none */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t grown;
    struct text texts[2]; /* standard output, standard error */
    bool closed;          /* nothing more will come */
};

static struct process *running[MAX_PROCESSES];

static void take_text(struct process *process, struct text *text)
{
    char bytes[4096];
    ssize_t n = read(text->fd, bytes, sizeof(bytes));

    if (n < 0 && errno == EINTR)
        return;
    pthread_mutex_lock(&process->lock);
    if (n <= 0) {
        close(text->fd);
        text->fd = -1;
    } else if (text->len + (size_t)n < MAX_TEXT) {
        char *grown = realloc(text->bytes, text->len + (size_t)n + 1);
        if (grown) {
            memcpy(grown + text->len, bytes, (size_t)n);
            text->len += (size_t)n;
            grown[text->len] = '\0';
            text->bytes = grown;
        }
    }
    pthread_cond_broadcast(&process->grown);
    pthread_mutex_unlock(&process->lock);
}

static void *read_texts(void *arg)
{
    struct process *process = arg;

    while (process->texts[0].fd >= 0 || process->texts[1].fd >= 0) {
        struct pollfd items[2] = {{.fd = process->texts[0].fd, .events = POLLIN},
                                  {.fd = process->texts[1].fd, .events = POLLIN}};
        if (poll(items, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++)
            if (items[i].revents)
                take_text(process, &process->texts[i]);
    }
    pthread_mutex_lock(&process->lock);
    process->closed = true;
    pthread_cond_broadcast(&process->grown);
    pthread_mutex_unlock(&process->lock);
    return NULL;
}

static const char *copy_text(struct process *process, struct text *text)
{
    pthread_mutex_lock(&process->lock);
    free(text->seen);
    text->seen = strdup(text->bytes ? text->bytes : "");
    pthread_mutex_unlock(&process->lock);
    assert_non_null(text->seen);
    return text->seen;
}

const char *process_output(struct process *process)
{
    return copy_text(process, &process->texts[0]);
}

const char *process_log(struct process *process)
{
    return copy_text(process, &process->texts[1]);
}

/* Fails the test after showing what the daemon said. */
static void fail_with_log(struct process *process, const char *what)
{
    print_error("%s\n--- output of the daemon\n%s--- its log\n%s---\n", what,
                process_output(process), process_log(process));
    fail();
}

/* In the child, where only system calls are safe. */
static void run_child(const char *program, char *const *arguments, const int *pipes, int core)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (core >= 0) {
        cpu_set_t cores;
        CPU_ZERO(&cores);
        CPU_SET((unsigned)core, &cores);
        sched_setaffinity(0, sizeof(cores), &cores);
    }
    dup2(pipes[1], STDOUT_FILENO);
    dup2(pipes[3], STDERR_FILENO);
    signal(SIGPIPE, SIG_DFL);
    execv(program, arguments);
    _exit(127);
}

static void fork_child(struct process *process, char *const *arguments, int core)
{
    int pipes[4];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(pipe2(pipes + 2, O_CLOEXEC), 0);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0)
        run_child(arguments[0], arguments, pipes, core);
    close(pipes[1]);
    close(pipes[3]);
    process->texts[0].fd = pipes[0];
    process->texts[1].fd = pipes[2];
    process->pidfd = (int)syscall(SYS_pidfd_open, process->pid, 0);
}

static void remove_folder(const char *folder)
{
    static const char *const files[] = {"config.toml", "derp.key", "self-signed.crt",
                                        "self-signed.key"};
    char file[128];

    if (!*folder)
        return;
    for (unsigned i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(file, sizeof(file), "%s/%s", folder, files[i]);
        unlink(file);
    }
    rmdir(folder);
}

static void remember(struct process *process)
{
    for (unsigned i = 0; i < MAX_PROCESSES; i++) {
        if (!running[i]) {
            running[i] = process;
            return;
        }
    }
    fail_msg("more than %d processes at a time", MAX_PROCESSES);
}

struct process *process_spawn(const char *variable, const char *const *arguments, int core)
{
    struct process *process = calloc(1, sizeof(*process));
    const char *vector[MAX_ARGUMENTS] = {getenv(variable)};
    pthread_condattr_t monotonic;

    assert_non_null(process);
    if (!vector[0])
        fail_msg("the environment has no %s, the program to be tested", variable);
    for (unsigned i = 0; arguments[i]; i++) {
        assert_true(i + 2 < MAX_ARGUMENTS);
        vector[i + 1] = arguments[i];
    }
    pthread_mutex_init(&process->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&process->grown, &monotonic);
    pthread_condattr_destroy(&monotonic);
    remember(process);
    /* execv() leaves the strings alone, whatever its declaration says. */
    fork_child(process, (char *const *)(uintptr_t)vector, core);
    assert_true(process->pidfd >= 0);
    assert_int_equal(pthread_create(&process->reader, NULL, read_texts, process), 0);
    process->has_reader = true;
    return process;
}

void process_await_log(struct process *process, const char *text)
{
    struct timespec until;
    bool found = false;
    int error = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&process->lock);
    for (;;) {
        const char *log = process->texts[1].bytes;
        found = log && strstr(log, text) != NULL;
        if (found || process->closed || error != 0)
            break;
        error = pthread_cond_timedwait(&process->grown, &process->lock, &until);
    }
    pthread_mutex_unlock(&process->lock);
    if (!found) {
        print_error("not in the log: %s\n", text);
        fail_with_log(process, "the daemon did not say it");
    }
}

void process_await_ready(struct process *process)
{
    static const char words[] = "listening on ";

    process_await_log(process, " (DERP");
    const char *at = strstr(process_log(process), words);
    if (!at || sscanf(at + strlen(words), "%63s", process->address) != 1)
        fail_with_log(process, "no address in the log");
    const char *colon = strrchr(process->address, ':');
    assert_non_null(colon);
    process->port = (unsigned)strtoul(colon + 1, NULL, 10);
    assert_true(process->port > 0);
    process_await_log(process, "public key");
}

/* A folder with a configuration, in which the daemon makes itself a key and, for TLS, of which the
 * command line knows nothing, a certificate. */
static struct process *start_file(const struct cell *cell, bool tls, unsigned port, int core,
                                  const char *lines)
{
    char folder[64] = "/tmp/hyper-derp-test-XXXXXX", file[96];
    const char *arguments[] = {"-c", file, NULL};

    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/config.toml", folder);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fprintf(out,
            "%s\nworkers = %u\nkey_file = \"%s/derp.key\"\n"
            "[[listener]]\naddress = \"127.0.0.1:%u\"\ntls = %s\n"
            "[tls]\nhostname = \"127.0.0.1\"\n[metrics]\naddress = \"\"\n"
            "[stun]\naddress = \"\"\n[io]\nengine = \"%s\"\n",
            lines, cell->workers, folder, port, tls ? "true" : "false",
            hyperderp_engine_name(cell->engine));
    assert_int_equal(fclose(out), 0);
    struct process *process = process_spawn(DAEMON, arguments, core);
    snprintf(process->folder, sizeof(process->folder), "%s", folder);
    process_await_ready(process);
    return process;
}

struct process *process_start_tls(const struct cell *cell, int core, const char *lines)
{
    return start_file(cell, true, 0, core, lines);
}

struct process *process_start_with(const struct cell *cell, int core, const char *lines)
{
    return start_file(cell, cell->tls, 0, core, lines);
}

struct process *process_start(const struct cell *cell, unsigned port, int core)
{
    if (cell->tls)
        return start_file(cell, true, port, core, "");
    char address[32], workers[16];
    const char *arguments[] = {"--listen", address,    "--workers",
                               workers,    "--engine", hyperderp_engine_name(cell->engine),
                               NULL};

    snprintf(address, sizeof(address), "127.0.0.1:%u", port);
    snprintf(workers, sizeof(workers), "%u", cell->workers);
    struct process *process = process_spawn(DAEMON, arguments, core);
    process_await_ready(process);
    return process;
}

const char *process_address(const struct process *process)
{
    return process->address;
}

unsigned process_port(const struct process *process)
{
    return process->port;
}

pid_t process_pid(const struct process *process)
{
    return process->pid;
}

/* Collects the child. */
static void reap(struct process *process)
{
    int status = 0;

    while (waitpid(process->pid, &status, 0) < 0 && errno == EINTR)
        ;
    process->status = WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
    process->ended = true;
    close(process->pidfd);
    if (process->has_reader)
        pthread_join(process->reader, NULL);
    process->has_reader = false;
}

int process_wait(struct process *process, int timeout_ms)
{
    struct pollfd item = {.fd = process->pidfd, .events = POLLIN};
    int64_t until = now_us() + (int64_t)timeout_ms * 1000;

    while (!process->ended) {
        int64_t left = (until - now_us()) / 1000;
        int n = poll(&item, 1, left > 0 ? (int)left : 0);
        if (n > 0) {
            reap(process);
        } else if (n == 0) {
            kill(process->pid, SIGKILL);
            reap(process);
            print_error("the daemon did not end within %d ms\n", timeout_ms);
            fail_with_log(process, "it was killed");
        }
    }
    return process->status;
}

void process_kill(struct process *process)
{
    kill(process->pid, SIGKILL);
    (void)process_wait(process, PATIENCE_MS);
}

int process_reserve_core(void)
{
    static cpu_set_t all;
    cpu_set_t cores;
    int core = 0;

    if (CPU_COUNT(&all) == 0)
        assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
    if (CPU_COUNT(&all) < 2)
        return -1;
    while (!CPU_ISSET((unsigned)core, &all))
        core++;
    cores = all;
    CPU_CLR((unsigned)core, &cores);
    assert_int_equal(sched_setaffinity(0, sizeof(cores), &cores), 0);
    return core;
}

static void free_process(struct process *process)
{
    for (unsigned i = 0; i < MAX_PROCESSES; i++)
        if (running[i] == process)
            running[i] = NULL;
    for (unsigned i = 0; i < 2; i++) {
        free(process->texts[i].bytes);
        free(process->texts[i].seen);
    }
    pthread_cond_destroy(&process->grown);
    pthread_mutex_destroy(&process->lock);
    remove_folder(process->folder);
    free(process);
}

void process_free(struct process *process)
{
    assert_true(process->ended);
    const char *log = process_log(process);
    if (strstr(log, "Sanitizer") || strstr(log, "runtime error"))
        fail_with_log(process, "a sanitizer has complained");
    free_process(process);
}

/* Adds up the counters whose names begin with a prefix, or (whole) are it. Returns how many. */
static unsigned sum_counters(struct process *process, const char *name, bool whole, uint64_t *sum)
{
    const char *at = process_log(process);
    size_t len = strlen(name);
    unsigned count = 0;

    *sum = 0;
    while ((at = strstr(at, " counters: ")) != NULL) {
        const char *end = strchr(at, '\n');
        const char *word = at + strlen(" counters:");
        end = end ? end : at + strlen(at);
        for (; word && word < end; word = memchr(word + 1, ' ', (size_t)(end - word) - 1)) {
            const char *equals = memchr(word, '=', (size_t)(end - word));
            if (!equals || strncmp(word + 1, name, len) != 0 || (whole && word[1 + len] != '='))
                continue;
            *sum += strtoull(equals + 1, NULL, 10);
            count++;
        }
        at = end;
    }
    return count;
}

uint64_t process_counter(struct process *process, const char *name)
{
    uint64_t value;

    if (sum_counters(process, name, true, &value) != 1) {
        print_error("no counter %s\n", name);
        fail_with_log(process, "a counter is missing");
    }
    return value;
}

void process_stop(struct process *process)
{
    uint64_t dropped;

    kill(process->pid, SIGTERM);
    if (process_wait(process, STOP_MS) != 0) {
        print_error("exit status %d\n", process->status);
        fail_with_log(process, "the daemon did not end cleanly");
    }
    uint64_t received = process_counter(process, "packets_received");
    uint64_t delivered = process_counter(process, "packets_delivered");
    if (sum_counters(process, "drop_", false, &dropped) == 0 || received != delivered + dropped)
        fail_with_log(process, "packets received are not those delivered and dropped");
    if (process_counter(process, "connections") != 0 ||
        process_counter(process, "peers_active") != 0 ||
        process_counter(process, "home_clients") != 0 ||
        process_counter(process, "queued_bytes") != 0)
        fail_with_log(process, "something was left behind");
}

static long status_kib(const struct process *process, const char *name)
{
    char path[64], line[256];
    size_t len = strlen(name);
    long kib = -1;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)process->pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (kib < 0 && fgets(line, sizeof(line), file))
        if (strncmp(line, name, len) == 0)
            kib = strtol(line + len, NULL, 10);
    fclose(file);
    assert_true(kib > 0);
    return kib;
}

long process_rss_kib(const struct process *process)
{
    return status_kib(process, "VmRSS:");
}

long process_peak_kib(const struct process *process)
{
    return status_kib(process, "VmHWM:");
}

/* Counts the open files; with show, prints what each is. */
static unsigned list_files(const struct process *process, bool show)
{
    char path[64], target[256];
    unsigned count = 0;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)process->pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
        target[len > 0 ? len : 0] = '\0';
        if (show)
            print_error("file %s: %s\n", entry->d_name, target);
        count++;
    }
    closedir(dir);
    return count;
}

static int64_t waited_ns(pid_t pid, const char *task)
{
    char file[320];
    uint64_t ran = 0, waited = 0;

    snprintf(file, sizeof(file), "/proc/%d/task/%s/schedstat", (int)pid, task);
    FILE *in = fopen(file, "r");
    if (!in)
        return 0;
    if (fscanf(in, "%" SCNu64 " %" SCNu64, &ran, &waited) != 2)
        waited = 0;
    fclose(in);
    return (int64_t)waited;
}

int64_t process_waited_us(const struct process *process)
{
    char folder[64];
    int64_t sum = 0;

    snprintf(folder, sizeof(folder), "/proc/%d/task", (int)process->pid);
    DIR *tasks = opendir(folder);
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));)
        if (task->d_name[0] != '.')
            sum += waited_ns(process->pid, task->d_name);
    closedir(tasks);
    return sum / 1000;
}

unsigned process_files(const struct process *process)
{
    return list_files(process, false);
}

void process_await_files(struct process *process, unsigned most)
{
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;

    while (list_files(process, false) > most) {
        if (now_us() > until) {
            (void)list_files(process, true);
            print_error("expected no more than %u\n", most);
            fail_with_log(process, "files stay open");
        }
        (void)poll(NULL, 0, 1);
    }
}

void process_clean_up(void)
{
    for (unsigned i = 0; i < MAX_PROCESSES; i++) {
        struct process *process = running[i];
        if (!process)
            continue;
        if (!process->ended && process->pid > 0) {
            kill(process->pid, SIGKILL);
            reap(process);
        }
        print_error("--- log of daemon %d, left behind\n%s---\n", (int)process->pid,
                    process_log(process));
        free_process(process);
    }
}
