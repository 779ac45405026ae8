/* SPDX-License-Identifier: BSD-3-Clause */
/* What a process in the sandbox can still do. Each test is a child of its own, as there is no way
 * out again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/io_uring.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "call_filter.h"
#include "file_rules.h"
#include "privilege.h"
#include "sandbox.h"

/* The status of a child that could not get what it is about. */
#define NOT_HERE 77

static char folder[64];

/* How a child ends that runs act: its status, or 256 and the number of a signal. */
static int in_child(int (*act)(void))
{
    int status;

    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(act());
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* The same, and it must end in this way. */
static void ends(int (*act)(void), int expected)
{
    int status = in_child(act);

    if (status == NOT_HERE) {
        print_message("this kernel does not have it\n");
        skip();
    }
    assert_int_equal(status, expected);
}

/* Says in a child which expectation failed, by its line. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            dprintf(2, "line %d: %s (%s)\n", __LINE__, #condition, strerror(errno));               \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

/* ---- system calls ---- */

/* For a process that is not privileged nothing can be filtered before this. */
static int filter(void)
{
    if (SANDBOX_LEFT_OUT)
        return NOT_HERE;
    if (privilege_drop("") != 0)
        return 1;
    int error = call_filter_load();
    return error == -EOPNOTSUPP ? NOT_HERE : error ? 1 : 0;
}

static int start_a_program(void)
{
    char *const arguments[] = {"true", NULL};
    int status = filter();

    if (status)
        return status;
    execv("/bin/true", arguments);
    return 1;
}

static int trace_the_parent(void)
{
    int status = filter();

    if (status)
        return status;
    ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
    return 1;
}

static int unshare_namespaces(void)
{
    int status = filter();

    if (status)
        return status;
    syscall(SYS_unshare, 0);
    return 1;
}

static void test_deadly_calls(void **state)
{
    (void)state;
    ends(start_a_program, 256 + SIGSYS);
    ends(trace_the_parent, 256 + SIGSYS);
    ends(unshare_namespaces, 256 + SIGSYS);
}

static int call_what_is_not_needed(void)
{
    int status = filter();

    if (status)
        return status;
    EXPECT(syscall(SYS_inotify_init1, 0) < 0 && errno == ENOSYS);
    EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS);
    EXPECT(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0) < 0 && errno == ENOSYS);
    EXPECT(syscall(SYS_kill, getppid(), 0) < 0 && errno == ENOSYS);
    EXPECT(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                0) == MAP_FAILED);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    EXPECT(page != MAP_FAILED);
    EXPECT(mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC) < 0);
    return 0;
}

static void test_calls_that_nobody_needs(void **state)
{
    (void)state;
    ends(call_what_is_not_needed, 0);
}

static void *say_yes(void *argument)
{
    *(int *)argument = 1;
    return NULL;
}

static int call_what_is_needed(void)
{
    pthread_t thread;
    int yes = 0, status = filter();

    if (status)
        return status;
    EXPECT(pthread_create(&thread, NULL, say_yes, &yes) == 0);
    EXPECT(pthread_join(thread, NULL) == 0 && yes == 1);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes;
    EXPECT(fd >= 0 && ioctl(fd, FIONREAD, &bytes) == 0);
    /* The relay's own, of a connection: not ENOSYS, by which it would know of no slow client. */
    EXPECT(ioctl(fd, SIOCOUTQ, &bytes) == 0 || errno != ENOSYS);
    EXPECT(close(fd) == 0);
    fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    EXPECT(fd >= 0 && close(fd) == 0);
    return 0;
}

static void test_calls_that_are_needed(void **state)
{
    (void)state;
    ends(call_what_is_needed, 0);
}

struct waiting {
    pthread_barrier_t sealed;
    int error; /* of making a ring */
};

static void *make_a_ring(void *argument)
{
    struct waiting *waiting = argument;
    struct io_uring_params parameters = {0};

    pthread_barrier_wait(&waiting->sealed);
    waiting->error = syscall(SYS_io_uring_setup, 8, &parameters) < 0 ? errno : 0;
    return NULL;
}

