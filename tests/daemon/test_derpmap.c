/* SPDX-License-Identifier: BSD-3-Clause */
/* What clients are told of the relay: fields as tailcfg.DERPNode has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <jansson.h>

#include "derpmap.h"

#define PIN                                                                                        \
    "sha256-raw:"                                                                                  \
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static json_t *policy_node(const struct derpmap_node *node)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_int_equal(derpmap_print_policy(node, out), 0);
    fclose(out);
    json_t *policy = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(policy);
    json_t *regions = json_object_get(json_object_get(policy, "derpMap"), "Regions");
    json_t *region = json_object_get(regions, "900");
    assert_int_equal(json_object_size(regions), 1);
    assert_int_equal(json_integer_value(json_object_get(region, "RegionID")), 900);
    assert_string_equal(json_string_value(json_object_get(region, "RegionCode")), "hyper-derp");
    assert_string_equal(json_string_value(json_object_get(region, "RegionName")), node->host);
    json_t *nodes = json_object_get(region, "Nodes");
    assert_int_equal(json_array_size(nodes), 1);
    json_t *result = json_incref(json_array_get(nodes, 0));
    json_decref(policy);
    free(text);
    return result;
}

static void has_string(json_t *object, const char *key, const char *value)
{
    const char *found = json_string_value(json_object_get(object, key));

    if (!value)
        assert_null(json_object_get(object, key));
    else if (!found)
        fail_msg("there is no %s", key);
    else
        assert_string_equal(found, value);
}

static void each_kind_of_host_has_its_fields(void **state)
{
    (void)state;
    static const struct {
        struct derpmap_node node;
        const char *v4, *v6, *pin;
        size_t fields;
    } cases[] = {
        {{"derp.example.com", 443, 3478, ""}, NULL, NULL, NULL, 5},
        {{"derp.example.com", 8443, -1, PIN}, NULL, NULL, PIN, 6},
        {{"203.0.113.5", 443, -1, PIN}, "203.0.113.5", "none", PIN, 8},
        {{"2001:db8::5", 443, 3479, PIN}, "none", "2001:db8::5", PIN, 8},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct derpmap_node *node = &cases[i].node;
        json_t *object = policy_node(node);
        char *line = derpmap_node_json(node);
        json_t *same = json_loads(line, 0, NULL);
        has_string(object, "Name", "900a");
        has_string(object, "HostName", node->host);
        has_string(object, "IPv4", cases[i].v4);
        has_string(object, "IPv6", cases[i].v6);
        has_string(object, "CertName", cases[i].pin);
        assert_int_equal(json_integer_value(json_object_get(object, "RegionID")), 900);
        assert_int_equal(json_integer_value(json_object_get(object, "DERPPort")), node->port);
        assert_int_equal(json_integer_value(json_object_get(object, "STUNPort")), node->stun_port);
        assert_int_equal(json_object_size(object), cases[i].fields);
        assert_true(json_equal(object, same));
        assert_null(strchr(line, '\n'));
        json_decref(same);
        json_decref(object);
        free(line);
    }
}

static void a_port_that_is_not_known_is_left_out(void **state)
{
    (void)state;
    const struct derpmap_node node = {.host = "a.example", .stun_port = -1};
    json_t *object = policy_node(&node);

    assert_null(json_object_get(object, "DERPPort"));
    json_decref(object);
}

/* Headscale reads its files as YAML, with keys in small letters and regions by number. */
static void headscale_has_its_own_spelling(void **state)
{
    (void)state;
    const struct derpmap_node node = {"203.0.113.5", 8443, -1, PIN};
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_int_equal(derpmap_print_headscale(&node, out), 0);
    fclose(out);
    assert_string_equal(text, "regions:\n"
                              "  900:\n"
                              "    regionid: 900\n"
                              "    regioncode: hyper-derp\n"
                              "    regionname: \"203.0.113.5\"\n"
                              "    nodes:\n"
                              "      - name: 900a\n"
                              "        regionid: 900\n"
                              "        hostname: \"203.0.113.5\"\n"
                              "        ipv4: \"203.0.113.5\"\n"
                              "        ipv6: \"none\"\n"
                              "        derpport: 8443\n"
                              "        stunport: -1\n"
                              "        certname: \"" PIN "\"\n");
    free(text);
}

static struct derpmap_node node_of(struct config *config, const char *toml,
                                   const hyperderp_certificate *certificate)
{
    struct derpmap_node node;
    struct problems problems;

    problems_init(&problems);
    assert_int_equal(config_read_bytes(config, toml, strlen(toml), "x.toml", &problems), 0);
    problems_free(&problems);
    assert_int_equal(derpmap_node_init(&node, config, certificate), 0);
    return node;
}

static void it_is_the_first_listener_with_tls(void **state)
{
    (void)state;
    static const struct {
        const char *toml;
        unsigned port;
    } cases[] = {
        {"[[listener]]\naddress = \":80\"\ntls = false\n[[listener]]\naddress = \":8443\"\n"
         "[[listener]]\naddress = \":9443\"\n",
         8443},
        {"[[listener]]\naddress = \"[::1]:444\"\n", 444},
        {"[[listener]]\naddress = \"127.0.0.1:0\"\n", 0},
        {"[[listener]]\naddress = \"systemd:derp\"\n", 0},
        {"[[listener]]\naddress = \":3340\"\ntls = false\n", 443}, /* of a proxy with TLS */
    };
    struct config config;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct derpmap_node node = node_of(&config, cases[i].toml, NULL);
        assert_int_equal(node.port, cases[i].port);
        assert_int_equal(node.stun_port, 3478);
        assert_string_equal(node.pin, "");
        config_free(&config);
    }
}

static void only_a_self_signed_certificate_is_pinned(void **state)
{
    (void)state;
    hyperderp_certificate *certificate;
    char pin[CERTIFICATE_PIN_SIZE];
    struct config config;

    assert_int_equal(hyperderp_certificate_make(&certificate, "a.example", 10), 0);
    assert_int_equal(certificate_pin(certificate, pin), 0);
    struct derpmap_node node =
        node_of(&config, "[tls]\nhostname = \"a.example\"\n[[listener]]\n", certificate);
    assert_string_equal(node.pin, pin);
    assert_string_equal(node.host, "a.example");
    assert_int_equal(node.port, 443);
    config_free(&config);
    hyperderp_certificate_free(certificate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_of_host_has_its_fields),
        cmocka_unit_test(a_port_that_is_not_known_is_left_out),
        cmocka_unit_test(headscale_has_its_own_spelling),
        cmocka_unit_test(it_is_the_first_listener_with_tls),
        cmocka_unit_test(only_a_self_signed_certificate_is_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
