import { useCallback, useEffect, useRef, useState } from 'react';
import { api } from '../api/client';
import type { ServerInfo } from '../api/types';
import { toJson } from '../api/json';
import { maskedPaths } from '../model/forms';
import { texts } from '../texts';
import { Icon } from '../ui/Icon';
import { Loading } from '../ui/Notice';
import { examples } from './examples';
import { RunForm } from './RunForm';
import { readWorkflowFile, type WorkflowFile } from './workflowFile';

const LARGEST = 32 * 1024 * 1024;

interface Chosen {
  file: WorkflowFile;
  name: string;
  labels: Record<string, string>;
  /** Grows with each workflow that is chosen: forms begin anew. */
  count: number;
}

/** Chooses a workflow, fills its inputs in, and runs it. `from`: a task to run again. */
export default function RunPage({ from, info }: { from: string; info: ServerInfo | undefined }) {
  const [chosen, setChosen] = useState<Chosen>();
  const [problem, setProblem] = useState('');
  const [loading, setLoading] = useState(from !== '');
  const [over, setOver] = useState(false);
  const [editing, setEditing] = useState('');
  const picker = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = `${texts.run.title} · ${texts.product}`;
  }, []);

  const choose = useCallback((text: string, name: string, labels: Record<string, string> = {}) => {
    try {
      const file = readWorkflowFile(text);
      setChosen((before) => ({ file, name, labels, count: (before?.count ?? 0) + 1 }));
      setProblem('');
      setEditing('');
      return true;
    } catch (error) {
      setProblem((error as Error).message);
      return false;
    }
  }, []);

  useEffect(() => {
    if (!from) return undefined;
    const ending = new AbortController();
    api
      .task(from, ending.signal)
      .then(
        (task) => choose(`{"schema": ${task.schema}, "inputs": ${toJson(task.inputs)}}`, task.displayName ?? '', task.labels),
        (error: unknown) => !ending.signal.aborted && setProblem((error as Error).message),
      )
      .finally(() => !ending.signal.aborted && setLoading(false));
    return () => ending.abort();
  }, [from, choose]);

  const openFile = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > LARGEST) {
      setProblem(texts.run.tooLarge);
      return;
    }
    choose(await file.text(), file.name.replace(/\.json$/i, ''));
  };

  if (loading) return <Loading />;
  const maskedSchema = chosen ? maskedPaths(chosen.file.workflow.json) : [];
  return (
    <div
      className={over ? 'page run-page over' : 'page run-page'}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void openFile(event.dataTransfer.files[0]);
      }}
      onPaste={(event) => {
        if ((event.target as Element).closest('input, textarea')) return;
        choose(event.clipboardData.getData('text'), '');
      }}
    >
      <div className="page-head">
        <h1>{texts.run.title}</h1>
        {chosen && (
          <>
            <button type="button" className="quiet" onClick={() => setEditing(editing ? '' : toJson(chosen.file.workflow.json, 2))}>
              {texts.run.edit}
            </button>
            <button
              type="button"
              className="quiet"
              onClick={() => {
                setChosen(undefined);
                setEditing('');
                setProblem('');
              }}
            >
              {texts.run.replace}
            </button>
          </>
        )}
      </div>
      {problem && (
        <p className="banner banner-bad" role="alert">
          {problem}
        </p>
      )}
      {!chosen && (
        <>
          <div className="drop-zone">
            <Icon name="upload" size={28} />
            <p>
              {texts.run.drop}{' '}
              <button type="button" className="link" onClick={() => picker.current?.click()}>
                {texts.run.choose}
              </button>
            </p>
            <input ref={picker} type="file" accept=".json,application/json" hidden aria-label={texts.run.source} onChange={(event) => void openFile(event.target.files?.[0])} />
            <JsonEditor text="" onUse={(text) => choose(text, '')} />
          </div>
          <h2>{texts.run.examples}</h2>
          <ul className="examples">
            {examples.map((example) => (
              <li key={example.name}>
                <button type="button" className="card example" onClick={() => void example.load().then((text) => choose(text, example.name))}>
                  <Icon name="condition" /> <span className="mono">{example.name}</span>
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
      {editing && (
        <div className="card">
          <JsonEditor
            text={editing}
            onUse={(text) => {
              const merged = chosen?.file.inputs ? `{"schema": ${text}, "inputs": ${toJson(chosen.file.inputs)}}` : text;
              choose(merged, chosen?.name ?? '', chosen?.labels);
            }}
          />
        </div>
      )}
      {chosen && maskedSchema.length > 0 && <p className="banner">{texts.run.maskedSchema(maskedSchema.slice(0, 5).join(', '))}</p>}
      {chosen && <RunForm key={chosen.count} file={chosen.file} name={chosen.name} labels={chosen.labels} info={info} />}
    </div>
  );
}

function JsonEditor({ text, onUse }: { text: string; onUse: (text: string) => void }) {
  const [value, setValue] = useState(text);
  return (
    <form
      className="json-editor"
      onSubmit={(event) => {
        event.preventDefault();
        onUse(value);
      }}
    >
      <label>
        <span className={text ? undefined : 'visually-hidden'}>{texts.run.json}</span>
        <textarea
          className="mono"
          rows={text ? 16 : 4}
          spellCheck={false}
          placeholder='{ "nodes": [ … ], "edges": [ … ] }'
          value={value}
          onChange={(event) => setValue(event.target.value)}
          onPaste={(event) => {
            // What is pasted into the empty field is meant to be used at once.
            if (value !== '' || text !== '') return;
            const pasted = event.clipboardData.getData('text');
            event.preventDefault();
            setValue(pasted);
            onUse(pasted);
          }}
        />
      </label>
      <button type="submit" disabled={value.trim() === ''}>
        {texts.run.use}
      </button>
    </form>
  );
}
