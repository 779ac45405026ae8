/* SPDX-License-Identifier: BSD-3-Clause */
/* The table. */
#include "schema.h"

#include <string.h>

#include "schema_checks.h"

#define DAY_MS       86400000u
#define GIB          (UINT64_C(1) << 30)
#define FIELD(field) offsetof(struct config, field)
#define OF(field)    offsetof(struct config_listener, field)

static const struct schema_choice levels[] = {
    {"debug", HYPERDERP_LOG_DEBUG},
    {"info", HYPERDERP_LOG_INFO},
    {"warn", HYPERDERP_LOG_WARN},
    {"error", HYPERDERP_LOG_ERROR},
    {NULL, 0},
};
static const struct schema_choice formats[] = {
    {"text", LOG_FORMAT_TEXT}, {"json", LOG_FORMAT_JSON}, {NULL, 0}};
static const struct schema_choice offloads[] = {{"auto", HYPERDERP_OFFLOAD_AUTO},
                                                {"user", HYPERDERP_OFFLOAD_USER},
                                                {"kernel", HYPERDERP_OFFLOAD_KERNEL},
                                                {NULL, 0}};
static const struct schema_choice engines[] = {{"auto", HYPERDERP_ENGINE_AUTO},
                                               {"io_uring", HYPERDERP_ENGINE_IO_URING},
                                               {"epoll", HYPERDERP_ENGINE_EPOLL},
                                               {NULL, 0}};

static const struct schema_choice sandboxes[] = {
    {"auto", SANDBOX_AUTO}, {"on", SANDBOX_ON}, {"off", SANDBOX_OFF}, {NULL, 0}};

const struct schema_section schema_sections[] = {
    {"", "The process as a whole."},
    {"listener",
     "Where clients connect: one `[[listener]]` table for each address. Without any there "
     "is one TLS listener on `:443`."},
    {"tls", "The certificate of the listeners with TLS."},
    {"stun", "STUN, by which clients learn their own address."},
    {"metrics", "Metrics, health and the status page, on an address of their own."},
    {"http", "What a browser sees on a listener."},
    {"mesh", "The other nodes of the same region."},
    {"access", "Who may use the relay. Without any of these keys, everybody may."},
    {"limits", "Bounds. Each has a counter in the metrics that shows when it was met."},
    {"takeover",
     "How a process that is started with `--takeover` takes the place of one that runs. A service "
     "of systemd needs none of this: `systemctl restart` loses no connection either."},
    {"io", "How the relay talks to the kernel."},
};
const size_t schema_section_count = sizeof(schema_sections) / sizeof(schema_sections[0]);

