/** The threads that hash and unpack: as many as help, started when they are needed, ended when they are not. */
import { LongshoreError, aborted, fromData } from './errors.js';
import type { FromThread, Part, TaskName, Tasks, ToThread } from './protocol.js';

/** How long a thread waits for more to do. */
const IDLE_MS = 5000;
/** More of them wait for the disk instead of the processor. */
const MOST = 4;

/** A thread of a browser or of Node. */
export interface Thread {
  send(message: ToThread, transfer: ArrayBuffer[]): void;
  /** Whether the program is to stay alive for it. */
  keepAlive(isNeeded: boolean): void;
  /** Ends it, whatever it does; resolves when it has ended. */
  end(): Promise<void>;
}

/** Who hears of a thread. */
export interface Listener {
  reply(message: FromThread): void;
  failed(reason: string): void;
}

export interface TaskOptions {
  signal?: AbortSignal | undefined;
  /** Bytes done so far. */
  onDone?: (done: number) => void;
}

interface Task {
  message: ToThread;
  transfer: ArrayBuffer[];
  onDone: ((done: number) => void) | undefined;
  resolve(result: unknown): void;
  reject(error: LongshoreError): void;
  /** Stops listening to the caller's signal. */
  release(): void;
}

interface Member {
  thread: Thread;
  task: Task | undefined;
}

/** Runs tasks, each in a thread of its own for as long as it takes. */
export class Pool {
  /** How many tasks run at once. */
  readonly size: number;
  readonly #start: (listener: Listener) => Thread;
  readonly #members = new Set<Member>();
  readonly #waiting: Task[] = [];
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(start: (listener: Listener) => Thread, processors: number) {
    this.#start = start;
    this.size = Math.max(1, Math.min(MOST, processors));
  }

  /** Runs a task. Where the signal stops it, its thread has ended before this fails. */
  run<Op extends TaskName>(op: Op, args: Tasks[Op]['args'], { signal, onDone }: TaskOptions = {}): Promise<Tasks[Op]['result']> {
    if (signal?.aborted) return Promise.reject(aborted(signal));
    return new Promise((resolve, reject) => {
      const transfer: ArrayBuffer[] = [];
      const message = { op, args: portable(args, transfer) } as ToThread;
      const stop = () => void this.#settle(task, () => reject(aborted(signal)), true);
      const release = () => signal?.removeEventListener('abort', stop);
      const task: Task = { message, transfer, onDone, resolve: resolve as (result: unknown) => void, reject, release };
      signal?.addEventListener('abort', stop, { once: true });
      this.#waiting.push(task);
      this.#next();
    });
  }

  /** A task is over, and with `end` its thread too, which then has ended before the caller hears of it. */
  #settle(task: Task, outcome: () => void, end: boolean): void {
    task.release();
    const waits = this.#waiting.indexOf(task);
    if (waits >= 0) this.#waiting.splice(waits, 1);
    const member = [...this.#members].find((member) => member.task === task);
    if (member) member.task = undefined;
    if (member && end) {
      this.#members.delete(member);
      void member.thread.end().then(outcome, outcome);
    } else {
      if (member) this.#rest(member);
      outcome();
    }
    this.#next();
  }

  #next(): void {
    while (this.#waiting.length > 0) {
      let member = [...this.#members].find(({ task }) => !task);
      if (!member && this.#members.size >= this.size) return;
      const task = this.#waiting.shift() as Task;
      try {
        member ??= this.#add();
        member.task = task;
        clearTimeout(this.#idle);
        member.thread.keepAlive(true);
        member.thread.send(task.message, task.transfer);
      } catch (thrown) {
        const error = failed(thrown instanceof Error ? thrown.message : String(thrown));
        this.#settle(task, () => task.reject(error), true);
      }
    }
  }

  #add(): Member {
    const member: Member = {
      thread: this.#start({
        reply: (message) => this.#receive(member, message),
        failed: (reason) => {
          const { task } = member;
          if (task) this.#settle(task, () => task.reject(failed(reason)), true);
          this.#members.delete(member);
        },
      }),
      task: undefined,
    };
    this.#members.add(member);
    return member;
  }

  #receive({ task }: Member, message: FromThread): void {
    // Of a task that was stopped.
    if (!task) return;
    if ('done' in message) task.onDone?.(message.done);
    else if ('result' in message) this.#settle(task, () => task.resolve(message.result), false);
    else this.#settle(task, () => task.reject(fromData(message.error)), message.broken);
  }

  #rest(member: Member): void {
    member.thread.keepAlive(false);
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#end(), IDLE_MS);
    // In Node, a timer keeps the program alive unless it is told not to.
    (this.#idle as { unref?: () => void }).unref?.();
  }

  /** Ends the threads that have nothing to do. */
  #end(): void {
    for (const member of this.#members) {
      if (member.task) continue;
      this.#members.delete(member);
      void member.thread.end();
    }
  }
}

/** A task's arguments without arrays of which only a range is meant: copied once, and then handed over. */
function portable<Args extends Tasks[TaskName]['args']>(args: Args, transfer: ArrayBuffer[]): Args {
  const part = (part: Part): Part => {
    const { source, offset, length } = part instanceof Uint8Array ? { source: part, offset: 0, length: part.length } : part;
    if (!(source instanceof Uint8Array)) return part;
    // Not `slice`: that of Node's Buffer copies nothing, and the caller's bytes would be gone.
    const bytes = new Uint8Array(source.subarray(offset, offset + length));
    transfer.push(bytes.buffer);
    return bytes;
  };
  if ('of' in args) return args;
  if ('blobs' in args) return { ...args, blobs: args.blobs.map((blob) => ({ ...blob, parts: blob.parts.map(part) })) };
  if ('jobs' in args) return { ...args, jobs: args.jobs.map((job) => ({ ...job, parts: job.parts.map(part) })) };
  if ('sources' in args) return { ...args, sources: args.sources.map((parts) => parts.map(part)) };
  return { ...args, parts: args.parts.map(part) };
}

function failed(reason: string): LongshoreError {
  return new LongshoreError('worker-failed', `A Worker failed: ${reason}.`, { reason });
}
