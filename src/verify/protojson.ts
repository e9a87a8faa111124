import { z } from 'zod';

// Scalars of protobuf's JSON form, in the one spelling that Sigstore's tools write.

/** Canonical base64 with padding. Compared by writing it again: a pattern would walk a payload of megabytes with a stack. */
const base64 = z.string().refine((text) => Buffer.from(text, 'base64').toString('base64') === text, 'not canonical base64');
export const bytes = base64.refine((text) => text !== '', 'empty').transform((text) => Buffer.from(text, 'base64'));
/** int64: a decimal string, not negative, of at most sixteen digits; what counts as a number is compared with its text. */
export const decimal = z.string().regex(/^(0|[1-9][0-9]{0,15})$/);
export const validity = z.strictObject({ start: z.iso.datetime({ offset: true }), end: z.iso.datetime({ offset: true }).nullish() });
