import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { api } from '../api/client';
import { ServerAway } from '../api/errors';
import { onSignedOut } from '../api/request';
import type { ServerInfo } from '../api/types';
import { TasksPage } from '../tasks/TasksPage';
import { texts } from '../texts';
import { Dialog } from '../ui/Dialog';
import { ErrorBoundary } from '../ui/ErrorBoundary';
import { Loading, Notice } from '../ui/Notice';
import { setServerTime } from './clock';
import { setAway, useAway } from './connection';
import { useKeys } from './keys';
import { Link } from './Link';
import { Namespace } from './Namespace';
import { navigate, paths, useLocation } from './router';
import { SignIn } from './SignIn';

const TaskPage = lazy(() => {
  import('../graph/TaskGraph').catch(() => undefined); // the page needs it soon, and it is the larger one
  return import('../task/TaskPage');
});
const RunPage = lazy(() => import('../run/RunPage'));
const ComparePage = lazy(() => import('../compare/ComparePage'));

const AGAIN = 3000;

export function App() {
  const { path, query } = useLocation();
  const namespace = query.get('ns') ?? '';
  const [info, setInfo] = useState<ServerInfo>();
  const [signedOut, setSignedOut] = useState(false);
  const [session, setSession] = useState(0);
  const [keysShown, setKeysShown] = useState(false);
  const main = useRef<HTMLElement>(null);

  useEffect(() => onSignedOut(() => setSignedOut(true)), []);
  useEffect(() => {
    const ending = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = () => {
      api.info(ending.signal).then(
        (answer) => {
          setServerTime(answer.time);
          setAway(false);
          setInfo(answer);
        },
        (error: unknown) => {
          if (ending.signal.aborted || !(error instanceof ServerAway)) return;
          setAway(true);
          timer = setTimeout(ask, AGAIN);
        },
      );
    };
    ask();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [session, namespace]);

  useKeys({
    '?': () => setKeysShown(true),
    'g t': () => navigate(paths.tasks),
    'g r': () => navigate(paths.run),
  });

  const signIn = () => {
    setSignedOut(false);
    setSession((count) => count + 1);
  };
  const signOut = () => void api.signOut().finally(() => setSignedOut(true));

  return (
    <>
      <a
        className="skip-link"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          main.current?.focus();
        }}
      >
        {texts.skip}
      </a>
      <header className="topbar">
        <Link href={paths.tasks} className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" />
          <span>{texts.product}</span>
        </Link>
        <nav aria-label={texts.nav.label}>
          <Link href={paths.tasks} aria-current={path === '/' || path.startsWith('/tasks/') ? 'page' : undefined}>
            {texts.nav.tasks}
          </Link>
          <Link href={paths.run} aria-current={path === '/run' ? 'page' : undefined}>
            {texts.nav.run}
          </Link>
          <a href="/api/docs">{texts.nav.docs}</a>
        </nav>
        <div className="topbar-end">
          {info?.caller && !signedOut && <Namespace caller={info.caller} />}
          {info && <span className="version">{info.version}</span>}
          {info?.features?.includes('auth') && !signedOut && (
            <button type="button" className="quiet" onClick={signOut}>
              {texts.nav.signOut}
            </button>
          )}
          <button type="button" className="quiet icon-button keys-button" aria-label={texts.nav.keys} title={texts.nav.keys} onClick={() => setKeysShown(true)}>
            ?
          </button>
        </div>
      </header>
      <AwayBanner />
      <main id="content" ref={main} tabIndex={-1}>
        {signedOut ? (
          <SignIn onSignedIn={signIn} />
        ) : (
          <ErrorBoundary key={`${session} ${namespace} ${path}`}>
            <Suspense fallback={<Loading />}>
              <Page path={path} query={query} info={info} />
            </Suspense>
          </ErrorBoundary>
        )}
      </main>
      {keysShown && (
        <Dialog title={texts.keys.title} onClose={() => setKeysShown(false)}>
          <dl className="keys">
            {texts.keys.rows.map(([key, what]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </>
  );
}

function Page({ path, query, info }: { path: string; query: URLSearchParams; info: ServerInfo | undefined }) {
  const task = /^\/tasks\/([^/]+)\/?$/.exec(path)?.[1];
  if (path === '/' || path === '/tasks' || path === '/tasks/') return <TasksPage query={query} />;
  if (task !== undefined) return <TaskPage key={task} taskID={decoded(task)} query={query} />;
  if (path === '/run') return <RunPage key={query.get('from') ?? ''} from={query.get('from') ?? ''} info={info} />;
  if (path === '/compare') return <ComparePage one={query.get('a') ?? ''} other={query.get('b') ?? ''} />;
  return (
    <Notice title={texts.errors.pageNotFound}>
      <Link href={paths.tasks}>{texts.errors.toTasks}</Link>
    </Notice>
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function AwayBanner() {
  const away = useAway();
  return (
    <div role="status" className={away ? 'away-banner' : undefined}>
      {away && texts.errors.awayBanner}
    </div>
  );
}
