// Registries of our own: Debian's docker-registry on 127.0.0.1, open, behind a password, or behind a token service; and a
// proxy that spoils what passes through it.
import { spawn } from 'node:child_process';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from './run.mjs';
import { temporary } from './temp.mjs';

const START_LIMIT = 20_000;

/** What a registry has to send so that pages may use it; docs/registry.md has the same. */
export const CORS = {
  'Access-Control-Allow-Origin': ['*'],
  'Access-Control-Allow-Methods': ['HEAD', 'GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  'Access-Control-Allow-Headers': ['Authorization', 'Accept', 'Content-Type', 'Content-Range', 'Range'],
  'Access-Control-Expose-Headers': ['Location', 'Range', 'Content-Range', 'Docker-Content-Digest', 'Link', 'WWW-Authenticate'],
};

/**
 * Starts a registry; it ends with `t`. Options: `cors` (none without), `users` (name → password), `token` (what
 * `startTokens` gave). The result has its `host`, and its `log()`.
 */
export async function startRegistry(t, { cors = false, users, token } = {}) {
  const directory = await temporary(t);
  const port = await freePort();
  const storage = join(directory, 'storage');
  await mkdir(storage);
  const config = {
    version: 0.1,
    log: { level: 'info', accesslog: { disabled: false } },
    storage: { filesystem: { rootdirectory: storage }, delete: { enabled: true } },
    http: { addr: `127.0.0.1:${port}`, secret: 'of-a-test', ...(cors && { headers: CORS }) },
  };
  if (users) {
    const file = join(directory, 'htpasswd');
    const lines = [];
    for (const [user, password] of Object.entries(users)) lines.push(await run('htpasswd', ['-Bbn', user, password]));
    await writeFile(file, lines.join(''));
    config.auth = { htpasswd: { realm: 'Registry', path: file } };
  }
  if (token) {
    const bundle = join(directory, 'token.pem');
    await writeFile(bundle, token.certificate);
    config.auth = { token: { realm: token.realm, service: token.service, issuer: token.issuer, rootcertbundle: bundle } };
  }
  const file = join(directory, 'config.yml');
  // What is JSON is YAML, too.
  await writeFile(file, JSON.stringify(config));
  const child = spawn('docker-registry', ['serve', file], { stdio: ['ignore', 'pipe', 'pipe'] });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (log += text));
  const exit = once(child, 'exit');
  const end = () => child.kill();
  process.once('exit', end);
  t.after(async () => {
    child.kill();
    await exit;
    process.off('exit', end);
  });
  const host = `127.0.0.1:${port}`;
  const deadline = Date.now() + START_LIMIT;
  while (!(await fetch(`http://${host}/v2/`).then(() => true, () => false))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`docker-registry does not start:\n${log}`);
    await sleep(50);
  }
  return { host, storage, log: () => log };
}

/** Starts nginx with what docs/registry.md has for it, before the registry on `host`, for the page on `origin`; it ends with `t`. */
export async function startNginx(t, host, origin) {
  const directory = await temporary(t);
  const port = await freePort();
  const docs = await readFile(new URL('../../docs/registry.md', import.meta.url), 'utf8');
  const [, block] = docs.match(/```nginx\n(.*?)```/s);
  const location = block.replaceAll('https://the.page', origin).replace('http://registry:5000', `http://${host}`);
  const bodies = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`);
  const config = `
    ${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; pid ${directory}/pid; error_log stderr; events {}
    http { access_log off; ${bodies.join(' ')} server { listen 127.0.0.1:${port}; ${location} } }`;
  await writeFile(join(directory, 'nginx.conf'), config);
  const child = spawn('nginx', ['-c', join(directory, 'nginx.conf'), '-e', 'stderr'], { stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  child.stderr.on('data', (text) => (log += text));
  const exit = once(child, 'exit');
  t.after(async () => {
    child.kill();
    await exit;
  });
  const deadline = Date.now() + START_LIMIT;
  while (!(await fetch(`http://127.0.0.1:${port}/v2/`).then(() => true, () => false))) {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`nginx does not start:\n${log}`);
    await sleep(50);
  }
  return { host: `127.0.0.1:${port}` };
}

