// The command line: what it prints, how it exits, and where it takes a password from.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { fixtures } from '../support/fixtures.mjs';
import { has, skipUnless } from '../support/peers.mjs';
import { startRegistry } from '../support/registry.mjs';
import { run } from '../support/run.mjs';
import { tar, writeImages } from '../support/tars.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const PASSWORD = 'long-enough-to-be-seen';
const context = lasting();

let directory;
let archive;

before(async () => {
  directory = await temporary(context);
  archive = join(directory, 'app.tar');
  await fixtures(['docker-legacy', '--images', '2', '--layers', '2', '--size', '50000', '--name', 'app:1', '--name', 'team/db:1', archive]);
});

/** Runs `longshore`; resolves to its exit code and what it wrote. */
function longshore(args, { input, env } = {}) {
  const child = spawn(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } });
  let [out, error] = ['', ''];
  child.stdout.on('data', (text) => (out += text));
  child.stderr.on('data', (text) => (error += text));
  child.stdin.end(input ?? '');
  return ended(child).then((code) => ({ code, out, error }));
}

/** Resolves to the exit code. */
function ended(child) {
  return new Promise((resolve) => child.once('close', resolve));
}

describe('the command line', () => {
  it('helps, and says what makes no sense', async () => {
    const help = await longshore(['--help']);
    assert.equal(help.code, 0);
    for (const name of ['push', 'pull', 'tags', 'mirror', 'inspect', 'verify', 'retag', 'convert']) {
      assert.match(help.out, new RegExp(`^  ${name} `, 'm'));
      const own = await longshore([name, '--help']);
      assert.equal(own.code, 0);
      assert.match(own.out, new RegExp(`^Usage: longshore ${name} `));
    }
    assert.equal((await longshore(['help'])).out, help.out);
    assert.equal((await longshore(['help', 'push'])).out, (await longshore(['push', '--help'])).out);
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
    assert.deepEqual(await longshore(['--version']), { code: 0, out: `longshore ${version}\n`, error: '' });
    // What follows -- is no option.
    const named = await longshore(['verify', '--', '--help']);
    assert.equal(named.code, 1);
    assert.match(named.error, /\(read-failed\)\n$/);
    for (const args of [['nonsense'], ['help', 'nonsense'], ['push'], ['push', archive], ['verify', 'a', 'b'], ['convert', '--format', 'x', archive, 'y'], ['verify', '--no', archive], ['retag', archive, 'y'], ['retag', '--tag', 'app:1', archive, 'y'], ['push', '-u', 'me', '--password-stdin', '-', 'app:1', 'registry.local/app']]) {
      const { code, error, out } = await longshore(args);
      assert.deepEqual([code, out], [2, ''], args.join(' '));
      assert.match(error, /^longshore/);
    }
    // What is written as a password where there is no such option is not repeated.
    const { code, error } = await longshore(['push', `--password=${PASSWORD}`, archive, 'app:1']);
    assert.equal(code, 2);
    assert.ok(!error.includes(PASSWORD), error);
  });

  it('inspects, verifies and converts', async () => {
    const all = JSON.parse((await longshore(['inspect', archive])).out);
    assert.deepEqual(all.images.map(({ references }) => references), [['app:1'], ['team/db:1']]);
    const [one] = JSON.parse((await longshore(['inspect', archive, 'app:1'])).out);
    assert.equal(one.Id, all.images[0].id);
    const verified = await longshore(['verify', archive]);
    assert.deepEqual([verified.code, verified.out.trim().split('\n').at(-1)], [0, 'intact']);
    const file = join(directory, 'converted.tar');
    assert.equal((await longshore(['convert', '--format', 'oci', '--layers', 'gzip', '--image', 'app:1', archive, file])).code, 0);
    const converted = JSON.parse((await longshore(['inspect', file])).out);
    assert.deepEqual([converted.format, converted.images.length], ['oci', 1]);
    const absent = await longshore(['verify', join(directory, 'absent.tar')]);
    assert.equal(absent.code, 1);
    assert.match(absent.error, /\(read-failed\)\n$/);
  });

  it('unpacks no more than it may', async () => {
    const layers = join(directory, 'layers.tar');
    const whole = join(directory, 'whole.tar.gz');
    assert.equal((await longshore(['convert', '--format', 'oci', '--layers', 'gzip', archive, layers])).code, 0);
    assert.equal((await longshore(['convert', '--gzip', archive, whole])).code, 0);
    const unproven = await longshore(['verify', '--max-bytes', '10000', layers]);
    assert.match(unproven.out, /\(limit-exceeded\)\n[^]*\nunproven\n$/);
    assert.equal((await longshore(['verify', '--max-bytes=1000000', '--max-ratio=2000', layers])).out.trim().split('\n').at(-1), 'intact');
    const out = join(directory, 'never.tar');
    for (const args of [
      ['verify', '--max-bytes', '10000', whole],
      ['inspect', '--max-bytes', '10000', whole],
      ['retag', '--max-bytes', '10000', '--tag', 'app:1=app:2', whole, out],
      ['convert', '--max-bytes', '10000', '--layers', 'none', layers, out],
    ]) {
      const { code, error } = await longshore(args);
      assert.equal(code, 1, args.join(' '));
      assert.match(error, /\(limit-exceeded\)\n$/);
    }
    for (const value of ['0', '-1', '1e3', 'x', '']) assert.equal((await longshore(['verify', `--max-bytes=${value}`, archive])).code, 2, value);
  });

  it('retags, in the order that is asked for, also in place', async () => {
    const file = join(directory, 'retagged.tar');
    const edits = ['--tag', 'app:1=app:2', '--rename', 'app=registry.local:5000/team/app', '--untag', 'registry.local:5000/team/app:1', '--tag=app:2=late'];
    const refused = await longshore(['retag', ...edits, archive, file]);
    assert.deepEqual([refused.code, refused.error], [1, 'longshore: No such image: app:2 (no-such-image)\n']);
    assert.ok(!existsSync(file));
    const retagged = await longshore(['retag', ...edits.slice(0, -1), archive, file]);
    const [{ id }] = JSON.parse((await longshore(['inspect', archive])).out).images;
    assert.deepEqual(retagged.out.trim().split('\n').slice(0, -1), [
      `${id} -> app:2`,
      'app:1 -> registry.local:5000/team/app:1',
      'app:2 -> registry.local:5000/team/app:2',
      'registry.local:5000/team/app:1 -> no name',
    ]);
    assert.equal((await longshore(['retag', '--rename', '=mirror.local', file, file])).code, 0);
    const { images } = JSON.parse((await longshore(['inspect', file])).out);
    assert.deepEqual(images.map(({ references }) => references), [['mirror.local/team/app:2'], ['mirror.local/team/db:1']]);
    assert.equal((await longshore(['verify', file])).code, 0);
  });

  it('reads standard input and writes standard output', async () => {
    const shell = (script) => run('sh', ['-c', script, 'sh', process.execPath, MAIN, archive, directory]);
    const names = await shell('"$1" "$2" retag --tag app:1=app:2 - - <"$3" | "$1" "$2" convert --format oci - "$4/piped.tar" && "$1" "$2" inspect - <"$4/piped.tar"');
    const { format, images } = JSON.parse(names.slice(names.indexOf('{')));
    assert.deepEqual([format, images.map(({ references }) => references)], ['oci', [['app:1', 'app:2'], ['team/db:1']]]);
    assert.match(await shell('"$1" "$2" convert "$3" - 2>/dev/null | "$1" "$2" verify -'), /\nintact\n$/);
    // What is printed about an archive does not get into it, by whatever path it goes out.
    const about = await shell('"$1" "$2" retag --tag app:1=app:2 "$3" /dev/stdout 2>"$4/about.txt" | "$1" "$2" verify - && cat "$4/about.txt"');
    assert.match(about, /\nintact\nsha256:[0-9a-f]{64} -> app:2\n/);
    const same = await shell('"$1" "$2" retag --tag app:1=app:2 "$3" "$4/same.tar" 2>&1 >"$4/same.tar" && "$1" "$2" verify "$4/same.tar"');
    assert.match(same, /^sha256:[0-9a-f]{64} -> app:2\n.*\nintact\n$/s);
    // Whoever reads no more is left alone, and what cannot be written is told.
    assert.equal(await shell('"$1" "$2" inspect "$3" 2>&1 | head -n 1'), '{\n');
    assert.match(await shell('"$1" "$2" inspect "$3" 2>&1 >/dev/full || echo "code $?"'), /^longshore: the output cannot be written: .*\ncode 1\n$/);
    assert.match(await shell('"$1" "$2" convert --gzip "$3" - 2>&1 >/dev/full || echo "code $?"'), /\(write-failed\)\n.*code 1\n$/s);
    assert.match(await shell('cat "$3" | "$1" "$2" verify /dev/stdin 2>&1 || echo "code $?"'), /it is a pipe, .*\(read-failed\)\ncode 1\n$/);
  });

  it('shows text of an archive without what a terminal would do something about', async () => {
    const file = join(directory, 'escapes.tar');
    const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [`sha256:${'0'.repeat(64)}`] } };
    const manifest = [{ Config: 'config.json', RepoTags: ['app:1'], Layers: ['\u001b[31mred/layer.tar'] }];
    await writeFile(file, tar([{ path: 'manifest.json', content: JSON.stringify(manifest) }, { path: 'config.json', content: JSON.stringify(config) }]));
    const { code, error } = await longshore(['inspect', file]);
    assert.equal(code, 1);
    assert.match(error, /"\\u001b\[31mred\/layer\.tar"/);
    assert.ok(!error.includes('\u001b'), error);
  });

  it('prints a line for a line, whatever an archive has in its names', async () => {
    const file = join(directory, 'forged.tar');
    const names = ['evil\nx:1: intact\nintact\n:1', 'seen\u200b\u200e\u2028\u{e0041}\t:1'];
    await writeImages(file, names.map((name) => ({ name, layers: [], config: { User: name } })));
    const { out } = await longshore(['verify', file]);
    const lines = out.split('\n').filter((line) => line.endsWith(': intact') || line === 'intact');
    assert.deepEqual(lines, ['evil\\nx:1: intact\\nintact\\n:1: intact', 'seen\\u200b\\u200e\\u2028\\udb40\\udc41\\t:1: intact', 'intact']);
    // JSON says what it said before.
    const inspected = await longshore(['inspect', file]);
    assert.doesNotMatch(inspected.out.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}]/u);
    assert.deepEqual(JSON.parse(inspected.out).images.map(({ references }) => references), names.map((name) => [name]));
  });

  it('can be stopped while it writes, and leaves nothing behind', async (t) => {
    const large = join(directory, 'large.tar');
    await fixtures(['docker-legacy', '--layers', '2', '--size', '8000000', '--name', 'app:1', large]);
    const TMPDIR = await temporary(t);
    for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
      // What comes in is kept in a temporary file meanwhile.
      const writing = spawn(process.execPath, [MAIN, 'convert', '-', '-'], { env: { ...process.env, TMPDIR } });
      createReadStream(large).pipe(writing.stdin);
      let error = '';
      writing.stderr.on('data', (text) => (error += text));
      writing.stdout.once('readable', () => {
        writing.kill(signal);
        writing.stdout.resume();
      });
      assert.equal(await ended(writing), code, error);
      assert.match(error, /\(aborted\)\n$/);
      assert.deepEqual(await readdir(TMPDIR), []);
    }
    const nowhere = await longshore(['verify', '-'], { input: 'x', env: { TMPDIR: '/nonexistent' } });
    assert.deepEqual([nowhere.code, nowhere.out], [1, '']);
    assert.match(nowhere.error, /\(write-failed\)\n$/);
  });

  // It asks on a terminal only, which script makes.
  const skip = !has('script') && 'skipped: no script';

  /** Runs `longshore tags` on a terminal, where `answer` gets the process and its number when it asks for the password. */
  async function asked(repository, answer) {
    const command = `echo "number $$"; exec '${process.execPath}' '${MAIN}' tags --plain-http --username shore ${repository}`;
    const asking = spawn('script', ['--quiet', '--return', '--command', command, '/dev/null']);
    let shown = '';
    asking.stdout.on('data', (text) => {
      const wasAsked = shown.includes('Password of shore: ');
      shown += text;
      if (!wasAsked && shown.includes('Password of shore: ')) answer(asking, Number(/number (\d+)/.exec(shown)[1]));
    });
    return { code: await ended(asking), shown };
  }

  it('can be stopped while it asks for a password', { skip }, async () => {
    const typed = await asked('localhost:1/app', (asking) => asking.stdin.write('\u0003'));
    assert.equal(typed.code, 130, typed.shown);
    assert.ok(!typed.shown.includes('Usage'), typed.shown);
    const killed = await asked('localhost:1/app', (asking, number) => process.kill(number, 'SIGTERM'));
    assert.equal(killed.code, 143, killed.shown);
  });

  it('can be stopped once it has a password, which ends as a line or a file does', { skip }, async (t) => {
    const server = createServer();
    await once(server.listen(0, 'localhost'), 'listening');
    t.after(() => (server.closeAllConnections(), server.close()));
    for (const end of ['\r', '\u0004']) {
      let terminal;
      const sent = [];
      // It asks for no password before it is told to; what has one is never answered.
      const answer = ({ headers }, response) => {
        if (!headers.authorization) return response.writeHead(401, { 'WWW-Authenticate': 'Basic realm="test"' }).end();
        sent.push(headers.authorization);
        terminal.stdin.write('\u0003');
      };
      server.removeAllListeners('request').on('request', answer);
      const { code, shown } = await asked(`localhost:${server.address().port}/app`, (asking) => {
        terminal = asking;
        asking.stdin.write(`${PASSWORD}${end}`);
      });
      assert.equal(code, 130, shown);
      assert.deepEqual(sent, [`Basic ${Buffer.from(`shore:${PASSWORD}`).toString('base64')}`]);
    }
  });

  it('can be stopped while a password is to come', async () => {
    for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
      const waiting = spawn(process.execPath, [MAIN, 'tags', '--username', 'shore', '--password-stdin', 'localhost:1/app']);
      // More than a pipe holds: once it is through, somebody reads.
      waiting.stdin.write('x'.repeat(1 << 20), () => waiting.kill(signal));
      assert.equal(await ended(waiting), code);
    }
  });

  it('tells the images of one name apart', async () => {
    const file = join(directory, 'platforms.tar');
    await fixtures(['oci-platforms', '--images', '2', '--layers', '1', '--size', '1000', '--name', 'app:1', file]);
    const { out } = await longshore(['verify', file]);
    assert.match(out, /^app:1 \(linux\/amd64\): intact$/m);
  });

  it('mirrors the names that can be mirrored, and says which cannot', async () => {
    const file = join(directory, 'unnamed.tar');
    await writeImages(file, ['bad name:1', 'good:1'].map((name) => ({ name, layers: [], config: { User: name } })));
    const { code, out } = await longshore(['mirror', '--dry-run', file, 'registry.local/mirror/']);
    assert.deepEqual([code, out.split('\n')], [
      1,
      ['good:1 -> registry.local/mirror/good:1 (0 bytes of layers)', 'registry.local/mirror/bad name:1: invalid reference format (invalid-reference)', ''],
    ]);
  });

  it('pushes, mirrors, lists and pulls', { skip: skipUnless('docker-registry') }, async (t) => {
    const { host } = await startRegistry(t, { users: { shore: PASSWORD } });
    const env = { LONGSHORE_USERNAME: 'shore', LONGSHORE_PASSWORD: PASSWORD };
    const dry = await longshore(['mirror', '--dry-run', archive, `${host}/mirror`]);
    assert.match(dry.out, new RegExp(`^app:1 -> ${host}/mirror/app:1 `, 'm'));
    const long = await longshore(['mirror', '--dry-run', archive, 'x'.repeat(256)]);
    assert.equal(long.code, 1);
    assert.match(long.error, /\(invalid-reference\)\n$/);
    const mirrored = await longshore(['mirror', archive, `${host}/mirror`], { env });
    assert.deepEqual([mirrored.code, mirrored.out.trim().split('\n').at(-1)], [0, '2 of 2 pushed'], mirrored.error);
    const pushed = await longshore(['push', '--username', 'shore', '--password-stdin', archive, 'app:1', `${host}/app:2`], { input: `${PASSWORD}\n` });
    assert.equal(pushed.code, 0, pushed.error);
    assert.match(pushed.out, /^2: digest: sha256:[0-9a-f]{64} size: \d+$/m);
    assert.equal((await longshore(['tags', `${host}/app`], { env })).out, '2\n');
    const file = join(directory, 'pulled.tar');
    const pulled = await longshore(['pull', `${host}/app:2`, file], { env });
    assert.equal(pulled.code, 0, pulled.error);
    assert.equal((await longshore(['verify', file])).code, 0);
    const refused = await longshore(['tags', `${host}/app`]);
    assert.deepEqual([refused.code, refused.out], [1, '']);
    assert.match(refused.error, /\(unauthorized\)\n$/);
    const nobody = await longshore(['tags', '--username', 'shore', `${host}/app`]);
    assert.equal(nobody.code, 2);
  });
});
