/* SPDX-License-Identifier: BSD-3-Clause */
/* A relay that is driven by its embedder's event loops, on each engine: by poll() and inside an
 * epoll set, one worker and three, on one thread and on several; how it ends; and what it says to
 * whoever does it wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <hyperderp/hyperderp.h>

#include "relay_fixture.h"

#define MAX_WORKERS 3

/* ---- An event loop of the embedder ----------------------------------------------------------- */

enum command {
    GO_ON,
    BEGIN_DRAIN, /* drain(0), and goes on */
    DRAIN,       /* waits inside hyperderp_relay_drain() */
    STOP,
    LEAVE, /* dispatches no more, and waits for `leave` */
};

struct driver {
    hyperderp_relay *relay;
    unsigned first, count; /* its workers */
    bool by_epoll;
    int commands; /* eventfd: an enum command each */
    int set;      /* of by_epoll */
    pthread_t thread;
    sem_t left, leave;

    /* Written by its thread, read when that has been joined. */
    int result; /* of the last dispatch, or of the drain */

    atomic_uint dispatches;
};

static void command(struct driver *driver, enum command command)
{
    uint64_t value = command;

    assert_int_equal(write(driver->commands, &value, sizeof(value)), sizeof(value));
}

static enum command next_command(struct driver *driver)
{
    uint64_t value = GO_ON;

    (void)!read(driver->commands, &value, sizeof(value));
    return (enum command)value;
}

/* Fills in which of its workers, or the commands behind them, are ready. */
static void wait_by_poll(const struct driver *driver, const bool *there, bool *ready)
{
    struct pollfd files[MAX_WORKERS + 1];

    for (unsigned i = 0; i < driver->count; i++)
        files[i].fd = there[i] ? hyperderp_relay_worker_fd(driver->relay, driver->first + i) : -1;
    files[driver->count].fd = driver->commands;
    for (unsigned i = 0; i <= driver->count; i++)
        files[i].events = POLLIN;
    poll(files, driver->count + 1, -1);
    for (unsigned i = 0; i <= driver->count; i++)
        ready[i] = files[i].revents != 0;
}

static void wait_by_epoll(const struct driver *driver, bool *ready)
{
    struct epoll_event events[MAX_WORKERS + 1];

    int n = epoll_wait(driver->set, events, MAX_WORKERS + 1, -1);
    for (unsigned i = 0; i <= driver->count; i++)
        ready[i] = false;
    for (int i = 0; i < n; i++)
        ready[events[i].data.u32] = true;
}

static void take_out(struct driver *driver, bool *there, unsigned i)
{
    there[i] = false;
    if (driver->by_epoll)
        epoll_ctl(driver->set, EPOLL_CTL_DEL,
                  hyperderp_relay_worker_fd(driver->relay, driver->first + i), NULL);
}

static void obey(struct driver *driver, enum command command)
{
    if (command == BEGIN_DRAIN)
        (void)hyperderp_relay_drain(driver->relay, 0);
    if (command == DRAIN)
        driver->result = hyperderp_relay_drain(driver->relay, FIXTURE_PATIENCE_MS);
    if (command == STOP)
        hyperderp_relay_stop(driver->relay);
    if (command == LEAVE) {
        sem_post(&driver->left);
        sem_wait(&driver->leave);
    }
}

/* Until its workers have ended. */
static void *drive(void *arg)
{
    struct driver *driver = arg;
    bool there[MAX_WORKERS] = {true, true, true};
    bool ready[MAX_WORKERS + 1];
    enum command command = GO_ON;

    for (unsigned left = driver->count; left > 0 && command != LEAVE && driver->result >= 0;) {
        if (driver->by_epoll)
            wait_by_epoll(driver, ready);
        else
            wait_by_poll(driver, there, ready);
        for (unsigned i = 0; i < driver->count; i++) {
            if (!ready[i])
                continue;
            atomic_fetch_add(&driver->dispatches, 1);
            driver->result = hyperderp_relay_dispatch(driver->relay, driver->first + i);
            if (driver->result > 0)
                continue;
            take_out(driver, there, i);
            left--;
        }
        command = ready[driver->count] ? next_command(driver) : GO_ON;
        obey(driver, command);
    }
    return NULL;
}