export async function freePort() {
  const server = createTcpServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts a token service (distribution's `spec/auth/jwt.md`) that knows `users`; anonymous callers get tokens for pulling.
 * `expires` is what a token is good for in seconds, `seen` all that it was asked.
 */
export async function startTokens(t, { users, expires = 300 }) {
  const directory = await temporary(t);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const key = join(directory, 'key.pem');
  const certificateFile = join(directory, 'certificate.pem');
  await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  await run('openssl', ['req', '-new', '-x509', '-key', key, '-out', certificateFile, '-days', '2', '-subj', '/CN=tokens']);
  const certificate = await readFile(certificateFile, 'utf8');
  const chain = certificate.replace(/-----[^-]+-----|\s/g, '');
  const seen = [];
  const service = { service: 'tests', issuer: 'tokens of tests', certificate, seen, expires, granted: 0 };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://tokens');
    seen.push({ url: request.url, authorization: request.headers.authorization });
    const headers = { 'content-type': 'application/json', 'access-control-allow-origin': '*', 'access-control-allow-headers': 'authorization' };
    if (request.method === 'OPTIONS') return void response.writeHead(204, headers).end();
    const [user, password] = Buffer.from((request.headers.authorization ?? '').replace('Basic ', ''), 'base64').toString().split(':');
    if (request.headers.authorization && users[user] !== password) return void response.writeHead(401, headers).end('{}');
    const scopes = url.searchParams.getAll('scope').map((scope) => {
      const [type, ...rest] = scope.split(':');
      const actions = rest.pop().split(',').filter((action) => user || action === 'pull');
      return { type, name: rest.join(':'), actions };
    });
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      iss: service.issuer, sub: user ?? '', aud: service.service, exp: now + service.expires, nbf: now - 60, iat: now,
      jti: String(++service.granted), access: scopes,
    };
    const signed = `${part({ typ: 'JWT', alg: 'RS256', x5c: [chain] })}.${part(claims)}`;
    const token = `${signed}.${createSign('RSA-SHA256').update(signed).sign(privateKey, 'base64url')}`;
    response.writeHead(200, headers).end(JSON.stringify({ token, expires_in: service.expires }));
  });
  service.realm = `http://${await listening(t, server)}/token`;
  return service;
}

/**
 * Starts a server that passes everything on to `target`, unless `spoil(request, number)` says otherwise: it may answer by
 * itself (`{ status, headers, body }`), cut the line after so many bytes of the request (`{ cutAfter }`) or of the answer
 * (`{ cutAnswerAfter }`), change the answer's bytes (`{ change }`), show another token (`{ authorization }`), say nothing (`{ silent: true }`) or nothing at all.
 */
export async function startProxy(t, target, spoil = () => undefined) {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push({ method: request.method, url: request.url, headers: request.headers });
    const what = spoil(request, seen.length) ?? {};
    if (what.silent) return;
    if (what.status) {
      request.resume();
      response.writeHead(what.status, what.headers).end(what.body ?? '');
      return;
    }
    const [hostname, port] = target.split(':');
    // The registry names itself by the name that it is called by.
    const passed = httpRequest({ hostname, port, method: request.method, path: request.url, headers: { ...request.headers, ...(what.authorization && { authorization: what.authorization }) } }, (answer) => {
      const headers = { ...answer.headers };
      if (what.change) delete headers['content-length'];
      response.writeHead(answer.statusCode, headers);
      let done = 0;
      answer.on('data', (bytes) => {
        done += bytes.length;
        response.write(what.change ? what.change(bytes) : bytes);
        if (what.cutAnswerAfter !== undefined && done >= what.cutAnswerAfter) response.socket?.destroy();
      });
      answer.on('end', () => response.end());
      answer.on('error', () => response.destroy());
    });
    passed.on('error', () => response.destroy());
    let sent = 0;
    request.on('data', (bytes) => {
      sent += bytes.length;
      passed.write(bytes);
      if (what.cutAfter !== undefined && sent >= what.cutAfter) {
        request.socket.destroy();
        passed.destroy();
      }
    });
    request.on('end', () => passed.end());
    request.on('error', () => passed.destroy());
  });
  const host = await listening(t, server);
  return { host, seen };
}

/** What answers a browser's question whether it may ask: Debian's registry wants a password for that, too, which no browser sends. */
export function mayAsk(request) {
  const headers = Object.fromEntries(Object.entries(CORS).map(([name, values]) => [name, values.join(', ')]));
  return request.method === 'OPTIONS' ? { status: 204, headers } : undefined;
}

/** Starts a plain HTTP server for `t`; resolves to its host. */
export async function listening(t, server) {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  }));
  return `127.0.0.1:${server.address().port}`;
}
