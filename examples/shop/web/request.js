// What strangers send: bounded, and of two forms.

export class ClientError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const limit = 64 * 1024;

/** The fields of a JSON body or of a posted form. */
export async function bodyOf(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > limit) throw new ClientError(413, 'That is too much.');
    chunks.push(chunk);
  }
  const text = Buffer.concat(chunks).toString();
  if (!(request.headers['content-type'] ?? '').startsWith('application/json')) return Object.fromEntries(new URLSearchParams(text));
  try {
    return JSON.parse(text) ?? {};
  } catch {
    throw new ClientError(400, 'That is not JSON.');
  }
}
