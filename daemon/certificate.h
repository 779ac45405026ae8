/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the certificate of the TLS listeners comes from: the operator's files, or a self-signed one
 * that the daemon makes and keeps beside its key file. Faults are told in words, in a buffer of
 * CERTIFICATE_FAULT bytes.
 */
#ifndef DAEMON_CERTIFICATE_H
#define DAEMON_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include <hyperderp/tls.h>

#include "config.h"

#define CERTIFICATE_FAULT 1024

/* "sha256-raw:" and the digits of a hash, with a NUL: CertName in a DERPMap. */
#define CERTIFICATE_PIN_SIZE (11 + 2 * HYPERDERP_CERTIFICATE_HASH_SIZE + 1)

struct certificate_source {
    char *chain_file, *key_file; /* NULL both: one in memory, thrown away at the end */
    char *host;                  /* tls.hostname, or "" */
    bool own;                    /* the daemon makes it where there is none */
};

/* What was done so that there is a certificate. */
enum certificate_news {
    CERTIFICATE_READ,       /* nothing: it was there */
    CERTIFICATE_MADE,       /* there was none */
    CERTIFICATE_OTHER_HOST, /* made anew: the one that was there is for another host */
    CERTIFICATE_EXPIRED,    /* made anew: the one that was there has expired */
};

/* What the configuration says; key_file is the relay's, or NULL when nothing may be written. 0 or
 * -ENOMEM, freed in each case. */
int certificate_source_init(struct certificate_source *source, const struct config_tls *tls,
                            const char *key_file);
void certificate_source_free(struct certificate_source *source);

/* Reads the files. 0; -ENOENT when one is missing; -EINVAL when they hold no pair; -EKEYREJECTED
 * when everybody can read the key, or change it (private_file.h; another's may be shared); -errno.
 */
int certificate_read(hyperderp_certificate **out, const struct certificate_source *source,
                     char *fault);

/* Reads the files, or where the certificate is the daemon's own makes them when they are missing,
 * are for another host than tls.hostname, or have expired. 0; -EINVAL; -errno. */
int certificate_open(hyperderp_certificate **out, const struct certificate_source *source,
                     enum certificate_news *news, char *fault);

/* Whether an error of certificate_open() is one of the configuration, rather than of the system. */
bool certificate_fault_is_config(const struct certificate_source *source, int error);

/* The name or address that a self-signed certificate is made for: tls.hostname, or else what the
 * system calls itself. */
void certificate_host(const struct certificate_source *source, char *host, size_t room);

/* The certificate's CertName, "sha256-raw:...". 0 or -EIO. */
int certificate_pin(const hyperderp_certificate *certificate, char pin[CERTIFICATE_PIN_SIZE]);

/* Whole days until it expires, negative when it has. */
int64_t certificate_days_left(const hyperderp_certificate *certificate);

#endif