const struct schema_key schema_keys[] = {
    /* ---- the process ---- */
    {"", "workers", SCHEMA_INTEGER, FIELD(workers), "0", "4", "129", 1, 128, "one per usable core",
     .doc = "Threads that move packets."},
    {"", "pin_workers", SCHEMA_CORES, FIELD(pin_workers), "false", "[0, 2]", "[0, -1]", 0, 1023,
     .doc =
         "Keeps each worker on a core: `true` takes the usable cores in turn, a list names them. "
         "Worth trying on a machine that does nothing else."},
    {"", "key_file", SCHEMA_STRING, FIELD(key_file), "\"/etc/hyper-derp/certs/derp.key\"",
     "\"/var/lib/hyper-derp/derp.key\"", "\"\"", .check = check_not_empty,
     .doc =
         "The relay's private key, by which clients know it. It is made on the first start, with "
         "mode 0600; derper's own key file (JSON) is read too. "
         "Refused when others can read it."},
    {"", "user", SCHEMA_STRING, FIELD(user), "\"\"", "\"hyper-derp\"", "1",
     .doc =
         "Started as root, the daemon becomes this user, with the user's groups, before it opens "
         "a file or an address, and keeps of root's power only that to listen below port 1024. "
         "All files must be the user's to read, those that it makes in a folder of the user's. "
         "`\"\"`: it stays who it is."},
    {"", "sandbox", SCHEMA_ENUM, FIELD(sandbox), "\"auto\"", "\"off\"", "\"yes\"",
     .choices = sandboxes,
     .doc = "Leaves the process only the system calls (seccomp) and the folders (Landlock) that it "
            "needs: `auto`, as far as the kernel can; `on`, or the daemon does not start; `off`. "
            "A reload cannot name files in folders that were not named at the start. See "
            "docs/operations.md, Privileges."},
    {"", "log_level", SCHEMA_ENUM, FIELD(log_level), "\"info\"", "\"debug\"", "\"verbose\"",
     .choices = levels, .reload = true,
     .doc = "Lines below this level are not written. Connections that come and go are `debug`."},
    {"", "log_format", SCHEMA_ENUM, FIELD(log_format), "\"text\"", "\"json\"", "\"xml\"",
     .choices = formats, .reload = true,
     .doc = "Text for people, or one JSON object a line for machines. Both go to standard error."},

    /* ---- listeners ---- */
    {"listener", "address", SCHEMA_STRING, OF(address), "\":443\"", "\"127.0.0.1:3340\"",
     "\"127.0.0.1\"", .check = schema_check_listen,
     .doc =
         "`HOST:PORT`; `:PORT` for every IPv4 and IPv6 address; `[::1]:PORT`; `systemd:NAME` for a "
         "socket that systemd hands over, by its FileDescriptorName; `unix:/PATH` for a socket in "
         "the "
         "file system, for a proxy on the same machine. Its file gets the mode 0660: put the "
         "proxy's "
         "user into the daemon's group. It is removed at the stop, and one that nobody listens on "
         "any more is replaced."},
    {"listener", "tls", SCHEMA_BOOLEAN, OF(tls), "true", "false", "\"yes\"",
     .doc =
         "Whether clients speak TLS 1.3 on it. `false` is for trying out, or behind a proxy that "
         "does TLS."},
    {"listener", "proxy_protocol", SCHEMA_BOOLEAN, OF(proxy_protocol), "false", "true", "1",
     .doc =
         "Whether each connection begins with a header of the PROXY protocol, v1 or v2, in which a "
         "load balancer tells the client's address. That address is then the connection's own: in "
         "the log, for `limits.connections_per_ip`, and for who decides about the client. Without "
         "a "
         "good header a connection is closed. See docs/proxies.md."},
    {"listener", "trusted_proxies", SCHEMA_STRINGS, OF(trusted_proxies), "[]", "[\"10.0.0.0/8\"]",
     "[\"10.0.0.0/33\"]", .check = check_network,
     .doc =
         "The networks, or addresses, that such a header may come from; with `proxy_protocol` at "
         "least one, as who sends a header is believed: give the proxies' own addresses. "
         "Connections from elsewhere are closed at once. A `unix:` listener needs none: the mode "
         "of its file says who can connect."},

    /* ---- TLS ---- */
    {"tls", "cert", SCHEMA_STRING, FIELD(tls.cert), "\"\"",
     "\"/etc/hyper-derp/certs/fullchain.pem\"", "1", .reload = true,
     .doc =
         "The certificate chain, PEM, the server's own certificate first; with `key`. Files that "
         "change are read again by themselves. Neither of the two: a self-signed certificate, "
         "`self-signed.crt` and `self-signed.key` in the folder of `key_file`, made on the "
         "first start and kept; clients must be told its hash, as `hyper-derp derpmap` prints "
         "it."},
    {"tls", "key", SCHEMA_STRING, FIELD(tls.key), "\"\"", "\"/etc/hyper-derp/certs/privkey.pem\"",
     "1", .reload = true, .doc = "Its private key, PEM, without a passphrase."},
    {"tls", "hostname", SCHEMA_STRING, FIELD(tls.hostname), "\"\"", "\"derp.example.com\"",
     "\"a b\"", .check = check_hostname, .reload = true,
     .doc = "The name that clients use, or an IP address, without brackets. A self-signed "
            "certificate is made for it, and made anew when this changes; without it, for what "
            "the system calls itself, which clients seldom can use."},
    {"tls", "offload", SCHEMA_ENUM, FIELD(tls.offload), "\"auto\"", "\"user\"", "\"nic\"",
     .choices = offloads,
     .doc =
         "Who encrypts the records: `user`, this program; `kernel`, kTLS, or the daemon does not "
         "start; `auto`, what is faster here."},

    /* ---- STUN ---- */
    {"stun", "address", SCHEMA_STRING, FIELD(stun_address), "\":3478\"", "\"192.0.2.1:3478\"",
     "\"3478\"", .check = schema_check_address,
     .doc = "The UDP address: `HOST:PORT`, `:PORT` or `[IPV6]:PORT`; `\"\"` turns it off. Open it "
            "in the firewall. Nobody is answered while the daemon starts or stops."},

    /* ---- metrics ---- */
    {"metrics", "address", SCHEMA_STRING, FIELD(metrics.address), "\":9090\"", "\"127.0.0.1:9090\"",
     "\"9090\"", .check = schema_check_address,
     .doc = "Where `/metrics`, `/health` and the status page at `/` are; `\"\"` turns them off. "
            "Nobody is asked for a password: keep it from the internet, by a firewall or by "
            "`127.0.0.1`."},
    {"metrics", "debug_endpoints", SCHEMA_BOOLEAN, FIELD(metrics.debug_endpoints), "false", "true",
     "\"on\"", .reload = true,
     .doc = "Whether `/debug/peers`, `/debug/workers` and `/debug/mesh` answer. They show the keys "
            "and addresses of clients."},
    {"metrics", "tls_cert", SCHEMA_STRING, FIELD(metrics.tls_cert), "\"\"",
     "\"/etc/hyper-derp/certs/metrics.pem\"", "1",
     .doc = "A certificate chain, PEM, for HTTPS on this address; with `tls_key`."},
    {"metrics", "tls_key", SCHEMA_STRING, FIELD(metrics.tls_key), "\"\"",
     "\"/etc/hyper-derp/certs/metrics.key\"", "1", .doc = "Its private key, PEM."},

    /* ---- HTTP ---- */
    {"http", "home", SCHEMA_STRING, FIELD(http_home), "\"default\"", "\"blank\"", "\"ftp://x\"",
     .check = check_home,
     .doc = "The page at `/`: `default`, a short text; `blank`; or a URL to send browsers to."},

    /* ---- mesh ---- */
    {"mesh", "key_file", SCHEMA_STRING, FIELD(mesh.key_file), "\"\"",
     "\"/etc/hyper-derp/mesh.key\"", "1",
     .doc = "The file with the secret that the nodes of a region share, 64 hexadecimal digits, as "
            "derper's `-mesh-psk-file`. Whoever shows it may see who is connected, close clients "
            "and forward packets: keep it as you keep the private key, mode 0600. `\"\"`: nobody "
            "may."},
    {"mesh", "with", SCHEMA_STRINGS, FIELD(mesh.with), "[]", "[\"derp1b.example.com\"]",
     "[\"a b\"]", .check = check_node, .reload = true,
     .doc = "The other nodes, to each of which this one connects: `HOST` or `HOST:PORT`, over TLS; "
            "`HOST/DIALHOST`, as derper has it, to connect to another name or address than the "
            "certificate's; or a URL, with `http://` for DERP in the clear on a trusted network. "
            "Needs `key_file`. Where this node itself stands among them it is let be, so that all "
            "nodes may have the same list."},
    {"mesh", "ca_file", SCHEMA_STRING, FIELD(mesh.ca_file), "\"\"", "\"/etc/hyper-derp/ca.pem\"",
     "1", .reload = true,
     .doc = "Certificates to trust besides the system's, PEM: of an authority of your own, or "
            "those of the other nodes where they are self-signed."},

    /* ---- access ---- */
    {"access", "allow_keys_file", SCHEMA_STRING, FIELD(access.allow_keys_file), "\"\"",
     "\"/etc/hyper-derp/keys\"", "1", .reload = true,
     .doc =
         "Lets in only these keys: one `nodekey:<hex>` a line, and comments after `#`. Read again "
         "by a reload, which closes clients that are no longer in it."},
    {"access", "tailscaled_socket", SCHEMA_STRING, FIELD(access.tailscaled_socket), "\"\"",
     "\"/run/tailscale/tailscaled.sock\"", "1", .reload = true,
     .doc = "Lets in only clients that the tailscaled of this machine knows, as derper's "
            "`-verify-clients` does. Nobody is let in while it cannot be asked."},
    {"access", "verify_client_url", SCHEMA_STRING, FIELD(access.verify_client_url), "\"\"",
     "\"https://control.example.com/verify\"", "\"control.example.com\"", .check = check_url,
     .reload = true, .secret = true,
     .doc =
         "Lets in only clients that this URL allows, as derper's `-verify-client-url` does: POST "
         "`{\"NodePublic\":...,\"Source\":...}`, answer `{\"Allow\":...}`."},
    {"access", "verify_client_url_fail_open", SCHEMA_BOOLEAN,
     FIELD(access.verify_client_url_fail_open), "true", "false", "\"open\"", .reload = true,
     .doc =
         "Whether clients are let in while the URL cannot be reached, does not answer in time, or "
         "more clients come than can be asked about. An answer that is an error or cannot be read "
         "lets nobody in."},
    {"access", "verify_timeout", SCHEMA_DURATION, FIELD(access.verify_timeout_ms), "\"5s\"",
     "\"2s\"", "5", 100, 60000, .reload = true,
     .doc = "How long the answers about a client are waited for, all in all; less than "
            "`limits.handshake_timeout`."},

    /* ---- limits ---- */
    {"limits", "max_connections", SCHEMA_INTEGER, FIELD(limits.max_connections), "0", "20000", "-1",
     1, UINT32_MAX, "as many as the limit of open files leaves room for", .reload = true,
     .doc = "Connections at once."},
    {"limits", "accept_rate", SCHEMA_INTEGER, FIELD(limits.accept_rate), "0", "500", "-1", 1,
     1000000, "no limit", .reload = true,
     .doc = "New connections per second; those beyond are closed at once."},
    {"limits", "accept_burst", SCHEMA_INTEGER, FIELD(limits.accept_burst), "0", "1000", "-1", 1,
     1000000, "as many as a second's", .reload = true,
     .doc = "New connections that may come at once before `accept_rate` counts."},
    {"limits", "connections_per_ip", SCHEMA_INTEGER, FIELD(limits.connections_per_ip), "0", "100",
     "-1", 1, UINT32_MAX, "no limit", .reload = true,
     .doc =
         "Connections at once from one IPv4 address or one IPv6 network of 64 bits; those beyond "
         "are closed at once."},
    {"limits", "client_rate", SCHEMA_SIZE, FIELD(limits.client_rate), "0", "\"4MiB\"", "\"4MB/s\"",
     1024, 100 * GIB, "no limit", .reload = true,
     .doc =
         "Bytes per second that a client may send; above, it is read more slowly, and nothing is "
         "dropped for that. Bytes of DERP frames count, without what TLS adds. Clients are told, "
         "and Tailscale's drop by themselves what they would send beyond."},
    {"limits", "client_burst", SCHEMA_SIZE, FIELD(limits.client_burst), "0", "\"16MiB\"", "-1",
     1024, 100 * GIB, "as many as a second's", .reload = true,
     .doc = "Bytes that a client may send at once before `client_rate` counts; never less than the "
            "largest frame, nor than an eighth of a second's."},
    {"limits", "queue_frames", SCHEMA_INTEGER, FIELD(limits.queue_frames), "0", "4096", "1048577",
     1, 1048576, "1024", .reload = true,
     .doc = "Packets that may wait for one client; beyond, those who have most waiting lose their "
            "oldest."},
    {"limits", "queue_bytes", SCHEMA_SIZE, FIELD(limits.queue_bytes), "\"0\"", "\"4MiB\"", "65536",
     131072, 2 * GIB - 1, "2MiB", .reload = true, .doc = "Bytes that may wait for one client."},
    {"limits", "queue_time", SCHEMA_DURATION, FIELD(limits.queue_time_ms), "\"2s\"", "\"500ms\"",
     "\"2\"", 1, DAY_MS, "no limit", .reload = true,
     .doc = "How long a packet may wait for one client; after that it is dropped."},
    {"limits", "memory", SCHEMA_SIZE, FIELD(limits.memory), "\"0\"", "\"1GiB\"", "4096", 131072,
     UINT64_C(1) << 46, "256MiB", .reload = true,
     .doc = "Bytes of everything that waits or is only half received, for all clients together."},
    {"limits", "handshake_timeout", SCHEMA_DURATION, FIELD(limits.handshake_timeout_ms), "\"10s\"",
     "\"5s\"", "\"10\"", 1, DAY_MS, .reload = true,
     .doc = "From the first byte to the end of the handshake; who takes longer is closed."},
    {"limits", "keepalive", SCHEMA_DURATION, FIELD(limits.keepalive_ms), "\"60s\"", "\"30s\"",
     "\"1d\"", 1, DAY_MS, .reload = true,
     .doc =
         "How often a client hears from the relay. Tailscale's clients give up after two minutes "
         "of silence."},
    {"limits", "write_timeout", SCHEMA_DURATION, FIELD(limits.write_timeout_ms), "\"15s\"",
     "\"30s\"", "15", 1, DAY_MS, .reload = true,
     .doc = "A client that takes nothing for so long is closed."},
    {"limits", "drain_timeout", SCHEMA_DURATION, FIELD(limits.drain_timeout_ms), "\"10s\"",
     "\"30s\"", "\"\"", 1, DAY_MS, .reload = true,
     .doc = "How long a stop waits until clients have got what is queued for them."},

    /* ---- takeover ---- */
    {"takeover", "socket", SCHEMA_STRING, FIELD(takeover.socket), "\"\"",
     "\"/run/hyper-derp/takeover.sock\"", "\"takeover.sock\"", .check = check_socket_path,
     .doc = "The path of a socket over which the next process gets the listening sockets of this "
            "one; `\"\"`: none can. Its mode is 0600, and only the same user and root are heard."},
    {"takeover", "spread", SCHEMA_DURATION, FIELD(takeover.spread_ms), "\"10s\"", "\"2s\"",
     "\"2m\"", 1, 60000, .reload = true,
     .doc = "Over how long the clients of the process before are sent away at most, each at a "
            "moment of its own; a thousand a second where that is sooner."},

    /* ---- io ---- */
    {"io", "engine", SCHEMA_ENUM, FIELD(io.engine), "\"auto\"", "\"epoll\"", "\"kqueue\"",
     .choices = engines,
     .doc =
         "`io_uring` (Linux 6.1 or newer), `epoll`, or `auto`: io_uring where the kernel lets us."},
    {"io", "sqpoll", SCHEMA_BOOLEAN, FIELD(io.sqpoll), "false", "true", "\"no\"",
     .doc =
         "With io_uring, a kernel thread for each worker takes its requests without system calls. "
         "It keeps a core busy."},
    {"io", "socket_buffer", SCHEMA_SIZE, FIELD(io.socket_buffer), "0", "\"1MiB\"", "\"2GiB\"", 4096,
     GIB, "as the kernel sizes them", .doc = "Bytes of each connection's socket buffers."},
};
const size_t schema_key_count = sizeof(schema_keys) / sizeof(schema_keys[0]);

const struct schema_key *schema_find(const char *section, const char *name)
{
    for (size_t i = 0; i < schema_key_count; i++)
        if (strcmp(schema_keys[i].section, section) == 0 && strcmp(schema_keys[i].name, name) == 0)
            return &schema_keys[i];
    return NULL;
}
