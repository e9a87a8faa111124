import { createRequire } from 'node:module';
import type * as bundle from '@sigstore/bundle';
import type * as core from '@sigstore/core';
import type * as specs from '@sigstore/protobuf-specs';
import type * as verify from '@sigstore/verify';

/** Sigstore's own library. Loaded when the first foreign bundle comes: most commands never meet one. */
export interface Library {
  readonly bundle: typeof bundle;
  readonly core: typeof core;
  readonly specs: typeof specs;
  readonly verify: typeof verify;
}

export type Asn1 = ReturnType<typeof core.ASN1Obj.parseBuffer>;

export type SigstoreCertificate = InstanceType<typeof core.X509Certificate>;

let loaded: Library | undefined;

export function library(): Library {
  const load = createRequire(import.meta.url);
  loaded ??= {
    bundle: load('@sigstore/bundle') as typeof bundle,
    core: load('@sigstore/core') as typeof core,
    specs: load('@sigstore/protobuf-specs') as typeof specs,
    verify: load('@sigstore/verify') as typeof verify,
  };
  return loaded;
}