static void begin_driving(struct driver *driver, hyperderp_relay *relay, unsigned first,
                          unsigned count, bool by_epoll)
{
    *driver = (struct driver){.relay = relay, .first = first, .count = count, .by_epoll = by_epoll};
    sem_init(&driver->left, 0, 0);
    sem_init(&driver->leave, 0, 0);
    driver->commands = eventfd(0, EFD_CLOEXEC);
    driver->set = by_epoll ? epoll_create1(EPOLL_CLOEXEC) : -1;
    for (unsigned i = 0; by_epoll && i <= count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        int fd = i < count ? hyperderp_relay_worker_fd(relay, first + i) : driver->commands;
        assert_int_equal(epoll_ctl(driver->set, EPOLL_CTL_ADD, fd, &event), 0);
    }
    assert_int_equal(pthread_create(&driver->thread, NULL, drive, driver), 0);
}

/* Returns what the last dispatch did. */
static int end_driving(struct driver *driver)
{
    pthread_join(driver->thread, NULL);
    close(driver->commands);
    if (driver->by_epoll)
        close(driver->set);
    sem_destroy(&driver->left);
    sem_destroy(&driver->leave);
    return driver->result;
}

/* ---- Relays ---------------------------------------------------------------------------------- */

static unsigned open_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void make(struct fixture *fixture, const hyperderp_relay_options *options)
{
    hyperderp_listener_options listener;

    *fixture = (struct fixture){.files = open_files()};
    assert_int_equal(hyperderp_relay_new(&fixture->relay, options), 0);
    hyperderp_listener_options_init(&listener);
    listener.address = "127.0.0.1:0";
    listener.certificate = fixture_is_tls() ? fixture_certificate() : NULL;
    assert_int_equal(hyperderp_relay_add_listener(fixture->relay, &listener), 0);
    assert_int_equal(hyperderp_relay_listener_address(fixture->relay, 0, fixture->address,
                                                      sizeof(fixture->address)),
                     0);
    hyperderp_relay_public_key(fixture->relay, &fixture->key);
}

static void start_driven(struct fixture *fixture, const hyperderp_relay_options *options)
{
    make(fixture, options);
    assert_int_equal(hyperderp_relay_start_driven(fixture->relay), 0);
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd file = {.fd = fd, .events = POLLIN};

    return poll(&file, 1, timeout_ms) == 1;
}

/* Dispatches a worker on this thread until it waits for something. */
static void dispatch_all(hyperderp_relay *relay, unsigned worker)
{
    while (is_readable(hyperderp_relay_worker_fd(relay, worker), 0))
        assert_int_equal(hyperderp_relay_dispatch(relay, worker), 1);
}

/* The same until a condition on the counters holds. */
static void dispatch_until(const struct fixture *fixture,
                           bool (*holds)(const hyperderp_counters *, uint64_t), uint64_t value)
{
    int fd = hyperderp_relay_worker_fd(fixture->relay, 0);
    hyperderp_counters counters = fixture_counters(fixture);

    while (!holds(&counters, value)) {
        assert_true(is_readable(fd, FIXTURE_PATIENCE_MS));
        assert_int_equal(hyperderp_relay_dispatch(fixture->relay, 0), 1);
        counters = fixture_counters(fixture);
    }
}

static void assert_ended(const struct fixture *fixture, unsigned workers)
{
    assert_int_equal(hyperderp_relay_drain(fixture->relay, 0), 0);
    for (unsigned i = 0; i < workers; i++) {
        /* A loop that still waits for it learns. */
        assert_true(is_readable(hyperderp_relay_worker_fd(fixture->relay, i), FIXTURE_PATIENCE_MS));
        assert_int_equal(hyperderp_relay_dispatch(fixture->relay, i), 0);
        assert_int_equal(hyperderp_relay_dispatch(fixture->relay, i), 0);
    }
}

