// Serves dist/ on this machine: `node web/serve.mjs [--build]`, on port 8080 or PORT.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { pipeline } from 'node:stream';
import { fileURLToPath } from 'node:url';

const DIST = fileURLToPath(new URL('../dist', import.meta.url));

const TYPES = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};

// As in the page's own meta element, which a static host leaves in force; only a header can forbid framing.
const POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
  "worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * Serves a folder on 127.0.0.1, and `pages` (HTML by path) beside it. Port 0 takes any free one. Resolves to `origin` and
 * `close()`.
 */
export async function serve({ port = 0, root = DIST, policy = POLICY, pages = {} } = {}) {
  const server = createServer(async (request, response) => {
    const page = pages[request.url];
    if (page !== undefined) {
      response.writeHead(200, { 'content-type': TYPES['.html'] }).end(page);
      return;
    }
    const found = await find(root, request.url ?? '/').catch(() => undefined);
    if (!found) {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('There is no such page.\n');
      return;
    }
    response.writeHead(200, {
      'content-type': TYPES[extname(found.path)] ?? 'application/octet-stream',
      'content-length': found.size,
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      ...(policy && { 'content-security-policy': policy }),
    });
    if (request.method === 'HEAD') response.end();
    // A file that cannot be read, or that goes while it is sent, ends this response and not the server.
    else pipeline(createReadStream(found.path), response, () => {});
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  return { origin, close };
}

/** The file that a request means. A path that climbs out of the folder ends at the folder's root. */
async function find(root, url) {
  const path = join(root, normalize(join('/', decodeURIComponent(new URL(url, 'http://host').pathname))));
  const stats = await stat(path);
  if (!stats.isDirectory()) return { path, size: stats.size };
  const index = join(path, 'index.html');
  return { path: index, size: (await stat(index)).size };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--build')) (await import('./build.mjs')).build();
  const { origin } = await serve({ port: Number(process.env.PORT ?? 8080) });
  console.log(`Longshore is at ${origin}/`);
}
