/* SPDX-License-Identifier: BSD-3-Clause */
/* The JSON inside the boxes of the ClientInfo and ServerInfo frames. Pure but for jansson's own
 * use of the heap. */
#ifndef WIRE_INFO_H
#define WIRE_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define INFO_MESH_KEY_SIZE 32
#define INFO_MAX_APP_NAME  64

struct client_info {
    int version;                          /* DERP protocol version, 0 when not given */
    bool can_ack_pings;                   /* answers a Ping of the relay */
    bool is_prober;                       /* a monitoring client */
    bool has_mesh_key;                    /* mesh_key was given, and is not all zero */
    uint8_t mesh_key[INFO_MESH_KEY_SIZE]; /* secret shared by the nodes of a region */
    char app_name[INFO_MAX_APP_NAME + 1]; /* cut to fit; control characters replaced by '?' */
};

struct server_info {
    int version;
    int64_t token_bucket_bytes_per_second; /* 0: the client need not pace itself */
    int64_t token_bucket_bytes_burst;
};

/*
 * Reads a ClientInfo object. Unknown members are ignored; a member of the wrong type, text that is
 * not JSON, anything behind the object, and a mesh key that is not 64 hexadecimal digits (or empty)
 * are -EBADMSG; -ENOMEM when memory runs out (jansson sometimes takes that for bad text, then it is
 * -EBADMSG too). 0 otherwise. A member that is null counts as absent. *out is written on success
 * only.
 */
int client_info_parse(struct client_info *out, const uint8_t *json, size_t len)
    __attribute__((warn_unused_result));

/* Writes a ClientInfo object. Returns its size, -ENOSPC when it does not fit, -ENOMEM. */
ssize_t client_info_format(const struct client_info *info, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

/* The same two for ServerInfo. Negative rates are -EBADMSG in both. */
int server_info_parse(struct server_info *out, const uint8_t *json, size_t len)
    __attribute__((warn_unused_result));
ssize_t server_info_format(const struct server_info *info, uint8_t *out, size_t room)
    __attribute__((warn_unused_result));

#endif
