// A build tool names a file by a hash of its content, so that a name never means two things: such a file may be cached for ever,
// and a page of the release before may still ask for it after the switch.

/** Hashed, and perhaps a word that only looks so: asking for one in vain costs a request, not asking costs a broken page. */
const maybeHashed = /[._][0-9a-f]{8,}\.|-(?=[A-Za-z0-9_-]*[0-9A-Z])[A-Za-z0-9_-]{8,}\./;

/** Surely hashed, since a browser that was told so never asks again: hex of both kinds, or capitals among small letters and digits. */
const surelyHashed = /[-._](?=[0-9a-f]*[0-9])(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\.|-(?=[A-Za-z0-9_]*[0-9])(?=[A-Za-z0-9_]*[A-Z])(?=[A-Za-z0-9_]*[a-z])[A-Za-z0-9_]{8,64}\./;

export function mayBeHashed(path: string): boolean {
  return maybeHashed.test(fileName(path));
}

export function isSurelyHashed(path: string): boolean {
  return surelyHashed.test(fileName(path));
}

function fileName(path: string): string {
  const end = path.indexOf('?');
  const bare = end === -1 ? path : path.slice(0, end);
  const name = bare.slice(bare.lastIndexOf('/') + 1);
  // No file has a longer one, and what looks ahead in it must not be given thousands of places to begin.
  return name.length > 255 ? '' : name;
}
