// Real archives: images built by a real Docker Engine, and saved by it and by skopeo.
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { skopeo, staticBusybox } from './peers.mjs';

// Three images on one base. `RUN` makes layers with deletions (whiteouts) and replaced files.
const DOCKERFILES = {
  base: `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "/bin"]
COPY release /etc/release
ENV PATH=/bin
CMD ["cat", "/etc/release"]
`,
  mysql: `FROM base:1
ENV MYSQL_VERSION=5.5.16
LABEL org.opencontainers.image.title="not really MySQL"
RUN mkdir -p /etc/mysql /var/lib/mysql && echo obsolete > /etc/mysql/old.cnf && echo one > /etc/mysql/my.cnf
RUN rm /etc/mysql/old.cnf && echo "mysql $MYSQL_VERSION" > /etc/mysql/my.cnf
EXPOSE 3306
VOLUME /var/lib/mysql
USER 1000
WORKDIR /etc/mysql
HEALTHCHECK --interval=5s CMD test -f my.cnf
CMD ["cat", "my.cnf"]
`,
  tool: `FROM base:1
COPY release /opt/tool
ENTRYPOINT ["cat", "/opt/tool"]
CMD []
`,
};

/** The names that each image is built with, and what running it prints. */
export const BUILT = {
  base: { names: ['base:1'], prints: 'built for Longshore\n' },
  mysql: { names: ['mysql:5.5.16', 'mysql:5.5', 'mysql:latest'], prints: 'mysql 5.5.16\n' },
  tool: { names: ['registry.local:5000/team/tool:1'], prints: 'built for Longshore\n' },
};

/**
 * Builds the images and saves them into `directory`. The result has the images' `ids` and the archives' `files`:
 * `single`, `tags` (one image, three tags), `several` (three images that share layers), `untagged`, and by skopeo
 * `skopeoSingle` and `skopeoTags`.
 */
export async function makeArchives(engine, directory) {
  await build(engine, join(directory, 'build'));
  const ids = {};
  for (const [image, { names }] of Object.entries(BUILT)) {
    ids[image] = (await engine.docker('inspect', '--format', '{{.Id}}', names[0])).trim();
  }
  const file = (name) => join(directory, `${name}.tar`);
  const save = async (name, ...images) => {
    await engine.docker('save', '--output', file(name), ...images);
    return file(name);
  };
  const files = {
    single: await save('single', 'base:1'),
    tags: await save('tags', ...BUILT.mysql.names),
    several: await save('several', ...Object.values(BUILT).flatMap(({ names }) => names)),
    untagged: await save('untagged', ids.tool),
  };
  files.skopeoSingle = await bySkopeo(`${files.single}:base:1`, file('skopeo-single'), BUILT.base.names);
  files.skopeoTags = await bySkopeo(`${files.tags}:mysql:5.5`, file('skopeo-tags'), BUILT.mysql.names);
  return { ids, files };
}

async function build(engine, context) {
  await mkdir(context);
  await copyFile(staticBusybox(), join(context, 'busybox'));
  await writeFile(join(context, 'release'), BUILT.base.prints);
  for (const [image, { names }] of Object.entries(BUILT)) {
    const dockerfile = join(context, `${image}.dockerfile`);
    await writeFile(dockerfile, DOCKERFILES[image]);
    const tags = names.flatMap((name) => ['--tag', name]);
    await engine.docker('build', '--network', 'none', '--file', dockerfile, ...tags, context);
  }
}

async function bySkopeo(source, file, [first, ...more]) {
  const tags = more.flatMap((name) => ['--additional-tag', name]);
  await skopeo('copy', '--quiet', ...tags, `docker-archive:${source}`, `docker-archive:${file}:${first}`);
  return file;
}
