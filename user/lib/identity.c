/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys, fingerprints and TLS contexts.
 *
 * A fingerprint is SHA-256 over the key's SubjectPublicKeyInfo (DER), shown in base32: 52 characters
 * of a-z2-7 for 256 bits and four bits of zero. TLS 1.3 proves that the peer owns the key of the
 * certificate it shows; everything else in that certificate is ignored.
 */
#include "user/lib/identity.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

#include "user/lib/secretfile.h"
#include "user/lib/util.h"

#define KEY_FILE_MAX      16384u
#define PEER_CERT_MAX     8192 /* bytes of certificates that a peer may make us parse */
#define CERT_DAYS         36500L
#define FINGERPRINT_CHARS (FINGERPRINT_SIZE - 1)
#define ED25519_KEY_SIZE  32u

/* As bytes: OpenSSL's objects would keep alive all that was made to read them. */
struct identity {
	uint8_t key[ED25519_KEY_SIZE];
	unsigned char *cert; /* DER; OpenSSL's */
	int cert_size;
	uint8_t id[NODE_ID_SIZE];
};

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

static int err_openssl(struct errmsg *e, int code, const char *what)
{
	char text[160];
	unsigned long err = ERR_peek_last_error();

	ERR_error_string_n(err, text, sizeof(text));
	ERR_clear_error();
	return err_set(e, code, "%s: %s", what, err ? text : "failed");
}

/* The key as the certificate has it: encoding it anew would make OpenSSL's encoders. */
static int cert_fingerprint(X509 *cert, uint8_t ret[NODE_ID_SIZE])
{
	unsigned char *der = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);

	if (len <= 0) {
		ERR_clear_error();
		return -EKEYREJECTED;
	}
	SHA256(der, (size_t)len, ret);
	OPENSSL_free(der);
	return 0;
}

/* Answers no pass phrase: an encrypted key must fail, never ask on a terminal. */
static int no_passphrase(char *out, int size, int writing, void *arg)
{
	return 0;
}

static int key_parse(const struct buf *pem, const char *path, EVP_PKEY **ret, struct errmsg *e)
{
	BIO *bio = BIO_new_mem_buf(pem->data, (int)pem->len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

	BIO_free(bio);
	ERR_clear_error();
	if (!key)
		return err_set(e, -EKEYREJECTED,
			"%s: no private key in PEM form without pass phrase", path);
	if (EVP_PKEY_get_id(key) != EVP_PKEY_ED25519) {
		EVP_PKEY_free(key);
		return err_set(e, -EKEYREJECTED, "%s: not an Ed25519 key", path);
	}
	*ret = key;
	return 0;
}

static int key_make(const char *path, EVP_PKEY **ret, struct errmsg *e)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = BIO_new(BIO_s_secmem());
	char *pem = NULL;
	long len;
	int rc;

	if (!key || !bio || !PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
		rc = err_openssl(e, -EIO, "making a key");
		goto out;
	}
	len = BIO_get_mem_data(bio, &pem);
	rc = replace_file(path, pem, (size_t)len, 0600, e);
	if (rc)
		goto out;
	*ret = key;
	key = NULL;
out:
	BIO_free(bio); /* a BIO of secure memory wipes itself */
	EVP_PKEY_free(key);
	return rc;
}

static int key_load(const char *path, EVP_PKEY **ret, struct errmsg *e)
{
	struct buf pem = BUF_INIT;
	int rc = secretfile_read(path, "key file", KEY_FILE_MAX, &pem, e);

	if (rc == -ENOENT)
		rc = key_make(path, ret, e);
	else if (!rc)
		rc = key_parse(&pem, path, ret, e);
	secretfile_wipe(&pem);
	return rc;
}

/* The envelope that TLS wants around a key. Made anew at each start. */
static X509 *cert_make(EVP_PKEY *key)
{
	X509 *cert = X509_new();
	X509_NAME *name = cert ? X509_get_subject_name(cert) : NULL;

	if (name && X509_set_version(cert, X509_VERSION_3) &&
		ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) &&
		X509_gmtime_adj(X509_getm_notBefore(cert), -24L * 3600) &&
		X509_time_adj_ex(X509_getm_notAfter(cert), CERT_DAYS, 0, NULL) &&
		X509_NAME_add_entry_by_txt(
			name, "CN", MBSTRING_ASC, (const unsigned char *)"tally", -1, -1, 0) &&
		X509_set_issuer_name(cert, name) && X509_set_pubkey(cert, key) &&
		X509_sign(cert, key, NULL))
		return cert;
	X509_free(cert);
	return NULL;
}

