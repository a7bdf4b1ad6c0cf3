// The real programs that Longshore is held against.
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { run } from './run.mjs';
import { temporary } from './temp.mjs';

// Debian's client, where there is one: it is as old as its engine, and speaks to it.
export const DOCKER = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';

// What each peer needs. dockerd has to mount file systems.
const PEERS = {
  dockerd: () => has('dockerd') && has(DOCKER) && process.getuid?.() === 0,
  skopeo: () => has('skopeo'),
  podman: () => has('podman'),
  ctr: () => has('ctr'),
  umoci: () => has('umoci'),
  bzip2: () => has('bzip2'),
  xz: () => has('xz'),
  zstd: () => has('zstd'),
  lz4: () => has('lz4'),
  python3: () => has('python3'),
  buildah: () => has('buildah'),
  busybox: () => staticBusybox() !== undefined,
  // With what makes its passwords and its token service's key.
  nginx: () => has('nginx'),
  'docker-registry': () => has('docker-registry') && has('htpasswd') && has('openssl'),
};

/** Whether a program is there to be run. */
export function has(program) {
  const places = program.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  return places.some((place) => {
    try {
      accessSync(join(place, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** A busybox without shared libraries: the whole user land of a test image. */
export function staticBusybox() {
  return ['/bin/busybox', '/usr/bin/busybox'].find(existsSync);
}

/** The `skip` of a test that needs these peers. In CI they have to be there. */
export function skipUnless(...peers) {
  const absent = peers.filter((peer) => !PEERS[peer]());
  if (absent.length === 0) return false;
  const reason = `no ${absent.join(', no ')}`;
  if (process.env.CI === 'true') throw new Error(`${reason}: CI has to have every peer`);
  return `skipped: ${reason}`;
}

export const docker = (env, ...args) => run(DOCKER, args, { env });

export const skopeo = (...args) => run('skopeo', args);

export const umoci = (...args) => run('umoci', args);

/** The names that skopeo finds in a docker-archive. */
export async function skopeoNames(file) {
  return JSON.parse(await skopeo('list-tags', `docker-archive:${file}`)).Tags.sort();
}

/** A podman with an image store of its own: a function that runs it. Of the storage drivers the first that works is used. */
export async function startPodman(t, [driver, ...others] = ['vfs']) {
  const store = await temporary(t);
  const global = ['--root', join(store, 'root'), '--runroot', join(store, 'run'), '--storage-driver', driver];
  const podman = (...args) => run('podman', [...global, ...args]);
  // That driver mounts its own folder, so that it could not be removed.
  if (driver === 'overlay') t.after(() => run('umount', [join(store, 'root', driver)]).catch(() => {}));
  if (others.length === 0) return podman;
  return podman('info').then(() => podman, () => startPodman(t, others));
}

/** A buildah with an image store of its own: a function that runs it. */
export async function buildah(t) {
  const store = await temporary(t);
  const global = ['--root', join(store, 'root'), '--runroot', join(store, 'run'), '--storage-driver', 'vfs'];
  return (command, ...args) => run('buildah', [...global, command, ...args]);
}
