/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A configuration file, TOML or (after a first byte "y") YAML: any bytes are read or refused with
 * places inside the file, and what is accepted is printed so that it reads back to the same.
 */
#include <errno.h>

#include "config.h"
#include "fuzz.h"
#include "schema.h"

static char *print(const struct config *config, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);

    REQUIRE(out);
    REQUIRE(config_print(config, true, out) == 0);
    fclose(out);
    return text;
}

/* What is said names a place that is there, and commands no terminal. */
static void require_problems(const struct problems *problems, size_t size)
{
    char line[1024];

    REQUIRE(problems->count <= problems->total && problems->count <= PROBLEMS_MAX);
    for (size_t i = 0; i < problems->count; i++) {
        const struct problem *problem = &problems->list[i];
        REQUIRE(*problem->text);
        for (const char *at = problem->text; *at; at++)
            REQUIRE((unsigned char)*at >= 0x20 && *at != 0x7f);
        REQUIRE(problem->place.line <= size + 1 && problem->place.column <= size + 1);
        REQUIRE((problem->place.line == 0) == (problem->place.column == 0));
        REQUIRE(problem_format(problem, line, sizeof(line)) > 0);
    }
}

static void require_in_range(const struct config *config)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        if (key->type != SCHEMA_INTEGER && key->type != SCHEMA_SIZE && key->type != SCHEMA_DURATION)
            continue;
        uint64_t value;
        memcpy(&value, (const char *)config + key->offset, sizeof(value));
        REQUIRE((value >= key->min && value <= key->max) || (value == 0 && key->zero));
    }
}

static void require_reads_back(const struct config *config)
{
    struct problems problems;
    struct config again;
    size_t len, len_again;

    char *text = print(config, &len);
    problems_init(&problems);
    REQUIRE(config_read_bytes(&again, text, len, "printed.toml", &problems) == 0);
    REQUIRE(problems.total == 0);
    char *text_again = print(&again, &len_again);
    REQUIRE(len == len_again && memcmp(text, text_again, len) == 0);
    free(text);
    free(text_again);
    config_free(&again);
    problems_free(&problems);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool yaml = size > 0 && data[0] == 'y';
    char *bytes = fuzz_copy(data + yaml, size - yaml);
    struct problems problems;
    struct config config;

    size -= yaml;
    problems_init(&problems);
    int error = config_read_bytes(&config, bytes, size, yaml ? "x.yaml" : "x.toml", &problems);
    free(bytes);
    REQUIRE(error == 0 || error == -EINVAL);
    REQUIRE((problems.total > 0) == (error != 0));
    if (error == 0) {
        require_in_range(&config);
        require_reads_back(&config);
        REQUIRE((config_check(&config, "x", &problems) == 0) == (problems.total == 0));
    }
    require_problems(&problems, size);
    config_free(&config);
    problems_free(&problems);
    return 0;
}