/* ---- It relays ------------------------------------------------------------------------------- */

static void exchange(const struct fixture *fixture)
{
    enum { PACKETS = 300 };
    static uint8_t packet[1300];
    struct client_socket *clients[4];

    for (unsigned i = 0; i < 4; i++)
        clients[i] = fixture_join(fixture, 0);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++)
            if (i != j)
                fixture_pass(clients[i], clients[j], "to whom it is for");
    for (unsigned i = 0; i < PACKETS; i++) {
        packet[0] = (uint8_t)i;
        assert_int_equal(client_socket_send(clients[0], client_socket_key(clients[3]), packet,
                                            sizeof(packet), FIXTURE_PATIENCE_MS),
                         0);
    }
    for (unsigned i = 0; i < PACKETS; i++) {
        struct client_message message = fixture_expect(clients[3], CLIENT_MESSAGE_PACKET);
        assert_int_equal(message.len, sizeof(packet));
        assert_int_equal(message.payload[0], (uint8_t)i);
    }
    for (unsigned i = 0; i < 4; i++)
        client_socket_close(clients[i]);
    fixture_wait(fixture, counters_connections_are, 0);
}

static void relays(hyperderp_engine engine, unsigned workers, unsigned threads, bool by_epoll)
{
    hyperderp_relay_options options = fixture_options(engine, workers);
    struct driver drivers[MAX_WORKERS];
    struct client_socket *client;
    struct fixture fixture;

    start_driven(&fixture, &options);
    for (unsigned i = 0; i < threads; i++)
        begin_driving(&drivers[i], fixture.relay, i, threads == 1 ? workers : 1, by_epoll);
    exchange(&fixture);
    client = fixture_join(&fixture, 0);
    command(&drivers[0], BEGIN_DRAIN);
    fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(client);
    for (unsigned i = 0; i < threads; i++)
        assert_int_equal(end_driving(&drivers[i]), 0);
    assert_ended(&fixture, workers);
    fixture_stop(&fixture);
}

static void test_one_worker(void **state)
{
    hyperderp_engine engine = fixture_engine(state);

    relays(engine, 1, 1, false);
    relays(engine, 1, 1, true);
}

static void test_three_workers_on_one_thread(void **state)
{
    hyperderp_engine engine = fixture_engine(state);

    relays(engine, 3, 1, false);
    relays(engine, 3, 1, true);
}

static void test_three_workers_on_three_threads(void **state)
{
    hyperderp_engine engine = fixture_engine(state);

    relays(engine, 3, 3, false);
    relays(engine, 3, 3, true);
}

/* ---- It waits -------------------------------------------------------------------------------- */

static bool timed_out_are(const hyperderp_counters *counters, uint64_t value)
{
    return counters->handshakes_timed_out == value;
}

/* Its deadlines come, and between them there is nothing to do: an idle relay costs a few dispatches
 * for each deadline. */
static void test_idle(void **state)
{
    enum { KEEPALIVES = 4, FOR_EACH = 12 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct client_socket *client;
    struct driver driver;
    struct fixture fixture;

    options.keepalive_ms = 250;
    options.handshake_timeout_ms = 300;
    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 1, true);
    client = fixture_join(&fixture, 0);
    int silent = fixture_connect_bare(&fixture);
    fixture_wait(&fixture, counters_connections_are, 2);
    unsigned before = atomic_load(&driver.dispatches);
    (void)fixture_read_end(silent);
    close(silent);
    for (unsigned i = 0; i < KEEPALIVES; i++)
        fixture_expect(client, CLIENT_MESSAGE_KEEP_ALIVE);
    assert_in_range(atomic_load(&driver.dispatches) - before, KEEPALIVES,
                    (KEEPALIVES + 1) * FOR_EACH);
    fixture_wait(&fixture, timed_out_are, 1);
    client_socket_close(client);
    command(&driver, DRAIN);
    assert_int_equal(end_driving(&driver), 0);
    fixture_stop(&fixture);
}

