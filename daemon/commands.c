/* SPDX-License-Identifier: BSD-3-Clause */
/* --check-config, --print-config, keygen, derpmap. */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "access.h"
#include "certificate.h"
#include "derpmap.h"
#include "key_file.h"
#include "problems.h"
#include "reload.h"

static void print_problems(const struct problems *problems)
{
    char line[1024];

    for (size_t i = 0; i < problems->count; i++) {
        problem_format(&problems->list[i], line, sizeof(line));
        fprintf(stderr, "%s\n", line);
    }
    if (problems->total > problems->count)
        fprintf(stderr, "and %zu problems more\n", problems->total - problems->count);
}

static int out_of_memory(void)
{
    fputs("hyper-derp: out of memory\n", stderr);
    return STATUS_SYSTEM;
}

static int read_unchecked(struct config *config, const struct flags *flags,
                          struct problems *problems)
{
    int error = flags->config_file ? config_read(config, flags->config_file, problems)
                                   : config_init(config);

    return error ? error : flags_apply(flags, config);
}

/* Reads file and flags; with check, also whether it can be run. */
static int load(struct config *config, const struct flags *flags, bool check)
{
    struct problems problems;

    problems_init(&problems);
    int error = (check ? configuration_read : read_unchecked)(config, flags, &problems);
    print_problems(&problems);
    problems_free(&problems);
    if (error == -ENOMEM)
        return out_of_memory();
    return error ? STATUS_CONFIG : STATUS_OK;
}

/* The certificate of the configuration; NULL where no listener has TLS, and with make false for one
 * that the daemon makes itself. The exit status. */
static int open_certificate(hyperderp_certificate **out, const struct config *config, bool make)
{
    struct certificate_source source = {0};
    enum certificate_news news = CERTIFICATE_READ;
    char fault[CERTIFICATE_FAULT] = "certificate: out of memory";

    *out = NULL;
    if (!config_has_tls(config))
        return STATUS_OK;
    int error = certificate_source_init(&source, &config->tls, config->key_file);
    if (error == 0 && (make || !source.own))
        error = certificate_open(out, &source, &news, fault);
    if (error)
        fprintf(stderr, "hyper-derp: %s\n", fault);
    else if (news != CERTIFICATE_READ)
        fprintf(stderr, "hyper-derp: made the self-signed certificate %s\n", source.chain_file);
    int status = error == 0                                    ? STATUS_OK
                 : certificate_fault_is_config(&source, error) ? STATUS_CONFIG
                                                               : STATUS_IO;
    certificate_source_free(&source);
    return status;
}

static int check_access(const struct config *config)
{
    struct problems problems;

    problems_init(&problems);
    int error = access_check(&config->access, &problems);
    print_problems(&problems);
    problems_free(&problems);
    if (error == -ENOMEM)
        return out_of_memory();
    return error ? STATUS_CONFIG : STATUS_OK;
}

int command_check_config(const struct flags *flags)
{
    hyperderp_certificate *certificate = NULL;
    struct config config;
    int status = load(&config, flags, true);

    if (status == STATUS_OK)
        status = check_access(&config);
    if (status == STATUS_OK)
        status = open_certificate(&certificate, &config, false);
    hyperderp_certificate_free(certificate);
    if (status == STATUS_OK)
        printf("%s: the configuration is good\n", flags->config_file);
    config_free(&config);
    return status;
}

int command_print_config(const struct flags *flags)
{
    struct config config;
    int status = load(&config, flags, false);

    if (status == STATUS_OK && config_print(&config, false, stdout) != 0) {
        perror("hyper-derp: standard output");
        status = STATUS_IO;
    }
    config_free(&config);
    return status;
}

static void print_public(const hyperderp_private_key *key)
{
    char text[HYPERDERP_KEY_TEXT_SIZE];
    hyperderp_key public;

    hyperderp_private_key_public(key, &public);
    hyperderp_key_format(&public, text);
    puts(text);
}

static int print_new(void)
{
    char text[HYPERDERP_PRIVATE_KEY_TEXT_SIZE];
    hyperderp_private_key key;

    int error = hyperderp_private_key_generate(&key);
    if (error) {
        fprintf(stderr, "hyper-derp: no random bytes: %s\n", strerror(-error));
        return STATUS_SYSTEM;
    }
    hyperderp_private_key_format(&key, text);
    puts(text);
    print_public(&key);
    hyperderp_private_key_wipe(&key);
    explicit_bzero(text, sizeof(text));
    return STATUS_OK;
}

int command_keygen(const struct flags *flags)
{
    char fault[KEY_FILE_FAULT];
    hyperderp_private_key key;
    int error;

    if (!flags->key_file)
        return print_new();
    if (strcmp(flags->key_file, "-") == 0) {
        error = key_file_parse(stdin, &key);
        snprintf(fault, sizeof(fault),
                 "standard input: expected a line privkey:<64 hexadecimal digits>");
    } else {
        error = key_file_read(flags->key_file, &key, fault);
    }
    if (error) {
        fprintf(stderr, "hyper-derp: %s\n", fault);
        return STATUS_IO;
    }
    print_public(&key);
    hyperderp_private_key_wipe(&key);
    return STATUS_OK;
}

/* What the map cannot know is said beside it. */
static void print_notes(const struct config *config, const struct derpmap_node *node)
{
    if (!config_has_tls(config))
        fputs("hyper-derp: no listener has TLS: port 443 is that of a proxy which has\n", stderr);
    else if (node->port == 0)
        fputs(
            "hyper-derp: the port is not known before the start: set DERPPort, unless it is 443\n",
            stderr);
}

static int print_map(const struct flags *flags, const struct config *config)
{
    hyperderp_certificate *certificate;
    struct derpmap_node node;
    int status = open_certificate(&certificate, config, true);

    if (status != STATUS_OK)
        return status;
    int error = derpmap_node_init(&node, config, certificate);
    hyperderp_certificate_free(certificate);
    if (error == 0) {
        print_notes(config, &node);
        error = (flags->headscale ? derpmap_print_headscale : derpmap_print_policy)(&node, stdout);
    }
    if (error == -ENOMEM)
        return out_of_memory();
    if (error)
        perror("hyper-derp: standard output");
    return error ? STATUS_IO : STATUS_OK;
}

int command_derpmap(const struct flags *flags)
{
    struct config config;
    int status = load(&config, flags, true);

    if (status == STATUS_OK && !*config.tls.hostname) {
        fprintf(stderr,
                "%s: tls.hostname is not set: set it to the name or IP address by which clients "
                "reach this relay\n",
                flags->config_file);
        status = STATUS_CONFIG;
    }
    if (status == STATUS_OK)
        status = print_map(flags, &config);
    config_free(&config);
    return status;
}
