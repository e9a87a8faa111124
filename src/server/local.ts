/**
 * A page in somebody's browser must not speak for the person at this machine: loopback names only, no foreign origin.
 * Neither is a secret; a browser is just not able to lie about them.
 */
export function isLocal(headers: { readonly host?: string | undefined; readonly origin?: string | undefined }): boolean {
  const { host = '', origin } = headers;
  return ['127.0.0.1', 'localhost', '[::1]'].includes(host.replace(/:\d+$/, '')) && (origin === undefined || origin === `http://${host}`);
}
