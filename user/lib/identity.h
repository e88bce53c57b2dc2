/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys, fingerprints and TLS contexts. Provider and gatherer each own an Ed25519 key, made at first
 * start, mode 0600. Identity is the SHA-256 of the key's SubjectPublicKeyInfo, seen in the channel;
 * the self-signed certificate around the key carries no information.
 */
#ifndef TALLY_USER_LIB_IDENTITY_H
#define TALLY_USER_LIB_IDENTITY_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "user/lib/err.h"

#define NODE_ID_SIZE     32u
#define FINGERPRINT_SIZE 53u /* base32 (a-z2-7, no padding) of 32 bytes, and a zero */

struct identity; /* a private key and its certificate */

/*
 * Reads the key file, or makes it (temp, fsync, rename, mode 0600) if it does not exist.
 * Refused with a message: a file that group or others may read, that is not ours, or is no key.
 */
int identity_load(const char *path, struct identity **ret, struct errmsg *e);
void identity_free(struct identity *id);
const uint8_t *identity_id(const struct identity *id); /* NODE_ID_SIZE bytes */

void fingerprint_format(const uint8_t id[NODE_ID_SIZE], char out[FINGERPRINT_SIZE]);
int fingerprint_parse(const char *text, size_t len, uint8_t ret_id[NODE_ID_SIZE]);

/*
 * A context for TLS 1.3 only, both sides showing a certificate, no CA, no session resumption,
 * SSL_MODE_RELEASE_BUFFERS. Any key is let through the handshake: who it is, the caller asks with
 * tls_peer_id() before it says anything. NULL with *e on failure.
 */
SSL_CTX *tls_context(const struct identity *id, bool server, struct errmsg *e);
/* Fingerprint of the peer's key. -EKEYREJECTED if it showed none. */
int tls_peer_id(SSL *ssl, uint8_t ret_id[NODE_ID_SIZE]);

#endif
