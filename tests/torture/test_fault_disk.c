/* SPDX-License-Identifier: BSD-3-Clause */
/* A full disk, in a file system of the test's own: under the key, under the certificate, under the
 * log, and under what is printed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "service.h"
#include "traffic.h"

#define DISK_SIZE "size=64k"

/* Where the small disk is: below the service's folder, whose configuration is elsewhere. */
static char disk[80];

static void mount_disk(void)
{
    service_make_folder();
    snprintf(disk, sizeof(disk), "%s/disk", service_folder);
    assert_int_equal(mkdir(disk, 0700), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, DISK_SIZE) != 0)
        fail_msg("no small disk: %s", strerror(errno));
    snprintf(service_key, sizeof(service_key), "%s/derp.key", disk);
}

static void unmount_disk(void)
{
    assert_int_equal(umount2(disk, MNT_DETACH), 0);
    service_remove_folder();
}

static const char *on_disk(const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", disk, name);
    return path;
}

static void fill_disk(void)
{
    static const char block[4096];
    int fd = open(on_disk("filler"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void empty_disk(void)
{
    assert_int_equal(unlink(on_disk("filler")), 0);
}

/* Nothing is left of what could not be written, under whatever name. */
static void expect_only(const char *name, const char *and)
{
    DIR *folder = opendir(disk);

    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, name) != 0 &&
            strcmp(entry->d_name, and) != 0)
            fail_msg("%s was left behind", entry->d_name);
    closedir(folder);
}

static void write_config(const struct cell *cell, bool tls)
{
    char text[256];

    snprintf(text, sizeof(text), "[[listener]]\naddress = \"127.0.0.1:0\"\ntls = %s\n%s",
             tls ? "true" : "false", tls ? "[tls]\nhostname = \"127.0.0.1\"\n" : "");
    service_write_text(cell, text);
}

static void refuses(const char *what)
{
    struct process *daemon = launch(&(struct restriction){0});
    int status = process_wait(daemon, PATIENCE_MS);

    print_message("status %d: %s", status, process_log(daemon));
    assert_true(status > 0 && status < 128);
    assert_contains(process_log(daemon), what);
    assert_contains(process_log(daemon), "No space left on device");
    process_free(daemon);
}

static void starts(void)
{
    struct process *daemon = launch_ready(&(struct restriction){0});
    struct pair *pair = pair_start(process_address(daemon), 200, 600);

    (void)poll(NULL, 0, 100); /* the time in which the pair passes packets */
    pair_stop(pair, "a disk with room again", A_SECOND_US);
    process_stop(daemon);
    process_free(daemon);
}

static void test_key(void **state)
{
    mount_disk();
    write_config(*state, false);
    fill_disk();
    refuses("key file");
    expect_only("filler", "");
    empty_disk();
    starts();
    expect_only("derp.key", "");
    unmount_disk();
}

static void test_certificate(void **state)
{
    mount_disk();
    write_config(*state, false);
    starts(); /* makes the key */
    write_config(*state, true);
    fill_disk();
    refuses("self-signed");
    expect_only("filler", "derp.key");
    empty_disk();
    struct process *daemon = launch_ready(&(struct restriction){0});
    process_stop(daemon);
    process_free(daemon);
    assert_int_equal(access(on_disk("self-signed.crt"), R_OK), 0);
    unmount_disk();
}

/* Reads the log that is in a file. */
static const char *read_log(void)
{
    static char text[65536];
    FILE *in = fopen(on_disk("log"), "r");

    text[0] = '\0';
    if (in) {
        text[fread(text, 1, sizeof(text) - 1, in)] = '\0';
        fclose(in);
    }
    return text;
}

static void await_line(const char *line)
{
    int64_t until = now_us() + (int64_t)PATIENCE_MS * 1000;

    while (!strstr(read_log(), line)) {
        if (now_us() > until)
            fail_msg("\"%s\" is not in the log:\n%s", line, read_log());
        (void)poll(NULL, 0, 1);
    }
}

/* The log cannot be written for a while: nobody who is connected notices. */
static void test_log(void **state)
{
    const char *words = "listening on ";
    char address[64] = "", path[160];

    mount_disk();
    write_config(*state, false);
    snprintf(path, sizeof(path), "%s", on_disk("log"));
    struct process *daemon = launch(&(struct restriction){.log = path});
    await_line("public key");
    sscanf(strstr(read_log(), words) + strlen(words), "%63s", address);
    struct pair *pair = pair_start(address, 200, 600);
    fill_disk();
    long before = (long)strlen(read_log());
    for (unsigned i = 0; i < 20; i++) {
        FILE *out = fopen(service_file, "a"); /* lines for the log: a reload that fails */
        assert_non_null(out);
        fprintf(out, "wrong%u = true\n", i);
        assert_int_equal(fclose(out), 0);
        kill(process_pid(daemon), SIGHUP);
        client_socket_close(client_join(address, NULL));
        (void)poll(NULL, 0, 20); /* in which the signal is handled */
    }
    /* A block that was half full took a few lines. */
    assert_true(strlen(read_log()) < (size_t)before + 8192);
    empty_disk();
    write_config(*state, false);
    kill(process_pid(daemon), SIGHUP);
    pair_stop(pair, "a log without a disk", A_SECOND_US);
    kill(process_pid(daemon), SIGTERM);
    assert_int_equal(process_wait(daemon, PATIENCE_MS), 0);
    await_line("stopped");
    process_free(daemon);
    unmount_disk();
}

/* What is printed for a file must not end up cut, with a status that says all is well. */
static void test_output(void **state)
{
    static const char *const commands[] = {"keygen", "--print-config -c ", "derpmap -c ", "--help",
                                           "--version"};
    char command[512], arguments[256];

    mount_disk();
    write_config(*state, true);
    struct process *daemon = launch_ready(&(struct restriction){0});
    process_stop(daemon);
    process_free(daemon);
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        snprintf(arguments, sizeof(arguments), "%s%s", commands[i],
                 strstr(commands[i], "-c") ? service_file : "");
        snprintf(command, sizeof(command), "\"$HYPER_DERP\" %s >/dev/null 2>&1", arguments);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof(command), "\"$HYPER_DERP\" %s >/dev/full", arguments);
        int status = system(command);
        print_message("%s to a full disk: exit status %d\n", commands[i], WEXITSTATUS(status));
        assert_int_not_equal(status, 0);
    }
    unmount_disk();
}

int main(int argc, char **argv)
{
    static const struct matrix_test tests[] = {
        {"key", test_key, CELLS_ONE},
        {"certificate", test_certificate, CELLS_ONE},
        {"log", test_log, CELLS_ENGINES},
        {"output", test_output, CELLS_ONE},
    };

    launch_main(argc, argv);
    if (unshare(CLONE_NEWNS) != 0 || mount("", "/", "", MS_REC | MS_PRIVATE, "") != 0) {
        print_message("no namespace for mounts here: %s\n", strerror(errno));
        return 77;
    }
    return matrix_run("fault_disk", tests, sizeof(tests) / sizeof(tests[0]));
}
