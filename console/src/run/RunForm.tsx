import { lazy, Suspense, useEffect, useMemo, useRef, useState } from 'react';
import { api } from '../api/client';
import { RequestFailed } from '../api/errors';
import { newID } from '../api/ids';
import { isObject, parseJson, toJson, type Json } from '../api/json';
import type { ServerInfo } from '../api/types';
import { navigate, paths } from '../app/router';
import { fieldOf, finish, initial, maskedPaths, type Draft, type DraftProblem } from '../model/forms';
import { inputsSchema, nodesNamedIn } from '../model/workflow';
import { texts } from '../texts';
import { ErrorBoundary } from '../ui/ErrorBoundary';
import { Loading } from '../ui/Notice';
import { Fields } from './Fields';
import { readLabels, type WorkflowFile } from './workflowFile';

const Preview = lazy(() => import('../graph/WorkflowGraph'));

const CHECK_AFTER = 350;
const MOST_NODES = 500;

interface Props {
  file: WorkflowFile;
  name: string;
  labels: Record<string, string>;
  info: ServerInfo | undefined;
}

type Check = { state: 'checking' } | { state: 'valid' } | { state: 'problems'; problems: readonly string[] } | { state: 'failed'; message: string };

/** The inputs of a workflow, what the server says of them, and the button that runs it. */
export function RunForm({ file, name: firstName, labels: firstLabels }: Props) {
  const schema = useMemo(() => inputsSchema(file.workflow), [file]);
  const field = useMemo(() => fieldOf(schema), [schema]);
  const [draft, setDraft] = useState<Draft>(() => file.inputs ?? initial(field));
  const [raw, setRaw] = useState<string>();
  const [name, setName] = useState(firstName);
  const [labelText, setLabelText] = useState(() =>
    Object.entries(firstLabels)
      .map(([key, value]) => `${key}=${value}`)
      .join('\n'),
  );
  const [check, setCheck] = useState<Check>({ state: 'checking' });
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<readonly string[]>([]);
  // The last request that was tried: the same one again, after an answer that got lost, runs nothing twice.
  const tried = useRef({ content: '', requestID: '' });
  const [selected, setSelected] = useState('');

  const { value, problems } = useMemo(() => inputsOf(raw, field, draft), [raw, field, draft]);
  const text = useMemo(() => (value === undefined ? '' : toJson(value)), [value]);
  const labels = readLabels(labelText);
  const masked = useMemo(() => maskedPaths(value), [value]);

  const { schema: schemaText } = file;
  useEffect(() => {
    if (text === '') return undefined;
    const ending = new AbortController();
    const timer = setTimeout(() => {
      setCheck({ state: 'checking' });
      api.validate(schemaText, parseJson(text), ending.signal).then(
        (answer) => setCheck(answer.valid ? { state: 'valid' } : { state: 'problems', problems: answer.errors ?? [] }),
        (error: unknown) => !ending.signal.aborted && setCheck({ state: 'failed', message: (error as Error).message }),
      );
    }, CHECK_AFTER);
    return () => {
      clearTimeout(timer);
      ending.abort();
    };
  }, [schemaText, text]);

  const run = async () => {
    if (value === undefined) return;
    setBusy(true);
    setFailure([]);
    try {
      const request = {
        schema: schemaText,
        inputs: value,
        ...(Object.keys(labels.labels).length > 0 && { labels: labels.labels }),
        ...(name.trim() !== '' && { displayName: name.trim() }),
      };
      const content = toJson(request);
      if (tried.current.content !== content) tried.current = { content, requestID: newID() };
      const { taskID } = await api.run({ ...request, requestID: tried.current.requestID });
      navigate(paths.task(taskID));
    } catch (error) {
      const failed = error as RequestFailed;
      setFailure(failed instanceof RequestFailed && failed.problems.length > 0 ? failed.problems : [failed.message]);
      setBusy(false);
    }
  };

  const found = useMemo(() => (failure.length > 0 ? failure : check.state === 'problems' ? check.problems : []), [failure, check]);
  const marked = useMemo(() => new Set(found.flatMap((problem) => nodesNamedIn(problem, file.workflow))), [found, file]);
  const ready = problems.length === 0 && labels.problem === undefined && value !== undefined && !busy;
  return (
    <div className="run-grid">
      <form
        className="run-form"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) void run();
        }}
      >
        {file.description && <p className="hint">{file.description}</p>}
        <div className="form-head">
          <h2>{texts.run.inputs}</h2>
          <div className="segments" role="group" aria-label={texts.run.inputs}>
            <button type="button" aria-pressed={raw === undefined} disabled={raw !== undefined && value === undefined} onClick={() => {
              if (raw === undefined) return;
              setDraft(value);
              setRaw(undefined);
            }}>
              {texts.run.form}
            </button>
            <button type="button" aria-pressed={raw !== undefined} onClick={() => raw === undefined && setRaw(toJson(value ?? {}, 2))}>
              {texts.run.raw}
            </button>
          </div>
        </div>
        {raw === undefined ? (
          <Fields field={field} draft={draft} problems={problems} onChange={setDraft} />
        ) : (
          <label>
            <span className="visually-hidden">{texts.run.inputs}</span>
            <textarea className="mono raw-inputs" rows={14} spellCheck={false} value={raw} aria-invalid={value === undefined} onChange={(event) => setRaw(event.target.value)} />
            {value === undefined && <span className="problem">{texts.run.field.json}</span>}
          </label>
        )}
        {masked.length > 0 && <p className="banner">{texts.run.masked(masked.slice(0, 5).join(', '))}</p>}
        <div className="run-options">
          <label>
            {texts.run.name} <span className="hint">({texts.run.nameHint})</span>
            <input maxLength={256} value={name} onChange={(event) => setName(event.target.value)} />
          </label>
          <label>
            {texts.run.labels} <span className="hint">({texts.run.labelsHint})</span>
            <textarea rows={2} className="mono" value={labelText} onChange={(event) => setLabelText(event.target.value)} />
            {labels.problem && <span className="problem">{labels.problem}</span>}
          </label>
        </div>
        <div className="run-submit">
          <button type="submit" className="primary large" disabled={!ready}>
            {busy ? texts.run.submitting : texts.run.submit}
          </button>
          <span role="status" className="hint">
            {problems.length > 0 ? texts.run.problems(problems.length) : checkText(check)}
          </span>
        </div>
        {found.length > 0 && <Problems problems={found} file={file} onSelect={setSelected} />}
      </form>
      <section className="run-preview" aria-label={texts.graph.label}>
        {file.workflow.all.size <= MOST_NODES ? (
          <ErrorBoundary fallback={<p className="banner">{texts.graph.failed}</p>}>
            <Suspense fallback={<Loading />}>
              <Preview workflow={file.workflow} marked={marked} selected={selected} onSelect={setSelected} />
            </Suspense>
          </ErrorBoundary>
        ) : (
          <p className="banner">{texts.graph.tooLarge(file.workflow.all.size)}</p>
        )}
      </section>
    </div>
  );
}