/* The file descriptor is readable for as long as there is something to do, and no longer. */
static void test_readable(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    start_driven(&fixture, &options);
    int fd = hyperderp_relay_worker_fd(fixture.relay, 0);
    assert_true(fd >= 0);
    assert_true(is_readable(fd, 0));
    assert_true(is_readable(fd, 0));
    dispatch_all(fixture.relay, 0);
    assert_false(is_readable(fd, 0));
    /* For nothing it may be called as well. */
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 0), 1);
    assert_false(is_readable(fd, 0));

    int client = fixture_connect_bare(&fixture);
    assert_true(is_readable(fd, FIXTURE_PATIENCE_MS));
    assert_true(is_readable(fd, 0));
    dispatch_until(&fixture, counters_connections_are, 1);
    dispatch_all(fixture.relay, 0);
    close(client);
    assert_true(is_readable(fd, FIXTURE_PATIENCE_MS));
    dispatch_until(&fixture, counters_connections_are, 0);
    dispatch_all(fixture.relay, 0);

    hyperderp_relay_wake(fixture.relay);
    assert_true(is_readable(fd, FIXTURE_PATIENCE_MS));
    dispatch_all(fixture.relay, 0);
    fixture_stop(&fixture);
}

/* More than a dispatch takes at once: none of it is left behind. */
static void test_many_at_once(void **state)
{
    enum { CLIENTS = 400 };
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;
    int clients[CLIENTS];

    start_driven(&fixture, &options);
    dispatch_all(fixture.relay, 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i] = fixture_connect_bare(&fixture);
    dispatch_until(&fixture, counters_connections_are, CLIENTS);
    dispatch_all(fixture.relay, 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        close(clients[i]);
    dispatch_until(&fixture, counters_connections_are, 0);
    fixture_stop(&fixture);
}

/* ---- Other threads --------------------------------------------------------------------------- */

struct desk {
    sem_t asked;
    hyperderp_admission *ticket;
    hyperderp_relay *relay;
    unsigned callbacks;
    int own, other, number; /* what dispatching said inside a callback */
};

static hyperderp_verdict admit_later(void *user, const hyperderp_client_info *client,
                                     hyperderp_admission *ticket)
{
    struct desk *desk = user;
    (void)client;

    desk->ticket = ticket;
    sem_post(&desk->asked);
    return HYPERDERP_LATER;
}

/* The worker waits in the embedder's loop, and is woken. */
static void *answer(void *arg)
{
    struct desk *desk = arg;

    sem_wait(&desk->asked);
    hyperderp_admission_answer(desk->ticket, HYPERDERP_ALLOW);
    return NULL;
}

static void test_answer_by_another_thread(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct desk desk = {0};
    struct driver driver;
    struct fixture fixture;
    pthread_t thread;

    sem_init(&desk.asked, 0, 0);
    options.admit = admit_later;
    options.user = &desk;
    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 1, false);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(pthread_create(&thread, NULL, answer, &desk), 0);
        client_socket_close(fixture_join(&fixture, 0));
        pthread_join(thread, NULL);
    }
    command(&driver, STOP);
    assert_int_equal(end_driving(&driver), 0);
    fixture_stop(&fixture);
    sem_destroy(&desk.asked);
}

static void dispatch_inside(struct desk *desk)
{
    desk->callbacks++;
    desk->own = hyperderp_relay_dispatch(desk->relay, 0);
    desk->other = hyperderp_relay_dispatch(desk->relay, 1);
    desk->number = hyperderp_relay_dispatch(desk->relay, 2);
}

static void dispatch_in_peer_changed(void *user, const hyperderp_key *peer, bool up)
{
    (void)peer;
    (void)up;
    dispatch_inside(user);
}

