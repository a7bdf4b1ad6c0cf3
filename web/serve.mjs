// Serves dist/ on this machine: `node web/serve.mjs [--build] [--registry ORIGIN]...`, on port 8080 or PORT. The page may
// talk to these registries, and to nobody else.
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
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
 * Serves a folder on 127.0.0.1, and `pages` (HTML by path) beside it. Port 0 takes any free one. `registries` are origins
 * that the page may talk to. Resolves to `origin` and `close()`.
 */
export async function serve({ port = 0, root = DIST, policy = POLICY, pages = {}, registries = [] } = {}) {
  const widen = (text) => text.replace("connect-src 'self'", ["connect-src 'self'", ...registries.map(originOf)].join(' '));
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
    // What the page's own meta element allows is all that counts.
    const changed = registries.length > 0 && extname(found.path) === '.html' && Buffer.from(widen(await readFile(found.path, 'utf8')));
    response.writeHead(200, {
      'content-type': TYPES[extname(found.path)] ?? 'application/octet-stream',
      'content-length': changed ? changed.length : found.size,
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff',
      ...(policy && { 'content-security-policy': widen(policy) }),
    });
    if (request.method === 'HEAD') response.end();
    else if (changed) response.end(changed);
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

/** The origin of a registry that somebody named. */
function originOf(text) {
  const url = new URL(text);
  if (!/^https?:$/.test(url.protocol)) throw new Error(`${text} is no registry: it begins with https:// or http://`);
  return url.origin;
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
  const registries = process.argv.flatMap((argument, index) => (argument === '--registry' ? [process.argv[index + 1] ?? ''] : []));
  const { origin } = await serve({ port: Number(process.env.PORT ?? 8080), registries });
  console.log(`Longshore is at ${origin}/`);
}
