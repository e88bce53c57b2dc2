/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys and TLS contexts: made once, refused when others can read them, seen by the peer. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "user/lib/identity.h"

static char dir[] = "/tmp/test-identity-XXXXXX";

static void make_dir(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
	char cmd[80];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	cr_assert_eq(system(cmd), 0);
}

static const char *in_dir(const char *name)
{
	static char path[80];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static struct identity *load(const char *name)
{
	struct identity *id = NULL;
	struct errmsg e = {""};

	cr_assert_eq(identity_load(in_dir(name), &id, &e), 0, "%s", e.text);
	return id;
}

Test(identity, key_is_made_once, .init = make_dir, .fini = remove_dir)
{
	struct identity *a = load("a.pem"), *again = load("a.pem"), *b = load("b.pem");
	struct stat st;

	cr_assert_arr_eq(identity_id(a), identity_id(again), NODE_ID_SIZE);
	cr_assert_neq(memcmp(identity_id(a), identity_id(b), NODE_ID_SIZE), 0);
	cr_assert_eq(stat(in_dir("a.pem"), &st), 0);
	cr_assert_eq(st.st_mode & 07777, 0600);
	identity_free(a);
	identity_free(again);
	identity_free(b);
}

/* The oracle is the openssl program: SHA-256 of the public key in DER. */
Test(identity, fingerprint_is_that_of_the_public_key, .init = make_dir, .fini = remove_dir)
{
	struct identity *a = load("a.pem");
	char cmd[256], want[65] = "", got[65];
	FILE *f;

	snprintf(cmd, sizeof(cmd),
		"openssl pkey -in %s -pubout -outform DER | sha256sum | cut -c1-64",
		in_dir("a.pem"));
	f = popen(cmd, "r");
	cr_assert_not_null(f);
	cr_assert_eq(fread(want, 1, 64, f), 64);
	pclose(f);
	for (unsigned int i = 0; i < NODE_ID_SIZE; i++)
		snprintf(got + 2 * i, 3, "%02x", identity_id(a)[i]);
	cr_assert_str_eq(got, want);
	identity_free(a);
}

Test(identity, refusals, .init = make_dir, .fini = remove_dir)
{
	static const struct {
		const char *make; /* shell; $F is the file */
		int code;
		const char *message;
	} cases[] = {
		{"openssl genpkey -algorithm ed25519 -out $F; chmod 644 $F", -EKEYREJECTED,
			"chmod 600"},
		{"openssl genpkey -algorithm ed25519 -out $F; chmod 620 $F", -EKEYREJECTED,
			"chmod 600"},
		{"openssl genpkey -algorithm ed25519 -aes256 -pass pass:x -out $F; chmod 600 $F",
			-EKEYREJECTED, "pass phrase"},
		{"openssl ecparam -name prime256v1 -genkey -noout -out $F; chmod 600 $F",
			-EKEYREJECTED, "Ed25519"},
		{"echo garbage > $F; chmod 600 $F", -EKEYREJECTED, "PEM"},
		{": > $F; chmod 600 $F", -EKEYREJECTED, "PEM"},
		{"head -c 20000 /dev/zero > $F; chmod 600 $F", -EFBIG, "longer"},
		{"mkdir $F; chmod 700 $F", -EKEYREJECTED, "regular"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct identity *id = NULL;
		struct errmsg e = {""};
		char cmd[300];

		snprintf(cmd, sizeof(cmd), "F=%s; rm -rf $F; { %s; } 2>/dev/null", in_dir("k"),
			cases[i].make);
		cr_assert_eq(system(cmd), 0);
		cr_assert_eq(identity_load(in_dir("k"), &id, &e), cases[i].code, "%s: %s",
			cases[i].make, e.text);
		cr_assert_null(id);
		cr_assert_not_null(strstr(e.text, cases[i].message), "%s", e.text);
		cr_assert_not_null(strstr(e.text, in_dir("k")), "%s", e.text);
	}
}

Test(identity, fingerprint_text)
{
	uint8_t id[NODE_ID_SIZE], again[NODE_ID_SIZE];
	char text[FINGERPRINT_SIZE];

	srand(1);
	for (int round = 0; round < 1000; round++) {
		for (unsigned int i = 0; i < NODE_ID_SIZE; i++)
			id[i] = (uint8_t)rand();
		fingerprint_format(id, text);
		cr_assert_eq(strlen(text), FINGERPRINT_SIZE - 1);
		cr_assert_eq(fingerprint_parse(text, strlen(text), again), 0);
		cr_assert_arr_eq(id, again, NODE_ID_SIZE);
	}
	/* RFC 4648 letters: 32 bytes of 0xff are 51 times 31 and one bit. */
	memset(id, 0xff, sizeof(id));
	fingerprint_format(id, text);
	cr_assert_str_eq(text, "777777777777777777777777777777777777777777777777777q");
	cr_assert_eq(fingerprint_parse(text, 51, again), -EPROTO);
	cr_assert_eq(fingerprint_parse("", 0, again), -EPROTO);
	text[3] = '1';
	cr_assert_eq(fingerprint_parse(text, 52, again), -EPROTO);
}

/* Two ends in memory. Returns true when both finished their handshake. */
static bool shake_hands(SSL *client, SSL *server)
{
	BIO *a, *b;
	int c = 0, s = 0;

	cr_assert_eq(BIO_new_bio_pair(&a, 0, &b, 0), 1);
	SSL_set_bio(client, a, a);
	SSL_set_bio(server, b, b);
	SSL_set_connect_state(client);
	SSL_set_accept_state(server);
	for (int i = 0; i < 20 && !(c == 1 && s == 1); i++) {
		c = SSL_do_handshake(client);
		s = SSL_do_handshake(server);
	}
	ERR_clear_error();
	return c == 1 && s == 1;
}

Test(identity, each_side_sees_the_others_key, .init = make_dir, .fini = remove_dir)
{
	struct identity *a = load("a.pem"), *b = load("b.pem");
	SSL_CTX *client_ctx = tls_context(a, false, NULL), *server_ctx = tls_context(b, true, NULL);
	SSL *client = SSL_new(client_ctx), *server = SSL_new(server_ctx);
	uint8_t id[NODE_ID_SIZE];

	cr_assert(shake_hands(client, server));
	cr_assert_eq(SSL_version(client), TLS1_3_VERSION);
	cr_assert_eq(tls_peer_id(client, id), 0);
	cr_assert_arr_eq(id, identity_id(b), NODE_ID_SIZE);
	cr_assert_eq(tls_peer_id(server, id), 0);
	cr_assert_arr_eq(id, identity_id(a), NODE_ID_SIZE);
	SSL_free(client);
	SSL_free(server);
	SSL_CTX_free(client_ctx);
	SSL_CTX_free(server_ctx);
	identity_free(a);
	identity_free(b);
}

Test(identity, no_certificate_or_old_tls_fails, .init = make_dir, .fini = remove_dir)
{
	struct identity *b = load("b.pem");
	SSL_CTX *server_ctx = tls_context(b, true, NULL);

	for (int i = 0; i < 2; i++) {
		SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
		SSL *client, *server;
		uint8_t id[NODE_ID_SIZE];

		if (i == 0)
			SSL_CTX_set_max_proto_version(client_ctx, TLS1_2_VERSION);
		client = SSL_new(client_ctx);
		server = SSL_new(server_ctx);
		cr_assert_not(shake_hands(client, server));
		cr_assert_eq(tls_peer_id(server, id), -EKEYREJECTED);
		SSL_free(client);
		SSL_free(server);
		SSL_CTX_free(client_ctx);
	}
	SSL_CTX_free(server_ctx);
	identity_free(b);
}

/* Text of errors is 50 KB of it, which come with the first use of OpenSSL. */
Test(identity, keeps_little_memory, .init = make_dir, .fini = remove_dir)
{
	size_t before = mallinfo2().uordblks;
	struct identity *a = load("a.pem"), *again = load("a.pem");

	cr_assert_lt(mallinfo2().uordblks - before, 128u << 10);
	identity_free(a);
	identity_free(again);
}

/* A file that is read at OpenSSL's first use, which is here. */
Test(identity, no_configuration_of_the_machine_counts, .init = make_dir, .fini = remove_dir)
{
	FILE *f = fopen(in_dir("openssl.cnf"), "w");
	struct identity *a;
	SSL_CTX *ctx;

	cr_assert_not_null(f);
	fputs("openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nsystem_default = weak\n"
	      "[weak]\nCiphersuites = TLS_AES_128_CCM_8_SHA256\n",
		f);
	fclose(f);
	setenv("OPENSSL_CONF", in_dir("openssl.cnf"), 1);
	a = load("a.pem");
	ctx = tls_context(a, false, NULL);
	cr_assert_str_eq(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(SSL_CTX_get_ciphers(ctx), 0)),
		"TLS_AES_256_GCM_SHA384");
	SSL_CTX_free(ctx);
	identity_free(a);
}
