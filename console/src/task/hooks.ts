import { createContext, useContext, useEffect, useState, useSyncExternalStore } from 'react';
import type { Run } from '../model/log';
import type { NodeState } from '../model/moment';
import type { TaskSession } from './session';
import type { RunValues } from './values';

/** Renders anew whenever anything of the task changes. */
export function useSessionVersion(session: TaskSession): number {
  return useSyncExternalStore(session.subscribe, session.getVersion);
}

/** Something of a task; the same value as before renders nothing. */
export function useOfSession<T>(session: TaskSession, pick: (session: TaskSession) => T): T {
  return useSyncExternalStore(session.subscribe, () => pick(session));
}

export const SessionContext = createContext<TaskSession | undefined>(undefined);

export function useSession(): TaskSession {
  const session = useContext(SessionContext);
  if (!session) throw new Error('outside of a task');
  return session;
}

const IDLE: NodeState = { status: 'idle', run: undefined, iterations: 0, shown: -1 };

export function useNodeState(session: TaskSession, nodeID: string): NodeState {
  return useOfSession(session, () => session.moment.nodes.get(nodeID) ?? IDLE);
}

export type Loaded<T> = { state: 'loading' } | { state: 'failed' } | { state: 'loaded'; value: T };

/** The values of a run by the moment that is shown. What was shown of the same run stays while more is loaded. */
export function useRunValues(session: TaskSession, run: Run | undefined, at: number): Loaded<RunValues> {
  const [found, setFound] = useState<{ runID: string; loaded: Loaded<RunValues> }>();
  const seen = run?.changes.filter((change) => change.sequence <= at).length ?? 0;
  const runID = run?.id ?? '';
  useEffect(() => {
    if (!run || seen === 0) return undefined;
    const ending = new AbortController();
    session.values.of(run, run.changes[seen - 1]?.sequence ?? 0, ending.signal).then(
      (value) => !ending.signal.aborted && setFound({ runID: run.id, loaded: { state: 'loaded', value } }),
      () => !ending.signal.aborted && setFound({ runID: run.id, loaded: { state: 'failed' } }),
    );
    return () => ending.abort();
  }, [session, run, seen]);
  return found?.runID === runID ? found.loaded : { state: 'loading' };
}
