/* SPDX-License-Identifier: BSD-3-Clause */
/* The fields of tailcfg.DERPNode. */
#include "derpmap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#define REGION_CODE "hyper-derp"

/* The name of a node is any that no other one in the map has: region and a letter by custom. */
#define NODE_NAME "900a"

/* An address is dialled as it is; a name leaves the choice to DNS. */
enum host_kind { HOST_NAME, HOST_IPV4, HOST_IPV6 };

static enum host_kind kind_of(const char *host)
{
    unsigned char bytes[16];

    if (inet_pton(AF_INET, host, bytes) == 1)
        return HOST_IPV4;
    return inet_pton(AF_INET6, host, bytes) == 1 ? HOST_IPV6 : HOST_NAME;
}

unsigned derpmap_port(const char *address)
{
    const char *colon = strncmp(address, "unix:", 5) == 0 ? NULL : strrchr(address, ':');
    char *end;
    unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

    return colon && end != colon + 1 && !*end && port <= 65535 ? (unsigned)port : 0;
}

int derpmap_node_init(struct derpmap_node *node, const struct config *config,
                      const hyperderp_certificate *certificate)
{
    *node = (struct derpmap_node){.host = config->tls.hostname, .port = 443, .stun_port = -1};
    for (size_t i = config->listener_count; i-- > 0;)
        if (config->listeners[i].tls)
            node->port = derpmap_port(config->listeners[i].address);
    if (*config->stun_address)
        node->stun_port = (int)derpmap_port(config->stun_address);
    if (certificate && hyperderp_certificate_is_self_signed(certificate))
        return certificate_pin(certificate, node->pin);
    return 0;
}

static json_t *node_object(const struct derpmap_node *node)
{
    enum host_kind kind = kind_of(node->host);

    json_t *object = json_pack("{s:s, s:i, s:s}", "Name", NODE_NAME, "RegionID", DERPMAP_REGION,
                               "HostName", node->host);
    if (kind != HOST_NAME) {
        json_object_set_new(object, "IPv4", json_string(kind == HOST_IPV4 ? node->host : "none"));
        json_object_set_new(object, "IPv6", json_string(kind == HOST_IPV6 ? node->host : "none"));
    }
    if (node->port)
        json_object_set_new(object, "DERPPort", json_integer(node->port));
    json_object_set_new(object, "STUNPort", json_integer(node->stun_port));
    if (*node->pin)
        json_object_set_new(object, "CertName", json_string(node->pin));
    return object;
}

char *derpmap_node_json(const struct derpmap_node *node)
{
    json_t *object = node_object(node);
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

    json_decref(object);
    return text;
}

int derpmap_print_policy(const struct derpmap_node *node, FILE *out)
{
    char region[16];

    snprintf(region, sizeof(region), "%d", DERPMAP_REGION);
    json_t *map = json_pack("{s:{s:{s:{s:i, s:s, s:s, s:[o]}}}}", "derpMap", "Regions", region,
                            "RegionID", DERPMAP_REGION, "RegionCode", REGION_CODE, "RegionName",
                            node->host, "Nodes", node_object(node));
    if (!map)
        return -ENOMEM;
    bool written = json_dumpf(map, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0 &&
                   fputc('\n', out) != EOF && fflush(out) == 0;
    json_decref(map);
    return written ? 0 : -EIO;
}

int derpmap_print_headscale(const struct derpmap_node *node, FILE *out)
{
    enum host_kind kind = kind_of(node->host);

    fprintf(out,
            "regions:\n  %d:\n    regionid: %d\n    regioncode: %s\n    regionname: \"%s\"\n"
            "    nodes:\n      - name: %s\n        regionid: %d\n        hostname: \"%s\"\n",
            DERPMAP_REGION, DERPMAP_REGION, REGION_CODE, node->host, NODE_NAME, DERPMAP_REGION,
            node->host);
    if (kind != HOST_NAME)
        fprintf(out, "        ipv4: \"%s\"\n        ipv6: \"%s\"\n",
                kind == HOST_IPV4 ? node->host : "none", kind == HOST_IPV6 ? node->host : "none");
    if (node->port)
        fprintf(out, "        derpport: %u\n", node->port);
    fprintf(out, "        stunport: %d\n", node->stun_port);
    if (*node->pin)
        fprintf(out, "        certname: \"%s\"\n", node->pin);
    return fflush(out) == 0 && !ferror(out) ? 0 : -EIO;
}
