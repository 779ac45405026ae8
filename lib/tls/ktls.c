/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys for the kernel's record layer, and its records that are not data (linux/tls.h). */
#include "tls/ktls.h"

#include <endian.h>
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "tls/half.h"

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static int set_option(int fd, int level, int name, const void *value, size_t size)
{
    return setsockopt(fd, level, name, value, (socklen_t)size) == 0 ? 0 : -errno;
}

int ktls_attach(int fd)
{
    return set_option(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"));
}

/* The three suites in the kernel's words. With AES-GCM the IV is in two pieces, the first of which
 * is called salt. */
union crypto_info {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_128 aes_128;
    struct tls12_crypto_info_aes_gcm_256 aes_256;
    struct tls12_crypto_info_chacha20_poly1305 chacha;
};

#define FILL(part, half)                                                                           \
    do {                                                                                           \
        _Static_assert(sizeof((part)->salt) + sizeof((part)->iv) == TLS_IV_SIZE,                   \
                       "size of the IV");                                                          \
        memcpy((part)->salt, (half)->iv, sizeof((part)->salt));                                    \
        memcpy((part)->iv, (half)->iv + sizeof((part)->salt), sizeof((part)->iv));                 \
        memcpy((part)->key, (half)->key, sizeof((part)->key));                                     \
        memcpy((part)->rec_seq, &sequence, sizeof((part)->rec_seq));                               \
    } while (0)

/* Returns the size of the part that is used. */
static size_t fill_info(union crypto_info *out, const struct tls_half *half)
{
    const uint64_t sequence = htobe64(half->sequence);

    *out = (union crypto_info){.info = {.version = TLS_1_3_VERSION}};
    switch (half->suite->id) {
    case TLS_AES_128_GCM:
        out->info.cipher_type = TLS_CIPHER_AES_GCM_128;
        FILL(&out->aes_128, half);
        return sizeof(out->aes_128);
    case TLS_AES_256_GCM:
        out->info.cipher_type = TLS_CIPHER_AES_GCM_256;
        FILL(&out->aes_256, half);
        return sizeof(out->aes_256);
    default:
        out->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
        FILL(&out->chacha, half);
        return sizeof(out->chacha);
    }
}

static int set_keys(int fd, int direction, const struct tls_half *half)
{
    union crypto_info info;
    size_t size = fill_info(&info, half);
    int error = set_option(fd, SOL_TLS, direction, &info, size);

    explicit_bzero(&info, sizeof(info));
    /* A kernel that does not know the suite finds the option invalid, one that lacks its cipher
     * does not find it. */
    return error == -EINVAL || error == -ENOENT ? -EOPNOTSUPP : error;
}

int ktls_set_tx(int fd, const struct tls_tx *tx)
{
    return set_keys(fd, TLS_TX, &tx->half);
}

int ktls_set_rx(int fd, const struct tls_rx *rx)
{
    return set_keys(fd, TLS_RX, &rx->half);
}

/* ---- Records that are not data ---- */

/* Room for the one control message, aligned as one. */
union control {
    struct cmsghdr header;
    uint8_t bytes[CMSG_SPACE(sizeof(uint8_t))];
};

int ktls_send_record(int fd, enum tls_content type, const void *bytes, size_t len)
{
    union control control = {0};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_TLS;
    header->cmsg_type = TLS_SET_RECORD_TYPE;
    header->cmsg_len = CMSG_LEN(sizeof(uint8_t));
    *CMSG_DATA(header) = (uint8_t)type;
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -errno;
    return (size_t)sent == len ? 0 : -EIO;
}

int ktls_send_alert(int fd, enum tls_alert alert)
{
    uint8_t bytes[TLS_ALERT_SIZE];

    half_write_alert(alert, bytes);
    return ktls_send_record(fd, TLS_CONTENT_ALERT, bytes, sizeof(bytes));
}

int ktls_update_tx(int fd, struct tls_tx *tx, bool request)
{
    uint8_t message[TLS_KEY_UPDATE_SIZE];

    half_write_key_update(request, message);
    int error = ktls_send_record(fd, TLS_CONTENT_HANDSHAKE, message, sizeof(message));
    if (error == 0)
        error = half_update(&tx->half);
    return error ? error : ktls_set_tx(fd, tx);
}

ssize_t ktls_recv_record(int fd, uint8_t *type, void *buffer, size_t room)
{
    union control control = {0};
    struct iovec iov = {.iov_base = buffer, .iov_len = room};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t received = recvmsg(fd, &message, MSG_DONTWAIT);

    *type = 0;
    if (received < 0)
        return -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_TLS && header->cmsg_type == TLS_GET_RECORD_TYPE)
        *type = *CMSG_DATA(header);
    return received;
}

int ktls_fault(int fd, int error)
{
    int pending = 0;
    socklen_t size = sizeof(pending);
    int alert;

    switch (error) {
    case -EBADMSG: /* a bad tag, or too short for one */
        alert = TLS_ALERT_BAD_RECORD_MAC;
        break;
    case -EMSGSIZE:
        alert = TLS_ALERT_RECORD_OVERFLOW;
        break;
    case -EINVAL: /* another version in its header */
        alert = TLS_ALERT_DECODE_ERROR;
        break;
    default:
        return -1;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &size);
    return alert;
}
