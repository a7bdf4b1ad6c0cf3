// What a real registry answers, recorded and given once more when it is asked the same: the protocol makes the same of it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless } from '../support/peers.mjs';
import { listening, startRegistry, startTokens } from '../support/registry.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const USER = { user: 'shore', password: 'long-enough-to-be-seen' };
const USERS = { [USER.user]: USER.password };

let api;
let archive;
const context = lasting();

before(async () => {
  api = await longshore();
  archive = join(await temporary(context), 'app.tar');
  // Layers that are packed on the way are sent in the order in which that ends: another one each time.
  await fixtures(['oci-gzip', '--layers', '3', '--size', '200000', '--name', 'app:1', archive]);
});

/** Stands before a registry and notes its answers; after `replay()` it gives these, and the registry is asked no more. */
async function startRecorder(t, target) {
  const answers = new Map();
  const given = [];
  let isLive = true;
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    const { authorization, 'content-type': type, 'content-range': range } = request.headers;
    // A token is another one each time.
    const scheme = authorization?.split(' ')[0];
    const asked = [request.method, request.url, scheme, type, range, createHash('sha256').update(body).digest('hex')].join(' ');
    if (isLive) {
      const [hostname, port] = target.split(':');
      // The registry names itself by the name that it is called by.
      const passed = httpRequest({ hostname, port, method: request.method, path: request.url, headers: request.headers });
      passed.end(body);
      const [answer] = await once(passed, 'response');
      const told = { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(await answer.toArray()) };
      answers.set(asked, [...(answers.get(asked) ?? []), told]);
    } else given.push(asked);
    const told = isLive ? answers.get(asked).at(-1) : answers.get(asked)?.shift();
    const { status, headers, body: bytes } = told ?? { status: 599, headers: {}, body: Buffer.from(`never asked: ${asked}`) };
    response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : bytes);
  });
  const host = await listening(t, server);
  return {
    host,
    replay: () => (isLive = false),
    given,
    left: () => [...answers].flatMap(([asked, rest]) => rest.map(() => asked)),
  };
}

/** All that is done at a registry, and what came of it. */
async function everything(host, credentials) {
  const options = { pause: 1, ...(credentials && { credentials }) };
  const lines = [];
  const opened = await api.openArchive(archive);
  const pushed = await opened.push('app:1', { to: `${host}/team/app:1`, chunkSize: 1 << 20, concurrency: 1, onLine: (line) => lines.push(line), ...options });
  const again = await opened.push('app:1', { to: `${host}/team/app:2`, concurrency: 1, ...options });
  await opened.close();
  const client = await api.registry(host, options);
  const { status } = await client.check();
  const repositories = await client.catalog();
  const tags = await client.tags('team/app');
  const pulled = await api.pull(`${host}/team/app:1`, { concurrency: 1, ...options });
  const { verdict } = await pulled.verify();
  const images = pulled.images.map(({ id, digest, references }) => [id, digest, references]);
  await pulled.close();
  const failed = (error) => [error.code, error.message, error.detail];
  const absent = await api.pull(`${host}/team/app:none`, options).then(() => 'pulled', failed);
  const wrong = credentials && (await api.pull(`${host}/team/app:1`, { pause: 1, credentials: { ...credentials, password: 'another' } }).then(() => 'pulled', failed));
  return { pushed, again, lines, status, repositories, tags, verdict, images, absent, wrong };
}

describe("recorded answers of Debian's registry", { skip: skipUnless('docker-registry') }, () => {
  for (const [kind, options, credentials] of [
    ['open', async () => ({}), undefined],
    ['with passwords', async () => ({ users: USERS }), USER],
    ['with a token service', async (t) => ({ token: await startTokens(t, { users: USERS }) }), USER],
  ]) {
    it(`${kind}: are understood without it as they were with it`, async (t) => {
      const { host } = await startRegistry(t, await options(t));
      const recorder = await startRecorder(t, host);
      const first = await everything(recorder.host, credentials);
      assert.deepEqual([first.status, first.verdict, first.repositories, first.tags.toSorted()], ['ok', 'intact', ['team/app'], ['1', '2']]);
      assert.equal(first.absent[0], 'not-found');
      if (credentials) assert.equal(first.wrong[0], 'unauthorized');
      recorder.replay();
      assert.deepEqual(await everything(recorder.host, credentials), first);
      assert.ok(recorder.given.length > 20);
      assert.deepEqual(recorder.left(), []);
    });
  }
});
