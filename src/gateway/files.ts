import send from 'send';
import { isSurelyHashed } from './assets.ts';
import { releaseHeader } from './headers.ts';
import type { Visit } from './visit.ts';

/**
 * Serves a `files` component: the request's path is looked up in its folder as it is. The folder never changes while it is
 * routed to, so the content's digest with the size is a strong validator of whatever has this path; its times mean nothing.
 */
export function serveFile(visit: Visit, directory: string): void {
  const { request, response, forwarded, cookie } = visit.options;
  const { content, release } = visit.side.backend;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    visit.answer({ status: 405, code: 'usage', message: 'files are only read' });
    return;
  }
  const query = forwarded.path.indexOf('?');
  const path = query === -1 ? forwarded.path : forwarded.path.slice(0, query);
  if (climbs(path)) return missing(visit, 404);
  // `send` decides on the status last; when the file is on its way, that is what was waited for.
  let waited: number | undefined;
  const own = (): void => {
    waited = visit.waited();
    response.setHeader(releaseHeader, release);
    if (cookie !== undefined) response.setHeader('set-cookie', cookie);
  };
  send(request, path, { root: directory, dotfiles: 'ignore', index: 'index.html', lastModified: false })
    .on('headers', (_: unknown, file: string, { size }: { size: number }) => {
      own();
      response.setHeader('etag', `"${content.slice(7, 39)}-${size.toString(16)}"`);
      // A folder's index may change with the next release whatever its path looks like.
      const forever = isSurelyHashed(path) && isSurelyHashed(file);
      response.setHeader('cache-control', forever ? 'public, max-age=31536000, immutable' : 'no-cache');
    })
    .on('directory', () => {
      own();
      // Never `//`: a browser would take what follows for a host.
      response.writeHead(301, { location: `${path.replace(/^\/+/, '/')}/${query === -1 ? '' : forwarded.path.slice(query)}`, 'content-length': 0 }).end();
    })
    .on('error', (error: { status?: number }) => {
      waited = undefined;
      missing(visit, error.status ?? 500);
    })
    .pipe(response);
  response.once('finish', () => {
    if (waited === undefined) return;
    visit.answered(response.statusCode, waited);
    visit.done();
  });
}

function missing(visit: Visit, status: number): void {
  const { response, forwarded } = visit.options;
  // Half a file must not look whole.
  if (response.headersSent) return visit.break();
  const range = response.getHeader('content-range');
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  if (visit.asksElsewhere(status)) return visit.goElsewhere();
  if (status >= 500) return visit.fail({ status: 500, code: 'storage', message: 'the file cannot be read' });
  if (status === 416 && range !== undefined) response.setHeader('content-range', range);
  visit.answer({ status, code: 'not-found', message: `there is no such file: ${forwarded.path.slice(0, 200)}` });
}

/** A path that leaves its route for another part of the folder, which nobody meant to publish. */
function climbs(path: string): boolean {
  return /(?:^|[/\\]|%2f|%5c)(?:\.|%2e){2}(?:$|[/\\]|%2f|%5c)/i.test(path);
}
