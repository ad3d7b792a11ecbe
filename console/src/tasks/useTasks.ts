import { useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { api } from '../api/client';
import { RequestFailed, ServerAway } from '../api/errors';
import { sleep } from '../api/stream';
import type { TaskSummary } from '../api/types';
import { isUnknownPath, watchTasks } from '../api/watch';
import { serverNow } from '../app/clock';
import { setAway } from '../app/connection';
import { fits, SPANS, TaskCollection, type TaskFilter } from '../model/tasks';
import { texts } from '../texts';

const PAGE = 50;
/** While a filter that the server does not know leaves too little, so many older tasks are looked through at once. */
const SEARCH_PAGE = 500;
const SEARCH_PAGES = 10;
const ENOUGH = 20;
const POLL = 2000;

export interface Tasks {
  shown: TaskSummary[];
  /** New tasks that are held back until `reveal`. */
  fresh: number;
  loading: boolean;
  searching: boolean;
  /** Tasks that were looked through. */
  searched: number;
  /** Whether there are older ones. */
  more: boolean;
  error: RequestFailed | undefined;
  loadMore: () => void;
  reveal: () => void;
}

interface Snapshot {
  shown: TaskSummary[];
  fresh: number;
  loading: boolean;
  searching: boolean;
  searched: number;
  more: boolean;
  error: RequestFailed | undefined;
}

type State = Omit<Snapshot, 'shown' | 'fresh'>;

const NOTHING: Snapshot = { shown: [], fresh: 0, loading: true, searching: false, searched: 0, more: false, error: undefined };

/** The tasks of a filter, live unless paused. `atTop`: whether new ones may appear above what is being read. */
export function useTasks(filter: TaskFilter, paused: boolean, atTop: () => boolean): Tasks {
  const [snapshot, setSnapshot] = useState<Snapshot>(NOTHING);
  const loader = useRef<Loader>(undefined);
  const key = JSON.stringify([filter.statuses, filter.labels, filter.name, filter.created]);
  const latestAtTop = useRef(atTop);
  useEffect(() => {
    latestAtTop.current = atTop;
  });

  useEffect(() => {
    const [statuses, labels, name, created] = JSON.parse(key) as [TaskFilter['statuses'], string[], string, string];
    const current = new Loader({ statuses, labels, name, created }, setSnapshot, () => latestAtTop.current());
    loader.current = current;
    void current.first();
    return () => current.end();
  }, [key]);

  useEffect(() => {
    if (paused) return undefined;
    return loader.current?.live();
  }, [key, paused]);

  const loadMore = useCallback(() => void loader.current?.older(), []);
  const reveal = useCallback(() => loader.current?.reveal(), []);
  return useMemo(() => ({ ...snapshot, loadMore, reveal }), [snapshot, loadMore, reveal]);
}

class Loader {
  readonly #collection = new TaskCollection();
  readonly #ending = new AbortController();
  #pageToken: string | undefined;
  #state: State = { loading: true, searching: false, searched: 0, more: false, error: undefined };
  #published = false;

  constructor(
    readonly filter: TaskFilter,
    readonly publish: (snapshot: Snapshot) => void,
    readonly atTop: () => boolean,
  ) {}

  end(): void {
    this.#ending.abort();
  }

  async first(): Promise<void> {
    this.publish(NOTHING);
    await this.#load(undefined);
  }

  async older(): Promise<void> {
    if (this.#pageToken !== undefined) await this.#load(this.#pageToken);
  }

  reveal(): void {
    this.#collection.revealAll();
    this.#show();
  }

  /** Follows changes; returns what ends that. */
  live(): () => void {
    let ended = false;
    const polling = new AbortController();
    const stop = watchTasks({
      query: this.#query(),
      onLive: () => void this.#refresh(),
      onChange: (change) => {
        this.#change(change.tasks ?? []);
        this.#collection.remove(change.removedTaskIDs ?? []);
        this.#schedule();
      },
      onState: (state) => setAway(state === 'away'),
      onError: (error) => {
        if (isUnknownPath(error) && !ended) void this.#poll(polling.signal);
      },
    });
    return () => {
      ended = true;
      stop();
      polling.abort();
    };
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted && !this.#ending.signal.aborted) {
      if (!document.hidden) await this.#refresh();
      await sleep(POLL, signal);
    }
  }

  /** The newest page again: what it holds is news. */
  async #refresh(): Promise<void> {
    try {
      const page = await api.tasks({ ...this.#query(), pageSize: PAGE }, this.#ending.signal);
      setAway(false);
      this.#change(page.tasks);
      this.#show();
    } catch (error) {
      if (error instanceof ServerAway) setAway(true);
    }
  }

  #change(tasks: readonly TaskSummary[]): void {
    const now = serverNow();
    this.#collection.change(tasks, {
      reveal: this.atTop(),
      complete: !this.#state.loading && !this.#state.more,
      fits: (task) => fits(task, this.filter, now),
    });
  }

  #query() {
    return { status: this.filter.statuses, label: this.filter.labels };
  }

  async #load(token: string | undefined): Promise<void> {
    const { name, created } = this.filter;
    const searching = name !== '';
    this.#update({ loading: true, searching, error: undefined });
    const goal = this.#collection.size + (searching ? ENOUGH : 1);
    try {
      for (let page = 0; page < SEARCH_PAGES; page += 1) {
        const pageSize = searching ? SEARCH_PAGE : PAGE;
        const answer = await api.tasks({ ...this.#query(), pageSize, pageToken: token }, this.#ending.signal);
        setAway(false);
        const now = serverNow();
        this.#collection.list(answer.tasks.filter((task) => fits(task, this.filter, now)));
        token = answer.nextPageToken;
        const oldest = answer.tasks.at(-1)?.createTime ?? Infinity;
        const span = SPANS[created];
        if (span !== undefined && oldest < now - span) token = undefined; // those that follow are older still
        this.#update({ searched: this.#state.searched + answer.tasks.length, more: token !== undefined });
        if (token === undefined || this.#collection.size >= goal) break;
      }
      this.#pageToken = token;
      this.#update({ loading: false, searching: false });
    } catch (error) {
      if (this.#ending.signal.aborted) return;
      if (error instanceof ServerAway) {
        setAway(true);
        await sleep(POLL, this.#ending.signal);
        if (!this.#ending.signal.aborted) await this.#load(token);
        return;
      }
      const shown = error instanceof RequestFailed ? error : new RequestFailed(texts.errors.notTheServer, 'ODD', 0);
      this.#update({ loading: false, searching: false, error: shown });
    }
  }

  #update(change: Partial<State>): void {
    this.#state = { ...this.#state, ...change };
    this.#show();
  }

  /** Shows what has come once per frame, however much it is. */
  #schedule(): void {
    if (this.#published) return;
    this.#published = true;
    requestAnimationFrame(() => {
      this.#published = false;
      this.#show();
    });
  }

  #show(): void {
    if (this.#ending.signal.aborted) return;
    this.publish({ ...this.#state, shown: this.#collection.shown(), fresh: this.#collection.heldBack });
  }
}