static void test_dispatch_in_callback(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct desk desk = {0};
    struct driver driver;
    struct fixture fixture;

    options.peer_changed = dispatch_in_peer_changed;
    options.user = &desk;
    make(&fixture, &options);
    desk.relay = fixture.relay;
    assert_int_equal(hyperderp_relay_start_driven(fixture.relay), 0);
    begin_driving(&driver, fixture.relay, 0, 2, false);
    client_socket_close(fixture_join(&fixture, 0));
    fixture_wait(&fixture, counters_connections_are, 0);
    command(&driver, DRAIN);
    assert_int_equal(end_driving(&driver), 0);
    assert_int_equal(desk.callbacks, 2);
    assert_int_equal(desk.own, -EBUSY);
    assert_int_equal(desk.other, -EBUSY);
    assert_int_equal(desk.number, -EINVAL);
    fixture_stop(&fixture);
}

static void test_another_thread(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct driver driver;
    struct fixture fixture;

    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 1, false);
    client_socket_close(fixture_join(&fixture, 0));
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 0), -EBUSY);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    assert_int_equal(end_driving(&driver), 0);
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 0), 0);
    fixture_stop(&fixture);
}

static void test_misuse(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 2);
    struct fixture fixture;
    hyperderp_relay *relay;

    assert_int_equal(hyperderp_relay_start_driven(NULL), -EINVAL);
    assert_int_equal(hyperderp_relay_worker_fd(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_dispatch(NULL, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_new(&relay, &options), 0);
    assert_int_equal(hyperderp_relay_start_driven(relay), -EINVAL); /* no listener */
    hyperderp_relay_free(relay);

    make(&fixture, &options);
    assert_int_equal(hyperderp_relay_worker_fd(fixture.relay, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
    assert_int_equal(hyperderp_relay_start_driven(fixture.relay), -EBUSY);
    assert_int_equal(hyperderp_relay_worker_fd(fixture.relay, 0), -EINVAL);
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 0), -EINVAL);
    fixture_stop(&fixture);

    start_driven(&fixture, &options);
    assert_int_equal(hyperderp_relay_start_driven(fixture.relay), -EBUSY);
    assert_int_equal(hyperderp_relay_start(fixture.relay), -EBUSY);
    assert_int_equal(hyperderp_relay_run(fixture.relay), -EBUSY);
    assert_int_equal(hyperderp_relay_worker_fd(fixture.relay, 2), -EINVAL);
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 2), -EINVAL);
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 1), 1);
    fixture_stop(&fixture);
}

/* Without file descriptors it is not started, and may be with them, also with threads. */
static void test_no_files(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct rlimit before, few;
    struct fixture fixture;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (unsigned room = 0;; room++) {
        make(&fixture, &options);
        const unsigned files = open_files();
        int first_free = dup(0);
        close(first_free);
        few = before;
        few.rlim_cur = (rlim_t)first_free + room;
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
        int error = hyperderp_relay_start_driven(fixture.relay);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        if (error == 0)
            break;
        assert_int_equal(error, -EMFILE);
        assert_int_equal(open_files(), files);
        assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 0), -EINVAL);
        assert_int_equal(hyperderp_relay_start(fixture.relay), 0);
        client_socket_close(fixture_join(&fixture, 0));
        fixture_stop(&fixture);
        assert_in_range(room, 0, 3 * 4);
    }
    fixture_stop(&fixture);
}

/* ---- It ends --------------------------------------------------------------------------------- */

/* Inside hyperderp_relay_drain(), which takes the turns itself. */
static void test_drain_on_its_thread(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct driver driver;
    struct fixture fixture;

    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 3, true);
    struct client_socket *client = fixture_join(&fixture, 0);
    int silent = fixture_connect_bare(&fixture);
    fixture_wait(&fixture, counters_connections_are, 2);
    command(&driver, DRAIN);
    fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    assert_int_equal(end_driving(&driver), 0);
    assert_ended(&fixture, 3);
    client_socket_close(client);
    (void)fixture_read_end(silent);
    close(silent);
    fixture_stop(&fixture);
}