/* Also a thread that was there before makes no ring any more. */
static int seal(void)
{
    struct waiting waiting = {0};
    pthread_t thread;
    int status = filter();

    if (status)
        return status;
    EXPECT(pthread_barrier_init(&waiting.sealed, NULL, 2) == 0);
    EXPECT(pthread_create(&thread, NULL, make_a_ring, &waiting) == 0);
    EXPECT(call_filter_seal() == 0);
    pthread_barrier_wait(&waiting.sealed);
    EXPECT(pthread_join(thread, NULL) == 0);
    EXPECT(waiting.error == ENOSYS);
    waiting.error = 0;
    EXPECT(syscall(SYS_io_uring_setup, 8, NULL) < 0 && errno == ENOSYS);
    return 0;
}

static void test_no_ring_after_the_start(void **state)
{
    (void)state;
    ends(seal, 0);
}

/* ---- files ---- */

static const char *at(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *into = path[turn++ % 4];

    snprintf(into, sizeof(path[0]), "%s/%s", folder, name);
    return into;
}

static void put(const char *name)
{
    FILE *file = fopen(at(name), "w");

    assert_non_null(file);
    fputs("text\n", file);
    fclose(file);
}

static bool can_open(const char *name, int flags)
{
    int fd = open(at(name), flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int set_up_folders(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/hyper-derp-sandbox.XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mkdir(at("config"), 0700), 0);
    assert_int_equal(mkdir(at("keys"), 0700), 0);
    assert_int_equal(mkdir(at("live"), 0700), 0);
    assert_int_equal(mkdir(at("archive"), 0700), 0);
    assert_int_equal(mkdir(at("elsewhere"), 0700), 0);
    put("config/config.toml");
    put("archive/chain1.pem");
    put("archive/chain2.pem");
    put("elsewhere/secret");
    put("secret");
    assert_int_equal(mkdir(at("releases"), 0700), 0);
    assert_int_equal(mkdir(at("releases/1"), 0700), 0);
    assert_int_equal(mkdir(at("releases/2"), 0700), 0);
    put("releases/1/key.pem");
    put("releases/2/key.pem");
    assert_int_equal(symlink("releases/1", at("current")), 0);
    assert_int_equal(symlink("../archive/chain1.pem", at("live/chain.pem")), 0);
    return 0;
}

static int remove_folders(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    return system(command);
}

static int confine_files(struct config *config)
{
    *config = (struct config){0};
    EXPECT(config_init(config) == 0);
    free(config->key_file);
    config->key_file = strdup(at("keys/derp.key"));
    free(config->tls.cert);
    config->tls.cert = strdup(at("live/chain.pem"));
    free(config->tls.key);
    config->tls.key = strdup(at("current/key.pem"));
    EXPECT(privilege_drop("") == 0);
    int error = file_rules_enforce(config, at("config/config.toml"));
    if (error == -EOPNOTSUPP)
        return NOT_HERE;
    EXPECT(error == 0);
    return 0;
}

static int use_files(void)
{
    struct config config;
    int status = confine_files(&config);

    if (status)
        return status;
    EXPECT(can_open("config/config.toml", O_RDONLY));
    EXPECT(!can_open("config/config.toml", O_WRONLY) && errno == EACCES);
    EXPECT(!can_open("config/other", O_WRONLY | O_CREAT) && errno == EACCES);
    /* What is made anew under another name, and renamed. */
    EXPECT(can_open("keys/derp.key.new", O_WRONLY | O_CREAT));
    EXPECT(rename(at("keys/derp.key.new"), at("keys/derp.key")) == 0);
    EXPECT(can_open("keys/derp.key", O_RDONLY));
    /* Through the link, and what it leads to next. */
    EXPECT(can_open("live/chain.pem", O_RDONLY));
    EXPECT(can_open("archive/chain2.pem", O_RDONLY));
    EXPECT(!can_open("archive/chain2.pem", O_WRONLY) && errno == EACCES);
    /* The folder that the link to a folder will lead to. */
    EXPECT(can_open("releases/2/key.pem", O_RDONLY));
    EXPECT(!can_open("secret", O_RDONLY) && errno == EACCES);
    EXPECT(!can_open("elsewhere/secret", O_RDONLY) && errno == EACCES);
    EXPECT(open("/etc/hosts", O_RDONLY | O_CLOEXEC) >= 0);
    EXPECT(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) < 0 && errno == EACCES);
    EXPECT(open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0);
    return 0;
}

