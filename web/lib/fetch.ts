/** Fetching an archive, the same in a browser and in Node. */
import { LongshoreError, aborted } from './errors.js';
import type { CallOptions } from './types.js';

/** How often progress is reported. */
const REPORT_MS = 50;

/** Fetches `url` and lets `take` have the answer, its bytes counted as they pass. */
export async function fetchArchive<T>(
  url: URL,
  { signal, onProgress }: CallOptions,
  take: (response: Response) => Promise<T>,
): Promise<T> {
  try {
    const response = await fetch(url, signal ? { signal } : {});
    if (!response.ok || !response.body) throw new Error(`the server answered ${response.status}`);
    // The length is that of what was sent, which says nothing where it was sent compressed.
    const total = response.headers.has('content-encoding') ? 0 : Number(response.headers.get('content-length') ?? 0);
    let done = 0;
    let next = 0;
    const report = () => {
      next = performance.now() + REPORT_MS;
      onProgress?.({ phase: 'fetch', done, total });
    };
    const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        done += chunk.byteLength;
        if (performance.now() >= next) report();
        controller.enqueue(chunk);
      },
      flush: report,
    });
    return await take(new Response(response.body.pipeThrough(counted)));
  } catch (thrown) {
    if (signal?.aborted) throw aborted(signal);
    // Node says what it was in the cause only.
    const told = thrown instanceof Error && thrown.cause instanceof Error && thrown.cause.message ? thrown.cause : thrown;
    const reason = told instanceof Error ? told.message : String(told);
    throw new LongshoreError('fetch-failed', `The archive cannot be fetched: ${reason}.`, { reason, url: url.href }, { cause: thrown });
  }
}

/** The file's name at the end of a URL. */
export function nameOfUrl({ pathname }: URL): string {
  const name = pathname.slice(pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(name);
  } catch {
    // A stray percent sign is part of the name then.
    return name;
  }
}