/* A drain that nobody dispatches does not end, and can be cut short. */
static void test_drain_takes_too_long(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct fixture fixture;

    start_driven(&fixture, &options);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 1), -ETIMEDOUT); /* nobody's yet */
    hyperderp_relay_free(fixture.relay);

    start_driven(&fixture, &options);
    int silent = fixture_connect_bare(&fixture);
    dispatch_until(&fixture, counters_connections_are, 1);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 1), -ETIMEDOUT);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, 0), -ETIMEDOUT);
    hyperderp_relay_stop(fixture.relay);
    assert_ended(&fixture, 1);
    (void)fixture_read_end(silent);
    close(silent);
    fixture_stop(&fixture);
}

static void test_hand_over(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 1);
    struct driver driver;
    struct fixture fixture;

    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 1, true);
    struct client_socket *client = fixture_join(&fixture, 0);
    assert_int_equal(hyperderp_relay_hand_over(fixture.relay, 10), 0);
    fixture_expect(client, CLIENT_MESSAGE_RESTARTING);
    client_socket_close(client);
    fixture_wait(&fixture, counters_connections_are, 0);
    command(&driver, BEGIN_DRAIN);
    assert_int_equal(end_driving(&driver), 0);
    fixture_stop(&fixture);
}

static void test_stop(void **state)
{
    hyperderp_engine engine = fixture_engine(state);
    hyperderp_relay_options options = fixture_options(engine, 3);
    struct driver drivers[3];
    struct fixture fixture;

    /* By the thread that dispatches. */
    start_driven(&fixture, &options);
    begin_driving(&drivers[0], fixture.relay, 0, 3, true);
    struct client_socket *client = fixture_join(&fixture, 0);
    command(&drivers[0], STOP);
    assert_int_equal(end_driving(&drivers[0]), 0);
    assert_ended(&fixture, 3);
    (void)fixture_read_end(client_socket_fd(client));
    client_socket_close(client);
    fixture_stop(&fixture);

    /* By another one, which then waits for those that do. */
    start_driven(&fixture, &options);
    for (unsigned i = 0; i < 3; i++)
        begin_driving(&drivers[i], fixture.relay, i, 1, false);
    client = fixture_join(&fixture, 0);
    hyperderp_relay_stop(fixture.relay);
    assert_int_equal(hyperderp_relay_drain(fixture.relay, FIXTURE_PATIENCE_MS), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(end_driving(&drivers[i]), 0);
    assert_ended(&fixture, 3);
    client_socket_close(client);
    fixture_stop(&fixture);

    /* At once; and by one of several that dispatch. */
    start_driven(&fixture, &options);
    hyperderp_relay_stop(fixture.relay);
    assert_ended(&fixture, 3);
    fixture_stop(&fixture);
    for (unsigned turn = 0; turn < 10; turn++) {
        start_driven(&fixture, &options);
        for (unsigned i = 0; i < 3; i++)
            begin_driving(&drivers[i], fixture.relay, i, 1, true);
        command(&drivers[turn % 3], STOP);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(end_driving(&drivers[i]), 0);
        fixture_stop(&fixture);
    }
}

static void count_end(void *user)
{
    unsigned *ends = user;

    ++*ends;
}

/* The end is told once, whoever brings it about. */
static void test_told_of_the_end(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct driver driver;
    struct fixture fixture;
    unsigned ends = 0;

    options.drained = count_end;
    options.user = &ends;
    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 3, true);
    client_socket_close(fixture_join(&fixture, 0));
    command(&driver, BEGIN_DRAIN);
    assert_int_equal(end_driving(&driver), 0);
    assert_int_equal(ends, 1);
    fixture_stop(&fixture);
    assert_int_equal(ends, 1);

    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, 2, true);
    client_socket_close(fixture_join(&fixture, 0));
    command(&driver, LEAVE);
    sem_wait(&driver.left);
    hyperderp_relay_free(fixture.relay);
    assert_int_equal(ends, 2);
    sem_post(&driver.leave);
    assert_int_equal(end_driving(&driver), 1);
}

