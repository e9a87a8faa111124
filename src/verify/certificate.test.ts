import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isTimestamper, readLeaf } from './certificate.ts';
import { library, type Asn1 } from './library.ts';

// What a certificate says is read before it is known whether an authority signed it: the fixture's, changed, needs no signature.

const fixture = JSON.parse(readFileSync(join(import.meta.dirname, 'fixture-keyless.json'), 'utf8')) as { issuer: string; root: { timestampAuthorities: { certChain: { certificates: { rawBytes: string }[] } }[] }; one: { verificationMaterial: { certificate: { rawBytes: string } } } };
const original = Buffer.from(fixture.one.verificationMaterial.certificate.rawBytes, 'base64');
const authority = Buffer.from(fixture.root.timestampAuthorities[0]?.certChain.certificates[0]?.rawBytes ?? '', 'base64');
const { ASN1Obj, X509Certificate } = library().core;

type Changeable = { -readonly [K in keyof Asn1]: Asn1[K] };

const extensionsOf = (root: Asn1): Changeable => root.subs[0]!.subs.find((one) => one.tag.isContextSpecific(3))!.subs[0]!;
const extension = (root: Asn1, oid: string) => extensionsOf(root).subs.find((one) => one.subs[0]!.toOID() === oid)!;

function after(change: (root: Asn1) => void, der = original): Buffer {
  const root = ASN1Obj.parseBuffer(Buffer.from(der));
  change(root);
  return root.toDER();
}

const refused = (der: Buffer, why: RegExp) => assert.throws(() => readLeaf(der), { code: 'verification-failed', message: why, context: { reason: 'certificate-malformed' } });
const parse = (hex: string) => ASN1Obj.parseBuffer(Buffer.from(hex, 'hex'));

test('issuer and subject are read from a certificate as Fulcio writes it', () => {
  const leaf = readLeaf(original);
  assert.deepEqual([leaf.issuer, leaf.subject, leaf.until - leaf.from], [fixture.issuer, 'https://github.com/acme/shop/.github/workflows/release.yml@refs/heads/main', 600]);
});

test('a certificate with two names, or one that is not plain ASCII, is refused', () => {
  const names = (root: Asn1) => extension(root, '2.5.29.17').subs.at(-1)!.subs[0]!;
  const name = (root: Asn1): Changeable => names(root).subs[0]!;
  refused(after((root) => names(root).subs.push(parse('8103' + Buffer.from('a@b').toString('hex')))), /exactly one name/);
  // 0xE8 is read as "h" by who takes seven bits of it.
  refused(after((root) => (name(root).value = Buffer.from(`\xe8${name(root).value.toString('latin1').slice(1)}`, 'latin1'))), /plain ASCII/);
  refused(after((root) => names(root).subs.splice(0, 1, parse('8203' + Buffer.from('a.b').toString('hex')))), /unknown form/);
  refused(after((root) => extensionsOf(root).subs.splice(extensionsOf(root).subs.indexOf(extension(root, '2.5.29.17')), 1)), /exactly one name/);
});

test('a certificate with two issuers, none, or one in another form, is refused', () => {
  const newer = (root: Asn1) => extension(root, '1.3.6.1.4.1.57264.1.8').subs.at(-1)!;
  refused(after((root) => ((newer(root).subs[0] as Changeable).value = Buffer.from('https://evil.example'))), /two issuers/);
  refused(after((root) => newer(root).subs.push(newer(root).subs[0]!)), /UTF8String/);
  refused(after((root) => newer(root).subs.splice(0, 1, parse('1603' + Buffer.from('abc').toString('hex')))), /UTF8String/);
  refused(after((root) => (extensionsOf(root).subs = extensionsOf(root).subs.filter((one) => !/57264\.1\.[18]$/.test(one.subs[0]!.toOID())))), /no issuer/);
});

test('an extension twice, a critical one that nobody understands, and another purpose are refused', () => {
  refused(after((root) => extensionsOf(root).subs.push(extension(root, '1.3.6.1.4.1.57264.1.8'))), /twice|extension/);
  refused(after((root) => extension(root, '1.3.6.1.4.1.57264.1.2').subs.splice(1, 0, parse('0101ff'))), /critical/);
  refused(after((root) => ((extension(root, '2.5.29.37').subs.at(-1)!.subs[0]!.subs[0] as Changeable).value = Buffer.from('2b06010505070308', 'hex'))), /signing code/);
  refused(after((root) => extensionsOf(root).subs.push(parse('300f0603551d130101ff040530030101ff'))), /authority/);
});

test('a certificate for a key that signs nothing is refused', () => {
  const spki = generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' });
  refused(after((root) => root.subs[0]!.subs.splice(6, 1, ASN1Obj.parseBuffer(Buffer.from(spki)))), /signs nothing/);
});

test('bytes that are no certificate in DER are refused', () => {
  // The length in three bytes where two do: the same to OpenSSL, another certificate to who compares bytes.
  const longer = Buffer.concat([Buffer.from([0x30, 0x83, 0]), original.subarray(2)]);
  for (const der of [Buffer.alloc(0), Buffer.from('no'), original.subarray(1), Buffer.concat([original, Buffer.from([0])]), longer]) assert.throws(() => readLeaf(der), { context: { reason: 'certificate-malformed' } });
});

test('only a certificate for timestamping, critically and alone, sets times', () => {
  const is = (change: (root: Asn1) => void) => isTimestamper(X509Certificate.parse(Buffer.from(after(change, authority))));
  const usage = (root: Asn1) => extension(root, '2.5.29.37');
  assert.ok(is(() => {}));
  assert.ok(!is((root) => usage(root).subs.splice(1, 1)), 'not critical');
  assert.ok(!is((root) => usage(root).subs.at(-1)!.subs[0]!.subs.push(parse('06082b06010505070303'))), 'for something else too');
  assert.ok(!is((root) => usage(root).subs.at(-1)!.subs[0]!.subs.splice(0, 1, parse('06082b06010505070303'))), 'for something else');
  assert.ok(!is((root) => extensionsOf(root).subs.splice(extensionsOf(root).subs.indexOf(usage(root)), 1)), 'for anything');
});
