/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading a certificate, making a self-signed one. */
#include "certificate.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "private_file.h"

#define OWN_CHAIN "self-signed.crt"
#define OWN_KEY   "self-signed.key"

/* Clients are told the hash of a self-signed certificate by hand: a new one is work for the
 * operator, so it comes as seldom as can be. */
#define OWN_DAYS 3650

#define DAY_SECONDS 86400

/* ---- Where it is ---- */

/* A file beside another one; NULL without memory. */
static char *beside(const char *path, const char *name)
{
    char *copy = strdup(path), *result = NULL;

    if (copy && asprintf(&result, "%s/%s", dirname(copy), name) < 0)
        result = NULL;
    free(copy);
    return result;
}

int certificate_source_init(struct certificate_source *source, const struct config_tls *tls,
                            const char *key_file)
{
    bool given = *tls->cert && *tls->key;

    *source = (struct certificate_source){.own = !given, .host = strdup(tls->hostname)};
    if (given) {
        source->chain_file = strdup(tls->cert);
        source->key_file = strdup(tls->key);
    } else if (key_file) {
        source->chain_file = beside(key_file, OWN_CHAIN);
        source->key_file = beside(key_file, OWN_KEY);
    }
    bool has_files = source->chain_file && source->key_file;
    return source->host && (has_files || (!given && !key_file)) ? 0 : -ENOMEM;
}

void certificate_source_free(struct certificate_source *source)
{
    free(source->chain_file);
    free(source->key_file);
    free(source->host);
    *source = (struct certificate_source){0};
}

int certificate_read(hyperderp_certificate **out, const struct certificate_source *source,
                     char *fault)
{
    char what[HYPERDERP_FAULT_SIZE] = "", why[PRIVATE_FILE_WHY];

    /* A group may be meant to read it: certificates often come from another user's program. */
    if (private_file_check(source->key_file, !source->own, why) == -EKEYREJECTED) {
        snprintf(fault, CERTIFICATE_FAULT, "certificate: the private key %s: %s", source->key_file,
                 why);
        return -EKEYREJECTED;
    }
    int error = hyperderp_certificate_load(out, source->chain_file, source->key_file, what);
    if (error)
        snprintf(fault, CERTIFICATE_FAULT, "certificate: %s", *what ? what : strerror(-error));
    return error;
}

/* ---- Making one ---- */

void certificate_host(const struct certificate_source *source, char *host, size_t room)
{
    if (*source->host || gethostname(host, room) != 0)
        snprintf(host, room, "%s", source->host);
    host[room - 1] = '\0';
}

static int make(hyperderp_certificate **out, const struct certificate_source *source, char *fault)
{
    char host[256];

    certificate_host(source, host, sizeof(host));
    int error = hyperderp_certificate_make(out, host, OWN_DAYS);
    if (error == -EINVAL)
        snprintf(fault, CERTIFICATE_FAULT,
                 "certificate: no certificate can be for the host \"%s\"; set tls.hostname to the "
                 "name or IP address that clients use",
                 host);
    else if (error)
        snprintf(fault, CERTIFICATE_FAULT, "certificate: cannot be made: %s", strerror(-error));
    return error;
}

static int say(char *fault, const char *path, int error)
{
    snprintf(fault, CERTIFICATE_FAULT,
             "certificate %s: cannot be made: %s; make its folder writable, or set tls.cert and "
             "tls.key",
             path, strerror(-error));
    return error;
}

/*
 * The chain goes first and comes last: after a crash in between it is missing, and both are made
 * again, instead of two files that do not belong together.
 */
static int write_pair(const hyperderp_certificate *certificate,
                      const struct certificate_source *source, char *fault)
{
    char *chain, *key;
    int error = hyperderp_certificate_write(certificate, &chain, &key);

    if (error)
        return say(fault, source->chain_file, error);
    if (unlink(source->chain_file) != 0 && errno != ENOENT)
        error = say(fault, source->chain_file, -errno);
    if (error == 0 && (error = private_file_write(source->key_file, key)) != 0)
        say(fault, source->key_file, error);
    if (error == 0 && (error = private_file_write(source->chain_file, chain)) != 0)
        say(fault, source->chain_file, error);
    hyperderp_pem_free(chain);
    hyperderp_pem_free(key);
    return error;
}

