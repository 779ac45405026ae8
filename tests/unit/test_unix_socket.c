/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets in the file system: made, replaced when nobody listens on them, never anybody else's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "relay/unix_socket.h"

static char folder[] = "/tmp/hyper-derp-test-XXXXXX";
static char path[64], address[80];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/relay.sock", folder);
    snprintf(address, sizeof(address), "unix:%s", path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static bool reachable(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strcpy(to.sun_path, path);
    assert_true(fd >= 0);
    bool works = connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0;
    close(fd);
    return works;
}

static int listen_there(struct unix_file *file)
{
    int fd = unix_listen(address, 8, file);

    assert_true(fd >= 0);
    assert_string_equal(file->path, path);
    return fd;
}

static void made_and_removed(void **state)
{
    struct unix_file file;
    struct stat info;

    (void)state;
    /* The umask of a service keeps everybody out; nobody's lets everybody in. */
    static const mode_t masks[] = {0077, 0};
    for (unsigned i = 0; i < 2; i++) {
        mode_t before = umask(masks[i]);
        int fd = listen_there(&file);
        umask(before);
        assert_int_equal(lstat(path, &info), 0);
        assert_true(S_ISSOCK(info.st_mode));
        assert_int_equal(info.st_mode & 07777, 0660);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        assert_true(reachable());
        close(fd);
        unix_remove(&file);
        assert_int_equal(lstat(path, &info), -1);
        unix_remove(&file); /* nothing is left to do */
    }
}

static void somebody_listens(void **state)
{
    struct unix_file file, other;

    (void)state;
    int fd = listen_there(&file);
    assert_int_equal(unix_listen(address, 8, &other), -EADDRINUSE);
    assert_string_equal(other.path, "");
    assert_true(reachable());
    close(fd);
    unix_remove(&file);
}

/* What a daemon leaves that was killed. */
static void a_stale_one_is_replaced(void **state)
{
    struct unix_file first, second;

    (void)state;
    close(listen_there(&first));
    assert_false(reachable());
    int fd = listen_there(&second);
    assert_true(reachable());
    close(fd);
    unix_remove(&second);
    assert_int_equal(access(path, F_OK), -1);
}

/* Who was replaced does not remove the other one's file. */
static void another_ones_file_stays(void **state)
{
    struct unix_file first, second;

    (void)state;
    int before = listen_there(&first);
    assert_int_equal(unlink(path), 0);
    int fd = listen_there(&second);
    unix_remove(&first);
    assert_true(reachable());
    close(before);
    close(fd);
    unix_remove(&second);
    assert_int_equal(access(path, F_OK), -1);
}

/* Datagrams: somebody is there, though no stream can connect. */
static void another_type_of_socket_stays(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct unix_file file;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)state;
    strcpy(at.sun_path, path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(unix_listen(address, 8, &file), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

static void other_files_stay(void **state)
{
    struct unix_file file;
    struct stat info;
    char target[80];

    (void)state;
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(unix_listen(address, 8, &file), -EEXIST);
    assert_int_equal(lstat(path, &info), 0);
    assert_int_equal(info.st_mode, S_IFREG | 0600);
    assert_int_equal(unlink(path), 0);

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(unix_listen(address, 8, &file), -EEXIST);
    assert_int_equal(rmdir(path), 0);

    /* Nor is a link followed. */
    snprintf(target, sizeof(target), "%s/elsewhere", folder);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(unix_listen(address, 8, &file), -EEXIST);
    assert_int_equal(access(target, F_OK), -1);
    assert_int_equal(unlink(path), 0);
}

static void bad_addresses(void **state)
{
    struct unix_file file;
    char text[300] = "unix:/";

    (void)state;
    assert_int_equal(unix_listen("unix:", 8, &file), -EINVAL);
    assert_int_equal(unix_listen("unix:relay.sock", 8, &file), -EINVAL);
    assert_int_equal(unix_listen("/run/x.sock", 8, &file), -EINVAL);
    memset(text + 6, 'x', UNIX_PATH_SIZE - 1);
    assert_int_equal(unix_listen(text, 8, &file), -EINVAL);
    snprintf(text, sizeof(text), "unix:%s/no/relay.sock", folder);
    assert_int_equal(unix_listen(text, 8, &file), -ENOENT);
    assert_non_null(strstr(unix_advice(-ENOENT), "folder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(made_and_removed),
        cmocka_unit_test(somebody_listens),
        cmocka_unit_test(a_stale_one_is_replaced),
        cmocka_unit_test(another_ones_file_stays),
        cmocka_unit_test(another_type_of_socket_stays),
        cmocka_unit_test(other_files_stay),
        cmocka_unit_test(bad_addresses),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