static bool is_queued(const hyperderp_counters *counters, uint64_t value)
{
    return counters->queued_bytes > value;
}

/* Freed by another thread than the one that has dispatched, which has left or still is there, in
 * the midst of everything: clients that have joined, one that does not read what waits for it, one
 * that says nothing. */
static void free_as_it_is(hyperderp_engine engine, unsigned workers, bool thread_is_there)
{
    hyperderp_relay_options options = fixture_options(engine, workers);
    static const uint8_t packet[16384];
    struct driver driver;
    struct fixture fixture;

    start_driven(&fixture, &options);
    begin_driving(&driver, fixture.relay, 0, workers, true);
    struct client_socket *from = fixture_join(&fixture, 0), *to = fixture_join(&fixture, 4096);
    int silent = fixture_connect_bare(&fixture);
    hyperderp_counters counters = fixture_counters(&fixture);
    while (!is_queued(&counters, 100000)) {
        assert_int_equal(client_socket_send(from, client_socket_key(to), packet, sizeof(packet),
                                            FIXTURE_PATIENCE_MS),
                         0);
        counters = fixture_counters(&fixture);
    }
    fixture_wait(&fixture, counters_connections_are, 3);
    command(&driver, LEAVE);
    sem_wait(&driver.left);
    if (!thread_is_there) {
        sem_post(&driver.leave);
        assert_int_equal(end_driving(&driver), 1);
    }
    hyperderp_relay_free(fixture.relay);
    (void)fixture_read_end(silent);
    close(silent);
    client_socket_close(from);
    client_socket_close(to);
    if (thread_is_there) {
        sem_post(&driver.leave);
        assert_int_equal(end_driving(&driver), 1);
    }
    assert_int_equal(open_files(), fixture.files);
}

static void test_free_as_it_is(void **state)
{
    hyperderp_engine engine = fixture_engine(state);

    free_as_it_is(engine, 1, true);
    free_as_it_is(engine, 1, false);
    free_as_it_is(engine, 3, true);
    free_as_it_is(engine, 3, false);
}

static void test_free_at_once(void **state)
{
    hyperderp_relay_options options = fixture_options(fixture_engine(state), 3);
    struct fixture fixture;

    start_driven(&fixture, &options);
    hyperderp_relay_free(fixture.relay);
    start_driven(&fixture, &options);
    assert_int_equal(hyperderp_relay_dispatch(fixture.relay, 1), 1);
    hyperderp_relay_free(fixture.relay);
    assert_int_equal(open_files(), fixture.files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_ON_ALL(test_one_worker),
        FIXTURE_ON_ALL(test_three_workers_on_one_thread),
        FIXTURE_ON_ALL(test_three_workers_on_three_threads),
        FIXTURE_ON_BOTH(test_idle),
        FIXTURE_ON_BOTH(test_readable),
        FIXTURE_ON_BOTH(test_many_at_once),
        FIXTURE_ON_BOTH(test_answer_by_another_thread),
        FIXTURE_ON_BOTH(test_dispatch_in_callback),
        FIXTURE_ON_BOTH(test_another_thread),
        FIXTURE_ON_BOTH(test_misuse),
        FIXTURE_ON_BOTH(test_no_files),
        FIXTURE_ON_BOTH(test_drain_on_its_thread),
        FIXTURE_ON_BOTH(test_drain_takes_too_long),
        FIXTURE_ON_BOTH(test_hand_over),
        FIXTURE_ON_BOTH(test_stop),
        FIXTURE_ON_BOTH(test_told_of_the_end),
        FIXTURE_ON_ALL(test_free_as_it_is),
        FIXTURE_ON_BOTH(test_free_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