static void test_files(void **state)
{
    (void)state;
    ends(use_files, 0);
}

static int tell_what_is_out_of_reach(void)
{
    struct config config;
    int status = confine_files(&config);

    if (status)
        return status;
    EXPECT(file_rules_reach(at("live/chain.pem"), false));
    EXPECT(file_rules_reach(at("archive/not-there-yet.pem"), false));
    EXPECT(file_rules_reach(at("keys/another.key"), true));
    EXPECT(!file_rules_reach(at("config/another.key"), true));
    EXPECT(!file_rules_reach(at("elsewhere/secret"), false));
    EXPECT(!file_rules_reach(at("elsewhere/not-there-yet"), false));
    EXPECT(file_rules_reach("/etc/hosts", false));
    EXPECT(!file_rules_reach("/etc/hosts", true));
    return 0;
}

static void test_reach(void **state)
{
    (void)state;
    assert_true(file_rules_reach(at("elsewhere/secret"), true)); /* no rules yet */
    ends(tell_what_is_out_of_reach, 0);
}

/* ---- the user ---- */

static unsigned effective_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    return syscall(SYS_capget, &header, sets) == 0 && sets[1].effective == 0 ? sets[0].effective
                                                                             : ~0u;
}

static int become_nobody(void)
{
    const struct passwd *nobody = getpwnam("nobody");
    uid_t real, effective, saved;

    EXPECT(nobody);
    uid_t uid = nobody->pw_uid;
    EXPECT(privilege_drop("nobody") == 0);
    EXPECT(getresuid(&real, &effective, &saved) == 0);
    EXPECT(real == uid && effective == uid && saved == uid && getgid() != 0 && getegid() != 0);
    EXPECT(effective_capabilities() == 1u << CAP_NET_BIND_SERVICE);
    EXPECT(setresuid(0, 0, 0) != 0);
    EXPECT(open("/etc/shadow", O_RDONLY | O_CLOEXEC) < 0);
    /* Who it is already can be named, nobody else. */
    EXPECT(privilege_drop("nobody") == 0);
    EXPECT(privilege_drop("root") == -EPERM);
    return 0;
}

static void test_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root can become another user\n");
        skip();
    }
    ends(become_nobody, 0);
}

static int stay_root(void)
{
    EXPECT(privilege_drop("") == 0);
    EXPECT(geteuid() == 0);
    EXPECT(effective_capabilities() ==
           (1u << CAP_NET_BIND_SERVICE | 1u << CAP_DAC_OVERRIDE | 1u << CAP_CHOWN));
    return 0;
}

static void test_root_without_a_user(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("not root\n");
        skip();
    }
    ends(stay_root, 0);
}

static int become_whom_there_is_not(void)
{
    return privilege_drop("no-such-user-here") == -ENOENT ? 0 : 1;
}

static void test_no_such_user(void **state)
{
    (void)state;
    ends(become_whom_there_is_not, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadly_calls),
        cmocka_unit_test(test_calls_that_nobody_needs),
        cmocka_unit_test(test_calls_that_are_needed),
        cmocka_unit_test(test_no_ring_after_the_start),
        cmocka_unit_test_setup_teardown(test_files, set_up_folders, remove_folders),
        cmocka_unit_test_setup_teardown(test_reach, set_up_folders, remove_folders),
        cmocka_unit_test(test_user),
        cmocka_unit_test(test_root_without_a_user),
        cmocka_unit_test(test_no_such_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