function inputsOf(raw: string | undefined, field: ReturnType<typeof fieldOf>, draft: Draft): { value: Json | undefined; problems: DraftProblem[] } {
  if (raw === undefined) {
    const { value, problems } = finish(field, draft);
    return { value: value ?? {}, problems };
  }
  try {
    const value = parseJson(raw);
    return { value: isObject(value) ? value : undefined, problems: [] };
  } catch {
    return { value: undefined, problems: [] };
  }
}

function checkText(check: Check): string {
  switch (check.state) {
    case 'checking':
      return texts.run.checking;
    case 'valid':
      return texts.run.valid;
    case 'problems':
      return texts.run.problems(check.problems.length);
    case 'failed':
      return check.message;
  }
}

function Problems({ problems, file, onSelect }: { problems: readonly string[]; file: WorkflowFile; onSelect: (nodeID: string) => void }) {
  return (
    <div className="problems" role="alert">
      <h3>{texts.errors.problems}</h3>
      <ul>
        {problems.map((problem, index) => {
          const node = nodesNamedIn(problem, file.workflow)[0];
          return (
            <li key={index}>
              {problem}{' '}
              {node !== undefined && (
                <button type="button" className="link" onClick={() => onSelect(node)}>
                  {texts.task.showNode}
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </div>
  );
}
