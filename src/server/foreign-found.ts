import { bundleMediaType } from '#attest';
import { CairnError, type Digest } from '#core';
import { isIndex, mediaTypes, parseManifest, type Descriptor } from '#oci';
import type { ForeignForm } from '#verify';

// Where other tools leave what they signed about a digest: bundles as referrers (sigstore/cosign: specs/BUNDLE_SPEC.md), and the tags of
// cosign before (specs/SIGNATURE_SPEC.md, specs/ATTESTATION_SPEC.md).

/** Bytes of the largest signed text that is read of what strangers may have attached. */
const largestForeign = 24 << 20;
/** A manifest that attaches a bundle names one layer: one that is larger is something else. */
export const largestReferrer = 64 << 10;

const bundleTypes = bundleMediaType.slice(0, bundleMediaType.indexOf('.v0.3'));
const simpleType = 'application/vnd.dev.cosign.simplesigning.v1+json';
const envelopeType = 'application/vnd.dsse.envelope.v1+json';
const largestPayload = 64 << 10;

/** Tags of cosign's old forms. */
export function legacyTags(subject: Digest): string[] {
  return ['sig', 'att'].map((suffix) => `${subject.replace(':', '-')}.${suffix}`);
}

/** A signed text that a manifest names, and how it becomes the form in which it is logged. */
export interface Found {
  /** Of the blob with the text. */
  readonly digest: Digest;
  readonly limit: number;
  /** Tells two signatures over one text apart. */
  readonly signature: string;
  form(text: Buffer): ForeignForm;
}

/** Whether a descriptor of a referrer can be that of a bundle; what it says of itself proves nothing. */
export function mayBeBundle({ artifactType, size, mediaType }: Pick<Descriptor, 'artifactType' | 'size' | 'mediaType'>): boolean {
  return artifactType?.startsWith(bundleTypes) === true && size <= largestReferrer && mediaType === mediaTypes.imageManifest;
}

/** The bundle that a referrer attaches to the subject; undefined for anything else. @throws CairnError `malformed-document` */
export function bundleIn(bytes: Uint8Array, mediaType: string, subject: Digest): Found | undefined {
  const manifest = parseManifest(bytes, mediaType);
  if (isIndex(manifest) || manifest.subject?.digest !== subject || manifest.artifactType?.startsWith(bundleTypes) !== true) return undefined;
  const [layer, ...others] = manifest.layers;
  if (layer === undefined || others.length > 0 || !layer.mediaType.startsWith(bundleTypes) || layer.size > largestForeign) return undefined;
  return { digest: layer.digest, limit: largestForeign, signature: '', form: (text) => ({ form: 'bundle', bundle: utf8(text) }) };
}

/** Signatures and attestations in a manifest under one of the old tags, newest first: cosign adds at the end. @throws CairnError `malformed-document` */
export function legacyIn(bytes: Uint8Array, mediaType: string): Found[] {
  const manifest = parseManifest(bytes, mediaType);
  if (isIndex(manifest)) return [];
  return manifest.layers.toReversed().flatMap((layer): Found[] => {
    const signature = layer.annotations?.['dev.cosignproject.cosign/signature'] ?? '';
    if (layer.mediaType === simpleType && layer.size <= largestPayload && signature !== '') {
      const certificate = layer.annotations?.['dev.sigstore.cosign/certificate'] ?? null;
      return [{ digest: layer.digest, limit: largestPayload, signature, form: (text) => ({ form: 'simplesigning', payload: text.toString('base64'), signature, certificate }) }];
    }
    // One with a certificate is by an identity: cosign writes those as bundles today.
    if (layer.mediaType !== envelopeType || layer.size > largestForeign || layer.annotations?.['dev.sigstore.cosign/certificate'] !== undefined) return [];
    return [{ digest: layer.digest, limit: largestForeign, signature: '', form: (text) => ({ form: 'dsse', envelope: utf8(text) }) }];
  });
}

function utf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new CairnError('malformed-document', 'a signed text is not UTF-8', { cause });
  }
}
