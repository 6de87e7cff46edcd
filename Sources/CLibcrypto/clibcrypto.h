// The part of OpenSSL 3 libcrypto that MeshCrypto uses: one reusable AEAD context a key.
#ifndef CLIBCRYPTO_H
#define CLIBCRYPTO_H
#include <openssl/evp.h>
#endif
