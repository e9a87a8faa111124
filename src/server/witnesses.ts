import type { Facts } from '#attest';

/** What a witness of the policy has said, as a caller may check it for himself: `note` is a checkpoint with its cosignature. */
export interface WitnessAnswer {
  readonly name: string;
  readonly url: string;
  readonly vkey: string;
  /** Entries that it cosigned last. */
  readonly size: number | null;
  readonly note: string | null;
  /** `waiting`: not asked yet, or behind. */
  readonly state: 'cosigned' | 'waiting' | 'unreachable' | 'throttled';
  readonly detail: string | null;
}

/** Who asks the witnesses, as far as this room has to know. */
export interface Witnessing {
  covering(size: number, threshold: number, limitMs: number): Promise<Pick<Facts, 'witnessed' | 'sources'>>;
  views(): Promise<readonly { readonly name: string; readonly url: string; readonly vkey: string; readonly cosigned: { readonly size: number; readonly note: string } | null; readonly trouble: { readonly state: 'unreachable' | 'throttled'; readonly detail: string } | null }[]>;
  /** A checkpoint with the cosignatures of exactly this one behind it. */
  decorate(note: string): string;
}

/** @param size of the log now */
export async function witnessAnswers(witnessing: Witnessing | undefined, size: number): Promise<WitnessAnswer[]> {
  return ((await witnessing?.views()) ?? []).map(({ name, url, vkey, cosigned, trouble }) => ({
    name, url, vkey, size: cosigned?.size ?? null, note: cosigned?.note ?? null,
    state: trouble?.state ?? (cosigned !== null && cosigned.size >= size ? 'cosigned' : 'waiting'), detail: trouble?.detail ?? null,
  }));
}