static int identity_read(struct identity *id, const char *path, struct errmsg *e)
{
	size_t size = sizeof(id->key);
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	int rc = key_load(path, &key, e);

	if (rc)
		return rc;
	cert = cert_make(key);
	id->cert_size = cert ? i2d_X509(cert, &id->cert) : -1;
	if (id->cert_size <= 0 || EVP_PKEY_get_raw_private_key(key, id->key, &size) != 1)
		rc = err_openssl(e, -EIO, "making a certificate");
	else if ((rc = cert_fingerprint(cert, id->id)))
		err_set(e, rc, "%s: key without fingerprint", path);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

/* In a library context of its own, which goes with all the encoders and decoders that this needs, and TLS does not. */
int identity_load(const char *path, struct identity **ret, struct errmsg *e)
{
	struct identity *id = calloc(1, sizeof(*id));
	OSSL_LIB_CTX *own, *before;
	int rc = -ENOMEM;

	/* No file of the machine's changes what we offer or take. */
	OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	own = OSSL_LIB_CTX_new();
	before = OSSL_LIB_CTX_set0_default(own);
	if (id && own)
		rc = identity_read(id, path, e);
	else
		err_set(e, rc, "%s: no memory", path);
	OSSL_LIB_CTX_set0_default(before);
	OSSL_LIB_CTX_free(own);
	if (rc)
		identity_free(id);
	else
		*ret = id;
	return rc;
}

void identity_free(struct identity *id)
{
	if (!id)
		return;
	OPENSSL_free(id->cert);
	explicit_bzero(id, sizeof(*id));
	free(id);
}

const uint8_t *identity_id(const struct identity *id)
{
	return id->id;
}

void fingerprint_format(const uint8_t id[NODE_ID_SIZE], char out[FINGERPRINT_SIZE])
{
	for (unsigned int i = 0; i < FINGERPRINT_CHARS; i++) {
		unsigned int bit = i * 5, byte = bit / 8;
		unsigned int pair = (unsigned int)id[byte] << 8;

		if (byte + 1 < NODE_ID_SIZE)
			pair |= id[byte + 1];
		out[i] = base32[(pair >> (11 - bit % 8)) & 31];
	}
	out[FINGERPRINT_CHARS] = '\0';
}

int fingerprint_parse(const char *text, size_t len, uint8_t ret_id[NODE_ID_SIZE])
{
	uint8_t id[NODE_ID_SIZE];
	uint32_t acc = 0;
	unsigned int bits = 0, n = 0;

	if (len != FINGERPRINT_CHARS)
		return -EPROTO;
	for (size_t i = 0; i < len; i++) {
		const char *at = text[i] ? strchr(base32, text[i]) : NULL;

		if (!at)
			return -EPROTO;
		acc = (acc << 5 | (uint32_t)(at - base32)) & 0xfff;
		bits += 5;
		if (bits >= 8) {
			bits -= 8;
			id[n++] = (uint8_t)(acc >> bits);
		}
	}
	if (acc & ((1u << bits) - 1))
		return -EPROTO; /* the last four bits are no part of the fingerprint: one text for each */
	memcpy(ret_id, id, sizeof(id));
	return 0;
}

/* No CA vouches for anybody: any key passes, and the caller asks whose it is. */
static int any_certificate(X509_STORE_CTX *ctx, void *arg)
{
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

SSL_CTX *tls_context(const struct identity *id, bool server, struct errmsg *e)
{
	SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	EVP_PKEY *key =
		EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, id->key, sizeof(id->key));
	bool made = ctx && key && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) &&
		    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) &&
		    SSL_CTX_use_certificate_ASN1(ctx, id->cert_size, id->cert) == 1 &&
		    SSL_CTX_use_PrivateKey(ctx, key) == 1 && SSL_CTX_set_num_tickets(ctx, 0);

	EVP_PKEY_free(key);
	if (!made) {
		SSL_CTX_free(ctx);
		err_openssl(e, -EIO, "TLS context");
		return NULL;
	}
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, any_certificate, NULL);
	SSL_CTX_set_max_cert_list(ctx, PEER_CERT_MAX);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	/* Frames have lengths, so an end without close_notify can't pass for anything but an end. */
	SSL_CTX_set_options(
		ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	return ctx;
}

int tls_peer_id(SSL *ssl, uint8_t ret_id[NODE_ID_SIZE])
{
	X509 *cert = SSL_get0_peer_certificate(ssl);
	uint8_t id[NODE_ID_SIZE];

	if (!cert || cert_fingerprint(cert, id))
		return -EKEYREJECTED;
	memcpy(ret_id, id, sizeof(id));
	return 0;
}
