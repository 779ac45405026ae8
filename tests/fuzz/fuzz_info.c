/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON of ClientInfo and ServerInfo: what is accepted can be written, and reads the same again. */
#include <errno.h>

#include "fuzz.h"
#include "wire/info.h"

static void require_name(const char name[INFO_MAX_APP_NAME + 1])
{
    size_t len = strnlen(name, INFO_MAX_APP_NAME + 1);

    REQUIRE(len <= INFO_MAX_APP_NAME);
    for (size_t i = 0; i < len; i++) {
        uint8_t c = (uint8_t)name[i];
        REQUIRE(c >= 0x20 && c != 0x7f);
        REQUIRE(c != 0xc2 || (uint8_t)name[i + 1] >= 0xa0);
    }
}

static void client(const uint8_t *json, size_t size)
{
    struct client_info info;
    struct client_info again;
    uint8_t out[1024];

    int err = client_info_parse(&info, json, size);
    REQUIRE(err == 0 || err == -EBADMSG);
    if (err < 0)
        return;
    require_name(info.app_name);

    ssize_t len = client_info_format(&info, out, sizeof(out));
    REQUIRE(len > 0 && (size_t)len <= sizeof(out));
    uint8_t *exact = malloc((size_t)len);
    REQUIRE(exact && client_info_format(&info, exact, (size_t)len) == len);
    REQUIRE(memcmp(exact, out, (size_t)len) == 0);
    REQUIRE(client_info_format(&info, exact, (size_t)len - 1) == -ENOSPC);
    free(exact);

    REQUIRE(client_info_parse(&again, out, (size_t)len) == 0);
    REQUIRE(again.version == info.version);
    REQUIRE(again.can_ack_pings == info.can_ack_pings);
    REQUIRE(again.is_prober == info.is_prober);
    REQUIRE(again.has_mesh_key == info.has_mesh_key);
    REQUIRE(!info.has_mesh_key ||
            memcmp(again.mesh_key, info.mesh_key, sizeof(info.mesh_key)) == 0);
    REQUIRE(strcmp(again.app_name, info.app_name) == 0);
}

static void server(const uint8_t *json, size_t size)
{
    struct server_info info;
    struct server_info again;
    uint8_t out[512];

    int err = server_info_parse(&info, json, size);
    REQUIRE(err == 0 || err == -EBADMSG);
    if (err < 0)
        return;
    REQUIRE(info.token_bucket_bytes_per_second >= 0 && info.token_bucket_bytes_burst >= 0);

    ssize_t len = server_info_format(&info, out, sizeof(out));
    REQUIRE(len > 0 && (size_t)len <= sizeof(out));
    REQUIRE(server_info_format(&info, out, (size_t)len - 1) == -ENOSPC);
    REQUIRE(server_info_format(&info, out, (size_t)len) == len);
    REQUIRE(server_info_parse(&again, out, (size_t)len) == 0);
    REQUIRE(again.version == info.version);
    REQUIRE(again.token_bucket_bytes_per_second == info.token_bucket_bytes_per_second);
    REQUIRE(again.token_bucket_bytes_burst == info.token_bucket_bytes_burst);
}

/* The bytes as a name given by a program: any name can be written, and what is written is read. */
static void name(const uint8_t *bytes, size_t size)
{
    struct client_info info = {.version = 2};
    struct client_info again;
    uint8_t out[1024];

    memcpy(info.app_name, bytes, size < sizeof(info.app_name) ? size : sizeof(info.app_name));
    ssize_t len = client_info_format(&info, out, sizeof(out));
    REQUIRE(len > 0);
    REQUIRE(client_info_parse(&again, out, (size_t)len) == 0);
    require_name(again.app_name);
    REQUIRE(strlen(again.app_name) <= strnlen(info.app_name, INFO_MAX_APP_NAME));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *json = fuzz_copy(data, size);

    client(json, size);
    server(json, size);
    name(json, size);
    free(json);
    return 0;
}
