/* HMAC-SHA1 (RFC 2104, FIPS 180-4) with a key that is prepared once, so that a load needs no library to be built. */
#pragma once
#include <stdint.h>
#include <string.h>

enum { SHA1_BYTES = 20, SHA1_BLOCK = 64 };

struct sha1_key {
    uint32_t inner[5], outer[5];
};

static void sha1_block(uint32_t state[5], const unsigned char *block) {
    uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int i = 0; i < 16; i++, block += 4)
        words[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 | block[3];
    for (int i = 16; i < 80; i++) {
        uint32_t mixed = words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16];
        words[i] = mixed << 1 | mixed >> 31;
    }
    for (int i = 0; i < 80; i++) {
        uint32_t chosen = i < 20   ? ((b & c) | (~b & d)) + 0x5a827999
                          : i < 40 ? (b ^ c ^ d) + 0x6ed9eba1
                          : i < 60 ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
                                   : (b ^ c ^ d) + 0xca62c1d6;
        uint32_t next = (a << 5 | a >> 27) + chosen + e + words[i];
        e = d, d = c, c = b << 30 | b >> 2, b = a, a = next;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* Goes on from `state`, which has taken in `before` bytes, a multiple of the block. */
static void sha1_finish(uint32_t state[5], uint64_t before, const unsigned char *data, size_t length,
                        unsigned char digest[SHA1_BYTES]) {
    unsigned char last[2 * SHA1_BLOCK] = {0};
    uint64_t bits = 8 * (before + length);
    for (; length >= SHA1_BLOCK; data += SHA1_BLOCK, length -= SHA1_BLOCK) sha1_block(state, data);
    size_t end = length + 9 > SHA1_BLOCK ? 2 * SHA1_BLOCK : SHA1_BLOCK;
    memcpy(last, data, length);
    last[length] = 0x80;
    for (int i = 0; i < 8; i++) last[end - 1 - i] = (unsigned char)(bits >> 8 * i);
    for (size_t at = 0; at < end; at += SHA1_BLOCK) sha1_block(state, last + at);
    for (int i = 0; i < SHA1_BYTES; i++) digest[i] = (unsigned char)(state[i / 4] >> (24 - 8 * (i % 4)));
}

/* For keys of at most one block. */
static void sha1_prepare(struct sha1_key *key, const unsigned char *secret, size_t length) {
    static const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    unsigned char inner[SHA1_BLOCK], outer[SHA1_BLOCK];
    memset(inner, 0x36, sizeof inner);
    memset(outer, 0x5c, sizeof outer);
    for (size_t i = 0; i < length; i++) inner[i] ^= secret[i], outer[i] ^= secret[i];
    memcpy(key->inner, start, sizeof start);
    memcpy(key->outer, start, sizeof start);
    sha1_block(key->inner, inner);
    sha1_block(key->outer, outer);
}

static void sha1_hmac(const struct sha1_key *key, const unsigned char *data, size_t length,
                      unsigned char digest[SHA1_BYTES]) {
    unsigned char middle[SHA1_BYTES];
    struct sha1_key copy = *key;
    sha1_finish(copy.inner, SHA1_BLOCK, data, length, middle);
    sha1_finish(copy.outer, SHA1_BLOCK, middle, sizeof middle, digest);
}
