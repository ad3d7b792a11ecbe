/** One task as the page shows it: its log as it grows, the moment that is looked at, and the choice of iterations. */

import { api } from '../api/client';
import { NotFound, RequestFailed, ServerAway } from '../api/errors';
import { sleep, type StreamState } from '../api/stream';
import type { StatusWord, Task, TaskEvent } from '../api/types';
import { isUnknownPath, watchTask } from '../api/watch';
import { TaskLog } from '../model/log';
import { momentAt, type Choice, type Moment } from '../model/moment';
import { readWorkflow, type Workflow } from '../model/workflow';
import { Values } from './values';

const NO_MOMENT: Moment = { nodes: new Map(), edges: new Map() };
const AGAIN = 2000;
/** While the page is hidden no frame comes; the log grows all the same. */
const HIDDEN_FLUSH = 1000;
/** While so many events come at once, a long log is being read: showing each part of it would take longer than reading it. */
const MANY = 200;
const CATCH_UP_FLUSH = 150;

export type Problem = 'not-found' | 'removed' | RequestFailed;

export interface SessionOptions {
  /** Watch with the JSON of inputs and outputs. */
  values?: boolean;
  /** Called once per batch of events. */
  onChange?: () => void;
}

export class TaskSession {
  readonly log = new TaskLog();
  readonly values: Values;
  task: Task | undefined;
  workflow: Workflow | undefined;
  /** Why there is no workflow, once that is known. */
  withoutWorkflow = false;
  stream: StreamState = 'connecting';
  problem: Problem | undefined;
  /** The sequence that is looked at; undefined: the newest. */
  position: number | undefined;
  choice: Choice = {};
  moment = NO_MOMENT;
  /** Grows whenever anything changes that is shown. */
  version = 0;

  readonly #listeners = new Set<() => void>();
  #ending = new AbortController();
  #waiting: TaskEvent[] = [];
  #scheduled = false;
  #flushed = -Infinity;
  #momentOf = '';
  #stopWatch: (() => void) | undefined;

  constructor(
    readonly taskID: string,
    readonly options: SessionOptions = {},
  ) {
    this.values = new Values(taskID);
  }

  /** Begins to load and watch, at a moment and in iterations if they are given; returns what ends that. */
  open(position?: number, choice: Choice = {}): () => void {
    this.position = position;
    this.choice = choice;
    this.#ending = new AbortController();
    void this.#loadTask();
    this.#stopWatch = watchTask({
      taskID: this.taskID,
      values: this.options.values ?? false,
      after: () => this.log.lastSequence,
      onEvents: (events) => {
        for (const event of events) this.#waiting.push(event); // spread, a hundred thousand are too many arguments
        this.#schedule();
      },
      onConnect: () => {
        this.#flush(); // what is asked for next depends on what has come
        this.log.dropTexts();
      },
      onState: (state) => {
        this.#flush();
        this.stream = state;
        this.#changed();
      },
      onError: (error) => this.#failed(error),
    });
    return () => {
      this.#stopWatch?.();
      this.#ending.abort();
    };
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  readonly getVersion = (): number => this.version;

  get live(): boolean {
    return this.position === undefined;
  }

  /** The sequence that is shown. */
  get at(): number {
    return this.position === undefined ? this.log.lastSequence : Math.min(this.position, this.log.lastSequence);
  }

  get status(): StatusWord {
    if (this.log.lastSequence === 0) return this.task?.workflowStatus.status ?? 'pending';
    return this.log.status(this.at);
  }

  get createTime(): number {
    return this.task?.createTime ?? this.log.times[0] ?? 0;
  }

  get name(): string {
    return this.task?.displayName ?? '';
  }

  /** Looks at a moment; undefined: follows the newest. */
  seek(position: number | undefined): void {
    const last = this.log.lastSequence;
    this.position = position === undefined ? undefined : Math.min(Math.max(position, 1), Math.max(last, 1));
    this.#changed();
  }

  choose(loopID: string, index: number | undefined): void {
    const choice: Record<string, number> = { ...this.choice };
    if (index === undefined) Reflect.deleteProperty(choice, loopID);
    else choice[loopID] = index;
    this.choice = choice;
    this.#changed();
  }

  chooseAll(choice: Choice): void {
    this.choice = { ...this.choice, ...choice };
    this.#changed();
  }

  async #loadTask(): Promise<void> {
    const signal = this.#ending.signal;
    while (!signal.aborted) {
      try {
        this.task = await api.task(this.taskID, signal);
        this.workflow = readWorkflow(this.task.schema);
        this.#changed();
        return;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ServerAway) {
          await sleep(AGAIN, signal);
          continue;
        }
        if (error instanceof NotFound && !isUnknownPath(error)) this.#failed(error);
        this.withoutWorkflow = true;
        this.#changed();
        return;
      }
    }
  }

  #failed(error: RequestFailed): void {
    this.#flush();
    if (error instanceof NotFound) this.problem = this.log.lastSequence > 0 ? 'removed' : 'not-found';
    else this.problem = error;
    this.#changed();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    const flush = () => {
      this.#scheduled = false;
      if (this.#waiting.length < MANY || performance.now() - this.#flushed >= CATCH_UP_FLUSH) this.#flush();
      else this.#schedule();
    };
    if (document.hidden) setTimeout(flush, HIDDEN_FLUSH);
    else requestAnimationFrame(flush);
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const events = this.#waiting;
    this.#waiting = [];
    this.#flushed = performance.now();
    this.log.apply(events);
    this.options.onChange?.();
    this.#changed();
  }

  #changed(): void {
    this.version += 1;
    this.#look();
    for (const listener of this.#listeners) listener();
  }

  #look(): void {
    if (!this.workflow) return;
    const of = `${this.at} ${this.log.version} ${JSON.stringify(this.choice)}`;
    if (of === this.#momentOf) return;
    this.#momentOf = of;
    this.moment = momentAt(this.workflow, this.log, this.at, this.choice, this.moment);
  }
}