static int make_and_keep(hyperderp_certificate **out, const struct certificate_source *source,
                         char *fault)
{
    int error = make(out, source, fault);

    if (error == 0)
        error = write_pair(*out, source, fault);
    if (error) {
        hyperderp_certificate_free(*out);
        *out = NULL;
    }
    return error;
}

/* Without tls.hostname the one that is there stays, whatever the system is called by now. */
static bool is_for(const hyperderp_certificate *certificate, const char *host)
{
    return !*host || hyperderp_certificate_covers(certificate, host);
}

/* Reads the daemon's own. 0 with *news telling whether it can be used as it is. */
static int look(hyperderp_certificate **out, const struct certificate_source *source,
                enum certificate_news *news, char *fault)
{
    int error = certificate_read(out, source, fault);

    *news = CERTIFICATE_READ;
    if (error == -ENOENT) {
        *news = CERTIFICATE_MADE;
        return 0;
    }
    if (error == -EINVAL) {
        size_t len = strlen(fault);
        snprintf(fault + len, CERTIFICATE_FAULT - len,
                 "; remove both, and new ones are made, with another hash");
    }
    if (error)
        return error;
    if (!is_for(*out, source->host))
        *news = CERTIFICATE_OTHER_HOST;
    else if (hyperderp_certificate_expires(*out) <= time(NULL))
        *news = CERTIFICATE_EXPIRED;
    if (*news != CERTIFICATE_READ) {
        hyperderp_certificate_free(*out);
        *out = NULL;
    }
    return 0;
}

/* Two programs that start at once must not each make one. */
static int make_locked(hyperderp_certificate **out, const struct certificate_source *source,
                       enum certificate_news *news, char *fault)
{
    int error = private_folder_make(source->chain_file);
    int lock = error ? error : private_folder_lock(source->chain_file);

    if (lock < 0)
        return say(fault, source->chain_file, lock);
    error = look(out, source, news, fault);
    if (error == 0 && *news != CERTIFICATE_READ)
        error = make_and_keep(out, source, fault);
    close(lock);
    return error;
}

int certificate_open(hyperderp_certificate **out, const struct certificate_source *source,
                     enum certificate_news *news, char *fault)
{
    *out = NULL;
    *news = CERTIFICATE_READ;
    if (!source->own)
        return certificate_read(out, source, fault);
    if (!source->chain_file) {
        *news = CERTIFICATE_MADE;
        return make(out, source, fault);
    }
    int error = look(out, source, news, fault);
    if (error || *news == CERTIFICATE_READ)
        return error;
    return make_locked(out, source, news, fault);
}

bool certificate_fault_is_config(const struct certificate_source *source, int error)
{
    return error == -EINVAL || error == -EKEYREJECTED || (error == -ENOENT && !source->own);
}

/* ---- What is said of it ---- */

int certificate_pin(const hyperderp_certificate *certificate, char pin[CERTIFICATE_PIN_SIZE])
{
    uint8_t hash[HYPERDERP_CERTIFICATE_HASH_SIZE] = {0};
    int error = hyperderp_certificate_hash(certificate, hash);
    int at = sprintf(pin, "sha256-raw:");

    for (size_t i = 0; i < sizeof(hash); i++)
        at += sprintf(pin + at, "%02x", hash[i]);
    return error;
}

int64_t certificate_days_left(const hyperderp_certificate *certificate)
{
    int64_t left = hyperderp_certificate_expires(certificate) - (int64_t)time(NULL);
    return left >= 0 ? left / DAY_SECONDS : -1 - (-left - 1) / DAY_SECONDS;
}
