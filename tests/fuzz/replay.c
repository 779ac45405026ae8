/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay DIRECTORY...: runs a fuzz target over every file of the directories and says how many
 * there were, so that corpora are tests of every build. Fails when a directory is empty or a file
 * of it cannot be read.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>

#include "fuzz.h"

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    struct stat info;
    int result = -1;

    if (!file || fstat(fileno(file), &info) != 0 || !S_ISREG(info.st_mode)) {
        fprintf(stderr, "replay: %s: cannot be read as a file\n", path);
        goto out;
    }
    size_t size = (size_t)info.st_size;
    bytes = malloc(size ? size : 1);
    if (!bytes || fread(bytes, 1, size, file) != size) {
        fprintf(stderr, "replay: %s: could not be read whole\n", path);
        goto out;
    }
    LLVMFuzzerTestOneInput(bytes, size);
    result = 0;
out:
    free(bytes);
    if (file)
        fclose(file);
    return result;
}

static int run_directory(const char *directory)
{
    DIR *dir = opendir(directory);
    unsigned count = 0;
    int result = 0;

    if (!dir) {
        fprintf(stderr, "replay: %s: %s\n", directory, strerror(errno));
        return -1;
    }
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        char path[PATH_MAX];

        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name) >=
                sizeof(path) ||
            run_file(path) != 0)
            result = -1;
        else
            count++;
    }
    closedir(dir);
    printf("%s: %u inputs\n", directory, count);
    if (count == 0) {
        fprintf(stderr, "replay: %s: no inputs\n", directory);
        result = -1;
    }
    return result;
}

int main(int argc, char **argv)
{
    int status = 0;

    if (argc < 2) {
        fprintf(stderr, "usage: %s DIRECTORY...\n", argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        if (run_directory(argv[i]) != 0)
            status = 1;
    }
    return status;
}
