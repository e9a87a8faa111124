import assert from 'node:assert/strict';
import { createPublicKey, sign, verify } from 'node:crypto';
import { test } from 'node:test';
import { p256 } from '@noble/curves/nist.js';
import fc from 'fast-check';
import { sha256 } from '#core';
import { generateSigner, spkiOf, verifyDigest } from '#sign';

const signer = generateSigner('ecdsa');
const spki = spkiOf(signer.publicKey);
const noble = (digest: Uint8Array, signature: Uint8Array, key: Uint8Array): boolean => {
  try {
    return p256.verify(signature, digest, key.subarray(-65), { prehash: false, format: 'der', lowS: false });
  } catch {
    return false;
  }
};
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map((one) => Buffer.from(one));

test('a signature over a message is found good for its digest alone, whatever the message and the key', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (message) => {
      const one = generateSigner('ecdsa');
      const signature = one.sign(message);
      assert.ok(verify('sha256', message, one.publicKey, signature));
      assert.ok(verifyDigest(sha256(message), signature, spkiOf(one.publicKey)));
    }),
    { numRuns: 100 },
  );
});

test('what is flipped anywhere in digest, signature or key is answered as other hands answer it', () => {
  const digest = sha256('a message');
  const signature = signer.sign(Buffer.from('a message'));
  const all = Buffer.concat([digest, signature, spki]);
  fc.assert(
    fc.property(fc.nat({ max: all.byteLength * 8 - 1 }), (bit) => {
      const flipped = Buffer.from(all);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const [d, s, k] = [flipped.subarray(0, 32), flipped.subarray(32, 32 + signature.byteLength), flipped.subarray(32 + signature.byteLength)];
      const ours = verifyDigest(d, s, k);
      // Noble reads the point only: a header of another key is refused by us alone.
      if (k.subarray(0, 26).equals(spki.subarray(0, 26))) assert.equal(ours, noble(d, s, k));
      assert.equal(ours, false);
    }),
    { numRuns: 400 },
  );
});

test('any digest is answered as other hands answer it, with the right signature and with random ones', () => {
  const ecdsaSign = (digest: Uint8Array) => p256.sign(digest, Buffer.from(signer.privateKey.export({ format: 'jwk' }).d ?? '', 'base64url'), { prehash: false, format: 'der', lowS: false });
  fc.assert(
    fc.property(bytes(32), bytes(32), bytes(32), (digest, r, s) => {
      assert.ok(verifyDigest(digest, ecdsaSign(digest), spki));
      const integer = (of: Buffer) => Buffer.concat([Buffer.from([2, 33, 0]), of]);
      const random = Buffer.concat([Buffer.from([0x30, 70]), integer(r), integer(s)]);
      assert.equal(verifyDigest(digest, random, spki), noble(digest, random, spki));
    }),
    { numRuns: 25 },
  );
});

test('the digest that we ask OpenSSL about is itself answered right', () => {
  assert.ok(verifyDigest(sha256(''), signer.sign(Buffer.alloc(0)), spki));
  assert.ok(!verifyDigest(sha256(''), signer.sign(Buffer.from('x')), spki));
});

test('what is no signature, no digest or no P-256 key is refused, never thrown at', () => {
  const message = Buffer.from('a message');
  const [digest, signature] = [sha256(message), signer.sign(message)];
  const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex');
  const der = (r: Buffer, s: Buffer) => Buffer.concat([Buffer.from([0x30, r.byteLength + s.byteLength + 4, 2, r.byteLength]), r, Buffer.from([2, s.byteLength]), s]);
  const padded = Buffer.concat([Buffer.from([0]), order]);
  for (const bad of [Buffer.alloc(0), Buffer.from([0x30]), Buffer.concat([signature, Buffer.from([0])]), der(Buffer.from([0]), Buffer.from([1])), der(Buffer.from([1]), Buffer.from([0])), der(padded, padded), Buffer.alloc(200, 0x30)])
    assert.equal(verifyDigest(digest, bad, spki), false);
  assert.equal(verifyDigest(digest.subarray(1), signature, spki), false);
  assert.equal(verifyDigest(Buffer.concat([Buffer.alloc(1), digest]), signature, spki), false, 'the same number, not the same digest');
  assert.equal(verifyDigest(digest, signature, spkiOf(generateSigner('ed25519').publicKey)), false);
  assert.equal(verifyDigest(digest, signature, Buffer.concat([spki.subarray(0, 27), Buffer.alloc(64, 1)])), false, 'a point off the curve');
  const other = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  assert.ok(verifyDigest(digest, sign('sha256', message, signer.privateKey), spkiOf(other)));
});

test('a point off the curve, chosen so that the moved one has a secret key that all know, is refused', () => {
  // The line through a multiple P of the base point, with any slope, meets x = slope^2 - 2x(P) in a point whose "sum" with P is -P.
  const { Fp, Fn } = p256.Point;
  const digest = sha256('whatever one likes');
  const k = 1234567n;
  const r = Fn.create(p256.Point.BASE.multiply(k).toAffine().x);
  const h = BigInt(`0x${sha256('').toString('hex')}`);
  const shift = Fn.mul(Fn.create(BigInt(`0x${digest.toString('hex')}`) - h), Fn.inv(r));
  const s = Fn.mul(Fn.inv(k), Fn.create(h - r * shift));
  const { x, y } = p256.Point.BASE.multiply(shift).toAffine();
  const slope = 5n;
  const off = Fp.create(slope * slope - 2n * x);
  const hex = (number: bigint) => number.toString(16).padStart(64, '0');
  const point = Buffer.from(`04${hex(off)}${hex(Fp.create(y + slope * (off - x)))}`, 'hex');
  const integer = (number: bigint) => Buffer.concat([Buffer.from([2, 33, 0]), Buffer.from(hex(number), 'hex')]);
  const minimal = (number: bigint) => (number >> 255n === 1n ? integer(number) : Buffer.concat([Buffer.from([2, 32]), Buffer.from(hex(number), 'hex')]));
  const numbers = Buffer.concat([minimal(r), minimal(s)]);
  assert.equal(verifyDigest(digest, Buffer.concat([Buffer.from([0x30, numbers.byteLength]), numbers]), Buffer.concat([spki.subarray(0, 26), point])), false);
});
